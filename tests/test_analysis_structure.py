"""Operations, depth and width: by hand, by networkx, by trying every subset."""

from __future__ import annotations

import itertools

import networkx
import numpy as np
import pytest

from nasbench_kit import Cell, CellSpace
from nasbench_kit.analysis.landscape.structure import mean_change, replacements, shapes
from nasbench_kit.spaces.nasbench101.cell import OPERATIONS


def widest_cut(cell: Cell) -> int:
    """The most edges that leave a set of vertices closed under predecessors, input in, output out."""
    graph = cell.to_networkx()
    cuts = []
    for count in range(cell.size - 1):
        for chosen in itertools.combinations(range(1, cell.size - 1), count):
            inside = {0, *chosen}
            if all(set(graph.predecessors(v)) <= inside for v in inside):
                cuts.append(sum(u in inside and v not in inside for u, v in graph.edges))
    return max(cuts)


def test_depth_and_width_by_brute_force() -> None:
    space = CellSpace(5)
    found = shapes(space)
    plain = [row for row in range(len(space)) if space[row].code == 0]  # one a graph
    assert len(plain) == 110
    for row in plain:
        cell = space[row]
        assert found.depth[row] == networkx.dag_longest_path_length(cell.to_networkx())
        assert found.width[row] == widest_cut(cell)
        assert found.vertices[row] == cell.size
        assert found.edges[row] == len(cell.edges())


def test_shapes_of_a_partial_space_are_those_of_its_cells() -> None:
    kept = np.array([5, 60, 90])
    part, whole = shapes(CellSpace(4).restricted(kept)), shapes(CellSpace(4))
    for name, values in vars(part).items():
        assert (values == getattr(whole, name)[kept]).all()


@pytest.mark.parametrize(
    ("text", "maps"),
    [
        ("01/00:", 2),  # a projection
        ("010/001/000:conv3x3", 4),  # projection and convolution
        ("010/001/000:maxpool3x3", 3),  # projection and pooling
        # Two branches of half width, 2 + 2 and 2 + 1, and the concatenation.
        ("0110/0001/0001/0000:conv1x1,maxpool3x3", 4.5),
        # The first feeds the second too, which sums; the input projected and added at the output.
        ("0111/0011/0001/0000:conv1x1,maxpool3x3", 4.5 + 0.5 + 2 + 1),
    ],
)
def test_feature_maps_by_hand(text: str, maps: float) -> None:
    space = CellSpace(4)
    assert shapes(space).feature_maps[space.index(Cell.from_text(text))] == maps


def test_replacements_of_the_smallest_space() -> None:
    space = CellSpace(3)
    row = {cell.to_text(): number for number, cell in enumerate(space)}
    first, second, third = replacements(space)
    assert (first.old, first.new) == OPERATIONS[:2]
    chain, skip = "010/001/000:", "011/001/000:"
    for pairs, old, new in (
        (first, "conv3x3", "conv1x1"),
        (second, "conv3x3", "maxpool3x3"),
        (third, "conv1x1", "maxpool3x3"),
    ):
        found = set(zip(pairs.before.tolist(), pairs.after.tolist(), strict=True))
        assert found == {(row[graph + old], row[graph + new]) for graph in (chain, skip)}


def test_replacements_by_brute_force_whole_and_partial() -> None:
    whole = CellSpace(4)
    kept = np.sort(np.random.default_rng(0).permutation(91)[:60])
    for space in (whole, whole.restricted(kept)):
        for pairs in replacements(space):
            expected = []
            for row, cell in enumerate(space):
                for v in range(1, cell.size - 1):
                    if cell.operations[v] == pairs.old:
                        names = list(cell.operations)
                        names[v] = pairs.new
                        changed = Cell(cell.matrix, names)
                        if changed in space:
                            expected.append((row, space.index(changed)))
            found = zip(pairs.before.tolist(), pairs.after.tolist(), strict=True)
            assert sorted(found) == sorted(expected)


def test_mean_change_in_dumb_cases() -> None:
    rng = np.random.default_rng(0)
    graph = np.array([4, 4, 9])
    constant = mean_change(np.array([2.0, 2, 2]), graph, rng)
    assert (constant.mean, constant.low, constant.high) == (2, 2, 2)
    assert (constant.pairs, constant.graphs) == (3, 2)
    assert np.isnan(mean_change(np.array([1.0, 2]), graph[:2], rng).low)  # one graph tells nothing


def test_the_interval_covers_the_mean_of_independent_graphs() -> None:
    # 400 graphs of 5 pairs that share their graph's effect: the interval must be that of 400
    # numbers, not of 2,000. It is 2 * 1.96 standard errors wide, within 10 %.
    rng = np.random.default_rng(1)
    effects = rng.normal(size=400)
    found = mean_change(np.repeat(effects, 5), np.repeat(np.arange(400), 5), rng)
    assert found.low < found.mean < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 * effects.std() / 20, rel=0.1)
