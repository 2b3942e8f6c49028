"""Which cells are one edit apart, for one cell or the whole space at once; how far apart two are.

Two unique cells are neighbours when one edit (an edge flipped, an operation changed) of *some* valid
encoding of the one gives the other; vertices on no path and dangling edges belong to an encoding,
so a cell can gain a vertex. Every matrix is visited, but not with all its operations: how an edge
flip carries operations over depends on the two relabellings alone (a *move*), so it is enough to
find the distinct steps (graph, graph, move) and to expand those over the operations.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.spaces.nasbench101.cell import edge_bit
from nasbench_kit.spaces.nasbench101.index import CODES, GRAPH_SHIFT, RELABELLING_MASK, Index

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from nasbench_kit.spaces.nasbench101.cell import Cell

#: In a move, for a canonical position of the new graph: it has no vertex, or one unused before.
_EMPTY, _FREE = -1, -2

#: All distinct moves [moves, V - 2], and which of them leads from relabelling a to b [a, b].
Moves = tuple["NDArray[np.int8]", "NDArray[np.intp]"]


def neighbours(index: Index, row: int, known: Moves) -> NDArray[np.int64]:
    """Sorted rows of all neighbours of one cell."""
    by_graph = index.rows.reshape(-1, CODES)
    graph = int(index.row_graph[row])
    codes = np.flatnonzero(by_graph[graph] == row)  # automorphic ones too
    bits = np.flatnonzero(index.entries >> GRAPH_SHIFT == graph)
    moves, move_of = known
    parts = [by_graph[graph, _operation_changes(codes, int(index.graph_size[graph]))].ravel()]
    for _, target, move in _steps(index, bits, move_of).tolist():
        parts.append(by_graph[target, _images(moves[move], codes)].ravel())
    rows = np.unique(np.concatenate(parts))
    return rows[(rows >= 0) & (rows != row)].astype(np.int64)


def neighbour_graph(index: Index, known: Moves) -> csr_array:
    """The symmetric neighbour relation of all cells: a 0-1 CSR matrix, int8 [rows, rows]."""
    from scipy.sparse import coo_array

    by_graph = index.rows.reshape(-1, CODES)
    moves, move_of = known
    nothing = np.empty(0, np.int32)
    sources, targets = [nothing], [nothing]

    def add_arcs(rows: NDArray[np.int32], images: NDArray[np.int32]) -> None:
        kept = (rows >= 0) & (images >= 0) & (rows != images)
        sources.append(rows[kept])
        targets.append(images[kept])

    # Added edges only: a removed edge is the same pair seen from the other side.
    steps = _steps(index, np.flatnonzero(index.entries), move_of, added_only=True)
    size = index.graph_size[steps[:, 0]]
    for move, k in np.unique(np.column_stack([steps[:, 2], size]), axis=0).tolist():
        graph, target, _ = steps[(steps[:, 2] == move) & (size == k)].T
        codes = np.arange(3**k)
        images = by_graph[target[:, None, None], _images(moves[move], codes)]
        add_arcs(np.broadcast_to(by_graph[graph][:, : 3**k, None], images.shape), images)
    for k in range(1, int(index.graph_size.max()) + 1):
        graphs = by_graph[1:][index.graph_size[1:] == k]
        images = graphs[:, _operation_changes(np.arange(3**k), k)]
        add_arcs(np.broadcast_to(graphs[:, : 3**k, None], images.shape), images)

    ends = np.concatenate(sources), np.concatenate(targets)
    count = len(index.row_graph)
    arcs = coo_array((np.ones(len(ends[0]), np.bool_), ends), shape=(count, count)).tocsr()
    return (arcs + arcs.T).astype(np.int8)


def moves(index: Index) -> Moves:
    """The distinct moves [moves, V - 2], and which one leads from relabelling a to b: [a, b]."""
    count, positions = index.sources.shape
    if not positions:
        return np.empty((1, 0), np.int8), np.zeros((count, count), np.intp)
    place = np.full((count, positions), _FREE, np.int8)  # canonical position of each vertex
    for position in range(positions):
        known = np.flatnonzero(index.sources[:, position] >= 0)
        place[known, index.sources[known, position]] = position
    vertex = index.sources[None]  # at each position of the new graph
    old = np.broadcast_to(place[:, None, :], (count, count, positions))
    move = np.where(vertex >= 0, np.take_along_axis(old, np.maximum(vertex, 0), axis=2), _EMPTY)
    distinct, move_of = np.unique(move.reshape(-1, positions), axis=0, return_inverse=True)
    return distinct, move_of.reshape(count, count)


def _steps(
    index: Index, bits: NDArray[np.intp], move_of: NDArray[np.intp], *, added_only: bool = False
) -> NDArray[np.int64]:
    """Distinct (graph, graph, move) reached from these matrices by one edge flip: [steps, 3]."""
    distinct = []
    for edge in range(len(index.entries).bit_length() - 1):
        start = bits[bits >> edge & 1 == 0] if added_only else bits
        old, new = index.entries[start], index.entries[start ^ 1 << edge]
        old, new = old[new > 0], new[new > 0]
        move = move_of[(old & RELABELLING_MASK) >> 8, (new & RELABELLING_MASK) >> 8]
        graphs = (old >> GRAPH_SHIFT).astype(np.int64) << 16 | new >> GRAPH_SHIFT
        distinct.append(np.unique(graphs << 16 | move))
    steps = np.unique(np.concatenate(distinct))
    return np.column_stack([steps >> 32, steps >> 16 & 0xFFFF, steps & 0xFFFF])


def _images(move: NDArray[np.int8], codes: NDArray[np.intp]) -> NDArray[np.intp]:
    """Codes after a move, one column for each choice of the new vertices' operations."""
    images = np.zeros((len(codes), 1), np.intp)
    for position, source in enumerate(move.tolist()):
        if source == _FREE:
            choice = np.arange(3) * 3**position
            images = (images[:, :, None] + choice).reshape(len(codes), -1)
        elif source != _EMPTY:
            images = images + (codes // 3**source % 3 * 3**position)[:, None]
    return images


def _operation_changes(codes: NDArray[np.intp], size: int) -> NDArray[np.intp]:
    """Codes after changing one of ``size`` operations: [codes, 2 * size]."""
    changed = []
    for position in range(size):
        digit = codes // 3**position % 3
        changed += [codes + ((digit + turn) % 3 - digit) * 3**position for turn in (1, 2)]
    return np.stack(changed, axis=1) if changed else np.empty((len(codes), 0), np.intp)


def distance(one: Cell, other: Cell, vertices: int) -> int:
    """Least Hamming distance over all labellings of two pruned cells of one size."""
    bits_a, codes_a, used_a = _labellings(one, vertices)
    bits_b, codes_b, used_b = _labellings(other, vertices)
    edges = np.bitwise_count(bits_a[:, None] ^ bits_b)
    powers = 3 ** np.arange(vertices - 2)
    digits_a, digits_b = (codes[:, None] // powers % 3 for codes in (codes_a, codes_b))
    both = used_a[:, None] & used_b
    operations = ((digits_a[:, None] != digits_b) & both).sum(axis=2)
    return int(np.min(edges + operations))


def _labellings(
    cell: Cell, vertices: int
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.bool_]]:
    """Bits, codes and used interior vertices of every upper triangular labelling."""
    size, interior = cell.size, vertices - 2
    edges = cell.edges()
    parts = []
    for chosen in itertools.permutations(range(1, interior + 1), size - 2):
        place = (0, *chosen, vertices - 1)
        if all(place[u] < place[v] for u, v in edges):
            digits = (cell.code // 3**v % 3 * 3 ** (place[v + 1] - 1) for v in range(size - 2))
            parts.append(
                (
                    sum(1 << edge_bit(place[u], place[v]) for u, v in edges),
                    sum(digits),
                    [v in chosen for v in range(1, interior + 1)],
                )
            )
    bits, codes, used = zip(*parts, strict=True)
    return np.array(bits, np.int32), np.array(codes), np.array(used, bool)
