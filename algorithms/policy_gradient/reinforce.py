"""REINFORCE on a table of logits: no recurrent controller, each decision on its own.

Every edge and every operation has its own softmax. A sample is redrawn until it is a cell of the
space; such draws cost nothing and never enter the gradient (so the gradient is that of the released
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
from nasbench_kit.spaces.nasbench101.encodings import Encoding

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit import Cell, Oracle

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

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Cell]:
        """Sample a cell, query its reward, step.

        Raises:
            Stalled: the policy draws nothing but points that are no cells.
        """
        encoding = Encoding("A", oracle.space)
        logits = uniform([variable.size for variable in encoding.variables])
        baseline = MovingAverage(self.momentum)
        best = None
        while True:
            sample, cell = _valid_sample(logits, encoding, rng)
            answer = oracle.query(cell, self.epochs)
            reward = answer.validation_accuracy
            advantage = reward - baseline.update(reward)  # updated before it is used
            logits += self.learning_rate * advantage * gradient(logits, sample)
            if best is None or reward > best.validation_accuracy:
                best = answer
            yield best.cell


def uniform(choices: list[int]) -> NDArray[np.float64]:
    """Logits of the uniform policy: [variables, largest choice], minus infinity where none is."""
    return np.where(np.arange(max(choices)) < np.array(choices)[:, None], 0.0, -np.inf)


def probabilities(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Softmax of each row."""
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def gradient(logits: NDArray[np.float64], sample: NDArray[np.intp]) -> NDArray[np.float64]:
    """Of the sample's log-probability: one-hot minus probabilities, [variables, choices]."""
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
    logits: NDArray[np.float64], encoding: Encoding, rng: Generator
) -> tuple[NDArray[np.intp], Cell]:
    """A draw of every variable that is a cell, and that cell."""
    # A uniform number falls below the cumulated probability of its choice, above those before.
    thresholds = probabilities(logits).cumsum(axis=1)[:, :-1]
    for _ in range(_PATIENCE):
        sample = (rng.random((len(logits), 1)) >= thresholds).sum(axis=1)
        cell = encoding.decode(sample.tolist())
        if cell is not None:
            return sample, cell
    raise Stalled(
        f"{_PATIENCE:,} samples in a row were no cells of {encoding.space.name}; the policy has "
        "collapsed, lower learning_rate"
    )
