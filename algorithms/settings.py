"""Ranges of settings: a search says them once, and refuses other values when it is made."""

from __future__ import annotations

from collections.abc import Mapping

from nasbench_kit.errors import InvalidSetting


def check_ranges(settings: object, ranges: Mapping[str, str]) -> None:
    """Refuse a setting outside its interval; None, where a field may be None, is in any.

    Args:
        settings: what has the settings as attributes.
        ranges: their intervals by name, such as "(0, 1]": above 0 and at most 1.

    Raises:
        InvalidSetting: naming the setting, its value and the interval. NaN is in none.
    """
    for name, interval in ranges.items():
        value = getattr(settings, name)
        low, high = map(float, interval[1:-1].split(","))
        if value is None or (low < value < high):
            continue
        at_a_closed_end = (value == low and interval[0] == "[") or (
            value == high and interval[-1] == "]"
        )
        if not at_a_closed_end:
            raise InvalidSetting(f"{name} is {value}; it must be in {interval}")
