"""What every search must do, stated once. A new algorithm adds one line to ``test_algorithms.py``.

A subclass named ``Test...`` supplies the fixture ``search``.
"""

from __future__ import annotations

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

from nasbench_kit import Budget, BudgetExhausted, Cell, Oracle, Table
from nasbench_kit.oracle.search import Search


def oracle_for(search: Search, table: Table, seed: int, **budget: Any) -> Oracle:
    """With a budget of its own, and a task for a search that shares weights."""
    task = None
    if getattr(search, "shares_weights", False):
        from textures import priced_task  # torch takes seconds to import

        task = priced_task(table)
    return Oracle(table, Budget(**budget), np.random.default_rng([seed, 0]), task=task)


def recommended(search: Search, table: Table, seed: int, **budget: Any) -> tuple[list[str], Budget]:
    """All cells that a search yields, as text, and the budget that it spent."""
    oracle = oracle_for(search, table, seed, **budget)
    meter = oracle.budget
    return [cell.to_text() for cell in yielded(search, oracle, seed)], meter


def yielded(search: Search, oracle: Oracle, seed: int) -> Iterator[Cell]:
    """What a search yields until it returns or the budget is exhausted."""
    try:
        yield from search(oracle, np.random.default_rng([seed, 1]))
    except BudgetExhausted:
        return


def recommended_elsewhere(
    searches: list[Search], table: Table, folder: Path, **how: Any
) -> list[list[str]]:
    """What each search yields in a fresh process."""
    table.save(folder / "table.h5")
    (folder / "searches").write_bytes(pickle.dumps((searches, how)))
    program = (
        "import json, pickle, sys; sys.path[:0] = sys.argv[2:]\n"
        "from conformance import recommended; from nasbench_kit import Table\n"
        "from pathlib import Path; folder = Path(sys.argv[1])\n"
        "searches, how = pickle.loads((folder / 'searches').read_bytes())\n"
        "table = Table.open(folder / 'table.h5')\n"
        "print(json.dumps([recommended(search, table, **how)[0] for search in searches]))"
    )
    command = [sys.executable, "-c", program, str(folder), *filter(None, sys.path)]
    found: list[list[str]] = json.loads(
        subprocess.run(command, capture_output=True, check=True).stdout
    )
    return found


class Conformance:
    """The suite. ``table`` is a complete small one, every number of it made up."""

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
        raise NotImplementedError

    @pytest.fixture
    def table(self, small_table: Table) -> Table:
        return small_table

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
            cells, budget = recommended(search, table, 0, **dict.fromkeys(limits, 0))
            assert cells == []
            assert budget.ledger == ()

    def test_spent_never_passes_the_limit(self, search: Search, table: Table) -> None:
        for limits in self.limits:
            _, budget = recommended(search, table, 1, **limits)
            for _, most, spent in budget.meters():
                assert 0 < spent <= most

    def test_every_yielded_cell_is_in_the_space(self, search: Search, table: Table) -> None:
        oracle = oracle_for(search, table, 0, **self.some)
        cells = list(yielded(search, oracle, 0))
        assert cells
        assert all(cell in table.space for cell in cells)

    def test_global_random_state_is_untouched(self, search: Search, table: Table) -> None:
        random.seed(5)
        before = random.getstate(), np.random.get_state(legacy=False)  # noqa: NPY002
        recommended(search, table, 0, **self.some)
        after = random.getstate(), np.random.get_state(legacy=False)  # noqa: NPY002
        assert before[0] == after[0]
        np.testing.assert_equal(before[1], after[1])

    def test_uncharged_work_between_queries_is_bounded(self, search: Search, table: Table) -> None:
        oracle = oracle_for(search, table, 0, **{**self.some, "queries": 200})
        charged = [len(oracle.budget.ledger) for _ in yielded(search, oracle, 0)]
        idle = [len(list(same)) for _, same in itertools.groupby(charged)]
        assert max(idle) <= 100

    def test_settings_are_frozen(self, search: Search) -> None:
        for field in fields(search):  # type: ignore[arg-type]  # a search is a dataclass
            with pytest.raises(FrozenInstanceError):
                setattr(search, field.name, None)
