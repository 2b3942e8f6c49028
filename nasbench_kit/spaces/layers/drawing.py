"""Layers with skips as SVG for a notebook: boxes from top to bottom, a curve for each skip."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from nasbench_kit.spaces.drawing import FILLS, ink

_HEIGHT, _ROW, _MARGIN = 22, 34, 10
#: Of a box at least, and of a letter at most.
_WIDTH, _LETTER = 230, 6.5


def layers_as_svg(
    labels: Sequence[str], kinds: Sequence[int], edges: Sequence[tuple[int, int]], text: str
) -> str:
    """A picture of layers.

    Args:
        labels: of each box, from top to bottom.
        kinds: of each box; equal ones have the same colour.
        edges: pairs of boxes, earlier and later one; neighbours are joined by a line, others by a
            curve at the right.
        text: describes the picture to those who cannot see it.

    Returns:
        The SVG.
    """
    box = max(_WIDTH, _LETTER * max(map(len, labels)) + 2 * _MARGIN)
    middle, side = _MARGIN + box / 2, _MARGIN + box

    def top(place: int) -> float:
        return _MARGIN + place * _ROW

    parts = []
    widest = 0.0
    for earlier, later in edges:
        start, end = top(earlier) + _HEIGHT, top(later)
        if later == earlier + 1:
            parts.append(f'<path d="M{middle} {start}V{end}" stroke="#555555"/>')
            continue
        reach = 14 + 9 * (later - earlier)
        widest = max(widest, reach * 0.75)
        start, end = top(earlier) + _HEIGHT / 2, top(later) + _HEIGHT / 2
        parts.append(
            f'<path d="M{side} {start}C{side + reach} {start} {side + reach} {end} {side} {end}" '
            'stroke="#888888" fill="none"/>'
        )
    for place, (label, kind) in enumerate(zip(labels, kinds, strict=True)):
        fill = FILLS[kind % len(FILLS)]
        parts.append(
            f'<rect x="{_MARGIN}" y="{top(place)}" width="{box:g}" height="{_HEIGHT}" rx="4" '
            f'fill="{fill}"/><text x="{middle}" y="{top(place) + _HEIGHT / 2 + 4}" fill="{ink(fill)}">'
            f"{escape(label)}</text>"
        )
    width, height = side + widest + _MARGIN, 2 * _MARGIN + (len(labels) - 1) * _ROW + _HEIGHT
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height}" width="{width:g}" '
        f'height="{height}" role="img" aria-label="{escape(text)}" font-family="sans-serif" '
        f'font-size="11" text-anchor="middle">{"".join(parts)}</svg>'
    )
