"""nasbench_kit.compat.nasbench.lib: the facts that the official tests of graph_util and model_spec state."""

from __future__ import annotations

import copy
import itertools
import pickle
import random
import sys
from typing import Any

import numpy as np
import pytest
from official import GENUINE_HASH

from nasbench_kit.compat.nasbench.lib import config, graph_util, model_spec
from nasbench_kit.errors import InvalidCell, InvalidSetting


def graph(vertices: int, *edges: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.int64]]:
    matrix = np.zeros((vertices, vertices), int)
    for u, v in edges:
        matrix[u, v] = 1
    return matrix


DIAMOND = graph(4, (0, 1), (0, 2), (1, 3), (2, 3))
#: Two paths from 0 to 4, of one vertex and of two, in three labellings with their labels.
PATHS = (
    (graph(5, (0, 1), (1, 4), (0, 2), (2, 3), (3, 4)), [-1, 1, 2, 3, -2]),
    (graph(5, (0, 3), (3, 4), (0, 1), (1, 2), (2, 4)), [-1, 2, 3, 1, -2]),
    (graph(5, (0, 2), (2, 4), (0, 1), (1, 3), (3, 4)), [-1, 2, 1, 3, -2]),
)
#: Every interior vertex has three interior neighbours, in either graph.
REGULAR = tuple(
    graph(8, (0, 1), (1, 2), (1, 3), *middle, (2, 4), (3, 4), (3, 5), (4, 6), (5, 6), (6, 7))
    for middle in (((1, 6), (2, 5)), ((1, 5), (2, 6)))
)
#: The cube, as a bipartite graph and as two squares one above the other; both directions.
BIPARTITE = 1 - np.eye(4, dtype=int)[::-1]
CUBE = np.block([[np.zeros((4, 4), int), BIPARTITE], [BIPARTITE.T, np.zeros((4, 4), int)]])
SQUARE = graph(4, *[(v, (v + 1) % 4) for v in range(4)])
SQUARE = SQUARE | SQUARE.T
STACKED = np.block([[SQUARE, np.eye(4, dtype=int)], [np.eye(4, dtype=int), SQUARE]])


# --- graph_util ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bits", "vertices", "edges"),
    [
        (0b000, 3, []),
        (0b011, 3, [(0, 1), (0, 2)]),
        (0b101, 3, [(0, 1), (1, 2)]),
        (0b111, 3, [(0, 1), (0, 2), (1, 2)]),
        (0b111, 4, [(0, 1), (0, 2), (1, 2)]),
        (0b010010, 4, [(0, 2), (1, 3)]),
        (0b100011, 4, [(0, 1), (0, 2), (2, 3)]),
        (1 << 189, 20, [(18, 19)]),  # beyond machine integers, and bytes as indices
    ],
)
def test_gen_is_edge_fn(bits: int, vertices: int, edges: list[tuple[int, int]]) -> None:
    for dtype in (np.int8, float):
        read = np.fromfunction(graph_util.gen_is_edge_fn(bits), (vertices, vertices), dtype=dtype)
        assert read.tolist() == graph(vertices, *edges).tolist()


@pytest.mark.parametrize(
    ("vertices", "edges", "full"),
    [
        (3, [(0, 1), (1, 2)], True),
        (3, [(0, 1), (0, 2), (1, 2)], True),
        (4, [(0, 1), (0, 2), (1, 3), (2, 3)], True),
        (2, [(0, 1)], True),
        (1, [], True),
        (3, [(0, 2), (1, 2)], False),  # 1 without a source
        (3, [(0, 1), (0, 2)], False),  # 1 without a target
        (5, [(0, 2), (1, 3), (2, 4)], False),  # 1 and 3 beside the path
        (4, [(0, 2), (1, 3)], False),  # no path
        (4, [(0, 1), (1, 3)], False),  # 2 alone
    ],
)
def test_is_full_dag(vertices: int, edges: list[tuple[int, int]], full: bool) -> None:
    assert graph_util.is_full_dag(graph(vertices, *edges)) is full


def test_num_edges() -> None:
    assert graph_util.num_edges(DIAMOND) == 4
    assert graph_util.num_edges([[0, 1], [0, 0]]) == 1


@pytest.mark.parametrize("dtype", [int, np.int8, bool, float])
def test_hash_module_gives_the_published_hashes(dtype: type) -> None:
    # The best cell, the two-vertex cell and the first record of the official file.
    text = "0100110001000000010010000010000001000000010000000"
    first = np.array([int(bit) for bit in text]).reshape(7, 7)
    inception = graph(7, *[(0, v) for v in (1, 2, 3, 5)], (3, 4), *[(v, 6) for v in (1, 2, 4, 5)])
    for matrix, labels, md5 in (
        (first, [-1, 0, 2, 0, 0, 1, -2], GENUINE_HASH),
        (inception, [-1, 1, 0, 0, 0, 2, -2], "28cfc7874f6d200472e1a9dcd8650aa0"),
        (graph(2, (0, 1)), [-1, -2], "043721b9c7fe8c5fad811d47d83132ec"),
    ):
        assert graph_util.hash_module(matrix.astype(dtype), labels) == md5
        assert graph_util.hash_module(matrix.astype(dtype).tolist(), list(np.array(labels))) == md5


