"""Distances, kernels, encodings and solvers of the searches with a model, beside slow and obvious ones."""

from __future__ import annotations

import itertools
from collections import Counter
from functools import cache
from typing import Any

import networkx
import numpy as np
import pytest
from numpy.random import Generator
from scipy.integrate import quad
from scipy.optimize import approx_fprime, linprog
from scipy.stats import norm

from nasbench_kit import Cell, CellSpace
from nasbench_kit.algorithms.model_based import edit_distance, loop, otmann, smac
from nasbench_kit.algorithms.model_based.auto_keras import embedded, subsets
from nasbench_kit.algorithms.model_based.bananas import encoded, path_bits
from nasbench_kit.algorithms.model_based.gaussian_process import (
    EmbeddedOrRaw,
    Precomputed,
    SumOfExponentials,
    fitted,
    predict,
)
from nasbench_kit.algorithms.model_based.graphs import graph_of, key_of
from nasbench_kit.algorithms.model_based.nas_bowl import kernel, neighbourhoods
from nasbench_kit.algorithms.model_based.nasbot import STRUCTURE, degrees_and_counts
from nasbench_kit.algorithms.model_based.transport import largest_gain
from nasbench_kit.testing.made_up import MadeUpSpace

CONV3, CONV1, POOL = "conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3"


@pytest.fixture
def rng() -> Generator:
    return np.random.default_rng(0)


@cache
def cells(count: int) -> list[Cell]:
    """Of the whole space, many vertices among them."""
    space = CellSpace(6)
    rng = np.random.default_rng(1)
    return [space[int(row)] for row in rng.integers(len(space), size=count)]


def relabelled(cell: Cell, rng: Generator) -> Cell:
    """The same cell with its vertices in another order of those in which edges run upwards."""
    graph = cell.to_networkx()
    orders = list(itertools.islice(networkx.all_topological_sorts(graph), 50))
    order = [v for v in orders[int(rng.integers(len(orders)))] if v not in (0, cell.size - 1)]
    order = [0, *order, cell.size - 1]
    return Cell(cell.matrix[np.ix_(order, order)], [cell.operations[v] for v in order])


# Paths ------------------------------------------------------------------------------------------


def slow_path_bits(cell: Cell) -> set[int]:
    """The formula of the paper over networkx' paths."""
    digits = {CONV3: 0, CONV1: 1, POOL: 2}
    found = set()
    for path in networkx.all_simple_paths(cell.to_networkx(), 0, cell.size - 1):
        operations = [digits[cell.operations[vertex]] for vertex in path[1:-1]]
        shorter = sum(3**length for length in range(len(operations)))
        found.add(shorter + sum(digit * 3**place for place, digit in enumerate(operations)))
    return found


def test_paths_are_those_of_the_formula() -> None:
    for cell in [Cell.named("resnet"), Cell.named("best"), *cells(60)]:
        bits = path_bits(cell)
        assert set(bits) == slow_path_bits(cell)
        assert bits == sorted(set(bits))


def test_unused_vertices_have_no_paths(rng: Generator) -> None:
    space = CellSpace(6)
    for _ in range(50):
        cell = space.sample(rng)
        assert path_bits(cell) == path_bits(cell.pruned())


def test_known_paths() -> None:
    assert path_bits(Cell([[0, 1], [0, 0]], [])) == [0]  # the empty path
    assert path_bits(Cell.named("resnet")) == [0, 4]  # no operation; 3x3 twice, after 1 + 3 others


def test_all_paths_of_the_whole_space_have_364_bits() -> None:
    space = CellSpace(7)
    points = encoded([Cell.named("best")], space)
    assert points.shape == (1, 364)
    assert set(np.flatnonzero(points[0])) == slow_path_bits(Cell.named("best"))
    np.testing.assert_array_equal(encoded([Cell.named("best")], space, 40), points[:, :40])


def test_other_spaces_have_a_bit_for_each_option() -> None:
    space = MadeUpSpace(3)
    np.testing.assert_array_equal(
        encoded([space.parse("021")], space), [[1, 0, 0, 0, 0, 1, 0, 1, 0]]
    )
    # The first option of a decision is that of no column; a forest needs no more.
    assert smac.columns([space.parse("021")], space).astype(int).tolist() == [[0, 0, 1, 0, 1, 0]]


# Transport ---------------------------------------------------------------------------------------


