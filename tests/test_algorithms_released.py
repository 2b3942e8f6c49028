"""Searches as the NAS-Bench-101 experiments ran them: on encodings, some of which make no cell."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest

from nasbench_kit import Budget, Cell, CellSpace, InvalidSetting, Oracle, Table
from nasbench_kit.algorithms import ALGORITHMS, RandomSearch, Reinforce, ReleasedEvolution
from nasbench_kit.algorithms.evolution import released_evolution
from nasbench_kit.errors import BudgetExhausted, Stalled
from nasbench_kit.spaces.nasbench101.encodings import Encoding
from nasbench_kit.testing.made_up import MadeUpSpace, made_up_table

SPACE = CellSpace(4)
MOST = 4


@pytest.fixture(scope="module")
def table() -> Table:
    return made_up_table(SPACE)


def edges_drawn(cell: Cell) -> int:
    """Before pruning, counted in the cell's own matrix."""
    return int(np.array(cell.matrix).sum())


def every_valid_encoding(most: int) -> set[tuple[int, ...]]:
    """Encodings that make a cell and have few enough edges, by going through all."""
    sizes = [len(decision.options) for decision in SPACE.decisions]
    return {
        choices
        for choices in itertools.product(*map(range, sizes))
        if SPACE.decode(choices) is not None and sum(choices[:6]) <= most
    }


class Asked:
    """An oracle that writes down what is asked."""

    def __init__(self, table: Table, queries: int) -> None:
        self.oracle = Oracle(table, Budget(queries=queries), np.random.default_rng(0))
        self.cells: list[Cell] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.oracle, name)

    def query(self, cell: Cell, epochs: int | None = None) -> Any:
        self.cells.append(cell)
        return self.oracle.query(cell, epochs)


def asked(search: Any, table: Table, queries: int) -> list[Cell]:
    oracle: Any = Asked(table, queries)
    with pytest.raises(BudgetExhausted):
        for _ in search(oracle, np.random.default_rng(1)):
            pass
    return oracle.cells[:-1]


@pytest.mark.parametrize(
    "search",
    [
        ReleasedEvolution(population_size=20, most_edges=MOST),
        ReleasedEvolution(population_size=20, most_edges=MOST, regularized=False),
        RandomSearch(most_edges=MOST),
        Reinforce(learning_rate=0.01, most_edges=MOST),
    ],
    ids=lambda search: type(search).__name__,
)
def test_edges_are_counted_before_pruning(search: Any, table: Table) -> None:
    cells = asked(search, table, 300)
    assert max(map(edges_drawn, cells)) == MOST
    assert len(cells) == 300


def test_random_search_draws_the_encodings_that_are_left_evenly(table: Table) -> None:
    encodings = every_valid_encoding(MOST)
    cells = asked(RandomSearch(most_edges=MOST), table, 40 * len(encodings))
    counts = Counter(SPACE.encode(cell) for cell in cells)
    assert counts.keys() == encodings
    expected = len(cells) / len(encodings)
    squares = sum((count - expected) ** 2 / expected for count in counts.values())
    free = len(encodings) - 1
    assert abs(squares - free) < 5 * (2 * free) ** 0.5


def test_first_members_are_all_encodings_evenly_and_only_cells_are_paid_for(table: Table) -> None:
    """Of so many members as many are asked for as encodings make a cell, by counting all of them."""
    sizes = [len(decision.options) for decision in SPACE.decisions]
    share = len(every_valid_encoding(MOST)) / np.prod(sizes)
    members = 4000
    oracle: Any = Asked(table, members)
    search = ReleasedEvolution(population_size=members, most_edges=MOST)
    run = search(oracle, np.random.default_rng(0))
    children = 0

    def noticed(*arguments: Any) -> list[int]:
        nonlocal children
        children += 1
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(released_evolution, "changed", noticed)
        with pytest.raises(KeyboardInterrupt):
            for _ in run:
                pass
    assert children == 1
    deviation = (members * share * (1 - share)) ** 0.5
    assert abs(len(oracle.cells) - members * share) < 4 * deviation
    assert oracle.oracle.budget.spent_queries == len(oracle.cells)


def test_a_child_that_makes_no_cell_pushes_out_the_oldest(table: Table) -> None:
    """Of a population of one the parent is the last member: one that is worth nothing is changed again."""
    oracle: Any = Asked(table, 200)
    search = ReleasedEvolution(population_size=1, sample_size=1, most_edges=MOST)
    changes: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    change = released_evolution.changed

    def noted(choices: Any, sizes: Any, rng: Any) -> list[int]:
        child = change(choices, sizes, rng)
        changes.append((tuple(choices), tuple(child)))
        return child

    with pytest.MonkeyPatch.context() as patch, pytest.raises(BudgetExhausted):
        patch.setattr(released_evolution, "changed", noted)
        for _ in search(oracle, np.random.default_rng(3)):
            pass
    for (_, child), (parent, _) in itertools.pairwise(changes):
        assert parent == child
    valid = every_valid_encoding(MOST)
    invalid_parents = sum(parent not in valid for parent, _ in changes)
    assert 0 < invalid_parents < len(changes)


def test_one_decision_changes_and_every_other_option_is_as_likely() -> None:
    rng = np.random.default_rng(0)
    sizes, choices = [2, 2, 3, 1], [0, 1, 2, 0]
    counts = Counter(tuple(released_evolution.changed(choices, sizes, rng)) for _ in range(12_000))
    expected = {(1, 1, 2, 0): 1 / 3, (0, 0, 2, 0): 1 / 3, (0, 1, 0, 0): 1 / 6, (0, 1, 1, 0): 1 / 6}
    assert counts.keys() == expected.keys()
    for child, share in expected.items():
        assert abs(counts[child] / 12_000 - share) < 0.02


def test_two_thirds_of_all_encodings_make_no_cell_of_nine_edges() -> None:
    """The share that the file's first lines name, over the whole space's edge patterns."""
    encoding = Encoding("A", CellSpace())
    patterns = np.random.default_rng(0).integers(0, 2, size=(20_000, 21))
    valid = sum(
        row.sum() <= 9 and encoding.decode([*row.tolist(), 0, 0, 0, 0, 0]) is not None
        for row in patterns
    )
    assert 0.25 < valid / len(patterns) < 0.35


def test_a_limit_of_edges_goes_with_cells_alone() -> None:
    table = made_up_table(MadeUpSpace(7))
    for name in ("random-search", "regularized-evolution", "reinforce"):
        oracle = Oracle(table, Budget(queries=5), np.random.default_rng(0))
        with pytest.raises(InvalidSetting, match="most_edges is 9, of cells"):
            next(ALGORITHMS[f"{name}-released"]()(oracle, np.random.default_rng(0)))
    with pytest.raises(InvalidSetting, match="most_edges is 0"):
        RandomSearch(most_edges=0)


def test_too_few_edges_for_any_cell_end_the_search(table: Table) -> None:
    """A space restricted to cells of more edges than are allowed."""
    longer = [row for row in range(len(SPACE)) if edges_drawn(SPACE[row]) > 2]
    space = SPACE.restricted(np.array(longer), "longer")
    oracle = Oracle(made_up_table(space), Budget(queries=5), np.random.default_rng(0))
    with pytest.raises(Stalled, match="made no architecture of longer"):
        next(ReleasedEvolution(most_edges=2)(oracle, np.random.default_rng(0)))
