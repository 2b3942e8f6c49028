"""Comparisons: running a plan of (algorithm, seed), resuming it, scoring what it recommends."""

from nasbench_kit.compare.benchmark import Benchmark
from nasbench_kit.compare.one_run import run_one
from nasbench_kit.compare.plan import Plan, RewardImages
from nasbench_kit.compare.run_folder import all_traces
from nasbench_kit.compare.running import missing, run
from nasbench_kit.compare.scores import (
    Result,
    Scores,
    metric_in_words,
    regrets,
    results_of,
    score,
    scored_by,
    write_results,
)
from nasbench_kit.compare.trace import Trace

__all__ = [
    "Benchmark",
    "Plan",
    "Result",
    "RewardImages",
    "Scores",
    "Trace",
    "all_traces",
    "metric_in_words",
    "missing",
    "regrets",
    "results_of",
    "run",
    "run_one",
    "score",
    "scored_by",
    "write_results",
]