def test_hash_module_tells_graphs_apart() -> None:
    def md5(matrix: Any, *labels: int) -> str:
        return graph_util.hash_module(matrix, list(labels))

    assert md5(DIAMOND, -1, 1, 2, -2) == md5(DIAMOND, -1, 2, 1, -2)
    assert len({graph_util.hash_module(*path) for path in PATHS}) == 1
    assert len({graph_util.hash_module(PATHS[0][0], labels) for _, labels in PATHS}) == 3
    alike = [-1, *[1] * 6, -2]
    assert md5(REGULAR[0], *alike) != md5(REGULAR[1], *alike)
    chain = graph(5, *itertools.pairwise(range(5)))
    assert md5(chain, -1, 1, 0, 0, -2) != md5(chain, -1, 0, 0, 1, -2)
    bridged = graph(4, (0, 1), (1, 2), (2, 3), (0, 3))
    assert md5(bridged, -1, 1, 0, -2) != md5(bridged, -1, 0, 1, -2)
    wide = graph(7, *[(0, v) for v in range(1, 5)], (1, 2), (2, 6), (3, 5), (4, 5), (5, 6))
    assert md5(wide, -1, 1, 0, 0, 0, 0, -2) != md5(wide, -1, 0, 0, 0, 1, 0, -2)


def test_hash_module_of_permuted_graphs() -> None:
    rng = random.Random(0)
    for _ in range(200):  # any directed graph, with loops and cycles
        size = rng.randint(3, 20)
        matrix = np.array([[rng.randint(0, 1) for _ in range(size)] for _ in range(size)])
        labels = [rng.randint(0, 10) for _ in range(size)]
        moved = graph_util.permute_graph(matrix, labels, rng.sample(range(size), size))
        assert graph_util.hash_module(*moved) == graph_util.hash_module(matrix, labels)


def test_permute_graph_moves_vertex_v_to_permutation_v() -> None:
    matrix = np.array([[1, 1, 0], [0, 0, 1], [1, 0, 1]])  # no DAG
    for permutation in itertools.permutations(range(3)):
        moved, labels = graph_util.permute_graph(matrix, ["a", "b", "c"], list(permutation))
        for u, v in itertools.product(range(3), repeat=2):
            assert moved[permutation[u], permutation[v]] == matrix[u, v]
        assert [labels[permutation[v]] for v in range(3)] == ["a", "b", "c"]
    moved, labels = graph_util.permute_graph(matrix, ["a", "b", "c"], [2, 0, 1])
    assert moved.tolist() == [[0, 1, 0], [0, 1, 1], [1, 0, 1]] and labels == ["b", "c", "a"]
    for wrong in ([0, 1], [0, 0, 1], [1, 2, 3]):
        with pytest.raises(InvalidSetting, match="no permutation of 0 to 2"):
            graph_util.permute_graph(matrix, ["a", "b", "c"], wrong)


def test_is_isomorphic() -> None:
    assert graph_util.is_isomorphic((DIAMOND, [-1, 1, 2, -2]), (DIAMOND.tolist(), [-1, 2, 1, -2]))
    assert all(graph_util.is_isomorphic(PATHS[0], path) for path in PATHS)
    assert not graph_util.is_isomorphic(PATHS[0], (PATHS[1][0], PATHS[0][1]))
    alike = [-1, *[1] * 6, -2]
    assert not graph_util.is_isomorphic((REGULAR[0], alike), (REGULAR[1], alike))
    assert graph_util.is_isomorphic((CUBE, [1] * 8), (STACKED, [1] * 8))
    halves, chequered = [1, 1, 1, 1, 2, 2, 2, 2], [1, 2, 1, 2, 2, 1, 2, 1]
    assert graph_util.is_isomorphic((CUBE, halves), (STACKED, chequered))
    assert not graph_util.is_isomorphic((CUBE, halves), (STACKED, halves))
    loop, edge = graph(2, (0, 0)), graph(2, (0, 1))
    assert not graph_util.is_isomorphic((loop, [0, 0]), (edge, [0, 0]))
    with pytest.raises(InvalidSetting, match="4 and 8 vertices"):
        graph_util.is_isomorphic((DIAMOND, [0] * 4), (CUBE, [0] * 8))
    with pytest.raises(InvalidSetting, match="3 labels"):
        graph_util.is_isomorphic((DIAMOND, [0] * 3), (DIAMOND, [0] * 4))


