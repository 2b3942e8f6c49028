"""Your own images as a data set: files, in one folder a class.

    >>> images = image_folder("shapes", resize=32)  # shapes/circle/1.png, shapes/square/2.jpg, ...
    >>> train(Cell.named("resnet"), images, DIGITS, epochs=12, seed=0)

Splits lie above the classes: ``train/CLASS/*``, ``validation/CLASS/*``, ``test/CLASS/*``, or by the other
names in `nasbench_kit.data.images.user_images`. What is missing is split as described there; without splits,
``CLASS/*``, all of it. Whatever else lies there is refused by its name, hidden files excepted.

Files are read in grey if all of them are grey, in RGB otherwise, without transparency. They must be of
one size, unless ``resize`` makes them so.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.checks import printable, whole
from nasbench_kit.data.images.user_images import NAMES, deal, image_set, split_called
from nasbench_kit.errors import CorruptFile, InvalidSetting, NasbenchKitError, UnknownName
from nasbench_kit.system.files import existing
from nasbench_kit.training.images import ImageSet

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Image modes of Pillow with 8 bits a channel or less.
_GREY, _COLOUR = ("1", "L", "LA"), ("P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
#: What Windows puts into folders without showing it.
_HIDDEN = ("thumbs.db", "desktop.ini")


def image_folder(root: str | Path, *, resize: int | None = None) -> ImageSet:
    """A data set of image files in one folder a class; it is called as the folder is.

    Classes are numbered in the order of their names. Hidden are files whose name begins with a dot, and
    those that Windows hides: ``Thumbs.db``, ``desktop.ini``.

    Args:
        root: The folder; see above for what it holds.
        resize: Height and width in pixels that every image is scaled to.

    Raises:
        UnknownName: there is no such folder.
        CorruptFile: a file is no image, or damaged.
        InvalidSetting: a class without images or with too few to deal, splits with different classes,
            two folders for one split, anything beside the folders of splits or classes, images that
            differ in size, have more than 8 bits a channel or several frames.
    """
    root = existing(root, "folder of images")
    if not root.is_dir():
        raise UnknownName(f"there is no folder {printable(root)}; check the path")
    if resize is not None:
        resize = whole("resize", resize, 1)
    files: dict[str, list[Path]] = {}
    labels: dict[str, NDArray[np.int64]] = {}
    classes = None
    for split, folder in _split_folders(root).items():
        by_class = {entry.name: _files(entry) for entry in _class_folders(folder)}
        classes = classes or list(by_class)
        if odd := sorted(set(classes) ^ set(by_class)):
            raise InvalidSetting(
                f"{printable(root)}: not all splits have the classes {printable(', '.join(odd))}; make the folders alike"
            )
        files[split] = [path for name in classes for path in by_class[name]]
        labels[split] = np.repeat(
            np.arange(len(classes)), [len(by_class[name]) for name in classes]
        )
    assert classes is not None
    name = root.resolve().name
    dealt = deal(name, labels, classes)
    paths = [files[source][place] for source, chosen in dealt.values() for place in chosen.tolist()]
    ends = np.cumsum([len(chosen) for _, chosen in dealt.values()])
    parts = dict(zip(dealt, np.split(_pictures(paths, resize), ends[:-1]), strict=True))
    return image_set(name, parts, labels, dealt, len(classes), class_names=classes)


def _split_folders(root: Path) -> dict[str, Path]:
    """Split -> its folder, train first; where no folder is one of a split, ``root`` holds the classes.

    A class may be called ``train``: it has images within, and other classes beside it.
    """
    folders = [entry for entry in _visible(root) if entry.is_dir()]
    named = named_as_splits(root)
    nested = any(inner.is_dir() for entry in named for inner in _visible(entry))
    if not named or (len(named) == 1 < len(folders) and not nested):
        return {"train": root}
    splits: dict[str, Path] = {}
    for entry in _visible(root):
        split = split_called(entry.name) if entry.is_dir() else None
        if split is None:
            names = ", ".join(name for names in NAMES.values() for name in names)
            raise InvalidSetting(
                f"{printable(entry)} lies beside the folders of the splits; take it away, or give a folder one "
                f"of their names: {names}"
            )
        if split in splits:
            raise InvalidSetting(
                f"{printable(splits[split])} and {printable(entry)} are both the {split} split; take one away"
            )
        splits[split] = entry
    if "train" not in splits:
        raise InvalidSetting(
            f"{printable(root)} has {', '.join(entry.name for entry in named)} and no train; add the folder "
            "train/CLASS/* of the images to train on"
        )
    return {split: splits[split] for split in NAMES if split in splits}


def named_as_splits(root: Path) -> list[Path]:
    """The folders in ``root`` that are called as splits are."""
    return [entry for entry in _visible(root) if entry.is_dir() and split_called(entry.name)]


def _class_folders(folder: Path) -> list[Path]:
    """The folders of the classes, beside which nothing else may lie."""
    entries = _visible(folder)
    for entry in entries:
        if not entry.is_dir():
            raise InvalidSetting(
                f"{printable(entry)} is no folder; {printable(folder.name)} may hold folders only, one a class: take the "
                "file away, or put it into the folder of its class"
            )
    if not entries:
        raise InvalidSetting(
            f"{printable(folder)} has no folders; give one a class, {printable(folder.name)}/CLASS/*, or one a split and "
            "class, train/CLASS/*"
        )
    return entries


def _files(folder: Path) -> list[Path]:
    """The image files of one class."""
    files = _visible(folder)
    if not files:
        raise InvalidSetting(
            f"{printable(folder)} is empty; put the images of its class there or remove it"
        )
    for path in files:
        if path.is_dir():
            raise InvalidSetting(
                f"{printable(path)} is a folder within the class {printable(folder.name)}; put images there directly, and "
                "the splits above the classes: train/CLASS, validation/CLASS, test/CLASS"
            )
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise InvalidSetting(
                f"{printable(path)} is a device or a pipe, no image file; take it away"
            )
    return files


def _visible(folder: Path) -> list[Path]:
    """What is in a folder, in the order of the names, which is the same on any system."""
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        raise CorruptFile(
            f"{printable(folder)} cannot be read ({error.strerror}); check it"
        ) from error
    hidden = (entry.name.startswith(".") or entry.name.casefold() in _HIDDEN for entry in entries)
    return sorted(
        (entry for entry, no in zip(entries, hidden, strict=True) if not no),
        key=lambda entry: entry.name,
    )


def _pictures(paths: Sequence[Path], resize: int | None) -> NDArray[np.uint8]:
    """Image files as [n, height, width, 1 or 3]."""
    first, only_grey = _picture(paths[0], resize)
    try:
        images = np.empty((len(paths), *first.shape), np.uint8)
    except MemoryError as error:
        raise InvalidSetting(
            f"{len(paths):,} images of {_size(first)} pixels take {len(paths) * first.nbytes / 1e9:.0f}"
            " GB; use smaller or fewer images, or resize"
        ) from error
    for place, path in enumerate(paths):
        pixels, grey = _picture(path, resize)
        if pixels.shape != first.shape:
            raise InvalidSetting(
                f"{printable(path)} has {_size(pixels)} pixels, {printable(paths[0])} {_size(first)}; make all images of "
                "one size, or set resize"
            )
        images[place] = pixels
        only_grey &= grey
    return np.ascontiguousarray(images[..., :1]) if only_grey else images


def _picture(path: Path, resize: int | None) -> tuple[NDArray[np.uint8], bool]:
    """An image file as [height, width, 3], and whether it is grey."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode not in (*_GREY, *_COLOUR):
                raise InvalidSetting(
                    f"{printable(path)} has pixels of type {image.mode!r}; store 8 bits a channel, grey or RGB"
                )
            frames = getattr(image, "n_frames", 1)
            if frames > 1 and image.format != "MPO":  # a camera's JPEG with a preview behind
                raise InvalidSetting(
                    f"{printable(path)} has {frames} frames; store each image in a file of its own"
                )
            coloured = image.convert("RGB")
            if resize is not None:
                coloured = coloured.resize((resize, resize), Image.Resampling.BILINEAR)
            return np.asarray(coloured), image.mode in _GREY
    except NasbenchKitError:
        raise
    except Exception as error:  # a damaged file makes Pillow raise whatever its bytes lead to
        raise CorruptFile(
            f"{printable(path)} cannot be read as an image ({error}); replace it or take it away"
        ) from error


def _size(pixels: NDArray[np.uint8]) -> str:
    height, width, _ = pixels.shape
    return f"{width}x{height}"
