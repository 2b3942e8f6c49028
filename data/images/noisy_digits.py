"""Noisy digits: scikit-learn's digits shifted, partly hidden and under noise, as many as are asked for.

The 1,797 digits of 8x8 pixels (`nasbench_kit.data.images.digits`) are learnt within seconds, and good
cells all come to the same accuracy. Made harder, they tell good cells apart; and as any number of images
can be composed of them, accuracies are counted on more images than there are digits.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.training.images import ImageSet, Split

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Images of the three splits, and how many of each are scored.
SIZES, EVALUATED = (1_000, 500, 1_000), (250, 500, 1_000)
#: Pixels that a digit is shifted by at most, up or down and left or right.
SHIFT = 1
#: Height and width in pixels of the square that hides a part of a digit.
PATCH = 3
#: Standard deviation of the noise, on the scale of the digits' pixels (0..16).
NOISE = 3.2
#: Of the images' grey: what a digit's pixel of 0 becomes, and how much each step adds.
_DARK, _STEP = 64, 8


@functools.cache
def noisy_digits() -> ImageSet:
    """1,000 training, 500 validation and 1,000 test images of ten classes; the same for everybody.

    Each split is composed of a third of scikit-learn's digits of its own, so that no handwriting is in
    two splits. An image is one digit, drawn with replacement, shifted by up to ``SHIFT`` pixels a way;
    a square of ``PATCH`` pixels at a random place is black or white; every pixel gets noise of its own,
    near normal with standard deviation ``NOISE``. All of this is arithmetic on whole numbers from a bit
    generator's raw stream, which never changes (NEP 19).
    """
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    pixels = pixels.reshape(-1, 8, 8).astype(np.int64)
    bits = np.random.PCG64(102)
    order = np.argsort(bits.random_raw(len(labels)), kind="stable")
    splits = []
    for sources, count in zip(np.array_split(order, 3), SIZES, strict=True):
        chosen = sources[_below(bits, len(sources), count)]
        images = _composed(bits, pixels[chosen])[..., None]
        splits.append(Split(images, labels[chosen].astype(np.int64)))
    train, validation, test = splits
    values = train.images.astype(np.float64)
    return ImageSet(
        name="noisy-digits",
        train=train,
        validation=validation,
        test=test,
        classes=10,
        mean=(round(float(values.mean()), 4),),  # rounded: the digest holds on any machine
        std=(round(float(values.std()), 4),),
        evaluated=EVALUATED,
    )


def _below(bits: np.random.PCG64, bound: int, count: int) -> NDArray[np.int64]:
    """So many whole numbers from 0 to ``bound`` - 1; of 2^32 values, the bias is far below 1e-6."""
    return ((bits.random_raw(count) >> np.uint64(32)) % np.uint64(bound)).astype(np.int64)


def _composed(bits: np.random.PCG64, digits: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Digits [n, 8, 8] with pixels 0..16, shifted, hidden in part and under noise, as grey 0..255."""
    count, height, width = digits.shape
    down, right = (_below(bits, 2 * SHIFT + 1, count) for _ in range(2))  # 0 shifts by -SHIFT
    border = (SHIFT, SHIFT)
    padded = np.pad(digits, ((0, 0), border, border))
    image = np.arange(count)[:, None, None]
    rows = (2 * SHIFT - down)[:, None, None] + np.arange(height)[:, None]
    columns = (2 * SHIFT - right)[:, None, None] + np.arange(width)
    shifted = padded[image, rows, columns]

    top, left = _below(bits, height - PATCH + 1, count), _below(bits, width - PATCH + 1, count)
    white = _below(bits, 2, count)
    inside = np.arange(PATCH)
    hidden = image, (top[:, None] + inside)[:, :, None], (left[:, None] + inside)[:, None, :]
    shifted[hidden] = 16 * white[:, None, None]

    # The sum of four bytes has mean 510 and standard deviation sqrt(4 * (256**2 - 1) / 12) = 147.8.
    raw = bits.random_raw(digits.size // 2).astype("<u8").view(np.uint8)
    noise = raw.reshape(count, height, width, 4).astype(np.int64).sum(axis=-1) - 510
    scaled = noise * round(1000 * NOISE * _STEP) // 147_800
    return np.clip(_DARK + _STEP * shifted + scaled, 0, 255).astype(np.uint8)
