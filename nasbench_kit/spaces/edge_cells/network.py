"""The torch network of an edge-labelled cell: stem, cells and residual blocks, pool, classifier.

Source: Dong and Yang, NAS-Bench-201, ICLR 2020, section 2.1 and figure 1; D-X-Y/NATS-Bench.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nasbench_kit.spaces.edge_cells.operations import ReLUConvBN, make

if TYPE_CHECKING:
    from nasbench_kit.spaces.edge_cells.cell import Edge, Layer
    from nasbench_kit.spaces.skeleton import Precision


class CellModule(nn.Module):
    """One cell, [n, in_channels, h, w] -> [n, out_channels, h, w].

    Args:
        edges: by target; every node but the first has one or more.
        in_channels: channels of the cell's input.
        out_channels: channels of all other nodes.
    """

    def __init__(self, edges: Sequence[Edge], in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.ends = [(source, target) for source, target, _ in edges]
        self.operations = nn.ModuleList(
            make(operation, out_channels if source else in_channels, out_channels)
            for source, _, operation in edges
        )

    def forward(self, x: Tensor) -> Tensor:
        """[n, in_channels, h, w] -> [n, out_channels, h, w]."""
        nodes = [x]
        for (source, target), operation in zip(self.ends, self.operations, strict=True):
            added = operation(nodes[source])
            if target < len(nodes):
                nodes[target] = nodes[target] + added
            else:
                nodes.append(added)
        return nodes[-1]


class ResidualReduction(nn.Module):
    """ResNet's basic block with stride 2, before activation; its shortcut is a mean and a 1x1 convolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            ReLUConvBN(in_channels, out_channels, 3, 2), ReLUConvBN(out_channels, out_channels, 3)
        )
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2, 2, ceil_mode=True),  # as the block does with an odd number of pixels
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[n, in_channels, h, w] -> [n, out_channels, h / 2, w / 2]."""
        y: Tensor = self.shortcut(x) + self.block(x)
        return y


class Network(nn.Module):
    """[n, image_channels, h, w] -> logits [n, classes].

    Args:
        edges: those of the cell, by target.
        layers: cells and residual blocks behind the stem.
        image_channels: channels of an image.
        classes: number of logits.
        generator: draws the fresh weights; global random state is neither read nor changed.
        bn_momentum: share of the newest batch in the running statistics, PyTorch's meaning; None
            averages all batches equally.
        precision: of the arithmetic; weights, statistics and logits are float32 in any case.
    """

    def __init__(
        self,
        edges: Sequence[Edge],
        layers: Sequence[Layer],
        *,
        image_channels: int,
        classes: int,
        generator: torch.Generator,
        bn_momentum: float | None,
        precision: Precision,
    ) -> None:
        super().__init__()
        self.precision = precision
        stem, last = layers[0].in_channels, layers[-1].out_channels
        with torch.random.fork_rng(devices=[]):  # modules draw as they are made; drawn again below
            self.layers = nn.Sequential(
                nn.Conv2d(image_channels, stem, 3, padding=1, bias=False),
                nn.BatchNorm2d(stem),
                *(
                    ResidualReduction(ins, outs) if halves else CellModule(edges, ins, outs)
                    for ins, outs, halves in layers
                ),
                nn.BatchNorm2d(last),
                nn.ReLU(inplace=True),
            )
            self.classifier = nn.Linear(last, classes)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = bn_momentum
        draw_weights(self, generator)

    def forward(self, images: Tensor) -> Tensor:
        """[n, image_channels, h, w] -> logits [n, classes]."""
        if self.precision == "float32":
            return self._logits(images)
        with torch.autocast(images.device.type, torch.bfloat16, cache_enabled=False):
            return self._logits(images).float()

    def _logits(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.layers(images).mean((2, 3)))
        return logits


def draw_weights(network: nn.Module, generator: torch.Generator) -> None:
    """Fresh weights as PyTorch draws them by default: uniform within 1 / sqrt(fan-in)."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                bound = module.weight[0].numel() ** -0.5
                module.weight.uniform_(-bound, bound, generator=generator)
                if module.bias is not None:
                    module.bias.uniform_(-bound, bound, generator=generator)
