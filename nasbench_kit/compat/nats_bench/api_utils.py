"""The part of the official interface that both spaces share, over the official files.

The same, to the last bit: all numbers, the sequence of draws from ``random``, the texts and the exit by
exceptions of the official types. Mended: the files are read as plain data, so that none of them can
run code; a tar of the folder works like the folder, with or without ``fast_mode``; the last rows that
were asked for are kept, not all; architectures can be named by text, index or object everywhere, and
hyper-parameters by text or number; calls print nothing.
"""

from __future__ import annotations

import collections
import operator
import os
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nasbench_kit.compat.nats_bench.errors import (
    InvalidArchitecture,
    InvalidSetting,
    NoFiles,
    NoReading,
    NoRow,
)
from nasbench_kit.compat.nats_bench.results import ArchResults, Metrics, ResultsCount, lines
from nasbench_kit.data.benchmarks.nats_bench.records import Records, Space
from nasbench_kit.errors import NotInTable, WrongTable

__all__ = ["PICKLE_EXT", "ArchResults", "NASBenchMetaAPI", "ResultsCount", "get_torch_home"]

PICKLE_EXT = "pickle.pbz2"
_DATASETS = ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120")
#: Rows that are kept; one takes some 2 MB.
_KEPT = 64


def get_torch_home() -> str:
    """The folder of the files where none is named: TORCH_HOME, or .torch in the home folder."""
    return os.environ.get("TORCH_HOME", str(Path.home() / ".torch"))


def remap_dataset_set_names(
    dataset: str, metric_on_set: str, verbose: bool = False
) -> tuple[str, str]:
    """The data set that was trained on, and the evaluated images, of valid, test and train."""
    if dataset == "cifar10" and metric_on_set == "valid":
        return "cifar10-valid", "x-valid"
    if dataset == "cifar10" and metric_on_set == "test":
        return "cifar10", "ori-test"
    if dataset in ("cifar100", "ImageNet16-120") and metric_on_set in ("valid", "test"):
        return dataset, f"x-{metric_on_set}"
    return dataset, metric_on_set


class _Evaluated(Mapping[int, "collections.OrderedDict[str, ArchResults]"]):
    """index -> hyper-parameters -> results, of the architectures that were evaluated; read when asked for."""

    def __init__(self, api: NASBenchMetaAPI) -> None:
        self._api = api

    def __getitem__(self, index: int) -> collections.OrderedDict[str, ArchResults]:
        if index not in self._api.evaluated_indexes:
            raise KeyError(index)
        return self._api._read(index)

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self._api.evaluated_indexes))

    def __len__(self) -> int:
        return len(self._api.evaluated_indexes)


