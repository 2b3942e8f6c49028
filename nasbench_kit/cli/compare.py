"""The command ``compare``: algorithms x seeds under one budget on one table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from nasbench_kit import experiment
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
from nasbench_kit.oracle.oracle import Policy
from nasbench_kit.system.files import check_writable
from nasbench_kit.system.workers import check_workers
from nasbench_kit.training.recipe import RECIPES

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
        "(default: random-search regularized-evolution, and on tables of digits enas and darts)",
    )
    parser.add_argument(
        "--seeds",
        type=count,
        metavar="N",
        help="seeds 0 to N-1 (default: 5 on tables of digits, 20 on others)",
    )
    budget = parser.add_argument_group(
        "budget of each run",
        "default: 600 seconds on tables of digits, on others those of about "
        f"{experiment.DEFAULT_QUERIES} queries",
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
    plan = experiment.plan(settings)
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
            _print_summary(benchmark, plan, scores, traces, axis, computing=computing)

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
            print_text(
                f"incomplete: {absent:,} of {absent + len(traces):,} runs are missing in all numbers"
            )
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
    """A run's row; ``elapsed`` only where workers are simulated."""
    row = asdict(result)
    return row if result.elapsed is not None else {k: v for k, v in row.items() if k != "elapsed"}


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
    settings = {} if file is None else experiment.read(file)
    for name in experiment.SETTINGS:
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
        named = list(map(experiment.algorithm_flag, args.algorithms))
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
        table=_titled(benchmark),
        loss=scores.loss_name,
    )


def grouped(traces: Sequence[Trace]) -> dict[str, list[Trace]]:
    """The traces by algorithm."""
    by_name: dict[str, list[Trace]] = {}
    for trace in traces:
        by_name.setdefault(trace.algorithm, []).append(trace)
    return by_name


def _titled(benchmark: Benchmark) -> str:
    table = benchmark.table
    if table is None:
        return f"{benchmark.name} (trained, no table)"
    source = str(table.provenance.get("source", "measured"))
    return (
        table.name if source == "measured" or source in table.name else f"{table.name} ({source})"
    )


def limits_text(budget: Mapping[str, float]) -> str:
    """A budget in words."""
    return ", ".join(f"{limit:,.10g} {name}" for name, limit in budget.items())


# What is printed -------------------------------------------------------------------------------


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
        else experiment.mean_price(benchmark.table, plan.policy, plan.held_out_repeats)
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
        f"{_titled(benchmark)} into {folder}/, budget of each {limits_text(plan.budget)}",
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


def shown(value: object) -> str:
    """Numbers to four digits or in full, whichever is longer; "-" for none."""
    if isinstance(value, int | float):
        whole = isinstance(value, int) or 1000 <= abs(value) < np.inf
        return f"{value:,.0f}" if whole else f"{value:.4g}" if np.isfinite(value) else "-"
    return "-" if value is None else str(value)


_LOSSES = {
    "regret": "Regret: the table's best minus what was recommended.",
    "error": "Error: what is missing to 1. There is no table, so nobody knows the best, and no regret.",
    "hypervolume regret": "Hypervolume regret: that of the table's true front minus that of the recommended one, "
    "with every objective scaled to 0 to 100 points over the table's rows.",
}
#: What a narrow screen leaves out first.
_SECONDARY = (
    *(
        "elapsed",
        "computing",
        "seconds by kind",
        "epochs by kind",
        "unique",
        "none",
        "queries",
        "seconds",
        "epochs",
    ),
    "runs",
)


