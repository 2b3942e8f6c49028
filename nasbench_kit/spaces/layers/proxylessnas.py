"""ProxylessNAS' chain: 21 places for MobileNetV2 blocks, whose kernel and expansion are chosen.

Six stages of 4, 4, 4, 4, 4 and 1 blocks stand behind a stem and a fixed block; the first block of stages
1, 2, 3 and 5 halves the resolution. Every other block but a stage's first may also be left out. An
architecture is written as its 21 digits.

Source: Cai, Zhu, Han, ProxylessNAS, ICLR 2019 (arXiv 1812.00332), section 3 and the released search
code. Its stem halves images of ImageNet once more, which is left to the images here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from nasbench_kit.spaces.decisions import Choices, ChoiceSpace
from nasbench_kit.spaces.edge_cells.cell import Slot
from nasbench_kit.spaces.layers.sequence import Block, Layer, sequence_work
from nasbench_kit.spaces.protocols import Decision

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit.spaces.edge_cells.relaxation import Relaxation
    from nasbench_kit.spaces.layers.chain_supernet import ChainSupernet
    from nasbench_kit.spaces.skeleton import Precision, Skeleton

#: Kernel size and expansion of the options; a further one leaves the block out.
BLOCKS = tuple((kernel, expansion) for expansion in (3, 6) for kernel in (3, 5, 7))
_NAMES = (*(f"mbconv{kernel}x{kernel}-{expansion}" for kernel, expansion in BLOCKS), "none")
#: Of each stage: blocks, stride of the first one, and channels behind a stem of 32.
STAGES = (4, 4, 4, 4, 4, 1)
STRIDES = (2, 2, 2, 1, 2, 1)
WIDTHS = (24, 40, 80, 96, 192, 320)
#: Channels behind the stem, of the fixed first block, and before the classifier.
_STEM, _FIRST, _HEAD = 32, 16, 1280

#: The paper's networks for ImageNet, whose widths are others than those of the search; kernels and expansions
#: are those of the released networks.
PUBLISHED = {
    "mobile": "106620115111411155225",
    "cpu": "300030013660400041104",
    "gpu": "166626605661460155545",
}


def _decisions() -> Iterator[Decision]:
    for stage, blocks in enumerate(STAGES, 1):
        for block in range(1, blocks + 1):
            names = _NAMES[:-1] if block == 1 else _NAMES
            yield Decision(f"stage {stage} block {block}", names)


class ProxylessNAS(ChoiceSpace):
    """All 6^6 times 7^15 chains."""

    name = "proxylessnas"
    decisions = tuple(_decisions())
    slots = tuple(Slot(0, place, place + 1, _NAMES) for place in range(sum(STAGES)))

    def __reduce__(self) -> tuple[object, ...]:
        return ProxylessNAS, ()

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
        """Stem, a fixed block, the chain, a 1x1 convolution, global average pool, classifier.

        Of the skeleton only ``stem_channels`` counts: 32 are the paper's, and all widths go with them.
        """
        from nasbench_kit.spaces.layers.network import SequenceNetwork

        return SequenceNetwork(
            blocks(self.encode(architecture)),
            layers(skeleton.stem_channels),
            head_channels=head_channels(skeleton.stem_channels),
            image_channels=image_channels,
            classes=classes,
            generator=generator,
            bn_momentum=bn_momentum,
            precision=precision,
        )

    def work(
        self, architecture: Choices, skeleton: Skeleton, image_shape: tuple[int, int, int]
    ) -> NDArray[np.float64]:
        """Of one image, forward; see `nasbench_kit.spaces.layers.sequence.sequence_work`."""
        return sequence_work(
            [[block] for block in blocks(self.encode(architecture))],
            layers(skeleton.stem_channels),
            head_channels(skeleton.stem_channels),
            image_shape,
        )

    # Shared weights ------------------------------------------------------------------------------
    # What `edge_cells.relaxation` asks of its space: every place has all seven options, of which a
    # first block's last one computes nothing and is never the strongest.

    def supernet(
        self, skeleton: Skeleton, image_channels: int, classes: int, generator: torch.Generator
    ) -> ChainSupernet:
        """Fresh shared weights; see `nasbench_kit.spaces.one_shot.OneShotSpace`."""
        from nasbench_kit.spaces.layers.chain_supernet import ChainSupernet

        return ChainSupernet(self, skeleton, image_channels, classes, generator)

    def relaxation(self, rng: Generator) -> Relaxation:
        """Fresh logits of all options of all places; a first block's last option has no probability."""
        from nasbench_kit.spaces.edge_cells.relaxation import Relaxation

        relaxation = Relaxation(self, rng)  # type: ignore[arg-type]  # all that it asks for is here
        for place, decision in enumerate(self.decisions):
            relaxation.kept[place, len(decision.options) :] = False
        return relaxation

    def taken(self, architecture: Choices) -> dict[int, int]:
        """The option of each place."""
        return dict(enumerate(self.encode(architecture)))

    def made_of(self, taken: Mapping[int, int]) -> Choices:
        """The inverse of ``taken``."""
        return Choices(self, tuple(taken[place] for place in range(len(self.decisions))))

    def strongest(
        self, strengths: NDArray[np.float64], of_edges: NDArray[np.float64]
    ) -> dict[int, int]:
        """The likeliest option of each place, of those that it has."""
        return {
            place: int(strengths[place, : len(decision.options)].argmax())
            for place, decision in enumerate(self.decisions)
        }

    def work_of(
        self,
        slots: Sequence[tuple[int, int]],
        skeleton: Skeleton,
        image_shape: tuple[int, int, int],
        channel_divisor: int = 1,
    ) -> NDArray[np.float64]:
        """What one image costs where these are computed: (place, option), several a place."""
        places = layers(skeleton.stem_channels)
        computed: list[list[Block]] = [[] for _ in self.decisions]
        for place, option in slots:
            if option < len(BLOCKS):  # leaving a block out costs nothing
                computed[place].append(BLOCKS[option])
        head = head_channels(skeleton.stem_channels)
        return sequence_work([[(3, 1)], *computed], places, head, image_shape)


def blocks(options: Sequence[int]) -> list[tuple[int, int] | None]:
    """The fixed block, and those of the chain; None is left out."""
    return [(3, 1), *(BLOCKS[option] if option < len(BLOCKS) else None for option in options)]


def layers(stem_channels: int, widths: Sequence[int] = WIDTHS) -> list[Layer]:
    """Where the fixed block and the 21 of the chain stand.

    Args:
        stem_channels: behind the stem.
        widths: of the stages, behind a stem of 32.
    """
    channels = _scaled(_FIRST, stem_channels)
    places = [Layer(stem_channels, channels, 1)]
    for count, stride, width in zip(STAGES, STRIDES, widths, strict=True):
        wide = _scaled(width, stem_channels)
        places.append(Layer(channels, wide, stride))
        places += [Layer(wide, wide, 1)] * (count - 1)
        channels = wide
    return places


def head_channels(stem_channels: int) -> int:
    """Channels before the classifier."""
    return _scaled(_HEAD, stem_channels)


def _scaled(channels: int, stem_channels: int) -> int:
    """Channels behind another stem than 32, in whole eights."""
    return max(8, round(channels * stem_channels / (8 * _STEM)) * 8)
