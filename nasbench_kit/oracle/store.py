"""What was trained outside a table, kept for the next run: one SQLite file.

A training is known by its architecture, recipe, images, epochs and seed, by the kind of device and by the
versions of this toolkit and of torch, and is never made twice: whoever needs it first holds a lock
file on it (which the system lifts if that process is killed), everybody else waits and reads the
result.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import importlib.metadata
import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nasbench_kit.errors import CorruptFile, NotWritable
from nasbench_kit.system.files import as_path
from nasbench_kit.version import __version__

if TYPE_CHECKING:
    from nasbench_kit.spaces.protocols import Architecture
    from nasbench_kit.training.data_set import DataSet
    from nasbench_kit.training.recipe import Recipe

_SCHEMA = """
CREATE TABLE IF NOT EXISTS trainings (
    hash TEXT NOT NULL,        -- of the architecture; of a cell the official MD5
    cell TEXT NOT NULL,        -- its text as it was trained; decides where hashes collide
    conditions TEXT NOT NULL,  -- digest of recipe, images, device and versions
    epochs INTEGER NOT NULL,
    seed INTEGER NOT NULL,
    record TEXT NOT NULL,      -- JSON
    PRIMARY KEY (hash, cell, conditions, epochs, seed)
)
"""
#: Of the store that all comparisons of a home folder share.
FILE_NAME = "trainings.sqlite"
#: Seconds to wait for another process that is writing.
_PATIENCE = 60.0


@dataclass(frozen=True)
class Job:
    """What a training depends on, and so what it is known by."""

    architecture: Architecture
    recipe: Recipe
    images: DataSet
    epochs: int
    seed: int
    #: Where torch computes; only its kind counts, as in "cuda" for "cuda:1".
    device: str = "cpu"

    @property
    def conditions(self) -> str:
        """Digest of the recipe, the images, the kind of device and the versions."""
        device = self.device.partition(":")[0]
        conditions = [asdict(self.recipe), self.images.digest, device, __version__, _torch()]
        return hashlib.sha256(json.dumps(conditions, sort_keys=True).encode()).hexdigest()


@functools.cache
def _torch() -> str:
    """The version of torch, without importing it."""
    return importlib.metadata.version("torch")


class Store:
    """Records of trainings, JSON objects, in one file that many processes may use.

    Raises:
        NotWritable: the file cannot be made or written.
        CorruptFile: it is no store.
    """

    def __init__(self, path: str | Path) -> None:
        path = as_path(
            path, "file of the store"
        ).absolute()  # also for the processes that it is sent to
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise NotWritable(f"cannot write {path}: {error.strerror}; choose another") from error
        with self._connected() as connection:
            names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
            if names and "trainings" not in names:
                raise CorruptFile(
                    f"{path} is a database of something else, with {', '.join(sorted(names))}; "
                    "choose another file"
                )
            connection.execute(_SCHEMA)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path,)

    def record(self, job: Job) -> dict[str, Any] | None:
        """What is known of a training; None if nothing.

        Raises:
            CorruptFile: what the store holds of it is no record.
        """
        with self._connected() as connection:
            rows = connection.execute(
                "SELECT cell, record FROM trainings "
                "WHERE hash = ? AND conditions = ? AND epochs = ? AND seed = ?",
                (job.architecture.hash, job.conditions, job.epochs, job.seed),
            ).fetchall()
        for text, record in rows:
            if job.architecture.written_as(text):
                return self._parsed(record)
        return None

    def _parsed(self, record: str) -> dict[str, Any]:
        try:
            parsed = json.loads(record)
        except ValueError:
            parsed = None
        if not isinstance(parsed, dict):
            raise CorruptFile(f"{self.path} holds a damaged record; delete the file to train again")
        return parsed

    def get(self, job: Job, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The record of a training, made now if nobody made it before."""
        record = self.record(job)
        if record is not None:
            return record
        with self._claimed(job):
            record = self.record(job)  # another process may have made it while we waited
            if record is None:
                record = make()
                self._insert(job, record)
        return record

    def _insert(self, job: Job, record: dict[str, Any]) -> None:
        key = (
            job.architecture.hash,
            job.architecture.canonical().to_text(),
            job.conditions,
            job.epochs,
            job.seed,
        )
        with self._connected() as connection:
            connection.execute(
                "INSERT INTO trainings VALUES (?, ?, ?, ?, ?, ?)", (*key, json.dumps(record))
            )

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            opened = sqlite3.connect(self.path, timeout=_PATIENCE)
            with contextlib.closing(opened) as connection, connection:
                yield connection
        except sqlite3.OperationalError as error:
            raise NotWritable(f"cannot use {self.path}: {error}; choose another file") from error
        except sqlite3.DatabaseError as error:
            raise CorruptFile(f"{self.path} is no store of trainings ({error})") from error

    @contextlib.contextmanager
    def _claimed(self, job: Job) -> Iterator[None]:
        """Hold the lock of one training."""
        name = f"{job.architecture.hash}-{job.conditions[:16]}-{job.epochs}-{job.seed}.lock"
        path = self.path.with_name(self.path.name + ".locks") / name
        path.parent.mkdir(exist_ok=True)
        with path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        path.unlink(missing_ok=True)  # only its holder gets here, and the record is written
