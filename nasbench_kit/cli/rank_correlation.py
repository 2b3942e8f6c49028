"""The command ``rank-correlation``: how shared weights and proxies rank cells that a table knows."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.cli.common import (
    add_json,
    add_table,
    add_workers,
    count,
    print_json,
    print_table,
    progress_bar,
    then,
)
from nasbench_kit.cli.scoring_job import ScoringJob, method, train_and_score
from nasbench_kit.data import tables
from nasbench_kit.errors import InvalidSetting
from nasbench_kit.experiment.settings import MOST_SPENT
from nasbench_kit.oracle.budget import Budget
from nasbench_kit.oracle.oracle import Oracle
from nasbench_kit.system.files import check_writable
from nasbench_kit.system.tidy import write_columns
from nasbench_kit.system.workers import check_workers, finished
from nasbench_kit.table.table import Table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_kit.analysis.statistics.one_shot_ranking import Ranking

#: What is looked at when no method is named.
DEFAULT_METHODS = ("random-weight-sharing-small", "enas-small", "darts-small")
#: Of which the best tenth are three: two have no correlation but 1 and -1.
_FEWEST = 30


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "rank-correlation",
        help="how shared weights or zero-cost proxies rank cells, against the table's true accuracies",
        description="Train shared weights as weight-sharing searches do, and score every cell of the "
        "table with them from time to time; or score its untrained network by a zero-cost proxy. Correlate "
        "the scores with the true mean validation accuracies: Kendall's tau-b and Spearman's rho, over all cells and among the best tenth, "
        "with the agreement of two repeats of the truth as ceiling. Scoring all 2,532 cells of "
        "the table digits takes a minute or two a moment; --cells scores fewer. Killed and started "
        "again, it finishes what is missing.",
        epilog="Example: nasbench-kit rank-correlation --methods enas-small --out ranking",
    )
    add_table(parser, tables.DEFAULT)
    parser.add_argument(
        "--methods",
        nargs="+",
        default=list(DEFAULT_METHODS),
        metavar="NAME",
        help="weight-sharing searches, and of the proxies synflow, snip, grad-norm, jacob-cov, parameters, "
        f"flops (default: {' '.join(DEFAULT_METHODS)})",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=25.0,
        help="of the table, for training the shared weights (default: %(default)g)",
    )
    parser.add_argument(
        "--seeds", type=count, default=1, metavar="N", help="seeds 0 to N-1 (default: %(default)s)"
    )
    parser.add_argument(
        "--moments", type=count, default=4, help="how often cells are scored (default: %(default)s)"
    )
    parser.add_argument(
        "--cells", type=count, metavar="N", help="score N cells drawn uniformly, not all"
    )
    parser.add_argument(
        "--data", metavar="NAME|PATH", help="the table's images, where they are your own"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    add_workers(parser)
    add_json(parser)
    parser.set_defaults(run=run_rank_correlation)


def run_rank_correlation(args: argparse.Namespace) -> int:
    """Train, score, correlate, print, and write columns and figure.

    Raises:
        InvalidSetting: a number that is too small, a search that shares no weights and is no proxy, or one that the
            table, its images or the seconds do not suffice for.
        NotRecorded: the table has one repeat only, so that no ceiling is known.
        NotWritable: the folder cannot be written.
        CorruptFile, WrongTable: the table's file was altered or replaced meanwhile.
    """
    from nasbench_kit.analysis.landscape import fidelity, study
    from nasbench_kit.analysis.statistics import one_shot_ranking
    from nasbench_kit.data.tasks import open_task

    check_workers(args.workers)
    for name, least in (("seeds", 1), ("moments", 1), ("cells", _FEWEST)):
        if (value := getattr(args, name)) is not None and value < least:
            raise InvalidSetting(f"{name} is {value}; at least {least} is needed")
    if not 0 < args.seconds <= MOST_SPENT:
        raise InvalidSetting(f"seconds is {args.seconds:g}; give a number above 0 and below 1e15")
    check_writable(args.out / "correlation.csv", args.out / "runs" / "scores.json")
    path = tables.find(args.table)
    table = Table.open(path)
    methods = {name: method(name) for name in args.methods}
    rows = np.arange(len(table))
    if args.cells is not None:
        if args.cells > len(rows):
            raise InvalidSetting(
                f"cells is {args.cells}; {table.name} has {len(rows):,}, all if --cells is left out"
            )
        rows = np.sort(np.random.default_rng(0).choice(rows, args.cells, replace=False))
    ceiling = fidelity.noise(table, table.epochs[-1], rows=rows)
    rng = np.random.default_rng(0)  # for a rehearsal, before anything is made
    oracle = Oracle(table, Budget(seconds=args.seconds), rng, task=open_task(table, args.data))
    for search in methods.values():
        search.check(oracle, rng)
    chosen = tuple(rows.tolist())
    jobs = [
        ScoringJob(
            args.out,
            name,
            seed,
            path,
            table.checksum,
            args.seconds,
            args.moments,
            chosen,
            args.data,
        )
        for name in methods
        for seed in range(args.seeds)
    ]
    ready = [job for job in jobs if job.path.exists() and job.read(len(table))]
    todo = [(job,) for job in jobs if job not in ready]
    with progress_bar(f"training and scoring on {table.name}") as progress:
        progress(len(ready), len(jobs))
        for done, _ in enumerate(finished(train_and_score, todo, [()] * args.workers), start=1):
            progress(len(ready) + done, len(jobs))

    truth = table.mean("validation_accuracy")[rows]
    rankings, last = _ranked(jobs, table, rows)
    summary = [_summarised(name, rankings[name], last[name]) for name in methods]
    limits = {
        "tau": _known(ceiling.repeats_agree.tau),
        "spearman": _known(ceiling.repeats_agree.spearman),
        "tau_best": _known(ceiling.best_agree.tau),
        "spearman_best": _known(ceiling.best_agree.spearman),
    }

    def show() -> None:
        if args.json:
            described = {"table": table.name, "cells": len(rows), "ceiling": limits}
            print_json({**described, "methods": summary})
        else:
            title = f"{len(rows):,} cells of {table.name}, shared weights trained for {args.seconds:g} s"
            _print(title, summary, limits)

    table.verify(fresh=True)
    table.check_in_place()
    with then(show):
        _write_columns(args.out, rankings)
        scored = {name: np.array(runs[0]["accuracy"]) for name, runs in last.items()}
        one_shot_ranking.save_figure(
            args.out, study.label(table), rankings, scored=scored, truth=truth, ceiling=ceiling
        )
    if not args.json:
        print(f"columns and figure: {args.out}/")
    return 0


def _ranked(
    jobs: Sequence[ScoringJob], table: Table, rows: NDArray[np.integer]
) -> tuple[dict[str, list[list[Ranking]]], dict[str, list[dict[str, Any]]]]:
    """Of every method its rankings [seeds][moments], and the scores of its last moments [seeds]."""
    from nasbench_kit.analysis.statistics import one_shot_ranking

    means = table.mean("validation_accuracy")
    rankings: dict[str, list[list[Ranking]]] = {job.name: [] for job in jobs}
    last: dict[str, list[dict[str, Any]]] = {job.name: [] for job in jobs}
    for job in jobs:
        moments = job.read(len(table))
        rankings[job.name].append(
            [
                one_shot_ranking.ranking(
                    moment["seconds"],
                    np.array(moment["accuracy"]),
                    means[rows],
                    _lost(moment["recommended"], means),
                    **_signs(moment, table),
                )
                for moment in moments
            ]
        )
        last[job.name].append(moments[-1])
    return rankings, last


def _print(
    title: str, summary: Sequence[Mapping[str, Any]], limits: Mapping[str, float | None]
) -> None:
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


def _signs(moment: Mapping[str, Any], table: Table) -> dict[str, float]:
    """What tells a collapse."""
    from nasbench_kit.analysis.statistics.one_shot_ranking import without_weights

    row, eigenvalue = moment["recommended"], moment.get("eigenvalue")
    skips = pools = math.nan
    if row >= 0:
        skips, pools = without_weights(table.covered, table.covered[row])
    value = math.nan if eigenvalue is None else eigenvalue
    return {"eigenvalue": value, "skips": skips, "pools": pools}


def _known(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else value


def _summarised(
    name: str, runs: Sequence[Sequence[Ranking]], last: Sequence[dict[str, Any]]
) -> dict[str, Any]:
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
    rounded = {key: _known(float(mean)) for key, mean in means.items()}
    return {"method": name, "seeds": len(runs), **rounded}


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _write_columns(out: Path, rankings: Mapping[str, Sequence[Sequence[Ranking]]]) -> None:
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
            "seconds": [moment.seconds for _, _, moment in flat],
            "tau": [moment.everywhere.tau for _, _, moment in flat],
            "spearman": [moment.everywhere.spearman for _, _, moment in flat],
            "tau_best": [moment.best.tau for _, _, moment in flat],
            "spearman_best": [moment.best.spearman for _, _, moment in flat],
            "hits": [moment.hits for _, _, moment in flat],
            "regret": [moment.regret for _, _, moment in flat],
            "recommended": [_known(moment.recommended) for _, _, moment in flat],
            **{sign: [_known(getattr(moment, sign)) for _, _, moment in flat] for sign in COLLAPSE},
        },
        dict.fromkeys(("recommended", *COLLAPSE), "float"),
    )
