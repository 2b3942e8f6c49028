"""The command ``compare``: algorithms x seeds under one budget on one table."""

from __future__ import annotations

import argparse
import csv
import difflib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np

from nasbench_kit.algorithms import ALGORITHMS
from nasbench_kit.cli.common import (
    add_json,
    add_table,
    add_workers,
    print_json,
    print_table,
    progress_bar,
)
from nasbench_kit.compare import Plan, Result, all_traces, as_rows, regrets, run, score, scored_by
from nasbench_kit.data import tables
from nasbench_kit.errors import InvalidSetting, UnknownName
from nasbench_kit.files import write_text
from nasbench_kit.oracle import Policy
from nasbench_kit.table import Table

if TYPE_CHECKING:
    from nasbench_kit.search import Search
    from nasbench_kit.trace import Trace

#: What is compared when no algorithm is named.
DEFAULT_ALGORITHMS = ("random-search", "regularized-evolution")
#: The default budget pays for about so many trainings at the largest fidelity.
DEFAULT_QUERIES = 40


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "compare",
        help="run search algorithms under one budget and compare their regret",
        description="Run every algorithm with every seed under one budget, and compare the regret "
        "of the cells that they recommend. Killed and started again, it finishes what is missing; "
        "called again with other algorithms or more seeds, it adds them to the same results.",
        epilog="Example: nasbench-kit compare --algorithms random-search --seeds 100 --seconds 200",
    )
    add_table(parser, tables.DEFAULT)
    parser.add_argument(
        "--algorithms",
        nargs="+",
        default=list(DEFAULT_ALGORITHMS),
        metavar="NAME",
        help=f"of: {', '.join(ALGORITHMS)} (default: {' '.join(DEFAULT_ALGORITHMS)})",
    )
    parser.add_argument(
        "--seeds", type=int, default=20, metavar="N", help="seeds 0 to N-1 (default: %(default)s)"
    )
    budget = parser.add_argument_group(
        "budget of each run", f"default: the seconds of about {DEFAULT_QUERIES} queries"
    )
    budget.add_argument("--seconds", type=float, help="training seconds, in the table's clock")
    budget.add_argument("--epochs", type=float, help="training epochs")
    budget.add_argument("--queries", type=int, help="number of queries")
    parser.add_argument(
        "--policy",
        choices=get_args(Policy),
        default="always",
        help="what a repeated question costs (default: %(default)s, as the official API)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the results (default: runs/TABLE)"
    )
    add_workers(parser)
    add_json(parser)
    parser.set_defaults(run=run_compare)


def run_compare(args: argparse.Namespace) -> int:
    """Run, score, print, and write results and figure."""
    path = tables.find(args.table)
    table = Table.open(path)
    plan = Plan(
        table=path,
        algorithms=_algorithms(args.algorithms),
        seeds=range(_positive("seeds", args.seeds)),
        budget=_budget(args, table),
        policy=args.policy,
    )
    folder = args.out or Path("runs") / table.name
    with progress_bar(f"comparing on {table.name}") as progress:
        run(plan, folder, workers=args.workers, progress=progress)
    traces = all_traces(folder)  # those of earlier calls too
    results = score(table, traces)
    _write_results(folder, results)
    figure = _write_figure(folder, table, traces, plan.budget)
    if args.json:
        print_json({"folder": str(folder), "scored_by": scored_by(table), "runs": as_rows(results)})
    else:
        _print_summary(table, plan, results)
        print(f"results, traces and figure: {folder}/  ({figure.name})")
    return 0


def _algorithms(names: Sequence[str]) -> dict[str, Search]:
    """Algorithms by name, with their default hyper-parameters.

    Raises:
        UnknownName: suggests the nearest name.
    """
    chosen: dict[str, Search] = {}
    for name in names:
        if name not in ALGORITHMS:
            near = difflib.get_close_matches(name, ALGORITHMS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(ALGORITHMS)}"
            raise UnknownName(f"no algorithm is called {name!r}; {hint}")
        chosen[name] = ALGORITHMS[name]()
    return chosen


def _positive(name: str, value: int) -> int:
    if value < 1:
        raise InvalidSetting(f"{name} is {value}; at least 1 is needed")
    return value


def _budget(args: argparse.Namespace, table: Table) -> dict[str, float]:
    given = {name: getattr(args, name) for name in ("seconds", "epochs", "queries")}
    budget = {name: limit for name, limit in given.items() if limit is not None}
    if budget:
        return budget
    if not table.has("seconds"):
        return {"queries": DEFAULT_QUERIES}
    # Not the mean over cells: sampling over encodings draws some cells much more often.
    drawn = table.covered.sample(np.random.default_rng(0), 1000)
    return {"seconds": float(f"{DEFAULT_QUERIES * table.mean('seconds')[drawn].mean():.3g}")}


def _write_results(folder: Path, results: Sequence[Result]) -> None:
    rows = as_rows(results)
    write_text(folder / "results.json", json.dumps(rows, indent=1) + "\n")
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(folder / "results.csv", text.getvalue())


def _write_figure(
    folder: Path, table: Table, traces: Sequence[Trace], budget: Mapping[str, float]
) -> Path:
    from nasbench_kit.analysis import anytime, plots

    axis: anytime.Axis = "seconds" if table.has("seconds") else "queries"
    if len(budget) == 1:
        (axis,) = budget  # type: ignore[assignment]  # Budget knows these three names only
    by_name: dict[str, list[Trace]] = {}
    for trace in traces:
        by_name.setdefault(trace.algorithm, []).append(trace)
    of_row = regrets(table)
    curves = {name: anytime.quartiles(group, of_row, axis) for name, group in by_name.items()}
    return plots.save_anytime(folder, curves, axis, metric=scored_by(table), table=_titled(table))


def _titled(table: Table) -> str:
    source = str(table.provenance.get("source", "measured"))
    return (
        table.name if source == "measured" or source in table.name else f"{table.name} ({source})"
    )


def _print_summary(table: Table, plan: Plan, results: Sequence[Result]) -> None:
    columns = ("algorithm", "runs", "median", "quartiles", "none", "queries", "unique", "seconds")
    rows = []
    for name in dict.fromkeys(result.algorithm for result in results):
        runs = [result for result in results if result.algorithm == name]
        known = [100 * result.regret for result in runs if result.regret is not None]
        lower, median, upper = np.quantile(known, (0.25, 0.5, 0.75)) if known else [np.nan] * 3
        means = [
            np.mean([getattr(result, key) for result in runs])
            for key in ("queries", "unique_cells", "seconds")
        ]
        rows.append(
            [
                name,
                len(runs),
                f"{median:.2f}",
                f"{lower:.2f} to {upper:.2f}",
                len(runs) - len(known),
                *(f"{mean:,.1f}" for mean in means),
            ]
        )
    limits = ", ".join(f"{limit:,g} {name}" for name, limit in plan.budget.items())
    metric = scored_by(table).replace("_", " ")
    print_table(
        f"Final regret in mean {metric} (points) on {_titled(table)}, budget {limits}",
        columns,
        rows,
        "Regret: the table's best cell minus the recommended one. None: runs that recommended "
        "nothing. Queries, unique cells and seconds spent are means over runs.",
    )
