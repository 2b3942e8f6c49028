"""The form of a search algorithm.

A search is a callable that is given an oracle and a generator of random numbers. It asks the oracle
what architectures are worth and yields the one that it would recommend now, as often as it likes:

    >>> @dataclass(frozen=True)
    ... class FirstComeFirstServed:
    ...     def __call__(self, oracle, rng):
    ...         yield oracle.query(oracle.space.sample(rng)).architecture

`nasbench_kit.compare.running.Plan` takes an instance by its label. A package offers its own to the command
line by an entry point of the group ``nasbench_kit.algorithms``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from numpy.random import Generator

    from nasbench_kit.oracle.oracle import Oracle
    from nasbench_kit.spaces.protocols import Architecture


class Search(Protocol):
    """A callable that queries when it likes and yields what it would recommend now.

    That is one architecture or, of a search with several objectives, a tuple of them: its front, the
    first of which counts where one is asked for.

    Hyper-parameters are the fields of a frozen dataclass whose ``__call__`` this is. The loop needs
    no exit: the oracle refuses the query that the budget cannot pay, and the harness ends the run.
    """

    def __call__(
        self, oracle: Oracle, rng: Generator
    ) -> Iterator[Architecture | tuple[Architecture, ...]]:
        """Search with the oracle's queries as the only source of accuracy, ``rng`` of chance."""
        ...
