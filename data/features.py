"""What a cell is made of, as numbers: the inputs of the surrogate.

Everything here is exact and depends on the cell alone: paths, depths, degrees, the channels that
each vertex carries under the official rule, and the parameters, multiplications and activations
that follow from them. The columns are the same for all labellings of a cell, up to the one channel
that a remainder gives to the vertices of lowest index; rows of a space have their canonical one.

Vertices are 0 (input), 1 to 5 (interior), 6 (output); unused ones stand before the output.

Source: Ying et al. 2019, sections 2.2 and 3.2; google-research/nasbench, lib/model_builder.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nasbench_kit.cell import OPERATIONS, edge_bit
from nasbench_kit.space import CellSpace

if TYPE_CHECKING:
    from numpy.typing import NDArray

VERTICES = 7
INTERIOR = slice(1, VERTICES - 1)
#: Kinds of vertices: the operations, then these.
INPUT, OUTPUT, UNUSED = 3, 4, 5
_KINDS = (*(name.removesuffix("-bn-relu") for name in OPERATIONS), "input", "output")

#: The official skeleton: channels and pixels of each stack, cells in a stack, classes.
_STACKS = ((128, 32 * 32), (256, 16 * 16), (512, 8 * 8))
_CELLS = 3
_CLASSES = 10
#: Channels that one to five vertices share out without a remainder.
_SHARES = 60
#: Cells described at a time; the arrays in hand then take some 50 MB.
_BLOCK = 20_000


class Cells(NamedTuple):
    """Many cells: ``edges`` int32 [n, 7, 7] of 0 and 1, ``kinds`` int8 [n, 7]."""

    edges: NDArray[np.int32]
    kinds: NDArray[np.int8]


def cells(space: CellSpace, rows: NDArray[np.integer]) -> Cells:
    """The cells of these rows, in their canonical labelling."""
    edges = np.zeros((len(rows), VERTICES, VERTICES), np.int32)
    kinds = np.full((len(rows), VERTICES), UNUSED, np.int8)
    kinds[:, 0], kinds[:, -1] = INPUT, OUTPUT
    index = space.direct
    graph = index.row_graph[rows]
    for interior in range(VERTICES - 1):
        of_size = np.flatnonzero(index.graph_size[graph] == interior)
        bits = index.graph_bits[graph[of_size]]
        code = index.row_code[rows[of_size]]
        for v in range(1, interior + 2):
            target = v if v <= interior else VERTICES - 1
            for u in range(v):
                edges[of_size, u, target] = bits >> edge_bit(u, v) & 1
            if v <= interior:
                kinds[of_size, v] = code // 3 ** (v - 1) % 3
    return Cells(edges, kinds)


def features(space: CellSpace, rows: NDArray[np.integer]) -> NDArray[np.float32]:
    """The features of cells by row: float32 [n, features]."""
    blocks = (rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK))
    return np.concatenate([describe(cells(space, block))[1] for block in blocks])


def feature_names() -> list[str]:
    """What the columns of ``features`` are."""
    return describe(cells(CellSpace(2), np.array([0])))[0]


def describe(of: Cells) -> tuple[list[str], NDArray[np.float32]]:
    """Names and values [n, features] of all features of some cells."""
    named = [column for part in (_edges, _paths, _places, _costs) for column in part(of)]
    names, columns = zip(*named, strict=True)
    return list(names), np.stack(columns, axis=1).astype(np.float32)


Columns = Iterator[tuple[str, "NDArray[np.generic]"]]


def _edges(of: Cells) -> Columns:
    """Edges by what they join, and vertices by their degrees."""
    is_kind = of.kinds[:, :, None] == np.arange(len(_KINDS))
    joined = np.einsum("nui,nuv,nvj->nij", is_kind, of.edges, is_kind, optimize=True)
    degrees = {"in": of.edges.sum(axis=1), "out": of.edges.sum(axis=2)}
    for i, source in enumerate(_KINDS):
        yield source, is_kind[:, :, i].sum(axis=1)
        for j, target in enumerate(_KINDS):
            yield f"{source} -> {target}", joined[:, i, j]
        for side, degree in degrees.items():
            for k in range(1, VERTICES - 1):
                count = (is_kind[:, :, i] & (degree == k)).sum(axis=1)
                yield f"{source} of {side}-degree {k}", count
    yield "width", _width(of.edges)


def _width(edges: NDArray[np.int32]) -> NDArray[np.int64]:
    """Largest number of edges that leave a set closed under predecessors (a directed cut)."""
    widest = np.zeros(len(edges), np.int64)
    for inside in range(1, 1 << (VERTICES - 1), 2):
        member = (inside >> np.arange(VERTICES) & 1).astype(bool)
        leaving = edges[:, member][:, :, ~member].sum(axis=(1, 2))
        closed = ~edges[:, ~member][:, :, member].any(axis=(1, 2))
        widest = np.maximum(widest, np.where(closed, leaving, 0))
    return widest


def _paths(of: Cells) -> Columns:
    """Paths from input to output by how many vertices of some kinds they pass."""
    share = channels(of, _SHARES) / _SHARES * of.edges[:, INTERIOR, -1]
    for name, kinds in _COUNTED.items():
        counted = np.isin(of.kinds, kinds)
        number = path_counts(of.edges, counted)
        passed = np.arange(number.shape[1])
        yield f"most {name} on a path", np.where(number, passed, 0).max(axis=1)
        yield f"fewest {name} on a path", np.where(number, passed, VERTICES).min(axis=1)
        yield f"mean {name} on a path", number @ passed / number.sum(axis=1)
        behind = _walked(of.edges, counted)
        yield f"mean {name} behind the output", behind[:, -1]
        yield f"mean {name} behind a channel", (behind[:, INTERIOR] * share).sum(axis=1)
        for k in passed:
            yield f"paths with {k} {name}", number[:, k]


_COUNTED = {
    "conv3x3": [0],
    "conv1x1": [1],
    "maxpool3x3": [2],
    "convolutions": [0, 1],
    "vertices": [0, 1, 2],
}


def path_counts(edges: NDArray[np.int32], counted: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Paths from input to output that pass k counted interior vertices: [n, k], k = 0 to 5."""
    number = np.zeros((len(edges), VERTICES, VERTICES - 1), np.int32)
    number[:, 0, 0] = 1
    for v in range(1, VERTICES):
        arriving = np.einsum("nu,nuk->nk", edges[:, :v, v], number[:, :v])
        number[:, v] = np.where(counted[:, v, None], np.roll(arriving, 1, axis=1), arriving)
    return number[:, -1]


