"""Every built-in search: the conformance suite, and what the simplest of them must do besides."""

from __future__ import annotations

import functools
import importlib.util
import itertools
import os
from collections import Counter
from typing import Any

import numpy as np
import pytest
from failing_searches import OfThisProcess
from scipy.stats import chisquare

from nasbench_kit import Budget, Cell, CellSpace, InvalidSetting, NotInSpace, Oracle, Table
from nasbench_kit.algorithms import (
    ALGORITHMS,
    MULTI_OBJECTIVE,
    NSGA2,
    ON_EDGES,
    MultiObjectiveRegularizedEvolution,
    RandomSearch,
    RegularizedEvolution,
)
from nasbench_kit.data.subset import subset
from nasbench_kit.oracle.search import Search
from nasbench_kit.testing.made_up import MadeUpSpace, made_up_table
from nasbench_kit.testing.searches import (
    SearchConformance,
    recommended,
    recommended_elsewhere,
    table_of_cells,
    yielded,
)

#: They need a task, and have test_weight_sharing.py.
WEIGHT_SHARING = (
    "random-weight-sharing",
    "spos",
    "enas",
    "darts",
    "drnas",
    "sdarts",
    "gdas",
    "snas",
    "pc-darts",
)
#: They fit models, and have test_model_based.py.
MODEL_BASED = ("bananas", "nasbot", "auto-keras", "nas-bowl", "smac")
#: They compute on images, and have test_zero_cost.py.
ZERO_COST = ("zero-cost",)
#: Optuna's Gaussian process takes about a second a query; it has a test of its own.
#: Those of several objectives have test_objectives.py.
QUICK = [
    name
    for name in ALGORITHMS
    if name not in ("optuna-gp", *MULTI_OBJECTIVE)
    and not name.startswith((*WEIGHT_SHARING, *ON_EDGES, *MODEL_BASED, *ZERO_COST))
]


#: Their mutations and genotypes are of vertices and edges.
OF_GRAPHS = (
    *("regularized-evolution-notebook", "regularized-evolution-naszilla"),
    *("hierarchical-evolution", "hierarchical-evolution-small", "hierarchical-random"),
    *(name for name in ALGORITHMS if name.endswith("-released")),
)


class TestConformance(SearchConformance):
    @pytest.fixture(params=QUICK)
    def search(self, request: pytest.FixtureRequest) -> Search:
        if request.param.startswith("optuna") and importlib.util.find_spec("optuna") is None:
            pytest.skip("Optuna is not installed")
        return ALGORITHMS[request.param]()


@pytest.mark.skipif("PYTHONHASHSEED" in os.environ, reason="all processes hash texts alike")
def test_a_search_that_depends_on_its_process_is_noticed() -> None:
    search, table = OfThisProcess(), table_of_cells()
    here, spent = recommended(search, table, seed=3, queries=60)
    assert recommended(search, table, seed=3, queries=60)[0] == here
    there, spent_there = recommended_elsewhere(search, table, seed=3, queries=60)
    assert spent_there.meters() == spent.meters()
    assert there != here


class TestOnDecisions(TestConformance):
    """The same searches on a space that knows nothing of cells."""

    @pytest.fixture(params=[name for name in QUICK if name not in OF_GRAPHS])
    def search(self, request: pytest.FixtureRequest) -> Search:
        return ALGORITHMS[request.param]()

    @pytest.fixture
    def table(self) -> Table:
        return table_of_decisions()


@functools.cache
def table_of_decisions() -> Table:
    return made_up_table(MadeUpSpace(7))


@pytest.mark.parametrize("mutation", ["per-vertex", "per-edge"])
def test_mutations_of_graphs_are_refused_where_there_is_none(mutation: Any) -> None:
    oracle = oracle_of(table_of_decisions(), 100)
    search = RegularizedEvolution(population_size=5, mutation=mutation)
    with pytest.raises(InvalidSetting, match=r"made-up-7 has not; .one-variable."):
        list(search(oracle, np.random.default_rng(0)))


