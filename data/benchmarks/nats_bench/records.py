"""The official files of NATS-Bench: what was measured of an architecture, read one row at a time.

A folder, or a tar of it, holds one file a row and one of all texts, each a bz2 of a pickle:

    meta.pickle.pbz2         texts of all architectures, in the order of the rows
    000000.pickle.pbz2 ...   one row: "12", "200", ... -> its trainings by data set and seed

The pickles are read as plain data (`nasbench_kit.data.benchmarks.plain_pickle`). A tar is read where it
lies, member by member; nothing is unpacked, so no path in it matters.

Units: the files have percent, seconds, millions of parameters and of multiply-adds. A `Run` keeps them
as they are in ``percent``, ``losses`` and ``seconds``, and gives fractions, counts and seconds by its
properties and `Run.reading`.
"""

from __future__ import annotations

import bz2
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, NamedTuple, Self

import numpy as np

from nasbench_kit.data.benchmarks import plain_pickle
from nasbench_kit.errors import CorruptFile, NotInSpace, NotInTable, NotRecorded

Space = Literal["tss", "sss"]

_EXTENSION: Final = ".pickle.pbz2"
_TEXTS: Final[dict[Space, re.Pattern[str]]] = {
    "tss": re.compile(r"\|\w+~0\|\+\|\w+~0\|\w+~1\|\+\|\w+~0\|\w+~1\|\w+~2\|", re.ASCII),
    "sss": re.compile(r"\d+(:\d+){4}", re.ASCII),
}
#: Bytes of a pickle that is read; a row has a third of a million, and all rows in one file 5e9.
_LARGEST: Final = 1 << 28
_NUMBERS: Final = frozenset({float, int, np.float64, np.float32})


class Reading(NamedTuple):
    """What was measured after an epoch on one set of images."""

    accuracy: float  # a fraction
    loss: float
    seconds: float | None  # of this epoch's training, or of this one evaluation


@dataclass(frozen=True, slots=True)
class Run:
    """One training of an architecture; epochs count from 0.

    ``percent``, ``losses`` and ``seconds`` of an evaluation go by names such as ``x-valid@11``; those of
    the training itself by the epoch. All are the file's own, in its units and order.
    """

    dataset: str  # cifar10-valid, cifar10, cifar100 or ImageNet16-120
    seed: int
    epochs: int
    millions_of_parameters: float
    millions_of_flops: float
    latencies: tuple[float, ...] | None  # seconds a batch of 256
    config: Mapping[str, Any]  # the network's: channels, cells, classes
    train_percent: Mapping[int, float]
    train_percent_of_top5: Mapping[int, float] | None  # how often the class is among the best five
    train_losses: Mapping[int, float]
    train_seconds: Mapping[int, float] | None
    evaluations: tuple[str, ...]  # x-valid, x-test, ori-test
    percent: Mapping[str, float]
    losses: Mapping[str, float]
    seconds: Mapping[str, float]

    @property
    def parameters(self) -> int:
        """Number of trainable parameters."""
        return round(self.millions_of_parameters * 1e6)

    @property
    def flops(self) -> float:
        """Multiply-adds of one image, as the authors count them."""
        return self.millions_of_flops * 1e6

    @property
    def latency(self) -> float | None:
        """Seconds that a batch takes; None where it was not measured."""
        return float(sum(self.latencies) / len(self.latencies)) if self.latencies else None

    def training(self, epoch: int | None = None) -> Reading:
        """On the training images, in an epoch; by default the last one.

        Raises:
            NotRecorded: there is no such epoch.
        """
        epoch = self.epochs - 1 if epoch is None else epoch
        if epoch not in self.train_percent or epoch not in self.train_losses:
            raise NotRecorded(f"this run on {self.dataset} has no epoch {epoch} of {self.epochs}")
        seconds = None if self.train_seconds is None else self.train_seconds.get(epoch)
        return Reading(self.train_percent[epoch] / 100, self.train_losses[epoch], seconds)

    def reading(self, name: str, epoch: int | None = None) -> Reading:
        """On other images (``x-valid``, ``x-test``, ``ori-test``) after an epoch; by default the last.

        Raises:
            NotRecorded: this was not measured.
        """
        key = f"{name}@{self.epochs - 1 if epoch is None else epoch}"
        if key not in self.percent or key not in self.losses:
            raise NotRecorded(f"this run on {self.dataset} has no {key}")
        return Reading(self.percent[key] / 100, self.losses[key], self.seconds.get(key))


