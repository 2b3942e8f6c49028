"""Random search with weight sharing: the control of every one-shot search.

Shared weights are trained on uniformly drawn cells; then many cells are drawn and ranked by the
accuracy that they reach with the shared weights. Nothing is learnt about architectures.

Source: Li & Talwalkar, Random search and reproducibility for NAS, UAI 2019 (arXiv 1902.07638),
section 3 and its supplement; the settings are those of Zela et al., NAS-Bench-1Shot1, ICLR 2020.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from nasbench_kit.algorithms.weight_sharing.search import WeightSharing
from nasbench_kit.algorithms.weight_sharing.training import OneShot, SharedWeights

if TYPE_CHECKING:
    from nasbench_kit.spaces.protocols import Architecture


@dataclass(frozen=True)
class RandomWeightSharing(WeightSharing):
    """Train on random cells, rank random cells.

    Raises:
        InvalidSetting: a setting out of its range.
    """

    #: Li & Talwalkar's largest norm, 0.25, as NAS-Bench-1Shot1 keeps it.
    clip: float = 0.25
    #: Cells drawn for each ranking, each on this many batches; the best of them on every batch.
    samples: int = 1000
    batches: int = 10
    finalists: int = 5

    ranges: ClassVar[Mapping[str, str]] = {
        **WeightSharing.ranges,
        "samples": "[1, inf)",
        "batches": "[1, inf)",
        "finalists": "[1, inf)",
    }
    ranking_share: ClassVar[float] = 0.4

    @classmethod
    def small(cls) -> RandomWeightSharing:
        """For the digits table: as many epochs as the budget allows, and short rankings.

        Batch, weight decay and learning rate are those of its stand-alone trainings, and gradients
        are cut at 5 as in DARTS.
        """
        return cls(
            epochs=None,
            batch_size=50,
            learning_rate=0.1,
            weight_decay=5e-4,
            clip=5.0,
            samples=10,
            batches=1,
            finalists=1,
        )

    def begin(self, shared: SharedWeights) -> OneShot:
        """The search before its first epoch."""
        return _Search(self, shared)


class _Search:
    def __init__(self, settings: RandomWeightSharing, shared: SharedWeights) -> None:
        self.settings = settings
        self.shared = shared

    def draw(self) -> Architecture:
        return self.shared.space.sample(self.shared.rng)

    def epoch(self) -> Architecture:
        shared = self.shared
        for _ in range(shared.steps_an_epoch):
            cell = self.draw()
            shared.pay(cell, self.settings.batch_size)
            shared.step(cell, shared.weight_batch())
        cells = [self.draw() for _ in range(self.settings.samples)]
        return shared.best_of(cells, self.settings.batches, self.settings.finalists)

    def candidates(self) -> Iterator[Architecture]:
        return self.shared.best_first(lambda: [self.draw()])

    def parts(self) -> dict[str, Any]:
        return {}
