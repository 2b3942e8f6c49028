"""Local optima and basins: by hand on small graphs, by brute force on a small space."""

from __future__ import annotations

import functools
import itertools

import networkx
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_array

from nasbench_kit import CellSpace
from nasbench_kit.analysis.landscape.local_search import local_optima, local_search
from nasbench_kit.errors import NotRecorded


def path(count: int) -> csr_array:
    adjacency = networkx.to_scipy_sparse_array(networkx.path_graph(count), dtype=np.int8)
    return csr_array(adjacency)


#: A path of five cells with the optima 1 and 3.
TOY = np.array([1.0, 3, 2, 4, 0])


def test_optima_of_five_cells() -> None:
    found = local_optima(path(5), TOY)
    assert np.flatnonzero(found.cells).tolist() == [1, 3]
    assert (found.strict == found.cells).all()
    assert found.plateaus == 2


def test_plateaus_count_once_and_only_without_a_way_up() -> None:
    #                                      |--- top --|  |-- leads up --|
    found = local_optima(path(8), np.array([2.0, 2, 1, 1, 1, 3, 0, 0.5]))
    assert np.flatnonzero(found.cells).tolist() == [0, 1, 3, 5, 7]  # 3 sees only its equals
    assert np.flatnonzero(found.strict).tolist() == [5, 7]
    assert found.plateaus == 3  # {0, 1}, {5}, {7}; from {2, 3, 4} a walk gets away


def test_best_improvement_on_five_cells() -> None:
    found = local_search(path(5), TOY, "best")
    np.testing.assert_allclose(found.basin, [0, 0.4, 0, 0.6, 0])  # 0 1 | 2 3 4
    assert found.steps == pytest.approx(3 / 5)
    assert found.longest == 1
    # The start, then all neighbours of each cell on the way: 3, 2, 4, 2, 3.
    assert found.queries == pytest.approx(1 + 14 / 5)


def test_first_improvement_on_five_cells() -> None:
    found = local_search(path(5), TOY, "first")
    np.testing.assert_allclose(found.basin, [0, 0.5, 0, 0.5, 0])  # 2 goes either way
    assert found.queries == pytest.approx(1 + 13 / 5)  # 2 asks one neighbour: both are better


def test_equally_good_neighbours_share_the_flow() -> None:
    star = csr_array(networkx.to_scipy_sparse_array(networkx.star_graph(3), dtype=np.int8))
    found = local_search(star, np.array([0.0, 2, 2, 1]), "best")
    np.testing.assert_allclose(found.basin, [0, 3 / 8, 3 / 8, 2 / 8])  # 3 is an optimum too


def test_starts_may_be_weighted() -> None:
    found = local_search(path(5), TOY, "best", starts=np.array([0.0, 0, 2, 0, 0]))
    np.testing.assert_allclose(found.basin, [0, 0, 0, 1, 0])
    assert found.steps == 1


def test_the_first_better_of_k_neighbours_comes_after_k_plus_1_over_b_plus_1() -> None:
    for better in range(1, 5):
        orders = itertools.permutations([True] * better + [False] * (5 - better))
        mean = np.mean([order.index(True) + 1 for order in orders])
        assert mean == pytest.approx(6 / (better + 1))


@pytest.fixture(scope="module")
def landscape() -> tuple[csr_array, NDArray[np.float64]]:
    values = np.random.default_rng(0).integers(40, size=91).astype(float)  # with ties
    return CellSpace(4).neighbour_graph(), values


def test_optima_by_brute_force(landscape: tuple[csr_array, NDArray[np.float64]]) -> None:
    graph, values = landscape
    space = CellSpace(4)
    found = local_optima(graph, values)
    around = [values[space.neighbours(row)] for row in range(91)]
    for row, near in enumerate(around):
        assert found.cells[row] == (near <= values[row]).all()
        assert found.strict[row] == (near < values[row]).all()


@pytest.mark.parametrize("rule", ["best", "first"])
def test_basins_by_brute_force(landscape: tuple[csr_array, NDArray[np.float64]], rule: str) -> None:
    graph, values = landscape
    space = CellSpace(4)

    @functools.cache
    def ends(row: int) -> NDArray[np.float64]:
        """Where local search from here ends, as probabilities."""
        near = space.neighbours(row)
        better = near[values[near] > values[row]]
        if not len(better):
            return np.eye(91)[row]
        if rule == "best":
            better = better[values[better] == values[better].max()]
        return np.mean([ends(int(one)) for one in better], axis=0)

    found = local_search(graph, values, "best" if rule == "best" else "first")
    np.testing.assert_allclose(found.basin, np.mean([ends(row) for row in range(91)], axis=0))
    assert found.basin.sum() == pytest.approx(1)
    best = float(values.max())
    assert found.reaching(values, best) == pytest.approx(found.basin[values == best].sum())


def test_a_landscape_with_holes_is_refused() -> None:
    holes = np.array([1, np.nan, 2, np.nan, 0])
    with pytest.raises(NotRecorded, match="values are missing for 2 of 5 cells"):
        local_search(path(5), holes)
    with pytest.raises(NotRecorded, match="values are missing for 2 of 5 cells"):
        local_optima(path(5), holes)
