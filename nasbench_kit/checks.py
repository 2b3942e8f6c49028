"""Checks of arguments that several public functions take."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from nasbench_kit.errors import InvalidSetting

#: Characters of a value in a message.
_MOST = 80
#: Bits up to which a whole number is written out.
_WRITTEN = 256


def shown(value: object, most: int = _MOST) -> str:
    """What a message says of a value that somebody gave: its ``repr``, cut where it is long.

    It never raises, whatever was given: Python refuses to write out a number of 5,000 digits.
    """
    try:
        if isinstance(value, int) and value.bit_length() > _WRITTEN:
            return f"a number of {value.bit_length():,} bits"
        if isinstance(value, str) and len(value) > most:
            value = f"{value[: most - 3]}…"
        text = repr(value)
    except Exception:  # noqa: BLE001  # other people's classes may raise anything
        text = f"a {type(value).__name__} that cannot be shown"
    return text if len(text) <= most else f"{text[: most - 1]}…"


def counted(count: float, noun: str, plural: str | None = None) -> str:
    """How many there are of something, in words: 1 run, 2 runs, 1,000 runs."""
    number = f"{count:,}" if isinstance(count, int | np.integer) else f"{count:.12g}"
    return f"{number} {noun if count == 1 else plural or noun + 's'}"


def printable(text: object) -> str:
    """A path or a name as every stream can print it: bytes of a file's name that are no UTF-8 escaped."""
    return str(text).encode(errors="backslashreplace").decode()


def whole(name: str, value: Any, least: int, most: int | None = None) -> int:
    """A whole number within limits, of any integer type but bool.

    Raises:
        InvalidSetting: anything else.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    limits = f"at least {least:,}" if most is None else f"{least:,} to {most:,}"
    if number is None or isinstance(value, bool | np.bool_):
        raise InvalidSetting(f"{name} is {shown(value)}; give a whole number, {limits}")
    if number < least or (most is not None and number > most):
        raise InvalidSetting(f"{name} is {shown(number)}; it must be {limits}")
    return number


def generator(value: Any) -> np.random.Generator:
    """A generator of random numbers.

    Raises:
        InvalidSetting: anything else, such as a seed.
    """
    if not isinstance(value, np.random.Generator):
        raise InvalidSetting(
            f"the random generator is {shown(value)}; give numpy.random.default_rng(seed)"
        )
    return value
