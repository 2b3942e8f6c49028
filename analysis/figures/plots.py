"""Figures of comparisons. Plot functions take and return matplotlib axes; regrets are drawn in points.

A series (an algorithm) looks the same in all figures: ``looks`` gives its colour, its dashes and the
gid by which a page finds the series' artists.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from nasbench_kit.analysis.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from nasbench_kit.analysis.statistics.anytime import Axis, Curve

    Look = Mapping[str, Any]

LABELS: dict[Axis, str] = {
    "seconds": "training seconds spent (table's clock)",
    "epochs": "epochs spent",
    "queries": "queries",
    "elapsed": "time elapsed (table's clock)",
}
#: Most letters of a name in a figure.
_LONGEST = 32
#: Marks in each decade of regrets, how many times the least regret they begin at, and how many there may
#: be; the first choice that does not crowd a panel a quarter of a page wide is taken.
_MARKS = (((1, 2, 5), 1, 9), ((1,), 1, 4), ((1,), 10, np.inf))
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))


def looks(names: Iterable[str]) -> dict[str, Look]:
    """Colour, dashes and gid (``series-N``) of each algorithm, by position; dashed from the ninth."""
    count = len(style.COLOURS)
    return {
        name: {
            "color": style.COLOURS[place % count],
            "linestyle": _DASHES[place // count % len(_DASHES)],
            "gid": f"series-{place}",
        }
        for place, name in enumerate(names)
    }


def area(look: Look) -> dict[str, Any]:
    """The part of a look that applies to areas."""
    return {"color": look["color"], "gid": look["gid"]}


def band_alpha(count: int) -> float:
    """Opacity of each band: the more bands overlap, the more transparent they are."""
    return min(0.2, 0.8 / count)


def plain(text: str) -> str:
    """Text with dollar signs escaped: a user's text is no formula."""
    return text.replace("$", r"\$")


def name_label(name: str) -> str:
    """A name for a label, shortened so that the data have room."""
    return plain(name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…")


def anytime(
    ax: Axes,
    curves: Mapping[str, Curve],
    axis: Axis,
    *,
    metric: str,
    loss: str = "regret",
    styles: Mapping[str, Look] | None = None,
) -> Axes:
    """Median regret (steps) and quartiles (band) of each algorithm against spend.

    Where a quarter of the runs has recommended nothing yet, the band has no upper end: it reaches the
    edge of the axes, and arrowheads along the edge show that it continues.

    Args:
        ax: where to draw.
        curves: regret in [0, 1] by algorithm.
        axis: the unit of spending of the curves' grid.
        metric: of which the loss is taken, such as ``test_accuracy``.
        loss: "regret", or "error" where the best accuracy is unknown.
        styles: of the algorithms; without them the axes get a legend below them.
    """
    shown: list[NDArray[np.float64]] = []
    finite_upper = 0.0
    for name, curve in curves.items():
        look = (styles or looks(curves))[name]
        defined = np.isfinite(curve.median)
        lower, median = 100 * curve.lower[defined], 100 * curve.median[defined]
        upper = np.where(np.isfinite(curve.upper), 100 * curve.upper, 100.0)[defined]
        ax.step(curve.grid[defined], median, where="post", label=name_label(name), **look)
        ax.fill_between(
            curve.grid[defined],
            lower,
            upper,
            step="post",
            alpha=band_alpha(len(curves)),
            lw=0,
            **area(look),
        )
        shown += [lower, median]
        _mark_open(ax, curve, look)
        finite_upper = max(finite_upper, 100 * curve.upper[np.isfinite(curve.upper)].max(initial=0))
    values = np.concatenate(shown)
    if not len(values):
        ax.text(0.5, 0.5, "no run recommended a cell", transform=ax.transAxes, ha="center")
        return ax
    regret_scale(ax.yaxis, values)
    if (values > 0).any():
        ax.set_ylim(1.3 * min(values.min(), 0), 1.3 * max(values.max(), finite_upper))
    spend_axis(ax, axis)
    of = textwrap.fill(f"{metric.replace('_', ' ')} (points)", 30)
    ax.set_ylabel(f"{loss} in mean\n{of}")
    if styles is None:
        style.legend(ax, columns=3)
    return ax


def is_open(curve: Curve) -> NDArray[np.bool_]:
    """Where there is a median but no upper quartile: [grid]."""
    return np.isfinite(curve.median) & ~np.isfinite(curve.upper)


def _mark_open(ax: Axes, curve: Curve, look: Look) -> None:
    """Arrowheads along the upper edge of the axes where the band continues above it."""
    places = np.flatnonzero(is_open(curve))
    if not len(places):
        return  # the layout would take an empty line for a point at the corner
    some = places[:: max(1, len(curve.grid) // 40)]
    ax.plot(
        curve.grid[some],
        np.ones(len(some)),
        marker=6,  # a caret with its tip at the place
        markersize=5,
        linestyle="none",
        transform=ax.get_xaxis_transform(),
        clip_on=False,
        **area(look),
    )


def regret_scale(axis: Any, points: NDArray[np.float64]) -> None:
    """Logarithmic, but linear below the smallest regret, so that 0 has a place; some marks at 1, 2, 5.

    Negative regrets, of cells outside the table that beat its best, mirror this below 0.
    """
    sizes = np.abs(points[points != 0])
    if len(sizes):
        least, most = sizes.min(), sizes.max()
        scale = {"linthresh": least, "linscale": 0.25}
        (axis.axes.set_xscale if axis.axis_name == "x" else axis.axes.set_yscale)("symlog", **scale)
        decades = range(int(np.floor(np.log10(least))), int(np.ceil(np.log10(most))) + 1)
        for steps, first, most_marks in _MARKS:
            marks = [step * 10.0**decade for decade in decades for step in steps]
            marks = [mark for mark in marks if mark >= first * least]
            below = [-mark for mark in marks if mark <= -points.min()]
            if len(marks) + len(below) <= most_marks:
                break
        axis.set_major_locator(FixedLocator([*reversed(below), 0.0, *marks]))
        axis.set_minor_locator(NullLocator())
    _plain_numbers(axis)


def spend_axis(ax: Axes, axis: Axis) -> None:
    """Set up an x axis of spending."""
    ax.set_xscale("log")
    style.count_by_factors(ax)
    ax.set_xlabel(LABELS[axis])


def _plain_numbers(axis: Any) -> None:
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def legend(figure: Figure, names: Sequence[str], styles: Mapping[str, Look]) -> None:
    """A legend of algorithms below a figure's axes."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=styles[n]["color"], linestyle=styles[n]["linestyle"]) for n in names
    ]
    figure.legend(
        handles,
        [name_label(n) for n in names],
        loc="outside lower center",
        ncols=min(4, len(names)),
    )


def save_anytime(
    folder: Path,
    curves: Mapping[str, Curve],
    axis: Axis,
    *,
    metric: str,
    table: str,
    loss: str = "regret",
) -> Path:
    """Write the any-time figure as PNG and PDF; returns the PNG's path."""
    with style.figure_style():
        figure = Figure(figsize=(6.4, 4.0), layout="constrained")
        anytime(figure.subplots(), curves, axis, metric=metric, loss=loss)
        title = f"Any-time {loss} on {plain(table)}: median and quartiles over runs"
        if any(is_open(curve).any() for curve in curves.values()):
            title += "\nArrowheads: a quarter of the runs has recommended nothing yet"
        figure.suptitle(title, x=0.01, ha="left", fontsize="medium")
        return style.save(figure, folder, f"{loss.replace(' ', '-')}-{axis}")
