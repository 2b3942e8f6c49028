"""The command ``compare``: algorithms x seeds under one budget on one table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from nasbench_kit.algorithms import ALGORITHMS
from nasbench_kit.cli import streams
from nasbench_kit.cli.common import (
    add_executor,
    add_json,
    add_workers,
    count,
    print_json,
    print_table,
    print_text,
    progress_bar,
    then,
)
from nasbench_kit.cli.comparison_summary import grouped, limits_text, print_summary, shown, titled
from nasbench_kit.compare import failures
from nasbench_kit.compare.benchmark import Benchmark
from nasbench_kit.compare.plan import Plan, RewardImages
from nasbench_kit.compare.run_folder import LIMITS, all_traces, clocks
from nasbench_kit.compare.running import missing, run
from nasbench_kit.compare.scores import (
    Result,
    Scores,
    results_of,
    write_results,
)
from nasbench_kit.data import tables
from nasbench_kit.data.data_sets import open_data
from nasbench_kit.errors import InvalidSetting, RunsFailed, WorkerDied
from nasbench_kit.experiment.defaults import DEFAULT_QUERIES, mean_price
from nasbench_kit.experiment.planning import plan_of
from nasbench_kit.experiment.settings import SETTINGS, algorithm_flag, read
from nasbench_kit.oracle.oracle import Policy
from nasbench_kit.system.files import check_writable
from nasbench_kit.system.workers import check_workers
from nasbench_kit.training.recipe import RECIPES

if TYPE_CHECKING:
    from nasbench_kit.analysis.statistics.anytime import Axis
    from nasbench_kit.compare.trace import Trace


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "compare",
        help="run search algorithms under one budget and compare their regret",
        description="Run every algorithm with every seed under one budget, and compare the regret "
        "of the cells that they recommend. Killed and started again, it finishes what is missing; "
        "called again with other algorithms or more seeds, it adds them to the same results.",
        epilog="Example: nasbench-kit compare --algorithms random-search "
        '"re50=regularized-evolution(population_size=50)" --seeds 100 --seconds 200',
    )
    parser.add_argument(
        "experiment",
        nargs="?",
        type=Path,
        metavar="EXPERIMENT.toml",
        help="a file that says what flags say; a flag takes the place of what it says",
    )
    parser.add_argument(
        "--table",
        nargs="+",
        metavar="NAME|PATH",
        help=f"a table's name (see `nasbench-kit tables`) or file (default: {tables.DEFAULT}); several, "
        "also as LABEL=NAME|PATH, are compared as the tasks of one folder",
    )
    parser.add_argument(
        "--algorithms",
        nargs="+",
        metavar="NAME",
        help=f"of: {', '.join(ALGORITHMS)}, or of other packages; with settings: "
        '"LABEL=NAME(SETTING=VALUE, ...)" '
        "(default: random-search regularized-evolution, and on tables of digits, noisy or not, enas and darts)",
    )
    parser.add_argument(
        "--seeds",
        type=count,
        metavar="N",
        help="seeds 0 to N-1 (default: 5 on digits, 20 on others)",
    )
    budget = parser.add_argument_group(
        "budget of each run",
        "default: 30 seconds on noisy-digits, 600 on digits, on others those of about "
        f"{DEFAULT_QUERIES} queries",
    )
    budget.add_argument("--seconds", type=float, help="training seconds, in the table's clock")
    budget.add_argument("--epochs", type=float, help="training epochs")
    budget.add_argument("--queries", type=int, help="number of queries")
    parser.add_argument(
        "--policy",
        choices=get_args(Policy),
        help="what a repeated question costs (default: always, as the official API; on small tables mean: "
        "an answer is the mean over repeats, so that asking again brings nothing)",
    )
    parser.add_argument(
        "--held-out-repeats",
        type=int,
        metavar="N",
        help="repeats of the table that no search sees, and that score what is recommended (default: 1 on "
        "small tables with three repeats or more, else 0: all are seen, and score)",
    )
    parser.add_argument(
        "--objectives",
        nargs="+",
        metavar="NAME",
        help="accuracy and one or two costs of the table (seconds, parameters, latency, ...): what is "
        "recommended is scored as a front, by its hypervolume (default: accuracy alone)",
    )
    outside = parser.add_argument_group(
        "what no table has",
        "With --fallback what a table lacks is trained; with --space and no --table everything is.",
    )
    outside.add_argument(
        "--fallback",
        action="store_true",
        default=None,
        help="train what the table lacks on its images by its recipe, charge them to the budget, "
        "and after the runs train recommended ones as often as the table repeats its own",
    )
    outside.add_argument(
        "--space",
        metavar="NAME",
        help="what searches see: v7e9, 1shot1-3, nasbench-macro, ...; with a fallback it has all that "
        "the table has (default: the table's whole space)",
    )
    outside.add_argument(
        "--recipe",
        choices=RECIPES,
        help="without a table: how networks are trained (default: digits on the digits, else nasbench101)",
    )
    outside.add_argument(
        "--rates",
        metavar="FILE",
        help="without a table: prices in seconds, as calibrate --space wrote them",
    )
    outside.add_argument(
        "--fidelities",
        type=count,
        nargs="+",
        metavar="EPOCHS",
        help="without a table: the lengths of training (default: 4 12 36, and 108 but on the digits)",
    )
    outside.add_argument(
        "--repeats",
        type=count,
        metavar="N",
        help="without a table: seeds that a query draws one of, and that score what is recommended "
        "(default: 3)",
    )
    sharing = parser.add_argument_group("searches that share weights, and the fallback")
    sharing.add_argument(
        "--reward-images",
        choices=get_args(RewardImages),
        help="what their architectures are rewarded by (default: validation)",
    )
    sharing.add_argument("--device", help="where they compute: cpu, cuda, ... (default: cpu)")
    sharing.add_argument(
        "--data", metavar="NAME|PATH", help="the table's images, where they are your own"
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="folder of the results (default: runs/TABLE, runs/many-tables with several, or "
        "runs/EXPERIMENT with a file)",
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="every method (weight sharing on tables of digits only), more seeds and a serious budget "
        "(hours; see --dry-run)",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would run and what it would cost"
    )
    add_workers(parser)
    add_executor(parser)
    add_json(parser)
    parser.set_defaults(run=run_compare)


def run_compare(args: argparse.Namespace) -> int:
    """Run, score, print, and write results and figure."""
    check_workers(args.workers)
    settings = settings_of(args)
    if isinstance(settings.get("table"), list):
        from nasbench_kit.cli.compare_many import run_many

        return run_many(args, settings)
    plan = plan_of(settings)
    benchmark = Benchmark.of(plan)
    table = benchmark.table
    folder = Path(settings.get("out") or Path("runs") / benchmark.name)
    if args.dry_run:
        _print_plan(plan, benchmark, folder, args.json)
        return 0
    check_writable(folder / "results.csv")
    if (data := settings.get("data")) is not None:
        streams.note(f"{data}: {open_data(data).sizes}")
    failure = None
    with progress_bar(f"comparing on {benchmark.name}") as progress:
        try:
            run(plan, folder, workers=args.workers, executor=args.executor, progress=progress)
        except (RunsFailed, WorkerDied) as error:
            failure = error
    traces = all_traces(folder)  # those of earlier calls too
    lacking = missing_runs(plan, folder, traces)
    axis = axis_of(benchmark, plan.budget)

    def show() -> None:
        if args.json:
            print_json(
                {
                    "folder": str(folder),
                    "scored_by": benchmark.scored_by,
                    "runs": [_as_json(result) for result in results_of(scores, traces)],
                    "processor_seconds": computing,
                    "missing": lacking,
                }
            )
        elif traces:
            print_summary(benchmark, plan, scores, traces, axis, computing=computing)

    scores = Scores.of(folder, table)
    computing = computing_seconds(folder, traces)
    figure = None
    with then(show):
        write_results(folder, table, traces)
        if traces:
            figure = write_figure(folder, benchmark, scores, traces, axis)
    if not args.json:
        if figure is not None:
            print_text(f"results, traces and figure: {folder}/  ({figure.name})")
        if lacking:
            absent = len(lacking)
            print_text(f"incomplete: all numbers lack {absent:,} of {absent + len(traces):,} runs")
    if failure is None:
        return 0
    sys.stdout.flush()
    streams.say(str(failure))
    return 1


def computing_seconds(folder: Path, traces: Sequence[Trace]) -> dict[str, float | None]:
    """Median processor seconds of a run of each algorithm, on the machine that made it; None: unread."""
    measured = clocks(folder)
    taken = {
        name: [
            measured[name, run.seed]["processor_seconds"]
            for run in runs
            if (name, run.seed) in measured
        ]
        for name, runs in grouped(traces).items()
    }
    return {name: float(np.median(each)) if each else None for name, each in taken.items()}


def _as_json(result: Result) -> dict[str, Any]:
    """A run's row; ``elapsed`` only where workers are simulated, ``perplexity`` only on text."""
    optional = ("elapsed", "perplexity")
    return {k: v for k, v in asdict(result).items() if v is not None or k not in optional}


