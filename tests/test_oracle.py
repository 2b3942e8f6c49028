"""The oracle: four policies by hand, refusals that reveal and consume nothing, no way to the test."""

from __future__ import annotations

import functools
import itertools
import mmap
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from nasbench_kit import (
    Answer,
    Budget,
    BudgetExhausted,
    Cell,
    CellSpace,
    Column,
    InvalidCell,
    InvalidSetting,
    NasbenchKitError,
    NotInSpace,
    NotInTable,
    NotRecorded,
    Oracle,
    Stalled,
    Table,
)
from nasbench_kit.oracle.oracle import Policy
from nasbench_kit.table.table import Checkpoint

POLICIES: tuple[Policy, ...] = get_args(Policy)
CHECKPOINTS: tuple[Checkpoint, ...] = get_args(Checkpoint)
#: A table by hand over the 7 cells of CellSpace(3), at 4 and 13 epochs with 3 repeats. Of the cell
#: in row r, trained for e epochs, repeat k: seconds 100 r + e + k; validation count 10 r + k and
#: training count 50 + 10 r + k of 200 (one less after halfway, and half the seconds).
SPACE = CellSpace(3)
EPOCHS = (4, 13)
REPEATS = 3
IMAGES = 200
CELLS = list(SPACE)
CHEAP, COSTLY = CELLS[0], CELLS[6]


def seconds_of(row: int, epochs: int, repeat: int, halfway: bool = False) -> float:
    return (100 * row + epochs + repeat) / (1 + halfway)


def validation_of(row: int, repeat: int, halfway: bool = False) -> float:
    return float(np.float32((10 * row + repeat + 1 - halfway) / IMAGES))


def by_hand(without: tuple[tuple[str, str], ...] = (), rows: Any = None, **more: Any) -> Table:
    row, epochs, repeat = np.ogrid[:7, :2, :REPEATS]
    epochs = np.array(EPOCHS)[epochs]
    columns = {}
    for checkpoint, half in (("final", 0), ("halfway", 1)):
        counts = 10 * row + repeat + 1 - half + 0 * epochs
        values = {
            "validation_accuracy": counts,
            "train_accuracy": 50 + counts,
            "test_accuracy": 120 + counts,
            "seconds": (100 * row + epochs + repeat) / (1 + half),
        }
        for metric, array in values.items():
            counted = metric != "seconds"
            kept = array if rows is None else array[rows]
            columns[checkpoint, metric] = Column(
                kept.astype(np.uint16 if counted else np.float32), IMAGES if counted else None
            )
    columns = {key: column for key, column in columns.items() if key not in without}
    more = {"provenance": {"name": "by hand"}} | more
    return Table(
        SPACE, EPOCHS, columns, rows=None if rows is None else np.array(rows, np.int32), **more
    )


def an_oracle(
    seed: int = 0, policy: Policy = "always", table: Table | None = None, **options: Any
) -> Oracle:
    patience = {"patience": options.pop("patience")} if "patience" in options else {}
    rng = np.random.default_rng(seed)
    return Oracle(table or by_hand(), Budget(**options), rng, policy=policy, **patience)


def repeats_of(oracle: Oracle, count: int) -> list[int | None]:
    """The repeats of the next ``count`` cheap queries."""
    return [oracle.query(CHEAP, 4).repeat for _ in range(count)]


# Answers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("halfway", [False, True])
@pytest.mark.parametrize("epochs", EPOCHS)
def test_an_answer_is_what_the_table_says_of_the_drawn_repeat(epochs: int, halfway: bool) -> None:
    oracle = an_oracle()
    for row, cell in enumerate(CELLS):
        answer = oracle.query(cell, epochs, halfway)
        assert answer.repeat is not None
        assert answer.repeat in range(REPEATS)
        assert answer == Answer(
            architecture=cell,
            epochs=epochs,
            halfway=halfway,
            repeat=answer.repeat,
            seconds=seconds_of(row, epochs, answer.repeat, halfway),
            train_accuracy=float(np.float32((51 + 10 * row + answer.repeat - halfway) / IMAGES)),
            validation_accuracy=validation_of(row, answer.repeat, halfway),
            trainable_parameters=None,
            source="measured",
        )


