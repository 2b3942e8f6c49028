"""Autocorrelation along random walks: against dense transition matrices, and between themselves."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_array

from nasbench_kit import CellSpace
from nasbench_kit.analysis.landscape.encodings import Encodings
from nasbench_kit.analysis.landscape.random_walk import (
    Autocorrelation,
    cell_autocorrelation,
    exact_autocorrelation,
    sampled_autocorrelation,
    stationary_law,
    walk,
)
from nasbench_kit.errors import InvalidSetting, NotInSpace, NotRecorded
from nasbench_kit.spaces.nasbench101.cell import OPERATIONS, Cell


def some_graphs() -> CellSpace:
    """A space of every other unlabelled graph, with all labellings."""
    space = CellSpace(4)
    return space.restricted(np.flatnonzero(space.direct.row_graph % 2))


SPACES = {
    "v3": CellSpace(3),
    "v4": CellSpace(4),
    "v4e4": CellSpace(4, 4),
    "some graphs": some_graphs(),
}


def dense(space: CellSpace) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The walk's adjacency matrix over all encodings, cell by cell, and the row of each encoding."""
    size = space.max_vertices
    pairs = list(itertools.combinations(range(size), 2))
    encodings = {}
    for edges in itertools.product((0, 1), repeat=len(pairs)):
        for labels in itertools.product(range(3), repeat=size - 2):
            matrix = np.zeros((size, size), int)
            matrix[tuple(np.array(pairs).T)] = edges
            try:
                encodings[edges, labels] = space.index(
                    Cell(matrix, [OPERATIONS[label] for label in labels])
                )
            except ValueError:  # no path from input to output
                continue
            except NotInSpace:
                continue
    place = {encoding: number for number, encoding in enumerate(encodings)}
    adjacency = np.zeros((len(place), len(place)))
    for (edges, labels), number in place.items():
        flipped = [((*edges[:i], 1 - edges[i], *edges[i + 1 :]), labels) for i in range(len(edges))]
        changed = [
            (edges, (*labels[:i], (labels[i] + turn) % 3, *labels[i + 1 :]))
            for i in range(len(labels))
            for turn in (1, 2)
        ]
        for edited in flipped + changed:
            if edited in place:
                adjacency[number, place[edited]] = 1
    return adjacency, np.array(list(encodings.values()))


@pytest.mark.parametrize("name", SPACES)
def test_exact_autocorrelation_is_that_of_the_dense_matrix_powers(name: str) -> None:
    space = SPACES[name]
    adjacency, rows = dense(space)
    degree = adjacency.sum(axis=1)
    law = degree / degree.sum()
    values = np.random.default_rng(1).normal(size=len(space))
    y = values[rows] - law @ values[rows]
    expected, ahead = [], y
    for _ in range(13):
        expected.append(law @ (y * ahead))
        ahead = adjacency @ ahead / degree  # P^s y
    found = exact_autocorrelation(Encodings(space), values, lags=12)
    np.testing.assert_allclose(found.rho, np.array(expected) / expected[0], atol=1e-5)  # float32


def test_lags_may_be_odd() -> None:
    encodings = Encodings(SPACES["v4"])
    values = np.random.default_rng(1).normal(size=91)
    odd, even = (exact_autocorrelation(encodings, values, lags).rho for lags in (5, 6))
    np.testing.assert_allclose(odd, even[:6], atol=1e-6)


@pytest.mark.parametrize("name", SPACES)
def test_the_stationary_law_is_proportional_to_the_number_of_valid_edits(name: str) -> None:
    space = SPACES[name]
    adjacency, rows = dense(space)
    expected = np.bincount(rows, adjacency.sum(axis=1), len(space))
    np.testing.assert_allclose(stationary_law(Encodings(space)), expected / expected.sum())


def test_the_walk_keeps_its_stationary_law_and_counts_silent_edits() -> None:
    space = SPACES["v4"]
    adjacency, rows = dense(space)
    walked = walk(Encodings(space), np.random.default_rng(2), walks=4_000, steps=50)
    assert walked.shape == (4_000, 51)
    law = stationary_law(Encodings(space))
    for step in (0, 50):  # one draw a walk: five standard deviations of a multinomial share
        share = np.bincount(walked[:, step], minlength=len(space)) / 4_000
        assert (np.abs(share - law) <= 5 * np.sqrt(law / 4_000)).all()
    silent = (adjacency * (rows[:, None] == rows)).sum() / adjacency.sum()
    by_walk = (walked[:, 1:] == walked[:, :-1]).mean(axis=1)
    assert abs(by_walk.mean() - silent) < 5 * by_walk.std() / np.sqrt(4_000)
    assert silent > 0.3  # a third of all steps and more change nothing