def oracle_of(table: Table, queries: int) -> Oracle:
    return Oracle(table, Budget(queries=queries), np.random.default_rng(0))


def edits(one: Cell, other: Cell) -> int:
    """How many variables differ between two labellings."""
    operations = sum(map(str.__ne__, one.operations, other.operations))
    return (one.bits ^ other.bits).bit_count() + operations


@pytest.mark.parametrize("name", QUICK)
def test_the_incumbent_is_the_best_of_the_largest_fidelity(small_table: Table, name: str) -> None:
    if name.startswith("optuna"):
        pytest.importorskip("optuna")
    oracle = oracle_of(small_table, 100)
    yields = 0
    for cell in yielded(ALGORITHMS[name](), oracle, 0):
        yields += 1
        answers = [charge.item for charge in oracle.budget.ledger]
        best = max(answers, key=lambda answer: (answer.epochs, answer.validation_accuracy))
        assert cell.to_text() == best.cell.to_text()
    assert yields


def test_random_search_asks_at_the_fidelity_it_is_told(small_table: Table) -> None:
    oracle = oracle_of(small_table, 20)
    list(yielded(RandomSearch(epochs=4), oracle, 0))
    assert {charge.item.epochs for charge in oracle.budget.ledger} == {4}


def test_random_search_draws_cells_evenly(small_table: Table) -> None:
    """Of many draws every cell is one of len(table) shares, whereas encodings favour some."""

    def counts(search: RandomSearch) -> np.ndarray:
        draws = search.draws(oracle_of(small_table, 1), np.random.default_rng(0))
        rows = [small_table.space.index(next(draws)) for _ in range(100 * len(small_table))]
        return np.bincount(rows, minlength=len(small_table))

    assert chisquare(counts(RandomSearch(sampling="cells"))).pvalue > 0.05
    assert chisquare(counts(RandomSearch())).pvalue < 1e-9


def test_random_search_refuses_ways_to_draw_that_a_space_lacks() -> None:
    with pytest.raises(InvalidSetting, match="sampling is 'fair'; choose 'encodings' or 'cells'"):
        RandomSearch(sampling="fair")
    table = made_up_table(MadeUpSpace(4))
    oracle = oracle_of(table, 3)
    with pytest.raises(InvalidSetting, match="draws architectures in one way"):
        list(RandomSearch(sampling="cells")(oracle, np.random.default_rng(0)))


@pytest.mark.parametrize(
    "search",
    [
        RegularizedEvolution(population_size=5),
        RegularizedEvolution(population_size=5, sample_size=3, mutation="edge-or-operation"),
        MultiObjectiveRegularizedEvolution(population_size=5, objectives=("accuracy", "seconds")),
        NSGA2(population_size=5, objectives=("accuracy", "seconds")),
    ],
)
@pytest.mark.parametrize("cells", [True, False])
def test_evolution_goes_on_where_nothing_has_a_neighbour(search: Search, cells: bool) -> None:
    """As in tables of scattered rows; random architectures take the place of mutants."""
    space: Any = CellSpace(5, 9) if cells else MadeUpSpace(3)
    kept: list[int] = []
    near: set[int] = set()
    for row in range(len(space)):
        if row not in near:
            kept.append(row)
            near |= {space.index(one) for one in space.neighbours(space[row])}
    oracle = oracle_of(made_up_table(space.restricted(np.array(kept))), 60)
    assert len(list(yielded(search, oracle, 0))) == 60
    asked = {charge.item.architecture.to_text() for charge in oracle.budget.ledger}
    assert len(asked) > 5


def test_evolution_begins_as_random_search(small_table: Table) -> None:
    def asked(search: Search) -> list[str]:
        oracle = oracle_of(small_table, 100)
        list(yielded(search, oracle, 0))
        return [charge.item.cell.to_text() for charge in oracle.budget.ledger]

    assert asked(RegularizedEvolution(population_size=100)) == asked(RandomSearch())


