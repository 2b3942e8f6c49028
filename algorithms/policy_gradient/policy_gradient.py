"""The policy gradient that trains a controller: REINFORCE with a moving average as baseline.

Source: Williams 1992; Zoph & Le, Neural architecture search with reinforcement learning, ICLR 2017,
section 3.2; Pham et al., ENAS, ICML 2018, and its released code.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nasbench_kit.algorithms.policy_gradient.lstm_policy import LSTMPolicy, Written


class PolicyGradient(nn.Module):
    """The policy gradient of a controller, with a moving average of rewards as baseline.

    The average starts at the mean of the first rewards, not at zero.

    Args:
        controller: what learns; another one of the same kind may have written (a replica).
        learning_rate: Adam's.
        entropy_weight: lambda; the reward is R + lambda times the entropy.
        baseline_decay: share of the old average that stays.
        earlier_rewards: whether the average is of earlier rewards alone, as Zoph & Le have it; else it
            is moved before it is used, as in ENAS' released code.
        skip_weight: of the penalty for skips that are far from their target (ENAS' macro space).
    """

    baseline: Tensor

    def __init__(
        self,
        controller: LSTMPolicy,
        *,
        learning_rate: float,
        entropy_weight: float,
        baseline_decay: float,
        earlier_rewards: bool = False,
        skip_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.controller = controller
        self.skip_weight = skip_weight
        self.optimizer = torch.optim.Adam(controller.parameters(), lr=learning_rate)
        self.entropy_weight = entropy_weight
        self.baseline_decay = baseline_decay
        self.earlier_rewards = earlier_rewards
        self.register_buffer("baseline", torch.full((), torch.nan))

    def update(self, written: Written, rewards: list[float], by: LSTMPolicy | None = None) -> None:
        """One step up the gradient of the mean reward of encodings just written.

        Args:
            written: a batch.
            rewards: of each.
            by: who wrote it, if it was not the controller itself: a replica, whose weights may be older.
        """
        loss = self.loss(written, rewards)
        weights = (by or self.controller).parameters()
        gradients = torch.autograd.grad(loss, list(weights), allow_unused=True)
        for weight, gradient in zip(self.controller.parameters(), gradients, strict=True):
            weight.grad = gradient
        self.optimizer.step()

    def loss(self, written: Written, rewards: list[float]) -> Tensor:
        """Its gradient is minus the policy gradient (Williams 1992); moves the baseline."""
        entropy = written.entropy.detach()
        rewarded = torch.tensor(rewards, dtype=torch.float32) + self.entropy_weight * entropy
        mean = rewarded.mean()
        before = self.baseline
        if before.isnan():
            before = self.baseline = mean
        else:
            self.baseline = before - (1 - self.baseline_decay) * (before - mean)
        baseline = before if self.earlier_rewards else self.baseline
        loss = -(written.log_probability * (rewarded - baseline)).mean()
        if written.skip_penalty is not None:
            loss = loss + self.skip_weight * written.skip_penalty.mean()
        return loss
