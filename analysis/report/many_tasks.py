"""One HTML page about a comparison over many tasks, with links to the page of each task.

The page loads no other file, and is the same, byte for byte, for the same folders.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.analysis.figures import plots
from nasbench_kit.analysis.landscape.study import description
from nasbench_kit.analysis.pages import write_page
from nasbench_kit.analysis.report.checklist import budget_text, checklist
from nasbench_kit.analysis.report.figure_writer import FigureWriter
from nasbench_kit.analysis.report.many_figures import many_figures
from nasbench_kit.analysis.report.report import analyse, figures_folder, write_report
from nasbench_kit.analysis.report.words import p_value, points, sort_key, swatch, whisker
from nasbench_kit.analysis.statistics.aggregates import (
    Interval,
    bootstrap,
    interquartile_mean,
    win_share,
)
from nasbench_kit.analysis.statistics.comparison import Comparison
from nasbench_kit.analysis.statistics.over_tasks import (
    AcrossTables,
    OverTasks,
    across_tables,
    baseline_of,
    normalised,
    over_tasks,
    scale,
)
from nasbench_kit.checks import counted
from nasbench_kit.system.tidy import write_columns
from nasbench_kit.system.workers import spread
from nasbench_kit.table.table import Table

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class ManyTasks:
    """The statistics of a comparison over many tasks."""

    comparisons: Sequence[Comparison]
    across: AcrossTables
    #: Best mean rank first.
    rows: list[OverTasks]
    #: Of each task, the interquartile mean of normalised regret of each algorithm that ran there.
    means: list[dict[str, Interval]]


def analyse_tasks(comparisons: Sequence[Comparison], seed: int = 0) -> ManyTasks:
    """The numbers of the page.

    Args:
        comparisons: one a task, each on a table.
        seed: of the bootstrap.

    Raises:
        InvalidSetting: a comparison has no table.
    """
    across = across_tables(comparisons)
    means = []
    for place, comparison in enumerate(comparisons):
        rng = np.random.default_rng([seed, place])
        means.append(
            {
                name: bootstrap([runs], lambda drawn: interquartile_mean(drawn[0]), rng)
                for name, runs in normalised(comparison).items()
            }
        )
    rows = over_tasks(comparisons, across, np.random.default_rng([seed, len(comparisons)]))
    return ManyTasks(comparisons, across, rows, means)


def verdict(results: ManyTasks, level: float = 0.05) -> str:
    """Which algorithm is ahead over all tasks, and of which others beyond chance, in plain text."""
    across, rows = results.across, results.rows
    if not rows:
        return "No algorithm ran on every task."
    best = rows[0]
    low, point, high = (percent(float(value)) for value in best.interquartile_mean)
    ahead = (
        f"Over {counted(len(results.comparisons), 'task')}, {best.algorithm} has the best mean rank "
        f"({best.mean_rank:.2f}); the interquartile mean of its normalised regret is {point} (95 % "
        f"interval {low} to {high})."
    )
    found = across.friedman
    if found is None:
        return f"{ahead} No Friedman test: {across.refusal}."
    sentences = [ahead]
    sentences.append(
        f"Friedman: χ² = {found.chi_squared:.2f}, Iman and Davenport's F = {found.f:.2f}, p "
        f"{p_value(found.p)}; mean ranks that differ by more than {found.critical_difference:.2f} "
        f"(Nemenyi, {level:g}) are told apart."
    )
    worse = [
        row.algorithm for row in rows if row.mean_rank - best.mean_rank > found.critical_difference
    ]
    if found.p >= level:
        sentences.append(
            "As the omnibus comparison is not significant, no pair is to be read as different."
        )
    elif worse:
        sentences.append(f"Ranked worse than {best.algorithm} beyond chance: {', '.join(worse)}.")
    else:
        sentences.append(f"No algorithm is ranked worse than {best.algorithm} beyond chance.")
    return " ".join(sentences)


def percent(value: float) -> str:
    """A normalised regret in per cent."""
    return f"{100 * float(value):.1f} %" if np.isfinite(value) else "none"


def percent_span(interval: Interval) -> str:
    """The ends of an interval of normalised regrets."""
    if not np.isfinite(interval.high):
        return "–"
    return f"{100 * float(interval.low):.1f} to {100 * float(interval.high):.1f}"


# What is written -----------------------------------------------------------------------------------


def columns_folder(page: Path) -> Path:
    """The folder for the numbers of a page as Parquet and CSV."""
    return page.with_name(f"{page.stem}-columns")


def write_many(path: Path, results: ManyTasks, pages: Sequence[Path], *, seed: int = 0) -> None:
    """Write the page, its figures into ``NAME-figures`` and its numbers into ``NAME-columns``.

    Args:
        path: of the page.
        results: of ``analyse_tasks``.
        pages: the page of each task, which it links.
        seed: of the bands in figures.

    Raises:
        NotWritable: the folder cannot be made or written, or the disk is full.
    """
    comparisons, across = results.comparisons, results.across
    names = list(dict.fromkeys(name for comparison in comparisons for name in comparison.traces))
    styles = plots.looks(names)
    writer = FigureWriter(figures_folder(path), styles)
    rng = np.random.default_rng([seed, len(comparisons)])
    figures = many_figures(writer, comparisons, across, results.rows, rng)
    _write_columns(columns_folder(path), results)
    intervals = [row.interquartile_mean for row in results.rows]
    budgets = list(dict.fromkeys(map(budget_text, comparisons)))
    write_page(
        path,
        "many_tasks.html",
        {
            "title": f"Comparison on {counted(len(comparisons), 'task')}",
            "series": [
                {"name": name, "place": place, "swatch": swatch(styles[name])}
                for place, name in enumerate(names)
            ],
            "budgets": budgets,
            "policies": list(dict.fromkeys(str(one.manifest["policy"]) for one in comparisons)),
            "runs": sum(len(runs) for one in comparisons for runs in one.traces.values()),
            "verdict": verdict(results),
            "rows": [
                {"row": row, "whisker": whisker(row.interquartile_mean, intervals)}
                for row in results.rows
            ],
            "baseline": baseline_of(across.algorithms) if across.algorithms else "",
            "tasks": [
                _task(results, place, os.path.relpath(page, path.parent))
                for place, page in enumerate(pages)
            ],
            "across": across,
            "pairs": _pairs(results),
            "figures": figures,
            "practices": checklist(comparisons),
            "place": names.index,
            "surrogate": any("surrogate" in comparison.label for comparison in comparisons),
        },
        points=points,
        percent=percent,
        span=percent_span,
        p=p_value,
        key=sort_key,
    )


def _task(results: ManyTasks, place: int, link: str) -> dict[str, Any]:
    """One task as the page shows it."""
    comparison = results.comparisons[place]
    assert comparison.table is not None
    return {
        "name": comparison.name,
        "label": comparison.label,
        "link": link,
        "metric": comparison.metric,
        "budget": budget_text(comparison),
        "description": description(comparison.table),
        "checksum": comparison.checksum,
        "scale": scale(comparison.regrets),
        "means": results.means[place],
        "cells": [
            {"median": float(median), "rank": float(rank)}
            for median, rank in zip(
                results.across.medians[place], results.across.ranks[place], strict=True
            )
        ],
    }


def _pairs(results: ManyTasks) -> list[list[dict[str, float] | None]]:
    """Mean over tasks of the probability that a run of one is better, and Nemenyi's p, of all pairs."""
    names, friedman = results.across.algorithms, results.across.friedman

    def pair(first: int, second: int) -> dict[str, float] | None:
        if first == second:
            return None
        shares: list[NDArray[np.float64]] = [
            win_share(one.final[names[first]], one.final[names[second]])
            for one in results.comparisons
        ]
        p = 1.0 if friedman is None else float(friedman.pairs[first, second])
        return {"better": float(np.mean(shares)), "p": p}

    places = range(len(names))
    return [[pair(first, second) for second in places] for first in places]


