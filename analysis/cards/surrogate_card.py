"""The data card of a surrogate: how it was made and how good it is, in Markdown with one figure.

Every number is computed from the surrogate, so that the card cannot disagree with it.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.analysis.cards.table_card import listed, markdown_grid
from nasbench_kit.analysis.figures import style
from nasbench_kit.data.building.clock import processor
from nasbench_kit.data.surrogate.fit import ACCURACY, FOLDS
from nasbench_kit.data.surrogate.noise import REPEATS, shared_error
from nasbench_kit.table.noise import Noise

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from nasbench_kit.data.surrogate.fit import Surrogate

    Array = NDArray[np.float64]

#: Share of the cells that count as the best ones.
_TOP = 0.1
#: Percentiles that divide the measured accuracies into ranges.
_RANGES = (0, 1, 5, 25, 50, 75, 90, 99, 100)
#: Groups that the calibration curve averages over.
_GROUPS = 20


def agreement(predicted: Array, measured: Array) -> dict[str, float]:
    """How well predictions [n] agree with measurements [n].

    R² (coefficient of determination), Kendall's tau-b, Spearman's rho and mean absolute error; for the
    best tenth by measurement also Spearman's rho (``top``), and the share of it that is in the best tenth
    by prediction (``found``).
    """
    from scipy.stats import kendalltau, spearmanr

    best = measured >= np.quantile(measured, 1 - _TOP)
    chosen = predicted >= np.quantile(predicted, 1 - _TOP)
    unexplained = ((predicted - measured) ** 2).sum() / ((measured - measured.mean()) ** 2).sum()
    return {
        "r2": float(1 - unexplained),
        "tau": float(kendalltau(predicted, measured).statistic),
        "spearman": float(spearmanr(predicted, measured).statistic),
        "mae": float(np.abs(predicted - measured).mean()),
        "top": float(spearmanr(predicted[best], measured[best]).statistic),
        "found": float((best & chosen).sum() / best.sum()),
    }


def surrogate_card(surrogate: Surrogate, command: str, minutes: float, figure: str) -> str:
    """The card of a surrogate.

    Args:
        surrogate: the one described, just fitted.
        command: the command that fits it again.
        minutes: time that the fit took on one core.
        figure: file name of the figure that ``draw_calibration`` draws.
    """
    table = surrogate.table
    made, longest = table.provenance, table.epochs[-1]
    lines = [
        f"# {table.name}: {len(table):,} cells, predicted by a surrogate",
        "",
        (f"**No measurement.** Every number is a prediction, learnt from {len(surrogate.rows):,} measured "
        f"cells of `{made['of']}` (checksum {made['of_checksum'][:16]}…). It holds validation accuracy"
        f"{' and seconds' if surrogate.seconds else ''}; it has no test and no train accuracy and nothing "
        "halfway, because none was learnt."),
        "",
        (f"Made by `{command}` in {minutes:.0f} minutes of one core of {processor()} (Python "
        f"{platform.python_version()}, scikit-learn {version('scikit-learn')}). The same seed and versions "
        f"give the same table, on any number of threads. Checksum {table.checksum[:16]}…."),
        "",
        "## How",
        "",
        ("Accuracy: gradient boosting on exact features of the cell (operations that are joined, what lies "
        "on its paths, where each operation stands), apart for each fidelity. A measured cell is predicted by "
        f"cross-validation, by a model that was fitted without it and 1/{FOLDS} of the others; every other cell "
        "by a model of all that was measured. So no measured accuracy is in the table, "
        "and all figures here are of cells that the model had not seen. Accuracies are stored to 1/65,535."),
        "",
        _seconds(surrogate),
        "",
        _failures(surrogate),
        "",
        "## How good (cross-validation)",
        "",
        (("Each measured cell was trained once, so noise between repeats keeps every figure from its ideal. "
        if surrogate.measured.shape[2] == 1 else "")
        + "Failed trainings are left out, but for the last column. *Top tenth*: the tenth of the cells that "
        "measured best; *found*: its share in the predicted top tenth."),
        "",
        *markdown_grid(
            ("epochs", "cells", "R²", "tau-b", "Spearman", "mean absolute error", "Spearman, top tenth", "found", "R² with failures"),
            _quality(surrogate),
        ),
        "",
        f"![Measured against predicted accuracy]({figure})",
        "",
        ("Figure: measured cells (shade: their number, logarithmic); the line joins the means of twenty equal "
        "groups by prediction; a calibrated surrogate keeps it on the dotted diagonal."),
        "",
        f"## Errors at {longest} epochs by number of vertices",
        "",
        *markdown_grid(_GROUP, _by_vertices(surrogate)),
        "",
        f"## Errors at {longest} epochs by measured accuracy",
        "",
        "Measured extremes are partly luck, so their predictions must lie nearer the middle.",
        "",
        *markdown_grid(_GROUP, _by_accuracy(surrogate)),
        "",
        "## Noise between repeats",
        "",
        _noise_source(surrogate),
        "",
        *markdown_grid(
            ("epochs", *(f"at the {q}th percentile" for q in _NOISE_AT)),
            _noise_rows(surrogate),
        ),
        "",
        "## The whole space, as predicted",
        "",
        *markdown_grid(("epochs", "min", "1 %", "median", "99 %", "max"), _distribution(surrogate)),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _seconds(surrogate: Surrogate) -> str:
    if surrogate.seconds is None:
        return "Seconds: none, because the measured table has none."
    longest = surrogate.table.epochs[-1]
    text = (
        f"Seconds: a cost model (layers added up, corrected by gradient boosting) at {longest} epochs; on cells "
        f"that it had not seen R² {surrogate.seconds.r2:.4f}, median error {surrogate.seconds.median_error:.2%}. "
        "The same for all repeats."
    )
    if assumed := surrogate.table.assumed_seconds:
        text += (
            f" Those at {listed(assumed)} epochs are **assumed**: the same times epochs / {longest}. This leaves out "
            "whatever a training costs however short it is, so short ones may be too cheap."
        )
    return text


def _failures(surrogate: Surrogate) -> str:
    failed = surrogate.failed.sum(axis=(0, 2)).tolist()
    return (
        f"Failed trainings: {listed(failed)} at {listed(surrogate.table.epochs)} epochs, of "
        f"{surrogate.measured[:, 0].size:,} each. A reading near chance counts as failed where that is far out "
        "(more than three interquartile ranges below the lower quartile) or where one and the same value makes "
        "up a tenth of them (a network that names one class always); other low readings after few epochs are "
        "slow cells. Predictions are of trainings that do not fail; failures are drawn at their rate, below."
    )


def _quality(surrogate: Surrogate) -> Iterator[list[str]]:
    for place, epochs in enumerate(surrogate.table.epochs):
        _, predicted, measured = surrogate.held_out(place)
        q = agreement(predicted, measured)
        everything = surrogate.measured[:, place].mean(axis=1)
        of_all = surrogate.table.mean(ACCURACY, epochs)[surrogate.rows]
        yield [
            str(epochs),
            f"{len(measured):,}",
            *(f"{q[name]:.3f}" for name in ("r2", "tau", "spearman")),
            f"{q['mae']:.4f}",
            f"{q['top']:.3f}",
            f"{q['found']:.0%}",
            f"{agreement(of_all, everything)['r2']:.3f}",
        ]


_GROUP = ("cells that", "number", "mean measured", "mean predicted", "mean absolute error", "tau-b")


def _group(name: str, predicted: Array, measured: Array) -> list[str]:
    from scipy.stats import kendalltau

    tau = kendalltau(predicted, measured).statistic if len(measured) > 1 else np.nan
    means = (measured.mean(), predicted.mean(), np.abs(predicted - measured).mean())
    return [
        name,
        f"{len(measured):,}",
        *(f"{mean:.4f}" for mean in means),
        f"{tau:.3f}" if np.isfinite(tau) else "",
    ]


def _by_vertices(surrogate: Surrogate) -> Iterator[list[str]]:
    rows, predicted, measured = surrogate.held_out(-1)
    space = surrogate.table.space
    sizes = np.array([space[row].size for row in rows.tolist()])
    for size in np.unique(sizes).tolist():
        chosen = sizes == size
        yield _group(f"have {size} vertices", predicted[chosen], measured[chosen])


def _by_accuracy(surrogate: Surrogate) -> Iterator[list[str]]:
    _, predicted, measured = surrogate.held_out(-1)
    edges = np.percentile(measured, _RANGES)
    part = np.clip(np.searchsorted(edges, measured, side="right") - 1, 0, len(edges) - 2)
    for i in range(len(edges) - 1):
        if (chosen := part == i).any():
            name = f"measured {edges[i]:.4f} to {edges[i + 1]:.4f}"
            yield _group(name, predicted[chosen], measured[chosen])


def _noise_source(surrogate: Surrogate) -> str:
    repeats = surrogate.measured.shape[2]
    if repeats > 1:
        source = f"Measured: the scatter of the {repeats} repeats of each cell, in tenths of the prediction."
    else:
        errors = np.stack(
            [
                surrogate.measured[:, place, 0]
                - surrogate.table.mean(ACCURACY, epochs)[surrogate.rows]
                for place, epochs in enumerate(surrogate.table.epochs)
            ],
            axis=1,
        )[:, :, None]
        shared = shared_error(np.where(surrogate.failed, np.nan, errors))
        source = (
            "Estimated, for the measured cells were trained once: what cross-validation leaves unexplained, in "
            "tenths of the prediction, less the share of its variance that separate trainings of a cell at two "
            f"fidelities have in common ({listed([f'{rho:.2f}' for rho in shared])} at "
            f"{listed(surrogate.table.epochs)} epochs; it is the surrogate's own error). What the surrogate gets "
            "wrong at one fidelity only is still in it, so it is an upper bound."
        )
    return (
        f"{source} Repeats (0 to {REPEATS - 1}) are drawn by the oracle, by seed, from a normal distribution "
        "around the prediction; the policy `mean`, and all scores, use the prediction itself. The table shows "
        "the standard deviation of one training and, in brackets, the probability that it fails, at percentiles "
        "of the predicted accuracy:"
    )


_NOISE_AT = (5, 25, 50, 75, 95)


def _noise_rows(surrogate: Surrogate) -> Iterator[list[str]]:
    noise = Noise.of(surrogate.table.provenance)
    assert noise is not None
    for place, epochs in enumerate(surrogate.table.epochs):
        at = np.percentile(surrogate.held_out(place)[1], _NOISE_AT)
        failure = np.interp(at, noise.accuracy[place], noise.failure[place])
        yield [
            str(epochs),
            *(
                f"{std:.4f} ({fails:.2%}) at {accuracy:.3f}"
                for std, fails, accuracy in zip(noise.std(at, place), failure, at, strict=True)
            ),
        ]


def _distribution(surrogate: Surrogate) -> Iterator[list[str]]:
    for epochs in surrogate.table.epochs:
        levels = np.quantile(surrogate.table.mean(ACCURACY, epochs), (0, 0.01, 0.5, 0.99, 1))
        yield [str(epochs), *(f"{level:.4f}" for level in levels)]


def draw_calibration(surrogate: Surrogate) -> Figure:
    """Measured against predicted accuracy, cross-validated, one panel a fidelity."""
    from matplotlib.figure import Figure

    epochs = surrogate.table.epochs
    figure = Figure(figsize=(2.4 * len(epochs), 2.7), layout="constrained")
    for place, ax in enumerate(np.atleast_1d(figure.subplots(1, len(epochs)))):
        _, predicted, measured = surrogate.held_out(place)
        limits = np.quantile(np.concatenate([predicted, measured]), (0.005, 1))
        ax.hist2d(
            predicted, measured, bins=50, range=[limits, limits], norm="log", cmap="Blues", cmin=1
        )
        ax.plot(limits, limits, color=style.BLACK, linewidth=0.8, linestyle=":")
        groups = np.array_split(np.argsort(predicted, kind="stable"), _GROUPS)
        means = [(predicted[group].mean(), measured[group].mean()) for group in groups]
        ax.plot(*zip(*means, strict=True), color=style.VERMILION, marker=".", linewidth=1)
        ax.set(title=f"{epochs[place]} epochs", xlabel="predicted accuracy")
    figure.axes[0].set_ylabel("measured accuracy")
    figure.suptitle(f"{surrogate.table.name}: calibration in cross-validation", fontsize="medium")
    return figure
