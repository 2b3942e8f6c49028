"""Statistics over tasks: ranks, and aggregates of normalised regret.

The normalised regret of a run is its regret over that of the table's median architecture: 0 is the
table's best, 1 what one architecture drawn at random comes to in the median. It does not depend on which
algorithms took part, nor on how bad the table's worst architectures are.

Sources: Turner et al. 2021, "Bayesian optimization is superior to random search for machine learning
hyperparameter tuning" (the black-box optimization challenge of 2020), whose scores run from the optimum
to the median of a single random evaluation; here nothing is clipped, as interquartile means do not need
it. Aggregates over runs and tasks, with runs resampled within their task: Agarwal et al. 2021 (rliable).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.analysis.statistics.aggregates import (
    Interval,
    bootstrap,
    expected_ranks,
    improvement,
    interquartile_mean,
    percentiles,
)
from nasbench_kit.analysis.statistics.anytime import at_spend
from nasbench_kit.analysis.statistics.comparison import BASELINE
from nasbench_kit.analysis.statistics.rank_tests import FriedmanResult, friedman, task_ranks
from nasbench_kit.errors import InvalidSetting

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit.analysis.statistics.comparison import Comparison


@dataclass(frozen=True)
class AcrossTables:
    """The statistics of several comparisons together.

    They are of the algorithms that took part in every comparison.
    """

    algorithms: list[str]
    #: Algorithms that are left out, as they did not run on every table.
    missing: list[str]
    tables: list[str]
    #: Median final regret and its rank: [tables, algorithms].
    medians: NDArray[np.float64]
    ranks: NDArray[np.float64]
    friedman: FriedmanResult | None
    #: Why there is no Friedman test; empty where there is one.
    refusal: str

    @property
    def mean_ranks(self) -> NDArray[np.float64]:
        """Over tables: [algorithms]."""
        return np.asarray(self.ranks.mean(axis=0))


def across_tables(comparisons: Sequence[Comparison]) -> AcrossTables:
    """Medians, ranks and Friedman's test of the algorithms that took part in every comparison."""
    names = list(dict.fromkeys(name for comparison in comparisons for name in comparison.traces))
    common = [
        name for name in names if all(name in comparison.traces for comparison in comparisons)
    ]
    scores = {
        name: np.array([float(np.median(comparison.final[name])) for comparison in comparisons])
        for name in common
    }
    friedman_result, refusal = None, ""
    try:
        tables = len({comparison.checksum for comparison in comparisons})
        if tables < len(comparisons):
            on = "the same table" if tables == 1 else f"{tables} different tables"
            raise InvalidSetting(
                f"{len(comparisons)} comparisons on {on}; those on one table are no independent tasks, "
                "so mean ranks are not compared"
            )
        friedman_result = friedman(scores)
    except InvalidSetting as error:
        refusal = str(error)
    return AcrossTables(
        common,
        [name for name in names if name not in common],
        table_names(comparisons),
        np.column_stack(list(scores.values())) if common else np.empty((len(comparisons), 0)),
        task_ranks(scores) if common else np.empty((len(comparisons), 0)),
        friedman_result,
        refusal,
    )


def table_names(comparisons: Sequence[Comparison]) -> list[str]:
    """The tables' labels; with the folder's name where that alone is ambiguous."""
    labels = [comparison.label for comparison in comparisons]
    return [
        name if labels.count(name) == 1 else f"{name} ({comparison.name})"
        for name, comparison in zip(labels, comparisons, strict=True)
    ]


# Many tasks --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OverTasks:
    """One algorithm over all tasks."""

    algorithm: str
    runs: int
    #: Mean over tasks of its rank by median final regret.
    mean_rank: float
    #: Tasks on which no algorithm has a lower median.
    best_on: int
    #: Of the normalised regrets of all its runs on all tasks.
    interquartile_mean: Interval
    #: Probability that a run of it is better than one of the baseline's on the same task, averaged over
    #: tasks; None for the baseline itself.
    better: Interval | None


def scale(regrets: NDArray[np.float64]) -> float:
    """What regrets on a table are divided by: the regret of its median architecture.

    Where more than half of the architectures tie for the best, it is the mean regret; where all do, 1.

    Args:
        regrets: of all architectures of the table: [rows].
    """
    return float(np.median(regrets)) or float(np.mean(regrets)) or 1.0


