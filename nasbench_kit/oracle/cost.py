"""What training a cell costs, in a table's own seconds, known before it is trained.

Two models are fitted on a table's training times. The *additive* one adds up layers: seconds are a
non-negative combination of how many layers of each kind a network has, how much they multiply and
how much memory they move. It prices parts of networks (a supernet's step) as ratios, and
architectures outside the table. A gradient boosting on top of it corrects single architectures, for
which adding up layers misses what runs side by side; outside the table it corrects as for the nearest
ones inside.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.checks import counted
from nasbench_kit.errors import InvalidSetting
from nasbench_kit.spaces.protocols import Trainable, trainable
from nasbench_kit.spaces.skeleton import Skeleton

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_kit.table.table import Table

#: Cells that a model is fitted on at most; more add seconds of fitting and no accuracy.
_MOST_CELLS = 5_000
#: Rows that a model needs for each kind of work; fewer tell nothing about prices.
_ROWS_PER_KIND = 4
#: Held-out parts of the fit's own check.
_FOLDS = 5


@dataclass(frozen=True)
class Quality:
    """How well a model prices cells that it was not fitted on, in a table's own seconds."""

    r2: float
    #: Median over cells of the relative error.
    median_error: float


class CostModel:
    """Prices trainings in a table's own seconds. Deterministic: the same table, the same prices.

    Args:
        table: its training seconds at the largest fidelity are what is fitted.
        skeleton: of the networks that were trained for the table.
        image_shape: height, width, channels of the images they were trained on.

    Raises:
        NotRecorded: the table records no seconds.
        InvalidSetting: it has too few rows to fit a model, or a space without networks.
    """

    def __init__(self, table: Table, skeleton: Skeleton, image_shape: tuple[int, int, int]) -> None:
        epochs = table.epochs[-1]
        seconds = table.mean("seconds") / epochs
        chosen = np.arange(len(table))
        fewest = fewest_rows(table, skeleton, image_shape)
        if len(chosen) < fewest:
            raise InvalidSetting(
                f"the table {table.name} has {counted(len(chosen), 'row')}; a cost model needs {fewest} or more"
            )
        if len(chosen) > _MOST_CELLS:
            chosen = np.sort(
                np.random.default_rng(0).choice(len(table), _MOST_CELLS, replace=False)
            )
        self.skeleton = skeleton
        self.image_shape = image_shape
        done, shape = self._described(table.covered[row] for row in chosen.tolist())
        self._known = done, shape, seconds[chosen]
        self._weights = fit_additive(done, seconds[chosen])
        middle = np.argsort(seconds[chosen], kind="stable")[len(chosen) // 2]
        #: Seconds an epoch of the cell of median price, and what adding up its layers comes to.
        self._reference = float(seconds[chosen][middle]), self.additive(done[middle])

    def _described(
        self, architectures: Iterable[Trainable]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Work [architectures, kinds] and traits [architectures, traits] of each."""
        listed = [trainable(architecture) for architecture in architectures]
        done = [architecture.work(self.skeleton, self.image_shape) for architecture in listed]
        return np.array(done), np.array([architecture.traits() for architecture in listed])

    @cached_property
    def _correction(self) -> Any:
        return _fit_correction(*self._known, self._weights)

    def quality(self) -> tuple[Quality, Quality]:
        """Of adding up layers alone, and of ``price``: on held-out cells, five times over."""
        return _cross_validated(*self._known)

    def additive(self, done: NDArray[np.float64]) -> float:
        """Seconds an epoch of some work, by adding up layers. Meant for ratios of two works."""
        return float(done @ self._weights)

    def price_work(self, done: NDArray[np.float64]) -> float:
        """Seconds an epoch of a network that is no architecture's, from the work of one image.

        The price of a reference, the architecture of median price, times the ratio of their works.
        """
        seconds, additive = self._reference
        return seconds * self.additive(done) / additive

    def price(self, architecture: Trainable, epochs: int, halfway: bool = False) -> float:
        """Seconds of training an architecture; half of them up to half of the training."""
        return float(self.prices([architecture], epochs)[0]) * (0.5 if halfway else 1.0)

    def prices(self, architectures: Iterable[Trainable], epochs: int) -> NDArray[np.float64]:
        """Seconds of training each; many at a time cost a tenth of a millisecond each."""
        done, shape = self._described(architectures)
        corrections = _predict(self._correction, _features(done, shape, self._weights))
        return done @ self._weights * np.exp(corrections) * epochs


def fewest_rows(table: Table, skeleton: Skeleton, image_shape: tuple[int, int, int]) -> int:
    """Rows that a table needs for a cost model, by the kinds of work that its space counts.

    Raises:
        InvalidSetting: architectures of its space cannot become networks.
    """
    return _ROWS_PER_KIND * len(trainable(table.covered[0]).work(skeleton, image_shape))


def fit_additive(done: NDArray[np.float64], seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Non-negative weights with the least squared relative error: float64 [kinds]."""
    from scipy.optimize import nnls

    scale = done.max(axis=0)
    scale[scale == 0] = 1
    weights, _ = nnls(done / scale / seconds[:, None], np.ones(len(seconds)))
    return weights / scale


def _features(
    done: NDArray[np.float64], shape: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Shares of the additive price, its logarithm, and the shape: [cells, features]."""
    parts = done * weights
    total = parts.sum(axis=1, keepdims=True)
    return np.hstack([parts / total, np.log(total), np.log1p(done[:, 1:]), shape])


def _fit_correction(
    done: NDArray[np.float64],
    shape: NDArray[np.float64],
    seconds: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> Any:
    """Gradient boosting of log(seconds / additive price)."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    model = HistGradientBoostingRegressor(
        max_iter=300, learning_rate=0.06, min_samples_leaf=5, early_stopping=False, random_state=0
    )
    with threadpool_limits(1):  # threads that wait for each other's turn cost more than they save
        return model.fit(_features(done, shape, weights), np.log(seconds / (done @ weights)))


def _predict(model: Any, features: NDArray[np.float64]) -> NDArray[np.float64]:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        return model.predict(features)


def _cross_validated(
    done: NDArray[np.float64], shape: NDArray[np.float64], seconds: NDArray[np.float64]
) -> tuple[Quality, Quality]:
    """Quality on held-out cells of the additive model, and of the corrected one."""
    additive = np.empty_like(seconds)
    corrected = np.empty_like(seconds)
    fold = np.random.default_rng(0).permutation(len(seconds)) % _FOLDS
    for held_out in range(_FOLDS):
        fit, out = fold != held_out, fold == held_out
        weights = fit_additive(done[fit], seconds[fit])
        correction = _fit_correction(done[fit], shape[fit], seconds[fit], weights)
        additive[out] = done[out] @ weights
        predicted = _predict(correction, _features(done[out], shape[out], weights))
        corrected[out] = additive[out] * np.exp(predicted)
    return _quality(additive, seconds), _quality(corrected, seconds)


def _quality(predicted: NDArray[np.float64], seconds: NDArray[np.float64]) -> Quality:
    unexplained = ((predicted - seconds) ** 2).sum() / ((seconds - seconds.mean()) ** 2).sum()
    return Quality(float(1 - unexplained), float(np.median(np.abs(predicted / seconds - 1))))
