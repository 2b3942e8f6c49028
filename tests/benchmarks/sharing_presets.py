"""Tune the small presets of weight sharing on the digits, and report on seeds that were not tuned on.

    python tests/benchmarks/sharing_presets.py tune --seeds 0 1 --out tuning.jsonl
    python tests/benchmarks/sharing_presets.py tune --only "lr=.1" "lr=.025, cells" --seeds 100 101 --out report.jsonl
    python tests/benchmarks/sharing_presets.py show tuning.jsonl

The space of settings is `CANDIDATES`: one change at a time from the presets, and those together that
helped. Every run may spend 25 seconds of the table's clock on shared weights alone. Afterwards (and,
with ``--moments``, evenly before) 300 cells, the same for all, are scored with all reward images. What
counts is tau-b between these scores and the table's mean test accuracies; the regret of the cell that
is recommended at the end is shown beside it, in points. A line of the file is one moment of one run.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import kendalltau

from nasbench_kit import Budget, Oracle, Table
from nasbench_kit.algorithms import ALGORITHMS
from nasbench_kit.algorithms.weight_sharing.training import SharedWeights
from nasbench_kit.data.tasks import open_task
from nasbench_kit.errors import BudgetExhausted

#: Seconds of the table's clock for training; cells that are scored.
SECONDS, CELLS = 25.0, 300

_FIRST: dict[str, Any] = {"learning_rate": 0.1, "sampling": "encodings", "paths_per_step": 1}


def _random(**changes: Any) -> tuple[str, dict[str, Any]]:
    return "random-weight-sharing-small", {**_FIRST, **changes}


def _darts(**changes: Any) -> tuple[str, dict[str, Any]]:
    first = {"learning_rate": 0.1, "architecture_learning_rate": 0.012}
    return "darts-small", {**first, **changes}


#: Name -> preset and the settings that are changed in it.
CANDIDATES: dict[str, tuple[str, dict[str, Any]]] = {
    "lr=.1": _random(),
    "lr=.05": _random(learning_rate=0.05),
    "lr=.025": _random(learning_rate=0.025),
    "lr=.01": _random(learning_rate=0.01),
    "lr=.1, cells": _random(sampling="cells"),
    "lr=.025, cells": _random(learning_rate=0.025, sampling="cells"),
    "lr=.025, fair": _random(learning_rate=0.025, sampling="fair"),
    "lr=.05, cells": _random(learning_rate=0.05, sampling="cells"),
    "lr=.05, fair": _random(learning_rate=0.05, sampling="fair"),
    "lr=.025, cells, 2 paths": _random(learning_rate=0.025, sampling="cells", paths_per_step=2),
    "lr=.05, cells, 2 paths": _random(learning_rate=0.05, sampling="cells", paths_per_step=2),
    "lr=.05, cells, 4 paths": _random(learning_rate=0.05, sampling="cells", paths_per_step=4),
    "darts, lr=.1": _darts(),
    "darts, lr=.025": _darts(learning_rate=0.025),
    "darts, lr=.025, a=.003": _darts(learning_rate=0.025, architecture_learning_rate=0.003),
    "darts, lr=.025, a=.03": _darts(learning_rate=0.025, architecture_learning_rate=0.03),
    "darts, lr=.025, no decay": _darts(learning_rate=0.025, architecture_weight_decay=0.0),
    "gdas, lr=.1": ("gdas-small", {"learning_rate": 0.1}),
    "gdas, lr=.025": ("gdas-small", {"learning_rate": 0.025}),
    "snas, lr=.1": ("snas-small", {"learning_rate": 0.1}),
    "snas, lr=.025": ("snas-small", {"learning_rate": 0.025}),
}


def run(table: Table, name: str, seed: int, moments: int) -> list[dict[str, Any]]:
    """Train with a candidate's settings, and score at some moments, the end included."""
    preset, changes = CANDIDATES[name]
    search: Any = replace(ALGORITHMS[preset](), share=1.0, **changes)  # type: ignore[type-var]
    budget = Budget(seconds=SECONDS)
    oracle = Oracle(table, budget, np.random.default_rng([seed, 1]), task=open_task(table))
    shared = SharedWeights(oracle, np.random.default_rng([seed, 2]), search)
    under_way = search.begin(shared)
    rows = np.random.default_rng(0).choice(len(table.space), CELLS, replace=False)
    truth = table.mean("test_accuracy")
    begun, row = time.process_time(), -1
    taken: list[dict[str, Any]] = []

    def moment() -> dict[str, Any]:
        scores = [shared.whole_reward(table.space[int(one)]) for one in rows]
        return {
            "settings": name,
            "seed": seed,
            "share": round(shared.spent_share, 3),
            "tau": float(kendalltau(scores, truth[rows]).statistic),
            "regret": 100 * float(truth.max() - truth[row]),
            "cpu_seconds": round(time.process_time() - begun, 1),
        }

    try:
        for cell in shared.trained(under_way):
            row = table.space.index(cell)
            if len(taken) + 1 <= moments * shared.spent_share < moments:
                taken.append(moment())
    except BudgetExhausted:
        taken.append(moment())
    return taken


def show(path: Path) -> None:
    """Means over seeds at the end, with standard errors."""
    last: dict[tuple[str, int], dict[str, Any]] = {}
    for line in path.read_text().splitlines():
        taken = json.loads(line)
        last[taken["settings"], taken["seed"]] = taken
    by_name = defaultdict(list)
    for (name, _), taken in last.items():
        by_name[name].append((taken["tau"], taken["regret"], taken["cpu_seconds"]))
    print(
        "| settings | seeds | tau-b | regret, points | processor seconds a run |\n| --- | --- | --- | --- | --- |"
    )
    for name, runs in by_name.items():
        tau, regret, seconds = np.array(runs).T
        error = tau.std(ddof=1) / len(tau) ** 0.5 if len(tau) > 1 else float("nan")
        print(
            f"| {name} | {len(tau)} | {tau.mean():.3f} ± {error:.3f} | {regret.mean():.2f} "
            f"| {seconds.mean():.0f} |"
        )


def main() -> None:
    """Tune, or show what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    tune = commands.add_parser("tune")
    tune.add_argument("--only", nargs="+", default=list(CANDIDATES), choices=list(CANDIDATES))
    tune.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    tune.add_argument("--moments", type=int, default=1)
    tune.add_argument("--out", type=Path, required=True)
    commands.add_parser("show").add_argument("file", type=Path)
    args = parser.parse_args()
    if args.command == "show":
        show(args.file)
        return
    torch.set_num_threads(1)
    table = Table.open(Path(__file__).parents[2] / "data/tables/digits.h5")
    with args.out.open("a") as file:
        for seed in args.seeds:
            for name in args.only:
                for moment in run(table, name, seed, args.moments):
                    file.write(json.dumps(moment) + "\n")
                file.flush()


if __name__ == "__main__":
    main()
