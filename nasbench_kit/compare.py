"""A comparison: the plan of (algorithm, seed), running it, resuming it, scoring it.

Every run has its own oracle and its own generators, drawn from (seed, name of the algorithm), so the
result does not depend on how the work is spread over processes, and the runs of two algorithms are
independent. A finished run is one trace file; a second call runs what is missing.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.budget import Budget
from nasbench_kit.errors import (
    BudgetExhausted,
    CorruptFile,
    InvalidSetting,
    NasbenchKitError,
    Stalled,
    WrongTable,
)
from nasbench_kit.files import write_text
from nasbench_kit.oracle import Oracle, Policy
from nasbench_kit.table import Table
from nasbench_kit.trace import Incumbent, Trace
from nasbench_kit.version import __version__
from nasbench_kit.workers import Progress, check_workers, spread

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_kit.search import Search


@dataclass(frozen=True)
class Plan:
    """What to compare: every algorithm with every seed, under one budget on one table.

    Raises:
        InvalidSetting: no algorithm, no seed, no budget, or a limit that is none.
    """

    table: Path
    algorithms: Mapping[str, Search]
    seeds: Sequence[int]
    #: Limits by name: "seconds", "epochs", "queries".
    budget: Mapping[str, float]
    policy: Policy = "always"

    def __post_init__(self) -> None:
        if not self.algorithms or not self.seeds:
            raise InvalidSetting("nothing to compare; name at least one algorithm and one seed")
        if not self.budget:
            raise InvalidSetting("the comparison has no budget; limit seconds, epochs or queries")
        Budget(**self.budget)  # type: ignore[arg-type]  # says what is wrong with a limit

    def manifest(self, table: Table) -> dict[str, Any]:
        """All that the results depend on, to be found again beside them."""
        return {
            "nasbench_kit": __version__,
            "numpy": np.__version__,
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
            "algorithms": {name: _settings(search) for name, search in self.algorithms.items()},
        }


@dataclass(frozen=True)
class Result:
    """How one run ended, scored: one flat row."""

    algorithm: str
    seed: int
    #: Of the last recommended cell, accuracy in [0, 1]; None where nothing was recommended.
    regret: float | None
    #: Mean accuracy of that cell over the repeats, in [0, 1].
    accuracy: float | None
    cell: str | None
    ended: str
    seconds: float
    epochs: float
    queries: int
    unique_cells: int


def run(
    plan: Plan,
    folder: Path,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> list[Trace]:
    """Run what is missing of a plan, and return all its traces in the order of the plan.

    Traces go to ``folder/traces``, the conditions to ``folder/manifest.json``, and measured seconds
    (which differ from time to time) to ``folder/clock``.

    Raises:
        WrongTable: the folder holds results made under other conditions.
        CorruptFile: the table was altered.
        NotWritable: the folder cannot be written.
    """
    check_workers(workers)
    table = Table.open(plan.table)
    table.verify()
    manifest = json.loads(json.dumps(plan.manifest(table)))
    _claim(folder, manifest)
    jobs = [(name, seed) for name in plan.algorithms for seed in plan.seeds]
    missing = [job for job in jobs if not _trace_path(folder, *job).exists()]
    batches = [(plan, folder, batch) for batch in _batches(missing, workers)]
    spread(_run_batch, batches, workers, progress and _in_runs(progress, batches, len(missing)))
    return [Trace.load(_trace_path(folder, *job)) for job in jobs]


def all_traces(folder: Path) -> list[Trace]:
    """Every finished run of a folder: by algorithm as they were added, then by seed."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    order = list(manifest["algorithms"])
    traces = [Trace.load(path) for path in (folder / "traces").glob("*.json")]
    return sorted(traces, key=lambda trace: (order.index(trace.algorithm), trace.seed))


def run_one(plan: Plan, table: Table, name: str, seed: int) -> Trace:
    """One run: a fresh oracle, fresh generators, until the budget refuses or the search returns.

    Raises:
        NasbenchKitError: the search spent more than the budget, which is a bug of this toolkit.
    """
    entropy = [seed, zlib.crc32(name.encode())]
    for_oracle, for_search = map(np.random.default_rng, np.random.SeedSequence(entropy).spawn(2))
    budget = Budget(**plan.budget)  # type: ignore[arg-type]  # checked by Budget
    oracle = Oracle(table, budget, for_oracle, policy=plan.policy)
    incumbents: list[Incumbent] = []
    recommended = None
    try:
        for cell in plan.algorithms[name](oracle, for_search):
            if cell is not recommended:
                recommended = cell
                row = oracle.space.index(cell)
                if not incumbents or row != incumbents[-1].row:
                    incumbents.append(
                        Incumbent(
                            budget.spent_seconds, budget.spent_epochs, budget.spent_queries, row
                        )
                    )
        ended = "finished"
    except Stalled:
        ended = "stalled"
    except BudgetExhausted:
        ended = "budget"
    for what, limit, spent in budget.meters():
        if spent > limit:
            raise NasbenchKitError(f"{name} spent {spent} of {limit} {what}")
    return Trace(
        name,
        seed,
        ended,
        budget.spent_seconds,
        budget.spent_epochs,
        budget.spent_queries,
        unique_cells=len({oracle.space.index(charge.item.cell) for charge in budget.ledger}),
        incumbents=incumbents,
    )


