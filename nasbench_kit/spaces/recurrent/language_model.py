"""What stands around every recurrent cell: embedding, memory, dropout, and the output that shares weights.

Source: Press and Wolf, Using the output embedding to improve language models, EACL 2017; Inan et al., Tying
word vectors and word classifiers, ICLR 2017; Gal and Ghahramani, NeurIPS 2016 (one mask a window).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nasbench_kit.spaces.recurrent.window import NO_DROPOUT, Window

if TYPE_CHECKING:
    from nasbench_kit.spaces.skeleton import Precision

#: Fresh weights of cells are uniform within this over the root of the units: 0.04 at 850, as released.
SPREAD = 0.04 * 850**0.5
#: Of embeddings.
_EMBEDDED = 0.1

#: From x W_x [n, 2 units], the state before and the mask of states, [n, units] each, to the new state.
Step = Callable[[Tensor, Tensor, Tensor | None], Tensor]


class LanguageModel(nn.Module):
    """Tokens [n, length] or a `Window` of them -> logits [n, vocabulary, length] of the tokens that follow.

    A window goes on from the memory that the window before left; tokens alone begin with none.

    Args:
        units: channels of embedding and states.
        vocabulary: number of logits.
        generator: draws the fresh weights; global random state is neither read nor changed.
        precision: of the arithmetic; weights and logits are float32 in any case.
    """

    def __init__(
        self, units: int, vocabulary: int, generator: torch.Generator, precision: Precision
    ) -> None:
        super().__init__()
        self.units = units
        self.precision = precision
        self.embedding = nn.Parameter(
            torch.empty(vocabulary, units).uniform_(-_EMBEDDED, _EMBEDDED, generator=generator)
        )
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        #: The state before the last window, which is its place, and after it; [n, units].
        self._place = -1
        self._before = self._after = torch.empty(0, units)
        #: What the last window adds to its loss, [], in training.
        self.penalty: Tensor | float = 0.0

    def drawn(self, generator: torch.Generator, *shape: int) -> nn.Parameter:
        """Fresh weights of a cell."""
        bound = SPREAD / self.units**0.5
        return nn.Parameter(torch.empty(*shape).uniform_(-bound, bound, generator=generator))

    def read(self, x: Tensor | Window, into: Tensor, step: Step) -> Tensor:
        """Logits of a cell's states, token by token.

        Args:
            x: what is read.
            into: W_x [units, 2 units].
            step: the cell.
        """
        with torch.autocast(
            self.embedding.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"
        ):
            window = x if isinstance(x, Window) else Window(x)
            state = self._remembered(window, alone=not isinstance(x, Window))
            of_vocabulary, of_embedded, of_input, hidden, of_output = self._masks(window)
            embedding = self.embedding if of_vocabulary is None else self.embedding * of_vocabulary
            embedded = nn.functional.embedding(window.tokens, embedding)  # [n, length, units]
            for mask in (of_embedded, of_input):
                if mask is not None:
                    embedded = embedded * mask[:, None]
            states = []
            for projected in (embedded @ into).unbind(1):
                state = step(projected, state, hidden)
                states.append(state)
            if isinstance(x, Window):
                self._after = state.detach().float()
            put_out = stacked = torch.stack(states, 1)  # [n, length, units]
            if of_output is not None:
                stacked = stacked * of_output[:, None]
            self.penalty = self._penalised(window, put_out, stacked)
            logits = stacked @ self.embedding.T + self.bias
            if self.precision == "bfloat16":
                logits = logits.float()
            return logits.transpose(1, 2)

    def _penalised(self, window: Window, put_out: Tensor, dropped: Tensor) -> Tensor | float:
        activation, slowness = window.penalty
        penalty: Tensor | float = 0.0
        if self.training and activation:
            penalty = activation * dropped.square().mean()
        if self.training and slowness and put_out.shape[1] > 1:
            penalty = penalty + slowness * put_out.diff(dim=1).square().mean()
        return penalty

    def _remembered(self, window: Window, alone: bool) -> Tensor:
        """The state before a window: the same, however often it is read."""
        nothing = self.embedding.new_zeros(len(window.tokens), self.units)
        if alone:
            return nothing
        if window.place != self._place:
            self._before, self._place = self._after, window.place
        if window.begins or self._before.shape != nothing.shape:
            self._before = nothing
        return self._before.to(nothing.device)

    def get_extra_state(self) -> Tensor:
        """What is remembered of the last window, [n, units]."""
        return self._after

    def set_extra_state(self, state: Tensor) -> None:
        """Remember this instead."""
        self._place, self._after = -1, state

    def _masks(self, window: Window) -> list[Tensor | None]:
        """One mask for the whole window, in the order of `Dropout`'s shares; None for none."""
        if not self.training or window.dropout in (None, NO_DROPOUT):
            return [None] * 5
        rates = window.dropout
        assert rates is not None
        device = self.embedding.device
        generator = torch.Generator(device)
        generator.manual_seed(window.seed)
        streams = len(window.tokens), self.units
        sizes = (len(self.embedding), 1), streams, streams, streams, streams
        return [
            (torch.rand(size, generator=generator, device=device) >= rate) / (1 - rate)
            if rate
            else None
            for size, rate in zip(
                sizes,
                (rates.embedding, rates.embedded, rates.input, rates.hidden, rates.output),
                strict=True,
            )
        ]


ACTIVATION: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "identity": torch.positive,
}


def changed(state: Tensor, activation: str, both: Tensor) -> Tensor:
    """S + c (f(...) - s), from what gate and activation are of: [n, 2 units]."""
    gate, inner = torch.chunk(both, 2, -1)
    return torch.lerp(state, ACTIVATION[activation](inner), torch.sigmoid(gate))
