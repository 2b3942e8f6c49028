"""How a report prints numbers, and the small drawings in its tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.analysis.report.inline_svg import VARIABLES

if TYPE_CHECKING:
    from nasbench_kit.analysis.figures.plots import Look
    from nasbench_kit.analysis.statistics.aggregates import Interval


def swatch(look: Look) -> str:
    """The line of a series as a small drawing."""
    dashes = look["linestyle"]
    pattern = "" if dashes == "-" else " ".join(f"{1.6 * part:g}" for part in dashes[1])
    return (
        '<svg class="swatch" viewBox="0 0 22 8" aria-hidden="true"><path d="M1 4H21" '
        f'stroke="{VARIABLES[look["color"]]}" stroke-width="3" stroke-dasharray="{pattern}"/></svg>'
    )


def whisker(interval: Interval, intervals: Sequence[Interval]) -> str:
    """An interval as a small drawing; all of a table share one scale, which marks 0."""
    ends = [0.0, *(float(value) for one in intervals for value in one if np.isfinite(value))]
    least = min(ends)
    across = (max(ends) - least) or 1.0
    low, point, high = (
        4 + 112 * (float(value) - least) / across if np.isfinite(value) else 120.0
        for value in interval
    )
    zero = 4 - 112 * least / across
    dot = f'<circle cx="{point:.1f}" cy="8" r="4"/>' if np.isfinite(interval.point) else ""
    return (
        '<svg class="whisker" viewBox="0 0 120 16" aria-hidden="true">'
        f'<path d="M{zero:g} 2V14" '
        f'class="zero"/><path d="M{low:.1f} 8H{high:.1f}"/>{dot}</svg>'
    )


def points(value: float) -> str:
    """A regret in [0, 1] as points."""
    return f"{100 * value:.2f}".replace("-", "−") if np.isfinite(value) else "none"


def span(interval: Sequence[float]) -> str:
    """The ends of an interval of regrets, as points."""
    if not np.isfinite(interval[1]):
        return "–"
    return f"{points(interval[0])} to {points(interval[2])}"


def perplexity(error: float) -> str:
    """What an error in [0, 1] is on text, where it is 1 - 1 / perplexity."""
    return f"{1 / (1 - error):.2f}" if np.isfinite(error) else "none"


def perplexities(interval: Sequence[float]) -> str:
    """The ends of an interval of errors, as perplexities."""
    if not np.isfinite(interval[1]):
        return "–"
    return f"{perplexity(interval[0])} to {perplexity(interval[2])}"


def p_value(value: float) -> str:
    """A p-value, rounded as papers print it."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def sort_key(value: float | None) -> str:
    """A number in JavaScript's notation, to sort by; unknown ones come last."""
    return repr(float(value)) if value is not None and np.isfinite(value) else "Infinity"


def amount(value: float) -> str:
    """A count or a number of seconds, with three or four significant digits."""
    if value >= 1000:
        return f"{value:,.0f}"
    if 0 <= value < 0.01:
        return "0" if value == 0 else "< 0.01"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.1f}"


def ahead_from(spend: float) -> str:
    """The spend from which an algorithm is ahead; two digits, as it is read off a grid."""
    if np.isinf(spend):
        return "never"
    return amount(float(f"{spend:.2g}")) if spend else "the start"


def times_sooner(ratio: float) -> str:
    """How much sooner an algorithm reached a regret."""
    if np.isinf(ratio):
        return "∞"
    return f"{ratio:.1f} ×" if ratio else "never"
