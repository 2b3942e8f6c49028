"""When a curve gets ahead for good, and how much sooner: hand-made curves and runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray
from report_inputs import compared, hand_made, table

from nasbench_kit import CellSpace
from nasbench_kit.analysis.report.words import ahead_from, times_sooner
from nasbench_kit.analysis.statistics.comparison import Comparison
from nasbench_kit.analysis.statistics.overtaking import overtaken, overtakes, sooner
from nasbench_kit.compare.trace import Incumbent, Trace

INF = float("inf")
SPENDS = np.array([1.0, 2.0, 4.0, 8.0])


def curve(*values: ArrayLike) -> NDArray[np.float64]:
    return np.array(values, float)


@pytest.mark.parametrize(
    ("ours", "theirs", "spend"),
    [
        (curve(9, 5, 3, 1), curve(8, 6, 4, 2), 2.0),
        (curve(9, 5, 5, 1), curve(8, 6, 4, 2), 8.0),  # the first lead is lost again
        (curve(9, 6, 3, 2), curve(8, 6, 4, 2), 4.0),  # caught up with, but never behind again
        (curve(7, 5, 3, 1), curve(8, 6, 4, 2), 0.0),
        (curve(8, 5, 3, 1), curve(8, 6, 4, 2), 0.0),  # never behind
        (curve(7, 5, 3, 2), curve(8, 6, 4, 1), INF),
        (curve(8, 6, 4, 2), curve(8, 6, 4, 2), INF),  # behind nowhere, ahead nowhere
        (curve(INF, INF, 3, 1), curve(INF, 6, 4, 2), 4.0),
        (curve(INF, INF, INF, INF), curve(INF, INF, INF, INF), INF),
    ],
)
def test_ahead_for_good(
    ours: NDArray[np.float64], theirs: NDArray[np.float64], spend: float
) -> None:
    assert overtakes(ours, theirs, SPENDS) == spend


@pytest.mark.parametrize(
    ("ours", "theirs", "ratio"),
    [
        (curve(9, 2, 1, 1), curve(8, 6, 4, 2), 4.0),
        (curve(9, 2, 1, 1), curve(8, 6, 2, 2), 2.0),  # theirs had its final regret at 4 already
        (curve(9, 9, 9, 2), curve(8, 2, 2, 2), 0.25),  # later, not sooner
        (curve(9, 9, 9, 3), curve(8, 6, 4, 2), 0.0),
        (curve(9, 9, 9, 3), curve(INF, INF, INF, INF), INF),
        (curve(INF, INF, INF, INF), curve(8, 6, 4, 2), 0.0),
        (curve(INF, INF, INF, INF), curve(INF, INF, INF, INF), 0.0),
    ],
)
def test_how_much_sooner(
    ours: NDArray[np.float64], theirs: NDArray[np.float64], ratio: float
) -> None:
    assert sooner(ours, theirs, SPENDS) == ratio


def test_stacked_curves_are_read_one_by_one() -> None:
    ours, theirs = np.random.default_rng(0).integers(0, 4, size=(2, 50, 4)).astype(float)
    for read in (overtakes, sooner):
        one_by_one = [read(a, b, SPENDS) for a, b in zip(ours, theirs, strict=True)]
        assert read(ours, theirs, SPENDS).tolist() == one_by_one


def stepping(steps: dict[str, list[list[tuple[float, int]]]]) -> Comparison:
    """Runs that recommend cells of these regrets (points) at these seconds, of 1,000."""
    of = table()
    best = of.mean("test_accuracy").max()
    cells = {points: CellSpace(5)[len(of) + points].to_text() for points in range(50)}
    traces = {
        name: [
            Trace(
                name,
                seed,
                "budget",
                1e3,
                1.0,
                9,
                9,
                [Incumbent(s, s, 1, cells[points]) for s, points in run],
            )
            for seed, run in enumerate(runs)
        ]
        for name, runs in steps.items()
    }
    trained = {text: best - points / 100 for points, text in cells.items()}
    return replace(hand_made(of, {}), traces=traces, trained=trained)


def test_runs_without_scatter_have_intervals_without_width() -> None:
    slow = [[(1.0, 20), (100.0, 10), (900.0, 5)]] * 4
    fast = [[(1.0, 30), (10.0, 15), (90.0, 5), (500.0, 2)]] * 4
    found = overtaken(stepping({"fast": fast, "random-search": slow}), np.random.default_rng(0))
    assert [(one.algorithm, one.average) for one in found] == [("fast", "mean"), ("fast", "median")]
    for one in found:
        assert one.spend.low == one.spend.point == one.spend.high
        assert one.sooner.low == one.sooner.point == one.sooner.high
        assert one.spend.point == pytest.approx(10, rel=0.06)  # 200 spends over three decades
        assert one.sooner.point == pytest.approx(10, rel=0.06)


def test_never_is_a_value_that_intervals_hold() -> None:
    # Half of the runs find the best cell, half stay behind: resampled medians fall on either side.
    split = [[(1.0, 30), (10.0, 2)]] * 10 + [[(1.0, 30)]] * 10
    steady = [[(1.0, 20)]] * 20
    comparison = stepping({"split": split, "random-search": steady})
    mean, median = overtaken(comparison, np.random.default_rng(0))
    assert mean.average == "mean" and mean.spend.point == pytest.approx(10, rel=0.06)
    for one in (mean, median):
        assert one.spend.low == pytest.approx(10, rel=0.06)
        assert one.spend.high == INF
        assert one.sooner.low == 0


def test_the_same_seed_gives_the_same_intervals(tmp_path: Path) -> None:
    of = table()
    comparison = Comparison.load(compared(tmp_path / "run", of), of)
    first, second, other = (
        overtaken(comparison, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert first == second
    assert [one.spend.point for one in first] == [one.spend.point for one in other]
    assert {one.algorithm for one in first} == {"local-search"}


def test_words() -> None:
    assert [ahead_from(spend) for spend in (0.0, 44_988.1, 12.34, INF)] == [
        "the start",
        "45,000",
        "12",
        "never",
    ]
    assert [times_sooner(ratio) for ratio in (0.0, 8.42, INF)] == ["never", "8.4 ×", "∞"]
