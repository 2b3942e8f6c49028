"""Searches driven from outside go the way that they go on an oracle."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from nasbench_kit import (
    Budget,
    Cell,
    CellSpace,
    InvalidSetting,
    NasbenchKitError,
    NotInSpace,
    NotRecorded,
    Oracle,
    Table,
)
from nasbench_kit.algorithms import (
    ALGORITHMS,
    MULTI_OBJECTIVE,
    WEIGHT_SHARING,
    ZERO_COST,
    AskTell,
    RandomSearch,
    RegularizedEvolution,
)
from nasbench_kit.oracle.search import Search
from nasbench_kit.testing.searches import yielded


def threads() -> int:
    return sum(thread.name == "nasbench-kit search" for thread in threading.enumerate())


QUERYING = [
    name
    for name in ALGORITHMS
    if name not in {**WEIGHT_SHARING, **ZERO_COST, **MULTI_OBJECTIVE}
    and not name.startswith("optuna")
]


@pytest.mark.parametrize("name", QUERYING)
def test_asked_and_told_is_as_on_the_oracle(name: str, small_table: Table) -> None:
    def oracle() -> Oracle:
        return Oracle(small_table, Budget(queries=60), np.random.default_rng(3))

    inside, outside = oracle(), oracle()
    expected = []
    for cell in yielded(ALGORITHMS[name](), inside, 0):
        expected.append((inside.budget.spent_queries, cell.to_text()))
    found = []
    rng = np.random.default_rng([0, 1])
    with AskTell(ALGORITHMS[name](), small_table.space, rng, epochs=small_table.epochs) as search:
        for told in range(1, 61):
            cell, epochs = search.ask()
            answer = outside.query(cell, epochs)
            search.tell(answer.validation_accuracy, answer.seconds)
            assert search.recommended is not None
            found.append((told, search.recommended.to_text()))
    asked = [
        [(c.item.cell.to_text(), c.epochs) for c in o.budget.ledger] for o in (inside, outside)
    ]
    assert asked[0] == asked[1]
    assert found == expected
    assert search.budget.spent_seconds == pytest.approx(inside.budget.spent_seconds)


def a_search(search: Search | None = None) -> AskTell:
    return AskTell(search or RandomSearch(), CellSpace(4), np.random.default_rng(0))


def test_the_question_stays_until_it_is_answered() -> None:
    with a_search() as search:
        assert search.recommended is None
        cell, epochs = search.ask()
        assert epochs == 108
        assert search.ask()[0] is cell
        search.tell(0.5)
        assert search.recommended is cell
        assert search.ask()[0] is not cell


def test_the_search_does_not_start_before_it_is_asked() -> None:
    with a_search():
        assert threads() == 0


def test_closing_ends_the_thread() -> None:
    search = a_search()
    search.ask()
    assert threads() == 1
    search.close()
    search.close()
    assert threads() == 0
    with pytest.raises(NasbenchKitError, match="the search has ended"):
        search.ask()


def test_a_forgotten_search_ends_its_thread() -> None:
    search = a_search(RegularizedEvolution())
    search.ask()
    (thread,) = [t for t in threading.enumerate() if t.name == "nasbench-kit search"]
    del search
    gc.collect()
    thread.join(timeout=60)
    assert not thread.is_alive()


class Twice:
    """Asks two questions, yields in between and at the end."""

    def __call__(self, oracle: Oracle, rng: np.random.Generator) -> Iterator[Cell]:
        first = oracle.query(oracle.space[0])
        second = oracle.query(oracle.space[1], 4)
        yield max(first, second, key=lambda answer: answer.validation_accuracy).cell


def test_a_search_may_end_by_itself() -> None:
    space = CellSpace(4)
    with AskTell(Twice(), space, np.random.default_rng(0), epochs=(4, 12)) as search:
        assert search.ask() == (space[0], 12)
        search.tell(0.7)
        assert search.recommended is None
        assert search.ask() == (space[1], 4)
        search.tell(0.8)
        assert search.recommended == space[1]
        with pytest.raises(NasbenchKitError, match="the search has ended"):
            search.ask()


class Asks:
    """Asks one question of the test's choosing, and hands on what it is told."""

    def __init__(self, cell: Cell, epochs: int | None = None, halfway: bool = False) -> None:
        self.question = cell, epochs, halfway

    def __call__(self, oracle: Oracle, rng: np.random.Generator) -> Iterator[Cell]:
        oracle.query(*self.question)
        raise ZeroDivisionError
        yield


def test_what_the_search_raises_comes_out() -> None:
    space = CellSpace(4)
    with a_search(Asks(space[0])) as search:
        search.ask()
        with pytest.raises(ZeroDivisionError):
            search.tell(0.5)
        with pytest.raises(NasbenchKitError, match="the search has ended"):
            search.ask()
    with a_search(Asks(Cell.named("inception"))) as search, pytest.raises(NotInSpace):
        search.ask()
    with (
        a_search(Asks(space[0], 36)) as search,
        pytest.raises(NotRecorded, match="trainings of 36 epochs are not offered; there are 108"),
    ):
        search.ask()
    with (
        a_search(Asks(space[0], 108, halfway=True)) as search,
        pytest.raises(NotRecorded, match=r"108 epochs \(halfway\) are not offered"),
    ):
        search.ask()


def test_mistakes_are_refused_and_change_nothing() -> None:
    with a_search() as search:
        with pytest.raises(InvalidSetting, match="there is no question to answer"):
            search.tell(0.5)
        cell, _ = search.ask()
        with pytest.raises(InvalidSetting, match=r"validation_accuracy is 93\.1; .* percents"):
            search.tell(93.1)
        with pytest.raises(InvalidSetting, match="validation_accuracy is nan"):
            search.tell(float("nan"))
        with pytest.raises(InvalidSetting, match="seconds are -1"):
            search.tell(0.5, seconds=-1)
        assert search.ask()[0] is cell
    for epochs in ((), (12, 4), (0, 4)):
        with pytest.raises(InvalidSetting, match="ascending"):
            AskTell(RandomSearch(), CellSpace(4), np.random.default_rng(0), epochs=epochs)


@pytest.mark.parametrize("name", WEIGHT_SHARING)
def test_what_trains_weights_itself_is_refused(name: str, small_table: Table) -> None:
    with pytest.raises(InvalidSetting, match="shares weights"):
        AskTell(ALGORITHMS[name](), small_table.space, np.random.default_rng(0))
