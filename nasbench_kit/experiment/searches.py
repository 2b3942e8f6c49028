"""The searches that an experiment names, with their settings."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import math
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from nasbench_kit import checks
from nasbench_kit.algorithms import ALGORITHMS, RandomSearch
from nasbench_kit.compare.run_folder import check_label
from nasbench_kit.errors import InvalidSetting, NasbenchKitError, UnknownName, did_you_mean
from nasbench_kit.experiment.settings import check_keys
from nasbench_kit.oracle.search import Search

ENTRY_POINTS = "nasbench_kit.algorithms"
#: Beside methods that ask for every architecture once; random search alone does not tell their merit
#: from that of not asking again.
CONTROL = "distinct-random-search"


def known_algorithms() -> dict[str, Callable[[], Callable[[], Search]]]:
    """Every algorithm that goes by a name, to be loaded; a built-in one wins over another's."""
    others = importlib.metadata.entry_points(group=ENTRY_POINTS)
    makers: dict[str, Callable[[], Callable[[], Search]]] = {
        entry.name: entry.load for entry in others
    }
    return makers | {name: lambda make=make: make for name, make in ALGORITHMS.items()}


def search_of(label: str, entry: Any) -> Search:
    """The search of one entry of ``[algorithms]``.

    Raises:
        UnknownName: no such method or setting.
        InvalidSetting: a label that is no file's name, a value of another type, or one that the
            algorithm refuses.
    """
    check_label(label)
    if not isinstance(entry, dict):
        raise InvalidSetting(
            f"algorithm {label} is {checks.shown(entry)}; write a table [algorithms.{label}]"
        )
    settings = dict(entry)
    method = settings.pop("method", label)
    if not isinstance(method, str):
        raise InvalidSetting(
            f"{label}: method is {checks.shown(method)}; give the name of an algorithm"
        )
    makers = known_algorithms()
    if method not in makers:
        raise UnknownName(
            f"no algorithm is called {checks.shown(method)}; {did_you_mean(method, makers)}"
        )
    try:
        made = makers[method]()()
    except NasbenchKitError:
        raise
    except Exception as error:  # other people's code
        raise InvalidSetting(
            f"the algorithm {method} cannot be loaded: {checks.shown(error, 300)}"
        ) from error
    if not settings:
        return made
    if not dataclasses.is_dataclass(made) or isinstance(made, type):
        raise InvalidSetting(f"{label}: {method} has no settings, as it is no dataclass")
    hints = get_type_hints(type(made))
    names = [field.name for field in dataclasses.fields(made) if field.init]
    check_keys(settings, names, f"algorithm {label}")
    for name, value in settings.items():
        if not _fits(value, hints[name]):
            raise InvalidSetting(
                f"{label}: {name} is {checks.shown(value)}; it must be {_type_name(hints[name])}"
            )
        if hints[name] is float:
            settings[name] = float(value)
    try:
        return cast("Search", dataclasses.replace(made, **settings))
    except InvalidSetting as error:
        raise InvalidSetting(f"{label}: {error}") from None


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value of a TOML file is of a field's type; other types are left to the class."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, part) for part in get_args(hint))
    if origin is Literal:
        return value in get_args(hint)
    if hint is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and (abs(value) <= sys.float_info.max or abs(value) == math.inf)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint in (bool, str, types.NoneType):
        return isinstance(value, hint)
    return True


def _type_name(hint: Any) -> str:
    """A type as an experiment's author knows it."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(
            _type_name(part) for part in get_args(hint) if part is not types.NoneType
        )
    if origin is Literal:
        return "one of " + ", ".join(map(repr, get_args(hint)))
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return names.get(hint, str(hint))


def lack_a_control(searches: Mapping[str, Search]) -> bool:
    """Whether some ask for every architecture once, and none of them is random search."""
    once = [search for search in searches.values() if getattr(search, "asks_once", False)]
    return bool(once) and not any(isinstance(search, RandomSearch) for search in once)