@dataclass(frozen=True, slots=True)
class Trainings:
    """All trainings of an architecture with one set of hyper-parameters ("12": 12 epochs)."""

    seeds: Mapping[str, tuple[int, ...]]  # of each data set, in the file's order
    runs: Mapping[tuple[str, int], Run]  # by data set and seed

    def of(self, dataset: str) -> list[Run]:
        """The runs on a data set, in the order of their seeds.

        Raises:
            NotRecorded: there is none.
        """
        if dataset not in self.seeds:
            raise NotRecorded(f"no run on {dataset!r}; there are {', '.join(self.seeds)}")
        return [self.runs[dataset, seed] for seed in self.seeds[dataset]]


@dataclass(frozen=True, slots=True)
class Row:
    """One architecture and what was measured of it."""

    index: int
    text: str
    trainings: Mapping[str, Trainings]  # by hyper-parameters: "01", "12", "90" or "200"


class Records:
    """An official folder, a tar of it, or a file of all rows.

    Args:
        path: the folder (``NATS-tss-v1_0-3ffb9-simple``), an uncompressed tar of it, or a
            ``.pickle.pbz2`` of many rows that is no larger than 256 MiB unpacked.

    Attributes:
        texts: of all architectures, by row; also of those that the folder has no file of.
        space: "tss" for topologies, "sss" for sizes.

    Raises:
        CorruptFile: there is no such file, or it is damaged or not of this format.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._tar: tarfile.TarFile | None = None
        self._whole: Mapping[int, Any] | None = None
        self._members: dict[str, Callable[[], bytes]] = {}
        try:
            self._open()
        except OSError as error:
            self.close()
            if isinstance(error, CorruptFile):
                raise
            raise CorruptFile(f"{self.path} cannot be read: {error.strerror}") from error

    def _open(self) -> None:
        if self.path.is_dir():
            for file in self.path.iterdir():
                if file.name.endswith(_EXTENSION) and file.is_file():
                    self._members[file.name] = partial(_content, file)
        elif not self.path.exists():
            raise CorruptFile(
                f"{self.path} does not exist; it should be a folder or tar of NATS-Bench"
            )
        elif self.path.name.endswith(".pbz2"):
            self._members["meta" + _EXTENSION] = partial(_content, self.path)
        else:
            self._open_tar()
        if "meta" + _EXTENSION not in self._members:
            raise CorruptFile(f"{self.path} has no meta{_EXTENSION}, so it is no NATS-Bench")
        meta = self._load("meta" + _EXTENSION)
        texts = meta.get("meta_archs") if type(meta) is dict else None
        if type(texts) is not list or not all(type(text) is str for text in texts):
            raise self._foreign("meta" + _EXTENSION)
        self.texts: tuple[str, ...] = tuple(texts)
        self.space: Space = self._recognised()
        rows = meta.get("arch2infos")
        if rows is not None:
            if type(rows) is not dict or not all(type(row) is int for row in rows):
                raise self._foreign("meta" + _EXTENSION)
            self._whole = rows
        elif self.path.is_file() and self._tar is None:
            raise self._foreign(self.path.name)
        self.indexes: tuple[int, ...] = self._indexes()

    def _open_tar(self) -> None:
        try:
            self._tar = tarfile.open(self.path, "r:")  # noqa: SIM115 - closed by close()
            for member in self._tar:
                name = member.name.rpartition("/")[2]
                if member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and name.endswith(_EXTENSION):
                    if name in self._members:
                        raise CorruptFile(f"{self.path} has two members {name}")
                    self._members[name] = self._member(member)
        except (tarfile.TarError, EOFError) as error:
            raise CorruptFile(
                f"{self.path} is neither a folder nor an uncompressed tar of NATS-Bench, or is "
                "damaged"
            ) from error

    def _member(self, member: tarfile.TarInfo) -> Callable[[], bytes]:
        def read() -> bytes:
            tar = self._tar
            file = tar.extractfile(member) if tar is not None and member.size < _LARGEST else None
            if file is None:
                raise CorruptFile(f"{self.path}/{member.name} is too large, or closed")
            return file.read()

        return read

    def _recognised(self) -> Space:
        for space, pattern in _TEXTS.items():
            if self.texts and all(map(pattern.fullmatch, self.texts)):
                if len(set(self.texts)) < len(self.texts):
                    raise CorruptFile(f"{self.path} has a text twice in its meta{_EXTENSION}")
                return space
        raise self._foreign("meta" + _EXTENSION)

    def _indexes(self) -> tuple[int, ...]:
        if self._whole is not None:
            found = set(self._whole)
        else:
            names = (name.removesuffix(_EXTENSION) for name in self._members)
            found = {int(name) for name in names if re.fullmatch("[0-9]{1,6}", name)}
        return tuple(sorted(found & set(range(len(self.texts)))))

    # Reading -----------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Rows that there are, not texts."""
        return len(self.indexes)

    def __iter__(self) -> Iterator[Row]:
        return map(self.row, self.indexes)

    def row(self, index: int) -> Row:
        """What was measured of an architecture.

        Raises:
            NotInSpace: there is no text of this row.
            NotInTable: there is a text, and no file.
            CorruptFile: its file is damaged, or of another architecture.
        """
        if not 0 <= index < len(self.texts):
            raise NotInSpace(f"row {index} is outside 0 to {len(self.texts) - 1}")
        names = f"{index:06d}{_EXTENSION}", f"{index}{_EXTENSION}"
        if self._whole is not None:
            name, content = f"row {index}", self._whole.get(index)
        else:
            name = next((name for name in names if name in self._members), "")
            content = self._load(name) if name else None
        if content is None:
            raise NotInTable(f"{self.path} has no {names[0]}, so nothing of architecture {index}")
        try:
            return Row(index, self.texts[index], self._trainings(content, index))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._foreign(name) from error

    def _trainings(self, content: dict[str, Any], index: int) -> dict[str, Trainings]:
        trainings = {}
        for hp, found in content.items():
            if type(hp) is not str or found["arch_index"] != index:
                raise ValueError
            if found["arch_str"] != self.texts[index]:
                raise ValueError
            seeds = {
                dataset: tuple(int(seed) for seed in seeds)
                for dataset, seeds in found["dataset_seed"].items()
            }
            _texts(list(seeds))
            runs = {
                (dataset, seed): _run(dataset, seed, found["all_results"][dataset, seed])
                for dataset in seeds
                for seed in seeds[dataset]
            }
            trainings[hp] = Trainings(seeds, runs)
        return trainings

    def _load(self, name: str) -> Any:
        packed = self._members[name]()
        unpack = bz2.BZ2Decompressor()
        try:
            data = unpack.decompress(packed, _LARGEST)
        except (OSError, ValueError) as error:
            raise CorruptFile(f"{self._place(name)} is damaged, or no bz2 file") from error
        if not unpack.eof and len(data) < _LARGEST:
            raise CorruptFile(f"{self._place(name)} is damaged: its end is missing")
        if not unpack.eof:
            raise CorruptFile(
                f"{self._place(name)} is larger than {_LARGEST >> 20} MiB unpacked; of one file of all "
                "rows take the folder of one file a row instead (its name ends in -simple)"
            )
        return plain_pickle.loads(data, self._place(name))

    def _place(self, name: str) -> str:
        return str(self.path) if self.path.name.endswith(".pbz2") else f"{self.path}/{name}"

    def _foreign(self, name: str) -> CorruptFile:
        return CorruptFile(f"{self._place(name)} is damaged, or not of NATS-Bench's format")

    def close(self) -> None:
        """Close the tar, if it is one."""
        if self._tar is not None:
            self._tar.close()
            self._tar = None

    def __reduce__(self) -> tuple[type[Records], tuple[Path]]:
        return Records, (self.path,)  # opened again in another process

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _content(file: Path) -> bytes:
    if file.stat().st_size >= _LARGEST:
        raise CorruptFile(
            f"{file} is larger than {_LARGEST >> 20} MiB; of one file of all rows take the folder of one "
            "file a row instead (its name ends in -simple)"
        )
    return file.read_bytes()


