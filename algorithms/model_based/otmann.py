"""OTMANN: the optimal transport distance between networks.

Layers carry mass. A layer's mass is matched with that of like layers in like places of the other
network, at a cost for every unit, or stays unmatched at a cost of 1; the distance is what the
cheapest way costs. Layers that cannot be matched with each other fall into kinds, and the transport
problem into one problem for each kind.

On cells: the channels are those of the first stack, path lengths count all layers, convolutions or
poolings (there are no fully connected layers). On other spaces a decision is a layer of a chain, of
which nothing but its option is known; it can be matched with the same option of another decision.

Source: Kandasamy, Neiswanger, Schneider, Poczos, Xing, NeurIPS 2018 (arXiv 1802.07191), section 3 and
appendix A; kirthevasank/nasbot, nn/nn_comparators.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nasbench_kit.algorithms.model_based.transport import largest_gain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_kit.algorithms.model_based.graphs import Graph

#: What a unit of mass costs that is not matched.
_UNMATCHED = 1.0
#: Input and output have this share of all other layers' mass each, and this mass at least.
_SHARE_OF_ENDS, _LEAST_OF_ENDS = 0.1, 100.0
#: Edge lengths of the kernels; convolutions of lengths k and k' mismatch by sqrt(2 |k - k'|) / 10.
_KERNEL_SIZES = {"conv3x3-bn-relu": 3, "conv1x1-bn-relu": 1}
_POOLING = "maxpool3x3"


class Layers(NamedTuple):
    """The layers of one network that can be matched with each other."""

    mass: NDArray[np.float64]  # [layers]
    kernel_size: NDArray[np.float64]  # [layers]; 0 of what is no convolution
    #: Lengths of paths to the input and to the output: [layers, lengths].
    paths: NDArray[np.float64]

    @property
    def key(self) -> bytes:
        """The same for equal layers, and for no others."""
        return b"".join(part.tobytes() for part in self)


class Network(NamedTuple):
    """What the distance needs of a graph."""

    kinds: dict[str, Layers]
    mass: float
    #: By kind, the same where the layers are equal.
    keys: dict[str, bytes]


def network(graph: Graph) -> Network:
    """The masses, labels and places of a graph's layers."""
    masses = _masses(graph)
    paths = _path_lengths(graph)
    members: dict[str, list[int]] = {}
    for vertex, operation in enumerate(graph.operations):
        kind = "convolution" if operation in _KERNEL_SIZES else operation
        members.setdefault(kind, []).append(vertex)
    kinds = {
        kind: Layers(
            masses[vertices],
            np.array([_KERNEL_SIZES.get(graph.operations[v], 0) for v in vertices], float),
            paths[vertices],
        )
        for kind, vertices in members.items()
    }
    keys = {kind: layers.key for kind, layers in kinds.items()}
    return Network(kinds, float(masses.sum()), keys)


def distances(
    ones: Sequence[Network], others: Sequence[Network], structure: Sequence[float]
) -> NDArray[np.float64]:
    """d(one, other) for each coefficient of structural cost: [coefficients, ones, others] (eq. 3)."""
    totals = np.add.outer([net.mass for net in ones], [net.mass for net in others])
    found = np.tile(_UNMATCHED * totals, (len(structure), 1, 1))
    for kind in sorted({kind for net in ones for kind in net.kinds}):
        rows, columns = _Distinct(ones, kind), _Distinct(others, kind)
        if len(columns.nets):
            saved = _saved(rows.layers, columns.layers, np.asarray(structure, float))
            found[:, rows.nets[:, None], columns.nets] -= saved[
                :, rows.which[:, None], columns.which
            ]
    return np.maximum(found, 0)  # rounding


