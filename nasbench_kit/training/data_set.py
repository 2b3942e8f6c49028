"""What the trainer knows of a data set, be it of images or text."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.random import Generator
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from nasbench_kit.spaces.protocols import Material
    from nasbench_kit.training.recipe import Recipe
    from nasbench_kit.training.record import AnyScore


class DataSet(Protocol):
    """Examples in three splits: images (`images.ImageSet`) or tokens (`text.TextSet`)."""

    @property
    def name(self) -> str:
        """In messages and results."""
        ...

    @property
    def material(self) -> Material:
        """What its examples are; networks of another material cannot be trained on it."""
        ...

    @property
    def train(self) -> Sized:
        """The training split; its length is what an epoch passes over."""
        ...

    @property
    def validation(self) -> Sized:
        """The validation split."""
        ...

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an example; a token is one place with a channel for every token."""
        ...

    @property
    def classes(self) -> int:
        """Number of logits."""
        ...

    @property
    def class_names(self) -> tuple[str, ...]:
        """What the logits stand for; empty where they have numbers only."""
        ...

    @property
    def sizes(self) -> str:
        """How large the splits are, in words."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 over all that a training sees, as 64 hexadecimal characters."""
        ...

    def loaded(self, device: torch.device, recipe: Recipe) -> Loaded:
        """The data on a device, as the recipe trains on them.

        Raises:
            TrainingFailed: they do not fit into its memory.
            InvalidSetting: the recipe cannot be used on them.
        """
        ...


class Picks(Protocol):
    """The order of a training, batch by batch, for ever."""

    #: Indices that are drawn but not given out yet; all of its state.
    ahead: NDArray[np.int64]

    def __iter__(self) -> Iterator[NDArray[np.int64]]: ...

    def __next__(self) -> NDArray[np.int64]: ...


class Loaded(Protocol):
    """A data set on a device."""

    def picks(self, rng: Generator, batch_size: int, split: str = "train") -> Picks:
        """A fresh order of the examples of train or validation."""
        ...

    def examples(self, batch_size: int) -> int:
        """Images, or tokens, of a batch."""
        ...

    def batch(self, picked: NDArray[np.int64], rng: Generator) -> tuple[Any, Tensor]:
        """What a network reads, and the labels of it."""
        ...

    def reward_batch(self, picked: NDArray[np.int64]) -> tuple[Any, Tensor]:
        """What a network reads of the validation split, and the labels of it; nothing is augmented."""
        ...

    def accuracy(self, logits: Tensor, labels: Tensor) -> float:
        """The share that is right; of text 1 / perplexity."""
        ...

    def whole_reward(self, supernet: nn.Module, run: Any) -> float:
        """Accuracy of what a supernet runs on the whole validation split."""
        ...

    def measure(self, network: nn.Module, *, renew: bool) -> list[AnyScore]:
        """Scores on train, validation and test; the network is left in eval mode.

        Args:
            network: what is measured.
            renew: whether batch norm's statistics are computed again before.
        """
        ...
