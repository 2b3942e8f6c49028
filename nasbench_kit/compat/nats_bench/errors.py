"""Errors of the kit that are also what the official package raises in the same place."""

from __future__ import annotations

from nasbench_kit.errors import (
    CorruptFile,
    InvalidArchitecture,
    InvalidSetting,
    NotInTable,
    NotRecorded,
)


class NoFiles(CorruptFile, ValueError):
    """There is no such folder."""


class NoRow(NotInTable, ValueError, AssertionError):
    """There is no file of this architecture."""


class NoReading(NotRecorded, KeyError, ValueError):
    """There is no such data set, number of epochs, seed or reading."""

    __str__ = Exception.__str__  # a KeyError would put the sentence into quotation marks


__all__ = ["InvalidArchitecture", "InvalidSetting", "NoFiles", "NoReading", "NoRow"]
