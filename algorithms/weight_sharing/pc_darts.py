"""PC-DARTS: DARTS on a part of the channels, the others passing by.

Operations see the first 1/K of a vertex's channels; after the sum all channels are shuffled, so that
the next vertex's operations see others. That saves memory, and operations without weights gain less
from noise in the weights of the others. The paper's edge normalisation is the relaxation's weight of
edges: cells with operations on vertices have it anyway, edge-labelled cells in partly connected
mixtures. At first only the weights are trained.

Source: Xu et al., PC-DARTS, ICLR 2020 (arXiv 1907.05737), sections 3.2 and 3.3, equations 2 and 3,
and its released code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self

from nasbench_kit.algorithms.weight_sharing.gradient import Differentiable, GradientSearch

if TYPE_CHECKING:
    from nasbench_kit.algorithms.weight_sharing.training import OneShot, SharedWeights
    from nasbench_kit.spaces.protocols import Architecture


@dataclass(frozen=True)
class PCDARTS(Differentiable):
    """Partially connected mixtures, first order; the defaults are the paper's.

    Raises:
        InvalidSetting: a setting out of its range.
    """

    batch_size: int = 256
    learning_rate: float = 0.1
    learning_rate_min: float = 0.0
    architecture_learning_rate: float = 6e-4
    #: K: operations see one channel in K.
    channel_divisor: int = 4
    #: Share of the training in which the logits rest (15 of 50 epochs).
    warm_up: float = 0.3

    ranges: ClassVar[Mapping[str, str]] = {
        **Differentiable.ranges,
        "channel_divisor": "[1, inf)",
        "warm_up": "[0, 1)",
    }

    @classmethod
    def small(cls) -> Self:
        """For the digits table, where a vertex has 5 or 6 channels: half of them."""
        return replace(super().small(), channel_divisor=2)

    def begin(self, shared: SharedWeights) -> OneShot:
        """The search before its first epoch."""
        return _Search(self, shared)


class _Search(GradientSearch):
    settings: PCDARTS

    def epoch(self) -> Architecture:
        shared, divisor = self.shared, self.settings.channel_divisor
        size = self.shared.step_examples
        mixture = self.relaxation.mixture(divisor)
        work = mixture.work(shared.skeleton, shared.image_shape)
        resting = shared.progress < self.settings.warm_up
        for _ in range(shared.steps_an_epoch):
            shared.pay(work, size if resting else 2 * size)
            if not resting:
                loss = shared.loss(self.relaxation.mixture(divisor), shared.reward_batch())
                self.architecture_step(loss)
            shared.step(self.relaxation.mixture(divisor), shared.weight_batch())
        return self.relaxation.discretised()
