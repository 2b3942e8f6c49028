"""What a space gives to searches that share weights: a supernet and a continuous relaxation.

A supernet is one set of weights for all architectures of a space. It runs a *path*, one architecture
with exactly the shapes of its stand-alone network, or a *mixture*, all options at once, weighted. The
relaxation holds the weights' logits, and leads back to an architecture.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Protocol, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    import numpy as np
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit.spaces.skeleton import Skeleton


class Mixture(Protocol):
    """All options at once, by weights."""

    def detached(self) -> Self:
        """The same weights as numbers, without gradients for what they came from."""
        ...

    def work(self, skeleton: Skeleton, image_shape: tuple[int, int, int]) -> NDArray[np.float64]:
        """What one image costs, forward, in the kinds of work of the space's architectures."""
        ...


class Supernet(nn.Module):
    """Shared weights of all architectures of a space."""

    @abstractmethod
    def forward(self, images: Tensor, run: Any) -> Tensor:
        """[n, image_channels, h, w] -> logits [n, classes] of an architecture or a mixture.

        Raises:
            InvalidSetting: an architecture that the supernet has no weights for.
        """


def use_batch_statistics(supernet: Supernet) -> None:
    """Drop running statistics of batch norms: they would mix those of unlike architectures."""
    for module in supernet.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = module.running_var = module.num_batches_tracked = None


class Relaxation(nn.Module):
    """Logits of the space's choices; its parameters are what a gradient search trains."""

    @abstractmethod
    def mixture(self, channel_divisor: int = 1) -> Mixture:
        """Every option by its probability (DARTS, equation 2).

        Args:
            channel_divisor: operations see one channel in this many (PC-DARTS).
        """

    @abstractmethod
    def sample(self, rng: Generator, temperature: float, *, hard: bool) -> Mixture:
        """A draw of the Gumbel-softmax: nearly one-hot at low temperatures, nearly even at high ones.

        Args:
            rng: draws the noise.
            temperature: above 0.
            hard: operations are exactly one-hot and only those are computed, with the gradient of
                the soft draw (GDAS, equation 7).
        """

    @abstractmethod
    def concentrations(self) -> list[Tensor]:
        """Of every choice's Dirichlet distribution: ELU(logits) + 1, [choices, options] each.

        An option that is there or not is a choice of two, whose second has concentration 1.
        """

    @abstractmethod
    def dirichlet(self, rng: Generator) -> Mixture:
        """A draw from these distributions, with gradients (DrNAS)."""

    @abstractmethod
    def mixture_of(self, architecture: Any) -> Mixture:
        """An architecture at the mixture's widths: weights of 0 and 1."""

    @abstractmethod
    def discretised(self) -> Any:
        """The architecture of the likeliest options."""

    @abstractmethod
    def draw(self, rng: Generator) -> tuple[Any, float]:
        """An architecture by its probability, whose logarithm follows, but for a constant."""


class OneShotSpace(Protocol):
    """A space whose architectures can share weights."""

    def supernet(
        self,
        skeleton: Skeleton,
        image_channels: int,
        classes: int,
        generator: torch.Generator,
    ) -> Supernet:
        """Fresh shared weights.

        Raises:
            InvalidSetting: the skeleton does not suit the space.
        """
        ...

    def relaxation(self, rng: Generator) -> Relaxation:
        """Fresh logits.

        Raises:
            InvalidSetting: the space has none.
        """
        ...


class WeightedSum(torch.autograd.Function):
    """Of k tensors [n, c or more, h, w] the first c channels, each by its number of weights [k].

    The same from single operations takes three times as many, and each costs as much as its sum.
    """

    @staticmethod
    def forward(ctx: Any, weights: Tensor, channels: int, *terms: Tensor) -> Tensor:
        """The sum, [n, c, h, w]."""
        ctx.save_for_backward(weights, *terms)
        first, *others = terms
        factor, *factors = weights.unbind()
        total = first[:, :channels] * factor
        for term, factor in zip(others, factors, strict=True):
            total.addcmul_(term[:, :channels], factor)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """By the weights, the number of channels (None) and each term."""
        weights, *terms = ctx.saved_tensors
        channels = gradient.shape[1]
        by_weights = None
        if ctx.needs_input_grad[0]:
            dots = [(gradient * term[:, :channels]).sum() for term in terms]
            by_weights = torch.stack(dots)
        by_terms = [gradient * factor for factor in weights.unbind()]
        padded = [
            functional.pad(by, (0, 0, 0, 0, 0, term.shape[1] - channels))
            if term.shape[1] > channels
            else by
            for by, term in zip(by_terms, terms, strict=True)
        ]
        return by_weights, None, *padded
