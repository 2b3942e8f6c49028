"""``nasbench-kit analyze``: analyses of a table as figures, tidy CSV and one HTML page."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from nasbench_kit.cli.common import (
    add_json,
    add_table,
    print_json,
    print_text,
    progress_bar,
    seed,
    then,
)
from nasbench_kit.cli.targets import check_page
from nasbench_kit.data import tables
from nasbench_kit.errors import InvalidSetting, NotRecorded, NotWritable
from nasbench_kit.system.files import check_writable

if TYPE_CHECKING:
    from nasbench_kit.analysis.landscape.study import Options, Study
    from nasbench_kit.table.table import Table

STUDIES = {
    "locality": "accuracy against edit distance, top cells, local optima, local search",
    "random-walk": "autocorrelation along random walks",
    "operations": "what replacing one operation does",
    "topology": "depth, width, parameters and time against accuracy",
    "fidelity": "rank correlation between fidelities and splits",
    "noise": "noise between repeats and its effect on ranks",
    "pareto": "best accuracy for time, parameters and other costs",
    "decisions": "what each option of each decision does",
}
#: The module of each study, in nasbench_kit.analysis.landscape.
_MODULES = {
    "locality": "landscape_studies",
    "random-walk": "landscape_studies",
    "decisions": "decision_studies",
}


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "analyze",
        help="analyse a table: figures, CSV, one HTML page",
        description="Analyse a table: "
        + "; ".join(f"{name} ({text})" for name, text in STUDIES.items())
        + ". Writes figures (PNG and PDF), tidy CSV and index.html.",
        epilog="Example: nasbench-kit analyze all --table digits --out digits-analysis",
    )
    parser.add_argument("study", choices=[*STUDIES, "all"], help="what to look at")
    add_table(parser, tables.DEFAULT)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    parser.add_argument(
        "--exact", action="store_true", help="random-walk: exact too (minutes on the full space)"
    )
    parser.add_argument(
        "--objectives",
        nargs="+",
        default=[],
        metavar="COST",
        help="pareto: these costs alone, and the front of all of them together (time, parameters, "
        "memory, or what else the table records, such as latency)",
    )
    parser.add_argument("--seed", type=seed, default=0, help="of samples (default: %(default)s)")
    add_json(parser)
    parser.set_defaults(run=run_analyze)


def run_analyze(args: argparse.Namespace) -> int:
    """Analyse, write everything, print what was found.

    Raises:
        NasbenchKitError: the table cannot be opened, or has too little for what was asked.
    """
    import numpy as np

    from nasbench_kit.analysis.figures import style
    from nasbench_kit.analysis.landscape import page, study
    from nasbench_kit.spaces.nasbench101.space import CellSpace

    if args.objectives and args.study not in ("pareto", "all"):
        raise InvalidSetting(
            f"objectives are {', '.join(args.objectives)}; they are of the study pareto, and {args.study} has none"
        )
    check_page(args.out / "index.html")
    check_writable(args.out / "index.html")
    table = tables.open_table(args.table)
    names = list(STUDIES) if args.study == "all" else [args.study]
    if args.study == "all" and isinstance(table.space, CellSpace):
        names.remove("decisions")  # operations and topology tell more of cells
    studies: list[Study] = []
    failure: NotWritable | None = None
    for name in names:
        # Each study has its own generator, so alone it finds what it finds among all.
        rng = np.random.default_rng([args.seed, list(STUDIES).index(name)])
        with style.figure_style(), progress_bar(name) as progress:
            try:
                result = function(name)(
                    table, study.Options(rng, args.exact, progress, args.objectives)
                )
                progress(1, 1)
            except (NotRecorded, InvalidSetting) as error:
                if args.study != "all":
                    raise
                result = study.Study(
                    table, name.replace("-", " ").capitalize(), [f"Not computed: {error}."]
                )
            studies.append(result)
            try:
                page.write_study(args.out, result)
            except NotWritable as error:  # what the others find is printed all the same
                failure = error
    index = args.out / "index.html"

    def show() -> None:
        if args.json:
            findings = {name: result.findings for name, result in zip(names, studies, strict=True)}
            print_json({"table": table.name, "findings": findings, "page": str(index)})
            return
        for result in studies:
            print_text(f"{result.title}\n" + "".join(f"  {text}\n" for text in result.findings))

    with then(show):
        if failure is not None:
            raise failure
        page.write_analysis(args.out, table, studies)
    if not args.json:
        print(index)
    return 0


def function(name: str) -> Callable[[Table, Options], Study]:
    """The function of a study."""
    module = importlib.import_module(
        f"nasbench_kit.analysis.landscape.{_MODULES.get(name, 'table_studies')}"
    )
    made: Callable[[Table, Options], Study] = getattr(module, name.replace("-", "_"))
    return made
