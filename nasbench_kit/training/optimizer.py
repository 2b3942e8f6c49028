"""RMSProp as TensorFlow 1 has it, which trained every network of NAS-Bench-101.

``torch.optim.RMSprop`` differs twice: it adds epsilon outside the root, and starts the average of
squares at 0. With epsilon 1, as here, that is another optimizer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class TFRMSProp(torch.optim.Optimizer):
    """``s = d s + (1-d) g²;  m = μ m + lr g / √(s + ε);  w = w - m``, with s from 1 and m from 0.

    Args:
        params: weights, or groups of them.
        lr: learning rate.
        decay: d, of the average of squared gradients s.
        momentum: μ.
        epsilon: ε, inside the root.
        weight_decay: λ; g is the gradient plus λ w, that of the loss plus ½ λ w².

    Source: tensorflow 1.x, ``ApplyRMSProp``; NAS-Bench-101's values are the defaults.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        *,
        decay: float = 0.9,
        momentum: float = 0.9,
        epsilon: float = 1.0,
        weight_decay: float = 0.0,
    ) -> None:
        settings = {
            "lr": lr,
            "decay": decay,
            "momentum": momentum,
            "epsilon": epsilon,
            "weight_decay": weight_decay,
        }
        super().__init__(params, settings)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of all weights that have a gradient; returns the closure's loss, if given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if not weights:
                continue
            for weight in weights:
                if not self.state[weight]:
                    self.state[weight]["square_average"] = torch.ones_like(weight)
                    self.state[weight]["moment"] = torch.zeros_like(weight)
            squares = [self.state[weight]["square_average"] for weight in weights]  # s
            moments = [self.state[weight]["moment"] for weight in weights]  # m
            gradients = torch._foreach_add(
                [weight.grad for weight in weights], weights, alpha=group["weight_decay"]
            )
            torch._foreach_mul_(squares, group["decay"])
            torch._foreach_addcmul_(squares, gradients, gradients, value=1 - group["decay"])
            roots = torch._foreach_add(squares, group["epsilon"])
            torch._foreach_sqrt_(roots)
            torch._foreach_mul_(moments, group["momentum"])
            torch._foreach_addcdiv_(moments, gradients, roots, value=group["lr"])
            torch._foreach_sub_(weights, moments)
        return loss
