"""What supernet and relaxation of edge-labelled cells ask of their space."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nasbench_kit.spaces.decisions import Choices, DecisionSpace
from nasbench_kit.spaces.edge_cells.cell import Edge

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit.spaces.edge_cells.cell import Layer, Slot
    from nasbench_kit.spaces.edge_cells.relaxation import Relaxation
    from nasbench_kit.spaces.edge_cells.supernet import Supernet
    from nasbench_kit.spaces.skeleton import Skeleton


class EdgeCellSpace(DecisionSpace):
    """A space of one or two cells whose operations stand on edges.

    A subclass says which edges there may be, which of them an architecture has, and how strengths of
    all options make an architecture.
    """

    #: All edges of all cells, each cell's by target; as many operations on each.
    slots: tuple[Slot, ...]
    #: Whether a batch norm and a ReLU stand before the pool and the classifier.
    normalised_head = False
    #: Channels of the stem, for each of a node in the first cell.
    stem_multiplier = 1

    @abstractmethod
    def layers(self, skeleton: Skeleton) -> list[Layer]:
        """What stands behind the stem.

        Raises:
            InvalidSetting: the skeleton does not suit the space.
        """

    @abstractmethod
    def taken(self, architecture: Choices) -> dict[int, int]:
        """Of the slots that an architecture uses, by their place: the option of each, ascending.

        Raises:
            NotInSpace: it is outside.
        """

    @abstractmethod
    def strongest(
        self, strengths: NDArray[np.float64], of_edges: NDArray[np.float64]
    ) -> dict[int, int]:
        """The slots that are kept, and the option of each, as ``taken``.

        Args:
            strengths: of every option [slots, options], in logarithms of probabilities.
            of_edges: of every edge [slots], likewise.
        """

    @abstractmethod
    def made_of(self, taken: Mapping[int, int]) -> Choices:
        """The inverse of ``taken``."""

    def edges_of(self, architecture: Choices) -> list[list[Edge]]:
        """The edges of each cell, by target.

        Raises:
            NotInSpace: the architecture is outside.
        """
        cells: list[list[Edge]] = [[] for _ in range(1 + max(slot.kind for slot in self.slots))]
        for place, option in self.taken(architecture).items():
            kind, source, target, operations = self.slots[place]
            cells[kind].append(Edge(source, target, operations[option]))
        return cells

    def joined(self, kind: int, taken: Sequence[int]) -> Sequence[int]:
        """Nodes that are concatenated as a cell's output, given its slots; none: the last one alone."""
        return ()

    def joinable(self, kind: int) -> Sequence[int]:
        """Nodes that some cell concatenates, and all that a mixture does."""
        return self.joined(kind, ())

    @abstractmethod
    def work_of(
        self,
        slots: Sequence[tuple[int, int]],
        skeleton: Skeleton,
        image_shape: tuple[int, int, int],
        channel_divisor: int = 1,
    ) -> NDArray[np.float64]:
        """What one image costs where these are computed: (slot, option), several a slot in a mixture."""

    # The torch half -------------------------------------------------------------------------------

    def supernet(
        self, skeleton: Skeleton, image_channels: int, classes: int, generator: torch.Generator
    ) -> Supernet:
        """Shared weights; see `nasbench_kit.spaces.edge_cells.supernet`.

        Raises:
            InvalidSetting: the skeleton does not suit the space.
        """
        from nasbench_kit.spaces.edge_cells.supernet import Supernet

        return Supernet(self, skeleton, image_channels, classes, generator)

    def relaxation(self, rng: Generator) -> Relaxation:
        """Logits of all options; see `nasbench_kit.spaces.edge_cells.relaxation`."""
        from nasbench_kit.spaces.edge_cells.relaxation import Relaxation

        return Relaxation(self, rng)

    def work(
        self, architecture: Choices, skeleton: Skeleton, image_shape: tuple[int, int, int]
    ) -> NDArray[np.float64]:
        """Of one image, forward."""
        return self.work_of(list(self.taken(architecture).items()), skeleton, image_shape)
