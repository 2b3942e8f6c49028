"""An image set as tensors on a device: shuffled batches, augmentation, normalisation."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nasbench_kit.images import SPLITS, ImageSet

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

#: Zero pixels added on each side before a random crop.
PADDING = 4


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

    def batch(self, picked: NDArray[np.int64], rng: Generator) -> tuple[Tensor, Tensor]:
        """The picked training images [b, c, h, w], normalised, and their labels [b].

        With ``padded``, each is a random crop, flipped left to right by a fair coin. The border is
        0 before normalisation, thus ``-mean / std`` after it.
        """
        index = self._moved(picked)
        if self.padded is None:
            images = self.images[0][index]
        else:
            height, width = self.images[0].shape[1:3]
            top, left = rng.integers(0, 2 * PADDING + 1, (2, len(picked), 1))
            flipped = rng.integers(0, 2, (len(picked), 1)) == 1
            rows = top + np.arange(height)  # [b, h]
            columns = left + np.where(flipped, np.arange(width)[::-1], np.arange(width))  # [b, w]
            images = self.padded[
                index[:, None, None],
                self._moved(rows)[:, :, None],
                self._moved(columns)[:, None, :],
            ]  # [b, h, w, c]
        return self.normalised(images), self.labels[0][index]

    def normalised(self, images: Tensor) -> Tensor:
        """Stored images [n, h, w, c] -> network input [n, c, h, w], in channels-last memory."""
        return ((images - self.mean) / self.std).permute(0, 3, 1, 2)

    def _moved(self, indices: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(indices).to(self.mean.device)


@functools.lru_cache(maxsize=2)  # thousands of trainings in a row share one set
def load(images: ImageSet, device: torch.device, *, augment: bool) -> LoadedImages:
    """Move an image set to a device.

    Args:
        images: the set.
        device: where the tensors go.
        augment: whether batches are cropped and flipped at random.
    """
    splits = [getattr(images, name) for name in SPLITS]
    train, validation, test = (torch.tensor(split.images, device=device) for split in splits)
    border = (0, 0, PADDING, PADDING, PADDING, PADDING)  # channels, width, height
    return LoadedImages(
        images=(train, validation, test),
        labels=tuple(torch.tensor(split.labels, device=device) for split in splits),  # type: ignore[arg-type]
        evaluated=images.evaluated,
        padded=functional.pad(train, border) if augment else None,
        mean=torch.tensor(images.mean, device=device),
        std=torch.tensor(images.std, device=device),
    )


def shuffled(rng: Generator, images: int, batch_size: int) -> Iterator[NDArray[np.int64]]:
    """Batches [batch_size] of indices for ever: epochs in random order, one after the other.

    A batch may hold the end of one epoch and the beginning of the next.
    """
    ahead = np.empty(0, np.int64)
    while True:
        while len(ahead) < batch_size:
            ahead = np.concatenate([ahead, rng.permutation(images)])
        yield ahead[:batch_size]
        ahead = ahead[batch_size:]
