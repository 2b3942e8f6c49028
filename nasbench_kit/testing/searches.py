"""What every search must do, stated once.

A plug-in's test is a subclass with a fixture; it may override ``table`` and ``oracle_for`` too::

    class TestMySearch(SearchConformance):
        @pytest.fixture
        def search(self) -> Search:
            return MySearch()
"""

from __future__ import annotations

import functools
import importlib
import itertools
import multiprocessing
import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import FrozenInstanceError, fields
from typing import Any, ClassVar

import numpy as np
import pytest

from nasbench_kit import Budget, BudgetExhausted, CellSpace, Oracle, Table
from nasbench_kit.oracle.search import Search
from nasbench_kit.testing.made_up import made_up_table


@functools.cache  # made once for all tests
def table_of_cells() -> Table:
    """Made-up numbers for all cells of up to five vertices."""
    return made_up_table(CellSpace(5))


def oracle_for(search: Search, table: Table, seed: int, **budget: Any) -> Oracle:
    """With a budget of its own, and a task for a search that shares weights."""
    task = None
    if getattr(search, "shares_weights", False):
        from nasbench_kit.testing.textures import priced_task  # torch takes seconds to import

        task = priced_task(table)
    return Oracle(table, Budget(**budget), np.random.default_rng([seed, 0]), task=task)


def recommended(search: Search, table: Table, seed: int, **budget: Any) -> tuple[list[str], Budget]:
    """All architectures that a search yields, as text, and the budget that it spent."""
    oracle = oracle_for(search, table, seed, **budget)
    texts = [
        " ".join(each.to_text() for each in front_of(r)) for r in yielded(search, oracle, seed)
    ]
    return texts, oracle.budget


def front_of(recommendation: Any) -> tuple[Any, ...]:
    """The architectures that a search yields together: one, or a front."""
    return recommendation if isinstance(recommendation, tuple) else (recommendation,)


def yielded(search: Search, oracle: Oracle, seed: int) -> Iterator[Any]:
    """What a search yields until it returns or the budget is exhausted."""
    try:
        yield from search(oracle, np.random.default_rng([seed, 1]))
    except BudgetExhausted:
        return


def recommended_elsewhere(
    search: Search, table: Table, seed: int, **budget: Any
) -> tuple[list[str], Budget]:
    """What ``recommended`` makes in a fresh process.

    It is forked from one that has done nothing but import: that takes longer than most searches.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", __name__])
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(recommended, search, table, seed, **budget).result()


class SearchConformance:
    """The suite. ``table`` is a complete small one, every number of it made up."""

    #: Queries over which the work between two charges is watched.
    patience: ClassVar[int] = 200
    #: Limits that each end a search on their own.
    limits: ClassVar[tuple[dict[str, Any], ...]] = (
        {"seconds": 777.7},
        {"epochs": 333},
        {"queries": 29},
    )
    #: The budget of runs that are compared with each other.
    compared: ClassVar[dict[str, Any]] = {"seconds": 3000.0}
    #: A budget of some sixty queries.
    some: ClassVar[dict[str, Any]] = {"queries": 60}

    @pytest.fixture
    def search(self) -> Search:
        """The search under test."""
        raise NotImplementedError

    @pytest.fixture
    def table(self) -> Table:
        """What oracles answer from."""
        return table_of_cells()

    def test_same_seed_gives_the_same_trace(self, search: Search, table: Table) -> None:
        one, spent = recommended(search, table, seed=3, **self.compared)
        again, spent_again = recommended(search, table, seed=3, **self.compared)
        assert one == again
        assert spent.ledger == spent_again.ledger
        assert len(one) > 1

    def test_same_seed_gives_the_same_trace_in_a_fresh_process(
        self, search: Search, table: Table
    ) -> None:
        here, spent = recommended(search, table, seed=3, **self.compared)
        fresh, spent_there = recommended_elsewhere(search, table, seed=3, **self.compared)
        assert fresh == here
        assert spent_there.meters() == spent.meters()

    def test_other_seeds_give_other_traces(self, search: Search, table: Table) -> None:
        traces = (recommended(search, table, seed, **self.compared)[0] for seed in range(6))
        first = next(traces)
        assert any(trace != first for trace in traces)

    def test_a_budget_of_nothing_yields_nothing(self, search: Search, table: Table) -> None:
        for limits in self.limits:
            texts, budget = recommended(search, table, 0, **dict.fromkeys(limits, 0))
            assert texts == []
            assert budget.ledger == ()

    def test_spent_never_passes_the_limit(self, search: Search, table: Table) -> None:
        for limits in self.limits:
            _, budget = recommended(search, table, 1, **limits)
            for _, most, spent in budget.meters():
                assert 0 < spent <= most

    def test_everything_yielded_is_in_the_space(self, search: Search, table: Table) -> None:
        oracle = oracle_for(search, table, 0, **self.some)
        architectures = list(yielded(search, oracle, 0))
        assert architectures
        assert all(each in table.space for front in architectures for each in front_of(front))

    def test_global_random_state_is_untouched(self, search: Search, table: Table) -> None:
        importlib.import_module("rich.style")  # draws from it once, when it is first imported
        random.seed(5)
        before = random.getstate(), np.random.get_state(legacy=False)  # noqa: NPY002
        recommended(search, table, 0, **self.some)
        after = random.getstate(), np.random.get_state(legacy=False)  # noqa: NPY002
        assert before[0] == after[0]
        np.testing.assert_equal(before[1], after[1])

    def test_uncharged_work_between_queries_is_bounded(self, search: Search, table: Table) -> None:
        oracle = oracle_for(search, table, 0, **{**self.some, "queries": self.patience})
        charged = [len(oracle.budget.ledger) for _ in yielded(search, oracle, 0)]
        idle = [len(list(same)) for _, same in itertools.groupby(charged)]
        assert max(idle) <= 100

    def test_settings_are_frozen(self, search: Search) -> None:
        for field in fields(search):  # type: ignore[arg-type]  # a search is a dataclass
            with pytest.raises(FrozenInstanceError):
                setattr(search, field.name, None)
