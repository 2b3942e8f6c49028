"""A comparison: the plan of (algorithm, seed), running it, resuming it, scoring it.

Every run has its own oracle and its own generators, drawn from (seed, label of the algorithm), so the
result does not depend on how the work is spread over processes, and the runs of two algorithms are
independent. A finished run is one trace file; a second call runs what is missing.

The folder of a comparison; all but ``clock``, ``failures`` and figures is the same, byte for byte, however often
the work was interrupted and on however many workers it was done:

    manifest.json             what the results depend on: versions, table (name, source, space,
                              cells, checksum), scored_by, budget, policy, algorithms by label (class
                              and settings), with a fallback the space searched, images, recipe and
                              scoring seeds, and the commands that make the folder anew
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
import importlib.metadata
import json
import math
import os
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nasbench_kit.compare import failures
from nasbench_kit.compare.audit import audit
from nasbench_kit.compare.checks import (
    checked_algorithms,
    checked_choice,
    checked_label,
    checked_limits,
    checked_seed,
    checked_seeds,
    checked_type,
)
from nasbench_kit.compare.following import follow
from nasbench_kit.compare.run_folder import (
    all_traces,
    checkpoint_path,
    claimed,
    clock_path,
    failure_path,
    load_trace,
    merged,
    trace_path,
)
from nasbench_kit.compare.scores import Result, Scores, regrets, score, scored_by, write_results
from nasbench_kit.compare.trace import Spending, Trace
from nasbench_kit.compare.trained_scores import outside, save_score, score_path, scoring_seeds
from nasbench_kit.errors import (
    AccountsDisagree,
    InvalidSetting,
    NotInSpace,
    NotInTable,
    RunsFailed,
    Terminated,
    WorkerDied,
    WrongTable,
)
from nasbench_kit.oracle.answer import Answer
from nasbench_kit.oracle.budget import Budget, Charge
from nasbench_kit.oracle.oracle import Oracle, Policy
from nasbench_kit.spaces.nasbench101.canonical import canonical
from nasbench_kit.spaces.nasbench101.cell import Cell
from nasbench_kit.spaces.nasbench101.space import CellSpace
from nasbench_kit.system.files import as_path, check_writable, write_text
from nasbench_kit.system.measured import measured, torch_threads
from nasbench_kit.system.workers import Executor, Progress, check_sendable, check_workers, spread
from nasbench_kit.table.table import Table
from nasbench_kit.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator

    from nasbench_kit.oracle.fallback import Fallback
    from nasbench_kit.oracle.search import Search
    from nasbench_kit.oracle.task import Task

__all__ = [
    "Plan",
    "Result",
    "Scores",
    "all_traces",
    "missing",
    "regrets",
    "run",
    "run_one",
    "score",
    "scored_by",
    "write_results",
]

RewardImages = Literal["validation", "half-of-training"]

#: Packages beside this one that results may depend on.
_LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch", "optuna")


@dataclass(frozen=True)
class Plan:
    """What to compare: every algorithm with every seed, under one budget on one table.

    Raises:
        InvalidSetting: no algorithm, no seed, no budget, a value that cannot work, or a space without
            a fallback.
    """

    #: Its file; text becomes a path.
    table: Path
    #: By label: a name for results and files.
    algorithms: Mapping[str, Search]
    seeds: Sequence[int]
    #: Limits by name: "seconds", "epochs", "queries".
    budget: Mapping[str, float]
    policy: Policy = "always"
    #: That makes the same comparison from a shell, if there is one.
    command: str | None = None
    #: From the table to what searches train on that share weights (``shares_weights`` is true).
    task: Callable[[Table], Task] | None = None
    #: What their architectures are rewarded by: validation images, or a half of the training images.
    reward_images: RewardImages = "validation"
    #: Where they compute.
    device: str = "cpu"
    #: From the table to what trains cells that it lacks; without it searches keep to the table's.
    fallback: Callable[[Table], Fallback] | None = None
    #: What searches see with a fallback: a space that has all cells of the table and more. None is
    #: the table's whole space.
    space: CellSpace | None = None

    def __post_init__(self) -> None:
        checked = {
            "table": as_path(self.table, "table"),
            "algorithms": checked_algorithms(self.algorithms),
            "seeds": checked_seeds(self.seeds),
            "budget": checked_limits(self.budget),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)  # the dataclass is frozen
        checked_choice(self.policy, Policy, "policy")
        checked_choice(self.reward_images, RewardImages, "reward_images")
        checked_type(self.device, str, "name a device such as 'cpu' or 'cuda'")
        if self.command is not None:
            checked_type(self.command, str, "give the command as text, or None")
        for name, make in (("task", "Task"), ("fallback", "Fallback")):
            if (value := getattr(self, name)) is not None and not callable(value):
                raise InvalidSetting(
                    f"{name} is {value!r}; give a callable from a Table to its {make}"
                )
        if self.space is not None:
            checked_type(self.space, CellSpace, "give a space such as CellSpace(), or None")
            if self.fallback is None:
                raise InvalidSetting(
                    f"searches in the space {self.space.name} meet cells that the table lacks; have "
                    "them trained (--fallback), or leave the space out"
                )

    @property
    def jobs(self) -> list[tuple[str, int]]:
        """Label and seed of every run."""
        return [(label, seed) for label in self.algorithms for seed in self.seeds]

    def manifest(self, table: Table) -> dict[str, Any]:
        """All that the results depend on, to be found again beside them."""
        return {
            "versions": {"nasbench_kit": __version__, **_versions()},
            "table": {
                "name": table.name,
                "source": table.provenance.get("source", "measured"),
                "space": table.space.name,
                "cells": len(table),
                "checksum": table.checksum,
            },
            "scored_by": scored_by(table),
            "budget": dict(self.budget),
            "policy": self.policy,
            **self._fallback_conditions(table),
            "algorithms": {label: self._described(it) for label, it in self.algorithms.items()},
            "commands": [self.command] if self.command else [],
        }

    def _fallback_conditions(self, table: Table) -> dict[str, Any]:
        if self.fallback is None:
            return {}
        space = self.space or table.space
        conditions = {
            "space": space.name,
            "cells": len(space),
            "order": space.digest,
            **_opened_fallback(self.fallback, table).conditions,
            "scoring_seeds": list(scoring_seeds(table)),
        }
        return {"fallback": conditions}

    def _described(self, search: Search) -> dict[str, Any]:
        if not _shares_weights(search):
            return _described(search)
        images = {"reward_images": self.reward_images, "device": self.device}
        return {**_described(search), **images}


def _versions() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _described(search: Search) -> dict[str, Any]:
    """Class and hyper-parameters of a search, as JSON can hold them."""
    kind = type(search)
    settings: dict[str, Any] = {}
    if is_dataclass(search):
        settings = {field.name: getattr(search, field.name) for field in fields(search)}
    described = {"class": f"{kind.__module__}.{kind.__qualname__}", "settings": settings}
    plain: dict[str, Any] = json.loads(
        json.dumps(described, default=_named, skipkeys=True),
        parse_constant=str,  # JSON has no infinity
    )
    return plain


def _named(value: object) -> str:
    """What stands for a setting that JSON cannot hold; the same in every process."""
    name = getattr(value, "__qualname__", None)
    return str(name) if name else re.sub(r" at 0x[0-9a-f]+", "", str(value))


# Running -------------------------------------------------------------------------------------


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
    recommended cells that the table lacks are trained after the runs, as often as the table repeats
    its own, so that they can be scored.

    Raises:
        WrongTable: the folder holds results made under other conditions, or is in use; or another
            table has taken the place of the plan's meanwhile.
        CorruptFile: the table was altered, before or meanwhile, or a file of the folder.
        NotWritable: the folder cannot be written.
        InvalidSetting: see ``missing``; or the searches cannot be sent to the workers.
        TrainingFailed: of the fallback; what was trained before is kept.
        RunsFailed: some runs raised an error; all others are finished.
        WorkerDied: some runs killed every worker that tried them; all others are finished.
    """
    checked_type(plan, Plan, "give what to compare as a Plan")
    folder = as_path(folder, "folder of the results")
    if progress is not None and not callable(progress):
        raise InvalidSetting(f"progress is {progress!r}; give a callable of (done, in all)")
    check_workers(workers, executor)
    for label, search in plan.algorithms.items():
        check_sendable(search, f"the algorithm {label}", workers, executor)
    check_sendable(plan.task, "the plan's task", workers, executor)
    table = _checked(plan)
    manifest = plan.manifest(table)
    merged(folder, manifest)  # refuses before the folder is made
    files = (trace_path, clock_path, checkpoint_path)
    last = max(plan.seeds)
    check_writable(*(file(folder, label, last) for file in files for label in plan.algorithms))
    with claimed(folder, manifest):
        for job in plan.jobs:
            if trace_path(folder, *job).exists():  # killed between the two
                checkpoint_path(folder, *job).unlink(missing_ok=True)
                failure_path(folder, *job).unlink(missing_ok=True)
        # Other processes may have another working directory.
        there, absolute = replace(plan, table=plan.table.absolute()), folder.absolute()
        jobs = _missing(plan, folder)
        work = functools.partial(_run_and_save, there, absolute, table.checksum, parent=os.getpid())
        deaths = None
        try:
            spread(work, jobs, workers, progress, executor)
        except WorkerDied as error:
            deaths = error
        if plan.fallback is not None:
            train = functools.partial(_train_and_save, there, absolute, table.checksum)
            trainings = _unscored(table, folder)
            spread(train, trainings, workers, _after(len(jobs), progress), executor)
        _check_unchanged(table, fresh=True)
    found = failures.load(folder)
    failed = {job: found[job] for job in plan.jobs if job in found}
    if failed:
        raise RunsFailed(failures.listed(failed, folder, deaths))
    if deaths is not None:
        raise deaths
    known = merged(folder, manifest)
    return [load_trace(trace_path(folder, *job), known) for job in plan.jobs]


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