def missing_runs(plan: Plan, folder: Path, traces: Sequence[Trace]) -> list[dict[str, Any]]:
    """The runs of this call, and those of earlier ones that failed, that are not finished."""
    errors = failures.load(folder)
    done = {(trace.algorithm, trace.seed) for trace in traces}
    return [
        {"algorithm": label, "seed": seed, "error": errors.get((label, seed))}
        for label, seed in dict.fromkeys([*plan.jobs, *errors])
        if (label, seed) not in done
    ]


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """What file and flags say together."""
    tables_named = list(args.table or ())
    file = args.experiment
    if file is None and len(tables_named) > 1 and tables_named[-1].endswith(".toml"):
        file = Path(tables_named.pop())  # --table takes all words that follow
    settings = {} if file is None else read(file)
    for name in SETTINGS:
        if (value := getattr(args, name)) is not None:
            settings[name] = value
    if tables_named:
        settings["table"] = tables_named if len(tables_named) > 1 else tables_named[0]
    limits = {name: getattr(args, name) for name in LIMITS}
    given = {name: limit for name, limit in limits.items() if limit is not None}
    settings["budget"] = settings.get("budget", {}) | given
    if args.full:
        settings["full"] = True
    if args.algorithms:
        named = list(map(algorithm_flag, args.algorithms))
        settings["algorithms"] = dict(named)
        if len(settings["algorithms"]) < len(named):
            labels = [label for label, _ in named]
            twice = next(label for label in labels if labels.count(label) > 1)
            raise InvalidSetting(f"two algorithms are called {twice!r}; give them other labels")
    return settings


