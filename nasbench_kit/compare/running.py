"""A comparison: running what is missing of a plan, and resuming it.

Every run has its own oracle and its own generators, drawn from (seed, label of the algorithm), so the
result does not depend on how the work is spread over processes, and the runs of two algorithms are
independent. A finished run is one trace file; a second call runs what is missing.

The folder of a comparison; all but ``clock``, ``failures`` and figures is the same, byte for byte, however often
the work was interrupted and on however many workers it was done:

    manifest.json             what the results depend on: versions, table (name, source, space,
                              cells, checksum), scored_by, budget, policy, algorithms by label (class
                              and settings), with a fallback the space searched, images, recipe and
                              scoring seeds, and the commands that make the folder again
    traces/LABEL-SEED.json    one finished run: see `nasbench_kit.compare.trace`
    checkpoints/              of runs under way that share weights
    failures/LABEL-SEED.txt   of a run that failed and was not done since: the error
    scores/                   trainings of recommended cells that the table lacks: see `trained_scores`
    clock/LABEL-SEED.json     its measured seconds, processor seconds, peak memory and date
    results.{parquet,csv}     one row a run, scored: see `Result`
    incumbents.{parquet,csv}  one row a change of the recommended cell: algorithm, seed, seconds,
                              epochs, queries, cell, row (of the table, if it has one), regret
    ledger.{parquet,csv}      one row a run and kind of charge: algorithm, seed, charges, seconds,
                              epochs, queries, kind ("query", "supernet", ...)
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.compare import failures
from nasbench_kit.compare.benchmark import Benchmark, opened
from nasbench_kit.compare.checks import checked_type
from nasbench_kit.compare.one_run import run_one
from nasbench_kit.compare.plan import Plan, shares_weights
from nasbench_kit.compare.rehearsal import check_networks, check_usable
from nasbench_kit.compare.run_folder import (
    all_traces,
    checkpoint_path,
    claimed,
    clock_path,
    failure_path,
    load_trace,
    merged,
    searched_space,
    trace_path,
)
from nasbench_kit.compare.trained_scores import outside, save_score, score_path
from nasbench_kit.errors import InvalidSetting, RunsFailed, Terminated, WorkerDied
from nasbench_kit.oracle.budget import Budget
from nasbench_kit.system import ending
from nasbench_kit.system.files import as_path, check_writable, write_text
from nasbench_kit.system.measured import measured, torch_threads
from nasbench_kit.system.workers import Executor, Progress, check_sendable, check_workers, spread

if TYPE_CHECKING:
    from nasbench_kit.compare.trace import Trace


def run(
    plan: Plan,
    folder: str | Path,
    *,
    workers: int = 1,
    executor: Executor = "local",
    progress: Progress | None = None,
) -> list[Trace]:
    """Run what is missing of a plan, and return all its traces in the order of the plan.

    A run that fails does not end the others; see `nasbench_kit.compare.failures`. With a fallback,
    recommended architectures that the table lacks are trained after the runs, as often as the table
    repeats its own, so that they can be scored.

    Raises:
        WrongTable: the folder holds results made under other conditions, or is in use; or another
            table has taken the place of the plan's meanwhile.
        CorruptFile: the table was altered, before or meanwhile, or a file of the folder.
        NotWritable: the folder cannot be written.
        UnknownName: the space's name does not lead back to it, so nobody could read the traces.
        InvalidSetting: see ``missing``; or the searches cannot be sent to the workers.
        TrainingFailed: of the fallback; what was trained before is kept.
        RunsFailed: some runs raised an error; all others are finished.
        WorkerDied: some runs killed every worker that tried them; all others are finished.
    """
    checked_type(plan, Plan, "give what to compare as a Plan")
    folder = as_path(folder, "folder of the results")
    check_call([plan], workers, executor, progress)
    with held(plan, folder) as comparison:
        jobs, deaths = comparison.missing(), None
        try:
            spread(comparison.work, jobs, workers, progress, executor)
        except WorkerDied as error:
            deaths = error
        if plan.fallback is not None:
            trainings = comparison.unscored()
            spread(comparison.train, trainings, workers, after(len(jobs), progress), executor)
        comparison.benchmark.check_unchanged(fresh=True)
    if failed := comparison.failed():
        raise RunsFailed(failures.listed(failed, folder, deaths))
    if deaths is not None:
        raise deaths
    whole = merged(folder, comparison.manifest)
    return [load_trace(trace_path(folder, *job), whole) for job in plan.jobs]


def check_call(
    plans: Iterable[Plan], workers: int, executor: Executor, progress: Progress | None
) -> None:
    """Refuse workers that can do nothing, and what they could not be sent, before all else.

    Raises:
        InvalidSetting: saying which.
    """
    if progress is not None and not callable(progress):
        raise InvalidSetting(f"progress is {progress!r}; give a callable of (done, in all)")
    check_workers(workers, executor)
    for plan in plans:
        for label, search in plan.algorithms.items():
            check_sendable(search, f"the algorithm {label}", workers, executor)
        for what in ("task", "fallback", "space"):
            check_sendable(getattr(plan, what), f"the plan's {what}", workers, executor)


@dataclass(frozen=True)
class Held:
    """A comparison whose plan is checked and whose folder this process holds."""

    plan: Plan
    folder: Path
    benchmark: Benchmark
    manifest: Mapping[str, Any]

    def missing(self) -> list[tuple[str, int]]:
        """The runs (label, seed) that are to be made."""
        return _missing(self.plan, self.folder)

    def unscored(self) -> list[tuple[str, int]]:
        """The trainings (text, seed) that are missing to score the runs."""
        return [
            (text, seed)
            for text in outside(self.benchmark.table, all_traces(self.folder))
            for seed in self.benchmark.scoring_seeds
            if not score_path(self.folder, text, seed).exists()
        ]

    def failed(self) -> dict[tuple[str, int], str]:
        """The errors of the plan's runs that failed, by (label, seed)."""
        errors = failures.load(self.folder)
        return {job: errors[job] for job in self.plan.jobs if job in errors}

    @property
    def work(self) -> Callable[[str, int], None]:
        """Makes one run, in whatever process."""
        return functools.partial(_run_and_save, *self._sent(), parent=os.getpid())

    @property
    def train(self) -> Callable[[str, int], None]:
        """Trains a recommended architecture that no table has, in whatever process."""
        return functools.partial(_train_and_save, *self._sent())

    def _sent(self) -> tuple[Plan, Path, str | None]:
        # Other processes may have another working directory.
        table = None if self.plan.table is None else self.plan.table.absolute()
        plan = replace(self.plan, table=table)
        return plan, self.folder.absolute(), self.benchmark.checksum


