"""Commands for the official files of NAS-Bench-101: ``download``, ``convert``, ``export``."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nasbench_kit.cli.common import (
    add_json,
    add_workers,
    narrow,
    print_json,
    print_text,
    progress_bar,
)
from nasbench_kit.cli.targets import check_table, check_tables
from nasbench_kit.errors import CorruptFile, InvalidSetting, WrongTable
from nasbench_kit.system.files import home
from nasbench_kit.system.workers import check_workers
from nasbench_kit.table.table import Table

if TYPE_CHECKING:
    from nasbench_kit.data.benchmarks.nasbench101.convert import ConversionReport
    from nasbench_kit.data.benchmarks.readers import Reader


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the commands of this file."""
    download = subparsers.add_parser(
        "download",
        help="fetch NAS-Bench-101 or NAS-Bench-Macro and convert it",
        description="Fetch an official file of NAS-Bench-101 (1.95 GB; 499 MB with --only108) or "
        "NAS-Bench-Macro (1.2 MB), check its SHA-256, and convert it to a table in the folder "
        "NASBENCH_KIT_HOME, under the name nasbench101, nasbench101-only108 or nasbench-macro. "
        "Interrupted, the same command goes on.",
        epilog="Without a network: nasbench-kit download nasbench101 --from nasbench_full.tfrecord",
    )
    download.add_argument(
        "dataset", choices=["nasbench101", "nasbench-macro"], help="what to fetch: %(choices)s"
    )
    download.add_argument(
        "--only108", action="store_true", help="only the trainings of 108 epochs, without 4, 12, 36"
    )
    download.add_argument(
        "--from", dest="source", type=Path, metavar="FILE", help="take this file, fetch nothing"
    )
    download.add_argument(
        "--mirror", metavar="URL", help="another address of the folder that holds the file"
    )
    download.add_argument("--keep", action="store_true", help="keep the fetched file, too")
    download.add_argument("--force", action="store_true", help="also if the table is there already")
    add_json(download)
    download.set_defaults(run=run_download)

    convert = subparsers.add_parser(
        "convert",
        help="make tables of the files of a benchmark",
        description="Convert a file in the official layout of NAS-Bench-101 (.tfrecord), or a sample "
        "of rows in JSON, to a table; either may be gzipped. Every number is kept bit for bit, and "
        "compared. What benchmark a source is of is told from its content.",
        epilog="Example: nasbench-kit convert nasbench_only108.tfrecord nasbench101.h5",
    )
    convert.add_argument(
        "source",
        type=Path,
        help="the file or folder to read, or the name of an installed package: nas-bench-graph, "
        "analog-nasbench",
    )
    convert.add_argument(
        "target",
        type=Path,
        help="the table to make, TARGET.h5; of a benchmark with several tasks, the folder of tables",
    )
    convert.add_argument(
        "--curves",
        action="store_true",
        help="keep the readings after every epoch as well, where the benchmark has them",
    )
    add_workers(convert)
    convert.add_argument(
        "--fast",
        action="store_true",
        help="do not compare the records' checksums; the table will say so",
    )
    convert.add_argument(
        "--on-error",
        choices=["raise", "skip"],
        default="raise",
        help="at damaged, missing or surplus records: write nothing, or leave the cells concerned "
        "out and say so (default: %(default)s)",
    )
    add_json(convert)
    convert.set_defaults(run=run_convert)

    export = subparsers.add_parser(
        "export",
        help="write a table in the official layout",
        description="Write a table as a .tfrecord file, which the official API loads to the same "
        "values in the same order.",
        epilog="Example: nasbench-kit export digits digits.tfrecord",
    )
    export.add_argument("table", metavar="NAME|PATH", help="a table's name or file")
    export.add_argument("target", type=Path, help="the file to write")
    add_json(export)
    export.set_defaults(run=run_export)


def run_download(args: argparse.Namespace) -> int:
    """Fetch, check and convert.

    Raises:
        WrongTable: a table of another file is there already.
        InvalidSetting: ``--only108`` of another benchmark.
    """
    from nasbench_kit.data.benchmarks.download import (
        FULL,
        MACRO,
        ONLY_108,
        download,
        download_macro,
    )

    if args.only108 and args.dataset != "nasbench101":
        raise InvalidSetting(f"--only108 goes with nasbench101, not with {args.dataset}")
    official = MACRO if args.dataset == "nasbench-macro" else ONLY_108 if args.only108 else FULL
    target = home() / "tables" / f"{official.table}.h5"
    if target.exists() and not args.force:
        if Table.open(target).provenance.get("sha256") != official.sha256:
            raise WrongTable(
                f"{target} is not the table of the official {official.file}; move it away, or "
                "replace it with --force"
            )
        if args.json:
            print_json({"target": str(target), "there_already": True})
        else:
            print(f"{official.table} is there already: {target} (--force makes it again)")
        return 0
    with _progress() as progress:
        options: dict[str, Any] = {
            "mirror": args.mirror or None,
            "source": args.source,
            "keep": args.keep,
            "progress": progress,
        }
        if official is MACRO:
            made = _Made.of(target, download_macro(**options))
            return _tell_tables([made], args.json, several=False)
        report = download(official, **options)
    return _tell(report, args.json)