def slow_gain(supply: Any, demand: Any, gain: Any) -> float:
    """The same by scipy's linear programming."""
    sources, sinks = gain.shape
    rows = np.kron(np.eye(sources), np.ones(sinks))
    full = np.vstack([rows, np.tile(np.eye(sinks), sources)])
    costs = np.where(np.isfinite(gain), -gain, 1e3).ravel()
    fun: Any = linprog(costs, A_ub=full, b_ub=[*supply, *demand]).fun
    return -float(fun)


@pytest.mark.parametrize(("sources", "sinks"), [(1, 1), (1, 4), (3, 2), (5, 5), (6, 4)])
def test_the_largest_gain_is_that_of_linear_programming(
    sources: int, sinks: int, rng: Generator
) -> None:
    problems = 60
    supply = rng.random((sources, problems)) * (rng.random((sources, problems)) < 0.8)
    demand = rng.random((sinks, problems)) * (rng.random((sinks, problems)) < 0.8)
    costs = rng.choice([0, 0.2, 0.2, 0.5, 1, 3, np.inf], (sources, sinks, problems))
    gain = 2 - costs - rng.integers(4, size=costs.shape) / 4  # with many ties
    expected = [slow_gain(supply[:, p], demand[:, p], gain[:, :, p]) for p in range(problems)]
    np.testing.assert_allclose(largest_gain(supply, demand, gain), expected, atol=1e-9)


def test_what_was_sent_is_taken_back() -> None:
    """First 3 goes along the largest gain; the optimum sends crosswise, for 2 + 2."""
    gain = np.array([[3.0, 2.0], [2.0, -np.inf]])[:, :, None]
    assert largest_gain(np.ones((2, 1)), np.ones((2, 1)), gain) == [4.0]


# OTMANN ------------------------------------------------------------------------------------------


def slow_otmann(one: Cell, other: Cell, structure: float) -> float:
    """The programme of the paper as it is printed, null layers and all, over networkx' paths."""
    masses, places = zip(*map(slow_layers, (one, other)), strict=True)
    a, b = masses
    costs = np.ones((len(a) + 1, len(b) + 1))
    costs[-1, -1] = 0
    for i, j in itertools.product(range(len(a)), range(len(b))):
        labels = {one.operations[i], other.operations[j]}
        mismatch = 0.0 if len(labels) == 1 else 0.2 if labels == {CONV3, CONV1} else 7.65e5
        apart = np.abs(np.array(places[0][i]) - places[1][j])
        costs[i, j] = mismatch + structure * apart.mean()
    rows = np.kron(np.eye(len(a) + 1), np.ones(len(b) + 1))
    full = np.vstack([rows, np.tile(np.eye(len(b) + 1), len(a) + 1)])
    sums = np.array([*a, sum(b), *b, sum(a)])
    fun: Any = linprog(costs.ravel() / 1e3, A_eq=full, b_eq=sums / 1e3).fun
    return float(fun) * 1e6


def slow_layers(cell: Cell) -> tuple[list[float], list[list[float]]]:
    """Masses at 128 channels by the benchmark's own rules, and 18 path lengths of each layer."""
    from nasbench_kit.spaces.nasbench101.work import vertex_channels

    widths = vertex_channels(cell, 128)
    inner = [
        float(width if name == POOL else width**2)
        for name, width in zip(cell.operations, widths, strict=True)
    ][1:-1]
    end = max(0.1 * sum(inner), 100.0)
    graph = cell.to_networkx()
    places = []
    for vertex in range(cell.size):
        place = []
        for towards, target in ((graph, cell.size - 1), (graph.reverse(), 0)):
            paths = (
                [[vertex]]
                if vertex == target
                else networkx.all_simple_paths(towards, vertex, target)
            )
            walks = [
                (path, np.prod([1 / towards.out_degree(v) for v in path[:-1]])) for path in paths
            ]
            for names in (set(cell.operations), {CONV3, CONV1}, {POOL}):
                lengths = [sum(cell.operations[v] in names for v in p[1:]) for p, _ in walks]
                mean = sum(n * chance for n, (_, chance) in zip(lengths, walks, strict=True))
                place += [min(lengths), max(lengths), mean]
        places.append(place)
    return [end, *inner, end], places


