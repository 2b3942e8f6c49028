"""A surrogate of a table: predictions for every cell of a space, learnt from some measured ones.

    >>> surrogate = fit(from_sample("nasbench101_sample.json.gz"), np.random.default_rng(0))
    >>> surrogate.table                      # all 423,624 cells, no measured number among them
    >>> surrogate.table.mean("validation_accuracy")[surrogate.rows]   # what cross-validation predicts

Gradient boosting over exact features of a cell predicts its mean validation accuracy at each fidelity.
A measured cell is predicted by cross-validation, by a model that was fitted without it and a fifth of
the others; every other cell by a model of all that was measured. So no measured accuracy leaks into the
table, and its errors on the measured cells show how good it is.

Failed trainings are left out of the fit; their rate is part of the noise between repeats. Seconds
are a cost model's, at the longest training; those of shorter ones are assumed proportional to epochs,
and marked so. What the measured table lacks the surrogate lacks, too.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.checks import generator
from nasbench_kit.data.surrogate.features import features
from nasbench_kit.data.surrogate.noise import estimate_noise, failures, mean_of
from nasbench_kit.errors import InvalidSetting
from nasbench_kit.oracle.cost import CostModel, Quality
from nasbench_kit.spaces.skeleton import Skeleton
from nasbench_kit.table.table import Column, Table, checked, proportional

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

#: Called with (done, in all).
Progress = Callable[[int, int], None]

ACCURACY = "validation_accuracy"
#: Measured cells needed.
FEWEST_ROWS = 200
#: Parts of the cross-validation.
FOLDS = 5
#: On one part of NAS-Bench-101's sample, 8 to 31 leaves, 300 to 1,000 trees and all features or three
#: in ten differ by less than 0.01 in tau.
_BOOSTING = {
    "max_iter": 400,
    "learning_rate": 0.07,
    "max_leaf_nodes": 31,
    "min_samples_leaf": 10,
    "l2_regularization": 1.0,
    "max_features": 0.3,
    "early_stopping": False,
}
#: Accuracies are stored as counts of this, finer than any mean of three repeats.
_COUNTS = 65_535
#: Cells predicted at a time.
_BLOCK = 20_000
#: The networks' surroundings; the cost model learns its scale, so any of this shape will do.
_SKELETON, _IMAGE_SHAPE = Skeleton(), (32, 32, 3)


@dataclass(frozen=True)
class Surrogate:
    """What ``fit`` returns.

    Args:
        table: a predicted accuracy (and seconds) of every cell at every fidelity; one "repeat", and
            the noise of single trainings in its provenance.
        rows: of the space, that were measured, [n].
        measured: accuracies [n, fidelities, repeats].
        failed: which of them are failed trainings.
        seconds: how well seconds are predicted, cross-validated; None without seconds.
    """

    table: Table
    rows: NDArray[np.int32]
    measured: Array
    failed: NDArray[np.bool_]
    seconds: Quality | None

    def held_out(self, place: int) -> tuple[NDArray[np.int32], Array, Array]:
        """Rows, predicted and measured mean accuracy at a fidelity; failed trainings left out."""
        measured = mean_of(self.measured[:, place], ~self.failed[:, place])
        kept = np.isfinite(measured)
        rows = self.rows[kept]
        return rows, self.table.mean(ACCURACY, self.table.epochs[place])[rows], measured[kept]


def fit(
    table: Table,
    rng: Generator,
    *,
    name: str = "surrogate",
    chance: float = 0.1,
    progress: Progress = lambda done, total: None,
) -> Surrogate:
    """Learn from a partial table and predict its whole space; the same on any number of threads.

    Args:
        table: with validation accuracies of ``FEWEST_ROWS`` cells or more; with seconds or without.
        rng: deals the cells into parts and seeds the models.
        name: of the new table; " (surrogate)" is added unless it says so.
        chance: accuracy of a network that has learnt nothing.
        progress: called with the steps done.

    Raises:
        InvalidSetting: no table, no generator, too few cells, or all are equally accurate.
        NotRecorded: the table lacks validation accuracies, or some of its readings.
        CorruptFile: the table's file was altered.
    """
    import sklearn.ensemble  # noqa: F401  # its threads are limited only once they are loaded
    from threadpoolctl import threadpool_limits

    checked(table)
    generator(rng)
    if table.provenance.get("source") == "surrogate":
        raise InvalidSetting(
            f"the table {table.name} holds predictions already; give one of measurements"
        )
    rows = np.arange(len(table), dtype=np.int32) if table.rows is None else table.rows
    if len(rows) < FEWEST_ROWS:
        raise InvalidSetting(
            f"the table {table.name} has {len(rows):,} cells; a surrogate needs {FEWEST_ROWS:,} or more"
        )
    measured = np.stack([table.values(ACCURACY, epochs) for epochs in table.epochs], axis=1)
    failed = failures(measured, chance)
    learnt = mean_of(measured, ~failed)
    if not (np.nanstd(learnt, axis=0) > 0).all():
        raise InvalidSetting(
            f"all cells of the table {table.name} are equally accurate; nothing can be learnt"
        )
    with threadpool_limits(1):  # sums differ in their last bits by the number of threads
        cost = CostModel(table, _SKELETON, _IMAGE_SHAPE) if table.has("seconds") else None
        blocks = np.array_split(np.arange(len(table.space)), -(-len(table.space) // _BLOCK))
        done, steps = itertools.count(1), learnt.shape[1] * (FOLDS + 1) + len(blocks)
        x = features(table.space, rows)
        models, held_out = _learn(x, learnt, rng, lambda: progress(next(done), steps))
        predicted = np.empty((len(table.space), len(models)))
        seconds = np.empty(len(table.space))
        for block in blocks:
            x = features(table.space, block)
            predicted[block] = np.stack([model.predict(x) for model in models], axis=1)
            if cost is not None:
                cells = (table.space[row] for row in block.tolist())
                seconds[block] = cost.prices(cells, table.epochs[-1])
            progress(next(done), steps)
        predicted[rows] = held_out
        quality = None if cost is None else cost.quality()[1]

    images = table.column(ACCURACY).images
    noise = estimate_noise(held_out, measured, failed, chance=chance, images=images)
    provenance: dict[str, Any] = {
        "name": name if "surrogate" in name else f"{name} (surrogate)",
        "source": "surrogate",
        "of": table.name,
        "of_cells": len(table),
        "of_checksum": table.checksum,
        "images": table.provenance.get("images", "unknown"),
        "failed_trainings": failed.sum(axis=(0, 2)).tolist(),
        "noise": asdict(noise),
    }
    counts = np.rint(predicted.clip(0, 1)[:, :, None] * _COUNTS).astype(np.uint16)
    columns = {("final", ACCURACY): Column(counts, _COUNTS)}
    if cost is not None:
        provenance["assumed_seconds"] = list(table.epochs[:-1])
        longest = seconds.astype(np.float32)[:, None, None]
        columns["final", "seconds"] = Column(proportional(longest, table.epochs))
    made = Table(table.space, table.epochs, columns, provenance=provenance)
    return Surrogate(made, rows, measured, failed, quality)


def _learn(
    x: NDArray[np.float32], learnt: Array, rng: Generator, fitted: Callable[[], None]
) -> tuple[list[Any], Array]:
    """Models of each fidelity, and what cross-validation predicts [n, fidelities].

    Args:
        x: features of the measured cells [n, features].
        learnt: their accuracies [n, fidelities]; NaN where every training failed.
        rng: deals the cells into parts and seeds the models.
        fitted: called after each fit.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor

    part = rng.permutation(len(x)) % FOLDS

    def fit_on(seen: NDArray[np.bool_], y: Array) -> Any:
        seed = int(rng.integers(1 << 31))
        model = HistGradientBoostingRegressor(**_BOOSTING, random_state=seed)
        model.fit(x[seen], y[seen])
        fitted()
        return model

    held_out = np.empty(learnt.shape)
    models = []
    for place, y in enumerate(learnt.T):
        measured = np.isfinite(y)
        for number in range(FOLDS):
            out = part == number
            held_out[out, place] = fit_on(measured & ~out, y).predict(x[out])
        models.append(fit_on(measured, y))
    return models, held_out
