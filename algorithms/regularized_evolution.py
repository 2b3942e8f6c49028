"""Regularized (ageing) evolution.

Source: Real, Aggarwal, Huang, Le, AAAI 2019 (arXiv 1802.01548), Algorithm 1; population, sample and
mutation as in the NAS-Bench-101 experiments (Ying et al. 2019, supplement S2.2: P = 100, S = 10, one
variable of the encoding changed).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nasbench_kit.errors import InvalidSetting

if TYPE_CHECKING:
    from numpy.random import Generator

    from nasbench_kit import Answer, Cell, Oracle

#: Below this many cells a population of 100 would be random search over much of the space.
_SMALL_SPACE = 1_000


@dataclass(frozen=True)
class RegularizedEvolution:
    """The oldest member dies, never the worst.

    Raises:
        InvalidSetting: a population or sample size below 1.
    """

    #: P, members alive; None is 100, and 20 on spaces of fewer than 1,000 cells.
    population_size: int | None = None
    #: S, members drawn (with replacement) to compete for parenthood.
    sample_size: int = 10
    #: Training length of every query; None is the table's longest.
    epochs: int | None = None

    def __post_init__(self) -> None:
        for name in ("population_size", "sample_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidSetting(f"{name} is {value}; it must be at least 1")

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Cell]:
        """Algorithm 1, with the history reduced to its best member."""
        small = len(oracle.space) < _SMALL_SPACE
        size = self.population_size or (20 if small else 100)
        population: deque[Answer] = deque()
        best = None
        while True:
            if len(population) < size:  # initialise with random cells
                cell = oracle.space.sample(rng)
            else:
                drawn = rng.integers(size, size=self.sample_size).tolist()
                parent = max((population[i] for i in drawn), key=_accuracy)
                cell = oracle.space.mutate(parent.cell, rng)
                # The child replaces the oldest once it is evaluated.
            child = oracle.query(cell, self.epochs)
            population.append(child)
            if len(population) > size:
                population.popleft()
            if best is None or _accuracy(child) > _accuracy(best):
                best = child
            yield best.cell


def _accuracy(member: Answer) -> float:
    return member.validation_accuracy
