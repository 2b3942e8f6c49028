"""A tiny task for weight-sharing searches, on which a 3x3 convolution in the cell must win.

An image is a block of random signs, the block again or its negative, and the block once more. The
class says which. Nothing nearer than three pixels tells it: the stem's 3x3 window sees noise alone,
a 1x1 convolution after it as much, and a max-pool of nine values is nearly constant.
"""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np

from nasbench_kit import CellSpace, Column, Table
from nasbench_kit.oracle.cost import CostModel
from nasbench_kit.oracle.rates import Rates
from nasbench_kit.oracle.task import Task
from nasbench_kit.spaces.skeleton import Skeleton
from nasbench_kit.training.images import ImageSet, Split
from nasbench_kit.training.recipe import DIGITS, Recipe

PERIOD = 3


def textures(count: int, seed: int, rows: int = 6) -> Split:
    """float32 [count, rows, 9, 1]; class 1 has the middle block negated."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    block = rng.choice(np.array([-1, 1], np.float32), (count, rows, PERIOD, 1))
    sign = (1 - 2 * labels).astype(np.float32)[:, None, None, None]
    return Split(np.concatenate([block, sign * block, block], 2), labels)


def recipe(channels: int = 8) -> Recipe:
    """Of one cell behind a stem."""
    return replace(DIGITS, skeleton=Skeleton(channels, stacks=1, cells_per_stack=1))


def texture_task(
    count: int = 256, cost: CostModel | Rates | None = None, channels: int = 8
) -> Task:
    """Validation images stand for the test images that no task has."""
    images = ImageSet(
        "textures",
        train=textures(count, 0),
        validation=textures(count, 1),
        test=textures(2, 2),
        classes=2,
        mean=(0.0,),
        std=(1.0,),
        evaluated=(count, count, 2),
    )
    return Task.of(images, recipe(channels), cost)


@functools.lru_cache(maxsize=1)  # a session asks with the same table again and again
def priced_task(table: Table) -> Task:
    """24 images, steps of which cost what the table's seconds say."""
    task = texture_task(24, channels=4)
    return replace(task, cost=CostModel(table, task.recipe.skeleton, (6, 9, 1)))


@functools.lru_cache(maxsize=1)
def bare_table() -> Table:
    """The seven cells of three vertices, 4 epochs, validation accuracy alone."""
    space = CellSpace(3)
    counts = np.arange(len(space), dtype=np.uint16)[:, None, None]
    columns = {("final", "validation_accuracy"): Column(counts, 100)}
    return Table(space, (4,), columns, provenance={"name": "bare"})
