"""Operations of edges: modules [n, in_channels, h, w] -> [n, out_channels, h / stride, w / stride].

A convolution here is ReLU, convolution, batch norm, in this order. Whatever cannot change the number
of channels by itself is preceded by a 1x1 convolution where the number changes.

Source: Dong and Yang, NAS-Bench-201, ICLR 2020, section 2.1; Liu et al., DARTS, ICLR 2019, appendix A.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from nasbench_kit.errors import InvalidSetting


class Convolution(nn.Conv2d):
    """A convolution without bias, padded so that only its stride changes the resolution.

    Of an input with a part of its channels it takes the first weights, and gives the same part of its
    own channels (PC-DARTS).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        *,
        dilation: int = 1,
        depthwise: bool = False,
    ) -> None:
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        super().__init__(
            in_channels,
            out_channels,
            (height, width),
            stride,
            (height // 2 * dilation, width // 2 * dilation),
            dilation,
            groups=in_channels if depthwise else 1,
            bias=False,
        )

    def forward(self, x: Tensor, outs: int | None = None) -> Tensor:
        """[n, c, h, w] -> [n, c / in_channels of out_channels, h / stride, w / stride], or ``outs``."""
        ins = x.shape[1]
        if ins == self.in_channels:
            return super().forward(x)
        outs = self.out_channels * ins // self.in_channels if outs is None else outs
        weight, groups = self.weight[:outs, :ins], 1 if self.groups == 1 else ins
        return functional.conv2d(x, weight, None, self.stride, self.padding, self.dilation, groups)


class Norm(nn.BatchNorm2d):
    """Batch norm, of the first channels where there are fewer.

    Without running statistics it takes those of the batch. It may rest its scale and shift, which
    could undo the weights of a mixture's operations (Liu et al., DARTS, 2019, section 3.1).
    """

    rests = False

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] -> [n, c, h, w]."""
        if self.running_mean is not None:
            return super().forward(x)
        channels = x.shape[1]
        scale = None if self.rests or not self.affine else self.weight[:channels]
        shift = None if self.rests or not self.affine else self.bias[:channels]
        return functional.batch_norm(x, None, None, scale, shift, training=True, eps=self.eps)


class ReLUConvBN(nn.Sequential):
    """ReLU, convolution without bias, batch norm."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__(
            nn.ReLU(),
            Convolution(in_channels, out_channels, kernel, stride),
            Norm(out_channels),
        )


class Separable(nn.Sequential):
    """ReLU, a convolution of each channel, one of each pixel, batch norm; twice unless told otherwise."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        *,
        dilation: int = 1,
        times: int = 2,
    ) -> None:
        modules: list[nn.Module] = []
        for time in range(times):
            outs = out_channels if time == times - 1 else in_channels
            modules += [
                nn.ReLU(),
                Convolution(
                    in_channels,
                    in_channels,
                    kernel,
                    1 if time else stride,
                    dilation=dilation,
                    depthwise=True,
                ),
                Convolution(in_channels, outs, 1),
                Norm(outs),
            ]
        super().__init__(*modules)


class Stretched(nn.Sequential):
    """ReLU, a convolution of 1 x k pixels, one of k x 1, batch norm."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__(
            nn.ReLU(),
            Convolution(in_channels, out_channels, (1, kernel), (1, stride)),
            Convolution(out_channels, out_channels, (kernel, 1), (stride, 1)),
            Norm(out_channels),
        )