def test_evolution_of_one_is_a_walk_of_single_edits(small_table: Table) -> None:
    """One parent, replaced by each child: every asked cell is one edit from the one before."""
    oracle = oracle_of(small_table, 200)
    list(yielded(RegularizedEvolution(population_size=1, sample_size=1), oracle, 0))
    walk = [charge.item.cell for charge in oracle.budget.ledger]
    assert len(walk) == 200
    for parent, child in itertools.pairwise(walk):
        assert edits(parent, child) == 1


def test_the_oldest_dies_even_if_it_is_the_best(small_table: Table) -> None:
    """After P more queries the best of the first population can be nobody's parent any more."""
    oracle = oracle_of(small_table, 60)
    list(yielded(RegularizedEvolution(population_size=10, sample_size=10), oracle, 4))
    answers = [charge.item for charge in oracle.budget.ledger]
    assert len(answers) == 60
    for place in range(10, 60):
        alive = [answer.cell for answer in answers[place - 10 : place]]
        assert 1 in [edits(cell, answers[place].cell) for cell in alive]


def first_child(table: Table, **settings: int | bool) -> int:
    """How many random cells evolution asks before its first child.

    After them every cell is one edit from one of the last P, which random cells are not for long.
    """
    search = RegularizedEvolution(**settings)  # type: ignore[arg-type]
    oracle, random_oracle = oracle_of(table, 300), oracle_of(table, 300)
    list(yielded(search, oracle, 0))
    list(yielded(RandomSearch(), random_oracle, 0))
    cells = [charge.item.cell for charge in oracle.budget.ledger]
    drawn = [charge.item.cell for charge in random_oracle.budget.ledger]
    same = [cell.to_text() == other.to_text() for cell, other in zip(cells, drawn, strict=True)]
    return same.index(False)


def test_small_spaces_get_a_small_population(small_table: Table) -> None:
    """Under 1,000 cells evolution starts to mutate after 20 queries, otherwise after 100."""
    assert len(small_table.space) > 1000
    assert first_child(small_table) == 100
    small = subset(small_table, CellSpace(4))
    assert len(small) == 91
    assert first_child(small) == 20
    # A child of the first population, and of nothing older than it after 20 more.
    oracle = oracle_of(small, 200)
    list(yielded(RegularizedEvolution(), oracle, 0))
    cells = [charge.item.cell for charge in oracle.budget.ledger]
    for place in range(20, 200):
        assert 1 in [edits(cell, cells[place]) for cell in cells[place - 20 : place]]


def test_the_first_members_are_as_many_as_asked(small_table: Table) -> None:
    """The population grows to its size from them, on small spaces as on large ones."""
    assert first_child(small_table, initial_size=50) == 50
    assert first_child(small_table, initial_size=50, population_size=50) == 50
    assert first_child(small_table, sample_size=50, replacement=False) == 100
    small = subset(small_table, CellSpace(4))
    assert first_child(small, initial_size=50) == 50
    assert first_child(small, initial_size=5) == 5
    assert first_child(small, sample_size=30, replacement=False) == 30


def test_the_presets_are_the_published_ones() -> None:
    settings = {
        name: (search.population_size, search.sample_size, search.replacement, search.mutation)
        for name in ALGORITHMS
        if "evolution" in name and isinstance(search := ALGORITHMS[name](), RegularizedEvolution)
    }
    assert settings == {
        "regularized-evolution": (None, 10, True, "one-variable"),
        "regularized-evolution-notebook": (50, 10, False, "per-vertex"),
        "regularized-evolution-naszilla": (30, 10, True, "per-edge"),
        "non-regularized-evolution": (None, 10, True, "one-variable"),
    }
    assert not RegularizedEvolution.non_regularized().regularized
    paper, small = RegularizedEvolution.amoebanet(), RegularizedEvolution.amoebanet_small()
    assert (paper.population_size, paper.sample_size, paper.identity_probability) == (100, 25, 0.05)
    assert (small.population_size, small.sample_size, small.identity_probability) == (20, 5, 0.05)
    assert paper.mutation == small.mutation == "edge-or-operation"


