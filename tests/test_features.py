"""nasbench_kit.data.surrogate.features: counted by hand, and the same for every labelling of a cell."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from nasbench_kit import Cell, CellSpace
from nasbench_kit.data.surrogate.features import (
    INPUT,
    OUTPUT,
    UNUSED,
    VERTICES,
    Cells,
    cells,
    describe,
    features,
)
from nasbench_kit.spaces.nasbench101.cell import OPERATIONS


def as_cells(cell: Cell) -> Cells:
    """A cell in the labelling that it has."""
    edges = np.zeros((1, VERTICES, VERTICES), np.int32)
    kinds = np.full((1, VERTICES), UNUSED, np.int8)
    kinds[0, 0], kinds[0, -1] = INPUT, OUTPUT
    for u, v in cell.edges():
        edges[0, u, v if v < cell.size - 1 else VERTICES - 1] = 1
    for vertex in range(1, cell.size - 1):
        kinds[0, vertex] = OPERATIONS.index(cell.operations[vertex])
    return Cells(edges, kinds)


def of(cell: Cell) -> dict[str, float]:
    names, values = describe(as_cells(cell))
    return dict(zip(names, values[0].tolist(), strict=True))


def relabelled(cell: Cell) -> list[Cell]:
    """The cell in every order of its interior vertices that keeps edges pointing forwards."""
    found = []
    for order in itertools.permutations(range(1, cell.size - 1)):
        old = [0, *order, cell.size - 1]
        matrix = cell.matrix[np.ix_(old, old)]
        if not np.tril(matrix).any():
            found.append(Cell(matrix.tolist(), [cell.operations[v] for v in order]))
    return found


def paths(cell: Cell, vertex: int = 0) -> list[list[str]]:
    """Operations along every path from a vertex to the output; the slow, obvious way."""
    if vertex == cell.size - 1:
        return [[]]
    own = [cell.operations[vertex]] if vertex else []
    return [own + rest for u, v in cell.edges() if u == vertex for rest in paths(cell, v)]


def test_the_residual_cell_by_hand() -> None:
    told = of(Cell.named("resnet"))  # two 3x3 convolutions, and a way past both
    assert told["conv3x3"] == 2
    assert told["input -> conv3x3"] == told["conv3x3 -> conv3x3"] == told["input -> output"] == 1
    assert told["paths with 2 conv3x3"] == told["paths with 0 conv3x3"] == 1
    assert (told["fewest vertices on a path"], told["most vertices on a path"]) == (0, 2)
    assert told["mean vertices on a path"] == told["mean conv3x3 behind the output"] == 1
    assert told["conv3x3 at 1 longest from input"] == told["conv3x3 at 2 longest from input"] == 1
    assert told["conv3x3 at 1 shortest to output"] == told["conv3x3 at 2 shortest to output"] == 1
    assert told["maxpool3x3"] == told["paths with 1 conv3x3"] == 0


def test_paths_are_those_found_one_by_one() -> None:
    space = CellSpace()
    for row in np.random.default_rng(0).choice(len(space), 100, replace=False).tolist():
        told, found = of(space[row]), paths(space[row].pruned())
        convolutions = [sum(name != OPERATIONS[2] for name in path) for path in found]
        for k in range(6):
            assert told[f"paths with {k} convolutions"] == convolutions.count(k)
            assert told[f"paths with {k} vertices"] == [len(path) for path in found].count(k)
        assert told["mean convolutions on a path"] == pytest.approx(np.mean(convolutions))


def test_a_random_walk_from_the_output_passes_what_it_should() -> None:
    # output <- a (1x1), b (3x3); a <- input; b <- a, input
    cell = Cell(
        [[0, 1, 1, 0], [0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]],
        ["conv1x1", "conv3x3"],
    )
    told = of(cell)
    assert told["mean conv1x1 behind the output"] == pytest.approx(0.75)  # 1 by a; 1/2 by b
    assert told["mean conv3x3 behind the output"] == pytest.approx(0.5)
    assert told["mean vertices behind the output"] == pytest.approx(1.25)


def test_every_labelling_of_a_cell_has_the_same_features() -> None:
    space = CellSpace()
    compared = 0
    for row in np.random.default_rng(1).choice(len(space), 30, replace=False).tolist():
        cell = space[row]
        for other in relabelled(cell):
            assert of(other) == of(cell)
            compared += 1
    assert compared > 60


def test_rows_of_a_space_are_its_cells() -> None:
    space = CellSpace(6)
    rows = np.random.default_rng(2).choice(len(space), 200, replace=False)
    both = cells(space, rows)
    for place, row in enumerate(rows.tolist()):
        one = as_cells(space[row])
        assert (both.edges[place] == one.edges[0]).all() and (
            both.kinds[place] == one.kinds[0]
        ).all()
    assert (features(space, rows) == describe(both)[1]).all()


def test_few_cells_look_alike() -> None:
    space = CellSpace(6)
    told = features(space, np.arange(len(space)))
    assert np.isfinite(told).all()
    assert len(np.unique(told, axis=0)) > 0.97 * len(space)
