"""The figures of a report: what each of them shows, and its title and caption."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from nasbench_kit.analysis.figures import plots, style
from nasbench_kit.analysis.landscape.random_search_curve import RandomSearchCurve
from nasbench_kit.analysis.report import comparison_plots
from nasbench_kit.analysis.report.figure_writer import FigureWriter, PageFigure
from nasbench_kit.analysis.report.words import amount
from nasbench_kit.analysis.statistics import anytime
from nasbench_kit.analysis.statistics.aggregates import (
    expected_ranks,
    performance_profile,
    reached_by,
    share_within,
)
from nasbench_kit.compare.objectives import ACCURACY
from nasbench_kit.compare.scores import metric_in_words
from nasbench_kit.errors import InvalidSetting, NotRecorded

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit.analysis.statistics.anytime import Axis
    from nasbench_kit.analysis.statistics.comparison import Comparison
    from nasbench_kit.analysis.statistics.rank_tests import FriedmanResult
    from nasbench_kit.analysis.statistics.summary import Summary
    from nasbench_kit.compare.trace import Trace

#: Number of spends at which curves are drawn.
_POINTS = 200
#: Shares of the budget that a performance profile on one table averages over.
_LIMITS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)
UNITS: dict[Axis, str] = {
    "seconds": "s",
    "epochs": "epochs",
    "queries": "queries",
    "elapsed": "s elapsed",
}


def comparison_figures(
    writer: FigureWriter, comparison: Comparison, summaries: Sequence[Summary], rng: Generator
) -> list[PageFigure]:
    """All figures of one comparison; their files are named after its folder."""
    axis = comparison.axis
    other: Axis = "queries" if axis != "queries" else "seconds"
    if other == "seconds" and not comparison.has_seconds:
        other = "epochs"
    return [
        _regret(writer, comparison, axis, wide=True),
        *([_fronts(writer, comparison)] if comparison.objectives else []),
        _intervals(writer, comparison, summaries),
        _ranks(writer, comparison, axis),
        _target(writer, comparison, axis),
        _regret(writer, comparison, other),
        *([_regret(writer, comparison, "elapsed")] if comparison.simulated else []),
        _ecdf(writer, comparison),
        _profile(writer, comparison, axis, rng),
        _budget(writer, comparison, axis),
        _ledger(writer, comparison),
    ]


def file_name(*parts: str) -> str:
    """A file name of letters, digits, dots, dashes and underscores."""
    return "-".join(re.sub(r"[^\w.-]+", "_", part) for part in parts)


def _regret(
    writer: FigureWriter, comparison: Comparison, axis: Axis, *, wide: bool = False
) -> PageFigure:
    traces = comparison.traces
    if axis == "elapsed":
        unit: Literal["seconds", "epochs"] = "seconds" if comparison.has_seconds else "epochs"
        traces = {name: anytime.on_the_clock(runs, unit) for name, runs in traces.items()}
    curves = {
        name: anytime.quartiles(runs, comparison.scores.loss, axis, _POINTS)
        for name, runs in traces.items()
    }
    exact = _exact_medians(comparison) if axis == "queries" else {}

    def draw(ax: Axes) -> None:
        plots.anytime(
            ax,
            curves,
            axis,
            metric=comparison.metric,
            loss=comparison.loss,
            styles=writer.styles,
        )
        for queries, medians in exact.values():
            ax.plot(queries, 100 * medians, ".", color=style.BLACK, markersize=2.5)

    opened = any(plots.is_open(curve).any() for curve in curves.values())
    heads = " Arrowheads: where a quarter of the runs has not, the band has no upper end." * opened
    clock = (
        " Simulated workers train at the same time; searches without them are one worker that is ever busy."
        * (axis == "elapsed")
    )
    dots = f" Dots: the exact median of {' and '.join(exact)}, computed without runs." * bool(exact)
    return writer.draw(
        file_name(comparison.name, comparison.loss, axis),
        f"Any-time {comparison.loss} against {'elapsed time' if axis == 'elapsed' else axis}: "
        f"{comparison.label}",
        f"Median over runs (line) and quartiles (band) of the recommended architecture's {comparison.loss} in mean "
        f"{comparison.metric}; the last recommendation is carried forward. A line begins where half of the "
        f"runs have recommended a cell.{heads}{dots}{clock}",
        draw,
        names=list(comparison.traces),
        wide=wide,
        height=3.4 if wide else 2.6,
    )


def _fronts(writer: FigureWriter, comparison: Comparison) -> PageFigure:
    objectives = comparison.scores.objectives
    assert objectives is not None
    texts = {
        name: _median_run(runs, comparison.final[name]) for name, runs in comparison.traces.items()
    }
    rows = {
        name: objectives.nondominated(comparison.scores.rows(text))
        for name, text in texts.items()
        if text is not None
    }
    accuracy = objectives.names.index(ACCURACY)
    projected = len(objectives.names) > 2

    def drawer(place: int) -> Callable[[Axes], object]:
        pair = objectives.values[:, [place, accuracy]] * [1, 100]
        fronts = {name: pair[front] for name, front in rows.items()}
        return lambda ax: comparison_plots.fronts(
            ax,
            pair[objectives.front],
            fronts,
            writer.styles,
            cost=objectives.in_words(place),
            accuracy=metric_in_words(str(comparison.manifest["scored_by"]), comparison.table),
            steps=not projected,
        )

    panels = {
        f"against {name.replace('_', ' ')}": drawer(place)
        for place, name in enumerate(objectives.names)
        if name != ACCURACY
    }
    how = (
        file_name(comparison.name, "fronts"),
        f"Recommended fronts and the true one: {comparison.label}",
        f"Of each algorithm the front at the end of its run of median {comparison.loss}, and in grey the table's "
        f"true front of {len(objectives.front):,} architectures; all by means over repeats. "
        + "Fronts of three objectives, seen from two sides. "
        * projected,
    )
    names = list(comparison.traces)
    if projected:
        return writer.draw_panels(*how, panels, names=names, columns=2, height=3.0)
    (draw,) = panels.values()
    return writer.draw(*how, draw, names=names, wide=True, height=3.4)


def _median_run(runs: Sequence[Trace], final: NDArray[np.float64]) -> str | None:
    """What the run of the lower median recommends at its end; None if nothing."""
    run = runs[int(np.argsort(final, kind="stable")[(len(runs) - 1) // 2])]
    return run.incumbents[-1].architecture if run.incumbents else None


def _exact_medians(
    comparison: Comparison,
) -> dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Exact median regrets of random searches: label -> (numbers of queries, medians).

    They end where the shortest run of the search ended.
    """
    # With a trainer the searches drew from a larger space than the table's.
    if comparison.table is None or "fallback" in comparison.manifest or comparison.objectives:
        return {}
    medians = {}
    for name, runs in comparison.traces.items():
        search = comparison.manifest["algorithms"][name]
        if search["class"] != "nasbench_kit.algorithms.random_search.RandomSearch":
            continue
        settings = search["settings"]
        if settings.get("distinct") or settings.get("sampling", "encodings") != "encodings":
            continue  # the curve is that of draws over encodings, with repetition
        try:
            epochs = settings["epochs"]
            curve = RandomSearchCurve(
                comparison.table, policy=comparison.manifest["policy"], epochs=epochs
            )
        except (InvalidSetting, NotRecorded):  # another policy, or a surrogate
            continue
        shortest = min(run.queries for run in runs)
        queries = np.unique(np.geomspace(1, max(shortest, 1), _POINTS // 4).astype(int))
        medians[name] = queries, curve.quantiles(comparison.regrets, queries.tolist(), [0.5])[:, 0]
    return medians


def _intervals(
    writer: FigureWriter, comparison: Comparison, summaries: Sequence[Summary]
) -> PageFigure:
    intervals = {row.algorithm: row.interquartile_mean for row in summaries}
    return writer.draw(
        file_name(comparison.name, "intervals"),
        f"Interquartile mean of final {comparison.loss}: {comparison.label}",
        "Mean of the middle half of the runs, with its 95 % bootstrap interval over runs.",
        lambda ax: comparison_plots.interval_estimates(
            ax, intervals, writer.styles, quantity=comparison.quantity
        ),
        height=bar_height(intervals),
    )


def _grid(comparison: Comparison, axis: Axis) -> NDArray[np.float64]:
    runs = [run for group in comparison.traces.values() for run in group]
    return anytime.spend_grid(runs, axis, _POINTS // 2)


def _ranks(writer: FigureWriter, comparison: Comparison, axis: Axis) -> PageFigure:
    grid = _grid(comparison, axis)
    groups = [
        anytime.at_spend(runs, comparison.scores.loss, axis, grid)
        for runs in comparison.traces.values()
    ]
    ranks = dict(zip(comparison.traces, expected_ranks(groups), strict=True))
    return writer.draw(
        file_name(comparison.name, "ranks", axis),
        f"Expected rank over time: {comparison.label}",
        "Mean rank if one run of each algorithm is drawn, exactly, over all such draws; ties share "
        "their rank, and a run that has recommended nothing is last.",
        lambda ax: comparison_plots.rank_curves(ax, grid, ranks, axis, writer.styles),
        names=list(comparison.traces),
        height=bar_height(ranks),
    )


def target(comparison: Comparison) -> float:
    """The target regret of the time-to-target figure.

    It is the baseline's median final regret; if that is infinite, the median of all finite ones.
    """
    median = float(np.median(comparison.final[comparison.baseline]))
    if np.isfinite(median):
        return median
    regrets = np.concatenate(list(comparison.final.values()))
    finite = regrets[np.isfinite(regrets)]
    return float(np.median(finite)) if len(finite) else 0.0


def _target(writer: FigureWriter, comparison: Comparison, axis: Axis) -> PageFigure:
    target_regret = target(comparison)
    curves = {
        name: reached_by(*anytime.reaching(runs, comparison.scores.loss, axis, target_regret))
        for name, runs in comparison.traces.items()
    }
    end = max(getattr(run, axis) for runs in comparison.traces.values() for run in runs)
    halves = [
        f"{name} {amount(curve.median)}"
        for name, curve in curves.items()
        if curve.median is not None
    ]
    by_then = f" Half of the runs had reached it by ({UNITS[axis]}): {', '.join(halves)}." * bool(
        halves
    )
    return writer.draw(
        file_name(comparison.name, "target", axis),
        f"Time to {comparison.loss} of {100 * target_regret:.2f} points: {comparison.label}",
        f"The target is the median final {comparison.loss} of {comparison.baseline}. Kaplan and Meier's estimate: runs "
        f"that the budget ended before they reached the target are censored at that point.{by_then}",
        lambda ax: comparison_plots.reached_curves(ax, curves, end, axis, writer.styles),
        names=list(comparison.traces),
    )


def thresholds_of(scores: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Regrets at which a distribution is drawn: those at which it steps, or a selection of them."""
    steps = np.unique(np.concatenate([group.ravel() for group in scores]))
    steps = steps[np.isfinite(steps)]
    if len(steps) > _POINTS:
        steps = np.unique(np.quantile(steps, np.linspace(0, 1, _POINTS)))
    top = steps.max(initial=0.0)
    return np.unique([0.0, *steps, 1.2 * top])


def _ecdf(writer: FigureWriter, comparison: Comparison) -> PageFigure:
    thresholds = thresholds_of(list(comparison.final.values()))
    shares = {name: share_within(runs, thresholds) for name, runs in comparison.final.items()}
    return writer.draw(
        file_name(comparison.name, "ecdf"),
        f"Final {comparison.loss}, all runs: {comparison.label}",
        f"Empirical distribution of the {comparison.loss} at the end of the budget: higher is better, and a "
        "curve that never reaches 100 % has runs that recommended nothing.",
        lambda ax: comparison_plots.shares_within(
            ax, thresholds, shares, writer.styles, quantity=comparison.quantity
        ),
        names=list(comparison.traces),
    )


def _profile(
    writer: FigureWriter, comparison: Comparison, axis: Axis, rng: Generator
) -> PageFigure:
    end = comparison.manifest["budget"].get(axis) or _grid(comparison, axis)[-1]
    limits = float(end) * np.array(_LIMITS)
    groups = {
        name: anytime.at_spend(runs, comparison.scores.loss, axis, limits).T
        for name, runs in comparison.traces.items()
    }
    return writer.draw(
        file_name(comparison.name, "profile"),
        f"Performance profile over five budgets: {comparison.label}",
        f"As for the final {comparison.loss}, averaged over budgets of {', '.join(map(amount, limits))} "
        f"{UNITS[axis]} (of the same runs, so they are correlated), with pointwise 95 % bootstrap "
        "bands over runs.",
        profile_drawer(
            writer, {name: [group] for name, group in groups.items()}, comparison.quantity, rng
        ),
        names=list(comparison.traces),
    )


def profile_drawer(
    writer: FigureWriter,
    scores: Mapping[str, Sequence[NDArray[np.float64]]],
    quantity: str,
    rng: Generator,
    unit: str = "points",
) -> Callable[[Axes], object]:
    """What draws a performance profile over tasks: algorithm -> scores of each task, [runs]."""
    thresholds = thresholds_of([array for group in scores.values() for array in group])
    shares = {name: performance_profile(group, thresholds, rng) for name, group in scores.items()}
    return lambda ax: comparison_plots.shares_within(
        ax, thresholds, shares, writer.styles, quantity=quantity, unit=unit
    )


def _budget(writer: FigureWriter, comparison: Comparison, axis: Axis) -> PageFigure:
    bars = {
        name: {kind: float(getattr(spent, axis)) for kind, spent in kinds.items()}
        for name, kinds in comparison.ledger.items()
    }
    limit = comparison.manifest["budget"].get(axis)
    return writer.draw(
        file_name(comparison.name, "budget", axis),
        f"Budget use: {comparison.label}",
        f"Mean spending of a run, by kind of charge{', and the limit' * (limit is not None)}.",
        lambda ax: comparison_plots.stacked_bars(ax, bars, writer.styles, limit=limit).set_xlabel(
            plots.LABELS[axis], loc="right"
        ),
        height=bar_height(bars),
    )


def _ledger(writer: FigureWriter, comparison: Comparison) -> PageFigure:
    bars = {}
    for name, runs in comparison.traces.items():
        unique = float(np.mean([run.unique_architectures for run in runs]))
        queries = float(np.mean([run.queries for run in runs]))
        bars[name] = {"unique architectures": unique, "asked again": max(queries - unique, 0.0)}
    return writer.draw(
        file_name(comparison.name, "ledger"),
        f"Queries paid for: {comparison.label}",
        "Mean number of charged queries of a run: for cells queried for the first time, and for "
        "cells asked again (also at another fidelity). Policy: "
        f"{comparison.manifest.get('policy', 'not stated')}.",
        lambda ax: comparison_plots.stacked_bars(ax, bars, writer.styles).set_xlabel(
            "charged queries"
        ),
        height=bar_height(bars),
    )


def bar_height(bars: Mapping[str, object]) -> float:
    """Inches of a figure with one row for each algorithm."""
    return max(2.2, 0.9 + 0.24 * len(bars))


# Over several tables ----------------------------------------------------------------------------


def across_figures(
    writer: FigureWriter,
    comparisons: Sequence[Comparison],
    names: Sequence[str],
    friedman: FriedmanResult | None,
    rng: Generator,
) -> list[PageFigure]:
    """Figures over several tables, of the algorithms that ran on all of them.

    Ranks are drawn only where there is a Friedman test, which takes five tables.
    """
    labels = ", ".join(dict.fromkeys(comparison.label for comparison in comparisons))
    kind = " (some surrogate)" if "surrogate" in labels else ""
    quantities = {comparison.quantity for comparison in comparisons}
    quantity = quantities.pop() if len(quantities) == 1 else "regret or error in mean accuracy"
    figures = [
        writer.draw(
            "across-profile",
            f"Performance profile over tables{kind}",
            f"Share of runs within a final regret, averaged over {labels}, with pointwise 95 % "
            "bands (runs resampled within each table).",
            profile_drawer(
                writer,
                {n: [comparison.final[n] for comparison in comparisons] for n in names},
                quantity,
                rng,
            ),
            names=names,
            wide=True,
            height=3.2,
        )
    ]
    if friedman is not None:
        figures.append(critical_difference(writer, friedman, labels, kind))
    return figures


def critical_difference(
    writer: FigureWriter, friedman: FriedmanResult, labels: str, kind: str = ""
) -> PageFigure:
    """The critical-difference diagram of the algorithms that ran on all tables."""
    return writer.draw(
        "across-critical-difference",
        f"Critical-difference diagram{kind}",
        f"Mean ranks of the median final regret over {labels}; best at the left. A bar "
        "joins algorithms that Nemenyi's comparison cannot tell apart at 0.05.",
        lambda ax: comparison_plots.critical_difference(ax, friedman, writer.styles),
        wide=True,
        height=1.6 + 0.17 * len(friedman.algorithms),
    )
