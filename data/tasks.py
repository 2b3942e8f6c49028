"""The images and the recipe of a table: for shared weights, and for cells that it lacks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nasbench_kit.data.data_sets import open_data
from nasbench_kit.data.images.image_sets import NAMES, open_images
from nasbench_kit.errors import InvalidSetting, NotRecorded, UnknownName, WrongTable
from nasbench_kit.oracle.cost import CostModel
from nasbench_kit.oracle.fallback import Fallback, StoredTrainer
from nasbench_kit.oracle.store import Store
from nasbench_kit.oracle.task import Task
from nasbench_kit.spaces.skeleton import Skeleton
from nasbench_kit.system.files import as_path
from nasbench_kit.table.table import checked
from nasbench_kit.training.recipe import NASBENCH101, NASBENCH201, Recipe

if TYPE_CHECKING:
    from nasbench_kit.oracle.rates import Rates
    from nasbench_kit.table.table import Table
    from nasbench_kit.training.images import ImageSet
    from nasbench_kit.training.text import TextSet


#: Spaces whose official tables were trained by another recipe than NAS-Bench-101's.
_OFFICIAL = {"nasbench201": NASBENCH201, "nats-sizes": NASBENCH201}


def open_task(table: Table, data: str | Path | None = None) -> Task:
    """What weight-sharing searches on a table train on.

    A table that says nothing of its images has CIFAR-10, and its benchmark's own recipe (`recipe_of`).

    Args:
        table: what is searched.
        data: name or path of its images, as ``open_images`` takes it; by default the name that the
            table gives.

    Raises:
        UnknownName: no images go by that name, so that their path is needed.
        WrongTable: the images at hand are not those that the table was made from.
        DownloadFailed, NotWritable: CIFAR-10 is not at hand and cannot be fetched.
        InvalidSetting: no table, or it has too few cells to price anything by.
        CorruptFile: the table's file was altered.
    """
    checked(table)
    images = _images(table, data)
    recipe = recipe_of(table)
    height, width, channels = images.train.images.shape[1:]
    cost = None
    if table.has("seconds"):
        cost = CostModel(table, recipe.skeleton, (height, width, channels))
    return Task.of(images, recipe, cost)


def task_on(data: str | Path | None, recipe: Recipe, rates: Rates | None = None) -> Task:
    """What weight-sharing searches train on where there is no table.

    Args:
        data: name or path of images or a text, as ``open_data`` takes it; None is the digits.
        recipe: how networks are trained.
        rates: prices in seconds; None where nobody knows them.

    Raises:
        UnknownName, DownloadFailed, NotWritable: as ``open_images``.
        InvalidSetting: the rates are of other networks or images.
    """
    return Task.of(_data(data), recipe, rates)


def _data(data: str | Path | None) -> ImageSet | TextSet:
    return open_data("digits" if data is None else data)


def open_trainer(
    data: str | Path | None,
    recipe: Recipe,
    *,
    device: str = "cpu",
    store: Path | None = None,
    rates: Rates | None = None,
) -> StoredTrainer:
    """What trains every architecture of a space without a table.

    Args:
        data: as for ``task_on``.
        recipe: how networks are trained.
        device: where torch computes.
        store: file of trainings; ``trainings.sqlite`` in the home folder by default.
        rates: prices in seconds; None where nobody knows them.

    Raises:
        InvalidSetting: torch cannot compute on the device, or the rates are of other networks or images.
        UnknownName, DownloadFailed, NotWritable: as ``open_images``; or the store cannot be written.
    """
    from nasbench_kit.training.device import usable

    usable(device)
    images = _data(data)
    kept = None if store is None else Store(store)
    if rates is not None:
        rates.check(rates.space, recipe.skeleton, images.shape, len(images.train))
    return StoredTrainer(images, recipe, cost=rates, store=kept, device=device)


def open_fallback(
    table: Table,
    data: str | Path | None = None,
    *,
    device: str = "cpu",
    store: str | Path | None = None,
) -> Fallback:
    """What trains the cells that a table lacks, as the table's own cells were trained.

    Args:
        table: what lacks them.
        data: as for ``open_task``; needed where the table does not say what it was made from, and for
            a surrogate, none of whose numbers was measured on images.
        device: where torch computes.
        store: file of trainings; ``trainings.sqlite`` in the home folder by default.

    Raises:
        NotRecorded: the table records no seconds to price trainings by.
        CorruptFile: the table's file was altered.
        InvalidSetting: no table, images or recipe are unknown, the table has too few cells to price anything
            by, or torch cannot compute on the device.
        UnknownName, WrongTable, DownloadFailed, NotWritable: as ``open_task``; or the store cannot be
            written.
    """
    checked(table)
    if not table.has("seconds"):
        raise NotRecorded(
            f"the table {table.name} records no seconds, so trainings of cells that it lacks have no "
            "price; leave the fallback out (--fallback), or choose a table with seconds"
        )
    provenance = table.provenance
    if data is None and (provenance.get("source") == "surrogate" or "images" not in provenance):
        why = (
            "is a surrogate"
            if provenance.get("source") == "surrogate"
            else "does not name its images"
        )
        raise InvalidSetting(
            f"the table {table.name} {why}; to train cells that it lacks, say on which images: --data "
            f"{provenance.get('images', 'cifar10')} (CIFAR-10 is fetched if need be; one training on it "
            "takes hours on a CPU), or the path of your own"
        )
    images = _images(table, data)
    if "recipe" not in provenance and images.name != "cifar10":
        raise InvalidSetting(
            f"the table {table.name} does not record by what recipe its cells were trained, so those "
            "that it lacks cannot be trained alike; leave the fallback out (--fallback), or choose a "
            "table that `nasbench-kit build` made"
        )
    from nasbench_kit.training.device import usable

    usable(device)
    kept = None if store is None else Store(as_path(store, "store of trainings"))
    return Fallback(table, images, recipe_of(table), store=kept, device=device)


def _images(table: Table, data: str | Path | None) -> ImageSet:
    """The images that a table was made from, checked by their digest where it records one."""
    provenance = table.provenance
    name = provenance.get("images", "cifar10")
    if data is None and name not in NAMES:
        raise UnknownName(
            f"the table {table.name} was made from images of your own, {name!r}; networks are to be "
            "trained on them, so give their path (--data)"
        )
    images = open_images(name if data is None else data)
    made_from = provenance.get("images_digest", images.digest)
    if images.digest != made_from:
        raise WrongTable(
            f"the table {table.name} was made from {name!r} with the digest "
            f"{made_from[:12]}, and the images at hand have {images.digest[:12]}; "
            "trainings need the same images"
        )
    return images


def recipe_of(table: Table) -> Recipe:
    """The recipe that a table records, or else that of NAS-Bench-101, or of NAS-Bench-201 for its spaces."""
    if "recipe" not in table.provenance:
        return _OFFICIAL.get(table.space.name, NASBENCH101)
    recorded = table.provenance["recipe"]
    return Recipe(**{**recorded, "skeleton": Skeleton(**recorded["skeleton"])})
