"""An LSTM that writes cells: for each vertex its parents, then its operation.

Vertex after vertex, the state of the LSTM attends to the *anchors* of the earlier vertices, which
gives every possible edge a logit q. Where any set of parents may be drawn, the empty one included,
that is one coin an edge, with logits -q and q as in the released code: P = sigmoid(2 q). In a
NAS-Bench-1Shot1 space all sets of the prescribed size compete, by exp(sum of q). Encodings that are
no cells can be drawn and have their probability: all of them together sum to one.

Source: Zoph & Le, Neural architecture search with reinforcement learning, ICLR 2017, section 3.3;
Pham et al., ENAS, ICML 2018, sections 2.3 and 2.4, and the released code of its macro sampler.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Unpack

import torch

from nasbench_kit.algorithms.policy_gradient.lstm_policy import (
    AnchorPolicy,
    Encodings,
    LSTMSettings,
    Written,
    mean_anchor,
)
from nasbench_kit.spaces.nasbench101.cell import OPERATIONS, edge_bit
from nasbench_kit.spaces.nasbench101.relaxation import prescribed_parents

if TYPE_CHECKING:
    import numpy as np
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit.spaces.nasbench101.cell import Cell
    from nasbench_kit.spaces.nasbench101.space import CellSpace


class Controller(AnchorPolicy):
    """A policy over the encodings of a space of cells.

    Decisions are, vertex by vertex, which set of parents, and which operation.

    Args:
        space: whose cells are written.
        rng: draws the first weights and, later, the decisions.
        operation_tanh_reduction: divides the tanh constant for operations.
        lstm: as of ``LSTMPolicy``.
    """

    space: CellSpace

    def __init__(
        self,
        space: CellSpace,
        rng: Generator,
        *,
        operation_tanh_reduction: float = 1.0,
        **lstm: Unpack[LSTMSettings],
    ) -> None:
        super().__init__(space, rng, len(OPERATIONS), operation_tanh_reduction, **lstm)
        required = prescribed_parents(space)
        self._prescribed = required is not None
        self.vertices = len(required) + 1 if required else space.max_vertices
        #: Of vertices 1, 2, ...: the sets of parents to choose from, 0 or 1 [sets, vertex].
        self._sets = [
            torch.tensor(
                [
                    members
                    for members in itertools.product((0.0, 1.0), repeat=v)
                    if required is None or sum(members) == required[v - 1]
                ]
            )
            for v in range(1, self.vertices)
        ]

    def architectures(self, decisions: NDArray[np.int64]) -> list[Cell | None]:
        """The cells of encodings; None for one that is no cell of the space."""
        cells = []
        for row in decisions.tolist():
            bits = code = 0
            for v in range(1, self.vertices):
                parents = self._sets[v - 1][row[2 * v - 2]].tolist()
                bits |= sum(1 << edge_bit(u, v) for u in range(v) if parents[u])
                if v < self.vertices - 1:
                    code += row[2 * v - 1] * 3 ** (v - 1)
            cells.append(self.space.cell(bits, code, self.vertices))
        return cells

    @property
    def sizes(self) -> list[int]:
        """Number of options of every decision."""
        sizes = []
        for sets in self._sets:
            sizes += [len(sets), len(OPERATIONS)]
        return sizes[:-1]  # the output has no operation

    def decide(self, encodings: Encodings) -> Written:
        """Parents and operation of vertex after vertex."""
        x = self.start.expand(encodings.count, -1)
        output, states = self.step(x, None)
        anchors = [output]  # of the cell's input
        for v in range(1, self.vertices):
            output, states = self.step(x, states)
            earlier = torch.stack(anchors, 1)  # [batch, v, hidden]
            q = self.edge_logits(output, earlier)
            sets = self._sets[v - 1]
            signs = sets if self._prescribed else 2 * sets - 1
            parents = sets[encodings.choose(q @ signs.T)]  # [batch, v]
            if v == self.vertices - 1:
                break
            output, states = self.step(mean_anchor(parents, earlier), states)
            x = self.operation(encodings, output)
            output, states = self.step(x, states)
            anchors.append(output)
        return encodings.written()
