"""The direct-address index: from a cell's integers to its row in three array reads, no hashing.

Every upper triangular matrix on V <= 7 vertices is a number below 2 ** 21, its operations are a
number below 3 ** 5. All matrices are pruned at once, brought to a canonical form over the
permutations of the interior vertices, and their labellings numbered up to automorphism:

    entry      = entries[bits]                          which graph, and how it was relabelled
    canonical  = permuted[relabelling, code]            the operations in canonical order
    row        = rows[graph, canonical]                 -1 where there is no such cell

The canonical labelling of a graph is the one with the smallest bits. Among its labellings that are
upper triangular these have the used vertices in front: moving a vertex down lowers every bit. Rows
are sorted by (vertices, bits of the canonical matrix, operations code), so a space of fewer
vertices is a prefix of a larger one. The order is part of every table's format.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.errors import CorruptFile, NotWritable
from nasbench_kit.spaces.nasbench101.cell import edge_bit
from nasbench_kit.system.files import home, replacing

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: An entry packs (graph, relabelling) as graph << 17 | relabelling << 8, ready to be or-ed with an
#: operations code. Graph 0 is "not a cell": all its rows are -1. So are the rows of codes >= 243.
GRAPH_SHIFT = 17
CODES = 256
#: Of the file; to be raised whenever ``build`` gives other arrays.
_VERSION = 1
RELABELLING_MASK = (1 << GRAPH_SHIFT) - CODES


@dataclass(frozen=True)
class Index:
    """The arrays of the index of all cells with at most ``vertices`` vertices and some edge limit.

    Shapes: ``entries`` [2 ** (V (V - 1) / 2)]; ``permuted`` [relabellings * 256]; ``rows``
    [(graphs + 1) * 256]; ``graph_size``, ``graph_bits`` [graphs + 1] (interior vertices, and edge
    bits in a matrix of just that size); ``row_graph``, ``row_code`` [rows]; ``sources``
    [relabellings, V - 2]: the interior vertex at each canonical position, -1 beyond the used ones.
    """

    vertices: NDArray[np.uint8]
    entries: NDArray[np.int32]
    permuted: NDArray[np.uint8]
    rows: NDArray[np.int32]
    graph_size: NDArray[np.uint8]
    graph_bits: NDArray[np.int32]
    row_graph: NDArray[np.int16]
    row_code: NDArray[np.uint8]
    sources: NDArray[np.int8]

    def __post_init__(self) -> None:
        for field in fields(self):  # all searches of a process share them
            getattr(self, field.name).setflags(write=False)

    def digest(self) -> str:
        """SHA-256 of the row order: of each row's size, bits and operations code."""
        order = hashlib.sha256()
        order.update(self.graph_size[self.row_graph].tobytes())
        order.update(self.graph_bits[self.row_graph].astype("<i4").tobytes())
        order.update(self.row_code.tobytes())
        return order.hexdigest()

    def lookup(self, bits: NDArray[np.integer], codes: NDArray[np.integer]) -> NDArray[np.int32]:
        """Rows of cells given by full-size edge bits and operations codes; -1 where invalid."""
        # "clip" takes without numpy's buffering; the indices are in range by construction.
        entry = self.entries.take(bits, mode="clip")
        canonical = self.permuted.take((entry & RELABELLING_MASK) | codes, mode="clip")
        return self.rows.take((entry >> GRAPH_SHIFT << 8) | canonical, mode="clip")

    def save(self, path: Path, max_edges: int) -> None:
        """Write to an uncompressed .npz with a checksum."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        checksum = _checksum(arrays, max_edges)
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, checksum=checksum, **arrays)

    @classmethod
    def load(cls, path: Path, vertices: int, max_edges: int) -> Index:
        """Read what ``save`` wrote of the index with these limits.

        Raises:
            CorruptFile: truncated, altered, of another format or with other limits.
        """
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                arrays = {field.name: file[field.name] for field in fields(cls)}
                checksum = file["checksum"]
        except FileNotFoundError:
            raise
        except Exception as error:  # zipfile, numpy and zlib each have their own
            raise CorruptFile(f"{path} is no index of cells ({error}); delete it") from error
        same = np.array_equal(checksum, _checksum(arrays, max_edges))
        if not same or arrays["vertices"] != vertices:
            raise CorruptFile(f"{path} does not match its checksum; delete it")
        return cls(**arrays)


def _checksum(arrays: dict[str, NDArray[np.generic]], max_edges: int) -> NDArray[np.uint8]:
    digest = hashlib.sha256(f"{_VERSION} {max_edges}".encode())
    for name in sorted(arrays):
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return np.frombuffer(digest.digest(), np.uint8)


@functools.lru_cache(maxsize=8)
def cached(vertices: int, max_edges: int) -> Index:
    """What ``build`` gives, read from the user's cache where that is faster."""
    if vertices < 7:
        return build(vertices, max_edges)
    path = home() / f"index-v{vertices}e{max_edges}.npz"
    try:
        return Index.load(path, vertices, max_edges)
    except (FileNotFoundError, CorruptFile):
        index = build(vertices, max_edges)
    with contextlib.suppress(NotWritable):  # costs half a second each time, no more
        index.save(path, max_edges)
    return index


