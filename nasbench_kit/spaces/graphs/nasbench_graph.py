"""NAS-Bench-Graph's space: four operations of a graph network, joined as a rooted forest.

Every node takes the output of one other node, or the raw input; the outputs of all leaves are joined.
Five digits write an architecture, as the keys of the published files do: the shape of the forest, and
the operations of its nodes. ``87072`` is the chain fc, gat, fc, gin.

Many digits write one network: nodes of a forest have no order, and some skip connections do nothing.
A text is read in any of its forms; an architecture has the canonical one, of which there are 26,206.
Mutations and neighbours change one digit of the canonical form. (So a step may lead where no single
step leads back: the canonical forms of two networks may differ in more digits than others of theirs.)

Source: Qin et al., NAS-Bench-Graph: benchmarking graph neural architecture search, NeurIPS 2022,
sections 3.1 and 3.2; THUMNLab/NAS-Bench-Graph.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.spaces.decisions import Choices, DecisionSpace
from nasbench_kit.spaces.protocols import Decision

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: What each of nodes 1 to 4 takes its input from; 0 is the raw input. All forests of four nodes.
LINKS = (
    (0, 0, 0, 0),
    (0, 0, 0, 1),
    (0, 0, 1, 1),
    (0, 0, 1, 2),
    (0, 0, 1, 3),
    (0, 1, 1, 1),
    (0, 1, 1, 2),
    (0, 1, 2, 2),
    (0, 1, 2, 3),
)
#: Attention, convolution, isomorphism network, Chebyshev, GraphSAGE, ARMA, k-GNN, dense, identity.
OPERATIONS = ("gat", "gcn", "gin", "cheb", "sage", "arma", "graph", "fc", "skip")
SKIP = OPERATIONS.index("skip")
_NODES = 4
_ENCODINGS = len(OPERATIONS) ** _NODES


class NASBenchGraph(DecisionSpace):
    """All 26,206 different networks, numbered by their canonical digits."""

    name = "nasbench-graph"
    decisions = (
        Decision("links", tuple("".join(map(str, link)) for link in LINKS)),
        *(Decision(f"node {node}", OPERATIONS) for node in range(1, _NODES + 1)),
    )

    def __reduce__(self) -> tuple[object, ...]:
        return NASBenchGraph, ()

    def canonical(self, options: Sequence[int]) -> tuple[int, ...] | None:
        """The options that equal networks share; None where all operations are skipped."""
        link, *operations = options
        canonical = int(_canonical()[link, _code(operations)])
        return None if canonical < 0 else _digits(canonical)

    def valid(self, options: tuple[int, ...]) -> bool:
        """Whether the options are canonical."""
        return self.canonical(options) == options

    def decode(self, choices: Sequence[int]) -> Choices | None:
        """The network of these options, canonical or not; None if all operations are skipped."""
        options = self.canonical(tuple(map(int, choices)))
        return None if options is None else Choices(self, options)

    def draw(self, architecture: Choices) -> str:
        """The graph, from the input above to the output below."""
        from nasbench_kit.spaces.graphs.drawing import forest_as_svg

        link, *operations = self.encode(architecture)
        return forest_as_svg(architecture.to_text(), LINKS[link], operations, OPERATIONS)


def without_idle(link: Sequence[int], skipped: Sequence[bool]) -> tuple[tuple[int, ...], list[int]]:
    """A forest whose idle skip connections stand in a chain before everything else.

    A skip connection is idle unless it is a leaf beside other nodes, of a node that is no input: only
    then does it bring to the output what no other node brings there.

    Args:
        link: the parent of each node, by its number; 0 is the input.
        skipped: whether each node is a skip connection.

    Returns:
        The parent of each node after the move, and the nodes in their old numbers, parents first.
    """
    parents = dict(enumerate(link, 1))
    chain: list[int] = []

    def idle(node: int) -> bool:
        siblings = sum(parent == parents[node] for parent in parents.values()) - 1
        return skipped[node - 1] and (
            node in parents.values() or not siblings or parents[node] == 0
        )

    while (node := next(filter(idle, parents), None)) is not None:
        above = parents.pop(node)
        parents = {child: above if up == node else up for child, up in parents.items()}
        chain.append(node)
    order = [*chain, *parents]
    place = {node: number for number, node in enumerate(order, 1)} | {0: len(chain)}
    return (*range(len(chain)), *(place[up] for up in parents.values())), order


@functools.cache
def _canonical() -> NDArray[np.int32]:
    """The canonical encoding, as a number, of every link and operations' code; -1 of none.

    Of all ways to number a forest's nodes that give one of ``LINKS``, the one whose operations'
    digits come first.
    """
    operations = np.stack(np.unravel_index(np.arange(_ENCODINGS), (len(OPERATIONS),) * _NODES))
    weights = len(OPERATIONS) ** np.arange(_NODES)[::-1]
    canonical = np.full((len(LINKS), _ENCODINGS), -1, np.int32)
    for place, link in enumerate(LINKS):
        for skipped in itertools.product((False, True), repeat=_NODES):
            if all(skipped):
                continue
            (of,) = np.nonzero((skipped == (operations == SKIP).T).all(axis=1))
            parents, nodes = without_idle(link, skipped)
            for order in itertools.permutations(range(_NODES)):
                number = {0: 0} | {old + 1: new for new, old in enumerate(order, 1)}
                renumbered = tuple(number[parents[old]] for old in order)
                if renumbered not in LINKS:
                    continue
                moved = [nodes[old] - 1 for old in order]
                codes = LINKS.index(renumbered) * _ENCODINGS + weights @ operations[moved][:, of]
                first = canonical[place, of]
                canonical[place, of] = np.where(first < 0, codes, np.minimum(first, codes))
    canonical.flags.writeable = False
    return canonical


def _code(operations: Sequence[int]) -> int:
    return functools.reduce(lambda code, option: code * len(OPERATIONS) + option, operations, 0)


def _digits(canonical: int) -> tuple[int, ...]:
    link, code = divmod(canonical, _ENCODINGS)
    places = reversed(range(_NODES))
    return link, *(code // len(OPERATIONS) ** place % len(OPERATIONS) for place in places)
