"""The torch network of a cell: stem, stacks of cells, global average pool, classifier.

Built from the classes of ``nasbench_pytorch``, so that weights move between the two one to one, but
without its placeholder scalars (they count as parameters), with one batch-norm momentum everywhere,
and for cells of any size.

Source: Ying et al. 2019, section 2; google-research/nasbench, lib/model_builder.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from nasbench_pytorch.model.base_ops import OP_MAP, ConvBnRelu
from nasbench_pytorch.model.model import compute_vertex_channels, projection
from torch import Tensor, nn

from nasbench_kit.errors import InvalidSetting
from nasbench_kit.spaces.image_network import ImageNetwork, set_bn_momentum
from nasbench_kit.spaces.nasbench101.cell import Cell
from nasbench_kit.spaces.skeleton import Precision, Skeleton

if TYPE_CHECKING:
    from nasbench_kit.spaces.trained_network import TrainedNetwork

__all__ = ["CellModule", "Network", "Skeleton", "draw_weights", "register_module"]


def _keeping_channels(make: Callable[[int, int], nn.Module]) -> Callable[[int], nn.Module]:
    return lambda channels: make(channels, channels)


#: Operation -> factory of its module; the module keeps the number of channels and the resolution.
_MODULES = {name: _keeping_channels(make) for name, make in OP_MAP.items()}

#: Standard deviation of a unit normal cut at two standard deviations.
_TRUNCATED_STD = 0.87962566103423978


def register_module(name: str, factory: Callable[[int], nn.Module]) -> None:
    """Give an operation of ``cell.register_operation`` its torch module.

    Args:
        name: the operation.
        factory: from a number of channels c to a module [n, c, h, w] -> [n, c, h, w].

    Raises:
        InvalidSetting: the operation has a module already.
    """
    if name in _MODULES:
        raise InvalidSetting(f"operation {name!r} has a module already; register another name")
    _MODULES[name] = factory


class CellModule(nn.Module):
    """One cell, [n, in_channels, h, w] -> [n, out_channels, h, w].

    Args:
        cell: without unused vertices (``cell.pruned()``).
        in_channels: channels of the cell's input.
        out_channels: channels of its output, shared out among the vertices that feed the output.

    Raises:
        InvalidSetting: more vertices feed the output than it has channels, or an operation has no
            module.
    """

    def __init__(self, cell: Cell, in_channels: int, out_channels: int) -> None:
        super().__init__()
        output = cell.size - 1
        sources: list[list[int]] = [[] for _ in range(cell.size)]
        for source, target in cell.edges():
            sources[target].append(source)
        feeders = [v for v in sources[output] if v > 0]
        if len(feeders) > out_channels:
            raise InvalidSetting(
                f"{len(feeders)} vertices feed the output, which has {out_channels} channels to "
                "share out; widen the skeleton's stem_channels"
            )
        self.channels: list[int] = compute_vertex_channels(in_channels, out_channels, cell.matrix)
        #: Of each vertex: the interior vertices that feed it, and whether the cell's input does.
        self.sources = [[u for u in before if u > 0] for before in sources]
        self.takes_input = [0 in before for before in sources]

        # Both lists are indexed by vertex, as in nasbench_pytorch; Identity marks an empty place.
        self.vertex_op = nn.ModuleList([nn.Identity()])
        for v in range(1, output):
            self.vertex_op.append(_module(cell.operations[v], self.channels[v]))
        self.input_op = nn.ModuleList(
            projection(in_channels, self.channels[v]) if self.takes_input[v] else nn.Identity()
            for v in range(cell.size)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[n, in_channels, h, w] -> [n, out_channels, h, w]."""
        output = len(self.channels) - 1
        outputs = [x]
        for v in range(1, output):
            terms = [_first(self.channels[v], outputs[u]) for u in self.sources[v]]
            if self.takes_input[v]:
                terms.append(self.input_op[v](x))
            outputs.append(self.vertex_op[v](_sum(terms)))
        terms = []
        if self.sources[output]:
            feeding = [outputs[v] for v in self.sources[output]]
            terms.append(torch.cat(feeding, 1) if len(feeding) > 1 else feeding[0])
        if self.takes_input[output]:
            terms.append(self.input_op[output](x))
        return _sum(terms)


