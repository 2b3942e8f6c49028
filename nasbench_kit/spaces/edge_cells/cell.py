"""What an edge-labelled cell and the layers around it are; without torch.

Nodes are numbered from 0, the cell's input, to the last, its output. Every edge u -> v, u < v, carries
an operation; a node is the sum of its edges' outputs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nasbench_kit.spaces.nasbench101.work import KINDS, add_convolution, add_join, add_pool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nasbench_kit.spaces.skeleton import Skeleton


class Edge(NamedTuple):
    """One edge of a cell."""

    source: int
    target: int
    operation: str


class Slot(NamedTuple):
    """An edge that a cell may have, with the operations to choose from."""

    #: Which of the space's cells: 0, or 1 for a reduction cell.
    kind: int
    source: int
    target: int
    operations: tuple[str, ...]


class Layer(NamedTuple):
    """A cell; where one of a single input halves the image, it is a residual block."""

    in_channels: int
    #: Of every node.
    out_channels: int
    halves: bool = False
    #: Which of the space's cells.
    kind: int = 0
    #: Channels of the output of the cell before the one before, the first input; None for a single input.
    channels_before: int | None = None
    #: Whether that one has twice the height and width of the second input.
    twice_as_large: bool = False

    @property
    def inputs(self) -> int:
        """Nodes that are inputs."""
        return 1 if self.channels_before is None else 2


def complete(nodes: int) -> list[tuple[int, int]]:
    """All edges u -> v of so many nodes, by target and then by source."""
    return [(source, target) for target in range(1, nodes) for source in range(target)]


def stages(skeleton: Skeleton) -> list[Layer]:
    """Stacks of cells; a residual block between two of them halves the image and doubles the channels."""
    channels = skeleton.stem_channels
    layers = []
    for stack in range(skeleton.stacks):
        if stack:
            layers.append(Layer(channels, 2 * channels, halves=True))
            channels *= 2
        layers += [Layer(channels, channels)] * skeleton.cells_per_stack
    return layers


def work(
    edges: Sequence[Edge],
    layers: Sequence[Layer],
    image_shape: tuple[int, int, int],
    channel_divisor: int = 1,
) -> NDArray[np.float64]:
    """What one image costs forward: float64 [`nasbench101.work.KINDS`].

    Args:
        edges: those of the cell; several between two nodes where a mixture computes several operations.
        layers: behind the stem, which has the channels that the first one wants.
        image_shape: height, width, channels.
        channel_divisor: operations see one channel in this many.
    """
    height, width, channels = image_shape
    done = np.zeros(len(KINDS))
    done[KINDS.index("constant")] = 1
    add_convolution(done, 3, channels, layers[0].in_channels, height * width)
    for ins, outs, halves, *_ in layers:
        if halves:
            height, width = -(-height // 2), -(-width // 2)
        pixels = height * width
        if halves:
            add_convolution(done, 3, ins, outs, pixels)
            add_convolution(done, 3, outs, outs, pixels)
            add_pool(done, ins, pixels)
            add_convolution(done, 1, ins, outs, pixels)
            add_join(done, outs, pixels)
            continue
        part = max(1, outs // channel_divisor)
        for source, _, operation in edges:
            before = max(1, ins // channel_divisor) if source == 0 else part
            if operation == "none":
                continue
            if "conv" in operation:
                add_convolution(done, 3 if operation.endswith("3x3") else 1, before, part, pixels)
            elif before != part:
                add_convolution(done, 1, before, part, pixels)
            if "pool" in operation:
                add_pool(done, part, pixels)
            add_join(done, part, pixels)
    return done


def flops(
    edges: Sequence[Edge],
    layers: Sequence[Layer],
    image_shape: tuple[int, int, int],
    classes: int,
) -> int:
    """Multiplications of convolutions and classifier for one image, as the authors count FLOPs.

    The classifier's additions of its bias count as well; batch norms, ReLUs and pools do not.
    """
    done = dict(zip(KINDS, work(edges, layers, image_shape).tolist(), strict=True))
    convolutions = done["conv3x3 multiplications"] + done["conv1x1 multiplications"]
    return round(convolutions) + (layers[-1].out_channels + 1) * classes
