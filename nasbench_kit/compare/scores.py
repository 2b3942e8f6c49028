"""What the runs of a comparison are worth, by the table that no search can see.

A recommended cell that the table lacks is worth what trainings of it came to that were made after the
runs (`nasbench_kit.compare.trained_scores`). It may beat the table's best cell: then its regret is negative.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_type_hints

import numpy as np

from nasbench_kit.compare.trace import Incumbent, Spending, Trace
from nasbench_kit.compare.trained_scores import row_of, trained_accuracies
from nasbench_kit.errors import InvalidSetting, NotInTable
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
    #: Of the last recommended cell, accuracy in [0, 1]; None where nothing was recommended. Negative
    #: where a cell outside the table beats the table's best.
    regret: float | None
    #: Mean accuracy of that cell over the repeats, in [0, 1].
    accuracy: float | None
    cell: str | None
    #: Of the table; None also where the table lacks the cell.
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


class Scores:
    """What cells are worth, by their text.

    Args:
        table: of the comparison.
        trained: mean accuracy of cells that the table lacks, by text.

    Raises:
        CorruptFile: the table's file was altered.
    """

    def __init__(self, table: Table, trained: Mapping[str, float] | None = None) -> None:
        table.verify()
        self._table = table
        self._means = table.mean(scored_by(table))
        self._best = self._means.max()
        self._trained = trained or {}
        self._rows: dict[str, int | None] = {}

    @classmethod
    def of(cls, folder: Path, table: Table) -> Scores:
        """The scores of a comparison's folder.

        Raises:
            CorruptFile: one of its files holds no score.
        """
        return cls(table, trained_accuracies(folder, table, scored_by(table)))

    def row(self, cell: str) -> int | None:
        """The table's row of a cell; None where the table lacks it."""
        if cell not in self._rows:
            self._rows[cell] = row_of(self._table, cell)
        return self._rows[cell]

    def known(self, cell: str) -> bool:
        """Whether the cell is in the table, or trained in full."""
        return cell in self._trained or self.row(cell) is not None

    def accuracy(self, cell: str) -> float:
        """Mean accuracy in [0, 1] over the repeats at the largest fidelity.

        Raises:
            NotInTable: the table lacks the cell, and it is not trained yet.
        """
        row = self.row(cell)
        if row is not None:
            return float(self._means[row])
        if cell not in self._trained:
            raise NotInTable(
                f"the recommended cell {cell} is not in the table {self._table.name}, and is not yet "
                "trained to score it; run the same comparison again to finish it"
            )
        return self._trained[cell]

    def regret(self, cell: str) -> float:
        """The table's best mean accuracy minus the cell's; negative where the cell is better.

        Raises:
            NotInTable: as ``accuracy``.
        """
        return float(self._best - self.accuracy(cell))


def score(
    table: Table, traces: Sequence[Trace], trained: Mapping[str, float] | None = None
) -> list[Result]:
    """The flat rows of a comparison.

    Args:
        table: of the comparison.
        traces: its runs.
        trained: mean accuracy of recommended cells that the table lacks, by text.

    Raises:
        InvalidSetting: no table, or something else than traces.
        NotInTable: a run recommends a cell of which neither knows anything.
        CorruptFile: the table's file was altered.
    """
    _check(table, traces)
    return results_of(Scores(table, trained), traces)


def results_of(scores: Scores, traces: Sequence[Trace]) -> list[Result]:
    """The flat rows of runs, by scores at hand.

    Raises:
        NotInTable: a run recommends a cell that is not scored.
    """
    results = []
    for trace in traces:
        cell = trace.incumbents[-1].cell if trace.incumbents else None
        results.append(
            Result(
                algorithm=trace.algorithm,
                seed=trace.seed,
                regret=None if cell is None else scores.regret(cell),
                accuracy=None if cell is None else scores.accuracy(cell),
                cell=cell,
                row=None if cell is None else scores.row(cell),
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
        CorruptFile: it holds a damaged score.
        NotInTable: a recommended cell outside the table is not trained yet.
    """
    folder = as_path(folder, "folder of the results")
    _check(table, traces)
    scores = Scores.of(folder, table)
    results = results_of(scores, traces)
    columns = fields(Result)
    table.verify(fresh=True)  # after all that is read from it, before anything is written
    table.check_in_place()
    write_columns(
        folder / "results",
        {field.name: [getattr(result, field.name) for result in results] for field in columns},
        {field.name: str(field.type) for field in columns},
    )
    steps = _stacked(traces, [trace.incumbents for trace in traces], Incumbent)
    steps["row"] = [scores.row(cell) for cell in steps["cell"]]
    steps["regret"] = [scores.regret(cell) for cell in steps["cell"]]
    types = {**_types(Incumbent), "row": "int", "regret": "float"}
    write_columns(folder / "incumbents", steps, types)
    spendings = _stacked(traces, [list(trace.ledger.values()) for trace in traces], Spending)
    kinds = [kind for trace in traces for kind in trace.ledger]
    write_columns(folder / "ledger", spendings | {"kind": kinds}, _types(Spending))
    return results


def _check(table: Table, traces: Sequence[Trace]) -> None:
    if not isinstance(table, Table):
        raise InvalidSetting(f"the table is {table!r}; open it with Table.open")
    if not isinstance(traces, Sequence) or not all(isinstance(it, Trace) for it in traces):
        raise InvalidSetting(f"the traces are {traces!r:.80}; give those of run or all_traces")


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
