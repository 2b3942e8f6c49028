"""Checks of arguments that several public functions take."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from nasbench_kit.errors import InvalidSetting


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
        raise InvalidSetting(f"{name} is {value!r}; give a whole number, {limits}")
    if number < least or (most is not None and number > most):
        shown = number if number.bit_length() < 128 else f"a number of {number.bit_length()} bits"
        raise InvalidSetting(f"{name} is {shown}; it must be {limits}")
    return number


def generator(value: Any) -> np.random.Generator:
    """A generator of random numbers.

    Raises:
        InvalidSetting: anything else, such as a seed.
    """
    if not isinstance(value, np.random.Generator):
        raise InvalidSetting(
            f"the random generator is {value!r}; give numpy.random.default_rng(seed)"
        )
    return value
