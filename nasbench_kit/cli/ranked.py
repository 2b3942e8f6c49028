"""What the command ``rank-correlation`` ranks: rows of a table, or a sample of a space that is trained here.

Either says which architectures there are, what one reading of each is truly worth, and what shared weights
are trained on under which budget.
"""

from __future__ import annotations

import functools
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nasbench_kit import spaces
from nasbench_kit.errors import InvalidSetting, WrongTable
from nasbench_kit.oracle.budget import Budget
from nasbench_kit.oracle.oracle import Oracle
from nasbench_kit.oracle.source import TrainerSource
from nasbench_kit.spaces.protocols import trainable
from nasbench_kit.system.measured import torch_threads
from nasbench_kit.system.workers import finished
from nasbench_kit.table.table import Table
from nasbench_kit.training.recipe import RECIPES

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit.oracle.fallback import StoredTrainer
    from nasbench_kit.spaces.protocols import Architecture, Space

#: Draws in a row without a new architecture after which a space is taken to have no more.
_PATIENCE = 1_000


class Ranked(ABC):
    """Architectures, and what shared weights are trained on that score them."""

    #: What the budget of shared weights counts: "seconds" or "epochs".
    clock: ClassVar[str]

    @property
    @abstractmethod
    def limit(self) -> float:
        """That budget."""

    @property
    @abstractmethod
    def conditions(self) -> dict[str, Any]:
        """What scores depend on, beside the search and its seed."""

    @property
    @abstractmethod
    def cells(self) -> list[Architecture]:
        """What is scored."""

    @abstractmethod
    def oracle(self, rng: Generator) -> Oracle:
        """A fresh one for shared weights."""

    @abstractmethod
    def place(self, architecture: Architecture | None) -> int:
        """Where ``lost`` looks a recommended architecture up; -1 where it cannot, or for None."""

    @abstractmethod
    def at(self, place: int) -> tuple[Space, Architecture]:
        """The space, and its architecture in a place of 0 or more."""

    @abstractmethod
    def check_unchanged(self) -> None:
        """Refuse to keep what was read of a table that was altered meanwhile."""


@dataclass(frozen=True)
class TableRows(Ranked):
    """Rows of a table, whose clock prices the shared weights."""

    path: Path
    checksum: str
    rows: tuple[int, ...]
    seconds: float
    #: Name or path of the table's images, where they are the user's own.
    data: str | None

    clock = "seconds"

    @property
    def table(self) -> Table:
        """Opened once by a process.

        Raises:
            WrongTable: another one has taken its place.
        """
        return _opened(self.path, self.checksum)

    @property
    def limit(self) -> float:
        """Seconds."""
        return self.seconds

    @property
    def conditions(self) -> dict[str, Any]:
        """The table and its rows."""
        rows = zlib.crc32(np.array(self.rows, "<i8").tobytes())
        return {"table": self.checksum, "seconds": self.seconds, "rows": rows}

    @property
    def cells(self) -> list[Architecture]:
        """Those of the rows."""
        return [self.table.covered[row] for row in self.rows]

    def oracle(self, rng: Generator) -> Oracle:
        """On the table and its images."""
        from nasbench_kit.data.tasks import open_task

        task = open_task(self.table, self.data)
        return Oracle(self.table, Budget(seconds=self.seconds), rng, task=task)

    def place(self, architecture: Architecture | None) -> int:
        """Its row in the whole table."""
        return -1 if architecture is None else self.table.row(architecture)

    def at(self, place: int) -> tuple[Space, Architecture]:
        """What the table covers, and a row's architecture."""
        return self.table.covered, self.table.covered[place]

    def check_unchanged(self) -> None:
        """Refuse to keep what was read of a table that was altered meanwhile.

        Raises:
            CorruptFile, WrongTable: it was.
        """
        self.table.verify(fresh=True)
        self.table.check_in_place()


