"""What each option of each decision does on average, and how much of a value the decisions add up to.

In a space of all combinations these are the main effects of a functional analysis of variance (Hutter,
Hoos and Leyton-Brown 2014, section 2): the shares of single decisions add up to that of the additive
model, and what it lacks are interactions. Where some combinations are missing, decisions go together,
and the share of one contains part of another's.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.errors import NotRecorded

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class MainEffects:
    """Of one value on all decisions.

    Args:
        counts: architectures with each option, one array [options] for each decision.
        means: their mean value; NaN where there are none.
        shares: of the variance, what each decision explains alone, [decisions].
        additive: the share that the sum of one number for each option explains, fitted by least squares.
    """

    counts: Sequence[NDArray[np.int64]]
    means: Sequence[NDArray[np.float64]]
    shares: NDArray[np.float64]
    additive: float


def main_effects(
    options: NDArray[np.integer], sizes: Sequence[int], values: NDArray[np.float64]
) -> MainEffects:
    """Main effects of the decisions on a value.

    Args:
        options: the option of every decision, [architectures, decisions].
        sizes: number of options of each decision.
        values: [architectures].

    Raises:
        NotRecorded: all values are the same.
    """
    from scipy.sparse import csr_array

    count, decisions = options.shape
    deviation = values - values.mean()
    total = float(deviation @ deviation)
    if total <= count * (1e-12 * np.abs(values).max()) ** 2:  # nothing but rounding
        raise NotRecorded("all architectures have the same value; no decision changes it")
    starts = np.cumsum([0, *sizes])
    taken = options + starts[:-1]  # the column of every option that is taken
    width = int(starts[-1])
    table = csr_array(
        (np.ones(taken.size), taken.ravel(), np.arange(count + 1) * decisions), (count, width)
    )
    counts = np.bincount(taken.ravel(), minlength=width)
    sums = table.T @ deviation
    with np.errstate(invalid="ignore"):
        effects = sums / counts
    shares = [np.nansum((counts * effects**2)[a:b]) / total for a, b in itertools.pairwise(starts)]
    weights, *_ = np.linalg.lstsq((table.T @ table).toarray(), sums, rcond=None)
    rest = deviation - table @ weights
    return MainEffects(
        np.split(counts, starts[1:-1]),
        np.split(values.mean() + effects, starts[1:-1]),
        np.array(shares),
        1 - float(rest @ rest) / total,
    )
