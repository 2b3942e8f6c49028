"""Building a table: every cell of a space trained from scratch, resumable at any moment.

Work is cut into parts, a few cells at one fidelity; a finished part is a small compressed file in
the folder ``TARGET.parts``, named by its first row. Rows are ordered by number of vertices first and
parts do not cross that border, so the parts of a smaller space serve a larger one, a fidelity can be
added later, and a checkout on another machine goes on where this one stopped.

Accuracies may be computed anywhere, by any number of workers: each training has its own seed, drawn
from (seed, row, epochs, repeat). Seconds come from a separate pass of one process on one machine, so
that a table never mixes clocks: each cell alone, one thread, the minimum of five timed epochs, times
the epochs; halfway is half; the same for all repeats.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.data.clock import one_thread, processor, seconds_an_epoch
from nasbench_kit.errors import NotRecorded, WrongTable
from nasbench_kit.files import claimed, replacing, write_text
from nasbench_kit.space import CellSpace
from nasbench_kit.table import Column, Table
from nasbench_kit.workers import Executor, Progress, check_workers, spread

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_kit.images import ImageSet
    from nasbench_kit.trainer import Measurement, Recipe

#: Cells of one part: about a minute of work at 36 epochs on the digits.
PART = 16
#: Cells timed for an estimate of the whole.
_ESTIMATED_FROM = 5


@dataclass(frozen=True)
class Build:
    """What to train: every cell of ``space``, at each of ``epochs``, ``repeats`` times."""

    name: str
    space: CellSpace
    images: ImageSet
    recipe: Recipe
    epochs: tuple[int, ...]
    repeats: int = 3
    seed: int = 0

    def conditions(self) -> dict[str, Any]:
        """All that a part's numbers depend on, but for rows and epochs."""
        return {
            "images": self.images.name,
            "images_digest": self.images.digest,
            "recipe": asdict(self.recipe),
            "repeats": self.repeats,
            "seed": self.seed,
        }


def build(
    plan: Build,
    target: Path,
    *,
    workers: int = 1,
    executor: Executor = "local",
    progress: Progress | None = None,
) -> Table:
    """Train what is missing of a table, time its cells, and write it to ``target``.

    Raises:
        WrongTable: the parts at hand were made under other conditions, or another builder is busy
            with the same target.
        NotWritable: the folder cannot be written.
        InvalidSetting: no workers, or no Ray cluster.
        WorkerDied: a part killed every worker that tried it; all others are finished.
    """
    check_workers(workers, executor)
    folder = target.with_suffix(".parts")
    with _claimed(folder, plan):
        jobs = [
            (plan, folder, rows, epochs)
            for rows in _parts(plan.space)
            for epochs in plan.epochs
            if not _part_path(folder, rows, epochs).exists()
        ]
        spread(_train_part, jobs, workers, progress, executor)
        _time(plan, folder)
        table = assemble(plan, target)
        table.save(target)
    return table


def estimated_hours(plan: Build) -> float:
    """Hours of one core that the whole plan takes, from a few cells timed now.

    Evaluation at the start, half and end of each training is reckoned in as two epochs.
    """
    rows = np.linspace(0, len(plan.space) - 1, _ESTIMATED_FROM + 2)[1:-1].astype(int).tolist()
    with one_thread():
        epoch = np.mean([seconds_an_epoch(plan.space[r], plan.images, plan.recipe) for r in rows])
    epochs = sum(length + 2 for length in plan.epochs)
    return float(epoch * epochs * plan.repeats * len(plan.space) / 3600)


def assemble(plan: Build, target: Path) -> Table:
    """The table from finished parts.

    Raises:
        NotRecorded: a part is missing.
    """
    folder = target.with_suffix(".parts")
    count = len(plan.space)
    shape = (count, len(plan.epochs), plan.repeats)
    correct = np.empty((*shape, 2, 3), np.uint16)
    failed = np.zeros(shape, np.uint8)
    parameters = np.empty(count, np.uint32)
    seconds = np.empty(count, np.float64)
    for rows in _parts(plan.space):
        where = slice(rows.start, rows.stop)
        seconds[where] = _load(_seconds_path(folder, rows))["seconds"]
        for place, epochs in enumerate(plan.epochs):
            part = _load(_part_path(folder, rows, epochs))
            correct[where, place] = part["correct"]
            failed[where, place] = part["failed"]
            parameters[where] = part["parameters"]
    columns = {}
    spent = seconds[:, None, None] * np.array(plan.epochs)[:, None] * np.ones(plan.repeats)
    for point, checkpoint in enumerate(("halfway", "final")):
        for split, metric in enumerate(("train_accuracy", "validation_accuracy", "test_accuracy")):
            images = plan.images.evaluated[split]
            columns[checkpoint, metric] = Column(correct[..., point, split], images)
        columns[checkpoint, "seconds"] = Column((spent * (point + 1) / 2).astype(np.float32))
    provenance = {
        "name": plan.name,
        "source": "measured",
        **plan.conditions(),
        "failed_trainings": int(failed.sum()),
        "clock": json.loads((folder / "clock.json").read_text(encoding="utf-8")),
    }
    extra = {"trainable_parameters": parameters}
    return Table(plan.space, plan.epochs, columns, extra=extra, provenance=provenance)


