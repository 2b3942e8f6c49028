"""Architectures as graphs of layers, for distances and kernels that compare graphs.

A cell is its own graph, pruned. Any other architecture is a chain: one layer for each decision, in
their order, between an input and an output.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, NamedTuple

from nasbench_kit.spaces.nasbench101.cell import INPUT, OUTPUT, Cell
from nasbench_kit.spaces.nasbench101.space import CellSpace
from nasbench_kit.spaces.nasbench101.work import vertex_channels

if TYPE_CHECKING:
    from nasbench_kit.spaces.protocols import Space

#: Channels of a cell in NAS-Bench-101's first stack; those of a decision's layer are taken as the same.
CHANNELS = 128


class Graph(NamedTuple):
    """A directed acyclic graph; every edge goes from an earlier vertex to a later one."""

    #: What each vertex does: "input", an operation or a decision's option, ..., "output".
    operations: tuple[str, ...]
    #: What tells a vertex from others: its operation, of a decision its name as well.
    labels: tuple[str, ...]
    #: The vertices that each one feeds.
    successors: tuple[tuple[int, ...], ...]
    #: Channels of each vertex.
    channels: tuple[int, ...]


def graph_of(architecture: Any, space: Space) -> Graph:
    """The graph of an architecture, the same from every labelling of it."""
    if isinstance(architecture, Cell):
        return _of_cell(_canonical(architecture, space))
    chosen = space.encode(architecture)
    taken = list(zip(space.decisions, chosen, strict=True))
    operations = [decision.options[option] for decision, option in taken]
    names = [f"{decision.name} {decision.options[option]}" for decision, option in taken]
    count = len(chosen) + 2
    return Graph(
        (INPUT, *operations, OUTPUT),
        (INPUT, *names, OUTPUT),
        (*((vertex + 1,) for vertex in range(count - 1)), ()),
        (CHANNELS,) * count,
    )


def key_of(space: Space) -> Callable[[Any], Hashable]:
    """A function that maps equal architectures, and no others, to the same key.

    An architecture is its own key, but a cell's hash takes a hundred times as long as its row.
    """
    return space.index if isinstance(space, CellSpace) else _itself


def _itself(architecture: Any) -> Any:
    return architecture


def _canonical(cell: Cell, space: Space) -> Cell:
    return space[space.index(cell)] if isinstance(space, CellSpace) else cell.canonical()


def _of_cell(cell: Cell) -> Graph:
    edges = cell.edges()
    channels = vertex_channels(cell, CHANNELS)
    channels[0] = CHANNELS
    return Graph(
        cell.operations,
        cell.operations,
        tuple(tuple(v for u, v in edges if u == vertex) for vertex in range(cell.size)),
        tuple(channels),
    )
