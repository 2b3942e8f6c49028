"""What a reader of somebody else's benchmark is; they are listed in `nasbench_kit.data.benchmarks.readers`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nasbench_kit.table.table import Table


def _silent(what: str, done: int, total: int) -> None:
    """No progress is shown."""


@dataclass(frozen=True)
class Options:
    """How a source is read."""

    #: Called with what is done, how much of it is done, and how much there is.
    progress: Callable[[str, int, int], object] = _silent
    #: Whether readings after every epoch are kept as well, where the benchmark has them.
    curves: bool = False
    #: Processes that may read at the same time; the tables do not depend on it.
    workers: int = 1


@dataclass(frozen=True)
class Reader:
    """How one benchmark's own files become tables.

    Args:
        benchmark: its name, in messages.
        recognises: whether a source is this benchmark's, told from its path and its first bytes,
            at most a MiB, decompressed where it is gzipped; none of a folder or of what is not
            there (a source may be the name of an installed package). It raises nothing.
        tables: the tables of a source, which may be made one after the other as they are asked for.
            Each carries its name in its provenance. Raises CorruptFile where the source is damaged.
        several: whether there is one table a task; they go into a folder, each under its name.
    """

    benchmark: str
    recognises: Callable[[Path, bytes], bool]
    tables: Callable[[Path, Options], Iterable[Table]]
    several: bool = False
