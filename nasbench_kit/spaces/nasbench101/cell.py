"""A cell: a small labelled directed acyclic graph, the unit of a cell-based search space.

Vertex 0 is the cell's input, the last vertex its output, every vertex between carries one
operation. An edge ``u -> v`` needs ``u < v``, so the adjacency matrix is strictly upper triangular
and fits into one integer: edge ``u -> v`` is bit ``u + v * (v - 1) / 2`` (column by column, as the
generator of NAS-Bench-101 counts). A graph on fewer vertices thus uses a prefix of the bits.

    >>> cell = Cell([[0, 1, 0, 1],      # input  -> conv3x3, output
    ...              [0, 0, 1, 0],      # conv3x3 -> conv3x3
    ...              [0, 0, 0, 1],      # conv3x3 -> output
    ...              [0, 0, 0, 0]],     # output
    ...             ["input", "conv3x3-bn-relu", "conv3x3-bn-relu", "output"])
    >>> cell == Cell.named("resnet")
    True

Source: Ying et al., NAS-Bench-101, ICML 2019 (arXiv 1902.09635), and google-research/nasbench.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit import checks
from nasbench_kit.errors import InvalidCell, UnknownName

if TYPE_CHECKING:
    import nasbench_pytorch.model
    import networkx
    import torch
    from numpy.typing import ArrayLike, NDArray

    from nasbench_kit.spaces.nasbench101.network import Network
    from nasbench_kit.spaces.skeleton import Precision, Skeleton

INPUT = "input"
OUTPUT = "output"
#: The three operations of NAS-Bench-101; the order is part of the official hash.
OPERATIONS = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")

#: Labels of the official hash. ``register_operation`` adds to them.
_LABELS = {INPUT: -1, OUTPUT: -2} | {name: label for label, name in enumerate(OPERATIONS)}
_ALIASES = {name.removesuffix("-bn-relu"): name for name in OPERATIONS}

#: Sizes up to this one are parsed by table.
_TABULATED = 7


def edge_bit(source: int, target: int) -> int:
    """Position of the edge ``source -> target`` in a cell's bits."""
    return source + target * (target - 1) // 2


def _row_tables(size: int) -> list[dict[tuple[int, ...], int]]:
    """For each row of a matrix of that size: every legal row as a tuple -> its bits."""
    return [
        {
            (0,) * (u + 1) + row: sum(
                bit << edge_bit(u, v) for v, bit in enumerate(row, start=u + 1)
            )
            for row in itertools.product((0, 1), repeat=size - u - 1)
        }
        for u in range(size)
    ]


_ROWS = {size: _row_tables(size) for size in range(2, _TABULATED + 1)}
#: size -> operations -> code; the operation of vertex v counts 3 ** (v - 1), so that cells padded
#: with unused vertices of operation 0 keep their code.
_CODES = {
    size: {
        (INPUT, *(OPERATIONS[label] for label in labels), OUTPUT): sum(
            label * 3**position for position, label in enumerate(labels)
        )
        for labels in itertools.product(range(3), repeat=size - 2)
    }
    for size in range(2, _TABULATED + 1)
}
_NAMES = {size: {code: names for names, code in codes.items()} for size, codes in _CODES.items()}

#: Cells of the literature, as text (rows of the matrix, then the interior operations).
NAMED_CELLS = {
    # The residual block of ResNet (He et al. 2016) in this space.
    "resnet": "0101/0010/0001/0000:conv3x3,conv3x3",
    # Szegedy et al. 2016; the example cell of the official notebook.
    "inception": "0111010/0000001/0000001/0000100/0000001/0000001/0000000"
    ":conv1x1,conv3x3,conv3x3,conv3x3,maxpool3x3",
    # Highest mean test accuracy at 108 epochs (94.32 %) of all 423,624 cells.
    "best": "0110011/0000010/0001000/0000100/0000010/0000001/0000000"
    ":conv1x1,conv3x3,maxpool3x3,conv3x3,conv3x3",
}


