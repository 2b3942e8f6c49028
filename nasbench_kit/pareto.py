"""Dominance and hypervolume: what several objectives at once are judged by. All of them are losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def nondominated(losses: NDArray[np.float64]) -> NDArray[np.intp]:
    """The Pareto front of any number of objectives: rows that no other one dominates.

    One row dominates another if it is nowhere worse and somewhere better.

    Args:
        losses: [architectures, objectives], lower is better.

    Returns:
        Their positions, ascending; of equal rows all.
    """
    left = np.lexsort(losses.T[::-1])  # a row is dominated by earlier ones only
    front = []
    while len(left):
        first, rest = left[0], left[1:]
        front.append(first)
        equal = (losses[rest] == losses[first]).all(axis=1)
        left = rest[equal | (losses[rest] < losses[first]).any(axis=1)]
    return np.sort(np.array(front, np.intp))


def hypervolume(losses: NDArray[np.float64], reference: float = 1.0) -> float:
    """The volume that a set of points dominates, up to the reference point.

    Exact, by slices along the last objective: those below a point's value hold one point fewer. Meant
    for two objectives, n log n, or three, n² log n.

    Args:
        losses: [points, objectives], two objectives or more; lower is better. Points need not be a
            front, and those beyond the reference add nothing.
        reference: the reference point's value in every objective.

    Source: Zitzler, Thiele, IEEE TEC 3(4), 1999 (the S metric).
    """
    inside = losses[(losses < reference).all(axis=1)]
    inside = inside[np.argsort(inside[:, -1], kind="stable")]
    thickness = np.diff(inside[:, -1], append=reference)
    if inside.shape[1] == 2:
        widths = reference - np.minimum.accumulate(inside[:, 0])
        return float(thickness @ widths)
    return sum(
        float(depth) * hypervolume(inside[: place + 1, :-1], reference)
        for place, depth in enumerate(thickness)
        if depth > 0
    )
