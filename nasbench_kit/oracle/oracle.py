"""The budget-counted oracle: all that a search gets to see of a benchmark.

    >>> oracle = Oracle(table, Budget(seconds=1e6), np.random.default_rng(0))
    >>> architecture = oracle.space.sample(rng)
    >>> answer = oracle.query(architecture, epochs=36)
    >>> answer.validation_accuracy, answer.seconds

A query draws one of its source's repeats (a table's, or a trainer's seeds), checks its price against the budget, and only then reveals
the answer; a refused query reveals, charges and consumes nothing, so asking again cannot fish for a
cheaper repeat. The oracle is itself the handle without the table: it keeps the columns that a search
may see, and no test accuracy of the table is reachable from it. (A trainer needs its test images; no
answer of it tells test accuracy.)

**What a search cannot do.** The attributes of the oracle and of its budget are read-only. What is
spent, drawn and seen lies behind them (`nasbench_kit.oracle.engine`), the limits too, and a comparison gives
its searches a handle (`Oracle.handle`) that can neither be copied nor charged by hand. After each run
it compares ledger, totals, limits and prices, and saves no run in which they disagree.

**What cannot be prevented**, because a search is Python code in the same process: that it reads the
table's file itself, walks through closures, frames or the garbage collector to what lies behind the
oracle, patches modules, remembers what another run has paid for, or trains on the images of its task
without charging for it. Run code that you do not trust in a container without the table's test
accuracies.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from nasbench_kit.errors import InvalidSetting
from nasbench_kit.oracle.budget import Budget
from nasbench_kit.oracle.engine import Engine, Policy
from nasbench_kit.oracle.source import Source, TableSource, TableThenTrainer, Trainer
from nasbench_kit.oracle.task import Task
from nasbench_kit.spaces.protocols import Space
from nasbench_kit.system.read_only import ReadOnly
from nasbench_kit.table.noise import Noise
from nasbench_kit.table.table import Table

if TYPE_CHECKING:
    from numpy.random import Generator

    from nasbench_kit.oracle.answer import Answer

__all__ = ["Oracle", "Policy", "Trainer"]


class Oracle(ReadOnly):
    """Answers queries at the price of their training, until the budget is spent.

    It is copied and pickled with its budget, draws and memory, and then is independent of the first
    one. A table that was opened from a file is opened again there, and has to be the same.

    Args:
        table: what is asked; the oracle keeps its training and validation columns only. Or any other
            `nasbench_kit.oracle.source.Source`.
        budget: pays for every query; its ledger lists them.
        rng: draws the repeats. Not to be shared with the search.
        policy: what a repeated question costs. ``"always"`` draws a repeat and charges it each
            time, as the official API does; ``"once"`` gives the first answer again, free;
            ``"new-repeat"`` draws again and charges only a repeat not seen before; ``"mean"`` answers
            with the mean over all repeats and charges all their seconds, as one query. A
            surrogate's table has predicted means: its repeats are drawn around them, by ``rng``.
        trainer: answers for what the table lacks (outside its space, or where it is partial);
            without one, such a query is an error that costs nothing.
        patience: free answers in a row after which the search counts as stalled; and questions in a
            row that nothing was paid for, refusals included, after which ``SearchStopped`` ends it.
        task: what weight-sharing searches train on; without it they are refused.
        space: what searches see as ``oracle.space``, with a trainer; by default what the table covers.
        seen: the table's repeats that answers are of, the others being kept for scoring; None is all.

    Raises:
        InvalidSetting: an argument of another type, an unknown policy, a patience below 1, a seconds
            budget on a table without seconds, a table without validation accuracy, or repeats to see
            that the table lacks.
        CorruptFile: the table's file was altered.
    """

    __slots__ = (
        "__weakref__",
        "_charge",
        "_elapse",
        "_elapsed",
        "_engine",
        "_price",
        "_query",
        "_task",
        "budget",
        "epochs",
        "policy",
        "space",
    )

    #: The architectures that can be asked for.
    space: Any
    #: What is spent, and the limits.
    budget: Budget
    #: The lengths of training that can be asked for, ascending.
    epochs: tuple[int, ...]
    #: What a repeated question costs.
    policy: Policy
    _query: Callable[[Any, int | None, bool], Answer]
    _charge: Callable[[Any, int, bool], None]
    _price: Callable[[Any, int, bool], tuple[float, float]]
    _elapse: Callable[[float], None]
    _elapsed: Callable[[], float | None]
    _task: Callable[[], Task]
    _engine: Callable[[], Engine]

    def __init__(
        self,
        table: Table | Source,
        budget: Budget,
        rng: Generator,
        *,
        policy: Policy = "always",
        trainer: Trainer | None = None,
        patience: int = 10_000,
        task: Task | None = None,
        space: Space | None = None,
        seen: Sequence[int] | None = None,
    ) -> None:
        _must_be(budget, Budget, "the budget", "write Budget(seconds=...), for example")
        _must_be(rng, np.random.Generator, "rng", "numpy.random.default_rng(seed) gives one")
        if task is not None:
            _must_be(task, Task, "the task", "nasbench_kit.data.tasks.open_task gives one")
        if not isinstance(policy, str) or policy not in get_args(Policy):
            raise InvalidSetting(
                f"policy is {policy!r}; choose one of {', '.join(get_args(Policy))}"
            )
        if not isinstance(patience, Integral) or isinstance(patience, bool) or patience < 1:
            raise InvalidSetting(f"patience is {patience!r}; give a whole number of 1 or more")
        source = _source(table, rng, trainer, space, seen)
        if budget.seconds is not None and not source.priced:
            raise InvalidSetting(
                f"{source.name} records no seconds; limit epochs or queries instead"
            )
        engine = Engine(source, budget, rng, policy=policy, patience=int(patience), task=task)
        _fill(self, engine, budget)

    def query(self, architecture: Any, epochs: int | None = None, halfway: bool = False) -> Answer:
        """Report train and validation accuracy, at the price of the training.

        Args:
            architecture: any of the space; a cell in any labelling.
            epochs: length of the training; None is the table's longest.
            halfway: read after half of it, at half its price, while the learning rate is high; or
                where the table has its earlier readings (`Table.halfway_epochs`), at their price.

        Raises:
            BudgetExhausted: the budget cannot pay; nothing is revealed or charged.
            NotInSpace, NotInTable: there is no answer for this architecture; costs nothing.
            NotRecorded: there are no trainings of this length; costs nothing.
            InvalidCell, InvalidSetting: an argument of another type; costs nothing.
        """
        return self._query(architecture, epochs, halfway)

    def elapse(self, to: float) -> None:
        """Note the time of workers that are simulated, since the start: it only moves forward.

        Queries are paid the same. After the run the time is compared with what was spent, and with
        the search's setting ``workers``.

        Args:
            to: in seconds; in epochs, where trainings have no seconds.

        Raises:
            InvalidSetting: a time before the last one, or no finite number.
        """
        self._elapse(to)

    @property
    def elapsed(self) -> float | None:
        """The last time that was noted; None where no workers are simulated."""
        return self._elapsed()

    @property
    def task(self) -> Task:
        """What shared weights are trained on; without its cost model (see ``price``).

        Raises:
            InvalidSetting: there is none, or the budget would let training be free.
        """
        return self._task()

    def charge(self, what: Any, images: int, backward: bool = True) -> None:
        """Pay for a step of shared weights, before it is made.

        Args:
            what: the architecture that the images run through, or the work of one image.
            images: those of the step, times its passes.
            backward: forward and backward; forward alone costs a third.

        Raises:
            BudgetExhausted: the budget cannot pay; nothing is charged.
            InvalidSetting: see ``task``; or an argument of another type.
        """
        self._charge(what, images, backward)

    def price(self, what: Any, images: int, backward: bool = True) -> tuple[float, float]:
        """Seconds and epochs that ``charge`` asks for."""
        return self._price(what, images, backward)

    def handle(self) -> Oracle:
        """What a search is given to hold: the same oracle, which nobody can copy from now on.

        Its budget is a view. Both stay one: what the handle spends, this oracle's budget shows.
        """
        engine = self._engine()
        engine.copyable = False
        oracle = Oracle.__new__(Oracle)
        _fill(oracle, engine, self.budget.view())
        return oracle

    def __copy__(self) -> Oracle:
        return _around(copy.copy(self._engine()))

    def __reduce__(self) -> tuple[Any, ...]:
        return _around, (self._engine(),)


def _source(
    asked: Table | Source,
    rng: Generator,
    trainer: Trainer | None,
    space: Space | None,
    seen: Sequence[int] | None,
) -> Source:
    """Who answers, from what an oracle is given."""
    if space is not None and (trainer is None or not isinstance(asked, Table)):
        raise InvalidSetting(
            "a space goes with a table and a trainer, which answers for what the table lacks"
        )
    for method in ("price", "train") if trainer is not None else ():
        if not callable(getattr(trainer, method, None)):
            raise InvalidSetting(
                f"the trainer is {trainer!r}, which has no method {method}; "
                "nasbench_kit.oracle.fallback.Fallback is one"
            )
    if space is not None:
        _must_be(space, Space, "the space", "CellSpace() gives one, or leave it out")
    if isinstance(asked, Table):
        if not any(metric == "validation_accuracy" for _, metric in asked.columns):
            raise InvalidSetting(
                f"the table {asked.name} records no validation accuracy, so it answers nothing"
            )
        asked.verify()
        # A surrogate has no repeats of its own: they are drawn, by a seed drawn here.
        noise_key = int(rng.integers(1 << 63)) if Noise.of(asked.provenance) else 0
        table = TableSource(asked, noise_key, seen)
        if trainer is not None:
            return TableThenTrainer(table, trainer, space)
        return table
    for method in ("key", "trains", "price", "read", "epoch_seconds"):
        if not callable(getattr(asked, method, None)):
            raise InvalidSetting(
                f"the table is {asked!r}; Table.open(...) gives one, and anything else that answers "
                f"is to be a nasbench_kit.oracle.source.Source, with a method {method}"
            )
    if trainer is not None or seen is not None:
        raise InvalidSetting(
            "a trainer, and repeats to see, go with a table; a source answers by itself"
        )
    return asked


def _fill(oracle: Oracle, engine: Engine, budget: Budget) -> None:
    """Set the attributes of an oracle, once; the engine is in none of them, only in functions."""

    def query(architecture: Any, epochs: int | None, halfway: bool) -> Answer:
        return engine.query(architecture, epochs, halfway)

    def charge(what: Any, images: int, backward: bool) -> None:
        engine.charge(what, images, backward)

    def price(what: Any, images: int, backward: bool) -> tuple[float, float]:
        return engine.price(what, images, backward)

    attributes = {
        "space": engine.source.space,
        "budget": budget,
        "epochs": engine.source.epochs,
        "policy": engine.policy,
        "_query": query,
        "_charge": charge,
        "_price": price,
        "_elapse": lambda to: engine.elapse(to),  # noqa: PLW0108  # as for the task
        "_elapsed": lambda: engine.elapsed,
        "_task": lambda: engine.task(),  # noqa: PLW0108  # a bound method would hand out the engine
        "_engine": lambda: engine,
    }
    for name, value in attributes.items():
        object.__setattr__(oracle, name, value)


def _around(engine: Engine) -> Oracle:
    oracle = Oracle.__new__(Oracle)
    _fill(oracle, engine, engine.budget)
    return oracle


def _must_be(value: object, kind: type, what: str, way_out: str) -> None:
    if not isinstance(value, kind):
        raise InvalidSetting(f"{what} is {value!r}, no {kind.__name__}; {way_out}")
