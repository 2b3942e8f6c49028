"""How long training takes on this machine: one network alone, one thread, the least of five epochs.

Seconds are the processor's: on an idle machine they are those of the clock on the wall, and on a busy one
those that other programs take do not count. (Not quite: what shares a core or its caches slows it down.)
"""

from __future__ import annotations

import contextlib
import functools
import platform
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.training.images import Split
from nasbench_kit.training.recipe import TextRecipe

if TYPE_CHECKING:
    from nasbench_kit.training.data_set import DataSet
    from nasbench_kit.training.recipe import Recipe

#: Epochs whose time is taken; the least counts.
TIMED_EPOCHS = 5
#: Batches of such an epoch at most: a longer one takes proportionally longer.
TIMED_BATCHES = 10


def seconds_an_epoch(architecture: Any, data: Any, recipe: Recipe) -> float:
    """Seconds of one epoch of training, evaluation not counted, on the threads that torch has.

    Args:
        architecture: what is trained.
        data: a `nasbench_kit.training.data_set.DataSet` of one batch of images or one window of text at least.
        recipe: how.
    """
    from nasbench_kit.training.trainer import train

    few = few_of(data, recipe)
    stamps: list[float] = []
    # One epoch warms up, one holds the evaluation at half time; five are left.
    train(
        architecture,
        few,
        recipe,
        TIMED_EPOCHS + 2,
        seed=0,
        progress=lambda *_: stamps.append(time.process_time()),
    )
    steps = recipe.steps(1, len(few.train))
    return float(np.diff(stamps[steps - 1 :: steps]).min()) * steps_in_all(data, recipe) / steps


def steps_in_all(data: DataSet, recipe: Recipe) -> float:
    """Steps of an epoch; of images it may end within a batch."""
    if isinstance(recipe, TextRecipe):
        return recipe.windows(len(data.train))
    return len(data.train) / recipe.batch_size


@functools.lru_cache(maxsize=2)  # as those of `load`, which thousands of timings share
def few_of(data: Any, recipe: Recipe) -> Any:
    """So much of the training data that an epoch has ``TIMED_BATCHES`` batches at most.

    Next to nothing is scored: evaluation is not timed.
    """
    if isinstance(recipe, TextRecipe):
        tokens = recipe.batch_size * (TIMED_BATCHES * recipe.window + 1)
        rest = {"validation": data.validation[:2], "test": data.test[:2]}
        return replace(data, train=data.train[:tokens], **rest)
    count = TIMED_BATCHES * recipe.batch_size
    train = Split(data.train.images[:count], data.train.labels[:count])
    return replace(data, train=train, evaluated=(1, 1, 1))


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
