"""Distances against the slow obvious way; top cells and correlations by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from nasbench_kit import Cell, CellSpace
from nasbench_kit.analysis.landscape.distance import cell_distances, encoding_distances
from nasbench_kit.analysis.landscape.encodings import Encodings
from nasbench_kit.analysis.landscape.locality import correlogram, fitness_distance, top_cells
from nasbench_kit.errors import NotRecorded


@pytest.fixture(scope="module")
def four() -> Encodings:
    return Encodings(CellSpace(4))


def test_distances_are_those_of_the_space(four: Encodings) -> None:
    cells = list(four.space)
    for row, cell in enumerate(cells):
        expected = [four.space.distance(cell, other) for other in cells]
        assert cell_distances(four, np.array([row])).tolist() == expected


def test_distances_in_a_larger_space() -> None:
    space = CellSpace(5)
    encodings, rng = Encodings(space), np.random.default_rng(0)
    for row in rng.integers(len(space), size=4).tolist():
        found = cell_distances(encodings, np.array([row]))
        for other in rng.integers(len(space), size=25).tolist():
            assert found[other] == space.distance(space[row], space[other])


def test_the_distance_to_several_is_the_least(four: Encodings) -> None:
    rows = np.array([3, 40, 77])
    each = [cell_distances(four, rows[[i]]) for i in range(3)]
    assert (cell_distances(four, rows) == np.min(each, axis=0)).all()


def test_distances_of_encodings_by_brute_force(four: Encodings) -> None:
    rows = np.array([0, 17, 60])
    space = four.space
    matrices, codes = np.arange(1 << 6), np.arange(9)
    everything = list(itertools.product(matrices.tolist(), codes.tolist()))
    row_of = {one: int(space.direct.lookup(*map(np.array, one))) for one in everything}
    targets = [one for one, row in row_of.items() if row in rows]

    def hamming(one: tuple[int, int], other: tuple[int, int]) -> int:
        changes = sum(one[1] // 3**v % 3 != other[1] // 3**v % 3 for v in range(2))
        return (one[0] ^ other[0]).bit_count() + changes

    nearest = {one: min(hamming(one, target) for target in targets) for one in everything}
    valid, total = encoding_distances(four, rows)
    cells = [distance for one, distance in nearest.items() if row_of[one] >= 0]
    assert valid.tolist() == np.bincount(cells).tolist()
    assert total.tolist() == np.bincount(list(nearest.values())).tolist()


def test_the_encodings_of_nasbench_101(full_space: CellSpace) -> None:
    encodings = Encodings(full_space)
    assert len(encodings.pruned) == 13_839
    assert encodings.valid.sum() == 1_538_083
    assert encodings.closed
    # The paper: the best cell has four isomorphic encodings.
    matching = (encodings.rows == full_space.index(Cell.named("best"))).sum(axis=1)
    matrices = np.bincount(encodings.which[encodings.valid], minlength=len(matching))
    assert matching @ matrices == 4


def test_top_cells_lie_within_two_standard_errors_of_the_best() -> None:
    best = [0.90, 0.92, 0.94]  # mean 0.92, standard error 0.02 / sqrt(3)
    border = 0.92 - 2 * 0.02 / np.sqrt(3)
    rows = [[0.5] * 3, [border - 1e-6] * 3, best, [border + 1e-6] * 3, [np.nan] * 3]
    assert top_cells(np.array(rows)).tolist() == [2, 3]


def test_top_cells_of_single_readings_are_counted() -> None:
    readings = np.array([[0.1], [np.nan], [0.3], [0.2]])
    assert top_cells(readings, count=2).tolist() == [2, 3]


def test_accuracy_that_is_the_distance_correlates_perfectly(four: Encodings) -> None:
    target = np.array([50])
    distances = cell_distances(four, target).astype(float)
    distances[7] = np.nan  # a partial table
    found = fitness_distance(four, -distances, target)
    assert found.correlation == pytest.approx(-1)
    assert found.cells.sum() == 90
    assert found.mean.tolist() == [-d for d in range(len(found.mean))]
    assert (found.low == found.mean).all() and (found.high == found.mean).all()


def test_correlogram_of_all_pairs_by_hand(four: Encodings) -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=91)
    values[[3, 8]] = np.nan
    found = correlogram(four, values, rng)
    z = (values - np.nanmean(values)) / np.nanstd(values)
    known = np.flatnonzero(~np.isnan(values))
    products: dict[int, list[float]] = {}
    for one, other in itertools.product(known.tolist(), repeat=2):
        distance = four.space.distance(four.space[one], four.space[other])
        products.setdefault(distance, []).append(z[one] * z[other])
    for distance, all_pairs in products.items():
        assert found.pairs[distance] == len(all_pairs)
        assert found.rho[distance] == pytest.approx(np.mean(all_pairs))
    assert not found.error.any()


def test_iid_noise_is_not_correlated_at_any_distance() -> None:
    space = CellSpace(6)
    rng = np.random.default_rng(2)
    found = correlogram(Encodings(space), rng.normal(size=len(space)), rng, anchors=200)
    seen = np.flatnonzero(found.pairs > 200)[1:]
    # Five standard errors at a dozen distances.
    assert len(seen) > 8
    assert (np.abs(found.rho[seen]) < 5 * found.error[seen]).all()
    assert found.rho[0] == 1


def test_equal_values_have_no_correlogram(four: Encodings) -> None:
    with pytest.raises(NotRecorded, match="nothing to correlate"):
        correlogram(four, np.ones(91), np.random.default_rng(0))
