"""The data card of a surrogate: how it was made and how good it is, in Markdown with two figures.

Every number is computed from the surrogate, so that the card cannot disagree with it.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.data.card import _grid, _listed
from nasbench_kit.data.clock import processor
from nasbench_kit.data.noise import Noise
from nasbench_kit.data.surrogate_quality import (
    agreement,
    by_accuracy,
    by_vertices,
    error_correlations,
    known,
    quality,
    seconds_quality,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from nasbench_kit.data.surrogate import Surrogate

    Array = NDArray[np.float64]

#: Features shown.
_FEATURES = 12


def surrogate_card(surrogate: Surrogate, command: str, took: float) -> str:
    """The card of a surrogate.

    Args:
        surrogate: just fitted.
        command: fits it again.
        took: seconds that the fit took.
    """
    table, sample = surrogate.table, surrogate.sample
    made = table.provenance
    longest = table.epochs[-1]
    lines = [
        f"# {table.name}: {len(table):,} cells, predicted",
        "",
        (f"**No measurement.** Every number of this table is the prediction of a surrogate, fitted on "
        f"{len(sample.rows):,} measured cells of `{made['of']}` (checksum {made['of_checksum'][:16]}…). "
        "No measured number is in it: the measured cells, too, have predictions, by experts that had "
        "not seen them. It holds validation accuracy and seconds of whole trainings; it has no test "
        "accuracy, no train accuracy and no halfway readings, because none were learnt."),
        "",
        (f"Made by `{command}` in {took / 60:.1f} minutes on {processor()}, {_versions()}. "
        f"Table checksum {table.checksum[:16]}…; same seed and same machine, same bytes."),
        "",
        "## How",
        "",
        ("A committee of Gaussian processes (Matérn 3/2 kernel, one relevance a feature by marginal "
        "likelihood) on exact features of the cell: paths, depths, degrees, channels by the official "
        "rule, parameters, multiplications, activations. Each expert sees a share of the rows; a cell "
        "is predicted by the mean of the experts that have not seen it. Accuracy is learnt as log "
        "odds, all fidelities together; seconds as their logarithm."),
        "",
        *_failures(surrogate),
        *_seconds(surrogate),
        "## How good: cross-validation",
        "",
        *_grid(
            ("epochs", "cells", "R²", "tau-b", "Spearman", "mean absolute error"),
            _agreements(surrogate, ""),
        ),
        "",
        "The same with failures, each with the accuracy that it had:",
        "",
        *_grid(
            ("epochs", "failed", "R²", "tau-b", "Spearman", "mean absolute error"),
            _agreements(surrogate, "_with_failures"),
        ),
        "",
        ("Within the best tenth by measurement (of one training each, so noise alone keeps this far "
        "from 1), and how much of it the predicted best tenth holds:"),
        "",
        *_grid(
            ("epochs", "tau-b", "Spearman", "found"),
            [
                [str(q["epochs"]), f"{q['top_tau']:.3f}", f"{q['top_spearman']:.3f}", f"{q['top_found']:.0%}"]
                for q in quality(surrogate)
            ],
        ),
        "",
        f"## Errors at {longest} epochs by number of vertices",
        "",
        *_grid(_ERRORS_OF, _errors(surrogate, by_vertices(surrogate))),
        "",
        f"## Errors at {longest} epochs by measured accuracy",
        "",
        ("Ranges between percentiles. Measured extremes are partly luck, so their predictions must lie "
        "nearer the middle."),
        "",
        *_grid(_ERRORS_OF, _errors(surrogate, by_accuracy(surrogate))),
        "",
        "## Calibration",
        "",
        f"![Measured against predicted accuracy]({table.name}-calibration.png)",
        "",
        ("Colour: measured cells, on a logarithmic scale. Line: mean measurement in twentieths of the "
        "prediction."),
        "",
        "## Noise between repeats",
        "",
        f"![Noise and failures by predicted accuracy]({table.name}-noise.png)",
        "",
        ("The sample has " + ("one training" if sample.measured.shape[2] == 1 else
        f"{sample.measured.shape[2]} trainings") + " a cell and fidelity. Noise is what cross-validation "
        "leaves unexplained in deciles of the prediction, less the experts' scatter around their mean: "
        "an upper bound, for the error that all experts share is in it. "
        + _independence(surrogate) + "It is drawn on the logit scale, by seed "
        "(`nasbench_kit.data.noise`); failures at their rate in the decile."),
        "",
        *_grid(
            ("epochs", "standard deviation of one training, at the 10th, 50th, 90th percentile of prediction"),
            _noise_rows(surrogate),
        ),
        "",
        "## The whole space, as predicted",
        "",
        *_grid(("epochs", "min", "1 %", "median", "99 %", "max"), _distribution(surrogate)),
        "",
        f"Highest prediction at {longest} epochs: {_best(surrogate)}.",
        "",
        "## What the prediction looks at",
        "",
        "The most relevant features for accuracy (squared inverse length scales, standardised):",
        "",
        *_grid(
            ("feature", "relevance"),
            [[name, f"{value:.4f}"] for name, value in list(surrogate.relevances.items())[:_FEATURES]],
        ),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _versions() -> str:
    import scipy

    return f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}"


def _agreements(surrogate: Surrogate, suffix: str) -> Iterator[list[str]]:
    for q in quality(surrogate):
        count = q["failed"] if suffix else q["cells"] - q["failed"]
        numbers = (f"{q[name + suffix]:.4f}" for name in ("r2", "tau", "spearman", "mae"))
        yield [str(q["epochs"]), f"{count:,}", *numbers]


def _failures(surrogate: Surrogate) -> list[str]:
    sample = surrogate.sample
    counts = _listed(sample.failed.sum(axis=(0, 2)).tolist())
    epochs = _listed(surrogate.table.epochs)
    return [
        (f"Failed trainings: {counts} at {epochs} epochs, of {len(sample.rows):,} cells. A reading counts as "
        "failed when it is near chance, and this is far out at its fidelity (more than three "
        "interquartile ranges below the lower quartile) or the very value that a tenth of all readings "
        "near chance have (a network gone NaN names one class always). Other low readings after few "
        "epochs are slow cells. Accuracies are learnt from what did not fail; failures have a rate of "
        "their own, below."),
        "",
    ]  # fmt: skip


def _seconds(surrogate: Surrogate) -> list[str]:
    q = seconds_quality(surrogate)
    if q is None:
        return ["It has no seconds: the measured table has none.", ""]
    made = surrogate.table.provenance["seconds"]
    longest = surrogate.table.epochs[-1]
    assumed = made["assumed_at_epochs"]
    text = (
        f"Seconds are learnt at {longest} epochs: cross-validated R² {q['r2']:.4f}, tau-b {q['tau']:.4f}, "
        f"mean error {q['mae']:.1f} s or {q['relative']:.2%}."
    )
    if assumed:
        text += (
            f" At {_listed(assumed)} epochs they are **assumed** proportional to the epochs; they were "
            "not measured there."
        )
    return [text, ""]


_ERRORS_OF = (
    "cells",
    "number",
    "mean absolute error",
    "root mean square",
    "predicted − measured",
    "tau-b",
)


def _errors(surrogate: Surrogate, groups: Mapping[str, NDArray[np.bool_]]) -> Iterator[list[str]]:
    """Errors at the longest fidelity in groups of its known cells."""
    predicted, measured = known(surrogate, -1)
    for name, group in groups.items():
        error = predicted[group] - measured[group]
        size = np.abs(error).mean(), np.sqrt((error**2).mean())
        tau = agreement(predicted[group], measured[group])["tau"] if len(error) > 2 else np.nan
        yield [
            name, f"{len(error):,}", *(f"{value:.4f}" for value in size), f"{error.mean():+.4f}", f"{tau:.3f}",
        ]  # fmt: skip


def _independence(surrogate: Surrogate) -> str:
    correlations = error_correlations(surrogate)
    if not len(correlations):
        return ""
    return (
        "The errors at two fidelities of one cell, which are separate trainings, correlate by only "
        f"{correlations.min():.2f} to {correlations.max():.2f}. "
    )


def _noise_rows(surrogate: Surrogate) -> Iterator[list[str]]:
    noise = Noise.of(surrogate.table)
    for place, epochs in enumerate(surrogate.table.epochs):
        at = np.quantile(surrogate.held_out.accuracy[:, place], (0.1, 0.5, 0.9))
        pairs = zip(noise.std(at, place), at, strict=True)
        yield [str(epochs), ", ".join(f"{std:.4f} at {accuracy:.3f}" for std, accuracy in pairs)]


def _distribution(surrogate: Surrogate) -> Iterator[list[str]]:
    for epochs in surrogate.table.epochs:
        levels = np.quantile(
            surrogate.table.mean("validation_accuracy", epochs), (0, 0.01, 0.5, 0.99, 1)
        )
        yield [str(epochs), *(f"{level:.4f}" for level in levels)]


def _best(surrogate: Surrogate) -> str:
    table = surrogate.table
    accuracy = table.mean("validation_accuracy")
    row = int(accuracy.argmax())
    return f"`{table.space[row].to_text()}`, {accuracy[row]:.4f}"


# Figures -----------------------------------------------------------------------------------------


def draw_calibration(surrogate: Surrogate) -> Figure:
    """Measured against predicted accuracy of the sample, cross-validated, a panel a fidelity."""
    from matplotlib.figure import Figure

    epochs = surrogate.table.epochs
    figure = Figure(figsize=(2.6 * len(epochs), 2.8), layout="constrained", dpi=100)
    for place, ax in enumerate(np.atleast_1d(figure.subplots(1, len(epochs)))):
        predicted, measured = known(surrogate, place)
        _density(ax, predicted, measured)
        ascending = np.array_split(np.argsort(predicted), 20)
        means = [(predicted[part].mean(), measured[part].mean()) for part in ascending]
        ax.plot(*zip(*means, strict=True), color="#d55e00", marker=".", label="mean")
        ax.set(title=f"{epochs[place]} epochs", xlabel="predicted accuracy")
    figure.axes[0].set_ylabel("measured accuracy (one training)")
    figure.suptitle(f"{surrogate.table.name} (surrogate): cross-validation")
    return figure


def _density(ax: Axes, predicted: Array, measured: Array) -> None:
    limits = np.quantile(np.concatenate([predicted, measured]), (0.001, 1))
    ax.hist2d(
        predicted, measured, bins=60, range=[limits, limits], norm="log", cmap="Blues", cmin=1
    )
    ax.plot(limits, limits, color="black", linewidth=0.8, linestyle=":")


def draw_noise(surrogate: Surrogate) -> Figure:
    """Standard deviation between repeats, and rate of failure, by predicted accuracy."""
    from matplotlib.figure import Figure

    noise = Noise.of(surrogate.table)
    figure = Figure(figsize=(7.2, 2.8), layout="constrained", dpi=100)
    scatter, failure = figure.subplots(1, 2)
    for place, epochs in enumerate(surrogate.table.epochs):
        knots = noise.accuracy[place]
        scatter.plot(knots, noise.std(knots, place), marker=".", label=f"{epochs} epochs")
        failure.plot(knots, noise.failure[place], marker=".")
    scatter.set(xlabel="predicted accuracy", ylabel="noise of one training (std)", yscale="log")
    failure.set(xlabel="predicted accuracy", ylabel="rate of failed trainings")
    scatter.legend()
    figure.suptitle(f"{surrogate.table.name} (surrogate): noise model")
    return figure
