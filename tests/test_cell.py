"""Cells: what is accepted and refused, equality up to isomorphism, the official hash, other forms."""

from __future__ import annotations

import copy
import itertools
import json
import pickle
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from typing import Any

import networkx
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from nasbench_pytorch.model import ModelSpec, graph_util

from nasbench_kit import Cell, CellSpace, InvalidCell, UnknownName
from nasbench_kit.spaces.nasbench101 import cell as cell_module
from nasbench_kit.spaces.nasbench101.cell import OPERATIONS, register_operation

CONV3, CONV1, POOL = OPERATIONS
LABELS = {"input": -1, "output": -2} | {name: label for label, name in enumerate(OPERATIONS)}

#: Text form -> official hash, as google-research/nasbench computes it.
TEST_VECTORS = {
    "01/00:": "043721b9c7fe8c5fad811d47d83132ec",
    "0101/0010/0001/0000:conv3x3,conv3x3": "b5fb4f6193360330b6ff6a52cbf0cad7",
    "0111010/0000001/0000001/0000100/0000001/0000001/0000000"
    ":conv1x1,conv3x3,conv3x3,conv3x3,maxpool3x3": "28cfc7874f6d200472e1a9dcd8650aa0",
    "0110011/0000010/0001000/0000100/0000010/0000001/0000000"
    ":conv1x1,conv3x3,maxpool3x3,conv3x3,conv3x3": "02e5a0247bbdcf2860b7e96f74961594",
    "0100110/0010000/0001001/0000010/0000010/0000001/0000000"
    ":conv3x3,maxpool3x3,conv3x3,conv3x3,conv1x1": "00005c142e6f48ac74fdcf73e3439874",
}


# Random cells, as (edges, operations) on vertices 0..V-1, and what may be done to them ---------

Graph = tuple[set[tuple[int, int]], list[str]]


def cell_of(graph: Graph) -> Cell:
    edges, operations = graph
    matrix = np.zeros((len(operations), len(operations)), int)
    for edge in edges:
        matrix[edge] = 1
    return Cell(matrix, operations)


@st.composite
def graphs(draw: st.DrawFn, max_size: int = 7) -> Graph:
    """Random upper triangular graphs in which some path leads from input to output."""
    size = draw(st.integers(2, max_size))
    pairs = list(itertools.combinations(range(size), 2))
    edges = {pair for pair in pairs if draw(st.booleans())}
    path = [0, *(v for v in range(1, size - 1) if draw(st.booleans())), size - 1]
    edges |= set(itertools.pairwise(path))
    interior = [draw(st.sampled_from(OPERATIONS)) for _ in range(size - 2)]
    return edges, ["input", *interior, "output"]


@st.composite
def relabelled(draw: st.DrawFn, graph: Graph) -> Graph:
    """The same graph with its interior vertices in another topological order."""
    edges, operations = graph
    waiting, order = set(range(1, len(operations) - 1)), [0]
    while waiting:
        ready = [v for v in waiting if not any(target == v and u in waiting for u, target in edges)]
        order.append(draw(st.sampled_from(sorted(ready))))
        waiting.remove(order[-1])
    order.append(len(operations) - 1)
    place = {v: position for position, v in enumerate(order)}
    return {(place[u], place[v]) for u, v in edges}, [operations[v] for v in order]


@st.composite
def with_dangling(draw: st.DrawFn, graph: Graph, most: int) -> Graph:
    """The same graph with vertices inserted that nothing feeds, or that feed nothing."""
    edges, operations = graph
    for _ in range(draw(st.integers(0, most - len(operations)))):
        new = draw(st.integers(1, len(operations) - 1))
        edges = {(u + (u >= new), v + (v >= new)) for u, v in edges}
        operations = [*operations[:new], draw(st.sampled_from(OPERATIONS)), *operations[new:]]
        fed = draw(st.booleans())
        ends = range(new) if fed else range(new + 1, len(operations))
        edges |= {(v, new) if fed else (new, v) for v in ends if draw(st.booleans())}
    return edges, operations


def isomorphic(one: Cell, other: Cell) -> bool:
    """The definition: some permutation of the interior vertices turns one into the other."""
    if one.size != other.size:
        return False
    matrix, last = one.matrix, one.size - 1
    for interior in itertools.permutations(range(1, last)):
        order = [0, *interior, last]
        if [one.operations[v] for v in order] == list(other.operations) and np.array_equal(
            matrix[np.ix_(order, order)], other.matrix
        ):
            return True
    return False


# Properties ------------------------------------------------------------------------------------


