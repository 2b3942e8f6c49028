"""Hierarchical evolution: motifs made of motifs, tournaments, and nobody dies.

A genotype has three levels. The primitives of level 1 are the operations of cells and the identity. A
motif of level 2 is a graph of a few nodes whose edges each carry a primitive, or nothing; the one motif
of level 3 is the cell, whose edges carry motifs of level 2, or nothing. A motif used twice is changed in
both places at once.

It is flattened into NAS-Bench-101's cells, whose operations stand on vertices: edges of the cell are
replaced by their motifs, an edge with an operation becomes a vertex of that operation, and an identity
links directly. A node is no vertex; whatever leads into it leads on to every edge that leaves it. What
then has too many vertices or edges, or no path, is drawn again, as invalid children are in other
evolutions. Spaces without vertices and edges are refused.

The paper has 6 motifs of 4 nodes and cells of 5; nearly none of these is left with the 5 operations
that NAS-Bench-101 allows, so the graphs are smaller here. It starts each genotype from identities
and makes 1,000 random mutations, after which every edge is uniform to within 1e-15; it is drawn so.

Source: Liu H., Simonyan, Vinyals, Fernando, Kavukcuoglu, Hierarchical representations for efficient
architecture search, ICLR 2018 (arXiv 1711.00436), sections 2 and 3.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self

from nasbench_kit import checks
from nasbench_kit.algorithms.settings import check_ranges
from nasbench_kit.algorithms.workers import Job, check_workers, simulate
from nasbench_kit.errors import InvalidSetting, NotInSpace
from nasbench_kit.spaces.nasbench101.cell import OPERATIONS, edge_bit
from nasbench_kit.spaces.nasbench101.space import CellSpace

if TYPE_CHECKING:
    from numpy.random import Generator

    from nasbench_kit import Answer, Cell, Oracle

#: What an edge of a motif can carry.
NOTHING, IDENTITY = 0, 1
_PRIMITIVES = 2 + len(OPERATIONS)
#: Draws after which no genotype is said to make a cell of the space.
_MAX_DRAWS = 100_000

#: Edge by edge, (0, 1), (0, 2), (1, 2), (0, 3), ...: what it carries.
Graph = tuple[int, ...]


class Genotype(NamedTuple):
    """Edges of every motif of level 2, and of the cell, whose edges carry motif number k - 1 or nothing."""

    motifs: tuple[Graph, ...]
    cell: Graph


@dataclass(frozen=True)
class HierarchicalEvolution:
    """Tournaments in a population that only grows.

    Raises:
        InvalidSetting: a setting out of its range; when run, a space without vertices and edges.
    """

    #: Random genotypes before the first tournament.
    initial_size: int = 200
    #: Share of the current population that competes.
    tournament_share: float = 0.05
    #: Motifs of level 2.
    motifs: int = 6
    #: Nodes of each of them, its input and output included (4 in the paper).
    motif_nodes: int = 3
    #: Nodes of the cell (5 in the paper).
    cell_nodes: int = 4
    #: Whether tournaments choose parents; otherwise all genotypes are random, the paper's control.
    tournaments: bool = True
    #: Training length of every query; None is the table's longest.
    epochs: int | None = None
    #: Simulated ones, which train at the same time (200 in the paper); None is one, without a clock.
    workers: int | None = None

    ranges: ClassVar[Mapping[str, str]] = {"tournament_share": "(0, 1]"}

    def __post_init__(self) -> None:
        for name, least in (
            ("initial_size", 1),
            ("motifs", 1),
            ("motif_nodes", 2),
            ("cell_nodes", 2),
        ):
            checks.whole(name, getattr(self, name), least, 100 if "nodes" in name else None)
        check_ranges(self, self.ranges)
        check_workers(self.workers)

    @classmethod
    def small(cls) -> Self:
        """Thirty random genotypes and tournaments of a fifth, for some 150 queries.

        With 200 there would be no tournament, and a twentieth of thirty is one competitor, which is
        no selection.
        """
        return cls(initial_size=30, tournament_share=0.2)

    @classmethod
    def random(cls) -> Self:
        """The paper's control: random genotypes, all of them trained."""
        return cls(tournaments=False)

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Cell]:
        """Section 3.2; recommends the best of all.

        Raises:
            NotInSpace: no random genotype makes a cell of the space.
        """
        space = oracle.space
        if not isinstance(space, CellSpace):
            raise InvalidSetting(
                f"hierarchical evolution builds graphs of vertices and edges, which the space {space.name} "
                "has not; choose another search, such as regularized-evolution"
            )
        population: list[tuple[Answer, Genotype]] = []

        def ask() -> Job:
            evolve = self.tournaments and len(population) >= self.initial_size
            for _ in range(_MAX_DRAWS):
                genotype = self._child(population, rng) if evolve else self._random(rng)
                cell = flattened(genotype, self.motif_nodes, self.cell_nodes, space)
                if cell is not None:
                    return Job(cell, self.epochs, genotype)
            raise NotInSpace(
                f"{_MAX_DRAWS:,} genotypes in a row made no cell of the space {space.name}; lower "
                "motif_nodes or cell_nodes"
            )

        best = None
        for job, answer in simulate(oracle, ask, self.workers):
            population.append((answer, job.note))  # nobody is removed
            if best is None or answer.validation_accuracy > best.validation_accuracy:
                best = answer
            yield best.architecture

    def _child(self, population: list[tuple[Answer, Genotype]], rng: Generator) -> Genotype:
        """A mutation of the best of a share of the current population, drawn without replacement."""
        count = max(1, math.ceil(self.tournament_share * len(population)))
        drawn = rng.choice(len(population), count, replace=False)
        competitors = [population[member] for member in drawn.tolist()]
        _, parent = max(competitors, key=lambda one: _accuracy(one[0]))
        return self._mutated(parent, rng)

    def _random(self, rng: Generator) -> Genotype:
        edges, cell_edges = math.comb(self.motif_nodes, 2), math.comb(self.cell_nodes, 2)
        motifs = rng.integers(_PRIMITIVES, size=(self.motifs, edges)).tolist()
        cell = rng.integers(1 + self.motifs, size=cell_edges).tolist()
        return Genotype(tuple(map(tuple, motifs)), tuple(cell))

    def _mutated(self, parent: Genotype, rng: Generator) -> Genotype:
        """Section 3.1: a level, a motif of it, an edge of that (a node and one before it), another choice."""
        motifs, cell = list(parent.motifs), parent.cell
        if rng.random() < 0.5:
            return Genotype(parent.motifs, _changed(cell, self.cell_nodes, 1 + self.motifs, rng))
        place = int(rng.integers(self.motifs))
        motifs[place] = _changed(motifs[place], self.motif_nodes, _PRIMITIVES, rng)
        return Genotype(tuple(motifs), cell)


