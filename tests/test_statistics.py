"""Aggregates with intervals: hand-made cases, enumeration, and what must hold for any runs."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from nasbench_kit.analysis.statistics import anytime
from nasbench_kit.analysis.statistics.aggregates import (
    Interval,
    bootstrap,
    difference,
    expected_ranks,
    improvement,
    interquartile_mean,
    performance_profile,
    reached_by,
    share_within,
    win_share,
)
from nasbench_kit.compare.trace import Incumbent, Trace

INF = float("inf")


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def middle(tasks: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.asarray(np.median(tasks[0], axis=-1))


def ends(interval: Interval) -> list[float]:
    return [float(value) for value in interval]


def test_the_interquartile_mean_is_that_of_the_middle_half() -> None:
    assert interquartile_mean([9.0, 1.0, 2.0, 100.0]) == pytest.approx((2 + 9) / 2)
    assert interquartile_mean([5.0, 1.0, 2.0, 3.0, 4.0, 6.0, 7.0, INF]) == pytest.approx(4.5)
    assert interquartile_mean([[1.0, 1.0], [2.0, 4.0]]).tolist() == [1.0, 3.0]
    assert interquartile_mean([1.0, INF, INF, INF]) == INF


def test_the_interval_of_a_mean_is_scipys() -> None:
    runs = rng(3).exponential(size=25)
    ours = bootstrap([runs], lambda tasks: tasks[0].mean(axis=-1), rng(1), resamples=20_000)
    theirs = stats.bootstrap(
        (runs,), np.mean, n_resamples=20_000, method="percentile", rng=rng(2)
    ).confidence_interval
    # The ends are quantiles of 20,000 draws; their standard error is some 1 % of the spread.
    tolerance = 5 * 0.01 * runs.std()
    assert ours.point == pytest.approx(runs.mean())
    assert ours.low == pytest.approx(theirs.low, abs=tolerance)
    assert ours.high == pytest.approx(theirs.high, abs=tolerance)


def test_the_interval_of_a_median_of_three_is_known_exactly() -> None:
    # Of the 27 resamples of (0, 1, 2), 7 have the median 0, 13 have 1 and 7 have 2.
    medians = [np.median(draw) for draw in product((0.0, 1.0, 2.0), repeat=3)]
    assert [sum(median == value for median in medians) for value in (0, 1, 2)] == [7, 13, 7]
    runs = np.array([0.0, 1.0, 2.0])
    wide = bootstrap([runs], middle, rng(), level=0.95)  # 2.5 % is less than 7 / 27
    assert ends(wide) == [0, 1, 2]
    narrow = bootstrap([runs], middle, rng(), level=0.4)  # 30 % is more
    assert ends(narrow) == [1, 1, 1]


def test_tasks_are_resampled_apart() -> None:
    # The tasks differ by far; runs within each do not. A pooled bootstrap would show a spread.
    tasks = [np.full(5, 1.0), np.full(9, 100.0)]
    found = bootstrap(tasks, lambda both: both[0].mean(axis=-1) + both[1].mean(axis=-1), rng())
    assert found.low == found.point == found.high == 101


def test_equal_runs_have_an_interval_of_no_width() -> None:
    assert ends(bootstrap([np.full(7, 0.3)], middle, rng())) == [0.3] * 3
    certain = improvement([np.full(4, 1.0)], [np.full(6, 2.0)], rng())
    assert ends(certain) == pytest.approx([1.0] * 3)


def test_the_seed_decides_the_interval() -> None:
    runs = rng(5).random(30)
    assert bootstrap([runs], middle, rng(1)) == bootstrap([runs], middle, rng(1))
    ours, theirs = [runs], [rng(6).random(20)]
    assert improvement(ours, theirs, rng(1)) == improvement(ours, theirs, rng(1))


def test_runs_without_recommendation_are_worst_but_counted() -> None:
    found = bootstrap([np.array([0.1, 0.2, 0.3, INF])], middle, rng())
    assert found.low <= found.point == 0.25 < found.high == INF
    apart = difference(
        np.array([INF, INF]), np.array([0.1, 0.2]), lambda runs: np.median(runs, axis=-1), rng()
    )
    assert apart.point == INF


# Probability of improvement, ranks -------------------------------------------------------------


def enumerated(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    pairs = list(product(ours, theirs))
    return sum(1.0 if a < b else 0.5 if a == b else 0.0 for a, b in pairs) / len(pairs)


def test_the_probability_of_improvement_is_that_over_all_pairs() -> None:
    ours, theirs = np.array([1.0, 2.0, 2.0, INF]), np.array([2.0, 3.0, INF])
    assert enumerated(ours, theirs) == (3 + 2.5 + 2.5 + 0.5) / 12
    assert win_share(ours, theirs) == pytest.approx(enumerated(ours, theirs))
    assert win_share(theirs, ours) == pytest.approx(1 - enumerated(ours, theirs))
    found = improvement([ours, theirs], [theirs, ours], rng())
    assert found.point == pytest.approx(0.5)
    assert found.low < 0.5 < found.high


def test_the_interval_of_an_improvement_is_that_of_resampled_pairs() -> None:
    ours, theirs = rng(1).normal(0, 1, 12), rng(2).normal(0.7, 1, 15)
    slow = [
        enumerated(rng(seed).choice(ours, 12), rng(10_000 + seed).choice(theirs, 15))
        for seed in range(600)
    ]
    found = improvement([ours], [theirs], rng(), resamples=20_000)
    # Quantiles of 600 draws near 2.5 %: standard error about 0.1 of a spread of 0.1.
    assert found.low == pytest.approx(np.quantile(slow, 0.025), abs=0.05)
    assert found.high == pytest.approx(np.quantile(slow, 0.975), abs=0.05)
    assert found.point == pytest.approx(enumerated(ours, theirs))


def test_expected_ranks_are_those_over_all_draws() -> None:
    groups = [np.array([1.0, 3.0]), np.array([2.0, 2.0, 5.0]), np.array([3.0, INF])]
    ranks = [stats.rankdata(draw) for draw in product(*groups)]
    found = expected_ranks([group[:, None] for group in groups])
    assert found[:, 0] == pytest.approx(np.mean(ranks, axis=0))
    assert found.sum() == pytest.approx(6)


# Distributions ---------------------------------------------------------------------------------


def test_the_share_within_is_the_empirical_distribution() -> None:
    runs, grid = np.array([0.3, 0.1, 0.1, INF]), np.array([0.0, 0.1, 0.2, 0.3, 9.0])
    assert share_within(runs, grid).tolist() == [0, 0.5, 0.5, 0.75, 0.75]


def test_a_profile_averages_over_tasks_and_over_limits() -> None:
    grid = np.array([0.0, 1.0, 2.0])
    found = performance_profile([np.array([0.0, 1.0]), np.array([2.0, 2.0])], grid, rng())
    assert found.point.tolist() == [0.25, 0.5, 1.0]
    assert (found.low <= found.point).all() and (found.point <= found.high).all()
    assert (np.diff(found.low) >= 0).all() and (np.diff(found.high) >= 0).all()
    limits = np.array([[INF, 2.0], [1.0, 0.0]])  # two limits on the budget of two runs
    assert performance_profile([limits], grid, rng()).point.tolist() == [0.25, 0.5, 0.75]


def test_a_profile_without_spread_has_no_band() -> None:
    found = performance_profile([np.full(8, 1.0)], np.array([0.5, 1.0]), rng())
    assert found.low.tolist() == found.point.tolist() == found.high.tolist() == [0, 1]


def test_times_to_a_target_and_what_ends_watching() -> None:
    runs = [
        Trace("a", 0, "budget", 9, 0, 2, 2, [Incumbent(1, 0, 1, "x"), Incumbent(4, 0, 2, "y")]),
        Trace("a", 1, "budget", 8, 0, 1, 1, [Incumbent(2, 0, 1, "x")]),
        Trace("a", 2, "finished", 3, 0, 1, 1, [Incumbent(2, 0, 1, "x")]),
        Trace("a", 3, "budget", 7, 0, 0, 0),
    ]

    def regret(text: str, seed: int) -> float:
        return {"x": 0.4, "y": 0.1}[text]

    times, ends = anytime.reaching(runs, regret, "seconds", 0.1)
    assert times.tolist() == [4, INF, INF, INF]
    assert ends.tolist() == [9, 8, INF, 7]
    assert anytime.reaching(runs, regret, "queries", 0.4)[0].tolist() == [
        1,
        1,
        1,
        INF,
    ]


def test_time_to_a_target_by_hand() -> None:
    # Reached at 1, 3 and 6; watched in vain until 2, and one that would never reach it.
    # S(1) = 4/5; S(3) = 4/5 * 2/3 = 8/15; S(6) = 8/15 * 1/2 = 4/15.
    times, ends = np.array([1.0, INF, 3.0, 6.0, INF]), np.array([9.0, 2.0, 9.0, 9.0, INF])
    found = reached_by(times, ends)
    steps = dict(zip(found.spend.tolist(), found.share.tolist(), strict=True))
    assert steps[0] == 0
    assert steps[1] == pytest.approx(1 / 5)
    assert steps[3] == pytest.approx(7 / 15)
    assert steps[6] == found.share[-1] == pytest.approx(11 / 15)
    assert found.median == 6
    assert found.share.max() < 1  # the last never comes


def test_without_censoring_the_share_is_the_empirical_one() -> None:
    times = np.array([4.0, 2.0, 2.0, 8.0])
    found = reached_by(times, np.full(4, 9.0))
    assert found.spend.tolist() == [0, 2, 4, 8]
    assert found.share.tolist() == [0, 0.5, 0.75, 1]
    assert found.median == 2


def test_a_target_that_nobody_reached() -> None:
    found = reached_by(np.full(3, INF), np.full(3, 5.0))
    assert found.share.tolist() == [0] and found.median is None