def _unscored(table: Table, folder: Path) -> list[tuple[str, int]]:
    """The trainings (cell as text, seed) that are missing to score the runs of a folder."""
    return [
        (cell, seed)
        for cell in outside(table, all_traces(folder))
        for seed in scoring_seeds(table)
        if not score_path(folder, cell, seed).exists()
    ]


def _after(done_before: int, progress: Progress | None) -> Progress | None:
    """Progress of jobs that come after others."""
    if progress is None:
        return None
    return lambda done, total: progress(done_before + done, done_before + total)


def _checked(plan: Plan, *, images: bool = True) -> Table:
    """The plan's table, unaltered and able to account for the budget."""
    table = Table.open(plan.table)
    table.verify()
    if plan.fallback is not None:
        _check_space(plan.space or table.space, table)
    for what, limit in plan.budget.items():
        if what == "seconds" and not table.has("seconds"):
            raise InvalidSetting(
                f"the table {table.name} records no seconds; limit epochs or queries instead"
            )
        cheapest = _cheapest(table, what)
        if limit < cheapest and not all(map(_shares_weights, plan.algorithms.values())):
            raise InvalidSetting(
                f"a budget of {limit:g} {what} pays for nothing: the cheapest reading of "
                f"{table.name} costs {cheapest:.3g}; give more"
            )
    if images and any(map(_shares_weights, plan.algorithms.values())):
        budget = Budget(**plan.budget)  # type: ignore[arg-type]  # checked by Budget
        oracle = _oracle(plan, table, budget, np.random.default_rng(), _task(plan, table))
        for search in filter(_shares_weights, plan.algorithms.values()):
            oracle.task  # noqa: B018  # refuses a budget of queries only
            if check := getattr(search, "check", None):
                check(oracle, np.random.default_rng(0))
    return table


