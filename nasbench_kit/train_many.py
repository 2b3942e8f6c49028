"""Many trainings at once: processes that each train one cell after the other on a device."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

import torch

from nasbench_kit.cell import Cell
from nasbench_kit.errors import InvalidSetting, TrainingFailed
from nasbench_kit.images import ImageSet
from nasbench_kit.recipe import Precision, Recipe
from nasbench_kit.trainer import Training, train

#: What a worker process was started with.
_WORKER: dict[str, Any] = {}


def train_many(
    jobs: Sequence[tuple[Cell, int]],
    images: ImageSet,
    recipe: Recipe,
    epochs: int,
    *,
    devices: Sequence[str] = ("cpu",),
    workers_per_device: int = 1,
    threads: int = 1,
    precision: Precision = "float32",
    cuda_graph: bool = False,
    checkpoint: Callable[[Cell, int], Path | None] = lambda cell, seed: None,
) -> Iterator[tuple[int, Training]]:
    """Train every (cell, seed); yields place in ``jobs`` and record as they are finished.

    On a CPU the results do not depend on the number of processes. A single one is this one.

    Args:
        jobs: cells with the seeds of their trainings.
        images: as for ``train``; likewise recipe, epochs, precision and cuda_graph.
        recipe: of all trainings.
        epochs: of each training.
        devices: where; every device has processes of its own.
        workers_per_device: processes that share a device, where one does not fill it.
        threads: torch threads of each; the last bits of what a CPU computes depend on them.
        precision: of the arithmetic.
        cuda_graph: whether GPUs replay recorded steps.
        checkpoint: from cell and seed to the file that the training resumes from, or None.

    Raises:
        InvalidSetting: no device, less than one worker or thread, or see ``train``.
        TrainingFailed: see ``train``, or a process was killed; raised after all others' results.
    """
    slots = [device for _ in range(workers_per_device) for device in devices]
    if not slots or threads < 1:
        raise InvalidSetting(
            f"{workers_per_device} workers on each of {len(devices)} devices with {threads} threads; "
            "at least 1 is needed of each"
        )
    calls = [
        functools.partial(
            train,
            cell,
            recipe=recipe,
            epochs=epochs,
            seed=seed,
            precision=precision,
            cuda_graph=cuda_graph,
            checkpoint=checkpoint(cell, seed),
        )
        for cell, seed in jobs
    ]
    failure: TrainingFailed | None = None
    for place, result in _finished(calls, images, slots[: len(jobs)], threads):
        try:
            training = result()
        except TrainingFailed as error:
            failure = failure or error
        except BrokenProcessPool:
            failure = failure or TrainingFailed(
                "a worker process died (killed, or out of memory); use fewer workers, or smaller batches"
            )
        else:
            yield place, training
    if failure is not None:
        raise failure


def _finished(
    calls: Sequence[Callable[..., Training]], images: ImageSet, slots: Sequence[str], threads: int
) -> Iterator[tuple[int, Callable[[], Training]]]:
    """Place of each call and a function that returns its result, or raises what it raised."""
    if len(slots) <= 1:
        for place, call in enumerate(calls):
            yield place, functools.partial(_trained, call, images, slots[0], threads)
        return
    context = multiprocessing.get_context("spawn")  # torch does not survive a fork
    free = context.SimpleQueue()
    for slot in slots:
        free.put(slot)
    with ProcessPoolExecutor(
        len(slots), mp_context=context, initializer=_prepare, initargs=(free, images, threads)
    ) as pool:
        places = {pool.submit(_work, call): place for place, call in enumerate(calls)}
        try:
            for future in as_completed(places):
                yield places[future], future.result
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _prepare(free: SimpleQueue[str], images: ImageSet, threads: int) -> None:
    """In a new worker process: take a device; the images come once, not with every job."""
    _WORKER.update(device=free.get(), images=images, threads=threads)


def _work(call: Callable[..., Training]) -> Training:
    return _trained(call, **_WORKER)


def _trained(
    call: Callable[..., Training], images: ImageSet, device: str, threads: int
) -> Training:
    with _on_threads(threads):
        return call(images=images, device=device)


@contextlib.contextmanager
def _on_threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