def _run(dataset: str, seed: int, content: dict[str, Any]) -> Run:
    """A run of the file's dictionary; whatever is of another form is a KeyError, ValueError or TypeError."""
    latency, times, top5 = content["latency"], content["train_times"], content["train_acc5es"]
    return Run(
        dataset=dataset,
        seed=seed,
        epochs=int(content["epochs"]),
        millions_of_parameters=_numbers([content["params"]])[0],
        millions_of_flops=_numbers([content["flop"]])[0],
        latencies=None if latency is None else tuple(_numbers(latency)),
        config=_mapping(content["arch_config"]),
        train_percent=_by_number(content["train_acc1es"]),
        train_percent_of_top5=None if top5 is None else _by_number(top5),
        train_losses=_by_number(content["train_losses"]),
        train_seconds=None if times is None else _by_number(times),
        evaluations=tuple(_texts(content["eval_names"])),
        percent=_by_number(content["eval_acc1es"]),
        losses=_by_number(content["eval_losses"]),
        seconds=_by_number(content["eval_times"]),
    )


def _mapping(value: Any) -> Mapping[Any, Any]:
    if not isinstance(value, dict):
        raise TypeError
    return value


def _by_number(value: Any) -> Mapping[Any, float]:
    _numbers(list(_mapping(value).values()))
    return _mapping(value)


def _texts(value: Any) -> list[str]:
    if type(value) is not list or not all(type(text) is str for text in value):
        raise TypeError
    return value


def _numbers(value: list[Any]) -> list[float]:
    if not _NUMBERS.issuperset(map(type, value)):
        raise TypeError
    return value
