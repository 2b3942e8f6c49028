"""Gaussian processes of scikit-learn on kernels and distances of our own.

As with scikit-learn's "precomputed" metrics, the points are rows of a matrix that relates each of
them to all training points, so that a kernel needs no more than its own row.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Hyperparameter, Kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Precomputed(Kernel):  # type: ignore[misc]  # scikit-learn is not typed
    """Points are rows of a kernel matrix [points, training points]; a point has variance 1."""

    def __init__(self) -> None:
        pass  # scikit-learn reads the parameters from here: there are none

    def __call__(
        self, X: NDArray[np.float64], Y: object = None, eval_gradient: bool = False
    ) -> Any:
        """The rows themselves; there is nothing to tune."""
        return (X.copy(), np.empty((*X.shape, 0))) if eval_gradient else X.copy()

    def diag(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """The prior variance of each point."""
        return np.ones(len(X))

    def is_stationary(self) -> bool:
        """Whether it depends on differences of rows alone."""
        return False


class EmbeddedOrRaw(Kernel):  # type: ignore[misc]
    """Auto-Keras' covariances as released: among training points embedded, with others by distance.

    Points are rows of an embedding, then of distances to the training points.

    Args:
        dimensions: of the embedding.
    """

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions

    def __call__(self, X: NDArray[np.float64], Y: object = None) -> NDArray[np.float64]:
        """exp(-|a - b| ** 2 / dimensions) among training points, exp(-d ** 2) with them."""
        if Y is not None:
            return np.exp(-(X[:, self.dimensions :] ** 2))
        embedded = X[:, : self.dimensions]
        apart = ((embedded[:, None] - embedded) ** 2).sum(axis=2)
        return np.exp(-apart / self.dimensions)

    def diag(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """The prior variance of each point."""
        return np.ones(len(X))

    def is_stationary(self) -> bool:
        """Whether it depends on differences of rows alone."""
        return False


class SumOfExponentials(Kernel):  # type: ignore[misc]
    """NASBOT's kernel (section 4): one term of distances, one of normalised distances squared.

    k = a exp(-sum_i b_i d_i) + a' exp(-sum_i b'_i d'_i ** 2), and the noise between training points.
    As such a matrix can have negative eigenvalues, those of the training points are set to 0.

    Points are rows [points, 2 * distances * training points]: the distances d_i, then the d'_i.

    Args:
        scales: a and a'.
        rates: b_i.
        normalised_rates: b'_i.
        noise: variance of an answer.
    """

    #: Bounds of the released code, in units of the answers' variance.
    _BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {
        "scales": (1e-2, 1e2),
        "rates": (1e-9, 1e-3),
        "normalised_rates": (1e-1, 1e2),
        "noise": (5e-3, 2e-1),
    }

    def __init__(
        self,
        scales: NDArray[np.float64],
        rates: NDArray[np.float64],
        normalised_rates: NDArray[np.float64],
        noise: float,
    ) -> None:
        self.scales = scales
        self.rates = rates
        self.normalised_rates = normalised_rates
        self.noise = noise

    @classmethod
    def of(cls, count: int) -> SumOfExponentials:
        """For so many distances; every hyperparameter is in the middle of its bounds, by logarithm."""
        middle = {name: float(np.sqrt(low * high)) for name, (low, high) in cls._BOUNDS.items()}
        sizes = {"scales": 2, "rates": count, "normalised_rates": count}
        many = {name: np.full(size, middle[name]) for name, size in sizes.items()}
        return cls(**many, noise=middle["noise"])

    @property
    def hyperparameter_noise(self) -> Hyperparameter:
        """Variance of an answer."""
        return Hyperparameter("noise", "numeric", self._BOUNDS["noise"])

    @property
    def hyperparameter_normalised_rates(self) -> Hyperparameter:
        """The b'_i."""
        return self._hyperparameter("normalised_rates")

    @property
    def hyperparameter_rates(self) -> Hyperparameter:
        """The b_i."""
        return self._hyperparameter("rates")

    @property
    def hyperparameter_scales(self) -> Hyperparameter:
        """The two a."""
        return self._hyperparameter("scales")

    def _hyperparameter(self, name: str) -> Hyperparameter:
        return Hyperparameter(name, "numeric", self._BOUNDS[name], len(getattr(self, name)))

    def __call__(
        self, X: NDArray[np.float64], Y: object = None, eval_gradient: bool = False
    ) -> Any:
        """The kernel of every row with the training points, by the logarithms of the hyperparameters."""
        distances, normalised = np.split(X.reshape(len(X), 2 * len(self.rates), -1), 2, axis=1)
        decays = self.rates[:, None] * distances, self.normalised_rates[:, None] * normalised**2
        one, other = (
            scale * np.exp(-decay.sum(axis=1))
            for scale, decay in zip(self.scales, decays, strict=True)
        )
        values = one + other
        if Y is None:
            eigenvalues, vectors = np.linalg.eigh((values + values.T) / 2)
            values = (vectors * np.maximum(eigenvalues, 0)) @ vectors.T
            values += self.noise * np.eye(len(values))
        if not eval_gradient:
            return values
        gradient = [
            self.noise * np.eye(len(values))[None],
            -(decays[1] * other[:, None]).swapaxes(0, 1),
            -(decays[0] * one[:, None]).swapaxes(0, 1),
            one[None],
            other[None],
        ]  # in the alphabetical order of their names
        return values, np.concatenate(gradient).transpose(1, 2, 0)

    def diag(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """The prior variance of each point, without noise."""
        return np.full(len(X), float(self.scales.sum()))

    def is_stationary(self) -> bool:
        """Whether it depends on differences of rows alone."""
        return False


def fitted(
    kernel: Kernel, points: NDArray[np.float64], targets: NDArray[np.float64], **settings: Any
) -> GaussianProcessRegressor:
    """A process fitted to the targets of training points.

    Args:
        kernel: its free hyperparameters take the values of largest marginal likelihood.
        points: [points, ...].
        targets: [points].
        settings: others of scikit-learn's ``GaussianProcessRegressor``.
    """
    with (
        warnings.catch_warnings()
    ):  # of hyperparameters at their bounds, which is where they may be
        warnings.simplefilter("ignore", ConvergenceWarning)
        return GaussianProcessRegressor(kernel, **settings).fit(points, targets)


def predict(
    process: GaussianProcessRegressor, points: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each point, float64 [points] each."""
    with warnings.catch_warnings():  # a variance below 0 by rounding, which becomes 0
        warnings.simplefilter("ignore", UserWarning)
        mean, deviation = process.predict(points, return_std=True)
    return mean, deviation
