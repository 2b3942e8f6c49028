"""What was measured of one architecture, in the official objects: percent, seconds, millions."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

from nasbench_kit.compat.nats_bench.errors import InvalidSetting, NoReading
from nasbench_kit.data.benchmarks.nats_bench.records import Run, Trainings

Metrics = dict[str, Any]


def mean(values: Iterable[Any]) -> Any:
    """The mean as it is computed officially, so that it is equal to the last bit."""
    values = list(values)
    return sum(values) / len(values)


class ResultsCount:
    """One training. The attributes are the file's own."""

    def __init__(self, run: Run) -> None:
        self.name = run.dataset
        self.seed = run.seed
        self.epochs = run.epochs
        self.params = run.millions_of_parameters
        self.flop = run.millions_of_flops
        self.latency = None if run.latencies is None else list(run.latencies)
        self.arch_config = dict(run.config)
        self.train_acc1es = run.train_percent
        self.train_acc5es = run.train_percent_of_top5
        self.train_losses = run.train_losses
        self.train_times = run.train_seconds
        self.eval_names = list(run.evaluations)
        self.eval_acc1es = run.percent
        self.eval_losses = run.losses
        self.eval_times = run.seconds
        self.net_state_dict = None  # these files have no weights

    def get_total_epoch(self) -> int:
        """How many epochs the training had."""
        return self.epochs

    def get_latency(self) -> float:
        """Seconds a batch of 256; -1 where it was not measured."""
        return mean(self.latency) if self.latency else -1.0

    def get_eval_set(self) -> list[str]:
        """What was evaluated: x-valid, x-test, ori-test."""
        return self.eval_names

    def get_times(self) -> dict[str, float | None]:
        """Seconds an epoch and in all, of the training and of each evaluation; None where unknown."""
        times: dict[str, float | None] = {}
        seconds = None if self.train_times is None else list(self.train_times.values())
        times["T-train@epoch"] = mean(seconds) if seconds else None
        times["T-train@total"] = sum(seconds) if seconds else None
        for name in self.eval_names:
            keys = [f"{name}@{epoch}" for epoch in range(self.epochs)]
            whole = all(key in self.eval_times for key in keys)
            seconds = [self.eval_times[key] for key in keys] if whole else None
            times[f"T-{name}@epoch"] = mean(seconds) if seconds else None
            times[f"T-{name}@total"] = sum(seconds) if seconds else None
        return times

    def get_train(self, iepoch: int | None = None) -> Metrics:
        """Loss, percent and seconds of the training up to an epoch, counted from 0; by default the last.

        Raises:
            NoReading: there is no such epoch (also a ``ValueError``).
        """
        epoch = self._epoch(iepoch)
        times = self.train_times
        return {
            "iepoch": epoch,
            "loss": self._of(self.train_losses, epoch),
            "accuracy": self._of(self.train_acc1es, epoch),
            "cur_time": None if times is None else self._of(times, epoch),
            "all_time": None
            if times is None
            else sum(self._of(times, one) for one in range(epoch + 1)),
        }

    def get_eval(self, name: str, iepoch: int | None = None) -> Metrics:
        """Loss, percent and seconds on ``x-valid``, ``x-test`` or ``ori-test``, as `get_train`.

        Raises:
            NoReading: there is no such epoch, or nothing was measured after it.
        """
        epoch = self._epoch(iepoch)
        name = "x-valid" if name == "valid" else name
        key, times = f"{name}@{epoch}", self.eval_times
        return {
            "iepoch": epoch,
            "loss": self._of(self.eval_losses, key),
            "accuracy": self._of(self.eval_acc1es, key),
            "cur_time": self._of(times, key) if times else None,
            "all_time": sum(self._of(times, f"{name}@{one}") for one in range(epoch + 1))
            if times
            else None,
        }

    def _epoch(self, iepoch: int | None) -> int:
        epoch = self.epochs - 1 if iepoch is None else iepoch
        if not 0 <= epoch < self.epochs:
            raise NoReading(f"epoch {epoch} is outside 0 to {self.epochs - 1}")
        return epoch

    def _of(self, values: Any, key: object) -> Any:
        if key not in values:
            raise NoReading(f"nothing was recorded on {self.name} at {key}")
        return values[key]

    def get_config(self, str2structure: Callable[[str], Any] | None) -> dict[str, Any]:
        """What builds the network; ``str2structure`` turns the text of the cell into an object."""
        config = self.arch_config
        if config.get("name") == "infer.shape.tiny":  # the size space
            cell = config["genotype"]
            built = {"channels": config["channels"], "genotype": cell}
            if str2structure is not None:
                built["genotype"] = str2structure(cell)
            return {"name": "infer.shape.tiny", **built, "num_classes": config["class_num"]}
        cell = config["arch_str"]
        built = {"C": config["channel"], "N": config["num_cells"]}
        built |= {"arch_str": cell} if str2structure is None else {"genotype": str2structure(cell)}
        return {"name": "infer.tiny", **built, "num_classes": config["class_num"]}

    def get_net_param(self, clone: bool = False) -> None:
        """The trained weights, which these files do not have."""

    def __repr__(self) -> str:
        return (
            f"ResultsCount({self.name}, arch={self.arch_config.get('arch_str')}, "
            f"FLOP={self.flop:.2f}M, Param={self.params:.3f}MB, seed={self.seed}, "
            f"{len(self.eval_names)} eval-sets: [{', '.join(self.eval_names)}])"
        )


