"""SDARTS: DARTS whose weights are trained under perturbed mixtures, so that rounding hurts less.

Weights minimise the training loss at the mixture's operation weights plus a perturbation: a random one
(SDARTS-RS, equation 3) or the worst within a radius (SDARTS-ADV, equation 2). The architecture's own
step stays that of DARTS. What is perturbed are the probabilities, in every vertex; edges are left alone.

Source: Chen & Hsieh, Stabilizing differentiable architecture search via perturbation-based
regularization, ICML 2020 (arXiv 2002.05283), section 4, and its released settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor

from nasbench_kit.algorithms.weight_sharing.darts import DARTS, DARTSSearch
from nasbench_kit.errors import InvalidSetting

if TYPE_CHECKING:
    from nasbench_kit.algorithms.weight_sharing.training import OneShot, SharedWeights


@dataclass(frozen=True)
class SDARTS(DARTS):
    """Perturbed mixtures; the defaults are the paper's.

    Raises:
        InvalidSetting: a setting out of its range.
    """

    #: "random" or "adversarial".
    perturbation: str = "random"
    #: Largest change of a probability, linearly from the first epoch to the last.
    radius: float = 0.03
    radius_max: float = 0.3
    #: Ascents of the adversary, each a forward and backward pass.
    ascents: int = 7

    ranges: ClassVar[Mapping[str, str]] = {
        **DARTS.ranges,
        "radius": "[0, 1]",
        "radius_max": "[0, 1]",
        "ascents": "[1, inf)",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.perturbation not in ("random", "adversarial"):
            raise InvalidSetting(
                f"perturbation is {self.perturbation!r}; choose 'random' or 'adversarial'"
            )

    @classmethod
    def adversarial(cls) -> Self:
        """The worst perturbation instead of a random one."""
        return cls(perturbation="adversarial")

    @classmethod
    def adversarial_small(cls) -> Self:
        """As ``small``, with the worst perturbation."""
        return replace(cls.small(), perturbation="adversarial")

    def begin(self, shared: SharedWeights) -> OneShot:
        """The search before its first epoch."""
        return _Search(self, shared)


class _Search(DARTSSearch):
    settings: SDARTS

    @property
    def extra_passes(self) -> int:  # type: ignore[override]
        """Of the adversary."""
        return self.settings.ascents if self.settings.perturbation == "adversarial" else 0

    def mixture_for_weights(self, train: tuple[Tensor, Tensor]) -> Any:
        """The perturbed mixture; its parts have no gradients."""
        first, last = self.settings.radius, self.settings.radius_max
        radius = first + (last - first) * min(1.0, self.shared.progress)
        mixture: Any = self.relaxation.mixture().detached()
        drawn = self.shared.rng.uniform(-radius, radius, tuple(mixture.operations.shape))
        delta = torch.as_tensor(drawn).to(mixture.operations)
        if self.settings.perturbation == "adversarial":
            delta = self._worst(mixture, delta, radius, train)
        return replace(mixture, operations=mixture.operations + delta)

    def _worst(
        self, mixture: Any, delta: Tensor, radius: float, train: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Projected ascent of the training loss by signs, from a random start."""
        length = 2 * radius / self.settings.ascents
        for _ in range(self.settings.ascents):
            moved = (mixture.operations + delta).requires_grad_()
            loss = self.shared.loss(replace(mixture, operations=moved), train)
            (gradient,) = torch.autograd.grad(loss, moved)
            delta = (delta + length * gradient.sign()).clamp(-radius, radius)
        return delta
