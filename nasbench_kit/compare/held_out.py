"""Repeats that a table keeps for scoring: searches never see them.

The validation and the test accuracy of one training err in the same direction, so a search that
chose an architecture for a lucky training would be scored by that luck. A run is scored by the
repeats that it cannot have seen. Which these are goes round with its seed, so that the luck of one
repeat is not all runs' luck.

A table may hold further trainings of some rows, such as its best: those are for scoring alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.checks import counted
from nasbench_kit.errors import InvalidSetting
from nasbench_kit.table.noise import Noise
from nasbench_kit.table.table import over_repeats

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_kit.table.table import Table


def common_repeats(table: Table, metric: str) -> int:
    """Repeats that every row has at the longest fidelity, in validation accuracy and in the metric."""
    complete = np.ones(table.repeats, bool)
    for name in ("validation_accuracy", metric):
        if (present := table.column(name).present) is not None:
            complete &= present[:, -1].all(axis=0)
    return table.repeats if complete.all() else int(complete.argmin())


def check(table: Table, metric: str, held_out: int) -> None:
    """Refuse to keep repeats that a table does not have.

    Raises:
        InvalidSetting: it is a surrogate, or a search would see nothing.
    """
    if not held_out:
        return
    if Noise.of(table.provenance) is not None:
        raise InvalidSetting(
            f"the table {table.name} is a surrogate, whose repeats are drawn around one prediction; none of "
            "them can be kept for scoring, leave held_out_repeats out"
        )
    if held_out >= (common := common_repeats(table, metric)):
        raise InvalidSetting(
            f"scoring is to keep {counted(held_out, 'repeat')}, and the table {table.name} has {common} of every "
            f"architecture; keep {common - 1} at most (--held-out-repeats)"
        )


def seen(table: Table, metric: str, held_out: int, seed: int) -> tuple[int, ...] | None:
    """The repeats that the searches of a run see; None if all.

    Args:
        table: of the comparison.
        metric: that scores.
        held_out: repeats of every row that are kept for scoring.
        seed: of the run.
    """
    if not held_out:
        return None
    common = common_repeats(table, metric)
    return tuple(sorted((seed + place) % common for place in range(common - held_out)))


def readings(table: Table, metric: str) -> NDArray[np.float64]:
    """All that scores, at the longest fidelity: repeats, then further trainings: [rows, trainings].

    NaN where there is none.
    """
    further = table.extra.get(f"scoring/{metric}", np.empty((len(table), 0)))
    return np.concatenate([table.values(metric, missing="nan"), further], axis=1)


def scoring_means(
    readings: NDArray[np.float64], seen_repeats: tuple[int, ...] | None
) -> NDArray[np.float64]:
    """Mean over the repeats that were not seen (over all, if they all were): [rows, repeats] -> [rows].

    Args:
        readings: NaN where there is none.
        seen_repeats: of ``seen``.
    """
    if seen_repeats is not None:
        readings = np.delete(readings, seen_repeats, axis=1)
    return over_repeats(readings, lambda rows: rows.mean(axis=1))
