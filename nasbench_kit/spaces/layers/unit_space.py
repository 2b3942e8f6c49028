"""A space whose networks are lists of units."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from nasbench_kit.spaces.decisions import Choices, ChoiceSpace
from nasbench_kit.spaces.layers import units

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from nasbench_kit.spaces.skeleton import Precision, Skeleton


class UnitSpace(ChoiceSpace):
    """Says the units of an architecture, and so has its network and its work."""

    @abstractmethod
    def units(
        self, architecture: Choices, skeleton: Skeleton, image_channels: int
    ) -> units.Network:
        """What the network consists of.

        Args:
            architecture: of this space.
            skeleton: what stands around it, as far as the space leaves that open.
            image_channels: channels of an image.
        """

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
        """The units, global average pool, classifier; see `nasbench_kit.spaces.protocols.Trainable`."""
        from nasbench_kit.spaces.layers.unit_network import UnitNetwork

        return UnitNetwork(
            self.units(architecture, skeleton, image_channels),
            image_channels=image_channels,
            classes=classes,
            generator=generator,
            bn_momentum=bn_momentum,
            precision=precision,
        )

    def work(
        self, architecture: Choices, skeleton: Skeleton, image_shape: tuple[int, int, int]
    ) -> NDArray[np.float64]:
        """Of one image, forward; see `nasbench_kit.spaces.layers.units.work`."""
        return units.work(self.units(architecture, skeleton, image_shape[2]), image_shape)
