"""Figures of finished comparisons: intervals, ranks, targets, shares of runs, spending.

Plot functions take and return matplotlib axes; ``styles`` is the look of each algorithm (see
`nasbench_kit.analysis.figures.plots.looks`). Regrets come in [0, 1] and are drawn in points.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator

from nasbench_kit.analysis.figures import style
from nasbench_kit.analysis.figures.plots import (
    area,
    band_alpha,
    name_label,
    plain,
    regret_scale,
    spend_axis,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from nasbench_kit.analysis.figures.plots import Look
    from nasbench_kit.analysis.statistics.aggregates import Interval, Reached
    from nasbench_kit.analysis.statistics.anytime import Axis
    from nasbench_kit.analysis.statistics.rank_tests import FriedmanResult


def interval_estimates(
    ax: Axes,
    intervals: Mapping[str, Interval],
    styles: Mapping[str, Look],
    *,
    quantity: str,
    unit: str = "points",
) -> Axes:
    """A point and a bar for each algorithm, the first on top; infinite values are not drawn."""
    for place, (name, interval) in enumerate(intervals.items()):
        low, point, high = (100 * float(value) for value in interval)
        look = area(styles[name])
        if np.isfinite(high):
            ax.barh(-place, high - low, left=low, height=0.5, alpha=0.35, color=look["color"])[
                0
            ].set_gid(look["gid"])
        if np.isfinite(point):
            ax.plot([point, point], [-place - 0.25, -place + 0.25], linewidth=2.2, **look)
    _names(ax, list(intervals))
    ax.set_xlim(left=min(0.0, *(100 * float(interval[0]) for interval in intervals.values())))
    ax.set_xlabel(f"{quantity} ({unit})", loc="right")
    return ax


def _names(ax: Axes, names: Sequence[str]) -> None:
    """Label the rows with the names, from the top down."""
    ax.set_yticks(-np.arange(len(names)), [name_label(name) for name in names])
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.grid(False, axis="y")


def rank_curves(
    ax: Axes,
    grid: NDArray[np.float64],
    ranks: Mapping[str, NDArray[np.float64]],
    axis: Axis,
    styles: Mapping[str, Look],
) -> Axes:
    """Expected rank of each algorithm at each spend, best on top: [grid] each."""
    for name, values in ranks.items():
        ax.step(grid, values, where="post", **styles[name])
    spend_axis(ax, axis)
    ax.set_ylim(len(ranks) + 0.2, 0.8)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_ylabel("expected rank (1 is best)")
    return ax


def reached_curves(
    ax: Axes,
    curves: Mapping[str, Reached],
    end: float,
    axis: Axis,
    styles: Mapping[str, Look],
) -> Axes:
    """Share of runs that reached a target by each spend, up to the largest spend ``end``."""
    first = min((curve.spend[1] for curve in curves.values() if len(curve.spend) > 1), default=end)
    for name, curve in curves.items():
        spend = np.array([first, *curve.spend[1:], max(end, curve.spend[-1])])
        share = 100 * np.array([*curve.share, curve.share[-1]])
        ax.step(spend, share, where="post", **styles[name])
    spend_axis(ax, axis)
    _percent(ax, "runs that reached the target (%)")
    return ax


def _percent(ax: Axes, label: str) -> None:
    ax.set_ylim(-2, 102)
    ax.set_ylabel(label)


def fronts(
    ax: Axes,
    true: NDArray[np.float64],
    recommended: Mapping[str, NDArray[np.float64]],
    styles: Mapping[str, Look],
    *,
    cost: str,
    accuracy: str,
    steps: bool,
) -> Axes:
    """The true front and recommended ones, in the plane of one cost and accuracy.

    Args:
        ax: where to draw.
        true: cost and accuracy in per cent: [architectures, 2].
        recommended: the same of each algorithm.
        styles: of the algorithms.
        cost: its name.
        accuracy: its metric, in words.
        steps: whether points are joined, as those of two objectives are.
    """
    grey: Look = {"color": style.GREY, "linestyle": "-"}
    for points, look in [(true, grey), *((recommended[n], styles[n]) for n in recommended)]:
        x, y = points[np.argsort(points[:, 0], kind="stable")].T
        (line,) = ax.plot(x, y, marker="o", markersize=4, alpha=0.85, **look)
        line.set_drawstyle("steps-post")
        if not steps:
            line.set_linestyle("none")
        if look is grey:
            line.set_markersize(2.5)
    if (true[:, 0] > 0).all() and true[:, 0].max() > 20 * true[:, 0].min():
        ax.set_xscale("log")
    ax.set_xlabel(plain(cost))
    ax.set_ylabel(textwrap.fill(f"mean {accuracy} (%)", 30))
    return ax


def shares_within(
    ax: Axes,
    thresholds: NDArray[np.float64],
    shares: Mapping[str, Interval | NDArray[np.float64]],
    styles: Mapping[str, Look],
    *,
    quantity: str,
    unit: str = "points",
) -> Axes:
    """Share of runs with a loss at most each threshold, with a band where it has an interval."""
    for name, share in shares.items():
        look = styles[name]
        if isinstance(share, np.ndarray):
            point = share
        else:
            point = share.point
            band = (100 * share.low, 100 * share.high)
            ax.fill_between(
                100 * thresholds,
                *band,
                step="post",
                alpha=band_alpha(len(shares)),
                lw=0,
                **area(look),
            )
        ax.step(100 * thresholds, 100 * point, where="post", **look)
    regret_scale(ax.xaxis, 100 * thresholds)
    ax.set_xlim(100 * thresholds[0], 100 * thresholds[-1] or 1)
    ax.set_xlabel(f"{quantity} ({unit})")
    _percent(ax, "runs within that (%)")
    return ax


def stacked_bars(
    ax: Axes,
    bars: Mapping[str, Mapping[str, float]],
    styles: Mapping[str, Look],
    *,
    limit: float | None = None,
) -> Axes:
    """One horizontal bar for each algorithm, the first on top, of parts that fade from first to last.

    Args:
        ax: where to draw.
        bars: algorithm -> part -> length; all have the same parts in the same order.
        styles: of the algorithms.
        limit: drawn as a line, if given.
    """
    from matplotlib.patches import Patch

    parts = list(dict.fromkeys(part for bar in bars.values() for part in bar))
    alphas = np.linspace(1, 0.3, len(parts)) if len(parts) > 1 else np.ones(1)
    for place, (name, bar) in enumerate(bars.items()):
        left = 0.0
        for part, alpha in zip(parts, alphas, strict=True):
            length = bar.get(part, 0.0)
            (drawn,) = ax.barh(
                -place, length, left=left, height=0.66, alpha=alpha, color=styles[name]["color"]
            )
            drawn.set_gid(styles[name]["gid"])
            left += length
    _names(ax, list(bars))
    style.thousands(ax)
    if limit is not None:
        ax.axvline(limit, color=style.GREY, linestyle="--", linewidth=1)
    if len(parts) > 1:
        keys = [
            Patch(color=style.GREY, alpha=alpha, label=plain(part))
            for part, alpha in zip(parts, alphas, strict=True)
        ]
        ax.legend(
            handles=keys, loc="lower right", bbox_to_anchor=(1, 1), ncols=len(keys), frameon=False
        )
    return ax


def critical_difference(ax: Axes, friedman: FriedmanResult, styles: Mapping[str, Look]) -> Axes:
    """Mean ranks on a line, best at the left; bars join algorithms that Nemenyi's test cannot separate.

    Source: Demsar 2006, figure 1.
    """
    from pandas import DataFrame
    from scikit_posthocs import critical_difference_diagram

    names = list(friedman.algorithms)
    ranks = dict(zip(names, friedman.mean_ranks.tolist(), strict=True))
    drawn = critical_difference_diagram(
        ranks,
        DataFrame(friedman.pairs, index=names, columns=names),
        ax=ax,
        color_palette={name: styles[name]["color"] for name in names},
        label_fmt_left="{label}",
        label_fmt_right="{label}",
        marker_props={"s": 25},
        elbow_props={"linewidth": 1.2},
        crossbar_props={"color": style.GREY, "linewidth": 4},
        text_h_margin=0.2,
    )
    for label, elbow, marker in zip(
        drawn["labels"], drawn["elbows"], drawn["markers"], strict=True
    ):
        name, at_left = label.get_text(), label.get_ha() == "right"
        rank = f"{ranks[name]:.2f}"
        text = f"{name_label(name)}  {rank}" if at_left else f"{rank}  {name_label(name)}"
        gap = 0.01 * len(names)
        label.set(
            text=text, color=style.BLACK, x=label.get_position()[0] + (-gap if at_left else gap)
        )
        for artist in (label, elbow, marker):
            artist.set_gid(styles[name]["gid"])
    for (bar,) in drawn["crossbars"]:  # its points come in the order of a set, which varies
        bar.set_xdata(np.sort(bar.get_xdata()))
    ax.plot([1, 1 + friedman.critical_difference], [1.3, 1.3], color=style.GREY, linewidth=1.6)
    ax.text(1, 1.5, f"critical difference {friedman.critical_difference:.2f}", va="bottom")
    ax.set_xlim(1, len(names))
    ax.set_ylim(top=2.2)
    ax.set_xticks(range(1, len(names) + 1))
    ax.spines["top"].set_visible(True)
    ax.grid(False)
    return ax
