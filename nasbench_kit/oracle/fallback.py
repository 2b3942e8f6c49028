"""The fallback of an oracle: cells that its table lacks are trained, at a price known beforehand.

    >>> fallback = Fallback(table, digits(), DIGITS)
    >>> oracle = Oracle(table, Budget(seconds=600), rng, trainer=fallback)
    >>> oracle.query(cell_of_eight_vertices).source
    'trained'

The price is the cost model's, in the table's own seconds, so that the budget can refuse and so that
it does not depend on the machine at hand; the measured seconds stand in the store beside it.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nasbench_kit.oracle.answer import Answer
from nasbench_kit.oracle.cost import CostModel
from nasbench_kit.oracle.store import Job, Store
from nasbench_kit.system.files import home

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
        self._store = store or Store(home() / Path("trainings.sqlite"))
        self._device = device

    def price(self, cell: Cell, epochs: int, halfway: bool) -> float:
        """Seconds, in the table's own, that a training will be charged."""
        return self.cost.price(cell, epochs, halfway)

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
        job = Job(cell, self._recipe, self._images, epochs, seed)
        return self._store.get(job, lambda: self._made(job))

    def _made(self, job: Job) -> dict[str, Any]:
        from nasbench_kit.training.trainer import train

        training = train(
            job.cell, job.images, job.recipe, job.epochs, job.seed, device=self._device
        )
        made = asdict(training)
        made["cell"] = job.cell.to_text()
        made["price"] = self.price(job.cell, job.epochs, halfway=False)
        return made


def _accuracy(score: dict[str, int]) -> float:
    return score["correct"] / score["images"]
