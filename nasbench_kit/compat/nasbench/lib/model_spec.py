"""The counterpart of ``nasbench.lib.model_spec``: any upper triangular matrix with any names.

Fields that clients rarely read are made when they are asked for: a search builds a million specs.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.compat.nasbench.lib.graph_util import hash_module
from nasbench_kit.errors import InvalidCell, InvalidSetting
from nasbench_kit.spaces.nasbench101.cell import OPERATIONS, Cell

if TYPE_CHECKING:
    import graphviz
    from numpy.typing import ArrayLike, NDArray


class ModelSpec:
    """A cell as the official API takes it; connected or not, pruned or not.

    Attributes:
        original_matrix: int [V, V], as given.
        original_ops: V names, as given.
        matrix: without the vertices on no path from input to output; None if there is no path.
        ops: of the vertices of ``matrix``; None likewise.
        valid_spec: whether a path leads from input to output.
        data_format: kept, not used.

    Raises:
        ValueError: the matrix is not square or not upper triangular, or has another number of
            vertices than there are operations.
    """

    def __init__(
        self, matrix: ArrayLike, ops: Sequence[Any], data_format: str = "channels_last"
    ) -> None:
        self._given = matrix.copy() if isinstance(matrix, np.ndarray) else _frozen(matrix)
        self._names = names = tuple(ops)
        self.data_format = data_format
        try:
            graph = Cell(self._given, names)
        except InvalidCell:
            self._fill_oddly()
            return
        self.valid_spec = True
        self._graph: Cell | None = graph
        #: What a table can be asked for; other names than the official ones are none.
        self._cell = graph if graph.operations == names else None
        if len(names) != graph.size:  # `Cell` also takes the interior ones alone
            raise InvalidCell("length of ops must match matrix dimensions")

    def _fill_oddly(self) -> None:
        """What is no `Cell`: raise what the official class raises, else take it as it does."""
        try:
            matrix = np.array(self._given)
        except ValueError:  # ragged
            matrix = np.empty(0)
        if matrix.ndim != 2 or len(matrix) != matrix.shape[1] or matrix.dtype.kind not in "biuf":
            raise InvalidCell("matrix must be square")
        if len(matrix) != len(self._names):
            raise InvalidCell("length of ops must match matrix dimensions")
        if not is_upper_triangular(matrix):
            raise InvalidCell("matrix must be upper triangular")
        self._cell = None
        try:
            self._graph = Cell(matrix != 0, (OPERATIONS[0],) * (len(matrix) - 2))
        except InvalidCell:
            self._graph = None
        self.valid_spec = self._graph is not None

    @functools.cached_property
    def original_matrix(self) -> NDArray[Any]:
        """The matrix as given."""
        return np.array(self._given)

    @functools.cached_property
    def original_ops(self) -> list[Any]:
        """The operations as given."""
        return list(self._names)

    @functools.cached_property
    def matrix(self) -> Any:
        """The pruned matrix."""
        kept = self._kept()
        return np.array(self._given)[np.ix_(kept, kept)] if kept else None

    @functools.cached_property
    def ops(self) -> Any:
        """The operations of the pruned matrix."""
        return [self._names[v] for v in self._kept()] or None

    def _kept(self) -> list[int]:
        if self._graph is None:
            return []
        used = self._graph.used()
        return [v for v in range(self._graph.size) if used >> v & 1]

    @property
    def cell(self) -> Cell | None:
        """The cell of ``matrix`` and ``ops``, also if they were changed; None if it is none."""
        attributes = self.__dict__
        # What was handed out may have been changed.
        if "matrix" in attributes or "ops" in attributes:
            return _askable(self.matrix, self.ops)
        return self._cell

    def hash_spec(self, canonical_ops: Sequence[str]) -> str:
        """The official MD5 of the pruned cell; ``canonical_ops`` number the operations.

        Raises:
            ValueError: an operation is not among them.
        """
        labels = [list(canonical_ops).index(name) for name in self.ops[1:-1]]
        return hash_module(self.matrix, [-1, *labels, -2])

    def visualize(self) -> graphviz.Digraph:
        """The pruned graph as a ``graphviz.Digraph``, which renders itself in a notebook.

        Raises:
            InvalidSetting: the Python package graphviz is not installed.
            InvalidCell: no path leads from input to output.
        """
        if self.ops is None:
            raise InvalidCell("no path leads from input to output, so there is nothing to draw")
        try:
            import graphviz
        except ImportError:
            raise InvalidSetting(
                "visualize() needs graphviz; install it with `pip install 'nasbench-kit[graphviz]'`, "
                "and the program dot for rendering (or let nasbench_kit.Cell draw itself)"
            ) from None
        graph = graphviz.Digraph()
        for vertex, name in enumerate(["input", *self.ops[1:-1], "output"]):
            graph.node(str(vertex), str(name))
        for source, target in np.argwhere(self.matrix).tolist():
            graph.edge(str(source), str(target))
        return graph


def is_upper_triangular(matrix: ArrayLike) -> bool:
    """Whether a square matrix is 0 on its diagonal and below."""
    return not np.tril(np.asarray(matrix)).any()


def _frozen(matrix: Any) -> Any:
    """A copy of a nested list that is quick to read; of anything else, an array."""
    try:
        return tuple(map(tuple, matrix))
    except TypeError:
        return np.array(matrix)


def cell_of(spec: Any) -> Cell | None:
    """The cell of a spec, ours or another package's; None if it is none."""
    return spec.cell if isinstance(spec, ModelSpec) else _askable(spec.matrix, spec.ops)


def _askable(matrix: Any, ops: Sequence[str] | None) -> Cell | None:
    """The cell of a matrix and full official names; None for everything else."""
    names = tuple(ops or ())
    try:
        cell = Cell(matrix, names)
    except InvalidCell:
        return None
    return cell if cell.operations == names else None
