"""The texts at hand: the topics, and your own by their path; in words, or in characters if asked for."""

from __future__ import annotations

from pathlib import Path

from nasbench_kit.data.text.files import layout, text_file, text_folder
from nasbench_kit.data.text.tokens import UNITS
from nasbench_kit.data.text.topics import topics
from nasbench_kit.errors import InvalidSetting, UnknownName
from nasbench_kit.training.text import TextSet, Unit

#: The texts that go by a name.
NAMES = ("topics",)


def open_text(name: str | Path) -> TextSet:
    """Open a text by name or path.

    Args:
        name: one of ``NAMES``, a folder of Penn Treebank's or WikiText's files, or a UTF-8 file; with
            ``:characters`` or ``:words`` (the default) behind it.

    Raises:
        UnknownName: there is no such text.
        CorruptFile: a file is missing, cannot be read or is no UTF-8.
        InvalidSetting: an unknown unit, or a text that is too short.
    """
    where, unit = _cut(str(name))
    if where in NAMES:
        return topics(unit)
    path = Path(where).expanduser()
    if path.is_dir():
        return text_folder(path, unit)
    if path.is_file():
        return text_file(path, unit)
    raise UnknownName(
        f"no text is called {where!r}, and it is no file or folder; there is {', '.join(NAMES)}"
    )


def is_text(name: str | Path) -> bool:
    """Whether this names a text: by a name, by a unit behind it, by its files, or by ending in ``.txt``."""
    where, _, unit = str(name).rpartition(":")
    if where in NAMES:
        return True
    if unit in UNITS and where and not Path(str(name)).expanduser().exists():
        return True
    path = Path(str(name)).expanduser()
    return str(name) in NAMES or (
        path.suffix == ".txt" or (path.is_dir() and layout(path) is not None)
    )


def _cut(name: str) -> tuple[str, Unit]:
    """The name or path, and the unit behind it."""
    where, _, unit = name.rpartition(":")
    if where and not Path(name).expanduser().exists():
        for one in UNITS:
            if unit == one:
                return where, one
        if where in NAMES:
            raise InvalidSetting(f"{name!r}: a text has words or characters, not {unit!r}")
    return name, "words"
