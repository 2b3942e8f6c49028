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
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional
from torch.nn.utils import vector_to_parameters

from nasbench_kit.algorithms.weight_sharing.gradient import Differentiable, GradientSearch
from nasbench_kit.algorithms.weight_sharing.sharpness import (
    WINDOW,
    History,
    collapsing,
    dominant_eigenvalue,
)
from nasbench_kit.errors import InvalidSetting

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nasbench_kit.algorithms.weight_sharing.training import OneShot, SharedWeights
    from nasbench_kit.spaces.one_shot import Mixture
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
    #: How second order multiplies by the mixed second derivatives (equation 7): by the published
    #: "difference" of two gradients (equation 8), or "exact", by differentiating the gradient. Where
    #: ReLU and max-pool have kinks within its reach, the difference is far from it.
    curvature: str = "difference"
    #: Whether second order cuts the gradients of the virtual step, and of the loss after it, to ``clip``
    #: as a step of the weights does: the released code does so for recurrent cells alone.
    clipped_unrolling: bool = False
    #: Whether the search ends, at the cell of five epochs before, once its loss sharpens too
    #: fast (Zela et al., 2020, section 4.2). The eigenvalue is that of one reward batch after every
    #: epoch, by ten products with the Hessian; it is paid for.
    early_stopping: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.curvature not in ("difference", "exact"):
            raise InvalidSetting(f"curvature is {self.curvature!r}; choose 'difference' or 'exact'")
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

    @classmethod
    def text(cls) -> Self:
        """For Python's topics: the paper's settings on Penn Treebank (supplement A.1.2), in smaller batches.

        The logits' rate makes up for the steps: 50 epochs of 103 at 3e-3 are 15.5 in all; four epochs of 63
        take as much at 0.06.
        """
        return cls(
            epochs=None,
            batch_size=64,
            learning_rate=20.0,
            learning_rate_min=1.0,
            momentum=0.0,
            weight_decay=5e-7,
            clip=0.25,
            architecture_learning_rate=0.06,
            clipped_unrolling=True,
        )

    def begin(self, shared: SharedWeights) -> OneShot:
        """The search before its first epoch."""
        return DARTSSearch(self, shared)


class DARTSSearch(GradientSearch):
    """DARTS under way."""

    settings: DARTS

    def __init__(self, settings: DARTS, shared: SharedWeights) -> None:
        super().__init__(settings, shared)
        self.history = History()

    def epoch(self) -> Architecture:
        """A pass over the training images, a step of the architecture before each of the weights."""
        shared, relaxation = self.shared, self.relaxation
        work = relaxation.mixture().work(shared.skeleton, shared.image_shape)
        passes = (2 if self.settings.order == 1 else 5) + self.extra_passes
        for _ in range(shared.steps_an_epoch):
            shared.pay(work, passes * shared.step_examples)
            train, val = shared.weight_batch(), shared.reward_batch()
            # Algorithm 1: first the architecture, then the weights.
            if self.settings.order == 1:
                self.architecture_step(shared.loss(relaxation.mixture(), val))
            else:
                self._unrolled_step(train, val)
            shared.step(self.mixture_for_weights(train), train)
        if self.settings.early_stopping:
            self._note_sharpness(work)
        return relaxation.discretised()

    @property
    def finished(self) -> bool:
        """Whether the loss has sharpened too fast."""
        return collapsing(self.history.eigenvalues)

    def _note_sharpness(self, work: NDArray[np.float64]) -> None:
        """Measure it; at the end, go back to the logits before it grew."""
        shared, logits = self.shared, list(self.relaxation.parameters())
        # The gradient with its graph and each of ten products take twice a forward-backward pass.
        shared.pay(work, 22 * shared.step_examples)
        loss = shared.loss(self.relaxation.mixture(), shared.reward_batch())
        self.history.note(dominant_eigenvalue(loss, logits, iterations=10), logits)
        if self.finished:
            vector_to_parameters(self.history.logits[-1 - WINDOW], logits)

    def parts(self) -> dict[str, Any]:
        """What the saved state holds beside the weights."""
        return {**super().parts(), "history": self.history}

    #: Forward and backward passes of a step beside the architecture's and the weights' own.
    extra_passes = 0

    def mixture_for_weights(self, train: tuple[Tensor, Tensor]) -> Mixture:
        """What a step of the weights trains."""
        return self.relaxation.mixture()

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
            exact=self.settings.curvature == "exact",
            clip=self.settings.clip if self.settings.clipped_unrolling else None,
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
    exact: bool = False,
    clip: float | None = None,
) -> list[Tensor]:
    """The architecture's gradient of L_val(w - xi grad_w L_train(w, a), a), by equations 7 and 8.

    Args:
        train_loss: L_train as a function of the weights; the logits are those given below.
        val_loss: L_val likewise.
        weights: w. They, and the logits, are left as they are.
        logits: a, one tensor or more.
        xi: learning rate of the virtual step.
        extra: added to its gradient: weight decay and momentum, as the released code has them.
        exact: differentiate the gradient of L_train instead of equation 8's difference.
        clip: largest norm of the virtual step's gradient, and of the gradient of L_val by w'.
    """
    train_gradients = gradients = _gradients(train_loss(weights), weights, with_graph=exact)
    if clip is not None:
        gradients = _cut(gradients, clip)
    if extra is not None:
        gradients = [g + e for g, e in zip(gradients, extra, strict=True)]
    stepped = [  # w', equation 5
        (w - xi * g).detach().requires_grad_() for w, g in zip(weights, gradients, strict=True)
    ]
    both = _gradients(val_loss(stepped), [*stepped, *logits])
    by_weights, by_logits = both[: len(stepped)], both[len(stepped) :]
    if clip is not None:
        by_weights = _cut(by_weights, clip)
    norm = torch.cat([g.flatten() for g in by_weights]).norm()
    if xi == 0 or norm == 0:
        return by_logits
    if exact:  # grad_a of (grad_w L_train times grad_w' L_val as a number)
        pairs = zip(train_gradients, by_weights, strict=True)
        product = torch.stack([(g * v).sum() for g, v in pairs]).sum()
        return [
            g - xi * mixed for g, mixed in zip(by_logits, _gradients(product, logits), strict=True)
        ]
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


def _cut(gradients: Sequence[Tensor], norm: float) -> list[Tensor]:
    """Gradients, all shorter by one factor where they are longer than a norm together."""
    length = torch.cat([g.detach().flatten() for g in gradients]).norm()
    factor = (norm / (length + 1e-6)).clamp(max=1)
    return [g * factor for g in gradients]


def _gradients(loss: Tensor, of: Sequence[Tensor], with_graph: bool = False) -> list[Tensor]:
    """Gradients, zero where the loss does not depend on a tensor."""
    gradients = torch.autograd.grad(loss, list(of), allow_unused=True, create_graph=with_graph)
    return [torch.zeros_like(x) if g is None else g for x, g in zip(of, gradients, strict=True)]
