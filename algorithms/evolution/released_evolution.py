"""Regularized evolution as the NAS-Bench-101 experiments ran it: on encodings, some of which make no cell.

The settings are those of `regularized_evolution`, which draws and changes until there is a cell. In the
released code an encoding that makes none, drawn or changed, becomes a member like any other, with an
error of 1 and at no cost; and one of more than nine edges makes none, even where pruning would leave nine
or fewer. First members are therefore uniform over all encodings, and two thirds of them are worth nothing.

Source: Ying et al., NAS-Bench-101, ICML 2019, section 4.2 and supplement S2.2; automl/nas_benchmarks,
run_regularized_evolution.py, nas_cifar10.py (encoding A).
"""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from nasbench_kit import checks
from nasbench_kit.algorithms.random_search import within_edges
from nasbench_kit.errors import Stalled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.random import Generator

    from nasbench_kit import Oracle
    from nasbench_kit.spaces.protocols import Architecture

#: Members in a row that make no architecture after which a search counts as stuck.
_PATIENCE = 10_000


class Member(NamedTuple):
    """An encoding, and what is believed of it."""

    choices: Sequence[int]
    #: In [0, 1]; 0 where the encoding makes no architecture.
    validation_accuracy: float


@dataclass(frozen=True)
class ReleasedEvolution:
    """Ageing evolution of encodings; what makes no architecture enters with an error of 1.

    Raises:
        InvalidSetting: a size below 1.
    """

    #: P, members alive.
    population_size: int = 100
    #: S, members drawn, with replacement, to compete for parenthood.
    sample_size: int = 10
    #: Edges that a cell's encoding may have before it is pruned; None: as many as it likes.
    most_edges: int | None = 9
    #: Whether the oldest member dies; otherwise it is the worst.
    regularized: bool = True
    #: Training length of every query; None is the table's longest.
    epochs: int | None = None

    @classmethod
    def non_regularized(cls) -> ReleasedEvolution:
        """The paper's contrast (section 4.2): the worst member dies."""
        return cls(regularized=False)

    def __post_init__(self) -> None:
        checks.whole("population_size", self.population_size, 1)
        checks.whole("sample_size", self.sample_size, 1)
        for name in ("most_edges", "epochs"):
            if (value := getattr(self, name)) is not None:
                checks.whole(name, value, 1)

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Architecture]:
        """Algorithm 1 of Real et al. (2019), on encodings.

        Raises:
            InvalidSetting: ``most_edges`` in a space whose architectures are no cells.
            Stalled: nothing but encodings that make no architecture.
        """
        space = oracle.space
        allowed = within_edges(space, self.most_edges)
        sizes = [len(decision.options) for decision in space.decisions]
        population: deque[Member] = deque()
        best = None
        first, idle = self.population_size, 0
        while idle < _PATIENCE:
            if first:
                first -= 1
                choices = [
                    int(u * size)
                    for u, size in zip(rng.random(len(sizes)).tolist(), sizes, strict=True)
                ]
            else:
                drawn = (rng.random(self.sample_size) * len(population)).astype(int).tolist()
                parent = max((population[member] for member in drawn), key=_accuracy)
                choices = changed(parent.choices, sizes, rng)
            architecture = space.decode(choices)
            accuracy = 0.0
            if architecture is None or not allowed(architecture):
                idle += 1
            else:
                idle = 0
                answer = oracle.query(architecture, self.epochs)
                accuracy = answer.validation_accuracy
                if best is None or accuracy > best.validation_accuracy:
                    best = answer
            population.append(Member(choices, accuracy))
            if len(population) > self.population_size:
                if self.regularized:
                    population.popleft()  # the oldest
                else:
                    worst = min(range(len(population)), key=lambda i: _accuracy(population[i]))
                    del population[worst]
            if not idle and best is not None:
                yield best.architecture
        raise Stalled(
            f"{_PATIENCE:,} encodings in a row made no architecture of {space.name}; raise "
            "population_size or most_edges"
        )


def changed(choices: Sequence[int], sizes: Sequence[int], rng: Generator) -> list[int]:
    """The same encoding but for one decision, which takes another option, uniformly."""
    free = [place for place, size in enumerate(sizes) if size > 1]
    place = free[int(rng.integers(len(free)))]
    turned = (choices[place] + int(rng.integers(1, sizes[place]))) % sizes[place]
    return [*choices[:place], turned, *choices[place + 1 :]]


_accuracy = operator.attrgetter("validation_accuracy")
