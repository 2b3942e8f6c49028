"""The interface of ``nasbench.api`` (google-research/nasbench), so that its client code runs as is.

    from nasbench_kit.compat import nasbench as api         # instead of: from nasbench import api

    nasbench = api.NASBench("nasbench_only108.tfrecord")    # converted once; or a table, or its name
    spec = api.ModelSpec(
        matrix=[[0, 1, 1, 1, 0, 1, 0],    # input layer
                [0, 0, 0, 0, 0, 0, 1],    # 1x1 conv
                [0, 0, 0, 0, 0, 0, 1],    # 3x3 conv
                [0, 0, 0, 0, 1, 0, 0],    # 5x5 conv (replaced by two 3x3's)
                [0, 0, 0, 0, 0, 0, 1],    # 5x5 conv (replaced by two 3x3's)
                [0, 0, 0, 0, 0, 0, 1],    # 3x3 max-pool
                [0, 0, 0, 0, 0, 0, 0]],   # output layer
        ops=["input", "conv1x1-bn-relu", "conv3x3-bn-relu", "conv3x3-bn-relu",
             "conv3x3-bn-relu", "maxpool3x3", "output"])
    data = nasbench.query(spec)           # draws one of three trainings and counts its cost

``data`` holds module_adjacency, module_operations, trainable_parameters, training_time (seconds),
train_accuracy, validation_accuracy and test_accuracy (fractions). The first two are the cell as it
was trained, not as it was asked.

The same seed draws the same repeats as the official class. What is mended:

- the repeats come from a generator of the object's own: global ``random`` is neither seeded nor
  used, and two objects do not disturb each other;
- a cell of more than seven vertices raises OutOfDomainError (officially TypeError), and so does a
  matrix with other entries than 0 and 1 (officially KeyError);
- a matrix of floats is the same cell as one of integers (officially KeyError), and operations may
  be any sequence of names;
- what is returned is a copy throughout; the statistics are views that read the table when asked.

For comparisons of algorithms use `nasbench_kit.oracle.oracle` instead: it refuses what the budget cannot
pay, and a search cannot see test accuracies.
"""

from __future__ import annotations

import functools
import os
import random
import sys
import zlib
from collections.abc import Callable, Iterator, KeysView, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from nasbench_kit.compat.model_spec import ModelSpec, cell_of
from nasbench_kit.data import tables
from nasbench_kit.data.benchmarks.nasbench101 import foreign
from nasbench_kit.data.benchmarks.nasbench101.convert import convert
from nasbench_kit.data.benchmarks.nasbench101.export import labelling, official_hashes, parameters
from nasbench_kit.errors import InvalidSetting, NasbenchKitError, NotInSpace
from nasbench_kit.spaces.nasbench101.cell import OPERATIONS, Cell
from nasbench_kit.system.files import home
from nasbench_kit.table.table import Checkpoint, Table
from nasbench_kit.training.recipe import NASBENCH101, Recipe

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_kit.training.images import ImageSet

__all__ = ["ModelSpec", "NASBench", "OutOfDomainError"]

Value = TypeVar("Value")
#: Official name of a reading -> the table's.
_METRICS = {
    "training_time": "seconds",
    "train_accuracy": "train_accuracy",
    "validation_accuracy": "validation_accuracy",
    "test_accuracy": "test_accuracy",
}


class OutOfDomainError(NasbenchKitError):
    """The cell or the number of epochs is outside the search domain."""


class _Readers(NamedTuple):
    """How to read one training length, halfway or at its end."""

    offset: int
    #: Epochs that a query costs.
    charged: int
    seconds: Callable[[int], float]
    train: Callable[[int], float]
    validation: Callable[[int], float]
    test: Callable[[int], float]


