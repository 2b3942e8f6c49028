"""Rows of NAS-Bench-101 without adjacency, as JSON columns, become a partial table.

The file maps names to lists of equal length: ``key`` (the official MD5 of the cell),
``trainable_parameters``, ``N_final_validation_accuracy`` of one training of N epochs for some N, and
``final_training_time``, seconds of the longest. So the table has one repeat, no test accuracy, and
seconds at its largest fidelity only.
"""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.data.benchmarks.nasbench101.columns import IMAGES, exact_column, packed_hashes
from nasbench_kit.data.benchmarks.reader import Reader
from nasbench_kit.errors import CorruptFile, NotInSpace
from nasbench_kit.spaces.nasbench101.space import CellSpace
from nasbench_kit.table.table import Table

if TYPE_CHECKING:
    from numpy.typing import NDArray


def recognises(path: Path, head: bytes) -> bool:
    """Whether a file begins as such a sample does."""
    return head.lstrip()[:1] == b"{" and b'_final_validation_accuracy"' in head


def from_sample(path: str | Path, space: CellSpace | None = None) -> Table:
    """The table of a sample such as ``nasbench101_sample.json.gz``.

    Needs the official hashes of the space (of the whole one: most of a minute, once).

    Args:
        path: The file, plain or gzipped.
        space: Where its cells lie; the space of NAS-Bench-101 by default.

    Raises:
        CorruptFile: not such a file, columns of unequal length, a hash that no cell has, or one
            that comes twice.
    """
    path = Path(path)
    columns = _columns(path)
    accuracies = {
        int(found[1]): values
        for name, values in columns.items()
        if (found := re.fullmatch(r"(\d+)_final_validation_accuracy", name))
    }
    epochs = sorted(accuracies)
    space = space or CellSpace()
    rows = _rows(path, space, columns["key"])
    order = np.argsort(rows)
    accuracy = np.stack([accuracies[length][order] for length in epochs], axis=1)
    seconds = np.zeros((len(rows), len(epochs), 1))
    seconds[:, -1, 0] = columns["final_training_time"][order]
    present = np.zeros(seconds.shape, np.uint8)
    present[:, -1] = 1
    return Table(
        space,
        epochs,
        {
            ("final", "validation_accuracy"): exact_column(accuracy[:, :, None], IMAGES),
            ("final", "seconds"): exact_column(seconds, present=present),
        },
        rows=rows[order],
        extra={
            "trainable_parameters": columns["trainable_parameters"][order].astype(np.uint32),
            "hash": packed_hashes(columns["key"][order].astype("S32")),
            "record_order": np.argsort(order).astype(np.int32),
        },
        provenance={"name": path.name.partition(".")[0], "source": "measured", "images": "cifar10"},
    )


def _columns(path: Path) -> dict[str, NDArray[np.generic]]:
    """The file's columns, all of one length."""
    try:
        packed = path.read_bytes()
        text = gzip.decompress(packed) if packed[:2] == b"\x1f\x8b" else packed
        columns = {name: np.array(values) for name, values in json.loads(text).items()}
        numbers = [columns[name].dtype.kind for name in columns if name != "key"]
        if not {"key", "trainable_parameters", "final_training_time"} <= columns.keys():
            raise ValueError("a column is missing")
        if len({column.shape for column in columns.values()}) != 1 or set(numbers) - set("if"):
            raise ValueError("the columns are not lists of numbers of equal length")
    except (OSError, EOFError, ValueError, AttributeError) as error:
        raise CorruptFile(f"{path} is no sample of NAS-Bench-101: {error}") from error
    return columns


def _rows(path: Path, space: CellSpace, keys: NDArray[np.generic]) -> NDArray[np.int32]:
    """The space's row of every hash."""
    try:
        rows = np.array([space.index_of_hash(key) for key in keys.tolist()], np.int32)
    except NotInSpace as error:
        raise CorruptFile(f"{path}: {error}; get the file again") from error
    if len(np.unique(rows)) < len(rows):
        raise CorruptFile(f"{path}: a hash comes twice; get the file again")
    return rows


READER = Reader("NAS-Bench-101", recognises, lambda path, options: [from_sample(path)])