class _Distinct:
    """The layers of one kind of many networks, equal ones once: most networks share theirs with others."""

    def __init__(self, nets: Sequence[Network], kind: str) -> None:
        have = [place for place, net in enumerate(nets) if kind in net.kinds]
        numbers: dict[bytes, int] = {}
        which = [numbers.setdefault(nets[place].keys[kind], len(numbers)) for place in have]
        #: Places of the networks that have such layers, and the number of each one's layers.
        self.nets, self.which = np.array(have, int), np.array(which, int)
        first = np.unique(self.which, return_index=True)[1]
        self._all = [nets[have[place]].kinds[kind] for place in first]

    @property
    def layers(self) -> Layers:
        """Stacked, [distinct, layers, ...]; where there are fewer, layers without mass follow."""
        most = max(len(layers.mass) for layers in self._all)
        stacked = []
        for parts in zip(*self._all, strict=True):
            padded = np.zeros((len(parts), most, *parts[0].shape[1:]))
            for row, part in zip(padded, parts, strict=True):
                row[: len(part)] = part
            stacked.append(padded)
        return Layers(*stacked)


def _saved(one: Layers, other: Layers, structure: NDArray[np.float64]) -> NDArray[np.float64]:
    """What matching saves over leaving all unmatched: [coefficients, ones, others]."""
    from scipy.spatial.distance import cdist

    (m, k), (n, l) = one.mass.shape, other.mass.shape
    lengths = one.paths.shape[-1]
    apart = cdist(
        one.paths.reshape(m * k, lengths), other.paths.reshape(n * l, lengths), "cityblock"
    )
    structural = apart.reshape(m, k, n, l).swapaxes(1, 2) / lengths  # C_str
    sizes = np.abs(one.kernel_size[:, None, :, None] - other.kernel_size[None, :, None, :])
    mismatch = np.sqrt(2 * sizes) / 10  # C_lmm
    cost = mismatch + structure[:, None, None, None, None] * structural
    gain = (2 * _UNMATCHED - cost).transpose(3, 4, 0, 1, 2).reshape(k, l, -1)
    shape = (len(structure), m, n)
    supply = np.broadcast_to(one.mass.T[:, None, :, None], (k, *shape)).reshape(k, -1)
    demand = np.broadcast_to(other.mass.T[:, None, None], (l, *shape)).reshape(l, -1)
    return largest_gain(supply, demand, gain).reshape(shape)


def _masses(graph: Graph) -> NDArray[np.float64]:
    """Input times output channels; of a pooling its channels; of the ends a share of the others' sum."""
    channels = np.array(graph.channels, float)
    poolings = [operation == _POOLING for operation in graph.operations]
    masses = np.where(poolings, channels, channels**2)
    masses[[0, -1]] = 0
    masses[[0, -1]] = max(_SHARE_OF_ENDS * masses.sum(), _LEAST_OF_ENDS)
    return masses


def _path_lengths(graph: Graph) -> NDArray[np.float64]:
    """Shortest, longest and random walk's mean length to the input and output: [vertices, lengths].

    Each counts all layers that follow, the convolutions alone, and the poolings alone.
    """
    convolutions = [operation in _KERNEL_SIZES for operation in graph.operations]
    poolings = [operation == _POOLING for operation in graph.operations]
    counted = np.array([[True] * len(poolings), convolutions, poolings], float).T
    count = len(poolings)
    predecessors: list[list[int]] = [[] for _ in range(count)]
    for vertex, fed in enumerate(graph.successors):
        for successor in fed:
            predecessors[successor].append(vertex)
    to_output = _lengths(graph.successors, counted, range(count - 1, -1, -1))
    to_input = _lengths(predecessors, counted, range(count))
    return np.concatenate([to_output, to_input], axis=1).reshape(count, -1)


def _lengths(
    following: Sequence[Sequence[int]], counted: NDArray[np.float64], order: range
) -> NDArray[np.float64]:
    """Shortest, longest and mean length from each vertex to the end, where nothing follows."""
    lengths = np.zeros((len(following), 3, counted.shape[1]))
    for vertex in order:
        if following[vertex]:
            after = list(following[vertex])
            through = counted[after, None] + lengths[after]
            lengths[vertex, 0] = through[:, 0].min(axis=0)
            lengths[vertex, 1] = through[:, 1].max(axis=0)
            lengths[vertex, 2] = through[:, 2].mean(axis=0)
    return lengths
