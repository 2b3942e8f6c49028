"""The counterpart of ``nasbench.api`` (google-research/nasbench), so that its client code runs as is.

    from nasbench_kit.compat.nasbench import api            # instead of: from nasbench import api

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

The same seed draws the same repeats as the official class. Without one, repeats are drawn by the
global ``random``, as officially: whoever seeds that gets the official sequence.

What is mended:

- nothing seeds the global ``random``; with a seed, repeats come from a generator of the object's own,
  so that two objects do not disturb each other, and nobody else does;
- a cell of more than seven vertices raises OutOfDomainError (officially TypeError), and so does a
  matrix with other entries than 0 and 1 (officially KeyError);
- a matrix of floats is the same cell as one of integers (officially KeyError), and operations may
  be any sequence of names;
- a table without trainings of 108 epochs is asked for its longest ones by default.

An object pickles and copies with its counters, and the copy goes on drawing where the original
stands: with a seed, both draw the same repeats from there on; so does a forked child. Without a
seed a forked child draws repeats of its own (Python seeds ``random`` again in it).

For comparisons of algorithms use `nasbench_kit.oracle.oracle` instead: it refuses what the budget cannot
pay, and a search cannot see test accuracies.
"""

from __future__ import annotations

import copy
import functools
import random
from collections.abc import Callable, KeysView
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nasbench_kit.checks import counted
from nasbench_kit.compat import derived
from nasbench_kit.compat.nasbench.lib.config import build_config
from nasbench_kit.compat.nasbench.lib.model_spec import ModelSpec, cell_of
from nasbench_kit.compat.statistics import Row, Statistics
from nasbench_kit.data import tables
from nasbench_kit.data.benchmarks.nasbench101 import foreign
from nasbench_kit.data.benchmarks.nasbench101.export import labelling, official_hashes, parameters
from nasbench_kit.errors import InvalidSetting, NasbenchKitError, NotInSpace
from nasbench_kit.spaces.nasbench101.cell import OPERATIONS, Cell
from nasbench_kit.table.table import Checkpoint, Table
from nasbench_kit.training.recipe import NASBENCH101, Recipe

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_kit.training.images import ImageSet

__all__ = ["ModelSpec", "NASBench", "OutOfDomainError"]

_OPERATIONS = list(OPERATIONS)
#: Attributes that follow from the table, made again in a copy.
_PREPARED = {
    "_bits",
    "_code",
    "_default",
    "_hashes",
    "_index",
    "_limits",
    "_parameters",
    "_randint",
    "_readers",
    "_rows",
    "_size",
    "_stride",
}
#: Training length of a query that names none, where the table has it.
_DEFAULT_EPOCHS = 108
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
    charged: float
    seconds: Callable[[int], float]
    train: Callable[[int], float]
    validation: Callable[[int], float]
    test: Callable[[int], float]


