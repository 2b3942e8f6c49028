"""Regularized evolution of a front: the oldest member dies, and parents are the least dominated.

The form is Syne Tune's, with its settings (P = 100, S = 10): competitors drawn with replacement are
compared by a non-dominated sort of the whole population. Within a front, where Syne Tune takes an
epsilon-net's order, the less crowded one wins, as in NSGA-II.

Source: syne-tune/syne-tune, multi_objective_regularized_evolution.py; Real, Aggarwal, Huang, Le, AAAI
2019 (arXiv 1802.01548), Algorithm 1.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit import checks
from nasbench_kit.algorithms.multi_objective.objectives import (
    Front,
    checked_objectives,
    crowded_order,
    default_size,
)
from nasbench_kit.algorithms.mutants import mutant

if TYPE_CHECKING:
    from numpy.random import Generator

    from nasbench_kit import Oracle
    from nasbench_kit.spaces.protocols import Architecture


@dataclass(frozen=True)
class MultiObjectiveRegularizedEvolution:
    """Recommends the front of all that was asked for.

    Raises:
        InvalidSetting: a size below 1, or objectives without accuracy or without a cost.
    """

    #: P, members alive; None is 100, on spaces of fewer than 1,000 architectures 20.
    population_size: int | None = None
    #: S, members drawn with replacement to compete for parenthood.
    sample_size: int = 10
    #: "accuracy" and costs; a comparison fills in its own where there are none.
    objectives: Sequence[str] = ()
    #: Training length of every query; None is the table's longest.
    epochs: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "objectives", checked_objectives(self.objectives))
        for name in ("population_size", "sample_size", "epochs"):
            if (value := getattr(self, name)) is not None:
                checks.whole(name, value, 1)

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[tuple[Architecture, ...]]:
        """Algorithm 1 of Real et al., with the history reduced to its front."""
        space = oracle.space
        size = self.population_size or default_size(space)
        front = Front(self.objectives)
        population: deque[tuple[Any, tuple[float, ...]]] = deque(maxlen=size)  # the oldest dies
        while True:
            if len(population) < size:
                child = space.sample(rng)
            else:
                competitors = rng.integers(size, size=self.sample_size)
                order = crowded_order(np.array([values for _, values in population]))
                parent = next(place for place in order.tolist() if place in competitors)
                child = mutant(space, population[parent][0], rng)
            population.append((child, front.add(oracle.query(child, self.epochs))))
            yield front.architectures
