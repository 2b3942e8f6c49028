"""One HTML page about one comparison, or several: numbers, figures, cells, conditions, checklist.

The page needs nothing beside it and no network, and is the same, byte for byte, for the same folders.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.analysis.figures import plots
from nasbench_kit.analysis.landscape.study import description
from nasbench_kit.analysis.report.checklist import budget_text, checklist
from nasbench_kit.analysis.report.drawing import Drawn, Studio
from nasbench_kit.analysis.report.figures import across_figures, task_figures
from nasbench_kit.analysis.report.words import (
    ahead_from,
    amount,
    p_value,
    points,
    safe,
    sort_key,
    span,
    swatch,
    times_sooner,
    whisker,
)
from nasbench_kit.analysis.statistics.comparison import Comparison
from nasbench_kit.analysis.statistics.overtaking import Overtaking, overtaken
from nasbench_kit.analysis.statistics.rank_tests import Ranking, friedman, task_ranks
from nasbench_kit.analysis.statistics.summary import Summary, summarize, verdict
from nasbench_kit.errors import InvalidSetting
from nasbench_kit.spaces.nasbench101.cell import Cell
from nasbench_kit.spaces.nasbench101.drawing import cell_as_svg
from nasbench_kit.system.files import write_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Different cells that are drawn, best first.
_CELLS = 8
_TEMPLATES = Path(__file__).parent.parent / "templates"


@dataclass(frozen=True)
class Task:
    """All that is said of one comparison."""

    comparison: Comparison
    summaries: list[Summary]
    verdict: str
    overtakings: list[Overtaking]


@dataclass(frozen=True)
class Across:
    """All that is said of several together: of the algorithms that took part in all."""

    algorithms: list[str]
    missing: list[str]
    tasks: list[str]
    #: Median final regret and its rank: [tasks, algorithms].
    medians: NDArray[np.float64]
    ranks: NDArray[np.float64]
    ranking: Ranking | None
    #: Why there is no ranking.
    refusal: str

    @property
    def mean_ranks(self) -> NDArray[np.float64]:
        """Over tasks: [algorithms]."""
        return np.asarray(self.ranks.mean(axis=0))


def analyse(comparisons: Sequence[Comparison], seed: int = 0) -> tuple[list[Task], Across | None]:
    """The numbers of a report.

    Args:
        comparisons: one or more.
        seed: of the bootstrap.

    Raises:
        InvalidSetting: no comparison.
    """
    if not comparisons:
        raise InvalidSetting("nothing to report; name at least one folder of a comparison")
    names = [it.name for it in comparisons]
    comparisons = [  # files are named after folders
        it if names.count(it.name) == 1 else replace(it, name=f"{it.name}-{place}")
        for place, it in enumerate(comparisons, start=1)
    ]
    tasks = []
    for place, it in enumerate(comparisons):
        rng = np.random.default_rng([seed, place])
        summaries = summarize(it, rng)
        tasks.append(Task(it, summaries, verdict(it, summaries), overtaken(it, rng)))
    return tasks, _across(comparisons) if len(comparisons) > 1 else None


def _across(comparisons: Sequence[Comparison]) -> Across:
    names = list(dict.fromkeys(name for it in comparisons for name in it.traces))
    common = [name for name in names if all(name in it.traces for it in comparisons)]
    scores = {
        name: np.array([float(np.median(it.final[name])) for it in comparisons]) for name in common
    }
    ranking, refusal = None, ""
    try:
        tables = len({it.table.checksum for it in comparisons})
        if tables < len(comparisons):
            on = "the same table" if tables == 1 else f"{tables} different tables"
            raise InvalidSetting(
                f"{len(comparisons)} comparisons on {on}; those on one table are no independent tasks, "
                "so mean ranks are not compared"
            )
        ranking = friedman(scores)
    except InvalidSetting as error:
        refusal = str(error)
    return Across(
        common,
        [name for name in names if name not in common],
        _task_names(comparisons),
        np.column_stack(list(scores.values())) if common else np.empty((len(comparisons), 0)),
        task_ranks(scores) if common else np.empty((len(comparisons), 0)),
        ranking,
        refusal,
    )


def _task_names(comparisons: Sequence[Comparison]) -> list[str]:
    """The tables' labels; with the folder's name where that alone is ambiguous."""
    labels = [it.label for it in comparisons]
    return [
        name if labels.count(name) == 1 else f"{name} ({it.name})"
        for name, it in zip(labels, comparisons, strict=True)
    ]


# The page ----------------------------------------------------------------------------------------


def figures_folder(page: Path) -> Path:
    """Where the figures of a page lie as files of their own."""
    return page.with_name(f"{page.stem}-figures")


def write_report(
    path: Path,
    tasks: Sequence[Task],
    across: Across | None,
    *,
    seed: int = 0,
) -> None:
    """Write the page, and its figures as PNG and PDF into ``NAME-figures`` beside it.

    Args:
        path: of the page.
        tasks: what ``analyse`` found.
        across: likewise.
        seed: of the bands in figures.

    Raises:
        NotWritable: the folder cannot be made or written, or the disk is full.
    """
    import jinja2

    comparisons = [task.comparison for task in tasks]
    names = list(dict.fromkeys(name for it in comparisons for name in it.traces))
    styles = plots.looks(names)
    studio = Studio(figures_folder(path), styles)
    rng = np.random.default_rng([seed, len(tasks)])
    figures = [task_figures(studio, task.comparison, task.summaries, rng) for task in tasks]
    if across is not None and across.algorithms:
        figures.append(across_figures(studio, comparisons, across.algorithms, across.ranking, rng))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "points": points,
        "span": span,
        "p": p_value,
        "amount": amount,
        "ahead": ahead_from,
        "sooner": times_sooner,
        "key": sort_key,
        "svg": safe,
    }
    labels = _task_names(comparisons)
    template = environment.get_template("report.html")
    text = template.render(
        title=f"Comparison on {', '.join(labels[:3])}{' and more' * (len(labels) > 3)}",
        series=[
            {"name": name, "place": place, "swatch": safe(swatch(styles[name]))}
            for place, name in enumerate(names)
        ],
        tasks=[
            _section(task, label, drawn, names)
            for task, label, drawn in zip(tasks, labels, figures, strict=False)
        ],
        across=across,
        across_figures=figures[-1] if across is not None and across.algorithms else [],
        practices=checklist(comparisons),
        place=names.index,
        surrogate=any("surrogate" in it.label for it in comparisons),
    )
    write_text(path, text)


def _section(
    task: Task, label: str, figures: Sequence[Drawn], names: Sequence[str]
) -> Mapping[str, Any]:
    it = task.comparison
    took_part = list(it.traces)
    return {
        "label": label,
        "comparison": it,
        "description": description(it.table),
        "budget": budget_text(it),
        "verdict": task.verdict,
        "rows": task.summaries,
        "overtakings": task.overtakings,
        "whiskers": {row.algorithm: safe(whisker(row, task.summaries)) for row in task.summaries},
        "pairs": [[None if a == b else it.pair(a, b) for b in took_part] for a in took_part],
        "names": took_part,
        "series": [names.index(name) for name in took_part],
        "hero": figures[0],
        "figures": figures[1:],
        "cells": _cells(it),
        "manifest": json.dumps(it.manifest, indent=1, ensure_ascii=False),
        "conditions": list(_flat(it.manifest)),
    }


def _cells(it: Comparison) -> list[dict[str, Any]]:
    """The best recommended cells: drawing, regret, and who recommended it in how many runs."""
    by_cell: dict[str, dict[str, int]] = {}
    for name, runs in it.traces.items():
        for run in runs:
            if run.incumbents:
                counts = by_cell.setdefault(run.incumbents[-1].cell, {})
                counts[name] = counts.get(name, 0) + 1

    def place(text: str) -> tuple[float, int, str]:
        """Those of equal regret in the table's order, and what it lacks after them."""
        row = it.scores.row(text)
        return it.scores.regret(text), len(it.table) if row is None else row, text

    return [
        {
            "svg": safe(cell_as_svg(cell := Cell.from_text(text))),
            "regret": it.scores.regret(text),
            "hash": cell.hash,
            "outside": it.scores.row(text) is None,
            "by": sorted(by_cell[text].items(), key=lambda entry: -entry[1]),
            "runs": sum(by_cell[text].values()),
        }
        for text in sorted(by_cell, key=place)[:_CELLS]
    ]


def _flat(value: Mapping[str, Any], path: str = "") -> Iterable[tuple[str, str]]:
    """A manifest as lines of (path, value): at most two names deep, what is below on one line."""
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
