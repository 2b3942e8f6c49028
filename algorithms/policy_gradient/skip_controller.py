"""ENAS' sampler of layers with skips: for each layer its operation, then a coin for each skip.

The LSTM's state gives the operation, whose embedding is fed back; the next state attends to the *anchors*
of the earlier layers, which gives every skip a logit q, for logits -q and q: P = sigmoid(2 q). It is
an anchor itself, and the mean of the anchors that are seen is fed to the next layer.

With a target share of skips there is a penalty: the Kullback-Leibler divergence of each coin from the
target, summed over a layer's skips, mean over layers. The released code takes sigmoid(q) for the coin's
probability there; here it is the probability that is drawn from.

Source: Pham et al., ENAS, ICML 2018 (arXiv 1802.03268), sections 2.3 and 3.2, and the released code
(general_controller).
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

    from nasbench_kit.spaces.layers.skips import SkipSpace
    from nasbench_kit.spaces.protocols import Architecture


class SkipController(nn.Module):
    """A policy over layers with skips.

    Args:
        space: whose architectures are written.
        rng: draws the first weights and, later, the decisions.
        hidden_size: units of the LSTM.
        initial_range: first weights are uniform in plus or minus this.
        temperature: divides all logits.
        tanh_constant: c; logits become c tanh(logit). None leaves them.
        operation_tanh_reduction: divides c for operations.
        skip_target: share of skips that the penalty draws to; None is no penalty.
    """

    def __init__(
        self,
        space: SkipSpace,
        rng: Generator,
        *,
        hidden_size: int = 64,
        initial_range: float = 0.1,
        temperature: float = 1.0,
        tanh_constant: float | None = 1.5,
        operation_tanh_reduction: float = 2.5,
        skip_target: float | None = 0.4,
    ) -> None:
        super().__init__()
        self.space = space
        self.rng = rng
        self.temperature = temperature
        self.tanh_constant = tanh_constant
        self.operation_tanh_reduction = operation_tanh_reduction
        self.skip_target = skip_target
        operations = len(space.decisions[0].options)

        def weights(*shape: int) -> nn.Parameter:
            drawn = rng.uniform(-initial_range, initial_range, shape)
            return nn.Parameter(torch.tensor(drawn, dtype=torch.float32))

        self.start = weights(1, hidden_size)
        self.lstm = nn.utils.skip_init(nn.LSTMCell, hidden_size, hidden_size)  # type: ignore[no-untyped-call]
        for name, parameter in list(self.lstm.named_parameters()):
            setattr(self.lstm, name, weights(*parameter.shape))
        self.of_anchor = weights(hidden_size, hidden_size)  # W1
        self.of_state = weights(hidden_size, hidden_size)  # W2
        self.attention = weights(hidden_size)  # v
        self.operation_logits = weights(hidden_size, operations)
        self.operation_embedding = weights(operations, hidden_size)

    def write(self, count: int) -> Written:
        """Draw encodings, a batch of ``count``."""
        return self._run(count, None)

    def read(self, decisions: NDArray[np.int64]) -> Written:
        """The probabilities of given encodings [batch, decisions]."""
        return self._run(len(decisions), decisions)

    def architectures(self, decisions: NDArray[np.int64]) -> list[Architecture | None]:
        """The architectures of encodings."""
        return [self.space.decode(row) for row in decisions.tolist()]

    def _run(self, count: int, given: NDArray[np.int64] | None) -> Written:
        log_probability = torch.zeros(count)
        entropy = torch.zeros(count)
        penalty = torch.zeros(count)
        taken: list[NDArray[np.int64]] = []

        def decide(logits: Tensor) -> Tensor:  # [batch, choices, options] -> [batch, choices]
            nonlocal log_probability, entropy
            logarithms = logits.log_softmax(2)
            if given is None:
                noise = self.rng.gumbel(size=tuple(logits.shape))
                chosen = (logarithms.detach().numpy() + noise).argmax(2)
            else:
                start = sum(each.shape[1] for each in taken)
                chosen = given[:, start : start + logits.shape[1]]
            taken.append(chosen)
            index = torch.from_numpy(chosen)
            log_probability = log_probability + logarithms.gather(2, index[:, :, None]).sum((1, 2))
            entropy = entropy - (logarithms.exp() * logarithms).sum((1, 2))
            return index

        x = self.start.expand(count, -1)
        state: tuple[Tensor, Tensor] | None = None
        anchors: list[Tensor] = []
        for layer in range(self.space.layers):
            state = self.lstm(x, state)
            logits = self._shaped(state[0] @ self.operation_logits, self.operation_tanh_reduction)
            x = self.operation_embedding[decide(logits[:, None])[:, 0]]
            state = self.lstm(x, state)
            if layer == 0:
                x = self.start.expand(count, -1)
            else:
                earlier = torch.stack(anchors, 1)  # [batch, layer, hidden]
                attended = torch.tanh(
                    earlier @ self.of_anchor + (state[0] @ self.of_state)[:, None]
                )
                q = self._shaped(attended @ self.attention)  # [batch, layer]
                logits = torch.stack((-q, q), 2)
                seen = decide(logits).to(q.dtype)
                penalty = penalty + self._divergence(logits)
                x = (seen[:, :, None] * earlier).sum(1) / (1 + seen.sum(1, keepdim=True))
            anchors.append(state[0])
        return Written(
            np.concatenate(taken, 1),
            log_probability,
            entropy,
            None if self.skip_target is None else penalty / max(1, self.space.layers - 1),
        )

    def _divergence(self, logits: Tensor) -> Tensor:
        """Of a layer's coins from the target, summed: [batch, skips, 2] -> [batch]."""
        if self.skip_target is None:
            return torch.zeros(len(logits))
        target = torch.tensor([1 - self.skip_target, self.skip_target]).clamp_min(1e-6).log()
        logarithms = logits.log_softmax(2)
        return (logarithms.exp() * (logarithms - target)).sum((1, 2))

    def _shaped(self, logits: Tensor, reduction: float = 1.0) -> Tensor:
        logits = logits / self.temperature
        if self.tanh_constant is None:
            return logits
        return self.tanh_constant / reduction * torch.tanh(logits)
