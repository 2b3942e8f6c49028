"""Successive halving and Hyperband: many short trainings, few long ones.

A bracket starts n architectures at a small fidelity, keeps the best 1/eta of them, trains these again at eta
times the epochs, and so on. Every rung is a training of its own, from scratch: all of it is charged.
The sizes are those of HpBandSter, which the NAS-Bench-101 paper ran; with 4, 12, 36 and 108 epochs:

    s = 3:  27 @ 4 -> 9 @ 12 -> 3 @ 36 -> 1 @ 108
    s = 2:            9 @ 12 -> 3 @ 36 -> 1 @ 108
    s = 1:                      6 @ 36 -> 2 @ 108
    s = 0:                                4 @ 108

Architectures are drawn as random search draws them (cells: uniformly over valid encodings). (The paper's runs drew invalid ones too; these filled
places of the first rung at no cost and no use.)

Source: Li, Jamieson, DeSalvo, Rostamizadeh, Talwalkar, Hyperband, JMLR 18(185), 2018
(arXiv 1603.06560), Algorithm 1; Jamieson, Talwalkar, AISTATS 2016 (successive halving);
automl/HpBandSter, optimizers/hyperband.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from nasbench_kit.errors import InvalidSetting

if TYPE_CHECKING:
    from numpy.random import Generator

    from nasbench_kit import Answer, Oracle
    from nasbench_kit.spaces.protocols import Architecture


class Rung(NamedTuple):
    """A number of architectures, each trained for a number of epochs."""

    size: int
    epochs: int


@dataclass(frozen=True)
class Hyperband:
    """All brackets in turn, from the one with the shortest trainings to plain random search.

    Raises:
        InvalidSetting: eta below 2; when run, a table without two fidelities a factor eta or more apart.
    """

    #: Factor between fidelities, and of architectures between rungs.
    eta: int = 3
    #: Whether only the first bracket is run, again and again: successive halving.
    first_bracket_only: bool = False

    @classmethod
    def successive_halving(cls) -> Hyperband:
        """The bracket that starts with the shortest trainings, alone."""
        return cls(first_bracket_only=True)

    def __post_init__(self) -> None:
        if self.eta < 2:
            raise InvalidSetting(f"eta is {self.eta}; it must be at least 2")

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Architecture]:
        """Algorithm 1, again and again."""
        chosen = brackets(oracle.epochs, self.eta)
        if self.first_bracket_only:
            chosen = chosen[:1]
        best = None
        for bracket in itertools.cycle(chosen):
            for answer in halve(oracle, bracket, _random(oracle, rng)):
                best = recommended(best, answer)
                yield best.architecture


def brackets(epochs: Sequence[int], eta: int) -> list[list[Rung]]:
    """Hyperband's brackets for s = s_max, ..., 0, sized as HpBandSter does.

    Args:
        epochs: the table's fidelities, ascending.
        eta: 2 or more.

    Raises:
        InvalidSetting: see ``rungs``.
    """
    chain = rungs(epochs, eta)
    schedule = []
    for s in reversed(range(len(chain))):
        n = len(chain) // (s + 1) * eta**s  # Li et al. round up: (s_max + 1) eta^s / (s + 1)
        schedule.append([Rung(n // eta**i, chain[-s - 1 + i]) for i in range(s + 1)])
    return schedule


def rungs(epochs: Sequence[int], eta: int) -> list[int]:
    """The fidelities of halving, ascending: the largest one divided by eta while the table has the quotient.

    Where it has not even the first of them, they are the table's own, each at most the next one divided by
    eta: 1, 12 and 90 epochs, say. The rungs' sizes follow eta in any case.

    Args:
        epochs: the table's fidelities, ascending.
        eta: 2 or more.

    Raises:
        InvalidSetting: no fidelity is as small as the largest one divided by eta.
    """
    chain = [epochs[-1]]
    while chain[0] % eta == 0 and chain[0] // eta in epochs:
        chain.insert(0, chain[0] // eta)
    if len(chain) == 1:
        while shorter := [length for length in epochs if length * eta <= chain[0]]:
            chain.insert(0, max(shorter))
    if len(chain) == 1:
        offered = ", ".join(map(str, epochs))
        raise InvalidSetting(
            f"eta is {eta} and the table has trainings of {offered} epochs; halving needs one of "
            f"{epochs[-1] / eta:g} epochs or fewer, choose another eta or table"
        )
    return chain


def halve(
    oracle: Oracle, bracket: Sequence[Rung], draws: Iterable[Architecture]
) -> Iterator[Answer]:
    """Run one bracket and yield every answer; an architecture of the first rung is drawn when it is due."""
    candidates = iter(draws)
    for rung in bracket:
        answers = []
        for architecture in itertools.islice(candidates, rung.size):
            answers.append(oracle.query(architecture, rung.epochs))
            yield answers[-1]
        answers.sort(key=lambda answer: answer.validation_accuracy, reverse=True)
        candidates = iter([answer.architecture for answer in answers])


def recommended(best: Answer | None, answer: Answer) -> Answer:
    """The incumbent after one more answer: the best among those of the largest fidelity reached."""
    if best is None or answer.epochs > best.epochs:
        return answer
    better = answer.validation_accuracy > best.validation_accuracy
    return answer if better and answer.epochs == best.epochs else best


def _random(oracle: Oracle, rng: Generator) -> Iterator[Architecture]:
    while True:
        yield oracle.space.sample(rng)
