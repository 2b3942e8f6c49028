"""PNAS: from simple architectures to complex ones, the next step chosen by a predictor.

Level after level, every architecture of the beam is expanded in all ways, a predictor that was fitted
on everything trained so far ranks the expansions, and the best K of them are trained and are the next
beam. It ends with the last level.

What grows is the space's:

- Of cells, the vertices. All cells of up to three vertices are trained; an expansion puts one vertex
  before the output, with any operation and any parents, and any of the output's other parents may be
  taken away. So every cell of n + 1 vertices is an expansion of some cell of n.
- Elsewhere (sub-spaces of cells too), the decided decisions, in the order of the space. Those that are
  not decided yet are filled by one random architecture, drawn at the start: the paper's small cells
  are whole networks, and with most options missing there would be none to train.

The predictor is the paper's ensemble of perceptrons: tokens are embedded and averaged over the blocks
(here vertices or decisions; those with the same options share tokens too), so that it reads architectures
larger than those it was fitted on. The
paper's own control draws architectures of full size, which is random search; `PNAS.random` keeps the
levels and chooses at random, which leaves the predictor out and nothing else.

Source: Liu C. et al., Progressive neural architecture search, ECCV 2018 (arXiv 1712.00559), Algorithm 1
and section 4; how long the predictor is fitted is not published.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from nasbench_kit import checks
from nasbench_kit.algorithms.settings import check_ranges
from nasbench_kit.algorithms.workers import Job, check_workers, simulate
from nasbench_kit.spaces.nasbench101.cell import edge_bit
from nasbench_kit.spaces.nasbench101.space import CellSpace

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit import Oracle
    from nasbench_kit.spaces.protocols import Architecture, Space


@dataclass(frozen=True)
class PNAS:
    """Progressive search; the defaults are the paper's.

    Raises:
        InvalidSetting: a setting out of its range.
    """

    #: K, architectures trained at each level.
    beam: int = 256
    #: Whether the predictor chooses; otherwise the choice is uniformly random.
    predictor: bool = True
    #: Predictors whose mean ranks; each is fitted without a fifth (one in so many) of the results.
    members: int = 5
    embedding_size: int = 100
    hidden_size: int = 100
    #: Adam's, of the first fit; the fits after it go on from there.
    first_learning_rate: float = 0.01
    #: Adam's, of all other fits.
    learning_rate: float = 0.002
    #: Full-batch steps of each fit (not published).
    steps: int = 200
    #: Training length of every query; None is the table's longest.
    epochs: int | None = None
    #: Simulated ones, which train a level at the same time; None is one, without a clock.
    workers: int | None = None

    ranges: ClassVar[Mapping[str, str]] = {
        "members": "[2, inf)",
        "embedding_size": "[1, inf)",
        "hidden_size": "[1, inf)",
        "first_learning_rate": "(0, inf)",
        "learning_rate": "(0, inf)",
        "steps": "[1, inf)",
    }

    def __post_init__(self) -> None:
        checks.whole("beam", self.beam, 1)
        check_ranges(self, self.ranges)
        check_workers(self.workers)

    @classmethod
    def small(cls) -> Self:
        """A beam of 32: all levels up to seven vertices, or eight decisions, take some 150 queries."""
        return cls(beam=32)

    @classmethod
    def random(cls) -> Self:
        """The control: the same levels, chosen from at random."""
        return cls(predictor=False)

    @classmethod
    def random_small(cls) -> Self:
        """The control of the small settings."""
        return cls(beam=32, predictor=False)

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Architecture]:
        """Algorithm 1; recommends the best of all levels."""
        growth = growth_of(oracle.space, rng)
        ensemble: Ensemble | None = None
        accuracies: dict[Architecture, float] = {}  # validation accuracies
        trained: list[Any] = []  # genotypes, in the order of their results
        queue: deque[Any] = deque()
        beam = growth.first()
        to_come = _enqueue(queue, beam, growth, accuracies)

        def ask() -> Job | None:
            if not queue:
                return None
            genotype = queue.popleft()
            return Job(growth.architecture(genotype), self.epochs, genotype)

        best = None
        for job, answer in simulate(oracle, ask, self.workers):
            accuracies[answer.architecture] = answer.validation_accuracy
            trained.append(job.note)
            if best is None or answer.validation_accuracy > best.validation_accuracy:
                best = answer
            to_come -= 1
            while not to_come and (expansions := growth.expand(beam)):
                if len(expansions) <= self.beam:
                    beam = expansions
                elif self.predictor:
                    features = growth.features(trained)
                    if ensemble is None:
                        ensemble = Ensemble(self, features.shape[1], rng)
                    ensemble.fit(
                        features,
                        np.array([accuracies[a] for a in map(growth.architecture, trained)]),
                    )
                    scores = ensemble.predict(growth.features(expansions))
                    order = np.argsort(-scores, kind="stable")[: self.beam]
                    beam = [expansions[place] for place in order.tolist()]
                else:
                    drawn = rng.choice(len(expansions), self.beam, replace=False)
                    beam = [expansions[place] for place in drawn.tolist()]
                to_come = _enqueue(queue, beam, growth, accuracies)
            yield best.architecture


def _enqueue(
    queue: deque[Any],
    beam: Sequence[Any],
    growth: Growth,
    trained: Mapping[Architecture, float],
) -> int:
    """Queue what is not trained yet, each architecture once; returns how many that are."""
    new = {growth.architecture(g): g for g in reversed(beam)}
    fresh = [g for architecture, g in reversed(new.items()) if architecture not in trained]
    queue.extend(fresh)
    return len(fresh)


# What grows ------------------------------------------------------------------------------------


class Growth(Protocol):
    """How architectures of a space grow; its genotypes are of its own kind."""

    def first(self) -> list[Any]:
        """The genotypes of the first level."""
        ...

    def expand(self, beam: Sequence[Any]) -> list[Any]:
        """All different genotypes of the next level that come from these; none after the last one."""
        ...

    def architecture(self, genotype: Any) -> Architecture:
        """What is trained."""
        ...

    def features(self, genotypes: Sequence[Any]) -> NDArray[np.float32]:
        """Tokens, averaged over blocks: [genotypes, tokens]."""
        ...


def growth_of(space: Space, rng: Generator) -> Growth:
    """Vertices in whole spaces of cells, else decisions."""
    if isinstance(space, CellSpace) and space == CellSpace(space.max_vertices, space.max_edges):
        return Vertices(space)
    return Decisions(space, rng)


class Vertices:
    """Cells grow by a vertex; genotypes are rows."""

    #: Cells of up to so many vertices are all trained first.
    _FIRST = 3

    def __init__(self, space: CellSpace) -> None:
        self._space = space
        self._size = 2

    def first(self) -> list[int]:
        """The rows of all cells of up to three vertices."""
        smallest = self._space.index(self._space[0])  # input -> output
        level, rows = [smallest], [smallest]
        while self._size < min(self._FIRST, self._space.max_vertices):
            level = self.expand(level)
            rows += level
        return rows

    def expand(self, beam: Sequence[int]) -> list[int]:
        """Rows of cells with one vertex more, ascending."""
        size, index = self._size, self._space.direct
        if size == self._space.max_vertices:
            return []
        self._size += 1
        inner, output, last = (
            edge_bit(0, v) for v in (size - 1, size, self._space.max_vertices - 1)
        )
        parents = np.arange(1, 1 << (size - 1))  # of the new vertex size - 1
        operations = 3 ** (size - 2) * np.arange(3)
        found: list[NDArray[Any]] = []
        for row in beam:
            cell = self._space[row]
            if cell.size != size:
                continue  # of the first level, which has smaller ones too
            outputs = _submasks(cell.bits >> inner) | 1 << (size - 1)
            bits = cell.bits & (1 << inner) - 1 | parents[:, None] << inner | outputs << last
            assert output <= last  # between them are the columns of unused vertices
            rows = index.lookup(bits[:, :, None], cell.code + operations)
            found.append(np.unique(rows[rows >= 0]))
        rows = np.unique(np.concatenate(found)) if found else np.empty(0, int)
        return rows[index.graph_size[index.row_graph[rows]] == size - 1].tolist()

    def architecture(self, genotype: int) -> Architecture:
        """The cell of a row."""
        return self._space[genotype]

    def features(self, genotypes: Sequence[int]) -> NDArray[np.float32]:
        """Of the canonical labelling, mean over vertices: operation, parents, whether the output's."""
        index, rows = self._space.direct, np.asarray(genotypes)
        graphs = index.row_graph[rows]
        bits, interior = index.graph_bits[graphs].astype(int), index.graph_size[graphs].astype(int)
        codes = index.row_code[rows].astype(int)
        most = self._space.max_vertices - 2
        total = np.zeros((len(rows), 3 + most + 1), np.float32)
        for v in range(1, most + 1):
            used = v <= interior
            for operation in range(3):
                total[:, operation] += used & (codes // 3 ** (v - 1) % 3 == operation)
            for u in range(v):
                total[:, 3 + u] += used & (bits >> edge_bit(u, v) & 1 > 0)
            to_output = v + (interior + 1) * interior // 2  # edge_bit(v, interior + 1)
            total[:, -1] += used & (bits >> to_output & 1 > 0)
        return total / np.maximum(interior, 1).astype(np.float32)[:, None]


def _submasks(mask: int) -> NDArray[np.int64]:
    """All subsets of a set of bits."""
    subsets = np.zeros(1, np.int64)
    for bit in range(mask.bit_length()):
        if mask >> bit & 1:
            subsets = np.concatenate([subsets, subsets | 1 << bit])
    return subsets


class Decisions:
    """One decision more is decided at each level; genotypes are options, filled up."""

    def __init__(self, space: Space, rng: Generator) -> None:
        self._space = space
        self._sizes = [len(decision.options) for decision in space.decisions]
        self._filled = tuple(space.encode(space.sample(rng)))
        self._decided = 0

    def first(self) -> list[tuple[int, ...]]:
        """All options of the first decision."""
        return self.expand([self._filled])

    def expand(self, beam: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
        """All options of the next decision that make architectures."""
        place = self._decided
        if place == len(self._sizes):
            return []
        self._decided += 1
        found = dict.fromkeys(
            (*options[:place], option, *options[place + 1 :])
            for options in beam
            for option in range(self._sizes[place])
        )
        return [options for options in found if self._space.decode(options) is not None]

    def architecture(self, genotype: tuple[int, ...]) -> Architecture:
        """The architecture of the options."""
        architecture: Architecture | None = self._space.decode(genotype)
        assert architecture is not None  # ``expand`` sees to it
        return architecture

    def features(self, genotypes: Sequence[tuple[int, ...]]) -> NDArray[np.float32]:
        """Mean over decisions: which option, one-hot, of this decision and of all with the same options."""
        options = np.asarray(genotypes)
        own = _first_tokens(self._sizes)
        alike = list(dict.fromkeys(decision.options for decision in self._space.decisions))
        starts = _first_tokens([len(each) for each in alike])
        shared = [starts[alike.index(decision.options)] for decision in self._space.decisions]
        taken = np.zeros((len(options), sum(self._sizes) + sum(map(len, alike))), np.float32)
        rows = np.arange(len(options))[:, None]
        np.add.at(taken, (rows, options + own), 1.0)
        np.add.at(taken, (rows, options + shared + sum(self._sizes)), 1.0)
        return taken / np.float32(len(self._sizes))


def _first_tokens(sizes: Sequence[int]) -> NDArray[np.int64]:
    """Where the tokens of each begin, one after the other."""
    return np.cumsum([0, *sizes[:-1]])


# The predictor -----------------------------------------------------------------------------------


class Ensemble:
    """Perceptrons that predict accuracies from tokens averaged over blocks; all run as one batch.

    Args:
        settings: sizes, learning rates, steps.
        tokens: number of features.
        rng: draws the first weights.
    """

    def __init__(self, settings: PNAS, tokens: int, rng: Generator) -> None:
        self._settings = settings
        self._fitted = False
        members, embedding, hidden = settings.members, settings.embedding_size, settings.hidden_size

        def weights(fan_in: int, *shape: int) -> Tensor:
            drawn = rng.uniform(-1, 1, (members, *shape)) / math.sqrt(fan_in)
            return torch.tensor(drawn, dtype=torch.float32, requires_grad=True)

        # Zeros, so that a token which was in no result yet speaks neither for nor against.
        self._embedding = torch.zeros(members, tokens, embedding, requires_grad=True)
        self._hidden = weights(embedding, embedding, hidden)
        self._hidden_bias = weights(embedding, 1, hidden)
        self._output = weights(hidden, hidden, 1)
        self._output_bias = torch.full((members, 1, 1), 1.8, requires_grad=True)  # sigmoid: 0.86

    def fit(self, features: NDArray[np.float32], accuracies: NDArray[np.float64]) -> None:
        """Go on fitting to all results so far; every member leaves out its own part of them."""
        settings = self._settings
        x, y = torch.from_numpy(features), torch.tensor(accuracies, dtype=torch.float32)
        parts = torch.arange(len(y)) % settings.members
        kept = (parts != torch.arange(settings.members)[:, None]).float()  # [members, results]
        rate = settings.learning_rate if self._fitted else settings.first_learning_rate
        optimizer = torch.optim.Adam(self._weights(), lr=rate)
        for _ in range(settings.steps):
            errors = (self._run(x) - y).abs() * kept  # L1
            loss = (errors.sum(1) / kept.sum(1).clamp(min=1)).sum()  # of members, each on its own
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        self._fitted = True

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mean of the members' predictions: [n]."""
        with torch.no_grad():
            return self._run(torch.from_numpy(features)).mean(0).numpy()

    def _weights(self) -> list[Tensor]:
        return [
            self._embedding,
            self._hidden,
            self._hidden_bias,
            self._output,
            self._output_bias,
        ]

    def _run(self, x: Tensor) -> Tensor:
        """[n, tokens] -> [members, n]."""
        embedded = x @ self._embedding
        hidden = torch.relu(embedded @ self._hidden + self._hidden_bias)
        return torch.sigmoid(hidden @ self._output + self._output_bias)[:, :, 0]
