"""How well readings agree: between fidelities, between splits, between repeats.

Ranks decide a search, so most numbers here are rank correlations: Kendall's tau-b, which counts the
ties that accuracies of k of n images have, and Spearman's rho. Source: Ying et al. 2019, section 3.1
and supplement (figure 7: Spearman .365 between 36 and 108 epochs among the best tenth).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.checks import counted
from nasbench_kit.errors import InvalidSetting, NotRecorded
from nasbench_kit.table.table import checked, over_repeats

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_kit.table.table import Table


@dataclass(frozen=True)
class Agreement:
    """Correlation of two readings of the same cells.

    Args:
        cells: their number.
        pearson, spearman, tau: linear, of ranks, and Kendall's tau-b; NaN where one reading is
            constant.
    """

    cells: int
    pearson: float
    spearman: float
    tau: float


def pearson(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Linear correlation of two readings [cells]; NaN where one of them is constant."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return np.nan
    return float(np.corrcoef(one, other)[0, 1])


def agreement(one: NDArray[np.float64], other: NDArray[np.float64]) -> Agreement:
    """All three correlations of two readings [cells]."""
    from scipy import stats

    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return Agreement(len(one), np.nan, np.nan, np.nan)
    ranks = stats.rankdata(one), stats.rankdata(other)
    return Agreement(
        len(one),
        pearson(one, other),
        pearson(*ranks),
        float(stats.kendalltau(one, other).statistic),
    )


def best_share(values: NDArray[np.float64], share: float = 0.1) -> NDArray[np.bool_]:
    """Which cells belong to the best share by these values, ties at the border included."""
    return values >= np.quantile(values, 1 - share, method="higher")


@dataclass(frozen=True)
class FidelityPair:
    """Agreement of a short training with a longer one: of all cells, and of the longer's best 10 %."""

    short: int
    long: int
    everywhere: Agreement
    best: Agreement


def between_fidelities(table: Table, metric: str = "validation_accuracy") -> Iterator[FidelityPair]:
    """For each two fidelities of a table: means over repeats compared.

    Raises:
        NotRecorded: the table has one fidelity only, or lacks the metric.
        InvalidSetting: no table.
        CorruptFile: the table's file was altered.
    """
    if len(checked(table).epochs) < 2:
        raise NotRecorded(
            f"the table {table.name} has one fidelity ({counted(table.epochs[0], 'epoch')}); there is none "
            "to compare it with"
        )
    for short, long in itertools.combinations(table.epochs, 2):
        low, high = table.mean(metric, short), table.mean(metric, long)
        best = best_share(high)
        yield FidelityPair(short, long, agreement(low, high), agreement(low[best], high[best]))


@dataclass(frozen=True)
class RepeatNoise:
    """How much the repeats of one training differ, at one fidelity.

    Args:
        epochs: the fidelity.
        between_cells: standard deviation of the cells' means, without the share due to noise.
        within_cells: standard deviation between repeats of a cell, pooled over cells.
        best_within_cells: the same of the best tenth of the cells.
        repeats_agree: agreement of two single repeats (mean over pairs of repeats). One reading
            agrees better with the true accuracy: its Pearson correlation is the root of this one.
        best_agree: the same among the best tenth by the mean.
        rank_shift: median over cells and pairs of repeats of the ranks between two single
            readings, as a share of all cells.
        winner_rank: mean rank, by the mean over repeats, of the cell that is best in one repeat
            (1 is the best).
        within_tenths: standard deviation between repeats in each tenth of the cells by their mean,
            worst tenth first, [10].
    """

    epochs: int
    between_cells: float
    within_cells: float
    best_within_cells: float
    repeats_agree: Agreement
    best_agree: Agreement
    rank_shift: float
    winner_rank: float
    within_tenths: NDArray[np.float64]


def noise(
    table: Table,
    epochs: int,
    metric: str = "validation_accuracy",
    rows: NDArray[np.integer] | None = None,
) -> RepeatNoise:
    """Noise between repeats and what it does to ranks, over all cells or those of some rows.

    Cells with fewer than two repeats are left out; two repeats are compared over the cells that have both.

    Raises:
        NotRecorded: the table has one repeat, or fewer than ten cells with two, or lacks the metric or
            the fidelity.
        InvalidSetting: no table, or no rows of it.
        CorruptFile: the table's file was altered.
    """
    readings = checked(table).values(metric, epochs, missing="nan")  # [cells, repeats]
    if rows is not None:
        try:
            readings = readings[rows]
        except (IndexError, TypeError, ValueError) as error:
            raise InvalidSetting(f"the rows are no rows of {table.name}: {error}") from error
    return noise_of(readings, epochs, f"the table {table.name}")


def noise_of(readings: NDArray[np.float64], epochs: int, called: str) -> RepeatNoise:
    """As ``noise``, of readings [cells, repeats], NaN where there is none.

    Raises:
        NotRecorded: one repeat, or fewer than ten cells with two; ``called`` names what has them.
    """
    from scipy import stats

    counts = (~np.isnan(readings)).sum(axis=1)
    if counts.max(initial=0) < 2:
        raise NotRecorded(
            f"{called} has one repeat of each training; noise between repeats needs "
            "two (fidelities and operations can still be compared)"
        )
    readings, counts = readings[counts > 1], counts[counts > 1]
    if len(readings) < 10:
        raise NotRecorded(
            f"{called} has {counted(len(readings), 'row')} with repeats; their noise needs ten"
        )
    mean = over_repeats(readings, lambda cells: cells.mean(axis=1))
    best = best_share(mean)
    variance = over_repeats(readings, lambda cells: cells.var(axis=1, ddof=1))
    repeats = counts[0] if (counts == counts[0]).all() else stats.hmean(counts)
    pairs = [
        (readings[both, a], readings[both, b], best[both])
        for a, b in itertools.combinations(range(readings.shape[1]), 2)
        if (both := ~np.isnan(readings[:, a]) & ~np.isnan(readings[:, b])).sum() > 9
        and best[both].any()
    ]
    if not pairs:
        raise NotRecorded(f"no ten rows of {called} share two repeats")
    shifts = [
        np.abs(stats.rankdata(-one) - stats.rankdata(-other)) * (len(readings) / len(one))
        for one, other, _ in pairs
    ]
    winners = [column == np.nanmax(column) for column in readings.T if not np.isnan(column).all()]
    rank_of_mean = stats.rankdata(-mean, method="min")
    tenths = np.array_split(variance[np.argsort(mean, kind="stable")], 10)
    return RepeatNoise(
        epochs,
        float(np.sqrt(max(mean.var(ddof=1) - variance.mean() / repeats, 0))),
        float(np.sqrt(variance.mean())),
        float(np.sqrt(variance[best].mean())),
        _mean_agreement([agreement(one, other) for one, other, _ in pairs]),
        _mean_agreement([agreement(one[top], other[top]) for one, other, top in pairs]),
        float(np.median(np.concatenate(shifts)) / len(readings)),
        float(np.mean([rank_of_mean[won].mean() for won in winners])),
        np.sqrt([tenth.mean() for tenth in tenths]),
    )


def _mean_agreement(agreements: list[Agreement]) -> Agreement:
    return Agreement(
        agreements[0].cells,
        float(np.mean([one.pearson for one in agreements])),
        float(np.mean([one.spearman for one in agreements])),
        float(np.mean([one.tau for one in agreements])),
    )
