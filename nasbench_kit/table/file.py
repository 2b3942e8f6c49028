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
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from nasbench_kit.errors import CorruptFile
from nasbench_kit.system.files import replacing

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FORMAT = b"nasbench-kit table 1\n"
#: Bytes before the JSON: the format, ten digits, a space, 64 hexadecimal digits, a line's end.
_PREFIX = len(_FORMAT) + 10 + 1 + 64 + 1


def write(
    path: Path,
    header: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    attributes: Mapping[str, Mapping[str, Any]],
) -> None:
    """Write arrays (by their HDF5 path) and a header of JSON values; atomic.

    Args:
        path: the file.
        header: what ``read`` gives back.
        arrays: contiguous in the file, aligned to 8 bytes.
        attributes: HDF5 attributes by array, for other programs; ours reads the header only.

    Raises:
        NotWritable: the folder cannot be written, or the disk is full.
    """
    import h5py

    room = _PREFIX + len(_json(header)) + sum(len(name) + 100 for name in arrays) + 200
    # A power of two and a multiple of the alignment, as HDF5 demands.
    block = max(mmap.PAGESIZE, 1 << (room - 1).bit_length())
    layout = {
        "libver": "latest",
        "userblock_size": block,
        "alignment_threshold": mmap.PAGESIZE,
        "alignment_interval": mmap.PAGESIZE,
    }
    with replacing(path) as temporary:
        places = {}
        with h5py.File(temporary, "w", **layout) as file:
            file.attrs["header"] = json.dumps(header)
            for name, array in arrays.items():
                # Written in full at once: a dataset without data has no offset to map.
                dataset = file.create_dataset(name, data=np.ascontiguousarray(array))
                dataset.attrs.update(attributes.get(name, {}))
                offset = dataset.id.get_offset() or 0
                places[name] = [array.dtype.str, list(array.shape), offset]
        with temporary.open("r+b") as file:
            file.seek(block)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            said = {"bytes": file.tell(), "sha256": digest, "arrays": places, **header}
            text = _json(said).ljust(block - _PREFIX)
            file.seek(0)
            file.write(_prefix(block, text) + text)


def read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The header, and read-only arrays: each in a memory map of its own, small ones copied.

    Who holds one array thus holds nothing of the others.

    Raises:
        CorruptFile: no such file, no table, of another format, or truncated.
    """
    try:
        with path.open("rb") as file:
            header = _header(path, file.read(_PREFIX), file)
            size = file.seek(0, 2)
            if size != header["bytes"]:
                raise CorruptFile(
                    f"{path} is truncated: it has {size:,} of {header['bytes']:,} bytes; get it again"
                )
            return header, {name: _array(file, *at) for name, at in header["arrays"].items()}
    except (OSError, ValueError) as error:
        if isinstance(error, CorruptFile):
            raise
        raise CorruptFile(f"there is no table at {path} ({error})") from error


def _array(file: BinaryIO, dtype: str, shape: list[int], offset: int) -> NDArray[Any]:
    count = math.prod(shape)
    size = count * np.dtype(dtype).itemsize
    if size < mmap.PAGESIZE:
        file.seek(offset)
        return np.frombuffer(file.read(size), dtype, count).reshape(shape)
    before = offset % mmap.ALLOCATIONGRANULARITY  # 0 wherever pages are of the writer's size
    mapped = mmap.mmap(
        file.fileno(), before + size, access=mmap.ACCESS_READ, offset=offset - before
    )
    return np.frombuffer(mapped, dtype, count, before).reshape(shape)


def verify(path: Path) -> None:
    """Read every byte and compare with the checksums in the file.

    Raises:
        CorruptFile: as ``read``, or the file was altered.
    """
    header, _ = read(path)
    with path.open("rb") as file:
        file.seek(len(_FORMAT))
        file.seek(int(file.read(10)))
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != header["sha256"]:
        raise CorruptFile(
            f"{path} was altered: its checksum is {digest[:12]}…, its header says "
            f"{header['sha256'][:12]}…; get it again, or build it again"
        )


def _header(path: Path, prefix: bytes, file: BinaryIO) -> dict[str, Any]:
    """Check the block and parse it."""
    if not prefix.startswith(_FORMAT):
        said = prefix.partition(b"\n")[0][:40]
        raise CorruptFile(
            f"{path} is no table of this version: it begins with {said!r}, not "
            f"{_FORMAT.strip().decode()!r}; convert or build it again"
        )
    size = prefix[len(_FORMAT) : len(_FORMAT) + 10]
    block = int(size) if size.isdigit() else 0
    text = file.read(max(0, block - _PREFIX))
    if prefix != _prefix(block, text):
        raise CorruptFile(f"the header of {path} is damaged; get it again, or build it again")
    header: dict[str, Any] = json.loads(text)
    return header


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value).encode()


def _prefix(block: int, text: bytes) -> bytes:
    return _FORMAT + f"{block:010d} {hashlib.sha256(text).hexdigest()}\n".encode()
