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
                                   exact, else float32; seconds are float32.
    .../METRIC.present             uint8, 1 where the reading exists; absent if all do
    .../METRIC.exception_at        flat positions whose exact value is not the stored one
    .../METRIC.exception_value     float64, what it is
    rows                           int32, the space's row of each table row, ascending; absent from
                                   a table of the whole space
    trainable_parameters           uint32 [rows]
    source                         uint8 [rows], index into SOURCES; absent if all are the same
    cell/bits, cell/size, cell/code    the labelling in which each cell was trained; absent if
                                   canonical (the official parameter count depends on it)
    hash                           uint8 [rows, 16], the official MD5
    record_order                   int32 [rows], table rows in the order of the original file

The table knows no budget and no chance. It holds test accuracies; a search never gets to see it.
"""

from __future__ import annotations

import functools
import hashlib
import json
import mmap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nasbench_kit.errors import CorruptFile, InvalidSetting, NotInSpace, NotInTable, NotRecorded
from nasbench_kit.files import replacing
from nasbench_kit.space import CellSpace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_kit.cell import Cell

FORMAT = "nasbench-kit table 1"
#: Where a row's numbers come from.
SOURCES = ("measured", "surrogate", "trained")
METRICS = ("train_accuracy", "validation_accuracy", "test_accuracy", "seconds")
#: Arrays of the file that are one value a row.
_PER_ROW = (
    "rows",
    "trainable_parameters",
    "source",
    "cell/bits",
    "cell/size",
    "cell/code",
    "hash",
    "record_order",
)

Checkpoint = Literal["final", "halfway"]


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

    def reader(self) -> Callable[[int], float]:
        """A fast function from flat position to exact value.

        It raises NotRecorded where there is none.
        """
        stored = self.values.reshape(-1).data
        read: Callable[[int], float] = stored.__getitem__
        if self.images is not None:
            decoded: list[float] = self._decoded.tolist()

            def read(position: int) -> float:
                return decoded[stored[position]]

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

    def array(self, fidelity: int) -> NDArray[np.float64]:
        """Exact values at one fidelity (by position): float64 [rows, repeats].

        Raises:
            NotRecorded: some of them do not exist.
        """
        if self.present is not None and not self.present[:, fidelity].all():
            missing = int((self.present[:, fidelity] == 0).sum())
            raise NotRecorded(f"{missing} readings are missing; ask only for rows that have them")
        stored = self.values[:, fidelity]
        values = self._decoded[stored] if self.images else stored.astype(np.float64)
        _, epochs, repeats = self.values.shape
        for position, exact in self.exceptions.items():
            row, place = divmod(position, epochs * repeats)
            if place // repeats == fidelity:
                values[row, place % repeats] = exact
        return values


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
        space: CellSpace,
        epochs: Sequence[int],
        columns: Mapping[tuple[str, str], Column],
        *,
        rows: NDArray[np.int32] | None = None,
        extra: Mapping[str, NDArray[Any]] | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        self.space = space
        self.epochs = tuple(int(e) for e in epochs)
        self.columns = dict(columns)
        self.rows = rows
        self.extra = dict(extra or {})
        self.provenance = dict(provenance or {})
        count = len(space) if rows is None else len(rows)
        shapes = {column.values.shape for column in self.columns.values()}
        if len(shapes) != 1 or next(iter(shapes))[:2] != (count, len(self.epochs)):
            raise InvalidSetting(
                f"columns of shapes {sorted(shapes)} do not fit {count} rows and "
                f"{len(self.epochs)} fidelities"
            )
        self.repeats: int = next(iter(shapes))[2]
        for name, array in self.extra.items():
            if len(array) != count:
                raise InvalidSetting(f"{name} has {len(array)} entries for {count} rows")
        if rows is not None and (
            (np.diff(rows) <= 0).any() or (count and not 0 <= rows[0] <= rows[-1] < len(space))
        ):
            raise InvalidSetting("the table's rows are not ascending rows of its space")

    def __len__(self) -> int:
        return len(self.space) if self.rows is None else len(self.rows)

    def __repr__(self) -> str:
        epochs = ", ".join(map(str, self.epochs))
        return f"<Table {self.name}: {len(self):,} cells, {epochs} epochs, {self.repeats} repeats>"

    @property
    def name(self) -> str:
        """What the table is called in print."""
        return str(self.provenance.get("name", "unnamed"))

    @property
    def complete(self) -> bool:
        """Whether every cell of the space has a row."""
        return self.rows is None

    @functools.cached_property
    def covered(self) -> CellSpace:
        """The space of just the table's cells; its rows are the table's rows."""
        return self.space if self.rows is None else self.space.restricted(self.rows)

    def row(self, cell: Cell) -> int:
        """The table's row of a cell.

        Raises:
            NotInSpace: the cell is outside the table's space.
            NotInTable: it is inside, but the table is partial and lacks it.
        """
        try:
            return self.covered.index(cell)
        except NotInSpace:
            self.space.index(cell)
            raise NotInTable(
                f"the table {self.name} covers {len(self):,} of the space's {len(self.space):,} "
                f"cells and lacks {cell.to_text()}"
            ) from None

    # Readings --------------------------------------------------------------------------------

    def fidelity(self, epochs: int | None = None) -> int:
        """Position of a fidelity on the second axis; None means the largest.

        Raises:
            NotRecorded: the table has no trainings of that length.
        """
        if epochs is None:
            return len(self.epochs) - 1
        if epochs not in self.epochs:
            known = ", ".join(map(str, self.epochs))
            raise NotRecorded(
                f"the table {self.name} has no trainings of {epochs} epochs; it has {known}"
            )
        return self.epochs.index(epochs)

    def column(self, metric: str, checkpoint: Checkpoint = "final") -> Column:
        """The stored column of a metric.

        Raises:
            NotRecorded: the table lacks it.
        """
        if (checkpoint, metric) not in self.columns:
            known = ", ".join(f"{metric} ({point})" for point, metric in sorted(self.columns))
            raise NotRecorded(
                f"the table {self.name} has no {metric} ({checkpoint}); it has {known}"
            )
        return self.columns[checkpoint, metric]

    def has(self, metric: str, checkpoint: Checkpoint = "final") -> bool:
        """Whether the table records this metric at this checkpoint."""
        return (checkpoint, metric) in self.columns

    def values(
        self, metric: str, epochs: int | None = None, checkpoint: Checkpoint = "final"
    ) -> NDArray[np.float64]:
        """Exact readings at one fidelity (default: the largest): float64 [rows, repeats].

        Raises:
            NotRecorded: the table lacks the metric, the fidelity, or some of the readings.
        """
        return self.column(metric, checkpoint).array(self.fidelity(epochs))

    def mean(
        self, metric: str, epochs: int | None = None, checkpoint: Checkpoint = "final"
    ) -> NDArray[np.float64]:
        """Mean over the repeats: float64 [rows].

        Raises:
            NotRecorded: as ``values``.
        """
        return self.values(metric, epochs, checkpoint).mean(axis=1)

    def sources(self) -> NDArray[np.uint8]:
        """Where each row's numbers come from, as indices into SOURCES."""
        if "source" in self.extra:
            return self.extra["source"]
        everywhere = SOURCES.index(self.provenance.get("source", "measured"))
        return np.full(len(self), everywhere, np.uint8)

    # Files -----------------------------------------------------------------------------------

    def _arrays(self) -> dict[str, NDArray[Any]]:
        """Every array of the file by its path in it."""
        arrays = dict(self.extra)
        if self.rows is not None:
            arrays["rows"] = self.rows
        for (checkpoint, metric), column in self.columns.items():
            path = f"{checkpoint}/{metric}"
            arrays[path] = column.values
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
        """SHA-256 of all arrays, their names, types and shapes; it reads the whole table."""
        return _checksum(self._arrays())

    def save(self, path: str | Path) -> None:
        """Write the table to an HDF5 file, beside it first.

        Raises:
            NotWritable: the folder cannot be written, or the disk is full.
        """
        import h5py

        arrays = self._arrays()
        # Aligned, so that a memoryview of the mapped file can read single elements.
        layout = {"libver": "latest", "alignment_threshold": 1, "alignment_interval": 8}
        with replacing(Path(path)) as temporary, h5py.File(temporary, "w", **layout) as file:
            file.attrs["format"] = FORMAT
            file.attrs["space"] = self.space.name
            file.attrs["order"] = self.space.digest
            file.attrs["epochs"] = self.epochs
            file.attrs["provenance"] = json.dumps(self.provenance)
            file.attrs["checksum"] = self.checksum
            for name, array in arrays.items():
                # Written in full at once: a dataset without data has no offset to map.
                file.create_dataset(name, data=np.ascontiguousarray(array))
            for (checkpoint, metric), column in self.columns.items():
                if column.images is not None:
                    file[f"{checkpoint}/{metric}"].attrs["images"] = column.images

    @classmethod
    def open(cls, path: str | Path) -> Table:
        """Open a table by memory map; checks header, sizes and row order, not every byte.

        Raises:
            CorruptFile: no such file, no table, truncated, or of another row order.
        """
        import h5py

        path = Path(path)
        if not path.is_file():
            raise CorruptFile(f"there is no table at {path}")
        try:
            with h5py.File(path, "r") as file:
                attributes = {name: file.attrs[name] for name in file.attrs}
                if attributes.get("format") != FORMAT:
                    raise CorruptFile(
                        f"{path} has the format {attributes.get('format')!r}; "
                        f"this version reads {FORMAT!r}"
                    )
                layout, images = _layout(file)
            arrays = _mapped(path, layout)
            return cls._assembled(path, attributes, arrays, images)
        except CorruptFile:
            raise
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            raise CorruptFile(
                f"{path} is truncated or no table of nasbench-kit: {error}"
            ) from error

    @classmethod
    def _assembled(
        cls,
        path: Path,
        attributes: dict[str, Any],
        arrays: dict[str, NDArray[Any]],
        images: dict[str, int],
    ) -> Table:
        space = CellSpace.named(attributes["space"])
        if space.digest != attributes["order"]:
            raise CorruptFile(
                f"the rows of {path} are in another order than this version's; convert it again"
            )
        columns = {}
        for name in [name for name in arrays if name.startswith(("final/", "halfway/"))]:
            checkpoint, _, metric = name.partition("/")
            if "." in metric:
                continue
            positions = arrays.get(name + ".exception_at", np.empty(0, np.int64))
            exact = arrays.get(name + ".exception_value", np.empty(0))
            columns[checkpoint, metric] = Column(
                arrays[name],
                images.get(name),
                arrays.get(name + ".present"),
                dict(zip(positions.tolist(), exact.tolist(), strict=True)),
            )
        table = cls(
            space,
            attributes["epochs"],
            columns,
            rows=arrays.get("rows"),
            extra={name: arrays[name] for name in _PER_ROW[1:] if name in arrays},
            provenance=json.loads(attributes["provenance"]),
        )
        table._stored_checksum = attributes["checksum"]
        table._path = path
        return table

    _stored_checksum: str | None = None
    _path: Path | None = None

    def verify(self) -> None:
        """Read every byte and compare with the checksum in the file.

        Raises:
            CorruptFile: the file was altered.
        """
        if self._stored_checksum not in (None, self.checksum):
            raise CorruptFile(
                f"{self._path} was altered: its checksum is {self.checksum[:12]}…, the file says "
                f"{str(self._stored_checksum)[:12]}…; get it again, or build it again"
            )


