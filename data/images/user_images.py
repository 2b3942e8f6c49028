"""Your own images as a data set: arrays, from Python or from an ``.npz`` file.

    >>> images = from_arrays("shapes", {"x_train": x, "y_train": y})  # uint8 [n, 32, 32, 3], int [n]
    >>> train(Cell.named("resnet"), images, DIGITS, epochs=12, seed=0)

Image files are the business of `nasbench_kit.data.images.image_folder`; the splits are the same there.

A data set has three splits: ``x_train`` and ``y_train``, ``x_validation`` and ``y_validation``,
``x_test`` and ``y_test``. Images that are not split yet, ``x`` and ``y``, are training images. Other
names that are understood are ``images`` for x and ``labels`` for y, the split in front (``train_images``),
the split names of ``NAMES``, and capital letters. An array whose name says none of this is refused, and
so are two for one purpose. Each split that is missing gets a fifth of the training images: those of every class are shuffled, once for all,
and dealt in turn to five heaps; the last heap becomes the test split, the last one left the validation
split. The others are kept in that shuffled order, so that any part of the training images mixes the
classes; the first 10,000 of them measure training accuracy. Mean and standard deviation are those of
the training images, per channel.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.checks import printable, shown
from nasbench_kit.errors import CorruptFile, InvalidSetting, UnknownName
from nasbench_kit.system.files import existing
from nasbench_kit.training.images import SPLITS, ImageSet, Split

if TYPE_CHECKING:
    from numpy.typing import NDArray

    #: Split -> the given split that its images come from, and their places there.
    Dealt = dict[str, tuple[str, NDArray[np.int64]]]

#: How the splits may be called, in small or capital letters.
NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
_AXES = {"x": "x", "images": "x", "y": "y", "labels": "y"}
#: Training images that are scored at most.
SCORED = 10_000
_HEAPS = 5
#: Images whose squares are added up at a time, to spare memory.
_CHUNK = 1000


def from_arrays(name: str, arrays: Mapping[str, NDArray[Any]]) -> ImageSet:
    """A data set of arrays.

    Args:
        name: What to call it.
        arrays: By the names above. Images are uint8 or floating-point, [n, height, width] or [n,
            height, width, channels]; labels integers [n] or [n, 1], numbered from 0 without gaps.

    Raises:
        InvalidSetting: no training images, an array by another name or of another shape or type,
            two for one purpose, labels out of range, or a class with too few images to deal.
    """
    if not isinstance(name, str) or not isinstance(arrays, Mapping):
        raise InvalidSetting(
            f"the name is {shown(name)} and the arrays are {shown(arrays)}; give a text and a "
            "dictionary of arrays"
        )
    keys = _keys(name, arrays)
    images, labels = {}, {}
    for split in SPLITS:
        x, y = (keys.get((axis, split)) for axis in "xy")
        if x is not None and y is not None:
            images[split] = _images(f"{name}: {x}", arrays[x])
            labels[split] = _labels(f"{name}: {y}", arrays[y])
            if len(images[split]) != len(labels[split]):
                raise InvalidSetting(
                    f"{name}: {x} has {len(images[split])} images, {y} has {len(labels[split])} "
                    "labels; give one for each image"
                )
        elif x or y:
            raise InvalidSetting(
                f"{name} has {x or y} and no {'labels' if x else 'images'} for it; give both or "
                "neither"
            )
    if "train" not in labels:
        raise InvalidSetting(
            f"{name} has the arrays {', '.join(arrays) or '(none)'}; x_train and y_train are needed"
        )
    classes = np.unique(labels["train"]).tolist()
    if classes != list(range(len(classes))):
        raise InvalidSetting(
            f"{name}: the training images have {len(classes)} different labels, from {classes[0]} "
            f"to {classes[-1]}; number the classes 0, 1, 2, ... without gaps"
        )
    dealt = deal(name, labels, list(map(str, classes)))
    parts = {split: images[source][chosen] for split, (source, chosen) in dealt.items()}
    return image_set(name, parts, labels, dealt, len(classes))


def split_called(name: str) -> str | None:
    """The split that goes by a name, in small or capital letters."""
    return next((split for split, names in NAMES.items() if name.casefold() in names), None)


def _keys(name: str, arrays: Mapping[str, object]) -> dict[tuple[str, str], str]:
    """(x or y, split) -> the array's name.

    Raises:
        InvalidSetting: a name that is not understood, or two for one purpose.
    """
    keys: dict[tuple[str, str], str] = {}
    for key in arrays:
        match str(key).casefold().split("_"):
            case [axis] if axis in _AXES:
                split: str | None = "train"
            case [axis, word] if axis in _AXES:
                split = split_called(word)
            case [word, axis] if axis in _AXES:
                split = split_called(word)
            case _:
                axis, split = "", None
        if split is None:
            raise InvalidSetting(
                f"{name}: there is no use for the array {shown(key)}; leave it out, or call it x or y "
                f"followed by one of {', '.join(f'_{word}' for words in NAMES.values() for word in words)}"
            )
        other = keys.setdefault((_AXES[axis], split), key)
        if other != key:
            kind = "images" if _AXES[axis] == "x" else "labels"
            raise InvalidSetting(
                f"{name}: {other} and {key} are both {kind} of the {split} split; leave out one"
            )
    return keys


def npz_file(path: str | Path) -> ImageSet:
    """A data set of the arrays in an ``.npz`` file; it is called as the file is.

    Raises:
        UnknownName: there is no such file.
        CorruptFile: it is damaged, something else, or holds Python objects: these would be pickles.
        InvalidSetting: as ``from_arrays``.
    """
    path = existing(path, "file of arrays")
    if not path.is_file():
        raise UnknownName(f"there is no file {path}; check the path")
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            if len(set(file.files)) < len(file.files):
                raise ValueError("an array is there twice")
            arrays = dict(file)
    except (
        *(ValueError, TypeError, EOFError, OSError, RuntimeError, MemoryError),
        *(zipfile.BadZipFile, zlib.error),
    ) as error:
        raise CorruptFile(
            f"{path} cannot be read as .npz ({error}); write arrays of numbers with numpy.savez"
        ) from error
    return from_arrays(path.stem, arrays)


def deal(name: str, labels: Mapping[str, NDArray[np.int64]], classes: Sequence[str]) -> Dealt:
    """Which images make the three splits, as the module says.

    Raises:
        InvalidSetting: a class with too few images.
    """
    train = labels["train"]
    missing = [split for split in SPLITS if split not in labels]
    # A bit generator's raw stream never changes; what a Generator makes of it may (NEP 19).
    order = np.argsort(np.random.PCG64(101).random_raw(len(train)), kind="stable")
    by_class = order[np.argsort(train[order], kind="stable")]
    first = np.searchsorted(train[by_class], train[by_class])
    heap = np.empty_like(order)
    heap[by_class] = (np.arange(len(train)) - first) % _HEAPS
    counts = np.bincount(train, minlength=len(classes))
    if missing and counts.min() < _HEAPS:
        raise InvalidSetting(
            f"{printable(name)}: class {printable(classes[int(counts.argmin())])} has {counts.min()} training images; to "
            f"deal a {' and a '.join(missing)} split it must have {_HEAPS}; add images, or give the "
            "splits"
        )
    kept = _HEAPS - len(missing)
    dealt = {"train": ("train", order[heap[order] < kept])}
    for split in SPLITS[1:]:
        if split in missing:
            dealt[split] = ("train", np.flatnonzero(heap == kept + missing.index(split)))
        else:
            dealt[split] = (split, np.arange(len(labels[split])))
    return dealt


def image_set(
    name: str,
    images: Mapping[str, NDArray[Any]],
    labels: Mapping[str, NDArray[np.int64]],
    dealt: Dealt,
    classes: int,
    *,
    class_names: Sequence[str] = (),
) -> ImageSet:
    """The set of the images dealt to each split, with their mean and standard deviation.

    Raises:
        InvalidSetting: a channel is constant, or as ``ImageSet``.
    """
    train, validation, test = (
        Split(images[split], labels[source][chosen]) for split, (source, chosen) in dealt.items()
    )
    axes = (0, 1, 2)
    mean = train.images.mean(axes, dtype=np.float64)  # [channels]
    squares = np.zeros_like(mean)
    for start in range(0, len(train), _CHUNK):
        squares += np.square(train.images[start : start + _CHUNK] - mean).sum(axes)
    std = np.sqrt(squares * len(mean) / train.images.size)
    if std.min() == 0:
        raise InvalidSetting(
            f"{printable(name)}: channel {std.argmin()} is the same in every training image; leave it out"
        )
    return ImageSet(
        name=name,
        train=train,
        validation=validation,
        test=test,
        classes=classes,
        mean=_rounded(mean),
        std=_rounded(std),
        evaluated=(min(len(train), SCORED), len(validation), len(test)),
        dealt=tuple(split for split in SPLITS[1:] if dealt[split][0] == "train"),
        class_names=tuple(class_names),
    )


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    """Five digits, which are the same on any machine, and with them the digest."""
    return tuple(float(f"{value:.5g}") for value in values)


def _unmasked(where: str, array: NDArray[Any]) -> NDArray[Any]:
    if isinstance(array, np.ma.MaskedArray):
        raise InvalidSetting(
            f"{where} is a masked array, and no network can leave out what is masked; give the rest, "
            "or fill it (numpy.ma.filled)"
        )
    try:
        return np.asarray(array)
    except ValueError as error:
        raise InvalidSetting(f"{where} is no array of one shape ({error})") from error


def _images(where: str, array: NDArray[Any]) -> NDArray[Any]:
    array = _unmasked(where, array)
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # Split refuses what is infinite
            array = array.astype(np.float32, copy=False)
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or array.dtype not in (np.uint8, np.float32) or array.size == 0:
        raise InvalidSetting(
            f"{where} is {array.dtype} {list(array.shape)}; give images as uint8 or floating-point "
            "[n, height, width] or [n, height, width, channels], n at least 1"
        )
    if array.shape[1] in (1, 3) and min(array.shape[2:]) > 4:
        raise InvalidSetting(
            f"{where} is {list(array.shape)}, with its channels first; numpy.moveaxis(x, 1, -1) "
            "puts them last"
        )
    return array


def _labels(where: str, array: NDArray[Any]) -> NDArray[np.int64]:
    array = _unmasked(where, array)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise InvalidSetting(
            f"{where} is {array.dtype} {list(array.shape)}; give labels as integers [n]"
        )
    return array.astype(np.int64)
