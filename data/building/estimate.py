"""How long a build will take on this machine, from a few cells timed now."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.data.building.archive import unpack
from nasbench_kit.data.building.build import missing, scored_cells
from nasbench_kit.data.building.clock import TIMED_EPOCHS, few_of, seconds_an_epoch
from nasbench_kit.data.building.parts import scoring_path
from nasbench_kit.system.measured import torch_threads

if TYPE_CHECKING:
    from nasbench_kit.data.building.build import Build

#: Cells timed.
_CELLS = 5
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
    folder = unpack(target)
    untrained, untimed = missing(plan, folder)
    longest = plan.epochs[-1]
    turns = [
        turn for turn in range(plan.scoring) if not scoring_path(folder, turn, longest).exists()
    ]
    if not (untrained or turns or untimed):
        return Estimate(0.0, 0.0)
    rows = np.linspace(0, len(plan.space) - 1, _CELLS + 2)[1:-1].astype(int).tolist()
    with torch_threads(1):
        epoch = np.mean(
            [seconds_an_epoch(plan.space[row], plan.images, plan.recipe) for row in rows]
        )
    hour = epoch / 3600
    timed_share = len(few_of(plan.images, plan.recipe).train) / len(plan.images.train)
    trained = sum(len(rows) * (epochs + _EVALUATION) for rows, epochs in untrained) * plan.repeats
    trained += len(turns) * scored_cells(plan.space) * (longest + _EVALUATION)
    timed = sum(len(rows) for rows, _ in untimed) * (TIMED_EPOCHS + 2) * timed_share
    return Estimate(float(hour * trained), float(hour * timed))
