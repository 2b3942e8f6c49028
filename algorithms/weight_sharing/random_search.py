"""Random search with weight sharing: the control of every one-shot search.

Shared weights are trained on uniformly drawn cells; then many cells are drawn and ranked by the
accuracy that they reach with the shared weights. Nothing is learnt about architectures.

Source: Li & Talwalkar, Random search and reproducibility for NAS, UAI 2019 (arXiv 1902.07638),
section 3 and its supplement; the settings are those of Zela et al., NAS-Bench-1Shot1, ICLR 2020.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from nasbench_kit.algorithms.weight_sharing.search import WeightSharing
from nasbench_kit.algorithms.weight_sharing.training import OneShot, SharedWeights
from nasbench_kit.errors import InvalidSetting

if TYPE_CHECKING:
    from nasbench_kit.spaces.protocols import Architecture


#: Ways to draw the cells of a step.
SAMPLINGS = ("encodings", "cells", "fair")


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
    #: Where a step's cells come from: uniform over "encodings" or over unique "cells" (in the
    #: labelling that scores are for), or strictly "fair": cells of one graph that give each vertex
    #: every operation once (Chu et al., FairNAS, ICCV 2021, section 3.2).
    sampling: str = "encodings"
    #: Draws of one step; it goes down the mean gradient of all its cells on one batch, and pays
    #: for each.
    paths_per_step: int = 1

    ranges: ClassVar[Mapping[str, str]] = {
        **WeightSharing.ranges,
        "samples": "[1, inf)",
        "batches": "[1, inf)",
        "finalists": "[1, inf)",
        "paths_per_step": "[1, inf)",
    }
    ranking_share: ClassVar[float] = 0.4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sampling not in SAMPLINGS:
            choices = ", ".join(SAMPLINGS)
            raise InvalidSetting(f"sampling is {self.sampling!r}; choose one of {choices}")

    @classmethod
    def released(cls) -> Self:
        """The best of Li and Talwalkar's settings on CIFAR-10 (their Random 5), not their script's own.

        They have 24 channels, which are the recipe's here, and rank 5,000 cells once, at the end, in
        sets of 1,000; here every epoch ranks a set, and queries follow all that the share pays for.
        """
        return cls(epochs=150, clip=1.0, finalists=10)

    @classmethod
    def small(cls) -> Self:
        """For the digits table: as many epochs as the budget allows, and short rankings.

        Batch, weight decay and learning rate are those of its stand-alone trainings, and gradients
        are cut at 5 as in DARTS. Encodings stay the sampling: on ``digits`` and ``noisy-digits`` what
        ranks best is better than after steps on unique cells or strictly fair steps, whose tau-b over
        all cells is higher (docs/weight-sharing.md).
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

    @classmethod
    def text(cls) -> Self:
        """For Python's topics: Li and Talwalkar's settings on Penn Treebank, shorter and with fewer samples.

        Learning rate, its lack of momentum, and batch are theirs; ``clip`` is DARTS'.
        """
        return cls(
            epochs=None,
            batch_size=64,
            learning_rate=20.0,
            learning_rate_min=1.0,
            momentum=0.0,
            weight_decay=5e-7,
            clip=0.25,
            samples=10,
            batches=1,
            finalists=1,
        )

    def begin(self, shared: SharedWeights) -> OneShot:
        """The search before its first epoch.

        Raises:
            InvalidSetting: the space draws in one way only, and another is asked for.
        """
        if self.sampling != "encodings" and not hasattr(shared.space, "sample_fairly"):
            raise InvalidSetting(
                f"the space {shared.space.name} draws architectures in one way; "
                "leave sampling at 'encodings'"
            )
        return RandomSharing(self, shared)


class RandomSharing:
    """Random search with weight sharing under way."""

    def __init__(self, settings: RandomWeightSharing, shared: SharedWeights) -> None:
        self.settings = settings
        self.shared = shared

    def draw(self) -> Architecture:
        """A random cell, in a labelling that training meets."""
        if self.settings.sampling == "encodings":
            return self.shared.space.sample(self.shared.rng)
        return self.shared.space.sample(self.shared.rng, over="cells")

    def drawn_for_a_step(self) -> list[Architecture]:
        """The cells that one step trains."""
        draws = range(self.settings.paths_per_step)
        if self.settings.sampling == "fair":
            fair = self.shared.space.sample_fairly
            return [cell for _ in draws for cell in fair(self.shared.rng)]
        return [self.draw() for _ in draws]

    def epoch(self) -> Architecture:
        """Train on random cells, and rank some others."""
        shared = self.shared
        for _ in range(shared.steps_an_epoch):
            cells = self.drawn_for_a_step()
            for cell in cells:
                shared.pay(cell, shared.step_examples)
            shared.step(cells, shared.weight_batch())
        cells = [self.draw() for _ in range(self.settings.samples)]
        return shared.best_of(cells, self.settings.batches, self.settings.finalists)

    def candidates(self) -> Iterator[Architecture]:
        """Random cells, the best by shared weights first."""
        return self.shared.best_first(lambda: [self.draw()])

    def parts(self) -> dict[str, Any]:
        """Nothing: only the weights learn."""
        return {}
