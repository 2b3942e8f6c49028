"""The reward that an accuracy predictor and a cost predictor give together, maximised by evolution.

Random architectures are asked for first. Then, again and again: a regressor of accuracy and one of the
logarithm of the cost learn all answers; evolution climbs the reward of both predictions, which costs
nothing; the best architectures that were never asked for are asked for.

The form is ChamNet's, an evolutionary search over predictors of accuracy and of costs. Random forests
on the space's decisions stand where ChamNet has Gaussian processes on numbers of channels and layers
(and a table of operators' latencies), and the reward is MnasNet's; sizes are this kit's, for some
hundred queries.

Source: Dai et al., ChamNet, CVPR 2019 (arXiv 1812.08934), section 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit import checks
from nasbench_kit.algorithms.multi_objective.objectives import Front
from nasbench_kit.algorithms.multi_objective.scalarized import Reward
from nasbench_kit.errors import NotInSpace

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit import Answer, Oracle
    from nasbench_kit.spaces.protocols import Architecture, Space


@dataclass(frozen=True, kw_only=True)
class PredictedReward(Reward):
    """Recommends the architecture of the best reward that was measured, then the front.

    Raises:
        InvalidSetting: a size below 1; or as `Reward`.
    """

    #: Random architectures before the first prediction.
    initial_size: int = 20
    #: Queries between two fits.
    batch_size: int = 10
    #: Members of the evolution on predictions, and its generations; every member has one child.
    population_size: int = 50
    generations: int = 10
    #: Of each forest.
    trees: int = 50

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("initial_size", "batch_size", "population_size", "generations", "trees"):
            checks.whole(name, getattr(self, name), 1)

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[tuple[Architecture, ...]]:
        """Ask for a batch, fit, evolve; for ever."""
        space = oracle.space
        front = Front(self.objectives)
        answers: list[Answer] = []
        rewards: list[float] = []
        batch = [space.sample(rng) for _ in range(self.initial_size)]
        while True:
            for architecture in batch:
                answer = oracle.query(architecture, self.epochs)
                front.add(answer)
                answers.append(answer)
                rewards.append(self.reward(answer.validation_accuracy, answer.costs[self.cost]))
                best = answers[int(np.argmax(rewards))].architecture
                yield tuple(dict.fromkeys([best, *front.architectures]))
            predict = _Predictors(self, answers, space, rng)
            order = np.argsort(-np.array(rewards), kind="stable")[: self.population_size]
            start = [answers[place].architecture for place in order.tolist()]
            batch = self._evolved(start, {answer.architecture for answer in answers}, predict, rng)

    def _evolved(
        self, start: list[Any], asked: set[Any], predict: _Predictors, rng: Generator
    ) -> list[Any]:
        """The batch of the best predictions that were not asked for; random where there is none."""
        population = list(dict.fromkeys(start))
        fresh: dict[Any, float] = {}
        for _ in range(self.generations):
            children = []
            for parent in population:
                try:
                    children.append(predict.space.mutate(parent, rng))
                except NotInSpace:  # it has no neighbour
                    continue
            population = list(dict.fromkeys([*population, *children]))
            rewards = predict(population)
            fresh |= {
                member: reward
                for member, reward in zip(population, rewards.tolist(), strict=True)
                if member not in asked
            }
            order = np.argsort(-rewards, kind="stable")[: self.population_size]
            population = [population[place] for place in order.tolist()]
        best = sorted(fresh, key=lambda member: -fresh[member])[: self.batch_size]
        return best or [predict.space.sample(rng)]


class _Predictors:
    """Two forests on one-hot decisions, and the reward of what both predict."""

    def __init__(
        self, form: PredictedReward, answers: Sequence[Answer], space: Space, rng: Generator
    ) -> None:
        from sklearn.ensemble import RandomForestRegressor

        self.space = space
        self._form = form
        self._options = [len(decision.options) for decision in space.decisions]
        seen = self._features([answer.architecture for answer in answers])
        targets = np.array(
            [(answer.validation_accuracy, np.log(answer.costs[form.cost])) for answer in answers]
        )
        self._forests = [
            RandomForestRegressor(form.trees, random_state=int(rng.integers(1 << 31))).fit(
                seen, column
            )
            for column in targets.T
        ]

    def _features(self, architectures: Sequence[Any]) -> NDArray[np.float64]:
        """[architectures, options of all decisions]."""
        taken = np.array([self.space.encode(architecture) for architecture in architectures])
        columns = [
            taken[:, place, None] == np.arange(size) for place, size in enumerate(self._options)
        ]
        return np.concatenate(columns, axis=1).astype(np.float64)

    def __call__(self, architectures: Sequence[Any]) -> NDArray[np.float64]:
        """Predicted rewards: [architectures]."""
        features = self._features(architectures)
        accuracy, log_cost = (forest.predict(features) for forest in self._forests)
        pairs = zip(accuracy.tolist(), np.exp(log_cost).tolist(), strict=True)
        return np.array([self._form.reward(*pair) for pair in pairs])
