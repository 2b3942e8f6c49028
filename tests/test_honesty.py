"""What a search may try on its oracle, and what a comparison makes of it."""

from __future__ import annotations

import contextlib
import copy
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
from numpy.random import Generator
from test_oracle import by_hand

from nasbench_kit import Budget, Cell, InvalidSetting, NasbenchKitError, Oracle, Table
from nasbench_kit.compare.one_run import run_one
from nasbench_kit.compare.plan import Plan
from nasbench_kit.compare.running import run
from nasbench_kit.compare.scores import score
from nasbench_kit.errors import AccountsDisagree, ReadOnlyAttribute
from nasbench_kit.oracle.engine import Engine
from nasbench_kit.oracle.source import TableSource
from nasbench_kit.oracle.task import Task
from nasbench_kit.testing.textures import priced_task


@dataclass(frozen=True)
class Trying:
    """Asks for random cells, and after each answer tries something; what it meets, it ignores."""

    trick: Callable[[Oracle], object]

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Cell]:
        while True:
            yield oracle.query(oracle.space.sample(rng)).cell
            with contextlib.suppress(Exception):
                self.trick(oracle)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    path = tmp_path_factory.mktemp("tables") / "table.h5"
    by_hand().save(path)
    return Table.open(path)


def plan_of(table: Table, trick: Callable[[Oracle], object], **options: Any) -> Plan:
    assert table.file is not None
    budget = options.pop("budget", {"seconds": 5000.0, "queries": 12})
    return Plan(table.file[0], {"trying": Trying(trick)}, [0], budget, **options)


def setting(name: str, value: Any, of: str = "") -> Callable[[Oracle], None]:
    return lambda oracle: setattr(getattr(oracle, of) if of else oracle, name, value)


def forcing(name: str, value: Any, of: str = "") -> Callable[[Oracle], None]:
    """Past the class's own refusal."""
    return lambda oracle: object.__setattr__(getattr(oracle, of) if of else oracle, name, value)


def querying(second: Callable[[Any], Any]) -> Callable[[Oracle], object]:
    """Ask a copy for everything, free."""
    return lambda oracle: [second(oracle).query(cell) for cell in oracle.space]


def poison(oracle: Oracle) -> None:
    oracle.space.direct.rows[:] = 0


#: None of these changes anything: the run is the one without them.
TRICKS: dict[str, Callable[[Oracle], object]] = {
    "spent seconds": setting("spent_seconds", 0.0, "budget"),
    "spent queries": setting("spent_queries", 0, "budget"),
    "spent epochs": setting("spent_epochs", 0, "budget"),
    "limit of seconds": setting("seconds", 1e9, "budget"),
    "limit of queries": setting("queries", None, "budget"),
    "ledger": setting("ledger", [], "budget"),
    "cleared ledger": lambda oracle: oracle.budget.ledger.clear(),  # type: ignore[attr-defined]
    "shorter ledger": lambda oracle: oracle.budget.ledger.pop(),  # type: ignore[attr-defined]
    "negative charge": lambda oracle: oracle.budget.charge("query", seconds=-1e6),
    "charge back of queries": lambda oracle: oracle.budget.charge("query", queries=-3),
    "charge of NaN": lambda oracle: oracle.budget.charge("query", seconds=float("nan")),
    "charge at all": lambda oracle: oracle.budget.charge("query", seconds=1.0, queries=1),
    "booking": lambda oracle: oracle.budget.book("query", -1e6, 0, 0, None),  # type: ignore[attr-defined]
    "paying": lambda oracle: oracle.budget._account.pay("query", -1e6, 0, 0, lambda: None),
    "other budget": setting("budget", Budget()),
    "other policy": setting("policy", "once"),
    "other query": setting("query", lambda *_: None),
    "other class": setting("__class__", object),
    "no budget": lambda oracle: delattr(oracle, "budget"),
    "own attribute": setting("_patience", 10**9),
    "own draws": lambda oracle: oracle._draws.clear(),  # type: ignore[attr-defined]
    "own memory": lambda oracle: oracle._seen.clear(),  # type: ignore[attr-defined]
    "own budget": lambda oracle: oracle._budget.ledger.clear(),  # type: ignore[attr-defined]
    "own dictionary": lambda oracle: vars(oracle).clear(),
    "begun anew": lambda oracle: oracle.budget.__init__(queries=10**9),  # type: ignore[misc]
    "forced budget": forcing("budget", Budget()),
    "forced policy": forcing("policy", "once"),
    "forced account": forcing("_account", Budget()._account, "budget"),
    "account's limits": setting("_account.limits", (None, None, None), "budget"),
    "space's name": setting("name", "v7e9", "space"),
    "space's lookup": setting("index", lambda cell: 0, "space"),
    "space's rows": poison,
    "copied": querying(copy.copy),
    "copied deeply": querying(copy.deepcopy),
    "pickled": querying(lambda oracle: pickle.loads(pickle.dumps(oracle))),
    "pickled by value": querying(lambda oracle: pickle.loads(cloudpickle.dumps(oracle))),
    "function pickled by value": lambda oracle: cloudpickle.dumps(oracle._query),
    "handle of the handle": querying(lambda oracle: copy.copy(oracle.handle())),
}


