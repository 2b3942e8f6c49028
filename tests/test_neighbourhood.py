"""Which cells are one edit apart, beside a slow enumeration of all encodings and all edits."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict

import numpy as np
import pytest
from scipy.sparse import csr_array

from nasbench_kit import Cell, CellSpace, InvalidCell
from nasbench_kit.spaces.nasbench101.cell import OPERATIONS


@pytest.fixture(scope="module")
def graph(full_space: CellSpace) -> csr_array:
    return full_space.neighbour_graph()


def row_of(graph: csr_array, row: int) -> list[int]:
    return sorted(graph.indices[graph.indptr[row] : graph.indptr[row + 1]].tolist())


def slow_neighbours(space: CellSpace) -> dict[int, set[int]]:
    """Every edit of every encoding, one by one."""
    size = space.max_vertices
    edges, interior = size * (size - 1) // 2, size - 2
    rows = {}
    for bits in range(1 << edges):
        for code in range(3**interior):
            cell = Cell.from_codes(size, bits, code)
            if cell.used() & 1:
                try:
                    rows[bits, code] = space.index(cell)
                except LookupError:
                    continue
    found: dict[int, set[int]] = defaultdict(set)
    for (bits, code), row in rows.items():
        found[row] |= {rows.get((bits ^ 1 << edge, code), row) for edge in range(edges)}
        for v in range(interior):
            rest = code - code // 3**v % 3 * 3**v
            found[row] |= {rows[bits, rest + label * 3**v] for label in range(3)}
        found[row].discard(row)
    return found


@pytest.mark.parametrize("limits", [(2, 1), (3, 3), (4, 6), (4, 3), (5, 9), (5, 5)])
def test_neighbours_of_rows_are_the_edits_of_all_encodings(limits: tuple[int, int]) -> None:
    space = CellSpace(*limits)
    slow = slow_neighbours(space)
    whole = space.neighbour_graph()
    for row in range(len(space)):
        assert row_of(whole, row) == sorted(slow[row])
    for row in range(0, len(space), 1 + len(space) // 300):
        assert space.neighbours(row).tolist() == sorted(slow[row])


def test_neighbours_in_a_sub_space_are_those_inside_it() -> None:
    whole = CellSpace(5)
    kept = np.sort(np.random.default_rng(0).choice(len(whole), 700, replace=False))
    part = whole.restricted(kept)
    graph = part.neighbour_graph()
    for row in range(0, len(part), 7):
        inside = np.searchsorted(kept, np.intersect1d(whole.neighbours(int(kept[row])), kept))
        assert part.neighbours(row).tolist() == inside.tolist()
        assert row_of(graph, row) == inside.tolist()


def test_number_of_arcs_of_the_full_space(graph: csr_array, full_space: CellSpace) -> None:
    assert graph.shape == (len(full_space),) * 2
    assert graph.nnz == 9_154_556
    assert set(np.unique(graph.data)) == {1}
    assert (graph - graph.T).nnz == 0
    assert not graph.diagonal().any()


def test_the_cell_of_two_vertices_has_most_neighbours(full_space: CellSpace) -> None:
    assert len(full_space.neighbours(full_space.index(Cell.from_text("01/00:")))) == 52_602


def test_one_row_at_a_time_agrees_with_all_at_once(graph: csr_array, full_space: CellSpace) -> None:
    for row in (3, 50, 2531, *np.random.default_rng(1).integers(len(full_space), size=4).tolist()):
        assert full_space.neighbours(row).tolist() == row_of(graph, row)


def test_neighbours_of_a_cell_are_the_edits_of_its_own_labelling(full_space: CellSpace) -> None:
    rng = np.random.default_rng(2)
    cells = [full_space.sample(rng) for _ in range(60)] + [
        full_space[row] for row in (0, 4, 900, 70_000)
    ]
    for cell in cells:
        matrix = np.zeros((7, 7), np.int8)  # padded in front of the output
        matrix[: cell.size - 1, : cell.size - 1] = cell.matrix[:-1, :-1]
        matrix[: cell.size - 1, 6] = cell.matrix[:-1, -1]
        operations = [*cell.operations[1:-1], *[OPERATIONS[0]] * (7 - cell.size)]
        edits = []
        for u, v in itertools.combinations(range(7), 2):
            flipped = matrix.copy()
            flipped[u, v] ^= 1
            edits.append((flipped, operations))
        for v, name in enumerate(operations):
            edits += [
                (matrix, [*operations[:v], new, *operations[v + 1 :]])
                for new in OPERATIONS
                if new != name
            ]
        expected: Counter[str] = Counter()
        for edited, names in edits:
            try:
                neighbour = Cell(edited, names)
            except InvalidCell:
                continue
            if len(neighbour.pruned().edges()) <= 9:
                expected[neighbour.to_text()] += 1
        assert Counter(found.to_text() for found in full_space.neighbours(cell)) == expected


def test_what_one_labelling_reaches_all_encodings_reach(full_space: CellSpace) -> None:
    rng = np.random.default_rng(3)
    for _ in range(4):
        cell = full_space.sample(rng)
        row = full_space.index(cell)
        reached = {full_space.index(found) for found in full_space.neighbours(cell)} - {row}
        assert reached <= set(full_space.neighbours(row).tolist())
