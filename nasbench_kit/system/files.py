"""Where files live, and how they are written: beside their target, then renamed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nasbench_kit.checks import shown
from nasbench_kit.errors import (
    InvalidSetting,
    NasbenchKitError,
    NotWritable,
    UnknownName,
    WrongTable,
)


def home() -> Path:
    """Folder of tables and caches: ``NASBENCH_KIT_HOME``, else the user's cache folder.

    Raises:
        InvalidSetting: the variable begins with an unknown user's ``~``.
    """
    if chosen := os.environ.get("NASBENCH_KIT_HOME"):
        try:
            return Path(chosen).expanduser()
        except RuntimeError as error:
            raise InvalidSetting(
                f"NASBENCH_KIT_HOME is {shown(chosen)} ({error}); give it the path of a folder"
            ) from error
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "nasbench-kit"


def check_writable(*paths: Path) -> None:
    """Refuse files that could not be written, before the work that they are for; changes nothing.

    Raises:
        NotWritable: a folder cannot be made or written, a path is no file's, or the disk is full.
    """
    for path in paths:
        with _named(path):
            _check_kind(path)
            absolute = Path(os.path.abspath(path))  # "absent/../here" is here once it is written
            folder = absolute.parent
            while not os.path.lexists(folder) and folder != folder.parent:
                folder = folder.parent
            # In a folder of its own, all is tried as it will be done, and nothing seen by others.
            with tempfile.TemporaryDirectory(prefix=".", suffix=".part", dir=folder) as trial:
                copy = Path(trial, absolute.parent.relative_to(folder), absolute.name)
                copy.parent.mkdir(parents=True, exist_ok=True)
                _beside(copy).write_bytes(b"?")


def existing(path: str | Path, what: str) -> Path:
    """A path that a user named, with ``~`` expanded, if something can lie there.

    Args:
        path: as it was given.
        what: it should name, as "image set", for messages.

    Raises:
        InvalidSetting: it is no path, or empty; ``Path("")`` would be the current folder.
        UnknownName: it begins with an unknown user's ``~``, is too long, or leads through a folder
            that must not be read.
    """
    if not isinstance(path, str | Path):
        raise InvalidSetting(f"the {what} is {shown(path)}; give its path as a str or a Path")
    if not str(path):
        raise InvalidSetting(f"the path of the {what} is empty; name a file or folder")
    try:
        expanded = Path(path).expanduser()
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            expanded.stat()
    except (OSError, RuntimeError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise UnknownName(
            f"no {what} can be at {shown(str(path))} ({reason}); check the path"
        ) from error
    return expanded


def as_path(value: object, what: str) -> Path:
    """A path that a caller gave as text or as a path.

    Args:
        value: what was given.
        what: it is to be the path of, for the message: "folder", "table".

    Raises:
        InvalidSetting: it is something else, or empty.
    """
    try:
        path = os.fspath(value)  # type: ignore[call-overload]
    except TypeError:
        path = None
    if not isinstance(path, str) or not path or "\0" in path:
        raise InvalidSetting(f"the {what} is {shown(value)}; give its path as a str or a Path")
    return Path(path)


def read_json(path: Path) -> Any:
    """What a JSON file of ours holds, where Python's own reader would take more than JSON.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no JSON, has NaN or infinity in it, a name twice, or too many levels.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        merged = dict(pairs)
        if len(merged) < len(pairs):
            raise ValueError("a name stands twice in one object")
        return merged

    def refused(constant: str) -> None:
        raise ValueError(f"{constant} is no number")

    text = path.read_text(encoding="utf-8")
    try:
        return json.loads(text, parse_constant=refused, object_pairs_hook=once)
    except RecursionError:
        raise ValueError("it has too many levels") from None


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the block ends without error.

    After an error the folder is as it was, and so are those above it.

    Raises:
        NotWritable: the folder cannot be made or written, or the disk is full.
    """
    temporary: Path | None = None
    new = [folder for folder in path.parents if not os.path.lexists(folder)]
    with _named(path):
        try:
            _check_kind(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = _beside(path)
            yield temporary
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)
            temporary.replace(path)
        except BaseException:
            if temporary is not None:
                temporary.unlink(missing_ok=True)
            for folder in new:
                with contextlib.suppress(OSError):  # another process has put something there
                    folder.rmdir()
            raise


def _beside(path: Path) -> Path:
    """A new, empty file with a name that nobody else has."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    return Path(name)


def _check_kind(path: Path) -> None:
    """A folder cannot be replaced; a device or a pipe could be, and must not."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if path.exists() and not path.is_file():
        raise OSError("it is a device or a pipe, not a file")


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """The system's errors, with the file's name and a way out."""
    try:
        yield
    except OSError as error:
        if isinstance(error, NasbenchKitError):
            raise
        raise NotWritable(
            f"cannot write {path}: {error.strerror or error}; choose a folder you can write to"
        ) from error


def check_replaceable(path: Path, kind: str, recognised: Callable[[bytes], bool]) -> None:
    """Refuse to write over anything but a file of the same kind; an empty one is no loss.

    Args:
        path: where a file is about to be written.
        kind: what is written, for the message: "a table".
        recognised: whether these first bytes (64 KiB, or all) are of such a file.

    Raises:
        InvalidSetting: something else lies there.
        NotWritable: see ``check_writable``.
    """
    check_writable(path)
    if not path.exists():
        return
    try:
        with path.open("rb") as file:
            head = file.read(1 << 16)
    except OSError as error:
        raise InvalidSetting(
            f"{path} cannot be read ({error.strerror}), so it is not replaced; choose another target"
        ) from error
    if head and not recognised(head):
        raise InvalidSetting(
            f"{path} is there already and is not {kind}, so it is not replaced; move it away, or "
            "choose another target"
        )


def write_text(path: Path, text: str) -> None:
    """Write a small text file atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def claimed(folder: Path, worker: str) -> Iterator[None]:
    """Hold a folder, made if need be, for this process alone.

    Args:
        folder: what no two processes may fill at once.
        worker: what is at work there, in one word, for the message.

    Raises:
        WrongTable: another process holds the folder.
        NotWritable: the folder cannot be written.
    """
    path = folder / ".lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = path.open("w")
    except OSError as error:
        raise NotWritable(f"cannot write {folder}: {error.strerror}; choose another") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lifts it on kill -9
        except OSError:
            raise WrongTable(
                f"another {worker} is at work in {folder}; wait for it, or choose another folder"
            ) from None
        yield
