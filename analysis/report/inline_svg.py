"""A matplotlib figure as SVG inside an HTML page, with the page's colours, fonts and switches."""

from __future__ import annotations

import io
import re
from html import escape
from typing import TYPE_CHECKING

from nasbench_kit.analysis.figures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: The page's variable for each colour of the figures; black is the colour of the page's text.
VARIABLES = {
    style.BLUE: "var(--blue)",
    style.VERMILION: "var(--vermilion)",
    style.GREEN: "var(--green)",
    style.PURPLE: "var(--purple)",
    style.SKY: "var(--sky)",
    style.ORANGE: "var(--orange)",
    style.GREY: "var(--grey)",
    style.BLACK: "currentColor",
}


def inline_svg(figure: Figure, key: str, description: str) -> str:
    """The figure as an ``<svg>`` element without a size of its own; the same text each time.

    Args:
        figure: drawn in the colours of `nasbench_kit.analysis.figures.style`; artists with a gid
            ``series-N`` become groups with ``data-series="N"``.
        key: letters and digits that tell this figure's identifiers from others of the page.
        description: for readers who cannot see it; plain text.
    """
    import matplotlib as mpl

    text = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "nasbench-kit", "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return _adapted(text.getvalue(), key, description)


def _adapted(svg: str, key: str, description: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, count=1, flags=re.DOTALL)
    head, body = svg.split(">", 1)
    (box,) = re.findall(r'viewBox="[^"]*"', head)
    used = set(re.findall(r'(?:xlink:href="#|url\(#)([^")]+)', body))

    def tag(match: re.Match[str]) -> str:
        """Adapt one tag. What stands between tags is text, some of it from users, and left as it is."""
        text = re.sub(r'id="series-(\d+)"', r'data-series="\1"', match[0])
        text = re.sub(r' id="([^"]*)"', lambda m: f' id="{key}-{m[1]}"' * (m[1] in used), text)
        text = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{key}-", text)
        text = text.replace("xlink:href", "href").replace("'DejaVu Sans'", "var(--sans)")
        for colour, variable in VARIABLES.items():
            text = re.sub(colour + r"\b", variable, text)
        return text

    body = re.sub(r"\n\s*", "\n", re.sub(r"<[^>]*>", tag, body))
    label = escape(description)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img" aria-label="{label}">{body}'