def _check_space(space: CellSpace, table: Table) -> None:
    """A space of searches has all cells of the table, and more."""
    for cell in table.covered:
        if cell not in space:
            raise InvalidSetting(
                f"the space {space.name} lacks the cell {cell.to_text()} of the table {table.name}; "
                f"name a space that has all its cells (--space), such as {table.space.name}"
            )
    if len(space) == len(table):
        wider = "v7e9" if space.max_vertices < 7 or space.max_edges < 9 else "v7e11"
        raise InvalidSetting(
            f"the table {table.name} has all {len(space):,} cells of the space {space.name}, so there "
            f"is nothing to train; name a wider space (--space {wider}), or leave --fallback out"
        )


def _oracle(plan: Plan, table: Table, budget: Budget, rng: Generator, task: Task | None) -> Oracle:
    """What a search is given."""
    if plan.fallback is None:
        return Oracle(table, budget, rng, policy=plan.policy, task=task)
    trainer = _opened_fallback(plan.fallback, table)
    space = plan.space or table.space
    return Oracle(table, budget, rng, policy=plan.policy, trainer=trainer, task=task, space=space)


def _shares_weights(search: Search) -> bool:
    return getattr(search, "shares_weights", False)


def _task(plan: Plan, table: Table, checkpoint: Path | None = None) -> Task | None:
    """What a search trains on that shares weights."""
    if plan.task is None:
        return None
    task = _opened_task(plan.task, table)
    if plan.reward_images == "half-of-training":
        task = task.halved()
    return replace(task, device=plan.device, checkpoint=checkpoint)


