"""Objects whose attributes are set once."""

from __future__ import annotations

from typing import NoReturn

from nasbench_kit.errors import ReadOnlyAttribute


class ReadOnly:
    """Refuses assignment to its attributes; a constructor sets them by ``object.__setattr__``."""

    __slots__ = ()

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise ReadOnlyAttribute(
            f"{type(self).__name__}.{name} is read-only; make another {type(self).__name__} instead"
        )

    def __delattr__(self, name: str) -> NoReturn:
        raise ReadOnlyAttribute(f"{type(self).__name__}.{name} is read-only and cannot be deleted")
