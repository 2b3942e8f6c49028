"""The supernet of recurrent cells: one matrix a node (DARTS), or one for every pair of node and predecessor (ENAS).

A *path* runs one cell, as its stand-alone network does. In a *mixture* a state is the sum over all earlier
states and all activations, weighted; batch norm without scale and shift, by the statistics of the streams
at hand, keeps the sums from growing.

Source: Pham et al., ENAS, ICML 2018, section 2.1; Liu et al., DARTS, ICLR 2019, section 3.1.2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from nasbench_kit.spaces import one_shot
from nasbench_kit.spaces.recurrent.language_model import ACTIVATION, LanguageModel, changed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_kit.spaces.recurrent.cell import Cell, TreeSpace
    from nasbench_kit.spaces.recurrent.window import Window
    from nasbench_kit.spaces.skeleton import Skeleton


@dataclass(frozen=True, eq=False)
class Mixture:
    """Weights of all activations of all edges; option 0 is a zero, the others are the space's."""

    space: TreeSpace
    #: [edges, 1 + activations]
    operations: Tensor
    #: Options that are computed, of each edge; others count as 0. An edge without any is left out.
    active: list[list[int]]

    def detached(self) -> Mixture:
        """The same weights as numbers, without gradients for what they came from."""
        return replace(self, operations=self.operations.detach())

    def work(self, skeleton: Skeleton, image_shape: tuple[int, int, int]) -> NDArray[np.float64]:
        """What one token costs, forward, in the kinds of work of the space."""
        units, vocabulary = skeleton.stem_channels, image_shape[2]
        computed = [[option for option in active if option] for active in self.active]
        multiplied = 2 + sum(map(bool, computed))
        states = 1 + sum(map(len, computed))
        return np.array([1.0, states, 2 * multiplied * units**2, units * vocabulary])


class TreeSupernet(LanguageModel, one_shot.Supernet):
    """Shared weights of all cells of a space.

    Args:
        space: whose cells there are.
        units: channels of embedding and states.
        vocabulary: number of logits.
        generator: draws the fresh weights.
    """

    def __init__(
        self, space: TreeSpace, units: int, vocabulary: int, generator: torch.Generator
    ) -> None:
        super().__init__(units, vocabulary, generator, "float32")
        self.space = space
        self.from_token = self.drawn(generator, units, 2 * units)
        self.from_state = self.drawn(generator, units, 2 * units)
        self.nodes = nn.ParameterList(
            self.drawn(generator, units, 2 * units)
            for node in range(1, space.nodes + 1)
            for _ in range(node if space.weights_by_previous else 1)
        )

    def weights(self, previous: int, node: int) -> Tensor:
        """What a node multiplies an earlier state with, [units, 2 units]."""
        if not self.space.weights_by_previous:
            return self.nodes[node - 1]
        return self.nodes[node * (node - 1) // 2 + previous]

    def forward(self, images: Tensor | Window, run: Any) -> Tensor:
        """Tokens or a window of them -> logits [n, vocabulary, length] of a cell or a mixture.

        Raises:
            NotInSpace: an architecture of another space.
        """
        if isinstance(run, Mixture):
            computed = torch.zeros_like(run.operations)
            for edge, active in enumerate(run.active):
                computed[edge, [option for option in active if option]] = 1

            def step(projected: Tensor, state: Tensor, mask: Tensor | None) -> Tensor:
                return self._mixed(projected, state, mask, run.operations, computed)
        else:
            cell = self.space.cell(run)

            def step(projected: Tensor, state: Tensor, mask: Tensor | None) -> Tensor:
                return self._path(projected, state, mask, cell)

        return self.read(images, self.from_token, step)

    def _path(self, projected: Tensor, state: Tensor, mask: Tensor | None, cell: Cell) -> Tensor:
        states = [self._first(projected, state, mask, cell.first)]
        for node, (previous, activation) in enumerate(cell.nodes, start=1):
            before = states[previous]
            both = _kept(before, mask) @ self.weights(previous, node)
            states.append(changed(before, activation, both))
        return torch.stack([states[place] for place in cell.output]).mean(0)

    def _first(self, projected: Tensor, state: Tensor, mask: Tensor | None, of: str) -> Tensor:
        return changed(state, of, projected + _kept(state, mask) @ self.from_state)

    def _mixed(
        self,
        projected: Tensor,
        state: Tensor,
        mask: Tensor | None,
        operations: Tensor,
        computed: Tensor,
    ) -> Tensor:
        states = [_normal(self._first(projected, state, mask, self.space.first[0]))]
        for node in range(1, self.space.nodes + 1):
            first = node * (node - 1) // 2
            into = slice(first, first + node)  # edges from all earlier states
            before = torch.stack(states)  # [edges, n, units]
            gate, inner = torch.chunk(_kept(before, mask) @ self.weights(0, node), 2, -1)
            values = torch.stack([ACTIVATION[name](inner) for name in self.space.activations], 1)
            factors = (operations * computed)[into, 1:, None, None]
            share = factors.sum(1) * before
            # The sum over f of p_f (s + c (f - s)). What is not computed has weights of 0, which are
            # added as numbers: they have gradients (GDAS).
            mixed = share + torch.sigmoid(gate) * ((factors * values).sum(1) - share)
            absent = (operations * (1 - computed))[into, 1:].sum()
            states.append(_normal(mixed.sum(0) + absent))
        return torch.stack([states[place] for place in self.space.output(())]).mean(0)


def _kept(state: Tensor, mask: Tensor | None) -> Tensor:
    return state if mask is None else state * mask


def _normal(state: Tensor) -> Tensor:
    """Mean 0 and variance 1 of every channel over the streams; [n, units]."""
    return functional.batch_norm(state, None, None, training=True)
