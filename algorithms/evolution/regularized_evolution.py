"""Regularized (ageing) evolution, and its relatives as named settings.

The defaults are those of the NAS-Bench-101 experiments (Ying et al. 2019, supplement S2.2: P = 100,
S = 10, one variable of the encoding changed).

Source: Real, Aggarwal, Huang, Le, AAAI 2019 (arXiv 1802.01548), Algorithm 1, and for AmoebaNet's
settings the methods and experiments sections; google-research/nasbench, NASBench.ipynb; naszilla, nas_algorithms.py and mutations.py.
"""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from nasbench_kit import checks
from nasbench_kit.algorithms.mutants import mutant
from nasbench_kit.algorithms.settings import check_ranges
from nasbench_kit.algorithms.workers import Job, check_workers, simulate
from nasbench_kit.errors import InvalidSetting, NotInSpace
from nasbench_kit.spaces.nasbench101.space import CellSpace
from nasbench_kit.spaces.protocols import Numbered

if TYPE_CHECKING:
    from numpy.random import Generator

    from nasbench_kit import Answer, Cell, Oracle
    from nasbench_kit.spaces.protocols import Architecture, Space

Mutation = Literal["one-variable", "per-vertex", "per-edge", "edge-or-operation"]

_POPULATION = 100
#: Below this many cells a population of 100 would be random search over much of the space.
_SMALL_SPACE = 1_000
_SMALL_POPULATION = 20
#: Mutations drawn before a cell counts as having none.
_MAX_DRAWS = 1_000


