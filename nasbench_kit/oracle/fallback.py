"""Trainers of an oracle: architectures that no table has are trained, at a price known beforehand.

    >>> fallback = Fallback(table, digits(), DIGITS)
    >>> oracle = Oracle(table, Budget(seconds=600), rng, trainer=fallback)
    >>> oracle.query(cell_of_eight_vertices).source
    'trained'

The price is the cost model's, in the table's own seconds, so that the budget can refuse and so that
it does not depend on the machine; the measured seconds stand in the store beside it. Without a table
there is no price in seconds.

A training depends on the architecture and not on its labelling (it is made of the canonical one), and
on a CPU it is made on one thread: so it comes to the same whoever asks for it first.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.oracle.answer import Answer
from nasbench_kit.oracle.cost import CostModel
from nasbench_kit.oracle.rates import Rates
from nasbench_kit.oracle.store import FILE_NAME, Job, Store
from nasbench_kit.spaces.protocols import material
from nasbench_kit.system.files import home
from nasbench_kit.system.measured import torch_threads
from nasbench_kit.training.record import score_of
from nasbench_kit.training.text import check_material

if TYPE_CHECKING:
    from nasbench_kit.spaces.protocols import Space
    from nasbench_kit.table.table import Table
    from nasbench_kit.training.data_set import DataSet
    from nasbench_kit.training.recipe import Recipe


class StoredTrainer:
    """Trains architectures on images by a recipe, each once; what it came to is stored.

    Args:
        images: what is trained on.
        recipe: how.
        cost: prices trainings; None where nobody knows their seconds.
        store: keeps what was trained; ``trainings.sqlite`` in the home folder by default.
        device: where torch computes.
    """

    def __init__(
        self,
        images: DataSet,
        recipe: Recipe,
        *,
        cost: CostModel | Rates | None = None,
        store: Store | None = None,
        device: str = "cpu",
    ) -> None:
        self.cost = cost
        self._images = images
        self._recipe = recipe
        self._store = store or Store(home() / FILE_NAME)
        self._device = device
        self._prices: dict[tuple[Any, int, bool], float] = {}

    @property
    def conditions(self) -> dict[str, Any]:
        """What its trainings depend on, for a comparison's manifest."""
        priced = {"rates": asdict(self.cost)} if isinstance(self.cost, Rates) else {}
        return {
            "images": self._images.name,
            "images_digest": self._images.digest,
            "recipe": asdict(self._recipe),
            "device": self._device,
            **priced,
        }

    def check(self, space: Space) -> None:
        """Refuse a space whose networks cannot be trained on these data by this recipe.

        Raises:
            InvalidSetting: see `nasbench_kit.training.text.check_material`.
        """
        read = material(space.sample(np.random.default_rng(0)))
        check_material(read, self._images, self._recipe, f"the space {space.name}")

    def price(self, architecture: Any, epochs: int, halfway: bool) -> float | None:
        """Seconds, in the table's own, that a training will be charged; None without a cost model."""
        if self.cost is None:
            return None
        asked = architecture, epochs, halfway
        if asked not in self._prices:
            self._prices[asked] = self.cost.price(architecture.canonical(), epochs, halfway)
        return self._prices[asked]

    def train(self, architecture: Any, epochs: int, halfway: bool, repeat: int) -> Answer:
        """Train an architecture, or read from the store what it came to before.

        Raises:
            TrainingFailed: out of memory, or the network cannot be built.
        """
        record = self.record(architecture, epochs, repeat)
        scores = record["halfway" if halfway else "final"]
        return Answer(
            architecture=architecture,
            epochs=epochs,
            halfway=halfway,
            repeat=repeat,
            seconds=self.price(architecture, epochs, halfway),
            train_accuracy=_accuracy(scores["train"]),
            validation_accuracy=_accuracy(scores["validation"]),
            trainable_parameters=record["trainable_parameters"],
            source="trained",
        )

    def record(self, architecture: Any, epochs: int, seed: int) -> dict[str, Any]:
        """All that was measured, test included; for scoring after a search, never during it."""
        canonical = architecture.canonical()
        job = Job(canonical, self._recipe, self._images, epochs, seed, self._device)
        return self._store.get(job, lambda: self._made(job))

    def _made(self, job: Job) -> dict[str, Any]:
        from nasbench_kit.training.trainer import train

        with torch_threads(1):
            training = train(
                job.architecture, job.images, job.recipe, job.epochs, job.seed, device=self._device
            )
        return training.to_dict() | {
            "price": self.price(job.architecture, job.epochs, halfway=False)
        }


class Fallback(StoredTrainer):
    """Trains any architecture as those of a table were trained, at the table's prices.

    Args:
        table: fixes the prices.
        images: what the table's architectures were trained on.
        recipe: how they were trained.
        store: keeps what was trained; ``trainings.sqlite`` in the home folder by default.
        device: where torch computes.

    Raises:
        NotRecorded: the table records no seconds, so there is no price.
        InvalidSetting: it has too few rows to price anything by.
    """

    def __init__(
        self,
        table: Table,
        images: DataSet,
        recipe: Recipe,
        *,
        store: Store | None = None,
        device: str = "cpu",
    ) -> None:
        cost = CostModel(table, recipe.skeleton, images.shape)
        super().__init__(images, recipe, cost=cost, store=store, device=device)

    def price(self, architecture: Any, epochs: int, halfway: bool) -> float:
        """Seconds, in the table's own, that a training will be charged."""
        price = super().price(architecture, epochs, halfway)
        assert price is not None  # there is a cost model
        return price


def _accuracy(score: dict[str, Any]) -> float:
    """As a table has it, to the last bit: equal counts are ties."""
    return float(np.float32(score_of(score).accuracy))