@pytest.mark.parametrize("policy", ["always", "once", "new-repeat", "mean"])
def test_no_trick_changes_a_run(table: Table, policy: Any) -> None:
    # With "once" a run that has paid for every cell goes on for long, free of charge.
    budget = {"seconds": 5000.0, "queries": 5 if policy == "once" else 12}
    honest = run_one(
        plan_of(table, lambda _: None, policy=policy, budget=budget), table, "trying", 0
    )
    assert honest.ended == "budget"
    for name, trick in TRICKS.items():
        tried = run_one(plan_of(table, trick, policy=policy, budget=budget), table, "trying", 0)
        assert tried == honest, name


@pytest.mark.parametrize("name", ["budget", "policy", "query", "space", "epochs", "anything"])
def test_an_oracles_attributes_are_read_only(name: str) -> None:
    oracle = Oracle(by_hand(), Budget(queries=2), np.random.default_rng(0))
    with pytest.raises(ReadOnlyAttribute, match=rf"Oracle\.{name} is read-only"):
        setattr(oracle, name, 1)
    with pytest.raises(ReadOnlyAttribute, match=rf"Oracle\.{name} is read-only"):
        delattr(oracle, name)
    with pytest.raises(ReadOnlyAttribute, match=r"Budget\.spent_queries is read-only"):
        oracle.budget.spent_queries = 0  # type: ignore[misc]


def test_a_handle_is_the_same_oracle() -> None:
    budget = Budget(queries=2)
    oracle = Oracle(by_hand(), budget, np.random.default_rng(0))
    handle = oracle.handle()
    answer = handle.query(oracle.space[2])
    assert handle.budget.ledger == budget.ledger == (("query", answer.seconds, 13, 1, answer),)
    assert handle.budget.meters() == [("queries", 2, 1)]
    with pytest.raises(InvalidSetting, match="a view of a budget"):
        handle.budget.charge("query", queries=1)
    assert copy.copy(handle.budget).ledger == budget.ledger
    oracle.query(oracle.space[2])
    assert handle.budget.spent_queries == 2


def test_a_step_costs_the_same_whatever_is_done_to_the_task(small_table: Table) -> None:
    task = priced_task(small_table)
    oracle = Oracle(small_table, Budget(seconds=9.0), np.random.default_rng(0), task=task).handle()
    cell = small_table.space[4]
    price = oracle.price(cell, 6)
    for name, value in (("epoch_images", 10**9), ("cost", None)):
        object.__setattr__(oracle.task, name, value)
    assert oracle.task.cost is None
    assert oracle.price(cell, 6) == price
    with pytest.raises(ValueError, match="read-only"):
        oracle.task.weights.images[:] = 0


# The audit -------------------------------------------------------------------------------------


def engine_of(oracle: Oracle) -> Engine:
    """What no search should do, and what cannot be prevented."""
    (closed,) = oracle._query.__closure__ or ()
    engine: Engine = closed.cell_contents
    return engine


def variable(function: Any, name: str) -> Any:
    return function.__closure__[function.__code__.co_freevars.index(name)]


def rewinding(name: str) -> Callable[[Oracle], None]:
    def trick(oracle: Oracle) -> None:
        variable(oracle.budget._account.spent, name).cell_contents = 0

    return trick


