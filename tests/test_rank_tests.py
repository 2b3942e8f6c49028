"""Which differences hold: hand-made examples, published critical values, scipy, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import stats

from nasbench_kit.analysis.figures import plots
from nasbench_kit.analysis.report.comparison_plots import critical_difference
from nasbench_kit.analysis.statistics.rank_tests import (
    FriedmanResult,
    friedman,
    holm,
    mann_whitney,
    nemenyi_critical_value,
    task_ranks,
)
from nasbench_kit.errors import InvalidSetting

INF = float("inf")


def test_holm_by_hand() -> None:
    # Sorted 0.005, 0.01, 0.03, 0.04: times 4, 3, 2, 1 = 0.02, 0.03, 0.06, 0.04, made monotone.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.6]).tolist() == [1, 1]
    assert holm([0.2]).tolist() == [0.2]
    assert holm([]).tolist() == []


def test_pairs_are_compared_by_mann_and_whitney() -> None:
    rng = np.random.default_rng(0)
    scores = {"a": rng.random(9), "b": rng.random(12) + 0.8, "c": rng.random(10)}
    pairs = mann_whitney(scores)
    assert [(pair.first, pair.second) for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    for pair in pairs:
        theirs = stats.mannwhitneyu(scores[pair.first], scores[pair.second])
        assert pair.p == pytest.approx(theirs.pvalue)
        assert pair.better == pytest.approx(
            1 - theirs.statistic / (len(scores[pair.first]) * len(scores[pair.second]))
        )
    assert [pair.adjusted_p for pair in pairs] == pytest.approx(holm([pair.p for pair in pairs]))


def test_runs_without_recommendation_are_ranked_last() -> None:
    (pair,) = mann_whitney({"a": np.array([0.1] * 8), "b": np.array([INF] * 8)})
    assert pair.better == 1 and pair.p < 0.01
    (tied,) = mann_whitney({"a": np.array([INF] * 5), "b": np.array([INF] * 5)})
    assert tied.better == 0.5 and tied.p == 1


# Over tasks ------------------------------------------------------------------------------------


def test_critical_values_are_demsars() -> None:
    five = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]  # table 5a
    ten = [1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920]
    for k, (at_five, at_ten) in enumerate(zip(five, ten, strict=True), start=2):
        assert nemenyi_critical_value(k) == pytest.approx(at_five, abs=1.1e-3)
        assert nemenyi_critical_value(k, 0.1) == pytest.approx(at_ten, abs=1.1e-3)


def test_demsars_example() -> None:
    # Section 3.2.2, ranks of table 6: four algorithms on 14 data sets.
    ranks = """4 3 2 1|1 2 3 4|4 1 2 3|4 1 3 2|4 2 3 1|1 2.5 4 2.5|3 2 4 1|2.5 2.5 4 1|4 3 2 1|
        2.5 2.5 2.5 2.5|4 2.5 1 2.5|3 2 4 1|4 1 2 3|3 1 4 2"""
    table = np.array([row.split() for row in ranks.split("|")], float)
    found = friedman(dict(zip("abcd", table.T, strict=True)))
    assert found.mean_ranks == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    assert found.critical_difference == pytest.approx(1.25, abs=0.005)
    # His 9.28 is not corrected for the three pairs and the one quadruple that tie.
    ties = 1 - (3 * (2**3 - 2) + (4**3 - 4)) / (14 * 4 * (4**2 - 1))
    assert found.chi_squared == pytest.approx(9.28 / ties, abs=0.01)
    assert found.f == pytest.approx(13 * found.chi_squared / (14 * 3 - found.chi_squared))
    assert found.p == pytest.approx(stats.f.sf(found.f, 3, 39))


def test_friedman_is_scipys_and_nemenyi_agrees_with_its_difference() -> None:
    scores = {name: np.random.default_rng(n).random(20) + 0.3 * n for n, name in enumerate("abcd")}
    found = friedman(scores)
    assert found.chi_squared == pytest.approx(stats.friedmanchisquare(*scores.values()).statistic)
    assert 0 <= found.p < 0.05
    apart = np.abs(found.mean_ranks[:, None] - found.mean_ranks)
    assert ((found.pairs < 0.05) == (apart > found.critical_difference)).all()
    assert np.allclose(found.pairs, found.pairs.T)


def test_ranks_share_ties_and_put_infinity_last() -> None:
    scores = {"a": np.array([0.1, 0.5]), "b": np.array([0.1, INF]), "c": np.array([0.0, 0.2])}
    assert task_ranks(scores).tolist() == [[2.5, 2.5, 1], [2, 3, 1]]


def test_all_ties_and_full_agreement_are_no_error() -> None:
    tied = friedman({name: np.zeros(6) for name in "abc"})
    assert (tied.chi_squared, tied.p) == (0, 1)
    clear = friedman({name: np.full(6, float(n)) for n, name in enumerate("abc")})
    assert clear.f == INF and clear.p == 0


def test_few_tasks_or_algorithms_are_refused() -> None:
    with pytest.raises(InvalidSetting, match="4 tasks; ranks over tasks are compared from 5"):
        friedman({name: np.arange(4.0) for name in "abc"})
    with pytest.raises(InvalidSetting, match="2 algorithms"):
        friedman({name: np.arange(6.0) for name in "ab"})


def test_the_diagram_joins_what_the_p_values_do_not_separate() -> None:
    ranks, p = np.array([[3.0, 1.0, 4.0, 2.0]]), np.full((4, 4), 0.5)
    for one, other in ((1, 2), (3, 2)):  # ranks 1 and 4, 2 and 4 differ
        p[one, other] = p[other, one] = 0.01
    ranking = FriedmanResult(("a", "$b$", "c" * 40, "d"), ranks, 1.0, 1.0, 0.01, 1.5, p)
    figure = Figure()
    ax = critical_difference(figure.subplots(), ranking, plots.looks(ranking.algorithms))
    figure.draw_without_rendering()
    lines = [np.asarray(line.get_xdata(), float).tolist() for line in ax.lines]
    bars = [x for x, line in zip(lines, ax.lines, strict=True) if line.get_linewidth() == 4]
    assert sorted(bars) == [[1, 2, 3], [3, 4]]
    assert [1, 2.5] in lines  # the critical difference
    texts = {text.get_text(): text.get_gid() for text in ax.texts}
    assert texts.pop("critical difference 1.50") is None
    assert texts == {
        r"\$b\$  1.00": "series-1",
        "d  2.00": "series-3",
        "3.00  a": "series-0",
        f"4.00  {'c' * 31}…": "series-2",
    }


def test_the_diagram_of_ties_alone_is_drawn() -> None:
    ranking = friedman({name: np.zeros(6) for name in "abc"})
    ax = critical_difference(Figure().subplots(), ranking, plots.looks(ranking.algorithms))
    assert {text.get_text() for text in ax.texts} >= {"a  2.00", "b  2.00", "2.00  c"}
