"""The form of a search algorithm; see "How a search plugs in" in CONTRIBUTING.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from numpy.random import Generator

    from nasbench_kit.oracle.oracle import Oracle
    from nasbench_kit.spaces.nasbench101.cell import Cell


class Search(Protocol):
    """A callable that queries when it likes and yields the cell it would recommend now.

    Hyper-parameters are the fields of a frozen dataclass whose ``__call__`` this is. The loop needs
    no exit: the oracle refuses the query that the budget cannot pay, and the harness ends the run.
    """

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Cell]:
        """Search with the oracle's queries as the only source of accuracy, ``rng`` of chance."""
        ...
