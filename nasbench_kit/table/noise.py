"""What one training adds to a surrogate's prediction: scatter between repeats, and the odd failure.

The prediction is the mean over trainings that do not fail. A single one scatters around it normally;
with some probability it fails, and ends at chance. Both depend on the fidelity and on the accuracy
predicted there: values at a few knots, interpolated between and constant beyond.

A reading is a fixed function of (key, fidelity, row, repeat), as if a whole table had been drawn by
seed: the same question has the same answer in whatever order questions come.

Source: Zela et al. 2022 (NAS-Bench-301): a surrogate benchmark needs the noise, too.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MASK = (1 << 64) - 1
_QUANTILE = NormalDist().inv_cdf


@dataclass(frozen=True)
class Noise:
    """Noise of single trainings around predicted accuracies.

    Args:
        accuracy: predicted accuracies, ascending, [fidelities, knots].
        scatter: standard deviation between repeats there, in accuracy, [fidelities, knots].
        failure: probability there that a training fails, [fidelities, knots].
        chance: accuracy of a failed training.
        images: readings are counts of this many images; None: not rounded.
        repeats: trainings of a cell that can be asked for.
    """

    accuracy: list[list[float]]
    scatter: list[list[float]]
    failure: list[list[float]]
    chance: float
    images: int | None
    repeats: int

    @classmethod
    def of(cls, provenance: Mapping[str, Any]) -> Noise | None:
        """The noise of a surrogate's table, its ``noise`` as JSON; None for real trainings."""
        settings = provenance.get("noise")
        return None if settings is None else cls(**settings)

    def std(self, accuracy: NDArray[np.float64], fidelity: int) -> NDArray[np.float64]:
        """Standard deviation between repeats of cells with these predictions, failures aside."""
        return np.interp(accuracy, self.accuracy[fidelity], self.scatter[fidelity])

    def reader(self, fidelity: int, key: int) -> Callable[[float, int, int], float]:
        """What single trainings at one fidelity reach, between 0 and 1.

        Args:
            fidelity: position among the table's epochs.
            key: the seed of all readings, below 2^64.

        Returns:
            A function of a cell's predicted accuracy and row, and of the repeat; it takes 2 us.
        """
        knots, scatter, failure = (
            values[fidelity] for values in (self.accuracy, self.scatter, self.failure)
        )
        last, fidelities = len(knots) - 1, len(self.accuracy)
        chance, images, repeats = self.chance, self.images, self.repeats

        def read(accuracy: float, row: int, repeat: int) -> float:
            # Interpolated by hand: numpy takes 3 us for the two.
            above = bisect(knots, accuracy)
            left, right = max(above - 1, 0), min(above, last)
            part = (accuracy - knots[left]) / (knots[right] - knots[left]) if right > left else 0.0
            fails = failure[left] + part * (failure[right] - failure[left])
            bits = _splitmix(key, (row * fidelities + fidelity) * repeats + repeat)
            if fails and (_splitmix(bits, 0) >> 11) * 2.0**-53 < fails:
                drawn = chance
            else:
                spread = scatter[left] + part * (scatter[right] - scatter[left])
                uniform = ((bits >> 12) + 0.5) * 2.0**-52  # neither 0 nor 1
                drawn = min(max(accuracy + spread * _QUANTILE(uniform), 0.0), 1.0)
            return drawn if images is None else round(drawn * images) / images

        return read


def _splitmix(key: int, place: int) -> int:
    """64 random bits by seed and position (Steele, Lea and Flood, SplitMix, OOPSLA 2014)."""
    bits = (key + (place + 1) * 0x9E3779B97F4A7C15) & _MASK
    bits = ((bits ^ bits >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    bits = ((bits ^ bits >> 27) * 0x94D049BB133111EB) & _MASK
    return bits ^ bits >> 31
