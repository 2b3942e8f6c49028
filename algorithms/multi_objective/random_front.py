"""Random search that recommends the front of all that it drew: the control of several objectives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nasbench_kit.algorithms.multi_objective.objectives import Front, checked_objectives
from nasbench_kit.algorithms.random_search import RandomSearch

if TYPE_CHECKING:
    from numpy.random import Generator

    from nasbench_kit import Oracle
    from nasbench_kit.spaces.protocols import Architecture


@dataclass(frozen=True)
class RandomFront:
    """Keeps what no other draw dominates.

    Raises:
        InvalidSetting: objectives without accuracy or without a cost.
    """

    #: "accuracy" and costs; a comparison fills in its own where there are none.
    objectives: Sequence[str] = ()
    #: Training length of every query; None is the table's longest.
    epochs: int | None = None
    #: Whether no architecture is asked for twice; the search ends when nothing new is left.
    distinct: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "objectives", checked_objectives(self.objectives))

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[tuple[Architecture, ...]]:
        """Sample, query, keep the front; for ever."""
        front = Front(self.objectives)
        for architecture in RandomSearch(distinct=self.distinct).draws(oracle, rng):
            front.add(oracle.query(architecture, self.epochs))
            yield front.architectures
