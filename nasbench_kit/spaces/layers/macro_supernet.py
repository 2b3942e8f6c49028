"""The supernet of ENAS' macro space: every layer holds all its operations and the weights of all skips.

It runs architectures with exactly the shapes of their stand-alone networks: a layer's join is a part of
one weight for all layers that it might see. (The released code adds skipped layers during its search,
and concatenates them as the paper has it afterwards.) Batch norm uses the statistics of the batch at hand.

Source: Pham et al., ENAS, ICML 2018, section 2.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nasbench_kit.spaces import one_shot
from nasbench_kit.spaces.layers.network import draw_weights
from nasbench_kit.spaces.layers.skips import seen
from nasbench_kit.spaces.layers.unit_network import UnitModule, joined
from nasbench_kit.spaces.layers.units import channels_of

if TYPE_CHECKING:
    from nasbench_kit.spaces.layers.enas_macro import ENASMacro
    from nasbench_kit.spaces.skeleton import Skeleton


class MacroSupernet(one_shot.Supernet):
    """Shared weights of all architectures of ENAS' macro space.

    Args:
        space: whose layers and operations there are.
        skeleton: of which ``stem_channels`` counts.
        image_channels: channels of an image.
        classes: number of logits.
        generator: draws the weights. Global random state is neither read nor changed.
    """

    def __init__(
        self,
        space: ENASMacro,
        skeleton: Skeleton,
        image_channels: int,
        classes: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.space = space
        self.channels = skeleton.stem_channels
        self.shared = nn.ModuleDict()
        with torch.random.fork_rng(devices=[]):  # modules draw as they are made; drawn again below
            for operation in range(len(space.decisions[0].options)):
                rows = [[operation, *[1] * layer] for layer in range(space.layers)]  # all skips
                network, names = space.named_units(rows, self.channels)
                channels = channels_of(network, image_channels)
                for unit, name in zip(network.units, names, strict=True):
                    if name not in self.shared:
                        read = sum(channels[value] for value in unit.inputs)
                        self.shared[name] = UnitModule(unit, read, bn_momentum=None)
            last = sum(channels[value] for value in network.outputs)
            self.classifier = nn.Linear(last, classes)
        one_shot.use_batch_statistics(self)
        draw_weights(self, generator)

    def forward(self, images: Tensor, run: Any) -> Tensor:
        """[n, image_channels, h, w] -> logits [n, classes] of an architecture.

        Raises:
            NotInSpace: it is of another space.
        """
        rows = self.space.rows(self.space.encode(run))
        network, names = self.space.named_units(rows, self.channels)
        values = [images]
        for unit, name in zip(network.units, names, strict=True):
            inputs = [values[value] for value in unit.inputs]
            if unit.relu_first:
                inputs = list(map(functional.relu, inputs))
            module = self.shared[name]
            assert isinstance(module, UnitModule)
            if name.endswith("join"):
                layer = int(name.split()[1])
                values.append(self._joined(module, joined(inputs), rows[layer - 1], layer))
            else:
                values.append(module(joined(inputs)))
        read = joined([values[value] for value in network.outputs])
        logits: Tensor = self.classifier(read.mean((2, 3)))
        return logits

    def _joined(self, module: UnitModule, x: Tensor, row: list[int], layer: int) -> Tensor:
        """The 1x1 convolution of what a layer sees: as many channels of each, its own the last."""
        weight = module.convolution.weight
        blocks = weight.reshape(len(weight), layer, -1, 1, 1)
        taken = blocks[:, [*seen(row, layer), layer - 1]].flatten(1, 2)
        result: Tensor = module.norm(functional.conv2d(x, taken))
        return result