def axis_of(benchmark: Benchmark, budget: Mapping[str, float]) -> Axis:
    """The spend that curves are drawn against: the budget's, where it has one limit."""
    if len(budget) == 1:
        (axis,) = budget
        return axis  # type: ignore[return-value]  # Budget knows three names only
    table = benchmark.table
    return "seconds" if table is not None and table.has("seconds") else "queries"


def write_figure(
    folder: Path, benchmark: Benchmark, scores: Scores, traces: Sequence[Trace], axis: Axis
) -> Path:
    """Draw the any-time figure of a comparison into its folder."""
    from nasbench_kit.analysis.figures import plots
    from nasbench_kit.analysis.statistics import anytime

    curves = {
        name: anytime.quartiles(group, scores.loss, axis) for name, group in grouped(traces).items()
    }
    return plots.save_anytime(
        folder,
        curves,
        axis,
        metric=benchmark.metric,
        table=titled(benchmark),
        loss=scores.loss_name,
    )


def processor_seconds(
    todo: Sequence[tuple[str, int]], measured: Mapping[tuple[str, int], Mapping[str, Any]]
) -> float | None:
    """What runs (label, seed) will take, as earlier ones of the same algorithms did.

    None where one of the algorithms has not run yet.
    """
    spent: dict[str, list[float]] = {}
    for (label, _), clock in measured.items():
        spent.setdefault(label, []).append(clock["processor_seconds"])
    if any(label not in spent for label, _ in todo):
        return None
    return float(sum(np.mean(spent[label]) for label, _ in todo))


def _print_plan(plan: Plan, benchmark: Benchmark, folder: Path, as_json: bool) -> None:
    """What a call would run, and what that would cost."""
    todo = missing(plan, folder, images=False)
    price = (
        None
        if benchmark.table is None
        else mean_price(benchmark.table, plan.policy, plan.held_out_repeats)
    )
    queries = min(
        plan.budget.get("queries", np.inf),
        plan.budget.get("epochs", np.inf) / benchmark.epochs[-1],
        plan.budget.get("seconds", np.inf) / (price or np.inf),
    )
    measured = clocks(folder)
    algorithms = []
    for label in plan.algorithms:
        of_label = [job for job in todo if job[0] == label]
        runs = len(of_label)
        algorithms.append(
            {
                "algorithm": label,
                "finished": len(plan.seeds) - runs,
                "missing": runs,
                **{name: runs * limit for name, limit in plan.budget.items()},
                "queries_about": round(runs * queries),
                "processor_seconds_about": processor_seconds(of_label, measured),
            }
        )
    if as_json:
        print_json({"folder": str(folder), "command": plan.command, "algorithms": algorithms})
        return
    keys = list(algorithms[0])
    rows = [[shown(row[key]) for key in keys] for row in algorithms]
    print_table(
        f"Would run {len(todo):,} of {len(plan.algorithms) * len(plan.seeds):,} runs on "
        f"{titled(benchmark)} into {folder}/, budget of each {limits_text(plan.budget)}",
        [key.replace("_", " ") for key in keys],
        rows,
        "Costs are of all missing runs: what they may spend of the budget; the queries that this buys "
        "at the largest fidelity; processor seconds as earlier runs of this folder took them. "
        + _cost_of_fallback(plan)
        + f"The same from a shell: {plan.command}",
        secondary=("processor seconds about", "queries about", "finished"),
    )


def _cost_of_fallback(plan: Plan) -> str:
    if plan.fallback is None:
        return ""
    return (
        "What no table has is trained for real, and so, after the runs, is what was recommended, to "
        "score it; what was trained before is read from the store. "
    )
