"""Any data set by name or path: images, or a text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nasbench_kit.data.images.image_sets import open_images
from nasbench_kit.data.text.text_sets import is_text, open_text
from nasbench_kit.training.recipe import RECIPES

if TYPE_CHECKING:
    from nasbench_kit.training.images import ImageSet
    from nasbench_kit.training.text import TextSet


def usual_recipe(name: str | Path | None) -> str:
    """The recipe by which networks are trained on some data, where no other is asked for."""
    if name is None:
        return "digits"
    if is_text(name):
        return "topics"
    return str(name) if str(name) in RECIPES else "nasbench101"


def open_data(name: str | Path) -> ImageSet | TextSet:
    """Open a data set.

    Args:
        name: of a text, as ``open_text`` takes it, or of images, as ``open_images`` takes it. A file is
            a text if its name ends in ``.txt``, or with ``:words`` or ``:characters`` behind its path.

    Raises:
        UnknownName, CorruptFile, InvalidSetting, DownloadFailed, NotWritable: as either of them.
    """
    return open_text(name) if is_text(name) else open_images(name)
