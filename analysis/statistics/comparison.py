"""A finished comparison as the statistics see it: the runs of one folder, scored by its table."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.analysis.landscape.study import label
from nasbench_kit.analysis.statistics.anytime import final_regrets
from nasbench_kit.analysis.statistics.rank_tests import Pair, mann_whitney
from nasbench_kit.compare.run_folder import (
    all_traces,
    clocks,
    read_manifest,
    reads_text,
    searched_space,
)
from nasbench_kit.compare.scores import Scores, metric_in_words, regrets
from nasbench_kit.compare.trace import Spending
from nasbench_kit.errors import CorruptFile, InvalidSetting, UnknownName, WrongTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_kit.analysis.statistics.anytime import Axis
    from nasbench_kit.compare.trace import Trace
    from nasbench_kit.spaces.protocols import Space
    from nasbench_kit.table.table import Table

#: Others are compared with this algorithm, where it took part.
BASELINE = "random-search"
FRONT_BASELINE = "random-front"
NOTHING = Spending(0, 0.0, 0.0, 0)


@dataclass(frozen=True)
class Comparison:
    """The runs of one folder: one task.

    Args:
        name: of the folder.
        table: the one that the searches queried; None where everything was trained.
        manifest: everything that the results depend on.
        traces: by algorithm, each by seed.
        machine_seconds: wall-clock seconds of each whole run on its machine, by algorithm; of the runs
            that have a reading. They cannot be compared with the table's seconds, which the budget
            counts and which were measured on another machine.
        trained: mean accuracy of recommended architectures that the table lacks, by text.
        processor_seconds: of each whole run on its machine, by algorithm, likewise: what the search itself
            computed, as a table answers at once.
    """

    name: str
    table: Table | None
    manifest: Mapping[str, Any]
    traces: Mapping[str, Sequence[Trace]]
    machine_seconds: Mapping[str, Sequence[float]]
    trained: Mapping[str, float] = field(default_factory=dict)
    processor_seconds: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path, table: Table | None) -> Comparison:
        """Read a folder that ``nasbench-kit compare`` wrote.

        Raises:
            UnknownName: there is no comparison.
            WrongTable: the comparison was made on another table.
            CorruptFile: a file of the folder is damaged, or the table's was altered.
            InvalidSetting: no run is finished, or not all that is recommended is scored.
        """
        if table is not None:
            table.verify(fresh=True)
        manifest = read_manifest(folder)
        if manifest is None:
            raise UnknownName(
                f"{folder} holds no comparison: manifest.json is missing; make one with "
                "`nasbench-kit compare --out`"
            )
        made_on = manifest["table"]
        if (made_on and made_on["checksum"]) != (table and table.checksum):
            raise WrongTable(
                f"{folder} was made on another table than "
                f"{'none' if table is None else table.name}: the checksums differ; name the right one "
                "with --table"
            )
        by_name: dict[str, list[Trace]] = {name: [] for name in manifest["algorithms"]}
        for trace in all_traces(folder):
            by_name[trace.algorithm].append(trace)
        traces = {name: runs for name, runs in by_name.items() if runs}
        if not traces:
            raise InvalidSetting(f"{folder} has no finished run; call compare again to make them")
        clock = clocks(folder)
        wall, processor = (
            {
                name: [clock[name, run.seed][what] for run in runs if (name, run.seed) in clock]
                for name, runs in traces.items()
            }
            for what in ("seconds", "processor_seconds")
        )
        try:
            scores = Scores.of(folder, table)
            texts = {
                text
                for runs in traces.values()
                for run in runs
                for step in run.incumbents
                for text in step.architecture.split(" ")
            }
            unknown = sorted(text for text in texts if not scores.known(text))
            if unknown and "fallback" not in manifest:
                raise ValueError(f"{unknown[0]} is recommended, which the table lacks")
            if not manifest["budget"]:
                raise ValueError("there is no budget")
        except CorruptFile:
            raise
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise CorruptFile(
                f"{folder} is damaged ({error!r}); run the comparison again"
            ) from error
        if unknown:
            raise InvalidSetting(
                f"{len(unknown)} recommended architectures of {folder} are in no table and not yet "
                "trained to score them; run the same comparison again to finish it"
            )
        name = folder.resolve().name
        return cls(name, table, manifest, traces, wall, scores.trained, processor)

    @property
    def label(self) -> str:
        """The table's name, which says ``surrogate`` where its numbers are predicted."""
        if self.table is None:
            return f"{self.manifest['fallback']['space']} (trained, no table)"
        return label(self.table)

    @property
    def metric(self) -> str:
        """The metric of which the loss is taken, in words."""
        scored_by = str(self.manifest["scored_by"])
        return metric_in_words(scored_by, self.table, self.objectives, on_text=self.on_text)

    @property
    def on_text(self) -> bool:
        """Whether networks read text, so that an accuracy is 1 / perplexity."""
        return reads_text(self.manifest)

    @property
    def objectives(self) -> tuple[str, ...]:
        """What fronts were scored by; none where accuracy alone counts."""
        return tuple(self.manifest.get("objectives", ()))

    @property
    def loss(self) -> str:
        """What runs are scored by: a kind of regret, or "error" where the best is unknown."""
        return self.scores.loss_name

    @property
    def held_out_repeats(self) -> int:
        """Repeats of the table that no search saw, and that score."""
        return int(self.manifest.get("held_out_repeats", 0))

    @property
    def quantity(self) -> str:
        """The loss and its metric, in words: "regret in mean test accuracy"."""
        return f"{self.loss} in mean {self.metric}"

    @property
    def simulated(self) -> bool:
        """Whether some searches have simulated workers."""
        return any(run.elapsed is not None for runs in self.traces.values() for run in runs)

    @property
    def has_seconds(self) -> bool:
        """Whether the runs' spending is known in seconds."""
        return self.table is not None and self.table.has("seconds")

    @property
    def checksum(self) -> str:
        """Of the table; where there is none, of the images that everything was trained on."""
        if self.table is None:
            return str(self.manifest["fallback"]["images_digest"])
        return self.table.checksum

    @property
    def provenance(self) -> Mapping[str, Any]:
        """What made the accuracies: the table's record, or the trainer's conditions."""
        return self.manifest["fallback"] if self.table is None else self.table.provenance

    @property
    def space(self) -> Space:
        """The space that was searched, or one around it."""
        if self.table is None or "fallback" in self.manifest:
            return searched_space(self.manifest)
        return self.table.space

    @property
    def axis(self) -> Axis:
        """The unit of spending on the x axis of curves: the budget's if it has one limit."""
        limits = list(self.manifest["budget"])
        if len(limits) == 1:
            return limits[0]
        seconds = self.table is not None and self.table.has("seconds")
        return "seconds" if seconds else "queries"

    @functools.cached_property
    def ledger(self) -> dict[str, dict[str, Spending]]:
        """Mean spending of a run, by algorithm and kind of charge."""
        return {
            name: {
                kind: Spending(*np.mean([run.ledger.get(kind, NOTHING) for run in runs], axis=0))
                for kind in dict.fromkeys(kind for run in runs for kind in run.ledger)
            }
            for name, runs in self.traces.items()
        }

    @functools.cached_property
    def scores(self) -> Scores:
        """The accuracy and loss of recommended architectures, by their text."""
        kept, objectives = self.held_out_repeats, self.objectives
        return Scores(self.table, self.trained, kept, objectives, on_text=self.on_text)

    @functools.cached_property
    def regrets(self) -> NDArray[np.float64]:
        """Of every row of the table, in [0, 1]; empty without one."""
        return np.empty(0) if self.table is None else regrets(self.table)

    @functools.cached_property
    def final(self) -> dict[str, NDArray[np.float64]]:
        """Final loss of each run, inf where nothing was recommended: algorithm -> [runs]."""
        return {name: final_regrets(runs, self.scores.loss) for name, runs in self.traces.items()}

    @property
    def baseline(self) -> str:
        """Random search, of fronts random fronts; or else the algorithm named first."""
        name = FRONT_BASELINE if self.objectives and FRONT_BASELINE in self.traces else BASELINE
        return name if name in self.traces else next(iter(self.traces))

    @functools.cached_property
    def pairs(self) -> list[Pair]:
        """All pairs by Mann and Whitney's test with Holm's correction."""
        return mann_whitney(self.final)

    def pair(self, first: str, second: str) -> Pair:
        """The comparison of two algorithms, in this order."""
        for pair in self.pairs:
            if (pair.first, pair.second) == (first, second):
                return pair
            if (pair.first, pair.second) == (second, first):
                return Pair(first, second, 1 - pair.better, pair.p, pair.adjusted_p)
        raise KeyError((first, second))
