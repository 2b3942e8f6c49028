"""NAS-Bench-201's topology cell: four nodes, one of five operations on each of the six edges.

    >>> space = NASBench201()
    >>> len(space), space[0].to_text()
    (15625, '|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|')

Every labelled architecture is one of its own: the benchmark trained and recorded all of them, also
those that describe the same network (`unique_graphs`).

Source: Dong and Yang, NAS-Bench-201, ICLR 2020, section 2; Dong et al., NATS-Bench, TPAMI 2021;
D-X-Y/NATS-Bench.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from nasbench_kit.spaces.decisions import Choices
from nasbench_kit.spaces.edge_cells import cell
from nasbench_kit.spaces.edge_cells.cell import Edge, Slot
from nasbench_kit.spaces.edge_cells.space import EdgeCellSpace
from nasbench_kit.spaces.protocols import Decision
from nasbench_kit.spaces.skeleton import Skeleton

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from nasbench_kit.spaces.skeleton import Precision

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
NODES = 4
_ENDS = cell.complete(NODES)
#: The seed by which the authors shuffled all architectures before they numbered them.
_SHUFFLED_BY = 88

#: The benchmark's own: 16 channels, three stages of five cells.
SKELETON = Skeleton(stem_channels=16, stacks=3, cells_per_stack=5)
#: How `unique_key` tells two architectures apart.
Rule = Literal["skip", "none-and-skip", "sums"]


class NASBench201(EdgeCellSpace):
    """All 5^6 = 15,625 labelled cells, in the order of the official files.

    That order is the one of the digits, operations as in ``OPERATIONS`` and the last edge fastest,
    shuffled by ``random.Random(88)``; Python guarantees that it stays the same. It is an order like
    any other, and nothing is left to chance here.
    """

    name = "nasbench201"
    decisions = tuple(Decision(f"edge {source}-{target}", OPERATIONS) for source, target in _ENDS)
    slots = tuple(Slot(0, source, target, OPERATIONS) for source, target in _ENDS)
    normalised_head = True

    def __reduce__(self) -> tuple[object, ...]:
        return NASBench201, ()

    def ordered(self) -> Iterable[tuple[int, ...]]:
        """All options in the order of the rows."""
        options = list(itertools.product(range(len(OPERATIONS)), repeat=len(_ENDS)))
        random.Random(_SHUFFLED_BY).shuffle(options)
        return options

    def write(self, options: Sequence[int]) -> str:
        """Node after node, between ``+``; of each its edges, ``operation~source``, between ``|``."""
        nodes = ["|"] * (NODES - 1)
        for source, target, operation in edges_of(options):
            nodes[target - 1] += f"{operation}~{source}|"
        return "+".join(nodes)

    def read(self, text: str) -> Sequence[int]:
        """The inverse of ``write``.

        Raises:
            ValueError: another form.
        """
        operations = [OPERATIONS.index(name) for name in re.findall(r"[|](\w+)~", text)]
        if len(operations) != len(_ENDS) or self.write(operations) != text:
            raise ValueError(text)
        return operations

    def draw(self, architecture: Choices) -> str:
        """The cell as a graph, operations on its edges, as SVG."""
        from nasbench_kit.spaces.edge_cells.drawing import cell_as_svg

        edges = edges_of(self.encode(architecture))
        return cell_as_svg(NODES, edges, architecture.to_text())

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
        """The network of an architecture; the benchmark's skeleton is ``SKELETON``."""
        from nasbench_kit.spaces.edge_cells.network import Network

        return Network(
            edges_of(self.encode(architecture)),
            cell.stages(skeleton),
            image_channels=image_channels,
            classes=classes,
            generator=generator,
            bn_momentum=bn_momentum,
            precision=precision,
        )

    # Shared weights ------------------------------------------------------------------------------

    def layers(self, skeleton: Skeleton) -> list[cell.Layer]:
        """Stacks of cells, and residual blocks between them."""
        return cell.stages(skeleton)

    def taken(self, architecture: Choices) -> dict[int, int]:
        """The option of each of the six edges."""
        return dict(enumerate(self.encode(architecture)))

    def strongest(
        self, strengths: NDArray[np.float64], of_edges: NDArray[np.float64]
    ) -> dict[int, int]:
        """Every edge is kept, with its likeliest option, which may be ``none``."""
        return dict(enumerate(strengths.argmax(1).tolist()))

    def made_of(self, taken: Mapping[int, int]) -> Choices:
        """The architecture of the options of all edges."""
        return Choices(self, tuple(taken[slot] for slot in range(len(self.slots))))

    def work_of(
        self,
        slots: Sequence[tuple[int, int]],
        skeleton: Skeleton,
        image_shape: tuple[int, int, int],
        channel_divisor: int = 1,
    ) -> NDArray[np.float64]:
        """Of one image, forward; see `nasbench_kit.spaces.edge_cells.cell.work`."""
        edges = [Edge(*_ENDS[slot], OPERATIONS[option]) for slot, option in slots]
        return cell.work(edges, self.layers(skeleton), image_shape, channel_divisor)


def edges_of(options: Sequence[int]) -> list[Edge]:
    """The edges of a cell from the option of each."""
    return [Edge(*ends, OPERATIONS[option]) for ends, option in zip(_ENDS, options, strict=True)]


def unique_key(options: Sequence[int], rule: Rule) -> str:
    """A text that two cells share if a rule finds them to be the same network.

    All rules take the edges into a node in any order, and an edge of ``skip_connect`` for the node
    that it comes from. Beyond that:

    - ``"skip"``: nothing; zeros are an operation like any other.
    - ``"none-and-skip"``: an edge is zero if its operation is ``none`` or its source is zero. A node
      is zero if it has one edge and that is zero; otherwise zeros stand in its sum. This is the rule
      of the authors' code.
    - ``"sums"``: zeros are left out of sums, a sum of nothing is zero, and a sum within a sum is one
      sum. (That a pool of a sum is a sum of pools is not used.)

    Args:
        options: the option of every edge.
        rule: one of these.

    Source: Dong and Yang, NAS-Bench-201, section 2.1; ``to_unique_str`` of D-X-Y/AutoDL-Projects.
    """
    edges = edges_of(options)
    if rule == "sums":
        return "+".join(_terms(edges, NODES - 1))
    nodes = ["0"]
    for node in range(1, NODES):
        terms = []
        for source, _, operation in (edge for edge in edges if edge.target == node):
            if rule == "none-and-skip" and (operation == "none" or nodes[source] == "#"):
                terms.append("#")
            elif operation == "skip_connect":
                terms.append(nodes[source])
            else:
                terms.append(f"({nodes[source]})@{operation}")
        nodes.append("+".join(sorted(terms)))
    return nodes[-1]


def _terms(edges: Sequence[Edge], node: int) -> list[str]:
    """What a node is the sum of, sorted; nothing where it is zero."""
    if node == 0:
        return ["0"]
    terms: list[str] = []
    for source, _, operation in (edge for edge in edges if edge.target == node):
        before = [] if operation == "none" else _terms(edges, source)
        if operation == "skip_connect":
            terms += before
        elif before:
            terms.append(f"({'+'.join(before)})@{operation}")
    return sorted(terms)


def unique_graphs(rule: Rule = "none-and-skip") -> int:
    """How many networks the 15,625 cells are: 12,751 by the rule ``"skip"``, 4,930 by ``"sums"``.

    By ``"none-and-skip"`` there are the 6,466 of the paper: skips and zeros are resolved along paths,
    yet a sum with a zero in it counts as another one than the sum without.
    """
    return len({unique_key(options, rule) for options in NASBench201().ordered()})
