"""PNAS: how architectures grow, what the predictor learns, who is chosen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nasbench_kit import Budget, CellSpace, Column, InvalidSetting, Oracle, Table
from nasbench_kit.algorithms.model_based.pnas import PNAS, Decisions, Ensemble, Vertices, growth_of
from nasbench_kit.spaces.nasbench101.cell import OPERATIONS
from nasbench_kit.testing.made_up import MadeUpSpace, made_up_table
from nasbench_kit.testing.searches import yielded


def test_every_cell_is_an_expansion_of_a_smaller_one() -> None:
    """Expanding everything gives the known numbers of unique cells of 2 to 6 vertices, 9 edges."""
    space = CellSpace(6, 9)
    growth = Vertices(space)
    level = growth.first()
    assert len(level) == 1 + 6
    for known in (84, 2_441, 62_010):
        level = growth.expand(level)
        assert len(level) == len(set(level)) == known
    assert growth.expand(level) == []


def test_an_expansion_keeps_the_cell() -> None:
    """It has all of its operations, and one more."""
    space = CellSpace(5)
    rng = np.random.default_rng(0)
    growth = Vertices(space)
    rows = growth.expand(growth.first())
    for row in rng.choice(rows, 10, replace=False).tolist():
        parent = space[row]
        growth._size = parent.size
        for child in map(space.__getitem__, growth.expand([row])):
            assert child.size == parent.size + 1
            left = list(child.operations)
            for operation in parent.operations:
                left.remove(operation)
            assert len(left) == 1
            assert left[0] in OPERATIONS


def test_tokens_of_a_cell_by_hand() -> None:
    """conv3x3 and max-pooling in a row: operations, parents (the input, vertex 1), the output's."""
    from nasbench_kit import Cell

    space = CellSpace(5)
    row = space.index(
        Cell([[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0] * 4], ["conv3x3", "maxpool3x3"])
    )
    tokens = Vertices(space).features([row, 0])
    assert tokens.tolist() == [[0.5, 0, 0.5, 0.5, 0.5, 0, 0.5], [0] * 7]


def test_decisions_grow_one_by_one_from_a_random_architecture() -> None:
    space = MadeUpSpace(4)
    growth = Decisions(space, np.random.default_rng(3))
    filled = space.sample(np.random.default_rng(3)).options
    level = growth.first()
    assert level == [(option, *filled[1:]) for option in range(3)]
    for decided in (2, 3, 4):
        level = growth.expand(level)
        assert len(level) == 3**decided
        assert {options[decided:] for options in level} == {filled[decided:]}
    assert growth.expand(level) == []
    # One-hot of each decision, then how many of all take which option, as all have the same three.
    assert growth.features(level[:1]).tolist() == [[0.25, 0, 0] * 4 + [1, 0, 0]]
    assert growth.features([(0, 2, 1, 2)]).tolist() == [
        [0.25, 0, 0, 0, 0, 0.25, 0, 0.25, 0, 0, 0, 0.25, 0.25, 0.25, 0.5]
    ]


def test_sub_spaces_of_cells_grow_by_decisions() -> None:
    rng = np.random.default_rng(0)
    assert isinstance(growth_of(CellSpace(4), rng), Vertices)
    part = CellSpace(4).restricted(np.arange(20, 80))
    growth = growth_of(part, rng)
    assert isinstance(growth, Decisions)
    assert all(growth.architecture(options) in part for options in growth.first())


def planted(space: Any, epochs: int = 36) -> Table:
    """What counts is how many operations are the first one of three; seven in a hundred each."""
    if isinstance(space, CellSpace):
        worth = np.array([cell.operations.count(OPERATIONS[0]) for cell in space])
    else:
        worth = np.array([architecture.options.count(1) for architecture in space])
    counts = (20 + 7 * worth).astype(np.uint16)[:, None, None]
    return Table(space, [epochs], {("final", "validation_accuracy"): Column(counts, images=100)})


def test_the_predictor_ranks_larger_cells_than_it_has_seen() -> None:
    from scipy.stats import spearmanr

    space = CellSpace(6, 9)
    accuracies = planted(space).mean("validation_accuracy")
    growth = Vertices(space)
    seen = growth.first()
    seen += growth.expand(seen)
    ensemble = Ensemble(PNAS(), 8, np.random.default_rng(0))
    ensemble.fit(growth.features(seen), accuracies[seen])
    rng = np.random.default_rng(1)
    larger = [
        row for row in rng.choice(len(space), 500, replace=False).tolist() if space[row].size > 4
    ]
    predicted = ensemble.predict(growth.features(larger))
    assert predicted.shape == (len(larger),)
    assert spearmanr(predicted, accuracies[larger]).statistic > 0.8


def test_every_member_leaves_out_its_own_fifth() -> None:
    """A result that only four members see: the fifth is as if it were not there."""
    rng = np.random.default_rng(0)
    x = rng.random((10, 4), np.float32)
    y = rng.random(10)
    changed = y.copy()
    changed[2] = changed[7] = 0.0  # those of member 2
    found = []
    for accuracies in (y, changed):
        ensemble = Ensemble(PNAS(), 4, np.random.default_rng(1))
        ensemble.fit(x, accuracies)
        import torch

        with torch.no_grad():
            found.append(ensemble._run(torch.from_numpy(x)).numpy())
    same = [np.array_equal(a, b) for a, b in zip(*found, strict=True)]
    assert same == [False, False, True, False, False]


def mean_final(search: PNAS, table: Table, seeds: int = 4) -> tuple[float, list[int]]:
    final, asked = [], []
    for seed in range(seeds):
        oracle = Oracle(table, Budget(), np.random.default_rng([seed, 0]))
        answers = list(yielded(search, oracle, seed))
        final.append(float(table.mean("validation_accuracy")[table.row(answers[-1])]))
        asked.append(oracle.budget.spent_queries)
    return float(np.mean(final)), asked


@pytest.mark.parametrize("space", [CellSpace(6, 9), MadeUpSpace(8)])
def test_the_planted_best_is_found_and_its_control_does_worse(space: Any) -> None:
    table = planted(space)
    best = float(table.mean("validation_accuracy").max())
    found, asked = mean_final(PNAS(beam=16), table)
    control, _ = mean_final(PNAS(beam=16, predictor=False), table)
    assert found == best
    assert control < best
    assert max(asked) <= 7 + 8 * 16  # it ends with the last level


def test_a_level_is_trained_before_the_next_one_begins() -> None:
    """Also by workers, who wait for each other there; no architecture is trained twice."""
    table = made_up_table(CellSpace(5))
    for workers in (None, 7):
        oracle = Oracle(table, Budget(), np.random.default_rng(0))
        list(yielded(PNAS(beam=20, workers=workers), oracle, 0))
        cells = [charge.item.cell for charge in oracle.budget.ledger]
        assert [cell.size for cell in cells] == [2] + [3] * 6 + [4] * 20 + [5] * 20
        assert len(set(cells)) == len(cells)


def test_settings_out_of_range_are_refused() -> None:
    for name, value in {
        "members": 1,
        "embedding_size": 0,
        "hidden_size": 0,
        "first_learning_rate": 0.0,
        "learning_rate": float("nan"),
        "steps": 0,
        "beam": 0,
    }.items():
        with pytest.raises(InvalidSetting, match=f"^{name} is {value}; it must be"):
            PNAS(**{name: value})  # type: ignore[arg-type]
