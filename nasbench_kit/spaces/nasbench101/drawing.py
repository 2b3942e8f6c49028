"""A cell as text for a terminal and as SVG for a notebook; nothing but the standard library."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nasbench_kit.spaces.nasbench101.cell import Cell

#: Fill of each operation's box; distinguishable without colour vision by lightness too.
_FILLS = {
    "conv3x3-bn-relu": "#0072b2",
    "conv1x1-bn-relu": "#56b4e9",
    "maxpool3x3": "#e69f00",
}
_WIDTH, _HEIGHT, _ROW, _MARGIN = 110, 24, 44, 12
#: How far an edge swings out for each vertex that it passes by.
_SWING = 16


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
    """Vertices in a column, in order; an edge that passes others by swings out beside them.

    No edge runs behind a box: to the next vertex it is straight, else an arc on the right.
    """
    centre = [(_MARGIN + _WIDTH / 2, _MARGIN + _HEIGHT / 2 + v * _ROW) for v in range(cell.size)]
    longest = max(target - source for source, target in cell.edges())
    width = 2 * _MARGIN + _WIDTH + (_SWING * longest if longest > 1 else 0)
    height = 2 * _MARGIN + _HEIGHT + (cell.size - 1) * _ROW
    edges = "".join(_edge(centre[u], centre[v], v - u) for u, v in cell.edges())
    boxes = "".join(
        _box(*centre[v], f"{v} {_short(name)}", _FILLS.get(name))
        for v, name in enumerate(cell.operations)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" role="img" aria-label="{escape(cell.to_text())}" '
        f'font-family="sans-serif" font-size="11" text-anchor="middle">{_ARROW}{edges}{boxes}</svg>'
    )


_ARROW = (
    '<defs><marker id="arrow" viewBox="0 0 6 6" refX="5.5" refY="3" markerWidth="6" '
    'markerHeight="6" orient="auto"><path d="M0 0L6 3L0 6z" fill="#777"/></marker></defs>'
)


def _edge(source: tuple[float, float], target: tuple[float, float], span: int) -> str:
    (x, above), (_, below) = source, target
    if span == 1:
        path = f"M{x:g} {above + _HEIGHT / 2:g}V{below - _HEIGHT / 2:g}"
    else:  # from the right side of one box to that of the other; shifted, so that arrows part
        side = x + _WIDTH / 2
        start, end = above + _HEIGHT / 4, below - _HEIGHT / 4
        out = side + _SWING * span * 4 / 3  # a cubic curve goes 3/4 of the way to its controls
        path = f"M{side:g} {start:g}C{out:g} {start:g} {out:g} {end:g} {side:g} {end:g}"
    return (
        f'<path d="{path}" fill="none" stroke="#777" stroke-width="1.4" marker-end="url(#arrow)"/>'
    )


def _box(x: float, y: float, text: str, fill: str | None) -> str:
    left, top = x - _WIDTH / 2, y - _HEIGHT / 2
    ink = "#fff" if fill == "#0072b2" else "#111"
    return (
        f'<rect x="{left:g}" y="{top:g}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" '
        f'fill="{fill or "#ddd"}"/><text x="{x:g}" y="{y + 4:g}" fill="{ink}">{escape(text)}</text>'
    )
