"""What networks of images have in common, whatever space they are of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from nasbench_kit.spaces.skeleton import Precision


class ImageNetwork(nn.Module):
    """[n, image_channels, h, w] -> logits [n, classes]: layers, global average pool, classifier.

    A subclass makes ``layers`` and ``classifier``, or the classifier and a ``features`` of its own.

    Args:
        precision: of the arithmetic; weights, statistics and logits are float32 in any case. (In
            "float32", GPUs that have TF32 convolve in it unless torch is told otherwise.)
    """

    layers: nn.Sequential
    classifier: nn.Linear

    def __init__(self, precision: Precision) -> None:
        super().__init__()
        self.precision = precision

    def features(self, images: Tensor) -> Tensor:
        """[n, image_channels, h, w] -> [n, channels, h', w']."""
        last: Tensor = self.layers(images)
        return last

    def forward(self, images: Tensor) -> Tensor:
        """[n, image_channels, h, w] -> logits [n, classes]."""
        if self.precision == "float32":
            return self._logits(images)
        # Without its cache, autocast can be recorded in a CUDA graph.
        with torch.autocast(images.device.type, torch.bfloat16, cache_enabled=False):
            return self._logits(images).float()

    def _logits(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(images).mean((2, 3)))
        return logits


def set_bn_momentum(network: nn.Module, bn_momentum: float | None) -> None:
    """Of all batch norms: share of the newest batch in running statistics; None averages all equally."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = bn_momentum
