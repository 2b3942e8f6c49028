"""Random search.

Sampling is the space's own. Of NAS-Bench-101 it is uniform over encodings, as in the official notebook:
a cell with many encodings is drawn more often than under uniform sampling of unique cells.

Source: Ying et al., NAS-Bench-101, ICML 2019, section 4; google-research/nasbench, NASBench.ipynb.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nasbench_kit.errors import InvalidSetting

if TYPE_CHECKING:
    from numpy.random import Generator

    from nasbench_kit import Oracle
    from nasbench_kit.spaces.protocols import Architecture

#: Draws in a row that bring nothing new, after which a space counts as exhausted.
_MOST_DRAWS = 10_000


@dataclass(frozen=True)
class RandomSearch:
    """Keeps the architecture with the best validation accuracy of all that were drawn.

    Raises:
        InvalidSetting: an unknown sampling.
    """

    #: Training length of every query; None is the table's longest.
    epochs: int | None = None
    #: Whether no architecture is asked for twice; the search ends when nothing new is left.
    distinct: bool = False
    #: Uniform over "encodings" or over unique "cells", as shared weights can be trained and ranked.
    sampling: str = "encodings"

    def __post_init__(self) -> None:
        if self.sampling not in ("encodings", "cells"):
            raise InvalidSetting(f"sampling is {self.sampling!r}; choose 'encodings' or 'cells'")

    @property
    def asks_once(self) -> bool:
        """Whether no architecture is asked for twice."""
        return self.distinct

    @classmethod
    def without_repetition(cls) -> RandomSearch:
        """The control beside methods that ask for every architecture once."""
        return cls(distinct=True)

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Architecture]:
        """Sample, query, keep the best; for ever."""
        best = None
        for architecture in self.draws(oracle, rng):
            answer = oracle.query(architecture, self.epochs)
            if best is None or answer.validation_accuracy > best.validation_accuracy:
                best = answer
            yield best.architecture

    def draws(self, oracle: Oracle, rng: Generator) -> Iterator[Architecture]:
        """What is asked for, in this order.

        Raises:
            InvalidSetting: the space draws in one way only, and another is asked for.
        """
        space: Any = oracle.space
        if self.sampling != "encodings" and not hasattr(space, "sample_fairly"):
            raise InvalidSetting(
                f"the space {space.name} draws architectures in one way; "
                "leave sampling at 'encodings'"
            )
        over = {} if self.sampling == "encodings" else {"over": self.sampling}
        seen: set[Architecture] = set()
        repeated = 0
        while repeated < _MOST_DRAWS:
            architecture = space.sample(rng, **over)
            if not self.distinct:
                yield architecture
            elif architecture in seen:
                repeated += 1
            else:
                seen.add(architecture)
                repeated = 0
                yield architecture
