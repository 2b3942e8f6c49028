"""What one image costs in a cell's network: layers, multiply-accumulates, values written."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.spaces.nasbench101.cell import OPERATIONS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_kit.spaces.nasbench101.cell import Cell
    from nasbench_kit.spaces.skeleton import Skeleton

#: What ``work`` counts, for one image forward: multiply-accumulates, and values written.
KINDS = (
    "constant",
    "conv3x3 layers",
    "conv3x3 multiplications",
    "conv1x1 layers",
    "conv1x1 multiplications",
    "convolution outputs",
    "pool layers",
    "pool outputs",
    "sums and concatenations",
)
_CONSTANT, _LAYERS3, _MULT3, _LAYERS1, _MULT1, _OUT, _POOLS, _POOLED, _JOINED = range(len(KINDS))


def vertex_channels(cell: Cell, out_channels: int) -> list[int]:
    """Output channels of every vertex of a pruned cell; the input's entry is 0.

    What the output gets is shared out among the vertices that feed it, one more to the first ones;
    any other vertex has as many as the widest that it feeds. (Ying et al. 2019, section 2.2;
    google-research/nasbench, model_builder.compute_vertex_channels.)
    """
    output = cell.size - 1
    edges = cell.edges()
    feeders = [u for u, v in edges if v == output and u > 0]
    channels = [0] * output + [out_channels]
    for place, vertex in enumerate(feeders):
        share, rest = divmod(out_channels, len(feeders))
        channels[vertex] = share + (place < rest)
    for vertex in range(output - 1, 0, -1):
        if not channels[vertex]:
            channels[vertex] = max(channels[v] for u, v in edges if u == vertex)
    return channels


def work(cell: Cell, skeleton: Skeleton, image_shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """The work of one image through a cell's network: float64 [KINDS].

    Args:
        cell: any cell; unused vertices do no work. An operation other than the three official ones
            counts as a 3x3 convolution.
        skeleton: what stands around it.
        image_shape: height, width, channels.
    """
    cell = cell.pruned()
    return work_around(
        skeleton,
        image_shape,
        lambda done, *sizes: _add_cell(done, cell, *sizes),
    )


def work_around(
    skeleton: Skeleton,
    image_shape: tuple[int, int, int],
    add_cell: Callable[[NDArray[np.float64], int, int, int], None],
) -> NDArray[np.float64]:
    """The work of one image through a skeleton: float64 [KINDS].

    Args:
        skeleton: what stands around the cells.
        image_shape: height, width, channels.
        add_cell: adds that of one cell, given its input channels, output channels and pixels.
    """
    height, width, channels = image_shape
    done = np.zeros(len(KINDS))
    done[_CONSTANT] = 1
    out_channels = skeleton.stem_channels
    add_convolution(done, 3, channels, out_channels, height * width)
    channels = out_channels
    for stack in range(skeleton.stacks):
        if stack:
            height, width, out_channels = -(-height // 2), -(-width // 2), 2 * out_channels
            add_pool(done, channels, height * width)
        for _ in range(skeleton.cells_per_stack):
            add_cell(done, channels, out_channels, height * width)
            channels = out_channels
    return done


def _add_cell(
    done: NDArray[np.float64], cell: Cell, in_channels: int, out_channels: int, pixels: int
) -> None:
    width = vertex_channels(cell, out_channels)
    output = cell.size - 1
    for source, target in cell.edges():
        if source == 0:  # every use of the cell's input is projected
            add_convolution(done, 1, in_channels, width[target], pixels)
        joined = width[source] if target == output and source else width[target]
        add_join(done, joined, pixels)
    for vertex, operation in list(enumerate(cell.operations))[1:-1]:
        if operation == OPERATIONS[2]:
            add_pool(done, width[vertex], pixels)
        else:
            kernel = 1 if operation == OPERATIONS[1] else 3
            add_convolution(done, kernel, width[vertex], width[vertex], pixels)


def add_convolution(
    done: NDArray[np.float64], kernel: int, in_channels: int, out_channels: int, pixels: int
) -> None:
    """Add a convolution layer to the work of one image; pixels are those of its output."""
    layers, multiplications = (_LAYERS3, _MULT3) if kernel == 3 else (_LAYERS1, _MULT1)
    done[layers] += 1
    done[multiplications] += kernel**2 * in_channels * out_channels * pixels
    done[_OUT] += out_channels * pixels


def add_pool(done: NDArray[np.float64], channels: int, pixels: int) -> None:
    """Add a pooling layer to the work of one image."""
    done[_POOLS] += 1
    done[_POOLED] += channels * pixels


def add_join(done: NDArray[np.float64], channels: int, pixels: int) -> None:
    """Add one operand of a sum or a concatenation to the work of one image."""
    done[_JOINED] += channels * pixels


def traits(cell: Cell) -> list[float]:
    """What adding up the work of a cell cannot see: how its vertices are linked."""
    cell = cell.pruned()
    output = cell.size - 1
    edges = cell.edges()
    depth = [0] * cell.size
    for source, target in edges:
        depth[target] = max(depth[target], depth[source] + 1)
    fed = sum(target == output for _, target in edges)
    projected = sum(source == 0 for source, _ in edges)
    counts = [cell.operations.count(name) for name in OPERATIONS]
    return [cell.size, len(edges), depth[-1], fed, projected, *counts]
