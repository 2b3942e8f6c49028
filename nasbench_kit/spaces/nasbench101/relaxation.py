"""The continuous relaxation of a cell space: logits of operations and edges, and the way back.

Every interior vertex has a softmax over operations. In a NAS-Bench-1Shot1 space, where a vertex has
an exact number k of parents, so has its choice of parents (Zela et al. 2020, section 3.2); where no
number is prescribed, every edge is there or not, by a sigmoid: the softmax over the edge and DARTS'
operation `none`, which weighs nothing.

The way back takes each vertex's likeliest operation, and its k likeliest parents or all edges of
probability one half or more; what does not lead to the output is dropped.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from nasbench_kit.errors import InvalidSetting
from nasbench_kit.spaces import one_shot
from nasbench_kit.spaces.draws import START, dirichlet_draw, gumbel_softmax, noise_like
from nasbench_kit.spaces.nasbench101.cell import OPERATIONS, edge_bit
from nasbench_kit.spaces.nasbench101.one_shot import PARENTS
from nasbench_kit.spaces.nasbench101.supernet import Mixture

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit.spaces.nasbench101.cell import Cell
    from nasbench_kit.spaces.nasbench101.space import CellSpace


class Relaxation(one_shot.Relaxation):
    """Architecture logits of a space.

    Args:
        space: all cells up to a number of vertices, or a NAS-Bench-1Shot1 space.
        rng: draws the first logits.

    Raises:
        InvalidSetting: any other space.
    """

    def __init__(self, space: CellSpace, rng: Generator) -> None:
        super().__init__()
        self.space = space
        #: Of vertices 1, 2, ... up to the output: how many they must have, if that is prescribed.
        self.parents = prescribed_parents(space)
        if not self.parents and (
            space.max_vertices < 3
            or space.max_edges < space.max_vertices - 1  # what a cell of all vertices takes
            or not re.fullmatch(r"v\d+e\d+", space.name)
        ):
            raise InvalidSetting(
                f"the space {space.name} has no continuous relaxation; use all cells of 3 to 7 "
                "vertices (a complete table) or a space of NAS-Bench-1Shot1 (1shot1-1, -2, -3)"
            )
        self.vertices = len(self.parents) + 1 if self.parents else space.max_vertices

        def start(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.tensor(rng.normal(0, START, shape), dtype=torch.float32))

        #: [vertices - 2, 3]
        self.operations = start(self.vertices - 2, len(OPERATIONS))
        #: Of vertices 1, 2, ...: [vertex]
        self.edges = nn.ParameterList(start(v) for v in range(1, self.vertices))

    # Mixtures ------------------------------------------------------------------------------------

    def mixture(self, channel_divisor: int = 1) -> Mixture:
        """Every operation and edge by its probability (DARTS, equation 2)."""
        edges = [self._edge_weights(v, logits) for v, logits in enumerate(self.edges, start=1)]
        return Mixture(self.operations.softmax(1), edges, self._all(), channel_divisor)

    def sample(self, rng: Generator, temperature: float, *, hard: bool) -> Mixture:
        """A draw of the Gumbel-softmax: nearly one-hot at low temperatures, nearly even at high ones.

        Args:
            rng: draws the noise.
            temperature: above 0.
            hard: operations are exactly one-hot and only those are computed, with the gradient of
                the soft draw (GDAS, equation 7); edges stay soft.
        """
        soft = gumbel_softmax(self.operations, rng, temperature)
        edges = [
            self._edge_weights(v, logits, rng, temperature)
            for v, logits in enumerate(self.edges, start=1)
        ]
        if not hard:
            return Mixture(soft, edges, self._all())
        chosen = soft.argmax(1)
        one_hot = torch.nn.functional.one_hot(chosen, len(OPERATIONS)).to(soft)
        return Mixture(one_hot - soft.detach() + soft, edges, [[int(o)] for o in chosen])

    def concentrations(self) -> list[Tensor]:
        """Of every choice's Dirichlet distribution, [choices, options] each."""
        every = [nn.functional.elu(self.operations) + 1]
        for v, logits in enumerate(self.edges, start=1):
            positive = nn.functional.elu(logits) + 1
            if self.parents is None:
                every.append(torch.stack([positive, torch.ones_like(positive)], 1))
            elif self.parents[v - 1] < v:
                every.append(positive[None])
        return every

    def dirichlet(self, rng: Generator) -> Mixture:
        """A draw of a mixture from Dirichlet distributions (DrNAS, section 2.2)."""
        operations, *edges = [dirichlet_draw(some, rng) for some in self.concentrations()]
        if self.parents is None:
            return Mixture(operations, [drawn[:, 0] for drawn in edges], self._all())
        chosen = iter(edges)
        weights = [
            next(chosen)[0] if count < v else torch.ones_like(logits)
            for v, (count, logits) in enumerate(zip(self.parents, self.edges, strict=True), start=1)
        ]
        return Mixture(operations, weights, self._all())

    def mixture_of(self, architecture: Cell) -> Mixture:
        """A cell at the mixture's widths: weights of 0 and 1."""
        return Mixture.of(architecture, self.vertices)

    def _all(self) -> list[list[int]]:
        return [list(range(len(OPERATIONS))) for _ in range(self.vertices - 2)]

    def _edge_weights(
        self, v: int, logits: Tensor, rng: Generator | None = None, temperature: float = 1.0
    ) -> Tensor:
        """Weights [v] of a vertex's sources; with a generator, a draw of them."""
        if self.parents is None:
            if rng is not None:  # the difference of two Gumbel variables is logistic
                logits = logits + noise_like(rng.logistic(size=v), logits)
            return (logits / temperature).sigmoid()
        if self.parents[v - 1] == v:
            return torch.ones_like(logits)  # nothing to choose: a plain sum
        return logits.softmax(0) if rng is None else gumbel_softmax(logits, rng, temperature)

    # The way back --------------------------------------------------------------------------------

    def discretised(self) -> Cell:
        """Of every choice the likeliest; of too many edges the strongest."""
        return self._cell(None)[0]

    def draw(self, rng: Generator) -> tuple[Cell, float]:
        """A cell by its probabilities, and the logarithm of its encoding's, but for a constant.

        It is what the logits with noise discretise to: Gumbel noise, and logistic for edges that
        are there or not, which draws by the probabilities what needs no mending.
        """
        return self._cell(rng)

    @torch.no_grad()
    def _cell(self, rng: Generator | None) -> tuple[Cell, float]:
        operations = self.operations.cpu().numpy().astype(float)
        edges = [logits.cpu().numpy().astype(float) for logits in self.edges]
        noisy_operations, noisy = operations, edges
        if rng is not None:
            noisy_operations = operations + rng.gumbel(size=operations.shape)
            noise = rng.logistic if self.parents is None else rng.gumbel
            noisy = [logits + noise(size=len(logits)) for logits in edges]
        chosen = noisy_operations.argmax(1).tolist()
        parents = [self._likeliest_parents(v, logits) for v, logits in enumerate(noisy, start=1)]
        code = sum(operation * 3**place for place, operation in enumerate(chosen))
        while (cell := self.space.cell(_bits(parents), code, self.vertices)) is None:
            # It has too many edges. The weakest goes, but no vertex loses its last parent.
            weakest = min(
                ((v, u) for v, sources in enumerate(parents) if len(sources) > 1 for u in sources),
                key=lambda edge: noisy[edge[0]][edge[1]],
            )
            parents[weakest[0]].remove(weakest[1])
        # Of log p = logit - log(sum of all exp(logit)), the last term is the same for all cells.
        likelihood = sum(row[chosen[v]] for v, row in enumerate(operations))
        likelihood += sum(edges[v][u] for v, sources in enumerate(parents) for u in sources)
        return cell, float(likelihood)

    def _likeliest_parents(self, v: int, logits: NDArray[np.float64]) -> list[int]:
        order = np.argsort(-logits, kind="stable").tolist()
        if self.parents is not None:
            return sorted(order[: self.parents[v - 1]])
        return sorted([u for u in order if logits[u] >= 0] or order[:1])


def _bits(parents: list[list[int]]) -> int:
    return sum(1 << edge_bit(u, v) for v, sources in enumerate(parents, start=1) for u in sources)


def prescribed_parents(space: CellSpace) -> tuple[int, ...] | None:
    """Of vertices 1, 2, ... in a space of NAS-Bench-1Shot1: how many parents each must have."""
    one_shot = re.fullmatch(r"1shot1-([123])", space.name)
    return PARENTS[int(one_shot[1])] if one_shot else None
