"""Rank correlations, noise, fronts and distributions: by hand and by brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from nasbench_kit import CellSpace, Column, Table
from nasbench_kit.analysis.landscape.fidelity import (
    agreement,
    best_share,
    between_fidelities,
    noise,
)
from nasbench_kit.analysis.landscape.pareto import ecdf, front
from nasbench_kit.errors import NotRecorded


def table_of(readings: NDArray[np.float64], epochs: tuple[int, ...] = (4, 12)) -> Table:
    """A table over 91 cells from validation accuracies [91, epochs, repeats]."""
    column = Column(readings.astype(np.float32))
    return Table(CellSpace(4), epochs, {("final", "validation_accuracy"): column})


def tau_b(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Kendall 1945, pair by pair."""
    pairs = list(itertools.combinations(range(len(one)), 2))
    signs = [(np.sign(one[i] - one[j]), np.sign(other[i] - other[j])) for i, j in pairs]
    untied = [sum(sign[side] != 0 for sign in signs) for side in (0, 1)]
    return float(sum(a * b for a, b in signs) / np.sqrt(untied[0] * untied[1]))


def test_correlations_with_ties() -> None:
    one, other = np.random.default_rng(0).integers(8, size=(2, 60)).astype(float)
    found = agreement(one, other)
    assert found.tau == pytest.approx(tau_b(one, other))
    assert found.tau == pytest.approx(stats.kendalltau(one, other).statistic)
    assert found.spearman == pytest.approx(stats.spearmanr(one, other).statistic)
    assert found.pearson == pytest.approx(stats.pearsonr(one, other).statistic)
    assert found.cells == 60


def test_a_constant_agrees_with_nothing() -> None:
    assert np.isnan(agreement(np.ones(5), np.arange(5.0)).tau)
    assert np.isnan(agreement(np.ones(1), np.ones(1)).pearson)


def test_the_best_share_takes_ties_at_its_border() -> None:
    values = np.array([1.0, 2, 3, 4, 5, 6, 7, 9, 9, 9])
    assert best_share(values, 0.1).sum() == 3
    assert best_share(np.arange(100.0)).sum() == 10


def test_fidelities_that_rank_alike_and_in_reverse() -> None:
    quality = np.linspace(0.1, 0.9, 91)
    readings = np.stack([quality, quality**2, 1 - quality], axis=1)[:, :, None]
    pairs = {(p.short, p.long): p for p in between_fidelities(table_of(readings, (4, 12, 36)))}
    assert set(pairs) == {(4, 12), (4, 36), (12, 36)}
    assert pairs[4, 12].everywhere.tau == pytest.approx(1)
    assert pairs[4, 36].everywhere.spearman == pytest.approx(-1)
    assert pairs[4, 12].best.cells == 10


def test_one_fidelity_has_none_beside_it() -> None:
    with pytest.raises(NotRecorded, match="one fidelity"):
        list(between_fidelities(table_of(np.zeros((91, 1, 1)), (4,))))


def test_repeats_without_noise() -> None:
    quality = np.random.default_rng(1).permutation(91) / 91
    found = noise(table_of(np.repeat(quality[:, None, None], 3, axis=2), (4,)), 4)
    assert found.within_cells == 0 and found.rank_shift == 0
    assert found.repeats_agree.tau == pytest.approx(1)
    assert found.winner_rank == 1
    assert found.between_cells == pytest.approx(quality.std(ddof=1), rel=1e-5)
    assert not found.within_tenths.any()


def test_noise_and_signal_are_told_apart() -> None:
    # Signal 0.1, noise 0.05, 8 repeats of 91 cells: the pooled noise has a relative error of
    # 1 / sqrt(2 * 91 * 7) = 3 %, the signal of 1 / sqrt(2 * 90) = 8 %. Four errors each.
    rng = np.random.default_rng(2)
    quality = rng.normal(0.5, 0.1, (91, 1, 1))
    found = noise(table_of(quality + rng.normal(0, 0.05, (91, 1, 8)), (4,)), 4)
    assert found.within_cells == pytest.approx(0.05, rel=0.12)
    assert found.between_cells == pytest.approx(0.1, rel=0.32)
    assert 0.5 < found.repeats_agree.tau < 0.9
    assert len(found.within_tenths) == 10


def test_the_winners_rank_and_the_shift_of_ranks_by_hand() -> None:
    readings = np.zeros((91, 1, 2))
    readings[:, 0, :] = np.linspace(0, 0.5, 91)[:, None]
    readings[0, 0] = [0.9, 0.0]  # wins repeat 0 by luck; its mean, 0.45, has rank 11
    found = noise(table_of(readings, (4,)), 4)
    ranks = stats.rankdata(-readings[:, 0].mean(axis=1), method="min")
    assert found.winner_rank == (ranks[0] + 1) / 2
    assert found.rank_shift == pytest.approx(1 / 91)  # all others move by one


def test_one_repeat_shows_no_noise() -> None:
    with pytest.raises(NotRecorded, match="one repeat"):
        noise(table_of(np.zeros((91, 2, 1))), 4)


def test_the_front_by_brute_force_with_ties() -> None:
    cost, value = np.random.default_rng(3).integers(12, size=(2, 200)).astype(float)
    undominated = {
        (c, v)
        for c, v in zip(cost, value, strict=True)
        if not ((cost <= c) & (value >= v) & ((cost < c) | (value > v))).any()
    }
    found = front(cost, value)
    assert set(zip(cost[found], value[found], strict=True)) == undominated
    assert len(found) == len(undominated)
    assert (np.diff(cost[found]) > 0).all() and (np.diff(value[found]) > 0).all()


def test_ecdf_by_hand() -> None:
    values, share = ecdf(np.array([3.0, 1, 3, 2]))
    assert values.tolist() == [1, 2, 3]
    assert share.tolist() == [0.25, 0.5, 1]
