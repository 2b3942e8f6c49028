"""An LSTM that writes the decisions of any space, one after the other.

The state of the LSTM after each decision gives the next one's logits; the option taken is embedded
and fed back. Choices that make no architecture can be written and have their probability.

Source: Zoph & Le, Neural architecture search with reinforcement learning, ICLR 2017, section 3.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from nasbench_kit.algorithms.policy_gradient.controller import Written

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit.spaces.protocols import Architecture, Space


class DecisionController(nn.Module):
    """A policy over the decisions of a space.

    Args:
        space: whose decisions are written.
        rng: draws the first weights and, later, the decisions.
        hidden_size: units of each layer of the LSTM.
        layers: of the LSTM.
        initial_range: first weights are uniform in plus or minus this.
        temperature: divides all logits.
        tanh_constant: c; logits become c tanh(logit). None leaves them.
    """

    def __init__(
        self,
        space: Space,
        rng: Generator,
        *,
        hidden_size: int = 64,
        layers: int = 1,
        initial_range: float = 0.1,
        temperature: float = 5.0,
        tanh_constant: float | None = 2.5,
    ) -> None:
        super().__init__()
        self.space = space
        self.rng = rng
        self.temperature = temperature
        self.tanh_constant = tanh_constant
        #: Of the first decision, and how many are made: the others are option 0, for sure.
        self._first: int | None = None
        self._made = len(space.decisions)
        sizes = [len(decision.options) for decision in space.decisions]

        def weights(*shape: int) -> nn.Parameter:
            drawn = rng.uniform(-initial_range, initial_range, shape)
            return nn.Parameter(torch.tensor(drawn, dtype=torch.float32))

        self.start = weights(1, hidden_size)
        self.lstm = nn.ModuleList(
            nn.utils.skip_init(nn.LSTMCell, hidden_size, hidden_size)  # type: ignore[no-untyped-call]
            for _ in range(layers)
        )
        for layer in self.lstm:
            for name, parameter in list(layer.named_parameters()):
                setattr(layer, name, weights(*parameter.shape))
        self.heads = nn.ParameterList([weights(hidden_size, size) for size in sizes])
        self.embeddings = nn.ParameterList([weights(size, hidden_size) for size in sizes])

    def keep_to(self, first: int, made: int) -> None:
        """From now on the first decision is fixed, and those behind the first ``made`` are option 0."""
        self._first, self._made = first, made

    def write(self, count: int) -> Written:
        """Draw encodings, a batch of ``count``."""
        return self._run(count, None)

    def read(self, decisions: NDArray[np.int64]) -> Written:
        """The probabilities of given encodings [batch, decisions]."""
        return self._run(len(decisions), decisions)

    def architectures(self, decisions: NDArray[np.int64]) -> list[Architecture | None]:
        """The architectures of encodings; None for one that makes none."""
        return [self.space.decode(row) for row in decisions.tolist()]

    def _run(self, count: int, given: NDArray[np.int64] | None) -> Written:
        log_probability = torch.zeros(count)
        entropy = torch.zeros(count)
        taken: list[NDArray[np.int64]] = []
        x = self.start.expand(count, -1)
        states: list[tuple[Tensor, Tensor] | None] = [None] * len(self.lstm)
        for place, (head, embedding) in enumerate(zip(self.heads, self.embeddings, strict=True)):
            if place >= self._made:
                taken.append(np.zeros(count, np.int64))
                continue
            if place == 0 and self._first is not None:
                taken.append(np.full(count, self._first))
                continue
            for layer, cell in enumerate(self.lstm):
                state = cell(x, states[layer])
                x, states[layer] = state[0], state
            logits = x @ head / self.temperature  # [batch, options]
            if self.tanh_constant is not None:
                logits = self.tanh_constant * torch.tanh(logits)
            logarithms = logits.log_softmax(1)
            if given is None:
                noise = self.rng.gumbel(size=tuple(logits.shape))
                options = (logarithms.detach().numpy() + noise).argmax(1)
            else:
                options = given[:, place]
            taken.append(options)
            index = torch.from_numpy(options)
            log_probability = log_probability + logarithms.gather(1, index[:, None])[:, 0]
            entropy = entropy - (logarithms.exp() * logarithms).sum(1)
            x = embedding[index]
        return Written(np.stack(taken, 1), log_probability, entropy)
