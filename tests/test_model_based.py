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
    "nasbot": NASBOT(initial_size=27),
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
    patience: ClassVar[int] = 50

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


@pytest.mark.parametrize(
    "name", ["bananas", "nasbot", "auto-keras-bo-small", "nas-bowl", "nas-bowl-small", "smac-small"]
)
def test_the_planted_decisions_are_found(name: str) -> None:
    """All of seven, or all but the first; 70 random queries of 2,187 do with a probability of 0.1."""
    answers = run(ALGORITHMS[name](), planted_decisions(), 0, queries=70)
    assert max(answer.validation_accuracy for answer in answers) > 0.89


@pytest.mark.parametrize(
    "name",
    ["bananas", "nasbot", "nasbot-naszilla", "auto-keras-bo", "auto-keras-bo-small", "nas-bowl"],
)
def test_the_planted_cells_are_found(name: str) -> None:
    """Within 0.02 of the best of 2,532, which 70 random encodings do not reach in these runs."""
    table = planted_cells()
    best = table.values("validation_accuracy").max()
    for seed in range(2):
        found, random = (
            max(answer.validation_accuracy for answer in run(search, table, seed, queries=70))
            for search in (ALGORITHMS[name](), RandomSearch())
        )
        assert random < best - 0.02 < found


def test_smac_is_ahead_of_random_search() -> None:
    """On average over three runs of 100 queries, with leaves of three answers."""
    table = planted_cells()
    means = [
        np.mean(
            [
                max(answer.validation_accuracy for answer in run(search, table, seed, queries=100))
                for seed in range(3)
            ]
        )
        for search in (SMAC(), RandomSearch())
    ]
    assert means[0] > means[1] + 0.02


@pytest.mark.parametrize("name", SEARCHES)
def test_no_architecture_is_asked_for_twice(name: str) -> None:
    answers = run(SEARCHES[name], made_up_table(CellSpace(4)), 0, queries=60)
    assert len({answer.architecture for answer in answers}) == len(answers) == 60


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_ends_when_all_is_known(name: str) -> None:
    space = CellSpace(3)
    answers = run(SEARCHES[name], made_up_table(space), 0, queries=100)
    assert sorted(space.index(answer.architecture) for answer in answers) == list(range(7))


@pytest.mark.parametrize("name", SEARCHES)
def test_budgets_too_small_for_the_start_are_refused(name: str) -> None:
    search = SEARCHES[name]
    initial: int = search.initial_size  # type: ignore[attr-defined]  # all have one
    if initial == 1:
        return  # a budget of less is one of nothing
    for budget in ({"queries": initial - 1}, {"epochs": 36 * initial - 1}):
        oracle = Oracle(table_of_decisions(), Budget(**budget), np.random.default_rng(0))
        if name in OF_CELLS:
            oracle = Oracle(made_up_table(CellSpace(4)), Budget(**budget), np.random.default_rng(0))
        with pytest.raises(InvalidSetting, match=f"asks for {initial} random architectures first"):
            next(search(oracle, np.random.default_rng(0)))
        assert oracle.budget.ledger == ()


def test_distances_of_cells_are_refused_elsewhere() -> None:
    oracle = Oracle(table_of_decisions(), Budget(queries=50), np.random.default_rng(0))
    with pytest.raises(InvalidSetting, match="distance is 'naszilla', which compares cells"):
        next(NASBOT.naszilla()(oracle, np.random.default_rng(0)))
    assert oracle.budget.ledger == ()


@pytest.mark.parametrize("acquisition", ["ucb", "ei", "ts"])
def test_other_acquisitions_of_bananas(acquisition: Any) -> None:
    search = BANANAS(acquisition=acquisition, layers=2, training_epochs=10)
    assert len(run(search, table_of_decisions(), 0, queries=40)) == 40


def test_the_ensemble_is_of_its_size_and_learns() -> None:
    """On errors that a sum of bits explains, each member is nearer than the mean of what it saw."""
    rng = np.random.default_rng(0)
    points = rng.integers(2, size=(150, 12)).astype(float)
    errors = 5 + points @ rng.normal(size=12)
    search = BANANAS(ensemble=3, layers=2, training_epochs=100)
    predictions = search._predict(points[:100], errors[:100], points[100:], rng)
    assert predictions.shape == (3, 50)
    apart = np.abs(predictions - errors[100:]).mean(axis=1)
    assert (apart < 0.5 * np.abs(errors[100:] - errors[:100].mean()).mean()).all()
    assert (predictions.std(axis=0) > 0).all()


@pytest.mark.parametrize(
    ("search", "settings", "message"),
    [
        (BANANAS, {"acquisition": "pi"}, "acquisition is 'pi'"),
        (BANANAS, {"learning_rate": 0}, r"learning_rate is 0; it must be in \(0, 1\]"),
        (BANANAS, {"paths": 0}, "paths is 0"),
        (NASBOT, {"distance": "edit"}, "distance is 'edit'; choose one of otmann, naszilla"),
        (NASBOT, {"initial_size": 1}, "initial_size is 1"),
        (NASBOWL, {"rounds": -1}, "rounds is -1"),
        (NASBOWL, {"most_noise": 2}, "most_noise is 2"),
        (AutoKerasBO, {"cooling": 1}, "cooling is 1"),
        (AutoKerasBO, {"least_temperature": 2.0}, "least_temperature is 2.0"),
        (AutoKerasBO, {"noise": 0}, "noise is 0"),
        (SMAC, {"trees": 0}, "trees is 0"),
        (SMAC, {"random_fraction": 1.5}, "random_fraction is 1.5"),
    ],
)
def test_mistakes_are_refused(search: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        search(**settings)


def test_presets_differ_from_the_published_settings_where_they_say() -> None:
    assert (NASBOWL().initial_size, NASBOWL.small().initial_size) == (30, 10)
    assert (SMAC().least_leaf, SMAC.small().least_leaf) == (3, 1)
    assert not AutoKerasBO().standardised and AutoKerasBO.small().standardised
    inconsistent = AutoKerasBO.released()
    assert inconsistent.raw_covariance and inconsistent.shrinking_subsets
    assert not (AutoKerasBO().raw_covariance or AutoKerasBO().shrinking_subsets)
