"""What searches by gradient have in common: logits of a relaxation, their optimizer, the way out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor

from nasbench_kit.algorithms.weight_sharing.search import WeightSharing
from nasbench_kit.algorithms.weight_sharing.training import SharedWeights

if TYPE_CHECKING:
    from nasbench_kit.spaces.protocols import Architecture

#: What a network of even probabilities costs, where prices of options are weighed.
_EVEN = 100.0
#: Cells drawn from the final probabilities, the likeliest of which are queried first.
_CANDIDATES = 1000


@dataclass(frozen=True)
class Differentiable(WeightSharing):
    """A search that trains architecture logits by gradient.

    Raises:
        InvalidSetting: a setting out of its range.
    """

    #: Adam's, for the logits; beta2 is 0.999.
    architecture_learning_rate: float = 3e-4
    architecture_beta1: float = 0.5
    architecture_weight_decay: float = 1e-3

    ranges: ClassVar[Mapping[str, str]] = {
        **WeightSharing.ranges,
        "architecture_learning_rate": "(0, inf)",
        "architecture_beta1": "[0, 1)",
        "architecture_weight_decay": "[0, inf)",
    }

    @classmethod
    def small(cls) -> Self:
        """For the digits table: as many epochs as the budget allows.

        Batch and weights' learning rate are those of its stand-alone trainings. The logits' rate
        makes up for the steps: DARTS takes 50 epochs of 391 steps at 3e-4, or 5.9 in all; 18
        seconds of the table pay for 496 steps, hence 0.012. Tuning on ``noisy-digits`` told neither
        that nor the decay from others; a weights' rate of 0.025 was worse than 0.1
        (docs/weight-sharing.md).
        """
        return cls(
            epochs=None,
            batch_size=50,
            learning_rate=0.1,
            weight_decay=5e-4,
            architecture_learning_rate=0.012,
        )


class GradientSearch:
    """A search by gradient under way; its file adds what an epoch does."""

    def __init__(self, settings: Differentiable, shared: SharedWeights) -> None:
        self.settings = settings
        self.shared = shared
        self.relaxation = shared.relaxation()
        self.optimizer = torch.optim.Adam(
            self.relaxation.parameters(),
            lr=settings.architecture_learning_rate,
            betas=(settings.architecture_beta1, 0.999),
            weight_decay=settings.architecture_weight_decay,
        )

    def architecture_step(self, loss: Tensor) -> None:
        """One step of the logits down the gradient of a loss; the weights' gradients stay unset."""
        logits = list(self.relaxation.parameters())
        gradients = torch.autograd.grad(loss, logits, allow_unused=True)
        self.architecture_step_by(gradients)

    def architecture_step_by(self, gradients: Sequence[Tensor | None]) -> None:
        """One step of the logits by these gradients."""
        for logit, gradient in zip(self.relaxation.parameters(), gradients, strict=True):
            logit.grad = gradient
        self.optimizer.step()

    def candidates(self) -> Iterator[Architecture]:
        """The discretised cell, then drawn ones, the likeliest encoding first; no two alike."""
        shared = self.shared
        drawn = [self.relaxation.draw(shared.rng) for _ in range(_CANDIDATES)]
        likeliest = sorted(drawn, key=lambda pair: -pair[1])
        ordered = iter([[self.relaxation.discretised(), *(cell for cell, _ in likeliest)]])
        return shared.distinct(lambda: next(ordered, None) or [self.relaxation.draw(shared.rng)[0]])

    def parts(self) -> dict[str, Any]:
        """What the saved state holds beside the weights."""
        return {"relaxation": self.relaxation, "architecture_optimizer": self.optimizer}


def option_prices(shared: SharedWeights, like: Tensor) -> Tensor:
    """Of every option what it adds to a network, so that even probabilities come to 100: [slots, options].

    Args:
        shared: in whose space operations stand on edges, or blocks in places.
        like: logits; what comes back is of their type, on their device.
    """
    space = shared.space
    around = space.work_of([], shared.skeleton, shared.image_shape)

    def price(slot: int, option: int) -> float:
        work = space.work_of([(slot, option)], shared.skeleton, shared.image_shape) - around
        # Without a clock, multiplications and values written count alike.
        return shared.seconds(work) or float(work.sum())

    options = range(len(space.slots[0].operations))
    prices = torch.tensor([[price(s, o) for o in options] for s in range(len(space.slots))])
    return (_EVEN * prices / prices.mean(1).sum()).to(like)
