"""Whether a table can tell its good architectures apart: the spread of the best tenth against its noise.

A comparison of searches asks which of some good architectures is better. A table answers by means over
trainings, so the best tenth's true accuracies must differ by more than the standard error of such a mean.
It is measured by a one-way analysis of variance with random effects (Searle, Casella and McCulloch 1992,
chapter 3), best by trainings that did not choose the best tenth: those that did are its luckiest ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.checks import counted
from nasbench_kit.errors import NotRecorded
from nasbench_kit.table.table import SCORING, checked

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_kit.table.table import Table

METRIC = "test_accuracy"


@dataclass(frozen=True)
class Headroom:
    """Spread and noise of the best tenth, in accuracy 0..1 at the largest fidelity.

    Args:
        architectures: of the best tenth.
        trainings: of each, that measure it; an average where their numbers differ.
        fresh: whether these had no part in the choice of the best tenth.
        spread: standard deviation of the true accuracies.
        noise: standard deviation between trainings of one architecture.
        low, high: 95 % interval of ``ratio`` for normal accuracies and noise, from quantiles of F;
            approximate where numbers of trainings differ.
    """

    architectures: int
    trainings: float
    fresh: bool
    spread: float
    noise: float
    low: float
    high: float

    @property
    def standard_error(self) -> float:
        """Of the mean over the trainings that measure an architecture."""
        return self.noise / math.sqrt(self.trainings)

    @property
    def ratio(self) -> float:
        """Spread over standard error; below 1, differences of means are noise for the most part."""
        return self.spread / self.standard_error if self.noise else math.inf


def headroom(table: Table) -> Headroom:
    """The spread of a table's best tenth against the noise of its means, in test accuracy.

    The best tenth is the one by mean validation accuracy over all repeats. A table that keeps further
    trainings of it for scores is measured by these; any other by the repeats themselves, whose luck chose
    the best tenth: the spread is then too small if anything.

    Raises:
        NotRecorded: fewer than twenty architectures, one repeat, or no test accuracy.
        InvalidSetting: no table.
        CorruptFile: the table's file was altered.
    """
    if len(checked(table)) < 20:
        raise NotRecorded(
            f"the table {table.name} has {counted(len(table), 'architecture')}; the spread of its best tenth "
            "needs twenty"
        )
    scores = table.extra.get(SCORING + METRIC)
    if scores is not None and scores.shape[1] > 1:
        measured = scores[~np.isnan(scores).all(axis=1)].astype(np.float64)
        if len(measured) > 1 and (~np.isnan(measured)).sum() > len(measured):
            return _of(measured, fresh=True)
    if table.repeats < 2:
        raise NotRecorded(
            f"the table {table.name} has one repeat of each training; noise needs two"
        )
    if not table.has(METRIC, epochs=table.epochs[-1]):
        raise NotRecorded(
            f"the table {table.name} has no test accuracy after {table.epochs[-1]} epochs, in which the "
            "spread of its best tenth is measured"
        )
    best = np.argsort(-table.mean("validation_accuracy"), kind="stable")[
        : math.ceil(len(table) / 10)
    ]
    return _of(table.values(METRIC, missing="nan")[best], fresh=False)


def sentence(room: Headroom) -> str:
    """What was found, in words."""
    text = (
        f"Best tenth ({room.architectures} architectures) in test accuracy: the true means spread by "
        f"{100 * room.spread:.2f} points, the standard error of a mean over {room.trainings:.3g} "
        f"trainings is {100 * room.standard_error:.2f}; ratio {room.ratio:.2f} "
        f"[{room.low:.2f}, {room.high:.2f}]"
    )
    if room.fresh:
        return f"{text}, by trainings that had no part in its choice."
    return f"{text}, at least: the same trainings chose it."


def _of(measured: NDArray[np.float64], *, fresh: bool) -> Headroom:
    """From the trainings [best, n] of the best tenth; NaN where there is none (Searle, section 3.6)."""
    from scipy import stats

    counts = (~np.isnan(measured)).sum(axis=1)
    architectures, total = len(measured), int(counts.sum())
    trainings = (total - (counts**2).sum() / total) / (architectures - 1)
    means = np.nanmean(measured, axis=1)
    center = np.average(means, weights=counts)
    freedom = architectures - 1, total - architectures
    between = float((counts * (means - center) ** 2).sum() / freedom[0])  # mean squares
    within = float(np.nansum((measured - means[:, None]) ** 2) / freedom[1])
    quotient = between / within if within else math.inf
    ends = [quotient / stats.f.ppf(share, *freedom) - 1 for share in (0.975, 0.025)]
    low, high = (math.sqrt(max(end, 0)) for end in ends)
    spread = math.sqrt(max(between - within, 0) / trainings)
    return Headroom(architectures, float(trainings), fresh, spread, math.sqrt(within), low, high)