def build(vertices: int, max_edges: int) -> Index:
    """Build the index of all cells of at most ``vertices`` <= 7 vertices and ``max_edges`` edges."""
    interior = vertices - 2
    bits, pruned, used = _valid_matrices(vertices, max_edges)
    distinct, first, inverse = np.unique(pruned, return_index=True, return_inverse=True)
    canonical, permutation = _canonical_forms(distinct, vertices)
    sizes = np.bitwise_count(used[first]).astype(np.uint8) - np.uint8(2)  # interior vertices

    # One graph per canonical form, by size and by its bits in a matrix of just its size.
    key = sizes.astype(np.int64) << 32 | _shrunk(canonical, sizes, vertices)
    graphs, graph = np.unique(key, return_inverse=True)
    graph_size = np.concatenate([[0], graphs >> 32]).astype(np.uint8)
    graph_bits = np.concatenate([[0], graphs & 0xFFFFFFFF]).astype(np.int32)

    sources, relabelling = _relabellings(used[first], permutation, vertices)
    entries = np.zeros(1 << edge_bit(0, vertices), np.int32)
    packed = (graph + 1) << GRAPH_SHIFT | relabelling << 8
    entries[bits] = packed[inverse]

    rows, row_graph, row_code = _number_rows(graph_size, graph_bits)
    return Index(
        vertices=np.array(vertices, np.uint8),
        entries=entries,
        permuted=_permuted_codes(sources, interior),
        rows=rows,
        graph_size=graph_size,
        graph_bits=graph_bits,
        row_graph=row_graph,
        row_code=row_code,
        sources=sources,
    )


def _valid_matrices(
    vertices: int, max_edges: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.uint8]]:
    """Bits, pruned bits and used vertices of every matrix that describes a cell."""
    bits = np.arange(1 << edge_bit(0, vertices), dtype=np.int32)
    columns = [(bits >> edge_bit(0, v)) & ((1 << v) - 1) for v in range(vertices)]
    reached = np.ones_like(bits)
    for v in range(1, vertices):
        reached |= ((columns[v] & reached) != 0).astype(np.int32) << v
    reaching = np.full_like(bits, 1 << (vertices - 1))
    for v in range(vertices - 1, 0, -1):
        reaching |= np.where(reaching >> v & 1, columns[v], 0)
    used = (reached & reaching).astype(np.uint8)

    inside = np.zeros(1 << vertices, np.int32)  # used vertices -> mask of the edges among them
    for mask in range(1 << vertices):
        members = [v for v in range(vertices) if mask >> v & 1]
        inside[mask] = sum(1 << edge_bit(u, v) for u, v in itertools.combinations(members, 2))
    pruned = bits & inside[used]
    valid = (reached >> (vertices - 1) == 1) & (np.bitwise_count(pruned) <= max_edges)
    return bits[valid], pruned[valid], used[valid]


def _interior_permutations(vertices: int, moved: int) -> list[tuple[int, ...]]:
    """New place of every vertex, for each permutation of the first ``moved`` interior ones."""
    rest = tuple(range(moved + 1, vertices))
    return [(0, *order, *rest) for order in itertools.permutations(range(1, moved + 1))]


