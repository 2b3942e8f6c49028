"""Analyses of spaces of decisions: closed forms of additive landscapes, and slow obvious versions."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nasbench_kit import CellSpace, Column, Table
from nasbench_kit.analysis.landscape import decision_studies, landscape_studies, table_studies
from nasbench_kit.analysis.landscape.local_search import local_optima, local_search
from nasbench_kit.analysis.landscape.locality import correlogram, fitness_distance
from nasbench_kit.analysis.landscape.main_effects import main_effects
from nasbench_kit.analysis.landscape.neighbourhood import Neighbourhood, neighbourhood
from nasbench_kit.analysis.landscape.random_walk import cell_autocorrelation
from nasbench_kit.analysis.landscape.study import METRIC, Options, Study, description
from nasbench_kit.errors import InvalidSetting, NotRecorded
from nasbench_kit.pareto import nondominated
from nasbench_kit.spaces.decisions import Choices, DecisionSpace
from nasbench_kit.spaces.protocols import Decision, Numbered
from nasbench_kit.testing.made_up import MadeUpSpace, made_up_table


class Product(DecisionSpace):
    """All combinations of decisions with so many options each."""

    def __init__(self, *sizes: int) -> None:
        self.name = "product-" + "-".join(map(str, sizes))
        self.decisions = tuple(
            Decision(f"decision {place}", tuple(f"option {option}" for option in range(size)))
            for place, size in enumerate(sizes)
        )


class Narrowed(Product):
    """Without many combinations, but with one that has no neighbour."""

    def valid(self, options: tuple[int, ...]) -> bool:
        first, second, third = options
        return (min(first, second) > 0 and first != third) or options == (0, 0, 0)


class Unordered(Product):
    """Options in another order are the same architecture: those that do not ascend are sorted."""

    def valid(self, options: tuple[int, ...]) -> bool:
        return list(options) == sorted(options)

    def decode(self, choices: Any) -> Choices | None:
        return Choices(self, tuple(sorted(map(int, choices))))


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


SPACES: dict[str, Any] = {
    "product": Product(3, 4, 2, 3),
    "one option": Product(3, 1, 2),
    "narrowed": Narrowed(3, 3, 3),
    "unordered": Unordered(4, 4, 4),
    "restricted": Product(3, 3, 3).restricted(np.arange(0, 27, 2)),
}


def slow_graph(space: Numbered) -> NDArray[np.int64]:
    """Asking for the neighbours of one architecture after another."""
    dense = np.zeros((len(space), len(space)), int)
    for row in range(len(space)):
        for other in space.neighbours(space[row]):
            dense[row, space.index(other)] = 1
    np.fill_diagonal(dense, 0)
    return np.maximum(dense, dense.T)


def slow_steps(dense: NDArray[np.int64], rows: list[int]) -> list[int]:
    """Breadth first, one architecture at a time."""
    steps, waiting = dict.fromkeys(rows, 0), list(rows)
    for row in waiting:
        for other in np.flatnonzero(dense[row]).tolist():
            if other not in steps:
                steps[other] = steps[row] + 1
                waiting.append(other)
    return [steps.get(row, -1) for row in range(len(dense))]


@pytest.mark.parametrize("name", SPACES)
def test_the_graph_is_that_of_the_neighbours(name: str) -> None:
    space = SPACES[name]
    dense = slow_graph(space)
    around = Neighbourhood(space)
    assert around.graph.toarray().tolist() == dense.tolist()
    for row in range(len(space)):
        assert around.neighbours(row).tolist() == np.flatnonzero(dense[row]).tolist()


@pytest.mark.parametrize("name", [name for name in SPACES if name != "restricted"])
def test_distances_are_the_shortest_ways(name: str) -> None:
    space = SPACES[name]
    dense = slow_graph(space)
    for rows in ([0], [len(space) - 1], [1, len(space) // 2]):
        expected = slow_steps(dense, rows)
        assert Neighbourhood(space).distances(np.array(rows)).tolist() == expected
        assert Neighbourhood(space)._steps(np.array(rows)).tolist() == expected


def test_an_island_is_reached_by_no_path() -> None:
    around = Neighbourhood(SPACES["narrowed"])
    assert around.distances(np.array([0]))[1:].tolist() == [-1] * (len(around.space) - 1)


def test_distances_of_some_rows_lead_through_the_whole_space() -> None:
    whole = Product(3, 3, 3)
    kept = np.array([0, 13, 26])  # 000, 111 and 222
    found = neighbourhood(whole.restricted(kept)).distances(np.array([0]))
    assert found.tolist() == [0, 3, 3]


def test_cells_have_their_own_graph() -> None:
    space = CellSpace(4)
    assert (Neighbourhood(space).graph.toarray() == space.neighbour_graph().toarray()).all()


# Closed forms --------------------------------------------------------------------------------


def additive(
    space: Product, seed: int = 1
) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
    """A number for each option, and the sum of them for every row."""
    draw = np.random.default_rng(seed)
    effects = [draw.normal(size=len(decision.options)) for decision in space.decisions]
    options = Neighbourhood(space).options
    return effects, sum(effect[options[:, d]] for d, effect in enumerate(effects)) + np.zeros(
        len(space)
    )


@pytest.mark.parametrize("sizes", [(3,) * 5, (5, 5, 5), (2, 3, 4, 5)])
def test_autocorrelation_of_an_additive_landscape(sizes: tuple[int, ...]) -> None:
    """Each decision's part is an eigenvector of the walk: a step keeps 1 - size / degree of it."""
    space = Product(*sizes)
    effects, values = additive(space)
    degree = sum(size - 1 for size in sizes)
    variance = np.array([effect.var() for effect in effects])
    kept = 1 - np.array(sizes) / degree
    expected = (variance[:, None] * kept[:, None] ** np.arange(11)).sum(axis=0) / variance.sum()
    found = cell_autocorrelation(Neighbourhood(space).graph, values, lags=10)
    np.testing.assert_allclose(found.rho, expected, atol=1e-12)


