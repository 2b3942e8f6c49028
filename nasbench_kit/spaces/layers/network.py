"""The torch network of a layer sequence: stem, layers, 1x1 convolution, global average pool, classifier.

Source: xiusu/NAS-Bench-Macro; Sandler et al., MobileNetV2, CVPR 2018, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nasbench_kit.spaces.image_network import ImageNetwork, set_bn_momentum

if TYPE_CHECKING:
    from nasbench_kit.spaces.layers.sequence import Layer
    from nasbench_kit.spaces.skeleton import Precision


class SequenceNetwork(ImageNetwork):
    """The network of blocks and layers.

    Args:
        blocks: (kernel size, expansion) of each layer's MobileNetV2 block; None is an identity,
            which is a 1x1 convolution where resolution and channels change.
        layers: channels and stride of each.
        head_channels: before the classifier.
        image_channels: channels of an image.
        classes: number of logits.
        generator: draws the fresh weights; global random state is neither read nor changed.
        bn_momentum: share of the newest batch in the running statistics, PyTorch's meaning; None
            averages all batches equally.
        precision: of the arithmetic; weights, statistics and logits are float32 in any case.
    """

    def __init__(
        self,
        blocks: Sequence[tuple[int, int] | None],
        layers: Sequence[Layer],
        *,
        head_channels: int,
        image_channels: int,
        classes: int,
        generator: torch.Generator,
        bn_momentum: float | None,
        precision: Precision,
    ) -> None:
        super().__init__(precision)
        with torch.random.fork_rng(devices=[]):  # modules draw as they are made; drawn again below
            modules: list[nn.Module] = [convolution(image_channels, layers[0].in_channels, 3)]
            for block, layer in zip(blocks, layers, strict=True):
                if block is not None:
                    modules.append(InvertedResidual(layer, *block))
                elif layer.stride > 1:
                    modules.append(
                        convolution(
                            layer.in_channels,
                            layer.out_channels,
                            1,
                            stride=layer.stride,
                            activation=False,
                        )
                    )
            modules.append(convolution(layers[-1].out_channels, head_channels, 1))
            self.layers = nn.Sequential(*modules)
            self.classifier = nn.Linear(head_channels, classes)
        set_bn_momentum(self, bn_momentum)
        draw_weights(self, generator)


class InvertedResidual(nn.Module):
    """MobileNetV2's block: expand, filter by channel, project; a shortcut where shapes allow.

    An expansion of 1 is none.
    """

    def __init__(self, layer: Layer, kernel: int, expansion: int) -> None:
        super().__init__()
        inner = expansion * layer.in_channels
        self.shortcut = layer.stride == 1 and layer.in_channels == layer.out_channels
        self.block = nn.Sequential(
            *([convolution(layer.in_channels, inner, 1)] if expansion > 1 else []),
            convolution(inner, inner, kernel, stride=layer.stride, groups=inner),
            convolution(inner, layer.out_channels, 1, activation=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[n, in_channels, h, w] -> [n, out_channels, h / stride, w / stride]."""
        y: Tensor = self.block(x)
        return x + y if self.shortcut else y


def convolution(
    in_channels: int,
    out_channels: int,
    kernel: int,
    *,
    stride: int = 1,
    groups: int = 1,
    activation: bool = True,
) -> nn.Sequential:
    """Convolution, batch norm and, unless told otherwise, ReLU6."""
    modules: list[nn.Module] = [
        nn.Conv2d(
            in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False
        ),
        nn.BatchNorm2d(out_channels),
    ]
    if activation:
        modules.append(nn.ReLU6(inplace=True))
    return nn.Sequential(*modules)


def draw_weights(network: nn.Module, generator: torch.Generator) -> None:
    """He's normal initialisation by fan-out for convolutions, normal (0, 0.01) for the classifier."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", generator=generator)
            elif isinstance(module, nn.Linear):
                module.weight.normal_(0.0, 0.01, generator=generator)
                module.bias.zero_()
