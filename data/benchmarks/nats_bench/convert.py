"""NATS-Bench's official files become a table for each of its three tasks.

    >>> for table in tables("NATS-tss-v1_0-3ffb9-simple"):
    ...     table.save(f"{table.name}.h5")

Each row is an architecture in the official order, each fidelity a set of hyper-parameters (topologies 12
and 200 epochs, sizes 1, 12 and 90), each repeat a seed. Not all seeds were run everywhere; what was not
run is marked as missing. What the columns are:

- validation accuracy: the reading ``x-valid`` after the last epoch. On CIFAR-10 it is of the trainings
  on half of the training images (``cifar10-valid``), as the authors search;
- test accuracy: on CIFAR-10 the reading ``ori-test`` of other trainings, on all 50,000 images (data set
  ``cifar10``), as the authors score; elsewhere ``x-test`` of the same trainings, the half of the
  test images that validation leaves;
- train accuracy: of the last epoch of the training that is validated;
- seconds: all of its epochs, and one evaluation on the validation images, as ``simulate_train_eval``
  charges them;
- costs: trainable parameters, ``flops`` (multiply-adds of one image), ``latency`` (seconds a batch).

Source: Dong et al., NATS-Bench, TPAMI 2021, sections 3 and 5.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nasbench_kit import spaces
from nasbench_kit.data.benchmarks.nasbench101.columns import exact_column
from nasbench_kit.data.benchmarks.nats_bench.records import Records, Row, Run
from nasbench_kit.data.benchmarks.reader import Options, Reader
from nasbench_kit.errors import CorruptFile, NotRecorded
from nasbench_kit.system.workers import finished
from nasbench_kit.table.table import COST, METRICS, Table

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Task(NamedTuple):
    """What is searched and what scores it: a data set, and the name of its reading."""

    images: str
    validation: tuple[str, str]
    test: tuple[str, str]


TASKS = (
    Task("cifar10", ("cifar10-valid", "x-valid"), ("cifar10", "ori-test")),
    Task("cifar100", ("cifar100", "x-valid"), ("cifar100", "x-test")),
    Task("ImageNet16-120", ("ImageNet16-120", "x-valid"), ("ImageNet16-120", "x-test")),
)


class Form(NamedTuple):
    """How one of the two search spaces was measured."""

    name: str
    space: str
    #: Sets of hyper-parameters, named by their epochs.
    fidelities: tuple[str, ...]
    #: Of the repeats, in their order.
    seeds: tuple[int, ...]


FORMS = {
    "tss": Form("tss", "nasbench201", ("12", "200"), (111, 777, 888, 999)),
    "sss": Form("sss", "nats-sizes", ("01", "12", "90"), (777, 888, 999)),
}
_COSTS = ("trainable_parameters", "flops", "latency")
#: What is read after every epoch, if that is asked for.
CURVES = ("train_accuracy", "validation_accuracy", "test_accuracy")
#: Rows that a process reads at a time; opening the source again for them should be a small share.
_AT_ONCE = 500


def recognises(path: Path, head: bytes) -> bool:
    """Whether a path leads to a folder, a tar or a single file of NATS-Bench."""
    if path.is_dir():
        return next(path.glob("*.pickle.pbz2"), None) is not None
    return path.name.endswith(".pickle.pbz2") or (
        head[257:262] == b"ustar" and b".pickle.pbz2\0" in head
    )


def tables(source: str | Path, options: Options | None = None) -> Iterator[Table]:
    """The tables of the tasks: ``nats-tss-cifar10`` and so on; of the rows that there are.

    Args:
        source: the official folder, or a tar of it.
        options: with ``curves``, what the longest trainings read after every epoch is kept as well,
            as arrays ``curve/METRIC`` [rows, epochs, seeds] with NaN where there is none.

    Raises:
        CorruptFile: the source is not NATS-Bench's, damaged, or without rows.
    """
    options = options or Options()
    with Records(source) as records:
        form, indexes = FORMS[records.space], records.indexes
        space = spaces.named(form.space)
        if records.texts != tuple(architecture.to_text() for architecture in space):  # type: ignore[attr-defined]
            raise CorruptFile(
                f"{source} does not list the {form.space} architectures in the official order"
            )
    if not indexes:
        raise CorruptFile(f"{source} has the list of architectures, and no file of any of them")
    read = _empty(form, len(indexes), options.curves)
    jobs = [(indexes[start : start + _AT_ONCE],) for start in range(0, len(indexes), _AT_ONCE)]
    keeps = [(str(source), records.space, options.curves)] * options.workers
    done = 0
    options.progress("rows", done, len(indexes))
    for number, part in finished(_read, jobs, keeps):
        read.put(number * _AT_ONCE, part)
        done += len(part.costs)
        options.progress("rows", done, len(indexes))
    rows = None if len(indexes) == len(records.texts) else np.array(indexes, np.int32)
    for place, task in enumerate(TASKS):
        if not np.isnan(read.readings[:, place, METRICS.index("validation_accuracy")]).all():
            table = _table(form, rows, task, read.of(place))
            table.provenance["made_from"] = Path(source).name
            yield table


class _Part(NamedTuple):
    """What some rows say; NaN where they say nothing."""

    #: [rows, tasks, metrics, fidelities, seeds]
    readings: NDArray[np.float64]
    #: [rows, tasks, costs]
    costs: NDArray[np.float64]
    #: [rows, tasks, CURVES, epochs, seeds]; no rows where they are not kept.
    curves: NDArray[np.float32]

    def put(self, start: int, part: _Part) -> None:
        """Take in the rows from this one on."""
        for name, piece in part._asdict().items():
            getattr(self, name)[start : start + len(piece)] = piece

    def of(self, task: int) -> _Part:
        """What they say of one task."""
        return _Part(self.readings[:, task], self.costs[:, task], self.curves[:, task])


def _empty(form: Form, count: int, curves: bool) -> _Part:
    tasks, seeds = len(TASKS), len(form.seeds)
    epochs = int(form.fidelities[-1])
    return _Part(
        np.full((count, tasks, len(METRICS), len(form.fidelities), seeds), np.nan),
        np.full((count, tasks, len(_COSTS)), np.nan),
        np.full((count if curves else 0, tasks, len(CURVES), epochs, seeds), np.nan, np.float32),
    )


def _read(source: str, space: str, curves: bool, indexes: tuple[int, ...]) -> _Part:
    """Some rows of a source, in a process of their own."""
    form = FORMS[space]
    part = _empty(form, len(indexes), curves)
    with Records(source) as records:
        for place, index in enumerate(indexes):
            try:
                _fill(part, place, records.row(index), form)
            except ValueError as error:
                raise CorruptFile(f"{source}: architecture {index} {error}") from error
    return part


def _fill(part: _Part, place: int, row: Row, form: Form) -> None:
    """One row.

    Raises:
        ValueError: hyper-parameters or a seed that the benchmark does not have.
    """
    if unknown := set(row.trainings) - set(form.fidelities):
        raise ValueError(f"has trainings {sorted(unknown)}; there are {form.fidelities}")
    for hp, trainings in row.trainings.items():
        fidelity = form.fidelities.index(hp)
        longest = hp == form.fidelities[-1]
        for (dataset, seed), run in trainings.runs.items():
            if seed not in form.seeds or run.epochs != int(hp):
                raise ValueError(f"has a training of {run.epochs} epochs and seed {seed}")
            slot = form.seeds.index(seed)
            for number, task in enumerate(TASKS):
                into = part.readings[place, number, :, fidelity, slot]
                if task.validation[0] == dataset:
                    validated = _reading(run, task.validation[1])
                    into[METRICS.index("train_accuracy")] = _trained(run)
                    into[METRICS.index("validation_accuracy")] = validated
                    into[METRICS.index("seconds")] = _seconds(run, task.validation[1])
                    part.costs[place, number] = run.parameters, run.flops, run.latency or np.nan
                if task.test[0] == dataset:
                    into[METRICS.index("test_accuracy")] = _reading(run, task.test[1])
                if longest and len(part.curves):
                    _fill_curves(part.curves[place, number, :, :, slot], run, task)


def _fill_curves(curves: NDArray[np.float32], run: Run, task: Task) -> None:
    """What a training read after every epoch: [CURVES, epochs]."""
    wanted = dict(zip(("validation_accuracy", "test_accuracy"), task[1:], strict=True))
    for metric, (dataset, name) in wanted.items():
        if dataset == run.dataset:
            for epoch in range(run.epochs):
                percent = run.percent.get(f"{name}@{epoch}")
                if percent is not None:
                    curves[CURVES.index(metric), epoch] = percent / 100
    if run.dataset == task.validation[0]:
        for epoch, percent in run.train_percent.items():
            curves[CURVES.index("train_accuracy"), epoch] = percent / 100


def _reading(run: Run, name: str) -> float:
    """An accuracy after the last epoch; NaN where there is none."""
    with contextlib.suppress(NotRecorded):
        return run.reading(name).accuracy
    return np.nan


def _trained(run: Run) -> float:
    with contextlib.suppress(NotRecorded):
        return run.training().accuracy
    return np.nan


def _seconds(run: Run, name: str) -> float:
    """Of all epochs and one evaluation; NaN where they were not taken."""
    evaluation = run.seconds.get(f"{name}@{run.epochs - 1}")
    if run.train_seconds is None or evaluation is None:
        return np.nan
    return sum(run.train_seconds[epoch] for epoch in range(run.epochs)) + evaluation


def _table(form: Form, rows: NDArray[np.int32] | None, task: Task, part: _Part) -> Table:
    """The table of a task from what was read of it."""
    columns = {}
    for place, metric in enumerate(METRICS):
        values = np.ascontiguousarray(part.readings[:, place])
        there = ~np.isnan(values)
        if there.any():
            present = None if there.all() else there.astype(np.uint8)
            columns["final", metric] = exact_column(values, present=present)
    parameters, flops, latency = part.costs.T
    extra = {
        "trainable_parameters": np.nan_to_num(parameters).astype(np.uint32),
        f"{COST}flops": flops.copy(),
    }
    if not np.isnan(latency).any():
        extra[f"{COST}latency"] = latency.copy()
    for place, metric in enumerate(CURVES):
        if len(part.curves) and not np.isnan(part.curves[:, place]).all():
            extra[f"curve/{metric}"] = np.ascontiguousarray(part.curves[:, place])
    return Table(
        spaces.named(form.space),
        [int(hp) for hp in form.fidelities],
        columns,
        rows=rows,
        extra=extra,
        provenance={
            "name": f"nats-{form.name}-{task.images.lower()}",
            "source": "measured",
            "images": task.images,
            "seeds": form.seeds,
            "validation_accuracy": f"{task.validation[1]} of trainings on {task.validation[0]}",
            "test_accuracy": f"{task.test[1]} of trainings on {task.test[0]}",
            "seconds": "all epochs and one evaluation on the validation images",
        },
    )


READER = Reader("NATS-Bench", recognises, tables, several=True)