def _print_summary(
    benchmark: Benchmark,
    plan: Plan,
    scores: Scores,
    traces: Sequence[Trace],
    axis: Axis,
    *,
    computing: Mapping[str, float | None],
) -> None:
    from nasbench_kit.analysis.statistics.anytime import final_regrets, reaching

    by_name = grouped(traces)
    final = {name: final_regrets(runs, scores.loss) for name, runs in by_name.items()}
    table = benchmark.table
    unit: Axis = "seconds" if table is not None and table.has("seconds") else "epochs"
    columns = ["algorithm", "runs", "median", "quartiles", "none", "queries", "unique", unit]
    rows = {
        name: [name, len(runs), *_quartiles(final[name]), *_means(runs, unit)]
        for name, runs in by_name.items()
    }
    loss = scores.loss_name
    floor = scores.noise_floor
    if floor is not None:
        columns.append("among best")
        for name, runs in by_name.items():
            rows[name].append(_share_among_best(scores, runs))
    note = _LOSSES[loss]
    note += (
        f" None: runs that recommended nothing. Queries, unique architectures and {unit} spent are "
        "means over runs."
    )
    if plan.held_out_repeats:
        note += (
            f" Scored by {plan.held_out_repeats} of {benchmark.table.repeats if benchmark.table else 0} repeats, "
            "which no search of the run has seen; a regret below 0 is luck."
        )
    if floor is not None:
        note += (
            f" Noise floor: a score has a standard error of {100 * floor.standard_error:.2f} points. Among best: "
            f"runs that end with one of the {floor.among_best.sum():,} architectures that cannot be told from "
            "the best."
        )
    note += _too_few_runs(final)
    if plan.fallback is not None:
        note += _scored_outside(benchmark, scores, traces)
    target = max(map(np.median, final.values()))
    reaching_target = []
    if len(by_name) > 1 and np.isfinite(target):
        reaching_target = [f"{axis} to {100 * target:.2f}"]
        columns += reaching_target
        for name, runs in by_name.items():
            spent = np.sort(reaching(runs, scores.loss, axis, target)[0])[(len(runs) - 1) // 2]
            rows[name].append(shown(float(spent)))
        note += (
            f" {columns[-1].capitalize()}: what half of the runs had spent at most when they first "
            f"recommended anything of that {loss}, the worst of the medians."
        )
    note += _add_costs(columns, rows, by_name, unit, computing)
    if unpaid := [name for name, runs in by_name.items() if any(run.unpaid for run in runs)]:
        note += f" Recommended something before paying for anything: {', '.join(unpaid)}."
    print_table(
        f"Final {loss} in mean {benchmark.metric} (points) on {_titled(benchmark)}, budget "
        f"{limits_text(plan.budget)}",
        columns,
        rows.values(),
        note,
        secondary=[
            *(name for name in _SECONDARY if name in columns),
            *reaching_target,
            "quartiles",
        ],
        elsewhere="the CSV files there, or --json",
    )


def _add_costs(
    columns: list[str],
    rows: Mapping[str, list[object]],
    by_name: Mapping[str, Sequence[Trace]],
    unit: Axis,
    computing: Mapping[str, float | None],
) -> str:
    """Columns of what runs cost beside the budget, and how it was spent; returns the note on them."""
    columns.append("computing")
    for name in by_name:
        rows[name].append(shown(computing.get(name)))
    note = " Computing: processor seconds of a run on its machine, median over runs."
    traces = [trace for runs in by_name.values() for trace in runs]
    if any(trace.elapsed is not None for trace in traces):
        columns.append("elapsed")
        for name, runs in by_name.items():
            times = [run.elapsed for run in runs if run.elapsed is not None]
            rows[name].append(shown(float(np.mean(times)) if times else None))
        note += f" Elapsed: {unit} until the last of simulated workers was done, mean over runs."
    if any(trace.ledger.keys() - {"query"} for trace in traces):
        columns.append(f"{unit} by kind")
        for name, runs in by_name.items():
            rows[name].append(_split(runs, unit))
        note += f" {unit.capitalize()} by kind of charge are means over runs."
    return note


def _scored_outside(benchmark: Benchmark, scores: Scores, traces: Sequence[Trace]) -> str:
    last = [trace.incumbents[-1].architecture for trace in traces if trace.incumbents]
    seeds = len(benchmark.scoring_seeds)
    if benchmark.table is None:
        return f" What was recommended is scored by the mean of {seeds} trainings."
    outside = sum(scores.row(text) is None for text in last)
    return (
        f" Outside the table: {outside} of the {len(last)} recommended at the end, scored by the mean of "
        f"{seeds} trainings; where one is better than the table's best, the regret is negative."
    )


def _share_among_best(scores: Scores, runs: Sequence[Trace]) -> str:
    """Of runs whose last recommendation cannot be told from the table's best."""
    last = [run.incumbents[-1].architecture for run in runs if run.incumbents]
    return f"{sum(bool(scores.among_best(text)) for text in last) / len(runs):.0%}"


def _too_few_runs(final: Mapping[str, NDArray[np.float64]]) -> str:
    """A warning where no difference could be found."""
    from nasbench_kit.analysis.statistics.power import least_runs

    runs, compared = min(map(len, final.values())), len(final) * (len(final) - 1) // 2
    if not compared or runs >= (least := least_runs(compared)):
        return ""
    return (
        f" {runs} {'run' if runs == 1 else 'runs'} of an algorithm are too few for any difference to be significant; "
        f"at least {least} would do (--seeds {least})."
    )


def _quartiles(regret: NDArray[np.float64]) -> list[object]:
    """Median and quartiles in points, and how many runs recommended nothing."""
    finite = 100 * regret[np.isfinite(regret)]
    if not len(finite):
        return ["-", "-", len(regret)]
    lower, median, upper = np.quantile(finite, (0.25, 0.5, 0.75))
    return [f"{median:.2f}", f"{lower:.2f} to {upper:.2f}", len(regret) - len(finite)]


def _means(runs: Sequence[Trace], unit: Axis) -> list[object]:
    keys = ("queries", "unique_architectures", unit)
    return [f"{np.mean([getattr(run, key) for run in runs]):,.1f}" for key in keys]


def _split(runs: Sequence[Trace], unit: Axis) -> str:
    kinds = dict.fromkeys(kind for run in runs for kind in run.ledger)
    spent = {
        kind: np.mean([getattr(run.ledger.get(kind), unit, 0.0) for run in runs]) for kind in kinds
    }
    return ", ".join(f"{kind} {mean:,.1f}" for kind, mean in spent.items())