class ArchResults:
    """All trainings of an architecture with one set of hyper-parameters."""

    def __init__(self, arch_index: int, arch_str: str, trainings: Trainings) -> None:
        self.arch_index = arch_index
        self.arch_str = arch_str
        self.dataset_seed = {name: list(seeds) for name, seeds in trainings.seeds.items()}
        self.all_results = {key: ResultsCount(run) for key, run in trainings.runs.items()}
        self.clear_net_done = True

    def get_dataset_names(self) -> list[str]:
        """The data sets that were trained on."""
        return list(self.dataset_seed)

    def get_dataset_seeds(self, dataset: str) -> list[int]:
        """The seeds of the trainings on a data set.

        Raises:
            NoReading: there is no such data set (also a ``KeyError``).
        """
        if dataset not in self.dataset_seed:
            raise NoReading(
                f"there is no training on {dataset!r}; there are {', '.join(self.dataset_seed)}"
            )
        return list(self.dataset_seed[dataset])

    def _results(self, dataset: str) -> list[ResultsCount]:
        return [self.all_results[dataset, seed] for seed in self.get_dataset_seeds(dataset)]

    def get_compute_costs(self, dataset: str) -> dict[str, float | None]:
        """Means over the seeds: millions of FLOPs and parameters, seconds of latency and of each epoch."""
        results = self._results(dataset)
        latencies = [x for x in (result.get_latency() for result in results) if x > 0]
        costs = {
            "flops": mean(self._mended(dataset, [result.flop for result in results])),
            "params": mean(self._mended(dataset, [result.params for result in results])),
            "latency": mean(latencies) if latencies else None,
        }
        times = [result.get_times() for result in results]
        for key in dict.fromkeys(key for one in times for key in one):
            values = [one[key] for one in times if key in one]
            costs[key] = None if values[0] is None else mean(values)
        return costs

    def _mended(self, dataset: str, values: list[float]) -> list[float]:
        """Where the seeds disagree, seed 888 is right (mended officially in version 1.6)."""
        seeds = self.dataset_seed[dataset]
        if len({f"{value:.5f}" for value in values}) > 1 and 888 in seeds:
            return [values[seeds.index(888)]]
        return values

    def get_metrics(
        self, dataset: str, setname: str, iepoch: int | None = None, is_random: bool | int = False
    ) -> Metrics:
        """Loss, percent and seconds on ``train`` or on evaluated images after an epoch, from 0.

        Args:
            dataset: what was trained on.
            setname: train, x-valid, x-test or ori-test.
            iepoch: the last one by default.
            is_random: False for means over the seeds, True for one drawn by ``random``, or a seed.

        Raises:
            NoReading: one of these was not measured, be it of one seed alone.
        """
        results = self._results(dataset)
        infos = [
            result.get_train(iepoch) if setname == "train" else result.get_eval(setname, iepoch)
            for result in results
        ]
        if is_random is True:
            import random

            return infos[random.randint(0, len(infos) - 1)]
        if is_random is False:
            return {
                key: None if infos[0][key] is None else mean(info[key] for info in infos)
                for key in infos[0]
            }
        if not isinstance(is_random, int):
            raise InvalidSetting(f"is_random is True, False or a seed, not {is_random!r}")
        seeds = self.dataset_seed[dataset]
        if is_random not in seeds:
            raise NoReading(f"there is no seed {is_random} on {dataset}; there are {seeds}")
        return infos[seeds.index(is_random)]

    def get_latency(self, dataset: str) -> float:
        """Mean seconds a batch of 256.

        Raises:
            NoReading: it was not measured (also a ``ValueError``).
        """
        latencies = [result.get_latency() for result in self._results(dataset)]
        if min(latencies) <= 0:
            raise NoReading(f"the latency on {dataset} was not measured")
        return mean(latencies)

    def get_total_epoch(self, dataset: str | None = None) -> int:
        """How many epochs the trainings had."""
        names = self.get_dataset_names() if dataset is None else [dataset]
        epochs = {result.epochs for name in names for result in self._results(name)}
        if len(epochs) != 1:
            raise NoReading(f"the trainings differ in their epochs: {sorted(epochs)}")
        return epochs.pop()

    def query(self, dataset: str, seed: int | None = None) -> Any:
        """The training on a data set with a seed, or all: {seed: training}."""
        seeds = self.get_dataset_seeds(dataset)
        if seed is None:
            return {seed: self.all_results[dataset, seed] for seed in seeds}
        if seed not in seeds:
            raise NoReading(f"there is no seed {seed} on {dataset}; there are {seeds}")
        return self.all_results[dataset, seed]

    def get_net_param(self, dataset: str, seed: int | None = None) -> Any:
        """The trained weights, which these files do not have: None, or {seed: None}."""
        found = self.query(dataset, seed)
        return None if seed is not None else dict.fromkeys(found)

    def arch_idx_str(self) -> str:
        """The name of the row's file."""
        return f"{self.arch_index:06d}"

    def clear_params(self) -> None:
        """There are no weights to forget."""

    def copy(self) -> ArchResults:
        """A copy that shares nothing with this one."""
        return copy.deepcopy(self)

    def __repr__(self) -> str:
        return (
            f"ArchResults(arch-index={self.arch_index}, arch={self.arch_str}, "
            f"{len(self.all_results)} runs, clear={self.clear_net_done})"
        )


