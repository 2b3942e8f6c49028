"""Gaussian process regression with a relevance for every feature, shared out over many rows.

Two rows at the scaled distance r have the prior covariance (Matérn's of order 3/2)

    k(r) = (1 + sqrt(3) r) exp(-sqrt(3) r),    r^2 = sum over features f of relevance_f (x_f - x'_f)^2

times the signal's variance, which has a closed form. Noise is a ratio to that variance.

Sources: Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006 (equation numbers);
Zhang, Duchi and Wainwright, Divide and Conquer Kernel Ridge Regression, JMLR 16, 2015.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve, lapack
from scipy.optimize import minimize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.floating]

#: Features of a lower relevance are left out: six standard deviations of one move r by 0.006.
IRRELEVANT = 1e-6
#: Noise ratios tried.
_NOISES = np.geomspace(1e-5, 1.0, 26)
#: Rows predicted at a time: their covariances with an expert's 5,000 rows stay in the cache.
_BLOCK = 256


def covariance(a: Array, b: Array) -> tuple[Array, Array]:
    """Of rows a [n, f] and b [m, f], scaled by the roots of the relevances: k and exp(-sqrt(3) r)."""
    squared = -2 * a @ b.T
    squared += (a**2).sum(axis=1)[:, None]
    squared += (b**2).sum(axis=1)
    np.maximum(squared, 0, out=squared)  # rounding
    squared *= 3
    distance = np.sqrt(squared, out=squared)
    decay = np.exp(-distance)
    distance += 1
    distance *= decay
    return distance, decay


def learn_relevances(
    x: Array, y: Array, steps: int, each_step: Callable[[], None] = lambda: None
) -> Array:
    """The relevances [features] that make all outputs together likeliest.

    Args:
        x: features, float64 [rows, features], of unit variance.
        y: outputs, float64 [rows, outputs]; one noise ratio is learnt for all of them.
        steps: of L-BFGS, at most.
        each_step: called after every one.
    """
    features = x.shape[1]
    # Uncorrelated features then have a mean squared distance of one half.
    start = np.append(np.full(features, np.log(0.25 / features)), np.log(0.01))
    found = minimize(
        _unlikelihood,
        start,
        args=(x, y - y.mean(axis=0)),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-20, 3)] * features + [(-9, 1)],
        options={"maxiter": steps},
        callback=lambda intermediate_result: each_step(),
    )
    relevances: Array = np.exp(found.x[:-1])
    return relevances


def _unlikelihood(logs: Array, x: Array, y: Array) -> tuple[float, Array]:
    """Minus the log marginal likelihood (eq. 5.8) of centred outputs, and its gradient (eq. 5.9).

    ``logs`` holds the logarithms of the relevances and, last, of the noise ratio. The signal's
    variance is set to its best value, y' K^-1 y / rows, for each output.
    """
    relevances, noise = np.exp(logs[:-1]), np.exp(logs[-1])
    rows, outputs = y.shape
    scaled = x * np.sqrt(relevances)
    k, decay = covariance(scaled, scaled)
    np.fill_diagonal(k, 1 + noise)
    factor, failed = lapack.dpotrf(k, lower=1, clean=1)
    if failed:
        return 1e10, np.zeros_like(logs)
    inverse, _ = lapack.dpotri(factor, lower=1)
    inverse += np.tril(inverse, -1).T
    weights = inverse @ y
    energy = (y * weights).sum(axis=0)
    value = rows / 2 * np.log(energy / rows).sum() + outputs * np.log(np.diag(factor)).sum()

    by_entry = outputs / 2 * inverse - (weights * (rows / 2 / energy)) @ weights.T  # d value / d K
    by_noise = np.trace(by_entry) * noise
    by_entry *= -1.5 * decay  # dk / d(r^2)
    by_relevance = 2 * (by_entry.sum(axis=1) @ x**2 - (x * (by_entry @ x)).sum(axis=0))
    return float(value), np.append(by_relevance * relevances, by_noise)


def likeliest_noise(x: Array, y: Array) -> Array:
    """The noise ratio of each output [outputs] that makes it likeliest, of a grid of 26.

    Args:
        x: features scaled by the roots of their relevances, float64 [rows, features].
        y: outputs, float64 [rows, outputs].
    """
    y = y - y.mean(axis=0)
    k, _ = covariance(x, x)
    unlikelihoods = []
    for noise in _NOISES:
        np.fill_diagonal(k, 1 + noise)
        factor = cho_factor(k, lower=True, check_finite=False)
        energy = (y * cho_solve(factor, y, check_finite=False)).sum(axis=0)
        unlikelihoods.append(len(y) / 2 * np.log(energy) + np.log(np.diag(factor[0])).sum())
    return _NOISES[np.argmin(unlikelihoods, axis=0)]


@dataclass(frozen=True)
class Expert:
    """A process that has seen a share of the rows.

    Args:
        x: the rows seen, features scaled by the roots of their relevances, float32 [rows, features].
        weights: K^-1 (y - mean) of each output, float32 [rows, outputs]; 0 where y is not known.
        means: of the outputs.
    """

    x: NDArray[np.float32]
    weights: NDArray[np.float32]
    means: NDArray[np.float64]

    @classmethod
    def fit(cls, x: Array, y: Array, noises: Array) -> Expert:
        """Learn outputs [rows, outputs] from scaled features [rows, features]; NaN: not known.

        An expert of a share of all rows needs that share of the noise: it is to follow its rows as
        closely as one that saw all would, and the mean over experts smooths (Zhang et al. 2015).
        """
        k, _ = covariance(x, x)
        weights = np.zeros(y.shape)
        means = np.nanmean(y, axis=0)
        for output, noise in enumerate(noises):
            known = np.flatnonzero(np.isfinite(y[:, output]))
            of_known = k[np.ix_(known, known)]
            np.fill_diagonal(of_known, 1 + noise)
            factor = cho_factor(of_known, lower=True, overwrite_a=True, check_finite=False)
            weights[known, output] = cho_solve(factor, y[known, output] - means[output])
        return cls(x.astype(np.float32), weights.astype(np.float32), means)

    def predict(self, x: Array) -> NDArray[np.float64]:
        """Posterior means (eq. 2.25), float64 [rows, outputs]."""
        parts = (x[start : start + _BLOCK] for start in range(0, len(x), _BLOCK))
        return self.means + np.concatenate(
            [covariance(part.astype(np.float32), self.x)[0] @ self.weights for part in parts]
        )
