"""The official NAS-Bench-101 file becomes a table, and every number in it is proved to be kept.

    >>> report = convert("nasbench_only108.tfrecord", "nasbench101.h5")
    >>> report.cells, report.complete
    (423624, True)

Records may come in any order. Those of equal hash and epochs are the repeats, numbered as they
appear. What is checked: both checksums of every record; that its cell lies in the space and has the
recorded hash; that all records of a cell tell one labelling and one number of parameters; that there
are three of them at every training length. Before the table takes its place it is opened again, and
all its readings are compared with the doubles that were read, bit for bit.

A cell keeps the labelling it was recorded in, dangling vertices included. (The official files hold
pruned cells only, in a labelling of their own; the number of parameters depends on it.)
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nasbench_kit.data.benchmarks.nasbench101.columns import (
    IMAGES,
    READINGS,
    REPEATS,
    exact_column,
    packed_hashes,
)
from nasbench_kit.data.benchmarks.nasbench101.tfrecord import RecordChunk, read_chunks
from nasbench_kit.errors import CorruptFile, InvalidSetting
from nasbench_kit.spaces.nasbench101.cell import edge_bit
from nasbench_kit.spaces.nasbench101.space import CellSpace
from nasbench_kit.system.files import check_writable, replacing
from nasbench_kit.table import file as table_file
from nasbench_kit.table.table import Checkpoint, Column, Table

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Up to this many cells are hashed one by one; beyond, the hashes of the whole space are asked for.
_FEW_CELLS = 5_000
#: Examples that a report gives of each kind of problem.
_EXAMPLES = 3


@dataclass
class Problem:
    """One kind of problem of a file: how often, and the first ones."""

    count: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass
class ConversionReport:
    """What a conversion found and made."""

    source: str
    target: str
    records: int = 0
    cells: int = 0
    #: Whether these are all cells of NAS-Bench-101.
    complete: bool = False
    epochs: tuple[int, ...] = ()
    #: Readings whose exact value had to be kept beside the column.
    exceptions: int = 0
    checked_crc: bool = True
    problems: dict[str, Problem] = field(default_factory=dict)
    #: Cells left out because of a problem.
    dropped: int = 0
    bytes: int = 0
    #: Of the whole conversion but for the official hashes of the space.
    seconds: float = 0.0
    #: To compute these hashes, or to find them in the cache.
    hash_seconds: float = 0.0

    def summary(self) -> str:
        """What was made, in a line; then the problems, a line each."""
        share = "the whole space" if self.complete else "a part of the space"
        made = (
            f"{self.target}: {self.cells:,} cells ({share}), "
            f"{', '.join(map(str, self.epochs))} epochs, {self.records:,} records, "
            f"{self.exceptions:,} exceptions, {self.bytes / 1e6:.1f} MB; every reading compared "
            f"bit for bit; {self.seconds:.1f} s, and {self.hash_seconds:.1f} s for hashes"
        )
        lines = [made, *(self._line(kind) for kind in self.problems)]
        if not self.checked_crc:
            lines.append("the checksums of the records were not compared")
        if self.dropped:
            lines.append(f"{self.dropped:,} cells were left out")
        return "\n".join(lines)

    def _line(self, kind: str) -> str:
        problem = self.problems[kind]
        return f"{kind}, {problem.count:,} times, first {'; '.join(problem.examples)}"

    def note(self, kind: str, example: str, count: int = 1) -> None:
        """Count a problem."""
        problem = self.problems.setdefault(kind, Problem())
        problem.count += count
        if len(problem.examples) < _EXAMPLES:
            problem.examples.append(example)

    def refuse(self) -> None:
        """Raise CorruptFile if there were problems."""
        if self.problems:
            raise CorruptFile(
                f"{self.source}: {'. '.join(map(self._line, self.problems))}. Nothing was written; "
                "get the file again, or leave out the cells concerned (--on-error skip)"
            )


def convert(
    source: str | Path,
    target: str | Path,
    *,
    check_crc: bool = True,
    on_error: Literal["raise", "skip"] = "raise",
    progress: Callable[[int], object] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> ConversionReport:
    """Convert a file in the layout of ``nasbench_full.tfrecord`` into a table.

    Args:
        source: The file, plain or gzipped.
        target: The table, written atomically.
        check_crc: Whether the records' checksums are compared; without, bits that flipped in a
            number stay unnoticed (and the table says so).
        on_error: "skip" leaves out the cells concerned, and says so in the table's provenance.
        progress: Called with the bytes of the file read so far.
        provenance: What else is known about the file.

    Raises:
        CorruptFile: the first problems of each kind, and how many there are; nothing is written.
        InvalidSetting: another ``on_error``, or something that is no table lies at the target.
        NotWritable: the target cannot be written.
    """
    if on_error not in ("raise", "skip"):
        raise InvalidSetting(f"on_error is {on_error!r}; choose 'raise' or 'skip'")
    check_writable(Path(target))
    table_file.check_target(Path(target))
    report = ConversionReport(str(source), str(target), checked_crc=check_crc)
    chunks = read_chunks(source, check_crc=check_crc, progress=progress, on_error=report.note)
    facts = {"made_from": Path(source).name, "checked_crc": check_crc, **(provenance or {})}
    _build(chunks, Path(target), report, facts, skip=on_error == "skip")
    return report


def _build(
    chunks: Iterable[RecordChunk],
    target: Path,
    report: ConversionReport,
    provenance: Mapping[str, Any],
    *,
    skip: bool,
) -> None:
    """Collect records, write the table, prove it, and fill in the report."""
    started = time.perf_counter()
    collected = _Collected(CellSpace(), report)
    for chunk in chunks:
        collected.add(chunk)
    collected.find_missing()
    if not skip:
        report.refuse()
    table, read = collected.table({"name": target.stem, **provenance})
    with replacing(target) as temporary:
        table.save(temporary)
        _prove(Table.open(temporary), read)
        report.bytes = temporary.stat().st_size
    report.cells = len(table)
    report.complete = table.complete
    report.epochs = table.epochs
    report.exceptions = sum(len(column.exceptions) for column in table.columns.values())
    report.seconds = time.perf_counter() - started - report.hash_seconds


class _Collected:
    """The records of a file by row of the space; nothing else of them is kept."""

    def __init__(self, space: CellSpace, report: ConversionReport) -> None:
        self.space = space
        self.report = report
        count = len(space)
        #: epochs -> how many records.
        self.found: dict[int, NDArray[np.int64]] = {}
        #: epochs -> float64 [readings, rows, repeats]; memory is taken where it is written.
        self.read: dict[int, NDArray[np.float64]] = {}
        #: Size, edge bits, operations code and parameters as first recorded; size 0: not yet.
        self.cells = np.zeros((count, 4), np.int64)
        self.hashes = np.zeros(count, "S32")
        #: Rows as they first appear.
        self.arrivals: list[NDArray[np.int32]] = []
        self.bad = np.zeros(count, bool)

    def add(self, chunk: RecordChunk) -> None:
        """Take in records; see the module for what is checked."""
        self.report.records += len(chunk)
        rows, cells = _decoded_cells(self.space, chunk)
        inside = rows >= 0
        if not inside.all():
            self._note("a cell outside the space", chunk.hash[~inside])
            rows, cells = rows[inside], cells[inside]
            chunk = chunk[inside]
        self._meet(rows, cells)
        wrong = self.hashes[rows] != chunk.hash
        differ = (self.cells[rows] != cells).any(axis=1)
        for kind, where in (
            ("a hash that is not the hash of its cell", wrong),
            ("records of one cell that differ in labelling or parameters", differ),
        ):
            if where.any():
                self._note(kind, chunk.hash[where], rows[where])
        values = np.stack([getattr(chunk, name)[:, place] for name, place in READINGS.values()])
        for epochs in np.unique(chunk.epochs).tolist():
            of = np.flatnonzero(chunk.epochs == epochs)
            self._put(epochs, rows[of], values[:, of])

    def _meet(self, rows: NDArray[np.int32], cells: NDArray[np.int64]) -> None:
        """Write down cells at their first record."""
        distinct, first = np.unique(rows, return_index=True)
        new = self.cells[distinct, 0] == 0
        arrived = np.sort(first[new])
        self.arrivals.append(rows[arrived])
        self.cells[rows[arrived]] = cells[arrived]
        started = time.perf_counter()
        if sum(map(len, self.arrivals)) > _FEW_CELLS:
            self.hashes = self.space.hashes()
        else:
            for row in rows[arrived].tolist():
                self.hashes[row] = self.space[row].hash
        self.report.hash_seconds += time.perf_counter() - started

    def _put(self, epochs: int, rows: NDArray[np.int32], values: NDArray[np.float64]) -> None:
        """Readings [readings, n] of one training length, as further repeats."""
        if epochs not in self.read:
            self.found[epochs] = np.zeros(len(self.space), np.int64)
            self.read[epochs] = np.empty((len(READINGS), len(self.space), REPEATS))
        order = np.argsort(rows, kind="stable")
        ordered = rows[order]
        earlier = np.empty_like(order)  # records of the same cell before this one, in this call
        earlier[order] = np.arange(len(rows)) - np.searchsorted(ordered, ordered)
        repeat = self.found[epochs][rows] + earlier
        self.found[epochs] += np.bincount(rows, minlength=len(self.space))
        surplus = repeat >= REPEATS
        if surplus.any():
            kind = f"more than {REPEATS} records of a cell at {epochs} epochs"
            self._note(kind, self.hashes[rows[surplus]], rows[surplus])
            rows, repeat, values = rows[~surplus], repeat[~surplus], values[:, ~surplus]
        self.read[epochs][:, rows, repeat] = values

    def find_missing(self) -> None:
        """Look for cells that lack repeats at a training length that others have."""
        seen = self.cells[:, 0] > 0
        for epochs, found in sorted(self.found.items()):
            short = np.flatnonzero(seen & (found < REPEATS))
            if len(short):
                kind = f"fewer than {REPEATS} records of a cell at {epochs} epochs"
                self._note(kind, self.hashes[short], short)

    def _note(
        self, kind: str, hashes: NDArray[np.bytes_], rows: NDArray[np.integer] | None = None
    ) -> None:
        examples = [f"cell {md5.decode()}" for md5 in hashes[:_EXAMPLES].tolist()]
        for place, example in enumerate(examples):
            self.report.note(kind, example, 1 if place else len(hashes) - len(examples) + 1)
        if rows is not None:
            self.bad[rows] = True

    def table(
        self, provenance: Mapping[str, Any]
    ) -> tuple[Table, dict[tuple[Checkpoint, str, int], NDArray[np.float64]]]:
        """The table, and what it has to give back: readings [rows, repeats] by column and epochs.

        Raises:
            CorruptFile: no cell is left.
        """
        seen = self.cells[:, 0] > 0
        self.report.dropped = int((seen & self.bad).sum())
        rows = np.flatnonzero(seen & ~self.bad).astype(np.int32)
        if not len(rows):
            self.report.refuse()
        epochs = sorted(self.read)
        complete = len(rows) == len(self.space)
        where = slice(None) if complete else rows  # a slice copies nothing
        read = {
            (*column, length): self.read[length][place, where]
            for place, column in enumerate(READINGS)
            for length in epochs
        }
        columns: dict[tuple[str, str], Column] = {
            column: exact_column(
                np.stack([read[*column, length] for length in epochs], axis=1),
                None if column[1] == "seconds" else IMAGES,
            )
            for column in READINGS
        }
        arrivals = np.concatenate(self.arrivals)
        order = np.searchsorted(rows, arrivals[~self.bad[arrivals]])
        size, bits, code, parameters = self.cells[rows].T
        table = Table(
            self.space,
            epochs,
            columns,
            rows=None if complete else rows,
            extra={
                "cell/size": size.astype(np.uint8),
                "cell/bits": bits.astype(np.int32),
                "cell/code": code.astype(np.uint8),
                "trainable_parameters": parameters.astype(np.uint32),
                "hash": packed_hashes(self.hashes[rows]),
                "record_order": order.astype(np.int32),
            },
            provenance={
                "source": "measured",
                **provenance,
                "left_out": {
                    "cells": self.report.dropped,
                    "because": {kind: found.count for kind, found in self.report.problems.items()},
                },
            },
        )
        return table, read


def _decoded_cells(
    space: CellSpace, chunk: RecordChunk
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Row of each record's cell, -1 outside; and its size, edge bits, code and parameters."""
    count, widest = len(chunk), space.max_vertices
    entries = np.ascontiguousarray(chunk.adjacency).view(np.uint8).reshape(count, -1)
    matrices = np.zeros((count, widest, widest), np.uint8)
    bits = np.zeros(count, np.int32)
    for size in np.unique(chunk.size).tolist():
        of = np.flatnonzero(chunk.size == size)
        matrix = (entries[of, : size * size] == ord("1")).reshape(-1, size, size)
        places = [*range(size - 1), widest - 1]  # unused vertices stand before the output
        matrices[np.ix_(of, places, places)] = matrix
        for source, target in itertools.combinations(range(size), 2):
            bits[of] |= matrix[:, source, target].astype(np.int32) << edge_bit(source, target)
    operations = chunk.operations[:, : widest - 2]
    code = operations @ 3 ** np.arange(widest - 2)
    cells = np.column_stack([chunk.size, bits, code, chunk.trainable_parameters])
    return space.indices(matrices, operations), cells


def _prove(table: Table, read: Mapping[tuple[Checkpoint, str, int], NDArray[np.float64]]) -> None:
    """Compare a table that was written with what was read.

    Raises:
        CorruptFile: a bit differs.
    """
    table.verify(fresh=True)
    for (checkpoint, metric, epochs), values in read.items():
        back = table.values(metric, epochs, checkpoint)
        if not np.array_equal(back.view(np.int64), np.ascontiguousarray(values).view(np.int64)):
            raise CorruptFile(
                f"the {checkpoint} {metric} at {epochs} epochs did not come back from the file as "
                "they were written; the disk may be faulty, nothing was kept"
            )
