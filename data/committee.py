"""A committee of Gaussian processes that learns numbers of some cells and predicts all others'.

Relevances of the features are learnt from a few rows, then each expert sees a share of all. A cell is
predicted by the mean of the experts that have not seen it: those of the sample are thus
cross-validated, and none of the learnt values leaks into the predictions. The cost grows in
proportion to the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from nasbench_kit.data.features import feature_names, features
from nasbench_kit.data.gaussian_process import (
    IRRELEVANT,
    Expert,
    learn_relevances,
    likeliest_noise,
)

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit.space import CellSpace

#: Rows from which relevances are learnt, steps of that, and rows that one expert sees at most.
LEARNT_FROM, STEPS, SHARE = 2_000, 30, 5_000
#: Experts at least; every row stays unseen by one or more.
_EXPERTS = 4
#: Features count up to so many standard deviations; rare ones would drown the others.
_CLIP = 6.0
#: Cells predicted at a time.
_BLOCK = 4_096

#: Called with (done, in all).
Progress = Callable[[int, int], None]


def experts_for(rows: int) -> int:
    """How many experts learn from so many rows."""
    return max(_EXPERTS, -(-rows // SHARE))


class Steps:
    """Counts the steps of learning, once or several times, for whoever watches.

    Args:
        progress: called with (done, in all).
        rows, cells: learnt from, and predicted.
        times: how often.
    """

    def __init__(self, progress: Progress, rows: int, cells: int, times: int) -> None:
        self._progress, self._done = progress, 0
        self._each = STEPS + experts_for(rows) + -(-cells // _BLOCK)
        self._total = times * self._each

    def done(self) -> None:
        """One more."""
        self._done += 1
        self._progress(self._done, self._total)

    def relevances_learnt(self) -> None:
        """Learning them may take fewer steps than it might."""
        self._done = self._done // self._each * self._each + STEPS


class Learnt(NamedTuple):
    """Predictions of some outputs.

    Attributes:
        predicted: every cell of the space, by experts that have not seen it [cells, outputs].
        scatter: the standard error of their mean, for the sample [n, outputs]; 0 where there is one.
        relevances: of the features by name, largest first.
    """

    predicted: NDArray[np.float64]
    scatter: NDArray[np.float64]
    relevances: dict[str, float]


def learn(
    space: CellSpace,
    rows: NDArray[np.int32],
    outputs: NDArray[np.float64],
    rng: Generator,
    steps: Steps,
) -> Learnt:
    """Learn outputs [n, outputs] of some rows (NaN: not known) and predict them for all cells.

    On one thread: the last bits of a product depend on the number, and learning magnifies them.
    """
    with threadpool_limits(1):
        lens = _learn_lens(space, rows, outputs, rng, steps)
        committee = _gather(lens, rows, outputs, rng, steps)
        predicted = np.empty((len(space), outputs.shape[1]))
        for start in range(0, len(space), _BLOCK):
            block = np.arange(start, min(start + _BLOCK, len(space)))
            predicted[block] = committee.opinions(block).mean(axis=0)
            steps.done()
        predicted[rows], scatter = committee.of_the_unseen(rows)
    return Learnt(predicted, scatter, lens.by_name())


@dataclass(frozen=True)
class _Lens:
    """Features of cells as the processes see them: standardised, the relevant ones, scaled."""

    space: CellSpace
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    relevances: NDArray[np.float64]

    def __call__(self, rows: NDArray[np.integer]) -> NDArray[np.float64]:
        standard = _standard(features(self.space, rows), self.mean, self.std)
        kept = self.relevances > IRRELEVANT
        return standard[:, kept] * np.sqrt(self.relevances[kept])

    def by_name(self) -> dict[str, float]:
        """Relevances that count, largest first."""
        named = dict(zip(feature_names(), self.relevances.tolist(), strict=True))
        ordered = sorted(named.items(), key=lambda item: -item[1])
        return {name: relevance for name, relevance in ordered if relevance > IRRELEVANT}


def _standard(
    raw: NDArray[np.float32], mean: NDArray[np.float64], std: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Features of mean 0 and variance 1; 0 where they do not vary."""
    return np.clip((raw - mean) / np.where(std, std, np.inf), -_CLIP, _CLIP)


def _learn_lens(
    space: CellSpace,
    rows: NDArray[np.int32],
    outputs: NDArray[np.float64],
    rng: Generator,
    steps: Steps,
) -> _Lens:
    """The relevances that suit all outputs together, from some of the rows."""
    raw = features(space, rows)
    mean, std = raw.mean(axis=0, dtype=np.float64), raw.std(axis=0, dtype=np.float64)
    chosen = _some_complete(outputs, rng)
    x = _standard(raw[chosen], mean, std)
    varying = x.std(axis=0) > 0
    relevances = np.zeros(len(varying))
    relevances[varying] = learn_relevances(x[:, varying], outputs[chosen], STEPS, steps.done)
    steps.relevances_learnt()
    return _Lens(space, mean, std, relevances)


def _some_complete(outputs: NDArray[np.float64], rng: Generator) -> NDArray[np.intp]:
    """Rows drawn of those whose outputs are all known."""
    complete = np.flatnonzero(np.isfinite(outputs).all(axis=1))
    return rng.permutation(complete)[:LEARNT_FROM]


@dataclass(frozen=True)
class _Committee:
    """Experts, and which rows of the sample each has seen, bool [experts, n]."""

    lens: _Lens
    experts: list[Expert]
    seen: NDArray[np.bool_]

    def opinions(self, rows: NDArray[np.integer]) -> NDArray[np.float64]:
        """What each expert predicts [experts, rows, outputs]."""
        x = self.lens(rows)
        return np.stack([expert.predict(x) for expert in self.experts])

    def of_the_unseen(
        self, rows: NDArray[np.int32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of the sample: mean of the experts that have not seen a row, and its standard error."""
        opinions = self.opinions(rows)
        asked = ~self.seen[:, :, None]
        number = asked.sum(axis=0)
        mean = (opinions * asked).sum(axis=0) / number
        squares = ((opinions - mean) ** 2 * asked).sum(axis=0)
        return mean, np.sqrt(squares / np.maximum(number - 1, 1) / number)


def _gather(
    lens: _Lens,
    rows: NDArray[np.int32],
    outputs: NDArray[np.float64],
    rng: Generator,
    steps: Steps,
) -> _Committee:
    """Fit experts on shares of the rows, spread evenly around a random circle of them.

    A share is ``SHARE`` rows or, of fewer, all but one part in ``count``.
    """
    x, number, count = lens(rows), len(rows), experts_for(len(rows))
    chosen = _some_complete(outputs, rng)
    noises = likeliest_noise(x[chosen], outputs[chosen])
    share = min(SHARE, number - -(-number // count))
    circle = rng.permutation(number)
    experts, seen = [], np.zeros((count, number), bool)
    for place in range(count):
        own = circle[(place * number // count + np.arange(share)) % number]
        seen[place, own] = True
        experts.append(Expert.fit(x[own], outputs[own], noises * share / number))
        steps.done()
    return _Committee(lens, experts, seen)
