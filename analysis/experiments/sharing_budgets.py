"""Where weight sharing wins: budgets of 1 to 100 trainings, and shares of them for shared weights.

    python analysis/experiments/sharing_budgets.py run --out runs/sharing-budgets.jsonl --workers 2

A budget is counted in trainings: the mean price of an architecture at the largest fidelity. Of it shared
weights take a share, and the rest pays for queries of the architectures that they rank best; with 100 %
nothing is queried. A query answers with one training of two, each architecture is asked for once, and
the third training, which no search of the run sees, scores what it recommends. Two random searches have
the same budget for queries alone: over encodings, and over unique cells. Settings are those of the small presets, or of a file that
``tests/benchmarks/sharing_presets.py best`` prints. A line of the file is a run.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nasbench_kit.algorithms import ALGORITHMS, RandomSearch
from nasbench_kit.compare import Plan
from nasbench_kit.compare.one_run import run_one
from nasbench_kit.compare.scores import Scores, results_of
from nasbench_kit.data.tables import find, open_table
from nasbench_kit.data.tasks import open_task
from nasbench_kit.system.measured import torch_threads
from nasbench_kit.system.recorded_runs import Job, record
from nasbench_kit.table.table import Table

TABLE = "noisy-digits"
BUDGETS, SHARES = (1, 3, 10, 30, 100), (0.03, 0.1, 0.3, 1.0)
METHODS = ("random-weight-sharing", "darts")
#: Random searches at equal spend, drawing as a method may draw its candidates.
CONTROLS = {
    "distinct-random-search": RandomSearch(distinct=True),
    "distinct-random-search-over-cells": RandomSearch(distinct=True, sampling="cells"),
}
SEEDS = 30
#: Runs of the controls: they cost next to nothing.
CONTROL_SEEDS = 300


def jobs(methods: Sequence[str]) -> Iterator[Job]:
    """Method, budget in trainings, share, seed: cheap runs first, a few seeds of all before many of some."""
    for budget in BUDGETS:
        yield from ((name, budget, 0.0, seed) for name in CONTROLS for seed in range(CONTROL_SEEDS))
    spends = [(budget, share) for budget in BUDGETS for share in SHARES]
    for low, high in ((0, 10), (10, 20), (20, SEEDS)):
        for budget, share in spends:
            if budget * share <= 30:
                yield from (
                    (name, budget, share, seed) for seed in range(low, high) for name in methods
                )
    for seed in range(SEEDS):
        for budget, share in spends:
            if budget * share > 30:
                yield from ((name, budget, share, seed) for name in methods)


@functools.cache
def _table() -> Table:
    """A process opens the table once."""
    return open_table(TABLE)


def search_and_score(
    settings: dict[str, dict[str, Any]], name: str, budget: float, share: float, seed: int
) -> dict[str, Any]:
    """One run: regret in [0, 1] of what it recommends; None where the budget paid for nothing."""
    table = _table()
    if share:
        changes = settings.get(name, {})
        search: Any = replace(ALGORITHMS[f"{name}-small"](), share=share, **changes)  # type: ignore[type-var]
    else:
        search = CONTROLS[name]
    plan = Plan(
        find(TABLE),
        {name: search},
        [seed],
        {"seconds": budget * float(table.mean("seconds").mean())},
        policy="once",
        task=open_task,
        held_out_repeats=1,
    )
    with torch_threads(1):
        trace = run_one(plan, table, name, seed)
    (result,) = results_of(Scores(table, held_out=1), [trace])
    return {
        "regret": result.regret,
        "row": result.row,
        "queries": result.queries,
        "seconds": result.seconds,
    }


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["run"])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--settings", type=Path)
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=math.inf)
    args = parser.parse_args()
    settings = json.loads(args.settings.read_text()) if args.settings else {}
    work = functools.partial(search_and_score, settings)
    record(work, jobs(args.methods), args.out, workers=args.workers, minutes=args.minutes)


if __name__ == "__main__":
    main()
