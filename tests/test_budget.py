"""The meter: what it refuses, what it lists."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, strategies as st

from nasbench_kit import Budget, BudgetExhausted, InvalidSetting, NasbenchKitError

UNITS = ("seconds", "epochs", "queries")

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
        before = spent(budget), list(budget.ledger)
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
    assert budget.ledger == []


def test_without_limits_everything_is_paid_and_listed() -> None:
    budget = Budget()
    budget.charge("training", seconds=1e12, epochs=1e9, queries=10**9, item="what")
    assert spent(budget) == (1e12, 1e9, 10**9)
    assert budget.ledger == [("training", 1e12, 1e9, 10**9, "what")]
    assert repr(budget) == "<Budget: no limit spent>"


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ({"seconds": 10}, "^7 s would take the spent seconds from 5 to 12 of 10"),
        ({"epochs": 10}, "^8 epochs would take the spent epochs from 4 to 12 of 10"),
        ({"queries": 2}, "^1 queries would take the spent queries from 2 to 3 of 2"),
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
@pytest.mark.parametrize("limit", [-1, -0.5, -math.inf, math.nan])
def test_a_limit_below_zero_or_no_number_is_refused(unit: str, limit: float) -> None:
    with pytest.raises(
        InvalidSetting, match=f"the budget's {unit} are {limit}; give a number >= 0"
    ):
        Budget(**{unit: limit})  # type: ignore[arg-type]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("price", [-1, math.nan])
def test_a_price_below_zero_or_no_number_is_refused(unit: str, price: float) -> None:
    """A charge that gives back, or after which every comparison is false, would end all limits."""
    budget = Budget(seconds=10, epochs=10, queries=10)
    with pytest.raises(NasbenchKitError):
        budget.charge("query", **{unit: price})  # type: ignore[arg-type]
    assert spent(budget) == (0, 0, 0)