def test_is_isomorphic_agrees_with_trying_every_permutation() -> None:
    rng = random.Random(1)
    found = {True: 0, False: 0}
    for _ in range(500):
        size = rng.randint(2, 3)
        graphs = [
            (
                np.array([[rng.randint(0, 1) for _ in range(size)] for _ in range(size)]),
                [rng.randint(0, 1) for _ in range(size)],
            )
            for _ in range(2)
        ]
        (one, labels), (other, other_labels) = graphs
        slow = any(
            (one[np.ix_(order, order)] == other).all()
            and [labels[v] for v in order] == other_labels
            for order in itertools.permutations(range(size))
        )
        assert graph_util.is_isomorphic(*graphs) is slow
        found[slow] += 1
    assert min(found.values()) > 5


# --- model_spec ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "matrix",
    [graph(3, (0, 1), (1, 2)), graph(3, (0, 1), (0, 2), (1, 2)), DIAMOND, graph(2, (0, 1))],
)
def test_what_needs_no_pruning_stays(matrix: Any) -> None:
    spec = model_spec.ModelSpec(matrix, [0] * len(matrix))
    assert spec.valid_spec
    assert np.array_equal(spec.original_matrix, spec.matrix)
    assert spec.original_ops == spec.ops == [0] * len(matrix)


@pytest.mark.parametrize(
    ("vertices", "edges", "ops"),
    [
        (4, [(0, 1), (1, 3)], [1, 2, 4]),  # an island
        (5, [(0, 1), (1, 4), (2, 3)], [1, 2, 5]),  # an island of two
        (4, [(0, 1), (0, 2), (2, 3)], [1, 3, 4]),  # no way out of 1
        (4, [(0, 2), (1, 3), (2, 3)], [1, 3, 4]),  # no way to 1
    ],
)
def test_unused_vertices_are_pruned(
    vertices: int, edges: list[tuple[int, int]], ops: list[Any]
) -> None:
    spec = model_spec.ModelSpec(graph(vertices, *edges), list(range(1, vertices + 1)))
    assert spec.valid_spec and spec.ops == ops
    assert spec.matrix.tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 0]]


@pytest.mark.parametrize(
    ("vertices", "edges"), [(2, []), (4, [(0, 1), (2, 3)]), (4, [(1, 2)]), (1, [])]
)
def test_a_disconnected_graph_is_not_valid(vertices: int, edges: list[tuple[int, int]]) -> None:
    spec = model_spec.ModelSpec(graph(vertices, *edges), list(range(vertices)))
    assert not spec.valid_spec and spec.matrix is None and spec.ops is None
    with pytest.raises(InvalidCell, match="nothing to draw"):
        spec.visualize()


def test_is_upper_triangular() -> None:
    full = np.ones((4, 4), int)
    assert model_spec.is_upper_triangular(np.zeros((4, 4), int))
    assert model_spec.is_upper_triangular(np.triu(full, 1))
    assert model_spec.is_upper_triangular(np.array([[0]]))
    for matrix in (np.triu(full), np.tril(full), graph(4, (2, 0)), np.array([[1]])):
        assert not model_spec.is_upper_triangular(matrix)


def test_a_spec_pickles_and_copies() -> None:
    for edges in ([(0, 1), (1, 3)], [(0, 1)]):
        spec = model_spec.ModelSpec(graph(4, *edges), ["input", "a", "b", "output"])
        for other in (pickle.loads(pickle.dumps(spec)), copy.copy(spec), copy.deepcopy(spec)):
            assert other.ops == spec.ops and other.valid_spec == spec.valid_spec
            assert np.array_equal(other.original_matrix, spec.original_matrix)


def test_visualize_gives_a_graph_of_graphviz() -> None:
    graphviz = pytest.importorskip("graphviz")
    matrix = graph(4, (0, 1), (0, 2), (1, 3))  # 2 is pruned
    drawn = model_spec.ModelSpec(matrix, ["input", "conv1x1-bn-relu", "x", "output"]).visualize()
    assert isinstance(drawn, graphviz.Digraph)
    lines = [line.strip() for line in drawn.source.splitlines()[1:-1]]
    assert lines == ["0 [label=input]", '1 [label="conv1x1-bn-relu"]', "2 [label=output]",
                     "0 -> 1", "1 -> 2"]  # fmt: skip
    numbered = model_spec.ModelSpec(matrix, [7, 8, 9, 10]).visualize()
    assert "1 [label=8]" in numbered.source


def test_visualize_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "graphviz", None)
    with pytest.raises(InvalidSetting, match=r"pip install 'nasbench-kit\[graphviz\]'"):
        model_spec.ModelSpec(DIAMOND, list("abcd")).visualize()


# --- config -------------------------------------------------------------------------------------


def test_the_official_configuration() -> None:
    built = config.build_config()
    assert (built["module_vertices"], built["max_edges"], built["num_repeats"]) == (7, 9, 3)
    assert built["available_ops"] == ["conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3"]
    assert (built["train_epochs"], built["batch_size"], built["weight_decay"]) == (108, 256, 1e-4)
    built["available_ops"].append("x")
    assert len(config.build_config()["available_ops"]) == 3
