"""SNAS: weights and architecture descend the same training loss, through soft draws of the cell.

One level where DARTS has two: the loss is the expectation over cells drawn from a concrete
distribution, and both gradients come from one backward pass. The temperature goes down until the
draws are nearly one-hot, so that the cell at the end is the one that was trained. With a weight, what
the drawn operations cost joins the loss: L + eta sum over edges and operations of Z C(Z) (section 2.4).

Source: Xie, Zheng, Liu, Lin, SNAS, ICLR 2019 (arXiv 1812.09926), sections 2.1 to 2.4, and SNAS-Series'
released settings. Costs are the budget's prices, where the paper adds up parameters, FLOPs and memory
accesses; the way back is the space's own, so that in DARTS' cells a node keeps two edges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from nasbench_kit.algorithms.weight_sharing.gradient import Differentiable, GradientSearch
from nasbench_kit.algorithms.weight_sharing.prices import option_prices

if TYPE_CHECKING:
    from torch import Tensor

    from nasbench_kit.algorithms.weight_sharing.training import OneShot, SharedWeights
    from nasbench_kit.spaces.protocols import Architecture


@dataclass(frozen=True)
class SNAS(Differentiable):
    """Stochastic search with concrete variables; the defaults are its code's (with Adam).

    Without drop-path (0.3 there) and the logits' largest gradient norm (10), and logits start as
    DARTS' do, of standard deviation 0.001 (0.01).

    Raises:
        InvalidSetting: a setting out of its range.
    """

    epochs: int | None = 150
    #: Of the concrete distribution (lambda), linearly from the first epoch to the last.
    temperature: float = 1.0
    temperature_min: float = 0.03
    #: Of the resource constraint (eta); the cost is in units of what even probabilities cost. 0: none.
    resource_weight: float = 0.0

    ranges: ClassVar[Mapping[str, str]] = {
        **Differentiable.ranges,
        "temperature": "(0, inf)",
        "temperature_min": "(0, inf)",
        "resource_weight": "[0, inf)",
    }

    def begin(self, shared: SharedWeights) -> OneShot:
        """The search before its first epoch.

        Raises:
            InvalidSetting: a resource constraint where operations have no prices of their own.
        """
        return _Search(self, shared)


class _Search(GradientSearch):
    settings: SNAS
    relaxation: Any

    def __init__(self, settings: SNAS, shared: SharedWeights) -> None:
        super().__init__(settings, shared)
        self.costs: Tensor | None = None
        if settings.resource_weight:
            self.costs = settings.resource_weight * option_prices(shared, self.relaxation)

    def epoch(self) -> Architecture:
        shared = self.shared
        work = self.relaxation.mixture().work(shared.skeleton, shared.image_shape)
        for _ in range(shared.steps_an_epoch):
            shared.pay(work, shared.step_examples)
            first, last = self.settings.temperature, self.settings.temperature_min
            temperature = first + (last - first) * shared.progress
            draw = self.relaxation.sample(shared.rng, temperature, hard=False)  # Z, equation 3
            shared.optimizer.zero_grad()
            self.optimizer.zero_grad()
            loss = self.constrained(shared.loss(draw, shared.weight_batch()), draw)
            loss.backward()  # type: ignore[no-untyped-call]  # equation 5: weights and logits at once
            shared.clipped_step()
            self.optimizer.step()
        return self.relaxation.discretised()

    def constrained(self, loss: Tensor, draw: Any) -> Tensor:
        """The loss and what the draw costs, which is linear in Z (equation 8)."""
        return loss if self.costs is None else loss + (draw.operations * self.costs).sum()
