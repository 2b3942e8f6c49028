"""A surrogate of a table: predictions for every cell of a space, learnt from some measured ones.

    >>> surrogate = fit(from_sample("nasbench101_sample.json.gz"), np.random.default_rng(0))
    >>> surrogate.table                      # all 423,624 cells, no measured number among them
    >>> surrogate.held_out.accuracy          # the sampled cells, by experts that had not seen them

A committee of Gaussian processes over exact features of a cell predicts the log odds of validation
accuracy at each fidelity and the logarithm of the seconds. Each expert sees a share of the rows; a
cell is predicted by the mean of the experts that have not seen it. So no measured value leaks into
the table, and the errors on the sample are those of cross-validation. Accuracies are learnt from
trainings that did not fail; the rate of `failures` is part of the noise between repeats.

What the measured table lacks the surrogate lacks: no halfway readings, no test, no train accuracy.
Only the seconds of shorter trainings are assumed proportional where there are none, and marked so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.data.committee import Progress, Steps, learn
from nasbench_kit.data.noise import Noise, expit, logit
from nasbench_kit.errors import InvalidSetting
from nasbench_kit.table import Column, Table

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

#: Cells needed that have a reading at every fidelity.
FEWEST_ROWS = 200
#: A failed training reads at most so many times chance.
_NEAR_CHANCE = 1.2
#: Share of the readings near chance, and number, that one value has if it is a constant answer.
_CONSTANT, _REPEATED = 0.1, 10
#: Predicted accuracies are stored as counts of this, finer than any measured one.
_COUNTS = 65_535
#: Knots of the noise model.
_KNOTS = 10
ACCURACY = "validation_accuracy"


@dataclass(frozen=True)
class Sample:
    """What is learnt from.

    Args:
        rows: of the space, [n].
        measured: accuracies [n, fidelities, repeats]; NaN where there is no reading.
        failed: which of them are failed trainings.
        seconds: of the longest training, mean over repeats [n], NaN where there are none; None for
            a table that has too few.
    """

    rows: NDArray[np.int32]
    measured: NDArray[np.float64]
    failed: NDArray[np.bool_]
    seconds: NDArray[np.float64] | None

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """Mean over the repeats that did not fail [n, fidelities]; NaN where there is none."""
        return _mean_known(np.where(self.failed, np.nan, self.measured))


@dataclass(frozen=True)
class HeldOut:
    """Predictions of the sample by experts that had not seen the row.

    Args:
        accuracy: [n, fidelities].
        scatter: standard error of the committee's log odds [n, fidelities].
        seconds: of the longest training [n]; None if the table records none.
    """

    accuracy: NDArray[np.float64]
    scatter: NDArray[np.float64]
    seconds: NDArray[np.float64] | None


@dataclass(frozen=True)
class Surrogate:
    """What ``fit`` returns.

    Args:
        table: a predicted accuracy (and seconds) for every cell and fidelity, one repeat;
            ``Noise.of(table)`` tells how single trainings scatter around it.
        sample: what it was learnt from.
        held_out: shows how good it is.
        relevances: of the features by name, largest first; the larger, the more one standard
            deviation of the feature changes the prediction.
    """

    table: Table
    sample: Sample
    held_out: HeldOut
    relevances: dict[str, float]


def fit(
    table: Table,
    rng: Generator,
    *,
    name: str = "surrogate",
    chance: float = 0.1,
    progress: Progress = lambda done, total: None,
) -> Surrogate:
    """Learn from a partial table and predict its whole space.

    Args:
        table: with validation accuracies of ``FEWEST_ROWS`` cells or more; with seconds or without.
        rng: draws the rows for the relevances and the shares of the experts.
        name: of the new table.
        chance: accuracy of a network that has learnt nothing.
        progress: told of the steps done.

    Raises:
        InvalidSetting: too few rows.
        NotRecorded: the table has no validation accuracy.
    """
    sample = read_sample(table, chance)
    rows, space = sample.rows, table.space
    steps = Steps(progress, len(rows), len(space), 1 if sample.seconds is None else 2)
    learnt = learn(space, rows, logit(sample.accuracy), rng, steps)
    predicted = expit(learnt.predicted)
    held_out = HeldOut(predicted[rows], learnt.scatter, None)

    provenance = {
        "name": name,
        "source": "surrogate",
        "of": table.name,
        "of_cells": len(table),
        "of_checksum": table.checksum,
        "failed_trainings": sample.failed.sum(axis=(0, 2)).tolist(),
        "noise": _noise(sample, held_out, chance, table.column(ACCURACY).images).as_json(),
    }
    if "images" in table.provenance:
        provenance["images"] = table.provenance["images"]
    counts = np.rint(predicted[:, :, None] * _COUNTS).astype(np.uint16)
    columns = {("final", ACCURACY): Column(counts, _COUNTS)}
    if sample.seconds is not None:
        logs = np.log(sample.seconds)[:, None]
        longest = np.exp(learn(space, rows, logs, rng, steps).predicted[:, 0])
        held_out = replace(held_out, seconds=longest[rows])
        shares, assumed = _seconds_shares(table)
        provenance["seconds"] = {"shares": shares, "assumed_at_epochs": assumed}
        columns["final", "seconds"] = proportional(longest, shares)
    made = Table(space, table.epochs, columns, provenance=provenance)
    return Surrogate(made, sample, held_out, learnt.relevances)


# Reading the measured table ----------------------------------------------------------------------


def read_sample(table: Table, chance: float) -> Sample:
    """The readings of a table, failed trainings marked.

    Raises:
        InvalidSetting: too few cells have a reading.
        NotRecorded: the table has no validation accuracy.
    """
    measured = _readings(table, ACCURACY)
    sample = Sample(_rows(table), measured, failures(measured, chance), _longest_seconds(table))
    accuracy = sample.accuracy
    complete = np.isfinite(accuracy).all(axis=1)
    if complete.sum() < FEWEST_ROWS:
        raise InvalidSetting(
            f"the table {table.name} has validation accuracies at all its epochs of "
            f"{complete.sum():,} cells; a surrogate needs {FEWEST_ROWS:,} or more"
        )
    if (np.ptp(accuracy[complete], axis=0) == 0).any():
        raise InvalidSetting(f"all cells of {table.name} have one accuracy; nothing can be learnt")
    return sample


def _rows(table: Table) -> NDArray[np.int32]:
    return np.arange(len(table), dtype=np.int32) if table.rows is None else table.rows


def _longest_seconds(table: Table) -> NDArray[np.float64] | None:
    """Seconds of the longest training, mean over repeats; None where too few are known."""
    if not table.has("seconds"):
        return None
    seconds: NDArray[np.float64] = _mean_known(_readings(table, "seconds"))[:, -1]
    return seconds if np.isfinite(seconds).sum() >= FEWEST_ROWS else None


def failures(measured: NDArray[np.float64], chance: float) -> NDArray[np.bool_]:
    """Which readings [n, fidelities, repeats] are failed trainings.

    Those that read like a guess (up to 1.2 times chance), where at that fidelity this is either far
    out, more than three interquartile ranges below the lower quartile (Tukey 1977), or a constant
    answer: one and the same value makes up a tenth of all such readings (a network gone NaN names
    one class for every image). Other low readings after few epochs are slow cells, and count.
    """
    failed = measured <= _NEAR_CHANCE * chance
    for place in range(measured.shape[1]):
        readings, guessed = measured[:, place], failed[:, place]
        low, high = np.nanquantile(readings, (0.25, 0.75))
        values, counts = np.unique(readings[guessed], return_counts=True)
        constant = values[(counts >= _CONSTANT * guessed.sum()) & (counts >= _REPEATED)]
        guessed &= (readings < low - 3 * (high - low)) | np.isin(readings, constant)
    return failed


def _readings(table: Table, metric: str) -> NDArray[np.float64]:
    """All readings [rows, fidelities, repeats]; NaN where there is none."""
    column = table.column(metric)
    stored = replace(column, present=None)
    values = np.stack([stored.array(place) for place in range(len(table.epochs))], axis=1)
    return values if column.present is None else np.where(column.present, values, np.nan)


def _mean_known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the last axis of what is no NaN; NaN where nothing is."""
    known = np.isfinite(values)
    number = known.sum(axis=-1)
    total = np.where(known, values, 0).sum(axis=-1)
    return np.where(number, total / np.maximum(number, 1), np.nan)