@dataclass(frozen=True)
class Sample(Ranked):
    """Architectures drawn from a space without a table; the mean of some trainings is their truth."""

    space: str
    count: int
    #: Of a training.
    epochs: int
    repeats: int
    #: For the shared weights.
    budget: float
    recipe: str
    data: str | None
    #: File that keeps the trainings.
    store: Path

    clock = "epochs"

    @property
    def limit(self) -> float:
        """Epochs."""
        return self.budget

    @property
    def conditions(self) -> dict[str, Any]:
        """All but the trainings that are the truth, which no score depends on."""
        images = self._trainer().conditions
        return {
            "space": self.space,
            "count": self.count,
            "epochs": self.budget,
            **{name: images[name] for name in ("images_digest", "recipe")},
        }

    @functools.cached_property
    def cells(self) -> list[Architecture]:
        """Draws of the space by seed 0, no two alike.

        Raises:
            InvalidSetting: the space has fewer.
        """
        space, rng = spaces.named(self.space), np.random.default_rng(0)
        drawn: dict[Architecture, None] = {}
        idle = 0
        while idle < _PATIENCE:
            before = len(drawn)
            drawn[space.sample(rng).canonical()] = None
            idle = 0 if len(drawn) > before else idle + 1
            if len(drawn) == self.count:
                return list(drawn)
        raise InvalidSetting(
            f"cells is {self.count}, but draws of {self.space} come to {len(drawn)} only; ask for fewer"
        )

    def oracle(self, rng: Generator) -> Oracle:
        """On what trains everything."""
        from nasbench_kit.data.tasks import task_on

        source = TrainerSource(
            self._trainer(), spaces.named(self.space), (self.epochs,), self.repeats
        )
        task = task_on(self.data, RECIPES[self.recipe])
        return Oracle(source, Budget(epochs=self.budget), rng, task=task)

    def place(self, architecture: Architecture | None) -> int:
        """Its number in the sample; nobody trains another one."""
        if architecture is None or (same := architecture.canonical()) not in self.cells:
            return -1
        return self.cells.index(same)

    def at(self, place: int) -> tuple[Space, Architecture]:
        """The whole space, and an architecture of the sample."""
        return spaces.named(self.space), self.cells[place]

    def check(self) -> None:
        """Refuse, before any work, a space that cannot be sampled or trained so.

        Raises:
            UnknownName: no such space or data.
            InvalidSetting: it has fewer architectures, or what cannot be trained.
        """
        from nasbench_kit.data.data_sets import open_data
        from nasbench_kit.training.trainer import check_training

        self._trainer().check(spaces.named(self.space))
        recipe, data = RECIPES[self.recipe], open_data(self.data or "digits")
        check_training(data, recipe, self.epochs, 0)
        trainable(self.cells[0]).work(
            recipe.skeleton, data.shape
        )  # refused where there are no networks

    def check_unchanged(self) -> None:
        """There is no table."""

    def readings(self, workers: int, progress: Callable[[int, int], None]) -> NDArray[np.float64]:
        """Validation accuracies [cells, repeats] of trainings from scratch; those of the store are not repeated."""
        jobs = [
            (self, number, repeat) for number in range(self.count) for repeat in range(self.repeats)
        ]
        read = np.empty((self.count, self.repeats))
        progress(0, len(jobs))
        for done, (job, accuracy) in enumerate(finished(_trained, jobs, [()] * workers), start=1):
            read[jobs[job][1:]] = accuracy
            progress(done, len(jobs))
        return read

    def train(self, number: int, repeat: int) -> float:
        """Validation accuracy of a training of an architecture of the sample, in [0, 1]."""
        with torch_threads(1):
            answer = self._trainer().train(self.cells[number], self.epochs, False, repeat)
        return answer.validation_accuracy

    def _trainer(self) -> StoredTrainer:
        return _trainer(self.data, self.recipe, self.store)


def _trained(sample: Sample, number: int, repeat: int) -> float:
    return sample.train(number, repeat)


@functools.lru_cache(maxsize=1)
def _opened(path: Path, checksum: str) -> Table:
    table = Table.open(path)
    if table.checksum != checksum:
        raise WrongTable(f"{path} is another table than when the work began; start again")
    return table


@functools.lru_cache(maxsize=1)
def _trainer(data: str | None, recipe: str, store: Path) -> StoredTrainer:
    from nasbench_kit.data.tasks import open_trainer

    return open_trainer(data, RECIPES[recipe], store=store)
