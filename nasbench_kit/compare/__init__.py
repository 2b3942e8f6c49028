"""Comparisons: running a plan of (algorithm, seed), resuming it, scoring what it recommends."""

from nasbench_kit.compare.run_folder import all_traces
from nasbench_kit.compare.running import Plan, RewardImages, missing, run, run_one
from nasbench_kit.compare.scores import Result, Scores, regrets, score, scored_by, write_results
from nasbench_kit.compare.trace import Trace

__all__ = [
    "Plan",
    "Result",
    "RewardImages",
    "Scores",
    "Trace",
    "all_traces",
    "missing",
    "regrets",
    "run",
    "run_one",
    "score",
    "scored_by",
    "write_results",
]
