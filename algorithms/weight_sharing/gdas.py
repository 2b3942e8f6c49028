"""GDAS: each step trains one sampled cell, with gradients for the probabilities it came from.

Operations are drawn by the Gumbel-max trick and only the drawn ones are computed; the gradient is
that of the Gumbel-softmax (straight-through). Edges weigh as softly as they are drawn, as in
NAS-Bench-1Shot1's version for this kind of cell.

Source: Dong & Yang, Searching for a robust neural architecture in four GPU hours, CVPR 2019 (arXiv
1910.04465), equations 3 to 7, and D-X-Y's released settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from nasbench_kit.algorithms.weight_sharing.gradient import Differentiable, GradientSearch

if TYPE_CHECKING:
    from nasbench_kit.algorithms.weight_sharing.training import OneShot, SharedWeights
    from nasbench_kit.spaces.one_shot import Mixture
    from nasbench_kit.spaces.protocols import Architecture


@dataclass(frozen=True)
class GDAS(Differentiable):
    """Differentiable sampling; the defaults are the paper's.

    Raises:
        InvalidSetting: a setting out of its range.
    """

    epochs: int | None = 250
    nesterov: bool = True
    weight_decay: float = 5e-4
    #: Of the Gumbel-softmax, linearly from the first epoch to the last.
    temperature: float = 10.0
    temperature_min: float = 0.1

    ranges: ClassVar[Mapping[str, str]] = {
        **Differentiable.ranges,
        "temperature": "(0, inf)",
        "temperature_min": "(0, inf)",
    }

    def begin(self, shared: SharedWeights) -> OneShot:
        """The search before its first epoch."""
        return _Search(self, shared)


class _Search(GradientSearch):
    settings: GDAS

    def epoch(self) -> Architecture:
        shared = self.shared
        for _ in range(shared.steps_an_epoch):
            # Weights on training images, probabilities on reward images, each with its own draw.
            drawn = self._drawn()
            shared.step(drawn, shared.weight_batch())
            self.architecture_step(shared.loss(self._drawn(), shared.reward_batch()))
        return self.relaxation.discretised()

    def _drawn(self) -> Mixture:
        """A paid draw (equations 5 and 6)."""
        first, last = self.settings.temperature, self.settings.temperature_min
        temperature = first + (last - first) * self.shared.progress
        mixture = self.relaxation.sample(self.shared.rng, temperature, hard=True)
        work = mixture.work(self.shared.skeleton, self.shared.image_shape)
        self.shared.pay(work, self.shared.step_examples)
        return mixture
