"""NATS-Bench's size space: the channels of five layers around one fixed cell.

    >>> space = NATSSizes()
    >>> len(space), space[11].to_text()
    (32768, '8:8:8:16:32')

The cell is the best one of NAS-Bench-201. The first layer's channels are also the stem's; layers 2 and 4
are residual blocks that halve the image, the other three are cells.

Source: Dong et al., NATS-Bench, TPAMI 2021, section 3.2; D-X-Y/NATS-Bench.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nasbench_kit.spaces.decisions import Choices, DecisionSpace
from nasbench_kit.spaces.edge_cells import cell
from nasbench_kit.spaces.edge_cells.nasbench201 import NASBench201, edges_of
from nasbench_kit.spaces.protocols import Decision

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from nasbench_kit.spaces.skeleton import Precision, Skeleton

#: Those that every layer may have.
CHANNELS = tuple(range(8, 72, 8))
LAYERS = 5
CELL = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
_EDGES = edges_of(NASBench201().read(CELL))


class NATSSizes(DecisionSpace):
    """All 8^5 = 32,768 sizes, numbered by their digits, as in the official files."""

    name = "nats-sizes"
    decisions = tuple(
        Decision(f"channels of layer {layer}", tuple(map(str, CHANNELS)))
        for layer in range(1, LAYERS + 1)
    )

    def __reduce__(self) -> tuple[object, ...]:
        return NATSSizes, ()

    def write(self, options: Sequence[int]) -> str:
        """Channels between colons."""
        return ":".join(str(CHANNELS[option]) for option in options)

    def read(self, text: str) -> Sequence[int]:
        """The inverse of ``write``.

        Raises:
            ValueError: another form, or channels that there are not.
        """
        options = [CHANNELS.index(int(part)) for part in text.split(":")]
        if self.write(options) != text:
            raise ValueError(text)
        return options

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
        """Stem, the five layers, global average pool, classifier; nothing of the skeleton counts."""
        from nasbench_kit.spaces.edge_cells.network import Network

        return Network(
            _EDGES,
            layers(self.encode(architecture)),
            image_channels=image_channels,
            classes=classes,
            generator=generator,
            bn_momentum=bn_momentum,
            precision=precision,
        )

    def work(
        self, architecture: Choices, skeleton: Skeleton, image_shape: tuple[int, int, int]
    ) -> NDArray[np.float64]:
        """Of one image, forward; see `nasbench_kit.spaces.edge_cells.cell.work`."""
        return cell.work(_EDGES, layers(self.encode(architecture)), image_shape)


def layers(options: Sequence[int]) -> list[cell.Layer]:
    """The five layers: cells, and residual blocks at the second and the fourth place."""
    channels = [CHANNELS[option] for option in options]
    before = [channels[0], *channels[:-1]]
    return [
        cell.Layer(ins, outs, halves=place % 2 == 1)
        for place, (ins, outs) in enumerate(zip(before, channels, strict=True))
    ]
