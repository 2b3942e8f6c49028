"""What searches with a model compute in a run of 150 queries, in seconds of one processor core.

    python tests/benchmarks/model_speed.py

On the space of all cells (the surrogate's table) and on a made-up table of NAS-Bench-Macro.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy and torch are imported

import time

import numpy as np

from nasbench_kit import Budget, Oracle, Table
from nasbench_kit.algorithms import ALGORITHMS
from nasbench_kit.data.tables import open_table
from nasbench_kit.spaces.layers.nasbench_macro import NASBenchMacro
from nasbench_kit.testing.made_up import made_up_table
from nasbench_kit.testing.searches import yielded

SEARCHES = ("bananas", "nasbot", "nasbot-naszilla", "auto-keras-bo", "nas-bowl", "smac")
QUERIES = 150


def seconds(name: str, table: Table) -> float:
    """Of computing, the oracle's answers included; waiting for other processes does not count."""
    oracle = Oracle(table, Budget(queries=QUERIES), np.random.default_rng(0), policy="mean")
    began = time.process_time()
    list(yielded(ALGORITHMS[name](), oracle, 0))
    assert oracle.budget.spent_queries == QUERIES
    return time.process_time() - began


def main() -> None:
    """Print a row for each search."""
    tables = {
        "nasbench101-surrogate": open_table("nasbench101-surrogate"),
        "nasbench-macro": made_up_table(NASBenchMacro()),
    }
    for name in SEARCHES:
        for label, table in tables.items():
            if not (name == "nasbot-naszilla" and label == "nasbench-macro"):  # of cells only
                print(f"{name:16} {label:22} {seconds(name, table):6.1f} s", flush=True)


if __name__ == "__main__":
    main()
