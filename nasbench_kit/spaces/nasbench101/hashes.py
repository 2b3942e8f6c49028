"""The official MD5 of every cell of a space, computed once and kept.

Only needed to speak with the outside (official files, hashes typed by a user): rows are found by
`nasbench_kit.spaces.nasbench101.index` without hashing.
"""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.errors import NotWritable
from nasbench_kit.system.files import home, replacing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_kit.spaces.nasbench101.space import CellSpace

#: Spaces up to this many cells are hashed at once, in this process (0.1 ms a cell).
_SMALL = 20_000


def of_space(space: CellSpace) -> NDArray[np.bytes_]:
    """MD5 of every cell in row order, dtype S32; from the cache where there is one."""
    if len(space) <= _SMALL:
        return _hash_rows(space, range(len(space)))
    path = home() / f"hashes-{space.digest[:16]}.bin"
    try:
        return _unpacked(path.read_bytes(), space)
    except (OSError, ValueError):
        hashes = _hash_all(space)
    with (
        contextlib.suppress(NotWritable),  # they are computed again next time
        replacing(path) as temporary,
    ):
        temporary.write_bytes(_packed(hashes, space))
    return hashes


def _hash_rows(space: CellSpace, rows: range) -> NDArray[np.bytes_]:
    return np.array([space[row].hash for row in rows], "S32")


def _hash_all(space: CellSpace) -> NDArray[np.bytes_]:
    chunks = [
        range(start, min(start + _SMALL, len(space))) for start in range(0, len(space), _SMALL)
    ]
    if "fork" not in multiprocessing.get_all_start_methods():
        return np.concatenate([_hash_rows(space, chunk) for chunk in chunks])
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        return np.concatenate(list(pool.map(_hash_rows, [space] * len(chunks), chunks)))


def _packed(hashes: NDArray[np.bytes_], space: CellSpace) -> bytes:
    """16 bytes a hash, behind the SHA-256 of the space's row order and all of them."""
    packed = bytes.fromhex(hashes.tobytes().decode())
    return _digest(packed, space) + packed


def _digest(packed: bytes, space: CellSpace) -> bytes:
    return hashlib.sha256(space.digest.encode() + packed).digest()


def _unpacked(stored: bytes, space: CellSpace) -> NDArray[np.bytes_]:
    """The inverse of ``_packed``.

    Raises:
        ValueError: not of this space, or altered.
    """
    digest, packed = stored[:32], stored[32:]
    if len(packed) != 16 * len(space) or _digest(packed, space) != digest:
        raise ValueError(f"expected {len(space)} hashes and their checksum")
    return np.frombuffer(packed.hex().encode(), "S32")
