"""Successive halving, Hyperband and BOHB: the bracket table, who is promoted, what BOHB learns."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest

from nasbench_kit import Answer, Budget, CellSpace, Column, InvalidSetting, Oracle, Stalled, Table
from nasbench_kit.algorithms import BOHB, Hyperband, RandomSearch
from nasbench_kit.algorithms.multi_fidelity import bohb
from nasbench_kit.algorithms.multi_fidelity.hyperband import brackets
from nasbench_kit.oracle.search import Search
from nasbench_kit.testing.searches import yielded


def ledger(search: Search, table: Table, queries: int, seed: int = 0) -> list[Answer]:
    oracle = Oracle(table, Budget(queries=queries), np.random.default_rng([seed, 0]))
    list(yielded(search, oracle, seed))
    return [charge.item for charge in oracle.budget.ledger]


def test_the_bracket_table_of_nas_bench_101() -> None:
    """Li et al. 2018, Algorithm 1, by hand; with the costs in full trainings."""
    found = brackets((4, 12, 36, 108), 3)
    assert found == [
        [(27, 4), (9, 12), (3, 36), (1, 108)],
        [(9, 12), (3, 36), (1, 108)],
        [(6, 36), (2, 108)],
        [(4, 108)],
    ]
    costs = [sum(cells * epochs for cells, epochs in bracket) / 108 for bracket in found]
    assert costs == [4, 3, 4, 4]


def test_brackets_of_other_tables() -> None:
    assert brackets((4, 12, 36), 3) == [[(9, 4), (3, 12), (1, 36)], [(3, 12), (1, 36)], [(3, 36)]]
    # Fidelities that are not a factor eta apart are left out; of the rest the chain is unbroken.
    assert brackets((4, 10, 36, 108), 3)[0] == [(3, 36), (1, 108)]
    assert brackets((1, 2, 4), 2) == [[(4, 1), (2, 2), (1, 4)], [(2, 2), (1, 4)], [(3, 4)]]


def test_hyperband_runs_its_brackets_in_turn(small_table: Table) -> None:
    cycle = [4] * 9 + [12] * 3 + [36] + [12] * 3 + [36] + [36] * 3
    answers = ledger(Hyperband(), small_table, 2 * len(cycle))
    assert [answer.epochs for answer in answers] == 2 * cycle


def test_successive_halving_repeats_the_first_bracket(small_table: Table) -> None:
    cycle = [4] * 9 + [12] * 3 + [36]
    answers = ledger(Hyperband.successive_halving(), small_table, 3 * len(cycle))
    assert [answer.epochs for answer in answers] == 3 * cycle


def test_the_best_are_promoted_and_trained_anew_at_full_price(small_table: Table) -> None:
    answers = ledger(Hyperband.successive_halving(), small_table, 13)
    rungs = answers[:9], answers[9:12], answers[12:]
    for below, above in itertools.pairwise(rungs):
        ranked = sorted(below, key=lambda answer: answer.validation_accuracy, reverse=True)
        promoted = [answer.cell.to_text() for answer in ranked[: len(above)]]
        assert [answer.cell.to_text() for answer in above] == promoted
    seconds = small_table.values("seconds", 36)[small_table.row(answers[12].cell)]
    assert answers[12].seconds in seconds  # a whole training of 36 epochs


def test_the_first_rung_is_drawn_as_random_search_draws(small_table: Table) -> None:
    drawn = [answer.cell.to_text() for answer in ledger(RandomSearch(epochs=4), small_table, 9)]
    asked = [answer.cell.to_text() for answer in ledger(Hyperband(), small_table, 9)]
    assert asked == drawn


@pytest.mark.parametrize("search", [Hyperband(), Hyperband.successive_halving(), BOHB()])
def test_a_table_of_one_fidelity_is_refused(search: Search, small_table: Table) -> None:
    columns = {("final", "validation_accuracy"): Column(np.zeros((91, 1, 1), np.float32))}
    table = Table(CellSpace(4), [36], columns)
    with pytest.raises(InvalidSetting, match="trainings of 36 epochs; halving needs one of 12"):
        ledger(search, table, 5)


def test_settings_are_checked() -> None:
    for search in (Hyperband, BOHB):
        with pytest.raises(InvalidSetting, match="eta is 1"):
            search(eta=1)
    with pytest.raises(InvalidSetting, match="samples is 0"):
        BOHB(samples=0)
    with pytest.raises(InvalidSetting, match=r"random_fraction is 1\.5; it must be from 0 to 1"):
        BOHB(random_fraction=1.5)


# BOHB ----------------------------------------------------------------------------------------


def density() -> bohb.Density:
    points = np.array([[0, 2, 1], [1, 2, 0], [1, 0, 0]])
    return bohb.Density.fitted(points, np.array([2, 3, 2]), least=0.1)


def test_bandwidths_follow_the_normal_reference_rule() -> None:
    """1.06 std n ** (-1 / (4 + d)), n = 3 points of d = 3 variables, up to where kernels are flat."""
    factor = 1.06 * 3 ** (-1 / 7)
    std = [np.sqrt(2) / 3, np.sqrt(8) / 3, np.sqrt(2) / 3]
    expected = [factor * std[0], min(factor * std[1], 2 / 3), factor * std[2]]
    assert np.allclose(density().bandwidth, expected)
    assert density().bandwidth[1] == pytest.approx(2 / 3)
    constant = bohb.Density.fitted(np.ones((4, 1), int), np.array([2]), least=0.3)
    assert constant.bandwidth == pytest.approx([0.3])


def test_the_density_is_that_of_the_slow_sum() -> None:
    found = density()
    every = np.array(list(np.ndindex(2, 3, 2)))
    values = found.at(every)
    for point, value in zip(every, values, strict=True):
        total = 0.0
        for centre in found.points:
            kernel = 1.0
            for x, c, h, k in zip(point, centre, found.bandwidth, (2, 3, 2), strict=True):
                kernel *= 1 - h if x == c else h / (k - 1)
            total += kernel
        assert value == pytest.approx(total / 3)
    assert values.sum() == pytest.approx(1)


def test_points_are_drawn_near_the_fitted_ones() -> None:
    """A variable keeps its value with probability 1 - h + h / k."""
    centre = np.array([[1, 2, 0]])
    found = bohb.Density(centre, np.array([0.5, 0.3, 0.2]), np.array([2, 3, 2]))
    points = found.sample(4_000, np.random.default_rng(0))
    expected = 1 - found.bandwidth + found.bandwidth / found.choices
    tolerance = 5 * np.sqrt(expected * (1 - expected) / 4_000)  # five sigma
    assert (np.abs((points == centre).mean(axis=0) - expected) < tolerance).all()


def model(**settings: Any) -> bohb.Model:
    return bohb.Model(BOHB(min_points=3, **settings), np.array([2, 2]))


def test_the_model_waits_for_enough_results_and_splits_them() -> None:
    found = model(good_percent=50)
    for error in (0.5, 0.1, 0.9, 0.3, 0.8):
        found.tell([0, 0], error, 4)
        assert found.good is None
    found.tell([1, 0], 0.0, 4)
    assert found.good is not None
    assert found.bad is not None
    assert found.good.points.tolist() == [[1, 0], [0, 0], [0, 0]]
    assert len(found.bad.points) == 3
    for _ in range(14):
        found.tell([0, 1], 1.0, 4)
    assert (len(found.good.points), len(found.bad.points)) == (10, 10)


def test_the_model_is_that_of_the_largest_fidelity_with_enough_results() -> None:
    found = model()
    for _ in range(6):
        found.tell([0, 0], 0.5, 4)
    for _ in range(5):
        found.tell([1, 1], 0.5, 12)
    assert found.good is not None
    assert not found.good.points.any()  # five results at 12 epochs are too few
    found.tell([1, 1], 0.5, 12)
    assert found.good.points.all()
    found.tell([0, 0], 0.0, 4)  # of no more use
    assert found.good.points.all()


def test_random_proposals_alone_are_uniform() -> None:
    found = model(random_fraction=1.0)
    for place in range(20):
        found.tell([0, 0], place / 20, 4)
    rng = np.random.default_rng(0)
    drawn = Counter(tuple(found.propose(rng).tolist()) for _ in range(2_000))
    for count in drawn.values():
        assert abs(count - 500) < 5 * np.sqrt(2_000 * 0.25 * 0.75)  # five sigma
    assert len(drawn) == 4


def test_bohb_runs_hyperbands_brackets(small_table: Table) -> None:
    epochs = [
        [answer.epochs for answer in ledger(s, small_table, 60)] for s in (BOHB(), Hyperband())
    ]
    assert epochs[0] == epochs[1]


def test_bohb_prefers_the_good_region() -> None:
    """Good cells have many 3x3 convolutions, at all fidelities; the model must find that out."""
    space = CellSpace(5)
    convolutions = np.array([cell.operations.count("conv3x3-bn-relu") for cell in space])
    counts = np.repeat(10 + 30 * convolutions[:, None, None], 3, axis=1).astype(np.uint16)
    table = Table(
        space, [4, 12, 36], {("final", "validation_accuracy"): Column(counts, images=100)}
    )

    def drawn_later(search: Search) -> list[float]:
        answers = ledger(search, table, 400)[200:]
        return [answer.validation_accuracy for answer in answers if answer.epochs == 4]

    better, plain = drawn_later(BOHB()), drawn_later(Hyperband())
    # Standard errors of about 0.03; the planted effect is some ten of them.
    assert np.mean(better) > np.mean(plain) + 0.15


def test_invalid_proposals_are_told_at_no_cost_and_not_for_ever() -> None:
    found = bohb.Model(BOHB(min_points=10**6), np.array([2, 2, 2, 3]))
    cells = bohb._proposals(found, CellSpace(3), 4, np.random.default_rng(0))
    drawn = list(itertools.islice(cells, 200))
    told = len(found._errors[4])
    # 5 of 8 matrices are cells: of 200 valid draws the failures before them, five sigma.
    assert abs(told - 200 * 0.6) < 5 * np.sqrt(200 * 0.375) / 0.625
    assert len(drawn) == 200

    class Lost(bohb.Model):
        def propose(self, rng: np.random.Generator) -> Any:
            return np.zeros(4, int)

    lost = Lost(BOHB(min_points=10**6), np.array([2, 2, 2, 3]))
    with pytest.raises(Stalled, match="raise random_fraction"):
        next(bohb._proposals(lost, CellSpace(3), 4, np.random.default_rng(0)))
