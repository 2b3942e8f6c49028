"""What the commands share: options, tables on screen, progress bars."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, get_args

from nasbench_kit.errors import NotWritable
from nasbench_kit.experiment.settings import MOST_SPENT
from nasbench_kit.system.workers import Executor

#: More of anything would not end in a lifetime.
_MOST = 1_000_000
#: More processes than any machine has cores.
_MOST_WORKERS = 1_024
#: What generators of random numbers take, torch's included.
_MOST_SEED = 2**63 - 1


def number(text: str) -> float:
    """An option's finite number; argparse names the option."""
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text} is no finite number")
    if value > MOST_SPENT:
        raise argparse.ArgumentTypeError(f"{text} is above {MOST_SPENT:g}, which would never end")
    return value


def positive(text: str) -> float:
    """An option's finite number above 0."""
    value = number(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def count(text: str) -> int:
    """An option's number of things; what it counts has its own least."""
    value = int(text)
    if value > _MOST:
        raise argparse.ArgumentTypeError(f"{text} is above {_MOST:,}")
    return value


def seed(text: str) -> int:
    """An option's seed."""
    value = int(text)
    if not 0 <= value <= _MOST_SEED:
        raise argparse.ArgumentTypeError(f"the seed is {text}; it must be 0 to {_MOST_SEED}")
    return value


def workers(text: str) -> int:
    """An option's number of processes; `check_workers` refuses those below 1."""
    value = int(text)
    if value > _MOST_WORKERS:
        raise argparse.ArgumentTypeError(
            f"workers is {text}; at most {_MOST_WORKERS:,} can be used"
        )
    return value


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option that all commands with results have."""
    parser.add_argument("--json", action="store_true", help="print JSON for other programs to read")


def add_table(parser: argparse.ArgumentParser, default: str) -> None:
    """The option that names a table."""
    parser.add_argument(
        "--table",
        default=default,
        metavar="NAME|PATH",
        help="a table's name (see `nasbench-kit tables`) or file (default: %(default)s)",
    )


def add_workers(parser: argparse.ArgumentParser) -> None:
    """The option that says how many processes work."""
    parser.add_argument(
        "--workers",
        type=workers,
        default=os.cpu_count() or 1,
        metavar="N",
        help="processes to work with; the result does not depend on it (default: %(default)s)",
    )


def add_executor(parser: argparse.ArgumentParser) -> None:
    """The option that says where work is done."""
    parser.add_argument(
        "--executor",
        choices=get_args(Executor),
        default="local",
        help="where: processes of this machine, or a running Ray cluster whose nodes see the same "
        "files (default: %(default)s)",
    )


def print_json(value: Any) -> None:
    """Print a value as indented JSON."""
    print(json.dumps(value, indent=1))


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    note: str = "",
    *,
    secondary: Sequence[str] = (),
    elsewhere: str = "--json",
) -> None:
    """Print a table; the first column is text, which may wrap, the others are never cut.

    Args:
        title: stands above.
        columns: their names.
        rows: their values.
        note: stands below.
        secondary: names of columns, in the order in which they are left out where the screen is too
            narrow; after them go the others, from the right.
        elsewhere: where a reader finds what was left out.
    """
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    lines = [tuple(map(str, row)) for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(columns, *lines, strict=True)]
    screen = screen_width()

    def needed(places: Sequence[int], first: int) -> int:
        return first + sum(widths[place] for place in places[1:]) + 3 * len(places) + 1

    shown = list(range(len(columns)))
    going = [columns.index(name) for name in secondary]
    going += [place for place in reversed(shown[2:]) if place not in going]
    least = min(
        widths[0], _FIRST_COLUMN if screen is None else max(_FIRST_COLUMN, screen * 3 // 10)
    )
    while screen is not None and needed(shown, least) > screen and going:
        shown.remove(going.pop(0))
    hidden = [name for place, name in enumerate(columns) if place not in shown]
    wide = needed(shown, widths[0])
    width = wide if screen is None else max(screen, needed(shown, least))
    first = widths[0] - max(0, wide - width)
    grid = Grid()
    for place in shown:
        grid.add_column(
            Text(columns[place], overflow="fold"),
            justify="right" if place else "left",
            overflow="fold",
            no_wrap=place > 0,
            width=widths[place] if place else first,
        )
    for line in lines:
        grid.add_row(*(Text(line[place]) for place in shown))
    if hidden:
        note += f"\nHidden at this width: {', '.join(hidden)}; see {elsewhere}."
    console = Console(width=width)
    print_text(title)
    console.print(grid)
    if note:
        print_text(note.strip())


#: Characters, or three tenths of the screen, that the first column keeps before others are left out.
_FIRST_COLUMN = 12


def screen_width() -> int | None:
    """Characters in a line of standard output: COLUMNS, or the terminal's; None for a file or pipe."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal():
        return max(20, shutil.get_terminal_size().columns)
    return None


def print_text(text: str) -> None:
    """Print lines, wrapped between words where a terminal would break them anywhere."""
    width = screen_width()
    for line in text.split("\n"):
        indent = " " * (len(line) - len(line.lstrip()))
        wrapped = (
            [line]
            if width is None
            else textwrap.wrap(
                line,
                width,
                subsequent_indent=indent,
                break_long_words=False,
                break_on_hyphens=False,
            )
        )
        print("\n".join(wrapped))


def narrow(width: int) -> bool:
    """Whether a progress bar with its times would cut numbers."""
    return width < 80


@contextlib.contextmanager
def then(show: Callable[[], object]) -> Iterator[None]:
    """Print results once they are written by the block; also if they could not be written."""
    try:
        yield
    except NotWritable:
        show()
        raise
    show()


@contextlib.contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error, updated with (done, in all); the first update shows it."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns: tuple[ProgressColumn, ...] = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    if narrow(console.width):
        columns = (TextColumn("{task.completed}/{task.total} {task.description}"),)
    # The time left follows from the speed since the start: jobs may take minutes, and differ.
    bar = Progress(*columns, console=console, speed_estimate_period=math.inf)
    task = bar.add_task(textwrap.shorten(label, 30, placeholder=" …"), total=None)

    def update(done: int, total: int) -> None:
        with contextlib.suppress(OSError):  # work goes on where nobody can see it
            bar.start()  # does nothing the second time
            bar.update(task, completed=done, total=total)

    try:
        yield update
    finally:
        if bar.live.is_started:
            with contextlib.suppress(OSError):
                bar.stop()
