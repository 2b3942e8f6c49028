"""Whether a search can be used at all: it runs up to its first question, which nobody answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, cast

import numpy as np

from nasbench_kit.errors import InvalidSetting
from nasbench_kit.spaces.protocols import trainable
from nasbench_kit.spaces.skeleton import Skeleton

if TYPE_CHECKING:
    from nasbench_kit.oracle.oracle import Oracle
    from nasbench_kit.oracle.search import Search
    from nasbench_kit.spaces.protocols import Space

#: Searches of other packages are not run before their time: nobody knows what they do.
_OURS = "nasbench_kit.algorithms."


class _Asked(BaseException):
    """The first question; nothing but ``check_usable`` should catch it."""


class _Rehearsal:
    """An oracle to look at, whose queries end the search."""

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle

    def __getattr__(self, name: str) -> Any:
        return getattr(self._oracle, name)

    def query(self, *question: Any, **settings: Any) -> NoReturn:
        raise _Asked


def check_usable(label: str, search: Search, oracle: Oracle) -> None:
    """Refuse what a built-in search refuses when it begins: a space, fidelities, too small a budget.

    Args:
        label: of the search.
        search: shares no weights.
        oracle: as for its run; nothing is asked and nothing is paid.

    Raises:
        InvalidSetting: what the search says, under its label.
    """
    if not type(search).__module__.startswith(_OURS):
        return
    try:
        next(iter(search(cast("Oracle", _Rehearsal(oracle)), np.random.default_rng(0))), None)
    except _Asked:
        return
    except InvalidSetting as error:
        raise InvalidSetting(f"{label}: {error}") from None


def check_networks(label: str, space: Space) -> None:
    """Refuse a search that computes on images where architectures are no networks, before any is opened.

    Args:
        label: of the search.
        space: that it searches.

    Raises:
        InvalidSetting: naming search and space.
    """
    try:
        trainable(space.sample(np.random.default_rng(0))).work(Skeleton(), (32, 32, 3))
    except InvalidSetting as error:
        raise InvalidSetting(f"{label} computes on images: {error}") from None
