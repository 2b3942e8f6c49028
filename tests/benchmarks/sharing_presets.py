"""Tune the small presets of weight sharing, and report on seeds that were not tuned on.

    python tests/benchmarks/sharing_presets.py run --table noisy-digits --out presets.jsonl --workers 2
    python tests/benchmarks/sharing_presets.py show --table noisy-digits --out presets.jsonl
    python tests/benchmarks/sharing_presets.py best --table noisy-digits --out presets.jsonl > best.json

The space of settings is `CANDIDATES`. A run may spend `TRAININGS` trainings' worth (of the mean price of
an architecture at the largest fidelity) on shared weights: training, and the ranking of candidates where
a method ranks them. What counts in tuning is the mean regret of the ten architectures that the search
would query first (of one that proposes none, it is that of a random choice). ``run`` tunes with the seeds of `TUNING`, then reports the best of every method and its
preset with the seeds of `REPORT`: tau-b between the scores of 100 architectures by shared weights and
their true means, at four moments of the training; the regret of the first architecture; and that of the
first ten. Regrets are by all trainings of the table, those kept for scores included.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import json
import math
import re
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nasbench_kit import Budget, Oracle
from nasbench_kit.algorithms import ALGORITHMS, RandomSearch
from nasbench_kit.compare.scores import regrets
from nasbench_kit.data.tables import open_table
from nasbench_kit.data.tasks import open_task
from nasbench_kit.errors import BudgetExhausted
from nasbench_kit.oracle.task import Task
from nasbench_kit.system.recorded_runs import Job, record, recorded
from nasbench_kit.table.table import Table

#: Budget of one run by table, in trainings (some 15 and 13 seconds of the tables).
TRAININGS = {"noisy-digits": 30, "digits": 10}
#: Architectures that are scored, and that would be queried first.
SCORED, FIRST = 100, 10
TUNING, REPORT = range(2), range(100, 108)
MOMENTS = 4


def _candidates() -> dict[str, tuple[str, dict[str, Any]]]:
    """Name -> preset, and the settings that are changed in it."""
    rws, darts, enas = "random-weight-sharing-small", "darts-small", "enas-small"
    listed: list[tuple[str, dict[str, Any]]] = []
    for rate, sampling in itertools.product((0.1, 0.05, 0.025), ("encodings", "cells", "fair")):
        changes = {"learning_rate": rate, "sampling": sampling, "batch_size": 25}
        listed.append((rws, changes))
    for rate, sampling in ((0.1, "encodings"), (0.1, "cells"), (0.1, "fair"), (0.025, "cells")):
        changes = {"learning_rate": rate, "sampling": sampling, "batch_size": 50}
        listed.append((rws, changes))
    more = {"learning_rate": 0.1, "sampling": "cells", "batch_size": 25, "paths_per_step": 2}
    listed.append((rws, more))
    listed.append((rws, {"learning_rate": 0.2, "sampling": "fair", "batch_size": 25}))
    for size, rate, logits in (
        (50, 0.1, 0.012),
        (50, 0.025, 0.012),
        (25, 0.1, 0.003),
        (25, 0.1, 0.012),
        (25, 0.1, 0.05),
        (25, 0.025, 0.012),
        (25, 0.025, 0.05),
    ):
        changes = {"batch_size": size, "learning_rate": rate, "architecture_learning_rate": logits}
        listed.append((darts, changes))
    undecayed = {"architecture_learning_rate": 0.012, "architecture_weight_decay": 0.0}
    listed.append((darts, {"batch_size": 25, "learning_rate": 0.1, **undecayed}))
    for size, rate, controller, steps in (
        (50, 0.1, 0.0035, 5),
        (25, 0.1, 0.0035, 5),
        (25, 0.1, 0.01, 10),
        (25, 0.05, 0.0035, 10),
    ):
        rates = {"learning_rate": rate, "controller_learning_rate": controller}
        listed.append((enas, {"batch_size": size, **rates, "controller_steps": steps}))
    return {
        f"{preset.removesuffix('-small')}({', '.join(f'{k}={v}' for k, v in changes.items())})": (
            preset,
            changes,
        )
        for preset, changes in listed
    }


CANDIDATES = _candidates()
#: The candidate that is the preset as it was before tuning, by method.
BEFORE = {
    "random-weight-sharing": "random-weight-sharing(learning_rate=0.1, sampling=encodings, batch_size=50)",
    "darts": "darts(batch_size=50, learning_rate=0.1, architecture_learning_rate=0.012)",
    "enas": (
        "enas(batch_size=50, learning_rate=0.1, controller_learning_rate=0.0035, controller_steps=5)"
    ),
}


def method(candidate: str) -> str:
    """The method of a candidate."""
    return candidate.partition("(")[0]


@functools.cache
def _opened(name: str) -> tuple[Table, Task]:
    """A process opens a table, and fits its prices, once."""
    table = open_table(name)
    return table, open_task(table)


def train_and_rank(table_name: str, candidate: str, seed: int) -> dict[str, Any]:
    """One run: the moments of its training, and the regrets of what it would query first."""
    import torch
    from scipy.stats import kendalltau

    from nasbench_kit.algorithms.weight_sharing.training import SharedWeights

    torch.set_num_threads(1)
    table, task = _opened(table_name)
    loss = regrets(table)
    seconds = TRAININGS[table_name] * float(table.mean("seconds").mean())
    preset, changes = CANDIDATES[candidate]
    # With half of twice the seconds, the search keeps what it would for ranking candidates.
    search: Any = replace(ALGORITHMS[preset](), share=0.5, **changes)  # type: ignore[type-var]
    budget = Budget(seconds=2 * seconds)
    oracle = Oracle(table, budget, np.random.default_rng([seed, 1]), task=task)
    shared = SharedWeights(oracle, np.random.default_rng([seed, 2]), search)
    rows = np.random.default_rng(0).choice(len(table.space), SCORED, replace=False)
    moments = MOMENTS if seed in REPORT else 1
    taken: list[dict[str, float]] = []

    def moment() -> None:
        scores = [shared.whole_reward(table.space[int(row)]) for row in rows]
        tau = float(kendalltau(scores, -loss[rows]).statistic)
        spent = budget.spent_seconds / float(table.mean("seconds").mean())
        taken.append({"trainings": round(spent, 3), "tau": tau if math.isfinite(tau) else 0.0})

    begun = time.process_time()
    under_way = search.begin(shared)
    try:
        for _ in shared.trained(under_way):
            if len(taken) + 1 <= moments * shared.spent_share < moments:
                moment()
    except BudgetExhausted:
        moment()
    proposed = itertools.islice(under_way.candidates(), FIRST)
    # A controller that has collapsed onto what is no architecture proposes nothing.
    first = [float(loss[table.space.index(each)]) for each in proposed] or [float(loss.mean())]
    spent = time.process_time() - begun
    return {"moments": taken, "first": first, "processor_seconds": round(spent, 1)}


def regret(run: dict[str, Any]) -> float:
    """Mean regret of the first architectures."""
    return float(np.mean(run["first"]))


def tuned(runs: dict[Job, dict[str, Any]], table: str) -> dict[str, str]:
    """The best candidate of every method, by the tuning seeds."""
    means = {
        name: np.mean([regret(runs[table, name, seed]) for seed in TUNING])
        for name in CANDIDATES
        if all((table, name, seed) in runs for seed in TUNING)
    }
    return {
        each: min((name for name in means if method(name) == each), key=means.__getitem__)
        for each in BEFORE
        if any(method(name) == each for name in means)
    }


def random_search(table_name: str, sampling: str) -> list[float]:
    """Regrets of a random search that asks for no architecture twice, with the same spend."""
    table, _ = _opened(table_name)
    loss = regrets(table)
    seconds = TRAININGS[table_name] * float(table.mean("seconds").mean())
    ends = []
    for seed in range(100):
        oracle = Oracle(
            table, Budget(seconds=seconds), np.random.default_rng([seed, 1]), policy="once"
        )
        search = RandomSearch(distinct=True, sampling=sampling)
        with contextlib.suppress(BudgetExhausted):
            for architecture in search(oracle, np.random.default_rng([seed, 2])):
                last = architecture
        ends.append(float(loss[table.space.index(last)]))
    return ends


def _mean(values: Iterable[float]) -> str:
    """Mean and its standard error."""
    listed = list(values)
    if len(listed) < 2:
        return f"{np.mean(listed):.3f}"
    return f"{np.mean(listed):.3f} ± {np.std(listed, ddof=1) / len(listed) ** 0.5:.3f}"


def show(runs: dict[Job, dict[str, Any]], table: str) -> None:
    """Means over seeds with standard errors, regrets in points."""
    for sampling in ("encodings", "cells"):
        ends = _mean(100 * end for end in random_search(table, sampling))
        print(f"Random search over {sampling}, {TRAININGS[table]} trainings: {ends} points")
    for title, seeds in (("Tuning", TUNING), ("Report, on other seeds", REPORT)):
        print(
            f"\n{title}\n\n| settings | seeds | tau-b | first, points | first {FIRST}, points | s |"
        )
        print("| --- | --- | --- | --- | --- | --- |")
        for name in CANDIDATES:
            some = [runs[job] for seed in seeds if (job := (table, name, seed)) in runs]
            if not some:
                continue
            taus = [
                _mean(run["moments"][place]["tau"] for run in some)
                for place in range(min(len(run["moments"]) for run in some))
            ]
            print(
                f"| {name} | {len(some)} | {', '.join(taus)} "
                f"| {_mean(100 * run['first'][0] for run in some)} "
                f"| {_mean(100 * np.mean(run['first']) for run in some)} "
                f"| {np.mean([run['processor_seconds'] for run in some]):.0f} |"
            )


def run(args: argparse.Namespace) -> None:
    """Tune; when that is done, report."""
    begun = time.monotonic()

    def recording(jobs: list[Job]) -> bool:
        left = args.minutes - (time.monotonic() - begun) / 60
        return record(train_and_rank, jobs, args.out, workers=args.workers, minutes=left)

    tried = [name for name in CANDIDATES if re.search(args.only, name)]
    if recording([(args.table, name, seed) for seed in TUNING for name in tried]):
        best = tuned(recorded(args.out), args.table)
        names = dict.fromkeys([*best.values(), *(BEFORE[each] for each in best)])
        recording([(args.table, name, seed) for seed in REPORT for name in names])


def main() -> None:
    """Run what is missing, show what came of it, or print the best settings as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["run", "show", "best"])
    parser.add_argument("--table", default="noisy-digits")
    parser.add_argument("--only", default="", metavar="REGEX", help="candidates to tune among")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=math.inf)
    args = parser.parse_args()
    if args.command == "run":
        run(args)
    elif args.command == "show":
        show(recorded(args.out), args.table)
    else:
        best = tuned(recorded(args.out), args.table)
        print(json.dumps({each: CANDIDATES[name][1] for each, name in best.items()}, indent=1))


if __name__ == "__main__":
    main()
