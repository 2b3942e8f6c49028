"""REINFORCE on a table of logits: no recurrent controller, each decision on its own.

Every decision (of a cell: every edge and every operation) has its own softmax. A sample is redrawn
until it makes an architecture of the space; such draws cost nothing and never enter the gradient (so the gradient is that of the released
code, not that of the conditional distribution).

In the released code an encoding of more than nine edges makes no cell, even where pruning would leave nine or
fewer; ``released`` draws so.

With simulated workers, results arrive in the order in which trainings finish, and each is learned from as if
the policy of that moment had drawn it.

NAS-Bench-201 and NATS-Bench step by Adam instead. Their logits start from normal draws of deviation
0.001, here from zero.

Source: Williams, Machine Learning 8, 1992; Ying et al., NAS-Bench-101, ICML 2019, supplement S2.2;
automl/nas_benchmarks, run_rl.py; Dong et al., NATS-Bench, TPAMI 44(7), 2022, and D-X-Y/AutoDL-Projects,
exps/NATS-algos/reinforce.py; Kingma, Ba, Adam, ICLR 2015, Algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nasbench_kit import checks
from nasbench_kit.algorithms.random_search import within_edges
from nasbench_kit.algorithms.workers import Job, check_workers, simulate
from nasbench_kit.errors import InvalidSetting, Stalled

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit import Oracle
    from nasbench_kit.spaces.protocols import Architecture, Space

#: Invalid draws in a row after which the policy counts as collapsed.
_PATIENCE = 10_000


@dataclass(frozen=True)
class Reinforce:
    """Stochastic gradient ascent of the expected validation accuracy.

    Raises:
        InvalidSetting: a learning rate that is not positive, a momentum outside [0, 1), an unknown
            optimizer, or an impossible number of workers.
    """

    #: Step size; the released script's default is 0.1, the paper's final choice 0.5.
    learning_rate: float = 0.5
    #: Of the moving average of rewards that is the baseline.
    momentum: float = 0.9
    #: Training length of every query; None is the table's longest.
    epochs: int | None = None
    #: How logits are moved: by "adam", or None, a plain step up the gradient.
    optimizer: Literal["adam"] | None = None
    #: Simulated ones, which train at the same time; None is one, without a clock.
    workers: int | None = None
    #: Edges that a cell's encoding may have before it is pruned; None: as many as it likes.
    most_edges: int | None = None

    @classmethod
    def released(cls) -> Reinforce:
        """As in the code of the NAS-Bench-101 experiments, with the paper's final learning rate."""
        return cls(most_edges=9)

    @classmethod
    def nats(cls) -> Reinforce:
        """NATS-Bench's settings (both of its spaces): Adam with a learning rate of 0.01."""
        return cls(learning_rate=0.01, optimizer="adam")

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise InvalidSetting(f"learning_rate is {self.learning_rate}; it must be positive")
        if not 0 <= self.momentum < 1:
            raise InvalidSetting(f"momentum is {self.momentum}; it must be in [0, 1)")
        if self.optimizer not in (None, "adam"):
            raise InvalidSetting(
                f'optimizer is {checks.shown(self.optimizer)}; choose "adam", or None for a plain step'
            )
        check_workers(self.workers)
        if self.most_edges is not None:
            checks.whole("most_edges", self.most_edges, 1)

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Architecture]:
        """Sample an architecture, query its reward, step.

        Raises:
            InvalidSetting: ``most_edges`` in a space whose architectures are no cells.
            Stalled: the policy draws nothing but choices that make no architecture.
        """
        space = oracle.space
        allowed = within_edges(space, self.most_edges)
        logits = uniform([len(decision.options) for decision in space.decisions])
        baseline = MovingAverage(self.momentum)
        adam = Adam() if self.optimizer else None
        best = None

        def ask() -> Job:
            sample, architecture = _valid_sample(logits, space, allowed, rng)
            return Job(architecture, self.epochs, sample)

        for job, answer in simulate(oracle, ask, self.workers):
            sample = job.note
            reward = answer.validation_accuracy
            advantage = reward - baseline.update(reward)  # updated before it is used
            if adam is None:
                logits += self.learning_rate * advantage * gradient(logits, sample)
            else:
                logits += self.learning_rate * adam.scaled(advantage * gradient(logits, sample))
            if best is None or reward > best.validation_accuracy:
                best = answer
            yield best.architecture


def uniform(choices: list[int]) -> NDArray[np.float64]:
    """Logits of the uniform policy: [decisions, most options], minus infinity where none is."""
    return np.where(np.arange(max(choices)) < np.array(choices)[:, None], 0.0, -np.inf)


def probabilities(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Softmax of each row."""
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def gradient(logits: NDArray[np.float64], sample: NDArray[np.intp]) -> NDArray[np.float64]:
    """Of the sample's log-probability: one-hot minus probabilities, [decisions, options]."""
    one_hot = np.arange(logits.shape[1]) == sample[:, None]
    return one_hot - probabilities(logits)


class MovingAverage:
    """Exponential moving average, corrected for its start at zero; of a number or an array."""

    def __init__(self, momentum: float) -> None:
        self._momentum = momentum
        self._numerator: Any = 0.0
        self._denominator = 0.0

    def update(self, value: Any) -> Any:
        """Take in a value and return the average."""
        share = 1 - self._momentum
        self._numerator = self._momentum * self._numerator + share * value
        self._denominator = self._momentum * self._denominator + share
        return self._numerator / self._denominator


class Adam:
    """Its step for a gradient, per unit of learning rate; with Kingma and Ba's constants."""

    def __init__(self) -> None:
        self._mean, self._square = MovingAverage(0.9), MovingAverage(0.999)

    def scaled(self, gradient: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean of gradients over the root of the mean of their squares."""
        return self._mean.update(gradient) / (np.sqrt(self._square.update(gradient**2)) + 1e-8)


def _valid_sample(
    logits: NDArray[np.float64],
    space: Space,
    allowed: Callable[[Any], bool],
    rng: Generator,
) -> tuple[NDArray[np.intp], Architecture]:
    """A draw of every decision that makes an architecture, and that architecture."""
    # A uniform number falls below the cumulated probability of its choice, above those before.
    thresholds = probabilities(logits).cumsum(axis=1)[:, :-1]
    for _ in range(_PATIENCE):
        sample = (rng.random((len(logits), 1)) >= thresholds).sum(axis=1)
        architecture = space.decode(sample.tolist())
        if architecture is not None and allowed(architecture):
            return sample, architecture
    raise Stalled(
        f"{_PATIENCE:,} samples in a row made no architecture of {space.name}; the policy has "
        "collapsed, lower learning_rate"
    )
