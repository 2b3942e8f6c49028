"""Auto-Keras: Bayesian optimisation over morphs, with a Gaussian process on an embedded edit distance.

A distance makes no kernel. The networks are embedded where the distance is nearly Euclidean, by their
distances to random subsets of those asked for (Bourgain), and the kernel is a Gaussian one there. The
next architecture is the one with the largest confidence bound that a tree search from all that were asked
for comes to, annealed from wandering to climbing.

Here a morph is the space's own mutation, as weights are not inherited from a table; the first
architectures are random, in place of the three ready-made networks.

Source: Jin, Song, Hu, KDD 2019 (arXiv 1806.10282), section 3 and Algorithm 1; keras-team/autokeras
0.4.0, bayesian.py.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.algorithms.model_based import loop
from nasbench_kit.algorithms.model_based.edit_distance import EditDistance, Network, network
from nasbench_kit.algorithms.model_based.graphs import graph_of
from nasbench_kit.algorithms.settings import check_ranges

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit import Oracle
    from nasbench_kit.spaces.protocols import Architecture

#: A candidate as near to an architecture asked for is passed over.
_SAME = 1e-5
#: The released code draws its subsets with this seed, each time.
_SEED = 123


@dataclass(frozen=True)
class AutoKerasBO:
    """One query at a time, where the confidence bound of the annealed tree search is largest.

    Raises:
        InvalidSetting: a value outside its range; when run, a budget that does not reach beyond the
            initial architectures.
    """

    #: Random architectures before the first model.
    initial_size: int = 3
    #: beta of the bound: mean + beta * deviation of the accuracy.
    confidence: float = 2.576
    #: lambda of the edit distance: the weight of skip connections beside layers.
    skip_weight: float = 1.0
    #: Noise variance of the process, whose prior variance is 1.
    noise: float = 1e-10
    #: Whether the process sees accuracies with mean 0 and variance 1, rather than as they are.
    standardised: bool = False
    #: Temperature at the start and at the end of a tree search, and its factor at each step.
    temperature: float = 1.0
    least_temperature: float = 1e-4
    cooling: float = 0.9
    #: Morphs of an architecture that is expanded.
    morphs: int = 8
    #: The released code's: covariances with candidates are exp(-d ** 2) of the edit distance itself.
    raw_covariance: bool = False
    #: The released code's: the larger the subsets, the fewer are drawn.
    shrinking_subsets: bool = False
    #: The released code's: the same seed draws the subsets every time.
    fixed_subsets: bool = False
    #: Training length of every query; None is the table's longest.
    epochs: int | None = None

    @classmethod
    def small(cls) -> AutoKerasBO:
        """For tables, whose accuracies differ by hundredths: beside a prior variance of 1 that is nothing.

        As published the bound is then largest wherever the deviation is, and exploring never ends. And
        a table's repeats differ, so answers have noise.
        """
        return cls(standardised=True, noise=1e-2)

    @classmethod
    def released(cls) -> AutoKerasBO:
        """With the inconsistencies of release 0.4.0."""
        return cls(raw_covariance=True, shrinking_subsets=True, fixed_subsets=True)

    def __post_init__(self) -> None:
        loop.check_whole(self, initial_size=2, morphs=1)
        check_ranges(
            self,
            {
                "confidence": "[0, inf)",
                "skip_weight": "[0, inf)",
                "noise": "(0, inf)",
                "temperature": "(0, inf)",
                "least_temperature": f"(0, {self.temperature}]",
                "cooling": "(0, 1)",
            },
        )

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Architecture]:
        """Algorithm 1 for every query after the first ones."""
        surrogate = _Surrogate(self)
        return loop.search(
            "Auto-Keras",
            oracle,
            rng,
            lambda history: self._propose(history, surrogate, rng),
            initial_size=self.initial_size,
            epochs=self.epochs,
        )

    def _propose(self, history: loop.History, surrogate: _Surrogate, rng: Generator) -> list[Any]:
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):  # sums differ in their last bits by the number of threads
            surrogate.fit(history, rng)
            best = self._tree_search(history, surrogate, rng)
        return [] if best is None else [best]

    def _tree_search(
        self, history: loop.History, surrogate: _Surrogate, rng: Generator
    ) -> Any | None:
        """Algorithm 1: the best candidate, None if all that it came to were known or next to it."""
        # As published, the keys of those asked for are accuracies, and those of candidates are bounds.
        # The queue gives out the largest key first, of equal ones the oldest.
        scale = surrogate.scale
        numbers = itertools.count()
        queue = [
            (-scale(answer.validation_accuracy), next(numbers), answer.architecture)
            for answer in history.answers
        ]
        heapq.heapify(queue)
        pool = loop.Pool(history)
        best, best_bound = None, -math.inf
        temperature = self.temperature
        while queue and temperature > self.least_temperature:
            key, _, architecture = heapq.heappop(queue)
            accepted = math.exp(min((-key - best_bound) / temperature, 0.0)) >= rng.random()
            temperature *= self.cooling
            if not accepted:
                continue
            born = len(pool)
            for _ in range(self.morphs):
                pool.add(loop.edited(history.space, architecture, 1, rng))
            children = pool.candidates[born:]
            if not children:
                continue
            nearest, bounds = surrogate.bounds(children)
            for child, near, bound in zip(children, nearest, bounds.tolist(), strict=True):
                if near < _SAME:
                    continue
                heapq.heappush(queue, (-bound, next(numbers), child))
                if bound > best_bound:
                    best, best_bound = child, bound
        return best


class _Surrogate:
    """The Gaussian process of section 3.1, anew for every query."""

    def __init__(self, settings: AutoKerasBO) -> None:
        self._settings = settings
        self._distance = EditDistance(settings.skip_weight)
        self._networks: dict[Hashable, Network] = {}
        self._rows: list[NDArray[np.float64]] = []  # of the triangle of distances
        self._history: loop.History
        self._subsets: NDArray[np.bool_]
        self._mean, self._deviation = 0.0, 1.0

    def scale(self, accuracy: float) -> float:
        """An accuracy as the process sees it."""
        return (accuracy - self._mean) / self._deviation

    def fit(self, history: loop.History, rng: Generator) -> None:
        """Take in what was asked for since, draw the subsets and fit the process."""
        from sklearn.gaussian_process.kernels import RBF

        from nasbench_kit.algorithms.model_based.gaussian_process import (
            EmbeddedOrRaw,
            fitted,
        )

        settings = self._settings
        self._history = history
        for answer in history.answers[len(self._rows) :]:
            one = self._network(answer.architecture)
            self._distance.add(one)
            self._rows.append(self._distance([one])[0])
        count = len(self._rows)
        distances = np.zeros((count, count))
        for place, row in enumerate(self._rows):
            distances[place, : place + 1] = distances[: place + 1, place] = row
        drawn = np.random.default_rng(_SEED) if settings.fixed_subsets else rng
        self._subsets = subsets(count, settings.shrinking_subsets, drawn)
        accuracies = 1 - history.errors
        if settings.standardised:
            self._mean, self._deviation = accuracies.mean(), accuracies.std() or 1.0
        points = self._points(distances)
        # gamma is one over the dimensions, scikit-learn's default for the kernel that the code calls.
        length = math.sqrt(len(self._subsets) / 2)
        kernel = EmbeddedOrRaw(len(self._subsets)) if settings.raw_covariance else RBF(length)
        self._process = fitted(
            kernel,
            points,
            (accuracies - self._mean) / self._deviation,
            alpha=settings.noise,
            optimizer=None,
        )

    def bounds(self, candidates: list[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Distance to the nearest architecture asked for, and the upper confidence bound (equation 9)."""
        from nasbench_kit.algorithms.model_based.gaussian_process import predict

        distances = self._distance([self._network(one) for one in candidates])
        mean, deviation = predict(self._process, self._points(distances))
        return distances.min(axis=1), mean + self._settings.confidence * deviation

    def _points(self, distances: NDArray[np.float64]) -> NDArray[np.float64]:
        points = embedded(distances, self._subsets)
        return np.hstack([points, distances]) if self._settings.raw_covariance else points

    def _network(self, architecture: Any) -> Network:
        key = self._history.key(architecture)
        if key not in self._networks:
            self._networks[key] = network(graph_of(architecture, self._history.space))
        return self._networks[key]


def subsets(count: int, shrinking: bool, rng: Generator) -> NDArray[np.bool_]:
    """Members of random subsets of so many architectures: [subsets, architectures].

    For i = 0, 1, ... below log2 n there are ln n subsets of 2 ** i draws with replacement (both rounded
    up). In the released code, whose inner loop counts down its own limit, each next size has one subset
    fewer.
    """
    drawn = []
    times = max(1, math.ceil(math.log(count)))
    for i in range(max(1, math.ceil(math.log2(count)))):
        for _ in range(times):
            members = np.zeros(count, bool)
            members[rng.integers(count, size=2**i)] = True
            drawn.append(members)
        if shrinking:
            times = max(0, times - 1)
    return np.array(drawn)


def embedded(distances: NDArray[np.float64], members: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Bourgain's embedding: the distance to the nearest member of each subset, [points, subsets].

    Args:
        distances: to all architectures asked for, [points, architectures].
        members: of the subsets, [subsets, architectures].
    """
    return np.where(members, distances[:, None], np.inf).min(axis=2)
