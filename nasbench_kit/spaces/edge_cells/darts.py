"""DARTS' space: a normal and a reduction cell of four nodes, each of two of the nodes before it.

    >>> space = DARTS()
    >>> space.parse(PUBLISHED["DARTS_V2"]) in space
    True

Every node takes two different edges out of those from all nodes before it (14 in a cell), with one of
seven operations on each; in the relaxation there is ``none`` besides. The relaxation keeps the two
edges whose strongest operation but ``none`` is strongest.

RobustDARTS' spaces have other operations on the same edges (`robust_darts`).

Source: Liu et al., DARTS, ICLR 2019, sections 2.1, 2.4 and appendix A.1; quark0/darts.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.spaces.decisions import Choices
from nasbench_kit.spaces.edge_cells import genotype, robust_darts, two_inputs
from nasbench_kit.spaces.edge_cells.cell import Slot
from nasbench_kit.spaces.edge_cells.space import EdgeCellSpace
from nasbench_kit.spaces.edge_cells.two_inputs import INPUTS
from nasbench_kit.spaces.protocols import Decision
from nasbench_kit.spaces.skeleton import Skeleton

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from nasbench_kit.spaces.edge_cells.cell import Layer
    from nasbench_kit.spaces.skeleton import Precision

OPERATIONS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
#: What the space of a name chooses from, on each edge.
VARIANTS = {"darts": (OPERATIONS,) * 28, **robust_darts.VARIANTS}
CELLS = ("normal", "reduce")
NODES = 4

#: The paper's networks on CIFAR-10: 8 cells in search, 20 in the end (Liu et al., section 3.1).
SEARCHED = Skeleton(stem_channels=16, stacks=3, cells_per_stack=2)
EVALUATED = Skeleton(stem_channels=36, stacks=3, cells_per_stack=6)


class DARTS(EdgeCellSpace):
    """About 10^18 architectures, 1,037,664,180 of each cell.

    Args:
        name: which operations there are, a key of ``VARIANTS``; or of another space.
        operations: of another space, on each edge: those of the normal cell by target and source, then
            those of the reduction cell. As many of each, with ``none`` in the same place if at all.
        nodes: of each cell, its inputs left out.
    """

    stem_multiplier = 3

    def __init__(
        self, name: str = "darts", operations: Sequence[Sequence[str]] = (), nodes: int = NODES
    ) -> None:
        self.name = name
        self.nodes = nodes
        of_edges = tuple(map(tuple, operations)) or VARIANTS[name]
        names = of_edges[0]
        self.kept = [option for option, operation in enumerate(names) if operation != "none"]
        ends = [(kind, u, v) for kind in range(2) for v in self.inner for u in range(v)]
        self.slots = tuple(Slot(*end, of) for end, of in zip(ends, of_edges, strict=True))
        self._place = {slot[:3]: place for place, slot in enumerate(self.slots)}
        # Where each edge has operations of its own, a choice between them has no name but its number.
        alike = len(set(of_edges)) == 1
        taken = tuple(names[option] if alike else str(option) for option in self.kept)
        self.decisions = tuple(
            Decision(f"{CELLS[kind]} node {node} {what}", options)
            for kind in range(2)
            for node in self.inner
            for what, options in (
                ("inputs", tuple(f"{u}-{v}" for u, v in _pairs(node))),
                ("first", taken),
                ("second", taken),
            )
        )

    def __reduce__(self) -> tuple[object, ...]:
        return DARTS, (self.name, [slot.operations for slot in self.slots], self.nodes)

    @property
    def inner(self) -> range:
        """The nodes that are no inputs."""
        return range(INPUTS, INPUTS + self.nodes)

    # Text ------------------------------------------------------------------------------------

    def write(self, options: Sequence[int]) -> str:
        """quark0's flat genotype, without blanks."""
        return genotype.flat(self._cells(options), [self.joined(0, ()), self.joined(1, ())])

    def nested(self, architecture: Choices) -> str:
        """Katib's nested genotype, without blanks; ``parse`` reads either.

        Raises:
            NotInSpace: the architecture is outside.
        """
        cells = self._cells(self.encode(architecture))
        return genotype.nested(cells, [self.joined(0, ()), self.joined(1, ())])

    def read(self, text: str) -> Sequence[int]:
        """The inverse of ``write`` and ``nested``; the two edges of a node come in any order.

        Raises:
            ValueError: another form, or a cell that is none of this space.
        """
        cells, joined = genotype.parse(text)
        taken = {}
        if joined != [list(self.joined(kind, ())) for kind in range(2)]:
            raise ValueError(text)
        for kind, cell in enumerate(cells):
            if len(cell) != 2 * self.nodes:
                raise ValueError(text)
            for place, (operation, source) in enumerate(cell):
                node = INPUTS + place // 2
                slot = self._place.get((kind, source, node))
                if slot is None or slot in taken or operation == "none":
                    raise ValueError(text)
                taken[slot] = self.slots[slot].operations.index(operation)
        return self._options(taken)

    def draw(self, architecture: Choices) -> str:
        """Both cells as graphs, operations on their edges, as SVG."""
        from nasbench_kit.spaces.edge_cells.drawing import cells_as_svg

        return cells_as_svg(
            INPUTS + self.nodes, self.edges_of(architecture), architecture.to_text()
        )

    # The cells -------------------------------------------------------------------------------

    def taken(self, architecture: Choices) -> dict[int, int]:
        """The two edges of each node, and the option of each."""
        options = self.encode(architecture)
        taken = {}
        for place in range(2 * self.nodes):
            kind, node = place // self.nodes, INPUTS + place % self.nodes
            pair, *chosen = options[3 * place : 3 * place + 3]
            for source, option in zip(_pairs(node)[pair], chosen, strict=True):
                taken[self._place[kind, source, node]] = self.kept[option]
        return taken

    def made_of(self, taken: Mapping[int, int]) -> Choices:
        """The architecture of two edges a node."""
        return Choices(self, self._options(taken))

    def strongest(
        self, strengths: NDArray[np.float64], of_edges: NDArray[np.float64]
    ) -> dict[int, int]:
        """Of each node the two edges whose best operation but ``none`` is strongest (section 2.4)."""
        best = strengths[:, self.kept].argmax(1)
        strength = strengths[:, self.kept].max(1) + of_edges
        kept: list[int] = []
        for kind in range(2):
            for node in self.inner:
                places = [self._place[kind, source, node] for source in range(node)]
                kept += sorted(sorted(places, key=lambda place: -strength[place])[:2])
        return {place: self.kept[best[place]] for place in kept}

    def joined(self, kind: int, taken: Sequence[int]) -> Sequence[int]:
        """All nodes but the inputs."""
        return self.inner

    def _options(self, taken: Mapping[int, int]) -> tuple[int, ...]:
        options: list[int] = []
        for kind in range(2):
            for node in self.inner:
                places = [self._place[kind, u, node] for u in range(node)]
                used = [u for u, place in enumerate(places) if place in taken]
                options.append(_pairs(node).index((used[0], used[1])))
                options += [self.kept.index(taken[places[u]]) for u in used]
        return tuple(options)

    def _cells(self, options: Sequence[int]) -> list[list[tuple[str, int]]]:
        cells: list[list[tuple[str, int]]] = [[], []]
        for place, option in self.taken(Choices(self, tuple(options))).items():
            slot = self.slots[place]
            cells[slot.kind].append((slot.operations[option], slot.source))
        return cells

    # The torch half ----------------------------------------------------------------------------

    def layers(self, skeleton: Skeleton) -> list[Layer]:
        """Normal cells, and reduction cells between stacks."""
        return two_inputs.stacked(skeleton, self.stem_multiplier, (self.nodes, self.nodes))

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
        """The network of an architecture; the paper's skeletons are ``SEARCHED`` and ``EVALUATED``."""
        from nasbench_kit.spaces.edge_cells.network import TwoInputNetwork

        return TwoInputNetwork(
            self.edges_of(architecture),
            [self.joined(0, ()), self.joined(1, ())],
            self.layers(skeleton),
            image_channels=image_channels,
            classes=classes,
            generator=generator,
            bn_momentum=bn_momentum,
            precision=precision,
        )

    def work_of(
        self,
        slots: Sequence[tuple[int, int]],
        skeleton: Skeleton,
        image_shape: tuple[int, int, int],
        channel_divisor: int = 1,
    ) -> NDArray[np.float64]:
        """Of one image, forward; see `nasbench_kit.spaces.edge_cells.two_inputs.work`."""
        layers = self.layers(skeleton)
        return two_inputs.work(self.slots, slots, layers, image_shape, channel_divisor)


