"""The file of a table: HDF5 for every program, with a header of our own in front of it.

HDF5 leaves room for a block of its user's at the beginning of a file. Ours says where each array
lies: a table opens by reading the block and mapping the rest, nothing is parsed that was damaged
(the HDF5 library can loop for ever on such a file), and every byte is covered by a checksum.

    nasbench-kit table 1                   the format
    0000008192 5c1f...                     bytes of the block, and SHA-256 of what follows in it
    {"bytes": ..., "sha256": ...,          of the whole file; of all that follows the block
     "arrays": {name: [type, shape, offset]}, ...}   and what the table says of itself
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.checks import printable
from nasbench_kit.errors import CorruptFile
from nasbench_kit.system.files import check_replaceable, replacing
from nasbench_kit.table import verified

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ANY_FORMAT = b"nasbench-kit table "
_FORMAT = _ANY_FORMAT + b"1\n"
#: Bytes before the JSON: the format, ten digits, a space, 64 hexadecimal digits, a line's end.
_PREFIX = len(_FORMAT) + 10 + 1 + 64 + 1
#: Bytes below which an array is read into memory. Only pages of larger ones follow the file if other
#: programs write to it (and are gone if they truncate it, which ends the process).
_SMALL = 1 << 18
#: Bytes by which a file grows in memory while it is written.
_GROWTH = 1 << 24


def check_target(path: Path) -> None:
    """Refuse a target that is there already and is no table.

    Raises:
        InvalidSetting: it is.
        NotWritable: the target cannot be written.
    """
    check_replaceable(path, "a table", lambda head: head.startswith(_ANY_FORMAT))


def write(
    path: Path,
    header: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    attributes: Mapping[str, Mapping[str, Any]],
) -> None:
    """Write arrays (by their HDF5 path) and a header of JSON values; atomic.

    Args:
        path: the file.
        header: what ``TableFile`` gives back.
        arrays: contiguous in the file, aligned to 8 bytes.
        attributes: HDF5 attributes by array, for other programs; ours reads the header only.

    Raises:
        InvalidSetting: something that is no table lies there.
        NotWritable: the folder cannot be written, or the disk is full.
    """
    import h5py

    check_target(path)

    room = _PREFIX + len(_json(header)) + sum(len(name) + 100 for name in arrays) + 200
    # A power of two and a multiple of the alignment, as HDF5 demands.
    block = max(mmap.PAGESIZE, 1 << (room - 1).bit_length())
    layout = {
        "libver": "latest",
        "userblock_size": block,
        "alignment_threshold": mmap.PAGESIZE,
        "alignment_interval": mmap.PAGESIZE,
    }
    # In memory, as the library may crash where a disk is full.
    in_memory = {"driver": "core", "backing_store": False, "block_size": _GROWTH}
    with replacing(path) as temporary:
        places = {}
        with h5py.File(temporary, "w", **layout, **in_memory) as file:
            file.attrs["header"] = json.dumps(header)
            for name, array in arrays.items():
                # Written in full at once: a dataset without data has no offset to map.
                dataset = file.create_dataset(name, data=np.ascontiguousarray(array))
                dataset.attrs.update(attributes.get(name, {}))
                offset = dataset.id.get_offset() or 0
                places[name] = [array.dtype.str, list(array.shape), offset]
            file.flush()
            content = file.id.get_file_image()  # without the block
        header = {
            "bytes": block + len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "arrays": places,
            **header,
        }
        text = _json(header).ljust(block - _PREFIX)
        with temporary.open("wb") as file:
            file.writelines((_prefix(block, text), text, content))


class TableFile:
    """A table's file that is open, and stays the same one whatever takes its place at its path.

    Attributes:
        path: where it was opened, as it was given.
        place: the same, absolute.
        header: what was given to ``write``, and of the format: "bytes", "sha256", "arrays".

    Raises:
        CorruptFile: no such file, no table, of another format, or truncated.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.place = path.absolute()  # as the working folder may change
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would wait
        except (OSError, ValueError) as error:  # a path may be no UTF-8
            raise self._absent(error) from error
        weakref.finalize(self, os.close, self._descriptor)
        try:
            self._block = self._read_block()
        except OSError as error:
            raise self._absent(error) from error
        self.header: dict[str, Any] = json.loads(self._block[_PREFIX:])
        self._check_size()

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()  # who copies or pickles a table copies its arrays into memory

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Read-only arrays: each in a memory map of its own, small ones copied.

        Who holds one array thus holds nothing of the others.
        """
        return {name: self._array(*place) for name, place in self.header["arrays"].items()}

    def _array(self, dtype: str, shape: list[int], offset: int) -> NDArray[Any]:
        count = math.prod(shape)
        size = count * np.dtype(dtype).itemsize
        if size < _SMALL:
            return np.frombuffer(os.pread(self._descriptor, size, offset), dtype).reshape(shape)
        before = offset % mmap.ALLOCATIONGRANULARITY  # 0 wherever pages are of the writer's size
        mapped = mmap.mmap(
            self._descriptor, before + size, access=mmap.ACCESS_READ, offset=offset - before
        )
        return np.frombuffer(mapped, dtype, count, before).reshape(shape)

    def verify(self, *, fresh: bool = False) -> None:
        """Compare every byte with the checksums in the file.

        Nothing is read where the same file, unchanged since, was compared before.

        Args:
            fresh: whether to read it in any case. A file that is written to through a memory map
                may not show that it was changed.

        Raises:
            CorruptFile: the file was altered, or truncated.
        """
        identity = self._identity()
        if not fresh and verified.remembers(identity):
            return
        began = time.time()
        self._check_size()
        digest = hashlib.sha256()
        if self._read_block() != self._block:
            raise CorruptFile(f"{self.path} was overwritten while it was in use; start again")
        place = len(self._block)
        while chunk := os.pread(self._descriptor, 1 << 20, place):
            digest.update(chunk)
            place += len(chunk)
        if digest.hexdigest() != self.header["sha256"]:
            raise CorruptFile(
                f"{self.path} was altered: its checksum is {digest.hexdigest()[:12]}…, its header "
                f"says {self.header['sha256'][:12]}…; get it again, or build it again"
            )
        if self._identity() == identity:  # else it was touched meanwhile
            verified.remember(identity, began)

    def moved(self) -> bool:
        """Whether its path leads to another file now, or to none."""
        try:
            status = os.stat(self.place)
        except OSError:
            return True
        return not os.path.samestat(status, os.fstat(self._descriptor))

    def _identity(self) -> verified.Identity:
        return verified.Identity.of(os.fstat(self._descriptor), self.header["sha256"])

    def _check_size(self) -> None:
        size = os.fstat(self._descriptor).st_size
        if size != self.header["bytes"]:
            raise CorruptFile(
                f"{self.path} is truncated: it has {size:,} of {self.header['bytes']:,} bytes; get "
                "it again"
            )

    def _read_block(self) -> bytes:
        """What stands before the HDF5 file: our format and the header, checked."""
        prefix = os.pread(self._descriptor, _PREFIX, 0)
        if not prefix.startswith(_FORMAT):
            begin = prefix.partition(b"\n")[0][:40]
            raise CorruptFile(
                f"{self.path} is no table of this version: it begins with {begin!r}, not "
                f"{_FORMAT.strip().decode()!r}; convert or build it again"
            )
        size = prefix[len(_FORMAT) : len(_FORMAT) + 10]
        block = int(size) if size.isdigit() else 0
        text = os.pread(self._descriptor, max(0, block - _PREFIX), _PREFIX)
        if prefix != _prefix(block, text):
            raise CorruptFile(
                f"the header of {self.path} is damaged; get it again, or build it again"
            )
        return prefix + text

    def _absent(self, error: OSError | ValueError) -> CorruptFile:
        if isinstance(error, CorruptFile):
            return error
        return CorruptFile(f"there is no table at {printable(self.path)} ({error})")


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value).encode()


def _prefix(block: int, text: bytes) -> bytes:
    return _FORMAT + f"{block:010d} {hashlib.sha256(text).hexdigest()}\n".encode()
