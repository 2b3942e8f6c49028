"""How well shared weights, or proxies, rank cells: their scores against a table's true means.

Source of the measures: Yu et al., Evaluating the search phase of NAS, ICLR 2020; Zela et al.,
NAS-Bench-1Shot1, ICLR 2020, section 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.analysis.figures import style
from nasbench_kit.analysis.figures.plots import looks
from nasbench_kit.analysis.landscape.fidelity import Agreement, agreement, best_share

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from nasbench_kit.analysis.landscape.fidelity import RepeatNoise


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


def ranking(
    spent: float,
    scores: NDArray[np.float64],
    truth: NDArray[np.float64],
    recommended: float = np.nan,
) -> Ranking:
    """Compare scores [cells] with true mean accuracies [cells]; ties for the best count by their mean.

    ``spent`` and ``recommended`` are passed on: see `Ranking`.
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
    )


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
    ax.set_xlabel(f"training {clock} spent" + (" (table's clock)" if clock == "seconds" else ""))
    ax.set_ylabel("Kendall's tau-b" + (", best tenth" if best else ""))
    style.legend(ax)
    return ax


def against_truth(
    scores: NDArray[np.float64],
    truth: NDArray[np.float64],
    *,
    ylabel: str = "accuracy with shared weights, or rank",
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
        panels = 2 + len(scored)
        figure, axes = pyplot.subplots(1, panels, figsize=(2.6 * panels, 2.8), layout="constrained")
        figure.suptitle(f"{title}: scores against the truth")
        correlation_curves(rankings, ceiling.repeats_agree.tau, clock=clock, ax=axes[0])
        correlation_curves(rankings, ceiling.best_agree.tau, best=True, clock=clock, ax=axes[1])
        for ax in axes[:2]:
            ax.get_legend().remove()
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=8)
        for ax, (name, scores) in zip(axes[2:], scored.items(), strict=True):
            against_truth(scores, truth, ax=ax)
            ax.set_title(name)
        path = style.save(figure, folder, "rank-correlation")
        pyplot.close(figure)
    return path
