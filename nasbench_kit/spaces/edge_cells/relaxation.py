"""The continuous relaxation of edge-labelled cells: a softmax over the operations of every edge.

Edges have logits of their own, a softmax over those into one node, which only partly connected
mixtures use (PC-DARTS, equation 3); they start at 0, so that they change nothing before they are
trained. How strengths make an architecture is the space's own rule.

Source: Liu et al., DARTS, ICLR 2019, sections 2.2 and 2.4; Xu et al., PC-DARTS, ICLR 2020, section 3.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from nasbench_kit.spaces import one_shot
from nasbench_kit.spaces.draws import START, dirichlet_draw, gumbel_softmax
from nasbench_kit.spaces.edge_cells.supernet import Mixture

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit.spaces.decisions import Choices
    from nasbench_kit.spaces.edge_cells.space import EdgeCellSpace


class Relaxation(one_shot.Relaxation):
    """Architecture logits of a space.

    Its options may be restricted on the way (P-DARTS); the others then have no probability.

    Args:
        space: whose edges and operations there are.
        rng: draws the first logits.
    """

    def __init__(self, space: EdgeCellSpace, rng: Generator) -> None:
        super().__init__()
        self.space = space
        shape = len(space.slots), len(space.slots[0].operations)
        drawn = torch.tensor(rng.normal(0, START, shape), dtype=torch.float32)
        #: [slots, options]
        self.operations = nn.Parameter(drawn)
        #: [slots]
        self.edges = nn.Parameter(torch.zeros(len(space.slots)))
        self.register_buffer("kept", torch.ones(shape, dtype=torch.bool))
        ends = [(slot.kind, slot.target) for slot in space.slots]
        #: Of every node with edges into it: their slots.
        self.into = [
            [i for i, end in enumerate(ends) if end == node] for node in dict.fromkeys(ends)
        ]

    #: [slots, options]: the options that are left.
    kept: Tensor

    def logits(self) -> Tensor:
        """Of the options [slots, options]; minus infinity where an option is no longer there."""
        return self.operations.masked_fill(~self.kept, -torch.inf)

    def restrict(self, count: int) -> None:
        """Leave so many options of every edge, the likeliest."""
        best = self.logits().topk(count, 1).indices
        self.kept = torch.zeros_like(self.kept).scatter_(1, best, True)

    def mixture(self, channel_divisor: int = 1) -> Mixture:
        """Every operation by its probability (DARTS, equation 2).

        With a divisor above 1 operations see a part of the channels, and edges are weighted.
        """
        edges = self._log_edges().exp() if channel_divisor > 1 else None
        return Mixture(self.space, self.logits().softmax(1), self._all(), edges, channel_divisor)

    def sample(self, rng: Generator, temperature: float, *, hard: bool) -> Mixture:
        """A draw of the Gumbel-softmax; see `nasbench_kit.spaces.one_shot.Relaxation`."""
        soft = gumbel_softmax(self.logits(), rng, temperature)
        if not hard:
            return Mixture(self.space, soft, self._all())
        chosen = soft.argmax(1)
        one_hot = nn.functional.one_hot(chosen, soft.shape[1]).to(soft)
        return Mixture(self.space, one_hot - soft.detach() + soft, [[int(o)] for o in chosen])

    def concentrations(self) -> list[Tensor]:
        """Of every edge's Dirichlet distribution, [slots, options]."""
        return [nn.functional.elu(self.operations) + 1]

    def dirichlet(self, rng: Generator) -> Mixture:
        """A draw of a mixture from Dirichlet distributions (DrNAS, section 2.2)."""
        return Mixture(self.space, dirichlet_draw(self.concentrations()[0], rng), self._all())

    def mixture_of(self, architecture: Choices) -> Mixture:
        """An architecture as a mixture: weights of 0 and 1."""
        taken = self.space.taken(architecture)
        weights = torch.zeros_like(self.operations)
        for slot, option in taken.items():
            weights[slot, option] = 1
        active = [[taken[slot]] if slot in taken else [] for slot in range(len(weights))]
        return Mixture(self.space, weights, active)

    def _all(self) -> list[list[int]]:
        return [row.nonzero()[:, 0].tolist() for row in self.kept.cpu()]

    def _log_edges(self) -> Tensor:
        """Logarithms of the weights of the edges into each node, which add up to 1: [slots]."""
        logarithms = [self.edges[slots].log_softmax(0) for slots in self.into]
        order = [slot for slots in self.into for slot in slots]
        return torch.cat(logarithms)[torch.tensor(order).argsort()]

    # Paths ---------------------------------------------------------------------------------------

    def drawn_options(self, rng: Generator, count: int, even: bool = False) -> list[list[int]]:
        """Of each slot so many different options, drawn by their probabilities or evenly (ProxylessNAS)."""
        logits = self.logits().detach().cpu().numpy().astype(float)
        if even:
            logits = np.where(np.isfinite(logits), 0.0, logits)
        noisy = logits + rng.gumbel(size=logits.shape)
        drawn: list[list[int]] = np.argsort(-noisy, axis=1)[:, :count].tolist()
        return drawn

    def gated(self, active: list[list[int]], open_options: list[int]) -> Mixture:
        """Some options of each slot, one of them with weight 1, the others with 0."""
        weights = torch.zeros_like(self.operations, requires_grad=False)
        weights[torch.arange(len(weights)), torch.tensor(open_options)] = 1.0
        return Mixture(self.space, weights, active)

    # The way back --------------------------------------------------------------------------------

    def discretised(self) -> Choices:
        """The architecture of the strongest options, by the space's rule."""
        return self._strongest(None)[0]

    def draw(self, rng: Generator) -> tuple[Choices, float]:
        """What the logits with Gumbel noise discretise to, and the sum of its options' logarithms.

        Where the space keeps every edge, that is a draw by the probabilities, and its logarithm.
        """
        return self._strongest(rng)

    @torch.no_grad()
    def strengths(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Logarithms of the probabilities of all options [slots, options] and edges [slots]."""
        strengths = self.logits().log_softmax(1).cpu().numpy().astype(float)
        return strengths, self._log_edges().cpu().numpy().astype(float)

    def _strongest(self, rng: Generator | None) -> tuple[Choices, float]:
        strengths, edges = self.strengths()
        noisy = strengths if rng is None else strengths + rng.gumbel(size=strengths.shape)
        taken = self.space.strongest(noisy, edges)
        likelihood = sum(strengths[slot, option] for slot, option in taken.items())
        return self.space.made_of(taken), float(likelihood)
