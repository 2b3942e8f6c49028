"""The budget-counted oracle, and what answers it."""

from nasbench_kit.oracle.answer import Answer
from nasbench_kit.oracle.budget import Budget, Charge
from nasbench_kit.oracle.oracle import Oracle, Policy
from nasbench_kit.oracle.search import Search
from nasbench_kit.oracle.source import Source, TableSource, TableThenTrainer, Trainer, TrainerSource
from nasbench_kit.oracle.task import Task

__all__ = [
    "Answer",
    "Budget",
    "Charge",
    "Oracle",
    "Policy",
    "Search",
    "Source",
    "TableSource",
    "TableThenTrainer",
    "Task",
    "Trainer",
    "TrainerSource",
]
