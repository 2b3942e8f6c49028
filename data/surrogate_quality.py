"""How good a surrogate is, by cross-validation.

Each measured cell is held against the mean of the experts that had not seen it. A failed training is
left out unless a name says ``with_failures``; there it counts with the accuracy that it had.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.data.noise import logit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_kit.data.surrogate import Surrogate

    Array = NDArray[np.float64]

#: Share of the cells that count as the best ones.
_TOP = 0.1
#: Percentiles that divide the measured accuracies into ranges.
_RANGES = (0, 1, 5, 25, 50, 75, 95, 99, 100)


def agreement(predicted: Array, measured: Array) -> dict[str, float]:
    """How well predictions [n] meet measurements [n].

    R² (coefficient of determination), Kendall's tau-b, Spearman's rho, mean absolute error.
    """
    from scipy.stats import kendalltau, spearmanr

    unexplained = ((predicted - measured) ** 2).sum()
    return {
        "r2": float(1 - unexplained / ((measured - measured.mean()) ** 2).sum()),
        "tau": float(kendalltau(predicted, measured).statistic),
        "spearman": float(spearmanr(predicted, measured).statistic),
        "mae": float(np.abs(predicted - measured).mean()),
    }


def quality(surrogate: Surrogate) -> list[dict[str, float]]:
    """Cross-validated agreement of accuracy, one entry a fidelity.

    Beside ``agreement`` without failures, and with (keys ``..._with_failures``): that within the
    measured best tenth (``top_tau``, ``top_spearman``), and the share of it that the predicted best
    tenth holds (``top_found``).
    """
    sample = surrogate.sample
    with_failures = sample.measured.mean(axis=2)
    found = []
    for place, epochs in enumerate(surrogate.table.epochs):
        predicted, measured = known(surrogate, place)
        best = measured >= np.quantile(measured, 1 - _TOP)
        chosen = predicted >= np.quantile(predicted, 1 - _TOP)
        among_best = agreement(predicted[best], measured[best])
        read = np.isfinite(with_failures[:, place])
        everything = agreement(surrogate.held_out.accuracy[read, place], with_failures[read, place])
        found.append(
            {
                "epochs": epochs,
                "cells": int(read.sum()),
                "failed": int(sample.failed[:, place].sum()),
                **agreement(predicted, measured),
                **{f"{name}_with_failures": value for name, value in everything.items()},
                "top_tau": among_best["tau"],
                "top_spearman": among_best["spearman"],
                "top_found": float((best & chosen).sum() / best.sum()),
            }
        )
    return found


def seconds_quality(surrogate: Surrogate) -> dict[str, float] | None:
    """Cross-validated agreement of the longest training's seconds; None if the table has none.

    Beside ``agreement``: the mean error as a share of the seconds.
    """
    measured, predicted = surrogate.sample.seconds, surrogate.held_out.seconds
    if measured is None or predicted is None:
        return None
    read = np.isfinite(measured)
    measured, predicted = measured[read], predicted[read]
    relative = float(np.abs(predicted / measured - 1).mean())
    return {**agreement(predicted, measured), "relative": relative}


def known(surrogate: Surrogate, place: int) -> tuple[Array, Array]:
    """Predicted and measured accuracy at one fidelity, failures left out."""
    measured = surrogate.sample.accuracy[:, place]
    known = np.isfinite(measured)
    return surrogate.held_out.accuracy[known, place], measured[known]


def by_vertices(surrogate: Surrogate) -> dict[str, NDArray[np.bool_]]:
    """The ``known`` cells of the longest fidelity by their number of vertices."""
    known = np.isfinite(surrogate.sample.accuracy[:, -1])
    space = surrogate.table.space
    sizes = np.array([space[row].size for row in surrogate.sample.rows[known].tolist()])
    return {f"{size} vertices": sizes == size for size in np.unique(sizes)}


def by_accuracy(surrogate: Surrogate) -> dict[str, NDArray[np.bool_]]:
    """The ``known`` cells of the longest fidelity by measured accuracy, between percentiles."""
    _, measured = known(surrogate, -1)
    edges = np.percentile(measured, _RANGES)
    part = np.clip(np.searchsorted(edges, measured, side="right") - 1, 0, len(edges) - 2)
    return {
        f"{edges[i]:.4f} to {edges[i + 1]:.4f}": part == i
        for i in range(len(edges) - 1)
        if (part == i).any()
    }


def error_correlations(surrogate: Surrogate) -> Array:
    """Correlations of the errors at every two fidelities of one cell, in log odds [pairs].

    Those are separate trainings: what their errors share is the surrogate's, the rest is noise.
    """
    error = logit(surrogate.sample.accuracy) - logit(surrogate.held_out.accuracy)
    complete = np.isfinite(error).all(axis=1)
    pairs = np.triu_indices(error.shape[1], 1)
    correlations: Array = np.atleast_2d(np.corrcoef(error[complete].T))[pairs]
    return correlations
