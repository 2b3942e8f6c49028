"""What ``compare`` prints when it is done: a row an algorithm, and what the columns mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.checks import counted
from nasbench_kit.cli.common import print_table
from nasbench_kit.compare.benchmark import Benchmark
from nasbench_kit.compare.plan import Plan
from nasbench_kit.compare.scores import Scores
from nasbench_kit.table.noise import Noise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_kit.analysis.statistics.anytime import Axis
    from nasbench_kit.compare.trace import Trace


def grouped(traces: Sequence[Trace]) -> dict[str, list[Trace]]:
    """The traces by algorithm."""
    by_name: dict[str, list[Trace]] = {}
    for trace in traces:
        by_name.setdefault(trace.algorithm, []).append(trace)
    return by_name


def titled(benchmark: Benchmark) -> str:
    """The table and where it is from, or what is trained on without one."""
    table = benchmark.table
    if table is None:
        return f"{benchmark.name} (trained, no table)"
    source = str(table.provenance.get("source", "measured"))
    return (
        table.name if source == "measured" or source in table.name else f"{table.name} ({source})"
    )


def limits_text(budget: Mapping[str, float]) -> str:
    """A budget in words."""
    return ", ".join(f"{limit:,.10g} {name}" for name, limit in budget.items())


# What is printed -------------------------------------------------------------------------------


def shown(value: object) -> str:
    """Numbers to four digits or in full, whichever is longer; "-" for none."""
    if isinstance(value, int | float):
        whole = isinstance(value, int) or 1000 <= abs(value) < np.inf
        return f"{value:,.0f}" if whole else f"{value:.4g}" if np.isfinite(value) else "-"
    return "-" if value is None else str(value)


_LOSSES = {
    "regret": "Regret: the table's best minus what was recommended.",
    "error": "Error: what is missing to 1. There is no table, so nobody knows the best, and no regret.",
    "hypervolume regret": "Hypervolume regret: that of the table's true front minus that of the recommended one, "
    "with every objective scaled to 0 to 100 points over the table's rows.",
}
#: What a narrow screen leaves out first.
_SECONDARY = (
    *(
        "elapsed",
        "computing",
        "seconds by kind",
        "epochs by kind",
        "unique",
        "none",
        "queries",
        "seconds",
        "epochs",
    ),
    "runs",
)


def print_summary(
    benchmark: Benchmark,
    plan: Plan,
    scores: Scores,
    traces: Sequence[Trace],
    axis: Axis,
    *,
    computing: Mapping[str, float | None],
) -> None:
    """Print final losses, what was spent, and notes on both.

    Args:
        benchmark: what was compared on.
        plan: what was compared.
        scores: of what was recommended.
        traces: of all runs.
        axis: of the budget.
        computing: processor seconds of a run by algorithm; None where nobody took them.
    """
    from nasbench_kit.analysis.statistics.anytime import final_regrets, reaching

    by_name = grouped(traces)
    final = {name: final_regrets(runs, scores.loss) for name, runs in by_name.items()}
    table = benchmark.table
    unit: Axis = "seconds" if table is not None and table.has("seconds") else "epochs"
    columns = ["algorithm", "runs", "median", "quartiles", "none", "queries", "unique", unit]
    rows = {
        name: [name, len(runs), *_quartiles(final[name]), *_means(runs, unit)]
        for name, runs in by_name.items()
    }
    loss = scores.loss_name
    if scores.on_text:
        columns.insert(3, "perplexity")  # after the median
        for name in by_name:
            rows[name].insert(3, _median_perplexity(final[name]))
    floor = scores.noise_floor
    if floor is not None:
        columns.append("among best")
        for name, runs in by_name.items():
            rows[name].append(_share_among_best(scores, runs))
    note = _LOSSES[loss]
    note += (
        f" None: runs that recommended nothing. Queries, unique architectures and {unit} spent are "
        "means over runs."
    )
    if scores.on_text:
        note += (
            " On text an accuracy is 1 / perplexity. Perplexity: of what was recommended in the end, median "
            "over runs."
        )
    if plan.held_out_repeats:
        note += (
            f" Scored by {plan.held_out_repeats} of {benchmark.table.repeats if benchmark.table else 0} repeats, "
            "which no search of the run has seen; a regret below 0 is luck."
        )
    if floor is not None:
        note += (
            f" Noise floor: a score has a standard error of {100 * floor.standard_error:.2f} points. Among best: "
            f"runs that end with one of the {floor.among_best.sum():,} architectures that cannot be told from "
            "the best."
        )
    note += _too_few_runs(final)
    if plan.policy == "mean" and table is not None and Noise.of(table.provenance) is not None:
        note += (
            " Means of a surrogate have no noise, so short trainings tell more of long ones than measured ones do: "
            "this is too kind to searches that halve."
        )
    if plan.fallback is not None:
        note += _scored_outside(benchmark, scores, traces)
    target = max(map(np.median, final.values()))
    reaching_target = []
    if len(by_name) > 1 and np.isfinite(target):
        reaching_target = [f"{axis} to {100 * target:.2f}"]
        columns += reaching_target
        for name, runs in by_name.items():
            spent = np.sort(reaching(runs, scores.loss, axis, target)[0])[(len(runs) - 1) // 2]
            rows[name].append(shown(float(spent)))
        note += (
            f" {columns[-1].capitalize()}: what half of the runs had spent at most when they first "
            f"recommended anything of that {loss}, the worst of the medians."
        )
    note += _add_costs(columns, rows, by_name, unit, computing)
    if unpaid := [name for name, runs in by_name.items() if any(run.unpaid for run in runs)]:
        note += f" Recommended something before paying for anything: {', '.join(unpaid)}."
    print_table(
        f"Final {loss} in mean {benchmark.metric} (points) on {titled(benchmark)}, budget "
        f"{limits_text(plan.budget)}",
        columns,
        rows.values(),
        note,
        secondary=[
            *(name for name in _SECONDARY if name in columns),
            *reaching_target,
            "quartiles",
        ],
        elsewhere="the CSV files there, or --json",
    )


def _add_costs(
    columns: list[str],
    rows: Mapping[str, list[object]],
    by_name: Mapping[str, Sequence[Trace]],
    unit: Axis,
    computing: Mapping[str, float | None],
) -> str:
    """Columns of what runs cost beside the budget, and how it was spent; returns the note on them."""
    columns.append("computing")
    for name in by_name:
        rows[name].append(shown(computing.get(name)))
    note = " Computing: processor seconds of a run on its machine, median over runs."
    traces = [trace for runs in by_name.values() for trace in runs]
    if any(trace.elapsed is not None for trace in traces):
        columns.append("elapsed")
        for name, runs in by_name.items():
            times = [run.elapsed for run in runs if run.elapsed is not None]
            rows[name].append(shown(float(np.mean(times)) if times else None))
        note += f" Elapsed: {unit} until the last of simulated workers was done, mean over runs."
    if any(trace.ledger.keys() - {"query"} for trace in traces):
        columns.append(f"{unit} by kind")
        for name, runs in by_name.items():
            rows[name].append(_split(runs, unit))
        note += f" {unit.capitalize()} by kind of charge are means over runs."
    return note


def _scored_outside(benchmark: Benchmark, scores: Scores, traces: Sequence[Trace]) -> str:
    last = [trace.incumbents[-1].architecture for trace in traces if trace.incumbents]
    seeds = len(benchmark.scoring_seeds)
    if benchmark.table is None:
        return f" What was recommended is scored by the mean of {counted(seeds, 'training')}."
    outside = sum(scores.row(text) is None for text in last)
    return (
        f" Outside the table: {outside} of the {len(last)} recommended at the end, scored by the mean of "
        f"{counted(seeds, 'training')}; where one is better than the table's best, the regret is negative."
    )


def _share_among_best(scores: Scores, runs: Sequence[Trace]) -> str:
    """Of runs whose last recommendation cannot be told from the table's best."""
    last = [run.incumbents[-1].architecture for run in runs if run.incumbents]
    return f"{sum(bool(scores.among_best(text)) for text in last) / len(runs):.0%}"


