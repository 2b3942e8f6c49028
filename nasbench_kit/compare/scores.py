"""What the runs of a comparison are worth, by the table that no search can see.

What the table lacks is worth what trainings of it came to that were made after the runs
(`nasbench_kit.compare.trained_scores`). It may beat the table's best: then its regret is negative. Without
a table nobody knows the best, so there is an accuracy and no regret.

Where repeats are kept for scoring (`nasbench_kit.compare.held_out`), a run is scored by those that it
has not seen, and the best is the best mean over all repeats. A table's means err: their standard error
is the noise floor of every regret, and the rows whose means lie within two standard errors of a
difference from the best cannot be told from it.

With several objectives a run is worth the front that it recommends, and its loss is a hypervolume regret
(`nasbench_kit.compare.objectives`).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_type_hints

import numpy as np

from nasbench_kit.compare import held_out
from nasbench_kit.compare.objectives import ACCURACY, Objectives
from nasbench_kit.compare.run_folder import read_manifest, reads_text
from nasbench_kit.compare.trace import Incumbent, Spending, Trace
from nasbench_kit.compare.trained_scores import row_of, trained_accuracies
from nasbench_kit.errors import InvalidSetting, NotInTable
from nasbench_kit.system.files import as_path
from nasbench_kit.system.tidy import write_columns
from nasbench_kit.table.noise import Noise
from nasbench_kit.table.table import Table

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Result:
    """How one run ended, scored: one flat row."""

    algorithm: str
    seed: int
    #: Of the last recommendation, accuracy in [0, 1]; None where nothing was recommended, and without
    #: a table. Negative where what was trained beats the table's best. With several objectives the
    #: hypervolume regret of the front; the rest is of its first architecture.
    regret: float | None
    #: Mean accuracy of that architecture over the repeats, in [0, 1].
    accuracy: float | None
    #: Its text; of a front, several between blanks.
    architecture: str | None
    #: Of the table; None also where the table lacks it.
    row: int | None
    ended: str
    seconds: float
    epochs: float
    queries: int
    unique_architectures: int
    #: Whether it recommended a cell before it had paid for anything.
    unpaid: bool
    #: Whether the last recommendation cannot be told from the table's best; None where nobody knows.
    among_best: bool | None = None
    #: When the last of simulated workers was done; None where there are none.
    elapsed: float | None = None
    #: On text, where an accuracy is 1 / perplexity; else None.
    perplexity: float | None = None


def scored_by(table: Table) -> str:
    """The metric that scores recommended cells: test accuracy where the largest fidelity has it."""
    tested = table.has("test_accuracy", epochs=table.epochs[-1])
    return "test_accuracy" if tested else "validation_accuracy"


#: What an accuracy is on text.
ON_TEXT = "1 / perplexity"


def metric_in_words(
    metric: str, table: Table | None, objectives: Sequence[str] = (), *, on_text: bool = False
) -> str:
    """A metric such as "test_accuracy" in words, which say where it is one that searches saw as well.

    Args:
        metric: that scores.
        table: that is searched, if there is one.
        objectives: beside accuracy the costs that count.
        on_text: whether networks read text, so that an accuracy is 1 / perplexity.
    """
    if objectives:
        *costs, last = (name.replace("_", " ") for name in objectives if name != ACCURACY)
        return f"{', '.join([metric_in_words(metric, table), *costs])} and {last}"
    if table is None or metric != "validation_accuracy":
        return metric.replace("_", " ") + f" ({ON_TEXT})" * on_text
    words = table.selection_metric
    return words if words == "validation accuracy" else f"{words} (which searches select by, too)"


def regrets(table: Table) -> NDArray[np.float64]:
    """Regret of every row: best mean accuracy minus its own, at the largest fidelity.

    Source: Ying et al. 2019, section 4.1.

    Raises:
        CorruptFile: the table's file was altered.
    """
    table.verify()
    means = held_out.scoring_means(held_out.readings(table, scored_by(table)), None)
    return np.asarray(np.max(means) - means)


@dataclass(frozen=True)
class NoiseFloor:
    """What chance alone does to the scores of a table's rows.

    Args:
        standard_error: of a score, in [0, 1]: pooled over the best tenth of the rows.
        among_best: whether each row's mean lies within two standard errors of the difference from the
            best mean: bool [rows].
    """

    standard_error: float
    among_best: NDArray[np.bool_]

    @classmethod
    def of(cls, table: Table, kept: int = 0) -> NoiseFloor | None:
        """The noise floor of a table's scores; None where one repeat was measured, or none.

        Args:
            table: that scores.
            kept: repeats of every row that are kept for scoring; 0 scores by all.
        """
        if table.repeats < 2 or Noise.of(table.provenance) is not None:
            return None
        readings = held_out.readings(table, scored_by(table))
        counts = (~np.isnan(readings)).sum(axis=1)
        means = np.nanmean(readings, axis=1)
        best = np.argsort(-means, kind="stable")[: max(1, len(means) // 10)]
        several = best[counts[best] > 1]
        if not len(several):
            return None
        # Pooled: a variance of two or three readings says next to nothing by itself.
        squares = np.nansum((readings[several] - means[several, None]) ** 2)
        deviation = float(np.sqrt(squares / (counts[several] - 1).sum()))
        common = held_out.common_repeats(table, scored_by(table))
        scoring = counts[best] - (common - kept if kept else 0)
        apart = means.max() - means
        return cls(
            deviation * float(np.sqrt((1 / scoring).mean())),
            apart <= 2 * deviation * np.sqrt(1 / counts + 1 / counts[means.argmax()]),
        )


class Scores:
    """What architectures are worth, by their text. Of a front the first one counts.

    With several objectives its loss is that of the whole front, and an architecture is a front of one.

    Args:
        table: of the comparison; None where everything was trained.
        trained: mean accuracy of architectures that the table lacks, by text.
        held_out: repeats of every row that no search has seen.
        objectives: by name; none where accuracy alone counts.
        on_text: whether networks read text.

    Raises:
        CorruptFile: the table's file was altered.
        InvalidSetting: objectives without a table, or that the table lacks.
    """

    def __init__(
        self,
        table: Table | None,
        trained: Mapping[str, float] | None = None,
        held_out: int = 0,
        objectives: Sequence[str] = (),
        on_text: bool = False,
    ) -> None:
        self._table = table
        #: Whether networks read text, so that an accuracy is 1 / perplexity.
        self.on_text = on_text
        self._held_out = held_out
        #: Mean accuracies of all rows, by the repeats that a run saw.
        self._means: dict[tuple[int, ...] | None, NDArray[np.float64]] = {}
        if table is not None:
            table.verify()
            self._best = float(self._scoring_means(None).max())
        #: Of the table, with its true front; None where accuracy alone counts.
        self.objectives: Objectives | None = None
        if objectives:
            if table is None:
                raise InvalidSetting("several objectives are scored by a table, and there is none")
            self.objectives = Objectives(table, objectives, self._scoring_means(None))
        self._regrets: dict[tuple[str, tuple[int, ...] | None], float] = {}
        self._trained = trained or {}
        self._rows: dict[str, int | None] = {}

    def _scoring_means(self, seen: tuple[int, ...] | None) -> NDArray[np.float64]:
        if seen not in self._means:
            assert self._table is not None
            metric = scored_by(self._table)
            self._means[seen] = held_out.scoring_means(held_out.readings(self._table, metric), seen)
        return self._means[seen]

    @classmethod
    def of(cls, folder: Path, table: Table | None) -> Scores:
        """The scores of a comparison's folder.

        Raises:
            CorruptFile: one of its files holds no score.
        """
        manifest = read_manifest(folder) or {}
        conditions, kept = manifest.get("fallback"), manifest.get("held_out_repeats", 0)
        if conditions is None:
            return cls(table, held_out=kept, objectives=manifest.get("objectives", ()))
        metric = "test_accuracy" if table is None else scored_by(table)
        epochs, seeds = conditions["epochs"][-1], conditions["scoring_seeds"]
        trained = trained_accuracies(folder, metric, epochs, seeds)
        return cls(table, trained, kept, on_text=reads_text(manifest))

    @property
    def trained(self) -> Mapping[str, float]:
        """Mean accuracy of architectures that the table lacks, by text."""
        return self._trained

    @property
    def loss_name(self) -> str:
        """What ``loss`` is: a kind of regret, or "error" where nobody knows the best."""
        if self.objectives is not None:
            return "hypervolume regret"
        return "error" if self._table is None else "regret"

    def row(self, text: str) -> int | None:
        """The table's row, of a front that of the first one; None where it has none."""
        text = text.partition(" ")[0]
        if text not in self._rows:
            self._rows[text] = None if self._table is None else row_of(self._table, text)
        return self._rows[text]

    def known(self, text: str) -> bool:
        """Whether the architecture is in the table, or trained in full."""
        return text.partition(" ")[0] in self._trained or self.row(text) is not None

    def accuracy(self, text: str, seed: int | None = None) -> float:
        """Mean accuracy in [0, 1] over the repeats at the largest fidelity.

        Args:
            text: of the architecture.
            seed: of the run that recommends it; with it, of the repeats that the run has not seen.

        Raises:
            NotInTable: no table has it, and it is not trained yet.
        """
        row = self.row(text)
        if row is not None:
            return float(self._scoring_means(self._seen(seed))[row])
        text = text.partition(" ")[0]
        if text not in self._trained:
            where = "" if self._table is None else f"not in the table {self._table.name}, and "
            raise NotInTable(
                f"the recommended {text} is {where}not yet trained to score it; run the same "
                "comparison again to finish it"
            )
        return self._trained[text]

    def perplexity(self, text: str) -> float | None:
        """On text, where an accuracy is 1 / perplexity: the harmonic mean over trainings; else None.

        Raises:
            NotInTable: as ``accuracy``.
        """
        return 1 / self.accuracy(text) if self.on_text else None

    def _seen(self, seed: int | None) -> tuple[int, ...] | None:
        """The repeats that the run of a seed has seen; None if all of them score."""
        if seed is None or not self._held_out:
            return None
        assert self._table is not None
        return held_out.seen(self._table, scored_by(self._table), self._held_out, seed)

    def rows(self, front: str) -> list[int]:
        """The table's rows of all architectures of a front.

        Raises:
            NotInTable: it lacks one.
        """
        texts = front.split(" ")
        rows = [row for row in map(self.row, texts) if row is not None]
        if len(rows) < len(texts):
            raise NotInTable("the table lacks an architecture of a recommended front")
        return rows

    def loss(self, text: str, seed: int | None = None) -> float:
        """What is missing of the table's best mean accuracy, or of 1 without a table.

        With several objectives it is what the front's hypervolume lacks to that of the table's front.

        Of a table it is the regret, negative where what was trained is better than its best, and where
        repeats that were kept for scoring came out better.

        Args:
            text: of the architecture.
            seed: of the run that recommends it; see ``accuracy``.

        Raises:
            NotInTable: as ``accuracy``.
        """
        if self.objectives is not None:
            return self._hypervolume_regret(self.objectives, text, self._seen(seed))
        best = 1.0 if self._table is None else self._best
        return float(best - self.accuracy(text, seed))

    def _hypervolume_regret(
        self, objectives: Objectives, front: str, seen: tuple[int, ...] | None
    ) -> float:
        if (front, seen) not in self._regrets:
            rows = self.rows(front)
            regret = objectives.regret(rows, self._scoring_means(seen)[rows])
            self._regrets[front, seen] = regret
        return self._regrets[front, seen]

    def regret(self, text: str, seed: int | None = None) -> float | None:
        """The table's best mean accuracy minus the architecture's; None without a table.

        Raises:
            NotInTable: as ``accuracy``.
        """
        return None if self._table is None else self.loss(text, seed)

    @functools.cached_property
    def noise_floor(self) -> NoiseFloor | None:
        """How far chance alone moves a regret; None where one repeat, or none, was measured."""
        if self._table is None or self.objectives is not None:
            return None
        return NoiseFloor.of(self._table, self._held_out)

    def among_best(self, text: str) -> bool | None:
        """Whether the architecture cannot be told from the table's best; None where nobody knows."""
        row, floor = self.row(text), self.noise_floor
        return None if row is None or floor is None else bool(floor.among_best[row])


