"""One method and seed, whose scores of cells are compared with the truth: work for one process.

A weight-sharing search trains its weights and scores the cells at some moments. A zero-cost proxy trains
nothing, and has one moment.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.algorithms import WEIGHT_SHARING
from nasbench_kit.compare.trace import number
from nasbench_kit.errors import CorruptFile, InvalidSetting, WrongTable
from nasbench_kit.experiment.searches import search_of
from nasbench_kit.system.files import read_json, write_text
from nasbench_kit.system.measured import torch_threads

if TYPE_CHECKING:
    from numpy.random import Generator

    from nasbench_kit.algorithms.weight_sharing.search import WeightSharing
    from nasbench_kit.algorithms.zero_cost.search import ZeroCost
    from nasbench_kit.cli.ranked import Ranked
    from nasbench_kit.oracle.oracle import Oracle


def method(name: str) -> WeightSharing | ZeroCost:
    """The zero-cost proxy of this name, or the search, all of whose budget is for training.

    Raises:
        UnknownName: no such search.
        InvalidSetting: it shares no weights.
    """
    from nasbench_kit.algorithms.weight_sharing.search import WeightSharing
    from nasbench_kit.algorithms.zero_cost.proxies import PROXIES
    from nasbench_kit.algorithms.zero_cost.search import ZeroCost

    for proxy in PROXIES:
        if name == proxy:
            return replace(ZeroCost.small(), proxy=proxy, samples=1)
    search = search_of(name, {})
    if not isinstance(search, WeightSharing):
        sharing = [name for name in WEIGHT_SHARING if name.endswith("-small")]
        raise InvalidSetting(
            f"{name} shares no weights; choose one of {', '.join(sharing)}, or a proxy: "
            f"{', '.join(PROXIES)}"
        )
    return replace(search, share=1.0)


@dataclass(frozen=True)
class ScoringJob:
    """One method with one seed."""

    out: Path
    name: str
    seed: int
    ranked: Ranked
    moments: int

    @property
    def path(self) -> Path:
        """Its file."""
        return self.out / "runs" / f"{self.name}-{self.seed}.json"

    @property
    def conditions(self) -> dict[str, Any]:
        """What its numbers depend on."""
        return {
            **self.ranked.conditions,
            "moments": self.moments,
            "search": repr(method(self.name)),
        }

    def read(self, scored: int, places: int) -> list[dict[str, Any]]:
        """What was found at every moment.

        Args:
            scored: how many cells.
            places: how many there are that a search may recommend (`Ranked.place`).

        Raises:
            CorruptFile, WrongTable: the file is of something else.
        """
        try:
            recorded: dict[str, Any] = read_json(self.path)
            conditions, moments = recorded["conditions"], recorded["moments"]
            if conditions != self.conditions:
                raise WrongTable(
                    f"{self.path} was made with another table or other settings; choose another --out, "
                    "or delete it"
                )
            self._check(moments, scored, places)
        except WrongTable:
            raise
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise CorruptFile(f"{self.path} holds no scores ({error}); delete it") from error
        readings: list[dict[str, Any]] = moments
        return readings

    def _check(self, moments: list[dict[str, Any]], scored: int, places: int) -> None:
        """Whether ``train_and_score`` can have written this.

        Raises:
            ValueError, LookupError, TypeError: it cannot.
        """
        if not isinstance(moments, list) or not moments:
            raise TypeError("there are no moments")
        before = 0.0
        for moment in moments:
            clock, limit = self.ranked.clock, self.ranked.limit
            spent = number(moment[clock], clock)
            if not before <= spent <= limit:
                raise ValueError(f"{spent} {clock} after {before} of {limit}")
            before = spent
            place = moment["recommended"]  # -1 before the first epoch
            if not isinstance(place, int) or isinstance(place, bool) or not -1 <= place < places:
                raise ValueError(f"number {place} of {places} is recommended")
            if (eigenvalue := moment.get("eigenvalue")) is not None:
                _check_finite(eigenvalue)
            spread = moment["labelling_spread"]
            _check_accuracies([] if spread is None else [spread])
            for name in ("accuracy", "mixture_accuracy"):
                if name == "accuracy" or moment[name] is not None:
                    _check_accuracies(moment[name])
                    if len(moment[name]) != scored:
                        raise ValueError(f"{len(moment[name])} of {scored} cells are scored")
        if moments[-1]["labelling_spread"] is None and not _is_proxy(self.name):
            raise ValueError("the last moment is missing")


def _check_accuracies(values: list[Any]) -> None:
    for value in values:
        if number(value, "an accuracy") > 1:
            raise ValueError(f"an accuracy is {value}; it must lie in [0, 1]")


def _check_finite(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"an eigenvalue is {value}; it must be a finite number")


def _is_proxy(name: str) -> bool:
    from nasbench_kit.algorithms.zero_cost.proxies import PROXIES

    return name in PROXIES


def _scored(job: ScoringJob, oracle: Oracle, rng: Generator) -> Iterator[dict[str, Any]]:
    """The moments of a job.

    Scores of a proxy have any scale, and may be infinite; what is kept of each is the share of the cells
    that it does not rank above, ties counting half, which has the same ranks.
    """
    from nasbench_kit.algorithms.weight_sharing.scores import shared_scores
    from nasbench_kit.algorithms.zero_cost.search import Scorer, ZeroCost

    cells, clock, search = job.ranked.cells, job.ranked.clock, method(job.name)
    if isinstance(search, ZeroCost):
        from scipy.stats import rankdata

        scorer = Scorer(oracle, rng, search)
        scores = [scorer.unpaid(cell) for cell in cells]
        yield {
            clock: 0.0,
            "recommended": -1,
            "accuracy": (rankdata(scores) / len(scores)).tolist(),
            "mixture_accuracy": None,
            "labelling_spread": None,
            "eigenvalue": None,
        }
        return
    for moment in shared_scores(search, oracle, rng, cells, job.moments):
        mixtures = moment.mixture_accuracy
        yield {
            clock: moment.spent,
            "recommended": job.ranked.place(moment.recommended),
            "accuracy": moment.accuracy.tolist(),
            "mixture_accuracy": None if mixtures is None else mixtures.tolist(),
            "labelling_spread": moment.labelling_spread,
            "eigenvalue": moment.eigenvalue,
        }


def train_and_score(job: ScoringJob) -> None:
    """Make a job's file.

    Raises:
        WrongTable: another table has taken the place of the job's.
        CorruptFile: the table's file was altered, before or meanwhile; nothing is written.
    """
    entropy = np.random.SeedSequence([job.seed, zlib.crc32(job.name.encode())])
    for_oracle, for_search = map(np.random.default_rng, entropy.spawn(2))
    with torch_threads(1):
        taken = list(_scored(job, job.ranked.oracle(for_oracle), for_search))
    job.ranked.check_unchanged()
    write_text(job.path, json.dumps({"conditions": job.conditions, "moments": taken}) + "\n")
