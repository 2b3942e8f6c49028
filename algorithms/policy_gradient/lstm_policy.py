"""What the LSTM controllers have in common: the recurrent state, logits, and drawing decisions by them.

Source: Zoph & Le, Neural architecture search with reinforcement learning, ICLR 2017, sections 3.2 and
3.3; Pham et al., ENAS, ICML 2018 (arXiv 1802.03268), sections 2.3 and 2.4, and the released code of
its macro sampler.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, TypedDict, Unpack

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit.spaces.protocols import Architecture, Space

#: Output and memory of every layer, each [batch, hidden].
States = list[tuple[Tensor, Tensor]]


class Written(NamedTuple):
    """Encodings, a batch of them."""

    #: int64 [batch, decisions].
    decisions: NDArray[np.int64]
    #: [batch], logarithm, with gradients.
    log_probability: Tensor
    #: [batch], of all distributions on the way, summed, in nats.
    entropy: Tensor
    #: [batch], how far the probabilities of skips are from their target, in nats; None without a target.
    skip_penalty: Tensor | None = None


class Encodings:
    """A batch of encodings while their decisions are made: drawn, or as they are given.

    Args:
        count: of the batch.
        rng: draws the decisions.
        given: int64 [batch, decisions]; None draws them.
    """

    def __init__(self, count: int, rng: Generator, given: NDArray[np.int64] | None = None) -> None:
        self.count = count
        self._rng = rng
        self._given = given
        self._decisions: list[NDArray[np.int64]] = []  # [batch, choices] each
        self._log_probability = torch.zeros(count)
        self._entropy = torch.zeros(count)

    def choose(self, logits: Tensor) -> Tensor:
        """The next decision's options, [batch, options] -> [batch]."""
        return self.choose_each(logits[:, None])[:, 0]

    def choose_each(self, logits: Tensor) -> Tensor:
        """Several decisions at once, [batch, decisions, options] -> [batch, decisions]."""
        logarithms = logits.log_softmax(2)
        if self._given is None:
            noise = self._rng.gumbel(size=tuple(logits.shape))
            options = (logarithms.detach().numpy() + noise).argmax(2)
        else:
            start = sum(each.shape[1] for each in self._decisions)
            options = self._given[:, start : start + logits.shape[1]]
        self._decisions.append(options)
        index = torch.from_numpy(options)
        chosen = logarithms.gather(2, index[:, :, None])
        self._log_probability = self._log_probability + chosen.sum((1, 2))
        self._entropy = self._entropy - (logarithms.exp() * logarithms).sum((1, 2))
        return index

    def fix(self, option: int) -> None:
        """The next decision is this option, without a choice."""
        self._decisions.append(np.full((self.count, 1), option))

    def written(self, skip_penalty: Tensor | None = None) -> Written:
        """All of them, after the last decision."""
        decisions = np.concatenate(self._decisions, 1)
        return Written(decisions, self._log_probability, self._entropy, skip_penalty)


class LSTMSettings(TypedDict, total=False):
    """Settings of every controller; see ``LSTMPolicy``."""

    hidden_size: int
    initial_range: float
    temperature: float
    tanh_constant: float | None


