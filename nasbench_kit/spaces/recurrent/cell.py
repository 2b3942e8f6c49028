"""What a recurrent cell is: a tree of states, each a gated change of an earlier one; without torch.

    s_0 = h + c_0 (f_0(x W_x + h W_h) - h)              c_0 = sigmoid(x W'_x + h W'_h)
    s_i = s_j + c_i (f_i(s_j W_i) - s_j)                c_i = sigmoid(s_j W'_i)

with the token's embedding x, the state h after the token before and, for every node i, an earlier node j
and an activation f_i. The mean of some states is the new h, and what the cell puts out.

Source: Pham et al., ENAS, ICML 2018, section 2.1 and appendix A (highway connections); Liu et al., DARTS,
ICLR 2019, section 3.1.2 and supplement A.1.2.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nasbench_kit.errors import InvalidSetting
from nasbench_kit.spaces.decisions import Choices, DecisionSpace
from nasbench_kit.spaces.protocols import Decision, Material

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit.spaces.recurrent.relaxation import TreeRelaxation
    from nasbench_kit.spaces.recurrent.supernet import TreeSupernet
    from nasbench_kit.spaces.skeleton import Precision, Skeleton

#: In the order of both papers' code.
ACTIVATIONS = ("tanh", "relu", "sigmoid", "identity")


class Node(NamedTuple):
    """A state of the cell but the first."""

    #: The earlier state that it changes; 0 is the first.
    previous: int
    activation: str


class Cell(NamedTuple):
    """A recurrent cell."""

    #: Activation of state 0.
    first: str
    #: States 1, 2, ...
    nodes: tuple[Node, ...]
    #: The states whose mean is put out.
    output: tuple[int, ...]


class TreeSpace(DecisionSpace):
    """Cells with one number of nodes; a subclass says which states are put out.

    An architecture is written node by node: ``relu@0+relu@1+tanh@2``, the activation and what it changes;
    where the first state's activation is free, it stands in front: ``tanh+relu@0``.
    """

    material: Material = "text"
    #: Activations that a node can have, and those of state 0.
    activations: tuple[str, ...] = ACTIVATIONS
    first: tuple[str, ...] = ("tanh",)
    #: States but the first.
    nodes: int

    @abstractmethod
    def output(self, nodes: Sequence[Node]) -> tuple[int, ...]:
        """The states whose mean the cell puts out."""

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), ()

    def cell(self, architecture: Choices) -> Cell:
        """The cell of an architecture.

        Raises:
            NotInSpace: it is of another space.
        """
        first, nodes = self._nodes(self.encode(architecture))
        return Cell(first, nodes, self.output(nodes))

    def _nodes(self, options: Sequence[int]) -> tuple[str, tuple[Node, ...]]:
        free = len(self.first) > 1
        first = self.first[options[0]] if free else self.first[0]
        pairs = iter(options[free:])
        return first, tuple(
            Node(previous, self.activations[activation])
            for previous, activation in zip(pairs, pairs, strict=True)
        )

    # Text ----------------------------------------------------------------------------------------

    def write(self, options: Sequence[int]) -> str:
        """Activation and predecessor of every node, between ``+``."""
        first, nodes = self._nodes(options)
        head = [first] if len(self.first) > 1 else []
        return "+".join([*head, *(f"{node.activation}@{node.previous}" for node in nodes)])

    def read(self, text: str) -> Sequence[int]:
        """The inverse of ``write``.

        Raises:
            ValueError: another form.
        """
        parts = text.split("+")
        options = [self.first.index(parts.pop(0))] if len(self.first) > 1 else []
        for part in parts:
            match = re.fullmatch(r"([a-z]+)@(\d{1,2})", part, re.ASCII)
            if match is None:
                raise ValueError(text)
            options += [int(match[2]), self.activations.index(match[1])]
        return options

    def draw(self, architecture: Choices) -> str:
        """The tree of states as SVG."""
        from nasbench_kit.spaces.recurrent.drawing import cell_as_svg

        return cell_as_svg(self.cell(architecture), architecture.to_text())

    # Networks ------------------------------------------------------------------------------------

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
        """A language model, tokens [n, length] -> logits [n, classes, length], of one layer.

        Of the skeleton only ``stem_channels`` counts: the units of every state and of the embedding, which
        is that of the output as well. There is no batch norm.
        """
        from nasbench_kit.spaces.recurrent.network import RecurrentNetwork

        return RecurrentNetwork(
            self.cell(architecture),
            units=skeleton.stem_channels,
            vocabulary=classes,
            generator=generator,
            precision=precision,
        )

    def work(
        self, architecture: Choices, skeleton: Skeleton, image_shape: tuple[int, int, int]
    ) -> NDArray[np.float64]:
        """Of one token, forward: 1, states, multiply-accumulates of the cell and of the output."""
        units, vocabulary = skeleton.stem_channels, image_shape[2]
        states = 1 + self.nodes
        return np.array([1.0, states, 2 * (states + 1) * units**2, units * vocabulary])

    # Shared weights ------------------------------------------------------------------------------

    #: Whether shared weights of a node are of its predecessor as well.
    weights_by_previous: bool = False

    @property
    def edges(self) -> list[tuple[int, int]]:
        """All (previous, node), by node and then by predecessor: the choices of a relaxation."""
        return [(previous, node) for node in range(1, self.nodes + 1) for previous in range(node)]

    def supernet(
        self, skeleton: Skeleton, image_channels: int, classes: int, generator: torch.Generator
    ) -> TreeSupernet:
        """Fresh shared weights."""
        from nasbench_kit.spaces.recurrent.supernet import TreeSupernet

        return TreeSupernet(self, skeleton.stem_channels, classes, generator)

    def relaxation(self, rng: Generator) -> TreeRelaxation:
        """Fresh logits.

        Raises:
            InvalidSetting: the first state's activation is to be chosen too.
        """
        from nasbench_kit.spaces.recurrent.relaxation import TreeRelaxation

        if len(self.first) > 1:
            raise InvalidSetting(
                f"the space {self.name} has no relaxation; search by gradient on darts-recurrent, or "
                "choose a search that draws architectures"
            )
        return TreeRelaxation(self, rng)

    def made_of(self, nodes: Sequence[Node]) -> Choices:
        """The architecture of these nodes, where state 0 has no choice."""
        options = [
            option
            for previous, activation in nodes
            for option in (previous, self.activations.index(activation))
        ]
        return Choices(self, tuple(options))

    def parameters(self, units: int, vocabulary: int) -> int:
        """Weights of a network: 2 (nodes + 2) units^2 of the cell, the embedding, and a bias a token."""
        return 2 * (self.nodes + 2) * units**2 + (units + 1) * vocabulary


def predecessors(nodes: int, activations: Sequence[str]) -> tuple[Decision, ...]:
    """Two decisions a node: the earlier state that it changes, and the activation."""
    return tuple(
        decision
        for node in range(1, nodes + 1)
        for decision in (
            Decision(f"previous of node {node}", tuple(map(str, range(node)))),
            Decision(f"activation of node {node}", tuple(activations)),
        )
    )
