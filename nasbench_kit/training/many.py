"""Many trainings at once: processes that each train one architecture after the other on a device."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from nasbench_kit.errors import CheckpointLost, InvalidSetting, TrainingFailed, WorkerDied
from nasbench_kit.spaces.skeleton import Precision
from nasbench_kit.system.measured import torch_threads
from nasbench_kit.system.workers import finished
from nasbench_kit.training.data_set import DataSet
from nasbench_kit.training.recipe import Recipe
from nasbench_kit.training.trainer import Training, check_training, train


def train_many(
    jobs: Sequence[tuple[Any, int]],
    images: DataSet,
    recipe: Recipe,
    epochs: int,
    *,
    devices: Sequence[str] = ("cpu",),
    workers_per_device: int = 1,
    threads: int = 1,
    precision: Precision = "float32",
    cuda_graph: bool = False,
    checkpoint: Callable[[Any, int], Path | None] = lambda architecture, seed: None,
    weights: Callable[[Any, int], Path | None] = lambda architecture, seed: None,
) -> Iterator[tuple[int, Training]]:
    """Train every (architecture, seed); yields place in ``jobs`` and record as they are finished.

    On a CPU the results do not depend on the number of processes. A single one is this one.

    Args:
        jobs: architectures with the seeds of their trainings.
        images: as for ``train``; likewise recipe, epochs, precision and cuda_graph.
        recipe: of all trainings.
        epochs: of each training.
        devices: where; every device has processes of its own.
        workers_per_device: processes that share a device, where one does not fill it.
        threads: torch threads of each; the last bits of what a CPU computes depend on them.
        precision: of the arithmetic.
        cuda_graph: whether GPUs replay recorded steps.
        checkpoint: from architecture and seed to the file that the training resumes from, or None.
        weights: from architecture and seed to the file that the trained network is kept in, or None.

    Raises:
        InvalidSetting: no device, less than one worker or thread, or see ``train``.
            Raised at once, before a result is asked for.
        TrainingFailed: see ``train``, or a process was killed; raised after all others' results.
    """
    slots = [device for _ in range(workers_per_device) for device in devices]
    if not slots or threads < 1:
        raise InvalidSetting(
            f"{workers_per_device} workers on each of {len(devices)} devices with {threads} threads; "
            "at least 1 is needed of each"
        )
    for device in dict.fromkeys(devices):
        for seed in sorted({seed for _, seed in jobs})[:1]:  # the least: it may be negative
            check_training(
                images,
                recipe,
                epochs,
                seed,
                device=device,
                precision=precision,
                cuda_graph=cuda_graph,
            )
    calls = [
        functools.partial(
            train,
            architecture,
            recipe=recipe,
            epochs=epochs,
            seed=seed,
            precision=precision,
            cuda_graph=cuda_graph,
            checkpoint=checkpoint(architecture, seed),
            weights=weights(architecture, seed),
        )
        for architecture, seed in jobs
    ]
    return _results(calls, [(device, images, threads) for device in slots])


def _results(
    calls: Sequence[Callable[..., Training]], worker_arguments: Sequence[tuple[str, DataSet, int]]
) -> Iterator[tuple[int, Training]]:
    failure: TrainingFailed | None = None
    try:
        for place, result in finished(_trained, [(call,) for call in calls], worker_arguments):
            if isinstance(result, TrainingFailed):
                failure = failure or result
            else:
                yield place, result
    except WorkerDied as error:
        raise TrainingFailed(str(error)) from None
    if failure is not None:
        raise failure


def _trained(
    device: str, images: DataSet, threads: int, call: Callable[..., Training]
) -> Training | TrainingFailed:
    """One training; a failed one is a result too, so that the others go on."""
    try:
        with torch_threads(threads):
            return call(images=images, device=device)
    except TrainingFailed as error:
        return error
    except CheckpointLost as error:
        training: Training = error.training
        return training