def lines(results: ArchResults, extra: str | None, tested_on_valid: bool) -> list[str]:
    """What is printed of an architecture.

    Args:
        results: of one set of hyper-parameters.
        extra: a note for the second line.
        tested_on_valid: whether ``cifar10-valid`` is told with its test images (in the size space).
    """
    names = results.get_dataset_names()
    told = [results.arch_str, f"datasets : {names}, extra-info : {extra}"]
    shown = {"train": "train", "x-valid": "valid", "x-test": "test"}
    by_dataset = {
        "cifar10-valid": {"train": "train", "x-valid": "valid"},
        "cifar10": {"train": "train", "ori-test": "test "},
    }
    if tested_on_valid:
        by_dataset["cifar10-valid"]["ori-test"] = "test"
    for name in names:
        cost = results.get_compute_costs(name)
        latency = cost["latency"]
        milliseconds = f"{latency * 1000:.2f}" if latency else None
        told.append(
            f"{name:14s} FLOP={cost['flops']:6.2f} M, Params={cost['params']:.3f} MB, "
            f"latency={milliseconds} ms."
        )
        parts = []
        for setname, label in by_dataset.get(name, shown).items():
            info = results.get_metrics(name, setname)
            parts.append(f"{label} : [loss = {info['loss']:.3f} & top1 = {info['accuracy']:.2f}%]")
        told.append(f"{name:14s} {', '.join(parts)}")
    return told
