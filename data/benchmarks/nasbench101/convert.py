"""The official NAS-Bench-101 file becomes a table, and every number in it is proved to be kept.

    >>> report = convert("nasbench_only108.tfrecord", "nasbench101.h5")
    >>> report.cells, report.complete
    (423624, True)

Records may come in any order. Those of equal hash and epochs are the repeats, numbered as they
appear. What is checked: both checksums of every record; that its cell lies in the space and has the
recorded hash; that all records of a cell tell one labelling and one number of parameters; that there
are as many of them at every training length, officially three. Before the table takes its place it is
opened again, and all its readings are compared with the doubles that were read, bit for bit.

Files of other benchmarks in this layout are read as well: with another number of repeats, with earlier
readings that are not at half of the training (the table says where), and with further measurements
such as energy, which become costs: each the mean over a cell's repeats of the longest training.

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

from nasbench_kit.checks import counted
from nasbench_kit.data.benchmarks.nasbench101.columns import (
    IMAGES,
    READINGS,
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
    #: Trainings of each cell at each length.
    repeats: int = 0
    #: After how many epochs the earlier readings are, by training length, where that is not half.
    halfway_epochs: dict[str, float] = field(default_factory=dict)
    #: Measurements beside the official ones, which became costs.
    costs: tuple[str, ...] = ()
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
            f"{self.target}: {counted(self.cells, 'cell')} ({share}), "
            f"{', '.join(map(str, self.epochs))} epochs, {counted(self.repeats, 'repeat')}, "
            f"{self.records:,} records, "
            f"{self.exceptions:,} exceptions, {self.bytes / 1e6:.1f} MB; every reading compared "
            f"bit for bit; {self.seconds:.1f} s, and {self.hash_seconds:.1f} s for hashes"
        )
        lines = [made]
        if self.halfway_epochs:
            places = ", ".join(f"{at:g} of {all_}" for all_, at in self.halfway_epochs.items())
            lines.append(f"the earlier readings are after {places} epochs, and are charged so")
        if self.costs:
            lines.append(
                f"costs, means over the repeats of {self.epochs[-1]} epochs: {', '.join(self.costs)}"
            )
        lines += [self._line(kind) for kind in self.problems]
        if not self.checked_crc:
            lines.append("the checksums of the records were not compared")
        if self.dropped:
            lines.append(f"left out: {counted(self.dropped, 'cell')}")
        return "\n".join(lines)

    def _line(self, kind: str) -> str:
        problem = self.problems[kind]
        return f"{kind}, {counted(problem.count, 'time')}, first {'; '.join(problem.examples)}"

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
    collected.place()
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
    report.repeats = table.repeats
    report.halfway_epochs = dict(table.provenance.get("halfway_epochs", {}))
    report.costs = tuple(table.costs)
    report.exceptions = sum(len(column.exceptions) for column in table.columns.values())
    report.seconds = time.perf_counter() - started - report.hash_seconds


class _Collected:
    """The records of a file by row of the space; nothing else of them is kept."""

    def __init__(self, space: CellSpace, report: ConversionReport) -> None:
        self.space = space
        self.report = report
        count = len(space)
        #: epochs -> (rows [n], readings [readings, n]) of the records, as they came.
        self.records: dict[int, list[tuple[NDArray[np.int32], NDArray[np.float64]]]] = {}
        #: Trainings of each cell at each length; known once all records are there.
        self.repeats = 0
        #: epochs -> float64 [readings, rows, repeats]; memory is taken where it is written.
        self.read: dict[int, NDArray[np.float64]] = {}
        #: epochs -> after how many of them the earlier readings are; 0 where a record does not say.
        self.halfway: dict[int, set[float]] = {}
        #: (epochs, name) -> (row, value) of what records say beside the official measures.
        self.further: dict[tuple[int, str], list[tuple[int, float]]] = {}
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
            self.records.setdefault(epochs, []).append((rows[of], values[:, of]))
            halfway = np.unique(chunk.current_epoch[of, 1]).tolist()
            self.halfway.setdefault(epochs, set()).update(halfway)
            for place in of[chunk.further[of] != None].tolist():  # by element
                for name, value in chunk.further[place].items():
                    told = self.further.setdefault((epochs, name), [])
                    told.append((int(rows[place]), value))

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

    def place(self) -> None:
        """Number the records of each cell and length as repeats; look for missing and surplus ones."""
        counts = {
            epochs: np.bincount(
                np.concatenate([rows for rows, _ in parts]), minlength=len(self.space)
            )
            for epochs, parts in self.records.items()
        }
        if not counts:
            return
        # As most cells have; of equally many, the larger number.
        common = np.bincount(np.concatenate([count[count > 0] for count in counts.values()]))
        self.repeats = repeats = len(common) - 1 - int(np.argmax(common[::-1]))
        seen = self.cells[:, 0] > 0
        for epochs in list(self.records):
            parts = self.records.pop(epochs)
            rows = np.concatenate([part for part, _ in parts])
            values = np.concatenate([part for _, part in parts], axis=1)
            del parts
            order = np.argsort(rows, kind="stable")
            ordered = rows[order]
            repeat = np.empty_like(order)
            repeat[order] = np.arange(len(rows)) - np.searchsorted(ordered, ordered)
            surplus = repeat >= repeats
            if surplus.any():
                kind = f"more than {counted(repeats, 'record')} of a cell at {counted(epochs, 'epoch')}"
                self._note(kind, self.hashes[rows[surplus]], rows[surplus])
                rows, repeat, values = rows[~surplus], repeat[~surplus], values[:, ~surplus]
            self.read[epochs] = np.empty((len(READINGS), len(self.space), repeats))
            self.read[epochs][:, rows, repeat] = values
        for epochs, count in sorted(counts.items()):
            short = np.flatnonzero(seen & (count < repeats))
            if len(short):
                kind = f"fewer than {counted(repeats, 'record')} of a cell at {counted(epochs, 'epoch')}"
                self._note(kind, self.hashes[short], short)

    def halfway_epochs(self) -> dict[str, float]:
        """After how many epochs the earlier readings are, by training length; halves left out.

        Raises:
            CorruptFile: those of one length are at different places.
        """
        after: dict[str, float] = {}
        for epochs, places in sorted(self.halfway.items()):
            told = sorted(places - {0.0})
            if len(told) > 1 or not all(0 < at <= epochs for at in told):
                examples = ", ".join(f"{at:g}" for at in told[:_EXAMPLES])
                raise CorruptFile(
                    f"{self.report.source}: the earlier readings of trainings of {epochs} epochs are "
                    f"after {examples} epochs; a table has one place for all of them, above 0 and up "
                    "to the end. Nothing was written; get the file again"
                )
            if told and told[0] != epochs / 2:
                after[str(epochs)] = int(told[0]) if told[0] == int(told[0]) else told[0]
        return after

    def costs(self, rows: NDArray[np.int32], epochs: int) -> dict[str, NDArray[np.float64]]:
        """What records of one length say beside the official measures: mean over repeats, [rows].

        What some of these cells have none of is left out.
        """
        costs = {}
        for (length, name), told in self.further.items():
            places, values = zip(*told, strict=True)
            count = np.bincount(places, minlength=len(self.space))[rows]
            if length == epochs and count.all():
                costs[f"cost/{name}"] = np.bincount(places, values, len(self.space))[rows] / count
        return costs

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
            CorruptFile: no cell is left, or as ``halfway_epochs``.
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
        costs = self.costs(rows, epochs[-1])
        costs_are = f"means over the repeats of {epochs[-1]} epochs"
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
                **costs,
            },
            provenance={
                "source": "measured",
                **provenance,
                **({"halfway_epochs": halfway} if (halfway := self.halfway_epochs()) else {}),
                **({"costs_are": costs_are} if costs else {}),
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