def score(
    table: Table | None, traces: Sequence[Trace], trained: Mapping[str, float] | None = None
) -> list[Result]:
    """The flat rows of a comparison.

    Args:
        table: of the comparison, if it has one.
        traces: its runs.
        trained: mean accuracy of recommended architectures that the table lacks, by text.

    Raises:
        InvalidSetting: something else than a table, or than traces.
        NotInTable: a run recommends what neither knows anything of.
        CorruptFile: the table's file was altered.
    """
    _check(table, traces)
    return results_of(Scores(table, trained), traces)


def results_of(scores: Scores, traces: Sequence[Trace]) -> list[Result]:
    """The flat rows of runs.

    Raises:
        NotInTable: a run recommends what is not scored.
    """
    results = []
    for trace in traces:
        text = trace.incumbents[-1].architecture if trace.incumbents else None
        results.append(
            Result(
                algorithm=trace.algorithm,
                seed=trace.seed,
                regret=None if text is None else scores.regret(text, trace.seed),
                accuracy=None if text is None else scores.accuracy(text, trace.seed),
                architecture=text,
                row=None if text is None else scores.row(text),
                ended=trace.ended,
                seconds=trace.seconds,
                epochs=trace.epochs,
                queries=trace.queries,
                unique_architectures=trace.unique_architectures,
                unpaid=trace.unpaid,
                among_best=None if text is None else scores.among_best(text),
                elapsed=trace.elapsed,
                perplexity=None if text is None else scores.perplexity(text),
            )
        )
    return results


