"""How single trainings scatter around a surrogate's predictions, and which of them failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.table.noise import Noise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

#: Trainings of a cell that can be asked for, as in NAS-Bench-101.
REPEATS = 3
#: Knots of the noise model, each from as many measured cells.
_KNOTS = 10
#: A failed training reads at most this many times chance.
_NEAR_CHANCE = 1.2
#: Share of the readings near chance, and number, that one value has if it is a constant answer.
_CONSTANT, _REPEATED = 0.1, 10


def failures(measured: Array, chance: float) -> NDArray[np.bool_]:
    """Which readings [n, fidelities, repeats] are failed trainings.

    Those that read like a guess (up to 1.2 times chance), where at that fidelity this is either far
    out, more than three interquartile ranges below the lower quartile (Tukey 1977), or a constant
    answer: one and the same value makes up a tenth of all such readings (a network gone NaN names
    one class for every image). Other low readings after few epochs are slow cells, and count.
    """
    failed = measured <= _NEAR_CHANCE * chance
    for place in range(measured.shape[1]):
        readings, guessed = measured[:, place], failed[:, place]
        low, high = np.quantile(readings, (0.25, 0.75))
        values, counts = np.unique(readings[guessed], return_counts=True)
        constant = values[(counts >= _CONSTANT * guessed.sum()) & (counts >= _REPEATED)]
        guessed &= (readings < low - 3 * (high - low)) | np.isin(readings, constant)
    return failed


def mean_of(values: Array, kept: NDArray[np.bool_]) -> Array:
    """Mean over the last axis of what is kept; NaN where nothing is."""
    count = kept.sum(axis=-1)
    return np.where(count, (values * kept).sum(axis=-1) / np.maximum(count, 1), np.nan)


def estimate_noise(
    predicted: Array,
    measured: Array,
    failed: NDArray[np.bool_],
    *,
    chance: float,
    images: int | None,
) -> Noise:
    """Noise between repeats, in tenths of the prediction.

    Where cells were trained several times, their scatter is measured. Where they were trained once, it
    is the error of cross-validation less the part of its variance that two fidelities of a cell share
    (their rank correlation): those are separate trainings, so what their errors share is the
    surrogate's. What it gets wrong at one fidelity only remains in it: an upper bound. Mean absolute
    errors stand for standard deviations (times the root of pi/2, as of a normal distribution), so that
    rare outliers do not set the scale.

    Args:
        predicted: by cross-validation [n, fidelities].
        measured: accuracies [n, fidelities, repeats].
        failed: which of them are failed trainings.
        chance: accuracy of a failed training.
        images: that accuracies are counts of, if so.
    """
    errors = np.where(failed, np.nan, measured - predicted[:, :, None])
    unshared = np.sqrt(1 - shared_error(errors))
    accuracy, scatter, failure = (np.zeros((predicted.shape[1], _KNOTS)) for _ in range(3))
    for place in range(predicted.shape[1]):
        ascending = np.argsort(predicted[:, place], kind="stable")
        for knot, part in enumerate(np.array_split(ascending, _KNOTS)):
            accuracy[place, knot] = predicted[part, place].mean()
            failure[place, knot] = failed[part, place].mean()
            scatter[place, knot] = (
                _between_repeats(measured[part, place], ~failed[part, place])
                if measured.shape[2] > 1
                else np.nanmean(np.abs(errors[part, place])) * np.sqrt(np.pi / 2) * unshared[place]
            )
    return Noise(
        accuracy.round(6).tolist(),
        scatter.round(6).tolist(),
        failure.round(6).tolist(),
        chance=chance,
        images=images,
        repeats=REPEATS,
    )


def shared_error(errors: Array) -> Array:
    """Largest rank correlation of a fidelity's errors [n, fidelities, repeats] with another's, or 0."""
    from scipy.stats import spearmanr

    fidelities = errors.shape[1]
    first = errors[np.isfinite(errors).all(axis=(1, 2)), :, 0]
    shared = np.zeros(fidelities)
    for one in range(fidelities):
        for other in set(range(fidelities)) - {one}:
            rho = float(spearmanr(first[:, one], first[:, other]).statistic)
            shared[one] = max(shared[one], rho)
    return shared


def _between_repeats(values: Array, kept: NDArray[np.bool_]) -> float:
    """Root mean variance (unbiased) of each cell's kept readings [n, repeats]; 0 if none has two."""
    count = kept.sum(axis=1)
    squares = ((values - mean_of(values, kept)[:, None]) ** 2 * kept).sum(axis=1)
    several = count > 1
    return (
        float(np.sqrt(np.mean(squares[several] / (count[several] - 1)))) if several.any() else 0.0
    )
