"""A table becomes a file in the official layout, which the official API loads to the same values.

Cells come in the order of the table's original file (else in row order), repeats in theirs. What the
official API does not read is not in a table, and is filled: see ``FILLED``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.data.benchmarks.nasbench101.columns import READINGS
from nasbench_kit.data.benchmarks.nasbench101.tfrecord import RecordChunk, write_records
from nasbench_kit.errors import NotRecorded
from nasbench_kit.spaces.nasbench101.cell import edge_bit
from nasbench_kit.system.files import check_replaceable, check_writable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_kit.table.table import Table

#: Fields of a record that no table keeps and the official API ignores, and what is written there.
FILLED = {
    "evaluation_data[0]": "zeros: no evaluation at the start of the training is known",
    "current_epoch": "the epochs of the earlier reading (half, unless the table says), and all",
    "checkpoint_path": "left out, as in the official files",
    "total_time": "the seconds of training; those of evaluation are not known",
}
#: Cells whose records are encoded at a time.
_BLOCK = 8_192


@dataclass
class ExportReport:
    """What an export wrote."""

    target: str
    records: int
    cells: int
    bytes: int
    #: Field -> what it was filled with.
    filled: dict[str, str] = field(default_factory=lambda: dict(FILLED))


def export(
    table: Table, target: str | Path, *, progress: Callable[[int, int], object] | None = None
) -> ExportReport:
    """Write a table as a .tfrecord file in the official layout, atomically.

    Args:
        table: Must have all three accuracies and seconds, halfway and final, and the parameters.
        target: The file to write.
        progress: Called with the records written so far and in all.

    Raises:
        NotRecorded: the table lacks something that the layout needs.
        CorruptFile: the table's file was altered.
        InvalidSetting: something that is no such file lies there.
        NotWritable: the target cannot be written.
    """
    check_writable(Path(target))
    table.verify()
    for checkpoint, metric in READINGS:
        table.column(metric, checkpoint)
    parameters(table)
    check_replaceable(Path(target), "a .tfrecord", lambda head: head[12:14] == b'["')
    records = write_records(target, _chunks(table, progress or (lambda done, total: None)))
    report = ExportReport(str(target), records, len(table), Path(target).stat().st_size)
    report.filled |= {
        f"cost {name}": "left out: the official layout has none" for name in table.costs
    }
    return report


def _chunks(table: Table, progress: Callable[[int, int], object]) -> Iterator[RecordChunk]:
    """All records: one training length after the other, cells in recorded order, their repeats."""
    order = table.extra.get("record_order", np.arange(len(table)))
    repeats, total = table.repeats, len(table) * len(table.epochs) * table.repeats
    size, adjacency, operations = _records_of_cells(table)
    hashes = official_hashes(table)
    done = 0
    for epochs in table.epochs:
        values = {column: table.values(column[1], epochs, column[0]) for column in READINGS}
        recorded = str(epochs) in table.provenance.get("halfway_epochs", {})
        halfway = table.halfway_epochs[epochs] if recorded else epochs / 2
        for start in range(0, len(order), _BLOCK):
            rows = np.repeat(order[start : start + _BLOCK], repeats)
            measured: dict[str, NDArray[np.float64]] = {}
            for column, (measure, position) in READINGS.items():
                points = measured.setdefault(measure, np.zeros((len(rows), 3)))
                points[:, position] = values[column][rows[::repeats]].reshape(-1)
            yield RecordChunk(
                hash=hashes[rows],
                epochs=np.full(len(rows), epochs, np.int32),
                size=size[rows],
                adjacency=adjacency[rows],
                operations=operations[rows],
                trainable_parameters=parameters(table)[rows].astype(np.int32),
                total_time=measured["training_time"][:, 2].copy(),
                current_epoch=np.tile([0.0, halfway, float(epochs)], (len(rows), 1)),
                **measured,
            )
            done += len(rows)
            progress(done, total)


def parameters(table: Table) -> NDArray[np.uint32]:
    """Number of trainable parameters of each cell, uint32 [rows].

    Raises:
        NotRecorded: the table lacks them.
    """
    if "trainable_parameters" not in table.extra:
        raise NotRecorded(f"the table {table.name} has no numbers of trainable parameters")
    return table.extra["trainable_parameters"]


def official_hashes(table: Table) -> NDArray[np.bytes_]:
    """MD5 of each of the table's cells, S32 [rows]."""
    if "hash" in table.extra:
        return np.frombuffer(table.extra["hash"].tobytes().hex().encode(), "S32")
    return table.covered.hashes()


def labelling(table: Table) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Size, edge bits and operations code [rows] of each cell in the labelling it was trained in."""
    if "cell/bits" in table.extra:
        size, bits, code = (table.extra[f"cell/{name}"] for name in ("size", "bits", "code"))
    else:
        cells = [(cell.size, cell.bits, cell.code) for cell in table.covered]
        size, bits, code = np.array(cells, np.int64).T
    return size, bits, code


def _records_of_cells(
    table: Table,
) -> tuple[NDArray[np.uint8], NDArray[np.bytes_], NDArray[np.uint8]]:
    """Size, adjacency and operations [rows] of each cell, as in a `RecordChunk`."""
    size, bits, code = labelling(table)
    text = np.zeros((len(table), 49), np.uint8)
    for vertices in np.unique(size).tolist():
        of = np.flatnonzero(size == vertices)
        matrix = np.full((len(of), vertices, vertices), ord("0"), np.uint8)
        for source, target in itertools.combinations(range(vertices), 2):
            matrix[:, source, target] += (bits[of] >> edge_bit(source, target) & 1).astype(np.uint8)
        text[of, : vertices * vertices] = matrix.reshape(len(of), -1)
    operations = code[:, None].astype(np.int64) // 3 ** np.arange(5) % 3
    return size.astype(np.uint8), text.view("S49")[:, 0], operations.astype(np.uint8)
