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

    def forward(self, images: Tensor, scales: Tensor | None = None) -> Tensor:
        """[n, image_channels, h, w] -> logits [n, classes].

        Args:
            images: of a batch.
            scales: [n, channels], what the averaged features are multiplied by: dropout.
        """
        if self.precision == "float32":
            return self._logits(images, scales)
        # Without its cache, autocast can be recorded in a CUDA graph.
        with torch.autocast(images.device.type, torch.bfloat16, cache_enabled=False):
            return self._logits(images, scales).float()

    def _logits(self, images: Tensor, scales: Tensor | None) -> Tensor:
        averages = self.features(images).mean((2, 3))
        logits: Tensor = self.classifier(averages if scales is None else averages * scales)
        return logits


def set_bn_momentum(network: nn.Module, bn_momentum: float | None) -> None:
    """Of all batch norms: share of the newest batch in running statistics; None averages all equally."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = bn_momentum
