"""Figures of the landscape: random walks, distances, top cells, local search.

Every function draws a result of `random_walk`, `locality`, `distance` or `local_search` on ``ax``
(a new figure's, if None) and returns the axes. Accuracies are drawn in percent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.analysis.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from nasbench_kit.analysis.landscape.local_search import LocalSearchOutcome
    from nasbench_kit.analysis.landscape.locality import ByDistance, Correlogram
    from nasbench_kit.analysis.landscape.random_walk import Autocorrelation


def draw_autocorrelation(curves: Mapping[str, Autocorrelation], ax: Axes | None = None) -> Axes:
    """Autocorrelation against distance sqrt(lag): points with 95 % intervals, lines where exact.

    The grey band is what a single walk of 10,000 steps shows by chance where there is no correlation.
    """
    ax = style.axes(ax)
    noise = next(iter(curves.values())).noise()
    ax.axhspan(-noise, noise, color=style.GREY, alpha=0.25, linewidth=0, label="noise of one walk")
    for (label, curve), color in zip(curves.items(), style.COLOURS, strict=False):
        if curve.error is None:
            ax.plot(curve.distance, curve.rho, color=color, label=label)
        else:
            ax.errorbar(
                curve.distance,
                curve.rho,
                1.96 * curve.error,
                fmt=".",
                color=color,
                label=label,
                zorder=3,
            )
    ax.set_xlabel("distance √lag")
    ax.set_ylabel("autocorrelation of accuracy")
    style.legend(ax)
    return ax


def draw_by_distance(
    by_distance: ByDistance, ax: Axes | None = None, label: str = "", *, noun: str = "cell"
) -> Axes:
    """Mean accuracy at each distance, with the band of 90 % of the architectures there."""
    ax = style.axes(ax)
    x = np.flatnonzero(by_distance.cells)
    ax.fill_between(
        x,
        100 * by_distance.low[x],
        100 * by_distance.high[x],
        color=style.SKY,
        alpha=0.4,
        lw=0,
        label=f"90 % of {noun}s",
    )
    ax.plot(x, 100 * by_distance.mean[x], "o-", color=style.BLUE, label="mean")
    style.count_by_ones(ax)
    ax.set_xlabel(f"distance to {label or 'the nearest target'}")
    ax.set_ylabel("accuracy (%)")
    style.legend(ax, title=f"correlation {by_distance.correlation:.2f}")
    return ax


def draw_correlogram(
    correlogram: Correlogram, ax: Axes | None = None, label: str = "edit distance of two cells"
) -> Axes:
    """Correlation of the accuracies of two architectures by their distance, with 95 % intervals."""
    ax = style.axes(ax)
    x = np.flatnonzero(
        (correlogram.pairs >= 100) & (correlogram.error < 0.2)
    )  # others are too uncertain to be drawn
    ax.axhline(0, color=style.GREY, linewidth=0.8)
    ax.errorbar(
        x, correlogram.rho[x], 1.96 * correlogram.error[x], fmt="o-", color=style.BLUE, capsize=2
    )
    style.count_by_ones(ax)
    ax.set_xlabel(label)
    ax.set_ylabel("correlation of accuracies")
    return ax


def draw_volume(
    valid: NDArray[np.int64], everything: NDArray[np.int64] | None, ax: Axes | None = None
) -> Axes:
    """Share of all encodings within each distance of the nearest top encoding.

    Args:
        valid: counts by distance of the encodings that are cells (`encoding_distances`), or of the
            architectures of another space.
        everything: the same of all encodings; None in another space, where there is no difference.
        ax: where to draw.
    """
    ax = style.axes(ax)
    ax.plot(100 * valid.cumsum() / valid.sum(), "o-", label="valid encodings", markersize=3)
    if everything is None:
        ax.set_xlabel("distance to the nearest of the best")
    else:
        share = 100 * everything.cumsum() / everything.sum()
        ax.plot(share, "s--", label="all encodings", markersize=3)
        ax.set_xlabel("edit distance to the nearest top encoding")
    style.count_by_ones(ax)
    ax.set_ylabel("share within it (%)")
    ax.set_ylim(0, 102)
    if everything is not None:
        style.legend(ax)
    return ax


def draw_neighbourhoods(
    top: NDArray[np.float64],
    around: Sequence[NDArray[np.float64]],
    ax: Axes | None = None,
    *,
    noun: str = "cell",
) -> Axes:
    """The accuracies of all neighbours of each top cell: quartiles, 5 % to 95 %, and the cell's own.

    Args:
        top: accuracy of each top cell, best first.
        around: the accuracies of its neighbours.
        ax: where to draw.
        noun: what an architecture is called.
    """
    ax = style.axes(ax)
    for place, (own, near) in enumerate(zip(top.tolist(), around, strict=True), start=1):
        if len(near):
            low, first, median, third, high = 100 * np.quantile(near, [0.05, 0.25, 0.5, 0.75, 0.95])
            ax.plot([place, place], [low, high], color=style.SKY, linewidth=1)
            ax.plot([place, place], [first, third], color=style.BLUE, linewidth=4)
            ax.plot(place, median, "_", color="white", markersize=5)
        ax.plot(place, 100 * own, "*", color=style.VERMILION, markersize=7)
    style.count_by_ones(ax)
    ax.set_xlabel(f"top {noun}s, best first")
    ax.set_ylabel("accuracy (%)")
    ax.plot([], [], "*", color=style.VERMILION, label=f"the {noun}")
    ax.plot([], [], color=style.BLUE, linewidth=4, label="half of its neighbours")
    ax.plot([], [], color=style.SKY, linewidth=1, label="90 % of them")
    style.legend(ax)
    return ax


def draw_reach(
    values: NDArray[np.float64],
    searches: Mapping[str, LocalSearchOutcome],
    ax: Axes | None = None,
    *,
    noun: str = "cell",
) -> Axes:
    """Probability that a search ends with a regret of at most x, and the same for a random draw."""
    ax = style.axes(ax)
    regret = 100 * (values.max() - values)
    order = np.argsort(regret)
    # A logarithmic axis cannot show regret 0: the curves start at its left edge.
    shown = np.maximum(regret[order], regret[regret > 0].min() / 2)
    uniform = np.full(len(values), 1 / len(values))
    curves = {label: search.basin for label, search in searches.items()} | {
        f"a random {noun}": uniform
    }
    lines = zip(curves.items(), (*style.COLOURS[: len(searches)], style.GREY), strict=True)
    for (label, weight), color in lines:
        ax.plot(
            shown, 100 * weight[order].cumsum(), color=color, drawstyle="steps-post", label=label
        )
    ax.set_xscale("log")
    style.count_by_factors(ax)
    ax.set_xlabel(f"regret of the final {noun} (points)")
    ax.set_ylabel("probability (%)")
    style.legend(ax)
    return ax


def draw_basins(
    searches: Mapping[str, LocalSearchOutcome], ax: Axes | None = None, *, noun: str = "cell"
) -> Axes:
    """Share of all starts that end at each local optimum, largest first; axes logarithmic where wide."""
    ax = style.axes(ax)
    basins = np.concatenate([search.basin[search.basin > 0] for search in searches.values()])
    for (label, search), color in zip(searches.items(), style.COLOURS, strict=False):
        sizes = np.sort(search.basin[search.basin > 0])[::-1]
        ax.plot(np.arange(1, len(sizes) + 1), 100 * sizes, color=color, label=label)
    if basins.max() > 10 * basins.min():
        ax.set_xscale("log")
        ax.set_yscale("log")
        style.count_by_factors(ax)
    else:
        style.count_by_ones(ax)
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set_xlabel("local optima, largest basin first")
    ax.set_ylabel(f"basin (% of all {noun}s)")
    style.legend(ax)
    return ax