def dropping(oracle: Oracle) -> None:
    variable(oracle.budget._account.ledger, "charges").cell_contents.pop()


def both(oracle: Oracle) -> None:
    dropping(oracle)
    for name in ("spent_seconds", "spent_epochs", "spent_queries"):
        rewinding(name)(oracle)


def cheapening(oracle: Oracle) -> None:
    source: Any = engine_of(oracle).source
    for fidelity in source._fidelities.values():
        fidelity.seconds = lambda _: 0.0


@pytest.mark.parametrize(
    ("trick", "message"),
    [
        (rewinding("spent_seconds"), "the ledger lists .* seconds and the total is"),
        (rewinding("spent_queries"), "the ledger lists .* queries and the total is"),
        (dropping, "the ledger lists .* and the total is"),
        (both, "the ledger lists .* and the total is|the spending went back from"),
        (cheapening, "charged 0 s and costs"),
    ],
)
def test_the_audit_finds_what_was_changed_from_within(
    table: Table, trick: Callable[[Oracle], object], message: str, tmp_path: Path
) -> None:
    done: list[int] = []

    def once(oracle: Oracle) -> None:
        if len(oracle.budget.ledger) == 3 and not done:
            done.append(1)
            trick(oracle)

    plan = plan_of(table, once, budget={"queries": 12})
    with pytest.raises(AccountsDisagree, match=f"trying with seed 0: .*({message})"):
        run_one(plan, table, "trying", 0)
    done.clear()
    with contextlib.suppress(NasbenchKitError):
        run(plan, tmp_path / "runs")
    assert not list((tmp_path / "runs" / "traces").glob("*"))


@pytest.mark.parametrize(
    ("kind", "name"),
    [(Engine, "query"), (Engine, "_buy"), (TableSource, "price"), (TableSource, "_read")],
)
def test_a_patched_class_is_noticed(
    table: Table, kind: type, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = getattr(kind, name)

    def same(*arguments: Any) -> Any:
        return kept(*arguments)

    def patch(_: Oracle) -> None:
        monkeypatch.setattr(kind, name, same)

    with pytest.raises(AccountsDisagree, match=f"the class {kind.__name__} is not what it was"):
        run_one(plan_of(table, patch), table, "trying", 0)


@pytest.mark.parametrize("policy", ["always", "once", "new-repeat", "mean"])
@pytest.mark.parametrize("limit", [{"seconds": 4000.0}, {"epochs": 150}, {"queries": 9}])
def test_an_honest_run_passes(table: Table, policy: Any, limit: dict[str, float]) -> None:
    trace = run_one(plan_of(table, lambda _: None, policy=policy, budget=limit), table, "trying", 0)
    ((what, most),) = limit.items()
    assert 0 < getattr(trace, what) <= most
    assert not trace.unpaid


# Recommended unpaid ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Guessing:
    """Recommends before it asks; then asks so many times."""

    queries: int

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Cell]:
        yield oracle.space[5]
        for _ in range(self.queries):
            yield oracle.query(oracle.space[2]).cell


@pytest.mark.parametrize("queries", [0, 3])
def test_a_run_that_recommends_unpaid_is_marked(table: Table, queries: int) -> None:
    plan = plan_of(table, lambda _: None)
    plan = replace(plan, algorithms={"guessing": Guessing(queries), **plan.algorithms})
    guessing = run_one(plan, table, "guessing", 0)
    paying = run_one(plan, table, "trying", 0)
    assert [result.unpaid for result in score(table, [guessing, paying])] == [True, False]
    assert guessing.ended == "finished"


def test_pickling_is_no_patching(table: Table) -> None:
    """copyreg notes the slots of a class in the class, when an object of it is first pickled."""
    for pickled in (table.columns["final", "seconds"], by_hand(), Budget(), table.space):
        pickle.dumps(pickled)
    assert run_one(plan_of(table, lambda _: None), table, "trying", 0).queries > 0


def test_a_task_is_not_the_searchs_own(small_table: Table) -> None:
    """The images of one run are those of the next."""
    task: Task = priced_task(small_table)
    before = task.images.digest
    oracle = Oracle(small_table, Budget(seconds=9.0), np.random.default_rng(0), task=task)
    assert oracle.task.images.digest == before
    assert np.shares_memory(oracle.task.weights.images, task.weights.images)
