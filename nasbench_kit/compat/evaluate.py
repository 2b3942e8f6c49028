"""One training from scratch, under the official names."""

from __future__ import annotations

import json
from pathlib import Path

from nasbench_kit.spaces.nasbench101.cell import Cell
from nasbench_kit.system.files import check_replaceable, write_text
from nasbench_kit.training.images import ImageSet
from nasbench_kit.training.recipe import Recipe
from nasbench_kit.training.trainer import Measurement, train


def train_and_evaluate(
    cell: Cell,
    images: ImageSet,
    recipe: Recipe,
    *,
    epochs: int,
    seed: int,
    device: str,
    model_dir: Path,
) -> dict[str, float]:
    """Number of parameters, and readings at the end; all readings go to metadata.json.

    Raises:
        InvalidSetting: another file of that name lies there.
    """
    path = model_dir / "metadata.json"
    check_replaceable(path, "of a training", lambda head: b'"evaluation_results"' in head)
    training = train(cell, images, recipe, epochs, seed, device=device)
    points = (0, training.start), (epochs / 2, training.halfway), (epochs, training.final)
    metadata = {
        "trainable_params": training.trainable_parameters,
        "evaluation_results": [{"epochs": at} | _measured(point) for at, point in points],
    }
    write_text(path, json.dumps(metadata))
    return {"trainable_parameters": training.trainable_parameters} | _measured(training.final)


def _measured(point: Measurement) -> dict[str, float]:
    return {
        "training_time": point.seconds,
        "train_accuracy": point.train.accuracy,
        "validation_accuracy": point.validation.accuracy,
        "test_accuracy": point.test.accuracy,
    }