@given(st.data())
@settings(max_examples=200)
def test_relabelling_and_dangling_vertices_change_neither_cell_nor_row(
    full_space: CellSpace, data: st.DataObject
) -> None:
    graph = data.draw(graphs())
    dressed = data.draw(with_dangling(data.draw(relabelled(graph)), most=9))
    cell, other = cell_of(graph), cell_of(data.draw(relabelled(dressed)))
    assert cell == other
    assert hash(cell) == hash(other)
    assert cell.hash == other.hash
    assert cell.pruned().size == other.pruned().size
    assert (cell in full_space) == (other in full_space) == (len(cell.pruned().edges()) <= 9)
    if cell in full_space:
        row = full_space.index(cell)
        assert full_space.index(other) == row
        assert full_space[row] == cell


@given(graphs(max_size=4), graphs(max_size=4))
@settings(max_examples=300)
def test_equality_is_isomorphism_of_the_pruned_cells(one: Graph, other: Graph) -> None:
    a, b = cell_of(one), cell_of(other)
    assert (a == b) == isomorphic(a.pruned(), b.pruned())


@given(graphs(), st.data())
def test_one_graph_with_two_labellings_is_one_cell_only_if_isomorphic(
    graph: Graph, data: st.DataObject
) -> None:
    cell = cell_of(graph).pruned()
    edges, operations = set(cell.edges()), list(cell.operations)
    for v in range(1, cell.size - 1):
        operations[v] = data.draw(st.sampled_from(OPERATIONS))
    other = cell_of(data.draw(relabelled((edges, operations))))
    assert (cell == other) == isomorphic(cell, other)


@given(graphs(max_size=9))
def test_hash_is_the_official_one_of_the_pruned_cell(graph: Graph) -> None:
    pruned = cell_of(graph).pruned()
    labels = [LABELS[name] for name in pruned.operations]
    assert cell_of(graph).hash == graph_util.hash_module(pruned.matrix.astype(int), labels)


@given(graphs(max_size=9))
def test_pruning_keeps_just_the_vertices_on_a_path_from_input_to_output(graph: Graph) -> None:
    cell = cell_of(graph)
    walk = cell.to_networkx()
    used = sorted((networkx.descendants(walk, 0) | {0}) & (networkx.ancestors(walk, cell.size - 1)))
    used.append(cell.size - 1)
    pruned = cell.pruned()
    assert pruned.operations == tuple(cell.operations[v] for v in used)
    assert np.array_equal(pruned.matrix, cell.matrix[np.ix_(used, used)])
    assert cell.used() == sum(1 << v for v in used)
    assert pruned.pruned() is pruned
    assert pruned == cell


@given(graphs(max_size=9))
def test_every_form_round_trips_in_the_same_labelling(graph: Graph) -> None:
    cell = cell_of(graph)
    others = [
        Cell(cell.matrix, cell.operations),
        Cell.from_text(cell.to_text()),
        Cell.from_json(cell.to_json()),
        Cell.from_model_spec(cell.to_model_spec()),
        Cell.from_networkx(cell.to_networkx()),
        pickle.loads(pickle.dumps(cell)),
        copy.deepcopy(cell),
        eval(repr(cell)),
    ]
    for other in others:
        assert np.array_equal(other.matrix, cell.matrix)
        assert other.operations == cell.operations
        assert (other.size, other.bits, other.code) == (cell.size, cell.bits, cell.code)
        assert other == cell