def normalised(comparison: Comparison) -> dict[str, NDArray[np.float64]]:
    """Normalised final regret of each run, inf where nothing was recommended: algorithm -> [runs].

    Raises:
        InvalidSetting: without a table nobody knows the best, and there is no regret.
    """
    if comparison.table is None:
        raise InvalidSetting(
            f"{comparison.name} has no table, so there are errors and no regrets; name comparisons on "
            "tables"
        )
    by = scale(comparison.regrets)
    return {name: final / by for name, final in comparison.final.items()}


def pooled_mean(tasks: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Interquartile mean of the runs of all tasks together: [..., runs] each -> [...]."""
    return interquartile_mean(np.concatenate(tasks, axis=-1))


def baseline_of(algorithms: Sequence[str]) -> str:
    """Random search, or else the algorithm named first."""
    return BASELINE if BASELINE in algorithms else algorithms[0]


def over_tasks(
    comparisons: Sequence[Comparison], across: AcrossTables, rng: Generator
) -> list[OverTasks]:
    """One row for each algorithm that took part in every comparison, best mean rank first.

    Args:
        comparisons: one a task.
        across: of ``across_tables``.
        rng: of the bootstraps.

    Raises:
        InvalidSetting: as ``normalised``.
    """
    if not across.algorithms:
        return []
    by_task = [normalised(comparison) for comparison in comparisons]
    baseline = baseline_of(across.algorithms)
    lowest = across.medians.min(axis=1, keepdims=True)
    best_on = (across.medians == lowest).sum(axis=0)
    rows = []
    for place, name in enumerate(across.algorithms):
        ours = [scores[name] for scores in by_task]
        theirs = [scores[baseline] for scores in by_task]
        rows.append(
            OverTasks(
                algorithm=name,
                runs=sum(map(len, ours)),
                mean_rank=float(across.mean_ranks[place]),
                best_on=int(best_on[place]),
                interquartile_mean=bootstrap(ours, pooled_mean, rng),
                better=None if name == baseline else improvement(ours, theirs, rng),
            )
        )
    return sorted(rows, key=lambda row: (row.mean_rank, row.interquartile_mean.point))


@dataclass(frozen=True)
class CurvesOverTasks:
    """How algorithms do over tasks by the share of the budget that is spent: arrays [grid]."""

    #: Shares of each task's own budget, ascending to 1.
    grid: NDArray[np.float64]
    #: Interquartile mean of normalised regret.
    means: Mapping[str, Interval]
    #: Mean over tasks of the expected rank.
    ranks: Mapping[str, NDArray[np.float64]]


def curves_over_tasks(
    comparisons: Sequence[Comparison],
    algorithms: Sequence[str],
    rng: Generator,
    *,
    points: int = 60,
    resamples: int = 200,
) -> CurvesOverTasks:
    """Normalised regret and rank over all tasks at shares of the budget.

    Each task's spend is in the unit of its own curves, and counts as a share of its own limit.

    Args:
        comparisons: one a task, each on a table.
        algorithms: that took part in all of them.
        rng: draws the resamples.
        points: of the grid.
        resamples: for the intervals, pointwise.
    """
    ends = [_end(comparison) for comparison in comparisons]
    first = max(
        1 / end if comparison.axis == "queries" else 0.01
        for end, comparison in zip(ends, comparisons, strict=True)
    )
    grid = np.geomspace(min(first, 0.5), 1, points)
    grid[-1] = 1
    by_task = [
        {
            name: at_spend(
                comparison.traces[name],
                comparison.scores.loss,
                comparison.axis,
                # Rounding must not take a query away.
                end * grid * (1 + 1e-12),
            )
            / scale(comparison.regrets)
            for name in algorithms
        }
        for comparison, end in zip(comparisons, ends, strict=True)
    ]
    ranks = np.mean(
        [expected_ranks([scores[name] for name in algorithms]) for scores in by_task], axis=0
    )
    means = {}
    for name in algorithms:
        tasks = [scores[name].T for scores in by_task]  # [grid, runs]
        drawn = np.array(
            [
                pooled_mean(
                    [task[:, rng.integers(task.shape[1], size=task.shape[1])] for task in tasks]
                )
                for _ in range(resamples)
            ]
        )
        means[name] = percentiles(pooled_mean(tasks), drawn)
    return CurvesOverTasks(grid, means, dict(zip(algorithms, ranks, strict=True)))


def _end(comparison: Comparison) -> float:
    """The limit of the budget in the unit of the curves, or the most that a run spent of it."""
    limit = comparison.manifest["budget"].get(comparison.axis)
    runs = (run for group in comparison.traces.values() for run in group)
    return float(limit or max(getattr(run, comparison.axis) for run in runs) or 1.0)