def write_results(folder: str | Path, table: Table | None, traces: Sequence[Trace]) -> list[Result]:
    """Write the tidy columns of a comparison: results, incumbents and ledger; returns the results.

    Raises:
        InvalidSetting: as ``score``.
        CorruptFile: the table's file was altered, and nothing is written; or a score is damaged.
        WrongTable: another table has taken its place; likewise.
        NotWritable: the folder cannot be written.
        NotInTable: what is recommended outside the table is not trained yet.
    """
    folder = as_path(folder, "folder of the results")
    _check(table, traces)
    scores = Scores.of(folder, table)
    results = results_of(scores, traces)
    simulated = any(trace.elapsed is not None for trace in traces)
    present = [*["elapsed"] * simulated, *["perplexity"] * scores.on_text]
    columns = [
        each
        for each in fields(Result)
        if each.name in present or each.name not in ("elapsed", "perplexity")
    ]
    if table is not None:
        table.verify(fresh=True)  # after all that is read from it, before anything is written
        table.check_in_place()
    write_columns(
        folder / "results",
        {field.name: [getattr(result, field.name) for result in results] for field in columns},
        {field.name: str(field.type) for field in columns},
    )
    steps = _stacked(traces, [trace.incumbents for trace in traces], Incumbent)
    if not simulated:
        del steps["elapsed"]
    texts = steps["architecture"]
    steps["row"] = [scores.row(text) for text in texts]
    runs = list(zip(texts, steps["seed"], strict=True))
    steps["regret"] = [scores.regret(text, seed) for text, seed in runs]
    steps["accuracy"] = [scores.accuracy(text, seed) for text, seed in runs]
    scored = ("elapsed", "regret", "accuracy", "perplexity")
    if scores.on_text:
        steps["perplexity"] = [scores.perplexity(text) for text in texts]
    types = _types(Incumbent) | dict.fromkeys(scored, "float")
    types |= {"row": "int"}
    write_columns(folder / "incumbents", steps, types)
    spendings = _stacked(traces, [list(trace.ledger.values()) for trace in traces], Spending)
    kinds = [kind for trace in traces for kind in trace.ledger]
    write_columns(folder / "ledger", spendings | {"kind": kinds}, _types(Spending))
    return results


