"""What a command may write over: files of the same kind, never what it reads."""

from __future__ import annotations

from pathlib import Path

from nasbench_kit.errors import InvalidSetting
from nasbench_kit.system.files import check_replaceable, check_writable
from nasbench_kit.table.file import check_target

#: In the head of every page.
GENERATOR = '<meta name="generator" content="nasbench-kit">'


def check_table(target: Path, source: Path | None = None) -> None:
    """Whether a table may be written there.

    Raises:
        InvalidSetting: the name has another ending, the target is the source itself, or something
            that is no table lies there.
        NotWritable: the target cannot be written.
    """
    if target.suffix != ".h5":
        raise InvalidSetting(f"the target is {target}; its name must end with .h5")
    check_writable(target)
    if source is not None and target.exists() and target.samefile(source):
        raise InvalidSetting(f"{target} is the table itself, or its source; choose another target")
    check_target(target)


def check_tables(folder: Path, source: Path) -> None:
    """Whether tables may be written into a folder.

    Raises:
        InvalidSetting: a table's name, a file, or the source itself.
        NotWritable: the folder cannot be written.
    """
    if folder.suffix == ".h5" or folder.is_file():
        raise InvalidSetting(
            f"{source} has a table for each of its tasks; the target is {folder}, give a folder"
        )
    if folder.exists() and source.exists() and folder.samefile(source):
        raise InvalidSetting(f"{folder} is the source itself; choose another target")
    check_writable(folder / "table.h5")


def check_card(target: Path) -> None:
    """Whether a data card, and a figure of it, may be written beside a table.

    Raises:
        InvalidSetting: a text that is no data card, or a picture without a card, lies there.
    """
    card, figure = target.with_suffix(".md"), target.with_suffix(".png")
    check_replaceable(
        card, "a data card", lambda head: b" cells, " in head.partition(b"\n")[0][:1000]
    )
    check_writable(figure)
    if figure.exists() and not card.exists():
        raise InvalidSetting(
            f"{figure} is there already and belongs to no data card, so it is not replaced; move it "
            "away, or choose another target"
        )


def check_page(page: Path) -> None:
    """Whether a page may be written there.

    Raises:
        InvalidSetting: something that is no page of nasbench-kit lies there.
    """
    check_replaceable(page, "a page of nasbench-kit", lambda head: GENERATOR.encode() in head)
