"""Counts of correct images read back: what no training can have left is refused with the file's name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nasbench_kit import Cell, CorruptFile, Table
from nasbench_kit.compare import retrain
from nasbench_kit.compare.trained_scores import save_score, score_path, trained_accuracies

CELL = Cell.named("resnet")
IMPOSSIBLE: list[tuple[Any, Any]] = [
    (3.5, 10),
    (True, 10),
    ("3", 10),
    (None, 10),
    (-1, 10),
    (11, 10),
    (0, 0),
    (3, 10.0),
    (3, [10]),
    (10**400, 10),
]


def record(correct: Any = 3, images: Any = 10) -> dict[str, Any]:
    score = {"correct": correct, "images": images}
    final = {"validation": score, "test": score}
    return {"failed": False, "trainable_parameters": 7, "final": final}


def test_scores_are_whole_numbers_of_the_same_images(small_table: Table, tmp_path: Path) -> None:
    text, epochs = CELL.to_text(), small_table.epochs[-1]
    for seed in range(small_table.repeats):
        save_score(tmp_path, text, epochs, seed, record(correct=seed))
    assert trained_accuracies(tmp_path, "test_accuracy", epochs, range(small_table.repeats))[
        text
    ] == pytest.approx(0.1)
    for correct, images in [*IMPOSSIBLE, (3, 11)]:
        save_score(tmp_path, text, epochs, 2, record(correct, images))
        with pytest.raises(CorruptFile, match=score_path(tmp_path, text, 2).name):
            trained_accuracies(tmp_path, "test_accuracy", epochs, range(small_table.repeats))


def test_trainings_have_possible_results(tmp_path: Path) -> None:
    path = tmp_path / "trainings" / f"{CELL.hash}-seed0.json"
    path.parent.mkdir()
    path.write_text(json.dumps(record()))
    (row,) = retrain.summaries(tmp_path, {"a": [CELL]}, [0])
    assert row["test_mean"] == row["validation_mean"] == pytest.approx(0.3)
    wrong: list[Any] = [record(*counts) for counts in IMPOSSIBLE]
    strange: list[Any] = [None, [], "x", -1]
    for name in record():
        wrong += [record() | {name: value} for value in strange]
        wrong.append({key: value for key, value in record().items() if key != name})
    wrong += [None, [], 3, "x", {}, float("nan")]
    for content in wrong:
        path.write_text(json.dumps(content))
        with pytest.raises(CorruptFile, match=path.name):
            retrain.summaries(tmp_path, {"a": [CELL]}, [0])
    for text in ("", "[" * 100_000, '{"failed": false, "failed": true}', "9" * 5000):
        path.write_text(text)
        with pytest.raises(CorruptFile, match=path.name):
            retrain.summaries(tmp_path, {"a": [CELL]}, [0])


@pytest.mark.parametrize("content", ["[]", "null", "3", "{", '"x"'])
def test_conditions_are_an_object(content: str, tmp_path: Path) -> None:
    path = tmp_path / "conditions.json"
    path.write_text(content)
    with pytest.raises(CorruptFile, match=r"conditions\.json cannot be read"):
        retrain._claim(path, {"epochs": 4})
