"""How well shared weights, or proxies, rank cells: their scores against a table's true means.

Source of the measures: Yu et al., Evaluating the search phase of NAS, ICLR 2020; Zela et al.,
NAS-Bench-1Shot1, ICLR 2020, section 4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.analysis.figures import style
from nasbench_kit.analysis.figures.plots import looks
from nasbench_kit.analysis.landscape.fidelity import Agreement, agreement, best_share
from nasbench_kit.spaces.nasbench101.space import CellSpace

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from nasbench_kit.analysis.landscape.fidelity import RepeatNoise


#: What goes up before a search by gradient collapses onto operations without weights (Zela et al., 2020).
COLLAPSE = {
    "eigenvalue": "dominant Hessian eigenvalue",
    "skips": "skips recommended",
    "pools": "poolings recommended",
}
#: Panels beside each other in the figure.
_COLUMNS = 4


@dataclass(frozen=True)
class Ranking:
    """Scores against true means, at one moment of a search; a proxy has one, before any training."""

    #: Spent on training the shared weights: seconds by the table's clock, or epochs.
    spent: float
    #: Over all scored cells, and over the best tenth of them by true accuracy.
    everywhere: Agreement
    best: Agreement
    #: Share of truly best cells among the tenth that scores best.
    hits: float
    #: True accuracy lost by taking the cell with the best score, in [0, 1].
    regret: float
    #: The same for the cell that the search recommends; NaN where there is none.
    recommended: float
    #: The dominant eigenvalue of the reward loss' Hessian by the logits; NaN where there are none.
    eigenvalue: float = np.nan
    #: Operations of the recommended cell that have no weights: skip connections, and poolings; NaN where
    #: there is no cell, or its space has no such operation.
    skips: float = np.nan
    pools: float = np.nan


def ranking(
    spent: float,
    scores: NDArray[np.float64],
    truth: NDArray[np.float64],
    recommended: float = np.nan,
    **signs: float,
) -> Ranking:
    """Compare scores [cells] with true mean accuracies [cells]; ties for the best count by their mean.

    ``spent``, ``recommended`` and the signs of a collapse are passed on: see `Ranking`.
    """
    best = best_share(truth)
    chosen = best_share(scores)
    return Ranking(
        spent,
        agreement(scores, truth),
        agreement(scores[best], truth[best]),
        float((best & chosen).sum() / chosen.sum()),
        float(truth.max() - truth[scores == scores.max()].mean()),
        recommended,
        **signs,
    )


def without_weights(space: Any, architecture: Any) -> tuple[float, float]:
    """How many skip connections and how many poolings an architecture has: a search that collapses gains them.

    Args:
        space: of cells with operations on vertices or on edges; of others neither is known (NaN).
        architecture: of the space.
    """
    if isinstance(space, CellSpace):  # no operation of theirs is a skip connection
        return np.nan, float(sum("pool" in operation for operation in architecture.operations))
    if not hasattr(space, "taken"):
        return np.nan, np.nan
    slots = space.slots
    names = [slots[slot].operations[option] for slot, option in space.taken(architecture).items()]
    options = {operation for slot in slots for operation in slot.operations}

    def counted(words: tuple[str, ...]) -> float:
        if not any(word in option for option in options for word in words):
            return np.nan
        return float(sum(any(word in name for word in words) for name in names))

    return counted(("skip", "identity")), counted(("pool",))


def collapse_curves(
    rankings: Mapping[str, Sequence[Sequence[Ranking]]],
    what: str,
    ylabel: str,
    *,
    clock: str = "seconds",
    ax: Axes,
) -> Axes:
    """What tells a collapse while the weights are trained: "eigenvalue", "skips" or "pools" of each run.

    Args:
        rankings: as for ``correlation_curves``; methods without such values have no line.
        what: a field of `Ranking`.
        ylabel: of the axes.
        clock: what is spent, "seconds" of a table or "epochs".
        ax: axes to draw on.
    """
    for name, look in looks(rankings).items():
        for number, run in enumerate(rankings[name]):
            values = [getattr(moment, what) for moment in run]
            if not np.isnan(values).all():
                label = None if number else name
                spent = [moment.spent for moment in run]
                ax.plot(spent, values, label=label, marker="o", **look)
    ax.set_xlabel(_spent(clock))
    ax.set_ylabel(ylabel)
    return ax


def _spent(clock: str) -> str:
    """What the axis of spending is called."""
    return f"training {clock} spent" + (" (table's clock)" if clock == "seconds" else "")


def correlation_curves(
    rankings: Mapping[str, Sequence[Sequence[Ranking]]],
    ceiling: float,
    *,
    best: bool = False,
    clock: str = "seconds",
    ax: Axes | None = None,
) -> Axes:
    """Kendall's tau-b while the weights are trained: one line for each run, one colour for each method.

    Args:
        rankings: of every method, by run, in the order of spending.
        ceiling: tau-b of two trainings from scratch.
        best: among the best tenth by true accuracy instead of all cells.
        clock: what is spent, "seconds" of a table or "epochs".
        ax: axes to draw on; new ones otherwise.
    """
    ax = style.axes(ax)
    for name, look in looks(rankings).items():
        for number, run in enumerate(rankings[name]):
            taus = [(moment.best if best else moment.everywhere).tau for moment in run]
            ax.plot(
                [moment.spent for moment in run],
                taus,
                label=None if number else name,
                marker="o",
                **look,
            )
    ax.axhline(ceiling, color=style.GREY, linestyle="--", label="two repeats of the truth")
    ax.axhline(0, color=style.BLACK, linewidth=0.8)
    ax.set_xlabel(_spent(clock))
    ax.set_ylabel("Kendall's tau-b" + (", best tenth" if best else ""))
    style.legend(ax)
    return ax


def against_truth(
    scores: NDArray[np.float64],
    truth: NDArray[np.float64],
    *,
    ylabel: str = "shared weights' accuracy,\nor a proxy's rank",
    ax: Axes | None = None,
) -> Axes:
    """Every cell: its shared-weight accuracy, or a proxy's rank for it (1 is best), over its true mean."""
    ax = style.axes(ax)
    ax.plot(truth, scores, ".", markersize=2.5, alpha=0.5, color=style.BLUE, rasterized=True)
    ax.set_xlabel("true mean validation accuracy")
    ax.set_ylabel(ylabel)
    return ax


