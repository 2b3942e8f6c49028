"""A rooted forest of operations as SVG for a notebook; nothing but the standard library."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from nasbench_kit.spaces.drawing import FILLS, ink

_WIDTH, _HEIGHT, _COLUMN, _ROW, _MARGIN = 70, 24, 84, 48, 12


def forest_as_svg(
    label: str, parents: Sequence[int], operations: Sequence[int], names: Sequence[str]
) -> str:
    """Input above, output below, between them the nodes by their depth, each leaf in its own column.

    Args:
        label: read out instead of the drawing.
        parents: of nodes 1, 2, ...; 0 is the input. A parent stands before its children.
        operations: of the nodes, as indices of ``names``.
        names: of all operations.
    """
    children: dict[int, list[int]] = {node: [] for node in range(len(parents) + 1)}
    depth = {0: 0}
    for node, parent in enumerate(parents, 1):
        children[parent].append(node)
        depth[node] = depth[parent] + 1
    column: dict[int, float] = {}

    def place(node: int, free: int) -> int:
        """Give a node and all below it columns from ``free`` on; returns the next free one."""
        first = free
        for child in children[node]:
            free = place(child, free)
        free = max(free, first + 1)
        column[node] = (first + free - 1) / 2
        return free

    columns = place(0, 0)
    bottom = max(depth.values()) + 1

    def x(at: float) -> float:
        return _MARGIN + _WIDTH / 2 + at * _COLUMN

    def y(row: int) -> float:
        return _MARGIN + _HEIGHT / 2 + row * _ROW

    below, above = _HEIGHT / 2, -_HEIGHT / 2
    lines = [
        f"M{x(column[up]):g} {y(depth[up]) + below:g}L{x(column[node]):g} {y(depth[node]) + above:g}"
        for node, up in enumerate(parents, 1)
    ]
    lines += [  # straight down beside everything else, and then to the output
        f"M{x(column[leaf]):g} {y(depth[leaf]) + below:g}V{y(bottom - 1) + below:g}"
        f"L{x(column[0]):g} {y(bottom) + above:g}"
        for leaf, under in children.items()
        if not under
    ]
    boxes = [_box(x(column[0]), y(row), name, "#ddd") for row, name in ((0, "in"), (bottom, "out"))]
    boxes += [
        _box(x(column[node]), y(depth[node]), names[option], FILLS[option % len(FILLS)])
        for node, option in enumerate(operations, 1)
    ]
    width = 2 * _MARGIN + _WIDTH + (columns - 1) * _COLUMN
    height = 2 * _MARGIN + _HEIGHT + bottom * _ROW
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="{escape(label)}" font-family="sans-serif" '
        f'font-size="11" text-anchor="middle"><path d="{"".join(lines)}" fill="none" '
        f'stroke="#777" stroke-width="1.4"/>{"".join(boxes)}</svg>'
    )


def _box(x: float, y: float, text: str, fill: str) -> str:
    left, top = x - _WIDTH / 2, y - _HEIGHT / 2
    return (
        f'<rect x="{left:g}" y="{top:g}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="{fill}"/>'
        f'<text x="{x:g}" y="{y + 4:g}" fill="{ink(fill)}">{escape(text)}</text>'
    )
