"""The part of a table that lies in a smaller space."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.checks import shown
from nasbench_kit.errors import InvalidSetting, NotInSpace
from nasbench_kit.spaces.nasbench101.space import CellSpace
from nasbench_kit.table.table import Table, checked

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_kit.table.table import Column


def subset(table: Table, space: CellSpace) -> Table:
    """The rows of a table that are cells of a space, in that space's order.

    Complete if the table has all of them: studies of how searches carry over from small spaces to
    large ones (Ying et al. 2019, section 5.2), and searches in NAS-Bench-1Shot1.

    Raises:
        InvalidSetting: no table, no space, or the table has no cell of the space.
        CorruptFile: the table's file was altered.
    """
    checked(table)
    if not isinstance(space, CellSpace):
        raise InvalidSetting(f"{shown(space)} is no space; give CellSpace(5), for example")
    table_rows = np.array([_row(table, cell) for cell in space])
    covered = np.flatnonzero(table_rows >= 0)
    if not len(covered):
        raise InvalidSetting(f"the table {table.name} has no cell of the space {space.name}")
    rows = table_rows[covered]
    return Table(
        space,
        table.epochs,
        {name: _picked(column, rows) for name, column in table.columns.items()},
        rows=None if len(covered) == len(space) else covered.astype(np.int32),
        extra={
            name: np.asarray(array)[rows]
            for name, array in table.extra.items()
            if name != "record_order"  # of a file that holds all of them
        },
        provenance={
            **table.provenance,
            "name": f"{table.name}-{space.name}",
            "subset_of": table.checksum,
        },
    )


def _row(table: Table, cell: Any) -> int:
    try:
        return table.covered.index(cell)
    except NotInSpace:
        return -1


def _picked(column: Column, rows: NDArray[np.integer]) -> Column:
    size = int(np.prod(column.values.shape[1:]))
    place = {int(row): new for new, row in enumerate(rows)}
    return replace(
        column,
        values=column.values[rows],
        present=None if column.present is None else column.present[rows],
        exceptions={
            place[position // size] * size + position % size: exact
            for position, exact in column.exceptions.items()
            if position // size in place
        },
    )
