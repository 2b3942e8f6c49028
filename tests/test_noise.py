"""nasbench_kit.table.noise: repeats of a surrogate, drawn by seed as the oracle asks for them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nasbench_kit import Budget, Cell, CellSpace, Column, Oracle, Table
from nasbench_kit.errors import NotRecorded
from nasbench_kit.oracle.oracle import Policy
from nasbench_kit.table.noise import Noise
from nasbench_kit.table.table import proportional

NOISE = Noise(
    accuracy=[[0.2, 0.4], [0.5, 0.9]],
    scatter=[[0.02, 0.04], [0.03, 0.01]],
    failure=[[0.0, 0.0], [0.2, 0.0]],
    chance=0.1,
    images=None,
    repeats=3,
)


def draws(noise: Noise, accuracy: float, fidelity: int, count: int = 20_000) -> np.ndarray:
    read = noise.reader(fidelity, key=7)
    return np.array([read(accuracy, row, 0) for row in range(count)])


def test_readings_scatter_normally_as_much_as_the_knots_say() -> None:
    from scipy.stats import kstest

    for accuracy, scatter in ((0.1, 0.02), (0.2, 0.02), (0.3, 0.03), (0.4, 0.04), (0.8, 0.04)):
        drawn = draws(NOISE, accuracy, 0)
        assert NOISE.std(np.array(accuracy), 0) == pytest.approx(scatter)
        assert kstest((drawn - accuracy) / scatter, "norm").pvalue > 1e-3


def test_trainings_fail_as_often_as_the_knots_say() -> None:
    failed = draws(NOISE, 0.6, 1) == NOISE.chance  # a quarter of the way from 20 % to none
    assert failed.mean() == pytest.approx(0.15, abs=4 * np.sqrt(0.15 * 0.85 / len(failed)))
    assert not (draws(NOISE, 0.95, 1) == NOISE.chance).any()


def test_a_reading_is_fixed_by_key_fidelity_row_and_repeat() -> None:
    asked = [
        (fidelity, row, repeat, key)
        for fidelity in (0, 1)
        for row in range(20)
        for repeat in range(3)
        for key in (0, 1, 2**64 - 1)
    ]
    once = {a: NOISE.reader(a[0], a[3])(0.9, a[1], a[2]) for a in asked}
    again = {a: NOISE.reader(a[0], a[3])(0.9, a[1], a[2]) for a in reversed(asked)}
    assert once == again
    assert len(set(once.values())) == len(asked)


def test_repeats_and_rows_are_uncorrelated() -> None:
    read = NOISE.reader(0, key=3)
    rows = np.array([[read(0.3, row, repeat) for repeat in range(3)] for row in range(5_000)])
    for one, other in (
        (rows[:, 0], rows[:, 1]),
        (rows[:, 0], rows[:, 2]),
        (rows[1:, 0], rows[:-1, 0]),
    ):
        assert abs(np.corrcoef(one, other)[0, 1]) < 4 / np.sqrt(len(rows))


def test_readings_are_accuracies_and_counts_of_images() -> None:
    drawn = draws(dataclasses.replace(NOISE, images=50), 0.99, 0, 2_000)
    assert ((drawn >= 0) & (drawn <= 1)).all() and drawn.max() == 1
    assert np.allclose(drawn * 50, np.rint(drawn * 50))


# The oracle --------------------------------------------------------------------------------------

EPOCHS = (4, 108)
RESNET = Cell.named("resnet")


@pytest.fixture
def table() -> Table:
    """Predictions for CellSpace(4), with noise."""
    space = CellSpace(4)
    rng = np.random.default_rng(0)
    accuracy = rng.uniform(0.3, 0.9, (len(space), 2, 1)).astype(np.float32)
    seconds = proportional(rng.uniform(500, 2000, (len(space), 1, 1)), EPOCHS)
    return Table(
        space,
        EPOCHS,
        {
            ("final", "validation_accuracy"): Column(accuracy),
            ("final", "seconds"): Column(seconds),
        },
        provenance={
            "name": "a surrogate",
            "source": "surrogate",
            "assumed_seconds": [4],
            "noise": dataclasses.asdict(NOISE),
        },
    )


def oracle(table: Table, policy: Policy = "always", seed: int = 0, **limits: float) -> Oracle:
    budget = Budget(**(limits or {"queries": 1000}))  # type: ignore[arg-type]
    return Oracle(table, budget, np.random.default_rng(seed), policy=policy)


def accuracies(oracle: Oracle, count: int) -> list[float]:
    return [oracle.query(RESNET).validation_accuracy for _ in range(count)]


def test_always_draws_of_three_repeats_by_seed(table: Table) -> None:
    drawn = accuracies(oracle(table), 60)
    assert len(set(drawn)) == 3
    assert table.mean("validation_accuracy")[table.row(RESNET)] not in drawn
    assert drawn == accuracies(oracle(table), 60)
    assert set(drawn).isdisjoint(accuracies(oracle(table, seed=1), 60))


def test_a_repeat_has_one_reading_whatever_was_asked_before(table: Table) -> None:
    asked = oracle(table)
    known: dict[int | None, float] = {}
    for place in range(200):
        asked.query(table.space[place % len(table)], epochs=4)
        answer = asked.query(RESNET)
        assert (
            known.setdefault(answer.repeat, answer.validation_accuracy)
            == answer.validation_accuracy
        )
    assert len(known) == 3


def test_once_gives_the_first_answer_again_free(table: Table) -> None:
    asked = oracle(table, "once")
    assert len(set(accuracies(asked, 50))) == 1
    assert asked.budget.spent_queries == 1


def test_new_repeat_charges_each_repeat_once(table: Table) -> None:
    asked = oracle(table, "new-repeat")
    assert len(set(accuracies(asked, 60))) == 3
    assert asked.budget.spent_queries == 3


def test_mean_is_the_prediction_and_costs_all_repeats(table: Table) -> None:
    asked = oracle(table, "mean", seconds=1e6)
    row = table.row(RESNET)
    assert accuracies(asked, 1) == [table.mean("validation_accuracy")[row]]
    assert asked.budget.spent_seconds == pytest.approx(3 * table.mean("seconds")[row])


def test_seconds_are_the_tables_for_every_repeat(table: Table) -> None:
    row = table.row(RESNET)
    for epochs in EPOCHS:
        answer = oracle(table, seconds=1e6).query(RESNET, epochs)
        assert answer.seconds == table.mean("seconds", epochs)[row]
        assert answer.source == "surrogate"


def test_an_error_says_that_seconds_are_assumed(table: Table) -> None:
    with pytest.raises(NotRecorded, match="assumed"):
        oracle(table).query(RESNET, halfway=True)
