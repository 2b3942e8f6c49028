"""Trade-offs: which architectures are best for their costs, and the distribution of a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def front(cost: NDArray[np.float64], value: NDArray[np.float64]) -> NDArray[np.intp]:
    """The Pareto front: the cells that are better than every other cell of at most their cost.

    Args:
        cost: [cells], lower is better.
        value: [cells], higher is better.

    Returns:
        Their positions, by cost; of equal cells only the first.
    """
    order = np.lexsort((-value, cost))
    best_before = np.maximum.accumulate(np.concatenate([[-np.inf], value[order][:-1]]))
    return order[value[order] > best_before]


def ecdf(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The distinct values, ascending, and the share of all values that is at most each of them."""
    distinct, counts = np.unique(values, return_counts=True)
    return distinct, counts.cumsum() / len(values)
