"""Cells of blocks: ENAS' micro space, NASNet's and PNAS'.

A block adds up two operations, each on any of the nodes before it; nodes that no block reads are
concatenated. Block after block, the decisions are the first input and its operation, then the second.
NASNet's blocks add; that they might concatenate, which NASNet-A does nowhere, is left out. AmoebaNet
searches the same space. PNAS has one
cell, which reduces where it has stride 2.

Source: Pham et al., ENAS, ICML 2018, section 2.4, and its released code; Zoph et al., NASNet, CVPR 2018,
section 3; Real et al., AmoebaNet, AAAI 2019; Liu et al., PNAS, ECCV 2018, section 3.1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from nasbench_kit.spaces.decisions import Choices
from nasbench_kit.spaces.edge_cells import genotype, two_inputs
from nasbench_kit.spaces.edge_cells.cell import Slot
from nasbench_kit.spaces.edge_cells.space import EdgeCellSpace
from nasbench_kit.spaces.edge_cells.two_inputs import INPUTS
from nasbench_kit.spaces.protocols import Decision

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from nasbench_kit.spaces.edge_cells.cell import Layer
    from nasbench_kit.spaces.skeleton import Precision, Skeleton

#: Operations of each space, as ENAS' released code numbers them and as the papers list them.
OPERATIONS = {
    "enas-micro": ("sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3", "skip_connect"),
    "nasnet": (
        "skip_connect",
        "conv_1x3_3x1",
        "conv_1x7_7x1",
        "dil_conv_3x3",
        "avg_pool_3x3",
        "max_pool_3x3",
        "max_pool_5x5",
        "max_pool_7x7",
        "conv_1x1",
        "conv_3x3",
        "sep_conv_3x3",
        "sep_conv_5x5",
        "sep_conv_7x7",
    ),
    "pnas": (
        "sep_conv_3x3",
        "sep_conv_5x5",
        "sep_conv_7x7",
        "conv_1x7_7x1",
        "skip_connect",
        "avg_pool_3x3",
        "max_pool_3x3",
        "dil_conv_3x3",
    ),
}
BLOCKS = 5
_NODES = range(INPUTS, INPUTS + BLOCKS)

#: Cells of the literature: the space of each, and its genotype. Published ones that concatenate a node which a
#: block reads, as PNASNet-5's do, leave it out here.
PUBLISHED = {
    "NASNet-A": (
        "nasnet",
        (
            "Genotype(normal=[('sep_conv_5x5',1),('sep_conv_3x3',0),('sep_conv_5x5',0),"
            "('sep_conv_3x3',0),('avg_pool_3x3',1),('skip_connect',0),('avg_pool_3x3',0),"
            "('avg_pool_3x3',0),('sep_conv_3x3',1),('skip_connect',1)],normal_concat=range(2,7),"
            "reduce=[('sep_conv_5x5',1),('sep_conv_7x7',0),('max_pool_3x3',1),('sep_conv_7x7',0),"
            "('avg_pool_3x3',1),('sep_conv_5x5',0),('skip_connect',3),('avg_pool_3x3',2),"
            "('sep_conv_3x3',2),('max_pool_3x3',1)],reduce_concat=range(4,7))"
        ),
    ),
    "AmoebaNet-A": (
        "nasnet",
        (
            "Genotype(normal=[('avg_pool_3x3',0),('max_pool_3x3',1),('sep_conv_3x3',0),"
            "('sep_conv_5x5',2),('sep_conv_3x3',0),('avg_pool_3x3',3),('sep_conv_3x3',1),"
            "('skip_connect',1),('skip_connect',0),('avg_pool_3x3',1)],normal_concat=range(4,7),"
            "reduce=[('avg_pool_3x3',0),('sep_conv_3x3',1),('max_pool_3x3',0),('sep_conv_7x7',2),"
            "('sep_conv_7x7',0),('avg_pool_3x3',1),('max_pool_3x3',0),('max_pool_3x3',1),"
            "('conv_1x7_7x1',0),('sep_conv_3x3',5)],reduce_concat=[3,4,6])"
        ),
    ),
    "PNASNet-5": (
        "pnas",
        (
            "Genotype(normal=[('sep_conv_5x5',0),('max_pool_3x3',0),('sep_conv_7x7',1),"
            "('max_pool_3x3',1),('sep_conv_5x5',1),('sep_conv_3x3',1),('sep_conv_3x3',4),"
            "('max_pool_3x3',1),('sep_conv_3x3',0),"
            "('skip_connect',1)],normal_concat=[2,3,5,6],reduce=[('sep_conv_5x5',0),"
            "('max_pool_3x3',0),('sep_conv_7x7',1),('max_pool_3x3',1),('sep_conv_5x5',1),"
            "('sep_conv_3x3',1),('sep_conv_3x3',4),('max_pool_3x3',1),('sep_conv_3x3',0),"
            "('skip_connect',1)],reduce_concat=[2,3,5,6])"
        ),
    ),
    "ENAS": (
        "enas-micro",
        (
            "Genotype(normal=[('avg_pool_3x3',0),('sep_conv_3x3',0),('skip_connect',0),"
            "('sep_conv_5x5',0),('skip_connect',0),('sep_conv_5x5',1),('sep_conv_3x3',1),"
            "('sep_conv_5x5',0),('avg_pool_3x3',0),('sep_conv_5x5',1)],normal_concat=range(2,7),"
            "reduce=[('sep_conv_3x3',1),('sep_conv_3x3',1),('max_pool_3x3',0),('avg_pool_3x3',0),"
            "('sep_conv_5x5',1),('sep_conv_5x5',3),('sep_conv_3x3',1),('skip_connect',0),"
            "('max_pool_3x3',0),('sep_conv_5x5',1)],reduce_concat=[2,4,5,6])"
        ),
    ),
}


class Blocks(EdgeCellSpace):
    """Five blocks a cell.

    Args:
        name: a key of ``OPERATIONS``.
    """

    stem_multiplier = 3

    def __init__(self, name: str) -> None:
        self.name = name
        names = OPERATIONS[name]
        #: Different cells: PNAS' is normal and reduction cell in one.
        self.cells = 1 if name == "pnas" else 2
        # Whether an edge is the first or the second of its block does not show in the slot.
        self._places = [
            (kind, node, side, source)
            for kind in range(2)
            for node in _NODES
            for side in range(2)
            for source in range(node)
        ]
        self._place = {key: place for place, key in enumerate(self._places)}
        self.slots = tuple(
            Slot(kind, source, node, names) for kind, node, _, source in self._places
        )
        titles = ("cell",) if self.cells == 1 else ("normal", "reduce")
        self.decisions = tuple(
            Decision(f"{title} node {node} {side} {what}", options)
            for title in titles
            for node in _NODES
            for side in ("first", "second")
            for what, options in (("input", tuple(map(str, range(node)))), ("operation", names))
        )

    def __reduce__(self) -> tuple[object, ...]:
        return Blocks, (self.name,)

    def write(self, options: Sequence[int]) -> str:
        """A flat genotype, with the nodes that nobody reads."""
        taken = self.taken(Choices(self, tuple(options)))
        cells: list[list[tuple[str, int]]] = [[], []]
        for place, option in taken.items():
            kind, source, _, names = self.slots[place]
            cells[kind].append((names[option], source))
        return genotype.flat(cells, [self.joined(kind, list(taken)) for kind in range(2)])

    def read(self, text: str) -> Sequence[int]:
        """The inverse of ``write``; Katib's nested form is read as well.

        Raises:
            ValueError: another form, or a cell that is none of this space.
        """
        cells, joined = genotype.parse(text)
        if self.cells == 1 and cells[0] != cells[1]:
            raise ValueError(text)
        names = OPERATIONS[self.name]
        options: list[int] = []
        for cell in cells[: self.cells]:
            for operation, source in cell:
                options += [source, names.index(operation)]
        sizes = [len(decision.options) for decision in self.decisions]
        if len(options) != len(sizes) or any(o >= n for o, n in zip(options, sizes, strict=True)):
            raise ValueError(text)
        taken = list(self.taken(Choices(self, tuple(options))))
        if joined != [self.joined(kind, taken) for kind in range(2)]:
            raise ValueError(text)
        return options

    def draw(self, architecture: Choices) -> str:
        """Both cells as graphs, operations on their edges, as SVG."""
        from nasbench_kit.spaces.edge_cells.drawing import cells_as_svg

        cells = self.edges_of(architecture)
        return cells_as_svg(INPUTS + BLOCKS, cells, architecture.to_text())

    # The cells -------------------------------------------------------------------------------

    def taken(self, architecture: Choices) -> dict[int, int]:
        """Of each block its two slots, and the option of each."""
        options = iter(self.encode(architecture) * (3 - self.cells))
        return {
            self._place[kind, node, side, next(options)]: next(options)
            for kind in range(2)
            for node in _NODES
            for side in range(2)
        }

    def made_of(self, taken: Mapping[int, int]) -> Choices:
        """The architecture of two edges a block."""
        options = [
            number
            for place, option in taken.items()
            if self._places[place][0] < self.cells
            for number in (self._places[place][3], option)
        ]
        return Choices(self, tuple(options))

    def strongest(
        self, strengths: NDArray[np.float64], of_edges: NDArray[np.float64]
    ) -> dict[int, int]:
        """Of the first and of the second edge of each block the strongest, with its best operation."""
        taken: dict[int, int] = {}
        for kind in range(2):
            for node in _NODES:
                for side in range(2):
                    like = min(kind, self.cells - 1)
                    places = [self._place[like, node, side, source] for source in range(node)]
                    best = max(places, key=lambda p: strengths[p].max() + of_edges[p])
                    source = self._places[best][3]
                    taken[self._place[kind, node, side, source]] = int(strengths[best].argmax())
        return taken

    def joined(self, kind: int, taken: Sequence[int]) -> list[int]:
        """The nodes that no block reads."""
        read = {self.slots[place].source for place in taken if self.slots[place].kind == kind}
        return [node for node in _NODES if node not in read]

    def joinable(self, kind: int) -> list[int]:
        """All blocks."""
        return list(_NODES)

    # The torch half ----------------------------------------------------------------------------

    def layers(self, skeleton: Skeleton) -> list[Layer]:
        """Normal cells, and reduction cells between stacks, as wide as if no block read another."""
        return two_inputs.stacked(skeleton, self.stem_multiplier, (BLOCKS, BLOCKS))

    def _layers_of(self, slots: Iterable[int], skeleton: Skeleton) -> list[Layer]:
        """Those of a path as wide as it is; of anything else, which is a mixture, as ``layers``."""
        places = list(slots)
        blocks = Counter((self.slots[place].kind, self.slots[place].target) for place in places)
        widths = [BLOCKS, BLOCKS]
        if len(blocks) == 2 * BLOCKS and set(blocks.values()) == {2}:
            widths = [len(self.joined(kind, places)) for kind in range(2)]
        return two_inputs.stacked(skeleton, self.stem_multiplier, widths)

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
        """The network of an architecture; reduction cells stand between the skeleton's stacks."""
        from nasbench_kit.spaces.edge_cells.network import TwoInputNetwork

        taken = list(self.taken(architecture))
        return TwoInputNetwork(
            self.edges_of(architecture),
            [self.joined(kind, taken) for kind in range(2)],
            self._layers_of(taken, skeleton),
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
        layers = self._layers_of([slot for slot, _ in slots], skeleton)
        return two_inputs.work(self.slots, slots, layers, image_shape, channel_divisor)
