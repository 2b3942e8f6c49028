"""Figures of comparisons. Plot functions take and return matplotlib axes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from nasbench_kit.analysis import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from nasbench_kit.analysis.anytime import Axis, Curve

_LABELS = {
    "seconds": "training seconds spent (table's clock)",
    "epochs": "epochs spent",
    "queries": "queries",
}


def anytime(ax: Axes, curves: Mapping[str, Curve], axis: Axis, *, metric: str) -> Axes:
    """Median regret (steps) and quartiles (band) of each algorithm against spend.

    Args:
        ax: where to draw.
        curves: regret in [0, 1] by algorithm.
        axis: what the curves' grid counts.
        metric: what the regret is in, as ``test_accuracy``.
    """
    shown: list[NDArray[np.float64]] = []
    finite_upper = 0.0
    for name, curve in curves.items():
        known = np.isfinite(curve.median)
        lower, median = 100 * curve.lower[known], 100 * curve.median[known]
        upper = np.where(np.isfinite(curve.upper), 100 * curve.upper, 100.0)[known]
        (line,) = ax.step(curve.grid[known], median, where="post", label=name)
        ax.fill_between(
            curve.grid[known], lower, upper, step="post", alpha=0.2, color=line.get_color(), lw=0
        )
        shown += [lower, median]
        finite_upper = max(finite_upper, 100 * curve.upper[np.isfinite(curve.upper)].max(initial=0))
    values = np.concatenate(shown)
    if not len(values):
        ax.text(0.5, 0.5, "no run recommended a cell", transform=ax.transAxes, ha="center")
        return ax
    ax.set_xscale("log")
    if (values > 0).any():  # linear below the smallest regret, so that 0 has a place
        ax.set_yscale("symlog", linthresh=values[values > 0].min(), linscale=0.3)
        ax.set_ylim(0, 1.3 * max(values.max(), finite_upper))
    for number in (ax.xaxis, ax.yaxis):
        number.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel(_LABELS[axis])
    ax.set_ylabel(f"regret in mean {metric.replace('_', ' ')} (points)")
    ax.legend()
    return ax


def save_anytime(
    folder: Path, curves: Mapping[str, Curve], axis: Axis, *, metric: str, table: str
) -> Path:
    """Write the any-time figure as PNG and PDF; returns the PNG's path."""
    with style.figure_style():
        figure = Figure(figsize=(6.4, 4.0), layout="constrained")
        ax = anytime(figure.subplots(), curves, axis, metric=metric)
        ax.set_title(f"Any-time regret on {table}: median and quartiles over runs")
        return style.save(figure, folder, f"regret-{axis}")
