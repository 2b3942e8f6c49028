"""What stands behind an `Oracle`: draws, prices, readings and what was seen, out of a search's reach."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

import numpy as np

from nasbench_kit.errors import (
    InvalidSetting,
    NotCopyable,
    NotInSpace,
    NotInTable,
    NotRecorded,
    SearchStopped,
    Stalled,
)
from nasbench_kit.oracle.answer import Answer
from nasbench_kit.spaces.nasbench101.cell import Cell
from nasbench_kit.system import stopping
from nasbench_kit.table.noise import Noise
from nasbench_kit.table.table import SOURCES, Checkpoint, Table, reopened
from nasbench_kit.training.images import Split

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit.oracle.budget import Budget
    from nasbench_kit.oracle.task import Task
    from nasbench_kit.spaces.nasbench101.space import CellSpace

Policy = Literal["always", "once", "new-repeat", "mean"]
#: Repeats drawn from the generator at a time; a draw costs 1 us alone and 5 ns in a batch.
_DRAWS = 256


class Trainer(Protocol):
    """Answers for cells that the table lacks; see `nasbench_kit.oracle.fallback`."""

    def price(self, cell: Cell, epochs: int, halfway: bool) -> float:
        """Seconds, in the table's own, that a training costs: always the same, known beforehand."""
        ...

    def train(self, cell: Cell, epochs: int, halfway: bool, repeat: int) -> Answer:
        """The reading of one training; its ``seconds`` are the price."""
        ...


