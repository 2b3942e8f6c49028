"""The counterpart of ``nasbench.lib.graph_util``: labelled directed graphs as matrices.

A matrix is [V, V] with entries 0 and 1; ``matrix[u, v]`` is the edge from u to v.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.errors import InvalidSetting
from nasbench_kit.spaces.nasbench101.cell import edge_bit, refinement_hash

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def gen_is_edge_fn(bits: int) -> Callable[..., NDArray[Any]]:
    """The upper triangular graph that a number describes, column by column from the lowest bit.

    Returns:
        A vectorized function of source and target, 1 where there is an edge, else 0: to be called
        by ``numpy.fromfunction``.
    """

    def is_edge(source: Any, target: Any) -> int:
        u, v = int(source), int(target)  # numpy's small integers would overflow
        return int(bits) >> edge_bit(u, v) & 1 if u < v else 0

    return np.vectorize(is_edge, otypes=[np.int64])


def is_full_dag(matrix: ArrayLike) -> bool:
    """Whether every vertex of an upper triangular matrix lies on a path from first to last."""
    edges = np.asarray(matrix) != 0
    # Edges run upwards: to follow any edge out of a vertex again and again leads to the last one.
    return bool(edges[:-1].any(axis=1).all() and edges[:, 1:].any(axis=0).all())


def num_edges(matrix: ArrayLike) -> Any:
    """Number of edges."""
    return np.sum(np.asarray(matrix))


def hash_module(matrix: ArrayLike, labeling: Sequence[Any]) -> str:
    """The official MD5 of a labelled graph, equal for isomorphic ones; 32 hexadecimal characters.

    The graph may have cycles, and any number of vertices. Floats 0.0 and 1.0 count as integers.

    Raises:
        InvalidSetting: another number of labels than of vertices, or the matrix is not square.
    """
    entries, labels = _graph(matrix, labeling)
    if entries.dtype.kind == "f" and (entries == np.floor(entries)).all():
        entries = entries.astype(np.int64)
    feeds, fed = entries.sum(axis=1).tolist(), entries.sum(axis=0).tolist()
    plain = [label.item() if isinstance(label, np.generic) else label for label in labels]
    return refinement_hash(
        list(zip(feeds, fed, plain, strict=True)),
        [np.flatnonzero(column).tolist() for column in entries.T],
        [np.flatnonzero(row).tolist() for row in entries],
    )


def permute_graph(
    graph: ArrayLike, label: Sequence[Any], permutation: Sequence[int]
) -> tuple[NDArray[np.bool_], list[Any]]:
    """The same graph with vertex v moved to place ``permutation[v]``: bool [V, V], and labels.

    Raises:
        InvalidSetting: no permutation of the vertices, or another number of labels.
    """
    matrix, labels = _graph(graph, label)
    if sorted(permutation) != list(range(len(labels))):
        raise InvalidSetting(
            f"{list(permutation)} is no permutation of 0 to {len(labels) - 1}, the vertices"
        )
    origin = np.argsort(permutation)
    return matrix[np.ix_(origin, origin)] == 1, [labels[v] for v in origin.tolist()]


def is_isomorphic(
    graph1: tuple[ArrayLike, Sequence[Any]], graph2: tuple[ArrayLike, Sequence[Any]]
) -> bool:
    """Whether some permutation of the vertices turns one (matrix, labels) into the other.

    Raises:
        InvalidSetting: the graphs differ in size, or labels and matrix do.
    """
    import networkx

    graphs: list[networkx.DiGraph[int]] = []
    for matrix, labels in (_graph(*graph1), _graph(*graph2)):
        graph: networkx.DiGraph[int] = networkx.DiGraph()
        graph.add_nodes_from((v, {"label": label}) for v, label in enumerate(labels))
        graph.add_edges_from((u, v, {"is": matrix[u, v]}) for u, v in np.argwhere(matrix).tolist())
        graphs.append(graph)
    one, other = graphs
    if len(one) != len(other):
        raise InvalidSetting(f"graphs of {len(one)} and {len(other)} vertices; compare equal sizes")
    return bool(
        networkx.is_isomorphic(
            one,
            other,
            node_match=lambda a, b: a["label"] == b["label"],
            edge_match=lambda a, b: a["is"] == b["is"],
        )
    )


def _graph(matrix: ArrayLike, labels: Sequence[Any]) -> tuple[NDArray[Any], list[Any]]:
    entries = np.asarray(matrix)
    if entries.ndim != 2 or entries.shape != (len(labels), len(labels)):
        raise InvalidSetting(
            f"{len(labels)} labels and a matrix of shape {entries.shape}; a graph of V vertices has "
            "V labels and a matrix [V, V]"
        )
    return entries, list(labels)