def test_an_additive_landscape_has_one_optimum_that_every_search_reaches() -> None:
    space = Product(3, 4, 2, 3)
    _, values = additive(space)
    graph = Neighbourhood(space).graph
    assert np.flatnonzero(local_optima(graph, values).cells).tolist() == [values.argmax()]
    steepest = local_search(graph, values, "best")
    assert steepest.basin[values.argmax()] == pytest.approx(1)
    # Each step sets one decision right: as many as are wrong in a random start.
    assert steepest.steps == pytest.approx(sum(1 - 1 / size for size in (3, 4, 2, 3)))


def test_the_number_of_right_decisions_correlates_perfectly_with_distance() -> None:
    space = Product(3, 4, 2, 3)
    around = Neighbourhood(space)
    right = (around.options == around.options[40]).sum(axis=1).astype(float)
    found = fitness_distance(around, right, np.array([40]))
    assert found.correlation == pytest.approx(-1)
    assert found.mean.tolist() == [4, 3, 2, 1, 0]
    assert found.cells.tolist() == [1, 8, 23, 28, 12]  # coefficients of (1+2t)(1+3t)(1+t)(1+2t)


def test_the_correlogram_of_an_additive_landscape() -> None:
    """At distance d of n decisions with m options, d / n of the parts differ: 1 - (d / n) m / (m - 1)."""
    space = Product(3, 3, 3, 3)
    _, values = additive(space)
    found = correlogram(Neighbourhood(space), values, rng())
    np.testing.assert_allclose(found.rho, 1 - np.arange(5) / 4 * 3 / 2, atol=1e-12)
    assert found.pairs.tolist() == [81 * count for count in (1, 8, 24, 32, 16)]


def test_a_walk_that_is_walked_remembers_as_the_exact_one_says() -> None:
    space = Narrowed(3, 3, 3).restricted(np.arange(1, 9))  # without the island
    graph = neighbourhood(space).graph
    values = rng().normal(size=len(space))
    exact = cell_autocorrelation(graph, values, lags=3).rho
    draw, walks = np.random.default_rng(2), 20_000
    degree = np.diff(graph.indptr)
    row = draw.choice(len(space), size=walks, p=degree / degree.sum())
    y = [values[row]]
    for _ in range(3):
        row = graph.indices[graph.indptr[row] + draw.integers(degree[row])]
        y.append(values[row])
    mean = degree @ values / degree.sum()
    variance = degree @ (values - mean) ** 2 / degree.sum()
    for lag in range(4):
        products = (y[0] - mean) * (y[lag] - mean) / variance
        assert abs(products.mean() - exact[lag]) < 5 * products.std() / walks**0.5


