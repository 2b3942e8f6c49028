"""Building a table: every cell of a space trained from scratch, resumable at any moment.

Work is cut into parts, a few cells at one fidelity; a finished part is a small file in the folder
``TARGET.parts`` (`nasbench_kit.data.building.parts`), and what is there is not made again; nor what
is in an archive of that folder (`nasbench_kit.data.building.archive`).

Accuracies may be computed anywhere, by any number of workers: each training has its own seed, drawn
from (seed, row, epochs, repeat). Seconds come from a separate pass of one process on one machine, so
that a table never mixes clocks: each cell alone, one thread, the minimum of five timed epochs, times
the epochs; halfway is half; the same for all repeats. It goes round all cells twice and keeps the
lesser time, as even an idle machine has slow minutes.

The best tenth of the cells may be trained again, at the highest fidelity, for scores that no search has
seen (`best_rows`, ``Build.scoring``): the table holds these trainings apart from the repeats that it
answers with, as ``scoring/validation_accuracy`` and ``scoring/test_accuracy``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.checks import counted
from nasbench_kit.data.building import parts
from nasbench_kit.data.building.archive import unpack
from nasbench_kit.data.building.clock import processor, seconds_an_epoch
from nasbench_kit.errors import InvalidSetting, WrongTable
from nasbench_kit.spaces.nasbench101.space import CellSpace
from nasbench_kit.system.files import check_writable, write_text
from nasbench_kit.system.measured import available_memory, torch_threads
from nasbench_kit.system.workers import Executor, Progress, check_workers, spread
from nasbench_kit.table import file as table_file
from nasbench_kit.table.table import SCORING, Column, Table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_kit.training.images import ImageSet
    from nasbench_kit.training.recipe import Recipe
    from nasbench_kit.training.record import Measurement

#: Rounds over all cells in which seconds are taken.
ROUNDS = 2
#: The share of all cells whose trainings are repeated for scores.
SCORED_SHARE = 0.1
#: Bytes of a table in memory for each training: its numbers, and as much again to write them.
_BYTES = 100


@dataclass(frozen=True)
class Build:
    """What to train: every cell of ``space``, at each of ``epochs``, ``repeats`` times.

    The best tenth is trained ``scoring`` more times at the last of ``epochs``.

    Raises:
        UnknownName: a space without a name, which no table can be of.
        InvalidSetting: epochs that do not ascend from 1, no repeats, a negative seed, less than 0
            trainings or more than 999 for scores, fewer
            images than a batch has, or trainings of less than two steps.
    """

    name: str
    space: CellSpace
    images: ImageSet
    recipe: Recipe
    epochs: tuple[int, ...]
    repeats: int = 3
    seed: int = 0
    scoring: int = 0

    def __post_init__(self) -> None:
        if CellSpace.named(self.space.name) != self.space:
            raise InvalidSetting(f"the space {self.space.name} is not the one of that name")
        ascending = self.epochs and list(self.epochs) == sorted(set(self.epochs))
        if not ascending or self.epochs[0] < 1:
            raise InvalidSetting(f"epochs are {self.epochs}; give one or more, ascending from 1")
        if self.repeats < 1:
            raise InvalidSetting(f"repeats is {self.repeats}; at least 1 is needed")
        if self.seed < 0:
            raise InvalidSetting(f"seed is {self.seed}; it must be 0 or more")
        if not 0 <= self.scoring <= 999:
            raise InvalidSetting(f"scoring is {self.scoring}; it must lie in 0..999")
        if len(self.images.train) < self.recipe.batch_size:
            raise InvalidSetting(
                f"{self.images.name} has {len(self.images.train)} training images, less than a batch "
                f"of {self.recipe.batch_size}; choose a recipe with smaller batches"
            )
        if self.recipe.steps(self.epochs[0], len(self.images.train)) < 2:
            raise InvalidSetting(
                f"a training of {counted(self.epochs[0], 'epoch')} has less than 2 steps; train longer, or "
                "choose a recipe with smaller batches"
            )

    def check_memory(self) -> None:
        """Refuse what would not fit into memory.

        Raises:
            InvalidSetting: the table is larger than what is free.
        """
        needed = len(self.space) * len(self.epochs) * self.repeats * _BYTES
        free = available_memory()
        if needed > free:
            raise InvalidSetting(
                f"a table of {counted(len(self.space), 'cell')}, {counted(len(self.epochs), 'fidelity', 'fidelities')} and "
                f"{counted(self.repeats, 'repeat')} takes {needed / 1e6:,.0f} MB of memory, and "
                f"{free / 1e6:,.0f} MB are free; choose a smaller space, or fewer fidelities or repeats"
            )

    def conditions(self) -> dict[str, Any]:
        """All that a part's numbers depend on, but for cells and epochs."""
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

    Args:
        plan: what to train.
        target: the table's file; finished parts lie beside it.
        workers: local processes that train; one process takes the times.
        executor: where trainings are made.
        progress: called with parts that are finished, and of all that were missing.

    Raises:
        WrongTable: the parts at hand were made under other conditions or are of other cells, their
            seconds were taken on another machine, or another builder is at work on the same target.
        NotRecorded: a part is damaged.
        CorruptFile: the archive of the parts is damaged.
        NotWritable: the folder cannot be written.
        InvalidSetting: no workers, no Ray cluster, more than fits into memory, or something that is
            no table lies at the target.
        WorkerDied: a part killed every worker that tried it; all others are finished.
    """
    check_workers(workers, executor)
    plan.check_memory()
    table_file.check_target(target)
    check_writable(target, target.with_suffix(".parts") / parts.MANIFEST)
    folder = unpack(target)
    with parts.claimed(folder, plan.conditions()):
        untrained, untimed = missing(plan, folder)
        timed_here = len(untimed) == ROUNDS * len(parts.row_ranges(plan.space))
        if untimed and not timed_here:
            _check_clock(folder)
        whole = len(untrained) + len(untimed)

        def report(done: int) -> None:
            if progress is not None:
                progress(done, whole)

        jobs = [(plan, folder, rows, epochs) for rows, epochs in untrained]
        spread(_train_part, jobs, workers, lambda done, _: report(done), executor)
        # Only now is it clear which cells are the best.
        best = best_rows(plan, folder)
        turns = [turn for turn in range(plan.scoring) if not _scored(plan, folder, best, turn)]
        again = [(plan, folder, best, turn) for turn in turns]
        whole += len(again)
        spread(_score, again, workers, lambda done, _: report(len(jobs) + done), executor)
        if timed_here:
            write_text(folder / "clock.json", json.dumps(_clock(), indent=1) + "\n")
        trained = len(jobs) + len(again)
        _time(plan, folder, untimed, lambda done: report(trained + done))
        table = assemble(plan, target)
        table.save(target)
    return table


def missing(plan: Build, folder: Path) -> tuple[list[tuple[range, int]], list[tuple[range, int]]]:
    """Parts (rows, epochs) to be trained, and (rows, round) to be timed, round by round.

    Those that are there are read once, to be sure of them.
    """
    ranges = parts.row_ranges(plan.space)
    training = [(rows, epochs) for rows in ranges for epochs in plan.epochs]
    timing = [(rows, turn) for turn in range(ROUNDS) for rows in ranges]
    return (
        [
            job
            for job in training
            if not _there(plan, parts.training_path(folder, *job), job[0], parts.TRAINED)
        ],
        [
            job
            for job in timing
            if not _there(plan, parts.seconds_path(folder, *job), job[0], parts.TIMED)
        ],
    )


def _there(plan: Build, path: Path, rows: Sequence[int], names: Sequence[str]) -> bool:
    if not path.exists():
        return False
    parts.load(path, plan.space, rows, names)
    return True


# The table --------------------------------------------------------------------------------------


def assemble(plan: Build, target: Path) -> Table:
    """The table from finished parts.

    Raises:
        NotRecorded: a part is missing or damaged.
        WrongTable: a part is of other cells.
    """
    folder, space = target.with_suffix(".parts"), plan.space
    ranges = parts.row_ranges(space)
    rounds = [
        _joined(
            [
                parts.load(parts.seconds_path(folder, rows, turn), space, rows, parts.TIMED)
                for rows in ranges
            ]
        )
        for turn in range(ROUNDS)
    ]
    seconds = np.min([each["seconds"] for each in rounds], axis=0)
    trained = [
        _joined(
            [
                parts.load(parts.training_path(folder, rows, epochs), space, rows, parts.TRAINED)
                for rows in ranges
            ]
        )
        for epochs in plan.epochs
    ]
    correct = np.stack([each["correct"] for each in trained], axis=1)  # [rows, epochs, repeats, ..]
    best = best_rows(plan, folder)
    again = [
        parts.load(parts.scoring_path(folder, turn, plan.epochs[-1]), space, best, parts.TRAINED)
        for turn in range(plan.scoring)
    ]
    failed = sum(int(each["failed"].sum()) for each in (*trained, *again))
    spent = seconds[:, None, None] * np.array(plan.epochs)[:, None] * np.ones(plan.repeats)
    columns = {}
    for point, checkpoint in enumerate(("halfway", "final")):
        for split, metric in enumerate(("train_accuracy", "validation_accuracy", "test_accuracy")):
            images = plan.images.evaluated[split]
            columns[checkpoint, metric] = _accuracies(correct[..., point, split], images)
        columns[checkpoint, "seconds"] = Column((spent * (point + 1) / 2).astype(np.float32))
    provenance = {
        "name": plan.name,
        "source": "measured",
        **plan.conditions(),
        "failed_trainings": failed,
        "clock": parts.read_json(folder / "clock.json"),
    }
    extra = {"trainable_parameters": trained[0]["parameters"]}
    if again:
        provenance["scoring"] = {"cells": len(best), "trainings": plan.scoring}
        counts = np.concatenate([each["correct"] for each in again], axis=1)  # [best, scoring, ..]
        for split, metric in ((1, "validation_accuracy"), (2, "test_accuracy")):
            scores = np.full((len(space), plan.scoring), np.nan, np.float32)
            scores[best] = counts[:, :, 1, split] / plan.images.evaluated[split]
            extra[f"{SCORING}{metric}"] = scores
    return Table(space, plan.epochs, columns, extra=extra, provenance=provenance)


def scored_cells(space: CellSpace) -> int:
    """How many cells are trained again for scores: a tenth, rounded up."""
    return math.ceil(SCORED_SHARE * len(space))


def best_rows(plan: Build, folder: Path) -> list[int]:
    """The rows of the best tenth, rounded up, by mean validation accuracy at the last of the epochs.

    Ties are decided by the row, so that everybody finds the same cells; ascending.

    Raises:
        NotRecorded, WrongTable: as ``assemble``.
    """
    epochs = plan.epochs[-1]
    correct = [
        parts.load(parts.training_path(folder, rows, epochs), plan.space, rows, parts.TRAINED)
        for rows in parts.row_ranges(plan.space)
    ]
    counts = _joined(correct)["correct"][:, :, 1, 1].sum(axis=1, dtype=np.int64)
    best = np.argsort(-counts, kind="stable")[: scored_cells(plan.space)]
    return sorted(best.tolist())


def _joined(some: Sequence[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    return {name: np.concatenate([part[name] for part in some]) for name in some[0]}


def _accuracies(correct: NDArray[np.unsignedinteger], images: int) -> Column:
    """Counts where a table can hold them, else shares."""
    if images < 1 << 16:
        return Column(correct.astype(np.uint16), images)
    return Column((correct / images).astype(np.float32))


# One part ---------------------------------------------------------------------------------------


def _train_part(plan: Build, folder: Path, rows: range, epochs: int) -> None:
    """Train some cells at one fidelity and write their part."""
    with torch_threads(1):
        arrays = _trained(plan, rows, epochs, range(plan.repeats))
    parts.save(parts.training_path(folder, rows, epochs), plan.space, rows, **arrays)


def _scored(plan: Build, folder: Path, best: Sequence[int], turn: int) -> bool:
    path = parts.scoring_path(folder, turn, plan.epochs[-1])
    return _there(plan, path, best, parts.TRAINED)


def _score(plan: Build, folder: Path, best: Sequence[int], turn: int) -> None:
    """Train each of the best cells once more and write that part.

    The repeats are numbered on: these trainings are those that a table of more repeats would have.
    """
    epochs, repeat = plan.epochs[-1], plan.repeats + turn
    with torch_threads(1):
        arrays = _trained(plan, best, epochs, range(repeat, repeat + 1))
    parts.save(parts.scoring_path(folder, turn, epochs), plan.space, best, **arrays)


def _trained(
    plan: Build, rows: Sequence[int], epochs: int, repeats: range
) -> dict[str, NDArray[Any]]:
    from nasbench_kit.training.trainer import train

    shape = (len(rows), len(repeats))
    correct = np.empty((*shape, 2, 3), np.uint32)  # [.., halfway or final, split]
    failed = np.empty(shape, np.uint8)
    parameters = np.empty(len(rows), np.uint32)
    for place, row in enumerate(rows):
        for number, repeat in enumerate(repeats):
            seed = training_seed(plan.seed, row, epochs, repeat)
            training = train(plan.space[row], plan.images, plan.recipe, epochs, seed)
            for point, measured in enumerate((training.halfway, training.final)):
                correct[place, number, point] = _counts(measured)
            failed[place, number] = training.failed
            parameters[place] = training.trainable_parameters
    return {"correct": correct, "failed": failed, "parameters": parameters}


def training_seed(seed: int, row: int, epochs: int, repeat: int) -> int:
    """The seed of one training of a table."""
    words = np.random.SeedSequence([seed, row, epochs, repeat]).generate_state(1, np.uint64)
    return int(words[0] >> np.uint64(1))


def _counts(measured: Measurement) -> list[int]:
    return [score.correct for score in (measured.train, measured.validation, measured.test)]


# Seconds ----------------------------------------------------------------------------------------


def _clock() -> dict[str, str]:
    """What seconds depend on."""
    import torch

    return {"processor": processor(), "torch": torch.__version__, "seconds": "processor"}


def _check_clock(folder: Path) -> None:
    """All seconds of a table are taken on one kind of machine.

    Raises:
        WrongTable: some were taken on another than this.
    """
    first, now = parts.read_json(folder / "clock.json"), _clock()
    if first != now:
        raise WrongTable(
            f"the seconds in {folder} were taken on {first}, this machine is {now}; go on there, "
            "or delete all *-seconds-*.npz to take them all here"
        )


def _time(
    plan: Build,
    folder: Path,
    missing: Sequence[tuple[range, int]],
    progress: Callable[[int], None],
) -> None:
    """Take the time of each cell that has none: alone, on one thread."""
    with torch_threads(1):
        for done, (rows, turn) in enumerate(missing, start=1):
            cells = (plan.space[row] for row in rows)
            seconds = [seconds_an_epoch(cell, plan.images, plan.recipe) for cell in cells]
            path = parts.seconds_path(folder, rows, turn)
            parts.save(path, plan.space, rows, seconds=np.array(seconds))
            progress(done)
