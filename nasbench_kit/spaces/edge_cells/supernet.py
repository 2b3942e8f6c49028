"""The supernet of edge-labelled cells: every edge of every cell holds all its operations.

A *path* runs one architecture, with exactly the shapes of its stand-alone network. A *mixture* runs
the operations of all edges at once, weighted. Batch norm uses the statistics of the batch at hand; in
a mixture's cells it has no scale and shift.

Source: Liu et al., DARTS, ICLR 2019, section 2.2; Xu et al., PC-DARTS, ICLR 2020, section 3.2; Dong
and Yang, NAS-Bench-201, ICLR 2020, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nasbench_kit.spaces import one_shot
from nasbench_kit.spaces.edge_cells.network import (
    ResidualReduction,
    add,
    draw_weights,
    entries,
    joined,
    sizes,
)
from nasbench_kit.spaces.edge_cells.operations import Convolution, Norm, make

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nasbench_kit.spaces.edge_cells.cell import Layer
    from nasbench_kit.spaces.edge_cells.space import EdgeCellSpace
    from nasbench_kit.spaces.skeleton import Skeleton


@dataclass(frozen=True, eq=False)
class Mixture:
    """Weights of all operations of all edges."""

    space: EdgeCellSpace
    #: [slots, options]
    operations: Tensor
    #: Options that are computed, of each slot; others count as 0. A slot without any is left out.
    active: list[list[int]]
    #: Weights of the edges [slots] (PC-DARTS, equation 3); None: all 1.
    edges: Tensor | None = None
    #: Operations see one channel in this many; the others pass by (PC-DARTS, equation 2).
    channel_divisor: int = 1

    def detached(self) -> Mixture:
        """The same weights as numbers, without gradients for what they came from."""
        edges = None if self.edges is None else self.edges.detach()
        return replace(self, operations=self.operations.detach(), edges=edges)

    def work(self, skeleton: Skeleton, image_shape: tuple[int, int, int]) -> NDArray[np.float64]:
        """What one image costs, forward, in the kinds of work of the space.

        Args:
            skeleton: what stands around the cells.
            image_shape: height, width, channels.
        """
        computed = [(slot, option) for slot, active in enumerate(self.active) for option in active]
        return self.space.work_of(computed, skeleton, image_shape, self.channel_divisor)


class Supernet(one_shot.Supernet):
    """Shared weights of all cells of a space, between those of a skeleton.

    Args:
        space: whose edges and operations there are.
        skeleton: what stands around the cells.
        image_channels: channels of an image.
        classes: number of logits.
        generator: draws the weights. Global random state is neither read nor changed.

    Raises:
        InvalidSetting: the skeleton does not suit the space.
    """

    def __init__(
        self,
        space: EdgeCellSpace,
        skeleton: Skeleton,
        image_channels: int,
        classes: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.space = space
        layers = space.layers(skeleton)
        stem = layers[0].in_channels
        with torch.random.fork_rng(devices=[]):  # modules draw as they are made; drawn again below
            self.stem = nn.Sequential(Convolution(image_channels, stem, 3), Norm(stem))
            self.layers = nn.ModuleList(
                ResidualReduction(layer.in_channels, layer.out_channels)
                if layer.halves and layer.inputs == 1
                else SharedCell(space, layer)
                for layer in layers
            )
            end = self.layers[-1]
            last = end.channels if isinstance(end, SharedCell) else layers[-1].out_channels
            self.head: nn.Module = nn.Identity()
            if space.normalised_head:
                self.head = nn.Sequential(Norm(last), nn.ReLU(inplace=True))
            self.classifier = nn.Linear(last, classes)
        self._of_cells = [
            module
            for layer in self.layers
            if isinstance(layer, SharedCell)
            for module in layer.modules()
            if isinstance(module, Norm)
        ]
        for module in self.modules():
            if isinstance(module, Norm):
                module.running_mean = module.running_var = None
        draw_weights(self, generator)

    def forward(self, images: Tensor, run: Any) -> Tensor:
        """[n, image_channels, h, w] -> logits [n, classes] of an architecture or a mixture.

        Raises:
            NotInSpace: an architecture of another space.
        """
        mixed = isinstance(run, Mixture)
        for norm in self._of_cells:
            norm.rests = mixed
        how = run if mixed else self.space.taken(run)
        before = x = self.stem(images)
        for layer in self.layers:
            if isinstance(layer, SharedCell):
                inputs = [x] if len(layer.entries) == 1 else [before, x]
                before, x = x, layer(inputs, how)
            else:
                before, x = x, layer(x)
        logits: Tensor = self.classifier(self.head(x).mean((2, 3)))
        return logits


class SharedCell(nn.Module):
    """The weights of one cell in the network: inputs [n, c, h, w] -> its output."""

    def __init__(self, space: EdgeCellSpace, layer: Layer) -> None:
        super().__init__()
        self.space, self.kind = space, layer.kind
        self.slots = [
            (place, slot) for place, slot in enumerate(space.slots) if slot.kind == layer.kind
        ]
        self.entries = entries(layer)
        self.strides = [sizes(layer, slot.source)[2] for _, slot in self.slots]
        self.operations = nn.ModuleList(
            nn.ModuleList(make(name, *sizes(layer, slot.source)) for name in slot.operations)
            for _, slot in self.slots
        )
        #: Of the output, where all nodes are joined.
        self.channels = layer.out_channels * max(1, len(space.joinable(layer.kind)))

    def forward(self, inputs: list[Tensor], run: dict[int, int] | Mixture) -> Tensor:
        """The cell's output for its inputs."""
        nodes = [entry(x) for entry, x in zip(self.entries, inputs, strict=True)]
        used = []
        for (place, slot), operations, stride in zip(
            self.slots, self.operations, self.strides, strict=True
        ):
            if isinstance(run, Mixture):
                if not run.active[place]:
                    continue
                result = mixed(nodes[slot.source], place, operations, stride, run)  # type: ignore[arg-type]
            elif place in run:
                result = operations[run[place]](nodes[slot.source])  # type: ignore[index]
            else:
                continue
            used.append(place)
            add(nodes, slot.target, result)
        every = self.space.joinable(self.kind)
        if not isinstance(
            run, Mixture
        ):  # zeros, of which the next cell's convolutions make nothing
            own = self.space.joined(self.kind, used)
            nodes = [
                torch.zeros_like(x) if v in every and v not in own else x
                for v, x in enumerate(nodes)
            ]
        return joined(nodes, every)


def mixed(
    x: Tensor, place: int, operations: nn.ModuleList, stride: int, mixture: Mixture
) -> Tensor:
    """Sum of the operations of an edge, weighted; on a part of the channels (PC-DARTS)."""
    channels = x.shape[1]
    part = max(1, channels // mixture.channel_divisor)
    active = mixture.active[place]
    weights = mixture.operations[place]
    factors = weights if active == list(range(len(weights))) else weights[active]
    seen = x[:, :part]
    results = [operations[option](seen) for option in active]
    total: Tensor = one_shot.WeightedSum.apply(factors, results[0].shape[1], *results)  # type: ignore[no-untyped-call]
    # Weights of 0 of what is not computed are added as numbers: they have gradients (GDAS).
    if absent := [option for option in range(len(weights)) if option not in active]:
        total = total + weights[absent].sum()
    if part < channels:
        passing = x[:, part:]
        if stride == 2:
            passing = functional.max_pool2d(passing, 2, 2, ceil_mode=True)
        order = sorted(range(channels), key=lambda i: (i % part, i // part))
        total = torch.cat([total, passing], 1)[:, order]
    return total if mixture.edges is None else total * mixture.edges[place]
