"""A budget that refuses: the price is checked before anything is revealed, and every charge listed.

>>> budget = Budget(seconds=100.0)
>>> budget.check(seconds=60.0)                # silent: affordable
>>> budget.charge("query", seconds=60.0)
>>> budget.check(seconds=60.0)
Traceback (most recent call last):
nasbench_kit.errors.BudgetExhausted: 60 s would take the spent seconds from 60 to 120 of 100
"""

from __future__ import annotations

from math import inf
from typing import Any, NamedTuple

from nasbench_kit.errors import BudgetExhausted, InvalidSetting


class Charge(NamedTuple):
    """One line of the ledger."""

    #: "query", "training" (outside the table) or a step of a supernet's training.
    kind: str
    seconds: float
    epochs: float
    queries: int
    #: What was paid for; of a query, its `Answer`.
    item: Any


class Budget:
    """Limits on simulated seconds, epochs and queries; any subset, and what is spent of them.

    A price that would pass a limit is refused; one that just reaches it is paid.

    Args:
        seconds: training seconds in the table's own clock.
        epochs: training epochs (a reading from halfway counts half, rounded down).
        queries: charged queries.

    Raises:
        InvalidSetting: a limit that is negative or not a number.
    """

    def __init__(
        self,
        *,
        seconds: float | None = None,
        epochs: float | None = None,
        queries: int | None = None,
    ) -> None:
        for name, limit in (("seconds", seconds), ("epochs", epochs), ("queries", queries)):
            if limit is not None and not limit >= 0:
                raise InvalidSetting(f"the budget's {name} are {limit}; give a number >= 0")
        self.seconds = seconds
        self.epochs = epochs
        self.queries = queries
        self.spent_seconds = 0.0
        self.spent_epochs = 0.0
        self.spent_queries = 0
        self.ledger: list[Charge] = []
        self._limits = (
            inf if seconds is None else seconds,
            inf if epochs is None else epochs,
            inf if queries is None else queries,
        )

    def meters(self) -> list[tuple[str, float, float]]:
        """Name, limit and spending of every limit that is set."""
        meters = (
            ("seconds", self.seconds, self.spent_seconds),
            ("epochs", self.epochs, self.spent_epochs),
            ("queries", self.queries, self.spent_queries),
        )
        return [(name, limit, spent) for name, limit, spent in meters if limit is not None]

    def check(self, seconds: float = 0.0, epochs: float = 0.0, queries: int = 0) -> None:
        """Refuse a price that would pass a limit.

        Raises:
            BudgetExhausted: naming the limit that would be passed.
            InvalidSetting: a price below zero, or not a number.
        """
        most_seconds, most_epochs, most_queries = self._limits
        if (
            seconds >= 0  # NaN is not
            and epochs >= 0
            and queries >= 0
            and self.spent_seconds + seconds <= most_seconds
            and self.spent_epochs + epochs <= most_epochs
            and self.spent_queries + queries <= most_queries
        ):
            return
        if not (seconds >= 0 and epochs >= 0 and queries >= 0):
            price = f"{seconds} seconds, {epochs} epochs, {queries} queries"
            raise InvalidSetting(f"the price is {price}; give numbers >= 0")
        prices = {"seconds": seconds, "epochs": epochs, "queries": queries}
        for name, limit, spent in self.meters():
            if spent + prices[name] > limit:
                unit = "s" if name == "seconds" else name
                raise BudgetExhausted(
                    f"{prices[name]:.12g} {unit} would take the spent {name} from {spent:.12g} to "
                    f"{spent + prices[name]:.12g} of {limit:.12g}"
                )

    def charge(
        self,
        kind: str,
        *,
        seconds: float = 0.0,
        epochs: float = 0.0,
        queries: int = 0,
        item: Any = None,
    ) -> None:
        """Pay a price and list it, unless it would pass a limit.

        Raises:
            BudgetExhausted, InvalidSetting: as ``check``; nothing is charged.
        """
        self.check(seconds, epochs, queries)
        self.book(kind, seconds, epochs, queries, item)

    def book(self, kind: str, seconds: float, epochs: float, queries: int, item: Any) -> None:
        """Count and list a price that ``check`` has just let pass."""
        self.spent_seconds += seconds
        self.spent_epochs += epochs
        self.spent_queries += queries
        self.ledger.append(Charge(kind, seconds, epochs, queries, item))

    def __repr__(self) -> str:
        shown = (f"{spent:g} of {limit:g} {name}" for name, limit, spent in self.meters())
        return f"<Budget: {', '.join(shown) or 'no limit'} spent>"
