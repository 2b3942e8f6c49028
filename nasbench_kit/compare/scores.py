"""What the runs of a comparison are worth, by the table that no search can see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_type_hints

import numpy as np

from nasbench_kit.compare.trace import Incumbent, Spending, Trace
from nasbench_kit.errors import InvalidSetting, WrongTable
from nasbench_kit.system.files import as_path
from nasbench_kit.system.tidy import write_columns
from nasbench_kit.table.table import Table

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
    #: Of the table.
    row: int | None
    ended: str
    seconds: float
    epochs: float
    queries: int
    unique_cells: int
    #: Whether it recommended a cell before it had paid for anything.
    unpaid: bool


def scored_by(table: Table) -> str:
    """The metric that scores recommended cells: test accuracy where the table has it."""
    return "test_accuracy" if table.has("test_accuracy") else "validation_accuracy"


def regrets(table: Table) -> NDArray[np.float64]:
    """Regret of every row: best mean accuracy minus its own, at the largest fidelity.

    Source: Ying et al. 2019, section 4.1.

    Raises:
        CorruptFile: the table's file was altered.
    """
    table.verify()
    means = table.mean(scored_by(table))
    return np.max(means) - means


def score(table: Table, traces: Sequence[Trace]) -> list[Result]:
    """The flat rows of a comparison.

    Raises:
        InvalidSetting: no table, or something else than traces.
        WrongTable: a trace recommends a row that the table does not have.
        CorruptFile: the table's file was altered.
    """
    _check(table, traces)
    table.verify()
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
                row=row,
                ended=trace.ended,
                seconds=trace.seconds,
                epochs=trace.epochs,
                queries=trace.queries,
                unique_cells=trace.unique_cells,
                unpaid=trace.unpaid,
            )
        )
    return results


def write_results(folder: str | Path, table: Table, traces: Sequence[Trace]) -> list[Result]:
    """Write the tidy columns of a comparison: results, incumbents and ledger; returns the results.

    Raises:
        InvalidSetting: as ``score``.
        CorruptFile: the table's file was altered; nothing is written.
        WrongTable: another table has taken its place, or as ``score``; likewise.
        NotWritable: the folder cannot be written.
    """
    folder = as_path(folder, "folder of the results")
    results = score(table, traces)
    columns = fields(Result)
    regret = regrets(table)
    table.verify(fresh=True)  # after all that is read from it, before anything is written
    table.check_in_place()
    write_columns(
        folder / "results",
        {field.name: [getattr(result, field.name) for result in results] for field in columns},
        {field.name: str(field.type) for field in columns},
    )
    steps = _stacked(traces, [trace.incumbents for trace in traces], Incumbent)
    steps["regret"] = regret[np.array(steps["row"], np.int64)]
    write_columns(folder / "incumbents", steps, _types(Incumbent))
    spendings = _stacked(traces, [list(trace.ledger.values()) for trace in traces], Spending)
    kinds = [kind for trace in traces for kind in trace.ledger]
    write_columns(folder / "ledger", spendings | {"kind": kinds}, _types(Spending))
    return results


def _check(table: Table, traces: Sequence[Trace]) -> None:
    if not isinstance(table, Table):
        raise InvalidSetting(f"the table is {table!r}; open it with Table.open")
    if not isinstance(traces, Sequence) or not all(isinstance(it, Trace) for it in traces):
        raise InvalidSetting(f"the traces are {traces!r:.80}; give those of run or all_traces")
    for trace in traces:
        for step in trace.incumbents:
            if not 0 <= step.row < len(table):
                raise WrongTable(
                    f"the trace of {trace.algorithm} with seed {trace.seed} recommends row {step.row} "
                    f"of {len(table):,}; give the table that the comparison was made on"
                )


def _stacked(
    traces: Sequence[Trace], groups: Sequence[Sequence[NamedTuple]], kind: type[NamedTuple]
) -> dict[str, Any]:
    """One row for each tuple of each trace, by column: algorithm, seed, then the tuple's fields."""
    rows = [row for group in groups for row in group]
    columns = zip(*rows, strict=True) if rows else [()] * len(kind._fields)
    owners = [trace for trace, group in zip(traces, groups, strict=True) for _ in group]
    return {
        "algorithm": [trace.algorithm for trace in owners],
        "seed": [trace.seed for trace in owners],
        **dict(zip(kind._fields, columns, strict=True)),
    }


def _types(kind: type[NamedTuple]) -> dict[str, str]:
    fields = {name: hint.__name__ for name, hint in get_type_hints(kind).items()}
    return {"algorithm": "str", "seed": "int", "kind": "str", **fields}