def test_the_longest_training_is_the_default() -> None:
    assert an_oracle().query(CHEAP).epochs == 13


def test_the_answer_shows_the_cell_as_it_was_asked() -> None:
    unpruned = Cell(
        [[0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]], ["conv3x3", "maxpool3x3"]
    )
    for policy in POLICIES:
        oracle = an_oracle(policy=policy)
        for cell in (CHEAP, unpruned, CHEAP, unpruned):
            assert oracle.query(cell).cell is cell


def test_parameters_and_sources_come_from_the_table() -> None:
    extra = {
        "trainable_parameters": np.arange(1000, 1007).astype(np.uint32),
        "source": np.array([0, 1, 2, 0, 1, 2, 0], np.uint8),
    }
    oracle = an_oracle(table=by_hand(extra=extra))
    answers = [oracle.query(cell) for cell in CELLS]
    assert [answer.trainable_parameters for answer in answers] == list(range(1000, 1007))
    assert [answer.source for answer in answers[:3]] == ["measured", "surrogate", "trained"]
    trained = an_oracle(table=by_hand(provenance={"source": "trained"}))
    assert trained.query(CHEAP).source == "trained"


def test_what_the_table_does_not_record_is_none() -> None:
    without = tuple(
        (point, metric)
        for point in ("final", "halfway")
        for metric in ("seconds", "train_accuracy")
    )
    for policy in POLICIES:
        oracle = an_oracle(policy=policy, table=by_hand(without), queries=1)
        answer = oracle.query(CHEAP)
        assert (answer.seconds, answer.train_accuracy) == (None, None)
        assert oracle.budget.ledger[0].seconds == 0


def test_repeats_are_drawn_uniformly_and_by_seed() -> None:
    drawn = repeats_of(an_oracle(0), 3000)
    assert drawn == repeats_of(an_oracle(0), 3000) != repeats_of(an_oracle(1), 3000)
    # Each count is binomial with standard deviation sqrt(3000 * 1/3 * 2/3) = 26; 6 of them.
    assert all(abs(count - 1000) < 155 for count in Counter(drawn).values())


def test_global_random_state_is_neither_read_nor_changed() -> None:
    random.seed(1)
    before = random.getstate(), np.random.get_state(legacy=False)  # noqa: NPY002
    first = repeats_of(an_oracle(), 300)
    after = random.getstate(), np.random.get_state(legacy=False)  # noqa: NPY002
    assert before[0] == after[0]
    np.testing.assert_equal(before[1], after[1])
    random.seed(2)
    assert repeats_of(an_oracle(), 300) == first


# The four policies, by hand --------------------------------------------------------------------


