"""What an untrained network tells of its accuracy: more is better, by one minibatch or by counting.

Every proxy takes a fresh network, which it may change, images [b, c, h, w] and labels [b]. Sums run over
the weights of convolutions and linear layers, of which there are W below; L is the cross-entropy.

Source: Abdelfattah, Mehrotra, Dudziak, Lane, Zero-cost proxies for lightweight NAS, ICLR 2021, section
3.2, and SamsungLabs/zero-cost-nas, for how a saliency of weights becomes a score of the network.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

ProxyName = Literal["synflow", "snip", "grad-norm", "jacob-cov", "parameters", "flops"]

#: Keeps logarithms and reciprocals of eigenvalues finite (``jacob_cov``).
_SMALL = 1e-5


def synflow(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Sum of w dR/dw, where R is what all-ones images come to with absolute weights.

    Without batch norms and activations, as the paper's data-free network is linear. Of layers in a row R
    is the sum over all paths of the product of their absolute weights, and the score R times the layers.

    Source: Tanaka, Kunin, Yamins, Ganguli, Pruning neural networks without any data by iteratively
    conserving synaptic flow, NeurIPS 2020, section 6, algorithm 1.
    """
    _without(network, nn.BatchNorm2d, nn.ReLU, nn.ReLU6)
    network.double()  # products of many layers leave the range of single precision
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
    weights = _weights(network)
    flow = network(torch.ones_like(images[:1], dtype=torch.float64)).sum()
    return _summed(w * g for w, g in zip(weights, _gradients(flow, weights), strict=True))


def snip(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Sum of |w dL/dw|: how much the loss changes as weights are taken away.

    Source: Lee, Ajanthan, Torr, SNIP: single-shot network pruning based on connection sensitivity, ICLR
    2019, eq. 5 and 6 (whose normalisation by this sum a score of the network has to leave out).
    """
    weights = _weights(network)
    loss = functional.cross_entropy(network(images), labels)
    gradients = _gradients(loss, weights)
    return _summed((w * g).abs() for w, g in zip(weights, gradients, strict=True))


def grad_norm(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Sum over layers of the Euclidean norm of dL/dw (Abdelfattah et al. 2021, section 3.2.1)."""
    loss = functional.cross_entropy(network(images), labels)
    return _summed(gradient.norm() for gradient in _gradients(loss, _weights(network)))


def jacob_cov(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Minus the sum of log(v + k) + 1 / (v + k) over eigenvalues v of the correlation of Jacobians.

    A Jacobian is of the sum of an image's logits by its pixels. The score is highest, about -b, where those
    of all b images are uncorrelated, and NaN where one is constant, as that of a dead network is.

    Source: Mellor, Turner, Storkey, Crowley, Neural architecture search without training, arXiv
    2006.04647v1, section 3 (of 2020; the version of ICML 2021 scores activations instead).
    """
    images = images.clone().requires_grad_()
    (jacobians,) = _gradients(network(images).sum(), [images])
    correlations = torch.corrcoef(jacobians.flatten(1).double())
    if not correlations.isfinite().all():
        return math.nan
    eigenvalues = torch.linalg.eigvalsh(correlations)
    return -_summed([torch.log(eigenvalues + _SMALL) + 1 / (eigenvalues + _SMALL)])


def parameters(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Number of trainable weights, all of them."""
    return float(sum(weights.numel() for weights in network.parameters()))


@torch.no_grad()
def flops(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Multiply-accumulates of convolutions and linear layers, for one image forward."""
    total = 0

    def count(layer: Any, inputs: Any, output: Tensor) -> None:
        nonlocal total
        total += output[0].numel() * layer.weight[0].numel()

    hooks = [layer.register_forward_hook(count) for layer in _layers(network)]
    network.eval()(images[:1])
    for hook in hooks:
        hook.remove()
    return float(total)


class Proxy(NamedTuple):
    """A proxy and what it costs."""

    score: Callable[[nn.Module, Tensor, Tensor], float]
    #: Of a minibatch, how many images are passed forward and backward: all, some, or none.
    images: float


#: By name. Counting passes no image.
PROXIES: dict[ProxyName, Proxy] = {
    "synflow": Proxy(synflow, 1),
    "snip": Proxy(snip, float("inf")),
    "grad-norm": Proxy(grad_norm, float("inf")),
    "jacob-cov": Proxy(jacob_cov, float("inf")),
    "parameters": Proxy(parameters, 0),
    "flops": Proxy(flops, 0),
}


def _layers(network: nn.Module) -> list[nn.Module]:
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]


def _weights(network: nn.Module) -> list[Tensor]:
    weights: list[Any] = [layer.weight for layer in _layers(network)]
    return weights


def _gradients(value: Tensor, by: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Zeros where the value does not depend on a tensor, such as the weights before a dead end."""
    return torch.autograd.grad(value, by, allow_unused=True, materialize_grads=True)


def _summed(parts: Any) -> float:
    return sum(float(part.detach().sum()) for part in parts)


def _without(network: nn.Module, *kinds: type[nn.Module]) -> None:
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, kinds):
                setattr(module, name, nn.Identity())
