"""Sequences of MobileNetV2 blocks: where their layers stand and what they cost, without torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Kernel size and expansion of a block; None is an identity.
Block = tuple[int, int] | None


class Layer(NamedTuple):
    """Where one layer stands."""

    in_channels: int
    out_channels: int
    stride: int


def sequence_work(
    blocks: Sequence[Sequence[Block]],
    layers: Sequence[Layer],
    head_channels: int,
    image_shape: tuple[int, int, int],
) -> NDArray[np.float64]:
    """Of one image, forward: 1, convolutions, multiply-accumulates, values written by convolutions.

    Args:
        blocks: those computed of every layer, several in a mixture; an identity is a 1x1 convolution
            where the resolution changes.
        layers: where they stand; the first one's channels are the stem's.
        head_channels: before the classifier.
        image_shape: height, width, channels.

    Returns:
        float64 [4].
    """
    height, width, channels = image_shape
    total = np.array([1.0, 0.0, 0.0, 0.0])

    def convolve(kernel: int, ins: int, outs: int, pixels: int, groups: int = 1) -> None:
        total[1:] += 1, kernel**2 * ins * outs // groups * pixels, outs * pixels

    convolve(3, channels, layers[0].in_channels, height * width)
    for computed, layer in zip(blocks, layers, strict=True):
        before = height * width
        height, width = -(-height // layer.stride), -(-width // layer.stride)
        after = height * width
        for block in computed:
            if block is not None:
                kernel, expansion = block
                inner = expansion * layer.in_channels
                if expansion > 1:
                    convolve(1, layer.in_channels, inner, before)
                convolve(kernel, inner, inner, after, groups=inner)
                convolve(1, inner, layer.out_channels, after)
            elif layer.stride > 1:
                convolve(1, layer.in_channels, layer.out_channels, after)
    convolve(1, layers[-1].out_channels, head_channels, height * width)
    return total