def test_always_charges_every_query() -> None:
    oracle = an_oracle()
    answers = [oracle.query(CELLS[2], 4) for _ in range(20)]
    answers += [oracle.query(CELLS[2], 13, halfway=True) for _ in range(10)]
    budget = oracle.budget
    assert [charge.item for charge in budget.ledger] == answers
    assert budget.spent_seconds == sum(answer.seconds or 0 for answer in answers)
    assert budget.spent_epochs == 20 * 4 + 10 * (13 // 2)
    assert budget.spent_queries == 30
    assert {answer.repeat for answer in answers} == set(range(REPEATS))


def test_once_gives_the_first_answer_again_free() -> None:
    oracle = an_oracle(policy="once")
    first = oracle.query(CELLS[2], 4)
    assert all(oracle.query(CELLS[2], 4) == first for _ in range(20))
    assert len(oracle.budget.ledger) == 1
    for other in ((CELLS[3], 4, False), (CELLS[2], 13, False), (CELLS[2], 4, True)):
        answers = [oracle.query(*other) for _ in range(5)]
        assert len(set(answers)) == 1
    assert oracle.budget.ledger[0].item == first
    assert oracle.budget.spent_queries == 4
    assert oracle.budget.spent_epochs == 4 + 4 + 13 + 2


def test_once_knows_a_cell_in_another_labelling() -> None:
    oracle = an_oracle(policy="once", table=by_hand())
    unpruned = Cell([[0, 0, 1], [0, 0, 0], [0, 0, 0]], ["maxpool3x3"])
    assert oracle.query(unpruned)[1:] == oracle.query(CHEAP)[1:]
    assert oracle.budget.spent_queries == 1


def test_new_repeat_charges_each_repeat_once() -> None:
    oracle = an_oracle(policy="new-repeat")
    answers = [oracle.query(CELLS[2], 4) for _ in range(60)]
    paid = [charge.item for charge in oracle.budget.ledger]
    assert sorted(answer.repeat for answer in paid) == [0, 1, 2]
    assert oracle.budget.spent_seconds == sum(seconds_of(2, 4, repeat) for repeat in range(3))
    assert (oracle.budget.spent_epochs, oracle.budget.spent_queries) == (12, 3)
    assert set(answers) == set(paid)
    drawn = [answer.repeat for answer in answers]
    always = an_oracle(policy="always")
    assert drawn == [always.query(CELLS[2], 4).repeat for _ in range(60)]


def test_mean_is_one_query_at_the_price_of_all_repeats() -> None:
    oracle = an_oracle(policy="mean")
    answers = [oracle.query(CELLS[2], 4), oracle.query(CELLS[2], 4)]
    assert answers[0] == answers[1]
    assert answers[0].repeat is None
    assert answers[0].validation_accuracy == pytest.approx(
        np.mean([validation_of(2, k) for k in range(3)])
    )
    assert answers[0].train_accuracy == pytest.approx(72 / IMAGES)
    assert answers[0].seconds == 3 * 200 + 3 * 4 + 0 + 1 + 2
    assert oracle.budget.spent_seconds == 2 * 615
    assert (oracle.budget.spent_epochs, oracle.budget.spent_queries) == (24, 2)


def test_mean_pays_half_of_each_training_read_from_halfway() -> None:
    oracle = an_oracle(policy="mean")
    oracle.query(CELLS[2], 13, halfway=True)
    assert oracle.budget.spent_epochs == REPEATS * (13 // 2)
    assert oracle.budget.spent_seconds == sum(seconds_of(2, 13, k, halfway=True) for k in range(3))


# Refusals --------------------------------------------------------------------------------------


def state(oracle: Oracle) -> tuple[Any, ...]:
    budget = oracle.budget
    return budget.spent_seconds, budget.spent_epochs, budget.spent_queries, budget.ledger


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("limit", [{"seconds": 300}, {"epochs": 12}, {"queries": 0}])
def test_a_refusal_charges_and_reveals_nothing(policy: Policy, limit: dict[str, Any]) -> None:
    oracle = an_oracle(policy=policy, **limit)
    before = state(oracle)
    for _ in range(5):
        with pytest.raises(BudgetExhausted) as refused:
            oracle.query(COSTLY, 13)
        assert state(oracle) == before
        assert not [value for value in reachable(refused.value) if isinstance(value, Answer)]


@pytest.mark.parametrize("policy", ["always", "new-repeat"])
def test_a_refusal_does_not_consume_the_draw(policy: Policy) -> None:
    """Otherwise a search could ask again and again until a cheap repeat comes up."""
    undisturbed = an_oracle(3, policy)
    oracle = an_oracle(3, policy, seconds=599)
    for _ in range(40):
        with pytest.raises(BudgetExhausted):
            oracle.query(COSTLY, 13)
        assert oracle.query(CHEAP, 4).repeat == undisturbed.query(CHEAP, 4).repeat


def test_asking_again_cannot_find_a_cheaper_repeat() -> None:
    """The budget pays repeat 0 of the cell, but not repeats 1 and 2."""
    price = seconds_of(6, 4, 0)
    for seed in range(12):
        oracle, drawn = an_oracle(seed, seconds=price), an_oracle(seed).query(COSTLY, 4).repeat
        for _ in range(20):
            if drawn == 0:
                assert oracle.query(COSTLY, 4).seconds == price
                break
            with pytest.raises(BudgetExhausted):
                oracle.query(COSTLY, 4)


@pytest.mark.parametrize("policy", POLICIES)
def test_errors_cost_nothing_and_do_not_consume_the_draw(policy: Policy) -> None:
    partial = by_hand(rows=[0, 1])
    for table, cell, epochs, error in (
        (by_hand(), Cell.named("resnet"), 4, NotInSpace),
        (partial, COSTLY, 4, NotInTable),
        (partial, CHEAP, 5, NotRecorded),
        (by_hand((("halfway", "validation_accuracy"),)), CHEAP, (4, True), NotRecorded),
    ):
        undisturbed = an_oracle(4, policy)
        oracle = an_oracle(4, policy, table)
        for _ in range(10):
            before = state(oracle)
            with pytest.raises(error):
                oracle.query(cell, *(epochs if isinstance(epochs, tuple) else (epochs,)))
            assert state(oracle) == before
            assert oracle.query(CHEAP, 4)[1:] == undisturbed.query(CHEAP, 4)[1:]


def test_a_missing_reading_is_refused_and_costs_nothing() -> None:
    table = by_hand()
    column = table.columns["final", "validation_accuracy"]
    present = np.ones(column.values.shape, np.uint8)
    present[0] = 0
    column = Column(column.values, column.images, present)
    oracle = an_oracle(
        table=Table(SPACE, EPOCHS, {**table.columns, ("final", "validation_accuracy"): column})
    )
    before = state(oracle)
    with pytest.raises(NotRecorded):
        oracle.query(CHEAP)
    assert state(oracle) == before
    oracle.query(COSTLY)


def test_a_reading_without_seconds_is_not_free_of_seconds() -> None:
    """A fidelity without seconds allows no seconds budget."""
    table = by_hand((("halfway", "seconds"),))
    with pytest.raises(NasbenchKitError):
        an_oracle(table=table, seconds=1).query(COSTLY, 13, halfway=True)
    an_oracle(table=table, queries=1).query(COSTLY, 13, halfway=True)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_price_that_just_reaches_the_limit_is_paid(policy: Policy) -> None:
    free = an_oracle(5, policy)
    for _ in range(3):
        free.query(CELLS[1], 13)
    budget = free.budget
    for name in ("seconds", "epochs", "queries"):
        limit = getattr(budget, f"spent_{name}")
        oracle = an_oracle(5, policy, **{name: limit})
        for _ in range(3):
            oracle.query(CELLS[1], 13)
        assert getattr(oracle.budget, f"spent_{name}") == limit
        less = limit - 1 if name == "queries" else limit * (1 - 1e-12)
        tight = an_oracle(5, policy, **{name: less})
        with pytest.raises(BudgetExhausted):
            for _ in range(3):
                tight.query(CELLS[1], 13)


asked = st.tuples(st.sampled_from(CELLS), st.sampled_from([None, *EPOCHS]), st.booleans())
limits = st.fixed_dictionaries(
    {},
    optional={
        "seconds": st.floats(0, 3000),
        "epochs": st.integers(0, 200),
        "queries": st.integers(0, 15),
    },
)


@given(st.sampled_from(POLICIES), limits, st.lists(asked, max_size=40), st.integers(0, 99))
@settings(max_examples=150)
def test_spent_never_passes_a_limit_and_the_ledger_accounts_for_it(
    policy: Policy, limit: dict[str, Any], questions: list[tuple[Cell, Any, bool]], seed: int
) -> None:
    oracle = an_oracle(seed, policy, **limit)
    budget = oracle.budget
    for cell, epochs, halfway in questions:
        before = state(oracle)
        try:
            answer = oracle.query(cell, epochs, halfway)
        except BudgetExhausted:
            assert state(oracle) == before
            continue
        row, paid = CELLS.index(cell), budget.ledger[len(before[3]) :]
        repeats = range(REPEATS) if answer.repeat is None else [answer.repeat]
        assert answer.seconds == sum(seconds_of(row, epochs or 13, k, halfway) for k in repeats)
        if paid:
            (charge,) = paid
            assert (charge.item, charge.seconds, charge.queries) == (answer, answer.seconds, 1)
        else:
            assert policy in ("once", "new-repeat")
    assert all(spent <= most for _, most, spent in budget.meters())
    assert sum(charge.seconds for charge in budget.ledger) == pytest.approx(budget.spent_seconds)
    assert sum(charge.epochs for charge in budget.ledger) == budget.spent_epochs
    assert len(budget.ledger) == budget.spent_queries


# Stalling --------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["once", "new-repeat"])
def test_a_search_that_only_repeats_itself_stalls(policy: Policy) -> None:
    oracle = an_oracle(policy=policy, patience=50)
    with pytest.raises(
        Stalled, match="the last 50 queries asked for answers already paid for"
    ) as stalled:
        for asked in itertools.count():  # noqa: B007
            oracle.query(CHEAP)
    assert isinstance(stalled.value, BudgetExhausted)
    assert "see the option patience" in str(stalled.value)
    assert 50 <= asked <= 50 + 40  # under new-repeat the three repeats come in their own time
    assert oracle.budget.spent_queries == (1 if policy == "once" else REPEATS)


def test_a_paid_answer_renews_the_patience() -> None:
    oracle = an_oracle(policy="once", patience=10)
    for cell in CELLS:
        for _ in range(10):
            oracle.query(cell)
    with pytest.raises(Stalled):
        oracle.query(CELLS[-1])


@pytest.mark.parametrize("policy", ["always", "mean"])
def test_who_pays_never_stalls(policy: Policy) -> None:
    oracle = an_oracle(policy=policy, patience=3)
    assert len({oracle.query(CHEAP).epochs for _ in range(50)}) == 1


def test_patience_is_ten_thousand_unless_chosen() -> None:
    oracle = an_oracle(policy="once")
    with pytest.raises(Stalled, match="the last 10,000 queries"):
        for asked in itertools.count():  # noqa: B007
            oracle.query(CHEAP)
    assert asked == 10_000  # one was paid, 10,000 were free


# What is refused from the start ----------------------------------------------------------------


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(
        InvalidSetting, match="policy is 'never'; choose one of always, once, new-repeat"
    ):
        an_oracle(policy="never")  # type: ignore[arg-type]


RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"table": "digits"}, "the table is 'digits'; Table.open"),
        ({"table": None}, "the table is None; Table.open"),
        ({"table": SPACE}, "the table is <CellSpace"),
        ({"budget": 60.0}, "the budget is 60.0, no Budget; write Budget"),
        ({"budget": {"seconds": 60}}, "the budget is {.*no Budget"),
        ({"budget": Budget}, "the budget is <class"),
        ({"rng": 0}, r"rng is 0, no Generator; numpy\.random\.default_rng"),
        ({"rng": None}, "rng is None"),
        ({"rng": np.random.RandomState(0)}, "rng is RandomState"),
        ({"rng": random.Random(0)}, "rng is <random"),
        ({"policy": ["always"]}, r"policy is \['always'\]; choose one of"),
        ({"policy": {}}, "policy is {}"),
        ({"policy": None}, "policy is None"),
        ({"policy": np.array(["always", "once"])}, "policy is array"),
        ({"policy": "Always"}, "policy is 'Always'"),
        *(
            ({"patience": patience}, "patience is .*; give a whole number of 1 or more")
            for patience in (0, -1, 2.5, 10.0, float("nan"), float("inf"), "9", None, True, [9])
        ),
        ({"trainer": "resnet"}, "the trainer is 'resnet', which has no method price"),
        ({"trainer": object()}, "the trainer is <object.*has no method price; .*Fallback is one"),
        ({"task": "digits"}, "the task is 'digits', no Task"),
        ({"task": Budget()}, "the task is <Budget"),
    ],
)
def test_arguments_of_another_kind_are_refused(wrong: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"table": by_hand(), "budget": Budget(), "rng": RNG} | wrong
    with pytest.raises(InvalidSetting, match=f"^{message}"):
        Oracle(**arguments)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    ("question", "error", "message"),
    [
        (("resnet",), InvalidCell, "'resnet' is no Cell"),
        ((None,), InvalidCell, "None is no Cell"),
        ((28,), InvalidCell, "28 is no Cell"),
        ((Cell,), InvalidCell, "no Cell"),
        (([[0, 1], [0, 0]], 4), InvalidCell, "no Cell"),
        ((np.eye(3), 4), InvalidCell, "no Cell"),
        (("resnet", 4, True), InvalidCell, "no Cell"),
        ((CHEAP, "4"), InvalidSetting, "epochs are '4'; give a whole number, such as 13"),
        ((CHEAP, 4.5), InvalidSetting, "epochs are 4.5"),
        ((CHEAP, float("nan")), InvalidSetting, "epochs are nan"),
        ((CHEAP, True), InvalidSetting, "epochs are True"),
        ((CHEAP, [4]), InvalidSetting, r"epochs are \[4\]"),
        ((CHEAP, {}), InvalidSetting, "epochs are {}"),
        ((CHEAP, np.array([4])), InvalidSetting, "epochs are array"),
        ((CHEAP, -4), NotRecorded, "no trainings of -4 epochs"),
        ((CHEAP, 4, "yes"), InvalidSetting, "halfway is 'yes'; give True or False"),
        ((CHEAP, 4, None), InvalidSetting, "halfway is None"),
        ((CHEAP, 4, []), InvalidSetting, r"halfway is \[\]"),
    ],
)
def test_a_question_of_another_kind_costs_nothing(
    policy: Policy, question: Any, error: type[Exception], message: str
) -> None:
    undisturbed, oracle = an_oracle(4, policy), an_oracle(4, policy)
    with pytest.raises(error, match=message):
        oracle.query(*question)
    assert state(oracle) == (0, 0, 0, ())
    assert oracle.query(CHEAP, 4) == undisturbed.query(CHEAP, 4)


