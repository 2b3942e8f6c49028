"""The 8x8 handwritten digits that scikit-learn carries: real images without a download.

1,797 grey images with pixels 0..16 of ten classes (Alpaydin and Kaynak 1998, the test part of the
UCI set "Optical Recognition of Handwritten Digits").
"""

from __future__ import annotations

import functools

import numpy as np

from nasbench_kit.training.images import ImageSet, Split

TRAINED_PER_CLASS = 25


@functools.cache
def digits() -> ImageSet:
    """250 training, 773 validation and 774 test images; the same split for everybody, for ever.

    Stratified: 25 training images of every class; of the others, every second one in the order of
    their classes validates, so that the two shares of a class differ by one image at most.
    """
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = pixels.reshape(-1, 8, 8, 1).astype(np.uint8)
    labels = labels.astype(np.int64)
    # A bit generator's raw stream never changes; what a Generator makes of it may (NEP 19).
    order = np.argsort(np.random.PCG64(101).random_raw(len(labels)), kind="stable")
    rank = np.empty_like(order)  # [i]: how many images of its class come before image i
    for label in range(10):
        of_class = order[labels[order] == label]
        rank[of_class] = np.arange(len(of_class))
    train = order[rank[order] < TRAINED_PER_CLASS]
    rest = order[rank[order] >= TRAINED_PER_CLASS]
    by_class = np.argsort(labels[rest], kind="stable")
    test, validation = rest[np.sort(by_class[::2])], rest[np.sort(by_class[1::2])]

    train_pixels = images[train].astype(np.float64)
    return ImageSet(
        name="digits",
        train=Split(images[train], labels[train]),
        validation=Split(images[validation], labels[validation]),
        test=Split(images[test], labels[test]),
        classes=10,
        mean=(round(float(train_pixels.mean()), 4),),  # rounded: the digest holds on any machine
        std=(round(float(train_pixels.std()), 4),),
        evaluated=(len(train), len(validation), len(test)),
    )