class LSTMPolicy(nn.Module):
    """A policy over the encodings of a space, one decision after the other.

    Args:
        space: whose architectures are written.
        rng: draws the first weights and, later, the decisions.
        layers: of the LSTM.
        hidden_size: units of each layer.
        initial_range: first weights are uniform in plus or minus this.
        temperature: divides all logits.
        tanh_constant: c; logits become c tanh(logit). None leaves them.
    """

    def __init__(
        self,
        space: Space,
        rng: Generator,
        *,
        layers: int = 1,
        hidden_size: int = 64,
        initial_range: float = 0.1,
        temperature: float = 5.0,
        tanh_constant: float | None = 2.5,
    ) -> None:
        super().__init__()
        self.space = space
        self.rng = rng
        self.hidden_size = hidden_size
        self.initial_range = initial_range
        self.temperature = temperature
        self.tanh_constant = tanh_constant
        self.start = self.weights(1, hidden_size)
        self.lstm = nn.ModuleList(
            nn.utils.skip_init(nn.LSTMCell, hidden_size, hidden_size)  # type: ignore[no-untyped-call]
            for _ in range(layers)
        )
        for layer in self.lstm:
            for name, parameter in list(layer.named_parameters()):
                setattr(layer, name, self.weights(*parameter.shape))

    def write(self, count: int) -> Written:
        """Draw encodings, a batch of ``count``."""
        return self.decide(Encodings(count, self.rng))

    def read(self, decisions: NDArray[np.int64]) -> Written:
        """The probabilities of given encodings [batch, decisions]."""
        return self.decide(Encodings(len(decisions), self.rng, decisions))

    @abstractmethod
    def decide(self, encodings: Encodings) -> Written:
        """Make all decisions."""

    def architectures(self, decisions: NDArray[np.int64]) -> Sequence[Architecture | None]:
        """The architectures of encodings; None for one that makes none."""
        return [self.space.decode(row) for row in decisions.tolist()]

    def weights(self, *shape: int) -> nn.Parameter:
        """First weights."""
        drawn = self.rng.uniform(-self.initial_range, self.initial_range, shape)
        return nn.Parameter(torch.tensor(drawn, dtype=torch.float32))

    def step(self, x: Tensor, states: States | None) -> tuple[Tensor, States]:
        """The last layer's output [batch, hidden], and the states of all layers."""
        after: States = []
        for layer, cell in enumerate(self.lstm):
            after.append(cell(x, None if states is None else states[layer]))
            x = after[-1][0]
        return x, after

    def shaped(self, logits: Tensor, reduction: float = 1.0) -> Tensor:
        """Logits by temperature and tanh constant, which ``reduction`` divides."""
        logits = logits / self.temperature
        if self.tanh_constant is None:
            return logits
        return self.tanh_constant / reduction * torch.tanh(logits)


class AnchorPolicy(LSTMPolicy):
    """A policy that joins each vertex, or layer, to earlier ones by attention to their *anchors*.

    Anchors are outputs of the LSTM.

    Args:
        space: whose architectures are written.
        rng: draws the first weights and, later, the decisions.
        operations: that a vertex chooses from.
        operation_tanh_reduction: divides the tanh constant for operations.
        lstm: as of ``LSTMPolicy``.
    """

    def __init__(
        self,
        space: Space,
        rng: Generator,
        operations: int,
        operation_tanh_reduction: float,
        **lstm: Unpack[LSTMSettings],
    ) -> None:
        super().__init__(space, rng, **lstm)
        self.operation_tanh_reduction = operation_tanh_reduction
        hidden = self.hidden_size
        self.of_anchor = self.weights(hidden, hidden)  # W1
        self.of_state = self.weights(hidden, hidden)  # W2
        self.attention = self.weights(hidden)  # v
        self.operation_logits = self.weights(hidden, operations)
        self.operation_embedding = self.weights(operations, hidden)

    def operation(self, encodings: Encodings, output: Tensor) -> Tensor:
        """Choose an operation; its embedding [batch, hidden]."""
        logits = self.shaped(output @ self.operation_logits, self.operation_tanh_reduction)
        return self.operation_embedding[encodings.choose(logits)]

    def edge_logits(self, output: Tensor, anchors: Tensor) -> Tensor:
        """Q of the edges from earlier vertices, [batch, hidden] and [batch, vertices, hidden] -> [batch, vertices]."""
        attended = torch.tanh(anchors @ self.of_anchor + (output @ self.of_state)[:, None])
        return self.shaped(attended @ self.attention)


def mean_anchor(joined: Tensor, anchors: Tensor) -> Tensor:
    """Of the vertices that are joined, 0 or 1 [batch, vertices], as the released code has it: by one more."""
    return (joined[:, :, None] * anchors).sum(1) / (1 + joined.sum(1, keepdim=True))