def test_evolution_grows_from_the_initial_cells(small_table: Table) -> None:
    """Ten random cells as random search draws them; from then on single edits of older ones."""
    search = RegularizedEvolution(population_size=30, initial_size=10)
    oracle, random_oracle = oracle_of(small_table, 40), oracle_of(small_table, 10)
    list(yielded(search, oracle, 0))
    list(yielded(RandomSearch(), random_oracle, 0))
    cells = [charge.item.cell for charge in oracle.budget.ledger]
    drawn = [charge.item.cell.to_text() for charge in random_oracle.budget.ledger]
    assert [cell.to_text() for cell in cells[:10]] == drawn
    for place, child in enumerate(cells[10:], start=10):
        assert 1 in [edits(cell, child) for cell in cells[max(0, place - 30) : place]]


def test_the_worst_dies_if_not_regularized(small_table: Table) -> None:
    """Then the population is always the best ones of all history, whatever their age."""
    search = RegularizedEvolution(population_size=5, sample_size=1, regularized=False)
    oracle = oracle_of(small_table, 80)
    list(yielded(search, oracle, 4))
    answers = [charge.item for charge in oracle.budget.ledger]
    old_parents = 0
    for place in range(5, len(answers)):
        before = answers[:place]
        fifth = sorted(answer.validation_accuracy for answer in before)[-5]
        parents = [
            born
            for born, answer in enumerate(before)
            if answer.validation_accuracy >= fifth and edits(answer.cell, answers[place].cell) == 1
        ]
        assert parents
        old_parents += max(parents) < place - 5
    assert old_parents  # which the oldest member's death would have made impossible


def test_without_replacement_all_compete_once(small_table: Table) -> None:
    """With as many competitors as members the best member is the parent of every child."""
    search = RegularizedEvolution(population_size=6, sample_size=6, replacement=False)
    oracle = oracle_of(small_table, 60)
    list(yielded(search, oracle, 0))
    answers = [charge.item for charge in oracle.budget.ledger]
    assert len(answers) == 60
    for place in range(6, 60):
        alive = answers[place - 6 : place]
        best = max(answer.validation_accuracy for answer in alive)
        parents = [answer.cell for answer in alive if answer.validation_accuracy == best]
        assert 1 in [edits(parent, answers[place].cell) for parent in parents]


@pytest.mark.parametrize("mutation", ["per-vertex", "per-edge"])
def test_rate_mutations_have_their_law(mutation: str) -> None:
    """Three vertices: 8 matrices x 3 operations; the child's law is the product, given validity.

    V = 3 vertices and V (V - 1) / 2 = 3 edges; the one operation changes with the rate itself.
    """
    flip = 0.5 / 3
    space = CellSpace(3)
    rng = np.random.default_rng(2)
    search = RegularizedEvolution(mutation=mutation, mutation_rate=0.5)  # type: ignore[arg-type]
    parent = space[4]  # all three edges, conv3x3
    assert (parent.size, parent.bits, parent.code) == (3, 0b111, 0)
    law = {}
    for bits in range(8):
        if bits & 0b010 or bits == 0b101:  # 0 -> 2, or 0 -> 1 -> 2
            flips = (bits ^ parent.bits).bit_count()
            for code in range(3):
                edges = flip**flips * (1 - flip) ** (3 - flips)
                law[bits, code] = edges * (0.5 if code == 0 else 0.25)
    count = 5_000
    children = [search._mutate(parent, space, rng) for _ in range(count)]
    found = Counter((child.bits, child.code) for child in children)
    assert found.keys() <= law.keys()
    for outcome, weight in law.items():
        p = weight / sum(law.values())
        assert abs(found[outcome] - count * p) < 5 * np.sqrt(count * p * (1 - p))  # five sigma


