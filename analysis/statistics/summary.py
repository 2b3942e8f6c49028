"""Statistics of each algorithm of a comparison with intervals, and the verdict in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.analysis.statistics.aggregates import (
    Interval,
    bootstrap,
    difference,
    improvement,
    interquartile_mean,
)
from nasbench_kit.analysis.statistics.power import advice

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit.analysis.statistics.comparison import Comparison
    from nasbench_kit.compare.trace import Trace

#: Algorithms that a verdict names one by one.
_NAMED = 5


@dataclass(frozen=True)
class Summary:
    """Statistics of one algorithm in one comparison. Regrets are in [0, 1]."""

    algorithm: str
    runs: int
    #: Runs that recommended nothing; their regret counts as infinite.
    without: int
    median: Interval
    interquartile_mean: Interval
    #: Against the baseline (None for itself): probability of being better, and difference of medians.
    better: Interval | None
    difference: Interval | None
    #: Mann-Whitney against the baseline, with Holm's correction over all pairs.
    adjusted_p: float | None
    #: Means over runs.
    queries: float
    unique_architectures: float
    seconds: float
    epochs: float
    #: Median of the wall-clock seconds of a whole run on its machine; None without a reading.
    machine_seconds: float | None
    #: Median of the processor seconds of a run, as well.
    processor_seconds: float | None
    #: Mean time of simulated workers, in the table's seconds (or epochs); None where there are none.
    elapsed: float | None
    #: Number of runs by the way they ended.
    ended: Mapping[str, int]
    #: Share of runs that end with an architecture that cannot be told from the table's best; None where
    #: nobody knows.
    among_best: float | None


def summarize(comparison: Comparison, rng: Generator) -> list[Summary]:
    """One summary for each algorithm, best median first, then by interquartile mean."""
    summaries = []
    baseline = comparison.baseline
    theirs = comparison.final[baseline]
    for name, runs in comparison.traces.items():
        ours = comparison.final[name]
        other = name != baseline
        measured = comparison.machine_seconds[name]
        computed = comparison.processor_seconds.get(name, ())
        times = [run.elapsed for run in runs if run.elapsed is not None]
        summaries.append(
            Summary(
                algorithm=name,
                runs=len(runs),
                without=int(np.isinf(ours).sum()),
                median=bootstrap([ours], lambda tasks: median(tasks[0]), rng),
                interquartile_mean=bootstrap(
                    [ours], lambda tasks: interquartile_mean(tasks[0]), rng
                ),
                better=improvement([ours], [theirs], rng) if other else None,
                difference=difference(ours, theirs, median, rng) if other else None,
                adjusted_p=comparison.pair(name, baseline).adjusted_p if other else None,
                queries=float(np.mean([run.queries for run in runs])),
                unique_architectures=float(np.mean([run.unique_architectures for run in runs])),
                seconds=float(np.mean([run.seconds for run in runs])),
                epochs=float(np.mean([run.epochs for run in runs])),
                machine_seconds=float(np.median(measured)) if measured else None,
                processor_seconds=float(np.median(computed)) if computed else None,
                elapsed=float(np.mean(times)) if times else None,
                ended=dict(sorted(Counter(run.ended for run in runs).items())),
                among_best=_among_best(comparison, runs),
            )
        )
    return sorted(summaries, key=lambda row: (row.median.point, row.interquartile_mean.point))


def _among_best(comparison: Comparison, runs: Sequence[Trace]) -> float | None:
    if comparison.scores.noise_floor is None:
        return None
    last = [run.incumbents[-1].architecture for run in runs if run.incumbents]
    return sum(bool(comparison.scores.among_best(text)) for text in last) / len(runs)


def median(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over runs: [..., runs] -> [...]."""
    return np.asarray(np.median(scores, axis=-1))


def verdict(comparison: Comparison, summaries: Sequence[Summary], level: float = 0.05) -> str:
    """Which algorithm is ahead, and of which others beyond chance: sentences in plain text."""
    best = summaries[0]
    unit = f"points of {comparison.quantity}"
    if not np.isfinite(best.median.point):
        return f"Of no algorithm did half of the runs recommend a cell on {comparison.label}."
    leaders = [row.algorithm for row in summaries if row.median.point == best.median.point]
    low, point, high = (f"{100 * value:.2f}" for value in best.median)
    who = _listed(leaders, len(summaries))
    verb = "share the lowest median" if len(leaders) > 1 else "has the lowest median"
    spread = f" (95 % interval {low} to {high})" if len(leaders) == 1 and best.runs > 2 else ""
    sentences = [f"On {comparison.label}, {who} {verb}: {point} {unit}{spread}."]
    if comparison.on_text:
        sentences.append(f"That is a perplexity of {1 / (1 - best.median.point):.2f}.")
    rest = [row.algorithm for row in summaries[1:]]
    worse = [name for name in rest if _loses(comparison, best.algorithm, name, level)]
    alike = [name for name in rest if name not in worse]
    if worse:
        sentences.append(
            f"{_listed(worse)} {'are' if len(worse) > 1 else 'is'} worse than {best.algorithm} beyond "
            f"chance (Mann-Whitney with Holm's correction, {level:g})."
        )
    if alike:
        who = (
            "None of the others" if len(alike) == len(rest) > 1 else _listed(alike, len(summaries))
        )
        runs = _numbers(row.runs for row in summaries)
        sentences.append(
            f"{who} can{'' if who.startswith('None') else 'not'} be told apart from "
            f"{best.algorithm} with {runs} {'run' if runs == '1' else 'runs'} each."
        )
        sentences.append(
            advice(
                [comparison.pair(best.algorithm, name) for name in alike],
                len(comparison.pairs),
                min(row.runs for row in summaries),
                level,
            )
        )
    return " ".join(sentences)


def _loses(comparison: Comparison, best: str, name: str, level: float) -> bool:
    pair = comparison.pair(best, name)
    return pair.adjusted_p < level and pair.better > 0.5


def _listed(names: Sequence[str], of: int | None = None) -> str:
    """Names in a sentence; given how many there are in all, many are only counted."""
    if of is not None and len(names) > _NAMED:
        return f"{len(names)} of {of} algorithms"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _numbers(values: Iterable[int]) -> str:
    ordered = sorted(values)
    low, high = ordered[0], ordered[-1]
    return f"{low}" if low == high else f"{low} to {high}"
