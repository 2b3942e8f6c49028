"""The canonical labelling of a cell of any size: the same one from every labelling of it.

It is the one that a space of the cell has (`nasbench_kit.spaces.nasbench101.index`): pruned, upper triangular, with the
smallest bits, then the smallest operations code. Trainings outside a table start from it, so that
they do not depend on the labelling in which some search happened to ask first.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nasbench_kit.spaces.nasbench101.cell import OPERATIONS, Cell, edge_bit


def canonical(cell: Cell) -> Cell:
    """The cell in its canonical labelling.

    Tries all topological orders of its vertices, which takes a millisecond with seven vertices and
    may take seconds with eleven.
    """
    cell = cell.pruned()
    edges, operations = cell.edges(), cell.operations

    def key(order: tuple[int, ...]) -> tuple[int, list[tuple[int, str]]]:
        place = {vertex: new for new, vertex in enumerate(order)}
        bits = sum(1 << edge_bit(place[u], place[v]) for u, v in edges)
        return bits, [_rank(operations[vertex]) for vertex in reversed(order)]

    order = min(_topological_orders(cell), key=key)
    matrix = cell.matrix[np.ix_(order, order)]
    return Cell(matrix, [operations[vertex] for vertex in order])


def _rank(operation: str) -> tuple[int, str]:
    """The official operations in their order, then all others by name."""
    official = operation in OPERATIONS
    return (OPERATIONS.index(operation), "") if official else (len(OPERATIONS), operation)


def _topological_orders(cell: Cell) -> Iterator[tuple[int, ...]]:
    """All orders of the vertices in which edges run upwards, but one of those of twins.

    Twins have the same operation and the same neighbours; to exchange them changes nothing.
    """
    edges, vertices = cell.edges(), range(cell.size)
    sources = [frozenset(u for u, v in edges if v == vertex) for vertex in vertices]
    targets = [frozenset(v for u, v in edges if u == vertex) for vertex in vertices]
    kinds = list(zip(cell.operations, sources, targets, strict=True))

    def continued(order: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if len(order) == cell.size:
            yield order
        tried = set()
        for vertex in vertices:
            if vertex in order or not sources[vertex] <= set(order) or kinds[vertex] in tried:
                continue
            tried.add(kinds[vertex])
            yield from continued((*order, vertex))

    return continued(())
