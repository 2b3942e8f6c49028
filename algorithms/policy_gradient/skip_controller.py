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

from typing import TYPE_CHECKING, Unpack

import torch

from nasbench_kit.algorithms.policy_gradient.lstm_policy import (
    AnchorPolicy,
    Encodings,
    LSTMSettings,
    States,
    Written,
    mean_anchor,
)

if TYPE_CHECKING:
    from numpy.random import Generator
    from torch import Tensor

    from nasbench_kit.spaces.layers.skips import SkipSpace


class SkipController(AnchorPolicy):
    """A policy over layers with skips.

    Args:
        space: whose architectures are written.
        rng: draws the first weights and, later, the decisions.
        operation_tanh_reduction: divides the tanh constant for operations.
        skip_target: share of skips that the penalty draws to; None is no penalty.
        lstm: as of ``LSTMPolicy``; temperature and tanh constant are by default the released code's.
    """

    space: SkipSpace

    def __init__(
        self,
        space: SkipSpace,
        rng: Generator,
        *,
        operation_tanh_reduction: float = 2.5,
        skip_target: float | None = 0.4,
        **lstm: Unpack[LSTMSettings],
    ) -> None:
        shaping: LSTMSettings = {"temperature": 1.0, "tanh_constant": 1.5}
        shaping.update(lstm)
        operations = len(space.decisions[0].options)
        super().__init__(space, rng, operations, operation_tanh_reduction, **shaping)
        self.skip_target = skip_target

    def decide(self, encodings: Encodings) -> Written:
        """Operation and skips of layer after layer."""
        penalty = torch.zeros(encodings.count)
        x = self.start.expand(encodings.count, -1)
        states: States | None = None
        anchors: list[Tensor] = []
        for layer in range(self.space.layers):
            output, states = self.step(x, states)
            output, states = self.step(self.operation(encodings, output), states)
            if layer == 0:
                x = self.start.expand(encodings.count, -1)
            else:
                earlier = torch.stack(anchors, 1)  # [batch, layer, hidden]
                q = self.edge_logits(output, earlier)
                coins = torch.stack((-q, q), 2)
                skips = encodings.choose_each(coins).to(q.dtype)
                penalty = penalty + self._divergence(coins)
                x = mean_anchor(skips, earlier)
            anchors.append(output)
        if self.skip_target is None:
            return encodings.written()
        return encodings.written(penalty / max(1, self.space.layers - 1))

    def _divergence(self, logits: Tensor) -> Tensor:
        """Of a layer's coins from the target, summed: [batch, skips, 2] -> [batch]."""
        if self.skip_target is None:
            return torch.zeros(len(logits))
        target = torch.tensor([1 - self.skip_target, self.skip_target]).clamp_min(1e-6).log()
        logarithms = logits.log_softmax(2)
        return (logarithms.exp() * (logarithms - target)).sum((1, 2))
