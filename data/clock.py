"""How long training takes on this machine: one cell alone, one thread, the least of five epochs."""

from __future__ import annotations

import contextlib
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nasbench_kit.cell import Cell
    from nasbench_kit.images import ImageSet
    from nasbench_kit.recipe import Recipe

#: Epochs whose time is taken; the least counts.
TIMED_EPOCHS = 5


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread, for the time of a block."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def seconds_an_epoch(cell: Cell, images: ImageSet, recipe: Recipe) -> float:
    """Seconds of one epoch of training, evaluation not counted. Call it within ``one_thread``."""
    from nasbench_kit.trainer import train

    stamps: list[float] = []
    # One epoch warms up, one holds the evaluation at half time; five are left.
    train(
        cell,
        images,
        recipe,
        TIMED_EPOCHS + 2,
        seed=0,
        progress=lambda *_: stamps.append(time.perf_counter()),
    )
    steps = len(images.train) // recipe.batch_size
    return float(np.diff(stamps[steps - 1 :: steps]).min())


def processor() -> str:
    """The processor's name as the system gives it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
