"""Where weight sharing wins: budgets of 1 to 100 trainings, and shares of them for shared weights.

    python analysis/experiments/sharing_budgets.py run --out runs/sharing-budgets.jsonl --workers 2
    python analysis/experiments/sharing_budgets.py draw --out runs/sharing-budgets.jsonl --figure wins.png

A budget is counted in trainings: the mean price of an architecture at the largest fidelity. Of it shared
weights take a share, and the rest pays for queries of the architectures that they rank best; with 100 %
nothing is queried. A query answers with one training of two, each architecture is asked for once, and
the third training, which no search of the run sees, scores what it recommends. Two random searches have
the same budget for queries alone: over encodings, and over unique cells. Settings are `SETTINGS`, or those
of a file that ``tests/benchmarks/sharing_presets.py best`` prints. A line of the file is a run. Prices are
the table's, but trainings of shared weights differ in their last bits between processors and versions of
torch, so runs elsewhere are other runs of the same experiment.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.algorithms import ALGORITHMS, RandomSearch
from nasbench_kit.analysis.figures import style
from nasbench_kit.analysis.statistics import aggregates
from nasbench_kit.analysis.statistics.aggregates import Interval
from nasbench_kit.compare import Plan
from nasbench_kit.compare.one_run import run_one
from nasbench_kit.compare.scores import Scores, regrets, results_of
from nasbench_kit.data.tables import find, open_table
from nasbench_kit.data.tasks import open_task
from nasbench_kit.system.files import replacing
from nasbench_kit.system.measured import torch_threads
from nasbench_kit.system.recorded_runs import Job, record, recorded
from nasbench_kit.table.table import Table

if TYPE_CHECKING:
    from numpy.typing import NDArray

TABLE = "noisy-digits"
BUDGETS, SHARES = (1, 3, 10, 30, 100), (0.03, 0.1, 0.3, 1.0)
#: What ``tests/benchmarks/sharing_presets.py`` found best on the tuning seeds, changed in the small presets.
SETTINGS: dict[str, dict[str, Any]] = {
    "random-weight-sharing": {"learning_rate": 0.1, "sampling": "encodings", "batch_size": 25},
    "darts": {"batch_size": 25, "learning_rate": 0.025, "architecture_learning_rate": 0.05},
}
METHODS = tuple(SETTINGS)
#: By method, budget in trainings and share.
Losses = Mapping[tuple[str, float, float], "NDArray[np.float64]"]

#: Random searches at equal spend, drawing as a method may draw its candidates.
CONTROLS = {
    "distinct-random-search": RandomSearch(distinct=True),
    "distinct-random-search-over-cells": RandomSearch(distinct=True, sampling="cells"),
}
SEEDS = 30
#: Runs of the controls: they cost next to nothing.
CONTROL_SEEDS = 300
#: Difference, over random search's regret, that has the full colour.
LARGEST = 0.5


def jobs(methods: Sequence[str]) -> Iterator[Job]:
    """Method, budget in trainings, share, seed: cheap runs first, a few seeds of all before many of some."""
    for budget in BUDGETS:
        yield from ((name, budget, 0.0, seed) for name in CONTROLS for seed in range(CONTROL_SEEDS))
    spends = [(budget, share) for budget in BUDGETS for share in SHARES]
    for low, high in ((0, 10), (10, 20), (20, SEEDS)):
        for budget, share in spends:
            if budget * share <= 30:
                yield from (
                    (name, budget, share, seed) for seed in range(low, high) for name in methods
                )
    for seed in range(SEEDS):
        for budget, share in spends:
            if budget * share > 30:
                yield from ((name, budget, share, seed) for name in methods)


@functools.cache
def _table() -> Table:
    """A process opens the table once."""
    return open_table(TABLE)


def search_and_score(
    settings: dict[str, dict[str, Any]], name: str, budget: float, share: float, seed: int
) -> dict[str, Any]:
    """One run: regret in [0, 1] of what it recommends; None where the budget paid for nothing."""
    table = _table()
    if share:
        changes = settings.get(name, {})
        search: Any = replace(ALGORITHMS[f"{name}-small"](), share=share, **changes)  # type: ignore[type-var]
    else:
        search = CONTROLS[name]
    plan = Plan(
        find(TABLE),
        {name: search},
        [seed],
        {"seconds": budget * float(table.mean("seconds").mean())},
        policy="once",
        task=open_task,
        held_out_repeats=1,
    )
    with torch_threads(1):
        trace = run_one(plan, table, name, seed)
    (result,) = results_of(Scores(table, held_out=1), [trace])
    return {
        "regret": result.regret,
        "row": result.row,
        "queries": result.queries,
        "seconds": result.seconds,
    }


def losses(runs: Mapping[Job, dict[str, Any]]) -> Losses:
    """Regrets in points, [runs]; NaN of a run whose budget paid for nothing that it could recommend."""
    collected: dict[tuple[str, float, float], list[float]] = defaultdict(list)
    for (name, budget, share, _), run in sorted(runs.items()):
        regret = math.nan if run["regret"] is None else 100 * run["regret"]
        collected[str(name), float(budget), float(share)].append(regret)
    return {key: np.array(values) for key, values in collected.items()}


def filled(collected: Losses) -> Losses:
    """Where there is no recommendation, the mean regret of architectures drawn over encodings."""
    rows = _table().space.sample(np.random.default_rng(0), 10_000)
    at_random = 100 * float(regrets(_table())[rows].mean())
    return {key: np.where(np.isnan(runs), at_random, runs) for key, runs in collected.items()}


def better_control(collected: Losses, budget: float) -> NDArray[np.float64]:
    """The regrets of the random search that is better with a budget, by its mean."""
    return min((collected[name, budget, 0.0] for name in CONTROLS), key=np.mean)


def differences(collected: Losses) -> dict[tuple[str, float, float], Interval]:
    """Mean regret less that of the better random search, with its 95 % bootstrap interval."""
    rng = np.random.default_rng(0)
    return {
        (name, budget, share): aggregates.difference(
            losses, better_control(collected, budget), lambda runs: runs.mean(axis=-1), rng
        )
        for (name, budget, share), losses in collected.items()
        if share
    }


def draw(collected: Losses, path: Path) -> None:
    """One panel a method: difference of mean regrets by budget and share; blue where sharing wins.

    Colours are by the difference over random search's regret; bold intervals do not contain zero. A field of
    fewer than `SEEDS` runs says how many it has.
    """
    import matplotlib as mpl
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    whole = filled(collected)
    apart = differences(whole)
    names = [name for name in METHODS if any(key[0] == name for key in apart)]
    colours = LinearSegmentedColormap.from_list("wins", [style.SKY, "white", style.ORANGE])
    with style.figure_style(), mpl.rc_context({"axes.grid": False}):
        figure = Figure(figsize=(style.PAGE, 3.1), layout="constrained")
        for ax, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
            grid = np.full((len(SHARES) + 1, len(BUDGETS)), np.nan)
            for column, budget in enumerate(BUDGETS):
                control = better_control(whole, budget).mean()
                ax.text(column, 0, f"{control:.1f}", ha="center", va="center", size=7)
                for row, share in enumerate(SHARES, start=1):
                    if (interval := apart.get((name, budget, share))) is None:
                        ax.text(column, row, "not run", ha="center", va="center", size=5.2)
                        continue
                    if np.isnan(collected[name, budget, share]).mean() > 0.5:
                        ax.text(
                            column, row, "recommends\nnothing", ha="center", va="center", size=5.2
                        )
                        continue
                    low, point, high = map(float, interval)
                    grid[row, column] = point / control
                    decided = low > 0 or high < 0
                    text = f"{_short(point)}\n{_short(low)} to {_short(high)}"
                    if (runs := len(collected[name, budget, share])) < SEEDS:
                        text += f"\n{runs} runs"
                    weight = "bold" if decided else "normal"
                    ax.text(column, row, text, ha="center", va="center", size=5.2, weight=weight)
            ax.imshow(grid, cmap=colours, vmin=-LARGEST, vmax=LARGEST, aspect="auto")
            ax.set_xticks(range(len(BUDGETS)), [str(budget) for budget in BUDGETS])
            ax.set_yticks(range(len(SHARES) + 1), ["random\nsearch", *(f"{s:.0%}" for s in SHARES)])
            ax.set_title(name.replace("-", " ").replace("darts", "DARTS"))
            ax.set_xlabel("budget, trainings")
        figure.axes[0].set_ylabel("share for shared weights")
        figure.suptitle(
            "Mean regret of random search, and what it changes to give shared weights a share (points)",
            size="medium",
        )
        with replacing(path) as temporary:
            figure.savefig(temporary, format=path.suffix[1:])


def _short(points: float) -> str:
    """With a sign, and a decimal place only below ten: a field is narrow."""
    text = f"{points:+.1f}" if abs(points) < 10 else f"{points:+.0f}"
    return text.replace("-", "\N{MINUS SIGN}")


def show(collected: Losses) -> None:
    """Mean regrets in points, and differences to random search, as Markdown."""
    nothing = {key: float(np.isnan(runs).mean()) for key, runs in collected.items()}
    collected = filled(collected)
    apart = differences(collected)
    print("| search | share | " + " | ".join(f"{budget} trainings" for budget in BUDGETS) + " |")
    print("| --- | --- |" + " --- |" * len(BUDGETS))
    for name, share in dict.fromkeys((name, share) for name, _, share in collected):
        cells = []
        for budget in BUDGETS:
            values, cell = collected.get((name, budget, share)), ""
            if values is not None:
                cell = f"{values.mean():.2f}"
                if share:
                    low, point, high = map(float, apart[name, budget, share])
                    cell += f"; {point:+.1f} ({low:+.1f} to {high:+.1f}), {len(values)} runs"
                if nothing[name, budget, share]:
                    cell += f", {nothing[name, budget, share]:.0%} without a recommendation"
            cells.append(cell)
        print(f"| {name} | {share:.0%} | " + " | ".join(cells) + " |")


def main() -> None:
    """Run what is missing, show what came of it, or draw it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["run", "show", "draw"])
    parser.add_argument("--out", type=Path, required=True, help="file of the runs")
    parser.add_argument("--settings", type=Path, help="JSON file: settings by method")
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=math.inf, help="no run starts after them")
    parser.add_argument("--figure", type=Path, default=Path("sharing-budgets.png"))
    args = parser.parse_args()
    if args.command == "run":
        settings = json.loads(args.settings.read_text()) if args.settings else SETTINGS
        work = functools.partial(search_and_score, settings)
        record(work, jobs(args.methods), args.out, workers=args.workers, minutes=args.minutes)
    elif args.command == "show":
        show(losses(recorded(args.out)))
    else:
        draw(losses(recorded(args.out)), args.figure)


if __name__ == "__main__":
    main()
