"""The tables at hand: those shipped inside the package and those in the user's home folder."""

from __future__ import annotations

import contextlib
from pathlib import Path

from nasbench_kit import checks
from nasbench_kit.errors import CorruptFile, InvalidSetting, UnknownName, did_you_mean
from nasbench_kit.system.files import home
from nasbench_kit.table.table import Table

#: The table that commands use when none is named.
DEFAULT = "noisy-digits"
_SHIPPED = Path(__file__).parent / "tables"


def known() -> dict[str, Path]:
    """Every table that goes by a name; one in the home folder wins over a shipped one."""
    folders = (_SHIPPED, home() / "tables")
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.h5"))}


def find(name: str | Path) -> Path:
    """The file of a table given by name or path.

    Raises:
        UnknownName: neither a table's name nor a file.
        InvalidSetting: the name is empty, or no text.
    """
    if not isinstance(name, str | Path):
        raise InvalidSetting(f"the table is {checks.shown(name)}; give a name or a path")
    tables = known()
    if str(name) in tables:
        return tables[str(name)]
    if not str(name):
        raise InvalidSetting(f"the table's name is empty; {did_you_mean('', tables)}")
    with contextlib.suppress(OSError, ValueError):  # too long for a path, or with a NUL in it
        if Path(name).is_file():
            return Path(name)
    hint = did_you_mean(str(name), tables)
    raise UnknownName(f"no table is called {checks.shown(str(name))} and no file is there; {hint}")


def open_table(name: str | Path = DEFAULT) -> Table:
    """Open a table by name or path.

    Raises:
        UnknownName, InvalidSetting: as ``find``.
        CorruptFile: as ``Table.open``.
    """
    return Table.open(find(name))


def card(name: str) -> str | None:
    """The data card (Markdown) that lies beside a table, if there is one.

    Raises:
        UnknownName, InvalidSetting: as ``find``.
        CorruptFile: it cannot be read.
    """
    path = find(name).with_suffix(".md")
    try:
        return path.read_text(encoding="utf-8") if path.is_file() else None
    except (OSError, UnicodeDecodeError) as error:
        raise CorruptFile(
            f"{path} cannot be read ({error}); delete it, or make it again"
        ) from error
