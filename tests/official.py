"""Files in the official layout, for the tests of what reads and writes them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasbench_kit.data.benchmarks.nasbench101.columns import IMAGES, READINGS, REPEATS
from nasbench_kit.data.benchmarks.nasbench101.export import export
from nasbench_kit.data.benchmarks.nasbench101.tfrecord import RecordChunk, read_chunks
from nasbench_kit.spaces.nasbench101.space import CellSpace
from nasbench_kit.table.table import Column, Table

_SHARED = Path(__file__).parents[1].parent / "shared" / "data"
EXCERPT = _SHARED / "nasbench101_excerpt.tfrecord.gz"
EXPECTED = _SHARED / "nasbench101_excerpt_expected.json.gz"
SAMPLE = _SHARED / "nasbench101_sample.json.gz"
GENUINE_HASH = "00005c142e6f48ac74fdcf73e3439874"


def needs(path: Path) -> pytest.MarkDecorator:
    """Skip where the development data are absent."""
    return pytest.mark.skipif(not path.exists(), reason=f"{path.name} lies only in ../shared")


def official_table(cells: int = 91, epochs: tuple[int, ...] = (4, 12)) -> Table:
    """The first cells of the space with made-up numbers such as the official ones, shuffled."""
    rng = np.random.default_rng(0)
    shape = (cells, len(epochs), REPEATS)
    columns: dict[tuple[str, str], Column] = {}
    for column in READINGS:
        if column[1] == "seconds":
            columns[column] = Column(rng.uniform(1, 4_000, shape).astype(np.float32))
        else:
            columns[column] = Column(rng.integers(0, IMAGES + 1, shape, np.uint16), IMAGES)
    extra = {
        "trainable_parameters": rng.integers(200_000, 50_000_000, cells).astype(np.uint32),
        "record_order": rng.permutation(cells).astype(np.int32),
    }
    rows = np.arange(cells, dtype=np.int32)
    return Table(
        CellSpace(), epochs, columns, rows=rows, extra=extra, provenance={"name": "made up"}
    )


def official_file(folder: Path, **options: Any) -> Path:
    """The same as a .tfrecord file."""
    path = folder / "made_up.tfrecord"
    export(official_table(**options), path)
    return path


def joined(chunks: Iterable[RecordChunk]) -> RecordChunk:
    """All records in one chunk."""
    parts = list(chunks)
    names = [field.name for field in fields(RecordChunk)]
    return RecordChunk(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    )


def records_of(path: Path) -> RecordChunk:
    """All records of a file."""
    return joined(read_chunks(path))


def genuine_record() -> RecordChunk:
    """The first record of nasbench_full.tfrecord (from the tests of nasbench-rs, src/dataset.rs)."""

    def single(*values: float) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.array([values], np.float32).astype(np.float64)

    return RecordChunk(
        hash=np.array([GENUINE_HASH.encode()]),
        epochs=np.array([4], np.int32),
        size=np.array([7], np.uint8),
        adjacency=np.array([b"0100110001000000010010000010000001000000010000000"]),
        operations=np.array([[0, 2, 0, 0, 1]], np.uint8),
        trainable_parameters=np.array([8_555_530], np.int32),
        total_time=np.array([413.7015450000763]),
        current_epoch=np.array([[0.0, 2.0, 4.0]]),
        training_time=single(0.0, 45.152, 89.904),
        train_accuracy=single(1001 / 9984, 1015 / 9984, 3493 / 9984),
        validation_accuracy=single(976 / 9984, 1051 / 9984, 3484 / 9984),
        test_accuracy=single(997 / 9984, 1042 / 9984, 3499 / 9984),
    )
