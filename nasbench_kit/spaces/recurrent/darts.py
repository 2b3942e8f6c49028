"""DARTS' recurrent cell: eight nodes, each with one predecessor and one activation; their mean goes out.

    >>> space = DARTSRecurrent()
    >>> space.parse(PUBLISHED["darts-v1"]).to_text()
    'relu@0+relu@1+tanh@2+relu@3+relu@4+identity@1+relu@5+relu@1'

The relaxation knows a zero beside the four activations, which a discrete cell never has.

Source: Liu, Simonyan and Yang, DARTS, ICLR 2019 (arXiv 1806.09055), section 3.1.2, figure 6;
quark0/darts, rnn/genotypes.py.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from nasbench_kit.checks import shown
from nasbench_kit.errors import InvalidArchitecture
from nasbench_kit.spaces.decisions import Choices
from nasbench_kit.spaces.recurrent.cell import ACTIVATIONS, Node, TreeSpace, predecessors

NODES = 8
#: Of the released code: first order, and second order, the paper's figure 6.
PUBLISHED = {
    "darts-v1": "relu@0+relu@1+tanh@2+relu@3+relu@4+identity@1+relu@5+relu@1",
    "darts-v2": "sigmoid@0+relu@1+relu@1+identity@1+tanh@2+sigmoid@5+tanh@3+relu@5",
}


class DARTSRecurrent(TreeSpace):
    """All 8! x 4^8 = 2,642,411,520 cells."""

    name = "darts-recurrent"
    nodes = NODES
    decisions = predecessors(NODES, ACTIVATIONS)

    def output(self, nodes: Sequence[Node]) -> tuple[int, ...]:
        """All nodes but state 0."""
        return tuple(range(1, self.nodes + 1))

    def from_genotype(self, text: str) -> Choices:
        """The cell of ``Genotype(recurrent=[('relu', 0), ...], concat=range(1, 9))``, as released.

        Raises:
            InvalidArchitecture: it is no such genotype.
            NotInSpace: its cell is not of this space.
        """
        try:
            call = ast.parse(text.strip(), mode="eval").body
            assert isinstance(call, ast.Call)
            fields = {keyword.arg: keyword.value for keyword in call.keywords}
            pairs = ast.literal_eval(fields["recurrent"])
            concat = ast.unparse(fields["concat"]).replace(" ", "")
            assert concat == f"range(1,{NODES + 1})"
            written = "+".join(f"{activation}@{previous}" for activation, previous in pairs)
        except (SyntaxError, ValueError, TypeError, LookupError, AssertionError, RecursionError):
            raise InvalidArchitecture(
                f"{shown(text)} is no genotype of {NODES} recurrent nodes; give one such as "
                "Genotype(recurrent=[('relu', 0), ...], concat=range(1, 9))"
            ) from None
        return self.parse(written)
