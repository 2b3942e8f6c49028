"""The torch network of a list of units: its units, global average pool, classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from nasbench_kit.spaces.image_network import ImageNetwork
from nasbench_kit.spaces.layers.network import draw_weights
from nasbench_kit.spaces.layers.units import Network, Unit, channels_of, joined_size, window

if TYPE_CHECKING:
    from nasbench_kit.spaces.skeleton import Precision


class UnitNetwork(ImageNetwork):
    """The network of units.

    Args:
        network: its units.
        image_channels: channels of an image.
        classes: number of logits.
        generator: draws the fresh weights; global random state is neither read nor changed.
        bn_momentum: share of the newest batch in the running statistics, PyTorch's meaning; None
            averages all batches equally.
        precision: of the arithmetic; weights, statistics and logits are float32 in any case.
    """

    def __init__(
        self,
        network: Network,
        *,
        image_channels: int,
        classes: int,
        generator: torch.Generator,
        bn_momentum: float | None,
        precision: Precision,
    ) -> None:
        super().__init__(precision)
        self.outputs = network.outputs
        self.pixels = _pixels(network)
        channels = channels_of(network, image_channels)
        with torch.random.fork_rng(devices=[]):  # modules draw as they are made; drawn again below
            self.units = nn.ModuleList(
                UnitModule(unit, sum(channels[value] for value in unit.inputs), bn_momentum)
                for unit in network.units
            )
            read = sum(channels[value] for value in network.outputs)
            self.classifier = nn.Linear(read, classes)
        draw_weights(self, generator)

    def features(self, images: Tensor) -> Tensor:
        """[n, image_channels, h, w] -> [n, channels of all outputs, h', w']."""
        values = [images]
        for module in self.units:
            assert isinstance(module, UnitModule)
            unit = module.unit
            inputs = [
                functional.relu(values[value])
                if unit.relu_first and value not in self.pixels
                else values[value]
                for value in unit.inputs
            ]
            values.append(module(joined(inputs)))
        return joined([values[value] for value in self.outputs])


class UnitModule(nn.Module):
    """One unit, but for its first ReLU: [n, in_channels, h, w] -> [n, channels, h', w']."""

    def __init__(self, unit: Unit, in_channels: int, bn_momentum: float | None) -> None:
        super().__init__()
        self.unit = unit
        if unit.kind == "convolution":
            groups = in_channels if unit.depthwise else 1
            self.convolution = nn.Conv2d(
                in_channels, unit.channels, unit.kernel, unit.stride, groups=groups, bias=False
            )
            if unit.normalised:
                self.norm = nn.BatchNorm2d(unit.channels, momentum=bn_momentum)

    def forward(self, x: Tensor) -> Tensor:
        """As its unit says."""
        unit = self.unit
        if unit.shift:
            x = functional.pad(x, (0, unit.shift, 0, unit.shift))[:, :, unit.shift :, unit.shift :]
        x = self._convolved(x) if unit.kind == "convolution" else _pooled(unit, x)
        if unit.kind == "convolution" and unit.normalised:
            x = self.norm(x)
        return functional.relu(x) if unit.relu_last else x

    def _convolved(self, x: Tensor) -> Tensor:
        top, bottom = _margins(x.shape[2], self.unit.kernel[0], self.unit.stride)
        left, right = _margins(x.shape[3], self.unit.kernel[1], self.unit.stride)
        if (top, left) != (bottom, right):
            x = functional.pad(x, (left, right, top, bottom))
            top = left = 0
        weights = self.convolution
        return functional.conv2d(
            x, weights.weight, None, weights.stride, (top, left), groups=weights.groups
        )


def _pixels(network: Network) -> set[int]:
    """The image, and what is pooled of nothing but the image."""
    pixels = {0}
    for value, unit in enumerate(network.units, 1):
        if unit.kind != "convolution" and pixels.issuperset(unit.inputs):
            pixels.add(value)
    return pixels


def joined(values: Sequence[Tensor]) -> Tensor:
    """Values [n, channels, h, w], padded by zeros to the largest, centred, concatenated by channels."""
    if len(values) == 1:
        return values[0]
    height, width = joined_size([(value.shape[2], value.shape[3]) for value in values])
    padded = []
    for value in values:
        rows, columns = height - value.shape[2], width - value.shape[3]
        if rows or columns:  # an odd row goes to the bottom, an odd column to the right
            margins = columns // 2, columns - columns // 2, rows // 2, rows - rows // 2
            value = functional.pad(value, margins)  # noqa: PLW2901
        padded.append(value)
    return torch.cat(padded, 1)


def _margins(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and behind, so that ceil(size / stride) windows fit; an odd one goes behind."""
    missing = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return missing // 2, missing - missing // 2


def _pooled(unit: Unit, x: Tensor) -> Tensor:
    kernel = window(unit, x.shape[2], x.shape[3])
    if unit.padded:  # odd kernels, stride 1
        padding = kernel[0] // 2, kernel[1] // 2
        if unit.kind == "max":
            return functional.max_pool2d(x, kernel, unit.stride, padding)
        return functional.avg_pool2d(x, kernel, unit.stride, padding, count_include_pad=False)
    pool = functional.max_pool2d if unit.kind == "max" else functional.avg_pool2d
    return pool(x, kernel, unit.stride)