class NASBench:
    """A table behind the official interface.

    Attributes:
        config: the official settings; module_vertices, max_edges, num_repeats and train_epochs are
            the table's. Stricter limits set here are kept to.
        valid_epochs: training lengths that can be asked for.
        training_time_spent: seconds of all queries since the last reset.
        total_epochs_spent: their epochs; a query from halfway counts half, rounded down,
            or as many as the table says that its earlier readings are after.
        fixed_statistics: hash -> adjacency, operations, parameters; in the order of the file.
        computed_statistics: hash -> epochs -> list of the repeats' readings. Both are dictionaries,
            and whoever changes them changes the answers.
        history: empty, as officially.
        table: the table itself.
        images, recipe, device: what ``evaluate`` trains on, how and where. Set ``images`` first.

    Args:
        dataset_file: a .tfrecord file, a converted table, or the name of one (`nasbench-kit tables`).
        seed: of the drawn repeats; None to draw them by the global ``random``.

    Raises:
        UnknownName: neither a file nor a table's name.
        CorruptFile: the file is damaged or of another kind.
        NotRecorded: the table lacks a reading that the official one has.
    """

    def __init__(self, dataset_file: str | Path, seed: int | None = None) -> None:
        self.table = table = _opened(dataset_file)
        self.config: dict[str, Any] = build_config() | {
            "module_vertices": table.space.max_vertices,
            "max_edges": table.space.max_edges,
            "num_repeats": table.repeats,
            "train_epochs": table.epochs[-1],
        }
        self.valid_epochs = set(table.epochs)
        self.history: dict[str, Any] = {}
        self.images: ImageSet | None = None
        self.recipe: Recipe = NASBENCH101
        self.device = "cpu"
        self.reset_budget_counters()
        self._random = None if seed is None else random.Random(seed)
        self._training_seeds = None if seed is None else random.Random(seed)
        self._statistics: dict[str, dict[str, Any]] = {}
        self._prepare()

    def _prepare(self) -> None:
        """What follows from the table and the generator."""
        table = self.table
        self._stride = len(table.epochs) * table.repeats
        self._index = table.covered.index
        self._limits = table.space.max_vertices, table.space.max_edges
        self._randint = (self._random or random).randint
        self._default = _DEFAULT_EPOCHS if _DEFAULT_EPOCHS in table.epochs else table.epochs[-1]
        self._readers: dict[tuple[int, bool], _Readers] = {}
        for halfway in (True, False):
            point: Checkpoint = "halfway" if halfway else "final"
            readers = [table.column(metric, point).reader() for metric in _METRICS.values()]
            for place, epochs in enumerate(table.epochs):
                charged = table.halfway_epochs[epochs] if halfway else epochs
                self._readers[epochs, halfway] = _Readers(place * table.repeats, charged, *readers)
        self._parameters = parameters(table).data
        self._size, self._bits, self._code = (array.data for array in labelling(table))

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in vars(self).items() if name not in _PREPARED}
        for name in ("_random", "_training_seeds"):
            state[name] = copy.copy(state[name])
        # Raw: a table is not read as a whole to be sent to another process.
        state["_statistics"] = {
            name: dict(dict.items(entries)) for name, entries in self._statistics.items()
        }
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._prepare()
        for name, entries in self._statistics.items():
            self._statistics[name] = Statistics(entries, getattr(self, name))

    # Queries ---------------------------------------------------------------------------------

    def query(
        self, model_spec: ModelSpec, epochs: int | None = None, stop_halfway: bool = False
    ) -> dict[str, Any]:
        """One training of the cell, drawn at random; its time and epochs are counted.

        Args:
            model_spec: the cell.
            epochs: how long it was trained; None for 108, or the longest where the table lacks 108.
            stop_halfway: whether to read, and pay, half of the training only.

        Raises:
            OutOfDomainError: the table has no trainings of that length, or the cell is outside the
                space.
            KeyError: it is inside, but not in this table.
        """
        if epochs is None:
            epochs = self._default
        readers = self._readers.get((epochs, bool(stop_halfway)))
        if readers is None:
            raise OutOfDomainError(f"invalid number of epochs, must be one of {self.valid_epochs}")
        row = self._row(model_spec)
        if row is None or (self._statistics and self._handed_out(row)):
            data = self._answered(self._hash_of(row, model_spec), epochs, bool(stop_halfway))
            self.training_time_spent += data["training_time"]
            self.total_epochs_spent += readers.charged
            return data
        repeat = self._randint(0, self.config["num_repeats"] - 1)
        if repeat >= self.table.repeats:
            raise IndexError(
                f"the table has {counted(self.table.repeats, 'repeat')}; see config[num_repeats]"
            )
        place = row * self._stride + readers.offset + repeat
        data = self._fixed(row)
        data["training_time"] = seconds = readers.seconds(place)
        data["train_accuracy"] = readers.train(place)
        data["validation_accuracy"] = readers.validation(place)
        data["test_accuracy"] = readers.test(place)
        self.training_time_spent += seconds
        self.total_epochs_spent += readers.charged
        return data

    def _answered(self, module_hash: str, epochs: int, halfway: bool) -> dict[str, Any]:
        """One training as the statistics tell it, which their holder may have changed."""
        fixed = self._entry("_fixed", module_hash, copy.deepcopy)
        computed = self._entry("_computed", module_hash, lambda entry: entry)  # is only read
        reading = computed[epochs][self._randint(0, self.config["num_repeats"] - 1)]
        prefix = "halfway_" if halfway else "final_"
        named = ("module_adjacency", "module_operations", "trainable_parameters")
        return {name: fixed[name] for name in named} | {
            name: reading[prefix + name] for name in _METRICS
        }

    def is_valid(self, model_spec: ModelSpec) -> bool:
        """Whether the cell is inside the space; counts nothing."""
        cell = cell_of(model_spec)
        if cell is not None and cell in self.table.space and not self._restricted():
            return True
        try:
            self._check_spec(model_spec)
        except OutOfDomainError:
            return False
        return True

    def get_budget_counters(self) -> tuple[float, float]:
        """Seconds and epochs of all queries since the last reset."""
        return self.training_time_spent, self.total_epochs_spent

    def reset_budget_counters(self) -> None:
        """Count from zero again."""
        self.training_time_spent = 0.0
        self.total_epochs_spent: float = 0

    # Statistics, not counted -----------------------------------------------------------------

    @property
    def fixed_statistics(self) -> dict[str, dict[str, Any]]:
        """Hash -> adjacency, operations, parameters."""
        return self._dictionary("_fixed")

    @fixed_statistics.setter
    def fixed_statistics(self, entries: dict[str, dict[str, Any]]) -> None:
        self._statistics["_fixed"] = entries

    @property
    def computed_statistics(self) -> dict[str, dict[int, list[dict[str, float]]]]:
        """Hash -> epochs -> list of the repeats' readings."""
        return self._dictionary("_computed")

    @computed_statistics.setter
    def computed_statistics(self, entries: dict[str, dict[int, list[dict[str, float]]]]) -> None:
        self._statistics["_computed"] = entries

    def _dictionary(self, name: str) -> dict[str, Any]:
        if name not in self._statistics:
            self._statistics[name] = Statistics(self._rows, getattr(self, name))
        return self._statistics[name]

    def _handed_out(self, row: int) -> bool:
        """Whether somebody may have changed what the statistics say of a row."""
        md5 = self._hashes[row]
        return any(
            not isinstance(dict.get(entries, md5), Row) for entries in self._statistics.values()
        )

    def hash_iterator(self) -> KeysView[str]:
        """All hashes, in the order of the original file."""
        return self.fixed_statistics.keys()

    def get_metrics_from_hash(
        self, module_hash: str
    ) -> tuple[dict[str, Any], dict[int, list[dict[str, float]]]]:
        """Fixed and computed statistics of a hash; copies.

        Raises:
            KeyError: the table lacks it.
        """
        fixed, computed = (
            self._entry(name, module_hash, copy.deepcopy) for name in ("_fixed", "_computed")
        )
        return fixed, computed

    def _entry(self, name: str, module_hash: str, copied: Callable[[Any], Any]) -> Any:
        """What the table says, or a copy of what was handed out."""
        entries = self._statistics.get(name, self._rows)
        entry = dict.__getitem__(entries, module_hash)
        return getattr(self, name)(entry) if isinstance(entry, Row) else copied(entry)

    def get_metrics_from_spec(
        self, model_spec: ModelSpec
    ) -> tuple[dict[str, Any], dict[int, list[dict[str, float]]]]:
        """Fixed and computed statistics of a cell; copies.

        Raises:
            OutOfDomainError: the cell is outside the space.
            KeyError: it is inside, but not in this table.
        """
        row = self._row(model_spec)
        if row is not None and not self._statistics:  # needs no hashes
            return self._fixed(row), self._computed(row)
        return self.get_metrics_from_hash(self._hash_of(row, model_spec))

    @functools.cached_property
    def _rows(self) -> dict[str, Row]:
        """Table row of each hash, in the order of the original file."""
        hashes = official_hashes(self.table).tolist()
        order = self.table.extra.get("record_order", np.arange(len(self.table))).tolist()
        return {hashes[row].decode(): Row(row) for row in order}

    @functools.cached_property
    def _hashes(self) -> list[str]:
        """Hash of each table row."""
        return sorted(self._rows, key=self._rows.__getitem__)

    def _hash_of(self, row: int | None, spec: ModelSpec) -> str:
        return self._hash_spec(spec) if row is None else self._hashes[row]

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
            InvalidSetting: ``images`` is not set, or another metadata.json lies there.
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
            # Without a seed not by ``random``: its sequence is the queries' alone, as officially.
            seed=(self._training_seeds or random.SystemRandom()).getrandbits(31),
            device=self.device,
            model_dir=Path(model_dir),
        )
        return {"module_adjacency": model_spec.matrix, "module_operations": model_spec.ops} | final

    # Specs -----------------------------------------------------------------------------------

    def _row(self, spec: ModelSpec) -> int | None:
        """The table's row of a cell; None if the table lacks it.

        Raises:
            OutOfDomainError: the cell is outside the space.
        """
        cell = cell_of(spec)
        if cell is None or self._restricted():
            self._check_spec(spec)
        try:
            return self._index(cell)
        except NotInSpace:
            self._check_spec(spec)
            return None

    def _restricted(self) -> bool:
        """Whether limits were set that are stricter than the table's own."""
        config, (vertices, edges) = self.config, self._limits
        return (
            config["module_vertices"] < vertices
            or config["max_edges"] < edges
            or config["available_ops"] != _OPERATIONS
        )

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


def _opened(name: str | Path) -> Table:
    """The table at hand, or made of an official file once."""
    path = tables.find(name)
    if foreign.recognise(path) == "tfrecord":
        return derived.table_of(path)
    return Table.open(path)