def run_convert(args: argparse.Namespace) -> int:
    """Convert a source, whose kind is recognised by its content.

    Raises:
        InvalidSetting: a table already; or a target that does not suit the source.
        CorruptFile: nothing that can be read here, or damaged.
    """
    from nasbench_kit.data.benchmarks.nasbench101.convert import convert
    from nasbench_kit.data.benchmarks.nasbench101.foreign import recognise
    from nasbench_kit.data.benchmarks.readers import reader_of

    check_workers(args.workers)
    reader = reader_of(args.source)
    if reader is not None:
        return _run_reader(reader, args)
    if not args.source.is_file():
        raise CorruptFile(
            f"{args.source} is neither a file, nor a folder of NATS-Bench, nor a package that is read "
            "(nas-bench-graph, analog-nasbench)"
        )
    check_table(args.target, args.source)
    if recognise(args.source) == "table":
        raise InvalidSetting(f"{args.source} is a table already; open it by its path")
    size = args.source.stat().st_size
    with _progress() as progress:
        report = convert(
            args.source,
            args.target,
            check_crc=not args.fast,
            on_error=args.on_error,
            progress=lambda done: progress("converting", done, size),
        )
    return _tell(report, args.json)


def _run_reader(reader: Reader, args: argparse.Namespace) -> int:
    """Write the tables of a benchmark: one at the target, or each under its name in that folder."""
    from nasbench_kit.data.benchmarks.readers import Options

    if reader.several:
        check_tables(args.target, args.source)
    else:
        check_table(args.target, args.source)
    made: list[_Made] = []
    with progress_bar(f"reading {reader.benchmark}") as progress:
        options = Options(
            progress=lambda what, done, total: progress(done, total),
            curves=args.curves,
            workers=args.workers,
        )
        for table in reader.tables(args.source, options):
            target = args.target / f"{table.name}.h5" if reader.several else args.target
            target.parent.mkdir(parents=True, exist_ok=True)
            table.save(target)
            # The table itself is let go: with curves, three of them are half a gigabyte.
            made.append(_Made.of(target, table))
    return _tell_tables(made, args.json, several=reader.several)


class _Made(NamedTuple):
    """A table that was written."""

    target: Path
    cells: int
    epochs: tuple[int, ...]
    description: str
    selection_metric: str

    @classmethod
    def of(cls, target: Path, table: Table) -> _Made:
        return cls(target, len(table), table.epochs, repr(table), table.selection_metric)


def _tell_tables(made: Sequence[_Made], as_json: bool, *, several: bool) -> int:
    if as_json:
        tables = [
            {"target": str(each.target), "cells": each.cells, "epochs": each.epochs}
            for each in made
        ]
        print_json({"tables": tables} if several else tables[0])
        return 0
    for each in made:
        print_text(f"{each.target}: {each.description}")
        if each.selection_metric != "validation accuracy":
            print_text(f"  searches select by {each.selection_metric}: the benchmark has no other")
    return 0


def run_export(args: argparse.Namespace) -> int:
    """Write a table, and list what had to be filled."""
    from nasbench_kit.data.benchmarks.nasbench101.export import export
    from nasbench_kit.data.tables import open_table

    if args.target.suffix != ".tfrecord":  # whoever exchanges source and target loses nothing
        raise InvalidSetting(f"the target is {args.target}; its name must end with .tfrecord")
    with progress_bar("writing records") as progress:
        report = export(open_table(args.table), args.target, progress=progress)
    if args.json:
        print_json(asdict(report))
        return 0
    print_text(f"{report.target}: {report.records:,} records of {report.cells:,} cells")
    for name, how in report.filled.items():
        print_text(f"  {name}: {how}")
    return 0


def _tell(report: ConversionReport, as_json: bool) -> int:
    if as_json:
        print_json(asdict(report))
    else:
        print_text(report.summary())
    return 0


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """Bars on standard error, one for each thing that is done, updated with its bytes."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        ProgressColumn,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns: tuple[ProgressColumn, ...] = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    if narrow(console.width):
        columns = (columns[0], columns[2])
    bars = Progress(*columns, console=console)
    tasks: dict[str, TaskID] = {}

    def update(what: str, done: int, total: int) -> None:
        with contextlib.suppress(OSError):  # work goes on where nobody can see it
            bars.start()  # does nothing the second time
            if what not in tasks:
                tasks[what] = bars.add_task(what)
            bars.update(tasks[what], completed=done, total=total or None)

    try:
        yield update
    finally:
        if bars.live.is_started:
            with contextlib.suppress(OSError):
                bars.stop()
