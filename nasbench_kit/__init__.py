"""Compare architecture search algorithms on a tabular benchmark, query by counted query."""

from nasbench_kit.errors import (
    BudgetExhausted,
    CorruptFile,
    DownloadFailed,
    InvalidCell,
    InvalidSetting,
    NasbenchKitError,
    NotInSpace,
    NotInTable,
    NotRecorded,
    NotWritable,
    Stalled,
    TrainingFailed,
    UnknownName,
    WorkerDied,
    WrongTable,
)
from nasbench_kit.oracle.answer import Answer
from nasbench_kit.oracle.budget import Budget, Charge
from nasbench_kit.oracle.oracle import Oracle
from nasbench_kit.spaces.nasbench101.cell import Cell, register_operation
from nasbench_kit.spaces.nasbench101.space import CellSpace
from nasbench_kit.table.table import Column, Table

__all__ = [
    "Answer",
    "Budget",
    "BudgetExhausted",
    "Cell",
    "CellSpace",
    "Charge",
    "Column",
    "CorruptFile",
    "DownloadFailed",
    "InvalidCell",
    "InvalidSetting",
    "NasbenchKitError",
    "NotInSpace",
    "NotInTable",
    "NotRecorded",
    "NotWritable",
    "Oracle",
    "Stalled",
    "Table",
    "TrainingFailed",
    "UnknownName",
    "WorkerDied",
    "WrongTable",
    "register_operation",
]
