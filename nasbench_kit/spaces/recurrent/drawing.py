"""A recurrent cell as SVG for a notebook: the tree of its states, activations on the edges."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nasbench_kit.spaces.recurrent.cell import Cell

#: Told apart by their names as well.
_COLOURS = {"tanh": "#0072b2", "relu": "#b35900", "sigmoid": "#7a3b8f", "identity": "#555555"}
_APART, _DOWN, _RADIUS, _MARGIN = 84, 62, 14, 26


def cell_as_svg(cell: Cell, label: str) -> str:
    """States below the one that they change; those that are put out have a thick rim."""
    depth = [0]
    for node in cell.nodes:
        depth.append(depth[node.previous] + 1)
    column = _columns([node.previous for node in cell.nodes])

    def x(state: int) -> float:
        return _MARGIN + _RADIUS + column[state] * _APART

    def y(state: int) -> float:
        return _MARGIN + _RADIUS + (depth[state] + 1) * _DOWN

    edges = [_edge(x(0), _MARGIN, x(0), y(0), cell.first)]
    edges += [
        _edge(x(node.previous), y(node.previous), x(state), y(state), node.activation)
        for state, node in enumerate(cell.nodes, start=1)
    ]
    circles = "".join(
        f'<circle cx="{x(state):g}" cy="{y(state):g}" r="{_RADIUS}" fill="#fff" stroke="#333" '
        f'stroke-width="{3 if state in cell.output else 1}"/>'
        f'<text x="{x(state):g}" y="{y(state) + 4:g}">{state}</text>'
        for state in range(len(depth))
    )
    width = 2 * (_MARGIN + _RADIUS) + max(column) * _APART
    height = y(depth.index(max(depth))) + _RADIUS + _MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" role="img" aria-label="{escape(label)}" '
        'font-family="sans-serif" font-size="11" text-anchor="middle">'
        f'<text x="{x(0):g}" y="{_MARGIN - 6}">x, h</text>{"".join(edges)}{circles}</svg>'
    )


def _columns(previous: list[int]) -> list[float]:
    """A column for each state: leaves side by side, others in the middle above what changes them."""
    children: list[list[int]] = [[] for _ in range(len(previous) + 1)]
    for state, before in enumerate(previous, start=1):
        children[before].append(state)
    column = [0.0] * len(children)
    leaves = 0

    def place(state: int) -> None:
        nonlocal leaves
        for child in children[state]:
            place(child)
        if children[state]:
            column[state] = (column[children[state][0]] + column[children[state][-1]]) / 2
        else:
            column[state] = leaves
            leaves += 1

    place(0)
    return column


def _edge(x1: float, y1: float, x2: float, y2: float, activation: str) -> str:
    colour = _COLOURS[activation]
    return (
        f'<path d="M{x1:g} {y1:g}L{x2:g} {y2:g}" stroke="{colour}" stroke-width="1.5"/>'
        f'<text x="{(x1 + x2) / 2:g}" y="{(y1 + y2) / 2 + 4:g}" fill="{colour}" paint-order="stroke" '
        f'stroke="#fff" stroke-width="3">{escape(activation)}</text>'
    )
