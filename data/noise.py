"""What one training adds to a prediction: scatter between repeats, and the odd failure.

Both depend on the fidelity and on the accuracy predicted there, and are kept as values at a few
knots, interpolated between and constant beyond. The scatter is normal on the logit scale, on which
it is nearly even; a failed training ends at chance.

Source: Zela et al. 2022 (NAS-Bench-301), section 4: a surrogate benchmark needs the noise too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.errors import NotRecorded

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit.table import Table


def logit(accuracy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log odds; accuracies of 0 and 1 count as half in a thousand away."""
    accuracy = np.clip(accuracy, 5e-4, 1 - 5e-4)
    return np.log(accuracy / (1 - accuracy))


def expit(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of ``logit``."""
    return 1 / (1 + np.exp(-odds))


@dataclass(frozen=True)
class Noise:
    """Noise of single trainings around predicted accuracies.

    Args:
        accuracy: predicted accuracies, ascending, [fidelities, knots].
        scatter: standard deviation of the log odds there, [fidelities, knots].
        failure: probability there that a training fails, [fidelities, knots].
        chance: accuracy of a failed training.
        images: accuracies drawn are rounded to counts of so many images; None: not rounded.
    """

    accuracy: NDArray[np.float64]
    scatter: NDArray[np.float64]
    failure: NDArray[np.float64]
    chance: float
    images: int | None

    @classmethod
    def of(cls, table: Table) -> Noise:
        """The noise that goes with a surrogate's table.

        Raises:
            NotRecorded: the table has none.
        """
        found = table.provenance.get("noise")
        if found is None:
            raise NotRecorded(f"the table {table.name} has no model of noise; its repeats are real")
        knots = {name: np.array(found[name]) for name in ("accuracy", "scatter", "failure")}
        return cls(**knots, chance=found["chance"], images=found["images"])

    def as_json(self) -> Mapping[str, Any]:
        """What ``of`` reads, for a table's provenance."""
        knots = {
            name: np.round(getattr(self, name), 5).tolist()
            for name in ("accuracy", "scatter", "failure")
        }
        return {**knots, "chance": self.chance, "images": self.images}

    def std(self, accuracy: NDArray[np.float64], fidelity: int) -> NDArray[np.float64]:
        """Standard deviation between repeats in accuracy, failures aside (to first order)."""
        scatter = np.interp(accuracy, self.accuracy[fidelity], self.scatter[fidelity])
        return scatter * accuracy * (1 - accuracy)

    def draw(
        self, accuracy: NDArray[np.float64], fidelity: int, rng: Generator, failures: bool = True
    ) -> NDArray[np.float64]:
        """What one training each of cells with these predicted accuracies might reach.

        Args:
            accuracy: predicted, of any shape.
            fidelity: position among the table's epochs.
            rng: the source of chance.
            failures: whether trainings may fail.
        """
        knots = self.accuracy[fidelity]
        scatter = np.interp(accuracy, knots, self.scatter[fidelity])
        drawn = expit(logit(accuracy) + scatter * rng.standard_normal(np.shape(accuracy)))
        if failures:
            fails = rng.random(np.shape(accuracy)) < np.interp(
                accuracy, knots, self.failure[fidelity]
            )
            drawn = np.where(fails, self.chance, drawn)
        return drawn if self.images is None else np.rint(drawn * self.images) / self.images
