"""The supernet of ProxylessNAS' chain: every place holds all its blocks.

It runs architectures with exactly the shapes of their stand-alone networks, and mixtures of all blocks of
all places. A block's shortcut is a part of it, which comes to the same as the paper's shortcut
around the mixture. Batch norm uses the statistics of the batch at hand.

Source: Cai, Zhu, Han, ProxylessNAS, ICLR 2019, sections 3.1 and 3.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nasbench_kit.errors import InvalidSetting
from nasbench_kit.spaces import one_shot
from nasbench_kit.spaces.edge_cells.operations import Zero
from nasbench_kit.spaces.edge_cells.supernet import Mixture, mixed
from nasbench_kit.spaces.layers.network import InvertedResidual, convolution, draw_weights
from nasbench_kit.spaces.layers.proxylessnas import BLOCKS, head_channels, layers

if TYPE_CHECKING:
    from nasbench_kit.spaces.layers.proxylessnas import ProxylessNAS
    from nasbench_kit.spaces.skeleton import Skeleton


class ChainSupernet(one_shot.Supernet):
    """Shared weights of all chains.

    Args:
        space: whose places and blocks there are.
        skeleton: of which ``stem_channels`` counts.
        image_channels: channels of an image.
        classes: number of logits.
        generator: draws the weights. Global random state is neither read nor changed.
    """

    def __init__(
        self,
        space: ProxylessNAS,
        skeleton: Skeleton,
        image_channels: int,
        classes: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.space = space
        fixed, *places = layers(skeleton.stem_channels)
        head = head_channels(skeleton.stem_channels)
        self.strides = [layer.stride for layer in places]
        with torch.random.fork_rng(devices=[]):  # modules draw as they are made; drawn again below
            self.stem = nn.Sequential(
                convolution(image_channels, fixed.in_channels, 3), InvertedResidual(fixed, 3, 1)
            )
            self.places = nn.ModuleList(
                nn.ModuleList(
                    [
                        *(InvertedResidual(layer, *block) for block in BLOCKS),
                        nn.Identity()
                        if len(decision.options) > len(BLOCKS)
                        else Zero(layer.in_channels, layer.out_channels, layer.stride),
                    ]
                )
                for layer, decision in zip(places, space.decisions, strict=True)
            )
            self.head = convolution(places[-1].out_channels, head, 1)
            self.classifier = nn.Linear(head, classes)
        one_shot.use_batch_statistics(self)
        draw_weights(self, generator)

    def forward(self, images: Tensor, run: Any) -> Tensor:
        """[n, image_channels, h, w] -> logits [n, classes] of an architecture or a mixture.

        Raises:
            NotInSpace: an architecture of another space.
            InvalidSetting: a mixture that sees a part of the channels.
        """
        is_mixed = isinstance(run, Mixture)
        if is_mixed and run.channel_divisor > 1:
            raise InvalidSetting(
                f"blocks of the space {self.space.name} see all channels, so PC-DARTS has no place there; "
                "choose another search"
            )
        options = () if is_mixed else self.space.encode(run)
        x = self.stem(images)
        for place, blocks in enumerate(self.places):
            assert isinstance(blocks, nn.ModuleList)
            if is_mixed:
                x = mixed(x, place, blocks, self.strides[place], run)
            else:
                x = blocks[options[place]](x)
        logits: Tensor = self.classifier(self.head(x).mean((2, 3)))
        return logits
