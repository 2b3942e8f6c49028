"""SMAC: a random forest predicts errors, expected improvement is climbed, random points come between.

The forest sees a space's decisions (of cells: encoding A), one column for each option, as scikit-learn
splits numbers and not sets. Climbing goes along the space's neighbours, single changes of a decision, so
that every proposal is an architecture; the released experiment proposes others too, and counts them as
error 1 at no cost.

Source: Hutter, Hoos, Leyton-Brown, Sequential Model-Based Optimization for General Algorithm
Configuration, LION 2011, Algorithms 4 and 5; automl/SMAC3 of 2018; settings: Ying et al. 2019,
supplement S2.2, and automl/nas_benchmarks, run_smac.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.algorithms.model_based import loop
from nasbench_kit.algorithms.settings import check_ranges

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray
    from sklearn.ensemble import RandomForestRegressor

    from nasbench_kit import Oracle
    from nasbench_kit.spaces.protocols import Architecture, Space


@dataclass(frozen=True)
class SMAC:
    """One query, one forest; the defaults are the NAS-Bench-101 paper's final settings.

    Raises:
        InvalidSetting: a value outside its range; when run, a budget that does not reach beyond the
            initial architectures.
    """

    #: Random architectures before the first forest.
    initial_size: int = 1
    #: Trees of the forest (SMAC's own default is 10).
    trees: int = 5
    #: Probability of a random architecture instead of the acquisition's choice.
    random_fraction: float = 0.33
    #: Architectures from which expected improvement is climbed: the best by it of those asked for.
    starts: int = 10
    #: Random architectures whose expected improvement is looked at besides.
    random_points: int = 1_000
    #: Share of the columns that each split chooses from, answers in a node that is split and in a leaf.
    column_share: float = 5 / 6
    least_split: int = 3
    least_leaf: int = 3
    #: Training length of every query; None is the table's longest.
    epochs: int | None = None

    @classmethod
    def small(cls) -> SMAC:
        """For a hundred queries or so: with leaves of 3 answers or more, no tree predicts the best ones.

        A leaf's mean lies above them, so that little improvement is expected anywhere. With as many
        trees as SMAC has by default, more combinations of decisions are told apart.
        """
        return cls(trees=10, least_leaf=1, least_split=2)

    def __post_init__(self) -> None:
        names = ("initial_size", "trees", "starts", "least_leaf")
        loop.check_whole(self, **dict.fromkeys(names, 1), random_points=0, least_split=2)
        check_ranges(self, {"random_fraction": "[0, 1]", "column_share": "(0, 1]"})

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Architecture]:
        """Algorithm 1 of the paper, without racing: an architecture is asked for once."""
        return loop.search(
            "SMAC",
            oracle,
            rng,
            lambda history: self._propose(history, rng),
            initial_size=self.initial_size,
            epochs=self.epochs,
        )

    def _propose(self, history: loop.History, rng: Generator) -> list[Any]:
        if rng.random() < self.random_fraction:
            return history.unknown(rng, 1)
        acquisition = _Acquisition(self, history, rng)
        asked = [answer.architecture for answer in history.answers]
        first = np.argsort(-acquisition(asked), kind="stable")[: self.starts]
        pool = loop.Pool(history)
        for architecture in self._climb([asked[place] for place in first], acquisition, rng):
            pool.add(architecture)
        for _ in range(self.random_points):
            pool.add(history.space.sample(rng))
        if not len(pool):
            return []
        return [pool.candidates[int(acquisition(pool.candidates).argmax())]]

    def _climb(self, starts: list[Any], acquisition: _Acquisition, rng: Generator) -> list[Any]:
        """From each start to the first better neighbour in random order, while there is one.

        Returns all that was better than a start's neighbours, and the neighbours of the starts, as the
        starts themselves are known. All climbs take their steps together: a forest answers many
        questions almost as fast as one.
        """
        space = acquisition.space
        seen: list[Any] = []
        here, worth = starts, acquisition(starts)
        while here:
            around = [_shuffled(space.neighbours(one), rng) for one in here]
            worths = acquisition([other for others in around for other in others])
            ends = np.cumsum([len(others) for others in around])[:-1]
            climbing = []
            for others, theirs, own in zip(around, np.split(worths, ends), worth, strict=True):
                better = np.flatnonzero(theirs > own)
                if len(others):
                    seen.append(others[int(theirs.argmax())])
                if len(better):
                    climbing.append((others[better[0]], theirs[better[0]]))
            seen += [one for one, _ in climbing]
            here, worth = [one for one, _ in climbing], np.array([value for _, value in climbing])
        return seen


class _Acquisition:
    """Expected improvement by the forest of all answers so far, float64 [architectures]."""

    def __init__(self, settings: SMAC, history: loop.History, rng: Generator) -> None:
        from sklearn.ensemble import RandomForestRegressor

        self.space = history.space
        self._points: dict[Any, NDArray[np.float32]] = {}
        self._least = float(history.errors.min())
        self._forest: RandomForestRegressor = RandomForestRegressor(
            settings.trees,
            max_features=settings.column_share,
            min_samples_split=settings.least_split,
            min_samples_leaf=settings.least_leaf,
            random_state=loop.seed(rng),
        )
        asked = [answer.architecture for answer in history.answers]
        self._forest.fit(columns(asked, self.space), history.errors)

    def __call__(self, architectures: list[Any]) -> NDArray[np.float64]:
        if not architectures:
            return np.empty(0)
        points = columns(architectures, self.space)
        trees = np.stack([tree.predict(points, False) for tree in self._forest.estimators_])
        return loop.expected_improvement(trees.mean(axis=0), trees.std(axis=0), self._least)


def columns(architectures: list[Any], space: Space) -> NDArray[np.float32]:
    """One column for each option of each decision but its first, 1 where it is taken."""
    sizes = np.array([len(decision.options) for decision in space.decisions])
    taken = np.array([space.encode(architecture) for architecture in architectures])
    indicators = [taken == option for option in range(1, sizes.max())]
    kept = [size > option for option in range(1, sizes.max()) for size in [sizes]]
    together = np.concatenate([f[:, k] for f, k in zip(indicators, kept, strict=True)], axis=1)
    return together.astype(np.float32)


def _shuffled(architectures: Any, rng: Generator) -> list[Any]:
    return [architectures[place] for place in rng.permutation(len(architectures)).tolist()]