def register_operation(name: str) -> None:
    """Let cells carry another operation than the three official ones.

    Such a cell lies in no table: it is answered by a trainer whose network knows the operation.

    Raises:
        InvalidCell: the name is taken, or holds a character that the text form needs.
    """
    if not isinstance(name, str):
        raise InvalidCell(f"operation {checks.shown(name)}: give its name as text")
    if name in _LABELS or name in _ALIASES:
        raise InvalidCell(f"operation {checks.shown(name)} exists already; choose another name")
    if not name or set(name) & set(",:/ "):
        raise InvalidCell(
            f"operation {checks.shown(name)}: a name is not empty and has none of ',:/ '"
        )
    _LABELS[name] = len(_LABELS) - 2


class Cell:
    """An immutable cell in the labelling it was given; equal to every isomorphic cell.

    Args:
        matrix: adjacency matrix [V, V], strictly upper triangular, entries 0 or 1 (any number
            type, bool included). Vertices on no path from input to output are allowed.
        operations: V names including ``"input"`` and ``"output"``, or the V - 2 interior ones;
            ``"conv3x3"`` is short for ``"conv3x3-bn-relu"``.

    Raises:
        InvalidCell: wrong shape, an entry other than 0 and 1, an edge that runs backwards, an
            unknown operation, or no path from input to output.
    """

    __slots__ = ("_bits", "_code", "_hash", "_operations", "_size")

    _bits: int
    _code: int  # operations as one number (see _CODES); -1 where they have none
    _hash: str | None
    _operations: tuple[str, ...]
    _size: int

    def __init__(self, matrix: ArrayLike, operations: Sequence[str]) -> None:
        rows: Any = matrix.tolist() if isinstance(matrix, np.ndarray) else matrix
        try:
            size = len(rows)
            bits = 0
            for table, row in zip(_ROWS[size], rows, strict=True):
                bits |= table[tuple(row)]
        except (KeyError, TypeError):
            size, bits = _parse_matrix(matrix)
        try:
            code = _CODES[size][tuple(operations)]
            names = _NAMES[size][code]  # plain strings, whatever came in
        except (KeyError, TypeError):
            names, code = _parse_operations(operations, size)
        self._size = size
        self._bits = bits
        self._operations = names
        self._code = code
        self._hash = None
        if not _reached(size, bits) >> (size - 1):
            raise InvalidCell(
                f"no path leads from the input (vertex 0) to the output (vertex {size - 1}); "
                "add an edge that connects them"
            )

    @classmethod
    def from_codes(cls, size: int, bits: int, code: int) -> Cell:
        """The cell of ``size <= 7`` vertices with these edge bits and this operations code.

        Trusts its arguments: the graph must connect input and output.
        """
        self = cls.__new__(cls)
        self._size = size
        self._bits = bits
        self._operations = _NAMES[size][code]
        self._code = code
        self._hash = None
        return self

    @property
    def size(self) -> int:
        """Number of vertices V of this labelling, input and output included."""
        return self._size

    @property
    def bits(self) -> int:
        """The adjacency matrix as one integer; see the module's docstring."""
        return self._bits

    @property
    def code(self) -> int:
        """The official operations as one number below 3 ** (V - 2); -1 for other operations."""
        return self._code

    @property
    def operations(self) -> tuple[str, ...]:
        """The V operation names, ``"input"`` first and ``"output"`` last."""
        return self._operations

    @property
    def matrix(self) -> NDArray[np.int8]:
        """The adjacency matrix, int8 [V, V]; a new array at each call."""
        matrix = np.zeros((self._size, self._size), np.int8)
        for u, v in self.edges():
            matrix[u, v] = 1
        return matrix

    def edges(self) -> list[tuple[int, int]]:
        """All edges (source, target), by target."""
        pairs = ((u, v) for v in range(1, self._size) for u in range(v))
        return [(u, v) for u, v in pairs if self._bits >> edge_bit(u, v) & 1]

    def used(self) -> int:
        """Bit mask of the vertices that lie on a path from input to output."""
        return _reached(self._size, self._bits) & _reaching(self._size, self._bits)

    def pruned(self) -> Cell:
        """This cell without the vertices that lie on no path from input to output."""
        used = self.used()
        kept = [v for v in range(self._size) if used >> v & 1]
        if len(kept) == self._size:
            return self
        return Cell(self.matrix[np.ix_(kept, kept)], [self._operations[v] for v in kept])

    @property
    def hash(self) -> str:
        """The official MD5, equal for isomorphic cells; 32 hexadecimal characters."""
        if self._hash is None:
            cell = self.pruned()
            self._hash = _official_hash(cell._size, cell._bits, cell._operations)
        return self._hash

    def __eq__(self, other: object) -> bool:
        """Isomorphism of the pruned cells, operations respected."""
        if not isinstance(other, Cell):
            return NotImplemented
        if self._bits == other._bits and self._operations == other._operations:
            return True
        if self.hash != other.hash:
            return False
        mine, theirs = self.pruned(), other.pruned()
        return mine._size <= _TABULATED or _isomorphic(mine, theirs)  # the hash collides beyond

    def __hash__(self) -> int:
        return hash(self.hash)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.matrix, self._operations)

    # Text forms ------------------------------------------------------------------------------

    @classmethod
    def named(cls, name: str) -> Cell:
        """A cell of the literature: ``"resnet"``, ``"inception"`` or ``"best"``.

        Raises:
            UnknownName: for any other name.
        """
        if not isinstance(name, str) or name not in NAMED_CELLS:
            names = ", ".join(NAMED_CELLS)
            raise UnknownName(
                f"no cell is called {checks.shown(name)}; the named cells are: {names}"
            )
        return cls.from_text(NAMED_CELLS[name])

    def to_text(self) -> str:
        """One line without spaces: rows of the matrix, a colon, the interior operations."""
        rows = "/".join("".join(map(str, row)) for row in self.matrix.tolist())
        return (
            rows + ":" + ",".join(name.removesuffix("-bn-relu") for name in self._operations[1:-1])
        )

    @classmethod
    def from_text(cls, text: str) -> Cell:
        """The inverse of ``to_text``.

        Raises:
            InvalidCell: the text has another form, or describes no cell.
        """
        if not isinstance(text, str):
            raise InvalidCell(
                f"{checks.shown(text)} is not a cell's text, but of type {type(text).__name__}"
            )
        rows, colon, names = text.strip().partition(":")
        if not colon or set(rows) - set("01/"):
            raise InvalidCell(
                f"{checks.shown(text)} is not a cell; write rows of 0 and 1 and the interior operations, "
                f"as in {NAMED_CELLS['resnet']!r}"
            )
        matrix = [[int(entry) for entry in row] for row in rows.split("/")]
        return cls(matrix, names.split(",") if names else [])

    def to_json(self) -> str:
        """A JSON object with ``matrix`` (rows) and ``operations`` (all V names)."""
        return json.dumps({"matrix": self.matrix.tolist(), "operations": self._operations})

    @classmethod
    def from_json(cls, text: str) -> Cell:
        """The inverse of ``to_json``.

        Raises:
            InvalidCell: no JSON, a key is missing, or no cell is described.
        """
        try:
            fields = json.loads(text)
            matrix, operations = fields["matrix"], fields["operations"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InvalidCell(
                f'not a cell in JSON ({error}); expected {{"matrix": …, "operations": …}}'
            ) from error
        return cls(matrix, operations)

    def written_as(self, text: str) -> bool:
        """Whether the text describes this very cell, in whatever labelling."""
        return Cell.from_text(text) == self

    def canonical(self) -> Cell:
        """The cell in the one labelling that all its labellings share.

        It is that of a space's rows; of many vertices it may take seconds to find.
        """
        from nasbench_kit.spaces.nasbench101.canonical import canonical

        return canonical(self)

    # The torch half ----------------------------------------------------------------------------

    def network(
        self,
        skeleton: Skeleton,
        image_channels: int,
        classes: int,
        *,
        generator: torch.Generator | None = None,
        bn_momentum: float | None = 0.003,
        precision: Precision = "float32",
    ) -> Network:
        """The cell's network; see `nasbench_kit.spaces.nasbench101.network.Network`.

        Raises:
            InvalidSetting: the skeleton is too narrow, or an operation has no module.
        """
        from nasbench_kit.spaces.nasbench101.network import Network

        return Network(
            self,
            skeleton,
            image_channels,
            classes,
            generator=generator,
            bn_momentum=bn_momentum,
            precision=precision,
        )

    def work(self, skeleton: Skeleton, image_shape: tuple[int, int, int]) -> NDArray[np.float64]:
        """The work of one image, forward; see `nasbench_kit.spaces.nasbench101.work`."""
        from nasbench_kit.spaces.nasbench101.work import work

        return work(self, skeleton, image_shape)

    def traits(self) -> list[float]:
        """How the vertices are linked, which adding up the work cannot see."""
        from nasbench_kit.spaces.nasbench101.work import traits

        return traits(self)

    # Other libraries' forms ------------------------------------------------------------------

    def to_model_spec(self) -> nasbench_pytorch.model.ModelSpec:
        """The same cell as ``nasbench_pytorch.model.ModelSpec``."""
        from nasbench_pytorch.model import ModelSpec

        return ModelSpec(self.matrix, list(self._operations))

    @classmethod
    def from_model_spec(cls, spec: Any) -> Cell:
        """From the ModelSpec of nasbench_pytorch or of nasbench, in its original labelling."""
        try:
            matrix, operations = spec.original_matrix, spec.original_ops
        except AttributeError:
            raise InvalidCell(
                f"{checks.shown(spec)} is no ModelSpec; it has no original_matrix"
            ) from None
        return cls(matrix, operations)

    def to_networkx(self) -> networkx.DiGraph[int]:
        """A ``networkx.DiGraph`` on 0..V-1 whose nodes have the attribute ``operation``."""
        import networkx

        graph: networkx.DiGraph[int] = networkx.DiGraph()
        graph.add_nodes_from((v, {"operation": name}) for v, name in enumerate(self._operations))
        graph.add_edges_from(self.edges())
        return graph

    @classmethod
    def from_networkx(cls, graph: networkx.DiGraph[Any]) -> Cell:
        """From a ``networkx.DiGraph`` with ``operation`` on each node; nodes in sorted order."""
        if not hasattr(graph, "nodes") or not hasattr(graph, "edges"):
            raise InvalidCell(f"{checks.shown(graph)} is no networkx.DiGraph")
        try:
            nodes = sorted(graph.nodes)
        except TypeError as error:
            raise InvalidCell(f"the nodes have no order ({error}); number them") from error
        place = {node: v for v, node in enumerate(nodes)}
        matrix = np.zeros((len(nodes), len(nodes)), np.int8)
        for source, target in graph.edges:
            matrix[place[source], place[target]] = 1
        try:
            return cls(matrix, [graph.nodes[node]["operation"] for node in nodes])
        except KeyError as error:
            raise InvalidCell("every node needs an attribute 'operation'") from error

    # Display ---------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"Cell.from_text({self.to_text()!r})"

    def __str__(self) -> str:
        from nasbench_kit.spaces.nasbench101.drawing import cell_as_text

        return cell_as_text(self)

    def _repr_svg_(self) -> str:
        from nasbench_kit.spaces.nasbench101.drawing import cell_as_svg

        return cell_as_svg(self)


def _parse_matrix(matrix: object) -> tuple[int, int]:
    """Size and bits of any matrix; says what is wrong with it. The slow way."""
    try:
        entries = np.asarray(matrix)
    except ValueError:
        raise InvalidCell("the matrix is ragged; all rows need the same length") from None
    if entries.ndim != 2 or entries.shape[0] != entries.shape[1]:
        raise InvalidCell(f"the matrix has shape {entries.shape}; it must be square, [V, V]")
    size = len(entries)
    if size < 2:
        raise InvalidCell(
            f"the matrix has {checks.counted(size, 'vertex', 'vertices')}; a cell has an input and an output"
        )
    try:
        wrong = np.argwhere((entries != 0) & (entries != 1))
    except TypeError:
        wrong = np.argwhere(np.ones_like(entries, bool))
    if len(wrong):
        u, v = wrong[0].tolist()
        raise InvalidCell(
            f"entry [{u}, {v}] of the matrix is {checks.shown(entries.item(u, v))}; it must be 0 or 1"
        )
    backward = np.argwhere(np.tril(entries != 0))
    if len(backward):
        u, v = backward[0].tolist()
        raise InvalidCell(
            f"the edge {u} -> {v} is on or below the diagonal; edges run from lower to higher "
            "vertices (a cycle has no such order), so number the vertices topologically"
        )
    return size, sum(1 << edge_bit(u, v) for u, v in np.argwhere(entries != 0).tolist())


def _parse_operations(operations: Iterable[str], size: int) -> tuple[tuple[str, ...], int]:
    """Full names and code of any operations; says what is wrong with them. The slow way."""
    if isinstance(operations, str) or not isinstance(operations, Iterable):
        raise InvalidCell(f"operations are {checks.shown(operations)}; give a list of names")
    try:
        names = tuple(_ALIASES.get(str(name), str(name)) for name in operations)
    # An array without dimensions says that it can be iterated; a number may be too long for text, and
    # somebody's own class may raise anything.
    except Exception:  # noqa: BLE001
        raise InvalidCell(
            f"operations are {checks.shown(operations)}; give a list of names"
        ) from None
    if len(names) == size - 2 and INPUT not in names:
        names = (INPUT, *names, OUTPUT)
    if len(names) != size:
        raise InvalidCell(
            f"{checks.counted(len(names), 'operation')} for {size} vertices; give {size} with 'input' and 'output', "
            f"or the {size - 2} interior ones"
        )
    if names[0] != INPUT or names[-1] != OUTPUT:
        raise InvalidCell(
            f"operations start with {checks.shown(names[0])} and end with {checks.shown(names[-1])}; "
            "they must start with 'input' and end with 'output'"
        )
    for name in names[1:-1]:
        if _LABELS.get(name, -1) < 0:
            allowed = ", ".join(name for name, label in _LABELS.items() if label >= 0)
            raise InvalidCell(
                f"unknown operation {checks.shown(name)}; the operations are {allowed}"
            )
    return names, _CODES.get(size, {}).get(names, -1)


def _columns(size: int) -> list[tuple[int, int, int]]:
    """For each vertex but the input: shift and mask of its column in the bits, its own bit."""
    return [(edge_bit(0, v), (1 << v) - 1, 1 << v) for v in range(1, size)]


_COLUMNS = [_columns(size) for size in range(_TABULATED + 1)]


def _reached(size: int, bits: int) -> int:
    """Bit mask of the vertices that the input reaches."""
    reached = 1
    for shift, mask, vertex in _COLUMNS[size] if size <= _TABULATED else _columns(size):
        if bits >> shift & mask & reached:
            reached |= vertex
    return reached


def _reaching(size: int, bits: int) -> int:
    """Bit mask of the vertices that reach the output."""
    reaching = 1 << (size - 1)
    for shift, mask, vertex in reversed(_columns(size)):
        if reaching & vertex:
            reaching |= bits >> shift & mask
    return reaching


@functools.lru_cache(maxsize=1 << 16)
def _official_hash(size: int, bits: int, operations: tuple[str, ...]) -> str:
    """MD5 of a pruned cell as google-research/nasbench computes it."""
    edges = [(u, v) for v in range(1, size) for u in range(v) if bits >> edge_bit(u, v) & 1]
    sources: list[list[int]] = [[] for _ in range(size)]
    targets: list[list[int]] = [[] for _ in range(size)]
    for u, v in edges:
        targets[u].append(v)
        sources[v].append(u)
    return refinement_hash(
        [(len(targets[v]), len(sources[v]), _LABELS[operations[v]]) for v in range(size)],
        sources,
        targets,
    )


def refinement_hash(
    starts: Sequence[object], sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]
) -> str:
    """The official MD5 of a graph (google-research/nasbench, graph_util.hash_module).

    V rounds of Weisfeiler-Lehman refinement over in- and out-neighbours, then the sorted list.

    Args:
        starts: what each of the V vertices begins with: out-degree, in-degree and label.
        sources: the vertices that feed each vertex.
        targets: the vertices that each vertex feeds.
    """

    def md5(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    digests = [md5(str(start)) for start in starts]
    for _ in starts:
        digests = [
            md5(
                "".join(sorted([digests[u] for u in sources[v]]))
                + "|"
                + "".join(sorted([digests[w] for w in targets[v]]))
                + "|"
                + digests[v]
            )
            for v in range(len(starts))
        ]
    return md5(str(sorted(digests)))


def _isomorphic(a: Cell, b: Cell) -> bool:
    """Exact check, for the sizes where equal hashes do not prove equality."""
    import networkx

    return networkx.is_isomorphic(
        a.to_networkx(),
        b.to_networkx(),
        node_match=lambda one, other: one["operation"] == other["operation"],
    )
