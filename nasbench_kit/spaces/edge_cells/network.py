"""The torch network of an edge-labelled cell: stem, cells and residual blocks, pool, classifier.

Source: Dong and Yang, NAS-Bench-201, ICLR 2020, section 2.1 and figure 1; D-X-Y/NATS-Bench.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from nasbench_kit.spaces.edge_cells.operations import (
    Convolution,
    FactorizedReduction,
    Noise,
    Norm,
    ReLUConvBN,
    make,
)
from nasbench_kit.spaces.image_network import ImageNetwork, set_bn_momentum

if TYPE_CHECKING:
    from nasbench_kit.spaces.edge_cells.cell import Edge, Layer
    from nasbench_kit.spaces.skeleton import Precision


class CellModule(nn.Module):
    """One cell, from its inputs [n, c, h, w] to [n, c', h, w], or half of the height and width.

    Args:
        edges: by target; every node but the inputs has one or more.
        layer: where the cell stands.
        joined: the nodes that are concatenated as its output; none stands for the last one.
    """

    def __init__(self, edges: Sequence[Edge], layer: Layer, joined: Sequence[int] = ()) -> None:
        super().__init__()
        self.joined = joined
        self.ends = [(source, target) for source, target, _ in edges]
        self.entries = entries(layer)
        self.operations = nn.ModuleList(
            make(operation, *sizes(layer, source)) for source, _, operation in edges
        )

    def forward(self, *inputs: Tensor, paths: Tensor | None = None) -> Tensor:
        """The cell's output for its inputs; what an operation makes of an image is scaled by ``paths`` [edges, n]."""
        nodes = [entry(x) for entry, x in zip(self.entries, inputs, strict=True)]
        for edge, ((source, target), operation) in enumerate(
            zip(self.ends, self.operations, strict=True)
        ):
            x = operation(nodes[source])
            if paths is not None and not isinstance(operation, nn.Identity):
                x = x * paths[edge, :, None, None, None].to(x.dtype)
            add(nodes, target, x)
        return joined(nodes, self.joined)


def entries(layer: Layer) -> nn.ModuleList:
    """What the inputs of a cell go through: of two, both come to its own channels and resolution."""
    if layer.channels_before is None:
        return nn.ModuleList([nn.Identity()])
    outs = layer.out_channels
    return nn.ModuleList(
        [
            FactorizedReduction(layer.channels_before, outs)
            if layer.twice_as_large
            else ReLUConvBN(layer.channels_before, outs, 1),
            ReLUConvBN(layer.in_channels, outs, 1),
        ]
    )


def sizes(layer: Layer, source: int) -> tuple[int, int, int, bool]:
    """Input channels, output channels and stride of an operation behind a node; whether it normalises pools."""
    first = source < layer.inputs
    ins = layer.in_channels if first and layer.inputs == 1 else layer.out_channels
    return ins, layer.out_channels, 2 if layer.halves and first else 1, layer.inputs == 2


def add(nodes: list[Tensor], target: int, x: Tensor) -> None:
    """Add to a node, which is the next one if it is not there yet."""
    if target < len(nodes):
        nodes[target] = nodes[target] + x
    else:
        nodes.append(x)


def joined(nodes: Sequence[Tensor], which: Sequence[int]) -> Tensor:
    """The nodes that make the output, side by side; the last one where none are named."""
    return torch.cat([nodes[node] for node in which], 1) if which else nodes[-1]


class ResidualReduction(nn.Module):
    """ResNet's basic block with stride 2, before activation; its shortcut is a mean and a 1x1 convolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            ReLUConvBN(in_channels, out_channels, 3, 2), ReLUConvBN(out_channels, out_channels, 3)
        )
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2, 2, ceil_mode=True),  # as the block does with an odd number of pixels
            Convolution(in_channels, out_channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[n, in_channels, h, w] -> [n, out_channels, h / 2, w / 2]."""
        y: Tensor = self.shortcut(x) + self.block(x)
        return y


class Network(ImageNetwork):
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
        super().__init__(precision)
        stem, last = layers[0].in_channels, layers[-1].out_channels
        with torch.random.fork_rng(devices=[]):  # modules draw as they are made; drawn again below
            self.layers = nn.Sequential(
                Convolution(image_channels, stem, 3),
                Norm(stem),
                *(
                    ResidualReduction(layer.in_channels, layer.out_channels)
                    if layer.halves
                    else CellModule(edges, layer)
                    for layer in layers
                ),
                Norm(last),
                nn.ReLU(inplace=True),
            )
            self.classifier = nn.Linear(last, classes)
        set_bn_momentum(self, bn_momentum)
        draw_weights(self, generator)


class AuxiliaryHead(nn.Module):
    """A second classifier, in training only: [n, channels, h, w] -> logits [n, classes].

    Source: quark0/darts, model.py, ``AuxiliaryHeadCIFAR``, after Zoph et al., NASNet, CVPR 2018.
    Images of 8 x 8 pixels, as CIFAR-10's at two thirds of a network's depth, are pooled to 2 x 2 by
    overlapping windows; others, by even ones.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(channels, 128, 1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(inplace=True),
            nn.Conv2d(128, 768, 2, bias=False),
            nn.BatchNorm2d(768),
            nn.ReLU(inplace=True),
        )
        self.classifier = nn.Linear(768, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, of what a cell makes."""
        x = functional.relu(x)
        if x.shape[2:] == (8, 8):
            x = functional.avg_pool2d(x, 5, 3)
        else:
            x = functional.adaptive_avg_pool2d(x, 2)
        logits: Tensor = self.classifier(self.convolutions(x).flatten(1))
        return logits


class TwoInputNetwork(ImageNetwork):
    """[n, image_channels, h, w] -> logits [n, classes], of cells that read the two cells before them.

    Args:
        edges: those of each kind of cell, by target.
        joined: nodes that each kind concatenates.
        layers: the cells behind the stem.
        image_channels: channels of an image.
        classes: number of logits.
        generator: draws the fresh weights; global random state is neither read nor changed.
        bn_momentum: share of the newest batch in the running statistics, PyTorch's meaning; None
            averages all batches equally.
        precision: of the arithmetic; weights, statistics and logits are float32 in any case.
    """

    def __init__(
        self,
        edges: Sequence[Sequence[Edge]],
        joined: Sequence[Sequence[int]],
        layers: Sequence[Layer],
        *,
        image_channels: int,
        classes: int,
        generator: torch.Generator,
        bn_momentum: float | None,
        precision: Precision,
    ) -> None:
        super().__init__(precision)
        stem = layers[0].in_channels
        self.auxiliary: AuxiliaryHead | None = None
        with torch.random.fork_rng(devices=[]):  # modules draw as they are made; drawn again below
            self.stem = nn.Sequential(Convolution(image_channels, stem, 3), Norm(stem))
            self.cells = nn.ModuleList(
                CellModule(edges[layer.kind], layer, joined[layer.kind]) for layer in layers
            )
            self._two_thirds = 2 * len(layers) // 3
            self.most_edges = max(len(edges[layer.kind]) for layer in layers)
            self._widths = [layer.out_channels * len(joined[layer.kind]) for layer in layers]
            self.classifier = nn.Linear(self._widths[-1], classes)
        set_bn_momentum(self, bn_momentum)
        draw_weights(self, generator)

    def add_auxiliary_head(self, generator: torch.Generator) -> None:
        """Put a second classifier at two thirds of the depth, for ``regularized``; `forward` leaves it out."""
        with torch.random.fork_rng(devices=[]):  # as above
            head = AuxiliaryHead(self._widths[self._two_thirds], self.classifier.out_features)
        draw_weights(head, generator)
        self.auxiliary = head

    def features(self, images: Tensor) -> Tensor:
        """[n, image_channels, h, w] -> [n, channels, h', w']."""
        return self._outputs(images)[-1]

    def regularized(
        self, images: Tensor, paths: Tensor | None = None, *, auxiliary: bool = False
    ) -> list[Tensor]:
        """Logits [n, classes] with some paths dropped, and those of the auxiliary head.

        Args:
            images: [n, image_channels, h, w].
            paths: what each operation's output is multiplied by, [cells, edges, n].
            auxiliary: whether the auxiliary head is wanted.
        """
        half = self.precision == "bfloat16"
        with torch.autocast(images.device.type, torch.bfloat16, enabled=half, cache_enabled=False):
            two_thirds, last = self._outputs(images, paths)
            logits = [self.classifier(last.mean((2, 3)))]
            if auxiliary:
                assert self.auxiliary is not None
                logits.append(self.auxiliary(two_thirds))
        return [each.float() for each in logits]

    def _outputs(self, images: Tensor, paths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Of the cell at two thirds of the depth, and of the last one."""
        before = x = two_thirds = self.stem(images)
        for number, cell in enumerate(self.cells):
            before, x = x, cell(before, x, paths=None if paths is None else paths[number])
            if number == self._two_thirds:
                two_thirds = x
        return two_thirds, x


def draw_weights(network: nn.Module, generator: torch.Generator) -> None:
    """Fresh weights as PyTorch draws them by default, uniform within 1 / sqrt(fan-in), and noise's seeds."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                bound = module.weight[0].numel() ** -0.5
                module.weight.uniform_(-bound, bound, generator=generator)
                if module.bias is not None:
                    module.bias.uniform_(-bound, bound, generator=generator)
            elif isinstance(module, Noise):
                module.seed.random_(2**62, generator=generator)
