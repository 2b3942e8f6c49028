"""What searches with several objectives share: objectives as losses, and the front of all answers.

An objective is "accuracy", or the name of a cost that answers tell (`Answer.costs`): seconds,
parameters, latency, ... Costs are the better the lower they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit import checks
from nasbench_kit.errors import InvalidSetting
from nasbench_kit.spaces.protocols import Numbered

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_kit import Answer
    from nasbench_kit.spaces.protocols import Architecture

ACCURACY = "accuracy"
#: On spaces of fewer architectures a population of 100 would be random search over much of them.
_SMALL_SPACE = 1_000
_SMALL_POPULATION = 20


def checked_objectives(names: object) -> tuple[str, ...]:
    """Accuracy and one cost or more; or none, for a comparison to fill in.

    Raises:
        InvalidSetting: something else, or a name that stands there twice.
    """
    several = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    if not several or (names and ACCURACY not in names) or len(names) == 1:  # type: ignore[arg-type, operator]
        raise InvalidSetting(
            f"objectives are {checks.shown(names)}; give accuracy and one cost or more, such as "
            '["accuracy", "latency"]'
        )
    if len(set(names)) < len(names):  # type: ignore[arg-type, call-overload]
        raise InvalidSetting(f"objectives are {checks.shown(names)}; name each of them once")
    return tuple(names)  # type: ignore[arg-type]


def losses(answer: Answer, objectives: Sequence[str]) -> tuple[float, ...]:
    """The answer's objectives, in their order, all to be minimised: of accuracy the error.

    Raises:
        InvalidSetting: there are no objectives, or the answer lacks one.
    """
    if not objectives:
        raise InvalidSetting(
            'this search has no objectives; give it some, such as objectives=("accuracy", "seconds"), '
            "or compare with --objectives"
        )
    values = {**answer.costs, ACCURACY: 1 - answer.validation_accuracy}
    for name in objectives:
        if name not in values:
            raise InvalidSetting(
                f"no answer tells the objective {checks.shown(name)}; there are {', '.join(sorted(values))}"
            )
    return tuple(values[name] for name in objectives)


def default_size(space: object) -> int:
    """Members of a population where none is stated: 100, or 20 on spaces of fewer than 1,000."""
    small = isinstance(space, Numbered) and len(space) < _SMALL_SPACE
    return _SMALL_POPULATION if small else 100


class Front:
    """The answers that no other one dominates, of all that were added.

    Args:
        objectives: that are weighed.
    """

    def __init__(self, objectives: Sequence[str]) -> None:
        self._objectives = objectives
        self._members: list[tuple[tuple[float, ...], Answer]] = []
        #: What is recommended: most accurate first, each once.
        self.architectures: tuple[Architecture, ...] = ()

    def add(self, answer: Answer) -> tuple[float, ...]:
        """Take in an answer, and return its losses."""
        new = losses(answer, self._objectives)
        if any(_no_worse(other, new) for other, _ in self._members):
            return new
        kept = [(other, its) for other, its in self._members if not _no_worse(new, other)]
        kept.append((new, answer))
        self._members = sorted(kept, key=lambda member: -member[1].validation_accuracy)
        self.architectures = tuple(
            dict.fromkeys(member.architecture for _, member in self._members)
        )
        return new


def _no_worse(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True))


def ranks(values: NDArray[np.float64]) -> NDArray[np.intp]:
    """Fast non-dominated sort: 0 of the front, 1 of the front of the rest, and so on: [members].

    Args:
        values: losses [members, objectives].

    Source: Deb et al. 2002, section III A.
    """
    one, other = values[:, None], values[None]
    no_worse, better = (one <= other).all(axis=2), (one < other).any(axis=2)
    dominates = np.logical_and(no_worse, better)
    by = dominates.sum(axis=0)  # n_p, how many dominate each
    result = np.zeros(len(values), np.intp)
    rank = 0
    while (current := np.flatnonzero(by == 0)).size:
        result[current] = rank
        by = by - dominates[current].sum(axis=0)
        by[current] = -1
        rank += 1
    return result


def crowding(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Crowding distance of the members of one front: [members], infinite at the ends.

    Args:
        values: losses [members, objectives].

    Source: Deb et al. 2002, section III B.
    """
    distance = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        spread = (column[order[-1]] - column[order[0]]) or 1.0
        distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / spread
        distance[order[[0, -1]]] = np.inf
    return distance


def crowded_order(values: NDArray[np.float64]) -> NDArray[np.intp]:
    """Positions of a population, best first: by rank, within a front the less crowded first.

    Args:
        values: losses [members, objectives].

    Source: Deb et al. 2002, section III B, the crowded-comparison operator.
    """
    rank = ranks(values)
    distance = np.empty(len(values))
    for front in range(rank.max() + 1):
        distance[rank == front] = crowding(values[rank == front])
    return np.lexsort((-distance, rank))
