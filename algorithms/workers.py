"""Workers that train at the same time, simulated under the budget of one oracle.

A free worker is given the next job, which is paid then, and is busy for as long as the training takes
in the oracle's own seconds (epochs, where no seconds are recorded). Results arrive in the order in
which trainings finish, so that a search decides by what it could have seen at that moment and by
nothing else. Spending is the sum of all trainings; the time that has elapsed is the slowest worker's:

    >>> for job, answer in simulate(oracle, ask, workers=4):
    ...     learn(answer)

Once the budget refuses a job no other one starts; those under way are paid, and still arrive.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from nasbench_kit import checks
from nasbench_kit.errors import BudgetExhausted, NotRecorded

if TYPE_CHECKING:
    from nasbench_kit import Answer, Oracle
    from nasbench_kit.spaces.protocols import Architecture


class Job(NamedTuple):
    """What a worker is to train."""

    architecture: Architecture
    #: Length of the training; None is the table's longest.
    epochs: int | None = None
    #: Comes back with the answer.
    note: Any = None


class _Training(NamedTuple):
    """A job under way; the earliest to finish is the least, of equal ones the first to start."""

    finish: float
    number: int
    job: Job
    answer: Answer


def simulate(
    oracle: Oracle, ask: Callable[[], Job | None], workers: int | None
) -> Iterator[tuple[Job, Answer]]:
    """Jobs and their answers in the order in which trainings finish.

    Args:
        oracle: what is asked, and told the time (`nasbench_kit.Oracle.elapse`).
        ask: called whenever a worker is free, for the next job; None waits for a result. If it is
            None while nothing is trained, the simulation ends.
        workers: how many there are. None is one, and no time is told: the queries of a search that
            makes one after the other.

    Raises:
        BudgetExhausted: by a job that the budget cannot pay, or by ``ask``; what was under way has
            arrived before.
        NotRecorded: some trainings have seconds and others have none.
    """
    now = 0.0
    unit: str | None = None
    number = 0
    under_way: list[_Training] = []  # a heap
    refusal: BudgetExhausted | None = None
    while True:
        while refusal is None and len(under_way) < (workers or 1):
            try:
                job = ask()
                if job is None:
                    break
                budget = oracle.budget
                queries, epochs = budget.spent_queries, budget.spent_epochs
                answer = oracle.query(job.architecture, job.epochs)
            except BudgetExhausted as error:
                refusal = error
                break
            finish = now
            if workers is not None:
                if budget.spent_queries == queries:
                    finish = max([now, *(t.finish for t in under_way if _same(t.answer, answer))])
                else:
                    measured = "epochs" if answer.seconds is None else "seconds"
                    unit = unit or measured
                    if measured != unit:
                        raise NotRecorded(
                            f"no seconds are recorded at {checks.counted(answer.epochs, 'epoch')}, and at other lengths "
                            "they are; workers need one clock, leave workers out or choose one length"
                        )
                    spent = budget.spent_epochs - epochs
                    finish += spent if answer.seconds is None else answer.seconds
            heapq.heappush(under_way, _Training(finish, number, job, answer))
            number += 1
        if not under_way:
            if refusal is not None:
                raise refusal
            return
        now, _, job, answer = heapq.heappop(under_way)
        if workers is not None:
            oracle.elapse(now)
        yield job, answer


def check_workers(workers: Any) -> None:
    """Refuse a number of workers that is neither None nor 1 or more.

    Raises:
        InvalidSetting: saying so.
    """
    if workers is not None:
        checks.whole("workers", workers, 1)


def _same(one: Answer, other: Answer) -> bool:
    """Whether a free answer repeats this one, and so is not to be had before it."""
    return one[1:] == other[1:] and one.architecture == other.architecture
