"""Aggregates over runs with their uncertainty. Scores are regrets: lower is better, inf is worst.

A run that recommended nothing has the score inf: it counts in every rank, quantile and share. The
scores of one task (a table under one budget) are an array [runs]; those of several tasks are a
sequence of such arrays. Runs are resampled within their task (stratified).

Source: Agarwal, Schwarzer, Castro, Courville, Bellemare 2021, "Deep reinforcement learning at the edge
of the statistical precipice" (rliable); for one task, its stratified bootstrap is the plain one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nasbench_kit.checks import shown
from nasbench_kit.errors import InvalidSetting

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import ArrayLike, NDArray

    Scores = NDArray[np.float64]


class Interval(NamedTuple):
    """A percentile bootstrap interval around a point estimate; arrays where the estimate is one."""

    low: NDArray[np.float64]
    point: NDArray[np.float64]
    high: NDArray[np.float64]


def interquartile_mean(scores: ArrayLike) -> NDArray[np.float64]:
    """Mean of the middle half (the 25 % trimmed mean): [..., runs] -> [...].

    Raises:
        InvalidSetting: no numbers, or no runs.
    """
    from scipy import stats

    try:
        numbers = np.asarray(scores, float)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidSetting(
            f"the scores are {shown(scores)}; give numbers, [..., runs]"
        ) from error
    if numbers.ndim == 0 or numbers.shape[-1] == 0:
        raise InvalidSetting(
            f"the scores have the shape {numbers.shape}; give [..., runs], at least 1"
        )
    return np.asarray(stats.trim_mean(numbers, 0.25, axis=-1))


def bootstrap(
    tasks: Sequence[Scores],
    statistic: Callable[[list[Scores]], NDArray[np.float64]],
    rng: Generator,
    *,
    resamples: int = 5000,
    level: float = 0.95,
) -> Interval:
    """Interval of any statistic of runs, which are drawn with replacement within each array.

    Args:
        tasks: independent samples, [runs] each: tasks of one algorithm, or groups to be compared.
        statistic: from a list of [..., runs] to [...].
        rng: draws the resamples.
        resamples: how many.
        level: coverage of the interval.
    """
    drawn = [task[rng.integers(len(task), size=(resamples, len(task)))] for task in tasks]
    with np.errstate(invalid="ignore"):  # differences of runs that recommended nothing
        return percentiles(statistic(list(tasks)), statistic(drawn), level)


def difference(
    ours: Scores,
    theirs: Scores,
    statistic: Callable[[Scores], NDArray[np.float64]],
    rng: Generator,
) -> Interval:
    """Bootstrap interval of a statistic's difference, ours minus theirs; NaN where both are inf."""
    return bootstrap([ours, theirs], lambda both: statistic(both[0]) - statistic(both[1]), rng)


def percentiles(
    point: NDArray[np.float64], resampled: NDArray[np.float64], level: float = 0.95
) -> Interval:
    """Interval from resampled values [resamples, ...]; observed quantiles, as inf has no mean."""
    tail = (1 - level) / 2
    low, high = np.quantile(resampled, (tail, 1 - tail), axis=0, method="inverted_cdf")
    return Interval(low, np.asarray(point), high)


# Comparing two ---------------------------------------------------------------------------------


def win_share(ours: Scores, theirs: Scores) -> NDArray[np.float64]:
    """Probability that a run of ours is better than one of theirs, ties counting half.

    The Mann-Whitney U over the number of pairs (Vargha and Delaney's A): [runs, ...] -> [...].
    """
    from scipy import stats

    ranks = stats.rankdata(np.concatenate([ours, theirs]), axis=0)
    n, m = len(ours), len(theirs)
    return (ranks[n:].sum(axis=0) - m * (m + 1) / 2) / (n * m)