def _checksum(arrays: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data.cast("B") if array.size else b"")
    return digest.hexdigest()


def _layout(file: Any) -> tuple[dict[str, tuple[Any, tuple[int, ...], int]], dict[str, int]]:
    """Type, shape and offset of every dataset, and the counts' denominators."""
    layout: dict[str, tuple[Any, tuple[int, ...], int]] = {}
    images: dict[str, int] = {}

    def visit(name: str, item: Any) -> None:
        if not hasattr(item, "dtype"):
            return
        offset = item.id.get_offset()
        if offset is None and item.size:
            raise CorruptFile(f"dataset {name} is not stored contiguously")
        layout[name] = (item.dtype, item.shape, offset or 0)
        if "images" in item.attrs:
            images[name] = int(item.attrs["images"])

    file.visititems(visit)
    return layout, images


def _mapped(
    path: Path, layout: Mapping[str, tuple[Any, tuple[int, ...], int]]
) -> dict[str, NDArray[Any]]:
    """Read-only arrays over one memory map of the file."""
    with path.open("rb") as file:
        whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    arrays = {}
    for name, (dtype, shape, offset) in layout.items():
        count = int(np.prod(shape))
        if offset + count * dtype.itemsize > len(whole):
            raise CorruptFile(f"{path} is truncated: {name} ends beyond the end of the file")
        native = np.dtype(dtype.str)  # h5py marks the byte order, which memoryview cannot read
        if offset % native.itemsize:
            raise CorruptFile(f"{path}: dataset {name} is not aligned; save the table again")
        arrays[name] = np.frombuffer(whole, native, count, offset).reshape(shape)
    return arrays
