"""The continuous relaxation of recurrent cells: a softmax over zero and the activations of every edge.

Source: Liu et al., DARTS, ICLR 2019, sections 2.2 to 2.4 and 3.1.2: a node keeps the one predecessor whose
likeliest activation but zero is the most probable of all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nasbench_kit.errors import InvalidSetting
from nasbench_kit.spaces import one_shot
from nasbench_kit.spaces.draws import START, dirichlet_draw, gumbel_softmax
from nasbench_kit.spaces.recurrent.cell import Node
from nasbench_kit.spaces.recurrent.supernet import Mixture

if TYPE_CHECKING:
    from numpy.random import Generator

    from nasbench_kit.spaces.decisions import Choices
    from nasbench_kit.spaces.recurrent.cell import TreeSpace


class TreeRelaxation(one_shot.Relaxation):
    """Architecture logits of a space.

    Args:
        space: whose edges and activations there are.
        rng: draws the first logits.
    """

    def __init__(self, space: TreeSpace, rng: Generator) -> None:
        super().__init__()
        self.space = space
        shape = len(space.edges), 1 + len(space.activations)
        #: [edges, options]; option 0 is a zero.
        self.operations = nn.Parameter(
            torch.tensor(rng.normal(0, START, shape), dtype=torch.float32)
        )

    def mixture(self, channel_divisor: int = 1) -> Mixture:
        """Every activation by its probability (DARTS, equation 2).

        Raises:
            InvalidSetting: a part of the channels is asked for.
        """
        if channel_divisor != 1:
            raise InvalidSetting(
                f"channel_divisor is {channel_divisor}; recurrent cells run on all channels, so leave it "
                "at 1, or choose another search"
            )
        return self._mixed(self.operations.softmax(1))

    def sample(self, rng: Generator, temperature: float, *, hard: bool) -> Mixture:
        """A draw of the Gumbel-softmax; see `nasbench_kit.spaces.one_shot.Relaxation`."""
        soft = gumbel_softmax(self.operations, rng, temperature)
        if not hard:
            return self._mixed(soft)
        chosen = soft.argmax(1)
        one_hot = nn.functional.one_hot(chosen, soft.shape[1]).to(soft)
        return Mixture(self.space, one_hot - soft.detach() + soft, [[int(o)] for o in chosen])

    def concentrations(self) -> list[Tensor]:
        """Of every edge's Dirichlet distribution, [edges, options]."""
        return [nn.functional.elu(self.operations) + 1]

    def dirichlet(self, rng: Generator) -> Mixture:
        """A draw of a mixture from Dirichlet distributions (DrNAS, section 2.2)."""
        return self._mixed(dirichlet_draw(self.concentrations()[0], rng))

    def mixture_of(self, architecture: Choices) -> Mixture:
        """A cell as a mixture: weights of 0 and 1."""
        weights = torch.zeros_like(self.operations)
        active: list[list[int]] = [[] for _ in self.space.edges]
        for node, (previous, activation) in enumerate(self.space.cell(architecture).nodes, start=1):
            place = self.space.edges.index((previous, node))
            option = 1 + self.space.activations.index(activation)
            weights[place, option] = 1
            active[place] = [option]
        return Mixture(self.space, weights, active)

    def _mixed(self, weights: Tensor) -> Mixture:
        return Mixture(self.space, weights, [list(range(weights.shape[1]))] * len(weights))

    # The way back --------------------------------------------------------------------------------

    def discretised(self) -> Choices:
        """The cell of the strongest edge into every node, and its strongest activation."""
        return self._strongest(None)[0]

    def draw(self, rng: Generator) -> tuple[Choices, float]:
        """What the logits with Gumbel noise discretise to, and the sum of its options' logarithms."""
        return self._strongest(rng)

    @torch.no_grad()
    def _strongest(self, rng: Generator | None) -> tuple[Choices, float]:
        strengths = self.operations.log_softmax(1).cpu().numpy().astype(float)[:, 1:]
        noisy = strengths if rng is None else strengths + rng.gumbel(size=strengths.shape)
        nodes, likelihood = [], 0.0
        for node in range(1, self.space.nodes + 1):
            first = node * (node - 1) // 2  # of its edges, which are ordered by predecessor
            previous, option = divmod(
                int(noisy[first : first + node].argmax()), len(self.space.activations)
            )
            nodes.append(Node(previous, self.space.activations[option]))
            likelihood += float(strengths[first + previous, option])
        return self.space.made_of(nodes), likelihood
