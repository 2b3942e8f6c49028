"""Networks of layers as lists of units: what is computed from which earlier values, without torch.

A space of layer sequences says which units an architecture has; `nasbench_kit.spaces.layers.unit_network`
makes the torch network of them, and ``work`` counts what it costs. Value 0 is the image, value i is what
unit i - 1 computes. Inputs of several values are padded by zeros to the largest, centred, and
concatenated by channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Kind = Literal["convolution", "max", "average"]


class Unit(NamedTuple):
    """A convolution, or a pooling that keeps the channels."""

    #: Values that it sees, concatenated.
    inputs: tuple[int, ...]
    kind: Kind
    #: Of the result; a pooling keeps those that it is given.
    channels: int = 0
    #: Height and width in pixels.
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    #: Depthwise: as many groups as channels come in.
    depthwise: bool = False
    #: Whether a ReLU comes first (of all inputs but the image, and what was pooled of nothing but it),
    #: batch norm follows a convolution, and a ReLU is last.
    relu_first: bool = False
    normalised: bool = True
    relu_last: bool = False
    #: Zeros around the image keep ceil(size / stride); a pooling without them sees whole windows only.
    padded: bool = True
    #: Rows and columns that are passed over, with as many of zeros at the other end.
    shift: int = 0


class Network(NamedTuple):
    """Units, and the values that the classifier sees, padded and concatenated like inputs."""

    units: tuple[Unit, ...]
    outputs: tuple[int, ...]


def channels_of(network: Network, image_channels: int) -> list[int]:
    """Channels of all values."""
    channels = [image_channels]
    for unit in network.units:
        channels.append(unit.channels or sum(channels[value] for value in unit.inputs))
    return channels


def window(unit: Unit, height: int, width: int) -> tuple[int, int]:
    """Its kernel; a pooling without padding is no larger than the image."""
    if unit.padded:
        return unit.kernel
    return min(unit.kernel[0], height), min(unit.kernel[1], width)


def size_after(unit: Unit, height: int, width: int) -> tuple[int, int]:
    """Height and width of its result."""
    if unit.padded:
        return -(-height // unit.stride), -(-width // unit.stride)
    rows, columns = window(unit, height, width)
    return (height - rows) // unit.stride + 1, (width - columns) // unit.stride + 1


def work(network: Network, image_shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """Of one image, forward: 1, convolutions, multiply-accumulates, values written by convolutions.

    Args:
        network: its units.
        image_shape: height, width, channels.

    Returns:
        float64 [4].
    """
    height, width, image_channels = image_shape
    channels = channels_of(network, image_channels)
    sizes = [(height, width)]
    total = np.array([1.0, 0.0, 0.0, 0.0])
    for unit, outs in zip(network.units, channels[1:], strict=True):
        size = joined_size([sizes[value] for value in unit.inputs])
        rows, columns = size_after(unit, *size)
        sizes.append((rows, columns))
        if unit.kind == "convolution":
            ins = 1 if unit.depthwise else sum(channels[value] for value in unit.inputs)
            area = unit.kernel[0] * unit.kernel[1]
            total[1:] += 1, area * ins * outs * rows * columns, outs * rows * columns
    return total


def joined_size(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Height and width of several values that are padded to the largest."""
    return max(height for height, _ in sizes), max(width for _, width in sizes)
