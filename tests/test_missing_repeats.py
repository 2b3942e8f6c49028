"""Tables whose rows have differing numbers of repeats: means, draws, prices, curves."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from nasbench_kit import Budget, Oracle, Table
from nasbench_kit.algorithms import RandomSearch
from nasbench_kit.analysis.landscape.fidelity import noise
from nasbench_kit.analysis.landscape.random_search_curve import RandomSearchCurve
from nasbench_kit.compare import regrets
from nasbench_kit.compare.scores import scored_by
from nasbench_kit.errors import NotRecorded
from nasbench_kit.oracle.engine import Policy
from nasbench_kit.spaces.layers.nasbench_macro import NASBenchMacro
from nasbench_kit.spaces.protocols import Numbered
from nasbench_kit.table import Column
from nasbench_kit.table.table import over_repeats
from nasbench_kit.testing.made_up import MadeUpSpace, made_up_table
from nasbench_kit.testing.searches import yielded

SPACE = MadeUpSpace(4)


def with_gaps(space: Numbered = SPACE, seed: int = 0) -> Table:
    """A made-up table of which rows have one to four repeats, differently at each fidelity."""
    table = made_up_table(space, repeats=4)
    rng = np.random.default_rng(seed)
    present = (rng.random((len(table), 3, 4)) < 0.5).astype(np.uint8)
    present[:, :, 2] |= present.sum(axis=2) == 0
    columns = {
        key: Column(np.where(present, column.values, 0), column.images, present)
        for key, column in table.columns.items()
    }
    return Table(space, table.epochs, columns, extra=table.extra, provenance={"name": "with-gaps"})


TABLE = with_gaps()
PRESENT = TABLE.column("validation_accuracy").present
assert PRESENT is not None
FULL = made_up_table(SPACE, repeats=4)


def existing(row: int, fidelity: int = 2) -> list[int]:
    assert PRESENT is not None
    return [repeat for repeat in range(4) if PRESENT[row, fidelity, repeat]]


def test_a_mean_is_over_the_repeats_that_exist() -> None:
    full = FULL.values("validation_accuracy", 12)
    slow = [
        math.fsum(full[row, repeat] for repeat in existing(row, 1)) / len(existing(row, 1))
        for row in range(len(TABLE))
    ]
    np.testing.assert_allclose(TABLE.mean("validation_accuracy", 12), slow, rtol=1e-15)


def test_values_are_refused_or_not_a_number() -> None:
    with pytest.raises(NotRecorded, match="missing='nan'"):
        TABLE.values("validation_accuracy")
    values = TABLE.values("validation_accuracy", missing="nan")
    assert PRESENT is not None
    np.testing.assert_array_equal(np.isnan(values), PRESENT[:, 2] == 0)
    full = FULL.values("validation_accuracy")
    np.testing.assert_array_equal(values[PRESENT[:, 2] > 0], full[PRESENT[:, 2] > 0])


def test_a_complete_column_has_the_same_mean_as_ever() -> None:
    readings = FULL.values("validation_accuracy")
    np.testing.assert_array_equal(
        over_repeats(readings, lambda rows: rows.mean(axis=1)), readings.mean(axis=1)
    )


def test_a_row_without_any_reading_has_no_mean() -> None:
    present = np.ones((len(FULL), 3, 4), np.uint8)
    present[7, 1] = 0
    columns = {
        key: Column(column.values, column.images, present) for key, column in FULL.columns.items()
    }
    table = Table(SPACE, FULL.epochs, columns)
    with pytest.raises(NotRecorded, match=r"the table unnamed lacks .* at 12 epochs in 1 row"):
        table.mean("validation_accuracy", 12)
    oracle = Oracle(table, Budget(queries=10), np.random.default_rng(0))
    with pytest.raises(NotRecorded, match="no training of 12 epochs of this architecture"):
        oracle.query(SPACE[7], 12)
    assert oracle.budget.spent_queries == 0
    oracle.query(SPACE[7], 4)


def test_gaps_survive_the_file(tmp_path: Path) -> None:
    table = with_gaps(NASBenchMacro())
    table.save(tmp_path / "gaps.h5")
    again = Table.open(tmp_path / "gaps.h5")
    np.testing.assert_array_equal(
        again.values("seconds", 4, missing="nan"), table.values("seconds", 4, missing="nan")
    )
    assert again.mean("seconds").tolist() == table.mean("seconds").tolist()


# The oracle -------------------------------------------------------------------------------------


def test_draws_are_among_the_repeats_of_a_row_and_equally_often() -> None:
    """Two thousand draws of every count of repeats: shares within five standard errors."""
    oracle = Oracle(TABLE, Budget(queries=10**6), np.random.default_rng(0))
    for count in (1, 2, 3, 4):
        row = next(row for row in range(len(TABLE)) if len(existing(row)) == count)
        answers = [oracle.query(SPACE[row]) for _ in range(2000)]
        drawn = Counter(answer.repeat for answer in answers)
        assert sorted(drawn) == existing(row)  # type: ignore[type-var]
        error = math.sqrt(2000 / count * (1 - 1 / count))
        assert all(abs(times - 2000 / count) <= 5 * error for times in drawn.values())
        seconds = FULL.values("seconds")[row]
        for answer in answers[:20]:
            assert answer.repeat is not None
            assert answer.seconds == seconds[answer.repeat]


def test_the_same_seed_draws_the_same_and_a_refusal_no_other() -> None:
    one, other = (
        Oracle(TABLE, Budget(queries=50), np.random.default_rng(3), policy="always")
        for _ in range(2)
    )
    for row in range(50):
        with pytest.raises(NotRecorded):
            other.query(SPACE[row], 5)
        assert one.query(SPACE[row]) == other.query(SPACE[row])


def test_a_mean_costs_the_repeats_that_exist() -> None:
    oracle = Oracle(TABLE, Budget(seconds=1e6), np.random.default_rng(0), policy="mean")
    before = 0.0
    for row in range(20):
        answer = oracle.query(SPACE[row], 12)
        readings = FULL.values("validation_accuracy", 12)[row, existing(row, 1)]
        assert answer.validation_accuracy == pytest.approx(readings.mean(), rel=1e-14)
        price = math.fsum(FULL.values("seconds", 12)[row, existing(row, 1)])
        assert answer.seconds == price
        assert oracle.budget.spent_epochs - before == 12 * len(existing(row, 1))
        before = oracle.budget.spent_epochs


def test_a_new_repeat_is_paid_once() -> None:
    oracle = Oracle(TABLE, Budget(queries=1000), np.random.default_rng(0), policy="new-repeat")
    row = next(row for row in range(len(TABLE)) if len(existing(row)) == 2)
    for _ in range(100):
        oracle.query(SPACE[row])
    assert oracle.budget.spent_queries == 2


def test_an_epoch_costs_the_mean_over_the_repeats_that_exist() -> None:
    oracle = Oracle(TABLE, Budget(queries=1), np.random.default_rng(0))
    source = oracle._engine().source
    for row in range(10):
        seconds = FULL.values("seconds")[row, existing(row)]
        assert source.epoch_seconds(SPACE[row]) == pytest.approx(seconds.mean() / 36, rel=1e-14)


# Analyses and scores ------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["always", "mean"])
def test_random_search_follows_its_exact_curve(policy: Policy) -> None:
    """The mean over 400 runs lies within four standard errors of the closed form."""
    losses = regrets(TABLE)
    (expected,) = RandomSearchCurve(TABLE, policy=policy).expected(losses, [15])
    finals = []
    for seed in range(400):
        rng = np.random.default_rng([seed, 0])
        oracle = Oracle(TABLE, Budget(queries=15), rng, policy=policy)
        *_, last = yielded(RandomSearch(), oracle, seed)
        finals.append(losses[TABLE.row(last)])
    assert abs(np.mean(finals) - expected) < 4 * np.std(finals) / 20


def test_noise_is_that_of_the_repeats_that_exist() -> None:
    """Within-cell variance pooled over the rows with two or more, by a plain loop."""
    values = FULL.values("validation_accuracy")
    several = [row for row in range(len(TABLE)) if len(existing(row)) > 1]
    pooled = np.mean([values[row, existing(row)].var(ddof=1) for row in several])
    measured = noise(TABLE, 36)
    assert measured.within_cells == pytest.approx(math.sqrt(pooled))
    assert 0 < measured.rank_shift < 1


def test_test_accuracy_scores_where_the_largest_fidelity_has_it() -> None:
    present = np.ones((len(FULL), 3, 4), np.uint8)
    present[:, 2] = 0
    column = FULL.column("test_accuracy")
    columns = {
        **FULL.columns,
        ("final", "test_accuracy"): Column(column.values, column.images, present),
    }
    table = Table(SPACE, FULL.epochs, columns)
    assert scored_by(FULL) == "test_accuracy"
    assert scored_by(table) == "validation_accuracy"
    assert table.has("test_accuracy")
    assert table.has("test_accuracy", epochs=12)
    assert not table.has("test_accuracy", epochs=36)