# Main effects --------------------------------------------------------------------------------


def test_main_effects_of_an_additive_landscape_are_its_own() -> None:
    space = Product(3, 4, 2)
    effects, values = additive(space)
    found = main_effects(Neighbourhood(space).options, (3, 4, 2), values)
    for mean, effect in zip(found.means, effects, strict=True):
        np.testing.assert_allclose(mean - values.mean(), effect - effect.mean(), atol=1e-12)
    variances = np.array([effect.var() for effect in effects])
    np.testing.assert_allclose(found.shares, variances / variances.sum())
    assert found.additive == pytest.approx(1)
    assert [counts.tolist() for counts in found.counts] == [[8] * 3, [6] * 4, [12] * 2]


def test_a_pure_interaction_has_no_main_effect() -> None:
    options = Neighbourhood(Product(2, 2, 3)).options
    found = main_effects(options, (2, 2, 3), (options[:, 0] ^ options[:, 1]).astype(float))
    np.testing.assert_allclose(found.shares, 0, atol=1e-12)
    assert found.additive == pytest.approx(0)


def test_where_combinations_are_missing_the_fit_is_that_of_least_squares() -> None:
    options = Neighbourhood(Narrowed(3, 3, 3)).options
    values = rng().normal(size=len(options))
    found = main_effects(options, (3, 3, 3), values)
    columns = [options[:, d] == option for d, option in itertools.product(range(3), range(3))]
    design = np.array(columns, float).T
    rest = values - design @ np.linalg.lstsq(design, values)[0]
    assert found.additive == pytest.approx(1 - rest.var() / values.var())
    assert found.means[1][2] == pytest.approx(values[options[:, 1] == 2].mean())


def test_an_option_that_nothing_takes_has_no_mean() -> None:
    found = main_effects(np.array([[0], [1], [1]]), (3,), np.array([1.0, 2, 4]))
    assert np.isnan(found.means[0][2]) and found.counts[0][2] == 0
    assert found.shares[0] == pytest.approx(found.additive)


def test_equal_values_have_no_effects() -> None:
    with pytest.raises(NotRecorded, match="the same value"):
        main_effects(np.array([[0], [1]]), (2,), np.array([0.3, 0.3]))


# Fronts --------------------------------------------------------------------------------------


def test_the_joint_front_by_brute_force() -> None:
    losses = rng().integers(6, size=(200, 3)).astype(float)
    expected = [
        row
        for row, one in enumerate(losses)
        if not any((other <= one).all() and (other < one).any() for other in losses)
    ]
    assert nondominated(losses).tolist() == expected


# Studies -------------------------------------------------------------------------------------


def with_costs(space: Numbered, *, rows: Any = None) -> Table:
    made = made_up_table(space)
    kept = slice(None) if rows is None else rows
    extra = {"cost/latency": rng().uniform(1, 2, len(space)).astype(np.float32)[kept]}
    extra["cost/drift"] = np.ones(len(space), np.float32)[kept]
    columns = {
        key: Column(column.values[kept], column.images) for key, column in made.columns.items()
    }
    return Table(space, made.epochs, columns, rows=rows, extra=extra, provenance={"name": "toy"})


def words(study: Study) -> str:
    from matplotlib.text import Text

    drawn = [
        text.get_text()
        for figure in study.figures.values()
        for text in figure.findobj(Text)
        if isinstance(text, Text)
    ]
    columns = [column for frame in study.frames.values() for column in frame]
    return " ".join([study.title, *study.findings, *drawn, *columns])


STUDIES = {
    "locality": landscape_studies.locality,
    "random-walk": landscape_studies.random_walk,
    "decisions": decision_studies.decisions,
    "fidelity": table_studies.fidelity,
    "noise": table_studies.noise,
    "pareto": table_studies.pareto,
}


