"""NAS-Bench-Macro's space: eight layers, each an identity or one of two MobileNetV2 blocks.

Three stages of 2, 3 and 3 layers; the first layer of a stage halves the resolution and doubles the
channels. An architecture is written as its eight digits: ``22212220``.

Source: Su et al., Prioritized architecture sampling with Monto-Carlo tree search, CVPR 2021, section
5.1; xiusu/NAS-Bench-Macro.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nasbench_kit.spaces.decisions import Choices, DecisionSpace
from nasbench_kit.spaces.layers.sequence import Layer, sequence_work
from nasbench_kit.spaces.protocols import Decision

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from nasbench_kit.spaces.skeleton import Precision, Skeleton

#: Layers of each stage.
STAGES = (2, 3, 3)
#: Kernel size and expansion of options 1 and 2; option 0 is the identity.
BLOCKS = ((3, 3), (5, 6))
_OPTIONS = ("identity", *(f"block{kernel}x{kernel}-{expansion}" for kernel, expansion in BLOCKS))
#: Channels before the classifier for each channel after the stem: 1,280 of 32.
_HEAD = 40


class NASBenchMacro(DecisionSpace):
    """All 3^8 = 6,561 sequences, numbered by their digits."""

    name = "nasbench-macro"
    decisions = tuple(Decision(f"layer {i}", _OPTIONS) for i in range(sum(STAGES)))

    def __reduce__(self) -> tuple[object, ...]:
        return NASBenchMacro, ()

    def network(
        self,
        architecture: Choices,
        skeleton: Skeleton,
        image_channels: int,
        classes: int,
        *,
        generator: torch.Generator,
        bn_momentum: float | None,
        precision: Precision,
    ) -> torch.nn.Module:
        """Stem, the eight layers, a 1x1 convolution, global average pool, classifier.

        Of the skeleton only ``stem_channels`` counts (32 in the benchmark); the stages are fixed.
        """
        from nasbench_kit.spaces.layers.network import SequenceNetwork

        return SequenceNetwork(
            blocks(self.encode(architecture)),
            layers(skeleton.stem_channels),
            head_channels=_HEAD * skeleton.stem_channels,
            image_channels=image_channels,
            classes=classes,
            generator=generator,
            bn_momentum=bn_momentum,
            precision=precision,
        )

    def work(
        self, architecture: Choices, skeleton: Skeleton, image_shape: tuple[int, int, int]
    ) -> NDArray[np.float64]:
        """Of one image, forward: 1, layers, multiply-accumulates, values written by convolutions."""
        return sequence_work(
            [[block] for block in blocks(self.encode(architecture))],
            layers(skeleton.stem_channels),
            _HEAD * skeleton.stem_channels,
            image_shape,
        )


def blocks(options: Sequence[int]) -> list[tuple[int, int] | None]:
    """Kernel size and expansion of every layer's block; None is an identity."""
    return [None if option == 0 else BLOCKS[option - 1] for option in options]


def layers(stem_channels: int) -> list[Layer]:
    """The eight layers behind a stem."""
    channels = stem_channels
    places = []
    for count in STAGES:
        places.append(Layer(channels, 2 * channels, 2))
        channels *= 2
        places += [Layer(channels, channels, 1)] * (count - 1)
    return places
