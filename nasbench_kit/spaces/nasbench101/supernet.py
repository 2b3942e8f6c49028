"""The supernet: one set of weights for all cells of a space.

Every place of a cell in the skeleton holds, for each vertex, a 3x3 and a 1x1 convolution and a
projection of the cell's input, as wide as any cell needs them. Two kinds of networks run on them:

- a *path*: one cell with exactly the shapes of its stand-alone network. It takes the first channels
  of every weight, batch norm's scale and shift included (ENAS; Guo et al., SPOS, 2020);
- a *mixture*: all operations and edges at once, weighted, at a fixed width (DARTS). The width cannot
  be the stand-alone's, which depends on how many vertices feed the output. Here it is that of the
  space's complete cell: all vertices feed the output and share out its channels.

Batch norm uses the statistics of the batch at hand, always: running ones would mix those of cells
that have nothing in common. In a mixture it has no scale and shift, which could undo the weights of
operations (Liu et al., DARTS, 2019, section 3.1).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from nasbench_kit.errors import InvalidSetting
from nasbench_kit.spaces import one_shot
from nasbench_kit.spaces.nasbench101.cell import OPERATIONS, Cell
from nasbench_kit.spaces.nasbench101.network import draw_weights
from nasbench_kit.spaces.nasbench101.work import (
    add_convolution,
    add_join,
    add_pool,
    vertex_channels,
    work_around,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nasbench_kit.spaces.skeleton import Skeleton

CONV3X3, CONV1X1, MAXPOOL3X3 = range(3)


class Supernet(one_shot.Supernet):
    """Shared weights of all cells up to a number of vertices, between those of a skeleton.

    Args:
        vertices: most vertices of a cell, input and output included; at least 3.
        skeleton: what stands around the cells.
        image_channels: channels of an image.
        classes: number of logits.
        generator: draws the weights. Global random state is neither read nor changed.

    Raises:
        InvalidSetting: the skeleton is too narrow for a complete cell.
    """

    def __init__(
        self,
        vertices: int,
        skeleton: Skeleton,
        image_channels: int,
        classes: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        channels = skeleton.stem_channels
        if channels < vertices - 2:
            raise InvalidSetting(
                f"{vertices - 2} vertices share out {channels} channels; "
                "widen the skeleton's stem_channels"
            )
        self.vertices = vertices
        self.stem = SharedLayer(image_channels, channels, 3)
        self.cells = nn.ModuleList()
        self._halved_before = set()  # places whose input is pooled to half its height and width
        for stack in range(skeleton.stacks):
            if stack:
                self._halved_before.add(len(self.cells))
            for _ in range(skeleton.cells_per_stack):
                out_channels = skeleton.stem_channels * 2**stack
                self.cells.append(SharedCell(vertices, channels, out_channels))
                channels = out_channels
        self.classifier = nn.utils.skip_init(nn.Linear, channels, classes)  # type: ignore[no-untyped-call]
        draw_weights(self, generator)

    def forward(self, images: Tensor, run: Cell | Mixture) -> Tensor:
        """[n, image_channels, h, w] -> logits [n, classes] of a path or a mixture.

        Raises:
            InvalidSetting: a cell with more vertices, or with an operation that is not shared.
        """
        layers = run if isinstance(run, Mixture) else path(run, self.vertices)
        features = self.stem(images)
        for place, cell in enumerate(self.cells):
            if place in self._halved_before:
                features = functional.max_pool2d(features, 2, 2, ceil_mode=True)
            features = cell(features, layers)
        logits: Tensor = self.classifier(features.mean((2, 3)))
        return logits


class SharedCell(nn.Module):
    """The weights of one place of a cell: [n, in_channels, h, w] -> [n, out_channels, h, w]."""

    def __init__(self, vertices: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.out_channels = out_channels
        interior = range(1, vertices - 1)
        self.conv3x3 = nn.ModuleDict(
            {str(v): SharedLayer(out_channels, out_channels, 3) for v in interior}
        )
        self.conv1x1 = nn.ModuleDict(
            {str(v): SharedLayer(out_channels, out_channels, 1) for v in interior}
        )
        self.projection = nn.ModuleDict(
            {str(v): SharedLayer(in_channels, out_channels, 1) for v in interior}
        )
        self.output_projection = SharedLayer(in_channels, out_channels, 1)

    def forward(self, x: Tensor, run: Path | Mixture) -> Tensor:
        """The cell's output for its input."""
        return self._mixed(x, run) if isinstance(run, Mixture) else self._path(x, run)

    def _path(self, x: Tensor, path: Path) -> Tensor:
        channels = path.channels(self.out_channels)
        output = len(path.slots) - 1
        reading = [v for v in range(1, output + 1) if 0 in path.sources[v]]
        layers = [self._projection_of(path.slots[v] if v < output else None) for v in reading]
        widths = [channels[v] if v < output else self.out_channels for v in reading]
        projected = dict(zip(reading, together(x, layers, widths), strict=True))
        outputs = [x]
        for v in range(1, output):
            terms = [outputs[u][:, : channels[v]] for u in path.sources[v] if u]
            if v in projected:
                terms.append(projected[v])
            outputs.append(self._operate(path.operations[v], path.slots[v], _sum(terms)))
        terms = []
        if feeding := [outputs[u] for u in path.sources[output] if u]:
            terms.append(torch.cat(feeding, 1) if len(feeding) > 1 else feeding[0])
        if output in projected:
            terms.append(projected[output])
        return _sum(terms)

    def _mixed(self, x: Tensor, mixture: Mixture) -> Tensor:
        widths = mixture_widths(len(mixture.edges) + 1, self.out_channels)
        output = len(mixture.edges)
        layers = [self._projection_of(v) for v in range(1, output)] + [self.output_projection]
        projected = together(x, layers, widths[1:], affine=False)
        outputs: list[Tensor] = []
        for v in range(1, output):  # the cell's input first, as its projection
            terms = [projected[v - 1], *outputs]
            mixed = one_shot.WeightedSum.apply(mixture.edges[v - 1], widths[v], *terms)  # type: ignore[no-untyped-call]
            outputs.append(self._mixed_operation(v, mixed, mixture))
        edges = mixture.edges[-1]
        scales = torch.repeat_interleave(edges[1:], torch.tensor(widths[1:-1], device=x.device))
        joined = torch.cat(outputs, 1) * scales[:, None, None]
        return joined + edges[0] * projected[-1]

    def _mixed_operation(self, v: int, x: Tensor, mixture: Mixture) -> Tensor:
        """Sum of the operations of a vertex, weighted; on a part of the channels (PC-DARTS)."""
        channels = x.shape[1]
        part = max(1, channels // mixture.channel_divisor)
        weights = mixture.operations[v - 1]
        active = mixture.active[v - 1]
        seen = x[:, :part]
        convolutions = [o for o in active if o != MAXPOOL3X3]
        layers = [self._layer_of(o, v) for o in convolutions]
        results = together(seen, layers, [part] * len(layers), affine=False)
        of = dict(zip(convolutions, results, strict=True))
        if MAXPOOL3X3 in active:
            of[MAXPOOL3X3] = functional.max_pool2d(seen, 3, 1, 1)
        factors = weights[list(of)] if len(of) < len(weights) else weights
        mixed: Tensor = one_shot.WeightedSum.apply(factors, part, *of.values())  # type: ignore[no-untyped-call]
        # Weights of 0 of what is not computed are added as numbers: they have gradients (GDAS).
        if absent := [o for o in range(len(OPERATIONS)) if o not in active]:
            mixed = mixed + weights[absent].sum()
        if part == channels:
            return mixed
        shuffled = sorted(range(channels), key=lambda i: (i % part, i // part))
        return torch.cat([mixed, x[:, part:]], 1)[:, shuffled]

    def _operate(self, operation: int, slot: int, x: Tensor) -> Tensor:
        if operation == MAXPOOL3X3:
            return functional.max_pool2d(x, 3, 1, 1)
        (result,) = together(x, [self._layer_of(operation, slot)], [x.shape[1]])
        return result

    def _layer_of(self, operation: int, slot: int) -> SharedLayer:
        layers = self.conv3x3 if operation == CONV3X3 else self.conv1x1
        return layers[str(slot)]  # type: ignore[return-value]

    def _projection_of(self, slot: int | None) -> SharedLayer:
        """Of the cell's input, for a vertex, or for the output."""
        return self.output_projection if slot is None else self.projection[str(slot)]  # type: ignore[return-value]


class SharedLayer(nn.Module):
    """Convolution, batch norm, ReLU; on as many input and output channels as are asked for."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__()
        self.conv: nn.Conv2d = nn.utils.skip_init(  # type: ignore[no-untyped-call]
            nn.Conv2d, in_channels, out_channels, kernel, padding=kernel // 2, bias=False
        )
        self.norm = nn.BatchNorm2d(out_channels, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        """[n, in_channels, h, w] -> [n, out_channels, h, w]."""
        (result,) = together(x, [self], [self.conv.out_channels])
        return result


def together(
    x: Tensor, layers: Sequence[SharedLayer], widths: Sequence[int], affine: bool = True
) -> tuple[Tensor, ...]:
    """What layers make of one tensor [n, c, h, w]: of each the first channels, [n, width, h, w].

    One convolution, one batch norm and one ReLU for all: small ones cost more to begin than to do.
    A 1x1 convolution is a product of matrices, or the middle of a 3x3 one.
    """
    if not layers:
        return ()
    kernel = max(layer.conv.kernel_size[0] for layer in layers)
    kernels = [
        layer.conv.weight[:width, : x.shape[1]] for layer, width in zip(layers, widths, strict=True)
    ]
    if kernel == 1:
        weights = _joined(kernels)[:, :, 0, 0]
        x = functional.linear(x.permute(0, 2, 3, 1), weights).permute(0, 3, 1, 2)
    else:
        kernels = [k if k.shape[-1] == kernel else functional.pad(k, (1, 1, 1, 1)) for k in kernels]
        x = functional.conv2d(x, _joined(kernels), padding=kernel // 2)
    scale, shift = None, None
    if affine:
        norms = [(layer.norm, width) for layer, width in zip(layers, widths, strict=True)]
        scale = _joined([norm.weight[:width] for norm, width in norms])
        shift = _joined([norm.bias[:width] for norm, width in norms])
    eps = layers[0].norm.eps
    x = functional.batch_norm(x, None, None, scale, shift, training=True, eps=eps)
    x = functional.relu(x, inplace=True)
    return (x,) if len(layers) == 1 else x.split(list(widths), 1)  # type: ignore[no-untyped-call]


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(tensors)) if len(tensors) > 1 else tensors[0]


@dataclass(frozen=True, eq=False)
class Path:
    """A cell as the supernet runs it: its used vertices, each with the slot of its weights."""

    cell: Cell
    #: Whose weights every vertex runs with.
    slots: tuple[int, ...]
    operations: tuple[int, ...]
    #: Of every vertex, those that feed it.
    sources: tuple[tuple[int, ...], ...]
    _channels: dict[int, list[int]] = field(default_factory=dict)

    def channels(self, out_channels: int) -> list[int]:
        """Channels of every vertex, by the official rule."""
        if out_channels not in self._channels:
            self._channels[out_channels] = vertex_channels(self.cell, out_channels)
        return self._channels[out_channels]


def path(cell: Cell, vertices: int) -> Path:
    """The path of a cell through a supernet; vertices keep the weights of their own number.

    So one cell has several paths, by its labellings.

    Raises:
        InvalidSetting: a cell with more vertices, or with an operation that is not shared.
    """
    if cell.size > vertices:
        cell = cell.pruned()
    if cell.size > vertices:
        raise InvalidSetting(
            f"the cell has {cell.size} vertices, the supernet weights for {vertices}; "
            "make it of the cell's space"
        )
    for name in cell.operations[1:-1]:
        if name not in OPERATIONS:
            raise InvalidSetting(
                f"the supernet has no weights for the operation {name!r}; "
                f"it has {', '.join(OPERATIONS)}"
            )
    return _path(cell.size, cell.bits, cell.code)


@functools.lru_cache(maxsize=100_000)  # by labelling; cells are equal in any
def _path(size: int, bits: int, code: int) -> Path:
    cell = Cell.from_codes(size, bits, code)
    slots = tuple(v for v in range(size) if cell.used() >> v & 1)
    cell = cell.pruned()
    edges = cell.edges()
    return Path(
        cell,
        slots=slots,
        operations=(-1, *map(OPERATIONS.index, cell.operations[1:-1]), -1),
        sources=tuple(tuple(u for u, target in edges if target == v) for v in range(cell.size)),
    )


@dataclass(frozen=True, eq=False)
class Mixture:
    """Weights of all operations and edges of a complete cell of v vertices."""

    #: [v - 2, 3]: of the operations of each interior vertex, in the order of `OPERATIONS`.
    operations: Tensor
    #: Of each vertex 1, ..., v - 1 the weights [vertex] of its sources 0, 1, ...
    edges: list[Tensor]
    #: Operations that are computed, of each interior vertex; others count as 0.
    active: list[list[int]]
    #: Operations see one channel in this many; the others pass by (PC-DARTS).
    channel_divisor: int = 1

    @classmethod
    def of(cls, cell: Cell, vertices: int) -> Mixture:
        """A discrete cell at the mixture's width: weights of 0 and 1."""
        run = path(cell, vertices)
        operations = torch.zeros(vertices - 2, len(OPERATIONS))
        edges = [torch.zeros(v) for v in range(1, vertices)]
        for v in range(1, len(run.slots)):
            target = vertices - 1 if v == len(run.slots) - 1 else run.slots[v]
            for source in run.sources[v]:
                edges[target - 1][run.slots[source]] = 1
        active = [[MAXPOOL3X3] for _ in range(vertices - 2)]  # the cheapest, for unused vertices
        for slot, operation in list(zip(run.slots, run.operations, strict=True))[1:-1]:
            operations[slot - 1, operation] = 1
            active[slot - 1] = [operation]
        return cls(operations, edges, active)

    def detached(self) -> Mixture:
        """The same weights as numbers, without gradients for what they came from."""
        edges = [edge.detach() for edge in self.edges]
        return replace(self, operations=self.operations.detach(), edges=edges)

    def work(self, skeleton: Skeleton, image_shape: tuple[int, int, int]) -> NDArray[np.float64]:
        """The work of one image: float64 [KINDS] of `nasbench_kit.spaces.nasbench101.work`.

        Args:
            skeleton: what stands around the cells.
            image_shape: height, width, channels.
        """
        return work_around(skeleton, image_shape, self._add_work)

    def _add_work(
        self, done: NDArray[np.float64], in_channels: int, out_channels: int, pixels: int
    ) -> None:
        output = len(self.edges)
        widths = mixture_widths(output + 1, out_channels)
        for v in range(1, output + 1):
            add_convolution(done, 1, in_channels, widths[v], pixels)
            add_join(done, v * widths[v] if v < output else 2 * out_channels, pixels)
        for v, active in enumerate(self.active, start=1):
            part = max(1, widths[v] // self.channel_divisor)
            for operation in active:
                if operation == MAXPOOL3X3:
                    add_pool(done, part, pixels)
                else:
                    add_convolution(done, 3 if operation == CONV3X3 else 1, part, part, pixels)
                add_join(done, part, pixels)


def mixture_widths(vertices: int, out_channels: int) -> list[int]:
    """Channels of every vertex of a mixture: the complete cell's; the input's entry is 0."""
    share, rest = divmod(out_channels, vertices - 2)
    shares = [share + (place < rest) for place in range(vertices - 2)]
    return [0, *shares, out_channels]


def _sum(terms: list[Tensor]) -> Tensor:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
