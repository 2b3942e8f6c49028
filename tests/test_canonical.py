"""The canonical labelling: that of the spaces, and the same from every labelling of any cell."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings, strategies as st

from nasbench_kit import Cell, CellSpace, register_operation
from nasbench_kit.spaces.nasbench101.canonical import canonical
from nasbench_kit.spaces.nasbench101.cell import OPERATIONS

register_operation("canonical-test")


def test_it_is_that_of_every_space(full_space: CellSpace) -> None:
    five, rng = CellSpace(5), np.random.default_rng(0)
    for row in range(0, len(five), 7):
        assert canonical(five[row]).to_text() == five[row].to_text()
    for row in rng.integers(len(full_space), size=60).tolist():
        assert canonical(full_space[row]).to_text() == full_space[row].to_text()
    for _ in range(60):
        cell = full_space.sample(rng)
        assert canonical(cell).to_text() == full_space[full_space.index(cell)].to_text()


@settings(max_examples=50)
@given(seed=st.integers(0, 2**32), size=st.integers(2, 9))
def test_every_labelling_has_the_same(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = np.triu(rng.random((size, size)) < 0.4, 1).astype(int)
    matrix[np.arange(size - 1), np.arange(1, size)] |= rng.random(size - 1) < 0.5
    matrix[0, -1] = 1
    names = [str(name) for name in rng.choice([*OPERATIONS, "canonical-test"], size - 2)]
    cell = Cell(matrix, names)
    order = a_topological_order(matrix, rng)
    other = Cell(matrix[np.ix_(order, order)], [cell.operations[vertex] for vertex in order])
    assert canonical(cell).to_text() == canonical(other).to_text()
    assert canonical(cell) == cell


def a_topological_order(matrix: np.ndarray, rng: np.random.Generator) -> list[int]:
    last = len(matrix) - 1
    order = [0]
    while len(order) < last:
        ready = [
            vertex
            for vertex in range(1, last)
            if vertex not in order and set(np.flatnonzero(matrix[:, vertex])) <= set(order)
        ]
        order.append(int(rng.choice(ready)))
    return [*order, last]


def test_many_twins_take_no_time() -> None:
    """Twelve vertices beside each other have 479 million orders, all of them alike."""
    size = 14
    matrix = np.zeros((size, size), int)
    matrix[0, 1:-1] = matrix[1:-1, -1] = 1
    cell = Cell(matrix, ["conv3x3"] * (size - 2))
    assert canonical(cell).to_text() == cell.to_text()


def test_the_smallest_bits_by_trying_all() -> None:
    cell = Cell.from_text(
        "010100/001001/000001/000010/000001/000000:conv1x1,conv3x3,maxpool3x3,conv3x3"
    )
    best = min(
        (
            Cell(moved, [cell.operations[vertex] for vertex in order])
            for order, moved in all_of(cell)
        ),
        key=lambda one: (one.bits, one.code),
    )
    assert canonical(cell).to_text() == best.to_text()


def all_of(cell: Cell) -> list[tuple[list[int], np.ndarray]]:
    found = []
    for inner in itertools.permutations(range(1, cell.size - 1)):
        order = [0, *inner, cell.size - 1]
        moved = cell.matrix[np.ix_(order, order)]
        if not np.tril(moved).any():
            found.append((order, moved))
    return found
