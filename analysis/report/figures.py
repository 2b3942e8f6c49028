"""The figures of a report: what each shows of a comparison, and what is said below it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.analysis.figures import plots, style
from nasbench_kit.analysis.landscape.random_search_curve import RandomSearchCurve
from nasbench_kit.analysis.report import comparison_plots
from nasbench_kit.analysis.report.drawing import Drawn, Studio
from nasbench_kit.analysis.report.words import amount
from nasbench_kit.analysis.statistics import anytime
from nasbench_kit.analysis.statistics.aggregates import (
    expected_ranks,
    performance_profile,
    reached_by,
    share_within,
)
from nasbench_kit.errors import InvalidSetting, NotRecorded

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit.analysis.statistics.anytime import Axis
    from nasbench_kit.analysis.statistics.comparison import Comparison
    from nasbench_kit.analysis.statistics.rank_tests import Ranking
    from nasbench_kit.analysis.statistics.summary import Summary

#: Spends at which curves are drawn.
_POINTS = 200
#: Parts of the budget that a performance profile on one table averages over.
_LIMITS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)
_UNITS: dict[Axis, str] = {"seconds": "s", "epochs": "epochs", "queries": "queries"}


def task_figures(
    studio: Studio, comparison: Comparison, summaries: Sequence[Summary], rng: Generator
) -> list[Drawn]:
    """All figures of one comparison; files are named after its folder."""
    axis = comparison.axis
    other: Axis = "queries" if axis != "queries" else "seconds"
    if other == "seconds" and not comparison.table.has("seconds"):
        other = "epochs"
    return [
        _regret(studio, comparison, axis, wide=True),
        _intervals(studio, comparison, summaries),
        _ranks(studio, comparison, axis),
        _target(studio, comparison, axis),
        _regret(studio, comparison, other),
        _ecdf(studio, comparison),
        _profile(studio, comparison, axis, rng),
        _budget(studio, comparison, axis),
        _ledger(studio, comparison),
    ]


def file_name(*parts: str) -> str:
    """A name of a file, of letters, digits, dots, dashes and underscores."""
    return "-".join(re.sub(r"[^\w.-]+", "_", part) for part in parts)


def _regret(studio: Studio, it: Comparison, axis: Axis, *, wide: bool = False) -> Drawn:
    curves = {
        name: anytime.quartiles(runs, it.scores.regret, axis, _POINTS)
        for name, runs in it.traces.items()
    }
    exact = _exact_medians(it) if axis == "queries" else {}

    def draw(ax: Axes) -> None:
        plots.anytime(ax, curves, axis, metric=it.metric, styles=studio.styles)
        for queries, medians in exact.values():
            ax.plot(queries, 100 * medians, ".", color=style.BLACK, markersize=2.5)

    opened = any(plots.is_open(curve).any() for curve in curves.values())
    heads = " Arrowheads: where a quarter of them has not, the band has no upper end." * opened
    dots = f" Dots: the exact median of {' and '.join(exact)}, without a run." * bool(exact)
    return studio.draw(
        file_name(it.name, "regret", axis),
        f"Any-time regret against {axis}: {it.label}",
        f"Median over runs (line) and quartiles (band) of the recommended cell's regret in mean "
        f"{it.metric}; the last recommendation is carried forward. A line begins where half of the "
        f"runs have recommended a cell.{heads}{dots}",
        draw,
        names=list(it.traces),
        wide=wide,
        height=3.4 if wide else 2.6,
    )


def _exact_medians(it: Comparison) -> dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Random searches' median regrets after so many queries, as far as each of their runs went."""
    if "fallback" in it.manifest:  # they drew from a space of which the table is a part
        return {}
    found = {}
    for name, runs in it.traces.items():
        search = it.manifest["algorithms"][name]
        if search["class"] != "nasbench_kit.algorithms.random_search.RandomSearch":
            continue
        try:
            epochs = search["settings"]["epochs"]
            law = RandomSearchCurve(it.table, policy=it.manifest["policy"], epochs=epochs)
        except (InvalidSetting, NotRecorded):  # another policy, or a surrogate
            continue
        shortest = min(run.queries for run in runs)
        queries = np.unique(np.geomspace(1, max(shortest, 1), _POINTS // 4).astype(int))
        found[name] = queries, law.quantiles(it.regrets, queries.tolist(), [0.5])[:, 0]
    return found


def _intervals(studio: Studio, it: Comparison, summaries: Sequence[Summary]) -> Drawn:
    intervals = {row.algorithm: row.interquartile_mean for row in summaries}
    return studio.draw(
        file_name(it.name, "intervals"),
        f"Interquartile mean of final regret: {it.label}",
        "Mean of the middle half of the runs, with its 95 % bootstrap interval over runs.",
        lambda ax: comparison_plots.interval_estimates(
            ax, intervals, studio.styles, metric=it.metric
        ),
        height=_bar_height(intervals),
    )


def _grid(it: Comparison, axis: Axis) -> NDArray[np.float64]:
    runs = [run for group in it.traces.values() for run in group]
    return anytime.spend_grid(runs, axis, _POINTS // 2)


def _ranks(studio: Studio, it: Comparison, axis: Axis) -> Drawn:
    grid = _grid(it, axis)
    groups = [anytime.at_spend(runs, it.scores.regret, axis, grid) for runs in it.traces.values()]
    ranks = dict(zip(it.traces, expected_ranks(groups), strict=True))
    return studio.draw(
        file_name(it.name, "ranks", axis),
        f"Expected rank over time: {it.label}",
        "Mean rank if one run of each algorithm is drawn, exactly, over all such draws; ties share "
        "their rank, and a run that has recommended nothing is last.",
        lambda ax: comparison_plots.rank_curves(ax, grid, ranks, axis, studio.styles),
        names=list(it.traces),
        height=_bar_height(ranks),
    )


def target(it: Comparison) -> float:
    """The regret whose reaching is timed: the baseline's median final one (or of all runs')."""
    own = float(np.median(it.final[it.baseline]))
    if np.isfinite(own):
        return own
    known = np.concatenate(list(it.final.values()))
    return float(np.median(known[np.isfinite(known)])) if np.isfinite(known).any() else 0.0


def _target(studio: Studio, it: Comparison, axis: Axis) -> Drawn:
    aim = target(it)
    curves = {
        name: reached_by(*anytime.reaching(runs, it.scores.regret, axis, aim))
        for name, runs in it.traces.items()
    }
    end = max(getattr(run, axis) for runs in it.traces.values() for run in runs)
    halves = [
        f"{name} {amount(curve.median)}"
        for name, curve in curves.items()
        if curve.median is not None
    ]
    by_then = f" Half of the runs were there by ({_UNITS[axis]}): {', '.join(halves)}." * bool(
        halves
    )
    return studio.draw(
        file_name(it.name, "target", axis),
        f"Time to a regret of {100 * aim:.2f} points: {it.label}",
        f"The target is the median final regret of {it.baseline}. Kaplan and Meier's estimate: runs "
        f"that the budget ended before the target are censored there.{by_then}",
        lambda ax: comparison_plots.reached_curves(ax, curves, end, axis, studio.styles),
        names=list(it.traces),
    )


def _thresholds(scores: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Regrets at which a distribution is drawn: where it steps, thinned."""
    known = np.unique(np.concatenate([group.ravel() for group in scores]))
    known = known[np.isfinite(known)]
    if len(known) > _POINTS:
        known = np.unique(np.quantile(known, np.linspace(0, 1, _POINTS)))
    top = known.max(initial=0.0)
    return np.unique([0.0, *known, 1.2 * top])


def _ecdf(studio: Studio, it: Comparison) -> Drawn:
    thresholds = _thresholds(list(it.final.values()))
    shares = {name: share_within(runs, thresholds) for name, runs in it.final.items()}
    return studio.draw(
        file_name(it.name, "ecdf"),
        f"Final regret, all runs: {it.label}",
        "Empirical distribution of the regret at the end of the budget: higher is better, and a "
        "curve that never reaches 100 % has runs that recommended nothing.",
        lambda ax: comparison_plots.shares_within(
            ax, thresholds, shares, studio.styles, metric=it.metric
        ),
        names=list(it.traces),
    )


def _profile(studio: Studio, it: Comparison, axis: Axis, rng: Generator) -> Drawn:
    end = it.manifest["budget"].get(axis) or _grid(it, axis)[-1]
    limits = float(end) * np.array(_LIMITS)
    groups = {
        name: anytime.at_spend(runs, it.scores.regret, axis, limits).T
        for name, runs in it.traces.items()
    }
    return studio.draw(
        file_name(it.name, "profile"),
        f"Performance profile over five budgets: {it.label}",
        f"As beside, averaged over stops at {', '.join(map(amount, limits))} "
        f"{_UNITS[axis]} (the same runs, so these are correlated), with pointwise 95 % bootstrap "
        "bands over runs.",
        _draw_profile(studio, {name: [group] for name, group in groups.items()}, it.metric, rng),
        names=list(it.traces),
    )


def _draw_profile(
    studio: Studio,
    tasks: Mapping[str, Sequence[NDArray[np.float64]]],
    metric: str,
    rng: Generator,
) -> Callable[[Axes], object]:
    thresholds = _thresholds([task for group in tasks.values() for task in group])
    shares = {name: performance_profile(group, thresholds, rng) for name, group in tasks.items()}
    return lambda ax: comparison_plots.shares_within(
        ax, thresholds, shares, studio.styles, metric=metric
    )


def _budget(studio: Studio, it: Comparison, axis: Axis) -> Drawn:
    bars = {
        name: {kind: float(getattr(spent, axis)) for kind, spent in kinds.items()}
        for name, kinds in it.ledger.items()
    }
    limit = it.manifest["budget"].get(axis)
    return studio.draw(
        file_name(it.name, "budget", axis),
        f"Budget use: {it.label}",
        f"What a run spent, on the mean, by kind of charge{', and the limit' * (limit is not None)}.",
        lambda ax: comparison_plots.stacked_bars(ax, bars, studio.styles, limit=limit).set_xlabel(
            plots.LABELS[axis], loc="right"
        ),
        height=_bar_height(bars),
    )


def _ledger(studio: Studio, it: Comparison) -> Drawn:
    bars = {}
    for name, runs in it.traces.items():
        unique = float(np.mean([run.unique_cells for run in runs]))
        queries = float(np.mean([run.queries for run in runs]))
        bars[name] = {"unique cells": unique, "asked again": max(queries - unique, 0.0)}
    return studio.draw(
        file_name(it.name, "ledger"),
        f"Queries paid for: {it.label}",
        "Charged queries of a run, on the mean: of cells asked for the first time, and of cells "
        f"asked before (also at another fidelity). Policy: {it.manifest.get('policy', 'not stated')}.",
        lambda ax: comparison_plots.stacked_bars(ax, bars, studio.styles).set_xlabel(
            "charged queries"
        ),
        height=_bar_height(bars),
    )


def _bar_height(bars: Mapping[str, object]) -> float:
    return max(2.2, 0.9 + 0.24 * len(bars))


# Over several tasks ----------------------------------------------------------------------------


def across_figures(
    studio: Studio,
    comparisons: Sequence[Comparison],
    names: Sequence[str],
    ranking: Ranking | None,
    rng: Generator,
) -> list[Drawn]:
    """Figures over several tables, of the algorithms that all have; ranks only from five on."""
    labels = ", ".join(dict.fromkeys(it.label for it in comparisons))
    kind = " (some surrogate)" if "surrogate" in labels else ""
    metrics = {it.metric for it in comparisons}
    metric = metrics.pop() if len(metrics) == 1 else "accuracy"
    found = [
        studio.draw(
            "across-profile",
            f"Performance profile over tables{kind}",
            f"Share of runs within a final regret, averaged over {labels}, with pointwise 95 % "
            "bands (runs resampled within each table).",
            _draw_profile(
                studio, {n: [it.final[n] for it in comparisons] for n in names}, metric, rng
            ),
            names=names,
            wide=True,
            height=3.2,
        )
    ]
    if ranking is not None:
        found.append(
            studio.draw(
                "across-critical-difference",
                f"Critical-difference diagram{kind}",
                f"Mean ranks of the median final regret over {labels}; best at the left. A bar "
                "joins algorithms that Nemenyi's comparison cannot tell apart at 0.05.",
                lambda ax: comparison_plots.critical_difference(ax, ranking, studio.styles),
                wide=True,
                height=1.6 + 0.17 * len(names),
            )
        )
    return found