class NASBenchMetaAPI:
    """The queries of both spaces.

    Args:
        file_path_or_dict: the folder, a tar of it, or None for the official name in TORCH_HOME.
        fast_mode: whether `find_best` looks at all rows by default although none was asked for yet.
        verbose: print one line on opening.

    Raises:
        InvalidSetting: no path (also a ``ValueError``).
        NoFiles: there is no such folder or tar (also a ``ValueError``).
        CorruptFile: it is damaged or of something else.
        WrongTable: it is of the other space (also a ``ValueError``).
    """

    _space: Space
    _search_space_name: str
    _base_name: str
    _full_train_epochs: int

    def __init__(
        self,
        file_path_or_dict: str | Path | None = None,
        fast_mode: bool = False,
        verbose: bool = True,
    ) -> None:
        if file_path_or_dict is None:
            name = self._base_name + ("-simple" if fast_mode else f".{PICKLE_EXT}")
            file_path_or_dict = Path(get_torch_home()) / name
        if not isinstance(file_path_or_dict, str | os.PathLike):
            raise InvalidSetting(
                "NATS-Bench is opened by the path of its folder, not as "
                f"{type(file_path_or_dict).__name__}"
            )
        self.verbose = verbose
        self.filename = os.path.basename(file_path_or_dict)
        self._fast_mode = fast_mode
        self._archive_dir: str | None = os.fspath(file_path_or_dict)
        self._records = self._opened(file_path_or_dict)
        self._reloaded: dict[int, Records] = {}
        self.meta_archs = list(self._records.texts)
        self.archstr2index = {text: index for index, text in enumerate(self.meta_archs)}
        self.evaluated_indexes: set[int] = set() if fast_mode else set(self._records.indexes)
        self.arch2infos_dict = _Evaluated(self)
        self._avaliable_hps: set[str] = set()
        self._kept: collections.OrderedDict[int, collections.OrderedDict[str, ArchResults]]
        self._kept = collections.OrderedDict()
        self.reset_time()
        if verbose:
            print(f"{self} opened")

    def _opened(self, path: str | os.PathLike[str]) -> Records:
        if not Path(path).exists():
            raise NoFiles(f"{path} does not exist; it should be a folder or tar of NATS-Bench")
        records = Records(Path(path))
        if records.space != self._space:
            raise WrongTable(
                f"{path} is of the {records.space} space, not {self._space}; create it with "
                f'"{records.space}"'
            )
        return records

    # Architectures -----------------------------------------------------------------------------

    def __getitem__(self, index: int) -> Any:
        return self.meta_archs[index]

    def __len__(self) -> int:
        return len(self.meta_archs)

    def __iter__(self) -> Iterator[str]:
        return iter(self.meta_archs)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({len(self.evaluated_indexes)}/{len(self)} architectures, "
            f"fast_mode={self.fast_mode}, file={self.filename})"
        )

    def arch(self, index: int) -> str:
        """The text of an architecture.

        Raises:
            InvalidArchitecture: there is no such row (also a ``ValueError``).
        """
        return self.meta_archs[self._row_number(index)]

    def random(self) -> int:
        """A row, drawn by ``random``."""
        return random.randint(0, len(self) - 1)

    def query_index_by_arch(self, arch: Any) -> int:
        """The row of a text, of an object with ``tostr()``, or the row itself; -1 if there is none.

        Raises:
            InvalidArchitecture: a number outside the rows (also a ``ValueError``).
        """
        if hasattr(arch, "tostr"):
            arch = arch.tostr()
        if isinstance(arch, str):
            return self.archstr2index.get(arch, -1)
        try:
            return self._row_number(operator.index(arch))
        except TypeError:
            return -1

    def _row_number(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise InvalidArchitecture(f"architecture {index} is outside 0 to {len(self) - 1}")
        return index

    def _index(self, arch: Any) -> int:
        index = self.query_index_by_arch(arch)
        if index < 0:
            named = f"{arch[:100]!r}" if isinstance(arch, str) else f"a {type(arch).__name__}"
            raise InvalidArchitecture(
                f"{named} is no architecture of the {self.search_space_name} space, such as "
                f"{self.meta_archs[0]}"
            )
        return index

    # Settings ----------------------------------------------------------------------------------

    @property
    def avaliable_hps(self) -> list[str]:
        """Hyper-parameters of the rows that were read so far (spelt as officially)."""
        return list(self._avaliable_hps)

    @property
    def search_space_name(self) -> str:
        """``topology`` or ``size``."""
        return self._search_space_name

    @property
    def fast_mode(self) -> bool:
        """Whether rows count as evaluated once they are asked for."""
        return self._fast_mode

    @property
    def archive_dir(self) -> str | None:
        """Where the rows are read from."""
        return self._archive_dir

    @property
    def full_train_epochs(self) -> int:
        """Epochs of the longest trainings."""
        return self._full_train_epochs

    @property
    def full_epochs_in_paper(self) -> int:
        """The same."""
        return self._full_train_epochs

    @property
    def is_size(self) -> bool:
        """Whether this is the size space."""
        return self._space == "sss"

    @property
    def is_topology(self) -> bool:
        """Whether this is the topology space."""
        return self._space == "tss"

    def reset_archive_dir(self, archive_dir: str) -> None:
        """Read rows from another folder from now on."""
        self._records = self._opened(archive_dir)
        self._archive_dir = archive_dir
        self._kept.clear()

    def reset_fast_mode(self, fast_mode: bool) -> None:
        """Change what `find_best` looks at by default."""
        self._fast_mode = fast_mode

    # Reading -----------------------------------------------------------------------------------

    def reload(self, archive_root: str | None = None, index: int | None = None) -> None:
        """Take a row, or all that are there, from another folder from now on."""
        records = self._records if archive_root is None else self._opened(archive_root)
        for one in records.indexes if index is None else [self._row_number(index)]:
            self._reloaded[one] = records
            self.evaluated_indexes.add(one)
        self._kept.clear()
        if index is not None:
            self._prepared(index)

    def clear_params(self, index: int, hp: str | None = None) -> None:
        """These files have no weights that could be forgotten."""

    def _read(self, index: int) -> collections.OrderedDict[str, ArchResults]:
        """All results of a row, by hyper-parameters."""
        if index in self._kept:
            self._kept.move_to_end(index)
            return self._kept[index]
        try:
            row = self._reloaded.get(index, self._records).row(index)
        except NotInTable as error:
            raise NoRow(str(error)) from error
        self._avaliable_hps.update(row.trainings)
        self._kept[index] = collections.OrderedDict(
            (hp, ArchResults(index, row.text, found)) for hp, found in row.trainings.items()
        )
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return self._kept[index]

    def _prepared(self, arch: Any) -> collections.OrderedDict[str, ArchResults]:
        """All results of an architecture, which counts as evaluated from now on."""
        index = self._index(arch)
        read = self._read(index)
        self.evaluated_indexes.add(index)
        return read

    def _results(self, arch: Any, hp: str | int) -> ArchResults:
        read = self._prepared(arch)
        if str(hp) not in read:
            raise NoReading(f"there are no trainings with hp={hp!r}; there are {', '.join(read)}")
        return read[str(hp)]

    # Queries -----------------------------------------------------------------------------------

    def get_more_info(
        self,
        index: Any,
        dataset: str,
        iepoch: int | None = None,
        hp: str | int = "12",
        is_random: bool | int = True,
    ) -> Metrics:
        """Losses, percent and seconds of an architecture, by names such as ``valid-accuracy``.

        Args:
            index: the architecture, by text, row or object.
            dataset: cifar10-valid, cifar10, cifar100 or ImageNet16-120.
            iepoch: after which epoch, counted from 0; by default the last.
            hp: hyper-parameters: "12" or "200", in the size space "01", "12" or "90".
            is_random: True for one seed, drawn by ``random``; False for means; or a seed.

        Raises:
            InvalidArchitecture: it is not of this space (also a ``ValueError``).
            NoRow: there is no file of it (also a ``ValueError``).
            NoReading: there is no such data set, hp, epoch or seed (also a ``KeyError`` and a
                ``ValueError``).
        """
        results = self._results(index, hp)
        if is_random is True:
            is_random = random.choice(results.get_dataset_seeds(dataset))
        train = results.get_metrics(dataset, "train", iepoch, is_random)
        epochs = train["iepoch"] + 1
        info: Metrics = _told("train", train, epochs)
        if dataset in ("cifar10-valid", "cifar10"):
            parts = "25,000" if dataset == "cifar10-valid" else "50,000"
            info["comment"] = (
                f"{parts} images were trained on; test is CIFAR-10's test set (hp {hp})"
            )
        sets = {"valid": "x-valid", "test": "x-test", "valtest": "ori-test"}
        if dataset == "cifar10-valid":
            sets = {"valid": "x-valid", "test": "ori-test"}
        elif dataset == "cifar10":
            sets = {"test": "ori-test", "valid": "x-valid"}
        for name, setname in sets.items():
            try:
                found = results.get_metrics(dataset, setname, iepoch, is_random)
            except NoReading:
                if dataset == "cifar10-valid" and name == "valid":
                    raise
                continue
            info |= _told(name, found, epochs)
        return info

    def simulate_train_eval(
        self,
        arch: Any,
        dataset: str,
        iepoch: int | None = None,
        hp: str | int = "12",
        account_time: bool = True,
    ) -> tuple[float, float, float, float]:
        """As if the architecture were trained now and evaluated once, with a seed drawn by ``random``.

        Returns:
            validation accuracy in percent; seconds a batch; seconds of training and evaluation; the same
            of all calls since `reset_time`.

        Raises:
            InvalidSetting: another data set than cifar10, cifar100, ImageNet16-120 (a ``ValueError``).
        """
        index = self._index(arch)
        if dataset not in _DATASETS[1:]:
            raise InvalidSetting(f"dataset is one of {', '.join(_DATASETS[1:])}, not {dataset!r}")
        trained_on = "cifar10-valid" if dataset == "cifar10" else dataset
        info = self.get_more_info(index, trained_on, iepoch, hp, is_random=True)
        if "valid-accuracy" in info:
            accuracy, seconds = info["valid-accuracy"], info["valid-per-time"]
        else:
            if "valtest-accuracy" not in info:
                raise NoReading(f"nothing was measured on {dataset} after epoch {iepoch}")
            accuracy = info["valtest-accuracy"]
            last = self.get_more_info(index, dataset, None, hp, is_random=True)
            seconds = last["valid-per-time"]
        cost = info["train-all-time"] + seconds
        latency = self.get_latency(index, dataset, hp)
        if account_time:
            self._used_time += cost
        return accuracy, latency, cost, self._used_time

    @property
    def used_time(self) -> float:
        """Seconds of all `simulate_train_eval` since `reset_time`."""
        return self._used_time

    def reset_time(self) -> None:
        """Set `used_time` to 0."""
        self._used_time: float = 0

    def get_cost_info(self, index: Any, dataset: str, hp: str | int = "12") -> dict[str, Any]:
        """Millions of FLOPs and parameters, latency in seconds, seconds an epoch and in all."""
        return self._results(index, hp).get_compute_costs(dataset)

    def get_latency(self, index: Any, dataset: str, hp: str | int = "12") -> Any:
        """Seconds a batch of 256; None where it was not measured."""
        return self.get_cost_info(index, dataset, hp)["latency"]

    def get_net_config(self, index: Any, dataset: str) -> dict[str, Any]:
        """What builds the network."""
        first = next(iter(self._prepared(index).values()))
        result: ResultsCount = next(iter(first.query(dataset).values()))
        return result.get_config(None)

    def get_net_param(
        self, index: Any, dataset: str, seed: int | None, hp: str | int = "12"
    ) -> Any:
        """The trained weights, which these files do not have: None, or {seed: None}."""
        return self._results(index, hp).get_net_param(dataset, seed)

    def query_meta_info_by_index(self, arch_index: Any, hp: str | int = "12") -> ArchResults:
        """All results with these hyper-parameters; a copy."""
        return self._results(arch_index, hp).copy()

    def query_by_index(
        self, arch_index: Any, dataname: str | None = None, hp: str | int = "12"
    ) -> Any:
        """As `query_meta_info_by_index`; or its trainings on a data set, {seed: training}."""
        results = self.query_meta_info_by_index(arch_index, hp)
        return results if dataname is None else results.query(dataname)

    def query_by_arch(self, arch: Any, hp: str | int = "12") -> str:
        """The older name of `query_info_str_by_arch`."""
        return self.query_info_str_by_arch(arch, hp)

    def query_info_str_by_arch(self, arch: Any, hp: str | int = "12") -> str:
        """Means over the seeds for people to read, one data set after the other."""
        results = self._results(arch, hp)
        extra = f"arch-index={results.arch_index}"
        return "\n".join(lines(results, extra, self.is_size))

    def show(self, index: int = -1) -> None:
        """Print what was measured of an architecture; of all that were evaluated by default."""
        if index < 0:
            print(self)
            for place, one in enumerate(sorted(self.evaluated_indexes)):
                of = f"({place:5d}/{len(self.evaluated_indexes):5d}) {one:06d}"
                print(f"\n{'-' * 10} The {of}-th architecture! {'-' * 10}")
                print(f"arch : {self.meta_archs[one]}")
                self._print(one)
        elif index >= len(self):
            print(f"This index ({index}) is out of range (0~{len(self)}).")
        else:
            self._print(index)

    def _print(self, index: int) -> None:
        for results in self._prepared(index).values():
            print(f"{'>' * 40} {results.get_total_epoch():03d} epochs {'>' * 40}")
            print("\n".join(lines(results, None, self.is_size)))
        print(f"{'<' * 40}------------{'<' * 40}")

    def find_best(  # noqa: PLR0917 - official
        self,
        dataset: str,
        metric_on_set: str,
        flop_max: float | None = None,
        param_max: float | None = None,
        hp: str | int = "12",
        enforce_all: bool | None = None,
    ) -> tuple[int, float | None]:
        """The architecture of the highest mean accuracy, the first of equals, and its percent.

        Args:
            dataset: cifar10, cifar100 or ImageNet16-120, or as `get_more_info`.
            metric_on_set: valid, test or train, or the official name of the evaluated images.
            flop_max: the most millions of FLOPs.
            param_max: the most millions of parameters.
            hp: as `get_more_info`.
            enforce_all: look at all rows, not only at those evaluated so far; by default in fast mode.

        Returns:
            -1 and None if no architecture is within the limits, or none was evaluated.

        Raises:
            NoRow: some row has no file.
        """
        dataset, metric_on_set = remap_dataset_set_names(dataset, metric_on_set)
        enforce_all = self.fast_mode if enforce_all is None else enforce_all
        best: tuple[int, float | None] = (-1, None)
        for index in range(len(self)) if enforce_all else sorted(self.evaluated_indexes):
            results = self._results(index, hp)
            costs = results.get_compute_costs(dataset)
            if any(
                most is not None and costs[name] > most  # type: ignore[operator]
                for name, most in (("flops", flop_max), ("params", param_max))
            ):
                continue
            accuracy = results.get_metrics(dataset, metric_on_set)["accuracy"]
            if best[1] is None or best[1] < accuracy:
                best = index, accuracy
        return best

    def statistics(self, dataset: str, hp: str | int) -> dict[int, int]:
        """How many of the evaluated architectures have how many trainings: {trainings: architectures}."""
        if dataset not in _DATASETS:
            raise InvalidSetting(f"dataset is one of {', '.join(_DATASETS)}, not {dataset!r}")
        counts: collections.Counter[int] = collections.Counter()
        for index in sorted(self.evaluated_indexes):
            counts[len(self._results(index, hp).dataset_seed.get(dataset, ()))] += 1
        return dict(counts)


def _told(name: str, metrics: Metrics, epochs: float) -> Metrics:
    """Metrics by the names of `NASBenchMetaAPI.get_more_info`."""
    seconds = metrics["all_time"]
    return {
        f"{name}-loss": metrics["loss"],
        f"{name}-accuracy": metrics["accuracy"],
        f"{name}-per-time": None if seconds is None else seconds / epochs,
        f"{name}-all-time": seconds,
    }