def test_a_table_without_validation_accuracy_answers_nothing() -> None:
    without = tuple((point, "validation_accuracy") for point in CHECKPOINTS)
    with pytest.raises(InvalidSetting, match="by hand records no validation accuracy"):
        an_oracle(table=by_hand(without))


def test_a_seconds_budget_needs_seconds() -> None:
    table = by_hand((("final", "seconds"), ("halfway", "seconds")))
    with pytest.raises(InvalidSetting, match="by hand records no seconds; limit epochs or queries"):
        an_oracle(table=table, seconds=10)
    an_oracle(table=table, epochs=10, queries=10)


def test_errors_say_what_was_asked_and_what_there_is() -> None:
    oracle = an_oracle(table=by_hand(rows=[0, 1]))
    with pytest.raises(NotRecorded, match=r"by hand has no trainings of 36 epochs; it has 4, .*13"):
        oracle.query(CHEAP, 36)
    without = an_oracle(table=by_hand((("halfway", "validation_accuracy"),)))
    with pytest.raises(NotRecorded, match=r"no trainings of 4 epochs \(halfway\); it has 4, 13$"):
        without.query(CHEAP, 4, halfway=True)
    with pytest.raises(
        NotInTable, match=r"covers 2 of 7 architectures and lacks .*; sample from oracle\.space"
    ):
        oracle.query(COSTLY)
    with pytest.raises(NotInSpace, match="the cell has 4 vertices; the space allows 3"):
        oracle.query(Cell.named("resnet"))
    assert list(oracle.space) == CELLS[:2]


