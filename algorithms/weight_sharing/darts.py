"""DARTS: architecture search by gradient descent on a continuous relaxation.

The weights w follow their gradient on training images, the architecture's logits a theirs on reward
images: min over a of L_val(w*(a), a), where w*(a) minimises L_train(w, a) (equations 3 and 4). One
step of the weights stands for their minimum:

    w' = w - xi grad_w L_train(w, a)                                                (equation 5)

First order takes xi = 0; second order differentiates through the step (equations 6 to 8).

Source: Liu, Simonyan, Yang, DARTS, ICLR 2019 (arXiv 1806.09055), sections 2.2, 2.3, algorithm 1, and
its released code; on spaces of cells with operations on vertices: Zela et al. 2020.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from nasbench_kit.algorithms.weight_sharing.gradient import Differentiable, GradientSearch
from nasbench_kit.errors import InvalidSetting

if TYPE_CHECKING:
    from nasbench_kit.algorithms.weight_sharing.training import OneShot, SharedWeights
    from nasbench_kit.spaces.protocols import Architecture

Loss = Callable[[Sequence[Tensor]], Tensor]


@dataclass(frozen=True)
class DARTS(Differentiable):
    """Gradient descent on softmax mixtures; the defaults are the paper's.

    Raises:
        InvalidSetting: a setting out of its range.
    """

    #: 1 or 2: whether the architecture's gradient sees how the weights would answer.
    order: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.order not in (1, 2):
            raise InvalidSetting(f"order is {self.order}; choose 1 or 2")

    @classmethod
    def second_order(cls) -> Self:
        """The unrolled variant, of which the paper reports its best results."""
        return cls(order=2)

    @classmethod
    def second_order_small(cls) -> Self:
        """As ``small``, unrolled."""
        return replace(cls.small(), order=2)

    def begin(self, shared: SharedWeights) -> OneShot:
        """The search before its first epoch."""
        return _Search(self, shared)


class _Search(GradientSearch):
    settings: DARTS

    def epoch(self) -> Architecture:
        shared, relaxation = self.shared, self.relaxation
        work = relaxation.mixture().work(shared.skeleton, shared.image_shape)
        passes = 2 if self.settings.order == 1 else 5
        for _ in range(shared.steps_an_epoch):
            shared.pay(work, passes * self.settings.batch_size)
            train, val = shared.weight_batch(), shared.reward_batch()
            # Algorithm 1: first the architecture, then the weights.
            if self.settings.order == 1:
                self.architecture_step(shared.loss(relaxation.mixture(), val))
            else:
                self._unrolled_step(train, val)
            shared.step(relaxation.mixture(), train)
        return relaxation.discretised()

    def _unrolled_step(self, train: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor]) -> None:
        supernet, optimizer = self.shared.supernet, self.shared.optimizer
        names, weights = zip(*supernet.named_parameters(), strict=True)
        (group,) = optimizer.param_groups
        logits = list(self.relaxation.parameters())

        def loss(batch: tuple[Tensor, Tensor]) -> Loss:
            def of(w: Sequence[Tensor]) -> Tensor:
                parameters = dict(zip(names, w, strict=True))
                mixture = self.relaxation.mixture()
                return functional.cross_entropy(
                    functional_call(supernet, parameters, (batch[0], mixture)), batch[1]
                )

            return of

        momenta = [optimizer.state[w].get("momentum_buffer") for w in weights]
        gradients = unrolled_gradient(
            loss(train),
            loss(val),
            weights,
            logits,
            xi=group["lr"],
            extra=[
                group["weight_decay"] * w.detach() + (0 if m is None else group["momentum"] * m)
                for w, m in zip(weights, momenta, strict=True)
            ],
        )
        self.architecture_step_by(gradients)


def unrolled_gradient(
    train_loss: Loss,
    val_loss: Loss,
    weights: Sequence[Tensor],
    logits: Sequence[Tensor],
    *,
    xi: float,
    extra: Sequence[Tensor] | None = None,
) -> list[Tensor]:
    """The architecture's gradient of L_val(w - xi grad_w L_train(w, a), a), by equations 7 and 8.

    Args:
        train_loss: L_train as a function of the weights; the logits are those given below.
        val_loss: L_val likewise.
        weights: w. They, and the logits, are left as they are.
        logits: a, one tensor or more.
        xi: learning rate of the virtual step.
        extra: added to its gradient: weight decay and momentum, as the released code has them.
    """
    gradients = _gradients(train_loss(weights), weights)
    if extra is not None:
        gradients = [g + e for g, e in zip(gradients, extra, strict=True)]
    stepped = [  # w', equation 5
        (w - xi * g).detach().requires_grad_() for w, g in zip(weights, gradients, strict=True)
    ]
    both = _gradients(val_loss(stepped), [*stepped, *logits])
    by_weights, by_logits = both[: len(stepped)], both[len(stepped) :]
    norm = torch.cat([g.flatten() for g in by_weights]).norm()
    if xi == 0 or norm == 0:
        return by_logits
    epsilon = 0.01 / norm  # footnote 2
    # grad_a,w L_train times grad_w' L_val, by a central difference (equation 8).
    differences = []
    for sign in (1, -1):
        moved = [
            (w + sign * epsilon * g).detach() for w, g in zip(weights, by_weights, strict=True)
        ]
        differences.append(_gradients(train_loss(moved), logits))
    return [
        g - xi * (plus - minus) / (2 * epsilon)
        for g, plus, minus in zip(by_logits, *differences, strict=True)
    ]


def _gradients(loss: Tensor, of: Sequence[Tensor]) -> list[Tensor]:
    """Gradients, zero where the loss does not depend on a tensor."""
    gradients = torch.autograd.grad(loss, list(of), allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for x, g in zip(of, gradients, strict=True)]