# Scoring -------------------------------------------------------------------------------------


def scored_by(table: Table) -> str:
    """The metric that scores recommended cells: test accuracy where the table has it."""
    return "test_accuracy" if table.has("test_accuracy") else "validation_accuracy"


def regrets(table: Table) -> NDArray[np.float64]:
    """Regret of every row: best mean accuracy minus its own, at the largest fidelity.

    Source: Ying et al. 2019, section 4.1.
    """
    means = table.mean(scored_by(table))
    return np.max(means) - means


def score(table: Table, traces: Sequence[Trace]) -> list[Result]:
    """The flat rows of a comparison."""
    means = table.mean(scored_by(table))
    best = means.max()
    results = []
    for trace in traces:
        row = trace.incumbents[-1].row if trace.incumbents else None
        results.append(
            Result(
                algorithm=trace.algorithm,
                seed=trace.seed,
                regret=None if row is None else float(best - means[row]),
                accuracy=None if row is None else float(means[row]),
                cell=None if row is None else table.covered[row].to_text(),
                ended=trace.ended,
                seconds=trace.seconds,
                epochs=trace.epochs,
                queries=trace.queries,
                unique_cells=trace.unique_cells,
            )
        )
    return results


# Spreading the work --------------------------------------------------------------------------


def _in_runs(progress: Progress, batches: Sequence[tuple[Any, ...]], runs: int) -> Progress:
    """A progress of batches as one of runs; batches end in any order, but are of one size."""
    size = len(batches[0][-1]) if batches else 1
    return lambda done, _: progress(min(done * size, runs), runs)


def _batches(jobs: Sequence[tuple[str, int]], workers: int) -> list[Sequence[tuple[str, int]]]:
    """Runs that one process makes with the table opened once."""
    size = max(1, min(16, len(jobs) // (4 * max(1, workers))))
    return [jobs[start : start + size] for start in range(0, len(jobs), size)]


def _run_batch(plan: Plan, folder: Path, jobs: Sequence[tuple[str, int]]) -> None:
    table = Table.open(plan.table)
    for name, seed in jobs:
        started = time.perf_counter()
        trace = run_one(plan, table, name, seed)
        measured = {"seconds": time.perf_counter() - started}
        write_text(folder / "clock" / f"{name}-{seed}.json", json.dumps(measured) + "\n")
        trace.save(_trace_path(folder, name, seed))


def _trace_path(folder: Path, name: str, seed: int) -> Path:
    return folder / "traces" / f"{name}-{seed}.json"


def _claim(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest, or check that the folder's own is the same (algorithms may be added)."""
    path = folder / "manifest.json"
    if path.exists():
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
            known["algorithms"].keys()
        except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise CorruptFile(f"{path} is no manifest ({error}); choose another folder") from error
        for key, value in manifest.items():
            if key == "algorithms":
                shared = value.keys() & known.get(key, {}).keys()
                differs = any(value[name] != known[key][name] for name in shared)
            else:
                differs = known.get(key) != value
            if differs:
                raise WrongTable(
                    f"{folder} holds results with another {key} ({_brief(known.get(key))}, now "
                    f"{_brief(value)}); choose another folder, or delete it"
                )
        manifest = {**manifest, "algorithms": {**known["algorithms"], **manifest["algorithms"]}}
    write_text(path, json.dumps(manifest, indent=1) + "\n")


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _settings(search: Search) -> dict[str, Any]:
    """Class and hyper-parameters of a search, as JSON can hold them."""
    values: dict[str, Any] = {}
    if is_dataclass(search):
        values = {field.name: getattr(search, field.name) for field in fields(search)}
    return {"class": type(search).__qualname__, **values}


def as_rows(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Results as plain dictionaries, for JSON and CSV."""
    return [asdict(result) for result in results]
