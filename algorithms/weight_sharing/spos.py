"""SPOS: weights trained on uniformly drawn paths, then evolution over them.

Training is that of random search with weight sharing. What is queried first comes from an evolution
whose fitness is the accuracy with shared weights: the best of all so far are parents, half of the next
population are their crossovers, half their mutations. It goes on while its part of the share pays.

Source: Guo et al., Single path one-shot neural architecture search with uniform sampling, ECCV 2020
(arXiv 1904.00420), section 3.2, algorithm 1. Mutation changes one decision of the parent, as the
space's own mutation does, where the paper re-draws every decision with probability 0.1.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from nasbench_kit.algorithms.mutants import mutant
from nasbench_kit.algorithms.weight_sharing.random_search import RandomSharing, RandomWeightSharing
from nasbench_kit.errors import BudgetExhausted

if TYPE_CHECKING:
    from nasbench_kit.algorithms.weight_sharing.training import OneShot, SharedWeights
    from nasbench_kit.spaces.protocols import Architecture

#: Draws of one child after which a new random one takes its place.
_PATIENCE = 100


@dataclass(frozen=True)
class SPOS(RandomWeightSharing):
    """Single-path training and evolution; population and parents are the paper's.

    Raises:
        InvalidSetting: a setting out of its range.
    """

    population: int = 50
    #: The best so far, which have children.
    parents: int = 10

    ranges: ClassVar[Mapping[str, str]] = {
        **RandomWeightSharing.ranges,
        "population": "[2, inf)",
        "parents": "[1, inf)",
    }

    def begin(self, shared: SharedWeights) -> OneShot:
        """The search before its first epoch."""
        super().begin(shared)
        return _Search(self, shared)


class _Search(RandomSharing):
    settings: SPOS

    def candidates(self) -> Iterator[Architecture]:
        """Everything that evolution has scored, the best first; then new random cells."""
        shared, settings = self.shared, self.settings
        shared.rank_from_here()
        scored: dict[Architecture, float] = {}
        with contextlib.suppress(BudgetExhausted):
            while True:
                best = sorted(scored, key=lambda one: -scored[one])[: settings.parents]
                before = len(scored)
                for place in range(settings.population):
                    child = self._child(best, scored, crossover=place % 2 == 0)
                    if child not in scored:
                        scored[child] = shared.paid_whole_reward(child)
                if len(scored) == before:
                    break  # the space has no others
        yield from sorted(scored, key=lambda one: -scored[one])
        yield from (one for one in shared.distinct(lambda: [self.draw()]) if one not in scored)

    def _child(
        self, parents: list[Architecture], scored: dict[Architecture, float], *, crossover: bool
    ) -> Architecture:
        """One that is not scored yet, if a hundred draws bring one."""
        space, rng = self.shared.space, self.shared.rng
        child = self.draw()
        for _ in range(_PATIENCE if parents else 0):
            one, other = (parents[int(i)] for i in rng.integers(len(parents), size=2))
            if crossover:
                genes = zip(space.encode(one), space.encode(other), strict=True)
                bred = space.decode(tuple(pair[int(rng.integers(2))] for pair in genes))
            else:
                bred = mutant(space, one, rng)
            if bred is not None and bred not in scored:
                return bred
        return child
