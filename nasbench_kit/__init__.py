"""Compare architecture search algorithms on a tabular benchmark, query by counted query."""

from nasbench_kit.errors import (
    AccountsDisagree,
    BudgetExhausted,
    CorruptFile,
    DownloadFailed,
    InvalidCell,
    InvalidSetting,
    NasbenchKitError,
    NotCopyable,
    NotInSpace,
    NotInTable,
    NotRecorded,
    NotWritable,
    ReadOnlyAttribute,
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
    "AccountsDisagree",
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
    "NotCopyable",
    "NotInSpace",
    "NotInTable",
    "NotRecorded",
    "NotWritable",
    "Oracle",
    "ReadOnlyAttribute",
    "Stalled",
    "Table",
    "TrainingFailed",
    "UnknownName",
    "WorkerDied",
    "WrongTable",
    "register_operation",
]
