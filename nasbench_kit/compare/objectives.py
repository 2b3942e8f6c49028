"""Several objectives at once: which a table records, its true front, and what a front falls short of it.

An objective is "accuracy", by the metric that scores, at the longest fidelity, or a cost that the table
records of every row: seconds (means of the longest training), parameters, latency, ... Accuracy enters as
error. Every objective is scaled to [0, 1] over the table's rows, best to worst, and the reference point
is 1 in each. So the hypervolume of a front lies in [0, 1] as well, and its regret is what it lacks to that
of the table's true front, which is made of the means over all repeats.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit import checks
from nasbench_kit.errors import InvalidSetting, NotRecorded
from nasbench_kit.pareto import hypervolume, nondominated

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_kit.table.table import Table

ACCURACY = "accuracy"
#: Hypervolumes are exact, and fronts can be drawn.
MOST = 3


def checked_objectives(names: object) -> tuple[str, ...]:
    """Accuracy and one or two costs; or none, where accuracy alone counts.

    Raises:
        InvalidSetting: something else.
    """
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise InvalidSetting(
            f'objectives are {checks.shown(names)}; give their names, such as ["accuracy", "seconds"]'
        )
    if names and not (
        ACCURACY in names and 2 <= len(names) <= MOST and len(set(names)) == len(names)
    ):
        raise InvalidSetting(
            f"objectives are {', '.join(names)}; name accuracy and one or two different costs"
        )
    return tuple(names)


def recorded_costs(table: Table) -> dict[str, NDArray[np.float64]]:
    """What a table records of every row and answers tell as `Answer.costs`, by name: [rows] each.

    Raises:
        CorruptFile: the table's file was altered.
    """
    costs = {}
    if table.has("seconds"):
        with contextlib.suppress(NotRecorded):  # some rows may lack it
            costs["seconds"] = table.mean("seconds")
    if "trainable_parameters" in table.extra:
        costs["parameters"] = table.extra["trainable_parameters"].astype(np.float64)
    costs |= {name: values.astype(np.float64) for name, values in table.costs.items()}
    return {name: values for name, values in costs.items() if np.isfinite(values).all()}


def check_recorded(table: Table, names: Sequence[str]) -> None:
    """Refuse objectives that a table lacks.

    Raises:
        InvalidSetting: naming it, and those that there are.
    """
    recorded = [ACCURACY, *recorded_costs(table)]
    for name in names:
        if name not in recorded:
            raise InvalidSetting(
                f"the table {table.name} does not record the objective {checks.shown(name)} of every row; it has "
                f"{', '.join(recorded)}"
            )


class Objectives:
    """The objectives of a table's rows, and its true front.

    Args:
        table: that scores.
        names: of the objectives.
        accuracy: of all rows, means over all repeats, in [0, 1]: [rows].

    Raises:
        InvalidSetting: the table lacks one.
        CorruptFile: its file was altered.
    """

    def __init__(self, table: Table, names: Sequence[str], accuracy: NDArray[np.float64]) -> None:
        check_recorded(table, names)
        self.names = tuple(names)
        self._units = {"seconds": "table's clock", **table.provenance.get("cost_units", {})}
        costs = recorded_costs(table)
        #: In their own units, accuracy in [0, 1]: [rows, objectives].
        self.values = np.column_stack(
            [accuracy if name == ACCURACY else costs[name] for name in names]
        )
        losses = self._losses(self.values)
        self._least = losses.min(axis=0)
        spread = losses.max(axis=0) - self._least
        self._spread = np.where(spread > 0, spread, 1.0)
        #: Rows of the true front, ascending.
        self.front = nondominated(losses)
        self.hypervolume = hypervolume(self._scaled(self.values[self.front]))

    def _losses(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """All to be minimised: of accuracy the error."""
        is_accuracy = np.array([name == ACCURACY for name in self.names])
        return np.where(is_accuracy, 1 - values, values)

    def _scaled(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return (self._losses(values) - self._least) / self._spread

    def regret(self, rows: Sequence[int], accuracy: NDArray[np.float64]) -> float:
        """Hypervolume that a front lacks to the true one.

        Args:
            rows: of its architectures.
            accuracy: by which these are scored, in [0, 1]: [architectures].
        """
        values = self.values[list(rows)]
        values[:, self.names.index(ACCURACY)] = accuracy
        return self.hypervolume - hypervolume(self._scaled(values))

    def in_words(self, place: int) -> str:
        """An objective by its place, with its unit where the table tells it."""
        name = self.names[place]
        unit = self._units.get(name)
        return name.replace("_", " ") + (f" ({unit})" if unit else "")

    def nondominated(self, rows: Sequence[int]) -> NDArray[np.intp]:
        """The rows that no other one of these dominates, by means over all repeats."""
        listed = np.unique(np.array(rows, np.intp))
        return listed[nondominated(self._losses(self.values[listed]))]
