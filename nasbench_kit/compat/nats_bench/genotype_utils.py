"""Texts of the topology space as objects: nodes, and the edges that come into them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nasbench_kit.errors import InvalidArchitecture

Node = tuple[tuple[str, int], ...]


def read_nodes(text: str) -> list[Node]:
    """The (operation, source) pairs that come into each node after the input.

    Raises:
        InvalidArchitecture: the text is of another form.
    """
    try:
        nodes = []
        for node in text.split("+"):
            edges = [edge.split("~") for edge in node.split("|") if edge]
            nodes.append(tuple((operation, int(source)) for operation, source in edges))
    except (AttributeError, ValueError) as error:
        raise InvalidArchitecture(
            f"{str(text)[:100]!r} is no text of the topology space, such as |none~0|+|none~0|none~1|"
        ) from error
    return nodes


class TopologyStructure:
    """A cell: of each node after the input, the (operation, source) pairs that come into it."""

    def __init__(self, genotype: Sequence[Sequence[tuple[str, int]]]) -> None:
        self.nodes: list[Node] = [tuple((op, source) for op, source in node) for node in genotype]
        for place, node in enumerate(self.nodes):
            if not node or any(not 0 <= source <= place for _, source in node):
                raise InvalidArchitecture(f"node {place + 1} has no edges, or some of later nodes")
        self.node_num = len(self.nodes) + 1
        self.node_N = [len(node) for node in self.nodes]

    @staticmethod
    def str2structure(xstr: str | TopologyStructure) -> TopologyStructure:
        """The cell of a text."""
        return xstr if isinstance(xstr, TopologyStructure) else TopologyStructure(read_nodes(xstr))

    def tostr(self) -> str:
        """The text."""
        return "+".join(f"|{'|'.join(f'{op}~{source}' for op, source in n)}|" for n in self.nodes)

    def tolist(self, remove_str: str | None) -> tuple[list[Node] | None, bool]:
        """The edges by source without those of an operation, and whether every node keeps one."""
        kept = [
            tuple(sorted((e for e in node if e[0] != remove_str), key=lambda e: (e[1], e[0])))
            for node in self.nodes
        ]
        return (kept, True) if all(kept) else (None, False)

    def check_valid(self) -> bool:
        """Whether a path of operations other than none joins input and output."""
        reached = [True]
        for node in self.nodes:
            reached.append(any(op != "none" and reached[source] for op, source in node))
        return reached[-1]

    def check_valid_op(self, op_names: Sequence[str]) -> bool:
        """Whether all operations are among these."""
        return all(op in op_names for node in self.nodes for op, _ in node)

    def to_unique_str(self, consider_zero: bool | None = False) -> str:
        """A text that graphs share if they are equal once skips are resolved.

        Args:
            consider_zero: also resolve none (True); or not even skips (None).
        """
        texts = ["0"]
        for node in self.nodes:
            parts = []
            for op, source in node:
                if consider_zero and (op == "none" or texts[source] == "#"):
                    parts.append("#")
                elif consider_zero is not None and op == "skip_connect":
                    parts.append(texts[source])
                else:
                    parts.append(f"({texts[source]})@{op}")
            texts.append("+".join(sorted(parts)))
        return texts[-1]

    def __len__(self) -> int:
        return self.node_num

    def __getitem__(self, index: int) -> Any:
        return self.nodes[index]

    def __repr__(self) -> str:
        return f"TopologyStructure({self.node_num} nodes with {self.tostr()})"


def topology_str2structure(xstr: str | TopologyStructure) -> TopologyStructure:
    """The cell of a text.

    Raises:
        InvalidArchitecture: it is no text of the topology space.
    """
    return TopologyStructure.str2structure(xstr)
