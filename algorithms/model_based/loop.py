"""What all searches with a model share: random architectures first, then what the model proposes.

No architecture is asked for twice, as in the papers: their tables answer the same again, and their
trainings are too expensive to be repeated. A search ends when it finds nothing new.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit import checks
from nasbench_kit.algorithms.model_based.graphs import key_of
from nasbench_kit.errors import InvalidSetting, NotInSpace

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit import Answer, Oracle
    from nasbench_kit.spaces.protocols import Architecture, Space

#: Random architectures in a row that are all known after which all that can be drawn counts as known.
_PATIENCE = 10_000


class History:
    """All answers so far, one for each architecture."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.answers: list[Answer] = []
        #: Maps equal architectures, and no others, to the same key.
        self.key: Callable[[Any], Hashable] = key_of(space)
        self._keys: set[Hashable] = set()

    def __len__(self) -> int:
        return len(self.answers)

    def __contains__(self, architecture: Any) -> bool:
        return self.key(architecture) in self._keys

    def add(self, answer: Answer) -> None:
        """Take in an answer."""
        self.answers.append(answer)
        self._keys.add(self.key(answer.architecture))

    @property
    def errors(self) -> NDArray[np.float64]:
        """Validation errors in [0, 1], in the order of the answers."""
        return np.array([1 - answer.validation_accuracy for answer in self.answers])

    def best(self, count: int) -> list[Architecture]:
        """So many architectures, the best one first; of equals the older."""
        order = np.argsort(self.errors, kind="stable")[:count]
        return [self.answers[place].architecture for place in order.tolist()]

    def unknown(self, rng: Generator, count: int, besides: Pool | None = None) -> list[Any]:
        """Random architectures nobody asked for; fewer if no more are found."""
        pool = besides or Pool(self)
        drawn: list[Any] = []
        draws = 0
        while len(drawn) < count and draws < _PATIENCE:
            draws += 1
            architecture = self.space.sample(rng)
            if pool.add(architecture):
                drawn.append(architecture)
                draws = 0
        return drawn


class Pool:
    """Candidates, each of them once and none of them known."""

    def __init__(self, history: History) -> None:
        self.candidates: list[Any] = []
        self._history = history
        self._keys: set[Hashable] = set()

    def __len__(self) -> int:
        return len(self.candidates)

    def add(self, architecture: Any) -> bool:
        """Take in a candidate; whether it is a new one."""
        key = self._history.key(architecture)
        if architecture in self._history or key in self._keys:
            return False
        self._keys.add(key)
        self.candidates.append(architecture)
        return True


#: What to ask next, the first one first; nothing if the model finds nothing new.
Propose = Callable[[History], Sequence[Any]]


def search(
    name: str,
    oracle: Oracle,
    rng: Generator,
    propose: Propose,
    *,
    initial_size: int,
    epochs: int | None,
) -> Iterator[Architecture]:
    """Ask for random architectures, then for proposals, and recommend the best so far.

    Args:
        name: of the search, for messages.
        oracle: answers.
        rng: draws the random ones.
        propose: is given all answers. If it finds nothing, a random architecture is asked for.
        initial_size: random architectures before the first proposal.
        epochs: training length of every query; None is the table's longest.

    Raises:
        InvalidSetting: the budget pays for less than the random ones.
    """
    _check_start(name, oracle, initial_size, epochs)
    history = History(oracle.space)
    asked: Sequence[Any] = history.unknown(rng, initial_size)
    best: Answer | None = None
    while asked:
        for architecture in asked:
            answer = oracle.query(architecture, epochs)
            history.add(answer)
            if best is None or answer.validation_accuracy > best.validation_accuracy:
                best = answer
            yield best.architecture
        asked = propose(history) or history.unknown(rng, 1)


def _check_start(name: str, oracle: Oracle, initial_size: int, epochs: int | None) -> None:
    """Refuse a budget that ends before the model begins; one of nothing is the oracle's to refuse."""
    budget = oracle.budget
    length = oracle.epochs[-1] if epochs is None else epochs
    for unit, limit, price in (
        ("queries", budget.queries, 1),
        ("epochs", budget.epochs, length),
    ):
        if limit and limit < initial_size * price:
            raise InvalidSetting(
                f"the budget is {limit:,g} {unit}, and {name} asks for {initial_size} random "
                f"architectures first, which cost {initial_size * price:,}; lower initial_size or "
                "raise the budget"
            )


def check_whole(settings: object, **least: int) -> None:
    """Refuse settings that are no whole numbers of so much at least; None is left alone.

    Raises:
        InvalidSetting: naming the setting and its value.
    """
    for name, lowest in least.items():
        value = getattr(settings, name)
        if value is not None:
            checks.whole(name, value, lowest)


def edited(space: Space, architecture: Any, edits: int, rng: Generator) -> Any:
    """The architecture after so many random single edits; fewer where it has no neighbour."""
    for _ in range(edits):
        try:
            architecture = space.mutate(architecture, rng)
        except NotInSpace:
            break
    return architecture


def seed(rng: Generator) -> int:
    """A seed for a library's own generator."""
    return int(rng.integers(1 << 31))


def expected_improvement(
    mean: NDArray[np.float64], deviation: NDArray[np.float64], least: float
) -> NDArray[np.float64]:
    """By how much a normal prediction is expected to fall below the least error so far."""
    from scipy.special import ndtr

    below = least - mean
    sure = deviation <= 0
    z = below / np.where(sure, 1, deviation)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    return np.where(sure, np.maximum(below, 0), below * ndtr(z) + deviation * density)
