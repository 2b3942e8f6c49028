"""ASHA: successive halving that waits for nobody.

A free worker promotes an architecture that is among the best 1/eta of its rung, from the highest rung
down, and trains it eta times as long; where there is none, it starts a random one in the lowest rung.
Rungs grow for ever, so that nothing has to be known about the budget, and no worker idles; with one
worker it is a sequential algorithm of its own. Each rung is a training from scratch, charged in full,
as in `nasbench_kit.algorithms.multi_fidelity.hyperband`, whose fidelities these are: with 4, 12, 36 and 108
epochs r = 4 and R = 108.

Source: Li, Jamieson, Rostamizadeh, Gonina, Ben-tzur, Hardt, Recht, Talwalkar, A System for Massively
Parallel Hyperparameter Tuning, MLSys 2020 (arXiv 1810.05934), Algorithm 2.
"""

from __future__ import annotations

import bisect
import operator
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nasbench_kit import checks
from nasbench_kit.algorithms.multi_fidelity.hyperband import recommended, rungs
from nasbench_kit.algorithms.workers import Job, check_workers, simulate
from nasbench_kit.errors import InvalidSetting

if TYPE_CHECKING:
    from numpy.random import Generator

    from nasbench_kit import Answer, Oracle
    from nasbench_kit.spaces.protocols import Architecture


@dataclass(frozen=True)
class ASHA:
    """Asynchronous successive halving.

    Raises:
        InvalidSetting: eta below 2, a negative rate or no worker; when run, a table without two
            fidelities a factor eta apart, or with fewer than the rate asks for.
    """

    #: Factor between fidelities; one in so many is promoted. The paper's experiments have 4; here it
    #: is the factor between the fidelities of NAS-Bench-101 and of the tables in the package.
    eta: int = 3
    #: s: so many of the shortest fidelities are left out; 0 in the paper's experiments.
    early_stopping_rate: int = 0
    #: Simulated ones, which train at the same time (25 and 500 in the paper); None is one, without a
    #: clock.
    workers: int | None = None

    def __post_init__(self) -> None:
        checks.whole("eta", self.eta, 2)
        checks.whole("early_stopping_rate", self.early_stopping_rate, 0)
        check_workers(self.workers)

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Architecture]:
        """Algorithm 2: get_job whenever a worker is free."""
        chain = rungs(oracle.epochs, self.eta)
        if self.early_stopping_rate >= len(chain):
            raise InvalidSetting(
                f"early_stopping_rate is {self.early_stopping_rate}; of the fidelities "
                f"{', '.join(map(str, chain))} it leaves none, lower it below {len(chain)}"
            )
        chain = chain[self.early_stopping_rate :]
        ladder = [Rung(self.eta) for _ in chain]

        def ask() -> Job:
            for k in reversed(range(len(chain) - 1)):
                promoted = ladder[k].promote()
                if promoted is not None:
                    return Job(promoted.architecture, chain[k + 1], k + 1)
            return Job(oracle.space.sample(rng), chain[0], 0)

        best = None
        for job, answer in simulate(oracle, ask, self.workers):
            ladder[job.note].add(answer)
            best = recommended(best, answer)
            yield best.architecture


@dataclass
class Rung:
    """Results of one fidelity, the best first; of equal ones the first to arrive."""

    eta: int
    answers: list[Answer] = field(default_factory=list)
    #: Whether the answer in the same place has been promoted.
    promoted: list[bool] = field(default_factory=list)

    def add(self, answer: Answer) -> None:
        """Take in a result."""
        accuracy = operator.attrgetter("validation_accuracy")
        place = bisect.bisect_right(
            self.answers, -accuracy(answer), key=lambda other: -accuracy(other)
        )
        self.answers.insert(place, answer)
        self.promoted.insert(place, False)

    def promote(self) -> Answer | None:
        """The best that was not promoted yet among the best 1/eta, from now on promoted."""
        top = len(self.answers) // self.eta
        try:
            place = self.promoted.index(False, 0, top)
        except ValueError:
            return None
        self.promoted[place] = True
        return self.answers[place]
