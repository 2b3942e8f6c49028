"""What crosses a process, or is copied, answers and goes on as the first one; or it says why not."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
from test_oracle import CELLS, EPOCHS, POLICIES, by_hand

from nasbench_kit import (
    Answer,
    Budget,
    BudgetExhausted,
    Cell,
    CellSpace,
    Column,
    CorruptFile,
    Oracle,
    Table,
    WrongTable,
)
from nasbench_kit.algorithms import ALGORITHMS, MULTI_OBJECTIVE
from nasbench_kit.algorithms.ask_tell import AskTell
from nasbench_kit.algorithms.random_search import RandomSearch
from nasbench_kit.compare.plan import Plan
from nasbench_kit.compare.trace import Incumbent, Spending, Trace
from nasbench_kit.data.images.digits import digits
from nasbench_kit.errors import NotCopyable
from nasbench_kit.oracle.fallback import Fallback
from nasbench_kit.oracle.oracle import Policy
from nasbench_kit.oracle.store import Store
from nasbench_kit.table.noise import Noise
from nasbench_kit.testing.textures import priced_task
from nasbench_kit.training.recipe import DIGITS

#: Every way to get a second one.
WAYS: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda original: pickle.loads(pickle.dumps(original)),
    "old pickle": lambda original: pickle.loads(pickle.dumps(original, protocol=2)),
    "cloudpickle": lambda original: pickle.loads(cloudpickle.dumps(original)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
}
way = pytest.mark.parametrize("again", WAYS.values(), ids=WAYS)


class Pricing:
    """A trainer at a fixed price, whose readings tell cell, epochs and repeat apart."""

    def price(self, cell: Cell, epochs: int, halfway: bool) -> float:
        return 2.0 * epochs

    def train(self, cell: Cell, epochs: int, halfway: bool, repeat: int) -> Answer:
        accuracy = (len(cell.edges()) + repeat / 10 + epochs / 1000) / 100
        return Answer(cell, epochs, halfway, repeat, 2.0 * epochs, None, accuracy, 7, "trained")


def surrogate() -> Table:
    """Predictions of one repeat, of which the noise draws three."""
    noise = Noise([[0.0, 1.0]] * 2, [[0.1, 0.2]] * 2, [[0.1, 0.0]] * 2, 0.1, 1000, 3)
    predicted = np.linspace(0.3, 0.9, 14).astype(np.float32).reshape(7, 2, 1)
    columns = {
        ("final", "validation_accuracy"): Column(predicted),
        ("final", "seconds"): Column(100 * predicted),
    }
    provenance = {"name": "predicted", "source": "surrogate", "noise": vars(noise)}
    return Table(CellSpace(3), EPOCHS, columns, provenance=provenance)


def marked() -> Table:
    """With a mask, exact values at some places, sources and parameters."""
    table = by_hand()
    counts = table.columns["final", "validation_accuracy"]
    present = np.ones(counts.values.shape, np.uint8)
    columns = {
        **table.columns,
        ("final", "validation_accuracy"): Column(counts.values, counts.images, present, {0: 0.5}),
    }
    extra: dict[str, Any] = {
        "trainable_parameters": np.arange(70_000, 70_007).astype(np.uint32),
        "source": np.array([0, 1, 2, 0, 1, 2, 0], np.uint8),
    }
    return Table(table.space, EPOCHS, columns, extra=extra, provenance={"name": "marked"})


def opened(table: Table, folder: Path) -> Table:
    table.save(folder / "table.h5")
    return Table.open(folder / "table.h5")


TABLES: dict[str, Callable[[Path], Table]] = {
    "made": lambda _: by_hand(),
    "partial": lambda _: by_hand(rows=[0, 2, 3, 6]),
    "marked": lambda _: marked(),
    "predicted": lambda _: surrogate(),
    "opened": lambda folder: opened(marked(), folder),
    "opened partial": lambda folder: opened(by_hand(rows=[0, 2, 3, 6]), folder),
    "opened predicted": lambda folder: opened(surrogate(), folder),
}


def asked(oracle: Oracle, questions: int = 40) -> list[Any]:
    """Answers, refusals and the spending after each, of a fixed row of questions."""
    rng = np.random.default_rng(9)
    told: list[Any] = []
    for _ in range(questions):
        cell = CELLS[int(rng.choice([0, 2, 3, 6]))]
        try:
            told.append(oracle.query(cell, EPOCHS[int(rng.integers(2))]))
        except BudgetExhausted as refusal:
            told.append(str(refusal))
        told.append(oracle.budget.meters())
    return told


def used(table: Table, policy: Policy = "always", **options: Any) -> Oracle:
    """An oracle that has answered some questions already."""
    budget = Budget(seconds=20_000.0, queries=30)
    oracle = Oracle(table, budget, np.random.default_rng(3), policy=policy, **options)
    asked(oracle, 12)
    return oracle


@way
@pytest.mark.parametrize("origin", TABLES)
@pytest.mark.parametrize("policy", POLICIES)
def test_an_oracle_goes_on_as_the_first_one(
    again: Callable[[Any], Any], origin: str, policy: Policy, tmp_path: Path
) -> None:
    oracle = used(TABLES[origin](tmp_path), policy)
    second, ledger = again(oracle), oracle.budget.ledger
    assert second.budget.ledger == ledger
    assert second.budget.meters() == oracle.budget.meters()
    assert (second.policy, second.epochs, second.space) == (policy, oracle.epochs, oracle.space)
    later = asked(second)
    assert oracle.budget.ledger == ledger  # independent: what the second spends, the first keeps
    assert asked(oracle) == later
    assert any(isinstance(told, Answer) for told in later)
    assert any(isinstance(told, str) for told in later) or policy in ("once", "new-repeat")


@way
def test_an_oracle_keeps_its_trainer_and_its_patience(again: Callable[[Any], Any]) -> None:
    outside = Cell.named("resnet")
    oracle = used(by_hand(), "once", trainer=Pricing(), patience=30)
    first = oracle.query(outside, 4)
    second = again(oracle)
    assert second.query(outside, 4) == first
    assert second.budget.spent_seconds == oracle.budget.spent_seconds
    for _ in range(28):
        second.query(CELLS[0], 4)
    with pytest.raises(BudgetExhausted, match="the last 30 queries"):
        second.query(CELLS[0], 4)


@way
def test_an_oracle_keeps_its_task(again: Callable[[Any], Any], small_table: Table) -> None:
    cell = small_table.space[70]
    task = priced_task(small_table)
    oracle = Oracle(small_table, Budget(seconds=1e4), np.random.default_rng(0), task=task)
    oracle.charge(cell, 5)
    second = again(oracle)
    assert second.price(cell, 7, False) == oracle.price(cell, 7, False)
    second.charge(cell, 7)
    assert [charge.kind for charge in second.budget.ledger] == ["supernet"] * 2
    assert len(oracle.budget.ledger) == 1
    np.testing.assert_array_equal(second.task.weights.images, oracle.task.weights.images)


@way
def test_budget_and_oracle_that_are_sent_together_stay_together(
    again: Callable[[Any], Any],
) -> None:
    budget = Budget(queries=9)
    oracle = Oracle(by_hand(), budget, np.random.default_rng(0))
    meter, second = again((budget, oracle))
    second.query(CELLS[0])
    assert meter.spent_queries == 1


def test_another_process_gives_the_same_answers(tmp_path: Path) -> None:
    """By pickle and by cloudpickle, of a table from a file and of one in memory, all policies."""
    oracles = [
        used(table, policy)
        for policy in POLICIES
        for table in (opened(marked(), tmp_path), by_hand(), surrogate())
    ]
    for name, module in (("plain", pickle), ("cloud", cloudpickle)):
        (tmp_path / name).write_bytes(module.dumps(oracles))
    program = (
        "import json, pickle, sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path; from test_copies import asked\n"
        "found = [[asked(o) for o in pickle.loads((Path(sys.argv[1]) / name).read_bytes())]\n"
        "         for name in ('plain', 'cloud')]\n"
        "print(json.dumps(found, default=repr))"
    )
    command = [sys.executable, "-c", program, str(tmp_path), *filter(None, sys.path)]
    output = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    here = [asked(oracle) for oracle in oracles]
    assert json.loads(output) == json.loads(json.dumps([here, here], default=repr))


# Tables ----------------------------------------------------------------------------------------


@way
@pytest.mark.parametrize("origin", TABLES)
def test_a_table_says_the_same(again: Callable[[Any], Any], origin: str, tmp_path: Path) -> None:
    table = TABLES[origin](tmp_path)
    second = again(table)
    assert second.checksum == table.checksum
    assert second.provenance == table.provenance
    assert second.columns.keys() == table.columns.keys()
    for key, column in table.columns.items():
        for place in range(len(EPOCHS)):
            np.testing.assert_array_equal(second.columns[key].array(place), column.array(place))
    for name in table.extra:
        np.testing.assert_array_equal(second.extra[name], table.extra[name])
    assert [second.row(cell) for cell in table.covered] == list(range(len(table)))
    assert (second.file is None) == (table.file is None)


def test_a_table_from_a_file_is_sent_as_its_path() -> None:
    from nasbench_kit.data.tables import open_table

    assert len(pickle.dumps(open_table("digits"))) < 1000


def test_the_path_is_found_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_hand().save(tmp_path / "table.h5")
    monkeypatch.chdir(tmp_path)
    sent = pickle.dumps(Table.open("table.h5"))
    monkeypatch.chdir("/")
    assert pickle.loads(sent).name == "by hand"


def test_a_table_renamed_in_memory_keeps_its_name(tmp_path: Path) -> None:
    table = opened(by_hand(), tmp_path)
    table.provenance["name"] = "other"
    assert pickle.loads(pickle.dumps(table)).name == "other"


@pytest.mark.parametrize("kind", [lambda table: table, used], ids=["table", "oracle"])
def test_a_file_that_is_gone_or_another_is_refused(
    kind: Callable[[Table], Any], tmp_path: Path
) -> None:
    original = kind(opened(by_hand(), tmp_path))
    sent = [pickle.dumps(original), cloudpickle.dumps(original)]
    path = tmp_path / "table.h5"
    by_hand(provenance={"name": "another"}).save(path)
    for data in sent:
        with pytest.raises(WrongTable, match=r"table\.h5 is another table now"):
            pickle.loads(data)
    path.unlink()
    for data in sent:
        with pytest.raises(CorruptFile, match=r"there is no table at .*table\.h5"):
            pickle.loads(data)


def test_an_oracle_is_not_opened_from_altered_bytes(tmp_path: Path) -> None:
    sent = pickle.dumps(used(opened(by_hand(), tmp_path)))
    path = tmp_path / "table.h5"
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptFile, match="was altered"):
        pickle.loads(sent)


@pytest.mark.parametrize("origin", ["made", "opened"])
def test_no_test_accuracy_is_in_the_pickle_of_an_oracle(origin: str, tmp_path: Path) -> None:
    secret = np.random.default_rng(6).uniform(0.2, 0.9, (7, 2, 3)).astype(np.float32)
    columns = {**by_hand().columns, ("final", "test_accuracy"): Column(secret)}
    table = Table(CellSpace(3), EPOCHS, columns)
    if origin == "opened":
        table = opened(table, tmp_path)
    for module in (pickle, cloudpickle):
        assert secret[2].tobytes() not in module.dumps(used(table))
        assert secret[2].tobytes() in module.dumps(columns["final", "test_accuracy"])


# Everything else -------------------------------------------------------------------------------


@way
@pytest.mark.parametrize(
    "space",
    [
        CellSpace(4),
        CellSpace(5, 6),
        CellSpace(4).restricted(np.array([0, 5, 17])),
        CellSpace(5).restricted(np.arange(3, 90), "some").restricted(np.array([1, 2, 80])),
    ],
    ids=str,
)
def test_a_space_is_the_same(again: Callable[[Any], Any], space: CellSpace) -> None:
    second = again(space)
    assert (second.name, second.digest) == (space.name, space.digest)
    assert [second.index(cell) for cell in space] == list(range(len(space)))
    draws = [[each.sample(np.random.default_rng(1)) for _ in range(9)] for each in (space, second)]
    assert draws[0] == draws[1]


def test_a_space_does_not_follow_the_callers_array() -> None:
    kept = np.array([0, 5, 17])
    space = CellSpace(4).restricted(kept)
    kept[1] = 9
    assert pickle.loads(pickle.dumps(space)) == space


@way
def test_a_cell_keeps_its_labelling(again: Callable[[Any], Any]) -> None:
    for cell in (Cell.named("inception"), CellSpace(4).sample(np.random.default_rng(0))):
        assert again(cell).to_text() == cell.to_text()
        assert again(cell) == cell
        assert hash(again(cell)) == hash(cell)


@way
def test_a_budget_goes_on_on_its_own(again: Callable[[Any], Any]) -> None:
    budget = Budget(seconds=1.0, queries=100)
    for _ in range(9):
        budget.charge("query", seconds=0.1, queries=1, item=Cell.named("resnet"))
    second = again(budget)
    assert second.ledger == budget.ledger
    assert (second.spent_seconds, second.spent_queries) == (budget.spent_seconds, 9)
    assert second.meters() == budget.meters()
    second.charge("query", seconds=0.05)
    assert len(budget.ledger) == 9
    with pytest.raises(BudgetExhausted):
        second.charge("query", seconds=0.1)


@way
def test_searches_plans_traces_and_answers_are_equal(
    again: Callable[[Any], Any], tmp_path: Path
) -> None:
    searches = {name: kind() for name, kind in ALGORITHMS.items()}
    planned = {name: made for name, made in searches.items() if name not in MULTI_OBJECTIVE}
    plan = Plan(tmp_path / "table.h5", planned, [0, 1], {"queries": 9})
    ledger = {"query": Spending(2, 0.3, 36.0, 2)}
    trace = Trace("a", 1, "budget", 0.3, 36.0, 2, 1, [Incumbent(0.3, 36.0, 1, "01/00:")], ledger)
    answer = Oracle(by_hand(), Budget(), np.random.default_rng(0)).query(CELLS[3])
    for original in (plan, trace, answer, DIGITS, *searches.values()):
        assert again(original) == original


@way
def test_images_and_tasks_hold_the_same(again: Callable[[Any], Any], small_table: Table) -> None:
    assert again(digits()).digest == digits().digest
    task = priced_task(small_table)
    second, cell = again(task), small_table.space[9]
    assert second.images.digest == task.images.digest
    assert second.recipe == task.recipe
    assert task.cost is not None
    assert second.cost.price(cell, 4) == task.cost.price(cell, 4)


@way
def test_a_fallback_has_the_same_prices_and_store(
    again: Callable[[Any], Any], small_table: Table, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store.sqlite")
    fallback = Fallback(small_table, digits(), DIGITS, store=store)
    second, cell = again(fallback), Cell.named("inception")
    assert second.price(cell, 4, False) == fallback.price(cell, 4, False)
    assert again(store).path == store.path


def test_a_store_is_found_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sent = pickle.dumps(Store(Path("store.sqlite")))
    monkeypatch.chdir("/")
    assert pickle.loads(sent).path == tmp_path / "store.sqlite"


@way
def test_what_is_one_only_says_so(again: Callable[[Any], Any]) -> None:
    oracle = Oracle(by_hand(), Budget(queries=9), np.random.default_rng(0))
    handle = oracle.handle()
    for original in (handle, oracle):
        with pytest.raises(NotCopyable, match="in the hands of a search"):
            again(original)
    with AskTell(RandomSearch(), CellSpace(3), np.random.default_rng(0)) as search:
        search.ask()
        with pytest.raises(NotCopyable, match="in a thread"):
            again(search)


def test_a_task_without_a_cost_is_refused_for_seconds(small_table: Table) -> None:
    task = replace(priced_task(small_table), cost=None)
    oracle = Oracle(small_table, Budget(seconds=9.0), np.random.default_rng(0), task=task)
    with pytest.raises(ValueError, match="no cost model to price training by"):
        oracle.charge(small_table.space[0], 1)
