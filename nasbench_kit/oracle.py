"""The budget-counted oracle: all that a search gets to see of a benchmark.

    >>> oracle = Oracle(table, Budget(seconds=1e6), np.random.default_rng(0))
    >>> cell = oracle.space.sample(rng)
    >>> answer = oracle.query(cell, epochs=36)
    >>> answer.validation_accuracy, answer.seconds

A query draws one of the table's repeats, checks its price against the budget, and only then reveals
the answer; a refused query reveals, charges and consumes nothing, so asking again cannot fish for a
cheaper repeat. The oracle is itself the handle without the table: it keeps the columns that a search
may see, and no test accuracy is reachable from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, get_args

from nasbench_kit.answer import Answer
from nasbench_kit.errors import InvalidSetting, NotInSpace, NotInTable, NotRecorded, Stalled
from nasbench_kit.table import SOURCES, Checkpoint, Table

if TYPE_CHECKING:
    from numpy.random import Generator

    from nasbench_kit.budget import Budget
    from nasbench_kit.cell import Cell

Policy = Literal["always", "once", "new-repeat", "mean"]
#: Repeats drawn from the generator at a time; a draw costs 1 us alone and 5 ns in a batch.
_DRAWS = 256


class Oracle:
    """Answers queries from a table at the price of their training, until the budget is spent.

    Args:
        table: what is asked; the oracle keeps its training and validation columns only.
        budget: pays for every query; its ledger lists them.
        rng: draws the repeats. Not to be shared with the search.
        policy: what a repeated question costs. ``"always"`` draws a repeat and charges it each
            time, as the official API does; ``"once"`` gives the first answer again, free;
            ``"new-repeat"`` draws again and charges only a repeat not seen before; ``"mean"`` answers
            with the mean over all repeats and charges all their seconds, as one query.
        patience: free answers in a row after which the search counts as stalled.

    Raises:
        InvalidSetting: an unknown policy, or a seconds budget on a table without seconds.
    """

    def __init__(
        self,
        table: Table,
        budget: Budget,
        rng: Generator,
        *,
        policy: Policy = "always",
        patience: int = 10_000,
    ) -> None:
        if policy not in get_args(Policy):
            raise InvalidSetting(f"policy is {policy!r}; choose of {', '.join(get_args(Policy))}")
        if budget.seconds is not None and not table.has("seconds"):
            raise InvalidSetting(
                f"the table {table.name} records no seconds; limit epochs or queries instead"
            )
        self.space = table.covered
        self.budget = budget
        self.epochs = table.epochs
        self.policy: Policy = policy
        self._table_name = table.name
        self._whole_space = table.space
        self._rng = rng
        self._repeats = table.repeats
        self._draws: list[int] = []
        self._fidelities = {
            (epochs, checkpoint == "halfway"): _Fidelity(table, place, checkpoint)
            for place, epochs in enumerate(table.epochs)
            for checkpoint in get_args(Checkpoint)
            if table.has("validation_accuracy", checkpoint)
        }
        parameters = table.extra.get("trainable_parameters")
        self._parameters = None if parameters is None else parameters.data
        self._sources = table.sources().data if "source" in table.extra else None
        self._source: str = table.provenance.get("source", "measured")
        self._seen: dict[tuple[int, int, bool, int | None], Answer] = {}
        self._patience = patience
        self._free_in_a_row = 0

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
            answer = self._answer(cell, fidelity, row, None)
            self._pay(answer, epochs * self._repeats)
            return answer
        repeat = self._next_repeat()
        if policy == "always":
            answer = self._answer(cell, fidelity, row, repeat)
            self._pay(answer, epochs)
            self._draws.pop()
            return answer
        key = row, epochs, halfway, repeat if policy == "new-repeat" else None
        known = self._seen.get(key)
        if known is None:
            known = self._answer(cell, fidelity, row, repeat)
            self._pay(known, epochs)
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

    def _row(self, cell: Cell) -> int:
        try:
            return self.space.index(cell)
        except NotInSpace:
            self._whole_space.index(cell)
            raise NotInTable(
                f"the table {self._table_name} covers {len(self.space):,} of "
                f"{len(self._whole_space):,} cells and lacks {cell.to_text()}; sample from oracle.space"
            ) from None

    def _next_repeat(self) -> int:
        """The repeat that the next paid query reveals; it stays the same until one is paid."""
        if not self._draws:
            self._draws = self._rng.integers(self._repeats, size=_DRAWS).tolist()
        return self._draws[-1]

    def _answer(self, cell: Cell, fidelity: _Fidelity, row: int, repeat: int | None) -> Answer:
        first = row * fidelity.stride + fidelity.offset
        if repeat is None:
            positions = range(first, first + self._repeats)
            seconds = fidelity.seconds and math.fsum(map(fidelity.seconds, positions))
            train = fidelity.train and math.fsum(map(fidelity.train, positions)) / self._repeats
            validation = math.fsum(map(fidelity.validation, positions)) / self._repeats
        else:
            position = first + repeat
            seconds = fidelity.seconds and fidelity.seconds(position)
            train = fidelity.train and fidelity.train(position)
            validation = fidelity.validation(position)
        return Answer(
            cell,
            fidelity.epochs,
            fidelity.halfway,
            repeat,
            seconds,
            train,
            validation,
            None if self._parameters is None else self._parameters[row],
            self._source if self._sources is None else SOURCES[self._sources[row]],
        )

    def _pay(self, answer: Answer, epochs: int) -> None:
        if answer.halfway:
            epochs //= 2
        self.budget.charge(
            "query", seconds=answer.seconds or 0.0, epochs=epochs, queries=1, item=answer
        )

    def _not_recorded(self, epochs: int, halfway: bool) -> NotRecorded:
        known = ", ".join(f"{e} (halfway)" if half else str(e) for e, half in self._fidelities)
        asked = f"{epochs} (halfway)" if halfway else str(epochs)
        return NotRecorded(
            f"the table {self._table_name} has no trainings of {asked} epochs; it has {known}"
        )


class _Fidelity:
    """Readers of what a search may see at one training length and checkpoint."""

    __slots__ = ("epochs", "halfway", "offset", "seconds", "stride", "train", "validation")

    def __init__(self, table: Table, place: int, checkpoint: Checkpoint) -> None:
        def reader(metric: str) -> Callable[[int], float] | None:
            known = table.has(metric, checkpoint)
            return table.column(metric, checkpoint).reader() if known else None

        self.epochs = table.epochs[place]
        self.halfway = checkpoint == "halfway"
        self.stride = len(table.epochs) * table.repeats
        self.offset = place * table.repeats
        self.seconds = reader("seconds")
        self.train = reader("train_accuracy")
        self.validation = table.column("validation_accuracy", checkpoint).reader()
