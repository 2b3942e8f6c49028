"""Checks of what callers pass to a comparison, before anything is done with it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Collection, Mapping, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from nasbench_kit.checks import shown
from nasbench_kit.compare.run_folder import LIMITS, check_label
from nasbench_kit.errors import InvalidSetting, UnknownName, did_you_mean

if TYPE_CHECKING:
    from nasbench_kit.oracle.search import Search

#: Seeds stand in columns of 64-bit integers.
_SEEDS_END = 1 << 63

T = TypeVar("T")


def checked_seed(value: object) -> int:
    """A seed as Python's own integer.

    Raises:
        InvalidSetting: no whole number, or out of range.
    """
    if isinstance(value, Integral) and not isinstance(value, bool):
        seed = int(value)
        if 0 <= seed < _SEEDS_END:
            return seed
    raise InvalidSetting(f"{shown(value)} is no seed; give whole numbers from 0 to 2**63 - 1")


def checked_seeds(values: object) -> Sequence[int]:
    """Different seeds, at least one.

    Raises:
        InvalidSetting: something else.
    """
    if isinstance(values, Integral | Real):
        raise InvalidSetting(
            f"the seeds are {shown(values)}; give several, such as range({values})"
        )
    if not isinstance(values, Collection) or isinstance(values, str | bytes | Mapping):
        raise InvalidSetting(
            f"the seeds are {shown(values)}; give whole numbers, such as range(10)"
        )
    if isinstance(values, range) and values:
        for end in (values[0], values[-1]):
            checked_seed(end)
        return values
    seeds = tuple(checked_seed(value) for value in values)
    if not seeds:
        raise InvalidSetting("nothing to compare; name at least one seed")
    if len(set(seeds)) < len(seeds):
        twice = next(seed for seed in seeds if seeds.count(seed) > 1)
        raise InvalidSetting(f"the seed {twice} is named twice; its run would be the same")
    return seeds


def checked_limits(values: object) -> dict[str, float]:
    """The limits of a budget, at least one.

    Raises:
        InvalidSetting: something else.
    """
    if not isinstance(values, Mapping):
        raise InvalidSetting(
            f"the budget is {shown(values)}; give limits by name: {{'queries': 100}}"
        )
    if not values:
        raise InvalidSetting("the comparison has no budget; limit seconds, epochs or queries")
    limits: dict[str, float] = {}
    for name, limit in values.items():
        if name not in LIMITS:
            raise InvalidSetting(f"no budget limits {shown(name)}; {did_you_mean(name, LIMITS)}")
        if not isinstance(limit, Real) or isinstance(limit, bool):
            raise InvalidSetting(f"the budget's {name} are {shown(limit)}; give a number")
        plain = int(limit) if isinstance(limit, Integral) else float(limit)
        if not plain >= 0:
            raise InvalidSetting(f"the budget's {name} are {limit}; give a number >= 0")
        if plain > 1e300 or math.isinf(plain):
            raise InvalidSetting(f"the budget's {name} are infinite; no run would ever end")
        if name == "queries" and plain % 1:
            raise InvalidSetting(f"the budget's queries are {limit}; give a whole number")
        limits[name] = plain
    return limits


def checked_algorithms(values: object) -> dict[str, Search]:
    """Searches by label, at least one.

    Raises:
        InvalidSetting: something else.
    """
    if not isinstance(values, Mapping):
        raise InvalidSetting(
            f"the algorithms are {shown(values)}; give searches by label: "
            "{'random-search': RandomSearch()}"
        )
    if not values:
        raise InvalidSetting("nothing to compare; name at least one algorithm")
    for label, search in values.items():
        check_label(label)
        if isinstance(search, type):
            raise InvalidSetting(
                f"the algorithm {label} is the class {search.__name__}; give an object of it: "
                f"{search.__name__}()"
            )
        if not callable(search):
            raise InvalidSetting(
                f"the algorithm {label} is {shown(search)}; give a callable of (oracle, rng)"
            )
        try:
            inspect.signature(search).bind(None, None)
        except TypeError as error:
            raise InvalidSetting(
                f"the algorithm {label} cannot be called with (oracle, rng): {error}"
            ) from error
        except ValueError:  # a callable that does not tell its arguments
            continue
    return dict(values)


def checked_choice(value: Any, choices: Any, name: str) -> None:
    """One of the values of a ``Literal``.

    Raises:
        InvalidSetting: something else.
    """
    if not isinstance(value, str) or value not in get_args(choices):
        hint = did_you_mean(value, get_args(choices))
        raise InvalidSetting(f"{name} is {shown(value)}; {hint}")


def checked_type(value: object, kind: type[T], way_out: str) -> T:
    """A value of a class.

    Raises:
        InvalidSetting: something else.
    """
    if not isinstance(value, kind):
        raise InvalidSetting(f"{shown(value)} is no {kind.__name__}; {way_out}")
    return value


def checked_label(label: object, algorithms: Mapping[str, Search]) -> str:
    """A label of one of the algorithms.

    Raises:
        UnknownName: none of them has it.
    """
    if not isinstance(label, str) or label not in algorithms:
        raise UnknownName(
            f"no algorithm is called {label!r}; {did_you_mean(str(label), algorithms)}"
        )
    return label
