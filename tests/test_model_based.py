"""Searches with a model: the conformance suite, planted problems, and what they refuse."""

from __future__ import annotations

import functools
from typing import Any, ClassVar

import numpy as np
import pytest

from nasbench_kit import Budget, CellSpace, Column, InvalidSetting, Oracle, Table
from nasbench_kit.algorithms import (
    ALGORITHMS,
    BANANAS,
    NASBOT,
    NASBOWL,
    SMAC,
    AutoKerasBO,
    RandomSearch,
)
from nasbench_kit.oracle.search import Search
from nasbench_kit.spaces.protocols import Numbered
from nasbench_kit.testing.made_up import MadeUpSpace, made_up_table
from nasbench_kit.testing.searches import SearchConformance, yielded

#: With less training where it is long; that it works is what the planted problems show.
SEARCHES: dict[str, Search] = {
    "bananas": BANANAS(layers=2, training_epochs=10),
    "nasbot": NASBOT(),
    "nasbot-naszilla": NASBOT.naszilla(),
    "auto-keras-bo": AutoKerasBO(),
    "auto-keras-bo-released": AutoKerasBO.released(),
    "nas-bowl": NASBOWL(),
    "smac": SMAC(random_points=100),
}
#: Their distance is of cells.
OF_CELLS = ("nasbot-naszilla",)


class TestConformance(SearchConformance):
    #: They refuse budgets that end before their first model: 30 architectures of 36 epochs.
    limits: ClassVar[tuple[dict[str, Any], ...]] = (
        {"seconds": 777.7},
        {"epochs": 1111},
        {"queries": 33},
    )

    @pytest.fixture(params=SEARCHES)
    def search(self, request: pytest.FixtureRequest) -> Search:
        return SEARCHES[request.param]


class TestOnDecisions(TestConformance):
    """The same searches on a space that knows nothing of cells."""

    @pytest.fixture(params=[name for name in SEARCHES if name not in OF_CELLS])
    def search(self, request: pytest.FixtureRequest) -> Search:
        return SEARCHES[request.param]

    @pytest.fixture
    def table(self) -> Table:
        return table_of_decisions()


@functools.cache
def table_of_decisions() -> Table:
    return made_up_table(MadeUpSpace(7))


def run(search: Search, table: Table, seed: int, **budget: Any) -> list[Any]:
    """All answers that the search paid for."""
    oracle = Oracle(table, Budget(**budget), np.random.default_rng([seed, 0]), policy="mean")
    recommended = list(yielded(search, oracle, seed))
    answers = [charge.item for charge in oracle.budget.ledger]
    assert len(recommended) == len(answers)
    best = max(answers, key=lambda answer: answer.validation_accuracy)
    assert recommended[-1] == best.architecture
    return answers


def table_of(space: Numbered, accuracies: np.ndarray[Any, Any]) -> Table:
    counts = np.round(1000 * accuracies).astype(np.uint16)[:, None, None]
    return Table(space, [36], {("final", "validation_accuracy"): Column(counts, images=1000)})


@functools.cache
def planted_decisions() -> Table:
    """Each decision has a best option, and neighbours agree: 0.4 to 0.95, one best of 2,187."""
    space = MadeUpSpace(7)
    wanted = np.random.default_rng(5).integers(3, size=7)
    right = np.array([np.array(one.options) == wanted for one in space])
    return table_of(space, 0.4 + 0.05 * right.sum(axis=1) + 0.2 * right[:, 1:].all(axis=1))


@functools.cache
def planted_cells() -> Table:
    """Accuracy grows with 3x3 convolutions that are used, and with the depth they stand in."""
    space = CellSpace(5)
    accuracies = []
    for cell in space:
        chain = sum(1 for v in range(cell.size - 1) if (v, v + 1) in cell.edges())
        convolutions = sum(name.startswith("conv3x3") for name in cell.operations)
        accuracies.append(0.5 + 0.08 * convolutions + 0.03 * chain - 0.01 * len(cell.edges()))
    return table_of(space, np.array(accuracies))


@pytest.mark.parametrize("name", [name for name in ALGORITHMS if name in (
    "bananas", "nasbot", "auto-keras-bo-small", "nas-bowl", "nas-bowl-small", "smac"
)])
def test_a_planted_option_of_each_decision_is_found(name: str) -> None:
    """In 90 queries, of which random search would find the best with a probability of 0.04."""
    table = planted_decisions()
    best = table.values("validation_accuracy").max()
    found = [
        max(answer.validation_accuracy for answer in run(ALGORITHMS[name](), table, seed, queries=90))
        for seed in range(3)
    ]
    assert np.sum(np.array(found) >= best - 0.06) >= 2  # all decisions right, or all but one


@pytest.mark.parametrize("name", [name for name in ALGORITHMS if name in (
    "bananas", "nasbot", "nasbot-naszilla", "auto-keras-bo", "auto-keras-bo-small", "nas-bowl", "smac"
)])
def test_planted_operations_of_cells_are_found(name: str) -> None:
    table = planted_cells()
    found, random = (
        [max(a.validation_accuracy for a in run(search, table, seed, queries=70)) for seed in range(3)]
        for search in (ALGORITHMS[name](), RandomSearch())
    )
    assert np.mean(found) > np.mean(random) + 0.02