def _check(table: Table | None, traces: Sequence[Trace]) -> None:
    if not isinstance(table, Table | None):
        raise InvalidSetting(f"the table is {table!r}; open it with Table.open")
    if not isinstance(traces, Sequence) or not all(isinstance(run, Trace) for run in traces):
        raise InvalidSetting(f"the traces are {traces!r:.80}; give those of run or all_traces")


def _stacked(
    traces: Sequence[Trace], groups: Sequence[Sequence[NamedTuple]], kind: type[NamedTuple]
) -> dict[str, Any]:
    """One row for each tuple of each trace, by column: algorithm, seed, then the tuple's fields."""
    rows = [row for group in groups for row in group]
    columns = zip(*rows, strict=True) if rows else [()] * len(kind._fields)
    owners = [trace for trace, group in zip(traces, groups, strict=True) for _ in group]
    return {
        "algorithm": [trace.algorithm for trace in owners],
        "seed": [trace.seed for trace in owners],
        **dict(zip(kind._fields, columns, strict=True)),
    }


def _types(kind: type[NamedTuple]) -> dict[str, str]:
    hints = get_type_hints(kind).items()
    fields = {name: hint.__name__ for name, hint in hints if isinstance(hint, type)}
    return {"algorithm": "str", "seed": "int", "kind": "str", **fields}
