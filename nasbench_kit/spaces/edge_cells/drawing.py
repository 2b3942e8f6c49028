"""An edge-labelled cell as SVG for a notebook: nodes from left to right, operations on the edges."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nasbench_kit.spaces.edge_cells.cell import Edge

#: Colour by what the operation's name begins with; also told apart by the label.
_COLOURS = {
    "none": "#bbbbbb",
    "noise": "#a3006b",
    "skip": "#555555",
    "nor_conv": "#0072b2",
    "sep": "#0072b2",
    "dil": "#00664d",
    "avg": "#b35900",
    "max": "#8a5a00",
}
_APART, _RADIUS, _MARGIN = 130, 13, 14
#: How far an edge swings out for each node that it passes by.
_SWING = 48


def cell_as_svg(nodes: int, edges: Sequence[Edge], label: str, inputs: int = 1) -> str:
    """A cell of so many nodes.

    Edges to the next node are straight; others swing out, above where they begin at an even node and
    below where at an odd one. Edges that carry nothing are dashed.
    """
    above = max((e.target - e.source - 1 for e in edges if e.source % 2 == 0), default=0) * _SWING
    below = max((e.target - e.source - 1 for e in edges if e.source % 2), default=0) * _SWING
    line = _MARGIN + _RADIUS + above
    width = 2 * (_MARGIN + _RADIUS) + (nodes - 1) * _APART
    height = line + below + _RADIUS + _MARGIN
    drawn = "".join(_edge(edge, line) for edge in edges)
    circles = "".join(_node(node, nodes, line, inputs) for node in range(nodes))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="{escape(label)}" font-family="sans-serif" '
        f'font-size="11" text-anchor="middle">{_ARROW}{drawn}{circles}</svg>'
    )


def cells_as_svg(nodes: int, cells: Sequence[Sequence[Edge]], label: str) -> str:
    """Several cells of so many nodes each, one below the other; those of two inputs."""
    drawn = [cell_as_svg(nodes, edges, label, inputs=2) for edges in cells]
    sizes = [tuple(map(int, re.findall(r'(?:width|height)="(\d+)"', svg)[:2])) for svg in drawn]
    width, height = max(w for w, _ in sizes), sum(h for _, h in sizes)
    tops = [sum(h for _, h in sizes[:place]) for place in range(len(sizes))]
    placed = "".join(
        svg.replace("<svg ", f'<svg y="{top}" ', 1) for svg, top in zip(drawn, tops, strict=True)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="{escape(label)}">{placed}</svg>'
    )


_ARROW = (
    '<defs><marker id="edge-arrow" viewBox="0 0 6 6" refX="5.5" refY="3" markerWidth="6" '
    'markerHeight="6" orient="auto"><path d="M0 0L6 3L0 6z" fill="#777"/></marker></defs>'
)


def _x(node: int) -> int:
    return _MARGIN + _RADIUS + node * _APART


def _edge(edge: Edge, line: int) -> str:
    span = edge.target - edge.source
    up = -1 if edge.source % 2 == 0 else 1
    swing = up * _SWING * (span - 1)
    start, end = _x(edge.source), _x(edge.target)
    middle = (start + end) / 2
    if span == 1:
        path = f"M{start + _RADIUS} {line}H{end - _RADIUS}"
    else:  # a cubic curve goes 3/4 of the way to its controls
        control = line + swing * 4 / 3
        shift = _RADIUS * 0.7
        path = (
            f"M{start + shift:g} {line + up * shift:g}C{start + 40} {control:g} {end - 40} "
            f"{control:g} {end - shift:g} {line + up * shift:g}"
        )
    colour = next((c for name, c in _COLOURS.items() if edge.operation.startswith(name)), "#222222")
    dashes = ' stroke-dasharray="4 4"' if edge.operation == "none" else ""
    return (
        f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.5"{dashes} '
        f'marker-end="url(#edge-arrow)"/>'
        f'<text x="{middle:g}" y="{line + swing - 6:g}" fill="{colour}" paint-order="stroke" '
        f'stroke="#fff" stroke-width="3">{escape(edge.operation)}</text>'
    )


def _node(node: int, nodes: int, line: int, inputs: int) -> str:
    title = f"node {node}"
    if node < inputs:
        title = "input" if inputs == 1 else f"input {node}"
    elif inputs == 1 and node == nodes - 1:
        title = "output"
    fill = "#ffffff" if title.startswith("node") else "#e5e5e5"
    return (
        f'<circle cx="{_x(node)}" cy="{line}" r="{_RADIUS}" fill="{fill}" stroke="#333">'
        f'<title>{title}</title></circle><text x="{_x(node)}" y="{line + 4}">{node}</text>'
    )
