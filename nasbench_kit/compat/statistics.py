"""The official dictionaries of statistics over a table: read when asked for, then kept.

As officially, what is handed out is the entry itself: who changes it changes what is answered from
then on. An entry of four training lengths takes 7 kB, and all 423,624 take as much memory as with the
official class; ``NASBench.get_metrics_from_hash`` hands out copies and keeps nothing.
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, Mapping, ValuesView
from typing import Any, TypeVar

Value = TypeVar("Value")


class Row(int):
    """The table's row of an entry that was not asked for yet, in its place."""


class Statistics(dict[str, Value]):
    """hash -> what the table says of it, in the order of the table's original file.

    A true dictionary, so that JSON and C code take it; it pickles and copies as a plain one.

    Args:
        rows: hash -> table row, or an entry.
        read: gives the entry of a row.
    """

    def __init__(self, rows: Mapping[str, Any], read: Callable[[int], Value]) -> None:
        super().__init__(rows)
        self._read = read

    def __getitem__(self, key: str) -> Value:
        value: Any = super().__getitem__(key)
        if isinstance(value, Row):
            self[key] = value = self._read(value)
        return value

    # What the built-in dictionary would answer without asking ``__getitem__``.

    def __iter__(self) -> Iterator[str]:  # also makes dict(...), {**...} and update() ask
        return super().__iter__()

    __eq__ = Mapping.__eq__
    __ne__ = object.__ne__
    __hash__ = None
    get = Mapping.get  # type: ignore[assignment]

    def items(self) -> ItemsView[str, Value]:  # type: ignore[override]
        """All pairs; a view."""
        return _Items(self)

    def values(self) -> ValuesView[Value]:  # type: ignore[override]
        """All entries; a view."""
        return _Values(self)

    def pop(self, key: str, *default: Any) -> Any:
        """Take out an entry."""
        if key in self:
            self[key]  # reads it
        return super().pop(key, *default)

    def popitem(self) -> tuple[str, Value]:
        """Take out the last pair."""
        for key in reversed(self):
            return key, self.pop(key)
        return super().popitem()  # raises

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The entry; where there is none, put one there first."""
        return self[key] if key in self else super().setdefault(key, default)

    def copy(self) -> dict[str, Value]:
        """A plain dictionary of the same entries."""
        return dict(self.items())

    def __or__(self, other: Any) -> Any:
        return self.copy() | other if isinstance(other, dict) else NotImplemented

    def __ror__(self, other: Any) -> Any:
        return other | self.copy() if isinstance(other, dict) else NotImplemented

    def __repr__(self) -> str:
        return repr(self.copy())

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return dict, (self.copy(),)


class _Items(ItemsView[str, Value]):
    def __reversed__(self) -> Iterator[tuple[str, Value]]:
        entries: Any = self._mapping  # type: ignore[attr-defined]
        return ((key, entries[key]) for key in reversed(entries))


class _Values(ValuesView[Value]):
    def __reversed__(self) -> Iterator[Value]:
        entries: Any = self._mapping  # type: ignore[attr-defined]
        return (entries[key] for key in reversed(entries))