@dataclass(frozen=True)
class RegularizedEvolution:
    """The oldest member dies, never the worst.

    Raises:
        InvalidSetting: a size below 1, more distinct competitors than members, an unknown mutation
            a mutation rate that is not positive, an identity probability outside [0, 1) or no worker.
    """

    #: P, members alive; None is 100. On spaces of fewer than 1,000 cells None is 20, or what the first
    #: members, or competitors drawn without replacement, need.
    population_size: int | None = None
    #: Random members before the first child; None is P. The population then grows to P.
    initial_size: int | None = None
    #: S, members drawn to compete for parenthood.
    sample_size: int = 10
    #: Whether one member can be drawn several times for the same competition.
    replacement: bool = True
    #: "one-variable": one edge or operation, uniformly. Else each edge flips with probability
    #: rate / V ("per-vertex") or rate / (V (V - 1) / 2) ("per-edge"), and each operation becomes
    #: another one with probability rate / (V - 2). Or "edge-or-operation": first which of the two,
    #: evenly, then one of them as in "one-variable"; elsewhere than in cells it is "one-variable".
    #: All are repeated until the child is in the space.
    mutation: Mutation = "one-variable"
    #: The rate of "per-vertex" and "per-edge".
    mutation_rate: float = 1.0
    #: Whether the oldest member dies; otherwise it is the worst.
    regularized: bool = True
    #: Training length of every query; None is the table's longest.
    epochs: int | None = None
    #: How often a child is its parent, trained once more; None is never.
    identity_probability: float | None = None
    #: Simulated ones, which train at the same time; None is one, without a clock.
    workers: int | None = None

    @classmethod
    def amoebanet(cls) -> RegularizedEvolution:
        """The settings that found AmoebaNet (there, on 450 workers).

        Its mutations, of a hidden state or of an operation, evenly, and 0.05 of none, are those of
        cells with two inputs a block: another input is chosen for one. Here vertices have any number of
        inputs, and an edge comes or goes. The paper's control is random search.
        """
        return cls(
            population_size=100,
            sample_size=25,
            replacement=False,
            mutation="edge-or-operation",
            identity_probability=0.05,
        )

    @classmethod
    def amoebanet_small(cls) -> RegularizedEvolution:
        """AmoebaNet's mutations and its share of competitors, a quarter, for some 150 queries.

        A population of 100 would leave a third of them to evolution.
        """
        return cls(
            population_size=20,
            sample_size=5,
            replacement=False,
            mutation="edge-or-operation",
            identity_probability=0.05,
        )

    @classmethod
    def notebook(cls) -> RegularizedEvolution:
        """As in NASBench.ipynb."""
        return cls(population_size=50, replacement=False, mutation="per-vertex")

    @classmethod
    def naszilla(cls) -> RegularizedEvolution:
        """As in naszilla, whose comparisons are BANANAS' and local search's (there, 29 survive)."""
        return cls(population_size=30, initial_size=10, mutation="per-edge")

    @classmethod
    def non_regularized(cls) -> RegularizedEvolution:
        """The NAS-Bench-101 paper's contrast (section 4.2): the worst member dies."""
        return cls(regularized=False)

    def __post_init__(self) -> None:
        checks.whole("sample_size", self.sample_size, 1)
        for name in ("population_size", "initial_size", "epochs"):
            if (value := getattr(self, name)) is not None:
                checks.whole(name, value, 1)
        most = self.population_size or _POPULATION
        first = self.initial_size or most
        if first > most:
            raise InvalidSetting(
                f"initial_size is {first}; it cannot pass the population_size {most}"
            )
        if not self.replacement and self.sample_size > first:
            raise InvalidSetting(
                f"sample_size is {self.sample_size}; without replacement it cannot pass the first "
                f"{first} members"
            )
        if not isinstance(self.mutation, str) or self.mutation not in get_args(Mutation):
            choices = ", ".join(get_args(Mutation))
            raise InvalidSetting(
                f"mutation is {checks.shown(self.mutation)}; choose one of {choices}"
            )
        if not (isinstance(self.mutation_rate, int | float) and self.mutation_rate > 0):
            raise InvalidSetting(f"mutation_rate is {self.mutation_rate}; it must be positive")
        check_ranges(self, {"identity_probability": "[0, 1)"})
        check_workers(self.workers)

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Architecture]:
        """Algorithm 1, with the history reduced to its best member."""
        space = oracle.space
        small = isinstance(space, Numbered) and len(space) < _SMALL_SPACE
        size = self.population_size or _POPULATION
        if small and self.population_size is None:
            competitors = 1 if self.replacement else self.sample_size
            size = max(_SMALL_POPULATION, self.initial_size or 1, competitors)
        initial = self.initial_size or size
        population: deque[Answer] = deque()
        told = 0

        def ask() -> Job:
            if told < initial:  # initialise with random architectures
                return Job(space.sample(rng), self.epochs)
            parent = max(self._competitors(population, rng), key=_accuracy)
            return Job(self._mutate(parent.architecture, space, rng), self.epochs)

        best = None
        for _, child in simulate(oracle, ask, self.workers):
            told += 1
            population.append(child)
            if len(population) > size:
                if self.regularized:
                    population.popleft()  # the oldest
                else:
                    del population[min(range(size + 1), key=lambda i: _accuracy(population[i]))]
            if best is None or _accuracy(child) > _accuracy(best):
                best = child
            yield best.architecture

    def _competitors(self, population: deque[Answer], rng: Generator) -> list[Answer]:
        size = len(population)
        if self.replacement:
            # Takes a fifth of the time of rng.integers, which was a third of a whole run's.
            return [population[int(u * size)] for u in rng.random(self.sample_size).tolist()]
        drawn = rng.choice(size, self.sample_size, replace=False)
        return [population[member] for member in drawn.tolist()]

    def _mutate(self, parent: Any, space: Space, rng: Generator) -> Any:
        """A child of the parent's own labelling, which is never pruned: that could not be undone."""
        if self.identity_probability and rng.random() < self.identity_probability:
            return parent
        if self.mutation == "edge-or-operation" and isinstance(space, CellSpace):
            return self._mutate_kind(parent, space, rng)
        if self.mutation in ("one-variable", "edge-or-operation"):
            return mutant(space, parent, rng)
        if not isinstance(space, CellSpace):
            raise InvalidSetting(
                f"mutation is {self.mutation!r}, of vertices and edges, which the space {space.name} has "
                'not; "one-variable" changes one decision of any space'
            )
        return self._mutate_cell(parent, space, rng)

    def _mutate_kind(self, cell: Cell, space: CellSpace, rng: Generator) -> Cell:
        options = space.encode(cell)
        edges = len(options) - (space.max_vertices - 2)  # the first decisions
        for _ in range(_MAX_DRAWS):
            of_edge = rng.random() < 0.5 or edges == len(options)
            variable = int(rng.integers(edges) if of_edge else rng.integers(edges, len(options)))
            size = len(space.decisions[variable].options)
            changed = list(options)
            changed[variable] = (options[variable] + int(rng.integers(1, size))) % size
            child = space.decode(changed)
            if child is not None:
                return child
        return space.sample(rng)  # it has no neighbour

    def _mutate_cell(self, cell: Cell, space: CellSpace, rng: Generator) -> Cell:
        vertices = space.max_vertices
        edges, operations = vertices * (vertices - 1) // 2, vertices - 2
        per = vertices if self.mutation == "per-vertex" else edges
        for _ in range(_MAX_DRAWS):
            flips = rng.random(edges) < self.mutation_rate / per
            changes = rng.random(operations) * operations < self.mutation_rate
            turns = rng.integers(1, 3, size=operations) * changes
            digits = (cell.code // 3 ** np.arange(operations) + turns) % 3
            bits = cell.bits ^ int(flips @ (1 << np.arange(edges)))
            child = space.cell(bits, int(digits @ 3 ** np.arange(operations)))
            if child is not None:
                return child
        raise NotInSpace(
            f"none of {_MAX_DRAWS:,} mutations of {cell.to_text()} is in the space {space.name}; "
            "lower mutation_rate"
        )


_accuracy = operator.attrgetter("validation_accuracy")