def _write_columns(folder: Path, results: ManyTasks) -> None:
    """The numbers of the page: ``algorithms``, a row each; ``tasks``, a row for a task and algorithm."""
    rows = results.rows
    folder.mkdir(parents=True, exist_ok=True)
    better = [row.better for row in rows]
    columns: dict[str, Any] = {
        "algorithm": [row.algorithm for row in rows],
        "runs": [row.runs for row in rows],
        "mean_rank": [row.mean_rank for row in rows],
        "best_on": [row.best_on for row in rows],
        **_interval_columns("normalised_regret", [row.interquartile_mean for row in rows]),
        **_interval_columns("better_than_baseline", better),
    }
    write_columns(folder / "algorithms", columns)
    cells = [(place, name) for place, means in enumerate(results.means) for name in means]
    tasks = [results.comparisons[place] for place, _ in cells]
    across = results.across
    ranks = [
        float(across.ranks[place, across.algorithms.index(name)])
        if name in across.algorithms
        else None
        for place, name in cells
    ]
    columns = {
        "task": [task.name for task in tasks],
        "table": [task.label for task in tasks],
        "algorithm": [name for _, name in cells],
        "runs": [len(task.traces[name]) for task, (_, name) in zip(tasks, cells, strict=True)],
        "median_regret": [
            _number(np.median(task.final[name]))
            for task, (_, name) in zip(tasks, cells, strict=True)
        ],
        "rank": ranks,
        "regret_of_median_architecture": [scale(task.regrets) for task in tasks],
        **_interval_columns(
            "normalised_regret", [results.means[place][name] for place, name in cells]
        ),
    }
    write_columns(folder / "tasks", columns, {"rank": "float", "median_regret": "float"})


def _interval_columns(name: str, intervals: Sequence[Interval | None]) -> dict[str, Any]:
    parts = {"low": 0, "point": 1, "high": 2}
    return {
        f"{name}_{part}" if part != "point" else name: [
            None if interval is None else _number(interval[place]) for interval in intervals
        ]
        for part, place in parts.items()
    }


def _number(value: Any) -> float | None:
    """None where runs that recommended nothing leave no finite number."""
    return float(value) if np.isfinite(value) else None


# The pages of the tasks ----------------------------------------------------------------------------


def write_task_pages(pages: Sequence[tuple[Path, Path, Table]], workers: int) -> None:
    """Write the page of every task, some at a time.

    Args:
        pages: page, folder of the comparison and its table, of each.
        workers: processes.

    Raises:
        NasbenchKitError: as ``Comparison.load`` and ``write_report``.
    """
    spread(_write_task_page, pages, workers)


def _write_task_page(page: Path, folder: Path, table: Table) -> None:
    write_report(page, *analyse([Comparison.load(folder, table)]))
