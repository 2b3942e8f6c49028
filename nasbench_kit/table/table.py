"""A table of trained cells: metrics as arrays, in one HDF5 file, opened by memory map.

    >>> table = Table.open("digits.h5")
    >>> table.epochs, table.repeats
    ((4, 12, 36), 3)
    >>> table.values("validation_accuracy", epochs=36)     # float64 [rows, repeats]
    >>> table.mean("test_accuracy")[table.covered.index(Cell.named("resnet"))]

The file holds, all contiguous:

    final/METRIC, halfway/METRIC   [rows, epochs, repeats]  a reading at the end and at half of each
                                   training: train_accuracy, validation_accuracy, test_accuracy,
                                   seconds. Accuracies are uint16 counts of `images` where that is
                                   exact, else float32; seconds are float32. Where the header says
                                   `assumed_seconds`, those of the longest training alone are stored.
                                   Where it says `halfway_epochs`, the earlier readings are after so
                                   many epochs, and not at half.
    .../METRIC.present             uint8, 1 where the reading exists; absent if all do
    .../METRIC.exception_at        flat positions whose exact value is not the stored one
    .../METRIC.exception_value     float64, what it is
    rows                           int32, the space's row of each table row, ascending; absent from
                                   a table of the whole space
    trainable_parameters           uint32 [rows]
    source                         uint8 [rows], index into SOURCES; absent if all are the same
    cost/NAME                      one number a row: latency, energy, ...
    cell/bits, cell/size, cell/code    of cells: the labelling in which each was trained; absent if
                                   canonical (the official parameter count depends on it)
    scoring/METRIC                 float32 [rows, trainings], of the best cells: validation_accuracy and
                                   test_accuracy of further trainings, at the largest fidelity, that no
                                   answer is taken from; NaN in the rows of all other cells
    hash                           uint8 [rows, 16], the official MD5
    record_order                   int32 [rows], table rows in the order of the original file

The table knows no budget and no chance. It holds test accuracies; a search never gets to see it.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from numbers import Real
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from nasbench_kit import spaces
from nasbench_kit.checks import counted, shown
from nasbench_kit.errors import (
    CorruptFile,
    InvalidSetting,
    NotInSpace,
    NotInTable,
    NotRecorded,
    WrongTable,
)
from nasbench_kit.spaces.protocols import Numbered
from nasbench_kit.system.files import as_path
from nasbench_kit.table import file as table_file

if TYPE_CHECKING:
    from numpy.typing import NDArray


#: Where a row's numbers come from.
SOURCES = ("measured", "surrogate", "trained")
METRICS = ("train_accuracy", "validation_accuracy", "test_accuracy", "seconds")
#: Of further arrays: costs of an architecture, one number a row.
COST = "cost/"
#: Of further arrays: accuracies of trainings that are kept for scores, [rows, trainings].
SCORING = "scoring/"

Checkpoint = Literal["final", "halfway"]
#: What is given for a reading that does not exist: an error, or a NaN.
Missing = Literal["refuse", "nan"]


@dataclass(frozen=True)
class Column:
    """One metric at one checkpoint: stored values and how to read them.

    Args:
        values: [rows, epochs, repeats]; uint16 counts of ``images``, or float32.
        images: how many images the counts are of; None where values are stored as such.
        present: uint8 of the same shape, 1 where a value exists; None if everywhere.
        exceptions: exact value at flat positions where the stored one is not exact.
    """

    values: NDArray[Any]
    images: int | None = None
    present: NDArray[np.uint8] | None = None
    exceptions: Mapping[int, float] = field(default_factory=dict)

    @functools.cached_property
    def _decoded(self) -> NDArray[np.float64]:
        """Accuracy of every count; float32 first, as the official file has it."""
        assert self.images is not None
        return (np.arange(self.images + 1) / self.images).astype(np.float32).astype(np.float64)

    @functools.cached_property
    def _accuracies(self) -> list[float]:
        """The same as a list, whose elements are read faster; empty where values are stored."""
        decoded: list[float] = [] if self.images is None else self._decoded.tolist()
        return decoded

    def reader(self) -> Callable[[int], float]:
        """A fast function from flat position to exact value.

        It raises NotRecorded where there is none.
        """
        stored = self.values.reshape(-1).data
        decoded = self._accuracies

        def read_count(position: int) -> float:
            try:
                return decoded[stored[position]]
            except IndexError:
                raise _beyond(stored[position], self.images) from None

        def read_value(position: int) -> float:
            value: float = stored[position]
            if isnan(value):
                raise NotRecorded("the table has no such reading of this cell (it holds a NaN)")
            return value

        read = read_value if self.images is None else read_count
        if self.present is None and not self.exceptions:
            return read
        present = None if self.present is None else self.present.reshape(-1).data
        exceptions = self.exceptions

        def read_with_care(position: int) -> float:
            if present is not None and not present[position]:
                raise NotRecorded("the table has no such reading of this cell")
            exact = exceptions.get(position)
            return read(position) if exact is None else exact

        return read_with_care

    def repeats_of(self, row: int, fidelity: int) -> Sequence[int]:
        """The repeats of a row that have a value at one fidelity (by position), ascending."""
        if self.present is None:
            return range(self.values.shape[2])
        repeats: list[int] = self.present[row, fidelity].nonzero()[0].tolist()
        return repeats

    def array(self, fidelity: int, missing: Missing = "refuse") -> NDArray[np.float64]:
        """Exact values at one fidelity (by position): float64 [rows, repeats].

        Args:
            fidelity: its position.
            missing: whether a value that does not exist is an error, or a NaN.

        Raises:
            NotRecorded: some of them do not exist.
        """
        absent = None if self.present is None else self.present[:, fidelity] == 0
        if absent is not None and not absent.any():
            absent = None
        if absent is not None and missing == "refuse":
            raise NotRecorded(
                f"{int(absent.sum())} readings are missing; ask only for rows that have them, or for "
                "NaN in their place (missing='nan')"
            )
        stored = self.values[:, fidelity]
        if absent is not None:
            stored = np.where(absent, 0, stored)  # whatever is stored there means nothing
        if self.images is not None and stored.max(initial=0) > self.images:
            raise _beyond(stored.max(), self.images)
        values = stored.astype(np.float64) if self.images is None else self._decoded[stored]
        if missing == "refuse" and np.isnan(values).any():
            raise NotRecorded(
                f"{np.isnan(values).sum()} readings are missing (the table holds NaN)"
            )
        if absent is not None:
            values[absent] = np.nan
        _, epochs, repeats = self.values.shape
        for position, exact in self.exceptions.items():
            row, place = divmod(position, epochs * repeats)
            if place // repeats == fidelity:
                values[row, place % repeats] = exact
        return values


def _named(name: object) -> str:
    """A name as it is; shown where it is none."""
    return name if isinstance(name, str) and len(name) < 80 else shown(name)


def _beyond(count: int, images: int | None) -> CorruptFile:
    return CorruptFile(f"the table counts {count} of {images} images; get it, or build it, again")


def over_repeats(
    readings: NDArray[np.float64], statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """A statistic over the readings that each row has: float64 [rows].

    Args:
        readings: [rows, repeats], NaN where there is none.
        statistic: from readings [n, repeats], none of them missing, to a number a row [n].
    """
    there = ~np.isnan(readings)
    if there.all():
        return statistic(readings)
    result = np.full(len(readings), np.nan)
    for pattern in np.unique(there, axis=0):
        rows = (there == pattern).all(axis=1)
        result[rows] = statistic(readings[rows][:, pattern]) if pattern.any() else np.nan
    return result


def proportional(longest: NDArray[np.floating], epochs: Sequence[int]) -> NDArray[np.float32]:
    """Seconds of all fidelities, float32 [rows, epochs, repeats], from the longest [rows, 1, repeats]."""
    shares = np.array(epochs)[:, None] / epochs[-1]
    return (longest * shares).astype(np.float32)


def checked(table: object) -> Table:
    """A table whose file was not altered, which a caller gave.

    Raises:
        InvalidSetting: it is none.
        CorruptFile: the file was altered.
    """
    if not isinstance(table, Table):
        raise InvalidSetting(f"{shown(table)} is no table; open one with Table.open(path)")
    table.verify()
    return table


class Table:
    """Readings of trained cells, by (row, epochs, repeat); complete or partial.

    Args:
        space: the space whose row order the table keeps.
        epochs: its fidelities, ascending.
        columns: (checkpoint, metric) -> column; all of shape [rows, epochs, repeats].
        rows: the space's row of each table row, ascending; None for the whole space.
        extra: further arrays by name in the file (see the module's docstring).
        provenance: how the numbers came about: at least ``name``; anything that JSON can hold.

    Raises:
        InvalidSetting: arrays of different shapes, or rows outside the space.
    """

    def __init__(
        self,
        space: Any,
        epochs: Sequence[int],
        columns: Mapping[tuple[str, str], Column],
        *,
        rows: NDArray[np.int32] | None = None,
        extra: Mapping[str, NDArray[Any]] | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        #: A `nasbench_kit.spaces.Numbered`.
        self.space: Any = space
        self.epochs = tuple(int(e) for e in epochs)
        # Not to be exchanged later: a table from a file is pickled by its path.
        self.columns: Mapping[tuple[str, str], Column] = MappingProxyType(dict(columns))
        self.rows = rows
        self.extra: Mapping[str, NDArray[Any]] = MappingProxyType(dict(extra or {}))
        self.provenance = dict(provenance or {})
        count = len(space) if rows is None else len(rows)
        shapes = {column.values.shape for column in self.columns.values()}
        shapes |= {c.present.shape for c in self.columns.values() if c.present is not None}
        fits = len(shapes) == 1 and len(shape := next(iter(shapes))) == 3
        if not fits or shape[:2] != (count, len(self.epochs)):
            raise InvalidSetting(
                f"columns of shapes {sorted(shapes)} do not fit {count} rows and "
                f"{len(self.epochs)} fidelities"
            )
        if list(self.epochs) != sorted(set(self.epochs)):
            raise InvalidSetting(f"the fidelities are {self.epochs}; they must ascend")
        self.repeats: int = shape[2]
        for name, array in self.extra.items():
            if len(array) != count:
                raise InvalidSetting(f"{name} has {len(array)} entries for {count} rows")
        if (source := self.provenance.get("source", "measured")) not in SOURCES:
            raise InvalidSetting(f"the source is {source!r}; it must be one of {SOURCES}")
        if rows is not None and (
            (np.diff(rows) <= 0).any() or (count and not 0 <= rows[0] <= rows[-1] < len(space))
        ):
            raise InvalidSetting("the table's rows are not ascending rows of its space")

    def __len__(self) -> int:
        return len(self.space) if self.rows is None else len(self.rows)

    def __repr__(self) -> str:
        epochs = ", ".join(map(str, self.epochs))
        cells, repeats = counted(len(self), "cell"), counted(self.repeats, "repeat")
        return f"<Table {self.name}: {cells}, {epochs} epochs, {repeats}>"

    @property
    def name(self) -> str:
        """What the table is called in print."""
        return str(self.provenance.get("name", "unnamed"))

    @property
    def complete(self) -> bool:
        """Whether every cell of the space has a row."""
        return self.rows is None

    @functools.cached_property
    def covered(self) -> Any:
        """The space of just the table's cells; its rows are the table's rows."""
        return self.space if self.rows is None else self.space.restricted(self.rows)

    def row(self, architecture: Any) -> int:
        """The table's row of an architecture.

        Raises:
            NotInSpace: the architecture is outside the table's space.
            NotInTable: it is inside, but the table is partial and lacks it.
        """
        try:
            return self.covered.index(architecture)
        except NotInSpace:
            self.space.index(architecture)
            raise NotInTable(
                f"the table {self.name} covers {len(self):,} of the space's {len(self.space):,} "
                f"architectures and lacks {architecture.to_text()}"
            ) from None

    # Readings --------------------------------------------------------------------------------

    def fidelity(self, epochs: int | None = None) -> int:
        """Position of a fidelity on the second axis; None means the largest.

        Raises:
            NotRecorded: the table has no trainings of that length.
        """
        if epochs is None:
            return len(self.epochs) - 1
        if not isinstance(epochs, Real) or epochs not in self.epochs:
            recorded = ", ".join(map(str, self.epochs))
            raise NotRecorded(
                f"the table {self.name} has no trainings of {shown(epochs)} epochs; it has {recorded}"
            )
        return self.epochs.index(epochs)

    def column(self, metric: str, checkpoint: Checkpoint = "final") -> Column:
        """The stored column of a metric.

        Raises:
            NotRecorded: the table lacks it.
        """
        if not self.has(metric, checkpoint):
            known = ", ".join(f"{metric} ({point})" for point, metric in sorted(self.columns))
            raise NotRecorded(
                f"the table {self.name} has no {_named(metric)} ({_named(checkpoint)}); it has {known}"
            )
        return self.columns[checkpoint, metric]

    def has(self, metric: str, checkpoint: Checkpoint = "final", epochs: int | None = None) -> bool:
        """Whether the table records this metric at this checkpoint.

        Args:
            metric: its name.
            checkpoint: of the training.
            epochs: a fidelity at which some row has to have a reading; None where any will do.
        """
        named = isinstance(metric, str) and isinstance(checkpoint, str)
        if not named or (checkpoint, metric) not in self.columns:
            return False
        present = self.columns[checkpoint, metric].present
        return epochs is None or present is None or bool(present[:, self.fidelity(epochs)].any())

    def values(
        self,
        metric: str,
        epochs: int | None = None,
        checkpoint: Checkpoint = "final",
        *,
        missing: Missing = "refuse",
    ) -> NDArray[np.float64]:
        """Exact readings at one fidelity (default: the largest): float64 [rows, repeats].

        Args:
            metric: its name.
            epochs: the fidelity.
            checkpoint: of the training.
            missing: where rows have differing numbers of repeats, "nan" gives NaN for those that do
                not exist.

        Raises:
            NotRecorded: the table lacks the metric, the fidelity, or some of the readings.
            CorruptFile: the table's file was altered since it was opened.
        """
        self.verify()
        return self.column(metric, checkpoint).array(self.fidelity(epochs), missing)

    def mean(
        self, metric: str, epochs: int | None = None, checkpoint: Checkpoint = "final"
    ) -> NDArray[np.float64]:
        """Mean over the repeats that there are: float64 [rows].

        Raises:
            NotRecorded: the table lacks the metric or the fidelity, or a row has no reading at all.
            CorruptFile: as ``values``.
        """
        readings = self.values(metric, epochs, checkpoint, missing="nan")
        means = over_repeats(readings, lambda rows: rows.mean(axis=1))
        if without := int(np.isnan(means).sum()):
            raise NotRecorded(
                f"the table {self.name} lacks {metric} at {self.epochs[self.fidelity(epochs)]} epochs in "
                f"{counted(without, 'row')}"
            )
        return means

    def sources(self) -> NDArray[np.uint8]:
        """Where each row's numbers come from, as indices into SOURCES."""
        if "source" in self.extra:
            return self.extra["source"]
        everywhere = SOURCES.index(self.provenance.get("source", "measured"))
        return np.full(len(self), everywhere, np.uint8)

    @property
    def costs(self) -> dict[str, NDArray[Any]]:
        """Further costs of every row by name, such as latency or energy: [rows] each."""
        return {
            name.removeprefix(COST): array
            for name, array in self.extra.items()
            if name.startswith(COST)
        }

    @property
    def assumed_seconds(self) -> tuple[int, ...]:
        """Fidelities whose seconds nobody measured: the longest training's share of its epochs."""
        return tuple(self.provenance.get("assumed_seconds", ()))

    @property
    def selection_metric(self) -> str:
        """What the column of validation accuracies holds, in words.

        It is "test accuracy" where a benchmark recorded no other: then searches select by it, too.
        """
        return str(self.provenance.get("selection_metric", "validation accuracy"))

    @property
    def halfway_epochs(self) -> dict[int, float]:
        """After how many epochs of a training its earlier reading was taken, by the training's length.

        Half of them, rounded down as the official API counts, unless the table says otherwise.
        """
        recorded = self.provenance.get("halfway_epochs", {})
        return {epochs: recorded.get(str(epochs), epochs // 2) for epochs in self.epochs}

    # Files -----------------------------------------------------------------------------------

    def _arrays(self) -> dict[str, NDArray[Any]]:
        """Every array of the file by its path in it."""
        arrays = dict(self.extra)
        if self.rows is not None:
            arrays["rows"] = self.rows
        for (checkpoint, metric), column in self.columns.items():
            path = f"{checkpoint}/{metric}"
            arrays[path] = column.values
            if metric == "seconds" and self.assumed_seconds:
                arrays[path] = column.values[:, -1:]
            if column.present is not None:
                arrays[path + ".present"] = column.present
            if column.exceptions:
                positions = np.array(sorted(column.exceptions), np.int64)
                exact = np.array([column.exceptions[int(p)] for p in positions], np.float64)
                arrays[path + ".exception_at"] = positions
                arrays[path + ".exception_value"] = exact
        return arrays

    @functools.cached_property
    def checksum(self) -> str:
        """SHA-256 of all that the table says: what it is called, its arrays, how to read them."""
        if self._file is not None:
            return str(self._file.header["checksum"])
        digest = hashlib.sha256(json.dumps([self._said(), self._images()]).encode())
        arrays = self._arrays()
        for name in sorted(arrays):
            array = np.ascontiguousarray(arrays[name])
            digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
            digest.update(array.data.cast("B") if array.size else b"")
        return digest.hexdigest()

    def _said(self) -> dict[str, Any]:
        return {
            "space": self.space.name,
            "order": self.space.digest,
            "epochs": self.epochs,
            "provenance": self.provenance,
        }

    def _images(self) -> dict[str, int]:
        """The denominator of every column of counts."""
        return {
            f"{checkpoint}/{metric}": column.images
            for (checkpoint, metric), column in sorted(self.columns.items())
            if column.images is not None
        }

    def save(self, path: str | Path) -> None:
        """Write the table to an HDF5 file, atomically.

        Raises:
            NotWritable: the folder cannot be written, or the disk is full.
            InvalidSetting: the table's space has no name to find it by again.
            CorruptFile: the file that the table was opened from was altered since.
        """
        self.verify(fresh=True)  # altered bytes must not get a checksum of their own
        if _numbered(self.space.name) != self.space:
            raise InvalidSetting(
                f"the space {self.space.name} cannot be named in a file; make the table over the whole "
                "space, with its rows"
            )
        images = self._images()
        header = {**self._said(), "images": images, "checksum": self.checksum}
        attributes = {name: {"images": count} for name, count in images.items()}
        table_file.write(as_path(path, "table"), header, self._arrays(), attributes)

    @classmethod
    def open(cls, path: str | Path) -> Table:
        """Open a table by memory map, and verify it.

        Raises:
            CorruptFile: no such file, no table, truncated, altered, or of another row order.
            InvalidSetting: no path.
        """
        path = as_path(path, "table")
        file = table_file.TableFile(path)
        file.verify()
        header, arrays = file.header, file.arrays()
        space = _numbered(header["space"])
        if space.digest != header["order"]:
            raise CorruptFile(
                f"the rows of {path} are in another order than this version's; convert it again"
            )
        columns = {}
        for name in arrays:
            checkpoint, _, metric = name.partition("/")
            if checkpoint not in get_args(Checkpoint) or "." in metric:
                continue
            values = arrays[name]
            if metric == "seconds" and header["provenance"].get("assumed_seconds"):
                values = proportional(values, header["epochs"])
            positions = arrays.get(name + ".exception_at", np.empty(0, np.int64))
            exact = arrays.get(name + ".exception_value", np.empty(0))
            columns[checkpoint, metric] = Column(
                values,
                header["images"].get(name),
                arrays.get(name + ".present"),
                dict(zip(positions.tolist(), exact.tolist(), strict=True)),
            )
        table = cls(
            space,
            header["epochs"],
            columns,
            rows=arrays.get("rows"),
            extra={name: array for name, array in arrays.items() if _further(name)},
            provenance=header["provenance"],
        )
        table._file = file
        return table

    #: Where the arrays are mapped; None if they are in memory.
    _file: table_file.TableFile | None = None

    def verify(self, *, fresh: bool = False) -> None:
        """Compare every byte of the table's file with its checksums; costs as good as nothing again.

        What publishes or derives numbers does so first. A table in memory has nothing to compare.

        Args:
            fresh: whether to read the file even if it has not changed since it was verified.

        Raises:
            CorruptFile: the file was altered.
        """
        if self._file is not None:
            self._file.verify(fresh=fresh)

    def check_in_place(self) -> None:
        """Refuse to go on where another table has taken the place of this one's file.

        Raises:
            WrongTable: there is another table now.
            CorruptFile: there is none.
        """
        if self._file is None or not self._file.moved():
            return
        path = self._file.place
        if Table.open(path).checksum != self.checksum:
            raise WrongTable(
                f"{path} was replaced by another table while it was in use; start again"
            )

    @property
    def file(self) -> tuple[Path, str] | None:
        """Path and checksum of the file that the table was opened from; None if made in memory."""
        if self._file is None or self.provenance != self._file.header["provenance"]:
            return None
        return self._file.place, self.checksum

    def __reduce__(self) -> tuple[Any, ...]:
        """By its file, which has to be the same when it is opened again; in memory by value."""
        if self.file is not None:
            return reopened, self.file
        self.verify()
        parts = {
            "rows": self.rows,
            "extra": dict(self.extra),
            "provenance": self.provenance,
        }
        return _made, (type(self), self.space, self.epochs, dict(self.columns), parts)


def _further(name: str) -> bool:
    """Whether an array of the file is neither a reading nor the list of rows."""
    return name != "rows" and name.partition("/")[0] not in get_args(Checkpoint)


def _numbered(name: str) -> Numbered:
    """The space of a table by its name.

    Raises:
        UnknownName: no space is called so.
        InvalidSetting: its architectures have no rows.
    """
    space = spaces.named(name)
    if not isinstance(space, Numbered):
        raise InvalidSetting(f"the space {name} numbers no rows, so there are no tables of it")
    return space


def reopened(path: Path, checksum: str) -> Table:
    """The table that was opened from this file before.

    Raises:
        CorruptFile: as ``Table.open``.
        WrongTable: the file is another table now.
    """
    table = Table.open(path)
    if table.checksum != checksum:
        raise WrongTable(
            f"{path} is another table now: its checksum is {table.checksum[:12]}…, and it was "
            f"{checksum[:12]}…; put the first one back, or open the new one by Table.open"
        )
    return table


def _made(
    kind: type[Table],
    space: Any,
    epochs: Sequence[int],
    columns: Mapping[tuple[str, str], Column],
    parts: Mapping[str, Any],
) -> Table:
    return kind(space, epochs, columns, **parts)