def improvement(
    ours: Sequence[Scores],
    theirs: Sequence[Scores],
    rng: Generator,
    *,
    resamples: int = 2000,
    level: float = 0.95,
) -> Interval:
    """Probability of improvement over tasks: the mean of the tasks' ``win_share``, with interval."""
    points, resampled = [], []
    for mine, other in zip(ours, theirs, strict=True):
        better = mine[:, None] < other
        wins = better + 0.5 * (mine[:, None] == other)
        drawn = (_shares(len(mine), resamples, rng) @ wins) * _shares(len(other), resamples, rng)
        resampled.append(drawn.sum(axis=1))
        points.append(win_share(mine, other))
    return percentiles(np.mean(points, axis=0), np.mean(resampled, axis=0), level)


def _shares(runs: int, resamples: int, rng: Generator) -> NDArray[np.float64]:
    """How often each run was drawn, over the number of draws: [resamples, runs], rows sum to 1."""
    return rng.multinomial(runs, np.full(runs, 1 / runs), resamples) / runs


def expected_ranks(scores: Sequence[Scores]) -> NDArray[np.float64]:
    """Mean rank of each algorithm when one run of each is drawn, exactly: 1 is best, ties share.

    A rank is one more than the number of algorithms that are better (half of those that tie), and
    runs are independent; so its mean is 1 + sum of the others' ``win_share``: no pairing of seeds,
    no sampling.

    Args:
        scores: of each algorithm, [runs, ...].

    Returns:
        [algorithms, ...]; their sum is k (k + 1) / 2.
    """
    ranks = np.ones((len(scores), *scores[0].shape[1:]))
    for first in range(len(scores)):
        for second in range(first):
            share = win_share(scores[first], scores[second])
            ranks[second] += share
            ranks[first] += 1 - share
    return ranks


# Distributions ---------------------------------------------------------------------------------


def share_within(scores: Scores, thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of runs with regret at most each threshold (the ECDF): [..., thresholds]."""
    return np.asarray((scores[..., None] <= thresholds).mean(axis=-2))


def performance_profile(
    tasks: Sequence[Scores],
    thresholds: NDArray[np.float64],
    rng: Generator,
    *,
    resamples: int = 2000,
    level: float = 0.95,
) -> Interval:
    """Share of runs with regret at most each threshold, averaged over tasks, with pointwise band.

    Args:
        tasks: [runs] each; or [limits, runs], where limits on one run's budget count as tasks
            (they are correlated, and a run is resampled with all of them).
        thresholds: regrets.
        rng: draws the resamples.
        resamples: how many.
        level: coverage of each interval.
    """
    points, resampled = [], []
    for task in tasks:
        reached = (np.atleast_2d(task)[..., None] <= thresholds).mean(axis=0)  # [runs, thresholds]
        points.append(reached.mean(axis=0))
        resampled.append(_shares(len(reached), resamples, rng) @ reached)
    return percentiles(np.mean(points, axis=0), np.mean(resampled, axis=0), level)


class Reached(NamedTuple):
    """Share of runs that reached a target by each spend: right-continuous steps from (0, 0)."""

    spend: NDArray[np.float64]
    share: NDArray[np.float64]

    @property
    def median(self) -> float | None:
        """Spend by which half of the runs reached the target; None if they did not."""
        steps = np.flatnonzero(self.share >= 0.5 - 1e-12)
        return float(self.spend[steps[0]]) if len(steps) else None


def reached_by(times: NDArray[np.float64], censored_at: NDArray[np.float64]) -> Reached:
    """Kaplan and Meier's estimate (1958) of the share of runs that reached a target by each spend.

    Args:
        times: spend at which each run reached the target, inf where it did not: [runs].
        censored_at: spend up to which each run was observed; inf for one that ended by itself and
            would never reach the target.
    """
    from scipy import stats

    reached = np.isfinite(times)
    if not reached.any():
        return Reached(np.zeros(1), np.zeros(1))
    # All censoring after the last arrival is the same; scipy wants it finite.
    watched = np.minimum(censored_at[~reached], 2 * times[reached].max() + 1)
    cdf = stats.ecdf(stats.CensoredData(uncensored=times[reached], right=watched)).cdf
    return Reached(np.array([0.0, *cdf.quantiles]), np.array([0.0, *cdf.probabilities]))