def _walked(edges: NDArray[np.int32], counted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Counted vertices that a random walk against the edges passes on average, from each vertex."""
    passed = np.zeros(edges.shape[:2])
    for v in range(1, VERTICES):
        into = edges[:, :v, v]
        mean = (into * passed[:, :v]).sum(axis=1) / np.maximum(into.sum(axis=1), 1)
        passed[:, v] = mean + counted[:, v]
    return passed


def _places(of: Cells) -> Columns:
    """Vertices of each operation by their longest and shortest distance to input and output."""
    backwards = of.edges[:, ::-1, ::-1].transpose(0, 2, 1)
    distances = {
        "longest from input": _distance(of.edges, np.maximum),
        "shortest from input": _distance(of.edges, np.minimum),
        "longest to output": _distance(backwards, np.maximum)[:, ::-1],
        "shortest to output": _distance(backwards, np.minimum)[:, ::-1],
    }
    for kind, operation in enumerate(_KINDS[:INPUT]):
        for name, distance in distances.items():
            for k in range(1, VERTICES - 1):
                count = ((of.kinds == kind) & (distance == k)).sum(axis=1)
                yield f"{operation} at {k} {name}", count


def _distance(edges: NDArray[np.int32], better: np.ufunc) -> NDArray[np.int64]:
    """Length of the best path from the input to each vertex; meaningless for unused vertices."""
    length = np.zeros(edges.shape[:2], np.int64)
    none = 0 if better is np.maximum else VERTICES
    for v in range(1, VERTICES):
        through = np.where(edges[:, :v, v], length[:, :v] + 1, none)
        length[:, v] = better.reduce(through, axis=1)
    return length


def _costs(of: Cells) -> Columns:
    """Channels by operation, and what the whole network computes and keeps."""
    width = channels(of, _SHARES) / _SHARES
    feeding = of.edges[:, INTERIOR, -1]
    for kind, operation in enumerate(_KINDS[:INPUT]):
        carried = width * (of.kinds[:, INTERIOR] == kind)
        yield f"channels of {operation}", carried.sum(axis=1)
        yield f"squared channels of {operation}", (carried**2).sum(axis=1)
        yield f"widest {operation}", carried.max(axis=1)
        yield f"output from {operation}", (carried * feeding).sum(axis=1)
    for name, values in costs(of)._asdict().items():
        yield f"log {name}", np.log(values)


def channels(of: Cells, output: int) -> NDArray[np.int64]:
    """Channels of the interior vertices [n, 5] in cells that give out that many.

    The official rule: the vertices that feed the output share its channels out, the first ones get
    one more where a remainder is left; every other vertex has as many as the widest that it feeds.
    """
    feeding = of.edges[:, INTERIOR, -1]
    share, rest = np.divmod(output, np.maximum(feeding.sum(axis=1), 1))
    one_more = np.cumsum(feeding, axis=1) <= rest[:, None]
    carried = feeding * (share[:, None] + one_more)
    for v in range(carried.shape[1] - 1, -1, -1):
        inherited = (of.edges[:, v + 1, INTERIOR] * carried).max(axis=1)
        carried[:, v] = np.where(feeding[:, v], carried[:, v], inherited)
    return carried


class Costs(NamedTuple):
    """Of the official network for CIFAR-10, int64 [n] each.

    ``multiplications`` of one forward pass of one image; ``activations``: values that convolutions
    and pools give out in it.
    """

    parameters: NDArray[np.int64]
    multiplications: NDArray[np.int64]
    activations: NDArray[np.int64]


def costs(of: Cells) -> Costs:
    """Exact trainable parameters, multiplications and activations (batch norm and sums left out)."""
    stem, pixels = _STACKS[0]
    last = _STACKS[-1][0]
    parameters = np.full(len(of.edges), 27 * stem + 2 * stem + (last + 1) * _CLASSES)
    multiplications = np.full(len(of.edges), 27 * stem * pixels + last * _CLASSES)
    activations = np.full(len(of.edges), stem * pixels)
    area = np.array([9, 1, 0, 0, 0, 0])[of.kinds[:, INTERIOR]]  # weights of an operation's kernel
    takes_input = of.edges[:, 0, 1:]
    entering = stem
    for leaving, pixels in _STACKS:
        inside = channels(of, leaving)
        projected = np.column_stack([inside, np.full(len(inside), leaving)]) * takes_input
        for _ in range(_CELLS):
            weights = (area * inside**2).sum(axis=1) + entering * projected.sum(axis=1)
            normalised = (inside * (area > 0)).sum(axis=1) + projected.sum(axis=1)
            parameters += weights + 2 * normalised
            multiplications += weights * pixels
            activations += (inside.sum(axis=1) + projected.sum(axis=1)) * pixels
            entering = leaving
    return Costs(parameters, multiplications, activations)
