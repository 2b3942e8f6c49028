"""The part of a table in a smaller space."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nasbench_kit import CellSpace, Table
from nasbench_kit.cli import main
from nasbench_kit.data.subset import subset
from nasbench_kit.errors import InvalidSetting


def test_rows_keep_their_readings(small_table: Table) -> None:
    small = CellSpace(4, 4)
    part = subset(small_table, small)
    assert part.complete
    assert part.space == small
    for row, cell in enumerate(small):
        there = small_table.row(cell)
        for name, column in small_table.columns.items():
            assert np.array_equal(part.columns[name].values[row], column.values[there])


def test_exceptions_move_with_their_rows(small_table: Table) -> None:
    space = CellSpace(3)
    there = small_table.row(space[2])
    size = len(small_table.epochs) * small_table.repeats
    columns = dict(small_table.columns)
    name = "final", "validation_accuracy"
    columns[name] = replace(columns[name], exceptions={there * size + 1: 0.125})
    part = subset(Table(small_table.space, small_table.epochs, columns), space)
    assert part.columns[name].exceptions == {2 * size + 1: 0.125}
    assert part.columns[name].reader()(2 * size + 1) == 0.125


def test_a_larger_space_makes_a_partial_table(small_table: Table) -> None:
    larger = CellSpace(small_table.space.max_vertices + 1)
    part = subset(small_table, larger)
    assert not part.complete
    assert len(part) == len(small_table)
    assert list(part.covered) == list(small_table.space)


def test_nothing_in_common_is_refused(small_table: Table) -> None:
    alone = CellSpace(7).restricted(np.array([423_623]))
    with pytest.raises(InvalidSetting, match="no cell of the space"):
        subset(small_table, alone)


def test_the_command(
    small_table: Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_table.save(tmp_path / "whole.h5")
    assert main(["subset", str(tmp_path / "whole.h5"), "v3e9", str(tmp_path / "part.h5")]) == 0
    assert "all cells of v3e3" in capsys.readouterr().out
    part = Table.open(tmp_path / "part.h5")
    assert part.provenance["subset_of"] == small_table.checksum
    assert main(["subset", str(tmp_path / "whole.h5"), "v3e9", str(tmp_path / "whole.h5")]) == 2
    assert "table itself" in capsys.readouterr().err
