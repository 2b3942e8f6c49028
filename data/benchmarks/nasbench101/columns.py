"""How a table stores what NAS-Bench-101 records: small, and exact to the last bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.table.table import METRICS, Checkpoint, Column

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Images that an accuracy counts: 39 batches of 256 of the 10,000.
IMAGES = 9_984
#: Trainings of each cell at each length, in the official files.
REPEATS = 3
_POINTS: tuple[tuple[Checkpoint, int], ...] = (("halfway", 1), ("final", 2))
#: What a table keeps of a record: (checkpoint, metric) -> (measure, position in evaluation_data).
READINGS: dict[tuple[Checkpoint, str], tuple[str, int]] = {
    (checkpoint, metric): (metric.replace("seconds", "training_time"), position)
    for checkpoint, position in _POINTS
    for metric in METRICS
}
#: A storage that is exact for all but one reading in this many will do.
_RARE = 64


def packed_hashes(hashes: NDArray[np.bytes_]) -> NDArray[np.uint8]:
    """Hexadecimal hashes, S32 [n], as a table stores them: uint8 [n, 16]."""
    return np.frombuffer(bytes.fromhex(hashes.tobytes().decode()), np.uint8).reshape(-1, 16)


def exact_column(
    values: NDArray[np.float64],
    images: int | None = None,
    present: NDArray[np.uint8] | None = None,
) -> Column:
    """The smallest column that gives back all these doubles, bit for bit.

    Args:
        values: [rows, epochs, repeats].
        images: The accuracies are meant to be counts of this many images.
        present: 1 where there is a value; None if everywhere.
    """
    if present is not None:
        values = np.where(present, values, 0.0)
    for column in _candidates(values, images):
        back = np.stack([column.array(place) for place in range(values.shape[1])], axis=1)
        differ = np.flatnonzero(back.view(np.int64) != values.view(np.int64))
        if len(differ) * _RARE <= values.size:
            break
    exact = values.reshape(-1)[differ]
    exceptions = dict(zip(differ.tolist(), exact.tolist(), strict=True))
    return Column(column.values, column.images, present, exceptions)


def _candidates(values: NDArray[np.float64], images: int | None) -> Iterator[Column]:
    """Storages of growing size; the last one is exact."""
    with np.errstate(all="ignore"):  # a double may be anything, also no accuracy
        counts = np.nan_to_num(np.rint(values * (images or 0)), nan=0.0).clip(0, images)
        floats = values.astype(np.float32)
    if images is not None:
        yield Column(counts.astype(np.uint16), images)
    yield Column(floats)
    yield Column(values)