def test_every_step_of_the_walk_is_one_valid_edit() -> None:
    space = SPACES["v4"]
    adjacency, rows = dense(space)
    reachable = np.zeros((len(space), len(space)), bool)
    sources, targets = np.nonzero(adjacency)
    reachable[rows[sources], rows[targets]] = True
    walked = walk(Encodings(space), np.random.default_rng(3), walks=200, steps=100)
    assert reachable[walked[:, :-1], walked[:, 1:]].all()


@pytest.mark.parametrize("name", ["v4", "some graphs"])
def test_sampled_and_exact_agree_within_the_stated_error(name: str) -> None:
    encodings = Encodings(SPACES[name])
    values = np.random.default_rng(4).normal(size=len(SPACES[name]))
    exact = exact_autocorrelation(encodings, values, lags=20)
    sampled = sampled_autocorrelation(encodings, values, np.random.default_rng(5), lags=20)
    assert sampled.error is not None
    # 5 standard errors at each of 20 lags: false alarm once in 100,000 seeds.
    assert (np.abs(sampled.rho - exact.rho)[1:] < 5 * sampled.error[1:]).all()
    assert sampled.error.max() < 0.01


def test_the_same_seed_walks_the_same_way() -> None:
    encodings = Encodings(SPACES["v3"])
    one, other = (walk(encodings, np.random.default_rng(6), 10, 20) for _ in range(2))
    assert (one == other).all()


def test_iid_noise_on_a_ring_returns_as_often_as_the_walk_does() -> None:
    # Cells know nothing of each other, so rho(s) is the probability to be back after s steps.
    count = 20_000
    here = np.arange(count)
    ends = np.concatenate([here, here]), np.concatenate([(here + 1) % count, (here - 1) % count])
    ring = csr_array((np.ones(2 * count, np.int8), ends), shape=(count, count))
    noise = np.random.default_rng(7).normal(size=count)
    found = cell_autocorrelation(ring, noise, lags=6)
    back = np.array([1, 0, 1 / 2, 0, 3 / 8, 0, 5 / 16])
    assert (np.abs(found.rho - back) < 5 / np.sqrt(count)).all()


def test_the_walk_on_unique_architectures_is_that_of_its_dense_matrix() -> None:
    graph = CellSpace(4).neighbour_graph()
    values = np.random.default_rng(8).normal(size=91)
    dense_graph = graph.toarray().astype(float)
    degree = dense_graph.sum(axis=1)
    law = degree / degree.sum()
    y = values - law @ values
    ahead = np.linalg.matrix_power(dense_graph / degree[:, None], 5) @ y
    found = cell_autocorrelation(graph, values, lags=5)
    assert found.rho[5] == pytest.approx((law @ (y * ahead)) / (law @ y**2))


def test_progress_counts_every_mode() -> None:
    seen: list[tuple[int, int]] = []
    values = np.arange(91.0)
    exact_autocorrelation(
        Encodings(SPACES["v4"]), values, 2, lambda done, total: seen.append((done, total))
    )
    assert seen == [(done, 9) for done in range(1, 10)]


def test_lengths_of_a_geometric_decay() -> None:
    decay = Autocorrelation(np.array([0.8**lag for lag in range(41)]))
    assert decay.correlation_length == pytest.approx(-1 / np.log(0.8))
    bartlett = 1.96 * np.sqrt((1 + 2 * 0.64 / 0.36) / 10_000)  # sum of 0.64 ** s
    assert decay.noise() == pytest.approx(bartlett, rel=1e-3)
    assert decay.dies_out() == np.ceil(np.log(bartlett) / np.log(0.8))
    assert decay.distance[36] == 6
    assert Autocorrelation(np.ones(5)).dies_out() is None
    assert Autocorrelation(np.ones(5)).correlation_length == np.inf


def test_what_cannot_be_walked_is_refused() -> None:
    encodings, values = Encodings(SPACES["v4"]), np.arange(91.0)
    rng = np.random.default_rng(0)
    holes = np.where(values == 7, np.nan, values)
    with pytest.raises(NotRecorded, match="values are missing for 1 of 91 cells"):
        exact_autocorrelation(encodings, holes)
    with pytest.raises(NotRecorded, match="values are missing for 1 of 91 cells"):
        sampled_autocorrelation(encodings, holes, rng)
    with pytest.raises(NotRecorded, match="the same value"):
        exact_autocorrelation(encodings, np.ones(91))
    with pytest.raises(InvalidSetting, match="20 steps cannot show lag 30"):
        sampled_autocorrelation(encodings, values, rng, lags=30, steps=20)
    with pytest.raises(InvalidSetting, match="lacks some labellings"):
        walk(Encodings(CellSpace(4).restricted(np.arange(50))), rng, 1, 1)
    with pytest.raises(InvalidSetting, match="no edit"):
        walk(Encodings(CellSpace(2)), rng, 1, 1)
    with pytest.raises(InvalidSetting, match="1 cell, without any neighbour"):
        cell_autocorrelation(csr_array((1, 1)), np.ones(1))