@functools.lru_cache(maxsize=1)
def _opened_task(make: Callable[[Table], Task], table: Table) -> Task:
    """A process opens the images once for all its runs."""
    return make(table)


@functools.lru_cache(maxsize=1)
def _opened_fallback(make: Callable[[Table], Fallback], table: Table) -> Fallback:
    """A process opens the images once for all its trainings."""
    return make(table)


def _cheapest(table: Table, what: str) -> float:
    """The least that one query can cost."""
    halfway = table.has("validation_accuracy", "halfway")
    if what == "queries":
        return 1
    if what == "epochs":
        return table.epochs[0] // 2 if halfway else table.epochs[0]
    prices = []
    for checkpoint, metric in table.columns:
        if metric == "seconds":
            column = table.columns[checkpoint, metric]
            known = column.values if column.present is None else column.values[column.present > 0]
            prices.append(float(np.nanmin(known)) if known.size else math.inf)
    return min(prices)


def _run_and_save(
    plan: Plan, folder: Path, checksum: str, label: str, seed: int, *, parent: int
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
    table = _opened(plan.table, checksum)
    checkpoint = checkpoint_path(folder, label, seed)
    try:
        with contextlib.chdir("."), torch_threads(1), measured() as clock:
            trace = run_one(plan, table, label, seed, checkpoint)
    except BaseException as error:  # a search may raise anything
        if isinstance(error, KeyboardInterrupt | Terminated) and os.getpid() == parent:
            raise
        failures.save(folder, label, seed, error)
        return
    _check_unchanged(table)
    clock["metered_seconds"] = trace.seconds
    write_text(clock_path(folder, label, seed), json.dumps(clock) + "\n")
    trace.save(trace_path(folder, label, seed))
    checkpoint.unlink(missing_ok=True)
    failure_path(folder, label, seed).unlink(missing_ok=True)


def _check_unchanged(table: Table, *, fresh: bool = False) -> None:
    """Keep nothing that a run read from a table that was altered or replaced meanwhile."""
    table.verify(fresh=fresh)
    table.check_in_place()


def _train_and_save(plan: Plan, folder: Path, checksum: str, cell: str, seed: int) -> None:
    """Train a recommended cell that the table lacks, to score it."""
    assert plan.fallback is not None
    table = _opened(plan.table, checksum)
    epochs = table.epochs[-1]
    fallback = _opened_fallback(plan.fallback, table)
    save_score(folder, cell, epochs, seed, fallback.record(Cell.from_text(cell), epochs, seed))


@functools.lru_cache(maxsize=1)
def _opened(path: Path, checksum: str) -> Table:
    """A process opens the table once for all its runs."""
    table = Table.open(path)
    if table.checksum != checksum:
        raise WrongTable(f"{path} is another table here than where the comparison was started")
    return table


def run_one(
    plan: Plan, table: Table, label: str, seed: int, checkpoint: Path | None = None
) -> Trace:
    """One run: a fresh oracle, fresh generators, until the budget refuses or the search returns.

    Args:
        plan: what is compared.
        table: the plan's, opened.
        label: of the algorithm.
        seed: of the run.
        checkpoint: where a search that shares weights keeps its state meanwhile.

    Raises:
        UnknownName: no algorithm has this label.
        InvalidSearch: the search returns or yields something else than cells.
        NotInSpace, NotInTable: a recommended cell is not in the table, and there is no fallback.
        AccountsDisagree: the search spent more than the budget, or changed what it must not.
        Exception: whatever the search raises.
    """
    checked_type(plan, Plan, "give what to compare as a Plan")
    checked_type(table, Table, "open it with Table.open")
    checked_label(label, plan.algorithms)
    seed = checked_seed(seed)
    entropy = [seed, zlib.crc32(label.encode())]
    for_oracle, for_search = map(np.random.default_rng, np.random.SeedSequence(entropy).spawn(2))
    budget = Budget(**plan.budget)  # type: ignore[arg-type]  # checked by Budget
    search = plan.algorithms[label]
    task = _task(plan, table, checkpoint) if _shares_weights(search) else None
    oracle = _oracle(plan, table, budget, for_oracle, task)
    write = functools.partial(_canonical_text, table, outside=plan.fallback is not None)
    incumbents, ended = follow(search, oracle.handle(), budget, for_search, write)
    try:
        audit(budget, table, incumbents)
    except AccountsDisagree as error:
        raise AccountsDisagree(
            f"{label} with seed {seed}: {error}; nothing of it is saved"
        ) from None
    return Trace(
        label,
        seed,
        ended,
        budget.spent_seconds,
        budget.spent_epochs,
        budget.spent_queries,
        unique_cells=_unique_cells(table, budget.ledger),
        incumbents=incumbents,
        ledger=_by_kind(budget.ledger),
    )


def _canonical_text(table: Table, cell: Cell, *, outside: bool) -> str:
    """The text of a cell in the one labelling that all its labellings share.

    Args:
        table: of the comparison.
        cell: in any labelling.
        outside: whether it may be one that the table lacks.
    """
    try:
        return table.covered[table.row(cell)].to_text()
    except (NotInSpace, NotInTable):
        if not outside:
            raise
        return canonical(cell).to_text()


def _unique_cells(table: Table, ledger: Sequence[Charge]) -> int:
    """Different cells among the answers that were paid for."""
    answers = [charge for charge in ledger if isinstance(charge.item, Answer)]
    rows = {table.covered.index(it.item.cell) for it in answers if it.kind != "training"}
    return len(rows) + len({it.item.cell for it in answers if it.kind == "training"})


def _by_kind(ledger: Sequence[Charge]) -> dict[str, Spending]:
    """The ledger summed by kind of charge, in the order of their first charges."""
    found = {}
    for kind in dict.fromkeys(charge.kind for charge in ledger):
        _, seconds, epochs, queries, _ = zip(*(it for it in ledger if it.kind == kind), strict=True)
        found[kind] = Spending(len(seconds), math.fsum(seconds), math.fsum(epochs), sum(queries))
    return found