@contextlib.contextmanager
def _claimed(folder: Path, plan: Build) -> Iterator[None]:
    """Hold the folder for one builder, under the conditions that its parts were made with."""
    manifest = folder / "conditions.json"
    conditions = json.loads(json.dumps(plan.conditions()))
    with claimed(folder, "builder"):
        if manifest.exists():
            known = json.loads(manifest.read_text(encoding="utf-8"))
            changed = [name for name in conditions if known.get(name) != conditions[name]]
            if changed:
                name = changed[0]
                raise WrongTable(
                    f"the parts in {folder} were made with another {name}: {known.get(name)}, now "
                    f"{conditions[name]}; choose another target, or delete the folder"
                )
        else:
            write_text(manifest, json.dumps(conditions, indent=1) + "\n")
        yield


def _parts(space: CellSpace) -> list[range]:
    """Row ranges of at most PART cells, each of one number of vertices."""
    sizes = np.array([cell.size for cell in space])
    borders = [0, *(np.flatnonzero(np.diff(sizes)) + 1).tolist(), len(space)]
    return [
        range(first, min(first + PART, stop))
        for start, stop in itertools.pairwise(borders)
        for first in range(start, stop, PART)
    ]


def _part_path(folder: Path, rows: range, epochs: int) -> Path:
    return folder / f"row{rows.start:06d}-epochs{epochs:03d}.npz"


def _seconds_path(folder: Path, rows: range) -> Path:
    return folder / f"row{rows.start:06d}-seconds.npz"


def _save(path: Path, **arrays: NDArray[Any]) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _load(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise NotRecorded(f"{path} is missing; run the build again to make it") from None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise NotRecorded(
            f"{path} is damaged ({error}); delete it and run the build again"
        ) from error


def _train_part(plan: Build, folder: Path, rows: range, epochs: int) -> None:
    """Train some cells at one fidelity and write their part."""
    with one_thread():
        _save(_part_path(folder, rows, epochs), **_trained(plan, rows, epochs))


def _trained(plan: Build, rows: range, epochs: int) -> dict[str, NDArray[Any]]:
    from nasbench_kit.trainer import train

    shape = (len(rows), plan.repeats)
    correct = np.empty((*shape, 2, 3), np.uint16)  # [.., halfway or final, split]
    failed = np.empty(shape, np.uint8)
    parameters = np.empty(len(rows), np.uint32)
    for place, row in enumerate(rows):
        for repeat in range(plan.repeats):
            seed = training_seed(plan.seed, row, epochs, repeat)
            training = train(plan.space[row], plan.images, plan.recipe, epochs, seed)
            for point, measured in enumerate((training.halfway, training.final)):
                correct[place, repeat, point] = _counts(measured)
            failed[place, repeat] = training.failed
            parameters[place] = training.trainable_parameters
    return {"correct": correct, "failed": failed, "parameters": parameters}


def training_seed(seed: int, row: int, epochs: int, repeat: int) -> int:
    """The seed of one training of a table."""
    words = np.random.SeedSequence([seed, row, epochs, repeat]).generate_state(1, np.uint64)
    return int(words[0] >> np.uint64(1))


def _counts(measured: Measurement) -> list[int]:
    return [score.correct for score in (measured.train, measured.validation, measured.test)]


def _time(plan: Build, folder: Path) -> None:
    """Take the time of each cell that has none: alone, one thread, all on one kind of machine."""
    import torch

    missing = [rows for rows in _parts(plan.space) if not _seconds_path(folder, rows).exists()]
    if not missing:
        return
    clock = folder / "clock.json"
    here = {"processor": processor(), "torch": torch.__version__}
    if not clock.exists():
        write_text(clock, json.dumps(here, indent=1) + "\n")
    elif (there := json.loads(clock.read_text(encoding="utf-8"))) != here:
        raise WrongTable(
            f"the seconds in {folder} were taken on {there}, this machine is {here}; go on there, "
            "or delete clock.json and all *-seconds.npz to take them all here"
        )
    with one_thread():
        for rows in missing:
            cells = (plan.space[row] for row in rows)
            seconds = [seconds_an_epoch(cell, plan.images, plan.recipe) for cell in cells]
            _save(_seconds_path(folder, rows), seconds=np.array(seconds))
