"""The image sets at hand: those that go by a name, and your own by their path."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

from nasbench_kit.data.images import cifar10, digits, image_folder, noisy_digits, user_images
from nasbench_kit.errors import InvalidSetting, UnknownName
from nasbench_kit.system.files import existing
from nasbench_kit.training.images import ImageSet

if TYPE_CHECKING:
    from nasbench_kit.data.benchmarks.download import Progress

#: The image sets that go by a name.
NAMES = ("digits", "noisy-digits", "cifar10")
#: Those of them that are always at hand, as scikit-learn brings what they are made of.
AT_HAND = NAMES[:2]


def open_images(
    name: str | Path, *, resize: int | None = None, progress: Progress | None = None
) -> ImageSet:
    """Open an image set by name or path.

    Args:
        name: One of ``NAMES``; a folder or archive of CIFAR-10; an ``.npz`` file of arrays; or a
            folder of image files (see `nasbench_kit.data.images.image_folder`).
        resize: Height and width in pixels that the images of a folder are scaled to.
        progress: Called as a download of CIFAR-10 goes on.

    Raises:
        UnknownName: neither a name nor a path to any of these.
        CorruptFile: a file is missing or damaged.
        InvalidSetting: an empty name, images that do not make a set or could not be scaled, or a
            folder that holds both CIFAR-10 and splits.
        DownloadFailed, NotWritable: CIFAR-10 is not at hand and cannot be fetched.
    """
    path = existing(name, "image set")
    named = str(name) in NAMES
    if not named and path.is_dir():
        place = cifar10.find(path)
        if place is None:
            return image_folder.image_folder(path, resize=resize)
        if both := image_folder.named_as_splits(path):
            raise InvalidSetting(
                f"{path} holds CIFAR-10 ({place.name}) and also {both[0].name}; name the folder of "
                "the images that you mean"
            )
    if resize is not None:
        raise InvalidSetting(
            f"resize is {resize}, but {name} is no folder of image files; leave it"
        )
    if str(name) == "digits":
        return digits.digits()
    if str(name) == "noisy-digits":
        return noisy_digits.noisy_digits()
    if str(name) == "cifar10":
        return cifar10.cifar10(progress=progress)
    if path.suffix == ".npz":
        return user_images.npz_file(path)
    if path.is_dir() or (path.is_file() and path.suffix in (".gz", ".tgz")):
        return cifar10.cifar10(path)
    near = difflib.get_close_matches(str(name), NAMES, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known names: {', '.join(NAMES)}"
    raise UnknownName(
        f"no image set is called {str(name)!r}, and it is no folder of images, .npz or archive of "
        f"CIFAR-10; {hint}"
    )
