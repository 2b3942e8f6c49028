"""The space of all cells within limits of vertices and edges: rows, lookup, sampling, neighbours.

    >>> space = CellSpace()                        # NAS-Bench-101: 7 vertices, 9 edges
    >>> len(space)
    423624
    >>> space.index(Cell.named("resnet"))          # its row, without hashing
    28
    >>> space[28] == Cell.named("resnet")
    True

Row order is part of the format: by number of vertices first, so that a smaller space is a prefix of
a larger one (`nasbench_kit.spaces.nasbench101.index`). An *encoding* is a labelled matrix on ``max_vertices`` vertices
with an operation for every interior vertex, used or not; many encodings describe one cell.
"""

from __future__ import annotations

import functools
import itertools
import operator
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, overload

import numpy as np

from nasbench_kit import checks
from nasbench_kit.errors import InvalidCell, InvalidSetting, NotInSpace, UnknownName
from nasbench_kit.spaces.nasbench101 import batch, hashes, index as direct, neighbourhood, one_shot
from nasbench_kit.spaces.nasbench101.cell import OPERATIONS, Cell, edge_bit
from nasbench_kit.spaces.nasbench101.encodings import Encoding
from nasbench_kit.system.read_only import ReadOnly

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch
    from numpy.random import Generator
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from nasbench_kit.spaces.nasbench101.relaxation import Relaxation
    from nasbench_kit.spaces.nasbench101.supernet import Supernet
    from nasbench_kit.spaces.protocols import Decision
    from nasbench_kit.spaces.skeleton import Skeleton

_MASK = direct.RELABELLING_MASK
#: With more edges on seven vertices there are too many graphs for the index's integers.
_MOST_EDGES = 11
#: Random edits tried before a cell counts as having none; each of the 52 possible ones is then left
#: out with probability 1e-8.
_MAX_DRAWS = 1_000


