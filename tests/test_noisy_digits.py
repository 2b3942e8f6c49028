"""The composed images: what they are made of, and that they are the same everywhere."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from nasbench_kit.data.images import noisy_digits as module
from nasbench_kit.data.images.image_sets import open_images
from nasbench_kit.data.images.noisy_digits import noisy_digits


def test_sizes_and_classes() -> None:
    images = noisy_digits()
    assert open_images("noisy-digits") is images
    assert [len(images.train), len(images.validation), len(images.test)] == [1000, 500, 1000]
    assert images.train.images.shape == (1000, 8, 8, 1)
    for split in (images.train, images.validation, images.test):
        share = np.bincount(split.labels, minlength=10) / len(split)
        assert (np.abs(share - 0.1) < 0.05).all()  # drawn at random: some three deviations


def test_the_same_everywhere() -> None:
    """Whole numbers from a raw stream: the digest that the shipped table carries, on any machine."""
    assert noisy_digits.__wrapped__().digest == noisy_digits().digest
    assert noisy_digits().digest.startswith("0f4663c7ef9e1035")


def test_without_noise_every_image_is_a_digit_of_its_label_and_of_one_split(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("NOISE", "SHIFT", "PATCH"):
        monkeypatch.setattr(module, name, 0)
    images = noisy_digits.__wrapped__()
    pixels, labels = load_digits(return_X_y=True)
    which = {pixel.astype(np.uint8).tobytes(): place for place, pixel in enumerate(pixels)}
    assert len(which) == len(pixels)  # no two alike
    used = []
    for split in (images.train, images.validation, images.test):
        plain = ((split.images - 64) // 8).astype(np.uint8)
        places = [which[image.tobytes()] for image in plain]
        assert labels[places].tolist() == split.labels.tolist()
        used.append(set(places))
    assert not (used[0] & used[1] or used[0] & used[2] or used[1] & used[2])


def test_shift_and_patch_pixel_by_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    """The slow way: each image by loops, from the same draws in the same order."""
    monkeypatch.setattr(module, "NOISE", 0)
    digits = load_digits().images[:40].astype(np.int64)
    composed = module._composed(np.random.PCG64(5), digits)
    bits = np.random.PCG64(5)
    down, right, top, left, white = (
        [int(raw >> np.uint64(32)) % bound for raw in bits.random_raw(40)]
        for bound in (3, 3, 6, 6, 2)
    )
    for image in range(40):
        for row in range(8):
            for column in range(8):
                hidden = 0 <= row - top[image] < 3 and 0 <= column - left[image] < 3
                source = row - (down[image] - 1), column - (right[image] - 1)
                inside = all(0 <= place < 8 for place in source)
                pixel = int(digits[image, source[0], source[1]]) if inside else 0
                expected = 16 * white[image] if hidden else pixel
                assert composed[image, row, column] == 64 + 8 * expected


def test_noise_is_near_normal() -> None:
    composed = module._composed(np.random.PCG64(6), np.zeros((4000, 8, 8), np.int64))
    noise = composed[composed < 150] - 64.0  # without the white patches
    assert abs(noise.mean()) < 0.5 + 0.2  # rounded down, and cut at black
    assert noise.std() == pytest.approx(8 * module.NOISE, rel=0.03)
    within = np.mean(np.abs(noise) < 8 * module.NOISE)
    assert within == pytest.approx(0.683, abs=0.02)