def otmann_of(ones: list[Any], others: list[Any], space: Any = None) -> Any:
    space = space or CellSpace(7)
    rows, columns = (
        [otmann.network(graph_of(one, space)) for one in some] for some in (ones, others)
    )
    return otmann.distances(rows, columns, STRUCTURE)


def test_otmann_is_the_programme_of_the_paper() -> None:
    some = [Cell([[0, 1], [0, 0]], []), Cell.named("resnet"), Cell.named("best"), *cells(6)]
    found = otmann_of(some, some)
    for (i, one), (j, other) in itertools.combinations(enumerate(some), 2):
        for k, structure in enumerate(STRUCTURE):
            assert found[k, i, j] == pytest.approx(slow_otmann(one, other, structure), rel=1e-6)


def test_otmann_of_chains_by_hand() -> None:
    """Three layers of mass 128 ** 2; ends are like ends, and two layers of a kind are one place apart.

    Of the six lengths that count all layers each differs by one then, of 18 in all: 1/3.
    """
    space = MadeUpSpace(3)
    found = otmann_of(
        [space.parse("001")], [space.parse("001"), space.parse("002"), space.parse("010")], space
    )
    layer = 128**2
    np.testing.assert_allclose(found[:, 0, 0], 0, atol=1e-6)
    np.testing.assert_allclose(found[:, 0, 1], 2 * layer)
    np.testing.assert_allclose(found[:, 0, 2], 2 * layer * np.array(STRUCTURE) / 3)


def test_otmann_is_a_pseudometric_and_knows_no_labelling(rng: Generator) -> None:
    some = cells(25)
    found = otmann_of(some, some)
    np.testing.assert_allclose(found, found.swapaxes(1, 2), atol=1e-6)
    np.testing.assert_allclose(np.diagonal(found, axis1=1, axis2=2), 0, atol=1e-6)
    detour = (found[:, :, :, None] + found[:, None]).min(axis=2)
    assert (found <= detour + 1e-6).all()
    np.testing.assert_allclose(
        otmann_of([relabelled(cell, rng) for cell in some], some), found, atol=1e-6
    )


def test_naszilla_distance_by_hand() -> None:
    """Chains of two and of one 3x3 convolution: in- and out-degrees differ by 1 each, counts by 1."""
    space = CellSpace(7)
    short, long = (
        degrees_and_counts(graph_of(Cell(np.eye(n, k=1, dtype=int), ["conv3x3"] * (n - 2)), space))
        for n in (3, 4)
    )
    assert np.abs(short - long).sum() == 3
    assert sorted(long.tolist()) == sorted([1] * 3 + [0] * 4 + [1] * 3 + [0] * 4 + [2, 0, 0])


# Edit distance -----------------------------------------------------------------------------------


