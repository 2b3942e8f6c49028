"""The command ``report``: one HTML page about one comparison or several."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.cli.common import add_json, print_json, print_text, then
from nasbench_kit.cli.targets import check_page
from nasbench_kit.compare.many import is_many, tasks_of
from nasbench_kit.compare.retrain import table_of
from nasbench_kit.data import tables
from nasbench_kit.errors import InvalidSetting, UnknownName
from nasbench_kit.system.files import check_writable
from nasbench_kit.table.table import Table

if TYPE_CHECKING:
    from nasbench_kit.analysis.report.report import ComparisonResults
    from nasbench_kit.analysis.statistics.over_tasks import AcrossTables


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "report",
        help="write a page about a comparison: statistics, figures, cells, checklist",
        description="Write one HTML page that needs nothing beside it about a comparison, or about "
        "several, each on a table of its own: results with intervals, figures (also as PDF and PNG), "
        "the best cells, conditions, checklist. From five tables on, ranks are compared too.",
        epilog="Example: nasbench-kit report runs/digits",
    )
    parser.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="folders that `nasbench-kit compare` wrote; one of many tables gets a page about all of them, and "
        "one for each",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="the page (default: RUN/report.html; report.html for several)",
    )
    parser.add_argument(
        "--table",
        nargs="+",
        default=[],
        metavar="NAME|PATH",
        help="tables of comparisons that cannot be found by their names",
    )
    add_json(parser)
    parser.set_defaults(run=run_report)


def run_report(args: argparse.Namespace) -> int:
    """Analyse, write the page, print the verdicts.

    Raises:
        NasbenchKitError: a folder holds no comparison, its table cannot be found, or a file that is
            no page lies where the page is to be written.
    """
    from nasbench_kit.analysis.report.report import analyse, figures_folder, write_report
    from nasbench_kit.analysis.statistics.comparison import Comparison

    if any(map(is_many, args.runs)):
        return _report_many(args)
    path = args.out or (
        args.runs[0] / "report.html" if len(args.runs) == 1 else Path("report.html")
    )
    check_page(path)
    check_writable(path, figures_folder(path) / "curves.png")
    named = [tables.open_table(name) for name in args.table]
    comparisons = [Comparison.load(run, _table(run, named)) for run in args.runs]
    results, across = analyse(comparisons)
    with then(lambda: _print(args, path, results, across)):
        write_report(path, results, across)
    if not args.json:
        print(f"{path}  (figures: {figures_folder(path).name}/)")
    return 0


def _report_many(args: argparse.Namespace) -> int:
    """The same of a folder of many tasks: one page about all, and one about each.

    Raises:
        NasbenchKitError: as ``run_report``; or other folders are named beside it.
    """
    from nasbench_kit.analysis.report.many_tasks import (
        analyse_tasks,
        columns_folder,
        verdict,
        write_many,
        write_task_pages,
    )
    from nasbench_kit.analysis.report.report import figures_folder
    from nasbench_kit.analysis.statistics.comparison import Comparison

    folder = args.runs[0]
    if len(args.runs) > 1:
        raise InvalidSetting(
            f"{next(filter(is_many, args.runs))} holds many tasks, and has one page of its own; name it "
            "alone, or the folders of its tasks"
        )
    path = args.out or folder / "report.html"
    listed = tasks_of(folder)
    pages = [folder / task / "report.html" for task in listed]
    for page in (path, *pages):
        check_page(page)
        check_writable(page, figures_folder(page) / "curves.png")
    named = [tables.open_table(name) for name in args.table]
    opened = [_table(folder / task, named, table) for task, table in listed.items()]
    comparisons = [
        Comparison.load(folder / task, table) for task, table in zip(listed, opened, strict=True)
    ]
    results = analyse_tasks(comparisons)

    def show() -> None:
        if not args.json:
            print_text(verdict(results))
            return
        print_json(
            {
                "page": str(path),
                "verdict": verdict(results),
                "over_tasks": ranks_as_json(results.across),
                "algorithms": [jsonable(asdict(row)) for row in results.rows],
                "tasks": [
                    {
                        "task": one.name,
                        "table": one.label,
                        "scored_by": one.metric.replace(" ", "_"),
                        "page": str(page),
                        "normalised_regret": {
                            name: jsonable(interval) for name, interval in means.items()
                        },
                    }
                    for one, page, means in zip(comparisons, pages, results.means, strict=True)
                ],
            }
        )

    with then(show):
        write_many(path, results, pages)
        write_task_pages(
            [
                (page, folder / one.name, one.table)
                for page, one in zip(pages, comparisons, strict=True)
                if one.table is not None
            ],
            workers=os.cpu_count() or 1,
        )
    if not args.json:
        print(
            f"{path}  (figures: {figures_folder(path).name}/, numbers: {columns_folder(path).name}/)"
        )
    return 0


def _print(
    args: argparse.Namespace,
    path: Path,
    results: Sequence[ComparisonResults],
    across: AcrossTables | None,
) -> None:
    """The verdicts, or everything as JSON."""
    if args.json:
        print_json(
            {
                "page": str(path),
                "comparisons": [_as_json(result) for result in results],
                "across": None if across is None else ranks_as_json(across),
            }
        )
        return
    for result in results:
        print_text(result.verdict)
    if across is not None and across.refusal:
        print_text(f"No critical-difference diagram: {across.refusal}.")


def _table(run: Path, named: Sequence[Table], known: Path | None = None) -> Table | None:
    """The table of a comparison: of those named, or else by its name; None if it had none.

    Args:
        run: folder of the comparison.
        named: tables that the user named.
        known: where the table lay.

    Raises:
        UnknownName: none of them is that table, and none has its name.
    """
    made_on = table_of(run)
    if made_on is None:
        return None
    name, checksum = made_on
    for table in named:
        if table.checksum == checksum:
            return table
    if known is not None and known.is_file() and (there := Table.open(known)).checksum == checksum:
        return there
    try:
        return tables.open_table(name)
    except UnknownName as error:
        raise UnknownName(f"{error}; give the file of {run}'s table with --table") from error


def _as_json(result: ComparisonResults) -> dict[str, Any]:
    comparison = result.comparison
    return {
        "run": comparison.name,
        "table": comparison.label,
        "scored_by": comparison.manifest["scored_by"],
        "verdict": result.verdict,
        "algorithms": [jsonable(asdict(row)) for row in result.summaries],
        "overtaking": [jsonable(asdict(row)) for row in result.overtakings],
        "pairs": [jsonable(pair._asdict()) for pair in comparison.pairs],
    }


def ranks_as_json(across: AcrossTables) -> dict[str, Any]:
    """Ranks over tables and Friedman's test, as JSON can hold them."""
    ranks: dict[str, Any] = {
        "tables": across.tables,
        "mean_ranks": dict(zip(across.algorithms, across.mean_ranks.tolist(), strict=True)),
        "not_on_every_table": across.missing,
        "refused": across.refusal or None,
    }
    if across.friedman is not None:
        names = ("chi_squared", "f", "p", "critical_difference")
        ranks["friedman"] = {name: jsonable(getattr(across.friedman, name)) for name in names}
    return ranks


def jsonable(value: Any) -> Any:
    """Numbers of numpy as Python's; intervals as objects; what is not finite as null."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return jsonable(value._asdict())
    if isinstance(value, dict):
        return {key: jsonable(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
