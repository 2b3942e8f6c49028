"""Which differences between algorithms are significant: on one table, and over several.

Within a table runs are independent: Mann and Whitney's test, with Holm's correction over all pairs.
Over tables, each table is one task with one score an algorithm: Friedman's test and Nemenyi's critical
difference, from five tasks on.

Source: Demsar 2006, "Statistical comparisons of classifiers over multiple data sets".
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nasbench_kit.analysis.statistics.aggregates import win_share
from nasbench_kit.checks import counted
from nasbench_kit.errors import InvalidSetting

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Scores = NDArray[np.float64]

#: With fewer tasks nothing can be concluded about other ones.
LEAST_TASKS = 5


class Pair(NamedTuple):
    """The comparison of two algorithms."""

    first: str
    second: str
    #: Probability that a run of the first is better, ties counting half: the size of the effect.
    better: float
    #: Two-sided.
    p: float
    #: After Holm's correction over all pairs of the comparison.
    adjusted_p: float


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Adjusted p-values that keep the family-wise error: max over j <= i of (m - j + 1) p_(j).

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    values = np.asarray(p, float)
    order = np.argsort(values, kind="stable")
    steps = np.arange(len(values), 0, -1) * values[order]
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def mann_whitney(scores: Mapping[str, Scores]) -> list[Pair]:
    """All pairs of algorithms on one table, from independent runs: [runs] each, inf is worst."""
    from scipy import stats

    def p_value(first: Scores, second: Scores) -> float:
        if np.unique(np.concatenate([first, second])).size == 1:
            return 1.0  # all tied: scipy divides by zero
        return float(stats.mannwhitneyu(first, second).pvalue)

    names = list(combinations(scores, 2))
    p = [p_value(scores[first], scores[second]) for first, second in names]
    return [
        Pair(first, second, float(win_share(scores[first], scores[second])), value, adjusted)
        for (first, second), value, adjusted in zip(names, p, holm(p).tolist(), strict=True)
    ]


# Over several tasks ----------------------------------------------------------------------------


class FriedmanResult(NamedTuple):
    """Algorithms ranked over tasks."""

    algorithms: tuple[str, ...]
    #: Rank within each task, 1 is best, ties share: [tasks, algorithms].
    ranks: NDArray[np.float64]
    #: Friedman's statistic, corrected for ties, and Iman and Davenport's with its p-value.
    chi_squared: float
    f: float
    p: float
    #: Nemenyi: mean ranks further apart than this differ at the level asked for.
    critical_difference: float
    #: Nemenyi's p-value of each pair: [algorithms, algorithms].
    pairs: NDArray[np.float64]

    @property
    def mean_ranks(self) -> NDArray[np.float64]:
        """Over tasks: [algorithms]."""
        return np.asarray(self.ranks.mean(axis=0))


def task_ranks(scores: Mapping[str, Scores]) -> NDArray[np.float64]:
    """Rank of each algorithm within each task: {algorithm: [tasks]} -> [tasks, algorithms]."""
    from scipy import stats

    return np.asarray(stats.rankdata(np.column_stack(list(scores.values())), axis=1))


def nemenyi_critical_value(algorithms: int, level: float = 0.05) -> float:
    """Critical value q of Nemenyi's: quantile of the studentized range, df infinite, over root 2."""
    from scipy import stats

    return float(stats.studentized_range.ppf(1 - level, algorithms, np.inf) / np.sqrt(2))


def friedman(scores: Mapping[str, Scores], *, level: float = 0.05) -> FriedmanResult:
    """Friedman's test over tasks in Iman and Davenport's form, and Nemenyi's comparison of pairs.

    F = (N - 1) chi^2 / (N (k - 1) - chi^2), with k - 1 and (k - 1)(N - 1) degrees of freedom;
    CD = q sqrt(k (k + 1) / (6 N)). Source: Demsar 2006, section 3.2.2.

    Args:
        scores: one score of each algorithm on each task, lower is better: [tasks] each.
        level: of the critical difference.

    Raises:
        InvalidSetting: fewer than five tasks or three algorithms.
    """
    import scikit_posthocs
    from scipy import stats

    k, n = len(scores), len(next(iter(scores.values()), ()))
    if n < LEAST_TASKS:
        raise InvalidSetting(
            f"{counted(n, 'task')}; ranks over tasks are compared from {LEAST_TASKS} "
            "different tables on"
        )
    if k < 3:
        raise InvalidSetting(
            f"{counted(k, 'algorithm')}; ranks over tasks are compared for 3 or more"
        )
    ranks = task_ranks(scores)
    if (ranks == ranks[0, 0]).all():  # every algorithm ties on every task: scipy divides by zero
        chi_squared, f, p = 0.0, 0.0, 1.0
    else:
        chi_squared = float(stats.friedmanchisquare(*ranks.T).statistic)
        rest = n * (k - 1) - chi_squared
        f = (n - 1) * chi_squared / rest if rest > 1e-9 else float("inf")
        p = float(stats.f.sf(f, k - 1, (k - 1) * (n - 1)))
    return FriedmanResult(
        tuple(scores),
        ranks,
        chi_squared,
        f,
        p,
        nemenyi_critical_value(k, level) * float(np.sqrt(k * (k + 1) / (6 * n))),
        np.asarray(scikit_posthocs.posthoc_nemenyi_friedman(ranks)),
    )
