"""The torch network of a recurrent cell; see `nasbench_kit.spaces.recurrent.cell` for its equations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nasbench_kit.spaces.recurrent.language_model import LanguageModel, changed

if TYPE_CHECKING:
    from nasbench_kit.spaces.recurrent.cell import Cell
    from nasbench_kit.spaces.recurrent.window import Window
    from nasbench_kit.spaces.skeleton import Precision


class RecurrentNetwork(LanguageModel):
    """A language model of one cell.

    Args:
        cell: the cell.
        units: channels of embedding and states.
        vocabulary: number of logits.
        generator: draws the fresh weights.
        precision: of the arithmetic.
    """

    def __init__(
        self,
        cell: Cell,
        *,
        units: int,
        vocabulary: int,
        generator: torch.Generator,
        precision: Precision = "float32",
    ) -> None:
        super().__init__(units, vocabulary, generator, precision)
        self.cell = cell
        self.from_token = self.drawn(generator, units, 2 * units)
        self.from_state = self.drawn(generator, units, 2 * units)
        self.nodes = self.drawn(generator, len(cell.nodes), units, 2 * units)

    def forward(self, x: Tensor | Window) -> Tensor:
        """Tokens [n, length] or a window of them -> logits [n, vocabulary, length]."""
        return self.read(x, self.from_token, self._step)

    def _step(self, projected: Tensor, state: Tensor, mask: Tensor | None) -> Tensor:
        def kept(s: Tensor) -> Tensor:
            return s if mask is None else s * mask

        first = changed(state, self.cell.first, projected + kept(state) @ self.from_state)
        states = [first]
        for weights, (previous, activation) in zip(self.nodes, self.cell.nodes, strict=True):
            before = states[previous]
            states.append(changed(before, activation, kept(before) @ weights))
        return torch.stack([states[place] for place in self.cell.output]).mean(0)
