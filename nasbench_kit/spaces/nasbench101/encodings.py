"""Encodings A, B and C: cells as points of a fixed number of variables, for general optimisers.

    >>> encoding = Encoding("A", CellSpace())
    >>> len(encoding.variables)                      # 21 edges, 5 operations
    26
    >>> encoding.decode([0] * 26) is None            # no edge, thus no cell
    True

With V vertices and at most E edges (7 and 9 in NAS-Bench-101), besides V - 2 operations:

- **A** has a binary variable for each of the V (V - 1) / 2 edges, in row-major order.
- **B** has E variables that each name an edge; an edge named twice counts once.
- **C** has a real number in [0, 1] for each edge, in row-major order, and an integer from 0 to E: so
  many edges, those of the largest numbers, are there.

A point is valid if its cell is in the space, that is by its edges after pruning; A and B can leave
input and output unconnected, and A can have too many edges. The released code also calls a point of
A with more than nine edges *before* pruning invalid; here it is not.

Source: Ying et al., NAS-Bench-101, ICML 2019, supplement S2; automl/nas_benchmarks, nas_cifar10.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from nasbench_kit.errors import InvalidSetting
from nasbench_kit.spaces.nasbench101.cell import OPERATIONS, Cell, edge_bit
from nasbench_kit.spaces.protocols import Decision

if TYPE_CHECKING:
    from nasbench_kit.spaces.nasbench101.space import CellSpace

Letter = Literal["A", "B", "C"]

#: The released code lists conv1x1, conv3x3, maxpool3x3; in a cell's code conv3x3 comes first.
_OPERATION_DIGITS = (1, 0, 2)


class Variable(NamedTuple):
    """One variable of an encoding, by the name that it has in nas_cifar10."""

    name: str
    #: "choice" takes 0 to size - 1 without order, "integer" the same in order, "real" [0, 1].
    kind: Literal["choice", "integer", "real"]
    size: int


class Encoding:
    """One of the three encodings of a space; a point lists its variables' values in their order.

    Raises:
        InvalidSetting: a letter other than A, B and C.
    """

    def __init__(self, letter: Letter, space: CellSpace) -> None:
        if letter not in get_args(Letter):
            raise InvalidSetting(
                f"encoding is {letter!r}; choose one of {', '.join(get_args(Letter))}"
            )
        size = space.max_vertices
        count = edge_bit(0, size)
        edges = [f"edge_{i}" for i in range(count)]
        operations = [Variable(f"op_node_{i}", "choice", 3) for i in range(size - 2)]
        match letter:
            case "A":
                variables = [Variable(name, "choice", 2) for name in edges]
            case "B":
                variables = [Variable(name, "choice", count) for name in edges[: space.max_edges]]
            case "C":
                variables = [Variable(name, "real", 0) for name in edges]
                variables.append(Variable("num_edges", "integer", space.max_edges + 1))
        self.letter = letter
        self.space = space
        #: All variables: those of the edges first, then the operations.
        self.variables = variables + operations
        self._edge_variables = len(variables)
        # Bits of a cell count by columns, from the input's edges on.
        self._row_major = [1 << edge_bit(u, v) for u in range(size) for v in range(u + 1, size)]
        self._last_first = [1 << edge for edge in reversed(range(count))]  # the order of B

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """The variables of encoding A, all of which are choices."""
        operations = tuple(
            OPERATIONS[digit].removesuffix("-bn-relu") for digit in _OPERATION_DIGITS
        )
        return tuple(
            Decision(variable.name, ("absent", "present") if variable.size == 2 else operations)
            for variable in self.variables
        )

    def decode(self, point: Sequence[float]) -> Cell | None:
        """The cell of a point, in its unpruned labelling; None for an invalid point."""
        edges, operations = point[: self._edge_variables], point[self._edge_variables :]
        if self.letter == "A":
            chosen = {bit for bit, there in zip(self._row_major, edges, strict=True) if there}
        elif self.letter == "B":
            chosen = {self._last_first[int(edge)] for edge in edges}
        else:
            *weights, count = edges
            by_weight = sorted(range(len(weights)), key=weights.__getitem__, reverse=True)
            chosen = {self._row_major[edge] for edge in by_weight[: int(count)]}
        code = sum(_OPERATION_DIGITS[int(choice)] * 3**i for i, choice in enumerate(operations))
        return self.space.cell(sum(chosen), code)

    def encode(self, cell: Cell) -> list[int]:
        """The point of encoding A that decodes to this labelled cell of ``max_vertices`` vertices.

        Raises:
            InvalidSetting: of B and C, where a cell has many points; or a labelling of another size.
        """
        if self.letter != "A" or cell.size != self.space.max_vertices:
            raise InvalidSetting(
                f"a cell of {cell.size} vertices has no one point of encoding {self.letter} here; "
                f"encoding A has one for each labelling of {self.space.max_vertices} vertices"
            )
        digits = [cell.code // 3**i % 3 for i in range(cell.size - 2)]
        edges = [int(cell.bits & bit > 0) for bit in self._row_major]
        return edges + [_OPERATION_DIGITS.index(digit) for digit in digits]