class CellSpace(ReadOnly):
    """All unique cells of at most ``max_vertices`` vertices and ``max_edges`` edges.

    Args:
        max_vertices: 2 to 7, input and output included.
        max_edges: at least 1; edges are counted after pruning.

    Raises:
        InvalidSetting: a limit outside these ranges, or no whole number.
    """

    name: str
    max_vertices: int
    max_edges: int
    #: A function and its arguments, to make the space again where it is sent to.
    _made_by: tuple[object, ...]
    _index: direct.Index
    _entries: memoryview
    _permuted: memoryview
    _rows: memoryview
    _codes: int
    _edges: int

    def __init__(self, max_vertices: int = 7, max_edges: int = 9) -> None:
        max_vertices = checks.whole("max_vertices", max_vertices, 2, 7)
        max_edges = checks.whole("max_edges", max_edges, 1)
        max_edges = min(max_edges, max_vertices * (max_vertices - 1) // 2)
        if max_vertices == 7 and max_edges > _MOST_EDGES:
            raise InvalidSetting(
                f"max_edges is {max_edges}; with 7 vertices the index covers {_MOST_EDGES} at most"
            )
        index = direct.cached(max_vertices, max_edges)
        made_by = CellSpace, (max_vertices, max_edges)
        self._fill(f"v{max_vertices}e{max_edges}", max_edges, index, made_by)

    def _fill(
        self, name: str, max_edges: int, index: direct.Index, made_by: tuple[object, ...]
    ) -> None:
        vertices = int(index.vertices)
        vars(self).update(
            name=name,
            max_vertices=vertices,
            max_edges=max_edges,
            _made_by=made_by,
            _index=index,
            # A memoryview hands out one element in 50 ns, an array in 100.
            _entries=index.entries.data,
            _permuted=index.permuted.data,
            _rows=index.rows.data,
            _codes=3 ** (vertices - 2),
            _edges=edge_bit(0, vertices),
        )

    @classmethod
    def one_shot(cls, number: int, *, published: bool = False) -> CellSpace:
        """Sub-space 1, 2 or 3 of NAS-Bench-1Shot1 within the full space.

        Complete by default (2,685, 7,773 and 55,854 cells); ``published`` keeps to the graphs that
        the released code lists (2,127, 3,258 and 17,940). See `nasbench_kit.spaces.nasbench101.one_shot`.

        Raises:
            UnknownName: another number.
            InvalidSetting: no whole number.
        """
        number = checks.whole("the number of the sub-space", number, 0)
        size = len(one_shot.parents(number)) + 1
        graphs = sorted(one_shot.topologies(number, published=published))
        bits = np.array([_widened(graph, size, 7) for graph in graphs])
        full = cls()
        rows = np.unique(full._index.lookup(bits[:, None], np.arange(3 ** (size - 2))))
        return full.restricted(rows, f"1shot1-{number}" + ("-published" if published else ""))

    @classmethod
    def named(cls, name: str) -> CellSpace:
        """The space that has this ``name``: ``v7e9``, ``1shot1-2``, ``1shot1-2-published``, ...

        Raises:
            UnknownName: no space is written so.
        """
        text = name if isinstance(name, str) else ""
        if limits := re.fullmatch(r"v([0-9]{1,9})e([0-9]{1,9})", text):
            return cls(int(limits[1]), int(limits[2]))
        if one := re.fullmatch(r"1shot1-([0-9]{1,9})(-published)?", text):
            return cls.one_shot(int(one[1]), published=one[2] is not None)
        raise UnknownName(
            f"no space is called {checks.shown(name)}; write v7e9, 1shot1-1 or 1shot1-1-published"
        )

    def restricted(self, kept: NDArray[np.integer], name: str = "") -> CellSpace:
        """The sub-space of these rows (ascending), renumbered from 0.

        Raises:
            InvalidSetting: no rows, or not ascending rows of this space.
        """
        kept = np.array(kept)  # of our own: the space is pickled by it
        if kept.ndim != 1 or kept.dtype.kind not in "iu" or not len(kept):
            raise InvalidSetting(
                f"rows of shape {kept.shape} and type {kept.dtype}; give ascending whole numbers, [n]"
            )
        if (np.diff(kept) <= 0).any() or not 0 <= kept[0] <= kept[-1] < len(self):
            raise InvalidSetting(
                f"the {len(kept)} rows are not ascending rows of 0..{len(self) - 1}"
            )
        renumbered = np.full(len(self) + 1, -1, np.int32)  # its last element answers row -1
        renumbered[kept] = np.arange(len(kept))
        rows = renumbered[self._index.rows]
        inhabited: NDArray[np.bool_] = np.any(rows.reshape(-1, direct.CODES) >= 0, axis=1)
        entries = self._index.entries
        restricted = replace(
            self._index,
            entries=np.where(inhabited[entries >> direct.GRAPH_SHIFT], entries, 0),
            rows=rows,
            row_graph=self._index.row_graph[kept],
            row_code=self._index.row_code[kept],
        )
        space = object.__new__(CellSpace)
        made_by = CellSpace.restricted, (self, kept, name)
        space._fill(name or f"{self.name}[{len(kept)}]", self.max_edges, restricted, made_by)
        return space

    @property
    def direct(self) -> direct.Index:
        """The arrays of the index, for analyses of the whole space; not to be changed."""
        return self._index

    def __len__(self) -> int:
        return len(self._index.row_graph)

    def __repr__(self) -> str:
        return f"<CellSpace {self.name}: {len(self):,} cells>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CellSpace) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __reduce__(self) -> tuple[object, ...]:
        return self._made_by

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the row order; every table stores it."""
        return self._index.digest()

    # From cells to rows and back -------------------------------------------------------------

    def __getitem__(self, row: int) -> Cell:
        """The cell of a row, in its canonical labelling.

        Raises:
            NotInSpace: the row is negative or too large.
            InvalidSetting: no whole number.
        """
        if row.__class__ is not int:
            row = _row_number(row)
        if not 0 <= row < len(self):
            raise NotInSpace(
                f"row {checks.shown(row)} is not in the space; its rows are 0 to {len(self) - 1}"
            )
        index = self._index
        graph = index.row_graph[row]
        size = int(index.graph_size[graph]) + 2
        return Cell.from_codes(size, int(index.graph_bits[graph]), int(index.row_code[row]))

    def __iter__(self) -> Iterator[Cell]:
        return (self[row] for row in range(len(self)))

    def __contains__(self, cell: object) -> bool:
        if not isinstance(cell, Cell):
            return False
        try:
            self.index(cell)
        except NotInSpace:
            return False
        return True

    def index(self, cell: Cell) -> int:
        """The row of a cell in any labelling, pruned or not.

        Raises:
            NotInSpace: too many vertices or edges after pruning, or an operation that is not one
                of the three official ones.
            InvalidCell: no `Cell`.
        """
        if cell.__class__ is not Cell and not isinstance(cell, Cell):
            raise _no_cell(cell)
        code = cell._code
        bits = cell._bits
        if cell._size != self.max_vertices or code < 0:
            bits, code = self._encoded(cell)
        entry = self._entries[bits]
        row = self._rows[entry >> 9 & 0x3FFFF00 | self._permuted[entry & _MASK | code]]
        if row < 0:
            raise NotInSpace(self._why_not(cell))
        return row

    def _encoded(self, cell: Cell) -> tuple[int, int]:
        """Bits and code of a cell in the space's own size; it may have to be pruned first."""
        if cell._size > self.max_vertices or cell._code < 0:
            cell = cell.pruned()
        if cell._size > self.max_vertices or cell._code < 0:
            raise NotInSpace(self._why_not(cell))
        return _widened(cell._bits, cell._size, self.max_vertices), cell._code

    def _why_not(self, cell: Cell) -> str:
        cell = cell.pruned()
        edges = cell.bits.bit_count()
        if cell.size > self.max_vertices:
            return (
                f"the cell has {cell.size} vertices; the space allows {self.max_vertices} "
                f"(choose a table of a larger space, or give the oracle a trainer)"
            )
        if edges > self.max_edges:
            return f"the cell has {edges} edges; the space allows {self.max_edges}"
        for name in cell.operations[1:-1]:
            if name not in OPERATIONS:
                return f"the cell has the operation {name!r}; the space has {', '.join(OPERATIONS)}"
        return f"the cell {cell.to_text()} is not in the space {self.name}"

    def indices(
        self, matrices: NDArray[np.number], operations: NDArray[np.number]
    ) -> NDArray[np.int32]:
        """Rows of many encodings at once; -1 for every one that is no cell of this space.

        Args:
            matrices: adjacency, [n, V, V] with V = ``max_vertices``; int8 is fastest, and any type of
                number is taken, as `Cell` takes it (``np.zeros`` makes floats).
            operations: of the interior vertices, [n, V - 2]: 0 conv3x3, 1 conv1x1, 2 maxpool.

        Raises:
            InvalidSetting: other shapes, or no real numbers.
        """
        size = self.max_vertices
        try:
            matrices, operations = np.asarray(matrices), np.asarray(operations)
        except ValueError as error:
            raise InvalidSetting(f"no arrays of one shape: {error}") from error
        if matrices.dtype.kind not in "biuf" or operations.dtype.kind not in "biuf":
            raise InvalidSetting(
                f"matrices of {matrices.dtype} and operations of {operations.dtype}; give numbers"
            )
        if matrices.shape[1:] != (size, size) or operations.shape != (len(matrices), size - 2):
            raise InvalidSetting(
                f"matrices {matrices.shape} and operations {operations.shape} do not fit; "
                f"the space needs [n, {size}, {size}] and [n, {size - 2}]"
            )
        return batch.indices(self._index, matrices, operations)

    def hashes(self) -> NDArray[np.bytes_]:
        """The official MD5 of every cell in row order, dtype S32.

        The first call on the full space computes them (some 20 s on two cores) and keeps them in
        `nasbench_kit.system.files.home`.
        """
        return self._hashes

    @functools.cached_property
    def _hashes(self) -> NDArray[np.bytes_]:
        return hashes.of_space(self)

    @functools.cached_property
    def _hash_order(self) -> NDArray[np.intp]:
        return np.argsort(self._hashes)

    def index_of_hash(self, md5: str) -> int:
        """The row of the cell with this official hash.

        Raises:
            NotInSpace: no cell of the space has it.
        """
        key = md5.encode(errors="replace") if isinstance(md5, str) else b""
        place = int(np.searchsorted(self._hashes, key, sorter=self._hash_order))
        if place < len(self):
            row = int(self._hash_order[place])
            if self._hashes[row] == key:
                return row
        raise NotInSpace(f"no cell of the space {self.name} has the hash {checks.shown(md5)}")

    # Sampling and edits ----------------------------------------------------------------------

    @functools.cached_property
    def _valid(self) -> memoryview:
        """Bits of all matrices that describe a cell, ascending."""
        return np.flatnonzero(self._index.entries).astype(np.int32).data.toreadonly()

    @overload
    def sample(self, rng: Generator, *, over: Literal["encodings", "cells"] = ...) -> Cell: ...

    @overload
    def sample(
        self, rng: Generator, size: int, over: Literal["encodings", "cells"] = ...
    ) -> NDArray[np.int32]: ...

    def sample(
        self,
        rng: Generator,
        size: int | None = None,
        over: Literal["encodings", "cells"] = "encodings",
    ) -> Cell | NDArray[np.int32]:
        """A random cell in its unpruned labelling or, with ``size``, that many row indices.

        ``over="encodings"`` is uniform over valid encodings, as the official notebook samples;
        ``over="cells"`` is uniform over unique cells (canonical labelling).

        Raises:
            InvalidSetting: another ``over``, no generator, or a size that is no count.
        """
        if rng.__class__ is not np.random.Generator:
            checks.generator(rng)
        if size is not None:
            size = checks.whole("size", size, 0)
        if not isinstance(over, str) or over not in ("encodings", "cells"):
            raise InvalidSetting(f"over is {checks.shown(over)}; choose 'encodings' or 'cells'")
        if over == "cells":
            if size is not None:
                return rng.integers(len(self), size=size, dtype=np.int32)
            return self[int(rng.integers(len(self)))]
        if size is not None:
            return self._sample_rows(rng, size)
        valid, codes = self._valid, self._codes
        encodings = len(valid) * codes
        while True:
            matrix, code = divmod(_below(encodings, rng), codes)
            bits = valid[matrix]
            if self._row(bits, code) >= 0:  # always, but in a restricted space
                return Cell.from_codes(self.max_vertices, bits, code)

    def sample_fairly(self, rng: Generator) -> list[Cell]:
        """Cells of one graph, as many as operations: each vertex has every operation once.

        The graph is that of a cell uniform over unique cells; every vertex's order of operations is
        drawn by itself.

        Raises:
            InvalidSetting: a thousand draws brought no such cells; a part of a space may lack them.
        """
        for _ in range(1000):
            drawn = self.sample(rng, over="cells")
            interior = range(drawn.size - 2)
            orders = [rng.permutation(len(OPERATIONS)).tolist() for _ in interior]
            codes = [
                sum(orders[v][turn] * 3**v for v in interior) for turn in range(len(OPERATIONS))
            ]
            cells = [self.cell(drawn.bits, code, drawn.size) for code in codes]
            complete = [cell for cell in cells if cell is not None]
            if len(complete) == len(cells):
                return complete
        raise InvalidSetting(
            f"the space {self.name} has no graph with all operations in every vertex; "
            "choose another sampling"
        )

    def _sample_rows(self, rng: Generator, size: int) -> NDArray[np.int32]:
        valid = np.asarray(self._valid)
        rows = np.empty(0, np.int32)
        while len(rows) < size:
            draws = rng.integers(len(valid) * self._codes, size=size - len(rows))
            matrix, code = np.divmod(draws, self._codes)
            looked_up = self._index.lookup(valid[matrix], code)
            rows = np.concatenate([rows, looked_up[looked_up >= 0]])
        return rows

    def cell(self, bits: int, code: int, size: int | None = None) -> Cell | None:
        """The cell of these edge bits and operations, or None if it is not in the space.

        Args:
            bits: any graph's, connected or not; see `nasbench_kit.spaces.nasbench101.cell`.
            code: operations as one number below 3 ** (size - 2).
            size: vertices, at most ``max_vertices``, which is the default.

        Raises:
            InvalidSetting: a number outside its limits.
        """
        if size is not None:
            size = checks.whole("size", size, 2, self.max_vertices)
        vertices = size or self.max_vertices
        bits = checks.whole("bits", bits, 0, (1 << edge_bit(0, vertices)) - 1)
        code = checks.whole("code", code, 0, 3 ** (vertices - 2) - 1)
        wide = bits if size is None else _widened(bits, size, self.max_vertices)
        if self._row(wide, code) < 0:
            return None
        return Cell.from_codes(size or self.max_vertices, bits, code)

    def _row(self, bits: int, code: int) -> int:
        entry = self._entries[bits]
        return self._rows[entry >> 9 & 0x3FFFF00 | self._permuted[entry & _MASK | code]]

    # The torch half ----------------------------------------------------------------------------

    def supernet(
        self, skeleton: Skeleton, image_channels: int, classes: int, generator: torch.Generator
    ) -> Supernet:
        """Shared weights of all cells; see `nasbench_kit.spaces.nasbench101.supernet`.

        Raises:
            InvalidSetting: the skeleton is too narrow.
        """
        from nasbench_kit.spaces.nasbench101.supernet import Supernet

        return Supernet(self.max_vertices, skeleton, image_channels, classes, generator)

    def relaxation(self, rng: Generator) -> Relaxation:
        """Logits of edges and operations; see `nasbench_kit.spaces.nasbench101.relaxation`.

        Raises:
            InvalidSetting: the space is neither whole nor one of NAS-Bench-1Shot1.
        """
        from nasbench_kit.spaces.nasbench101.relaxation import Relaxation

        return Relaxation(self, rng)

    # Decisions -------------------------------------------------------------------------------

    @functools.cached_property
    def decisions(self) -> tuple[Decision, ...]:
        """The edges and operations of encoding A, see `nasbench_kit.spaces.nasbench101.encodings`."""
        return self._encoding.decisions

    @functools.cached_property
    def _encoding(self) -> Encoding:
        return Encoding("A", self)

    def encode(self, cell: Cell) -> tuple[int, ...]:
        """The decisions of a cell in its own labelling, padded to ``max_vertices``.

        Raises:
            NotInSpace: the cell is outside.
        """
        self.index(cell)
        return tuple(
            self._encoding.encode(Cell.from_codes(self.max_vertices, *self._encoded(cell)))
        )

    def decode(self, choices: Sequence[int]) -> Cell | None:
        """The cell of these decisions, in its unpruned labelling; None if they make none."""
        return self._encoding.decode(choices)

    def parse(self, text: str) -> Cell:
        """The cell of a text (`Cell.to_text`), which may lie outside.

        Raises:
            InvalidCell: the text has another form, or describes no cell.
        """
        return Cell.from_text(text)

    def mutate(self, cell: Cell, rng: Generator) -> Cell:
        """One random edit of the cell's own labelling, padded and never pruned.

        One of the 26 variables (edges and operations), uniformly, is set to another value; drawn
        again until the result is in the space. (The one-variable mutation of the NAS-Bench-101
        paper's evolution; an edit of an unused vertex may leave the cell the same.)

        Raises:
            NotInSpace: the cell itself is outside, or no edit of it was found inside (in a space
                restricted to scattered cells).
            InvalidCell: no `Cell`.
            InvalidSetting: no generator.
        """
        if not isinstance(cell, Cell):
            raise _no_cell(cell)
        if rng.__class__ is not np.random.Generator:
            checks.generator(rng)
        bits, code = cell._bits, cell._code
        if cell._size != self.max_vertices or code < 0:
            bits, code = self._encoded(cell)
        if self._row(bits, code) < 0:
            raise NotInSpace(self._why_not(cell))
        edges = self._edges
        # Two tickets for each variable, so that an operation can turn to either other one.
        tickets = 2 * (edges + self.max_vertices - 2)
        for _ in range(_MAX_DRAWS):
            variable, turn = divmod(_below(tickets, rng), 2)
            if variable < edges:
                new_bits, new_code = bits ^ 1 << variable, code
            else:
                new_bits, new_code = bits, _turned(code, variable - edges, 1 + turn)
            if self._row(new_bits, new_code) >= 0:
                return Cell.from_codes(self.max_vertices, new_bits, new_code)
        raise NotInSpace(f"{cell.to_text()} has no neighbour in the space {self.name}")

    @overload
    def neighbours(self, of: Cell) -> list[Cell]: ...

    @overload
    def neighbours(self, of: int) -> NDArray[np.int64]: ...

    def neighbours(self, of: Cell | int) -> list[Cell] | NDArray[np.int64]:
        """What lies one edit away.

        Of a row: the sorted rows of all other unique cells that one edge flip or operation change
        of *some* valid encoding reaches; symmetric. Of a cell: all valid single edits of its own
        labelling, padded to ``max_vertices`` and never pruned (at most 21 + 10 cells; some may be
        isomorphic to each other or to the cell itself).

        Raises:
            NotInSpace: the row or cell is outside.
            InvalidSetting: neither a cell nor a row.
        """
        if isinstance(of, Cell):
            bits, code = self._encoded(of)
            self.index(of)
            edits = [(bits ^ 1 << edge, code) for edge in range(self._edges)]
            edits += [
                (bits, _turned(code, position, turn))
                for position, turn in itertools.product(range(self.max_vertices - 2), (1, 2))
            ]
            return [
                Cell.from_codes(self.max_vertices, *edit) for edit in edits if self._row(*edit) >= 0
            ]
        of = _row_number(of)
        if not 0 <= of < len(self):
            raise NotInSpace(
                f"row {checks.shown(of)} is not in the space; its rows are 0 to {len(self) - 1}"
            )
        return neighbourhood.neighbours(self._index, of, self._moves)

    def neighbour_graph(self) -> csr_array:
        """All neighbours at once: a symmetric 0-1 CSR matrix [rows, rows], int8."""
        return neighbourhood.neighbour_graph(self._index, self._moves)

    @functools.cached_property
    def _moves(self) -> neighbourhood.Moves:
        return neighbourhood.moves(self._index)

    def distance(self, one: Cell, other: Cell) -> int:
        """Edit distance: least Hamming distance over the labellings of the two pruned cells.

        Counts edges that differ and operations that differ; the operation of an unused vertex is
        free. Labellings are upper triangular on ``max_vertices`` vertices.

        Raises:
            NotInSpace: one of the cells is outside.
        """
        one, other = self[self.index(one)], self[self.index(other)]
        return neighbourhood.distance(one, other, self.max_vertices)


def _row_number(row: object) -> int:
    """A row of any integer type, whatever its size."""
    try:
        return operator.index(row)  # type: ignore[arg-type]  # which is what it checks
    except TypeError:
        raise InvalidSetting(f"the row is {checks.shown(row)}; give a whole number") from None


def _no_cell(value: object) -> InvalidCell:
    return InvalidCell(f"{checks.shown(value)} is no Cell; make one, as in Cell.named('resnet')")


def _below(count: int, rng: Generator) -> int:
    """A random number from 0 to count - 1, in a third of the time of ``rng.integers``.

    With less than 2 ** 29 numbers, none is more likely than another by more than 1e-7.
    """
    return int(rng.random() * count)


def _widened(bits: int, size: int, vertices: int) -> int:
    """Bits of a matrix padded with unused vertices before the output."""
    output = edge_bit(0, size - 1)
    return bits & ((1 << output) - 1) | bits >> output << edge_bit(0, vertices - 1)


def _turned(code: int, position: int, turn: int) -> int:
    """The code with one operation moved on by ``turn`` (1 or 2) in their order."""
    power = 3**position
    digit = code // power % 3
    return code + ((digit + turn) % 3 - digit) * power
