"""How many runs tell two algorithms apart: against exact counts and simulated comparisons."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from nasbench_kit.analysis.statistics.power import MOST_RUNS, advice, least_runs, runs_needed
from nasbench_kit.analysis.statistics.rank_tests import Pair, holm


@pytest.mark.parametrize("pairs", [1, 3, 6, 10, 45])
def test_fewer_runs_than_the_least_never_decide(pairs: int) -> None:
    least = least_runs(pairs)
    for runs, decided in ((least - 1, False), (least, True)):
        if runs < 1:
            continue
        extreme = stats.mannwhitneyu(np.arange(runs), np.arange(runs) + 100, method="exact").pvalue
        adjusted = holm([extreme, *[1.0] * (pairs - 1)])[0]
        assert (adjusted < 0.05) == decided


def test_the_runs_needed_have_the_power_that_is_asked_for() -> None:
    """Two normal samples whose means differ by one deviation: P(X < Y) is 0.760."""
    better = float(stats.norm.cdf(1 / np.sqrt(2)))
    runs = runs_needed(better, pairs=1)
    assert runs is not None
    rng = np.random.default_rng(0)
    found = np.mean(
        [
            stats.mannwhitneyu(rng.normal(0, 1, runs), rng.normal(1, 1, runs)).pvalue < 0.05
            for _ in range(1000)
        ]
    )
    assert found == pytest.approx(0.8, abs=0.06)


def test_more_pairs_and_smaller_differences_need_more_runs() -> None:
    for (less, more), pairs in itertools.product(((0.9, 0.7), (0.7, 0.6)), (1, 6)):
        few, many = runs_needed(less, pairs), runs_needed(more, pairs)
        assert few is not None and many is not None and few < many
    assert runs_needed(0.6, 6) > runs_needed(0.6, 1)  # type: ignore[operator]
    assert runs_needed(0.4, 3) == runs_needed(0.6, 3)
    assert runs_needed(0.5, 1) is None
    assert runs_needed(0.501, 1) is None


def test_the_advice_says_how_many_would_do() -> None:
    def pair(better: float) -> Pair:
        return Pair("a", "b", better, 0.5, 1.0)

    assert "no difference can be significant" in advice([pair(1.0)], 6, 4)
    assert "5 is the least" in advice([pair(1.0)], 6, 4)
    needed = runs_needed(0.7, 6)
    assert f"{needed} runs each would find" in advice([pair(0.7)], 6, 10)
    assert f"not even {MOST_RUNS:,} all" in advice([pair(0.7), pair(0.5)], 6, 10)
    assert "would tell them apart" in advice([pair(0.5)], 6, 10)
