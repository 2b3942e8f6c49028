"""Local search on a graph of neighbouring cells, exactly: optima, basins, what it reaches and costs.

Nothing is sampled. A start's probability flows along the improving arcs, split as the rule splits
it, until it rests on local optima; since every step improves, the flow ends after as many steps as
the longest path has.

* *best improvement*: to the best neighbour, among equally good ones evenly (White et al. 2021,
  "Local search is state of the art for NAS benchmarks").
* *first improvement*: neighbours in random order, to the first that is better; every better one is
  equally likely. If b of k neighbours are better, it queries (k + 1) / (b + 1) of them on average.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from nasbench_kit.errors import NotRecorded

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

Rule = Literal["best", "first"]


@dataclass(frozen=True)
class Optima:
    """Cells without a better neighbour.

    Args:
        cells: bool [rows], none of whose neighbours is better.
        strict: bool [rows], all of whose neighbours are worse.
        plateaus: number of connected groups of equal cells none of which has a better neighbour.
    """

    cells: NDArray[np.bool_]
    strict: NDArray[np.bool_]
    plateaus: int


@dataclass(frozen=True)
class LocalSearchOutcome:
    """Expected outcome of local search from every cell.

    Args:
        basin: [rows], expected share of starts that end at each cell; 0 except at optima.
        steps: expected number of moves from a random start.
        queries: expected number of queries, with that of the start; repeated ones count again.
        longest: moves on the longest path.
    """

    basin: NDArray[np.float64]
    steps: float
    queries: float
    longest: int

    def reaching(self, values: NDArray[np.float64], at_least: float) -> float:
        """Probability of ending at a cell of at least this value."""
        return float(self.basin[values >= at_least].sum())


def local_optima(graph: csr_array, values: NDArray[np.float64]) -> Optima:
    """Local optima of values [rows] on a symmetric graph of neighbours.

    Raises:
        NotRecorded: some cells have no value.
    """
    from scipy.sparse.csgraph import connected_components

    _complete(values)
    here, there = _arcs(graph)
    rising, level = values[there] > values[here], values[there] == values[here]
    improvable = np.bincount(here[rising], minlength=len(values)) > 0
    tied = np.bincount(here[level], minlength=len(values)) > 0
    ties = graph.copy()
    ties.data = level.astype(graph.dtype)
    ties.eliminate_zeros()
    count, plateau = connected_components(ties, directed=False)
    left = np.bincount(plateau[improvable], minlength=count) > 0
    return Optima(~improvable, ~improvable & ~tied, int((~left).sum()))


def local_search(
    graph: csr_array,
    values: NDArray[np.float64],
    rule: Rule = "best",
    starts: NDArray[np.float64] | None = None,
) -> LocalSearchOutcome:
    """Follow local search from all starts at once.

    Args:
        graph: symmetric neighbours (`CellSpace.neighbour_graph`).
        values: of every cell, [rows]; higher is better.
        rule: which better neighbour to go to.
        starts: probability of each start, [rows]; None for all cells alike.

    Raises:
        NotRecorded: some cells have no value.
    """
    from scipy.sparse import csr_array

    _complete(values)
    count = len(values)
    here, there = _arcs(graph)
    queried = np.diff(graph.indptr).astype(np.float64)  # at an optimum, and by best improvement
    rising = values[there] > values[here]
    better = np.bincount(here[rising], minlength=count)
    if rule == "best":
        best = np.full(count, -np.inf)
        np.maximum.at(best, here, values[there])
        rising &= values[there] == best[here]
    else:
        queried = np.where(better, (queried + 1) / (better + 1), queried)
    here, there = here[rising], there[rising]
    share = 1 / np.bincount(here, minlength=count)[here]
    onward = csr_array((share, (there, here)), shape=(count, count))

    flow = np.full(count, 1 / count) if starts is None else starts / starts.sum()
    basin = np.zeros(count)
    moves, steps, queries = -1, 0.0, 1.0
    while flow.any():
        queries += float(flow @ queried)
        basin += np.where(better == 0, flow, 0)
        flow = onward @ flow
        steps += float(flow.sum())
        moves += 1
    return LocalSearchOutcome(basin, steps, queries, moves)


def _arcs(graph: csr_array) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Both ends of every arc."""
    return np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr)), graph.indices


def _complete(values: NDArray[np.float64]) -> None:
    missing = int(np.isnan(values).sum())
    if missing:
        raise NotRecorded(
            f"{missing:,} of {len(values):,} cells have no value, and better neighbours of "
            "others may be among them; local optima and basins need a complete table"
        )
