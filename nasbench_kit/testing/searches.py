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
import json
import pickle
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
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
    searches: list[Search], table: Table, folder: Path, **how: Any
) -> list[list[str]]:
    """What each search yields in a fresh process."""
    file = folder / "searches"
    file.write_bytes(pickle.dumps((searches, table, how)))  # read by the process started here alone
    program = (
        "import json, pickle, sys; from pathlib import Path; sys.path[:0] = sys.argv[2:]\n"
        "from nasbench_kit.testing.searches import recommended\n"
        "searches, table, how = pickle.loads(Path(sys.argv[1]).read_bytes())\n"
        "print(json.dumps([recommended(search, table, **how)[0] for search in searches]))"
    )
    command = [sys.executable, "-c", program, str(file), *filter(None, sys.path)]
    answer = subprocess.run(command, capture_output=True, check=True).stdout
    texts: list[list[str]] = json.loads(answer)
    return texts


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
        one, spent = recommended(search, table, seed=3, seconds=3000.0)
        again, spent_again = recommended(search, table, seed=3, seconds=3000.0)
        assert one == again
        assert spent.ledger == spent_again.ledger
        assert len(one) > 1

    def test_same_seed_gives_the_same_trace_in_a_fresh_process(
        self, search: Search, table: Table, tmp_path: Path
    ) -> None:
        (fresh,) = recommended_elsewhere([search], table, tmp_path, seed=3, seconds=3000.0)
        assert fresh == recommended(search, table, seed=3, seconds=3000.0)[0]

    def test_other_seeds_give_other_traces(self, search: Search, table: Table) -> None:
        traces = {tuple(recommended(search, table, seed, seconds=3000.0)[0]) for seed in range(6)}
        assert len(traces) > 1

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