def slow_alignment(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    if not one or not other:
        return len(one) + len(other)
    return min(
        slow_alignment(one[1:], other) + 1,
        slow_alignment(one, other[1:]) + 1,
        slow_alignment(one[1:], other[1:]) + (one[0] != other[0]),
    )


def test_chains_are_aligned(rng: Generator) -> None:
    chains = [tuple(rng.integers(1, 4, size=length).tolist()) for length in (0, 1, 3, 4, 5, 5)]
    expected = [[slow_alignment(one, other) for other in chains] for one in chains]
    np.testing.assert_array_equal(edit_distance.chain_distances(chains, chains), expected)


def slow_matching(one: Any, other: Any) -> float:
    """All ways to give each of the fewer skips a partner."""
    few, many = sorted((one, other), key=len)

    def cost(a: Any, b: Any) -> float:
        apart = abs(a.start - b.start) + abs(a.length - b.length)
        return 1 if a.kind != b.kind else apart / (max(a.start, b.start) + max(a.length, b.length))

    ways = itertools.permutations(many, len(few))
    least = min(sum(map(cost, few, way)) for way in ways)
    return least + len(many) - len(few)


def test_skips_are_matched_at_least_cost() -> None:
    nets = [edit_distance.network(graph_of(cell, CellSpace(7))) for cell in cells(12)]
    for one, other in itertools.combinations(nets, 2):
        expected = slow_matching(one.skips, other.skips)
        assert edit_distance.skip_distance(one.skips, other.skips) == pytest.approx(expected)


def test_the_edit_distance_by_hand() -> None:
    """ResNet's block against the chain without its shortcut, and against one with a 1x1 convolution."""
    space = CellSpace(7)
    plain = Cell(np.eye(4, k=1, dtype=int), ["conv3x3", "conv3x3"])
    other = Cell(Cell.named("resnet").matrix, ["conv3x3", "conv1x1"])
    resnet, *nets = [
        edit_distance.network(graph_of(cell, space))
        for cell in (Cell.named("resnet"), plain, other, Cell.named("resnet"))
    ]
    assert tuple(resnet) == ((CONV3, CONV3), ((0, 3, ()),))
    distance = edit_distance.EditDistance(skip_weight=0.5)
    for net in nets:
        distance.add(net)
    assert distance([resnet]).tolist() == [[0.5, 1, 0]]


def test_the_edit_distance_is_a_metric_of_cells(rng: Generator) -> None:
    space = CellSpace(7)
    some = cells(20)
    distance = edit_distance.EditDistance(1.0)
    for cell in some:
        distance.add(edit_distance.network(graph_of(cell, space)))
    found = distance(
        [edit_distance.network(graph_of(relabelled(cell, rng), space)) for cell in some]
    )
    np.testing.assert_allclose(found, found.T)
    equal = np.array([[one == other for other in some] for one in some])
    np.testing.assert_array_equal(found == 0, equal)


# Embedding ---------------------------------------------------------------------------------------


def test_the_embedding_is_the_distance_to_the_nearest_member(rng: Generator) -> None:
    distances = rng.random((5, 9))
    members = subsets(9, False, rng)
    points = embedded(distances, members)
    for point, row in zip(points, distances, strict=True):
        for value, subset in zip(point, members, strict=True):
            assert value == min(row[place] for place in range(9) if subset[place])


@pytest.mark.parametrize("count", [2, 3, 8, 9, 150])
def test_subsets_are_as_many_as_published(count: int, rng: Generator) -> None:
    """ln n of each size 1, 2, 4, ..., below n; released, one fewer of each next size."""
    sizes, times = int(np.ceil(np.log2(count))), int(np.ceil(np.log(count)))
    assert len(subsets(count, False, rng)) == sizes * times
    assert len(subsets(count, True, rng)) == sum(max(0, times - i) for i in range(sizes))
    largest = subsets(count, False, rng).sum(axis=1).reshape(sizes, times).max(axis=1)
    assert (largest <= 2 ** np.arange(sizes)).all()


# Weisfeiler and Lehman -----------------------------------------------------------------------------


def slow_trees(cell: Cell, rounds: int) -> Counter[str]:
    """Each vertex with all that follows within so many steps, written out."""

    def tree(vertex: int, depth: int) -> str:
        after = [v for u, v in cell.edges() if u == vertex]
        below = "".join(sorted(tree(v, depth - 1) for v in after)) if depth else ""
        return f"{depth}({cell.operations[vertex]}{below})"

    return Counter(
        tree(vertex, depth) for vertex in range(cell.size) for depth in range(rounds + 1)
    )


@pytest.mark.parametrize("rounds", [0, 1, 2, 3])
@pytest.mark.parametrize("optimal", [False, True])
def test_the_kernel_counts_common_trees(rounds: int, optimal: bool) -> None:
    some = [Cell.named("resnet"), Cell.named("inception"), *cells(20)]
    graphs = [graph_of(cell, CellSpace(7)) for cell in some]
    found = kernel(neighbourhoods(graphs, rounds), len(some), optimal)
    trees = [slow_trees(cell.canonical(), rounds) for cell in some]

    def common(a: Counter[str], b: Counter[str]) -> float:
        return sum(min(a[t], b[t]) if optimal else a[t] * b[t] for t in a)

    for (i, one), (j, other) in itertools.product(enumerate(trees), repeat=2):
        expected = common(one, other) / np.sqrt(common(one, one) * common(other, other))
        assert found[i, j] == pytest.approx(expected)
    assert np.linalg.eigvalsh(found).min() > -1e-9
    np.testing.assert_allclose(found.diagonal(), 1)


def test_neighbourhoods_of_decisions_are_runs() -> None:
    """In 0 rounds the kernel counts equal decisions; input and output are always equal."""
    space = MadeUpSpace(4)
    graphs = [graph_of(space.parse(text), space) for text in ("0120", "0121", "1120")]
    found = kernel(neighbourhoods(graphs, 1)[:1], 3, False)
    np.testing.assert_allclose(found[0], [1, 5 / 6, 5 / 6])
    # In one round also pairs: input and four pairs, and the output alone.
    found = kernel(neighbourhoods(graphs, 1), 3, False)
    np.testing.assert_allclose(found[0], [1, (5 + 4) / 12, (5 + 4) / 12])


# Processes and acquisitions ------------------------------------------------------------------------


def test_the_gradient_of_the_kernel(rng: Generator) -> None:
    """Against differences; in the middle of the bounds and at random hyperparameters."""
    points = rng.random((6, 3))
    apart = np.abs(points[:, None] - points).sum(axis=2)
    rows = np.stack([apart * 1e4, apart * 2e4, apart / 9, apart / 7], axis=1).reshape(6, -1)
    process = SumOfExponentials.of(2)
    low, high = process.bounds.T
    for theta in (process.theta, rng.uniform(low, high)):
        _, gradient = process.clone_with_theta(theta)(rows, eval_gradient=True)
        for place in ((0, 1), (2, 2), (4, 3)):

            def value(at: Any, place: tuple[int, int] = place) -> float:
                return float(process.clone_with_theta(at)(rows)[place])

            expected = approx_fprime(theta, value, 1e-7)
            np.testing.assert_allclose(gradient[place], expected, atol=1e-5)


def test_negative_eigenvalues_become_zero(rng: Generator) -> None:
    apart = rng.random((12, 12)) * 5  # no metric
    apart = np.triu(apart, 1) + np.triu(apart, 1).T
    rows = np.stack([apart, apart], axis=1).reshape(12, -1)
    process = SumOfExponentials(np.array([1e-2, 1.0]), np.array([1e-3]), np.array([1.0]), 0.01)
    plain = 1e-2 * np.exp(-1e-3 * apart) + np.exp(-(apart**2))
    assert np.linalg.eigvalsh(plain).min() < -0.01
    assert np.linalg.eigvalsh(process(rows)).min() == pytest.approx(0.01)
    np.testing.assert_allclose(process(rows, rows), plain)  # with others it is as it is


def test_the_posterior_is_the_closed_form(rng: Generator) -> None:
    x, new = rng.random((8, 2)), rng.random((3, 2))
    rows, crossing = (np.exp(-((some[:, None] - x) ** 2).sum(axis=2)) for some in (x, new))
    y = rng.random(8)
    mean, deviation = predict(fitted(Precomputed(), rows, y, alpha=0.1, optimizer=None), crossing)
    inverse = np.linalg.inv(rows + 0.1 * np.eye(8))
    np.testing.assert_allclose(mean, crossing @ inverse @ y)
    variance = 1 - np.einsum("ij,jk,ik->i", crossing, inverse, crossing)
    np.testing.assert_allclose(deviation, np.sqrt(variance))


def test_released_covariances_are_inconsistent_as_released(rng: Generator) -> None:
    points, distances = rng.random((4, 3)), rng.random((4, 4))
    rows = np.hstack([points, distances])
    found = EmbeddedOrRaw(3)
    expected = np.exp(-((points[1] - points[2]) ** 2).sum() / 3)
    assert found(rows)[1, 2] == pytest.approx(expected)
    np.testing.assert_allclose(found(rows, rows), np.exp(-(distances**2)))


@pytest.mark.parametrize(("mean", "deviation"), [(0.3, 0.1), (0.1, 0.05), (0.5, 0.02)])
def test_the_expected_improvement_is_an_expectation(mean: float, deviation: float) -> None:
    def integrand(error: float) -> float:
        return (0.2 - error) * float(norm.pdf(error, mean, deviation))

    expected, _ = quad(integrand, mean - 12 * deviation, 0.2)
    found = loop.expected_improvement(np.array([mean]), np.array([deviation]), 0.2)
    assert found[0] == pytest.approx(expected, abs=1e-9)
    sure = loop.expected_improvement(np.array([0.1, 0.3]), np.zeros(2), 0.2)
    np.testing.assert_allclose(sure, [0.1, 0])


def test_keys_are_those_of_equal_architectures(rng: Generator) -> None:
    for space in (CellSpace(4), MadeUpSpace(2)):
        key = key_of(space)
        some = [space.sample(rng) for _ in range(40)]
        for one, other in itertools.combinations(some, 2):
            assert (key(one) == key(other)) == (one == other)
