"""The fallback of an oracle: cells that its table lacks are trained, at a price known beforehand.

    >>> fallback = Fallback(table, digits(), DIGITS)
    >>> oracle = Oracle(table, Budget(seconds=600), rng, trainer=fallback)
    >>> oracle.query(cell_of_eight_vertices).source
    'trained'

The price is the cost model's, in the table's own seconds, so that the budget can refuse and so that
it does not depend on the machine at hand; the measured seconds stand in the store beside it.

A training depends on the cell and not on its labelling (it is made in the canonical one), and on a
CPU it is made on one thread: so it comes to the same whoever asks for it first.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.oracle.answer import Answer
from nasbench_kit.oracle.cost import CostModel
from nasbench_kit.oracle.store import FILE_NAME, Job, Store
from nasbench_kit.spaces.nasbench101.canonical import canonical
from nasbench_kit.system.files import home
from nasbench_kit.system.measured import torch_threads

if TYPE_CHECKING:
    from nasbench_kit.spaces.nasbench101.cell import Cell
    from nasbench_kit.table.table import Table
    from nasbench_kit.training.images import ImageSet
    from nasbench_kit.training.recipe import Recipe


class Fallback:
    """Trains any cell as the table's cells were trained.

    Args:
        table: fixes the prices.
        images: what the table's cells were trained on.
        recipe: how they were trained.
        store: keeps what was trained; ``trainings.sqlite`` in the home folder by default.
        device: where torch computes.

    Raises:
        NotRecorded: the table records no seconds, so there is no price.
        InvalidSetting: it has too few cells to price anything by.
    """

    def __init__(
        self,
        table: Table,
        images: ImageSet,
        recipe: Recipe,
        *,
        store: Store | None = None,
        device: str = "cpu",
    ) -> None:
        height, width, channels = images.train.images.shape[1:]
        self.cost = CostModel(table, recipe.skeleton, (height, width, channels))
        self._images = images
        self._recipe = recipe
        self._store = store or Store(home() / FILE_NAME)
        self._device = device
        self._prices: dict[tuple[Cell, int, bool], float] = {}

    @property
    def conditions(self) -> dict[str, Any]:
        """What its trainings depend on, for a comparison's manifest."""
        return {
            "images": self._images.name,
            "images_digest": self._images.digest,
            "recipe": asdict(self._recipe),
            "device": self._device,
        }

    def price(self, cell: Cell, epochs: int, halfway: bool) -> float:
        """Seconds, in the table's own, that a training will be charged."""
        asked = cell, epochs, halfway
        if asked not in self._prices:
            self._prices[asked] = self.cost.price(canonical(cell), epochs, halfway)
        return self._prices[asked]

    def train(self, cell: Cell, epochs: int, halfway: bool, repeat: int) -> Answer:
        """Train a cell, or read from the store what it came to before.

        Raises:
            TrainingFailed: out of memory, or the network cannot be built.
        """
        record = self.record(cell, epochs, repeat)
        scores = record["halfway" if halfway else "final"]
        return Answer(
            cell=cell,
            epochs=epochs,
            halfway=halfway,
            repeat=repeat,
            seconds=self.price(cell, epochs, halfway),
            train_accuracy=_accuracy(scores["train"]),
            validation_accuracy=_accuracy(scores["validation"]),
            trainable_parameters=record["trainable_parameters"],
            source="trained",
        )

    def record(self, cell: Cell, epochs: int, seed: int) -> dict[str, Any]:
        """All that was measured, test included; for scoring after a search, never during it."""
        job = Job(canonical(cell), self._recipe, self._images, epochs, seed, self._device)
        return self._store.get(job, lambda: self._made(job))

    def _made(self, job: Job) -> dict[str, Any]:
        from nasbench_kit.training.trainer import train

        with torch_threads(1):
            training = train(
                job.cell, job.images, job.recipe, job.epochs, job.seed, device=self._device
            )
        made = asdict(training)
        made["cell"] = job.cell.to_text()
        made["price"] = self.price(job.cell, job.epochs, halfway=False)
        return made


def _accuracy(score: dict[str, int]) -> float:
    """As a table has it, to the last bit: equal counts are ties."""
    return float(np.float32(score["correct"] / score["images"]))
