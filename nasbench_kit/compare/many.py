"""A comparison over many tasks: one plan a task, one folder, one pool of workers.

The folder:

    tasks.json     the tasks in order, each with the file of its table as it was named
    TASK/          an ordinary comparison: see `nasbench_kit.compare.running`

A later call may add tasks, as it may add algorithms and seeds.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nasbench_kit.compare import failures
from nasbench_kit.compare.benchmark import Benchmark
from nasbench_kit.compare.checks import checked_type
from nasbench_kit.compare.plan import Plan
from nasbench_kit.compare.run_folder import check_label
from nasbench_kit.compare.running import after, check_call, held
from nasbench_kit.errors import CorruptFile, InvalidSetting, RunsFailed, UnknownName, WorkerDied
from nasbench_kit.system import files
from nasbench_kit.system.workers import Executor, Progress, spread

_FILE = "tasks.json"


def is_many(folder: Path) -> bool:
    """Whether a folder holds a comparison over many tasks."""
    return (folder / _FILE).is_file()


def tasks_of(folder: Path) -> dict[str, Path]:
    """The tasks of a folder in order, each with the file of its table as it was named.

    Raises:
        UnknownName: the folder holds no comparison over many tasks.
        CorruptFile: its list of tasks is damaged.
    """
    if not is_many(folder):
        raise UnknownName(
            f"{folder} holds no comparison over many tasks: {_FILE} is missing; make one with "
            "`nasbench-kit compare --table A B ...`"
        )
    return {task: Path(table) for task, table in _read(folder)["tasks"].items()}


def benchmarks(plans: Mapping[str, Plan]) -> dict[str, Benchmark]:
    """The benchmark of every task, opened, if they go together.

    Raises:
        InvalidSetting: no task, a name that no folder can have, a task without a table, two tasks on
            one table, or a budget of seconds where some tables record none.
        CorruptFile: a table was altered.
    """
    if not isinstance(plans, Mapping) or not plans:
        raise InvalidSetting(f"the plans are {plans!r:.80}; give a Plan by the name of each task")
    for task, plan in plans.items():
        check_label(task)
        checked_type(plan, Plan, "give what to compare as a Plan")
        if plan.table is None:
            raise InvalidSetting(f"the task {task} has no table; regrets over tasks need one each")
    opened = {task: Benchmark.of(plan) for task, plan in plans.items()}
    task_by_checksum: dict[str | None, str] = {}
    for task, benchmark in opened.items():
        first = task_by_checksum.setdefault(benchmark.checksum, task)
        if first != task:
            raise InvalidSetting(
                f"{first} and {task} are the same table, so they are no two independent tasks; name "
                "it once"
            )
    timeless = [
        task
        for task, benchmark in opened.items()
        if "seconds" in plans[task].budget
        and benchmark.table is not None
        and not benchmark.table.has("seconds")
    ]
    if timeless:
        raise InvalidSetting(
            f"the budget limits seconds, and {len(timeless)} of {len(plans)} tables record none: "
            f"{', '.join(timeless)}; limit queries instead, or leave these tables out"
        )
    return opened


def run_tasks(
    plans: Mapping[str, Plan],
    folder: str | Path,
    *,
    workers: int = 1,
    executor: Executor = "local",
    progress: Progress | None = None,
) -> None:
    """Run what is missing of every task's plan, each in its own folder ``FOLDER/TASK``.

    All tasks share the workers and the progress. A run that fails ends neither its own task nor
    another one.

    Args:
        plans: by the task's name, in the order of the report.
        folder: of all tasks.
        workers: local processes.
        executor: where the runs are made.
        progress: is told of every finished run.

    Raises:
        InvalidSetting: as ``benchmarks``, or as `nasbench_kit.compare.running.run` for one of them.
        WrongTable, CorruptFile, NotWritable, TrainingFailed: likewise.
        RunsFailed: some runs raised an error; all others, of all tasks, are finished.
        WorkerDied: some runs killed every worker that tried them; all others are finished.
    """
    folder = files.as_path(folder, "folder of the results")
    benchmarks(plans)
    check_call(plans.values(), workers, executor, progress)
    files.check_writable(folder / _FILE)
    with contextlib.ExitStack() as stack:
        stack.enter_context(files.claimed(folder, "comparison"))
        listing = _merged(folder, plans)
        comparisons = {
            task: stack.enter_context(held(plan, folder / task)) for task, plan in plans.items()
        }
        files.write_text(folder / _FILE, json.dumps(listing, indent=1) + "\n")
        jobs = [
            (task, *job) for task, comparison in comparisons.items() for job in comparison.missing()
        ]
        work = functools.partial(_one_of, {task: one.work for task, one in comparisons.items()})
        deaths = None
        try:
            spread(work, jobs, workers, progress, executor)
        except WorkerDied as error:
            deaths = error
        trained = {task: one for task, one in comparisons.items() if one.plan.fallback is not None}
        if trained:
            train = functools.partial(_one_of, {task: one.train for task, one in trained.items()})
            trainings = [(task, *job) for task, one in trained.items() for job in one.unscored()]
            spread(train, trainings, workers, after(len(jobs), progress), executor)
        for comparison in comparisons.values():
            comparison.benchmark.check_unchanged(fresh=True)
    failed = {task: comparison.failed() for task, comparison in comparisons.items()}
    if any(failed.values()):
        raise RunsFailed(failures.listed_by_task(failed, folder, deaths))
    if deaths is not None:
        raise deaths


def _one_of(work: Mapping[str, Callable[..., None]], task: str, *job: Any) -> None:
    """One job of one task."""
    work[task](*job)


def _merged(folder: Path, plans: Mapping[str, Plan]) -> dict[str, Any]:
    """The list of a folder's tasks with those that a call adds."""
    earlier = _read(folder) if is_many(folder) else {"tasks": {}}
    return {
        "tasks": {**earlier["tasks"], **{task: str(plan.table) for task, plan in plans.items()}}
    }


def _read(folder: Path) -> dict[str, Any]:
    path = folder / _FILE
    try:
        listing: dict[str, Any] = files.read_json(path)
        for task, table in listing["tasks"].items():
            check_label(task)
            if not isinstance(table, str):
                raise TypeError(f"the table of {task} is {table!r:.80}")
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise CorruptFile(
            f"{path} is no list of tasks ({error}); delete it and call compare again with all tables"
        ) from error
    return listing
