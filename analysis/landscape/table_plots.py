"""Figures of a table's readings: operations, depth and width, fidelities, noise, trade-offs.

Every function draws on ``ax`` (a new figure's, if None) and returns the axes. Accuracies are drawn
in percent.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import EngFormatter, MaxNLocator

from nasbench_kit.analysis.figures import style
from nasbench_kit.analysis.landscape.pareto import ecdf, front

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from nasbench_kit.analysis.landscape.fidelity import FidelityPair, RepeatNoise
    from nasbench_kit.analysis.landscape.structure import Estimate
    from nasbench_kit.spaces.protocols import Decision

#: Marks of options.
_MARKERS = "osD^vP*X"


def draw_estimates(
    estimates: Mapping[str, Estimate],
    ax: Axes | None = None,
    published: Mapping[str, float] | None = None,
) -> Axes:
    """Means with their intervals, one line each; published values as hollow diamonds."""
    ax = style.axes(ax)
    lines = list(estimates.items())[::-1]  # the first on top
    for place, (label, estimate) in enumerate(lines):
        reach = [[estimate.mean - estimate.low], [estimate.high - estimate.mean]]
        ax.errorbar(estimate.mean, place, xerr=reach, fmt="o", color=style.BLUE, capsize=3)
        if published and label in published:
            theirs = ax.plot(published[label], place, "D", mfc="none", mec=style.VERMILION, ms=6)
            theirs[0].set_label("" if place else "the paper")
    if published:
        style.legend(ax)
    ax.axvline(0, color=style.GREY, linewidth=0.8)
    ax.set_yticks(range(len(lines)), [label for label, _ in lines])
    ax.set_ylim(-0.6, len(estimates) - 0.4)
    ax.grid(axis="y", visible=False)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    return ax


def draw_groups(
    groups: NDArray[np.int64], values: NDArray[np.float64], ax: Axes | None = None
) -> Axes:
    """Mean of the values in each group, with quartiles; the number of cells below each."""
    ax = style.axes(ax)
    names = np.unique(groups)
    quartiles = np.array([np.quantile(values[groups == g], [0.25, 0.75]) for g in names])
    ax.vlines(names, quartiles[:, 0], quartiles[:, 1], color=style.SKY, linewidth=5)
    ax.plot(names, [values[groups == g].mean() for g in names], "o-", color=style.BLUE)
    short = EngFormatter(places=0, sep="")
    ax.set_xticks(names, [f"{group}\n{short(int((groups == group).sum()))}" for group in names])
    if values.max() >= 10_000:
        ax.yaxis.set_major_formatter(EngFormatter(sep=""))
    ax.grid(axis="x", visible=False)
    return ax


def draw_options(
    decisions: Sequence[Decision], means: Sequence[NDArray[np.float64]], ax: Axes | None = None
) -> Axes:
    """One line a decision, the first on top; on it the mean value with each of its options.

    The labels for a legend name the option, of all decisions where they have different ones.
    """
    ax = style.axes(ax)
    places = np.arange(len(decisions))[::-1]
    for option in range(max(len(decision.options) for decision in decisions)):
        having = [len(decision.options) > option for decision in decisions]
        names = dict.fromkeys(
            decision.options[option] for decision in itertools.compress(decisions, having)
        )
        turn = option // len(style.COLOURS)  # another mark for the same colour
        ax.plot(
            [mean[option] for mean in itertools.compress(means, having)],
            places[having],
            _MARKERS[(option + turn) % len(_MARKERS)],
            color=style.COLOURS[option % len(style.COLOURS)],
            label=", ".join(names),
            clip_on=False,
        )
    ax.set_yticks(places, [decision.name for decision in decisions])
    ax.set_ylim(-0.6, len(decisions) - 0.4)
    ax.xaxis.set_major_locator(MaxNLocator(4))
    low, high = ax.get_xlim()
    if max(abs(low), abs(high)) >= 10_000:
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    return ax


def draw_shares(names: Sequence[str], shares: NDArray[np.float64], ax: Axes | None = None) -> Axes:
    """How much of the variance each decision explains alone, as bars, the first on top."""
    ax = style.axes(ax)
    places = np.arange(len(names))[::-1]
    ax.barh(places, 100 * shares, color=style.BLUE)
    ax.set_yticks(places, names)
    ax.set_ylim(-0.6, len(names) - 0.4)
    ax.set_xlabel("share of the variance (%)")
    ax.grid(axis="y", visible=False)
    return ax


def draw_density(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    ax: Axes | None = None,
    *,
    log: bool = False,
    scale: bool = True,
    noun: str = "cell",
) -> Axes:
    """Number of architectures at each place, in logarithmic colours.

    Args:
        x: [architectures].
        y: [architectures].
        ax: where to draw.
        log: whether the x axis is logarithmic.
        scale: whether to draw the colour bar.
        noun: what an architecture is called.
    """
    ax = style.axes(ax)
    drawn = ax.hexbin(
        x,
        y,
        gridsize=45,
        bins="log",
        mincnt=1,
        xscale="log" if log else "linear",
        cmap=style.DENSITY,
        linewidths=0.1,
        rasterized=True,
    )
    if log:
        style.count_by_factors(ax)
    if scale:
        assert ax.figure is not None
        ax.figure.colorbar(drawn, ax=ax, label=f"{noun}s", pad=0.02, aspect=30, format="{x:g}")
    return ax


def draw_front(
    cost: NDArray[np.float64], value: NDArray[np.float64], ax: Axes | None = None
) -> Axes:
    """All but the worst cells as a density, and the Pareto front as steps."""
    best = front(cost, value)
    shown = value >= min(np.quantile(value, 0.01), value[best].min())
    log = bool((cost > 0).all())
    ax = draw_density(cost[shown], value[shown], ax, log=log, scale=False)
    ax.step(cost[best], value[best], where="post", color=style.VERMILION, label="Pareto front")
    ax.plot(cost[best], value[best], ".", color=style.VERMILION, markersize=3)
    style.legend(ax)
    return ax


def draw_ecdf(
    values: Mapping[str, NDArray[np.float64]], ax: Axes | None = None, *, noun: str = "cell"
) -> Axes:
    """Share of the architectures that are at most as good as x, one curve for each array."""
    ax = style.axes(ax)
    for (label, array), color in zip(values.items(), style.COLOURS, strict=False):
        x, share = ecdf(array)
        ax.plot(x, 100 * share, color=color, drawstyle="steps-post", label=label)
    ax.set_ylabel(f"share of {noun}s (%)")
    style.legend(ax)
    return ax


def draw_agreements(
    pairs: Sequence[FidelityPair], ax: Axes | None = None, *, best: bool = False
) -> Axes:
    """Kendall's tau-b between fidelities as a triangle; ``best``: among the longer one's best 10 %."""
    ax = style.axes(ax)
    epochs = sorted({pair.short for pair in pairs} | {pair.long for pair in pairs})
    place = {e: i for i, e in enumerate(epochs)}
    taus = np.full((len(epochs) - 1, len(epochs) - 1), np.nan)
    for pair in pairs:
        agreement = pair.best if best else pair.everywhere
        row, column = place[pair.long] - 1, place[pair.short]
        taus[row, column] = agreement.tau
        ink = "white" if agreement.tau < 0.5 else "black"
        ax.text(column, row, f"{agreement.tau:.2f}", ha="center", va="center", color=ink)
    ax.imshow(taus, cmap=style.DENSITY, vmin=0, vmax=1)
    ax.set_xticks(range(len(epochs) - 1), [f"{e}" for e in epochs[:-1]])
    ax.set_yticks(range(len(epochs) - 1), [f"{e}" for e in epochs[1:]])
    ax.set_xlabel("epochs of the shorter training")
    ax.set_ylabel("epochs of the longer one")
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    return ax


def draw_noise(
    by_fidelity: Sequence[RepeatNoise], ax: Axes | None = None, *, noun: str = "cell"
) -> Axes:
    """Spread over architectures against the spread of the repeats of one, by fidelity."""
    ax = style.axes(ax)
    x = np.arange(len(by_fidelity))
    for label, line, spread in (
        (f"between {noun}s", "o-", [noise.between_cells for noise in by_fidelity]),
        ("between repeats", "s--", [noise.within_cells for noise in by_fidelity]),
        ("the same, best 10 %", "^:", [noise.best_within_cells for noise in by_fidelity]),
    ):
        ax.plot(x, 100 * np.array(spread), line, label=label)
    ax.set_xticks(x, [str(noise.epochs) for noise in by_fidelity])
    ax.set_xlabel("epochs")
    ax.set_ylabel("standard deviation (points)")
    ax.set_ylim(bottom=0)
    style.legend(ax)
    return ax


def draw_noise_by_rank(noise: RepeatNoise, ax: Axes | None = None, *, noun: str = "cell") -> Axes:
    """Standard deviation between repeats in each tenth of the architectures, worst tenth first."""
    ax = style.axes(ax)
    ax.bar(np.arange(1, 11), 100 * noise.within_tenths, color=style.BLUE)
    ax.set_xticks(range(1, 11))
    ax.set_xlabel(f"{noun}s by tenths, worst first")
    ax.set_ylabel(f"between repeats, {noise.epochs} epochs (points)")
    ax.grid(axis="x", visible=False)
    return ax


def draw_repeat_agreement(
    by_fidelity: Sequence[RepeatNoise], ax: Axes | None = None, *, noun: str = "cell"
) -> Axes:
    """Kendall's tau-b between two repeats, by fidelity."""
    ax = style.axes(ax)
    x = np.arange(len(by_fidelity))
    ax.plot(x, [noise.repeats_agree.tau for noise in by_fidelity], "o-", label=f"all {noun}s")
    ax.plot(x, [noise.best_agree.tau for noise in by_fidelity], "s--", label="best 10 %")
    ax.set_xticks(x, [str(noise.epochs) for noise in by_fidelity])
    ax.set_xlabel("epochs")
    ax.set_ylabel("tau-b of two repeats")
    ax.set_ylim(min(0, ax.get_ylim()[0]), 1)
    style.legend(ax)
    return ax
