"""Random search against queries, exactly: no run, no seed, no sampling error.

    >>> curve = RandomSearchCurve(table)
    >>> curve.expected(regrets(table), [1, 10, 100, 1000])    # mean regret after each number of queries

A query draws a cell with a probability proportional to its number of encodings, or one of the choices
of a space of decisions, all alike, then one of the R
repeats; queries are independent. The incumbent after n of them is the first with the largest
validation accuracy seen. With F the distribution function of what one query reads, the largest of n
readings is v with probability F(v)^n - F(v-)^n; and given that, the incumbent is distributed as a
single query given that it reads v, whichever of the n it was. So ties and the repeats' noise are in.

Holds for the policies "always" and "mean" (where a query reads the mean over repeats). Under the
others a cell drawn again may be free, so the number of draws that n queries take is random.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.analysis.landscape.encodings import Encodings
from nasbench_kit.checks import shown
from nasbench_kit.errors import InvalidSetting, NotRecorded
from nasbench_kit.spaces.decisions import DecisionSpace
from nasbench_kit.spaces.nasbench101.space import CellSpace
from nasbench_kit.spaces.restricted import Restricted
from nasbench_kit.table.noise import Noise
from nasbench_kit.table.table import checked

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from nasbench_kit.oracle.oracle import Policy
    from nasbench_kit.spaces.protocols import Numbered
    from nasbench_kit.table.table import Table


def _sampling_weights(space: Numbered) -> NDArray[np.int64]:
    """How often a space samples each row, up to a factor: int64 [rows].

    Raises:
        InvalidSetting: nothing is known of how the space samples.
    """
    if isinstance(space, CellSpace):
        return encoding_counts(space)
    whole = space.whole if isinstance(space, Restricted) else space
    if not isinstance(whole, DecisionSpace):
        raise InvalidSetting(
            f"how often {space.name} samples each architecture is not known, so there is no exact curve"
        )
    return np.ones(len(space), np.int64)


def encoding_counts(space: CellSpace) -> NDArray[np.int64]:
    """Number of valid encodings of every cell: int64 [rows]; 373,754,169 in all of the full space."""
    encodings = Encodings(space)
    matrices = np.bincount(encodings.which[encodings.valid], minlength=len(encodings.pruned))
    counts = np.zeros(len(space), np.int64)
    held = encodings.rows >= 0
    np.add.at(counts, encodings.rows[held], np.broadcast_to(matrices[:, None], held.shape)[held])
    return counts


class RandomSearchCurve:
    """The distribution of random search's incumbent on a table.

    Args:
        table: complete or partial; then the search draws among its own cells.
        policy: "always" or "mean".
        epochs: training length of every query; None is the table's longest.

    Raises:
        InvalidSetting: no table, another policy, or a space of which nobody knows how it samples.
        NotRecorded: the table lacks the fidelity, or some of the readings; or it is a surrogate's,
            whose repeats are drawn as they are asked for.
    """

    def __init__(
        self, table: Table, *, policy: Policy = "always", epochs: int | None = None
    ) -> None:
        checked(table)
        if not isinstance(policy, str) or policy not in ("always", "mean"):
            raise InvalidSetting(
                f"policy is {shown(policy)}; the curve against queries is exact for 'always' and 'mean'"
            )
        if Noise.of(table.provenance) is not None:
            raise NotRecorded(
                f"{table.name} is a surrogate: a query reads its prediction with noise, so what random "
                "search reads is no finite list; use a table of measured cells"
            )
        readings = table.values("validation_accuracy", epochs, missing="nan")  # [rows, repeats]
        recorded = ~np.isnan(readings)
        repeats = recorded.sum(axis=1)
        if not repeats.all():
            raise NotRecorded(f"some rows of {table.name} have no reading; use those that have one")
        if policy == "mean":
            # Summed as the oracle does, so that the same means are equal.
            sums = map(math.fsum, np.where(recorded, readings, 0.0).tolist())
            readings = (np.fromiter(sums, float, len(readings)) / repeats)[:, None]
            weights = _sampling_weights(table.covered)
        else:
            # A row's readings share its weight; in whole numbers, so that sums are exact. What does
            # not exist stands as the row's first reading, with a weight of nothing.
            shares = np.lcm.reduce(repeats) // repeats * _sampling_weights(table.covered)
            weights = (recorded * shares[:, None]).reshape(-1)
            first = readings[np.arange(len(readings)), recorded.argmax(axis=1)]
            readings = np.where(recorded, readings, first[:, None])
        values, self._value = np.unique(readings, return_inverse=True)  # which one: flat
        self._value = self._value.reshape(-1)
        self._rows, self._repeats = readings.shape
        #: Probability of each flat (row, repeat) at one query, and of each distinct value.
        self._drawn = weights / weights.sum()
        counts = np.zeros(len(values), np.int64)
        np.add.at(counts, self._value, weights)
        self._at = counts / weights.sum()
        #: F(v-) and F(v): [values + 1], from 0 to 1 exactly.
        self._below = np.concatenate([[0], np.cumsum(counts)]) / weights.sum()

    def incumbent(self, queries: int) -> NDArray[np.float64]:
        """Probability that each row is recommended after this number of queries: [rows], sum 1.

        Raises:
            InvalidSetting: fewer than one query, after which nothing is recommended.
        """
        share = self._largest(queries) / self._at
        return (self._drawn * share[self._value]).reshape(self._rows, self._repeats).sum(axis=1)

    def expected(self, scores: ArrayLike, queries: Sequence[int]) -> NDArray[np.float64]:
        """Mean score of the incumbent after each number of queries: [queries].

        Args:
            scores: of every row, as the regrets of `nasbench_kit.compare.running`: [rows].
            queries: numbers of 1 or more.

        Raises:
            InvalidSetting: fewer than one query, or not a score for each row.
        """
        score = np.repeat(self._checked(scores), self._repeats)
        given_value = np.bincount(self._value, self._drawn * score) / self._at
        return np.array([self._largest(n) @ given_value for n in queries])

    def quantiles(
        self, scores: ArrayLike, queries: Sequence[int], levels: Sequence[float]
    ) -> NDArray[np.float64]:
        """Quantiles of the incumbent's score: the least score not exceeded with each probability.

        Returns:
            [queries, levels]; level 0.5 is the median over runs.

        Raises:
            InvalidSetting: fewer than one query, or not a score for each row.
        """
        score = self._checked(scores)
        order = np.argsort(score, kind="stable")
        quantiles = []
        for n in queries:
            reached = np.cumsum(self.incumbent(n)[order])
            places = np.searchsorted(reached, np.asarray(levels) * reached[-1])
            quantiles.append(score[order[np.minimum(places, len(order) - 1)]])
        return np.array(quantiles)

    def _largest(self, queries: int) -> NDArray[np.float64]:
        """Probability that each distinct value is the largest one read: [values]."""
        if queries < 1:
            raise InvalidSetting(f"queries are {queries}; the incumbent is defined from 1 on")
        return np.diff(self._below**queries)

    def _checked(self, scores: ArrayLike) -> NDArray[np.float64]:
        score = np.asarray(scores, float)
        if score.shape != (self._rows,):
            raise InvalidSetting(
                f"scores have shape {score.shape}; the table has {self._rows} rows"
            )
        return score