@given(graphs())
def test_bits_and_code_say_everything_of_a_small_cell(graph: Graph) -> None:
    cell = cell_of(graph)
    assert set(cell.edges()) == graph[0]
    assert cell.bits == sum(1 << (u + v * (v - 1) // 2) for u, v in graph[0])
    assert cell.code == sum(LABELS[name] * 3**v for v, name in enumerate(graph[1][1:-1]))
    again = Cell.from_codes(cell.size, cell.bits, cell.code)
    assert (again.to_text(), again.hash) == (cell.to_text(), cell.hash)


@given(graphs())
def test_the_model_spec_prunes_as_we_do(graph: Graph) -> None:
    cell = cell_of(graph)
    spec = cell.to_model_spec()
    assert spec.matrix.tolist() == cell.pruned().matrix.tolist()
    assert tuple(spec.ops) == cell.pruned().operations


# Known answers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "md5"), TEST_VECTORS.items())
def test_hash_of_the_test_vectors(text: str, md5: str, full_space: CellSpace) -> None:
    cell = Cell.from_text(text)
    assert cell.hash == md5
    assert full_space[full_space.index(cell)].hash == md5


@pytest.mark.parametrize(
    ("name", "md5"),
    [
        ("resnet", "b5fb4f6193360330b6ff6a52cbf0cad7"),
        ("inception", "28cfc7874f6d200472e1a9dcd8650aa0"),
        ("best", "02e5a0247bbdcf2860b7e96f74961594"),
    ],
)
def test_named_cells(name: str, md5: str) -> None:
    assert Cell.named(name).hash == md5


def test_hashes_collide_beyond_seven_vertices_but_cells_differ() -> None:
    """Two layers of four vertices joined as one cycle of eight or as two cycles of four.

    Both are regular, so refinement of colours cannot tell them apart: the counterexample of the
    official graph_util_test.
    """

    def two_layers(between: list[tuple[int, int]]) -> Cell:
        feeds = {(0, v) for v in range(1, 5)} | {(v, 9) for v in range(5, 9)}
        return cell_of((feeds | set(between), ["input", *[CONV3] * 8, "output"]))

    one = two_layers([(1 + i, 5 + (i + turn) % 4) for i in range(4) for turn in (0, 1)])
    two = two_layers(
        [(i, j) for half in (0, 2) for i in (1 + half, 2 + half) for j in (5 + half, 6 + half)]
    )
    assert one.hash == two.hash
    assert one != two
    assert len({one, two}) == 2
    shuffled = two_layers(
        [(1 + 3 * i % 4, 5 + (i + turn) % 4) for i in range(4) for turn in (0, 1)]
    )
    assert one == shuffled != two


# What is accepted ------------------------------------------------------------------------------

RESNET = [[0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
RESNET_OPERATIONS = ("input", CONV3, CONV3, "output")


@pytest.mark.parametrize(
    "matrix",
    [
        RESNET,
        tuple(map(tuple, RESNET)),
        [np.array(row) for row in RESNET],
        [[bool(entry) for entry in row] for row in RESNET],
        [[float(entry) for entry in row] for row in RESNET],
        *(np.array(RESNET, dtype) for dtype in ("i1", "u1", "i8", "f4", "f8", "?", "O")),
        np.asfortranarray(RESNET),
    ],
    ids=lambda matrix: (
        f"{type(matrix).__name__}-{getattr(matrix, 'dtype', type(matrix[0][0]).__name__)}"
    ),
)
def test_matrices_of_any_0_1_entries_are_accepted(matrix: Any) -> None:
    cell = Cell(matrix, RESNET_OPERATIONS)
    assert cell.matrix.dtype == np.int8
    assert cell.matrix.tolist() == RESNET
    assert cell.hash == TEST_VECTORS["0101/0010/0001/0000:conv3x3,conv3x3"]


@pytest.mark.parametrize(
    "operations",
    [
        RESNET_OPERATIONS,
        list(RESNET_OPERATIONS),
        np.array(RESNET_OPERATIONS),
        [CONV3, CONV3],
        ("conv3x3", "conv3x3"),
        ["input", "conv3x3", CONV3, "output"],
        np.array(["conv3x3", "conv3x3"]),
    ],
    ids=str,
)
def test_operations_are_kept_as_a_tuple_of_official_names(operations: Any) -> None:
    kept = Cell(RESNET, operations).operations
    assert kept == RESNET_OPERATIONS
    assert {type(name) for name in kept} == {str}


def test_an_unpruned_cell_of_many_edges_is_a_cell_of_the_space(full_space: CellSpace) -> None:
    """The limits count after pruning: 12 edges, 8 vertices, of which 4 vertices are used."""
    edges = (
        {(0, 1), (0, 7), (1, 2), (2, 7)}
        | {(u, v) for u in (0, 1, 2) for v in (3, 4)}
        | {(5, 6), (6, 7)}
    )
    cell = cell_of((edges, ["input", CONV3, CONV3, POOL, POOL, CONV1, CONV1, "output"]))
    assert len(cell.edges()) == 12
    assert full_space.index(cell) == full_space.index(Cell.named("resnet"))


def test_another_operation_can_be_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cell_module, "_LABELS", dict(cell_module._LABELS))
    register_operation("conv5x5")
    cell = Cell(RESNET, ["conv5x5", "conv3x3"])
    assert cell != Cell(RESNET, ["conv3x3", "conv3x3"])
    assert cell != Cell(RESNET, ["conv3x3", "conv5x5"])
    assert Cell.from_text(cell.to_text()) == cell
    for taken in ("conv5x5", "conv3x3", CONV3, "input"):
        with pytest.raises(InvalidCell, match=f"'{taken}' exists already; choose another name"):
            register_operation(taken)
    for name in ("", "a,b", "a:b", "a/b", "a b"):
        with pytest.raises(InvalidCell, match=f"{name!r}: a name is not empty and has none of"):
            register_operation(name)


# Immutability ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["matrix", "operations", "hash", "size", "bits", "code", "note"])
def test_no_attribute_can_be_set(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(Cell.named("resnet"), name, None)


def test_arrays_and_lists_given_or_returned_are_copies() -> None:
    matrix, operations = np.array(RESNET), list(RESNET_OPERATIONS)
    cell = Cell(matrix, operations)
    matrix[0, 2] = 1
    operations[1] = POOL
    cell.matrix[0, 2] = 1
    cell.edges().append((0, 2))
    assert cell.matrix.tolist() == RESNET
    assert cell.operations == RESNET_OPERATIONS


def test_a_cell_is_unequal_to_everything_else() -> None:
    cell = Cell.named("resnet")
    assert cell != cell.hash
    assert cell != cell.to_text()
    assert cell is not None and cell != 0


# Display ---------------------------------------------------------------------------------------


@given(graphs(max_size=8))
def test_the_drawing_has_a_box_for_every_vertex_and_a_line_for_every_edge(graph: Graph) -> None:
    cell = cell_of(graph)
    drawing = ElementTree.fromstring(cell._repr_svg_())
    tags = [element.tag.rpartition("}")[2] for element in drawing]
    assert (tags.count("rect"), tags.count("path")) == (cell.size, len(cell.edges()))
    assert len(str(cell).splitlines()) == cell.size


def test_text_for_a_terminal() -> None:
    shown = [line.split() for line in str(Cell.named("resnet")).splitlines()]
    assert shown == [
        ["0", "input", "->", "1,", "3"],
        ["1", "conv3x3", "->", "2"],
        ["2", "conv3x3", "->", "3"],
        ["3", "output"],
    ]


# What is refused -------------------------------------------------------------------------------

CHAIN = [[0, 1, 0], [0, 0, 1], [0, 0, 0]]


def entry(value: Any) -> Any:
    return [[0, value], [0, 0]]


@pytest.mark.parametrize(
    ("matrix", "operations", "message"),
    [
        (None, [], r"shape \(\); it must be square"),
        ([], [], r"shape \(0,\); it must be square"),
        ([[]], [], r"shape \(1, 0\); it must be square"),
        ([0, 1, 1], [], r"shape \(3,\); it must be square"),
        (["01", "00"], [], r"shape \(2,\); it must be square"),
        (np.zeros((2, 3)), [], r"shape \(2, 3\); it must be square"),
        (np.zeros((2, 2, 2)), [], r"shape \(2, 2, 2\); it must be square"),
        ([[0, 1], [0]], [], "ragged; all rows need the same length"),
        ([[0]], [], "has 1 vertex; a cell has an input and an output"),
        (entry(2), [], r"entry \[0, 1\] of the matrix is .*2.*; it must be 0 or 1"),
        (entry(-1), [], r"entry \[0, 1\] of the matrix is .*-1.*; it must be 0 or 1"),
        (entry(0.5), [], r"entry \[0, 1\] of the matrix is .*0\.5.*; it must be 0 or 1"),
        (entry(float("nan")), [], r"entry \[0, 1\] of the matrix is .*nan.*; it must be 0 or 1"),
        (entry(None), [], r"entry \[0, 1\] of the matrix is None; it must be 0 or 1"),
        (entry("1"), [], r"entry \[0, .\] of the matrix is .*; it must be 0 or 1"),
        (np.array(entry(1j)), [], r"entry \[0, 1\] of the matrix is .*1j.*; it must be 0 or 1"),
        ([[0, 0], [1, 0]], [], r"edge 1 -> 0 is on or below the diagonal"),
        ([[1, 1], [0, 0]], [], r"edge 0 -> 0 is on or below the diagonal"),
        ([[0, 1, 0], [0, 0, 1], [1, 0, 0]], ["conv3x3"], "edge 2 -> 0 .*cycle.* topologically"),
        ([[0, 0], [0, 0]], [], r"no path .*vertex 0.*vertex 1.*; add an edge"),
        ([[0, 1, 0], [0, 0, 0], [0, 0, 0]], ["conv3x3"], "no path .*vertex 2.*; add an edge"),
        (
            CHAIN,
            ["conv7x7"],
            "unknown operation 'conv7x7'; the operations are conv3x3-bn-relu, conv1x1",
        ),
        (CHAIN, ["input", "input", "output"], "unknown operation 'input'; the operations are"),
        (CHAIN, ["input", "output", "output"], "unknown operation 'output'; the operations are"),
        (CHAIN, [0], "unknown operation '0'; the operations are"),
        (CHAIN, ["conv3x3", "conv3x3"], "2 operations for 3 vertices; give 3 .* or the 1 interior"),
        (CHAIN, [], "0 operations for 3 vertices; give 3"),
        (CHAIN, ["output", CONV3, "input"], "start with 'output' and end with 'input'; they must"),
        (CHAIN, "conv3x3", "operations are 'conv3x3'; give a list of names"),
        (CHAIN, None, "operations are None; give a list of names"),
        (CHAIN, 3, "operations are 3; give a list of names"),
    ],
)
def test_what_is_no_cell_is_refused(matrix: Any, operations: Any, message: str) -> None:
    with pytest.raises(InvalidCell, match=message):
        Cell(matrix, operations)


def test_a_wrong_entry_is_named_as_it_was_written() -> None:
    for value in (2, 0.5):
        with pytest.raises(InvalidCell, match=rf"is {value}; it must be 0 or 1"):
            Cell(entry(value), [])


def test_large_matrices_are_refused_as_small_ones_are() -> None:
    """Beyond seven vertices another reader is at work."""
    names = [CONV3] * 7
    chain = np.eye(9, k=1, dtype=int)
    assert Cell(chain, names).size == 9
    for wrong, message in ((chain * 2, "is .*2"), (chain.T, "1 -> 0"), (chain * 0, "no path")):
        with pytest.raises(InvalidCell, match=message):
            Cell(wrong, names)


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (Cell.from_text, "", "'' is not a cell; write rows of 0 and 1 and the interior operations"),
        (Cell.from_text, "01/00", "'01/00' is not a cell"),
        (Cell.from_text, "02/00:", "'02/00:' is not a cell"),
        (Cell.from_text, ":", "must be square"),
        (Cell.from_text, "010/00:", "ragged"),
        (Cell.from_text, "01/00:conv3x3", "1 operation for 2 vertices"),
        (Cell.from_json, "", r'not a cell in JSON .*; expected {"matrix": …, "operations": …}'),
        (Cell.from_json, "[1, 2]", "not a cell in JSON"),
        (Cell.from_json, "3", "not a cell in JSON"),
        (Cell.from_json, '{"matrix": [[0, 1], [0, 0]]}', "not a cell in JSON .*operations"),
        (Cell.from_json, '{"matrix": "01", "operations": []}', "must be square"),
        (Cell.from_json, '{"matrix": [[0, 1], [0, 0]], "operations": 1}', "operations are 1"),
        (Cell.from_json, '{"matrix": [[0, [1]], [0, 0]], "operations": []}', "ragged"),
    ],
)
def test_text_that_describes_no_cell_is_refused(
    read: Callable[[str], Cell], text: str, message: str
) -> None:
    with pytest.raises(InvalidCell, match=message):
        read(text)


@given(st.text(alphabet="01/:,conv3x", max_size=30))
def test_any_text_is_a_cell_or_refused(text: str) -> None:
    try:
        cell = Cell.from_text(text)
    except InvalidCell:
        return
    assert Cell.from_text(cell.to_text()).operations == cell.operations


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.floats() | st.sampled_from(["input", CONV3]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=12,
)


@given(json_values, json_values)
def test_any_json_is_a_cell_or_refused(matrix: object, operations: object) -> None:
    try:
        Cell.from_json(json.dumps({"matrix": matrix, "operations": operations}))
    except InvalidCell:
        return


def test_a_graph_without_operations_or_with_unsortable_nodes_is_refused() -> None:
    graph: networkx.DiGraph[Any] = networkx.DiGraph([("a", "b")])
    with pytest.raises(InvalidCell, match="every node needs an attribute 'operation'"):
        Cell.from_networkx(graph)
    graph = networkx.DiGraph([(0, 1), (1, 0)])
    graph.add_nodes_from([(0, {"operation": "input"}), (1, {"operation": "output"})])
    with pytest.raises(InvalidCell, match="1 -> 0"):
        Cell.from_networkx(graph)


def test_a_model_spec_of_another_library_is_read_in_its_original_labelling() -> None:
    spec = ModelSpec(
        [[0, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]], ["input", CONV3, POOL, "output"]
    )
    cell = Cell.from_model_spec(spec)
    assert cell.to_text() == "0111/0000/0001/0000:conv3x3,maxpool3x3"


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="'vgg'; the named cells are: resnet, inception, best"):
        Cell.named("vgg")
