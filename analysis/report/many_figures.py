"""The figures of a report over many tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.analysis.figures import plots
from nasbench_kit.analysis.report import comparison_plots
from nasbench_kit.analysis.report.figure_writer import FigureWriter, PageFigure
from nasbench_kit.analysis.report.figures import (
    bar_height,
    critical_difference,
    profile_drawer,
    thresholds_of,
)
from nasbench_kit.analysis.statistics import anytime
from nasbench_kit.analysis.statistics.aggregates import share_within
from nasbench_kit.analysis.statistics.over_tasks import curves_over_tasks, normalised
from nasbench_kit.checks import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.random import Generator

    from nasbench_kit.analysis.statistics.comparison import Comparison
    from nasbench_kit.analysis.statistics.over_tasks import (
        AcrossTables,
        CurvesOverTasks,
        OverTasks,
    )

#: Spends at which the curves of a small panel are drawn.
_POINTS = 60
_QUANTITY = "normalised regret"
_UNIT = "% of the median architecture's"


def many_figures(
    writer: FigureWriter,
    comparisons: Sequence[Comparison],
    across: AcrossTables,
    rows: Sequence[OverTasks],
    rng: Generator,
) -> list[PageFigure]:
    """All figures over tasks, of the algorithms that ran on all of them, then those of each task.

    Args:
        writer: draws them.
        comparisons: one a task.
        across: their ranks.
        rows: their aggregates.
        rng: of the intervals.
    """
    names = across.algorithms
    figures = []
    if across.friedman is not None:
        count = counted(len(comparisons), "task")
        figures.append(critical_difference(writer, across.friedman, count))
    if names:
        scores = [normalised(comparison) for comparison in comparisons]
        curves = curves_over_tasks(comparisons, names, rng)
        spent = _spent(comparisons)
        figures += [
            _mean_curves(writer, curves, spent),
            _intervals(writer, rows),
            writer.draw(
                "tasks-ranks",
                "Expected rank over the budget, averaged over tasks",
                "Mean rank if one run of each algorithm is drawn on the same task, exactly; 1 is best.",
                lambda ax: _against_share(
                    comparison_plots.rank_curves(
                        ax, 100 * curves.grid, curves.ranks, "queries", writer.styles
                    ),
                    spent,
                ),
                names=names,
                height=bar_height(curves.ranks),
            ),
            writer.draw(
                "tasks-profile",
                "Performance profile over tasks",
                "Share of runs within a normalised regret at the end of the budget, averaged over tasks, "
                "with pointwise 95 % bands (runs resampled within each task).",
                profile_drawer(
                    writer,
                    {name: [task[name] for task in scores] for name in names},
                    _QUANTITY,
                    rng,
                    _UNIT,
                ),
                names=names,
                wide=True,
                height=3.2,
            ),
        ]
    return [*figures, *_each_task(writer, comparisons)]


def _spent(comparisons: Sequence[Comparison]) -> str:
    """The axis of shares of the budget, in words."""
    limits = {
        (comparison.axis, comparison.manifest["budget"].get(comparison.axis))
        for comparison in comparisons
    }
    (axis, limit), *others = limits
    if others or limit is None:
        return "share of the task's budget (%)"
    return f"share of the budget of {limit:,.10g} {axis} (%)"


def _against_share(ax: Axes, spent: str) -> Axes:
    ax.set_xlabel(spent)
    return ax


def _mean_curves(writer: FigureWriter, curves: CurvesOverTasks, spent: str) -> PageFigure:
    def draw(ax: Axes) -> None:
        spends = 100 * curves.grid
        for name, interval in curves.means.items():
            look = writer.styles[name]
            known = np.isfinite(interval.point) & np.isfinite(interval.high)
            low, point, high = (100 * values[known] for values in interval)
            ax.step(spends[known], point, where="post", **look)
            alpha = plots.band_alpha(len(curves.means))
            ax.fill_between(
                spends[known], low, high, step="post", alpha=alpha, lw=0, **plots.area(look)
            )
        ends = [
            100 * interval.point[np.isfinite(interval.point)] for interval in curves.means.values()
        ]
        plots.regret_scale(ax.yaxis, np.concatenate(ends))
        plots.spend_axis(ax, "queries")
        _against_share(ax, spent)
        ax.set_ylabel(f"{_QUANTITY}\n({_UNIT})")

    return writer.draw(
        "tasks-curves",
        "Any-time normalised regret over all tasks",
        "Interquartile mean over the runs of all tasks, with pointwise 95 % bands (runs resampled within "
        "each task). A line begins where three quarters of the runs have recommended something.",
        draw,
        names=list(curves.means),
        wide=True,
        height=3.4,
    )


def _intervals(writer: FigureWriter, rows: Sequence[OverTasks]) -> PageFigure:
    intervals = {row.algorithm: row.interquartile_mean for row in rows}
    return writer.draw(
        "tasks-intervals",
        "Interquartile mean of normalised regret",
        "Mean of the middle half of the runs of all tasks at the end of the budget, with its 95 % "
        "bootstrap interval (runs resampled within each task).",
        lambda ax: comparison_plots.interval_estimates(
            ax, intervals, writer.styles, quantity=_QUANTITY, unit="%"
        ),
        height=bar_height(intervals),
    )


def _each_task(writer: FigureWriter, comparisons: Sequence[Comparison]) -> list[PageFigure]:
    """Small multiples: any-time regret, and the distribution of final regrets."""
    names = list(dict.fromkeys(name for comparison in comparisons for name in comparison.traces))
    return [
        writer.draw_panels(
            "tasks-regret",
            "Any-time regret on each task",
            "Median over runs (line) and quartiles (band) of the recommended architecture's regret in "
            "points of mean accuracy, as in the report of the task; the scales differ.",
            {one.name: _regret_drawer(writer, one) for one in comparisons},
            names=names,
        ),
        writer.draw_panels(
            "tasks-ecdf",
            "Performance profile of each task",
            "Share of runs within a final regret: higher is better, and a curve that never reaches 100 % "
            "has runs that recommended nothing. The scales differ.",
            {one.name: _ecdf_drawer(writer, one) for one in comparisons},
            names=names,
        ),
    ]


def _regret_drawer(writer: FigureWriter, comparison: Comparison) -> Callable[[Axes], object]:
    def draw(ax: Axes) -> None:
        curves = {
            name: anytime.quartiles(runs, comparison.scores.loss, comparison.axis, _POINTS)
            for name, runs in comparison.traces.items()
        }
        metric = comparison.metric
        plots.anytime(ax, curves, comparison.axis, metric=metric, styles=writer.styles)
        ax.set_ylabel("regret (points)")

    return draw


def _ecdf_drawer(writer: FigureWriter, comparison: Comparison) -> Callable[[Axes], object]:
    final: Mapping[str, np.ndarray] = comparison.final
    thresholds = thresholds_of(list(final.values()))
    shares = {name: share_within(runs, thresholds) for name, runs in final.items()}

    def draw(ax: Axes) -> None:
        comparison_plots.shares_within(ax, thresholds, shares, writer.styles, quantity="regret")
        ax.set_ylabel("runs (%)")

    return draw
