"""Images to train on: the protocol between a data set and the trainer.

Anything that fills an ``ImageSet`` can be trained on; ``nasbench_kit.data.images.digits`` has one that needs
no download.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nasbench_kit.errors import InvalidSetting
from nasbench_kit.spaces.protocols import Material

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from nasbench_kit.training.loaded import LoadedImages
    from nasbench_kit.training.recipe import Recipe

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Split:
    """Images with their labels.

    Raises:
        InvalidSetting: another type or shape than stated here, no image at all, or a pixel that is
            no number.
    """

    #: uint8 or float32 [n, H, W, C], on the scale they were stored in.
    images: NDArray[Any]
    #: int64 [n], from 0.
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.ndim != 4 or images.dtype not in (np.uint8, np.float32) or images.size == 0:
            raise InvalidSetting(
                f"images are {images.dtype} {list(images.shape)}; "
                "give uint8 or float32 [n, height, width, channels] with n at least 1"
            )
        if images.dtype == np.float32 and not np.isfinite(images).all():
            raise InvalidSetting("some pixels are NaN or infinite; give finite numbers only")
        if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
            raise InvalidSetting(
                f"labels are {labels.dtype} {list(labels.shape)}; "
                f"give int64 [{len(images)}], one for each image"
            )

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class ImageSet:
    """A data set in three splits, and how it is normalised and scored.

    Two sets are the same when their ``digest`` is.

    Raises:
        InvalidSetting: the splits differ in shape or type, a label is out of range, ``mean`` or
            ``std`` do not fit the channels, or more images are to be scored than there are.
    """

    material: ClassVar[Material] = "images"

    name: str
    train: Split
    validation: Split
    test: Split
    #: Number of classes; labels are below it.
    classes: int
    #: Per channel, on the stored scale: a network sees ``(image - mean) / std``.
    mean: tuple[float, ...]
    std: tuple[float, ...]
    #: Accuracy is measured on the first images, this many, of train, validation and test. (NAS-Bench-101
    #: scores 9,984 of 10,000, whole batches of 256, and of the training images the first file's.)
    evaluated: tuple[int, int, int]
    #: Splits that were dealt from the training images, as the data had none of their own.
    dealt: tuple[str, ...] = ()
    #: What the classes are called, by label; empty where they have numbers only.
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shape, kind = self.train.images.shape[1:], self.train.images.dtype
        if self.classes < 2:
            raise InvalidSetting(f"{self.name}: classes is {self.classes}; there must be 2 or more")
        for name, scored in zip(SPLITS, self.evaluated, strict=True):
            split: Split = getattr(self, name)
            where = f"{self.name}, {name} split"
            if split.images.shape[1:] != shape or split.images.dtype != kind:
                raise InvalidSetting(
                    f"{where}: images are {split.images.dtype} {list(split.images.shape[1:])}, "
                    f"those of the train split {kind} {list(shape)}; store all alike"
                )
            low, high = int(split.labels.min()), int(split.labels.max())
            if low < 0 or high >= self.classes:
                raise InvalidSetting(
                    f"{where}: labels run from {low} to {high}; with {self.classes} classes they "
                    f"must lie in 0..{self.classes - 1}"
                )
            if not 1 <= scored <= len(split):
                raise InvalidSetting(
                    f"{where}: {scored} images are to be evaluated; choose 1..{len(split)}"
                )
        channels = shape[2]
        fit = len(self.mean) == channels and len(self.std) == channels and min(self.std) > 0
        if not fit or not np.isfinite([*self.mean, *self.std]).all():
            raise InvalidSetting(
                f"{self.name}: mean {self.mean} and std {self.std}; "
                f"give {channels} numbers each, one a channel, all finite, std above 0"
            )
        if len(self.class_names) not in (0, self.classes):
            raise InvalidSetting(
                f"{self.name}: {len(self.class_names)} names for {self.classes} classes; give one "
                "each, or none"
            )

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return int(self.train.images.shape[3])

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        height, width, channels = self.train.images.shape[1:]
        return int(height), int(width), int(channels)

    @property
    def sizes(self) -> str:
        """How many images each split has and where they come from, in words."""
        counts = ", ".join(f"{len(getattr(self, name)):,} {name}" for name in SPLITS)
        if not self.dealt:
            return f"{counts} images"
        return f"{counts} images ({' and '.join(self.dealt)} dealt from the training images)"

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all that a training sees, as 64 hexadecimal characters."""
        sha = hashlib.sha256()
        sha.update(repr((self.name, self.classes, self.mean, self.std, self.evaluated)).encode())
        for name in SPLITS:
            split: Split = getattr(self, name)
            for array in (split.images, split.labels):
                little = array.astype(array.dtype.newbyteorder("<"), copy=False)
                sha.update(f"{name} {little.dtype.str} {little.shape}".encode())
                sha.update(np.ascontiguousarray(little).data)
        return sha.hexdigest()

    def loaded(self, device: torch.device, recipe: Recipe) -> LoadedImages:
        """The images on a device.

        Raises:
            TrainingFailed: they do not fit into its memory.
        """
        from nasbench_kit.training.loaded import load
        from nasbench_kit.training.recipe import RegularizedRecipe

        data = load(self, device, augment=recipe.augment)
        if isinstance(recipe, RegularizedRecipe):
            return replace(data, cutout=recipe.cutout)
        return data
