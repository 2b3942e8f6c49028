"""An image set as tensors on a device: shuffled batches, augmentation, normalisation."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nasbench_kit.errors import TrainingFailed
from nasbench_kit.training.device import out_of_memory
from nasbench_kit.training.evaluation import measure
from nasbench_kit.training.images import SPLITS, ImageSet

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray
    from torch import nn

    from nasbench_kit.training.record import AnyScore

#: Zero pixels added on each side before a random crop.
PADDING = 4
#: Images of one forward pass without gradients.
_REWARD_BATCH = 1024


@dataclass(frozen=True, eq=False)
class LoadedImages:
    """Images as they are stored, normalised batch by batch."""

    #: [n, h, w, c] of train, validation and test.
    images: tuple[Tensor, Tensor, Tensor]
    #: [n] of train, validation and test.
    labels: tuple[Tensor, Tensor, Tensor]
    #: How many images of each split are scored.
    evaluated: tuple[int, int, int]
    #: [n, h + 8, w + 8, c]: training images within a border of zeros for random crops, or None.
    padded: Tensor | None
    mean: Tensor  # [c]
    std: Tensor  # [c]
    #: Pixels of a side of the square that is blanked out in training images.
    cutout: int = 0

    def picks(self, rng: Generator, batch_size: int, split: str = "train") -> Shuffled:
        """A fresh order of the images of train or validation."""
        return Shuffled(rng, len(self.labels[SPLITS.index(split)]), batch_size)

    def examples(self, batch_size: int) -> int:
        """Images of a batch."""
        return batch_size

    def reward_batch(self, picked: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """The picked validation images [b, c, h, w], normalised, and their labels [b]."""
        index = torch.from_numpy(picked).to(self.mean.device)
        return self.normalised(self.images[1][index]), self.labels[1][index]

    def accuracy(self, logits: Tensor, labels: Tensor) -> float:
        """The share that is classified correctly, in [0, 1]."""
        return float((logits.argmax(1) == labels).float().mean())

    @torch.no_grad()
    def whole_reward(self, supernet: nn.Module, run: Any) -> float:
        """Accuracy in [0, 1] of what a supernet runs on all validation images."""
        images, labels = self.images[1], self.labels[1]
        correct = 0.0
        parts = math.ceil(len(labels) / _REWARD_BATCH)
        for part in range(parts):  # strided: of images sorted by class, all have all classes
            some = labels[part::parts]
            logits = supernet(self.normalised(images[part::parts]), run)
            correct += self.accuracy(logits, some) * len(some)
        return correct / len(labels)

    def measure(self, network: nn.Module, *, renew: bool) -> list[AnyScore]:
        """Scores on train, validation and test; see `evaluation.measure`."""
        return measure(network, self, renew=renew)

    def batch(self, picked: NDArray[np.int64], rng: Generator) -> tuple[Tensor, Tensor]:
        """The picked training images [b, c, h, w], normalised, and their labels [b].

        With ``padded``, each is a random crop, flipped left to right by a fair coin. The border is
        0 before normalisation, thus ``-mean / std`` after it. Cutout blanks out a square of each image,
        which is 0 after normalisation.
        """
        images, labels = self._augmented(picked, rng)
        return (cut_out(images, self.cutout, rng) if self.cutout else images), labels

    def _augmented(self, picked: NDArray[np.int64], rng: Generator) -> tuple[Tensor, Tensor]:
        if self.padded is None:
            index = self._moved(picked)
            return self.normalised(self.images[0][index]), self.labels[0][index]
        height, width = self.images[0].shape[1:3]
        top, left = rng.integers(0, 2 * PADDING + 1, (2, len(picked)))
        flipped = rng.integers(0, 2, len(picked))
        index, top, left, flipped = self._moved(np.stack([picked, top, left, flipped]))  # [b] each
        across = torch.arange(width, device=index.device)
        rows = top[:, None] + torch.arange(height, device=index.device)  # [b, h]
        columns = left[:, None] + torch.where(flipped[:, None] == 1, across.flip(0), across)
        crops = self.padded[index[:, None, None], rows[:, :, None], columns[:, None, :]]
        return self.normalised(crops), self.labels[0][index]  # crops: [b, h, w, c]

    def normalised(self, images: Tensor) -> Tensor:
        """Stored images [n, h, w, c] -> network input [n, c, h, w], in channels-last memory."""
        return ((images - self.mean) / self.std).permute(0, 3, 1, 2)

    def _moved(self, indices: NDArray[np.int64]) -> Tensor:
        """Indices on the device of the images; a GPU is not waited for."""
        return torch.from_numpy(indices).to(self.mean.device, non_blocking=True)


def cut_out(images: Tensor, side: int, rng: Generator) -> Tensor:
    """Images [n, c, h, w] with a square of zeros each, around a pixel that is drawn uniformly.

    What of the square lies outside of an image is lost: rows from centre - side // 2 up to, and without,
    centre + side - side // 2, and columns likewise.

    Source: DeVries and Taylor, Improved regularization of convolutional neural networks with cutout,
    arXiv 1708.04552, section 3.
    """
    height, width = images.shape[2:]
    inside = []
    for pixels in (height, width):
        centre = torch.from_numpy(rng.integers(0, pixels, len(images))).to(images.device)
        first = centre[:, None] - side // 2
        place = torch.arange(pixels, device=images.device)
        inside.append((first <= place) & (place < first + side))  # [n, pixels]
    rows, columns = inside
    return images.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)


@functools.lru_cache(maxsize=2)  # thousands of trainings in a row share one set
def load(images: ImageSet, device: torch.device, *, augment: bool) -> LoadedImages:
    """Move an image set to a device.

    Args:
        images: the set.
        device: where the tensors go.
        augment: whether batches are cropped and flipped at random.

    Raises:
        TrainingFailed: they do not fit into its memory.
    """
    splits = [getattr(images, name) for name in SPLITS]
    border = (0, 0, PADDING, PADDING, PADDING, PADDING)  # channels, width, height
    try:
        train, validation, test = (torch.tensor(split.images, device=device) for split in splits)
        padded = functional.pad(train, border) if augment else None
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        size = sum(split.images.nbytes for split in splits) / 2**20
        raise TrainingFailed(
            f"the images of {images.name} do not fit into the memory of {device}: they take "
            f"{size:,.0f} MiB{' and a padded copy' if augment else ''}; give fewer or smaller ones, "
            "or use another device"
        ) from error
    return LoadedImages(
        images=(train, validation, test),
        labels=tuple(torch.tensor(split.labels, device=device) for split in splits),  # type: ignore[arg-type]
        evaluated=images.evaluated,
        padded=padded,
        mean=torch.tensor(images.mean, device=device),
        std=torch.tensor(images.std, device=device),
    )


class Shuffled:
    """Batches [batch_size] of indices for ever: epochs in random order, one after the other.

    A batch may hold the end of one epoch and the beginning of the next.
    """

    def __init__(self, rng: Generator, images: int, batch_size: int) -> None:
        self._rng = rng
        self._images = images
        self._batch_size = batch_size
        #: Indices that are drawn but not given out yet.
        self.ahead = np.empty(0, np.int64)

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        return self

    def __next__(self) -> NDArray[np.int64]:
        while len(self.ahead) < self._batch_size:
            self.ahead = np.concatenate([self.ahead, self._rng.permutation(self._images)])
        batch, self.ahead = np.split(self.ahead, [self._batch_size])
        return batch
