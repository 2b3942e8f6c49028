"""What stands behind an `Oracle`: policy, draws and what was seen, out of a search's reach."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Hashable, Mapping
from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nasbench_kit.checks import counted, shown
from nasbench_kit.errors import (
    InvalidSetting,
    NotCopyable,
    NotInSpace,
    NotInTable,
    NotRecorded,
    SearchStopped,
    Stalled,
)
from nasbench_kit.system import stopping
from nasbench_kit.training.images import Split

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit.oracle.answer import Answer
    from nasbench_kit.oracle.budget import Budget
    from nasbench_kit.oracle.source import Source
    from nasbench_kit.oracle.task import Task

Policy = Literal["always", "once", "new-repeat", "mean"]
#: Repeats drawn from the generator at a time; a draw costs 1 us alone and 5 ns in a batch.
_DRAWS = 256


class Engine:
    """What an `Oracle` does, and all that it remembers.

    Copied and sent to other processes, it keeps its state and reads its source again.
    """

    #: What makes its state; everything else follows from it.
    _STATE = (
        "budget",
        "policy",
        "source",
        "_rng",
        "_task",
        "_patience",
        "_draws",
        "_seen",
        "_unpaid_in_a_row",
        "elapsed",
    )

    def __init__(
        self,
        source: Source,
        budget: Budget,
        rng: Generator,
        *,
        policy: Policy,
        patience: int,
        task: Task | None,
    ) -> None:
        self.source = source
        self.budget = budget
        self.policy: Policy = policy
        #: A copy would answer free of charge, so nobody gets one while a search is at work.
        self.copyable = True
        #: See `Oracle.elapsed`.
        self.elapsed: float | None = None
        self._rng = rng
        self._task = task
        self._patience = patience
        self._draws: list[int] = []
        self._seen: dict[tuple[Hashable, int, bool, int | None], Answer] = {}
        #: Questions since the last one that was paid: free, refused or mistaken.
        self._unpaid_in_a_row = 0
        self._connect()

    def _connect(self) -> None:
        """Take hold of the budget, and of what is shown to searches."""
        self._price, self._read = self.source.price, self.source.read
        # A draw is a repeat; with gaps, it stands for one of those that an architecture has, however
        # many these are, with the same probability.
        most = self.source.repeats
        self._outcomes = math.lcm(*range(1, most + 1)) if self.source.gaps else most
        self._longest = self.source.epochs[-1]
        self._halfway: Mapping[int, float] = getattr(self.source, "halfway_epochs", {})
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
        self._connect()

    def __copy__(self) -> Engine:
        """With a budget, draws and memory of its own; only what never changes is shared."""
        state = self.__getstate__()
        state |= {name: copy.copy(state[name]) for name in ("budget", "_draws", "_seen")}
        state["_rng"] = copy.deepcopy(self._rng)
        engine = Engine.__new__(Engine)
        engine.__setstate__(state)
        return engine

    def query(self, architecture: Any, epochs: int | None, halfway: bool) -> Answer:
        """See `Oracle.query`."""
        self._count_unpaid()
        if epochs is None:
            epochs = self._longest
        policy = self.policy
        if policy == "mean":
            return self._buy(architecture, epochs, halfway, None)
        if not self._draws:
            self._draws = self._rng.integers(self._outcomes, size=_DRAWS).tolist()
        # The same until one is paid: a refusal cannot fish for a cheaper one.
        repeat = self._draws[-1]
        if self.source.gaps:
            repeats = self.source.repeats_of(architecture, epochs, halfway)
            repeat = repeats[repeat % len(repeats)]
        if policy == "always":
            answer = self._buy(architecture, epochs, halfway, repeat)
            self._draws.pop()
            return answer
        key = (
            self.source.key(architecture),
            epochs,
            halfway,
            repeat if policy == "new-repeat" else None,
        )
        try:
            seen = self._seen.get(key)
        except TypeError:  # epochs or halfway cannot be hashed, and are refused below
            seen = None
        if seen is None:
            answer = self._buy(architecture, epochs, halfway, repeat)
            self._seen[key] = answer
            self._draws.pop()
            return answer
        if policy == "new-repeat":
            self._draws.pop()
        if self._unpaid_in_a_row >= self._patience:
            raise Stalled(
                f"the last {self._patience:,} queries asked for answers already paid for; "
                "the search has stopped exploring (see the option patience)"
            )
        return seen._replace(architecture=architecture)

    def elapse(self, to: float) -> None:
        """See `Oracle.elapse`."""
        before = self.elapsed or 0.0
        if not isinstance(to, Real) or isinstance(to, bool) or not before <= to < math.inf:
            raise InvalidSetting(
                f"the time is {shown(to)}; give a finite number, at least the {before:g} that have "
                "elapsed"
            )
        self.elapsed = float(to)

    def _buy(self, architecture: Any, epochs: int, halfway: bool, repeat: int | None) -> Answer:
        """Pay for the readings of one repeat, or of all of them (None), and return the answer."""
        seconds = self._price(architecture, epochs, halfway, repeat)
        if seconds is None:
            seconds = self._unpriced(epochs)
        trains = self.source.trains(architecture)
        spent: float = epochs
        if halfway:
            spent = epochs // 2 if trains else self._halfway.get(epochs, epochs // 2)
        if repeat is None:
            source = self.source
            spent *= (
                len(source.repeats_of(architecture, epochs, halfway))
                if source.gaps
                else source.repeats
            )
        answer: Answer = self._pay(
            "training" if trains else "query",
            seconds,
            spent,
            1,
            self._read,
            architecture,
            epochs,
            halfway,
            repeat,
        )
        self._unpaid_in_a_row = 0
        return answer

    def _unpriced(self, epochs: int) -> float:
        """The seconds of what nobody knows the seconds of, where no limit asks for them."""
        if self.budget.seconds is not None:
            raise NotRecorded(
                f"{self.source.name} records no seconds at {counted(epochs, 'epoch')}; limit epochs or queries "
                "instead"
            )
        return 0.0

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

    # Shared weights ----------------------------------------------------------------------------

    def task(self) -> Task:
        """See `Oracle.task`."""
        if self._task is None or self._shown_task is None:
            raise InvalidSetting(
                f"sharing weights needs the images that {self.source.name} was made from; give the "
                "oracle a task"
            )
        if self.budget.seconds is None and self.budget.epochs is None:
            raise InvalidSetting(
                "the budget limits queries only, and computing on images makes none; "
                "limit seconds or epochs"
            )
        if self.budget.seconds is not None and self._task.cost is None:
            raise InvalidSetting(
                "the budget limits seconds, and the task has no cost model to price training by; "
                "limit epochs, or give the task a cost"
            )
        return self._shown_task

    def charge(self, what: Any, images: int, backward: bool) -> None:
        """See `Oracle.charge`."""
        self._count_unpaid()
        self._pay("supernet", *self.price(what, images, backward), 0, _nothing)
        self._unpaid_in_a_row = 0

    def price(self, what: Any, images: int, backward: bool) -> tuple[float, float]:
        """See `Oracle.price`."""
        if not isinstance(images, Real) or isinstance(images, bool) or not 0 <= images < math.inf:
            raise InvalidSetting(f"images are {images!r}; give the number of images of the step")
        if not isinstance(backward, bool | np.bool_):
            raise InvalidSetting(f"backward is {backward!r}; give True or False")
        self.task()  # raises where there is none to train on
        assert self._task is not None
        epochs = float(images) / self._task.epoch_images * (1 if backward else 1 / 3)
        return self._seconds_an_epoch(what) * epochs, epochs

    def _seconds_an_epoch(self, what: Any) -> float:
        """Of training an architecture, as the source knows it or else by the cost model; or of work."""
        if not isinstance(what, np.ndarray) and not hasattr(what, "to_text"):
            raise InvalidSetting(
                f"cannot price {what!r}; give an architecture, as a Cell is, or the work of one image"
            )
        assert self._task is not None
        cost = self._task.cost
        if cost is None:
            return 0.0  # no seconds are known; the budget limits epochs
        if not isinstance(what, np.ndarray):
            with contextlib.suppress(NotInSpace, NotInTable):
                seconds = self.source.epoch_seconds(what)
                if seconds is not None:
                    return seconds
            return cost.price(what, 1)
        return self._seconds_of_work(what, cost)

    @staticmethod
    def _seconds_of_work(work: NDArray[np.float64], cost: Any) -> float:
        seconds = math.nan
        with contextlib.suppress(TypeError, ValueError):  # of another type or shape
            if np.isfinite(work).all() and (work >= 0).all():
                seconds = float(cost.price_work(work))
        if math.isnan(seconds):
            raise InvalidSetting(
                f"cannot price work of shape {work.shape}; give that of one image, numbers >= 0"
            )
        return seconds


def _nothing() -> None:
    """What a step of shared weights buys."""


def _shown(task: Task) -> Task:
    """A task as a search sees it: images that it cannot change, and not what its steps are priced by."""
    weights, reward = (
        Split(_fixed(split.images), _fixed(split.labels))
        if isinstance(split, Split)
        else _fixed(split)
        for split in (task.weights, task.reward)
    )
    return replace(task, weights=weights, reward=reward, cost=None)


def _fixed(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.setflags(write=False)
    return view
