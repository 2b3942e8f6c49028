"""Edit distances from many cells at once, and how much of the space lies near a few cells.

Two distances, both the paper's Hamming distance (edges that differ plus operations that differ):

* between *cells*: least over the labellings of the two pruned cells, the operation of an unused
  vertex being free (`CellSpace.distance`);
* from an *encoding* to cells: to the nearest of all their encodings, dangling edges and unused
  operations included, as in "35.4 % of the search space is within distance 6 of a top cell".

Source: Ying et al. 2019, section 3.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_kit.analysis.landscape.encodings import Encodings


class Distances(Protocol):
    """How far apart the architectures of a space are: `Encodings` of cells, `Neighbourhood` of others."""

    def distances(self, rows: NDArray[np.integer]) -> NDArray[np.integer]:
        """From every architecture to the nearest of these rows: [rows]; negative where none is."""
        ...


#: More than any distance; a cell of seven vertices has 26 variables.
_FAR = 255


def cell_distances(encodings: Encodings, rows: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Distance of every cell of the space to the nearest of these: [rows].

    Every labelling of every cell against every labelling of each target.
    """
    vertices = np.arange(encodings.interior)
    subsets = (np.arange(1 << encodings.interior)[:, None] >> vertices & 1).astype(np.uint8)
    nearest = np.full(encodings.rows.shape, _FAR, np.uint8)
    for target, code in np.argwhere(np.isin(encodings.rows, rows)).tolist():
        used = subsets[encodings.used[target]]
        if (encodings.digits[code] * (1 - used)).any():
            continue  # the operations of unused vertices are free: code 0 stands for all
        flips = np.bitwise_count(encodings.pruned ^ encodings.pruned[target])
        differ = encodings.digits != encodings.digits[code]  # [codes, interior]
        changes = (subsets & used) @ differ.T.astype(np.uint8)  # [used vertices, codes]
        np.minimum(nearest, flips[:, None] + changes[encodings.used], out=nearest)
    distances = np.full(len(encodings.space) + 1, _FAR, np.uint8)  # the last answers row -1
    np.minimum.at(distances, encodings.rows.ravel(), nearest.ravel())
    return distances[:-1]


def encoding_distances(
    encodings: Encodings, rows: NDArray[np.integer]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many encodings lie at each distance to the nearest encoding of these cells.

    One pass for each code of operations: an encoding of a target starts with the number of
    operations that differ, then the distance spreads over the matrices, edge by edge (Hamming
    distance leads through invalid matrices too).

    Returns:
        int64 [distances] twice: counts at distance 0, 1, ... of the valid encodings, and of all
        2 ** edges * 3 ** interior (the paper's "510 M").
    """
    near = np.isin(encodings.rows, rows)  # [pruned matrices, codes]
    hamming = (encodings.digits[:, None] != encodings.digits).sum(axis=2, dtype=np.uint8)
    changes = np.full(near.shape, _FAR, np.uint8)  # least number, from each code
    targets = np.unique(np.nonzero(near)[0])
    for target in targets.tolist():
        changes[target] = hamming[near[target]].min(axis=0)
    matrices = np.flatnonzero(encodings.valid & np.isin(encodings.which, targets))
    low = encodings.edges // 2
    shape = 1 << (encodings.edges - low), 1 << low
    # Bit 7 marks the valid ones, so that one histogram counts both; transposed as ``grid`` will be.
    marks = (encodings.valid.astype(np.uint8) << 7).reshape(shape).T
    counts = np.zeros(256, np.int64)
    for code in encodings.codes:
        # Nothing so far away that the steps to come would overflow.
        grid = np.full(shape, _FAR - encodings.edges, np.uint8)
        grid.reshape(-1)[matrices] = changes[encodings.which[matrices], code]
        _spread(grid)
        grid = np.ascontiguousarray(grid.T)
        _spread(grid)
        counts += np.bincount((grid | marks).reshape(-1), minlength=256)
    invalid, valid = counts.reshape(2, 128)
    return np.trim_zeros(valid, "b"), np.trim_zeros(valid + invalid, "b")


def _spread(grid: NDArray[np.uint8]) -> None:
    """Let each number be at most one more than any that differs in one bit of the first axis."""
    inner = grid.shape[1]
    while inner < grid.size:
        ends = grid.reshape(-1, 2, inner)
        absent, present = ends[:, 0], ends[:, 1]
        nearer = np.minimum(absent, present + np.uint8(1))
        np.minimum(present, absent + np.uint8(1), out=present)
        absent[...] = nearer
        inner *= 2
