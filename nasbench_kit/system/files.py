"""Where files live, and how they are written: beside their target, then renamed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from nasbench_kit.errors import NasbenchKitError, NotWritable, WrongTable


def home() -> Path:
    """Folder of tables and caches: ``NASBENCH_KIT_HOME``, else the user's cache folder."""
    if chosen := os.environ.get("NASBENCH_KIT_HOME"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "nasbench-kit"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the block ends without error.

    Raises:
        NotWritable: the folder cannot be made or written, or the disk is full.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except OSError as error:
        if isinstance(error, NasbenchKitError):
            raise
        raise NotWritable(
            f"cannot write {path}: {error.strerror or error}; choose a folder you can write to"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


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
