"""Rows of NAS-Bench-201 on CIFAR-10, as JSON columns, become a table.

The file maps names to lists, in the order of the official files: ``validation_accuracy_200`` (percent,
two or three repeats a row), ``validation_accuracy_12`` (mean of two repeats, so one reading here),
``test_accuracy_12`` (of trainings on all 50,000 images), ``seconds_200`` (training alone) and
``million_parameters``. There is no test accuracy after 200 epochs: searches are scored by their
validation accuracy. Seconds of 12 epochs are assumed to be their share of the longer training.
"""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.data.benchmarks.nasbench101.columns import exact_column
from nasbench_kit.data.benchmarks.reader import Reader
from nasbench_kit.errors import CorruptFile
from nasbench_kit.spaces.edge_cells.nasbench201 import NASBench201
from nasbench_kit.table.table import Column, Table, proportional

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EPOCHS = (12, 200)
_SINGLE = ("seconds_200", "million_parameters", "validation_accuracy_12", "test_accuracy_12")


def recognises(path: Path, head: bytes) -> bool:
    """Whether a file begins as such rows do."""
    return head.lstrip()[:1] == b"{" and b'"validation_accuracy_200"' in head


def from_rows(path: str | Path) -> Table:
    """The table of such a file, plain or gzipped.

    Raises:
        CorruptFile: it is damaged, or has other columns or another number of rows.
    """
    path = Path(path)
    space = NASBench201()
    accuracies, single = _columns(path, len(space))
    most = max(map(len, accuracies))
    validation = np.full((len(space), 2, most), np.nan)
    test = np.full(validation.shape, np.nan)
    for row, repeats in enumerate(accuracies):
        validation[row, 1, : len(repeats)] = repeats
    validation[:, 0, 0] = single["validation_accuracy_12"]
    test[:, 0, 0] = single["test_accuracy_12"]
    present = (~np.isnan(validation)).astype(np.uint8)
    longest = np.broadcast_to(single["seconds_200"][:, None, None], (len(space), 1, most))
    columns = {
        ("final", "validation_accuracy"): exact_column(validation / 100, present=present),
        ("final", "test_accuracy"): exact_column(
            test / 100, present=(~np.isnan(test)).astype(np.uint8)
        ),
        ("final", "seconds"): Column(proportional(longest, _EPOCHS), present=present),
    }
    return Table(
        space,
        _EPOCHS,
        columns,
        extra={
            "trainable_parameters": np.rint(single["million_parameters"] * 1e6).astype(np.uint32)
        },
        provenance={
            "name": path.name.partition(".")[0],
            "source": "measured",
            "images": "cifar10",
            "assumed_seconds": [12],
            "validation_accuracy": "x-valid of trainings on cifar10-valid; at 12 epochs a mean of two",
            "test_accuracy": "ori-test of trainings on cifar10, after 12 epochs only",
            "seconds": "training alone",
        },
    )


def _columns(path: Path, count: int) -> tuple[list[list[float]], dict[str, NDArray[np.float64]]]:
    """The readings after 200 epochs of every row, and the columns of one number a row."""
    try:
        packed = path.read_bytes()
        found: Any = json.loads(gzip.decompress(packed) if packed[:2] == b"\x1f\x8b" else packed)
        repeated = [[float(value) for value in row] for row in found["validation_accuracy_200"]]
        single = {name: np.array(found[name], np.float64) for name in _SINGLE}
        if {len(repeated), *(len(column) for column in single.values())} != {count}:
            raise ValueError(f"not {count:,} rows in every column")
        numbers = [*map(np.array, repeated), *single.values()]
        if not all(
            column.ndim == 1 and len(column) and np.isfinite(column).all() for column in numbers
        ):
            raise ValueError("a row lacks a number, or has a list where a number should be")
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise CorruptFile(f"{path} holds no rows of NAS-Bench-201: {error}") from error
    return repeated, single


READER = Reader("NAS-Bench-201", recognises, lambda path, options: [from_rows(path)])
