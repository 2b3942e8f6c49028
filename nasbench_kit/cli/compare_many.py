"""The command ``compare`` with several tables: every task in one folder, by one pool of workers."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.checks import counted
from nasbench_kit.cli import compare as single, streams
from nasbench_kit.cli.common import print_json, print_table, print_text, progress_bar, then
from nasbench_kit.cli.comparison_summary import grouped, limits_text, shown
from nasbench_kit.compare.benchmark import Benchmark
from nasbench_kit.compare.many import benchmarks, run_tasks
from nasbench_kit.compare.plan import Plan
from nasbench_kit.compare.run_folder import all_traces, clocks, read_manifest
from nasbench_kit.compare.running import missing
from nasbench_kit.compare.scores import Result, Scores, results_of, write_results
from nasbench_kit.errors import RunsFailed, WorkerDied
from nasbench_kit.experiment.planning import plans_of
from nasbench_kit.system.files import check_writable

if TYPE_CHECKING:
    from nasbench_kit.analysis.statistics.comparison import Comparison
    from nasbench_kit.analysis.statistics.over_tasks import AcrossTables, OverTasks
    from nasbench_kit.compare.trace import Trace

#: Where results go if nothing is said.
FOLDER = Path("runs/many-tables")


@dataclass(frozen=True)
class _Task:
    """A task whose runs are made, and scored."""

    name: str
    benchmark: Benchmark
    traces: Sequence[Trace]
    scores: Scores
    results: Sequence[Result]
    missing: Sequence[Mapping[str, Any]]


def run_many(args: argparse.Namespace, settings: Mapping[str, Any]) -> int:
    """Run, score, print, and write the results of every task.

    Args:
        args: of ``compare``.
        settings: what its file and flags say together, with a list of tables.

    Raises:
        NasbenchKitError: as for a single table, before anything is run.
    """
    plans = plans_of(settings)
    folder = Path(settings.get("out") or FOLDER)
    opened = benchmarks(plans)
    if args.dry_run:
        _print_plans(plans, opened, folder, args.json)
        return 0
    check_writable(*(folder / task / "results.csv" for task in plans))
    failure = None
    with progress_bar(f"comparing on {counted(len(plans), 'table')}") as progress:
        try:
            run_tasks(
                plans, folder, workers=args.workers, executor=args.executor, progress=progress
            )
        except (RunsFailed, WorkerDied) as error:
            failure = error
    tasks = [_scored(task, plan, opened[task], folder / task) for task, plan in plans.items()]
    across, rows = _statistics(folder, tasks)

    def show() -> None:
        if args.json:
            print_json(_as_json(folder, tasks, across, rows))
        elif across is not None:
            _print_summary(plans, tasks, across, rows)

    with then(show):
        for task in tasks:
            write_results(folder / task.name, task.benchmark.table, task.traces)
            if task.traces:
                axis = single.axis_of(task.benchmark, plans[task.name].budget)
                place = folder / task.name
                single.write_figure(place, task.benchmark, task.scores, task.traces, axis)
    if not args.json:
        print_text(f"a folder of results, traces and figure for each task: {folder}/")
        print_text(f"one page about all of them: nasbench-kit report {folder}")
        if absent := sum(len(task.missing) for task in tasks):
            whole = absent + sum(len(task.traces) for task in tasks)
            where = ", ".join(
                f"{task.name} {len(task.missing):,}" for task in tasks if task.missing
            )
            print_text(f"incomplete: all numbers lack {absent:,} of {whole:,} runs ({where})")
    if failure is None:
        return 0
    sys.stdout.flush()
    streams.say(str(failure))
    return 1


def _scored(name: str, plan: Plan, benchmark: Benchmark, folder: Path) -> _Task:
    traces = all_traces(folder)  # those of earlier calls too
    scores = Scores.of(folder, benchmark.table)
    lacking = single.missing_runs(plan, folder, traces)
    return _Task(name, benchmark, traces, scores, results_of(scores, traces), lacking)


def _statistics(
    folder: Path, tasks: Sequence[_Task]
) -> tuple[AcrossTables | None, list[OverTasks]]:
    """Ranks and aggregates over the tasks of this call; none where a task has no finished run."""
    from nasbench_kit.analysis.statistics.comparison import Comparison
    from nasbench_kit.analysis.statistics.over_tasks import across_tables, over_tasks

    if not all(task.traces for task in tasks):
        return None, []

    def comparison(task: _Task) -> Comparison:
        by_name = grouped(task.traces)
        manifest = read_manifest(folder / task.name)
        assert manifest is not None  # the runs are there
        return Comparison(
            task.name,
            task.benchmark.table,
            manifest,
            by_name,
            {name: () for name in by_name},
            task.scores.trained,
        )

    comparisons = [comparison(task) for task in tasks]
    across = across_tables(comparisons)
    return across, over_tasks(comparisons, across, np.random.default_rng(0))


# What is printed -------------------------------------------------------------------------------


def _print_plans(
    plans: Mapping[str, Plan], opened: Mapping[str, Benchmark], folder: Path, as_json: bool
) -> None:
    """What a call would run on each table, and what that would cost."""
    tasks: list[dict[str, Any]] = []
    for task, plan in plans.items():
        todo = missing(plan, folder / task, images=False)
        tasks.append(
            {
                "task": task,
                "architectures": len(opened[task].table or ()),
                "finished": len(plan.jobs) - len(todo),
                "missing": len(todo),
                **{name: len(todo) * limit for name, limit in plan.budget.items()},
                "processor_seconds_about": single.processor_seconds(todo, clocks(folder / task)),
            }
        )
    first = next(iter(plans.values()))
    if as_json:
        commands = {task: plan.command for task, plan in plans.items()}
        print_json({"folder": str(folder), "tasks": tasks, "commands": commands})
        return
    columns = list(tasks[0])
    todo_in_all = sum(task["missing"] for task in tasks)
    print_table(
        f"Would run {todo_in_all:,} of {sum(len(plan.jobs) for plan in plans.values()):,} runs of "
        f"{counted(len(first.algorithms), 'algorithm')} on {counted(len(plans), 'table')} into {folder}/, budget of each "
        f"{limits_text(first.budget)}",
        [column.replace("_", " ") for column in columns],
        [[shown(task[column]) for column in columns] for task in tasks],
        "Costs are of all missing runs: what they may spend of the budget; processor seconds as earlier "
        "runs of this folder took them.",
        secondary=("processor seconds about", "architectures", "finished"),
    )


def _print_summary(
    plans: Mapping[str, Plan],
    tasks: Sequence[_Task],
    across: AcrossTables,
    rows: Sequence[OverTasks],
) -> None:
    first = next(iter(plans.values()))
    metrics = {task.benchmark.scored_by.replace("_", " ") for task in tasks}
    print_table(
        f"Median final regret in mean {' or '.join(sorted(metrics))} (points) on {counted(len(tasks), 'table')}, "
        f"budget {limits_text(first.budget)}",
        ["table", *across.algorithms],
        [
            [task.name, *(f"{100 * value:.2f}" for value in medians)]
            for task, medians in zip(tasks, across.medians, strict=True)
        ],
        f"Not on every table, so left out: {', '.join(across.missing)}." if across.missing else "",
        elsewhere="the report, or --json",
    )
    print_table(
        f"Over {counted(len(tasks), 'table')}",
        ["algorithm", "mean rank", "best on", "normalised regret", "interval", "better"],
        [
            [
                row.algorithm,
                f"{row.mean_rank:.2f}",
                row.best_on,
                _percent(row.interquartile_mean.point),
                f"{_percent(row.interquartile_mean.low)} to {_percent(row.interquartile_mean.high)}",
                "-" if row.better is None else f"{row.better.point:.2f}",
            ]
            for row in rows
        ],
        "Mean rank of the median, and on how many tables it is the lowest. Normalised regret: in per cent "
        "of that of the table's median architecture; interquartile mean over all runs, 95 % bootstrap "
        "interval over runs within tables. Better: probability that a run beats one of "
        f"{next((row.algorithm for row in rows if row.better is None), 'the baseline')} on the same table. "
        + _friedman(across),
        secondary=("interval", "best on", "better"),
        elsewhere="the report, or --json",
    )


def _percent(value: Any) -> str:
    return f"{100 * float(value):.1f}" if np.isfinite(value) else "-"


def _friedman(across: AcrossTables) -> str:
    found = across.friedman
    if found is None:
        return f"No Friedman test: {across.refusal}."
    return (
        f"Friedman: p = {found.p:.2g}; mean ranks further apart than {found.critical_difference:.2f} differ "
        "(Nemenyi, 0.05)."
    )


def _as_json(
    folder: Path,
    tasks: Sequence[_Task],
    across: AcrossTables | None,
    rows: Sequence[OverTasks],
) -> dict[str, Any]:
    from nasbench_kit.cli.report import jsonable, ranks_as_json

    return {
        "folder": str(folder),
        "tasks": {
            task.name: {
                "scored_by": task.benchmark.scored_by,
                "runs": [asdict(result) for result in task.results],
                "missing": list(task.missing),
            }
            for task in tasks
        },
        "over_tasks": None
        if across is None
        else {
            **ranks_as_json(across),
            "algorithms": [jsonable(asdict(row)) for row in rows],
        },
    }