class NASBench:
    """A table behind the official interface.

    Attributes:
        config: module_vertices, max_edges, available_ops, num_repeats, train_epochs.
        valid_epochs: training lengths that can be asked for.
        training_time_spent: seconds of all queries since the last reset.
        total_epochs_spent: their epochs; a query from halfway counts half, rounded down.
        fixed_statistics: hash -> adjacency, operations, parameters; in the order of the file.
        computed_statistics: hash -> epochs -> list of the repeats' readings.
        history: empty, as officially.
        table: the table itself.
        images, recipe, device: what ``evaluate`` trains on, how and where. Set ``images`` first.

    Args:
        dataset_file: a .tfrecord file, a converted table, or the name of one (`nasbench-kit tables`).
        seed: of the drawn repeats; None for another sequence each time.

    Raises:
        UnknownName: neither a file nor a table's name.
        CorruptFile: the file is damaged or of another kind.
        NotRecorded: the table lacks a reading that the official one has.
    """

    def __init__(self, dataset_file: str | Path, seed: int | None = None) -> None:
        self.table = table = _opened(dataset_file)
        self.config: dict[str, Any] = {
            "module_vertices": table.space.max_vertices,
            "max_edges": table.space.max_edges,
            "available_ops": list(OPERATIONS),
            "num_repeats": table.repeats,
            "train_epochs": table.epochs[-1],
        }
        self.valid_epochs = set(table.epochs)
        self.history: dict[str, Any] = {}
        self.fixed_statistics: Mapping[str, dict[str, Any]] = _Statistics(self, self._fixed)
        self.computed_statistics: Mapping[str, dict[int, list[dict[str, float]]]] = _Statistics(
            self, self._computed
        )
        self.images: ImageSet | None = None
        self.recipe: Recipe = NASBENCH101
        self.device = "cpu"
        self.reset_budget_counters()
        self._random = random.Random(seed)
        self._training_seeds = random.Random(seed)
        self._stride = len(table.epochs) * table.repeats
        self._index = table.covered.index
        self._readers: dict[tuple[int, bool], _Readers] = {}
        for halfway in (True, False):
            point: Checkpoint = "halfway" if halfway else "final"
            readers = [table.column(metric, point).reader() for metric in _METRICS.values()]
            for place, epochs in enumerate(table.epochs):
                charged = epochs // 2 if halfway else epochs
                self._readers[epochs, halfway] = _Readers(place * table.repeats, charged, *readers)
        self._parameters = parameters(table).data
        self._size, self._bits, self._code = (array.data for array in labelling(table))

    # Queries ---------------------------------------------------------------------------------

    def query(
        self, model_spec: ModelSpec, epochs: int = 108, stop_halfway: bool = False
    ) -> dict[str, Any]:
        """One training of the cell, drawn at random; its time and epochs are counted.

        Raises:
            OutOfDomainError: the table has no trainings of that length, or the cell is outside the
                space.
            KeyError: it is inside, but not in this table.
        """
        readers = self._readers.get((epochs, bool(stop_halfway)))
        if readers is None:
            raise OutOfDomainError(f"invalid number of epochs, must be one of {self.valid_epochs}")
        row = self._row(model_spec)
        repeat = self._random.randint(0, self.config["num_repeats"] - 1)
        if repeat >= self.table.repeats:
            raise IndexError(f"the table has {self.table.repeats} repeats; see config[num_repeats]")
        place = row * self._stride + readers.offset + repeat
        data = self._fixed(row)
        data["training_time"] = seconds = readers.seconds(place)
        data["train_accuracy"] = readers.train(place)
        data["validation_accuracy"] = readers.validation(place)
        data["test_accuracy"] = readers.test(place)
        self.training_time_spent += seconds
        self.total_epochs_spent += readers.charged
        return data

    def is_valid(self, model_spec: ModelSpec) -> bool:
        """Whether the cell is inside the space; counts nothing."""
        cell = cell_of(model_spec)
        if cell is not None and cell in self.table.space:
            return True
        try:
            self._check_spec(model_spec)
        except OutOfDomainError:
            return False
        return True

    def get_budget_counters(self) -> tuple[float, int]:
        """Seconds and epochs of all queries since the last reset."""
        return self.training_time_spent, self.total_epochs_spent

    def reset_budget_counters(self) -> None:
        """Count from zero again."""
        self.training_time_spent = 0.0
        self.total_epochs_spent = 0

    # Statistics, not counted -----------------------------------------------------------------

    def hash_iterator(self) -> KeysView[str]:
        """All hashes, in the order of the original file."""
        return self.fixed_statistics.keys()

    def get_metrics_from_hash(
        self, module_hash: str
    ) -> tuple[dict[str, Any], dict[int, list[dict[str, float]]]]:
        """Fixed and computed statistics of a hash.

        Raises:
            KeyError: the table lacks it.
        """
        row = self._rows[module_hash]
        return self._fixed(row), self._computed(row)

    def get_metrics_from_spec(
        self, model_spec: ModelSpec
    ) -> tuple[dict[str, Any], dict[int, list[dict[str, float]]]]:
        """Fixed and computed statistics of a cell.

        Raises:
            OutOfDomainError: the cell is outside the space.
            KeyError: it is inside, but not in this table.
        """
        row = self._row(model_spec)
        return self._fixed(row), self._computed(row)

    @functools.cached_property
    def _rows(self) -> dict[str, int]:
        """Table row of each hash, in the order of the original file."""
        hashes = official_hashes(self.table).tolist()
        order = self.table.extra.get("record_order", np.arange(len(self.table))).tolist()
        return {hashes[row].decode(): row for row in order}

    def _fixed(self, row: int) -> dict[str, Any]:
        size = self._size[row]
        return {
            "module_adjacency": _matrix(size, self._bits[row]).copy(),
            "module_operations": list(_operations(size, self._code[row])),
            "trainable_parameters": self._parameters[row],
        }

    def _computed(self, row: int) -> dict[int, list[dict[str, float]]]:
        def readings(epochs: int, repeat: int) -> dict[str, float]:
            read: dict[str, float] = {}
            for halfway, prefix in ((True, "halfway_"), (False, "final_")):
                readers = self._readers[epochs, halfway]
                place = row * self._stride + readers.offset + repeat
                for name, get in zip(_METRICS, readers[2:], strict=True):
                    read[prefix + name] = get(place)
            return read

        repeats = range(self.table.repeats)
        return {epochs: [readings(epochs, r) for r in repeats] for epochs in self.table.epochs}

    # Training --------------------------------------------------------------------------------

    def evaluate(self, model_spec: ModelSpec, model_dir: str | Path) -> dict[str, Any]:
        """Train the cell from scratch; asks no table and counts nothing.

        Trains for ``config["train_epochs"]`` epochs by ``recipe`` on ``images``, and writes what was
        measured to ``model_dir``/metadata.json.

        Raises:
            InvalidSetting: ``images`` is not set.
            OutOfDomainError: the cell is disconnected.
            TrainingFailed: as `nasbench_kit.training.trainer.train`.
        """
        from nasbench_kit.compat.evaluate import train_and_evaluate

        if self.images is None:
            raise InvalidSetting(
                "there are no images to train on; set the attribute images to an ImageSet first"
            )
        if not model_spec.valid_spec:
            raise OutOfDomainError("invalid spec, provided graph is disconnected.")
        final = train_and_evaluate(
            Cell(model_spec.matrix, model_spec.ops),
            self.images,
            self.recipe,
            epochs=self.config["train_epochs"],
            seed=self._training_seeds.getrandbits(31),
            device=self.device,
            model_dir=Path(model_dir),
        )
        return {"module_adjacency": model_spec.matrix, "module_operations": model_spec.ops} | final

    # Specs -----------------------------------------------------------------------------------

    def _row(self, spec: ModelSpec) -> int:
        cell = cell_of(spec)
        if cell is not None:
            try:
                return self._index(cell)
            except NotInSpace:
                pass
        self._check_spec(spec)
        raise KeyError(self._hash_spec(spec))

    def _check_spec(self, model_spec: ModelSpec) -> None:
        """Say why a cell is outside the space, in the official order.

        Raises:
            OutOfDomainError: it is.
        """
        matrix, ops = model_spec.matrix, model_spec.ops
        if not model_spec.valid_spec or matrix is None or ops is None:
            raise OutOfDomainError("invalid spec, provided graph is disconnected.")
        vertices, edges = len(ops), np.sum(np.asarray(matrix))
        most_vertices, most_edges = self.config["module_vertices"], self.config["max_edges"]
        if vertices > most_vertices:
            raise OutOfDomainError(
                f"too many vertices, got {vertices} (max vertices = {most_vertices})"
            )
        if edges > most_edges:
            raise OutOfDomainError(f"too many edges, got {edges:.0f} (max edges = {most_edges})")
        if ops[0] != "input":
            raise OutOfDomainError("first operation should be 'input'")
        if ops[-1] != "output":
            raise OutOfDomainError("last operation should be 'output'")
        for name in ops[1:-1]:
            if name not in self.config["available_ops"]:
                raise OutOfDomainError(
                    f"unsupported op {name} (available ops = {self.config['available_ops']})"
                )
        if cell_of(model_spec) is None:
            raise OutOfDomainError("entries of the matrix must be 0 or 1")

    def _hash_spec(self, model_spec: ModelSpec) -> str:
        return model_spec.hash_spec(self.config["available_ops"])


