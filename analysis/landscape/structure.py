"""How operations, depth and width affect a cell's accuracy and cost.

Source: Ying et al. 2019, section 3.2 (figures 4 and 5).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.spaces.nasbench101.cell import OPERATIONS, edge_bit
from nasbench_kit.spaces.nasbench101.index import CODES

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit.spaces.nasbench101.space import CellSpace


# Operation replacement ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Pairs:
    """All pairs of cells that differ in the operation of one vertex, from one kind to another.

    Args:
        old: the operation replaced, its name.
        new: the operation in its place.
        before: row of the cell with the old one, [pairs].
        after: row of the cell with the new one, [pairs].
        graph: number of their common unlabelled graph, [pairs].
    """

    old: str
    new: str
    before: NDArray[np.int32]
    after: NDArray[np.int32]
    graph: NDArray[np.int16]


def replacements(space: CellSpace) -> list[Pairs]:
    """3x3 -> 1x1, 3x3 -> pooling and 1x1 -> pooling: every cell, every vertex with the first.

    The graph stays the same. A restricted space has only the pairs whose cells it holds both.
    """
    index = space.direct
    by_graph = index.rows.reshape(-1, CODES)
    rows = np.arange(len(space), dtype=np.int32)
    size, code = index.graph_size[index.row_graph], index.row_code.astype(np.int64)
    pairs = []
    for old, new in itertools.combinations(range(len(OPERATIONS)), 2):
        before, after = [rows[:0]], [rows[:0]]
        for position in range(space.max_vertices - 2):
            power = 3**position
            having = rows[(position < size) & (code // power % 3 == old)]
            changed = by_graph[index.row_graph[having], code[having] + (new - old) * power]
            before.append(having[changed >= 0])
            after.append(changed[changed >= 0])
        sources, targets = np.concatenate(before), np.concatenate(after)
        graph = index.row_graph[sources]
        pairs.append(Pairs(OPERATIONS[old], OPERATIONS[new], sources, targets, graph))
    return pairs


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % bootstrap interval, and how many pairs and graphs it rests on.

    The interval is NaN where all pairs are of one graph.
    """

    mean: float
    low: float
    high: float
    pairs: int
    graphs: int


def mean_change(
    changes: NDArray[np.float64], graph: NDArray[np.integer], rng: Generator, resamples: int = 2_000
) -> Estimate:
    """Mean over pairs; the interval resamples whole graphs.

    The pairs of one graph share cells and structure; pairs of two graphs share no cell. So graphs,
    not pairs, are the independent units.

    Args:
        changes: [pairs], at least one.
        graph: the unit of each, [pairs].
        rng: draws the resamples.
        resamples: how many.
    """
    _, unit = np.unique(graph, return_inverse=True)
    sums, counts = np.bincount(unit, changes), np.bincount(unit)
    units = len(counts)
    if units == 1:
        return Estimate(float(changes.mean()), np.nan, np.nan, len(changes), units)
    weights = rng.multinomial(units, np.full(units, 1 / units), resamples)
    low, high = np.quantile(weights @ sums / (weights @ counts), [0.025, 0.975])
    return Estimate(float(changes.mean()), float(low), float(high), len(changes), units)


# Depth and width ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shape:
    """Measures of every cell, [rows] each.

    Args:
        vertices: number of vertices, input and output included.
        edges: number of edges.
        depth: edges on the longest path from input to output.
        width: edges of the largest directed cut: the most that leave a set of vertices which holds
            the input, not the output, and with each vertex all that feed it.
        feature_maps: full-width feature maps kept for the backward pass, see ``_feature_maps``.
    """

    vertices: NDArray[np.int64]
    edges: NDArray[np.int64]
    depth: NDArray[np.int64]
    width: NDArray[np.int64]
    feature_maps: NDArray[np.float64]


def shapes(space: CellSpace) -> Shape:
    """Depth, width and the like of every cell; computed once for each unlabelled graph."""
    index = space.direct
    graphs, of_row = np.unique(index.row_graph, return_inverse=True)
    bits = index.graph_bits[graphs].astype(np.int64)
    vertices = index.graph_size[graphs].astype(np.int64) + 2
    depth, width = np.empty_like(bits), np.empty_like(bits)
    for size in np.unique(vertices).tolist():
        members = vertices == size
        depth[members] = _depth(bits[members], size)
        width[members] = _width(bits[members], size)
    edges = np.bitwise_count(bits).astype(np.int64)
    return Shape(
        vertices[of_row],
        edges[of_row],
        depth[of_row],
        width[of_row],
        _feature_maps(space, bits[of_row], vertices[of_row]),
    )


def _edge(bits: NDArray[np.int64], source: int, target: int) -> NDArray[np.bool_]:
    return (bits >> edge_bit(source, target) & 1).astype(np.bool_)


def _depth(bits: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    longest = np.zeros((size, len(bits)), np.int64)  # to each vertex
    for target in range(1, size):
        for source in range(target):
            step = np.where(_edge(bits, source, target), longest[source] + 1, 0)
            np.maximum(longest[target], step, out=longest[target])
    return longest[-1]


def _width(bits: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    widest = np.zeros(len(bits), np.int64)
    for chosen in itertools.product((True, False), repeat=size - 2):
        inside = (True, *chosen, False)
        leaving, entering = 0, 0
        for source, target in itertools.combinations(range(size), 2):
            if inside[source] and not inside[target]:
                leaving |= 1 << edge_bit(source, target)
            elif inside[target] and not inside[source]:
                entering |= 1 << edge_bit(source, target)
        cut = np.where(bits & entering, 0, np.bitwise_count(bits & leaving))
        np.maximum(widest, cut, out=widest)
    return widest


def _feature_maps(
    space: CellSpace, bits: NDArray[np.int64], vertices: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Activation memory of a cell, in maps of its output's width.

    A training step keeps two maps of each convolution (before and after batch norm and ReLU) and
    one of each pooling, sum and concatenation. Interior vertices share the output's channels out
    among those that feed it (Ying et al. 2019, section 2.3), so each is 1 / feeders wide.
    """
    kept = np.zeros(len(bits))
    pooling = OPERATIONS.index("maxpool3x3")
    code = space.direct.row_code.astype(np.int64)
    for size in np.unique(vertices).tolist():
        members = np.flatnonzero(vertices == size)
        graph = bits[members]
        output = size - 1
        skip = _edge(graph, 0, output)
        feeders = sum(
            (_edge(graph, v, output).astype(np.int64) for v in range(1, output)), 0 * graph
        )
        maps = 2.0 * skip + (feeders > 1) + (skip & (feeders > 0))
        for v in range(1, output):
            sources = sum((_edge(graph, u, v).astype(np.int64) for u in range(v)), 0 * graph)
            pools = code[members] // 3 ** (v - 1) % 3 == pooling
            inner = 2 * _edge(graph, 0, v) + (sources > 1) + np.where(pools, 1, 2)
            maps += inner / feeders
        kept[members] = maps
    return kept
