"""Local search on tables whose landscape is known."""

from __future__ import annotations

import numpy as np
import pytest

from nasbench_kit import Budget, CellSpace, Column, InvalidSetting, Oracle, Table
from nasbench_kit.algorithms import LocalSearch
from nasbench_kit.testing.searches import yielded


@pytest.fixture(scope="module")
def unimodal() -> Table:
    """Fewer edges are better, and the direct edge from input to output counts more than all others.

    From every labelling some single edit is better, but from that of the cell of this edge alone: an
    edge on a path can go where the direct edge is there; else that edge can be added, or at the
    limit of nine edges another one taken away.
    """
    space = CellSpace(5)
    direct = np.array([(0, cell.size - 1) in cell.edges() for cell in space])
    edges = np.array([cell.bits.bit_count() for cell in space])
    accuracy = (50 + 40 * direct - edges).astype(np.uint16)[:, None, None]
    return Table(space, [36], {("final", "validation_accuracy"): Column(accuracy, images=100)})


def run(search: LocalSearch, table: Table, queries: int, seed: int) -> tuple[list[int], Oracle]:
    oracle = Oracle(table, Budget(queries=queries), np.random.default_rng([seed, 0]))
    return [table.row(cell) for cell in yielded(search, oracle, seed)], oracle


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("initial", [1, 10])
def test_a_unimodal_landscape_is_always_climbed(unimodal: Table, full: bool, initial: int) -> None:
    """The first climb ends at the optimum, after at most 10 moves over at most 16 neighbours each."""
    for seed in range(20):
        search = LocalSearch(initial_size=initial, full_neighbourhood=full)
        rows, _ = run(search, unimodal, initial + 10 * 16, seed)
        assert rows[-1] == 0  # the cell of two vertices


def test_the_whole_neighbourhood_is_asked_before_the_move(small_table: Table) -> None:
    _, oracle = run(LocalSearch(full_neighbourhood=True), small_table, 120, 3)
    answers = [charge.item for charge in oracle.budget.ledger]
    rows = [small_table.row(answer.cell) for answer in answers]
    centre = max(answers[:10], key=lambda answer: answer.validation_accuracy)
    asked = 10
    for _ in range(3):
        around = {small_table.row(cell) for cell in small_table.space.neighbours(centre.cell)}
        around -= set(rows[:asked])
        found = answers[asked : asked + len(around)]
        assert {small_table.row(answer.cell) for answer in found} == around
        asked += len(around)
        best = max(found, key=lambda answer: answer.validation_accuracy)
        if best.validation_accuracy <= centre.validation_accuracy:
            break
        centre = best


def test_the_first_better_neighbour_is_gone_to(unimodal: Table) -> None:
    """Up to the optimum, each cell asked for is a neighbour of the best one before."""
    for seed in range(5):
        _, oracle = run(LocalSearch(initial_size=1), unimodal, 170, seed)
        centre, *answers = [charge.item for charge in oracle.budget.ledger]
        for answer in answers:
            if centre.cell == unimodal.space[0]:
                break
            around = {cell.to_text() for cell in unimodal.space.neighbours(centre.cell)}
            assert answer.cell.to_text() in around
            if answer.validation_accuracy > centre.validation_accuracy:
                centre = answer
        assert centre.cell == unimodal.space[0]


def test_no_cell_is_asked_for_twice_until_all_are_known() -> None:
    space = CellSpace(4)
    rng = np.random.default_rng(0)
    counts = rng.integers(1000, size=(len(space), 1, 1)).astype(np.uint16)
    table = Table(space, [36], {("final", "validation_accuracy"): Column(counts, images=1000)})
    rows, oracle = run(LocalSearch(), table, 10_000, 0)  # ends by itself
    asked = [table.row(charge.item.cell) for charge in oracle.budget.ledger]
    assert sorted(asked) == list(range(91))
    assert rows[-1] == counts.argmax()


def test_settings_are_checked() -> None:
    with pytest.raises(InvalidSetting, match="initial_size is 0"):
        LocalSearch(initial_size=0)
