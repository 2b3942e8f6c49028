"""What shared weights train on and what their steps cost, by the definitions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from test_oracle import reachable

from nasbench_kit import Budget, BudgetExhausted, Cell, InvalidSetting, Oracle, Table, WrongTable
from nasbench_kit.data.tables import open_table
from nasbench_kit.data.tasks import open_task
from nasbench_kit.oracle.cost import CostModel
from nasbench_kit.oracle.task import Task
from nasbench_kit.spaces.nasbench101.work import work
from nasbench_kit.testing.textures import bare_table, priced_task, texture_task, textures
from nasbench_kit.training.images import Split

#: Six vertices: not in the table of up to five.
OUTSIDE = Cell.named("inception")


def an_oracle(table: Table, task: Task | None = None, **limits: Any) -> Oracle:
    task = task or priced_task(table)
    return Oracle(table, Budget(**limits), np.random.default_rng(0), task=task)


# Prices -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("backward", [True, False])
def test_a_path_costs_its_part_of_a_training(small_table: Table, backward: bool) -> None:
    """images x price / (epochs x training images), where the price is the mean over the repeats."""
    oracle = an_oracle(small_table, seconds=1e6, epochs=1e6)
    for row in (0, 70, 2000):
        price = small_table.mean("seconds")[row]  # of 36 epochs
        expected = 7 * price / (36 * 24) * (1 if backward else 1 / 3)
        oracle.charge(small_table.space[row], 7, backward)
        charge = oracle.budget.ledger[-1]
        assert charge.kind == "supernet"
        assert charge.seconds == pytest.approx(expected, rel=1e-6)
        assert charge.epochs == pytest.approx(7 / 24 * (1 if backward else 1 / 3))
        assert charge.queries == 0


def test_a_cell_outside_the_table_costs_what_the_model_says(small_table: Table) -> None:
    task = priced_task(small_table)
    assert task.cost is not None
    seconds, _ = an_oracle(small_table, seconds=1.0).price(OUTSIDE, 12)
    assert seconds == pytest.approx(task.cost.price(OUTSIDE, 1) * 12 / 24)


def test_work_costs_a_reference_cells_price_times_the_ratio(small_table: Table) -> None:
    """The cell of median price, by the additive model; twice the layers' price, twice the cost."""
    task = priced_task(small_table)
    assert task.cost is not None
    oracle = an_oracle(small_table, seconds=1.0)
    per_epoch = small_table.mean("seconds") / 36
    middle = int(np.argsort(per_epoch, kind="stable")[len(per_epoch) // 2])
    shape = (6, 9, 1)
    reference = work(small_table.space[middle], task.recipe.skeleton, shape)
    assert oracle.price(reference, 24)[0] == pytest.approx(per_epoch[middle], rel=1e-6)
    other = work(small_table.space[2000], task.recipe.skeleton, shape)
    assert isinstance(task.cost, CostModel)
    ratio = task.cost.additive(other) / task.cost.additive(reference)
    assert oracle.price(other, 24)[0] == pytest.approx(per_epoch[middle] * ratio, rel=1e-6)
    assert oracle.price(2 * other, 24)[0] == pytest.approx(2 * per_epoch[middle] * ratio, rel=1e-6)


def test_prices_do_not_depend_on_what_was_asked_before(small_table: Table) -> None:
    one, other = (an_oracle(small_table, seconds=1e6) for _ in range(2))
    other.query(small_table.space[7])
    other.charge(small_table.space[8], 3)
    for row in (7, 8):
        cell = small_table.space[row]
        assert one.price(cell, 5) == other.price(cell, 5)


def test_a_step_that_cannot_be_paid_is_refused_before_it_is_made(small_table: Table) -> None:
    cell = small_table.space[100]
    for unit in ("seconds", "epochs"):
        seconds, epochs = an_oracle(small_table, seconds=1).price(cell, 8)
        limits: dict[str, Any] = {unit: 2 * {"seconds": seconds, "epochs": epochs}[unit]}
        oracle = an_oracle(small_table, **limits)
        oracle.charge(cell, 8)
        oracle.charge(cell, 8)  # just reaches the limit
        with pytest.raises(BudgetExhausted):
            oracle.charge(cell, 1)
        assert len(oracle.budget.ledger) == 2


def test_a_table_without_seconds_charges_epochs() -> None:
    task = replace(texture_task(24), epoch_images=48)
    oracle = an_oracle(bare_table(), task, epochs=1.0)
    assert oracle.price(bare_table().space[3], 24) == (0.0, 0.5)


def test_training_is_never_free_or_without_images(small_table: Table) -> None:
    cell = small_table.space[0]
    with pytest.raises(InvalidSetting, match="limits queries only"):
        an_oracle(small_table, queries=10).charge(cell, 1)
    with pytest.raises(InvalidSetting, match="made-up was made from; give the oracle a task"):
        Oracle(small_table, Budget(seconds=1.0), np.random.default_rng(0)).charge(cell, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("resnet", 3),
            "cannot price 'resnet'; give an architecture, as a Cell is, or the work of one image",
        ),
        ((None, 3), "cannot price None"),
        ((np.ones(3), 3), r"cannot price work of shape \(3,\)"),
        ((np.array(["a"]), 3), "cannot price work"),
        ((Cell.named("resnet"), -3), "images are -3"),
        ((Cell.named("resnet"), float("nan")), "images are nan"),
        ((Cell.named("resnet"), float("inf")), "images are inf"),
        ((Cell.named("resnet"), "3"), "images are '3'; give the number of images"),
        ((Cell.named("resnet"), True), "images are True"),
        ((Cell.named("resnet"), None), "images are None"),
        ((Cell.named("resnet"), 3, "no"), "backward is 'no'; give True or False"),
    ],
)
def test_a_step_of_another_kind_is_refused(
    small_table: Table, arguments: Any, message: str
) -> None:
    oracle = an_oracle(small_table, seconds=1e6)
    for ask in (oracle.charge, oracle.price):
        with pytest.raises(InvalidSetting, match=message):
            ask(*arguments)
    length = len(work(OUTSIDE, priced_task(small_table).recipe.skeleton, (6, 9, 1)))
    for wrong in (-1.0, np.nan, np.inf):
        with pytest.raises(InvalidSetting, match="cannot price work"):
            oracle.charge(np.full(length, wrong), 3)
    assert oracle.budget.ledger == ()


