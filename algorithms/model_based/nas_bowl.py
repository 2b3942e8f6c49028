"""NAS-BOWL: a Gaussian process with a Weisfeiler-Lehman kernel on the graphs of architectures.

The kernel counts which labelled neighbourhoods two graphs share. On cells these are of vertices, as
published. Other spaces have no graph that is known here: there it is the chain of decisions, each
labelled with its name and option, so that neighbourhoods are runs of consecutive decisions.

Departure from the released code: the noise is found by scikit-learn's L-BFGS instead of 20 steps of Adam.

Source: Ru, Wan, Dong, Osborne, Interpretable Neural Architecture Search via Bayesian Optimisation with
Weisfeiler-Lehman Kernels, ICLR 2021 (arXiv 2006.07556), Algorithm 2; xingchenwan/nasbowl,
nasbench_optimisation.py, whose settings for NAS-Bench-101 are the defaults.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.algorithms.model_based import loop
from nasbench_kit.algorithms.model_based.graphs import Graph, graph_of
from nasbench_kit.algorithms.settings import check_ranges

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit import Oracle
    from nasbench_kit.spaces.protocols import Architecture

#: Noise variance: where its search begins and where it ends at least, in units of the answers' variance.
_FIRST_NOISE, _LEAST_NOISE = 1e-3, 1e-5
#: An error of 0 has no logarithm; this one is below that of any table's images.
_LEAST_ERROR = 1e-6


@dataclass(frozen=True)
class NASBOWL:
    """Asks for a few architectures of largest expected improvement in log error at a time.

    Raises:
        InvalidSetting: a value outside its range; when run, a budget that does not reach beyond the
            initial architectures.
    """

    #: Random architectures before the first model.
    initial_size: int = 30
    #: Architectures asked for with the same model.
    batch_size: int = 5
    #: Candidates among which the acquisition chooses; half of them are mutants, half are random.
    pool_size: int = 100
    #: The best architectures so far, of which the mutants are.
    parents: int = 10
    #: Rounds of relabelling are 1 to so many, whichever explains the answers best (0 counts labels).
    rounds: int = 2
    #: Whether a neighbourhood that two graphs have m and n times counts min(m, n) (optimal assignment,
    #: the released code's choice for NAS-Bench-101) or m times n (subtree kernel).
    optimal_assignment: bool = True
    #: Largest noise variance, in units of the answers' variance.
    most_noise: float = 0.01
    #: Training length of every query; None is the table's longest.
    epochs: int | None = None

    @classmethod
    def small(cls) -> NASBOWL:
        """For tables where 30 random architectures are a good part of what a search would ask for."""
        return cls(initial_size=10)

    def __post_init__(self) -> None:
        names = ("initial_size", "batch_size", "pool_size", "parents")
        loop.check_whole(self, **dict.fromkeys(names, 1), rounds=0)
        check_ranges(self, {"most_noise": f"({_LEAST_NOISE}, 1]"})

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Architecture]:
        """Algorithm 2."""
        return loop.search(
            "NAS-BOWL",
            oracle,
            rng,
            lambda history: self._propose(history, rng),
            initial_size=self.initial_size,
            epochs=self.epochs,
        )

    def _propose(self, history: loop.History, rng: Generator) -> list[Any]:
        candidates = self._pool(history, rng)
        if not candidates:
            return []
        asked = [answer.architecture for answer in history.answers]
        graphs = [graph_of(architecture, history.space) for architecture in asked + candidates]
        targets = np.log(np.maximum(history.errors, _LEAST_ERROR))
        mean, deviation = self._predict(graphs, targets)
        worth = loop.expected_improvement(mean, deviation, float(targets.min()))
        order = np.argsort(-worth, kind="stable")[: self.batch_size]
        return [candidates[place] for place in order.tolist()]

    def _pool(self, history: loop.History, rng: Generator) -> list[Any]:
        """Mutants of the best architectures, each of which has as many tries, and random ones."""
        pool = loop.Pool(history)
        parents = history.best(self.parents)
        mutants = self.pool_size // 2
        for place in range(2 * mutants):  # mutants that are known or equal make room for others
            if len(pool) < mutants:
                pool.add(loop.edited(history.space, parents[place % len(parents)], 1, rng))
        history.unknown(rng, self.pool_size - len(pool), pool)
        return pool.candidates

    def _predict(
        self, graphs: Sequence[Graph], targets: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and deviation of the graphs behind those that have targets."""
        from sklearn.gaussian_process.kernels import WhiteKernel
        from threadpoolctl import threadpool_limits

        from nasbench_kit.algorithms.model_based.gaussian_process import (
            Precomputed,
            fitted,
            predict,
        )

        count = len(targets)
        counts = neighbourhoods(graphs, self.rounds)
        tried = []
        with threadpool_limits(1):  # sums differ in their last bits by the number of threads
            for rounds in range(min(1, self.rounds), self.rounds + 1):
                rows = kernel(counts[: rounds + 1], count, self.optimal_assignment)
                noise = WhiteKernel(_FIRST_NOISE, (_LEAST_NOISE, self.most_noise))
                process = fitted(Precomputed() + noise, rows[:count], targets, normalize_y=True)
                tried.append((process.log_marginal_likelihood_value_, -rounds, process, rows))
            _, _, process, rows = max(tried, key=lambda one: one[:2])
            return predict(process, rows[count:])


def neighbourhoods(graphs: Sequence[Graph], rounds: int) -> list[NDArray[np.float64]]:
    """How often each label stands in each graph, [graphs, labels], before and after each relabelling.

    A round gives each vertex a label for its own one and the sorted ones of its successors
    (Weisfeiler and Lehman's; successors as in the released code, whose graphs are directed).
    """
    labels: list[list[Any]] = [list(graph.labels) for graph in graphs]
    by_round = []
    for step in range(rounds + 1):
        if step:
            labels = [
                [
                    (own[vertex], tuple(sorted(own[successor] for successor in fed)))
                    for vertex, fed in enumerate(graph.successors)
                ]
                for graph, own in zip(graphs, labels, strict=True)
            ]
        numbers: dict[Any, int] = {}
        labels = [[numbers.setdefault(label, len(numbers)) for label in own] for own in labels]
        counts = np.zeros((len(graphs), len(numbers)))
        for row, own in zip(counts, labels, strict=True):
            for number, times in Counter(own).items():
                row[number] = times
        by_round.append(counts)
    return by_round


def kernel(
    counts: Sequence[NDArray[np.float64]], columns: int, optimal_assignment: bool
) -> NDArray[np.float64]:
    """The kernel of all graphs with the first ``columns`` of them, each with itself 1 (equation 3)."""
    together = np.concatenate(counts, axis=1)
    if optimal_assignment:
        rows = np.array([np.minimum(one, together[:columns]).sum(axis=1) for one in together])
        own = together.sum(axis=1)
    else:
        rows = together @ together[:columns].T
        own = (together**2).sum(axis=1)
    return rows / np.sqrt(np.outer(own, own[:columns]))
