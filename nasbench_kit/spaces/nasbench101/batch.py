"""Looking up many encodings at once, at memory speed.

Each matrix of 0-1 bytes is packed to V * V bits, eight matrices to V * V bytes, read back as one
integer a matrix, and compressed to its upper triangle by three table lookups.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.spaces.nasbench101.cell import edge_bit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_kit.spaces.nasbench101.index import Index

#: Cells looked up at a time, so that what is in hand stays in the processor's cache.
_BLOCK = 1 << 15
#: Bits that one table compresses: 2 ** 17 entries fit into a core's second-level cache.
_TABLE_BITS = 17
#: Marks an edge on or below the diagonal; it is the sign bit, so that it survives every "or".
_BACKWARD = np.int32(np.iinfo(np.int32).min)


def indices(
    index: Index, matrices: NDArray[np.number], operations: NDArray[np.number]
) -> NDArray[np.int32]:
    """Rows of encodings: matrices [n, V, V], operations [n, V - 2]; -1 where invalid."""
    matrices, operations = _as_bytes(matrices), _as_bytes(operations)
    size = int(index.vertices)
    rows = np.empty(len(matrices), np.int32)
    for start in range(0, len(matrices), _BLOCK):
        block = matrices[start : start + _BLOCK].reshape(-1, size * size)
        labels = operations[start : start + _BLOCK]
        bits = _edge_bits(block, size)
        code = np.zeros(len(labels), np.int32)
        for position in range(size - 2):
            code += labels[:, position] * np.int32(3**position)
        wrong = bits < 0
        if labels.max(initial=0) > 2:
            wrong |= (labels > 2).any(axis=1)
        if block.max(initial=0) > 1:
            wrong |= (block > 1).any(axis=1)
        if wrong.any():
            bits[wrong] = code[wrong] = 0  # no edges: no cell
        rows[start : start + _BLOCK] = index.lookup(bits, code)
    return rows


def _as_bytes(entries: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Contiguous bytes; every value that is not 0, 1 or 2 becomes 3 or more, thus invalid."""
    if entries.dtype.itemsize > 1:
        valid = (entries == 0) | (entries == 1) | (entries == 2)
        entries = np.where(valid, entries, 3).astype(np.uint8)
    return np.ascontiguousarray(entries).view(np.uint8)


def _edge_bits(block: NDArray[np.uint8], size: int) -> NDArray[np.int32]:
    """Edge bits of each row of V * V bytes; negative where an edge runs backwards."""
    area = size * size
    groups = -(-len(block) // 8)
    packed = np.zeros(groups * area + 8, np.uint8)
    whole = np.packbits(block)
    packed[: len(whole)] = whole
    bits = np.empty((groups, 8), np.int32)
    for place in range(8):  # the place-th matrix of every group starts at this byte and bit
        byte, bit = divmod(place * area, 8)
        words = np.ndarray((groups,), ">u8", packed, offset=byte, strides=(area,))
        word = (words.astype(np.uint64) >> np.uint64(64 - area - bit)).view(np.int64)
        rows = np.zeros(groups, np.int32)
        for table in _tables(size):
            rows |= table.take(word & (len(table) - 1), mode="clip")
            word >>= _TABLE_BITS
        bits[:, place] = rows
    return bits.reshape(-1)[: len(block)]


@functools.lru_cache
def _tables(size: int) -> list[NDArray[np.int32]]:
    """For each 17 bits of a packed matrix, from its last entry on: what they say of the edges."""
    entries = [(u, v) for u in range(size) for v in range(size)][::-1]
    tables = []
    for start in range(0, len(entries), _TABLE_BITS):
        table = np.zeros(1, np.int32)
        for u, v in entries[start : start + _TABLE_BITS]:
            edge = np.int32(1 << edge_bit(u, v)) if u < v else _BACKWARD
            table = np.concatenate([table, table | edge])
        tables.append(table)
    return tables
