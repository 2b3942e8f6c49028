"""What a cell is made of, as numbers: the inputs of the surrogate.

Everything here is exact, depends on the cell alone, and is the same for all its labellings: which
operations are joined, what lies on the paths from input to output, and where in the cell each
operation stands. Channels and costs were tried beside them and told the surrogate hardly more.

Vertices are 0 (input), 1 to 5 (interior), 6 (output); unused ones stand before the output.

Source: Ying et al. 2019, section 3.2 (operations and depth against accuracy).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nasbench_kit.spaces.nasbench101.cell import OPERATIONS, edge_bit
from nasbench_kit.spaces.nasbench101.space import CellSpace

if TYPE_CHECKING:
    from numpy.typing import NDArray

VERTICES = 7
#: Kinds of vertices: the operations, then these.
INPUT, OUTPUT, UNUSED = 3, 4, 5
_KINDS = (*(name.removesuffix("-bn-relu") for name in OPERATIONS), "input", "output")

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


def describe(of: Cells) -> tuple[list[str], NDArray[np.float32]]:
    """Names and values [n, features] of all features of some cells."""
    named = [column for part in (_edges, _paths, _places) for column in part(of)]
    names, columns = zip(*named, strict=True)
    return list(names), np.stack(columns, axis=1).astype(np.float32)


Columns = Iterator[tuple[str, "NDArray[np.generic]"]]


def _edges(of: Cells) -> Columns:
    """Vertices and edges by kind."""
    is_kind = of.kinds[:, :, None] == np.arange(len(_KINDS))
    joined = np.einsum("nui,nuv,nvj->nij", is_kind, of.edges, is_kind, optimize=True)
    operations = range(INPUT)
    for i in operations:
        yield _KINDS[i], is_kind[:, :, i].sum(axis=1)
    for i in (*operations, INPUT):
        for j in (*operations, OUTPUT):
            yield f"{_KINDS[i]} -> {_KINDS[j]}", joined[:, i, j]


def _paths(of: Cells) -> Columns:
    """Paths from input to output by how many vertices of some kinds they pass."""
    for name, kinds in _COUNTED.items():
        counted = np.isin(of.kinds, kinds)
        number = path_counts(of.edges, counted)
        passed = np.arange(number.shape[1])
        yield f"most {name} on a path", np.where(number, passed, 0).max(axis=1)
        yield f"fewest {name} on a path", np.where(number, passed, VERTICES).min(axis=1)
        yield f"mean {name} on a path", number @ passed / number.sum(axis=1)
        yield f"mean {name} behind the output", _walked(of.edges, counted)[:, -1]
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
