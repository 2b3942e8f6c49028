"""NSGA-II: an elitist genetic algorithm that keeps what is not dominated and not crowded.

Defaults are the paper's (population 100, crossover with probability 0.9; single-point, as for its
binary strings). Its bitwise mutation changes each of n bits with probability 1 / n; here one decision
of each child changes, which is as much on average and is a step of every space. A mating has one child
and not two. Generations are asked for one by one, so that the front grows with every query.

Source: Deb, Pratap, Agarwal, Meyarivan, IEEE TEC 6(2), 2002, sections III and IV.
"""

from __future__ import annotations

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
from nasbench_kit.algorithms.settings import check_ranges

if TYPE_CHECKING:
    from numpy.random import Generator

    from nasbench_kit import Oracle
    from nasbench_kit.spaces.protocols import Architecture, Space


@dataclass(frozen=True)
class NSGA2:
    """The better half of parents and children are the next parents.

    Raises:
        InvalidSetting: a population below 2, a probability outside [0, 1], or objectives without
            accuracy or without a cost.
    """

    #: N; None is 100, on spaces of fewer than 1,000 architectures 20.
    population_size: int | None = None
    #: p_c; otherwise the child is its first parent, mutated.
    crossover_probability: float = 0.9
    #: "accuracy" and costs; a comparison fills in its own where there are none.
    objectives: Sequence[str] = ()
    #: Training length of every query; None is the table's longest.
    epochs: int | None = None

    @classmethod
    def small(cls) -> NSGA2:
        """For some hundred queries, of which a population of 100 would see few generations."""
        return cls(population_size=20)

    def __post_init__(self) -> None:
        object.__setattr__(self, "objectives", checked_objectives(self.objectives))
        for name, least in (("population_size", 2), ("epochs", 1)):
            if (value := getattr(self, name)) is not None:
                checks.whole(name, value, least)
        check_ranges(self, {"crossover_probability": "[0, 1]"})

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[tuple[Architecture, ...]]:
        """Section III C, the main loop."""
        space = oracle.space
        size = self.population_size or default_size(space)
        front = Front(self.objectives)
        parents: list[Any] = []  # best first
        values = np.empty((0, len(self.objectives)))
        while True:
            children, theirs = [], []
            for _ in range(size):
                child = self._child(parents, space, rng) if parents else space.sample(rng)
                answer = oracle.query(child, self.epochs)
                theirs.append(front.add(answer))
                children.append(child)
                yield front.architectures
            both, values = [*parents, *children], np.concatenate([values, theirs])
            order = crowded_order(values)[:size]
            parents, values = [both[place] for place in order.tolist()], values[order]

    def _child(self, parents: list[Any], space: Space, rng: Generator) -> Any:
        """Two binary tournaments, crossover, mutation; parents stand in the crowded order."""
        mother, father = (
            parents[place] for place in rng.integers(len(parents), size=(2, 2)).min(1)
        )
        if rng.random() < self.crossover_probability:
            mother = _crossed(mother, father, space, rng)
        return mutant(space, mother, rng)


def _crossed(mother: Any, father: Any, space: Space, rng: Generator) -> Any:
    """The mother's decisions up to a point, then the father's; she herself where no point is valid."""
    first, second = space.encode(mother), space.encode(father)
    for point in (1 + rng.permutation(len(first) - 1)).tolist():
        child = space.decode([*first[:point], *second[point:]])
        if child is not None:
            return child
    return mother
