"""Auto-Keras' edit distance between networks: of their main chains, and of what skips over them.

On cells: the main chain is the longest path from input to output, of equally long ones the first in the
canonical labelling. Every other edge is a skip connection, from the depth of its source to the depth of
its target; its kind are the operations of those of its ends that lie beside the chain, so that nothing
of a cell goes unseen. Layers here differ by their operation alone. On other spaces the chain is that of
the decisions, and there are no skips.

Source: Jin, Song, Hu, Auto-Keras, KDD 2019 (arXiv 1806.10282), section 3.1, equations 3 to 8.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_kit.algorithms.model_based.graphs import Graph

#: What deleting or inserting a layer costs, and what two layers of different operations do.
_GAP = 1.0


class Skip(NamedTuple):
    """A connection beside the main chain."""

    start: int  # u, depth of its source
    length: int  # delta, how much deeper its target lies
    kind: tuple[str, ...]  # operations of its ends beside the chain


class Network(NamedTuple):
    """What the distance needs of a graph."""

    chain: tuple[str, ...]  # operations between input and output
    skips: tuple[Skip, ...]  # sorted


def network(graph: Graph) -> Network:
    """The main chain and the skip connections of a graph."""
    count = len(graph.operations)
    depth = [0] * count  # the longest path from the input
    height = [0] * count  # the longest path to the output
    for vertex, fed in enumerate(graph.successors):
        for successor in fed:
            depth[successor] = max(depth[successor], depth[vertex] + 1)
    for vertex in reversed(range(count)):
        height[vertex] = max((height[s] + 1 for s in graph.successors[vertex]), default=0)
    chain = [0]
    while graph.successors[chain[-1]]:
        chain.append(max(graph.successors[chain[-1]], key=lambda s: (height[s], -s)))
    on = set(chain)
    along = set(itertools.pairwise(chain))
    skips = [
        Skip(
            depth[vertex],
            depth[successor] - depth[vertex],
            tuple(graph.operations[end] for end in (vertex, successor) if end not in on),
        )
        for vertex, fed in enumerate(graph.successors)
        for successor in fed
        if (vertex, successor) not in along
    ]
    return Network(tuple(graph.operations[v] for v in chain[1:-1]), tuple(sorted(skips)))


class EditDistance:
    """Distances from new networks to all that have been added, most of them by looking them up.

    Args:
        skip_weight: lambda in equation 3, of the skip connections.
    """

    def __init__(self, skip_weight: float) -> None:
        self._weight = skip_weight
        self._layers: dict[str, int] = {}  # numbers of operations, from 1 on; 0 is no layer
        self._chains: list[list[int]] = []
        self._skips: list[int] = []
        self._numbers: dict[tuple[Skip, ...], int] = {}  # of sets of skip connections
        self._between: dict[tuple[int, int], float] = {}  # distances of these, by their numbers
        self._members: list[tuple[Skip, ...]] = []

    def add(self, one: Network) -> None:
        """Another network that distances lead to."""
        self._chains.append(self._chain(one))
        self._skips.append(self._set(one))

    def __call__(self, ones: Sequence[Network]) -> NDArray[np.float64]:
        """Equation 3 for each of these networks and each one added, float64 [networks, added]."""
        chains = chain_distances([self._chain(one) for one in ones], self._chains)
        sets = [self._set(one) for one in ones]
        skips = [[self._skip_distance(one, other) for other in self._skips] for one in sets]
        return chains + self._weight * np.array(skips)

    def _chain(self, one: Network) -> list[int]:
        return [self._layers.setdefault(layer, len(self._layers) + 1) for layer in one.chain]

    def _set(self, one: Network) -> int:
        if one.skips not in self._numbers:
            self._numbers[one.skips] = len(self._members)
            self._members.append(one.skips)
        return self._numbers[one.skips]

    def _skip_distance(self, one: int, other: int) -> float:
        pair = (one, other) if one < other else (other, one)
        if pair not in self._between:
            self._between[pair] = skip_distance(*(self._members[number] for number in pair))
        return self._between[pair]


def chain_distances(
    ones: Sequence[Sequence[int]], others: Sequence[Sequence[int]]
) -> NDArray[np.float64]:
    """D_l, the alignment of layers (equation 4): float64 [ones, others].

    Args:
        ones: chains of layers as numbers from 1 on.
        others: others.
    """
    lengths = np.array([len(chain) for chain in ones]), np.array([len(chain) for chain in others])
    a, b = (_padded(chains) for chains in (ones, others))
    costs = np.zeros((a.shape[1] + 1, b.shape[1] + 1, len(a), len(b)))  # A(i, j), for all pairs
    costs[1:, 0] = _GAP * np.arange(1, a.shape[1] + 1)[:, None, None]
    costs[0, 1:] = _GAP * np.arange(1, b.shape[1] + 1)[:, None, None]
    for i in range(a.shape[1]):
        for j in range(b.shape[1]):
            change = costs[i, j] + (a[:, i, None] != b[:, j])
            gap = np.minimum(costs[i, j + 1], costs[i + 1, j]) + _GAP
            np.minimum(change, gap, out=costs[i + 1, j + 1])
    pairs = np.ix_(range(len(a)), range(len(b)))
    return costs[lengths[0][:, None], lengths[1], *pairs]


def _padded(chains: Sequence[Sequence[int]]) -> NDArray[np.intp]:
    together = np.zeros((len(chains), max(map(len, chains))), np.intp)
    for row, chain in zip(together, chains, strict=True):
        row[: len(chain)] = chain
    return together


def skip_distance(ones: Sequence[Skip], others: Sequence[Skip]) -> float:
    """D_s, the cheapest matching of skip connections; each one left over costs 1 (equations 6 to 8)."""
    from scipy.optimize import linear_sum_assignment

    left_over = abs(len(ones) - len(others))
    if not ones or not others:
        return float(left_over)
    costs = np.array([[_between(one, other) for other in others] for one in ones])
    return float(costs[linear_sum_assignment(costs)].sum()) + left_over


def _between(one: Skip, other: Skip) -> float:
    """d_s, at most 1."""
    if one.kind != other.kind:
        return 1.0
    apart = abs(one.start - other.start) + abs(one.length - other.length)
    return apart / (max(one.start, other.start) + max(one.length, other.length))
