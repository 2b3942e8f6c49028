"""One reward of accuracy and a cost, for searches that know one objective.

    reward = accuracy * (cost / target) ** w,   w = within if cost <= target else beyond

MnasNet, equations 2 and 3: softly w = -0.07 on both sides, so that about 5 % more accuracy pay for twice
the latency; as a hard constraint w = 0 and -1. ProxylessNAS' search by REINFORCE: w = -0.1.

What is searched with the reward sees it in place of validation accuracy. The architecture of the best
reward comes first of what is recommended; the front of all that was asked for follows it.

Source: Tan et al., MnasNet, CVPR 2019 (arXiv 1807.11626), section 3; Cai, Zhu, Han, ProxylessNAS, ICLR
2019 (arXiv 1812.00332), section 3.3.2 and mit-han-lab/proxylessnas, nas_manager.py (the ratio's 0.1).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from nasbench_kit import checks
from nasbench_kit.algorithms.evolution.regularized_evolution import RegularizedEvolution
from nasbench_kit.algorithms.multi_objective.objectives import (
    ACCURACY,
    Front,
    checked_objectives,
)
from nasbench_kit.algorithms.policy_gradient.reinforce import Reinforce
from nasbench_kit.errors import InvalidSetting

if TYPE_CHECKING:
    from numpy.random import Generator

    from nasbench_kit import Answer, Oracle
    from nasbench_kit.oracle.search import Search
    from nasbench_kit.spaces.protocols import Architecture

By = Literal["reinforce", "regularized-evolution"]


@dataclass(frozen=True, kw_only=True)
class Reward:
    """Settings that all searches on a reward share; by default MnasNet's soft constraint.

    Raises:
        InvalidSetting: objectives other than accuracy and one cost, or a target that is not positive.
    """

    #: T, in the unit of the cost; has to be given. Of seconds, those of an answer: under the policy
    #: "mean" the sum over its repeats.
    target: float | None = None
    #: w (alpha) up to the target.
    within: float = -0.07
    #: w (beta) beyond it.
    beyond: float = -0.07
    #: "accuracy" and one cost; a comparison fills in its own where there are none.
    objectives: Sequence[str] = ()
    #: Training length of every query; None is the table's longest.
    epochs: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "objectives", checked_objectives(self.objectives))
        if self.target is not None and not self.target > 0:
            raise InvalidSetting(f"target is {self.target}; it must be positive")
        if len(self.objectives) > 2:
            raise InvalidSetting(
                f"objectives are {', '.join(self.objectives)}; this reward weighs accuracy and one cost"
            )
        if self.objectives and self.target is None:
            raise InvalidSetting(
                f"the reward needs a target, in the unit of {self.cost}; give it as target=..."
            )

    @property
    def cost(self) -> str:
        """The objective beside accuracy."""
        return next(name for name in self.objectives if name != ACCURACY)

    def reward(self, accuracy: float, cost: float) -> float:
        """Equation 2 of MnasNet.

        Raises:
            InvalidSetting: a cost that is not positive, or no target.
        """
        if self.target is None or not cost > 0:
            raise InvalidSetting(
                f"the reward of cost {cost} and target {self.target} has no value; costs must be "
                "positive, and a target given"
            )
        weight = self.within if cost <= self.target else self.beyond
        return float(accuracy * (cost / self.target) ** weight)


@dataclass(frozen=True, kw_only=True)
class Scalarized(Reward):
    """A search of one objective that maximises the reward, with its own defaults.

    Raises:
        InvalidSetting: an unknown search; or as `Reward`.
    """

    #: What maximises it.
    by: By = "reinforce"

    @classmethod
    def hard(cls) -> Scalarized:
        """MnasNet's hard constraint."""
        return cls(within=0.0, beyond=-1.0)

    @classmethod
    def proxylessnas(cls) -> Scalarized:
        """ProxylessNAS' reward."""
        return cls(within=-0.1, beyond=-0.1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.by not in get_args(By):
            raise InvalidSetting(
                f"by is {checks.shown(self.by)}; choose one of {', '.join(get_args(By))}"
            )

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[tuple[Architecture, ...]]:
        """Let the search run on rewards, and recommend its choice before the front."""
        front = Front(self.objectives)
        kind = Reinforce if self.by == "reinforce" else RegularizedEvolution
        search: Search = kind(epochs=self.epochs)
        for best in search(cast("Oracle", _Rewarding(oracle, self, front)), rng):
            yield tuple(dict.fromkeys([cast("Architecture", best), *front.architectures]))


class _Rewarding:
    """An oracle whose answers have a reward in place of validation accuracy."""

    def __init__(self, oracle: Oracle, form: Reward, front: Front) -> None:
        self._oracle = oracle
        self._form = form
        self._front = front

    def query(self, *asked: Any, **how: Any) -> Answer:
        """As `Oracle.query`."""
        answer = self._oracle.query(*asked, **how)
        self._front.add(answer)
        cost = answer.costs[self._form.cost]
        return answer._replace(
            validation_accuracy=self._form.reward(answer.validation_accuracy, cost)
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._oracle, name)
