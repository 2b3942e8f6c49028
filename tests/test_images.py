import dataclasses
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from nasbench_kit.data.images.digits import digits
from nasbench_kit.errors import InvalidSetting
from nasbench_kit.training.images import SPLITS, ImageSet, Split


def split(n: int = 4, shape: tuple[int, ...] = (2, 2, 3), kind: Any = np.uint8) -> Split:
    return Split(np.ones((n, *shape), kind), np.arange(n, dtype=np.int64) % 2)


def image_set(**changes: Any) -> ImageSet:
    fields: dict[str, Any] = {
        "name": "made up",
        "train": split(),
        "validation": split(3),
        "test": split(2),
        "classes": 2,
        "mean": (1.0, 2.0, 3.0),
        "std": (1.0, 1.0, 1.0),
        "evaluated": (4, 3, 2),
    }
    return ImageSet(**(fields | changes))


@pytest.mark.parametrize(
    ("images", "labels", "says"),
    [
        (np.ones((4, 2, 2), np.uint8), np.zeros(4, np.int64), r"uint8 \[4, 2, 2\]"),
        (np.ones((4, 2, 2, 1), np.int32), np.zeros(4, np.int64), "int32"),
        (np.ones((0, 2, 2, 1), np.uint8), np.zeros(0, np.int64), "n at least 1"),
        (np.full((4, 2, 2, 1), np.nan, np.float32), np.zeros(4, np.int64), "NaN"),
        (np.ones((4, 2, 2, 1), np.uint8), np.zeros(4, np.int32), "labels are int32"),
        (np.ones((4, 2, 2, 1), np.uint8), np.zeros(5, np.int64), r"give int64 \[4\]"),
    ],
)
def test_a_split_names_what_is_wrong(images: Any, labels: Any, says: str) -> None:
    with pytest.raises(InvalidSetting, match=says):
        Split(images, labels)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"classes": 1}, "classes is 1"),
        ({"validation": split(3, (2, 3, 3))}, r"validation split: images are uint8 \[2, 3, 3\]"),
        ({"test": split(2, kind=np.float32)}, "test split: images are float32"),
        ({"train": Split(split().images, np.array([0, 1, 2, 0]))}, r"must lie in 0\.\.1"),
        ({"train": Split(split().images, np.array([0, 1, -1, 0]))}, "run from -1 to 1"),
        ({"evaluated": (4, 4, 2)}, r"validation split: 4 images .* choose 1\.\.3"),
        ({"evaluated": (0, 3, 2)}, "0 images are to be evaluated"),
        ({"mean": (1.0,)}, "give 3 numbers each"),
        ({"std": (1.0, 0.0, 1.0)}, "std above 0"),
        ({"std": (1.0, np.nan, 1.0)}, "all finite"),
        ({"mean": (1.0, np.inf, 1.0)}, "all finite"),
        ({"class_names": ("a", "b", "c")}, "3 names for 2 classes"),
    ],
)
def test_a_set_names_what_is_wrong(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidSetting, match=says):
        image_set(**changes)


def test_the_digest_covers_all_that_a_training_sees() -> None:
    other_pixels = split()
    other_pixels.images[3, 1, 1, 2] = 7
    changes: list[dict[str, Any]] = [
        {"name": "other"},
        {"train": other_pixels},
        {"test": Split(split(2).images, np.array([1, 0]))},
        {"classes": 3},
        {"mean": (1.0, 2.0, 3.5)},
        {"std": (1.0, 1.0, 2.0)},
        {"evaluated": (4, 2, 2)},
    ]
    unseen = {"dealt", "class_names"}  # by a training
    assert {name for change in changes for name in change} | {"validation"} | unseen == {
        field.name for field in dataclasses.fields(ImageSet)
    }
    assert image_set(dealt=("test",), class_names=("a", "b")).digest == image_set().digest
    digests = [image_set(**change).digest for change in [{}, *changes]]
    assert len(set(digests)) == len(digests)
    assert image_set().digest == digests[0]


def test_the_digest_does_not_depend_on_memory_layout() -> None:
    turned = Split(np.asfortranarray(split().images), split().labels)
    assert image_set(train=turned).digest == image_set().digest


def test_digits_split_into_disjoint_stratified_parts() -> None:
    from sklearn.datasets import load_digits

    images = digits()
    assert [len(getattr(images, name)) for name in SPLITS] == [250, 773, 774]
    assert images.evaluated == (250, 773, 774)
    everything = np.concatenate([getattr(images, name).images for name in SPLITS])
    pixels = load_digits().images.astype(np.uint8)[..., None]
    assert sorted(map(bytes, everything)) == sorted(map(bytes, pixels))
    counts = [np.bincount(getattr(images, name).labels) for name in SPLITS]
    assert counts[0].tolist() == [25] * 10
    assert np.abs(counts[1] - counts[2]).max() <= 1
    assert images.train.images.mean() == pytest.approx(images.mean[0], abs=1e-4)
    assert images.train.images.std() == pytest.approx(images.std[0], abs=1e-4)


def test_any_part_of_the_training_digits_mixes_the_classes() -> None:
    half = np.bincount(digits().train.labels[:125], minlength=10)
    # Hypergeometric, mean 12.5, standard deviation 2.4 a class: within 4 of them.
    assert half.min() >= 3
    assert half.max() <= 22


def test_images_and_recipes_need_no_torch() -> None:
    code = (
        "import sys, nasbench_kit.training.images, nasbench_kit.training.recipe, nasbench_kit.data.images.digits; "
        "sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