def _too_few_runs(final: Mapping[str, NDArray[np.float64]]) -> str:
    """A warning where no difference could be found."""
    from nasbench_kit.analysis.statistics.power import least_runs

    runs, compared = min(map(len, final.values())), len(final) * (len(final) - 1) // 2
    if not compared or runs >= (least := least_runs(compared)):
        return ""
    return (
        f" With {counted(runs, 'run')} of an algorithm no difference can be significant; "
        f"at least {least} would do (--seeds {least})."
    )


def _quartiles(regret: NDArray[np.float64]) -> list[object]:
    """Median and quartiles in points, and how many runs recommended nothing."""
    finite = 100 * regret[np.isfinite(regret)]
    if not len(finite):
        return ["-", "-", len(regret)]
    lower, median, upper = np.quantile(finite, (0.25, 0.5, 0.75))
    return [f"{median:.2f}", f"{lower:.2f} to {upper:.2f}", len(regret) - len(finite)]


def _median_perplexity(error: NDArray[np.float64]) -> str:
    finite = error[np.isfinite(error)]
    return f"{np.median(1 / (1 - finite)):.2f}" if len(finite) else "-"


def _means(runs: Sequence[Trace], unit: Axis) -> list[object]:
    keys = ("queries", "unique_architectures", unit)
    return [f"{np.mean([getattr(run, key) for run in runs]):,.1f}" for key in keys]


def _split(runs: Sequence[Trace], unit: Axis) -> str:
    kinds = dict.fromkeys(kind for run in runs for kind in run.ledger)
    spent = {
        kind: np.mean([getattr(run.ledger.get(kind), unit, 0.0) for run in runs]) for kind in kinds
    }
    return ", ".join(f"{kind} {mean:,.1f}" for kind, mean in spent.items())