@pytest.mark.parametrize("name", STUDIES)
def test_no_architecture_of_another_space_is_called_a_cell(name: str) -> None:
    study = STUDIES[name](with_costs(MadeUpSpace(4)), Options(rng()))
    assert study.findings and study.figures and study.frames
    assert "cell" not in words(study)


@pytest.mark.parametrize("name", sorted(set(STUDIES) - {"noise"}))
def test_accuracies_are_called_what_they_are(name: str) -> None:
    """Some benchmarks have accuracies of test images only, by which searches select."""
    full = with_costs(MadeUpSpace(4))
    columns = {("final", METRIC): full.columns["final", METRIC]}
    told = {"name": "toy", "selection_metric": "test accuracy"}
    table = Table(full.space, full.epochs, columns, extra=dict(full.extra), provenance=told)
    written = words(STUDIES[name](table, Options(rng())))
    assert "validation" not in written
    assert name == "random-walk" or "test accuracy (%)" in written
    assert "Searches select by test accuracy, the only one that it has." in description(table)


def test_a_single_length_of_training_is_told() -> None:
    full = with_costs(MadeUpSpace(4))
    columns = {
        key: Column(np.ascontiguousarray(column.values[:, -1:]), column.images)
        for key, column in full.columns.items()
    }
    table = Table(full.space, full.epochs[-1:], columns, provenance={"name": "toy"})
    (told, *_) = table_studies.fidelity(table, Options(rng())).findings
    assert told == "All trainings have one length, so there is none to rank by a shorter one."


def test_a_partial_table_gives_what_it_can() -> None:
    table = with_costs(MadeUpSpace(4), rows=np.arange(0, 81, 2, dtype=np.int32))
    locality = landscape_studies.locality(table, Options(rng()))
    assert any(
        "local optima and basins need a complete table" in line for line in locality.findings
    )
    assert "cell" not in words(locality)
    assert "overlap" in words(decision_studies.decisions(table, Options(rng())))
    with pytest.raises(NotRecorded, match="covers 41 of 81 architectures, and a random walk needs"):
        landscape_studies.random_walk(table, Options(rng()))


def test_rows_without_a_value_are_not_among_the_best() -> None:
    space = MadeUpSpace(4)
    some = with_costs(space, rows=np.arange(0, 11, dtype=np.int32))
    single = Table(
        space,
        some.epochs,
        {
            key: Column(np.ascontiguousarray(column.values[..., :1]), column.images)
            for key, column in some.columns.items()
        },
        rows=some.rows,
        provenance={"name": "toy"},
    )
    told = landscape_studies.locality(single, Options(rng())).findings
    assert "10 others are taken as the best" in told[0]
    few = with_costs(space, rows=np.arange(0, 9, dtype=np.int32))
    with pytest.raises(NotRecorded, match="covers 9 architectures; accuracy against distance"):
        landscape_studies.locality(few, Options(rng()))


def test_objectives_choose_costs_and_make_a_joint_front() -> None:
    table = with_costs(MadeUpSpace(4))
    study = table_studies.pareto(table, Options(rng(), objectives=("latency", "time")))
    assert set(study.frames["pareto"]["cost"]) == {"latency", "training time (s)"}
    front = study.frames["front"]
    losses = np.column_stack(
        [-table.mean("validation_accuracy"), table.costs["latency"], table.mean("seconds")]
    )
    assert sorted(front["row"]) == nondominated(losses.astype(float)).tolist()
    assert list(front["accuracy"]) == sorted(front["accuracy"], reverse=True)
    with pytest.raises(
        InvalidSetting, match="'energy' names 0 costs of the table; it has training"
    ):
        table_studies.pareto(table, Options(rng(), objectives=("energy",)))


def test_decisions_of_cells_are_told_by_other_studies() -> None:
    with pytest.raises(InvalidSetting, match="'analyze operations' and 'analyze topology'"):
        decision_studies.decisions(made_up_table(CellSpace(4)), Options(rng()))


def test_the_study_of_decisions_says_what_does_not_change() -> None:
    study = decision_studies.decisions(with_costs(MadeUpSpace(4)), Options(rng()))
    assert "All architectures have the same drift." in study.findings
    assert set(study.frames["decisions"]["measure"]) >= {"validation accuracy (%)", "latency"}
