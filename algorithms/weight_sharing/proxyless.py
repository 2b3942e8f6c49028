"""ProxylessNAS: one path at a time, and gradients for binary gates that open it.

Every edge draws one operation by its probability, and only that one is trained. A step of the
architecture takes the gradient by the gates g, one-hot, as if it were that by the probabilities p
(equation 4):

    dL/da_i = sum_j dL/dg_j p_j (delta_ij - p_i)

In "two" mode it draws two operations, renormalises their probabilities and moves only their logits, so
that their probability together stays what it was (section 3.2.1); in "full" mode all of them. What the
architecture costs joins the loss: expected seconds are a sum of probabilities times prices (equation 5).

Source: Cai, Zhu, Han, ProxylessNAS, ICLR 2019 (arXiv 1812.00332), section 3, and its released search.
It runs on the paper's chain of MobileNet blocks (the space proxylessnas), and on edge-labelled cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor

from nasbench_kit.algorithms.weight_sharing.gradient import Differentiable, GradientSearch
from nasbench_kit.algorithms.weight_sharing.prices import option_prices
from nasbench_kit.errors import InvalidSetting

if TYPE_CHECKING:
    from nasbench_kit.algorithms.weight_sharing.training import OneShot, SharedWeights
    from nasbench_kit.spaces.protocols import Architecture

#: How a loss counts what the architecture costs.
LATENCIES = ("none", "linear", "logarithm")
#: What a network of even probabilities costs, in the unit of the target.
_EVEN = 100.0


@dataclass(frozen=True)
class ProxylessNAS(Differentiable):
    """Path-level binary gates; the defaults are the released search's.

    Raises:
        InvalidSetting: a setting out of its range.
    """

    epochs: int | None = 160
    nesterov: bool = True
    weight_decay: float = 4e-5
    architecture_learning_rate: float = 1e-3
    architecture_beta1: float = 0.0
    architecture_weight_decay: float = 0.0
    #: "two" or "full".
    gates: str = "two"
    #: Share of the training in which the logits rest and paths are drawn evenly (40 of 160 epochs).
    warm_up: float = 0.25
    #: Steps of the weights for each of the architecture.
    interval: int = 5
    #: "none"; "linear", cross-entropy + lambda (E - T) / T; or "logarithm", its product with
    #: alpha (log E / log T)^beta. E and T are in hundredths of what even probabilities cost.
    latency: str = "none"
    target: float = 80.0
    latency_weight: float = 0.1
    alpha: float = 0.2
    beta: float = 0.3

    ranges: ClassVar[Mapping[str, str]] = {
        **Differentiable.ranges,
        "warm_up": "[0, 1)",
        "interval": "[1, inf)",
        "target": "(1, inf)",
        "latency_weight": "[0, inf)",
        "alpha": "(0, inf)",
        "beta": "[0, inf)",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gates not in ("two", "full"):
            raise InvalidSetting(f"gates is {self.gates!r}; choose 'two' or 'full'")
        if self.latency not in LATENCIES:
            raise InvalidSetting(f"latency is {self.latency!r}; choose one of {LATENCIES}")

    @classmethod
    def small(cls) -> Self:
        """As other gradient searches on the digits, with an architecture's step for each of the weights."""
        return replace(
            super().small(), architecture_beta1=0.0, architecture_weight_decay=0.0, interval=1
        )

    def begin(self, shared: SharedWeights) -> OneShot:
        """The search before its first epoch.

        Raises:
            InvalidSetting: the space's relaxation opens no paths.
        """
        return _Search(self, shared)


class _Search(GradientSearch):
    settings: ProxylessNAS
    relaxation: Any

    def __init__(self, settings: ProxylessNAS, shared: SharedWeights) -> None:
        super().__init__(settings, shared)
        if not hasattr(self.relaxation, "drawn_options"):
            raise InvalidSetting(
                f"the space {shared.space.name} has no gates on its edges; use one of edge-labelled "
                "cells, such as nasbench201 or darts, or the space proxylessnas"
            )
        self.prices: Tensor | None = None
        if settings.latency != "none":
            self.prices = _EVEN * option_prices(shared, self.relaxation)

    def epoch(self) -> Architecture:
        shared, settings = self.shared, self.settings
        resting = shared.progress < settings.warm_up
        for step in range(shared.steps_an_epoch):
            drawn = self.relaxation.drawn_options(shared.rng, 1, even=resting)
            path = self.relaxation.gated(drawn, [options[0] for options in drawn])
            self._pay(path)
            shared.step(path, shared.weight_batch())
            if not resting and step % settings.interval == 0:
                self._architecture_step()
        return self.relaxation.discretised()

    def _architecture_step(self) -> None:
        relaxation, rng = self.relaxation, self.shared.rng
        logits = relaxation.operations
        count = 2 if self.settings.gates == "two" else logits.shape[1]
        drawn = relaxation.drawn_options(rng, count)
        pairs = torch.tensor(drawn, device=logits.device)  # [slots, count]
        p = logits.detach().gather(1, pairs).softmax(1)
        picks = (p.cumsum(1).cpu().numpy() > rng.random((len(drawn), 1))).argmax(1)
        open_options = [options[pick] for options, pick in zip(drawn, picks, strict=True)]
        mixture = relaxation.gated(drawn, open_options)
        self._pay(mixture)
        gates = mixture.operations.requires_grad_()
        loss = self.with_latency(self.shared.loss(mixture, self.shared.reward_batch()))
        by_gates, by_logits = torch.autograd.grad(loss, [gates, logits], allow_unused=True)
        gradient = torch.zeros_like(logits)
        gradient.scatter_(1, pairs, gate_gradient(by_gates.gather(1, pairs), p))
        if by_logits is not None:
            among = torch.zeros_like(logits).scatter_(1, pairs, 1.0)
            gradient = gradient + by_logits * among
        gradient[self._closed(open_options)] = 0.0
        before = logits.detach().gather(1, pairs).logsumexp(1, keepdim=True)
        self.architecture_step_by(
            [gradient if parameter is logits else None for parameter in relaxation.parameters()]
        )
        if self.settings.gates == "two":  # the pair keeps its probability
            with torch.no_grad():
                moved = logits.gather(1, pairs)
                logits.scatter_(1, pairs, moved - moved.logsumexp(1, keepdim=True) + before)

    def with_latency(self, loss: Tensor) -> Tensor:
        """The loss and what the architecture costs (section 3.3)."""
        settings = self.settings
        if self.prices is None:
            return loss
        expected = (self.relaxation.operations.softmax(1) * self.prices).sum()
        if settings.latency == "linear":
            return loss + settings.latency_weight * (expected - settings.target) / settings.target
        ratio = expected.log() / torch.tensor(settings.target).log()
        return settings.alpha * loss * ratio.clamp(min=0) ** settings.beta

    def _closed(self, open_options: list[int]) -> list[bool]:
        """Edges that have drawn `none`, which teaches nothing of the others."""
        slots = self.shared.space.slots
        return [
            slot.operations[option] == "none"
            for slot, option in zip(slots, open_options, strict=True)
        ]

    def _pay(self, mixture: Any) -> None:
        work = mixture.work(self.shared.skeleton, self.shared.image_shape)
        self.shared.pay(work, self.settings.batch_size)


def gate_gradient(by_gates: Tensor, p: Tensor) -> Tensor:
    """Gradient by the logits from that by the gates, [choices, options] (equation 4)."""
    return p * (by_gates - (by_gates * p).sum(1, keepdim=True))