def test_amoebanets_mutations_have_their_law() -> None:
    """Of the full graph of five vertices: 0.05 nothing, else half an edge and half an operation."""
    space = CellSpace(5, 10)
    parent = Cell.from_codes(5, (1 << 10) - 1, 0)  # every one of its edges can go
    rng = np.random.default_rng(0)
    search = RegularizedEvolution.amoebanet()
    found: Counter[str] = Counter()
    places: Counter[int] = Counter()
    count = 6_000
    for _ in range(count):
        child = search._mutate(parent, space, rng)
        flips = (child.bits ^ parent.bits).bit_count()
        changes = sum(map(str.__ne__, parent.operations, child.operations))
        assert flips + changes <= 1
        found["edge" if flips else "operation" if changes else "nothing"] += 1
        if flips:
            places[child.bits ^ parent.bits] += 1
    for kind, p in (("nothing", 0.05), ("edge", 0.475), ("operation", 0.475)):
        assert abs(found[kind] - count * p) < 5 * np.sqrt(count * p * (1 - p))  # five sigma
    assert len(places) == 10
    each = found["edge"] / 10
    assert all(abs(times - each) < 5 * np.sqrt(each) for times in places.values())


def test_elsewhere_amoebanet_changes_one_decision() -> None:
    space = MadeUpSpace(7)
    rng = np.random.default_rng(0)
    parent = space.sample(rng)
    changed = [
        sum(a != b for a, b in zip(parent.options, child.options, strict=True))
        for child in (
            RegularizedEvolution.amoebanet()._mutate(parent, space, rng) for _ in range(500)
        )
    ]
    assert set(changed) == {0, 1}


def test_rates_per_vertex_and_per_edge_differ_on_larger_spaces() -> None:
    """Of 15 edges 2.5 flip at rate 1 per vertex and 1 per edge, before validity is asked."""
    space = CellSpace(6, 15)  # every connected matrix is valid
    rng = np.random.default_rng(0)
    parent = Cell.from_codes(6, (1 << 15) - 1, 0)  # all edges
    means = []
    for mutation in ("per-vertex", "per-edge"):
        search = RegularizedEvolution(mutation=mutation)
        children = [search._mutate(parent, space, rng) for _ in range(2_000)]
        means.append(np.mean([(child.bits ^ parent.bits).bit_count() for child in children]))
    # 15 edges at 1/6 and 1/15; a child of the full graph is all but never unconnected. Five sigma.
    assert means[0] == pytest.approx(15 / 6, abs=5 * np.sqrt(15 / 6 * 5 / 6 / 2_000))
    assert means[1] == pytest.approx(1, abs=5 * np.sqrt(14 / 15 / 2_000))


def test_a_hopeless_mutation_rate_is_an_error() -> None:
    """All edges flip, always; with one edge at most no cell's complement is a cell."""
    space = CellSpace(3, 1)
    search = RegularizedEvolution(mutation="per-edge", mutation_rate=1e9)
    with pytest.raises(NotInSpace, match="lower mutation_rate"):
        search._mutate(space.sample(np.random.default_rng(0)), space, np.random.default_rng(0))


@pytest.mark.parametrize("setting", ["population_size", "initial_size", "sample_size"])
def test_sizes_below_one_are_refused(setting: str) -> None:
    with pytest.raises(InvalidSetting, match=f"{setting} is 0"):
        RegularizedEvolution(**{setting: 0})  # type: ignore[arg-type]


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(InvalidSetting, match=r"initial_size is 101; it cannot pass .* 100"):
        RegularizedEvolution(initial_size=101)
    with pytest.raises(InvalidSetting, match=r"initial_size is 30; it cannot pass .* 20"):
        RegularizedEvolution(initial_size=30, population_size=20)
    with pytest.raises(InvalidSetting, match=r"sample_size is 10; .* the first 5 members"):
        RegularizedEvolution(population_size=5, replacement=False)
    with pytest.raises(InvalidSetting, match="mutation is 'none'; choose one of one-variable"):
        RegularizedEvolution(mutation="none")  # type: ignore[arg-type]
    with pytest.raises(InvalidSetting, match="mutation_rate is 0"):
        RegularizedEvolution(mutation_rate=0)
    with pytest.raises(InvalidSetting, match=r"identity_probability is 1; .* \[0, 1\)"):
        RegularizedEvolution(identity_probability=1)
