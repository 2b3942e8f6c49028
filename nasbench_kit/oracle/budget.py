"""A budget that refuses: the price is checked before anything is revealed, and every charge listed.

>>> budget = Budget(seconds=100.0)
>>> budget.check(seconds=60.0)                # silent: affordable
>>> budget.charge("query", seconds=60.0)
>>> budget.check(seconds=60.0)
Traceback (most recent call last):
nasbench_kit.errors.BudgetExhausted: 60 s would take the spent seconds from 60 to 120 of 100

What is spent is kept in the variables of a few functions (``_account``) rather than in attributes, so
that whoever holds a budget can add charges to it and change nothing else.
"""

from __future__ import annotations

import contextlib
import functools
import operator
import sys
from collections.abc import Callable, Iterable
from math import inf
from numbers import Integral, Real
from typing import Any, NamedTuple, NoReturn

from nasbench_kit.checks import counted, shown
from nasbench_kit.errors import AccountsDisagree, BudgetExhausted, InvalidSetting
from nasbench_kit.system.read_only import ReadOnly

_UNITS = ("seconds", "epochs", "queries")
_NOUNS = {"epochs": ("epoch", "epochs"), "queries": ("query", "queries")}
#: Stands in for a limit that is not set: a sum cannot become infinite.
_MOST = sys.float_info.max


class Charge(NamedTuple):
    """One line of the ledger."""

    #: "query", "training" (outside the table) or a step of a supernet's training.
    kind: str
    seconds: float
    epochs: float
    queries: int
    #: What was paid for; of a query, its `Answer`.
    item: Any


#: Seconds, epochs and queries; of limits, None is no limit.
_Price = tuple[float, float, int]
_Limits = tuple[float | None, float | None, int | None]


class Budget(ReadOnly):
    """Limits on simulated seconds, epochs and queries; any subset, and what is spent of them.

    A price that would pass a limit is refused; one that just reaches it is paid. All attributes are
    read-only; spending changes by ``charge`` alone. A copy, also one from a pickle, has the same
    limits and charges, and is charged on its own from then on.

    Args:
        seconds: training seconds in the table's own clock.
        epochs: training epochs (a reading from halfway counts half, rounded down, or as many as
            the table says that it was taken after).
        queries: charged queries.

    Raises:
        InvalidSetting: a limit that is negative, infinite or not a number (None is no limit), or queries
            that are no whole number.
    """

    __slots__ = ("__weakref__", "_account")

    _account: _Account

    def __init__(
        self,
        *,
        seconds: float | None = None,
        epochs: float | None = None,
        queries: int | None = None,
    ) -> None:
        first, second, third = (
            None
            if limit is None
            else _number(f"the budget's {name} are", limit, whole=name == "queries")
            for name, limit in zip(_UNITS, (seconds, epochs, queries), strict=True)
        )
        object.__setattr__(self, "_account", _account((first, second, third)))

    @property
    def seconds(self) -> float | None:
        """The limit; None if there is none."""
        return self._account.limits[0]

    @property
    def epochs(self) -> float | None:
        """The limit; None if there is none."""
        return self._account.limits[1]

    @property
    def queries(self) -> int | None:
        """The limit; None if there is none."""
        return self._account.limits[2]

    @property
    def spent_seconds(self) -> float:
        """The sum of all charges so far."""
        return self._account.spent()[0]

    @property
    def spent_epochs(self) -> float:
        """The sum of all charges so far."""
        return self._account.spent()[1]

    @property
    def spent_queries(self) -> int:
        """The sum of all charges so far."""
        return self._account.spent()[2]

    @property
    def ledger(self) -> tuple[Charge, ...]:
        """All charges so far, the first one first."""
        return self._account.ledger()

    def meters(self) -> list[tuple[str, float, float]]:
        """Name, limit and spending of every limit that is set."""
        meters = zip(_UNITS, self._account.limits, self._account.spent(), strict=True)
        return [(name, limit, spent) for name, limit, spent in meters if limit is not None]

    def check(self, seconds: float = 0.0, epochs: float = 0.0, queries: int = 0) -> None:
        """Refuse a price that would pass a limit.

        Raises:
            BudgetExhausted: naming the limit that would be passed.
            InvalidSetting: a price that is negative, infinite or not a number, or parts of a query.
        """
        self._account.check(*_price(seconds, epochs, queries))

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
        if not isinstance(kind, str):
            raise InvalidSetting(
                f"the kind of charge is {shown(kind)}; give a name such as 'query'"
            )
        self._account.pay(kind, *_price(seconds, epochs, queries), lambda: item)

    def view(self) -> Budget:
        """The same account to look at: it shows every charge, and cannot be charged itself."""
        return _around(type(self), self._account._replace(pay=_refuse))

    def audit(self) -> None:
        """Check that totals, ledger and limits agree.

        Raises:
            AccountsDisagree: they do not: something other than ``charge`` changed them.
        """
        charges, spent = self.ledger, self._account.spent()
        prices = list(zip(*charges, strict=True))[1:4] or [(), (), ()]
        for name, limit, total, column in zip(
            _UNITS, self._account.limits, spent, prices, strict=True
        ):
            # In the order of the charges, so that the sum is the same to the last bit.
            added = functools.reduce(operator.add, column, 0)
            if added != total or min(column, default=0) < 0:
                raise AccountsDisagree(
                    f"the ledger lists {added} {name} and the total is {total}; something other than "
                    "the oracle changed them"
                )
            if limit is not None and total > limit:
                raise AccountsDisagree(f"{total} of {limit} {name} are spent")

    def __reduce__(self) -> tuple[Any, ...]:
        account = self._account
        return _restored, (type(self), account.limits, account.ledger(), account.pay is _refuse)

    def __repr__(self) -> str:
        shown = (f"{spent:g} of {limit:g} {name}" for name, limit, spent in self.meters())
        return f"<Budget: {', '.join(shown) or 'no limit'} spent>"


