"""Files of a study: tidy CSV, and one HTML page that needs nothing beside it."""

from __future__ import annotations

import base64
import csv
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.analysis.figures import style
from nasbench_kit.system.files import replacing, write_text

if TYPE_CHECKING:
    from nasbench_kit.analysis.landscape.study import Study

#: Frames of up to so many rows stand on the page; longer ones are files beside it.
_ROWS_SHOWN = 40

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
figure { margin: 1rem 0; } img { max-width: 100%; background: #fff; border-radius: 4px; }
table { border-collapse: collapse; font-size: .85rem; }
td, th { padding: .15rem .6rem; text-align: right; border-bottom: 1px solid #8884; }
details { margin: .5rem 0; } .scroll { overflow-x: auto; }
@media print { body { max-width: none; margin: 0; } h2 { break-before: page; } }
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


def write_page(folder: Path, title: str, lead: str, studies: Iterable[Study]) -> Path:
    """Write ``index.html`` from studies whose files are written: figures embedded, text escaped.

    Raises:
        NotWritable: the folder cannot be made or written, or the disk is full.
    """
    sections = "\n".join(_section(folder, study) for study in studies)
    path = folder / "index.html"
    write_text(
        path,
        f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{escape(title)}</title><style>{_STYLE}</style></head>
<body><h1>{escape(title)}</h1>
<p>{escape(lead)}</p>
{sections}
</body></html>
""",
    )
    return path


def _section(folder: Path, study: Study) -> str:
    parts = [f"<h2>{escape(study.title)}</h2>"]
    parts.append("<ul>" + "".join(f"<li>{escape(text)}</li>" for text in study.findings) + "</ul>")
    for name in study.figures:
        data = base64.b64encode((folder / f"{name}.png").read_bytes()).decode()
        alt = escape(name.replace("_", " "))
        parts.append(f'<figure><img alt="{alt}" src="data:image/png;base64,{data}"></figure>')
    for name, columns in study.frames.items():
        length = len(next(iter(columns.values())))
        link = f'<a href="{escape(name)}.csv">{escape(name)}.csv</a>'
        if length <= _ROWS_SHOWN:
            parts.append(f"<details><summary>{link}</summary>{html_table(columns)}</details>")
        else:
            parts.append(f"<p>{length:,} rows in {link}</p>")
    return "\n".join(parts)
