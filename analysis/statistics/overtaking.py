"""When one algorithm overtakes another for good, and how much sooner it reaches its final regret.

Both are read off curves of regret against spend, means or medians over runs, on a logarithmic grid.
"Never" is a value: an infinite spend, or 0 times sooner. It counts in intervals as any other, so that
an interval may begin or end with it.

Source: Ying et al. 2019, section 4.1: evolution overtakes random search after some 50,000 s, and
reaches its final regret 5 times sooner.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.analysis.statistics.aggregates import Interval, percentiles
from nasbench_kit.analysis.statistics.anytime import at_spend, spend_grid

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit.analysis.statistics.comparison import Comparison

    Curves = NDArray[np.float64]

#: Points of the grid: over four decades of spend, neighbours are 5 % apart.
_POINTS = 200
_AVERAGES: dict[str, Callable[..., Curves]] = {"mean": np.mean, "median": np.median}


@dataclass(frozen=True)
class Overtaking:
    """One algorithm against the baseline, by the mean or the median over runs."""

    algorithm: str
    average: str
    #: Spend from which it is ahead for good; 0 if it was never behind, inf if it is never ahead.
    spend: Interval
    #: Spend at which the baseline reached its final regret, divided by that of this one; 0 for never.
    sooner: Interval


def overtaken(comparison: Comparison, rng: Generator, *, resamples: int = 500) -> list[Overtaking]:
    """Every algorithm against the baseline, with 95 % bootstrap intervals over runs.

    Args:
        comparison: runs under one budget; spends are in units of its axis.
        rng: draws the resamples.
        resamples: how many.
    """
    axis, baseline = comparison.axis, comparison.baseline
    runs = [trace for traces in comparison.traces.values() for trace in traces]
    spends = spend_grid(runs, axis, _POINTS)
    curves = {
        name: _resampled(at_spend(traces, comparison.scores.loss, axis, spends), rng, resamples)
        for name, traces in comparison.traces.items()
    }
    results = []
    for name, averages in curves.items():
        for average, ours in averages.items() if name != baseline else ():
            theirs = curves[baseline][average]
            spend, times = overtakes(ours, theirs, spends), sooner(ours, theirs, spends)
            results.append(
                Overtaking(
                    name,
                    average,
                    percentiles(spend[0], spend[1:]),
                    percentiles(times[0], times[1:]),
                )
            )
    return results


def overtakes(ours: Curves, theirs: Curves, spends: NDArray[np.float64]) -> NDArray[np.float64]:
    """First spend at which ours is lower and after which it is never higher: [..., spends] -> [...].

    0 where theirs never was lower; inf where there is no such spend.
    """
    behind = ours > theirs
    behind_later = np.logical_or.accumulate(behind[..., ::-1], axis=-1)[..., ::-1]
    ahead = np.where(behind.any(axis=-1), _first(~behind_later & (ours < theirs), spends), 0.0)
    return np.where((ours < theirs).any(axis=-1), ahead, np.inf)


def sooner(ours: Curves, theirs: Curves, spends: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spend that theirs first needed for its final regret over that of ours: [..., spends] -> [...].

    0 where ours never gets there; inf where theirs has no final regret (a run recommended nothing)
    and ours has.
    """
    target = theirs[..., -1:]
    ratio = _first(theirs <= target, spends) / _first(ours <= target, spends)
    without = np.where(np.isfinite(ours[..., -1]), np.inf, 0.0)
    return np.where(np.isfinite(target[..., 0]), ratio, without)


def _first(condition: NDArray[np.bool_], spends: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spend of the first True, inf without one: [..., spends] -> [...]."""
    return np.where(condition.any(axis=-1), spends[condition.argmax(axis=-1)], np.inf)


def _resampled(regrets: Curves, rng: Generator, resamples: int) -> dict[str, Curves]:
    """Averages over runs [runs, spends] and over resampled ones: each [1 + resamples, spends]."""
    by_spend = np.ascontiguousarray(regrets.T)  # medians along the last axis take half the time
    runs = len(regrets)
    curves = {name: np.empty((1 + resamples, len(by_spend))) for name in _AVERAGES}
    for place in range(1 + resamples):
        drawn = by_spend[:, rng.integers(runs, size=runs)] if place else by_spend
        for name, average in _AVERAGES.items():
            curves[name][place] = average(drawn, axis=-1)
    return curves
