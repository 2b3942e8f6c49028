"""What a weight-sharing search trains on, and what its steps cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nasbench_kit.errors import InvalidSetting
from nasbench_kit.training.images import ImageSet, Split
from nasbench_kit.training.text import TextSet

if TYPE_CHECKING:
    from nasbench_kit.oracle.cost import CostModel
    from nasbench_kit.oracle.rates import Rates
    from nasbench_kit.training.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Task:
    """The data set and the recipe that a table's cells were trained with, without test images."""

    name: str
    #: Shared weights are trained on these.
    #: A `Split` of images; of a text its tokens, int64 [n].
    weights: Any
    #: Architectures are trained on, and rewarded by, these.
    reward: Any
    classes: int
    #: Per channel, on the stored scale: a network sees ``(image - mean) / std``.
    mean: tuple[float, ...]
    std: tuple[float, ...]
    recipe: Recipe
    #: Images of one epoch of the table's own trainings.
    epoch_images: int
    #: Prices what is no cell of the table; None for a table without seconds.
    cost: CostModel | Rates | None
    #: Where torch computes.
    device: str = "cpu"
    #: File that a long search saves its state to, and resumes from; None saves nothing.
    checkpoint: Path | None = None
    #: How often, at most; at the end of an epoch.
    checkpoint_every_seconds: float = 60.0
    #: Of a text; empty for images.
    vocabulary: tuple[str, ...] = ()

    @classmethod
    def of(cls, images: ImageSet | TextSet, recipe: Recipe, cost: CostModel | Rates | None) -> Task:
        """Weights train on the training images, rewards come from the validation images."""
        return cls(
            name=images.name,
            weights=images.train,
            reward=images.validation,
            classes=images.classes,
            mean=images.mean if isinstance(images, ImageSet) else (),
            std=images.std if isinstance(images, ImageSet) else (),
            vocabulary=() if isinstance(images, ImageSet) else images.vocabulary,
            recipe=recipe,
            epoch_images=len(images.train),
            cost=cost,
        )

    def halved(self) -> Task:
        """Both from the training images: weights from one half, rewards from the other.

        The validation images, which the table's own accuracies are of, then stay unseen.

        Raises:
            InvalidSetting: there is but one training image.
        """
        half = len(self.weights) // 2
        if not half:
            raise InvalidSetting(f"{self.name} has one training image; halving needs 2 or more")
        if self.vocabulary:
            return replace(self, weights=self.weights[:half], reward=self.weights[half:])
        images, labels = self.weights.images, self.weights.labels
        # Every second one: sets that are sorted by class stay balanced.
        return replace(
            self,
            weights=Split(images[::2], labels[::2]),
            reward=Split(images[1::2], labels[1::2]),
        )

    @cached_property  # what is loaded onto a device once serves all searches of a task
    def images(self) -> Any:
        """As a set of images or text; where the test split would be stands that of the reward once more."""
        if self.vocabulary:
            return TextSet(self.name, self.weights, self.reward, self.reward, self.vocabulary)
        return ImageSet(
            name=self.name,
            train=self.weights,
            validation=self.reward,
            test=self.reward,
            classes=self.classes,
            mean=self.mean,
            std=self.std,
            evaluated=(len(self.weights), len(self.reward), len(self.reward)),
        )
