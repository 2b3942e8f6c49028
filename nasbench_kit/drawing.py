"""A cell as text for a terminal and as SVG for a notebook; nothing but the standard library."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nasbench_kit.cell import Cell

#: Fill of each operation's box; distinguishable without colour vision by lightness too.
_FILLS = {
    "conv3x3-bn-relu": "#0072b2",
    "conv1x1-bn-relu": "#56b4e9",
    "maxpool3x3": "#e69f00",
}
_WIDTH, _HEIGHT, _COLUMN, _ROW = 76, 24, 100, 56


def _short(name: str) -> str:
    return name.removesuffix("-bn-relu")


def cell_as_text(cell: Cell) -> str:
    """One line a vertex: its number, operation and the vertices it feeds."""
    feeds: dict[int, list[str]] = {v: [] for v in range(cell.size)}
    for source, target in cell.edges():
        feeds[source].append(str(target))
    lines = [
        f"{v} {_short(name):<10} -> {', '.join(feeds[v])}" if feeds[v] else f"{v} {_short(name)}"
        for v, name in enumerate(cell.operations)
    ]
    return "\n".join(lines)


def cell_as_svg(cell: Cell) -> str:
    """Vertices in rows by their longest path from the input; edges as curves, downwards."""
    depth = [0] * cell.size
    for source, target in cell.edges():  # sorted by target, so depths of sources are final
        depth[target] = max(depth[target], depth[source] + 1)
    depth[-1] = max(depth) + (1 if max(depth) > depth[-1] else 0)
    rows: list[list[int]] = [[] for _ in range(max(depth) + 1)]
    for v in range(cell.size):
        rows[depth[v]].append(v)
    widest = max(map(len, rows))
    width, height = widest * _COLUMN, len(rows) * _ROW
    place = {
        v: ((widest - len(row)) * _COLUMN / 2 + (i + 0.5) * _COLUMN, (d + 0.5) * _ROW)
        for d, row in enumerate(rows)
        for i, v in enumerate(row)
    }
    edges = "".join(_edge(*place[source], *place[target]) for source, target in cell.edges())
    boxes = "".join(
        _box(*place[v], _short(n), _FILLS.get(n)) for v, n in enumerate(cell.operations)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="{escape(cell.to_text())}" '
        f'font-family="sans-serif" font-size="11" text-anchor="middle">{edges}{boxes}</svg>'
    )


def _edge(x1: float, y1: float, x2: float, y2: float) -> str:
    top, bottom = y1 + _HEIGHT / 2, y2 - _HEIGHT / 2
    # An edge that skips rows swings out, past the boxes between.
    swing = 0.0 if y2 - y1 <= _ROW else _COLUMN * 0.45 * (1 if x1 >= x2 else -1)
    middle = (top + bottom) / 2
    return (
        f'<path d="M{x1:g} {top:g}C{x1 + swing:g} {middle:g} {x2 + swing:g} {middle:g} {x2:g} '
        f'{bottom:g}" fill="none" stroke="#777" stroke-width="1.5"/>'
    )


def _box(x: float, y: float, text: str, fill: str | None) -> str:
    left, top = x - _WIDTH / 2, y - _HEIGHT / 2
    ink = "#fff" if fill == "#0072b2" else "#111"
    return (
        f'<rect x="{left:g}" y="{top:g}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" '
        f'fill="{fill or "#ddd"}"/><text x="{x:g}" y="{y + 4:g}" fill="{ink}">{escape(text)}</text>'
    )