def _relabelled(
    bits: NDArray[np.integer], places: tuple[int, ...]
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Bits after moving each vertex v to ``places[v]``, and where all edges still run upwards."""
    moved = np.zeros(len(bits), np.int32)
    backward = 0
    for u, v in itertools.combinations(range(len(places)), 2):
        if places[u] < places[v]:
            moved |= ((bits >> edge_bit(u, v)) & 1) << edge_bit(places[u], places[v])
        else:
            backward |= 1 << edge_bit(u, v)
    return moved, (bits & backward) == 0


def _canonical_forms(
    bits: NDArray[np.int32], vertices: int
) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
    """The least upper triangular relabelling of each matrix, and the permutation that gives it."""
    best = np.full(len(bits), np.iinfo(np.int32).max, np.int32)
    which = np.zeros(len(bits), np.intp)
    for number, places in enumerate(_interior_permutations(vertices, vertices - 2)):
        moved, upward = _relabelled(bits, places)
        better = upward & (moved < best)
        best[better] = moved[better]
        which[better] = number
    return best, which


def _shrunk(bits: NDArray[np.int32], sizes: NDArray[np.uint8], vertices: int) -> NDArray[np.int64]:
    """Bits in a matrix of ``sizes + 2`` vertices: the output's column moves up to the used ones."""
    column = np.array([edge_bit(0, k + 1) for k in range(vertices - 1)])[sizes]
    output = edge_bit(0, vertices - 1)
    interior = bits & ((1 << output) - 1)
    return interior.astype(np.int64) | (bits.astype(np.int64) >> output) << column


def _relabellings(
    used: NDArray[np.uint8], permutation: NDArray[np.intp], vertices: int
) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """The distinct maps of canonical positions to used interior vertices, and which one is whose."""
    places = np.array(_interior_permutations(vertices, vertices - 2))[:, 1:-1]
    sources = np.full((len(used), vertices - 2), -1, np.int8)
    for v in range(1, vertices - 1):
        members = np.flatnonzero(used >> v & 1)
        sources[members, places[permutation[members], v - 1] - 1] = v - 1
    distinct, number = np.unique(sources, axis=0, return_inverse=True)
    return distinct, number.reshape(-1)


def _permuted_codes(sources: NDArray[np.int8], interior: int) -> NDArray[np.uint8]:
    """Canonical operations code for each relabelling and code; 255 for what is no code."""
    codes = np.arange(3**interior)
    permuted = np.full((len(sources), CODES), CODES - 1, np.uint8)
    permuted[:, : len(codes)] = 0
    for position in range(interior):
        vertex = sources[:, position, None].astype(np.int64)
        digit = codes // 3 ** np.maximum(vertex, 0) % 3 * 3**position
        permuted[:, : len(codes)] += np.where(vertex >= 0, digit, 0).astype(np.uint8)
    return permuted.reshape(-1)


def _number_rows(
    graph_size: NDArray[np.uint8], graph_bits: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int16], NDArray[np.uint8]]:
    """Number the labellings of every graph up to its automorphisms."""
    least = np.full((len(graph_size), CODES), -1, np.int64)  # code -> least automorphic code
    for size in range(int(graph_size.max()) + 1):
        members = np.flatnonzero(graph_size == size)
        members = members[members > 0]
        codes = np.arange(3**size)
        least[np.ix_(members, codes)] = codes
        for places in _interior_permutations(size + 2, size):
            moved, upward = _relabelled(graph_bits[members], places)
            automorphic = members[upward & (moved == graph_bits[members])]
            image = sum(
                (codes // 3 ** (v - 1) % 3 * 3 ** (places[v] - 1) for v in range(1, size + 1)),
                start=np.zeros_like(codes),
            )
            block = np.ix_(automorphic, codes)
            least[block] = np.minimum(least[block], image)
    graph, code = np.nonzero(least == np.arange(CODES))
    row_of = np.full(least.shape, -1, np.int32)
    row_of[graph, code] = np.arange(len(graph))
    rows = np.where(least >= 0, np.take_along_axis(row_of, np.maximum(least, 0), axis=1), -1)
    return rows.astype(np.int32).reshape(-1), graph.astype(np.int16), code.astype(np.uint8)
