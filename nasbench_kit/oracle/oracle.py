"""The budget-counted oracle: all that a search gets to see of a benchmark.

    >>> oracle = Oracle(table, Budget(seconds=1e6), np.random.default_rng(0))
    >>> cell = oracle.space.sample(rng)
    >>> answer = oracle.query(cell, epochs=36)
    >>> answer.validation_accuracy, answer.seconds

A query draws one of the table's repeats, checks its price against the budget, and only then reveals
the answer; a refused query reveals, charges and consumes nothing, so asking again cannot fish for a
cheaper repeat. The oracle is itself the handle without the table: it keeps the columns that a search
may see, and no test accuracy of the table is reachable from it. (A trainer needs its test images; no
answer of it tells test accuracy.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal, Protocol, get_args

from nasbench_kit.errors import InvalidSetting, NotInSpace, NotInTable, NotRecorded, Stalled
from nasbench_kit.oracle.answer import Answer
from nasbench_kit.spaces.nasbench101.cell import Cell
from nasbench_kit.table.noise import Noise
from nasbench_kit.table.table import SOURCES, Checkpoint, Table

if TYPE_CHECKING:
    import numpy as np
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit.oracle.budget import Budget
    from nasbench_kit.oracle.task import Task

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


class Oracle:
    """Answers queries from a table at the price of their training, until the budget is spent.

    Args:
        table: what is asked; the oracle keeps its training and validation columns only.
        budget: pays for every query; its ledger lists them.
        rng: draws the repeats. Not to be shared with the search.
        policy: what a repeated question costs. ``"always"`` draws a repeat and charges it each
            time, as the official API does; ``"once"`` gives the first answer again, free;
            ``"new-repeat"`` draws again and charges only a repeat not seen before; ``"mean"`` answers
            with the mean over all repeats and charges all their seconds, as one query. A
            surrogate's table has predicted means: its repeats are drawn around them, by ``rng``.
        trainer: answers for cells that the table lacks (outside its space, or where it is partial);
            without one, such a query is an error that costs nothing.
        patience: free answers in a row after which the search counts as stalled.
        task: what weight-sharing searches train on; without it they are refused.

    Raises:
        InvalidSetting: an unknown policy, or a seconds budget on a table without seconds.
        CorruptFile: the table's file was altered.
    """

    def __init__(
        self,
        table: Table,
        budget: Budget,
        rng: Generator,
        *,
        policy: Policy = "always",
        trainer: Trainer | None = None,
        patience: int = 10_000,
        task: Task | None = None,
    ) -> None:
        if policy not in get_args(Policy):
            raise InvalidSetting(f"policy is {policy!r}; choose of {', '.join(get_args(Policy))}")
        if budget.seconds is not None and not table.has("seconds"):
            raise InvalidSetting(
                f"the table {table.name} records no seconds; limit epochs or queries instead"
            )
        table.verify()
        self.space = table.covered
        self.budget = budget
        self.epochs = table.epochs
        self.policy: Policy = policy
        self._table_name = table.name
        self._whole_space = table.space
        self._trainer = trainer
        self._rng = rng
        #: Of a surrogate, which has no repeats of its own: they are drawn, by a seed drawn here.
        noise = Noise.of(table.provenance)
        self._repeats = table.repeats if noise is None else noise.repeats
        key = 0 if noise is None else int(rng.integers(1 << 63))
        self._assumed_seconds = table.assumed_seconds
        self._draws: list[int] = []
        self._fidelities = {
            (epochs, checkpoint == "halfway"): _Fidelity(table, place, checkpoint, noise, key)
            for place, epochs in enumerate(table.epochs)
            for checkpoint in get_args(Checkpoint)
            if table.has("validation_accuracy", checkpoint)
        }
        parameters = table.extra.get("trainable_parameters")
        self._parameters = None if parameters is None else parameters.data
        self._sources = table.sources().data if "source" in table.extra else None
        self._source: str = table.provenance.get("source", "measured")
        self._seen: dict[tuple[Cell | int, int, bool, int | None], Answer] = {}
        self._patience = patience
        self._free_in_a_row = 0
        self._task = task
        self._epoch_seconds: dict[int, float] = {}

    def query(self, cell: Cell, epochs: int | None = None, halfway: bool = False) -> Answer:
        """Train the cell, as it were, and report its train and validation accuracy.

        Args:
            cell: any cell of the space, in any labelling.
            epochs: length of the training; None is the table's longest.
            halfway: read after half of it, at half its price, while the learning rate is high.

        Raises:
            BudgetExhausted: the budget cannot pay; nothing is revealed or charged.
            NotInSpace, NotInTable: there is no answer for this cell; costs nothing.
            NotRecorded: the table lacks this fidelity; costs nothing.
        """
        if epochs is None:
            epochs = self.epochs[-1]
        fidelity = self._fidelities.get((epochs, halfway))
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
            self._free_in_a_row = 0
            return known
        if policy == "new-repeat":
            self._draws.pop()
        self._free_in_a_row += 1
        if self._free_in_a_row >= self._patience:
            raise Stalled(
                f"the last {self._patience:,} queries asked for answers already paid for; "
                "the search has stopped exploring (see the option patience)"
            )
        return known._replace(cell=cell)

    @property
    def task(self) -> Task:
        """What shared weights are trained on.

        Raises:
            InvalidSetting: there is none, or the budget would let training be free.
        """
        if self._task is None:
            raise InvalidSetting(
                f"sharing weights needs the images that the table {self._table_name} was made from; "
                "give the oracle a task"
            )
        if self.budget.seconds is None and self.budget.epochs is None:
            raise InvalidSetting(
                "the budget limits queries only, and training shared weights makes none; "
                "limit seconds or epochs"
            )
        return self._task

    def charge(self, what: Cell | NDArray[np.float64], images: int, backward: bool = True) -> None:
        """Pay for a step of shared weights, before it is made.

        Args:
            what: the cell that so many images run through, or the work of one image (`cost.work`).
            images: of the step, times its passes.
            backward: forward and backward; forward alone costs a third.

        Raises:
            BudgetExhausted: the budget cannot pay; nothing is charged.
            InvalidSetting: see ``task``.
        """
        seconds, epochs = self.price(what, images, backward)
        self.budget.charge("supernet", seconds=seconds, epochs=epochs)

    def price(
        self, what: Cell | NDArray[np.float64], images: int, backward: bool = True
    ) -> tuple[float, float]:
        """Seconds and epochs that ``charge`` asks for."""
        epochs = images / self.task.epoch_images * (1 if backward else 1 / 3)
        return self._seconds_an_epoch(what) * epochs, epochs

    def _seconds_an_epoch(self, what: Cell | NDArray[np.float64]) -> float:
        """Of training a cell, as the table knows it or else by the cost model; or of some work."""
        cost = self.task.cost
        if cost is None:
            return 0.0  # a table without seconds; the budget limits epochs
        if isinstance(what, Cell):
            try:
                row = self.space.index(what)
            except NotInSpace:
                return cost.price(what, 1)
            if row not in self._epoch_seconds:
                self._epoch_seconds[row] = self._mean_seconds(row) / self.epochs[-1]
            return self._epoch_seconds[row]
        return cost.price_work(what)

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
            return self.space.index(cell)
        except NotInSpace:
            if self._trainer is not None:
                return None
            self._whole_space.index(cell)
            raise NotInTable(
                f"the table {self._table_name} covers {len(self.space):,} of "
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
        if repeat is None:
            repeats = range(self._repeats)
            epochs *= self._repeats
            seconds = math.fsum(self._price(cell, fidelity, row, repeat) for repeat in repeats)
        else:
            seconds = self._price(cell, fidelity, row, repeat)
        self.budget.check(seconds, epochs, 1)  # before anything is known
        if repeat is None:
            answer = _mean([self._read(cell, fidelity, row, repeat, False) for repeat in repeats])
        else:
            answer = self._read(cell, fidelity, row, repeat)
        self.budget.book("training" if row is None else "query", seconds, epochs, 1, answer)
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

    def _not_recorded(self, epochs: int, halfway: bool) -> NotRecorded:
        known = ", ".join(f"{e} (halfway)" if half else str(e) for e, half in self._fidelities)
        if self._assumed_seconds:
            known += f" (seconds below {self.epochs[-1]} are assumed)"
        asked = f"{epochs} (halfway)" if halfway else str(epochs)
        return NotRecorded(
            f"the table {self._table_name} has no trainings of {asked} epochs; it has {known}"
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
