"""REINFORCE on a table of logits: no recurrent controller, each decision on its own.

Every decision (of a cell: every edge and every operation) has its own softmax. A sample is redrawn
until it makes an architecture of the space; such draws cost nothing and never enter the gradient (so the gradient is that of the released
code, not that of the conditional distribution).

Source: Williams, Machine Learning 8, 1992; Ying et al., NAS-Bench-101, ICML 2019, supplement S2.2;
automl/nas_benchmarks, run_rl.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

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
    """Plain stochastic gradient ascent of the expected validation accuracy.

    Raises:
        InvalidSetting: a learning rate that is not positive, or a momentum outside [0, 1).
    """

    #: Step size; the released script's default is 0.1, the paper's final choice 0.5.
    learning_rate: float = 0.5
    #: Of the moving average of rewards that is the baseline.
    momentum: float = 0.9
    #: Training length of every query; None is the table's longest.
    epochs: int | None = None

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise InvalidSetting(f"learning_rate is {self.learning_rate}; it must be positive")
        if not 0 <= self.momentum < 1:
            raise InvalidSetting(f"momentum is {self.momentum}; it must be in [0, 1)")

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Architecture]:
        """Sample an architecture, query its reward, step.

        Raises:
            Stalled: the policy draws nothing but choices that make no architecture.
        """
        space = oracle.space
        logits = uniform([len(decision.options) for decision in space.decisions])
        baseline = MovingAverage(self.momentum)
        best = None
        while True:
            sample, architecture = _valid_sample(logits, space, rng)
            answer = oracle.query(architecture, self.epochs)
            reward = answer.validation_accuracy
            advantage = reward - baseline.update(reward)  # updated before it is used
            logits += self.learning_rate * advantage * gradient(logits, sample)
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
    """Exponential moving average, corrected for its start at zero."""

    def __init__(self, momentum: float) -> None:
        self._momentum = momentum
        self._numerator = 0.0
        self._denominator = 0.0

    def update(self, value: float) -> float:
        """Take in a value and return the average."""
        share = 1 - self._momentum
        self._numerator = self._momentum * self._numerator + share * value
        self._denominator = self._momentum * self._denominator + share
        return self._numerator / self._denominator


def _valid_sample(
    logits: NDArray[np.float64], space: Space, rng: Generator
) -> tuple[NDArray[np.intp], Architecture]:
    """A draw of every decision that makes an architecture, and that architecture."""
    # A uniform number falls below the cumulated probability of its choice, above those before.
    thresholds = probabilities(logits).cumsum(axis=1)[:, :-1]
    for _ in range(_PATIENCE):
        sample = (rng.random((len(logits), 1)) >= thresholds).sum(axis=1)
        architecture = space.decode(sample.tolist())
        if architecture is not None:
            return sample, architecture
    raise Stalled(
        f"{_PATIENCE:,} samples in a row made no architecture of {space.name}; the policy has "
        "collapsed, lower learning_rate"
    )