class Engine:
    """What an `Oracle` does, and all that it remembers.

    It is copied and pickled with its state; its table by the file that it was opened from (checked to
    be the same) or, where it was made in memory, by its values. Then a search cannot see the table:
    of a file, the engine knows the path; of values, those that the search may see.
    """

    #: What makes its state; everything else is read from the table.
    _STATE = (
        "budget",
        "policy",
        "_origin",
        "_rng",
        "_trainer",
        "_task",
        "_searched",
        "_patience",
        "_noise_key",
        "_draws",
        "_seen",
        "_unpaid_in_a_row",
    )

    def __init__(
        self,
        table: Table,
        budget: Budget,
        rng: Generator,
        *,
        policy: Policy,
        trainer: Trainer | None,
        patience: int,
        task: Task | None,
        space: CellSpace | None = None,
    ) -> None:
        self.budget = budget
        self.policy: Policy = policy
        #: A copy would answer free of charge, so nobody gets one while a search is at work.
        self.copyable = True
        self._origin = _origin(table)
        self._rng = rng
        self._trainer = trainer
        self._task = task
        self._searched = space
        self._patience = patience
        #: Of a surrogate, which has no repeats of its own: they are drawn, by a seed drawn here.
        self._noise_key = int(rng.integers(1 << 63)) if Noise.of(table.provenance) else 0
        self._draws: list[int] = []
        self._seen: dict[tuple[Cell | int, int, bool, int | None], Answer] = {}
        #: Questions since the last one that was paid: free, refused or mistaken.
        self._unpaid_in_a_row = 0
        self._connect(table)

    def _connect(self, table: Table) -> None:
        """Read what may be seen of the table; take hold of the budget."""
        self.space = table.covered if self._searched is None else self._searched
        self._covered = table.covered
        self.epochs = table.epochs
        self._table_name = table.name
        self._whole_space = table.space
        noise = Noise.of(table.provenance)
        self._repeats = table.repeats if noise is None else noise.repeats
        self._assumed_seconds = table.assumed_seconds
        self._fidelities = {
            (epochs, checkpoint == "halfway"): _Fidelity(
                table, place, checkpoint, noise, self._noise_key
            )
            for place, epochs in enumerate(table.epochs)
            for checkpoint in get_args(Checkpoint)
            if table.has("validation_accuracy", checkpoint)
        }
        parameters = table.extra.get("trainable_parameters")
        self._parameters = None if parameters is None else parameters.data
        self._sources = table.sources().data if "source" in table.extra else None
        self._source: str = table.provenance.get("source", "measured")
        self._epoch_seconds: dict[int, float] = {}
        self._pay = self.budget._account.pay
        self._shown_task = None if self._task is None else _shown(self._task)

    def __getstate__(self) -> dict[str, Any]:
        if not self.copyable:
            raise NotCopyable(
                "this oracle is in the hands of a search, and a copy would answer free of its budget; "
                "copy it before Oracle.handle() is called"
            )
        return {name: getattr(self, name) for name in self._STATE}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state, copyable=True)
        if isinstance(self._origin, Table):
            table = self._origin
        else:
            table = reopened(*self._origin)
            table.verify()
        self._connect(table)

    def __copy__(self) -> Engine:
        """With a budget, draws and memory of its own; only what never changes is shared."""
        state = self.__getstate__()
        state |= {name: copy.copy(state[name]) for name in ("budget", "_draws", "_seen")}
        state["_rng"] = copy.deepcopy(self._rng)
        engine = Engine.__new__(Engine)
        engine.__setstate__(state)
        return engine

    def query(self, cell: Cell, epochs: int | None, halfway: bool) -> Answer:
        """See `Oracle.query`."""
        self._count_unpaid()
        if epochs is None:
            epochs = self.epochs[-1]
        try:
            fidelity = self._fidelities.get((epochs, halfway))
        except TypeError:  # something that cannot be hashed
            fidelity = None
        if fidelity is None:
            raise self._not_recorded(epochs, halfway)
        row = self._row(cell)
        policy = self.policy
        if policy == "mean":
            return self._buy(cell, fidelity, row, None)
        repeat = self._next_repeat()
        if policy == "always":
            answer = self._buy(cell, fidelity, row, repeat)
            self._draws.pop()
            return answer
        key = (
            cell if row is None else row,
            epochs,
            halfway,
            repeat if policy == "new-repeat" else None,
        )
        known = self._seen.get(key)
        if known is None:
            known = self._buy(cell, fidelity, row, repeat)
            self._seen[key] = known
            self._draws.pop()
            return known
        if policy == "new-repeat":
            self._draws.pop()
        if self._unpaid_in_a_row >= self._patience:
            raise Stalled(
                f"the last {self._patience:,} queries asked for answers already paid for; "
                "the search has stopped exploring (see the option patience)"
            )
        return known._replace(cell=cell)

    def _count_unpaid(self) -> None:
        """Count a question as unpaid until it is paid, and end a search that asks too many of them."""
        self._unpaid_in_a_row += 1
        if self._unpaid_in_a_row > self._patience:
            if self._unpaid_in_a_row > 2 * self._patience:
                stopping.insist()
            raise SearchStopped(
                f"nothing was paid for the last {self._patience:,} questions, and the search goes on; "
                "let BudgetExhausted pass, or return"
            )

    def task(self) -> Task:
        """See `Oracle.task`."""
        if self._task is None or self._shown_task is None:
            raise InvalidSetting(
                f"sharing weights needs the images that the table {self._table_name} was made from; "
                "give the oracle a task"
            )
        if self.budget.seconds is None and self.budget.epochs is None:
            raise InvalidSetting(
                "the budget limits queries only, and training shared weights makes none; "
                "limit seconds or epochs"
            )
        if self.budget.seconds is not None and self._task.cost is None:
            raise InvalidSetting(
                "the budget limits seconds, and the task has no cost model to price training by; "
                "limit epochs, or give the task a cost"
            )
        return self._shown_task

    def charge(self, what: Cell | NDArray[np.float64], images: int, backward: bool) -> None:
        """See `Oracle.charge`."""
        self._count_unpaid()
        self._pay("supernet", *self.price(what, images, backward), 0, _nothing)
        self._unpaid_in_a_row = 0

    def price(
        self, what: Cell | NDArray[np.float64], images: int, backward: bool
    ) -> tuple[float, float]:
        """See `Oracle.price`."""
        if not isinstance(images, Real) or isinstance(images, bool) or not 0 <= images < math.inf:
            raise InvalidSetting(f"images are {images!r}; give the number of images of the step")
        if not isinstance(backward, bool | np.bool_):
            raise InvalidSetting(f"backward is {backward!r}; give True or False")
        self.task()  # raises where there is none to train on
        assert self._task is not None
        epochs = float(images) / self._task.epoch_images * (1 if backward else 1 / 3)
        return self._seconds_an_epoch(what) * epochs, epochs

    def _seconds_an_epoch(self, what: Cell | NDArray[np.float64]) -> float:
        """Of training a cell, as the table knows it or else by the cost model; or of some work."""
        if not isinstance(what, Cell | np.ndarray):
            raise InvalidSetting(f"cannot price {what!r}; give a Cell or the work of one image")
        assert self._task is not None
        cost = self._task.cost
        if cost is None:
            return 0.0  # a table without seconds; the budget limits epochs
        if isinstance(what, Cell):
            try:
                row = self._covered.index(what)
            except NotInSpace:
                return cost.price(what, 1)
            if row not in self._epoch_seconds:
                self._epoch_seconds[row] = self._mean_seconds(row) / self.epochs[-1]
            return self._epoch_seconds[row]
        seconds = math.nan
        with contextlib.suppress(TypeError, ValueError):  # of another type or shape
            if np.isfinite(what).all() and (what >= 0).all():
                seconds = float(cost.price_work(what))
        if math.isnan(seconds):
            raise InvalidSetting(
                f"cannot price work of shape {what.shape}; give that of one image (cost.work), numbers >= 0"
            )
        return seconds

    def _mean_seconds(self, row: int) -> float:
        """Seconds of a training at the largest fidelity, mean over the repeats."""
        fidelity = self._fidelities[self.epochs[-1], False]
        assert fidelity.seconds is not None  # or there would be no cost model
        first = row * fidelity.stride + fidelity.offset
        repeats = range(first, first + fidelity.repeats)
        return math.fsum(map(fidelity.seconds, repeats)) / fidelity.repeats

    def _row(self, cell: Cell) -> int | None:
        """The table's row; None for a cell that has to be trained."""
        try:
            return self._covered.index(cell)
        except NotInSpace:
            if self._trainer is not None:
                return None
            self._whole_space.index(cell)
            raise NotInTable(
                f"the table {self._table_name} covers {len(self._covered):,} of "
                f"{len(self._whole_space):,} cells and lacks {cell.to_text()}; "
                "sample from oracle.space, or give the oracle a trainer"
            ) from None

    def _next_repeat(self) -> int:
        """The repeat that the next paid query reveals; it stays the same until one is paid."""
        if not self._draws:
            self._draws = self._rng.integers(self._repeats, size=_DRAWS).tolist()
        return self._draws[-1]

    def _buy(self, cell: Cell, fidelity: _Fidelity, row: int | None, repeat: int | None) -> Answer:
        """Pay for the readings of one repeat, or of all of them (None), and return the answer."""
        epochs = fidelity.epochs // 2 if fidelity.halfway else fidelity.epochs
        kind = "training" if row is None else "query"
        if repeat is not None:
            seconds = self._price(cell, fidelity, row, repeat)
            answer = self._pay(kind, seconds, epochs, 1, self._read, cell, fidelity, row, repeat)
            self._unpaid_in_a_row = 0
            return answer
        prices = (self._price(cell, fidelity, row, repeat) for repeat in range(self._repeats))
        seconds, epochs = math.fsum(prices), epochs * self._repeats
        answer = self._pay(kind, seconds, epochs, 1, self._read_mean, cell, fidelity, row)
        self._unpaid_in_a_row = 0
        return answer

    def _price(self, cell: Cell, fidelity: _Fidelity, row: int | None, repeat: int) -> float:
        """Seconds of one training; 0 where the table does not know and nobody asks."""
        if row is None:
            assert self._trainer is not None
            return self._trainer.price(cell, fidelity.epochs, fidelity.halfway)
        if fidelity.seconds is not None:
            return fidelity.seconds(fidelity.position(row, repeat))
        if self.budget.seconds is not None:
            raise NotRecorded(
                f"the table {self._table_name} records no seconds at {fidelity.epochs} epochs; "
                "limit epochs or queries instead"
            )
        return 0.0

    def _read(
        self, cell: Cell, fidelity: _Fidelity, row: int | None, repeat: int, noisy: bool = True
    ) -> Answer:
        """The readings of one training, made now or the table's, with its noise, if any, or without."""
        if row is None:
            assert self._trainer is not None
            return self._trainer.train(cell, fidelity.epochs, fidelity.halfway, repeat)
        position = fidelity.position(row, repeat)
        validation = fidelity.validation(position)
        if noisy and fidelity.noise is not None:
            validation = fidelity.noise(validation, row, repeat)
        return Answer(
            cell,
            fidelity.epochs,
            fidelity.halfway,
            repeat,
            None if fidelity.seconds is None else fidelity.seconds(position),
            None if fidelity.train is None else fidelity.train(position),
            validation,
            None if self._parameters is None else self._parameters[row],
            self._source if self._sources is None else SOURCES[self._sources[row]],
        )

    def _read_mean(self, cell: Cell, fidelity: _Fidelity, row: int | None) -> Answer:
        """The mean over all repeats, without a surrogate's noise."""
        repeats = range(self._repeats)
        return _mean([self._read(cell, fidelity, row, repeat, False) for repeat in repeats])

    def _not_recorded(self, epochs: object, halfway: object) -> InvalidSetting | NotRecorded:
        if not isinstance(epochs, Integral) or isinstance(epochs, bool):
            return InvalidSetting(
                f"epochs are {epochs!r}; give a whole number, such as {self.epochs[-1]}"
            )
        if not isinstance(halfway, bool | np.bool_):
            return InvalidSetting(f"halfway is {halfway!r}; give True or False")
        known = ", ".join(f"{e} (halfway)" if half else str(e) for e, half in self._fidelities)
        if self._assumed_seconds:
            known += f" (seconds below {self.epochs[-1]} are assumed)"
        asked = f"{epochs} (halfway)" if halfway else str(epochs)
        return NotRecorded(
            f"the table {self._table_name} has no trainings of {asked} epochs; it has {known}"
        )


