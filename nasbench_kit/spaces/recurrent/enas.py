"""ENAS' recurrent cell: twelve nodes, whose loose ends are averaged.

    >>> ENASRecurrent().from_released("0 0 0 1 1 2 1 2 0 2 0 5 1 1 0 6 1 8 1 8 1 8 1").to_text()
    'tanh+tanh@0+relu@1+relu@2+tanh@2+tanh@2+relu@5+tanh@1+relu@6+relu@8+relu@8+relu@8'

Source: Pham, Guan, Zoph, Le and Dean, ENAS, ICML 2018 (arXiv 1802.03268), section 2.1, figure 6;
melodyguan/enas.
"""

from __future__ import annotations

from collections.abc import Sequence

from nasbench_kit.checks import shown
from nasbench_kit.errors import InvalidArchitecture
from nasbench_kit.spaces.decisions import Choices
from nasbench_kit.spaces.protocols import Decision
from nasbench_kit.spaces.recurrent.cell import Node, TreeSpace, predecessors

NODES = 12
#: In the order of the released numbers.
ACTIVATIONS = ("tanh", "relu", "identity", "sigmoid")
#: The cell that the paper draws, as the code writes it.
RELEASED = "0 0 0 1 1 2 1 2 0 2 0 5 1 1 0 6 1 8 1 8 1 8 1"


class ENASRecurrent(TreeSpace):
    """All 11! x 4^12 cells, some 6.7e14; the paper counts a choice of predecessor for the first node too."""

    name = "enas-recurrent"
    nodes = NODES - 1
    weights_by_previous = True
    activations = first = ACTIVATIONS
    decisions = (
        Decision("activation of node 0", ACTIVATIONS),
        *predecessors(NODES - 1, ACTIVATIONS),
    )

    def output(self, nodes: Sequence[Node]) -> tuple[int, ...]:
        """The nodes that no other one changes."""
        used = {node.previous for node in nodes}
        return tuple(place for place in range(len(nodes) + 1) if place not in used)

    def from_released(self, text: str) -> Choices:
        """The cell of the numbers that the released code prints: the first activation, then pairs.

        Raises:
            InvalidArchitecture: they are no such numbers.
        """
        try:
            options = list(map(int, text.split()))
            architecture = self.parse(self.write(options)) if min(options) >= 0 else None
        except (ValueError, IndexError, TypeError):
            architecture = None
        if architecture is None:
            raise InvalidArchitecture(
                f"{shown(text)} is no cell of {NODES} nodes; give {2 * NODES - 1} numbers such as "
                f"{RELEASED!r}"
            )
        return architecture
