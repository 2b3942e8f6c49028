"""Random search's exact curve: by hand, against simulation, against the search itself."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from nasbench_kit import Budget, CellSpace, Column, InvalidSetting, NotRecorded, Oracle, Table
from nasbench_kit.algorithms import RandomSearch
from nasbench_kit.analysis.landscape.random_search_curve import RandomSearchCurve, encoding_counts
from nasbench_kit.compare.scores import regrets
from nasbench_kit.data.tables import open_table
from nasbench_kit.testing.searches import yielded


@pytest.fixture(scope="module")
def three_cells() -> Table:
    """Input -> output alone (cell a), and the chains of one 3x3 (b) and one 1x1 convolution (c).

    On three vertices with two edges at most, four matrices are cells: 0->2, with 0->1 or 1->2 or
    neither besides (3 matrices x 3 operations make a), and 0->1->2 (one encoding for each operation).
    """
    validation = [[0.5, 0.5], [0.25, 0.75], [0.5, 0.5]]
    test = [[0.5, 0.5], [1, 1], [0.25, 0.25]]
    return Table(
        CellSpace(3, 2),
        [36],
        {
            ("final", "validation_accuracy"): Column(np.array(validation, np.float32)[:, None]),
            ("final", "test_accuracy"): Column(np.array(test, np.float32)[:, None]),
        },
        rows=np.array([0, 1, 2], np.int32),
    )


def test_by_hand(three_cells: Table) -> None:
    """Cells a, b, c with weights 9, 1, 1 of 11; a query reads

    0.25 with 1/22 (b), 0.5 with 20/22 (a 18/22, c 2/22) and 0.75 with 1/22 (b).
    """
    assert encoding_counts(three_cells.covered).tolist() == [9, 1, 1]
    curve = RandomSearchCurve(three_cells)
    assert np.allclose(curve.incumbent(1), [9 / 11, 1 / 11, 1 / 11])
    lowest, highest = (1 / 22) ** 2, 1 - (21 / 22) ** 2
    middle = 1 - lowest - highest
    expected = [middle * 0.9, lowest + highest, middle * 0.1]
    assert np.allclose(curve.incumbent(2), expected)
    regret = regrets(three_cells)
    assert regret.tolist() == [0.5, 0, 0.75]
    assert np.allclose(curve.expected(regret, [2]), np.dot(expected, regret))
    # b is recommended with some 9 %, a with 81 %: the quantiles of the regret are 0, 0.5 and 0.75.
    assert curve.quantiles(regret, [2], [0.05, 0.5, 0.95]).tolist() == [[0, 0.5, 0.75]]


def test_means_have_no_noise(three_cells: Table) -> None:
    """All three means are 0.5: the first query stays, for ever."""
    curve = RandomSearchCurve(three_cells, policy="mean")
    for n in (1, 10, 1000):
        assert np.allclose(curve.incumbent(n), [9 / 11, 1 / 11, 1 / 11])


def test_encoding_counts_are_those_of_all_encodings() -> None:
    space = CellSpace(4)
    slow: Counter[int] = Counter()
    upper = np.triu_indices(4, 1)
    for bits in np.ndindex(*[2] * 6):
        matrix = np.zeros((4, 4), np.int8)
        matrix[upper] = bits
        operations = np.array(list(np.ndindex(3, 3)), np.int8)
        rows = space.indices(np.repeat(matrix[None], 9, axis=0), operations)
        slow.update(rows[rows >= 0].tolist())
    assert encoding_counts(space).tolist() == [slow[row] for row in range(len(space))]


def test_all_encodings_of_the_full_space(full_space: CellSpace) -> None:
    """1,538,083 valid matrices (decisions: the paper's random walk) with 243 operations each."""
    counts = encoding_counts(full_space)
    assert counts.sum() == 1_538_083 * 243
    assert counts.min() >= 1


@pytest.mark.parametrize("policy", ["always", "mean"])
def test_the_curve_is_the_mean_over_simulated_runs(small_table: Table, policy: str) -> None:
    """20,000 runs of 40 queries, drawn from the same encodings by ``space.sample``."""
    runs, most = 20_000, 40
    rng = np.random.default_rng(5)
    regret = regrets(small_table)
    readings = small_table.values("validation_accuracy")
    if policy == "mean":
        readings = readings.mean(axis=1, keepdims=True)
    rows = small_table.space.sample(rng, runs * most).reshape(runs, most)
    read = readings[rows, rng.integers(readings.shape[1], size=rows.shape)]
    curve = RandomSearchCurve(small_table, policy=policy)  # type: ignore[arg-type]
    for n in (1, 2, 7, 40):
        incumbents = rows[np.arange(runs), read[:, :n].argmax(axis=1)]
        found = regret[incumbents]
        # Five standard errors of the mean; the median's are 1.25 times as large for a normal law.
        tolerance = 5 * found.std() / np.sqrt(runs)
        assert curve.expected(regret, [n])[0] == pytest.approx(found.mean(), abs=tolerance)
        assert curve.incumbent(n) @ regret == pytest.approx(curve.expected(regret, [n])[0])
        # The share of runs up to the exact quantile is its level: five binomial standard errors.
        for level in (0.25, 0.5, 0.75):
            quantile = curve.quantiles(regret, [n], [level])[0, 0]
            slack = 5 * np.sqrt(level * (1 - level) / runs)
            assert (found <= quantile + 1e-12).mean() >= level - slack
            assert (found < quantile - 1e-12).mean() <= level + slack


def test_the_curve_is_that_of_the_search(small_table: Table) -> None:
    """The search itself, 300 runs of 20 queries at 12 epochs."""
    regret = regrets(small_table)
    found = []
    for seed in range(300):
        oracle = Oracle(small_table, Budget(queries=20), np.random.default_rng([seed, 0]))
        *_, last = yielded(RandomSearch(epochs=12), oracle, seed)
        found.append(regret[small_table.row(last)])
    curve = RandomSearchCurve(small_table, epochs=12)
    tolerance = 5 * np.std(found) / np.sqrt(len(found))
    assert curve.expected(regret, [20])[0] == pytest.approx(np.mean(found), abs=tolerance)


def test_in_the_long_run_the_luckiest_reading_wins(small_table: Table) -> None:
    readings = small_table.values("validation_accuracy")
    luckiest = (readings == readings.max()).any(axis=1)
    assert RandomSearchCurve(small_table).incumbent(10**8)[luckiest].sum() == pytest.approx(1)


def test_probabilities_sum_to_one(small_table: Table) -> None:
    curve = RandomSearchCurve(small_table)
    for n in (1, 3, 1000, 10**6):
        assert curve.incumbent(n).sum() == pytest.approx(1)


def test_what_has_no_curve_is_refused(small_table: Table) -> None:
    with pytest.raises(InvalidSetting, match="policy is 'once'"):
        RandomSearchCurve(small_table, policy="once")
    curve = RandomSearchCurve(small_table)
    with pytest.raises(InvalidSetting, match="queries are 0"):
        curve.incumbent(0)
    with pytest.raises(InvalidSetting, match=r"scores have shape \(3,\)"):
        curve.expected([1, 2, 3], [1])


def test_a_surrogates_repeats_are_no_finite_list() -> None:
    with pytest.raises(NotRecorded, match="nasbench101-surrogate is a surrogate"):
        RandomSearchCurve(open_table("nasbench101-surrogate"))