def _changed(graph: Graph, nodes: int, choices: int, rng: Generator) -> Graph:
    """One edge carries something else: its end is uniform over nodes, then its start over those before."""
    end = int(rng.integers(1, nodes))
    place = edge_bit(int(rng.integers(end)), end)
    other = (graph[place] + int(rng.integers(1, choices))) % choices
    return (*graph[:place], other, *graph[place + 1 :])


def flattened(
    genotype: Genotype, motif_nodes: int, cell_nodes: int, space: CellSpace
) -> Cell | None:
    """The cell of a genotype, pruned; None if it is not in the space.

    Args:
        genotype: with graphs of so many nodes.
        motif_nodes: of every motif of level 2.
        cell_nodes: of the cell.
        space: of the cell.
    """
    parents: list[int] = [0]  # of each vertex, as bits; vertex 0 is the input
    operations: list[int] = [0]

    def built(graph: Graph, nodes: int, start: int, level: int) -> int:
        """What leads into the last node, where the vertices ``start`` (bits) lead into the first."""
        leads = [start] + [0] * (nodes - 1)
        for end in range(1, nodes):
            for source in range(end):
                carried = graph[edge_bit(source, end)]
                if carried == NOTHING or not leads[source]:
                    continue
                if level == 3:
                    leads[end] |= built(genotype.motifs[carried - 1], motif_nodes, leads[source], 2)
                elif carried == IDENTITY:
                    leads[end] |= leads[source]
                else:
                    leads[end] |= 1 << len(parents)
                    parents.append(leads[source])
                    operations.append(carried - 2)
        return leads[-1]

    parents.append(built(genotype.cell, cell_nodes, 1, 3))  # the output
    used = 1 << len(parents) - 1
    for vertex in reversed(range(len(parents))):
        if used >> vertex & 1:
            used |= parents[vertex]
    kept = [vertex for vertex in range(len(parents)) if used >> vertex & 1]
    size = len(kept)
    if size > space.max_vertices or kept[0] != 0:
        return None
    pairs = itertools.combinations(range(size), 2)
    bits = sum(1 << edge_bit(u, v) for u, v in pairs if parents[kept[v]] >> kept[u] & 1)
    code = sum(operations[kept[v]] * 3 ** (v - 1) for v in range(1, size - 1))
    return space.cell(bits, code, size)


_accuracy = operator.attrgetter("validation_accuracy")
