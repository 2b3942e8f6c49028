"""What ``rank-correlation`` makes of scores: rankings, their means over seeds, printed and written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.cli.common import print_table
from nasbench_kit.cli.scoring_job import ScoringJob
from nasbench_kit.system.tidy import write_columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_kit.analysis.statistics.one_shot_ranking import Ranking
    from nasbench_kit.cli.ranked import Ranked


def rankings_of(
    jobs: Sequence[ScoringJob], truth: NDArray[np.float64], every: NDArray[np.float64]
) -> tuple[dict[str, list[list[Ranking]]], dict[str, list[dict[str, Any]]]]:
    """Of every method its rankings [seeds][moments], and the scores of its last moments [seeds].

    Args:
        jobs: done.
        truth: of the cells that were scored.
        every: of all that may be recommended.
    """
    from nasbench_kit.analysis.statistics import one_shot_ranking

    rankings: dict[str, list[list[Ranking]]] = {job.name: [] for job in jobs}
    last: dict[str, list[dict[str, Any]]] = {job.name: [] for job in jobs}
    for job in jobs:
        moments = job.read(len(truth), len(every))
        rankings[job.name].append(
            [
                one_shot_ranking.ranking(
                    moment[job.ranked.clock],
                    np.array(moment["accuracy"]),
                    truth,
                    _lost(moment["recommended"], every),
                    **_signs(moment, job.ranked),
                )
                for moment in moments
            ]
        )
        last[job.name].append(moments[-1])
    return rankings, last


def print_summary(
    title: str, summary: Sequence[Mapping[str, Any]], limits: Mapping[str, float | None]
) -> None:
    """The table of all methods, and what the truth agrees with itself."""
    columns = ["method", *list(summary[0])[1:]]
    shown = [[_text(row[key]) for key in row] for row in summary]
    shown.append(["two repeats of the truth", "", *map(_text, limits.values())])
    shown[-1] += [""] * (len(columns) - len(shown[-1]))
    print_table(
        f"Scores against the truth: {title}",
        columns,
        shown,
        "tau: Kendall's tau-b; best: among the truly best tenth; hits: their share of the best "
        "tenth by score; regret: points lost by the cell that scores best; recommended: by the one "
        "that the search recommends, to the table's best; mixture: tau between the scores of a cell "
        "with its own widths and at the mixture's; labellings: standard deviation (points) of a "
        "cell's score between its labellings; eigenvalue: the dominant one of the loss' Hessian by the "
        "logits; skips, pools: of the recommended cell. Proxies train nothing. Means over seeds.",
        secondary=(
            *(
                "skips",
                "pools",
                "eigenvalue",
                "labellings",
                "mixture",
                "hits",
                "recommended",
                "spearman_best",
                "spearman",
            ),
            *("seeds", "regret", "tau_best"),
        ),
    )


def _lost(recommended: int, means: NDArray[np.float64]) -> float:
    """True accuracy that a recommended row loses to the best of all; NaN before there is one."""
    return float(means.max() - means[recommended]) if recommended >= 0 else math.nan


def _signs(moment: Mapping[str, Any], ranked: Ranked) -> dict[str, float]:
    """What tells a collapse."""
    from nasbench_kit.analysis.statistics.one_shot_ranking import without_weights

    place, eigenvalue = moment["recommended"], moment.get("eigenvalue")
    skips = pools = math.nan
    if place >= 0:
        skips, pools = without_weights(*ranked.at(place))
    value = math.nan if eigenvalue is None else eigenvalue
    return {"eigenvalue": value, "skips": skips, "pools": pools}


def known(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else value


def summarised(
    name: str, runs: Sequence[Sequence[Ranking]], last: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """A method's means over seeds at the last moment; regrets and spreads in points."""
    from nasbench_kit.analysis.landscape import fidelity
    from nasbench_kit.analysis.statistics.one_shot_ranking import COLLAPSE

    ends = [run[-1] for run in runs]
    mixtures = [
        fidelity.agreement(np.array(moment["accuracy"]), np.array(moment["mixture_accuracy"])).tau
        for moment in last
        if moment["mixture_accuracy"] is not None
    ]
    spreads = [
        moment["labelling_spread"] for moment in last if moment["labelling_spread"] is not None
    ]
    means = {
        "tau": np.mean([end.everywhere.tau for end in ends]),
        "spearman": np.mean([end.everywhere.spearman for end in ends]),
        "tau_best": np.mean([end.best.tau for end in ends]),
        "spearman_best": np.mean([end.best.spearman for end in ends]),
        "hits": np.mean([end.hits for end in ends]),
        "regret": 100 * np.mean([end.regret for end in ends]),
        "recommended": 100 * np.mean([end.recommended for end in ends]),
        "mixture": np.mean(mixtures or [math.nan]),
        "labellings": 100 * np.mean(spreads or [math.nan]),
        **{sign: np.mean([getattr(end, sign) for end in ends]) for sign in COLLAPSE},
    }
    rounded = {key: known(float(mean)) for key, mean in means.items()}
    return {"method": name, "seeds": len(runs), **rounded}


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def write_rankings(
    out: Path, rankings: Mapping[str, Sequence[Sequence[Ranking]]], clock: str
) -> None:
    """Every ranking as a row of correlation.csv and .parquet."""
    from nasbench_kit.analysis.statistics.one_shot_ranking import COLLAPSE

    flat = [
        (name, seed, moment)
        for name, runs in rankings.items()
        for seed, run in enumerate(runs)
        for moment in run
    ]
    write_columns(
        out / "correlation",
        {
            "method": [name for name, _, _ in flat],
            "seed": [seed for _, seed, _ in flat],
            clock: [moment.spent for _, _, moment in flat],
            "tau": [moment.everywhere.tau for _, _, moment in flat],
            "spearman": [moment.everywhere.spearman for _, _, moment in flat],
            "tau_best": [moment.best.tau for _, _, moment in flat],
            "spearman_best": [moment.best.spearman for _, _, moment in flat],
            "hits": [moment.hits for _, _, moment in flat],
            "regret": [moment.regret for _, _, moment in flat],
            "recommended": [known(moment.recommended) for _, _, moment in flat],
            **{sign: [known(getattr(moment, sign)) for _, _, moment in flat] for sign in COLLAPSE},
        },
        dict.fromkeys(("recommended", *COLLAPSE), "float"),
    )
