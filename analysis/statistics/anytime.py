"""Any-time regret: that of the cell that each run recommended at every spend.

A run's incumbent is a right-continuous step function of its spend: the last recommended cell is
carried forward. Before the first recommendation the regret is undefined; it counts as worse than any
number (infinite), so that it is never dropped from a quantile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_kit.compare.trace import Trace

Axis = Literal["seconds", "epochs", "queries", "elapsed"]
#: From the text of what a run recommends, and the run's seed, to its regret in [0, 1]: `Scores.loss`.
Regret = Callable[[str, int], float]


def on_the_clock(traces: Sequence[Trace], unit: Literal["seconds", "epochs"]) -> list[Trace]:
    """Runs whose elapsed times are filled in where no workers are simulated: one worker's, ever busy.

    Args:
        traces: the runs.
        unit: of simulated time: seconds, or epochs where there are no seconds.
    """
    return [
        run
        if run.elapsed is not None
        else replace(
            run,
            elapsed=getattr(run, unit),
            incumbents=[step._replace(elapsed=getattr(step, unit)) for step in run.incumbents],
        )
        for run in traces
    ]


def final_regrets(traces: Sequence[Trace], regret: Regret) -> NDArray[np.float64]:
    """Regret of the last recommended cell of each run: [runs]; inf where there is none."""
    return np.array(
        [
            regret(trace.incumbents[-1].architecture, trace.seed) if trace.incumbents else np.inf
            for trace in traces
        ]
    )


def at_spend(
    traces: Sequence[Trace], regret: Regret, axis: Axis, grid: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Regret of each run at each spend of the grid: [runs, grid]; inf where undefined.

    Args:
        traces: the runs.
        regret: of an architecture's text, by the seed of the run that recommends it.
        axis: the unit of spending of the grid.
        grid: ascending.
    """
    values = np.full((len(traces), len(grid)), np.inf)
    for row, trace in zip(values, traces, strict=True):
        spends = [getattr(incumbent, axis) for incumbent in trace.incumbents]
        regrets = np.array(
            [np.inf, *(regret(step.architecture, trace.seed) for step in trace.incumbents)]
        )
        row[:] = regrets[np.searchsorted(spends, grid, side="right")]
    return values


def reaching(
    traces: Sequence[Trace], regret: Regret, axis: Axis, target: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Spend at which each run first recommended a cell of at most the target regret.

    Returns:
        times: [runs], inf where a run never did.
        censored_at: [runs], the spend up to which it was watched; inf where it ended by itself, and
            more budget would have changed nothing.
    """
    times = np.full(len(traces), np.inf)
    for place, trace in enumerate(traces):
        reached = (
            getattr(step, axis)
            for step in trace.incumbents
            if regret(step.architecture, trace.seed) <= target
        )
        times[place] = next(reached, np.inf)
    ends = [getattr(trace, axis) if trace.ended == "budget" else np.inf for trace in traces]
    return times, np.array(ends, float)


@dataclass(frozen=True)
class Curve:
    """Quartiles over runs at each spend: arrays [grid], inf where undefined."""

    grid: NDArray[np.float64]
    lower: NDArray[np.float64]
    median: NDArray[np.float64]
    upper: NDArray[np.float64]


def quartiles(traces: Sequence[Trace], regret: Regret, axis: Axis, points: int = 400) -> Curve:
    """Median and quartiles of regret over the runs of one algorithm, on a logarithmic grid."""
    grid = spend_grid(traces, axis, points)
    values = np.sort(at_spend(traces, regret, axis, grid), axis=0)
    lower, median, upper = (_quantile(values, level) for level in (0.25, 0.5, 0.75))
    return Curve(grid, lower, median, upper)


def spend_grid(traces: Sequence[Trace], axis: Axis, points: int) -> NDArray[np.float64]:
    """Spends [points], spaced evenly on a logarithmic axis, up to the last of all runs.

    They begin where the first run recommends a cell; what was recommended before anything was spent
    (before the first query, by shared weights) counts from the first spend above 0.
    """
    spends = (
        next((spend for change in trace.incumbents if (spend := getattr(change, axis)) > 0), None)
        for trace in traces
    )
    last = max((getattr(trace, axis) for trace in traces), default=1.0) or 1.0
    first = min((spend for spend in spends if spend is not None), default=last)
    grid = np.geomspace(first, last, points)
    grid[-1] = last  # rounding must not cut off the last step
    return grid


def _quantile(ordered: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    """Linear interpolation between order statistics, where infinity stays infinite: [grid]."""
    place = level * (len(ordered) - 1)
    below, above = int(np.floor(place)), int(np.ceil(place))
    if below == above:
        return ordered[below]
    finite = np.isfinite(ordered[above])
    mixed = np.full(ordered.shape[1], np.inf)
    share = place - below
    mixed[finite] = (1 - share) * ordered[below, finite] + share * ordered[above, finite]
    return mixed