def _seconds_shares(table: Table) -> tuple[list[float], list[int]]:
    """Seconds of each fidelity as a share of the longest one's, and the epochs where assumed."""
    seconds = _mean_known(_readings(table, "seconds"))
    shares, assumed = [], []
    for place, epochs in enumerate(table.epochs):
        ratios = seconds[:, place] / seconds[:, -1]
        ratios = ratios[np.isfinite(ratios)]
        shares.append(float(np.median(ratios)) if len(ratios) else epochs / table.epochs[-1])
        assumed += [] if len(ratios) else [epochs]
    return shares, assumed


def proportional(longest: NDArray[np.floating], shares: list[float]) -> Column:
    """Seconds of all fidelities from those of the longest [rows]."""
    return Column((longest[:, None, None] * np.array(shares)[:, None]).astype(np.float32))


# Noise -------------------------------------------------------------------------------------------


def _noise(sample: Sample, held_out: HeldOut, chance: float, images: int | None) -> Noise:
    """Noise of single trainings, from the errors of cross-validation, in deciles of prediction.

    The error of one reading is noise and the committee's error. The scatter among the experts shows
    the part of the latter that they do not share; it is taken off. What they share remains, so the
    noise is an upper bound.
    """
    errors = logit(sample.measured) - logit(held_out.accuracy)[:, :, None]
    accuracy, scatter, failure = [], [], []
    for place in range(sample.measured.shape[1]):
        known = np.flatnonzero(np.isfinite(sample.measured[:, place]).any(axis=1))
        ascending = known[np.argsort(held_out.accuracy[known, place], kind="stable")]
        for part in np.array_split(ascending, _KNOTS):
            read = np.isfinite(sample.measured[part, place])
            failed = sample.failed[part, place]
            mean_square = (errors[part, place] ** 2).mean(where=read & ~failed)
            explained = (held_out.scatter[part, place] ** 2).mean()
            accuracy.append(held_out.accuracy[part, place].mean())
            scatter.append(np.sqrt(max(0.0, mean_square - explained)))
            failure.append(failed.sum() / read.sum())
    knots = [np.reshape(values, (-1, _KNOTS)) for values in (accuracy, scatter, failure)]
    return Noise(knots[0], knots[1], knots[2], chance, images)
