"""One HTML page about one comparison or several: numbers, figures, cells, conditions, checklist.

The page loads no other file, and is the same, byte for byte, for the same folders.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nasbench_kit.analysis.figures import plots
from nasbench_kit.analysis.landscape.study import description
from nasbench_kit.analysis.pages import drawing, write_page
from nasbench_kit.analysis.report.checklist import budget_text, checklist
from nasbench_kit.analysis.report.figure_writer import FigureWriter, PageFigure
from nasbench_kit.analysis.report.figures import across_figures, comparison_figures
from nasbench_kit.analysis.report.words import (
    ahead_from,
    amount,
    p_value,
    perplexities,
    perplexity,
    points,
    sort_key,
    span,
    swatch,
    times_sooner,
    whisker,
)
from nasbench_kit.analysis.statistics.comparison import Comparison
from nasbench_kit.analysis.statistics.over_tasks import AcrossTables, across_tables, table_names
from nasbench_kit.analysis.statistics.overtaking import Overtaking, overtaken
from nasbench_kit.analysis.statistics.summary import Summary, summarize, verdict
from nasbench_kit.checks import counted
from nasbench_kit.errors import InvalidSetting

#: Number of different architectures that are drawn, best first.
_CELLS = 8


@dataclass(frozen=True)
class ComparisonResults:
    """The statistics of one comparison."""

    comparison: Comparison
    summaries: list[Summary]
    verdict: str
    overtakings: list[Overtaking]


def analyse(
    comparisons: Sequence[Comparison], seed: int = 0
) -> tuple[list[ComparisonResults], AcrossTables | None]:
    """The numbers of a report.

    Args:
        comparisons: one or more.
        seed: of the bootstrap.

    Raises:
        InvalidSetting: no comparison.
    """
    if not comparisons:
        raise InvalidSetting("nothing to report; name at least one folder of a comparison")
    names = [comparison.name for comparison in comparisons]
    comparisons = [  # the figures' files are named after the folders
        comparison
        if names.count(comparison.name) == 1
        else replace(comparison, name=f"{comparison.name}-{place}")
        for place, comparison in enumerate(comparisons, start=1)
    ]
    results = []
    for place, comparison in enumerate(comparisons):
        rng = np.random.default_rng([seed, place])
        summaries = summarize(comparison, rng)
        results.append(
            ComparisonResults(
                comparison, summaries, verdict(comparison, summaries), overtaken(comparison, rng)
            )
        )
    return results, across_tables(comparisons) if len(comparisons) > 1 else None


# The page ----------------------------------------------------------------------------------------


def figures_folder(page: Path) -> Path:
    """The folder for the figures of a page as files of their own."""
    return page.with_name(f"{page.stem}-figures")


def write_report(
    path: Path,
    results: Sequence[ComparisonResults],
    across: AcrossTables | None,
    *,
    seed: int = 0,
) -> None:
    """Write the page, and its figures as PNG and PDF into ``NAME-figures`` beside it.

    Args:
        path: of the page.
        results: of ``analyse``.
        across: of ``analyse``.
        seed: of the bands in figures.

    Raises:
        NotWritable: the folder cannot be made or written, or the disk is full.
    """
    comparisons = [result.comparison for result in results]
    names = list(dict.fromkeys(name for comparison in comparisons for name in comparison.traces))
    styles = plots.looks(names)
    writer = FigureWriter(figures_folder(path), styles)
    rng = np.random.default_rng([seed, len(results)])
    figures = [
        comparison_figures(writer, result.comparison, result.summaries, rng) for result in results
    ]
    if across is not None and across.algorithms:
        figures.append(across_figures(writer, comparisons, across.algorithms, across.friedman, rng))
    labels = table_names(comparisons)
    write_page(
        path,
        "report.html",
        {
            "title": f"Comparison on {', '.join(labels[:3])}{' and more' * (len(labels) > 3)}",
            "series": [
                {"name": name, "place": place, "swatch": swatch(styles[name])}
                for place, name in enumerate(names)
            ],
            "results": [
                _section(result, label, its_figures, names)
                for result, label, its_figures in zip(results, labels, figures, strict=False)
            ],
            "across": across,
            "across_figures": figures[-1] if across is not None and across.algorithms else [],
            "practices": checklist(comparisons),
            "place": names.index,
            "surrogate": any("surrogate" in comparison.label for comparison in comparisons),
        },
        points=points,
        span=span,
        p=p_value,
        perplexity=perplexity,
        perplexities=perplexities,
        amount=amount,
        ahead=ahead_from,
        sooner=times_sooner,
        key=sort_key,
    )


def _section(
    result: ComparisonResults, label: str, figures: Sequence[PageFigure], names: Sequence[str]
) -> Mapping[str, Any]:
    comparison = result.comparison
    took_part = list(comparison.traces)
    return {
        "label": label,
        "comparison": comparison,
        "description": _description(comparison),
        "budget": budget_text(comparison),
        "verdict": result.verdict,
        "rows": result.summaries,
        "overtakings": result.overtakings,
        "whiskers": {
            row.algorithm: whisker(row.median, [one.median for one in result.summaries])
            for row in result.summaries
        },
        "pairs": [
            [None if a == b else comparison.pair(a, b) for b in took_part] for a in took_part
        ],
        "names": took_part,
        "series": [names.index(name) for name in took_part],
        "main_figure": figures[0],
        "figures": figures[1:],
        "cells": _best(comparison),
        "manifest": json.dumps(comparison.manifest, indent=1, ensure_ascii=False),
        "conditions": list(_flat(comparison.manifest)),
    }


def _description(comparison: Comparison) -> str:
    if comparison.table is not None:
        return description(comparison.table)
    trained = comparison.manifest["fallback"]
    return (
        f"There is no table: architectures of the space {trained['space']} were trained on "
        f"{trained['images']} for {', '.join(map(str, trained['epochs']))} epochs, and those "
        f"recommended {counted(len(trained['scoring_seeds']), 'time')} more. The best accuracy is unknown, so runs "
        "are scored by their error and not by regret."
        + " On text an accuracy is 1 / perplexity, and perplexities stand beside errors."
        * comparison.on_text
    )


def _best(comparison: Comparison) -> list[dict[str, Any]]:
    """The best recommended architectures: drawing, loss, who recommended each and in how many runs.

    Of a front the first counts, with several objectives every one by itself.
    """
    by_text: dict[str, dict[str, int]] = {}
    for name, runs in comparison.traces.items():
        for run in runs:
            if run.incumbents:
                texts = run.incumbents[-1].architecture.split(" ")
                for text in texts if comparison.objectives else texts[:1]:
                    counts = by_text.setdefault(text, {})
                    counts[name] = counts.get(name, 0) + 1

    def order(text: str) -> tuple[float, float, str]:
        """By loss; equal ones in the order of the table, then those outside the table."""
        row = comparison.scores.row(text)
        return comparison.scores.loss(text), np.inf if row is None else row, text

    return [
        {
            "svg": drawing(architecture := comparison.space.parse(text)),
            "loss": comparison.scores.loss(text),
            "hash": architecture.hash,
            "outside": comparison.table is not None and comparison.scores.row(text) is None,
            "by": sorted(by_text[text].items(), key=lambda entry: -entry[1]),
            "runs": sum(by_text[text].values()),
        }
        for text in sorted(by_text, key=order)[:_CELLS]
    ]


def _flat(value: Mapping[str, Any], path: str = "") -> Iterable[tuple[str, str]]:
    """A manifest as lines of (path, value); paths have at most two names, deeper values one line."""
    for key, inner in value.items():
        name = f"{path} › {key}" if path else str(key)
        if isinstance(inner, Mapping) and inner and not path:
            yield from _flat(inner, name)
        else:
            yield name, _brief(inner)


def _brief(value: Any) -> str:
    if isinstance(value, Mapping):
        return " · ".join(f"{key} {_brief(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(_brief, value))
    return "default" if value is None else str(value)
