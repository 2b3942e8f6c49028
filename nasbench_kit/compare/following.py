"""How the harness follows a search to its end."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from nasbench_kit.compare.trace import Ended, Incumbent
from nasbench_kit.errors import BudgetExhausted, InvalidSearch, SearchStopped, Stalled
from nasbench_kit.oracle.answer import Answer
from nasbench_kit.spaces.protocols import Architecture
from nasbench_kit.system import ending, stopping

if TYPE_CHECKING:
    from numpy.random import Generator as RandomGenerator

    from nasbench_kit.oracle.budget import Budget
    from nasbench_kit.oracle.oracle import Oracle
    from nasbench_kit.oracle.search import Search

#: Recommendations in a row with nothing paid between them, after which a search counts as stalled.
PATIENCE = 10_000


def follow(
    search: Search,
    oracle: Oracle,
    budget: Budget,
    rng: RandomGenerator,
    write: Callable[[Any], str],
    *,
    patience: int = PATIENCE,
) -> tuple[list[Incumbent], Ended]:
    """Let a search run until it returns, its budget refuses, or it spends nothing any more.

    Args:
        search: what runs.
        oracle: what it asks.
        budget: what its queries are paid from.
        rng: its own.
        write: the text of a recommended architecture, the same for all its labellings.
        patience: recommendations in a row with nothing paid between them that end it.

    Returns:
        Every change of the recommendation at its spend, and why the run ended.

    Raises:
        InvalidSearch: it returns or yields something else than architectures.
        NotInSpace: what it recommends cannot be scored.
        Exception: whatever the search raises.
    """
    incumbents: list[Incumbent] = []
    recommended: object = incumbents  # nothing yet
    idle, spent_before = 0, (0.0, 0.0, 0)
    recommendations = None
    try:
        recommendations = _iterated(search(oracle, rng))
        for recommendation in recommendations:
            spent = budget.spent_seconds, budget.spent_epochs, budget.spent_queries
            if spent != spent_before:
                idle, spent_before = 0, spent
            ending.check()
            idle += 1
            if idle > patience:
                return incumbents, "stalled"
            if recommendation is not recommended:
                recommended = recommendation
                text = " ".join(write(architecture) for architecture in _front(recommendation))
                if incumbents and incumbents[-1][:3] == spent:
                    incumbents.pop()  # taken back before anything more was paid
                if not incumbents or text != incumbents[-1].architecture:
                    incumbents.append(Incumbent(*spent, text, oracle.elapsed))
    except (Stalled, SearchStopped):
        return incumbents, "stalled"
    except BudgetExhausted:
        return incumbents, "budget"
    finally:
        stopping.relent()
        _close(recommendations)
    return incumbents, "finished"


def _iterated(returned: object) -> Iterator[object]:
    if isinstance(returned, Iterable) and not isinstance(returned, str | bytes):
        return iter(returned)
    raise InvalidSearch(
        f"the search returned {_brief(returned)}, nothing to iterate over; let it yield what "
        "it recommends after each query"
    )


def _front(recommendation: object) -> tuple[Any, ...]:
    """The recommended architectures: one, or those of a front.

    Raises:
        InvalidSearch: something else.
    """
    front = recommendation if type(recommendation) is tuple else (recommendation,)
    if not front or not all(_is_architecture(part) for part in front):
        raise InvalidSearch(_mistaken(recommendation))
    return front


def _is_architecture(part: object) -> bool:
    return isinstance(part, Architecture) and not isinstance(part, type)


def _mistaken(recommendation: object) -> str:
    way_out = "yield the one that it recommends, such as a Cell, or a tuple of them"
    if isinstance(recommendation, Answer):
        way_out = "yield answer.architecture"
    elif isinstance(recommendation, int):
        way_out = "yield oracle.space[row]"
    return f"the search yielded {_brief(recommendation)}, which is no architecture; {way_out}"


def _brief(value: object) -> str:
    """A value of unknown make and its type."""
    if value is None:
        return "None"
    return f"{reprlib.repr(value)} ({type(value).__name__})"


def _close(recommendations: object) -> None:
    """End a search that is left in the middle, whatever it does about that."""
    try:
        if isinstance(recommendations, Generator):
            recommendations.close()
    except (Exception, SystemExit, SearchStopped):  # noqa: BLE001  # the run has ended already
        return
    finally:
        stopping.relent()
