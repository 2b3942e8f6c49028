"""The three sub-spaces of NAS-Bench-1Shot1, complete and as published.

Each vertex must have an exact number of parents, chosen among the input and the vertices before it;
what feeds nothing is pruned. The published lists come from an enumerator that completes only the
last parent of every vertex, and so misses graphs: they hold 49, 65 and 234 topologies of the 66, 190
and 876 that its own validity rule accepts. Both are offered: the complete space to search, the
published one to repeat papers.

Source: Zela, Siems, Hutter, NAS-Bench-1Shot1, ICLR 2020 (arXiv 2001.10422), Table 1 and its code.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from nasbench_kit.checks import shown
from nasbench_kit.errors import UnknownName
from nasbench_kit.spaces.nasbench101.cell import edge_bit

#: Parents of each interior vertex in order, then of the output. They sum to nine edges.
PARENTS = {1: (1, 2, 2, 2, 2), 2: (1, 1, 2, 2, 3), 3: (1, 1, 1, 2, 2, 2)}


def parents(number: int) -> tuple[int, ...]:
    """Required number of parents of vertices 1, 2, ... up to the output, in space 1, 2 or 3.

    Raises:
        UnknownName: for any other number.
    """
    if not isinstance(number, int) or number not in PARENTS:
        raise UnknownName(
            f"NAS-Bench-1Shot1 has no space {shown(number)}; its spaces are 1, 2 and 3"
        )
    return PARENTS[number]


def topologies(number: int, *, published: bool = False) -> set[int]:
    """Edge bits of all graphs of a space, in matrices of ``len(parents) + 1`` vertices."""
    required = parents(number)
    if published:
        return set(_published(required, len(required), 0, 0))
    columns = [
        [_column(chosen, v) for chosen in itertools.combinations(range(v), count)]
        for v, count in enumerate(required, start=1)
    ]
    return {
        _without_loose_ends(sum(choice), len(required)) for choice in itertools.product(*columns)
    }


def _column(chosen: tuple[int, ...], vertex: int) -> int:
    return sum(1 << edge_bit(parent, vertex) for parent in chosen)


def _parents_of(bits: int, vertex: int) -> int:
    return bits >> edge_bit(0, vertex) & ((1 << vertex) - 1)


def _without_loose_ends(bits: int, output: int) -> int:
    """Bits without the columns of vertices that do not lead to the output."""
    leading = 1 << output
    kept = 0
    for vertex in range(output, 0, -1):
        if leading >> vertex & 1:
            leading |= _parents_of(bits, vertex)
            kept |= _parents_of(bits, vertex) << edge_bit(0, vertex)
    return kept


def _published(required: tuple[int, ...], vertex: int, bits: int, fed: int) -> Iterator[int]:
    """What the released enumerator finds: depth first, through the last parent only.

    ``fed`` is the mask of the vertices that have their parents.
    """
    feeding = 0
    for v in range(1, len(required) + 1):
        feeding |= _parents_of(bits, v)
    if bits and not feeding & ~fed & ~1:
        yield bits
    elif vertex:
        for chosen in itertools.combinations(range(vertex), required[vertex - 1]):
            grown = bits | _column(chosen, vertex)
            yield from _published(required, chosen[-1], grown, fed | 1 << vertex)