# No way to the test ----------------------------------------------------------------------------


def parts(item: Any) -> Iterator[Any]:
    """What can be got at from a thing: attributes, slots, closures, items, the owners of buffers."""
    yield from getattr(item, "__dict__", {}).values()
    for kind in type(item).__mro__:
        for name in getattr(kind, "__slots__", ()):
            if isinstance(name, str) and hasattr(item, name):
                yield getattr(item, name)
    if isinstance(item, dict):
        yield from itertools.chain(item.keys(), item.values())
    elif isinstance(item, list | tuple | set | frozenset):
        yield from item
    elif isinstance(item, FunctionType):
        yield from (cell.cell_contents for cell in item.__closure__ or ())
        yield from (item.__defaults__, item.__kwdefaults__)
    elif isinstance(item, functools.partial):
        yield from (item.func, item.args, item.keywords)
    elif isinstance(item, MethodType):
        yield item.__func__
    elif isinstance(item, memoryview):
        yield item.obj
    elif isinstance(item, np.ndarray):
        yield item.base
    elif isinstance(item, BaseException):
        yield from (item.args, item.__cause__, item.__context__)
    yield getattr(item, "__self__", None)  # of bound methods, those written in C too


def reachable(root: Any) -> list[Any]:
    reached: dict[int, Any] = {}
    waiting = [root]
    while waiting:
        item = waiting.pop()
        if id(item) not in reached and not isinstance(item, type | ModuleType | str | int | None):
            reached[id(item)] = item
            waiting += parts(item)
    return list(reached.values())


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("origin", ["made", "opened", "partial"])
def test_no_test_accuracy_can_be_reached_from_the_oracle(
    origin: str, policy: Policy, tmp_path: Path
) -> None:
    """Neither the table, nor an array or buffer with test values, nor one such number."""
    rng = np.random.default_rng(6)
    secret = rng.uniform(0.2, 0.9, (7, 2, REPEATS)).astype(np.float32)
    exceptions = {3: 0.123456789, 20: 0.987654321}
    columns = {
        (point, "test_accuracy"): Column(secret, exceptions=exceptions)
        for point in ("final", "halfway")
    }
    # Validation has a mask and an exception, so that every kind of reader is walked through.
    known = by_hand(rows=range(7)).columns
    marked = known["final", "validation_accuracy"]
    present = np.ones((7, 2, REPEATS), np.uint8)
    columns["final", "validation_accuracy"] = Column(marked.values, IMAGES, present, {0: 0.5})
    rows = np.arange(7, dtype=np.int32) if origin == "partial" else None
    table = Table(SPACE, EPOCHS, {**known, **columns}, rows=rows)
    if origin == "opened":
        table.save(tmp_path / "table.h5")
        table = Table.open(tmp_path / "table.h5")
    oracle = an_oracle(policy=policy, table=table, queries=5)
    for cell in CELLS[:4]:
        oracle.query(cell)

    ledger = oracle.budget.ledger
    items = reachable(oracle)
    assert all(any(item is charge for item in items) for charge in ledger)  # the walk does walk
    assert any(isinstance(item, memoryview) for item in items)
    # Of a table in memory, a copy without test columns, to be pickled with the oracle.
    tables = [item for item in items if isinstance(item, Table)]
    assert len(tables) == (origin != "opened")
    assert not any(item is table for item in tables)
    assert not any(item.has("test_accuracy", point) for item in tables for point in CHECKPOINTS)
    numbers = {item for item in items if isinstance(item, float)}
    assert not numbers & ({float(value) for value in secret.flat} | set(exceptions.values()))
    for item in items:
        if isinstance(item, memoryview | np.ndarray | bytes | bytearray | mmap.mmap):
            content = item[:] if isinstance(item, mmap.mmap) else np.asarray(item).tobytes()
            assert secret[2, 0].tobytes() not in content, f"test values in {item!r}"


def test_the_walk_finds_a_hidden_table() -> None:
    """The walk above would notice: a closure inside a partial inside a list of the ledger."""
    table = by_hand()

    def ask() -> Table:
        return table

    oracle = an_oracle()
    oracle.budget.charge("test", item=[functools.partial(ask)])
    assert any(item is table for item in reachable(oracle))


def test_an_answer_has_no_test_accuracy() -> None:
    assert not [name for name in Answer._fields if "test" in name]
    assert not [name for name in dir(an_oracle()) if "test" in name or name.strip("_") == "table"]
