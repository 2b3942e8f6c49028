"""Draws of a relaxation's choices, with gradients for their logits or concentrations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

#: Standard deviation of the first logits (DARTS, released code).
START = 1e-3


def gumbel_softmax(logits: Tensor, rng: Generator, temperature: float) -> Tensor:
    """softmax((log p + g) / temperature) along the last axis, g drawn from the Gumbel distribution.

    Source: Jang, Gu, Poole 2017, equation 2; Maddison, Mnih, Teh 2017.
    """
    noise = noise_like(rng.gumbel(size=tuple(logits.shape)), logits)
    return ((logits.log_softmax(-1) + noise) / temperature).softmax(-1)


class _Drawn(torch.autograd.Function):
    """Drawn shares [k, n] as a function of their concentrations, by implicit differentiation.

    As `torch.distributions.Dirichlet` has it, which draws from the global state.
    Source: Figurnov, Mohamed, Mnih, Implicit reparameterization gradients, 2018.
    """

    @staticmethod
    def forward(ctx: Any, concentrations: Tensor, drawn: Tensor) -> Tensor:
        ctx.save_for_backward(drawn, concentrations)
        return drawn.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        drawn, concentrations = ctx.saved_tensors
        total = concentrations.sum(-1, keepdim=True).expand_as(concentrations)
        slopes = torch._dirichlet_grad(drawn, concentrations, total)
        return slopes * (gradient - (drawn * gradient).sum(-1, keepdim=True)), None


def dirichlet_draw(concentrations: Tensor, rng: Generator) -> Tensor:
    """A draw of each row [k, n]."""
    gammas = rng.gamma(concentrations.detach().cpu().numpy().astype(float))
    gammas = np.maximum(gammas, 1e-30)
    shares = gammas / gammas.sum(-1, keepdims=True)
    drawn = noise_like(np.clip(shares, 1e-6, 1 - 1e-6), concentrations)
    result: Tensor = _Drawn.apply(concentrations, drawn)  # type: ignore[no-untyped-call]
    return result


def noise_like(drawn: NDArray[np.float64], like: Tensor) -> Tensor:
    """Drawn numbers as a tensor of the same type and device as another."""
    return torch.as_tensor(drawn, dtype=like.dtype, device=like.device)