class Network(ImageNetwork):
    """The network of a cell.

    Args:
        cell: any cell; unused vertices are dropped.
        skeleton: what stands around it.
        image_channels: channels of an image.
        classes: number of logits.
        generator: draws the fresh weights; without one, they are those of seed 0. Global random
            state is neither read nor changed.
        bn_momentum: share of the newest batch in the running statistics, PyTorch's meaning
            (TensorFlow's 0.997 is 0.003 here); None averages all batches equally.
        precision: see `nasbench_kit.spaces.image_network.ImageNetwork`.

    Raises:
        InvalidSetting: see ``CellModule``.
    """

    def __init__(
        self,
        cell: Cell,
        skeleton: Skeleton,
        image_channels: int,
        classes: int,
        *,
        generator: torch.Generator | None = None,
        bn_momentum: float | None = 0.003,
        precision: Precision = "float32",
    ) -> None:
        super().__init__(precision)
        cell = cell.pruned()
        generator = generator or torch.Generator().manual_seed(0)
        # Modules draw weights as they are made, from the global generator. ``draw_weights`` draws
        # all but those of a user's own modules again, which thus follow the seed as well.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(generator.initial_seed())
            channels = skeleton.stem_channels
            layers: list[nn.Module] = [ConvBnRelu(image_channels, channels, 3, 1, 1)]
            for stack in range(skeleton.stacks):
                if stack > 0:
                    layers.append(nn.MaxPool2d(2, 2, ceil_mode=True))  # TensorFlow's 'same'
                    channels *= 2
                for i in range(skeleton.cells_per_stack):
                    before = channels // 2 if stack > 0 and i == 0 else channels
                    layers.append(CellModule(cell, before, channels))
            self.layers = nn.Sequential(*layers)
            self.classifier = nn.Linear(channels, classes)
        set_bn_momentum(self, bn_momentum)
        for module in self.modules():
            if isinstance(module, ConvBnRelu):
                module.conv_bn_relu[2].inplace = True  # nobody else needs what it overwrites
        draw_weights(self, generator)

    @staticmethod
    def load(path: str | Path) -> TrainedNetwork:
        """The trained network in a file of weights, with its normalisation.

        Raises:
            UnknownName, CorruptFile, InvalidSetting: see `trained_network.TrainedNetwork.load`.
        """
        from nasbench_kit.spaces.trained_network import TrainedNetwork

        return TrainedNetwork.load(path)

    @property
    def trainable_parameters(self) -> int:
        """Number of trainable weights, as the official records count them."""
        return sum(weights.numel() for weights in self.parameters())


def draw_weights(network: nn.Module, generator: torch.Generator) -> None:
    """Fresh weights as TensorFlow drew them for NAS-Bench-101.

    Convolutions: variance scaling by fan-in, normal cut at two standard deviations. Dense layers:
    Glorot uniform, zero bias. Batch norms start as the identity already. Other modules keep theirs.
    """
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                fan_in = module.weight[0].numel()
                std = 1 / math.sqrt(fan_in) / _TRUNCATED_STD
                nn.init.trunc_normal_(
                    module.weight, 0.0, std, -2 * std, 2 * std, generator=generator
                )
            elif isinstance(module, nn.Linear):
                bound = math.sqrt(6 / (module.in_features + module.out_features))
                module.weight.uniform_(-bound, bound, generator=generator)
                module.bias.zero_()


def _module(operation: str, channels: int) -> nn.Module:
    if operation not in _MODULES:
        raise InvalidSetting(
            f"operation {operation!r} has no torch module; "
            "give it one with nasbench_kit.spaces.nasbench101.network.register_module"
        )
    return _MODULES[operation](channels)


def _first(channels: int, features: Tensor) -> Tensor:
    """The first channels; a vertex may have one more than a vertex that it feeds."""
    return features if features.shape[1] == channels else features[:, :channels]


def _sum(terms: list[Tensor]) -> Tensor:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
