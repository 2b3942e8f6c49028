"""Hierarchical evolution: genotypes and the cells that they make, mutations, tournaments."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from nasbench_kit import Budget, Cell, CellSpace, Column, InvalidCell, InvalidSetting, Oracle, Table
from nasbench_kit.algorithms import HierarchicalEvolution
from nasbench_kit.algorithms.evolution.hierarchical_evolution import (
    IDENTITY,
    NOTHING,
    Genotype,
    flattened,
)
from nasbench_kit.spaces.nasbench101.cell import OPERATIONS, edge_bit
from nasbench_kit.testing.made_up import MadeUpSpace, made_up_table
from nasbench_kit.testing.searches import yielded

CONV3, CONV1, POOL = 2, 3, 4
CHAIN = (CONV3, NOTHING, CONV1)  # 0 -> 1 -> 2
SKIP = (NOTHING, IDENTITY, NOTHING)  # 0 -> 2


def test_genotypes_by_hand() -> None:
    space = CellSpace(7, 9)
    # The chain twice in a row.
    twice = Genotype((CHAIN,), (1, 0, 1))
    names = ("conv3x3", "conv1x1", "conv3x3", "conv1x1")
    chain = Cell(np.eye(6, k=1, dtype=int), names)
    assert flattened(twice, 3, 3, space) == chain
    # The chain, and beside it the identity: a residual block.
    block = Genotype((CHAIN, SKIP), (1, 2, 2))
    found = flattened(block, 3, 3, space)
    assert found == Cell([[0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]], names[:2])
    # Nothing but the identity.
    assert flattened(Genotype((SKIP,), (0, 1, 0)), 3, 3, space) == Cell([[0, 1], [0, 0]], [])
    # No path; and three times the chain, which is too large.
    assert flattened(Genotype((CHAIN,), (1, 0, 0)), 3, 3, space) is None
    long = (1, 0, 1, 0, 0, 1)
    assert flattened(Genotype((CHAIN,), long), 3, 4, space) is None


def slowly_flattened(genotype: Genotype, motif_nodes: int, cell_nodes: int) -> Cell | None:
    """All edges with primitives between named nodes; then who reaches whom through identities."""
    edges: list[tuple[tuple[int, ...], tuple[int, ...], int]] = []
    for (i, j), carried in zip(_pairs(cell_nodes), genotype.cell, strict=True):
        if carried == NOTHING:
            continue

        def name(node: int, i: int = i, j: int = j) -> tuple[int, ...]:
            return (i,) if node == 0 else (j,) if node == motif_nodes - 1 else (i, j, node)

        for (a, b), primitive in zip(
            _pairs(motif_nodes), genotype.motifs[carried - 1], strict=True
        ):
            if primitive != NOTHING:
                edges.append((name(a), name(b), primitive))
    identities = [(a, b) for a, b, primitive in edges if primitive == IDENTITY]

    def reached(start: tuple[int, ...]) -> set[tuple[int, ...]]:
        found = {start}
        while new := {b for a, b in identities if a in found} - found:
            found |= new
        return found

    # Vertices: the input, an operation each, the output; with where each begins and ends.
    inner = [(a, b, primitive) for a, b, primitive in edges if primitive > IDENTITY]
    ends = [(0,), *(b for _, b, _ in inner)]
    starts = [*(a for a, _, _ in inner), (cell_nodes - 1,)]
    size = len(inner) + 2
    links = np.zeros((size, size), int)
    for u, end in enumerate(ends):
        for v, start in enumerate(starts, start=1):
            links[u, v] = start in reached(end)
    # In an order in which every edge goes on: by how many vertices lead there.
    closure = np.linalg.matrix_power(links + np.eye(size, dtype=int), size) > 0
    order = sorted(range(size), key=lambda v: (v == size - 1, closure[:, v].sum()))
    try:
        names = [OPERATIONS[inner[v - 1][2] - 2] for v in order[1:-1]]
        return Cell(links[np.ix_(order, order)], names).pruned()
    except InvalidCell:
        return None


def _pairs(nodes: int) -> list[tuple[int, int]]:
    pairs = itertools.combinations(range(nodes), 2)
    return sorted(pairs, key=lambda pair: edge_bit(*pair))


@pytest.mark.parametrize(("motif_nodes", "cell_nodes"), [(3, 4), (2, 4), (4, 3)])
def test_flattening_agrees_with_a_slow_one(motif_nodes: int, cell_nodes: int) -> None:
    space = CellSpace(7, 9)
    search = HierarchicalEvolution(motif_nodes=motif_nodes, cell_nodes=cell_nodes, motifs=4)
    rng = np.random.default_rng(0)
    made = 0
    for _ in range(500):
        genotype = search._random(rng)
        slow = slowly_flattened(genotype, motif_nodes, cell_nodes)
        cell = flattened(genotype, motif_nodes, cell_nodes, space)
        if slow is not None and slow in space:
            assert cell == slow
            made += 1
        else:
            assert cell is None
    assert made > 50


def test_a_mutation_changes_one_edge_of_one_motif() -> None:
    search = HierarchicalEvolution()
    rng = np.random.default_rng(0)
    parent = search._random(rng)
    levels: Counter[str] = Counter()
    count = 4_000
    for _ in range(count):
        child = search._mutated(parent, rng)
        before, after = (
            [*itertools.chain(*genotype.motifs), *genotype.cell] for genotype in (parent, child)
        )
        changed = [
            place for place, pair in enumerate(zip(before, after, strict=True)) if len({*pair}) > 1
        ]
        assert len(changed) == 1
        levels["cell" if changed[0] >= 18 else "motif"] += 1
        assert max(child.cell) <= 6
        assert max(itertools.chain(*child.motifs)) <= POOL
    # Either level half of the time, five sigma.
    assert abs(levels["cell"] - count / 2) < 5 * np.sqrt(count / 4)


def asked(search: HierarchicalEvolution, queries: int) -> list[str]:
    table = made_up_table(CellSpace(5))
    oracle = Oracle(table, Budget(queries=queries), np.random.default_rng(0))
    list(yielded(search, oracle, 0))
    return [charge.item.cell.to_text() for charge in oracle.budget.ledger]


def test_the_control_is_the_same_random_start_for_ever() -> None:
    evolved, control = (
        asked(HierarchicalEvolution.small(), 60),
        asked(HierarchicalEvolution.random(), 60),
    )
    assert evolved[:30] == control[:30]
    assert evolved[30:] != control[30:]


def planted_table() -> Table:
    """The share of 3x3 convolutions among three operations."""
    space = CellSpace(5)
    counts = np.array([cell.operations.count(OPERATIONS[0]) for cell in space])
    columns = {
        ("final", "validation_accuracy"): Column(
            (30 * counts).astype(np.uint16)[:, None, None], 100
        )
    }
    return Table(space, [36], columns)


def mean_late_accuracy(search: HierarchicalEvolution) -> float:
    found = []
    for seed in range(5):
        oracle = Oracle(planted_table(), Budget(queries=150), np.random.default_rng(0))
        list(yielded(search, oracle, seed))
        late = oracle.budget.ledger[100:]
        found += [charge.item.validation_accuracy for charge in late]
    return float(np.mean(found))


def test_the_planted_operation_spreads() -> None:
    """Late genotypes have more of it than random ones; the standard error of 250 is below 0.02."""
    evolved = mean_late_accuracy(HierarchicalEvolution.small())
    control = mean_late_accuracy(HierarchicalEvolution.random())
    assert evolved > control + 0.2


def test_nobody_is_removed() -> None:
    """The share is of the current population: after 30 + n results ceil((30 + n) / 5) compete."""
    sizes = []

    class Counted(HierarchicalEvolution):
        def _child(self, population, rng):  # type: ignore[no-untyped-def]
            sizes.append(len(population))
            return super()._child(population, rng)

    asked(Counted(initial_size=30, tournament_share=0.2), 60)
    assert sorted(set(sizes)) == list(range(30, 60 + 1))


def test_spaces_without_graphs_are_refused() -> None:
    oracle = Oracle(made_up_table(MadeUpSpace(4)), Budget(queries=9), np.random.default_rng(0))
    with pytest.raises(InvalidSetting, match=r"the space made-up-4 has not; choose another search"):
        next(HierarchicalEvolution()(oracle, np.random.default_rng(0)))
    assert not oracle.budget.ledger


@pytest.mark.parametrize("name", ["initial_size", "motifs", "motif_nodes", "cell_nodes"])
def test_settings_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(InvalidSetting, match=f"{name} is 0"):
        HierarchicalEvolution(**{name: 0})  # type: ignore[arg-type]
    with pytest.raises(InvalidSetting, match=r"tournament_share is 0; it must be in \(0, 1\]"):
        HierarchicalEvolution(tournament_share=0)
