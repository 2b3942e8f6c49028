"""The meter: what it refuses, what it lists."""

from __future__ import annotations

import functools
import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from nasbench_kit import Budget, BudgetExhausted, InvalidSetting, NasbenchKitError
from nasbench_kit.errors import ReadOnlyAttribute

UNITS = ("seconds", "epochs", "queries")
NO_NUMBERS = [
    "5",
    b"5",
    True,
    np.True_,
    [5],
    (5,),
    {},
    5j,
    Decimal(5),
    np.array([5.0]),
    np.array(5),
    object,
]

prices = st.fixed_dictionaries(
    {
        "seconds": st.floats(0, 50) | st.sampled_from([0.1, 0.2, 0.3]),
        "epochs": st.integers(0, 40) | st.floats(0, 40),
        "queries": st.integers(0, 3),
    }
)
limits = st.fixed_dictionaries(
    {},
    optional={
        "seconds": st.floats(0, 500) | st.sampled_from([0.3, 0.6, 1.0]),
        "epochs": st.floats(0, 400),
        "queries": st.integers(0, 20),
    },
)


def spent(budget: Budget) -> tuple[float, float, int]:
    return budget.spent_seconds, budget.spent_epochs, budget.spent_queries


@given(limits, st.lists(prices, max_size=30))
def test_spent_never_exceeds_a_limit_and_is_the_sum_of_the_ledger(
    limit: dict[str, float], asked: list[dict[str, float]]
) -> None:
    budget = Budget(**limit)  # type: ignore[arg-type]
    for price in asked:
        before = spent(budget), budget.ledger
        affordable = all(
            getattr(budget, f"spent_{unit}") + price[unit] <= limit.get(unit, math.inf)
            for unit in UNITS
        )
        try:
            budget.charge("query", **price)  # type: ignore[arg-type]
        except BudgetExhausted:
            assert not affordable
            assert (spent(budget), budget.ledger) == before
        else:
            assert affordable
    paid = budget.ledger
    assert sum(charge.seconds for charge in paid) == pytest.approx(budget.spent_seconds)
    assert sum(charge.epochs for charge in paid) == pytest.approx(budget.spent_epochs)
    assert sum(charge.queries for charge in paid) == budget.spent_queries
    assert all(spending <= most for _, most, spending in budget.meters())
    assert [name for name, _, _ in budget.meters()] == [unit for unit in UNITS if unit in limit]


@pytest.mark.parametrize("unit", UNITS)
def test_a_price_that_just_reaches_the_limit_is_paid(unit: str) -> None:
    budget = Budget(**{unit: 3})
    for price in (1, 2):
        budget.check(**{unit: price})
        budget.charge("query", **{unit: price})
    budget.charge("free")
    with pytest.raises(BudgetExhausted):
        budget.check(**{unit: 1})
    assert len(budget.ledger) == 3


def test_the_next_number_above_the_limit_is_refused() -> None:
    budget = Budget(seconds=100.0)
    with pytest.raises(BudgetExhausted):
        budget.charge("query", seconds=math.nextafter(100.0, math.inf))
    budget.charge("query", seconds=100.0)


def test_a_check_charges_nothing() -> None:
    budget = Budget(queries=1)
    for _ in range(3):
        budget.check(queries=1)
    assert spent(budget) == (0, 0, 0)
    assert budget.ledger == ()


def test_without_limits_everything_is_paid_and_listed() -> None:
    budget = Budget()
    budget.charge("training", seconds=1e12, epochs=1e9, queries=10**9, item="what")
    assert spent(budget) == (1e12, 1e9, 10**9)
    assert budget.ledger == (("training", 1e12, 1e9, 10**9, "what"),)
    assert repr(budget) == "<Budget: no limit spent>"


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ({"seconds": 10}, "^7 s would take the spent seconds from 5 to 12 of 10"),
        ({"epochs": 10}, "^8 epochs would take the spent epochs from 4 to 12 of 10"),
        ({"queries": 2}, "^1 query would take the spent queries from 2 to 3 of 2"),
    ],
)
def test_a_refusal_says_price_spent_and_limit(limit: dict[str, int], message: str) -> None:
    budget = Budget(**limit)
    budget.charge("query", seconds=5, epochs=4, queries=2)
    with pytest.raises(BudgetExhausted, match=message) as refused:
        budget.charge("query", seconds=7, epochs=8, queries=1)
    assert isinstance(refused.value, NasbenchKitError | RuntimeError)
    assert len(budget.ledger) == 1


