"""How long training takes on this machine: one cell alone, one thread, the least of five epochs."""

from __future__ import annotations

import contextlib
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nasbench_kit.spaces.nasbench101.cell import Cell
    from nasbench_kit.training.images import ImageSet
    from nasbench_kit.training.recipe import Recipe

#: Epochs whose time is taken; the least counts.
TIMED_EPOCHS = 5


def seconds_an_epoch(cell: Cell, images: ImageSet, recipe: Recipe) -> float:
    """Seconds of one epoch of training, evaluation not counted, on the threads that torch has.

    Args:
        cell: what is trained.
        images: at least one batch of them.
        recipe: how.
    """
    from nasbench_kit.training.trainer import train

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
    whole = len(images.train) / (steps * recipe.batch_size)  # an epoch may end within a batch
    return float(np.diff(stamps[steps - 1 :: steps]).min()) * whole


def processor() -> str:
    """The processor's name, and what tells it from others of that name, as the system gives it."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
        fields = {
            name.strip(): value.strip() for name, _, value in (x.partition(":") for x in lines)
        }
        if name := fields.get("model name"):
            numbers = [f"{key} {fields[key]}" for key in ("cpu family", "model") if key in fields]
            return f"{name} ({', '.join(numbers)})" if numbers else name
    return platform.processor() or platform.machine()