# What a search may see --------------------------------------------------------------------------


def test_no_test_value_can_be_reached_from_an_oracle_with_a_task(small_table: Table) -> None:
    """Neither accuracies nor images nor the table that prices come from."""
    oracle = an_oracle(small_table, seconds=1e6)
    oracle.charge(small_table.space[5], 3)
    assert len(oracle.task.images.test) == 24
    items = reachable(oracle)
    assert any(item is oracle.task.weights.images for item in items)
    tables = [item for item in items if isinstance(item, Table)]
    assert not [table for table in tables if ("final", "test_accuracy") in table.columns]
    secrets = [
        small_table.columns["final", "test_accuracy"].values[9].tobytes(),
        textures(2, 2).images.tobytes(),
    ]
    for item in items:
        if isinstance(item, memoryview | np.ndarray | bytes | bytearray):
            content = np.asarray(item).tobytes()
            assert not any(secret in content for secret in secrets)


def test_the_task_of_images(small_table: Table) -> None:
    task = texture_task(24)
    assert np.array_equal(task.weights.images, textures(24, 0).images)
    assert np.array_equal(task.reward.images, textures(24, 1).images)
    assert task.epoch_images == 24
    images = task.images
    assert (images.train, images.validation, images.test) == (
        task.weights,
        task.reward,
        task.reward,
    )
    assert images.evaluated == (24, 24, 24)


def test_halves_are_of_the_training_images_alone() -> None:
    task = texture_task(24)
    halved = task.halved()
    assert np.array_equal(halved.weights.images, task.weights.images[::2])
    assert np.array_equal(halved.reward.images, task.weights.images[1::2])
    assert np.array_equal(halved.reward.labels, task.weights.labels[1::2])
    assert halved.epoch_images == 24  # an epoch of the table's trainings is still what it was


def test_one_image_cannot_be_halved() -> None:
    task = texture_task(24)
    one = replace(task, weights=Split(task.weights.images[:1], task.weights.labels[:1]))
    with pytest.raises(InvalidSetting, match="textures has one training image"):
        one.halved()


# Of a table -------------------------------------------------------------------------------------


def test_the_digits_tables_task() -> None:
    table = open_table("digits")
    task = open_task(table)
    assert (task.name, task.classes, task.device) == ("digits", 10, "cpu")
    assert task.recipe.name == "digits"
    assert task.cost is not None
    assert task.epoch_images == len(task.weights)


def test_other_images_than_the_tables_are_refused() -> None:
    table = open_table("digits")
    other = Table(
        table.space,
        table.epochs,
        table.columns,
        rows=table.rows,
        provenance={**table.provenance, "images_digest": "f" * 64},
    )
    with pytest.raises(WrongTable, match="with the digest ffffffffffff, and the images at hand"):
        open_task(other)