@functools.lru_cache(maxsize=1 << 14)  # the space has 6,472 pruned matrices
def _matrix(size: int, bits: int) -> NDArray[np.int8]:
    return Cell.from_codes(size, bits, 0).matrix


@functools.lru_cache(maxsize=1 << 10)  # 364 in the space
def _operations(size: int, code: int) -> tuple[str, ...]:
    return Cell.from_codes(size, 0, code).operations


class _Statistics(Mapping[str, Value]):
    """hash -> what the table says of it, made when asked for."""

    def __init__(self, nasbench: NASBench, read: Callable[[int], Value]) -> None:
        self._nasbench = nasbench
        self._read = read

    def __getitem__(self, module_hash: str) -> Value:
        return self._read(self._nasbench._rows[module_hash])

    def __iter__(self) -> Iterator[str]:
        return iter(self._nasbench._rows)

    def __len__(self) -> int:
        return len(self._nasbench.table)

    def __contains__(self, module_hash: object) -> bool:
        return module_hash in self._nasbench._rows


def _opened(name: str | Path) -> Table:
    """The table at hand, or made of an official file once."""
    path = tables.find(name)
    if foreign.recognise(path) != "tfrecord":
        return Table.open(path)
    stem = path.name.partition(".")[0]
    places = [
        path.with_name(f"{stem}.h5"),
        home() / "tables" / f"{stem}-{zlib.crc32(str(path.resolve()).encode()):08x}.h5",
    ]
    for place in places:
        if place.exists() and place.stat().st_mtime >= path.stat().st_mtime:
            return Table.open(place)
    target = places[0] if os.access(path.parent, os.W_OK) else places[1]
    print(f"Converting {path} to {target}; this is done once", file=sys.stderr)
    print(convert(path, target).summary(), file=sys.stderr)
    return Table.open(target)
