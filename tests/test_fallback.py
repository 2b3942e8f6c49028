"""Cells outside the table: their price, their store, and the budget that pays for them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasbench_kit import (
    Budget,
    BudgetExhausted,
    Cell,
    CellSpace,
    CorruptFile,
    NotInSpace,
    NotInTable,
    NotWritable,
    Oracle,
    Table,
    register_operation,
)
from nasbench_kit.data.images.digits import digits
from nasbench_kit.oracle.fallback import Fallback
from nasbench_kit.oracle.store import Job, Store
from nasbench_kit.training.recipe import DIGITS

OUTSIDE = Cell.named("inception")  # seven vertices; the table has five at most


@pytest.fixture
def fallback(small_table: Table, tmp_path: Path) -> Fallback:
    return Fallback(small_table, digits(), DIGITS, store=Store(tmp_path / "store.sqlite"))


def oracle_with(table: Table, fallback: Fallback | None, **limits: Any) -> Oracle:
    return Oracle(table, Budget(**limits), np.random.default_rng(0), trainer=fallback)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, fallback: Fallback) -> list[int]:
    """Trainings that take no time: the seeds of those that were made."""
    made: list[int] = []

    def fake(job: Job) -> dict[str, Any]:
        made.append(job.seed)
        score = {"correct": 1 + job.seed, "images": 10}
        scores = dict.fromkeys(("train", "validation", "test"), score)
        return {"final": scores, "halfway": scores, "trainable_parameters": 7}

    monkeypatch.setattr(fallback, "_made", fake)
    return made


def test_a_cell_outside_is_really_trained(small_table: Table, fallback: Fallback) -> None:
    oracle = oracle_with(small_table, fallback, epochs=4)
    answer = oracle.query(OUTSIDE, epochs=4)
    record = fallback.record(OUTSIDE, 4, answer.repeat or 0)
    assert answer.source == "trained"
    correct = record["final"]["validation"]["correct"]
    assert answer.validation_accuracy == float(np.float32(correct / 773))
    assert answer.seconds == record["price"] == fallback.price(OUTSIDE, 4, False)
    assert record["final"]["seconds"] > 0  # measured, beside the price
    assert oracle.budget.ledger[0].kind == "training"


def test_without_a_trainer_it_is_an_error_that_costs_nothing(small_table: Table) -> None:
    oracle = oracle_with(small_table, None, queries=1)
    with pytest.raises(NotInSpace, match="7 vertices; the space allows 5"):
        oracle.query(OUTSIDE)
    assert oracle.budget.ledger == ()


def test_a_partial_table_is_completed(small_table: Table, fallback: Fallback, quick: Any) -> None:
    rows = np.arange(0, len(small_table), 2, dtype=np.int32)
    columns = {
        key: replace(column, values=column.values[rows])
        for key, column in small_table.columns.items()
    }
    partial = Table(small_table.space, small_table.epochs, columns, rows=rows)
    inside, missing = small_table.space[100], small_table.space[101]
    oracle = oracle_with(partial, fallback, queries=2)
    assert oracle.query(inside).source == "measured"
    assert oracle.query(missing).source == "trained"
    with pytest.raises(NotInTable, match="give the oracle a trainer"):
        oracle_with(partial, None, queries=1).query(missing)


def test_the_budget_refuses_before_anything_is_trained(
    small_table: Table, fallback: Fallback, quick: list[int]
) -> None:
    price = fallback.price(OUTSIDE, 36, False)
    with pytest.raises(BudgetExhausted):
        oracle_with(small_table, fallback, seconds=0.99 * price).query(OUTSIDE)
    assert quick == []
    oracle = oracle_with(small_table, fallback, seconds=price)
    assert oracle.query(OUTSIDE).seconds == price == oracle.budget.spent_seconds


def test_the_drawn_repeat_is_the_seed_and_is_trained_once(
    small_table: Table, fallback: Fallback, quick: list[int]
) -> None:
    oracle = oracle_with(small_table, fallback, queries=40)
    answers = [oracle.query(OUTSIDE, epochs=4) for _ in range(40)]
    assert sorted(quick) == [0, 1, 2]
    of_repeat = [float(np.float32(accuracy)) for accuracy in (0.1, 0.2, 0.3)]
    assert [answer.validation_accuracy for answer in answers] == [
        of_repeat[answer.repeat or 0] for answer in answers
    ]
    assert oracle.budget.spent_queries == 40


def test_the_mean_policy_trains_and_charges_all_repeats(
    small_table: Table, fallback: Fallback, quick: list[int]
) -> None:
    oracle = Oracle(
        small_table, Budget(queries=1), np.random.default_rng(0), policy="mean", trainer=fallback
    )
    answer = oracle.query(OUTSIDE, epochs=4)
    assert answer.validation_accuracy == pytest.approx(0.2)
    assert answer.seconds == pytest.approx(3 * fallback.price(OUTSIDE, 4, False))
    assert quick == [0, 1, 2]


def test_once_gives_the_same_training_again_for_free(
    small_table: Table, fallback: Fallback, quick: list[int]
) -> None:
    oracle = Oracle(
        small_table, Budget(queries=1), np.random.default_rng(0), policy="once", trainer=fallback
    )
    assert oracle.query(OUTSIDE, epochs=4) == oracle.query(OUTSIDE, epochs=4)
    assert len(quick) == 1


def test_an_operation_of_ones_own_is_trained(small_table: Table, fallback: Fallback) -> None:
    from torch import nn

    from nasbench_kit.spaces.nasbench101.network import register_module

    register_operation("avgpool3x3")
    register_module("avgpool3x3", lambda channels: nn.AvgPool2d(3, 1, 1))
    cell = Cell([[0, 1, 1], [0, 0, 1], [0, 0, 0]], ["avgpool3x3"])
    with pytest.raises(NotInSpace, match="has the operation 'avgpool3x3'; the space has conv3x3"):
        oracle_with(small_table, None, queries=1).query(cell)
    answer = oracle_with(small_table, fallback, epochs=4).query(cell, epochs=4)
    assert answer.source == "trained"
    assert answer.validation_accuracy > 0.3  # ten classes


# The store -----------------------------------------------------------------------------------


def a_job(cell: Cell = OUTSIDE, seed: int = 0) -> Job:
    return Job(cell, DIGITS, digits(), 4, seed)


def test_what_is_stored_is_found_by_any_labelling(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.sqlite")
    store.get(a_job(), lambda: {"made": 1})
    space = CellSpace()
    other = space[space.index(OUTSIDE)]
    assert other.bits != OUTSIDE.bits
    assert Store(tmp_path / "store.sqlite").get(a_job(other), lambda: {"made": 2}) == {"made": 1}


def test_every_condition_tells_trainings_apart(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.sqlite")
    jobs = [
        a_job(),
        a_job(seed=1),
        a_job(Cell.named("resnet")),
        replace(a_job(), epochs=12),
        replace(a_job(), recipe=replace(DIGITS, learning_rate=0.2)),
        replace(a_job(), images=replace(digits(), name="others")),
    ]
    for number, job in enumerate(jobs):
        assert store.get(job, lambda number=number: {"made": number}) == {"made": number}  # type: ignore[misc]


def _slowly(path: Path, log: Path) -> None:
    def make() -> dict[str, Any]:
        with log.open("a") as file:
            file.write("made\n")
        time.sleep(0.5)
        return {"pid": os.getpid()}

    Store(path).get(a_job(), make)


def test_processes_at_once_train_it_only_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    arguments = (tmp_path / "store.sqlite", tmp_path / "log")
    workers = [context.Process(target=_slowly, args=arguments) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert (tmp_path / "log").read_text() == "made\n"


def test_a_killed_training_is_made_by_the_next(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    worker = context.Process(target=_slowly, args=(tmp_path / "store.sqlite", tmp_path / "log"))
    worker.start()
    while not (tmp_path / "log").exists():
        assert worker.is_alive()
        time.sleep(0.02)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    assert Store(tmp_path / "store.sqlite").get(a_job(), lambda: {"made": 2}) == {"made": 2}


def test_a_file_that_is_no_store_is_named(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a database, and long enough to be sure of it" * 10)
    with pytest.raises(CorruptFile, match="no store"):
        Store(tmp_path / "text")
    with pytest.raises(NotWritable, match="/proc/none"):
        Store(Path("/proc/none/store.sqlite"))
    sqlite3.connect(tmp_path / "empty").close()
    assert Store(tmp_path / "empty").record(a_job()) is None


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.sqlite")
    store.get(a_job(), lambda: {"made": 1})
    for damage in ("{", "[]", ""):
        with sqlite3.connect(store.path) as connection:
            connection.execute("UPDATE trainings SET record = ?", (damage,))
        with pytest.raises(CorruptFile, match="damaged record"):
            store.get(a_job(), lambda: {"made": 2})


def test_the_kind_of_device_tells_trainings_apart(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.sqlite")
    store.get(a_job(), lambda: {"made": 1})
    first, second = (replace(a_job(), device=name) for name in ("cuda", "cuda:1"))
    assert store.get(first, lambda: {"made": 2}) == {"made": 2}
    assert store.record(second) == {"made": 2}


def test_threads_of_the_caller_do_not_matter(small_table: Table, tmp_path: Path) -> None:
    import torch

    threads, records = torch.get_num_threads(), []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            store = Store(tmp_path / f"store{count}")
            record = Fallback(small_table, digits(), DIGITS, store=store).record(OUTSIDE, 4, 0)
            assert torch.get_num_threads() == count
            records.append((record["final"]["train"], record["halfway"]["test"]))
    finally:
        torch.set_num_threads(threads)
    assert records[0] == records[1]