class _Account(NamedTuple):
    """Everything that can be done with a budget's variables."""

    limits: _Limits
    #: (seconds, epochs, queries): raises if they are too much.
    check: Callable[[float, float, int], None]
    #: (kind, seconds, epochs, queries, get, *arguments): what ``get`` returns once the price is checked.
    pay: Callable[..., Any]
    spent: Callable[[], _Price]
    ledger: Callable[[], tuple[Charge, ...]]


def _account(limits: _Limits) -> _Account:
    """An account with nothing spent."""
    most_seconds, most_epochs, most_queries = (
        _MOST if limit is None else limit for limit in limits
    )
    spent_seconds, spent_epochs, spent_queries = 0.0, 0.0, 0
    charges: list[Charge] = []
    listed: tuple[Charge, ...] = ()

    def check(seconds: float, epochs: float, queries: int) -> None:
        try:
            if (
                seconds >= 0  # NaN is not
                and epochs >= 0
                and queries >= 0
                and spent_seconds + seconds <= most_seconds
                and spent_epochs + epochs <= most_epochs
                and spent_queries + queries <= most_queries
            ):
                return
        except (TypeError, OverflowError):  # a trainer's price may be anything
            pass
        _price(seconds, epochs, queries)
        raise _too_much(limits, spent(), (seconds, epochs, queries))

    def pay(
        kind: str,
        seconds: float,
        epochs: float,
        queries: int,
        get: Callable[..., Any],
        *arguments: Any,
    ) -> Any:
        nonlocal spent_seconds, spent_epochs, spent_queries
        check(seconds, epochs, queries)
        item = get(*arguments)
        spent_seconds += seconds
        spent_epochs += epochs
        spent_queries += queries
        charges.append(Charge(kind, seconds, epochs, queries, item))
        return item

    def spent() -> _Price:
        return spent_seconds, spent_epochs, spent_queries

    def ledger() -> tuple[Charge, ...]:
        nonlocal listed
        if len(listed) != len(charges):
            listed = tuple(charges)
        return listed

    return _Account(limits, check, pay, spent, ledger)


def _around(kind: type[Budget], account: _Account) -> Budget:
    budget = kind.__new__(kind)
    object.__setattr__(budget, "_account", account)
    return budget


def _restored(
    kind: type[Budget], limits: _Limits, ledger: Iterable[Charge], viewed: bool
) -> Budget:
    """The budget of a pickle: its charges made again, in order, so that sums are the same."""
    account = _account(limits)
    for name, seconds, epochs, queries, item in ledger:
        account.pay(name, seconds, epochs, queries, lambda item=item: item)
    return _around(kind, account._replace(pay=_refuse) if viewed else account)


def _refuse(*_: Any) -> NoReturn:
    raise InvalidSetting("this is a view of a budget; only its oracle charges it")


def _too_much(limits: _Limits, spent: _Price, price: _Price) -> Exception:
    """Why a price that is made of numbers cannot be paid."""
    for name, limit, before, asked in zip(_UNITS, limits, spent, price, strict=True):
        most = _MOST if limit is None else limit
        if before + asked > most:
            amount = f"{asked:.12g} s" if name == "seconds" else counted(asked, *_NOUNS[name])
            return BudgetExhausted(
                f"{amount} would take the spent {name} from {before:.12g} to "
                f"{before + asked:.12g} of {most:.12g}"
            )
    raise AssertionError  # it was affordable


def _price(seconds: Any, epochs: Any, queries: Any) -> _Price:
    """Three prices as Python's own numbers."""
    return (
        _number("the price in seconds is", seconds),
        _number("the price in epochs is", epochs),
        _number("the price in queries is", queries, whole=True),
    )


def _number(what: str, value: Any, *, whole: bool = False) -> Any:
    """A finite number >= 0 as Python's own int or float; an int where it must be whole."""
    if isinstance(value, Real) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):  # a whole number beyond the floats
            number = int(value) if isinstance(value, Integral) else float(value)
            if 0 <= float(number) < inf and not (whole and number % 1):
                return int(number) if whole else number
            value = number  # shown as Python's own
    raise InvalidSetting(
        f"{what} {shown(value)}; give a {'whole' if whole else 'finite'} number >= 0"
    )