@contextlib.contextmanager
def held(plan: Plan, folder: Path) -> Iterator[Held]:
    """Check a plan and hold its folder.

    Raises:
        WrongTable, CorruptFile, NotWritable, InvalidSetting: as ``run``.
    """
    benchmark = _checked(plan)
    manifest = plan.manifest(benchmark)
    searched_space(manifest)  # whose name has to lead back to it: traces hold texts
    merged(folder, manifest)  # refuses before the folder is made
    files = (trace_path, clock_path, checkpoint_path)
    last = max(plan.seeds)
    check_writable(*(file(folder, label, last) for file in files for label in plan.algorithms))
    with claimed(folder, manifest):
        for job in plan.jobs:
            if trace_path(folder, *job).exists():  # killed between the two
                checkpoint_path(folder, *job).unlink(missing_ok=True)
                failure_path(folder, *job).unlink(missing_ok=True)
        yield Held(plan, folder, benchmark, manifest)


def missing(plan: Plan, folder: str | Path, *, images: bool = True) -> list[tuple[str, int]]:
    """The runs (label, seed) that ``run`` would make; checks what it checks, writes nothing.

    Args:
        plan: what is compared.
        folder: of the comparison.
        images: whether those of weight-sharing searches are opened as well (and fetched, if they are
            not at hand) to check the searches.

    Raises:
        WrongTable, CorruptFile: as ``run``.
        InvalidSetting: a budget that the table cannot account for, or that pays for nothing.
    """
    checked_type(plan, Plan, "give what to compare as a Plan")
    folder = as_path(folder, "folder of the results")
    merged(folder, plan.manifest(_checked(plan, images=images)))
    return _missing(plan, folder)


def _missing(plan: Plan, folder: Path) -> list[tuple[str, int]]:
    return [job for job in plan.jobs if not trace_path(folder, *job).exists()]


def after(done_before: int, progress: Progress | None) -> Progress | None:
    """Progress of jobs that come after others."""
    if progress is None:
        return None
    return lambda done, total: progress(done_before + done, done_before + total)


def _checked(plan: Plan, *, images: bool = True) -> Benchmark:
    """The plan's benchmark, unaltered and able to account for the budget, and its searches, usable there."""
    benchmark = Benchmark.of(plan)
    benchmark.check()
    budget = Budget(**plan.budget)  # type: ignore[arg-type]  # checked by Budget
    sharing = [search for search in plan.algorithms.values() if shares_weights(search)]
    for label, search in plan.algorithms.items():
        if shares_weights(search):
            check_networks(label, benchmark.space)
        else:
            check_usable(label, search, benchmark.oracle(budget, np.random.default_rng(0), None))
    if images and sharing:
        oracle = benchmark.oracle(budget, np.random.default_rng(), benchmark.task())
        for search in sharing:
            oracle.task  # noqa: B018  # refuses a budget of queries only
            if check := getattr(search, "check", None):
                check(oracle, np.random.default_rng(0))
    return benchmark


def _run_and_save(
    plan: Plan, folder: Path, checksum: str | None, label: str, seed: int, *, parent: int
) -> None:
    """Make the files of one run, or the one that says why it failed.

    Args:
        plan: what is compared.
        folder: of the comparison.
        checksum: of the table.
        label: of the algorithm.
        seed: of the run.
        parent: number of the process that the user interrupts.
    """
    benchmark = Benchmark(plan, opened(plan.table, checksum))
    checkpoint = checkpoint_path(folder, label, seed)
    try:
        with contextlib.chdir("."), torch_threads(1), measured() as clock:
            trace = run_one(plan, benchmark, label, seed, checkpoint)
    except BaseException as error:  # a search may raise anything
        if isinstance(error, KeyboardInterrupt | Terminated) and os.getpid() == parent:
            raise
        ending.check()
        failures.save(folder, label, seed, error)
        return
    benchmark.check_unchanged()
    clock["metered_seconds"] = trace.seconds
    write_text(clock_path(folder, label, seed), json.dumps(clock) + "\n")
    trace.save(trace_path(folder, label, seed))
    checkpoint.unlink(missing_ok=True)
    failure_path(folder, label, seed).unlink(missing_ok=True)


def _train_and_save(plan: Plan, folder: Path, checksum: str | None, text: str, seed: int) -> None:
    """Train a recommended architecture that no table has, to score it."""
    benchmark = Benchmark(plan, opened(plan.table, checksum))
    trainer, epochs = benchmark.trainer, benchmark.epochs[-1]
    assert trainer is not None
    record = trainer.record(benchmark.space.parse(text), epochs, seed)
    save_score(folder, text, epochs, seed, record)
