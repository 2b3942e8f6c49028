"""Operations of edges: modules [n, in_channels, h, w] -> [n, out_channels, h / stride, w / stride].

A convolution here is ReLU, convolution, batch norm, in this order. Whatever cannot change the number
of channels by itself is preceded by a 1x1 convolution where the number changes.

Source: Dong and Yang, NAS-Bench-201, ICLR 2020, section 2.1; Liu et al., DARTS, ICLR 2019, appendix A.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from nasbench_kit.errors import InvalidSetting


class ReLUConvBN(nn.Sequential):
    """ReLU, convolution without bias, batch norm."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(out_channels),
        )


class Zero(nn.Module):
    """Nothing: zeros of the right shape."""

    def __init__(self, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.out_channels, self.stride = out_channels, stride

    def forward(self, x: Tensor) -> Tensor:
        """[n, in_channels, h, w] -> zeros [n, out_channels, h / stride, w / stride]."""
        n, _, height, width = x.shape
        return x.new_zeros(
            n, self.out_channels, -(-height // self.stride), -(-width // self.stride)
        )


class FactorizedReduction(nn.Module):
    """Half the resolution without losing a pixel: two 1x1 convolutions, one shifted by a pixel.

    ReLU, then both with stride 2, each half of the channels, side by side; then batch norm. Images
    of an odd height or width are padded with zeros.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        half = out_channels // 2
        self.relu = nn.ReLU()
        self.first = nn.Conv2d(in_channels, half, 1, 2, bias=False)
        self.shifted = nn.Conv2d(in_channels, out_channels - half, 1, 2, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """[n, in_channels, h, w] -> [n, out_channels, h / 2, w / 2]."""
        x = self.relu(x)
        shifted = nn.functional.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]
        joined: Tensor = self.norm(torch.cat((self.first(x), self.shifted(shifted)), 1))
        return joined


def identity(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """The input itself where shapes allow; else a convolution of one pixel without ReLU, or a reduction."""
    if stride == 2:
        return FactorizedReduction(in_channels, out_channels)
    if in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
    )


def pool(
    make: Callable[[int], nn.Module], in_channels: int, out_channels: int, stride: int
) -> nn.Module:
    """A pooling, after a 1x1 convolution where the channels change."""
    if in_channels == out_channels:
        return make(stride)
    return nn.Sequential(ReLUConvBN(in_channels, out_channels, 1), make(stride))


def average_pool3x3(stride: int) -> nn.Module:
    """The mean of those of nine pixels that lie inside the image."""
    return nn.AvgPool2d(3, stride, 1, count_include_pad=False)


def max_pool3x3(stride: int) -> nn.Module:
    """The largest of nine pixels."""
    return nn.MaxPool2d(3, stride, 1)


#: Operation -> its module, from input channels, output channels and stride.
MODULES: dict[str, Callable[[int, int, int], nn.Module]] = {
    "none": lambda ins, outs, stride: Zero(outs, stride),
    "skip_connect": identity,
    "nor_conv_1x1": lambda ins, outs, stride: ReLUConvBN(ins, outs, 1, stride),
    "nor_conv_3x3": lambda ins, outs, stride: ReLUConvBN(ins, outs, 3, stride),
    "avg_pool_3x3": lambda ins, outs, stride: pool(average_pool3x3, ins, outs, stride),
    "max_pool_3x3": lambda ins, outs, stride: pool(max_pool3x3, ins, outs, stride),
}


def make(operation: str, in_channels: int, out_channels: int, stride: int = 1) -> nn.Module:
    """The module of an operation.

    Raises:
        InvalidSetting: the operation has none.
    """
    if operation not in MODULES:
        raise InvalidSetting(
            f"the operation {operation!r} has no module; there are {', '.join(MODULES)}"
        )
    return MODULES[operation](in_channels, out_channels, stride)