def save_figure(
    folder: Path,
    title: str,
    rankings: Mapping[str, Sequence[Sequence[Ranking]]],
    *,
    scored: Mapping[str, NDArray[np.float64]],
    truth: NDArray[np.float64],
    ceiling: RepeatNoise,
    clock: str = "seconds",
) -> Path:
    """Both correlations over time, and each method's last scores against the truth, as one figure.

    Args:
        folder: where rank-correlation.png and .pdf are written.
        title: of the figure.
        rankings: as for ``correlation_curves``.
        scored: scores [cells] of one run of each method.
        truth: true means [cells].
        ceiling: how well two trainings agree.
        clock: as for ``correlation_curves``.
    """
    from matplotlib import pyplot

    with style.figure_style():
        signs = [what for what in COLLAPSE if _any_known(rankings, what)]
        panels = 2 + len(signs) + len(scored)
        columns = min(panels, _COLUMNS)
        rows = math.ceil(panels / columns)
        size = 2.6 * columns, 0.4 + 2.4 * rows
        figure, grid = pyplot.subplots(
            rows, columns, figsize=size, layout="constrained", squeeze=False
        )
        axes = grid.ravel()
        for ax in axes[panels:]:
            ax.remove()
        figure.suptitle(f"{title}: scores against the truth")
        correlation_curves(rankings, ceiling.repeats_agree.tau, clock=clock, ax=axes[0])
        correlation_curves(rankings, ceiling.best_agree.tau, best=True, clock=clock, ax=axes[1])
        for ax in axes[:2]:
            ax.get_legend().remove()
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=8)
        for ax, what in zip(axes[2:], signs, strict=False):
            collapse_curves(rankings, what, COLLAPSE[what], clock=clock, ax=ax)
        for ax, (name, scores) in zip(axes[2 + len(signs) : panels], scored.items(), strict=True):
            against_truth(scores, truth, ax=ax)
            ax.set_title(name)
        path = style.save(figure, folder, "rank-correlation")
        pyplot.close(figure)
    return path


def _any_known(rankings: Mapping[str, Sequence[Sequence[Ranking]]], what: str) -> bool:
    moments = [moment for runs in rankings.values() for run in runs for moment in run]
    return not all(np.isnan(getattr(moment, what)) for moment in moments)
