"""Local search: go to a better neighbour while there is one, then start again elsewhere.

Neighbours are the single changes of a decision (of a cell: the single edits of its own unpruned
labelling). Those that leave the architecture the same, or give one that was asked for before, are
passed over, as in the released code.

Source: White, Nolen, Savani, Exploring the Loss Landscape in Neural Architecture Search, UAI 2021
(arXiv 2005.02960), Algorithm 1; naszilla, nas_algorithms.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from nasbench_kit.errors import InvalidSetting
from nasbench_kit.spaces.protocols import Numbered

if TYPE_CHECKING:
    from numpy.random import Generator

    from nasbench_kit import Answer, Oracle
    from nasbench_kit.spaces.protocols import Architecture


@dataclass(frozen=True)
class LocalSearch:
    """Climbs from the best of some random architectures, again and again; asks for none twice.

    Raises:
        InvalidSetting: no random architecture to start from.
    """

    #: Random architectures at each start, the best of which is climbed from.
    initial_size: int = 10
    #: Whether to ask for all neighbours and go to the best, rather than to the first better one.
    full_neighbourhood: bool = False
    #: Training length of every query; None is the table's longest.
    epochs: int | None = None

    asks_once: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.initial_size < 1:
            raise InvalidSetting(f"initial_size is {self.initial_size}; it must be at least 1")

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Architecture]:
        """Algorithm 1, restarted at every local optimum until everything is known."""
        space = oracle.space
        numbered = isinstance(space, Numbered)
        size = len(space) if numbered else math.inf  # a space without rows is never exhausted
        key: Callable[[Any], Hashable] = space.index if numbered else _itself
        asked: set[Hashable] = set()  # rows, or architectures, asked for
        best: Answer | None = None

        def unknown(count: int) -> Iterator[Any]:
            """Random architectures not known yet, which they become; fewer if there are no more."""
            while count > 0 and len(asked) < size:
                architecture = space.sample(rng)
                if (row := key(architecture)) not in asked:
                    asked.add(row)
                    count -= 1
                    yield architecture

        while len(asked) < size:
            here: Answer | None = None
            for start in unknown(self.initial_size):
                answer = oracle.query(start, self.epochs)
                here, best = _better(here, answer), _better(best, answer)
                yield best.architecture
            while here is not None:
                centre, here = here, None
                neighbours = space.neighbours(centre.architecture)
                for place in rng.permutation(len(neighbours)).tolist():
                    neighbour = neighbours[place]
                    row = key(neighbour)
                    if row in asked:
                        continue
                    asked.add(row)
                    answer = oracle.query(neighbour, self.epochs)
                    best = _better(best, answer)
                    if answer.validation_accuracy > (here or centre).validation_accuracy:
                        here = answer
                    yield best.architecture
                    if here is not None and not self.full_neighbourhood:
                        break


def _itself(architecture: Any) -> Hashable:
    hashable: Hashable = architecture
    return hashable


def _better(one: Answer | None, other: Answer) -> Answer:
    """The other one only if it is strictly better."""
    if one is None or other.validation_accuracy > one.validation_accuracy:
        return other
    return one
