"""Files of a study: tidy CSV, and one HTML page that needs nothing beside it."""

from __future__ import annotations

import base64
import csv
import re
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.analysis.figures import style
from nasbench_kit.analysis.landscape.study import METRIC, costs
from nasbench_kit.errors import NotRecorded
from nasbench_kit.spaces.nasbench101.drawing import cell_as_svg
from nasbench_kit.system.files import replacing, write_text

if TYPE_CHECKING:
    from nasbench_kit.analysis.landscape.study import Study
    from nasbench_kit.table.table import Table

#: Frames of up to so many rows stand on the page; longer ones are files beside it.
_ROWS_SHOWN = 40
#: Cells that are drawn.
_DRAWN = 4
_BEST = "Best cells"

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
figure { margin: 1rem 0; overflow-x: auto; }
/* Every figure at its own size, so that all their letters are of one size. */
:root { --inch: 8rem; }
figure img { width: calc(var(--inches) * var(--inch)); background: #fff; border-radius: 4px; }
nav ul { columns: 2; } .cells { display: flex; flex-wrap: wrap; gap: 0 1rem; align-items: end; }
.cells figcaption { font-size: .85rem; max-width: 11rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; font-size: .85rem; }
td, th { padding: .15rem .6rem; text-align: right; border-bottom: 1px solid #8884; }
details { margin: .5rem 0; } .scroll { overflow-x: auto; }
@media print {
  :root { --inch: .95in; } body { max-width: none; margin: 0; } h2 { break-before: page; }
}
"""


def write_csv(path: Path, columns: Mapping[str, Any]) -> None:
    """Write columns of equal length as CSV; numbers with ten digits.

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


def html_table(columns: Mapping[str, Any]) -> str:
    """Columns as an HTML table, escaped."""
    head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>"
        for row in _rows(columns)
    )
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def write_study(folder: Path, study: Study) -> None:
    """Write a study's figures (PNG and PDF) and data (CSV).

    Raises:
        NotWritable: the folder cannot be made or written, or the disk is full.
    """
    for name, figure in study.figures.items():
        style.save(figure, folder, name)
    for name, columns in study.frames.items():
        write_csv(folder / f"{name}.csv", columns)


def write_page(folder: Path, title: str, lead: str, table: Table, studies: Iterable[Study]) -> Path:
    """Write ``index.html`` from studies whose files are written: figures embedded, text escaped.

    Args:
        folder: of the page and of what the studies wrote.
        title: of the page.
        lead: what it is of.
        table: whose best cells are drawn.
        studies: in the order of the page.

    Raises:
        NotWritable: the folder cannot be made or written, or the disk is full.
    """
    studies = list(studies)
    best = _best_cells(table)
    headings = [_BEST] * bool(best) + [study.title for study in studies]
    contents = "".join(
        f'<li><a href="#{_anchor(heading)}">{escape(heading)}</a></li>' for heading in headings
    )
    sections = "\n".join([best, *(_section(folder, study) for study in studies)])
    path = folder / "index.html"
    write_text(
        path,
        f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="generator" content="nasbench-kit">
<title>{escape(title)}</title><style>{_STYLE}</style></head>
<body><h1>{escape(title)}</h1>
<p>{escape(lead)}</p>
<nav aria-label="Contents"><ul>{contents}</ul></nav>
{sections}
</body></html>
""",
    )
    return path


def _anchor(heading: str) -> str:
    return re.sub(r"\W+", "-", heading.lower())


def _best_cells(table: Table) -> str:
    """The cells of the best mean validation accuracy, drawn, best first; empty if none is known."""
    try:
        means = table.mean(METRIC)
    except NotRecorded:
        return ""
    rows = np.argsort(-means, kind="stable")[:_DRAWN].tolist()
    known = {"validation accuracy (%)": 100 * means} | costs(table)
    figures = []
    for row in rows:
        cell = table.covered[row]
        caption = "<br>".join(
            escape(f"{name}: {values[row]:,.{0 if values[row] >= 1000 else 2}f}")
            for name, values in known.items()
        )
        figures.append(
            f"<figure>{cell_as_svg(cell)}<figcaption>{caption}<br>"
            f"<code>{escape(cell.to_text())}</code></figcaption></figure>"
        )
    return (
        f'<h2 id="{_anchor(_BEST)}">{_BEST}</h2><p>By mean validation accuracy after {table.epochs[-1]} '
        f"epochs, over {table.repeats} repeats; best first.</p>"
        f'<div class="cells">{"".join(figures)}</div>'
    )


def _section(folder: Path, study: Study) -> str:
    parts = [f'<h2 id="{_anchor(study.title)}">{escape(study.title)}</h2>']
    parts.append("<ul>" + "".join(f"<li>{escape(text)}</li>" for text in study.findings) + "</ul>")
    for name, figure in study.figures.items():
        data = base64.b64encode((folder / f"{name}.png").read_bytes()).decode()
        alt = escape(name.replace("_", " "))
        width = f"--inches:{figure.get_figwidth():g}"
        parts.append(
            f'<figure><img alt="{alt}" style="{width}" src="data:image/png;base64,{data}"></figure>'
        )
    for name, columns in study.frames.items():
        length = len(next(iter(columns.values())))
        link = f'<a href="{escape(name)}.csv">{escape(name)}.csv</a>'
        if length <= _ROWS_SHOWN:
            parts.append(f"<details><summary>{link}</summary>{html_table(columns)}</details>")
        else:
            parts.append(f"<p>{length:,} rows in {link}</p>")
    return "\n".join(parts)
