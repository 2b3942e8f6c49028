"""What weight-sharing searches have in common: settings, and how the budget is shared out.

A search says what one epoch of it does and what it believes in (`training.OneShot`); here the epochs
follow each other until their share of the budget is spent, and queries of the best architectures take
the rest.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nasbench_kit.algorithms.settings import check_ranges
from nasbench_kit.algorithms.weight_sharing.training import OneShot, SharedWeights
from nasbench_kit.errors import BudgetExhausted, InvalidSetting

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit import Oracle
    from nasbench_kit.spaces.protocols import Architecture

#: First steps that ``check`` prices: cells are drawn, and some are costlier.
_REHEARSALS = 30


@dataclass(frozen=True)
class WeightSharing(ABC):
    """A search that trains shared weights under the budget, then queries its best architectures.

    Raises:
        InvalidSetting: a setting out of its range.
    """

    #: Passes of the weights over their images; None: as many as ``share`` pays for.
    epochs: int | None = 50
    #: Epochs of the first cosine, each next twice as long (warm restarts); None: one for all.
    first_cycle: int | None = None
    #: Share of the budget for everything that shared weights do; queries of what comes out best
    #: take the rest. With 1 the search never queries.
    share: float = 1.0
    batch_size: int = 64
    #: Of the shared weights, annealed by a cosine.
    learning_rate: float = 0.025
    learning_rate_min: float = 0.001
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 3e-4
    #: Largest norm of the weights' gradient.
    clip: float = 5.0

    ranges: ClassVar[Mapping[str, str]] = {
        "epochs": "[1, inf)",
        "first_cycle": "[1, inf)",
        "share": "(0, 1]",
        "batch_size": "[2, inf)",  # batch norm needs two
        "learning_rate": "(0, inf)",
        "learning_rate_min": "[0, inf)",
        "momentum": "[0, 1)",
        "weight_decay": "[0, inf)",
        "clip": "(0, inf]",
    }
    #: Of the share, what is kept for ranking before queries. (No paper does that; 0.4,
    #: where it is used, is neither tuned nor derived.)
    ranking_share: ClassVar[float] = 0.0
    #: Such searches need an oracle with a task.
    shares_weights: ClassVar[bool] = True
    asks_once: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_ranges(self, self.ranges)
        if self.learning_rate_min > self.learning_rate:
            raise InvalidSetting(
                f"learning_rate_min is {self.learning_rate_min}; "
                f"it must be at most learning_rate, {self.learning_rate}"
            )
        if self.nesterov and not self.momentum:
            raise InvalidSetting("momentum is 0; with nesterov it must be above 0")

    @abstractmethod
    def begin(self, shared: SharedWeights) -> OneShot:
        """The search before its first epoch."""

    def check(self, oracle: Oracle, rng: Generator) -> None:
        """Refuse, before any work, what ``__call__`` would refuse; charges nothing.

        Cells are drawn, so the share must pay for the costliest of 30 first steps. A run whose own
        first one is costlier still ends there, with nothing recommended.

        Raises:
            InvalidSetting: as ``__call__``, and a budget whose share pays for no step.
        """
        search = self.begin(_Rehearsal(oracle, rng, self))
        try:
            for _ in range(_REHEARSALS):
                with contextlib.suppress(_Affordable):
                    search.epoch()
        except BudgetExhausted as error:
            raise InvalidSetting(
                f"the share {self.share:g} of the budget pays for no step of {type(self).__name__} "
                f"({error}); raise the budget or the share"
            ) from error

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Architecture]:
        """Train epoch by epoch, recommending the current architecture; then query the best ones.

        Raises:
            InvalidSetting: the oracle has no task, its budget limits queries only, or the space is
                not supported. (``check`` says so before any work, also of too small a budget.)
            BudgetExhausted: the budget is spent, or its share pays not even for the first step.
        """
        before = oracle.budget.meters()
        shared = SharedWeights(oracle, rng, self)
        search = self.begin(shared)
        try:
            yield from shared.trained(search)
        except BudgetExhausted:
            # The budget is spent, not just the share; or weights are as they were drawn.
            if self.share == 1 or oracle.budget.meters() == before:
                raise
        if self.share < 1:
            yield from _queried(oracle, search.candidates())


def _queried(oracle: Oracle, candidates: Iterator[Architecture]) -> Iterator[Architecture]:
    """Query architectures one after the other and recommend the best."""
    best = None
    for architecture in candidates:
        answer = oracle.query(architecture)
        if best is None or answer.validation_accuracy > best.validation_accuracy:
            best = answer
        yield best.architecture


class _Affordable(Exception):
    """The first step can be paid."""


class _Rehearsal(SharedWeights):
    """Ends at the first step, before it is paid and made."""

    def pay(
        self, what: Architecture | NDArray[np.float64], images: int, backward: bool = True
    ) -> None:
        self._allowance.check(*self._oracle.price(what, images, backward))
        raise _Affordable
