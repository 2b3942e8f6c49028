"""NASBOT: Bayesian optimisation with a Gaussian process on an optimal transport distance.

Departures, none of which changes the distance or the kernel: an edit is the space's own mutation, as the
paper's nine (more units, a layer less, ...) change what a space of fixed decisions does not have; the
first architectures are random, as are those that the search of the acquisition begins with besides the
ones asked for, in place of hand-built networks; the likelihood is climbed by scikit-learn's L-BFGS
instead of sampled; one worker, so nothing is pending.

The named preset `NASBOT.naszilla` is what comparisons of BANANAS and of local search call NASBOT: another
distance, kernel, acquisition and way to maximise it.

Source: Kandasamy, Neiswanger, Schneider, Poczos, Xing, NeurIPS 2018 (arXiv 1802.07191);
kirthevasank/nasbot, opt/nn_gp_bandit.py and opt/ga_optimiser.py; naszilla, nas_algorithms.py.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from nasbench_kit import checks
from nasbench_kit.algorithms.model_based import loop, otmann
from nasbench_kit.algorithms.model_based.graphs import Graph, graph_of, key_of
from nasbench_kit.errors import InvalidSetting
from nasbench_kit.spaces.nasbench101.cell import OPERATIONS
from nasbench_kit.spaces.nasbench101.space import CellSpace

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray
    from sklearn.gaussian_process.kernels import Kernel

    from nasbench_kit import Oracle
    from nasbench_kit.spaces.protocols import Architecture, Space

Distance = Literal["otmann", "naszilla"]

#: nu_str, the coefficients of structural cost: one distance for each.
STRUCTURE = (0.1, 0.25, 0.61, 1.5)
#: Probabilities of 1, 2, ... successive edits.
_EDITS = (0.5, 0.25, 0.125, 0.075, 0.05)
#: Evaluations of the acquisition after t queries: this times the root of t, within limits.
_EVALUATIONS, _LEAST, _MOST = 25, 50, 500
#: Architectures are mutated with probability exp(this times their normalised acquisition).
_SHARPNESS = 2
#: naszilla: beta of the confidence bound; the kernel's alpha and length scale; its noise's deviation;
#: and the best architectures, each edited 1 to 19 times, five times each.
_CONFIDENCE, _ALPHA, _LENGTH, _NOISE = 0.5, 1.5, 3.0, 1e-5
_PARENTS, _MOST_EDITS, _REPEATS = 5, 19, 5


@dataclass(frozen=True)
class NASBOT:
    """One query at a time, where expected improvement is largest.

    Raises:
        InvalidSetting: a value outside its range, or an unknown distance; when run, a budget that does
            not reach beyond the initial architectures, or naszilla's distance on a space without cells.
    """

    #: Random architectures before the first model.
    initial_size: int = 20
    #: Queries after which the kernel's hyperparameters are fitted again.
    refit_every: int = 7
    #: "otmann", the paper's; or "naszilla", of sorted degrees and counts of operations, with a kernel of
    #: fixed hyperparameters and a confidence bound, maximised over edits of the best architectures.
    distance: Distance = "otmann"
    #: Training length of every query; None is the table's longest.
    epochs: int | None = None

    @classmethod
    def naszilla(cls) -> NASBOT:
        """As in naszilla; of cells only."""
        return cls(initial_size=10, distance="naszilla")

    def __post_init__(self) -> None:
        loop.check_whole(self, initial_size=2, refit_every=1)
        if not isinstance(self.distance, str) or self.distance not in get_args(Distance):
            choices = ", ".join(get_args(Distance))
            raise InvalidSetting(
                f"distance is {checks.shown(self.distance)}; choose one of {choices}"
            )

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Architecture]:
        """Algorithm 1 of Bayesian optimisation (section 2), with the acquisition of section 4."""
        space = oracle.space
        if self.distance == "naszilla" and not isinstance(space, CellSpace):
            raise InvalidSetting(
                f"distance is 'naszilla', which compares cells, and {space.name} has none; "
                '"otmann" compares the architectures of any space'
            )
        model = _OTMANN(space, self.refit_every) if self.distance == "otmann" else _Naszilla(space)
        return loop.search(
            f"NASBOT ({self.distance})",
            oracle,
            rng,
            lambda history: model.propose(history, rng),
            initial_size=self.initial_size,
            epochs=self.epochs,
        )


class _OTMANN:
    """The Gaussian process of section 4 and the evolution that maximises its expected improvement."""

    def __init__(self, space: Space, refit_every: int) -> None:
        self._key = key_of(space)
        self._space = space
        self._refit_every = refit_every
        self._known: list[otmann.Network] = []  # those asked for
        self._networks: dict[Hashable, otmann.Network] = {}
        #: Distances of each network to those asked for, [coefficients, known].
        self._distances: dict[Hashable, NDArray[np.float64]] = {}
        self._kernel: Kernel | None = None
        self._fitted_at = 0

    def propose(self, history: loop.History, rng: Generator) -> list[Any]:
        """The candidate of largest expected improvement among those that evolution comes to."""
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):  # sums differ in their last bits by the number of threads
            asked = [answer.architecture for answer in history.answers]
            self._learn(asked[len(self._known) :])
            return self._evolve(asked, history, rng)

    def _evolve(self, asked: list[Any], history: loop.History, rng: Generator) -> list[Any]:
        """The released code's genetic algorithm; it removes nobody."""
        from nasbench_kit.algorithms.model_based.gaussian_process import predict

        process = self._fit(asked, history.errors)
        least = float(history.errors.min())

        def acquired(architectures: list[Any]) -> NDArray[np.float64]:
            mean, deviation = predict(process, self._points(architectures))
            return loop.expected_improvement(mean, deviation, least)

        queries = len(history)
        evaluations = int(np.clip(_EVALUATIONS * np.sqrt(queries), _LEAST, _MOST))
        mutants = int(np.clip(3 * np.sqrt(evaluations), 5, 100))
        pool = loop.Pool(history)
        # Whom mutants descend from; of equal architectures one is enough, those asked for included.
        parents, worth = asked, acquired(asked)
        values: list[float] = []
        for _ in range(-(-evaluations // mutants)):
            born = len(pool)
            for place in rng.choice(len(parents), mutants, p=_selection(worth)).tolist():
                edits = 1 + int(rng.choice(len(_EDITS), p=_EDITS))
                pool.add(loop.edited(history.space, parents[place], edits, rng))
            if children := pool.candidates[born:]:
                theirs = acquired(children)
                values += theirs.tolist()
                parents, worth = [*parents, *children], np.concatenate([worth, theirs])
        return [pool.candidates[int(np.argmax(values))]] if values else []

    def _fit(self, asked: list[Any], errors: NDArray[np.float64]) -> Any:
        from nasbench_kit.algorithms.model_based.gaussian_process import SumOfExponentials, fitted

        points = self._points(asked)
        due = self._kernel is None or len(asked) - self._fitted_at >= self._refit_every
        if due:
            # Always from the middle of the bounds, so that one unlucky fit does not spoil the next.
            kernel = SumOfExponentials.of(len(STRUCTURE))
            process = fitted(kernel, points, errors, alpha=0, normalize_y=True)
            self._kernel, self._fitted_at = process.kernel_, len(asked)
            return process
        return fitted(self._kernel, points, errors, alpha=0, normalize_y=True, optimizer=None)

    def _learn(self, asked: list[Any]) -> None:
        """Measure how far everything met so far is from what was asked for last."""
        networks = [otmann.network(graph_of(one, self._space)) for one in asked]
        self._known += networks
        if self._networks:
            met = list(self._networks.values())
            new = otmann.distances(met, networks, STRUCTURE).swapaxes(0, 1)
            for key, distances in zip(self._networks, new, strict=True):
                self._distances[key] = np.hstack([self._distances[key], distances])

    def _points(self, architectures: list[Any]) -> NDArray[np.float64]:
        """Distances to all that was asked for, then those over both masses: [architectures, ...]."""
        keys = [self._key(one) for one in architectures]
        unmet = {
            key: otmann.network(graph_of(one, self._space))
            for key, one in zip(keys, architectures, strict=True)
            if key not in self._networks
        }
        if unmet:
            self._networks |= unmet
            new = otmann.distances(list(unmet.values()), self._known, STRUCTURE).swapaxes(0, 1)
            self._distances |= zip(unmet, new, strict=True)
        distances = np.stack([self._distances[key] for key in keys])
        masses = [self._networks[key].mass for key in keys]
        totals = np.add.outer(masses, [network.mass for network in self._known])
        return np.hstack([distances, distances / totals[:, None]]).reshape(len(keys), -1)


def _selection(worth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities ~ exp(2 z), z the acquisition's value in deviations from their mean."""
    deviation = worth.std()
    z = (worth - worth.mean()) / deviation if deviation > 0 else np.zeros(len(worth))
    weights = np.exp(_SHARPNESS * (z - z.max()))
    return weights / weights.sum()


class _Naszilla:
    """What naszilla calls NASBOT."""

    def __init__(self, space: Space) -> None:
        self._space = space

    def propose(self, history: loop.History, rng: Generator) -> list[Any]:
        """The candidate of the least lower confidence bound of its error."""
        from threadpoolctl import threadpool_limits

        from nasbench_kit.algorithms.model_based.gaussian_process import (
            Precomputed,
            fitted,
            predict,
        )

        pool = loop.Pool(history)
        for parent in history.best(_PARENTS):
            for edits in range(1, _MOST_EDITS + 1):
                for _ in range(_REPEATS):
                    pool.add(loop.edited(history.space, parent, edits, rng))
        if not len(pool):
            return []
        asked = [answer.architecture for answer in history.answers]
        vectors = np.stack(
            [degrees_and_counts(graph_of(one, self._space)) for one in asked + pool.candidates]
        )
        from scipy.spatial.distance import cdist

        rows = np.exp(-cdist(vectors, vectors[: len(asked)], "cityblock") / _LENGTH**2)
        with threadpool_limits(1):  # sums differ in their last bits by the number of threads
            noise = (_NOISE / _ALPHA) ** 2  # the kernel has variance 1 here, and alpha ** 2 there
            process = fitted(
                Precomputed(),
                rows[: len(asked)],
                history.errors,
                alpha=max(noise, 1e-8),
                optimizer=None,
                normalize_y=True,
            )
            mean, deviation = predict(process, rows[len(asked) :])
        bound = mean - _CONFIDENCE * _ALPHA * deviation
        return [pool.candidates[int(bound.argmin())]]


def degrees_and_counts(graph: Graph, vertices: int = 7) -> NDArray[np.float64]:
    """Sorted in-degrees, sorted out-degrees, counts of operations: naszilla's distance is L1 on these."""
    incoming = np.zeros(vertices)
    outgoing = np.zeros(vertices)
    for vertex, fed in enumerate(graph.successors):
        outgoing[vertex] = len(fed)
        for successor in fed:
            incoming[successor] += 1
    counts = [graph.operations.count(operation) for operation in OPERATIONS]
    return np.concatenate([np.sort(incoming), np.sort(outgoing), counts])
