"""How long a build will take on this machine, from a few cells timed now."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.data.building.archive import unpack
from nasbench_kit.data.building.build import missing
from nasbench_kit.data.building.clock import TIMED_EPOCHS, seconds_an_epoch
from nasbench_kit.system.measured import torch_threads
from nasbench_kit.training.images import ImageSet, Split

if TYPE_CHECKING:
    from nasbench_kit.data.building.build import Build

#: Cells timed, each for epochs of at most this many batches.
_CELLS, _BATCHES = 5, 10
#: Evaluation at the start, half and end of a training takes as long as this many epochs.
_EVALUATION = 2


@dataclass(frozen=True)
class Estimate:
    """Hours that are left of a build."""

    #: Of one core, for trainings; workers share them.
    training: float
    #: Of the one process that takes the times.
    timing: float

    def hours(self, workers: int) -> float:
        """By the clock on the wall, with this many workers."""
        return self.training / workers + self.timing


def estimate(plan: Build, target: Path) -> Estimate:
    """What the missing parts will take on this machine, from a few cells timed now.

    An archive of parts is unpacked first.

    Raises:
        NotRecorded, WrongTable: a part at hand is damaged, or of other cells.
        CorruptFile: the archive of the parts is damaged.
        NotWritable: it cannot be unpacked.
        InvalidSetting: more than fits into memory.
    """
    plan.check_memory()
    untrained, untimed = missing(plan, unpack(target))
    if not (untrained or untimed):
        return Estimate(0.0, 0.0)
    few = _few(plan.images, _BATCHES * plan.recipe.batch_size)
    rows = np.linspace(0, len(plan.space) - 1, _CELLS + 2)[1:-1].astype(int).tolist()
    with torch_threads(1):
        epoch = np.mean([seconds_an_epoch(plan.space[row], few, plan.recipe) for row in rows])
    hour = epoch * len(plan.images.train) / len(few.train) / 3600
    trained = sum(len(rows) * (epochs + _EVALUATION) for rows, epochs in untrained)
    timed = sum(len(rows) for rows, _ in untimed) * (TIMED_EPOCHS + 2 + _EVALUATION)
    return Estimate(float(hour * trained * plan.repeats), float(hour * timed))


def _few(images: ImageSet, count: int) -> ImageSet:
    """So many of the training images, or all."""
    train = Split(images.train.images[:count], images.train.labels[:count])
    return replace(images, train=train, evaluated=(1, *images.evaluated[1:]))
