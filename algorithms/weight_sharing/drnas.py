"""DrNAS: the architecture is a distribution over mixtures, learnt through draws of it.

Every choice has a Dirichlet distribution, whose concentrations are ELU(logits) + 1: one to begin with,
so that all mixtures are equally likely. Each step draws a mixture, trains the weights under it, and
moves the concentrations by the gradient through the draw; a Kullback-Leibler divergence from the
symmetric distribution keeps them near it. An edge that is there or not is a choice of two.

Source: Chen, Wang, Cheng, Tang, Hsieh, DrNAS: Dirichlet neural architecture search, ICLR 2021 (arXiv
2006.10355), section 2.2 and equation 5. Without the progressive growth of section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self

import torch
from torch import Tensor
from torch.distributions import Dirichlet, kl_divergence

from nasbench_kit.algorithms.weight_sharing.gradient import Differentiable, GradientSearch

if TYPE_CHECKING:
    from nasbench_kit.algorithms.weight_sharing.training import OneShot, SharedWeights
    from nasbench_kit.spaces.protocols import Architecture


@dataclass(frozen=True)
class DrNAS(Differentiable):
    """Dirichlet search; the defaults are the paper's, but 50 epochs in one stage.

    Raises:
        InvalidSetting: a setting out of its range.
    """

    learning_rate: float = 0.1
    learning_rate_min: float = 0.0
    architecture_learning_rate: float = 6e-4
    architecture_weight_decay: float = 0.0
    #: Of the divergence from the symmetric distribution, mean over choices (lambda).
    divergence_weight: float = 1e-3

    ranges: ClassVar[Mapping[str, str]] = {
        **Differentiable.ranges,
        "divergence_weight": "[0, inf)",
    }

    @classmethod
    def small(cls) -> Self:
        """For the digits table, as other gradient searches', without decay of the logits."""
        return replace(super().small(), architecture_weight_decay=0.0)

    def begin(self, shared: SharedWeights) -> OneShot:
        """The search before its first epoch."""
        return _Search(self, shared)


class _Search(GradientSearch):
    settings: DrNAS

    def epoch(self) -> Architecture:
        shared, size = self.shared, self.shared.step_examples
        work = self.relaxation.mixture().work(shared.skeleton, shared.image_shape)
        for _ in range(shared.steps_an_epoch):
            shared.pay(work, 2 * size)
            drawn = self.relaxation.dirichlet(shared.rng)
            loss = shared.loss(drawn, shared.reward_batch())
            self.architecture_step(loss + self.settings.divergence_weight * self.divergence())
            shared.step(self.relaxation.dirichlet(shared.rng), shared.weight_batch())
        return self.relaxation.discretised()

    def divergence(self) -> Tensor:
        """From the symmetric distribution, mean over choices (equation 5)."""
        divergences = [
            kl_divergence(Dirichlet(some), Dirichlet(torch.ones_like(some))).flatten()
            for some in self.relaxation.concentrations()
        ]
        return torch.cat(divergences).mean()