def test_repr_shows_every_limit() -> None:
    budget = Budget(seconds=10, queries=3)
    budget.charge("query", seconds=2.5, queries=1)
    assert repr(budget) == "<Budget: 2.5 of 10 seconds, 1 of 3 queries spent>"


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("limit", [-1, -0.5, -math.inf, math.nan, math.inf])
def test_a_limit_below_zero_or_no_number_is_refused(unit: str, limit: float) -> None:
    kind = "whole" if unit == "queries" else "finite"
    with pytest.raises(
        InvalidSetting, match=f"the budget's {unit} are {limit}; give a {kind} number >= 0"
    ):
        Budget(**{unit: limit})  # type: ignore[arg-type]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(
    "price", [-1, -5e-324, math.nan, math.inf, -math.inf, 10**400, *NO_NUMBERS]
)
def test_a_price_below_zero_or_no_number_is_refused(unit: str, price: Any) -> None:
    """A charge that gives back, or after which every comparison is false, would end all limits."""
    for budget in (Budget(seconds=10, epochs=10, queries=10), Budget()):
        for ask in (functools.partial(budget.charge, "query"), budget.check):
            with pytest.raises(InvalidSetting, match=f"the price in {unit} is "):
                ask(**{unit: price})
        assert spent(budget) == (0, 0, 0)
        assert budget.ledger == ()


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("limit", [10**400, *NO_NUMBERS])
def test_a_limit_that_is_no_number_is_refused(unit: str, limit: Any) -> None:
    with pytest.raises(InvalidSetting, match=f"the budget's {unit} are "):
        Budget(**{unit: limit})


@pytest.mark.parametrize("kind", [None, 3, ["query"]])
def test_a_kind_of_charge_is_a_name(kind: Any) -> None:
    with pytest.raises(InvalidSetting, match="give a name such as 'query'"):
        Budget().charge(kind, seconds=1)


@pytest.mark.parametrize("number", [np.float64(2.5), np.float32(2.5), np.int64(2), Fraction(5, 2)])
def test_numbers_of_other_libraries_become_pythons_own(number: Any) -> None:
    budget = Budget(seconds=number, epochs=number)
    budget.charge("query", seconds=number)
    for value in (budget.seconds, budget.spent_seconds, budget.ledger[0].seconds):
        assert type(value) in (int, float)
        assert value == number


def test_queries_are_counted_in_whole_numbers() -> None:
    for part in (1.5, np.float64(0.5), Fraction(5, 2)):
        with pytest.raises(InvalidSetting, match=r"queries are .*; give a whole number"):
            Budget(queries=part)  # type: ignore[arg-type]
        with pytest.raises(InvalidSetting, match=r"price in queries is .*; give a whole number"):
            Budget().charge("query", queries=part)  # type: ignore[arg-type]
    assert type(Budget(queries=3.0).queries) is int  # type: ignore[arg-type]


def test_numbers_too_long_to_write_are_named() -> None:
    for value in (10**5000, -(10**5000)):
        for unit in UNITS:
            with pytest.raises(InvalidSetting, match=r"a number of 16,610 bits"):
                Budget(**{unit: value})
            with pytest.raises(InvalidSetting, match=r"a number of 16,610 bits"):
                Budget().check(**{unit: value})


def test_without_limits_sums_stay_finite() -> None:
    budget = Budget()
    budget.charge("query", seconds=1e308)
    with pytest.raises(BudgetExhausted):
        budget.charge("query", seconds=1e308)
    assert budget.spent_seconds == 1e308
    assert budget.meters() == []


def test_attributes_are_read_only_and_the_ledger_cannot_be_changed() -> None:
    budget = Budget(seconds=10)
    budget.charge("query", seconds=5)
    for name in ("seconds", "epochs", "queries", "ledger", *(f"spent_{unit}" for unit in UNITS)):
        with pytest.raises(ReadOnlyAttribute, match=f"Budget.{name} is read-only"):
            setattr(budget, name, 0)
        with pytest.raises(ReadOnlyAttribute):
            delattr(budget, name)
    before = budget.ledger
    budget.charge("query", seconds=1)
    assert isinstance(before, tuple)
    assert (len(before), len(budget.ledger)) == (1, 2)


def test_what_is_paid_for_is_made_after_the_price_is_checked() -> None:
    made = []
    pay = Budget(queries=1)._account.pay
    assert pay("query", 0.0, 0.0, 1, lambda: made.append(1) or "item") == "item"  # type: ignore[func-returns-value]
    with pytest.raises(BudgetExhausted):
        pay("query", 0.0, 0.0, 1, made.append, 2)
    assert made == [1]


@pytest.mark.parametrize("price", [None, "3", math.nan, -1, [1.0]])
def test_a_trainers_price_that_is_none_is_refused(price: Any) -> None:
    with pytest.raises(InvalidSetting, match="the price in seconds is"):
        Budget()._account.pay("training", price, 1, 1, lambda: None)