def _pairs(node: int) -> list[tuple[int, int]]:
    return list(itertools.combinations(range(node), 2))


#: What searches of the literature ended at, on CIFAR-10.
PUBLISHED = {
    "DARTS_V1": (
        "Genotype(normal=[('sep_conv_3x3',1),('sep_conv_3x3',0),('skip_connect',0),('sep_conv_3x3',1),"
        "('skip_connect',0),('sep_conv_3x3',1),('sep_conv_3x3',0),('skip_connect',2)],"
        "normal_concat=range(2,6),reduce=[('max_pool_3x3',0),('max_pool_3x3',1),('skip_connect',2),"
        "('max_pool_3x3',0),('max_pool_3x3',0),('skip_connect',2),('skip_connect',2),"
        "('avg_pool_3x3',0)],reduce_concat=range(2,6))"
    ),
    "DARTS_V2": (
        "Genotype(normal=[('sep_conv_3x3',0),('sep_conv_3x3',1),('sep_conv_3x3',0),('sep_conv_3x3',1),"
        "('sep_conv_3x3',1),('skip_connect',0),('skip_connect',0),('dil_conv_3x3',2)],"
        "normal_concat=range(2,6),reduce=[('max_pool_3x3',0),('max_pool_3x3',1),('skip_connect',2),"
        "('max_pool_3x3',1),('max_pool_3x3',0),('skip_connect',2),('skip_connect',2),"
        "('max_pool_3x3',1)],reduce_concat=range(2,6))"
    ),
    "GDAS": (
        "Genotype(normal=[('skip_connect',0),('skip_connect',1),('skip_connect',0),('sep_conv_5x5',2),"
        "('sep_conv_3x3',3),('skip_connect',0),('sep_conv_5x5',4),('sep_conv_3x3',3)],"
        "normal_concat=range(2,6),reduce=[('sep_conv_5x5',0),('sep_conv_3x3',1),('sep_conv_5x5',2),"
        "('sep_conv_5x5',1),('dil_conv_5x5',2),('sep_conv_3x3',1),('sep_conv_5x5',0),"
        "('sep_conv_5x5',1)],reduce_concat=range(2,6))"
    ),
    "SNAS": (
        "Genotype(normal=[('sep_conv_3x3',0),('sep_conv_3x3',1),('skip_connect',0),('dil_conv_3x3',1),"
        "('skip_connect',1),('skip_connect',0),('skip_connect',0),('sep_conv_3x3',1)],"
        "normal_concat=range(2,6),reduce=[('max_pool_3x3',0),('max_pool_3x3',1),('max_pool_3x3',1),"
        "('skip_connect',2),('skip_connect',2),('max_pool_3x3',1),('max_pool_3x3',0),"
        "('dil_conv_5x5',2)],reduce_concat=range(2,6))"
    ),
    "PC-DARTS": (
        "Genotype(normal=[('sep_conv_3x3',1),('skip_connect',0),('sep_conv_3x3',0),('dil_conv_3x3',1),"
        "('sep_conv_5x5',0),('sep_conv_3x3',1),('avg_pool_3x3',0),('dil_conv_3x3',1)],"
        "normal_concat=range(2,6),reduce=[('sep_conv_5x5',1),('max_pool_3x3',0),('sep_conv_5x5',1),"
        "('sep_conv_5x5',2),('sep_conv_3x3',0),('sep_conv_3x3',3),('sep_conv_3x3',1),"
        "('sep_conv_3x3',2)],reduce_concat=range(2,6))"
    ),
    "P-DARTS": (
        "Genotype(normal=[('skip_connect',0),('dil_conv_3x3',1),('skip_connect',0),('sep_conv_3x3',1),"
        "('sep_conv_3x3',1),('sep_conv_3x3',3),('sep_conv_3x3',0),('dil_conv_5x5',4)],"
        "normal_concat=range(2,6),reduce=[('avg_pool_3x3',0),('sep_conv_5x5',1),('sep_conv_3x3',0),"
        "('dil_conv_5x5',2),('max_pool_3x3',0),('dil_conv_3x3',1),('dil_conv_3x3',1),"
        "('dil_conv_5x5',3)],reduce_concat=range(2,6))"
    ),
}
