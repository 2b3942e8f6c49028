"""Cells of two inputs, a normal and a reduction one, in a stack: where they stand and what they cost.

A reduction cell halves the image and doubles the channels between two stacks of normal cells; its
operations on inputs have stride 2. With three stacks of n cells that are the 3 n + 2 cells of DARTS,
whose reductions stand at a third and at two thirds.

Source: Zoph et al., NASNet, CVPR 2018, section 3; Liu et al., DARTS, ICLR 2019, section 3.1.1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.spaces.edge_cells.cell import Layer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_kit.spaces.edge_cells.cell import Slot
    from nasbench_kit.spaces.skeleton import Skeleton

NORMAL, REDUCTION = range(2)
#: Nodes 0 and 1 are the outputs of the cell before the last and of the last.
INPUTS = 2
#: What ``work`` counts, for one image forward.
KINDS = (
    "constant",
    "convolution layers",
    "multiplications of whole convolutions",
    "multiplications of convolutions of each channel",
    "convolution outputs",
    "pool outputs",  # and those of noise
    "sums and concatenations",
)
_CONSTANT, _LAYERS, _WHOLE, _DEPTHWISE, _OUT, _POOLED, _JOINED = range(len(KINDS))


def stacked(skeleton: Skeleton, stem_multiplier: int, joined: Sequence[int]) -> list[Layer]:
    """The cells of a network.

    Args:
        skeleton: channels of a node in the first cell, stacks, and normal cells in each.
        stem_multiplier: channels of the stem for each of those.
        joined: how many nodes the normal and the reduction cell concatenate.
    """
    channels = skeleton.stem_channels
    before = last = stem_multiplier * channels
    layers: list[Layer] = []
    reduced = False
    for stack in range(skeleton.stacks):
        kinds = [REDUCTION] * (stack > 0) + [NORMAL] * skeleton.cells_per_stack
        for kind in kinds:
            reduces = kind == REDUCTION
            channels *= 2 if reduces else 1
            layers.append(Layer(last, channels, reduces, kind, before, reduced))
            before, last, reduced = last, channels * joined[kind], reduces
    return layers


def work(
    slots: Sequence[Slot],
    computed: Sequence[tuple[int, int]],
    layers: Sequence[Layer],
    image_shape: tuple[int, int, int],
    channel_divisor: int = 1,
) -> NDArray[np.float64]:
    """What one image costs forward: float64 [KINDS].

    Args:
        slots: all edges of both cells.
        computed: slot and option of what is computed.
        layers: the cells.
        image_shape: height, width, channels.
        channel_divisor: operations see one channel in this many.
    """
    height, width, channels = image_shape
    done = np.zeros(len(KINDS))
    done[_CONSTANT] = 1

    def convolve(kernel: int, ins: int, outs: int, pixels: int, depthwise: bool = False) -> None:
        done[_LAYERS] += 1
        done[_DEPTHWISE if depthwise else _WHOLE] += (
            kernel * (1 if depthwise else ins) * outs * pixels
        )
        done[_OUT] += outs * pixels

    convolve(9, channels, layers[0].in_channels, height * width)
    for layer in layers:
        c = layer.out_channels
        assert layer.channels_before is not None
        convolve(1, layer.channels_before, c, height * width)
        convolve(1, layer.in_channels, c, height * width)
        above = height  # where only the width is halved yet
        if layer.halves:
            height, width = -(-height // 2), -(-width // 2)
        pixels = height * width
        part = max(1, c // channel_divisor)
        for place, option in computed:
            slot = slots[place]
            if slot.kind != layer.kind:
                continue
            operation, strided = slot.operations[option], layer.halves and slot.source < INPUTS
            kernel = int((re.findall(r"\d+", operation) or ["1"])[-1])
            if operation == "none":
                continue
            if operation == "skip_connect" and strided:
                convolve(1, part, part, pixels)
            elif operation.startswith(("sep", "dil")):
                for _ in range(2 if operation.startswith("sep") else 1):
                    convolve(kernel**2, part, part, pixels, depthwise=True)
                    convolve(1, part, part, pixels)
            elif operation.startswith("conv"):  # 1 x k, then k x 1, or one of k x k pixels
                if len(set(re.findall(r"\d+", operation))) > 1:
                    kernel = max(map(int, re.findall(r"\d+", operation)))
                    convolve(kernel, part, part, (above if strided else height) * width)
                    convolve(kernel, part, part, pixels)
                else:
                    convolve(kernel**2, part, part, pixels)
            elif "pool" in operation or operation == "noise":
                done[_POOLED] += part * pixels
            done[_JOINED] += part * pixels
    return done
