"""The task of a table: the images and the recipe that its cells were trained with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nasbench_kit.data.images.image_sets import NAMES, open_images
from nasbench_kit.errors import UnknownName, WrongTable
from nasbench_kit.oracle.cost import CostModel
from nasbench_kit.oracle.task import Task
from nasbench_kit.spaces.skeleton import Skeleton
from nasbench_kit.training.recipe import NASBENCH101, Recipe

if TYPE_CHECKING:
    from nasbench_kit.table.table import Table


def open_task(table: Table, data: str | Path | None = None) -> Task:
    """What weight-sharing searches on a table train on.

    A table that says nothing of its images is one of NAS-Bench-101's: CIFAR-10, its own recipe.

    Args:
        table: what is searched.
        data: name or path of its images, as ``open_images`` takes it; by default the name that the
            table gives.

    Raises:
        UnknownName: no images go by that name, so that their path is needed.
        WrongTable: the images at hand are not those that the table was made from.
        DownloadFailed, NotWritable: CIFAR-10 is not at hand and cannot be fetched.
        InvalidSetting: the table has too few cells to price anything by.
    """
    known = table.provenance
    name = known.get("images", "cifar10")
    if data is None and name not in NAMES:
        raise UnknownName(
            f"the table {table.name} was made from images of your own, {name!r}; shared weights train "
            "on them, so give their path (--data)"
        )
    images = open_images(name if data is None else data)
    made_from = known.get("images_digest", images.digest)
    if images.digest != made_from:
        raise WrongTable(
            f"the table {table.name} was made from {name!r} with the digest "
            f"{made_from[:12]}, and the images at hand have {images.digest[:12]}; "
            "shared weights need the same images"
        )
    recipe = NASBENCH101
    if "recipe" in known:
        recipe = Recipe(**{**known["recipe"], "skeleton": Skeleton(**known["recipe"]["skeleton"])})
    height, width, channels = images.train.images.shape[1:]
    cost = None
    if table.has("seconds"):
        cost = CostModel(table, recipe.skeleton, (height, width, channels))
    return Task.of(images, recipe, cost)
