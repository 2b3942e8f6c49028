"""What the commands share: options, tables on screen, progress bars."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, get_args

from nasbench_kit.errors import NotWritable
from nasbench_kit.system.workers import Executor

Subparsers = "argparse._SubParsersAction[argparse.ArgumentParser]"


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
        type=int,
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
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], note: str = ""
) -> None:
    """Print a table; the first column is text, the others numbers."""
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid(title=Text(title), title_justify="left", caption=Text(note), caption_justify="left")
    for place, name in enumerate(columns):
        grid.add_column(Text(name), justify="right" if place else "left", no_wrap=not place)
    for row in rows:
        grid.add_row(*(Text(str(value)) for value in row))
    console = Console()
    if not console.is_terminal:
        console.width = 160  # a file or a pipe has no edge
    console.print(grid)


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
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    # The time left follows from the speed since the start: jobs may take minutes, and differ.
    bar = Progress(*columns, console=Console(stderr=True), speed_estimate_period=math.inf)
    task = bar.add_task(label, total=None)

    def update(done: int, total: int) -> None:
        bar.start()  # does nothing the second time
        bar.update(task, completed=done, total=total)

    try:
        yield update
    finally:
        if bar.live.is_started:
            bar.stop()