def _nothing() -> None:
    """What a step of shared weights buys."""


def _shown(task: Task) -> Task:
    """A task as a search sees it: images that it cannot change, and not what its steps are priced by."""
    weights, reward = (
        Split(_fixed(split.images), _fixed(split.labels)) for split in (task.weights, task.reward)
    )
    return replace(task, weights=weights, reward=reward, cost=None)


def _fixed(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.setflags(write=False)
    return view


def _origin(table: Table) -> tuple[Path, str] | Table:
    """Where to get the table again: its file and checksum or, without one, what may be seen of it."""
    if table.file is not None:
        return table.file
    columns = {key: column for key, column in table.columns.items() if key[1] != "test_accuracy"}
    known = ("name", "source", "noise", "assumed_seconds")
    return Table(
        table.space,
        table.epochs,
        columns,
        rows=table.rows,
        extra={
            key: table.extra[key]
            for key in ("trainable_parameters", "source")
            if key in table.extra
        },
        provenance={key: table.provenance[key] for key in known if key in table.provenance},
    )


def _mean(answers: Sequence[Answer]) -> Answer:
    """One answer for all repeats: mean accuracies, and the seconds of all of them."""

    def total(values: Iterable[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return math.fsum(known) if known else None

    count = len(answers)
    train = total(answer.train_accuracy for answer in answers)
    return answers[0]._replace(
        repeat=None,
        seconds=total(answer.seconds for answer in answers),
        train_accuracy=None if train is None else train / count,
        validation_accuracy=math.fsum(answer.validation_accuracy for answer in answers) / count,
    )


class _Fidelity:
    """Readers of what a search may see at one training length and checkpoint."""

    __slots__ = (
        "epochs",
        "halfway",
        "noise",
        "offset",
        "repeats",
        "seconds",
        "stride",
        "train",
        "validation",
    )

    def __init__(
        self, table: Table, place: int, checkpoint: Checkpoint, noise: Noise | None, key: int
    ) -> None:
        def reader(metric: str) -> Callable[[int], float] | None:
            if not table.has(metric, checkpoint):
                return None
            column = table.column(metric, checkpoint)
            nowhere = column.present is not None and not column.present[:, place].any()
            return None if nowhere else column.reader()

        self.epochs = table.epochs[place]
        self.noise = None if noise is None else noise.reader(place, key)
        self.repeats = table.repeats
        self.halfway = checkpoint == "halfway"
        self.stride = len(table.epochs) * table.repeats
        self.offset = place * table.repeats
        self.seconds = reader("seconds")
        self.train = reader("train_accuracy")
        self.validation = table.column("validation_accuracy", checkpoint).reader()

    def position(self, row: int, repeat: int) -> int:
        """Where a reading stands in a column; a surrogate's drawn repeats share the only one."""
        return row * self.stride + self.offset + repeat % self.repeats
