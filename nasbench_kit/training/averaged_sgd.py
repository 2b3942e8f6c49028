"""SGD with clipped gradients whose weights are averaged once the validation loss stops falling.

Source: Merity, Keskar and Socher, Regularizing and optimizing LSTM language models, ICLR 2018
(arXiv 1708.02182), section 5 and algorithm 1 (NT-ASGD). torch.optim.ASGD averages from a fixed step on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor


class AveragedSGD(torch.optim.Optimizer):
    """``w = w - lr (g + λ w)``, g cut to a norm; from the trigger on, the mean of all w is kept too.

    Args:
        params: weights, or groups of them.
        lr: learning rate.
        clip: largest norm of the gradient of all weights.
        weight_decay: λ.
        patience: n of algorithm 1: averaging begins when the validation loss is above the least of
            all but the last n; None never averages.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        *,
        clip: float,
        weight_decay: float = 0.0,
        patience: int | None = None,
    ) -> None:
        settings = {"lr": lr, "clip": clip, "weight_decay": weight_decay, "patience": patience}
        super().__init__(params, settings | {"losses": [], "averaged_steps": None})
        self.param_groups[0]["losses"] = []  # torch shares a default between all optimizers

    @property
    def watching(self) -> bool:
        """Whether it wants to know the validation loss, to begin averaging."""
        group = self.param_groups[0]
        return group["patience"] is not None and group["averaged_steps"] is None

    def note(self, loss: float) -> None:
        """The validation loss now (algorithm 1, lines 5 to 10): averaging begins if it has stopped falling."""
        group = self.param_groups[0]
        losses, patience = group["losses"], group["patience"]
        if len(losses) > patience and loss > min(losses[:-patience]):
            group["averaged_steps"] = 0
        losses.append(loss)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of all weights that have a gradient."""
        (group,) = self.param_groups
        weights = [weight for weight in group["params"] if weight.grad is not None]
        gradients = [weight.grad for weight in weights]
        norm = torch.stack(torch._foreach_norm(gradients)).norm()
        scale = (group["clip"] / (norm + 1e-6)).clamp(max=1)
        steps = torch._foreach_mul(gradients, scale)
        torch._foreach_add_(steps, weights, alpha=group["weight_decay"])
        torch._foreach_sub_(weights, torch._foreach_mul(steps, group["lr"]))
        if group["averaged_steps"] is None:
            return
        group["averaged_steps"] += 1
        for weight in group["params"]:  # a_t = a_(t-1) + (w_t - a_(t-1)) / t
            if not self.state[weight]:
                self.state[weight]["average"] = torch.zeros_like(weight)
            self.state[weight]["average"].lerp_(weight, 1 / group["averaged_steps"])


def keep_averages(optimizer: torch.optim.Optimizer) -> None:
    """Put the means in the weights' place, and the weights in theirs, if there are means; twice is never."""
    if isinstance(optimizer, AveragedSGD):
        for weight, state in optimizer.state.items():
            weight.data, state["average"] = state["average"], weight.data


@contextlib.contextmanager
def averaged(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """The weights of the network are the means for a while, where the optimizer has some."""
    keep_averages(optimizer)
    try:
        yield
    finally:
        keep_averages(optimizer)
