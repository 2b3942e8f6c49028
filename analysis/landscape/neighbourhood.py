"""Neighbours and distances of all architectures of a numbered space, from its decisions.

Cells have a faster way of their own (`nasbench_kit.spaces.nasbench101.neighbourhood` and
`nasbench_kit.analysis.landscape.encodings`). Of any other space the neighbours are asked; where they
are all single changes of a decision, rows are compared by their options instead, all at once.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.spaces.decisions import DecisionSpace
from nasbench_kit.spaces.nasbench101.space import CellSpace
from nasbench_kit.spaces.restricted import Restricted

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from nasbench_kit.spaces.protocols import Numbered

#: The neighbourhood that was asked for last, by the digest of its space.
_latest: dict[str, Neighbourhood] = {}


def neighbourhood(space: Numbered) -> Neighbourhood:
    """The neighbourhood of a space; that of the latest space is kept."""
    if space.digest not in _latest:
        _latest.clear()
        _latest[space.digest] = Neighbourhood(space)
    return _latest[space.digest]


class Neighbourhood:
    """The neighbour graph of a numbered space, and distances in it."""

    def __init__(self, space: Numbered) -> None:
        self.space = space

    @functools.cached_property
    def options(self) -> NDArray[np.int64]:
        """The option of every decision: [rows, decisions]."""
        space = self.space
        return np.array([space.encode(space[row]) for row in range(len(space))], np.int64)

    @functools.cached_property
    def graph(self) -> csr_array:
        """The symmetric neighbour relation: a 0-1 CSR matrix, int8 [rows, rows].

        Two architectures are neighbours if either is among the neighbours of the other.
        """
        space = self.space
        if isinstance(space, CellSpace):
            return space.neighbour_graph()
        if isinstance(space, Restricted):
            return neighbourhood(space.whole).graph[space.kept][:, space.kept]
        sources, targets = self._single_changes() if _changes_decisions(space) else self._asked()
        return _symmetric(len(space), sources, targets)

    def neighbours(self, row: int) -> NDArray[np.integer]:
        """The rows of the neighbours of a row, ascending."""
        ends = self.graph.indptr
        return np.sort(self.graph.indices[ends[row] : ends[row + 1]])

    def distances(self, rows: NDArray[np.integer]) -> NDArray[np.integer]:
        """Steps from every architecture to the nearest of these rows: [rows]; -1 where none leads.

        Where all options go with all others, the decisions that differ are counted: as many steps
        are needed, and they suffice.
        """
        space = self.space
        if isinstance(space, Restricted):  # a way may lead outside the rows that are kept
            return neighbourhood(space.whole).distances(space.kept[rows])[space.kept]
        sizes = [len(decision.options) for decision in space.decisions]
        if not _changes_decisions(space) or math.prod(sizes) != len(space):
            return self._steps(rows)
        nearest = np.full(len(space), len(sizes), np.int64)
        for row in rows.tolist():
            np.minimum(nearest, (self.options != self.options[row]).sum(axis=1), out=nearest)
        return nearest

    def _steps(self, rows: NDArray[np.integer]) -> NDArray[np.integer]:
        """The same as lengths of the shortest paths in the graph."""
        from scipy.sparse.csgraph import dijkstra

        steps = dijkstra(self.graph, indices=rows, unweighted=True, min_only=True)
        return np.where(np.isfinite(steps), steps, -1).astype(np.int64)

    def _single_changes(self) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
        """Both ends of every change of one decision that leads to an architecture of the space."""
        sizes = [len(decision.options) for decision in self.space.decisions]
        powers = np.cumprod([1, *sizes[:0:-1]])[::-1]  # what one option more adds to the number
        numbers = self.options @ powers
        order = np.argsort(numbers)
        sources, targets = [], []
        for place, (size, power) in enumerate(zip(sizes, powers.tolist(), strict=True)):
            for turn in range(1, size):
                option = self.options[:, place]
                changed = numbers + ((option + turn) % size - option) * power
                nearest = order[np.searchsorted(numbers, changed, sorter=order) % len(order)]
                kept = np.flatnonzero(numbers[nearest] == changed)
                sources.append(kept)
                targets.append(nearest[kept])
        return np.concatenate(sources), np.concatenate(targets)

    def _asked(self) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
        """Both ends of every arc, from the space's neighbours of one architecture after another."""
        architectures = [self.space[row] for row in range(len(self.space))]
        row_of = {architecture: row for row, architecture in enumerate(architectures)}
        ends = [
            (row, row_of[other])
            for row, architecture in enumerate(architectures)
            for other in self.space.neighbours(architecture)
        ]
        sources, targets = np.array(ends, np.int64).reshape(-1, 2).T
        return sources, targets


def _changes_decisions(space: Numbered) -> bool:
    """Whether its neighbours are all valid single changes, and other options another architecture."""
    return (
        isinstance(space, DecisionSpace)
        and type(space).neighbours is DecisionSpace.neighbours
        and type(space).decode is DecisionSpace.decode
    )


def _symmetric(count: int, sources: NDArray[np.integer], targets: NDArray[np.integer]) -> csr_array:
    from scipy.sparse import coo_array

    other = sources != targets
    ends = sources[other], targets[other]
    arcs = coo_array((np.ones(len(ends[0]), np.bool_), ends), shape=(count, count)).tocsr()
    return (arcs + arcs.T).astype(np.int8)
