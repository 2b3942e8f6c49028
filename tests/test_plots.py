"""nasbench_kit.analysis.figures.plots: a band without an upper end is marked, and nothing is cut unmarked."""

import itertools

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nasbench_kit.analysis.figures import plots, style
from nasbench_kit.analysis.statistics.anytime import Curve

INF = np.inf
GRID = np.geomspace(1, 100, 6)


def curve(upper: list[float]) -> Curve:
    median = np.array([INF, 0.05, 0.04, 0.03, 0.02, 0.01])
    return Curve(GRID, median / 2, median, np.array(upper))


def heads(figure: Figure) -> dict[str, list[float]]:
    """Places of the arrowheads, by the series that they belong to."""
    drawn = (line for line in figure.axes[0].get_lines() if line.get_marker() == 6)
    return {str(line.get_gid()): np.asarray(line.get_xdata()).tolist() for line in drawn}


@pytest.mark.parametrize("most", [0.06, 0.5, 1.0])
def test_a_finite_band_lies_within_the_axes(most: float) -> None:
    with style.figure_style():
        figure = Figure()
        ax = figure.subplots()
        found = {"a": curve([INF, most, most / 2, 0.04, 0.03, 0.02])}
        plots.anytime(ax, found, "seconds", metric="test_accuracy")
    assert ax.get_ylim()[1] > 100 * most
    assert heads(figure) == {}


def test_a_band_without_an_upper_end_has_arrowheads_where_it_has_none() -> None:
    with style.figure_style():
        figure = Figure()
        ax = figure.subplots()
        found = {
            "open": curve([INF, INF, INF, 0.04, INF, 0.02]),
            "closed": curve([INF, 0.06, 0.05, 0.04, 0.03, 0.02]),
        }
        plots.anytime(ax, found, "seconds", metric="test_accuracy")
        figure.draw_without_rendering()
    assert heads(figure) == {"series-0": GRID[[1, 2, 4]].tolist()}
    (marks,) = (
        line for line in ax.get_lines() if np.size(line.get_xdata()) == 3 and line.get_marker() == 6
    )
    assert isinstance(marks, Line2D) and not marks.get_clip_on()
    top = ax.transAxes.transform((0, 1))[1]
    assert marks.get_transform().transform((10, 1))[1] == pytest.approx(top)
    band = ax.collections[0].get_paths()[0].get_extents()
    assert band.y1 > ax.get_ylim()[1]  # it fills the axes up to the edge


@pytest.mark.parametrize(
    "points",
    [
        [-0.9, 0.04, 3.0],
        [-0.12, 0.01, 3.0],
        [-4.0, 0.5, 5.0],
        [0.02, 5.0],
        [0.1, 0.3, 20.0],
        [0.001, 80],
    ],
)
def test_marks_of_a_small_panel_do_not_overlap(points: list[float]) -> None:
    with style.figure_style():
        figure = Figure(figsize=(style.PAGE / 4, 1.5), layout="constrained")
        ax = figure.subplots()
        ax.plot(points, np.ones(len(points)))
        plots.regret_scale(ax.xaxis, np.array(points))
        ax.set_xlim(min(0, points[0]), points[-1])
        ax.tick_params(labelsize=6)
        figure.canvas.draw()
        low, high = ax.get_xlim()
        boxes = [
            label.get_window_extent()
            for place, label in zip(ax.get_xticks(), ax.get_xticklabels(), strict=True)
            if low <= place <= high
        ]
    assert len(boxes) >= 3
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
