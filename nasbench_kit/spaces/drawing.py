"""An architecture that is its decisions as SVG for a notebook: one box a decision, in order."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nasbench_kit.spaces.decisions import Choices

#: Fill by option, distinguishable without colour vision by lightness too.
FILLS = (
    "#e5e5e5",
    "#56b4e9",
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#d55e00",
    "#f0e442",
    "#999999",
)
_DARK = ("#0072b2", "#009e73", "#d55e00")
_WIDTH, _HEIGHT, _ROW, _MARGIN = 190, 22, 28, 10


def ink(fill: str) -> str:
    """Colour of text that is read on a fill."""
    return "#ffffff" if fill in _DARK else "#000000"


def choices_as_svg(architecture: Choices) -> str:
    """Decisions from top to bottom: their names, and the options taken."""
    rows = []
    for place, (decision, option) in enumerate(
        zip(architecture.space.decisions, architecture.options, strict=True)
    ):
        top = _MARGIN + place * _ROW
        fill = FILLS[option % len(FILLS)]
        text = escape(f"{decision.name}: {decision.options[option]}")
        rows.append(
            f'<rect x="{_MARGIN}" y="{top}" width="{_WIDTH}" height="{_HEIGHT}" rx="4" fill="{fill}"/>'
            f'<text x="{_MARGIN + _WIDTH / 2}" y="{top + _HEIGHT / 2 + 4}" fill="{ink(fill)}">{text}</text>'
        )
    width = 2 * _MARGIN + _WIDTH
    height = 2 * _MARGIN + len(rows) * _ROW
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="{escape(architecture.to_text())}" '
        f'font-family="sans-serif" font-size="11" text-anchor="middle">{"".join(rows)}</svg>'
    )
