"""The data card: its figures are those of hand-made tables, its best cells the best."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nasbench_kit import CellSpace, Column, NotRecorded, Table
from nasbench_kit.analysis.cards.table_card import measured_card


def a_table(test: np.ndarray, validation: np.ndarray) -> Table:
    counts = {
        ("final", "test_accuracy"): Column(test.astype(np.uint16), 100),
        ("final", "validation_accuracy"): Column(validation.astype(np.uint16), 100),
        ("final", "seconds"): Column(np.full(test.shape, 2.5, np.float32)),
    }
    provenance = {
        "name": "seven",
        "images": "digits",
        "images_digest": "0" * 64,
        "recipe": {"name": "planted"},
        "seed": 3,
        "failed_trainings": 1,
        "clock": {"processor": "abacus", "torch": "0"},
    }
    parameters = {"trainable_parameters": np.arange(7, dtype=np.uint32)}
    return Table(CellSpace(3), (4,), counts, extra=parameters, provenance=provenance)


def row_of(card: str, start: str) -> list[str]:
    line = next(line for line in card.splitlines() if line.startswith(start))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_figures_of_a_table_made_by_hand() -> None:
    """Cell i has test accuracies i +- 1 %; validation has the opposite order, and its second repeats
    the opposite order of the first but for the mean."""
    cells = np.arange(20, 90, 10)[:, None, None]
    test = cells + np.array([-1, 1])
    validation = np.concatenate([100 - cells, 40 + cells // 5], axis=2)
    card = measured_card(a_table(test, validation), "make it")
    figures = [float(cell) for cell in row_of(card, "| 4 |")[1:]]
    noise = np.sqrt(2) / 100  # of two values 2 % apart, with one degree of freedom
    expected = [0.2, 0.5, 0.8, 0.2, noise, -1.0, -1.0, -1.0, -1.0]
    assert figures == pytest.approx(expected, abs=5.1e-4)
    assert "1 of 14" in card and "`make it`" in card and "abacus" in card
    assert f"{14 * 2.5 / 3600:.3g} hours" in card


def test_the_best_cells_come_first() -> None:
    test = np.array([50, 90, 10, 70, 30, 20, 40])[:, None, None].repeat(2, axis=2)
    test[:, 0, 1] += 1
    table = a_table(test, test)
    card = measured_card(table, "make it")
    shown = [line.split("`")[1] for line in card.splitlines() if line.startswith("| `")]
    assert shown == [table.space[row].to_text() for row in (1, 3, 0, 6, 4)]
    assert "0.9050" in card


def test_one_repeat_is_refused() -> None:
    counts = np.arange(14).reshape(7, 1, 2)
    table = a_table(counts, counts)
    columns = {
        key: replace(column, values=column.values[:, :, :1])
        for key, column in table.columns.items()
    }
    single = Table(table.space, (4,), columns, provenance=table.provenance)
    with pytest.raises(NotRecorded, match="one only"):
        measured_card(single, "make it")
