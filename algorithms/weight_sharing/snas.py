"""SNAS: weights and architecture descend the same training loss, through soft draws of the cell.

One level where DARTS has two: the loss is the expectation over cells drawn from a concrete
distribution, and both gradients come from one backward pass. The temperature goes down until the
draws are nearly one-hot, so that the cell at the end is the one that was trained.

With ``resource`` the loss counts what the drawn operations cost as well (section 2.4), reparametrised as the
rest: eta times the sum of Z C over all edges and operations. The price C is that of the table's seconds,
where the released code weighs parameters, FLOPs and memory traffic.

Source: Xie, Zheng, Liu, Lin, SNAS, ICLR 2019 (arXiv 1812.09926), sections 2.1 to 2.4, and SNAS-Series'
released settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from nasbench_kit.algorithms.weight_sharing.gradient import (
    Differentiable,
    GradientSearch,
    option_prices,
)
from nasbench_kit.errors import InvalidSetting

if TYPE_CHECKING:
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
    #: eta: of the expected price in the loss, where even probabilities cost 100; for operations on edges.
    resource: float = 0.0

    ranges: ClassVar[Mapping[str, str]] = {
        **Differentiable.ranges,
        "temperature": "(0, inf)",
        "temperature_min": "(0, inf)",
        "resource": "[0, inf)",
    }

    def begin(self, shared: SharedWeights) -> OneShot:
        """The search before its first epoch.

        Raises:
            InvalidSetting: a resource term in a space whose operations have no prices of their own.
        """
        return _Search(self, shared)


class _Search(GradientSearch):
    settings: SNAS

    def __init__(self, settings: SNAS, shared: SharedWeights) -> None:
        super().__init__(settings, shared)
        self.prices = None
        if settings.resource:
            if not hasattr(shared.space, "work_of"):
                raise InvalidSetting(
                    f"resource is {settings.resource:g}, but operations of the space {shared.space.name} have no "
                    "prices of their own; leave it at 0, or use a space of edge-labelled cells such as nasbench201"
                )
            relaxation: Any = self.relaxation
            self.prices = option_prices(shared, relaxation.operations)

    def epoch(self) -> Architecture:
        shared = self.shared
        work = self.relaxation.mixture().work(shared.skeleton, shared.image_shape)
        for _ in range(shared.steps_an_epoch):
            shared.pay(work, shared.step_examples)
            first, last = self.settings.temperature, self.settings.temperature_min
            temperature = first + (last - first) * shared.progress
            draw: Any = self.relaxation.sample(shared.rng, temperature, hard=False)  # Z, equation 3
            shared.optimizer.zero_grad()
            self.optimizer.zero_grad()
            loss = shared.loss(draw, shared.weight_batch())
            if self.prices is not None:  # section 2.4
                loss = loss + self.settings.resource * (draw.operations * self.prices).sum()
            loss.backward()  # type: ignore[no-untyped-call]  # equation 5: weights and logits at once
            shared.clipped_step()
            self.optimizer.step()
        return self.relaxation.discretised()