class Zero(nn.Module):
    """Nothing: zeros of the right shape."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.stride = in_channels, out_channels, stride

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] -> zeros [n, c / in_channels of out_channels, h / stride, w / stride]."""
        n, channels, height, width = x.shape
        outs = self.out_channels * channels // self.in_channels
        return x.new_zeros(n, outs, -(-height // self.stride), -(-width // self.stride))


class Noise(Zero):
    """Standard normal numbers of the right shape, whatever the input: RobustDARTS' S4.

    Every pass in training draws its own, from a seed that is drawn with the weights and counts these
    passes; in evaluation all draw the same, so that a network answers alike when it is asked again.

    Source: Zela et al., ICLR 2020, section 4; automl/RobustDARTS.
    """

    seed: Tensor

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, stride)
        self.register_buffer("seed", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] -> noise [n, c / in_channels of out_channels, h / stride, w / stride]."""
        generator = torch.Generator(x.device).manual_seed(int(self.seed))
        if self.training:
            self.seed += 1
        return super().forward(x).normal_(generator=generator)


class FactorizedReduction(nn.Module):
    """Half the resolution without losing a pixel: two 1x1 convolutions, one shifted by a pixel.

    ReLU, then both with stride 2, each half of the channels, side by side; then batch norm. Images
    of an odd height or width are padded with zeros.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        half = out_channels // 2
        self.relu = nn.ReLU()
        self.first = Convolution(in_channels, half, 1, 2)
        self.shifted = Convolution(in_channels, out_channels - half, 1, 2)
        self.norm = Norm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """[n, in_channels, h, w] -> [n, out_channels, h / 2, w / 2]."""
        x = self.relu(x)
        shifted = nn.functional.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]
        outs = self.out_channels * x.shape[1] // self.in_channels
        halves = self.first(x, outs // 2), self.shifted(shifted, outs - outs // 2)
        joined: Tensor = self.norm(torch.cat(halves, 1))
        return joined


def identity(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """The input itself where shapes allow; else a convolution of one pixel without ReLU, or a reduction."""
    if stride == 2:
        return FactorizedReduction(in_channels, out_channels)
    if in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(Convolution(in_channels, out_channels, 1), Norm(out_channels))


def pool(
    make: Callable[[int], nn.Module], in_channels: int, out_channels: int, stride: int
) -> nn.Module:
    """A pooling, after a 1x1 convolution where the channels change."""
    if in_channels == out_channels:
        return make(stride)
    return nn.Sequential(ReLUConvBN(in_channels, out_channels, 1), make(stride))


def normalised(pooling: nn.Module, channels: int) -> nn.Module:
    """A pooling with a batch norm behind it, which has no scale and shift (DARTS, released code)."""
    return nn.Sequential(pooling, Norm(channels, affine=False))


def max_pool(kernel: int) -> Callable[[int], nn.Module]:
    """The largest of so many pixels a side, from the stride."""
    return lambda stride: nn.MaxPool2d(kernel, stride, kernel // 2)


def average_pool3x3(stride: int) -> nn.Module:
    """The mean of those of nine pixels that lie inside the image."""
    return nn.AvgPool2d(3, stride, 1, count_include_pad=False)


#: Operation -> its module, from input channels, output channels and stride.
MODULES: dict[str, Callable[[int, int, int], nn.Module]] = {
    "none": Zero,
    "noise": Noise,
    "skip_connect": identity,
    "nor_conv_1x1": lambda ins, outs, stride: ReLUConvBN(ins, outs, 1, stride),
    "nor_conv_3x3": lambda ins, outs, stride: ReLUConvBN(ins, outs, 3, stride),
    "conv_1x1": lambda ins, outs, stride: ReLUConvBN(ins, outs, 1, stride),
    "conv_3x3": lambda ins, outs, stride: ReLUConvBN(ins, outs, 3, stride),
    "avg_pool_3x3": lambda ins, outs, stride: pool(average_pool3x3, ins, outs, stride),
    **{
        f"max_pool_{k}x{k}": functools.partial(
            lambda k, ins, outs, stride: pool(max_pool(k), ins, outs, stride), k
        )
        for k in (3, 5, 7)
    },
    **{
        f"sep_conv_{k}x{k}": functools.partial(
            lambda k, ins, outs, stride: Separable(ins, outs, k, stride), k
        )
        for k in (3, 5, 7)
    },
    **{
        f"dil_conv_{k}x{k}": functools.partial(
            lambda k, ins, outs, stride: Separable(ins, outs, k, stride, dilation=2, times=1), k
        )
        for k in (3, 5)
    },
    "conv_1x3_3x1": lambda ins, outs, stride: Stretched(ins, outs, 3, stride),
    "conv_1x7_7x1": lambda ins, outs, stride: Stretched(ins, outs, 7, stride),
}


def make(
    operation: str, in_channels: int, out_channels: int, stride: int = 1, normalises: bool = False
) -> nn.Module:
    """The module of an operation.

    Args:
        operation: its name.
        in_channels: channels of its input.
        out_channels: of its output.
        stride: 1 or 2.
        normalises: whether batch norm follows a pooling.

    Raises:
        InvalidSetting: the operation has none.
    """
    if operation not in MODULES:
        raise InvalidSetting(
            f"the operation {operation!r} has no module; there are {', '.join(MODULES)}"
        )
    module = MODULES[operation](in_channels, out_channels, stride)
    return normalised(module, out_channels) if normalises and "pool" in operation else module
