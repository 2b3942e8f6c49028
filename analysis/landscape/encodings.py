"""All encodings of a space at once: which cell each one is, and which edits of it are valid.

An *encoding* is a labelled matrix on ``max_vertices`` vertices together with an operation for every
interior vertex, used or not. Its cell depends only on the matrix left by pruning, so 13,839 pruned
matrices stand for the 1,538,083 valid ones of the full space, and one array of [13,839, 243] rows
for all its 373.8 million encodings.
"""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.analysis.landscape.distance import cell_distances
from nasbench_kit.spaces.nasbench101.cell import edge_bit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_kit.spaces.nasbench101.space import CellSpace


class Encodings:
    """The encodings of a space. Matrices are edge bits, operations codes (see `Cell`).

    Shapes: ``valid`` [2 ** edges]: whether a matrix describes a cell; ``which`` [2 ** edges]: its
    pruned matrix, 0 also for invalid ones; ``pruned`` [P]: the bits of the pruned matrices;
    ``rows`` [P, 3 ** interior]: the space's row, -1 where a restricted space lacks the cell.
    """

    def __init__(self, space: CellSpace) -> None:
        index = space.direct
        self.space = space
        self.interior = space.max_vertices - 2
        self.edges = edge_bit(0, space.max_vertices)
        self.codes = np.arange(3**self.interior)
        self.valid: NDArray[np.bool_] = index.entries > 0
        matrices = np.flatnonzero(self.valid)
        # A pruned matrix is the least of all that prune to it, thus the first of its entry.
        _, first, which = np.unique(index.entries[matrices], return_index=True, return_inverse=True)
        self.pruned: NDArray[np.int64] = matrices[first]
        self.which = np.zeros(len(self.valid), np.int16)
        self.which[matrices] = which
        self.rows: NDArray[np.int32] = index.lookup(self.pruned[:, None], self.codes)

    @functools.cached_property
    def digits(self) -> NDArray[np.int8]:
        """The operations of every code: [3 ** interior, interior]."""
        return (self.codes[:, None] // 3 ** np.arange(self.interior) % 3).astype(np.int8)

    @functools.cached_property
    def used(self) -> NDArray[np.uint8]:
        """Bit mask of the interior vertices that each pruned matrix uses (the first is bit 0): [P]."""
        used = np.zeros(len(self.pruned), np.uint8)
        for source, target in itertools.combinations(range(self.interior + 2), 2):
            ends = (1 << source | 1 << target) >> 1 & (1 << self.interior) - 1
            used |= np.where(self.pruned >> edge_bit(source, target) & 1, ends, 0).astype(np.uint8)
        return used

    @functools.cached_property
    def flips(self) -> NDArray[np.uint8]:
        """How many edge flips of each matrix give another valid one: [2 ** edges]."""
        count = np.zeros(len(self.valid), np.uint8)
        matrices = np.arange(len(self.valid))
        for edge in range(self.edges):
            count += self.valid[matrices ^ 1 << edge]
        return count * self.valid

    def distances(self, rows: NDArray[np.integer]) -> NDArray[np.integer]:
        """Edit distance of every cell to the nearest of these rows: [rows]."""
        return cell_distances(self, rows)

    @property
    def closed(self) -> bool:
        """Whether every change of an operation stays in the space."""
        return bool((self.rows >= 0).all())
