"""Random search.

Sampling is the space's own. Of NAS-Bench-101 it is uniform over encodings, as in the official notebook:
a cell with many encodings is drawn more often than under uniform sampling of unique cells.

In the code of that paper's experiments an encoding of more than nine edges makes no cell, even where pruning
would leave nine or fewer; ``released`` draws so.

Source: Ying et al., NAS-Bench-101, ICML 2019, section 4; google-research/nasbench, NASBench.ipynb;
automl/nas_benchmarks, run_random_search.py, nas_cifar10.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nasbench_kit import checks
from nasbench_kit.errors import InvalidSetting
from nasbench_kit.spaces.nasbench101.space import CellSpace

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
        InvalidSetting: an unknown sampling, or fewer than one edge.
    """

    #: Training length of every query; None is the table's longest.
    epochs: int | None = None
    #: Whether no architecture is asked for twice; the search ends when nothing new is left.
    distinct: bool = False
    #: Uniform over "encodings" or over unique "cells", as shared weights can be trained and ranked.
    sampling: str = "encodings"
    #: Edges that a cell's encoding may have before it is pruned; None: as many as it likes.
    most_edges: int | None = None

    def __post_init__(self) -> None:
        if self.most_edges is not None:
            checks.whole("most_edges", self.most_edges, 1)
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

    @classmethod
    def released(cls) -> RandomSearch:
        """As in the code of the NAS-Bench-101 experiments: nine edges at most, before pruning."""
        return cls(most_edges=9)

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
            InvalidSetting: the space draws in one way only, and another is asked for; or
                ``most_edges`` in a space whose architectures are no cells.
        """
        space: Any = oracle.space
        allowed = within_edges(space, self.most_edges)
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
            if not allowed(architecture):
                repeated += 1
            elif not self.distinct:
                repeated = 0
                yield architecture
            elif architecture in seen:
                repeated += 1
            else:
                seen.add(architecture)
                repeated = 0
                yield architecture


def within_edges(space: Any, most: int | None) -> Callable[[Any], bool]:
    """Whether an encoding has few enough edges, those counted that pruning would remove.

    Raises:
        InvalidSetting: a limit in a space whose architectures are no cells.
    """
    if most is None:
        return lambda _: True
    if not isinstance(space, CellSpace):
        raise InvalidSetting(
            f"most_edges is {most}, of cells, which the space {space.name} has not; leave it out"
        )
    return lambda cell: cell.bits.bit_count() <= most
