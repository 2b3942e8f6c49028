"""The files of an analysis: figures, tidy CSV, and one HTML page that loads no other file."""

from __future__ import annotations

import base64
import csv
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.analysis.figures import style
from nasbench_kit.analysis.landscape.study import (
    METRIC,
    accuracy,
    all_costs,
    description,
    label,
    noun,
)
from nasbench_kit.analysis.pages import drawing, write_page
from nasbench_kit.errors import NotRecorded
from nasbench_kit.system.files import replacing

if TYPE_CHECKING:
    from nasbench_kit.analysis.landscape.study import Study
    from nasbench_kit.table.table import Table

#: Frames with more rows than this are linked from the page rather than shown on it.
_MOST_ROWS = 40
#: How many of the best cells are drawn.
_BEST_CELLS = 4


def write_csv(path: Path, columns: Mapping[str, Any]) -> None:
    """Write columns of equal length as CSV, numbers with ten significant digits.

    Raises:
        NotWritable: the folder cannot be made or written, or the disk is full.
    """
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(_rows(columns))


def _rows(columns: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    texts = ([_text(value) for value in np.asarray(column).tolist()] for column in columns.values())
    return zip(*texts, strict=True)


def _text(value: object) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def write_study(folder: Path, study: Study) -> None:
    """Write a study's figures (PNG and PDF) and data (CSV).

    Raises:
        NotWritable: the folder cannot be made or written, or the disk is full.
    """
    for name, figure in study.figures.items():
        style.save(figure, folder, name)
    for name, columns in study.frames.items():
        write_csv(folder / f"{name}.csv", columns)


def write_analysis(folder: Path, table: Table, studies: Iterable[Study]) -> Path:
    """Write ``index.html`` about studies whose files are written; it embeds their figures.

    Args:
        folder: where the studies' files are, and where the page is written.
        table: what was analysed; its best cells are drawn.
        studies: in the order of the page.

    Raises:
        NotWritable: the folder cannot be made or written, or the disk is full.
    """
    path = folder / "index.html"
    name = label(table)
    write_page(
        path,
        "analysis.html",
        {
            "title": f"Analysis of {name}",
            "surrogate": "surrogate" in name,
            "description": description(table),
            "table": table,
            "noun": noun(table),
            "cells": _best(table),
            "studies": [_section(folder, study) for study in studies],
        },
    )
    return path


def _best(table: Table) -> list[dict[str, Any]]:
    """The architectures of the best mean accuracy, best first; none if none has an accuracy."""
    try:
        means = table.mean(METRIC)
    except NotRecorded:
        return []
    readings = {accuracy(table): 100 * means} | all_costs(table)
    return [
        {
            "svg": drawing(architecture := table.covered[row]),
            "text": architecture.to_text(),
            "readings": {name: values[row] for name, values in readings.items()},
        }
        for row in np.argsort(-means, kind="stable")[:_BEST_CELLS].tolist()
    ]


def _section(folder: Path, study: Study) -> dict[str, Any]:
    return {
        "title": study.title,
        "anchor": re.sub(r"\W+", "-", study.title.lower()),
        "findings": study.findings,
        "figures": [
            {
                "alt": name.replace("_", " "),
                "inches": f"{figure.get_figwidth():g}",
                "png": base64.b64encode((folder / f"{name}.png").read_bytes()).decode(),
            }
            for name, figure in study.figures.items()
        ],
        "frames": [_frame(name, columns) for name, columns in study.frames.items()],
    }


def _frame(name: str, columns: Mapping[str, Any]) -> dict[str, Any]:
    length = len(next(iter(columns.values())))
    return {
        "file": f"{name}.csv",
        "length": length,
        "columns": [column.replace("_", " ") for column in columns],
        "rows": list(_rows(columns)) if length <= _MOST_ROWS else None,
    }
