"""Whether near architectures have near accuracies: the top ones, and accuracy against distance.

Of cells it is the edit distance, of any other space the steps in its neighbour graph. Works on the
whole space or on a uniform sample of its architectures: ``values`` is [rows] of the space, NaN
where a partial table has no row.

Source: Ying et al. 2019, section 3.3; Jones and Forrest 1995 for fitness-distance correlation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.analysis.landscape.fidelity import pearson
from nasbench_kit.errors import NotRecorded

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit.analysis.landscape.distance import Distances

#: Called with (done, in all).
Progress = Callable[[int, int], None]

#: Up to this number of cells all pairs are correlated; in larger spaces pairs with some anchors.
_ALL_PAIRS = 3_000


def top_cells(repeats: NDArray[np.float64], count: int = 12) -> NDArray[np.intp]:
    """The best cells, best first: all within two standard errors of the best mean, as the paper.

    Args:
        repeats: readings [rows, repeats], NaN where there are none.
        count: how many cells if there is one repeat and so no standard error. (The paper found the
            best and 11 others.)
    """
    mean = np.where(np.isnan(repeats), -np.inf, repeats).mean(axis=1)
    order = np.argsort(-mean, kind="stable")[: int(np.isfinite(mean).sum())]
    trainings = repeats.shape[1]
    if trainings == 1:
        return order[:count]
    error = repeats[order[0]].std(ddof=1) / np.sqrt(trainings)
    return order[: int((mean >= mean[order[0]] - 2 * error).sum())]


@dataclass(frozen=True)
class ByDistance:
    """Accuracy at each distance 0, 1, ... to the nearest target.

    Args:
        cells: number of cells with a value, [distances].
        mean, low, high: of their values, with the 5 % and 95 % quantile, [distances]; NaN where
            there are no cells.
        correlation: Pearson's between value and distance; NaN if one of them is constant.
    """

    cells: NDArray[np.int64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    correlation: float


def fitness_distance(
    space: Distances, values: NDArray[np.float64], targets: NDArray[np.integer]
) -> ByDistance:
    """Values against the distance to the nearest of the targets (rows)."""
    distances = space.distances(targets)
    recorded = ~np.isnan(values) & (distances >= 0)
    distances, values = distances[recorded], values[recorded]
    shells = [values[distances == d] for d in range(int(distances.max()) + 1)]
    low, mean, high = np.array(
        [
            (*np.quantile(shell, [0.05, 0.95]), shell.mean()) if len(shell) else (np.nan,) * 3
            for shell in shells
        ]
    ).T[[0, 2, 1]]
    cells = np.array([len(shell) for shell in shells])
    return ByDistance(cells, mean, low, high, pearson(values, distances.astype(np.float64)))


@dataclass(frozen=True)
class Correlogram:
    """Correlation of the values of two architectures, by their distance.

    Args:
        pairs: number of pairs seen at distance 0, 1, ...
        rho: their correlation, [distances]; NaN where there are no pairs.
        error: its standard error; zeros where all pairs of the space were seen.
    """

    pairs: NDArray[np.int64]
    rho: NDArray[np.float64]
    error: NDArray[np.float64]


def correlogram(
    space: Distances,
    values: NDArray[np.float64],
    rng: Generator,
    *,
    anchors: int = 400,
    progress: Progress | None = None,
) -> Correlogram:
    """Correlation by distance: from every cell of a small space, else from random anchors.

    It is to edit distance what a random walk's autocorrelation is to steps, and counts each cell once.
    It needs pairs of cells only, so it also holds on a uniform sample. Deviations from the
    mean sum to zero, so where near cells are alike far ones must differ: rho ends below zero.

    Raises:
        NotRecorded: all cells have the same value.
    """
    recorded = np.flatnonzero(~np.isnan(values))
    deviation = np.zeros_like(values)
    deviation[recorded] = values[recorded] - values[recorded].mean()
    variance = (deviation[recorded] ** 2).mean()
    if variance == 0:
        raise NotRecorded("all cells have the same value; there is nothing to correlate")
    exhaustive = len(recorded) <= _ALL_PAIRS
    chosen = (
        recorded if exhaustive else rng.choice(recorded, min(anchors, len(recorded)), replace=False)
    )
    counts, sums = [], []
    for number, anchor in enumerate(chosen.tolist()):
        distances = space.distances(np.array([anchor]))[recorded]
        reached = distances >= 0
        counts.append(np.bincount(distances[reached]))
        sums.append(
            deviation[anchor] * np.bincount(distances[reached], deviation[recorded[reached]])
        )
        if progress:
            progress(number + 1, len(chosen))
    pairs, products = np.zeros((2, len(chosen), max(map(len, counts))))
    for number, (count, summed) in enumerate(zip(counts, sums, strict=True)):
        pairs[number, : len(count)] = count
        products[number, : len(count)] = summed
    total = pairs.sum(axis=0)
    with np.errstate(invalid="ignore"):
        rho = products.sum(axis=0) / total / variance
        # Anchors are independent draws: the error of a ratio of their sums, linearised.
        residual = products / variance - rho * pairs
        error = np.linalg.norm(residual, axis=0) / total * (not exhaustive)
    rho[0], error[0] = 1, 0  # a cell with itself, whichever were chosen
    return Correlogram(total.astype(np.int64), rho, error)
