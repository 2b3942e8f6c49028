"""The command ``rank-correlation``: how shared weights rank cells that a table knows."""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit import experiment
from nasbench_kit.algorithms import ALGORITHMS
from nasbench_kit.budget import Budget
from nasbench_kit.cli.common import (
    add_json,
    add_table,
    add_workers,
    print_json,
    print_table,
    progress_bar,
)
from nasbench_kit.data import tables
from nasbench_kit.errors import CorruptFile, InvalidSetting, NotWritable, WrongTable
from nasbench_kit.files import write_text
from nasbench_kit.measured import torch_threads
from nasbench_kit.oracle import Oracle
from nasbench_kit.table import Table
from nasbench_kit.tidy import write_columns
from nasbench_kit.workers import check_workers, finished

if TYPE_CHECKING:
    from nasbench_kit.algorithms.weight_sharing import WeightSharing
    from nasbench_kit.analysis.one_shot_ranking import Ranking

#: What is looked at when no method is named.
DEFAULT_METHODS = ("random-weight-sharing-small", "enas-small", "darts-small")


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "rank-correlation",
        help="how shared weights rank cells, against the table's true accuracies",
        description="Train shared weights as weight-sharing searches do, score every cell of the "
        "table with them from time to time, and correlate the scores with the true mean validation "
        "accuracies: Kendall's tau-b and Spearman's rho, over all cells and among the best tenth, "
        "with the agreement of two repeats of the truth as ceiling. Scoring all 2,532 cells of the "
        "digits table takes a minute or two a moment; --cells scores fewer. Killed and started "
        "again, it finishes what is missing.",
        epilog="Example: nasbench-kit rank-correlation --methods enas-small --out ranking",
    )
    add_table(parser, tables.DEFAULT)
    parser.add_argument(
        "--methods",
        nargs="+",
        default=list(DEFAULT_METHODS),
        metavar="NAME",
        help=f"weight-sharing searches (default: {' '.join(DEFAULT_METHODS)})",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=25.0,
        help="of the table, for training the shared weights (default: %(default)g)",
    )
    parser.add_argument(
        "--seeds", type=int, default=1, metavar="N", help="seeds 0 to N-1 (default: %(default)s)"
    )
    parser.add_argument(
        "--moments", type=int, default=4, help="how often cells are scored (default: %(default)s)"
    )
    parser.add_argument(
        "--cells", type=int, metavar="N", help="score N cells drawn uniformly, not all"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    add_workers(parser)
    add_json(parser)
    parser.set_defaults(run=run_rank_correlation)


def run_rank_correlation(args: argparse.Namespace) -> int:
    """Train, score, correlate, print, and write columns and figure.

    Raises:
        InvalidSetting: a number below one, or a search that shares no weights.
        NotRecorded: the table has one repeat only, so that no ceiling is known.
    """
    from nasbench_kit.analysis import fidelity, one_shot_ranking, study

    check_workers(args.workers)
    for name, least in (("seeds", 1), ("moments", 1), ("cells", 10)):
        if (value := getattr(args, name)) is not None and value < least:
            raise InvalidSetting(f"{name} is {value}; at least {least} is needed")
    if not 0 < args.seconds < np.inf:
        raise InvalidSetting(f"seconds is {args.seconds:g}; give a number above 0")
    path = tables.find(args.table)
    table = Table.open(path)
    methods = {name: _method(name) for name in args.methods}
    rows = np.arange(len(table))
    if args.cells is not None and args.cells < len(rows):
        rows = np.sort(np.random.default_rng(0).choice(rows, args.cells, replace=False))
    ceiling = fidelity.noise(table, table.epochs[-1], rows=rows)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotWritable(f"cannot write {args.out}: {error.strerror}; choose another") from error
    chosen = tuple(rows.tolist())
    jobs = [
        _Job(args.out, name, seed, path, table.checksum, args.seconds, args.moments, chosen)
        for name in methods
        for seed in range(args.seeds)
    ]
    known = [job for job in jobs if job.path.exists() and job.read()]
    todo = [(job,) for job in jobs if job not in known]
    with progress_bar(f"training and scoring on {table.name}") as progress:
        progress(len(known), len(jobs))
        for done, _ in enumerate(finished(_train_and_score, todo, [()] * args.workers), start=1):
            progress(len(known) + done, len(jobs))

    truth = table.mean("validation_accuracy")[rows]
    found: dict[str, list[list[Ranking]]] = {name: [] for name in methods}
    last: dict[str, list[dict[str, Any]]] = {name: [] for name in methods}
    for job in jobs:
        moments = job.read()
        found[job.name].append(
            [
                one_shot_ranking.ranking(moment["seconds"], np.array(moment["accuracy"]), truth)
                for moment in moments
            ]
        )
        last[job.name].append(moments[-1])
    summary = [_summarised(name, found[name], last[name]) for name in methods]
    _write_columns(args.out, found)
    scored = {name: np.array(runs[0]["accuracy"]) for name, runs in last.items()}
    one_shot_ranking.save_figure(
        args.out, study.label(table), found, scored=scored, truth=truth, ceiling=ceiling
    )
    limits = {
        "tau": ceiling.repeats_agree.tau,
        "spearman": ceiling.repeats_agree.spearman,
        "tau_best": ceiling.best_agree.tau,
        "spearman_best": ceiling.best_agree.spearman,
    }
    if args.json:
        print_json({"table": table.name, "cells": len(rows), "ceiling": limits, "methods": summary})
        return 0
    columns = ["method", *list(summary[0])[1:]]
    shown = [[_text(row[key]) for key in row] for row in summary]
    shown.append(["two repeats of the truth", "", *map(_text, limits.values()), "", "", "", ""])
    print_table(
        f"Shared weights against the truth: {len(rows):,} cells of {table.name}, "
        f"{args.seconds:g} s of training",
        columns,
        shown,
        "tau: Kendall's tau-b; best: among the truly best tenth; hits: their share of the best "
        "tenth by score; regret: points lost by the cell that scores best; mixture: tau between the "
        "scores of a cell with its own widths and at the mixture's; labellings: standard deviation "
        "(points) of a cell's score between its labellings. Means over seeds.",
    )
    print(f"columns and figure: {args.out}/")
    return 0


def _method(name: str) -> WeightSharing:
    from nasbench_kit.algorithms.weight_sharing import WeightSharing

    search = experiment.search(name, {})
    if not isinstance(search, WeightSharing):
        known = [name for name in ALGORITHMS if name.endswith("-small")]
        raise InvalidSetting(f"{name} shares no weights; choose of {', '.join(known)}")
    return search


@dataclass(frozen=True)
class _Job:
    """One method with one seed."""

    out: Path
    name: str
    seed: int
    table: Path
    checksum: str
    seconds: float
    moments: int
    rows: tuple[int, ...]

    @property
    def path(self) -> Path:
        return self.out / "runs" / f"{self.name}-{self.seed}.json"

    @property
    def conditions(self) -> dict[str, Any]:
        return {
            "table": self.checksum,
            "seconds": self.seconds,
            "moments": self.moments,
            "rows": zlib.crc32(np.array(self.rows, "<i8").tobytes()),
            "search": repr(_method(self.name)),
        }

    def read(self) -> list[dict[str, Any]]:
        """What was found at every moment.

        Raises:
            CorruptFile, WrongTable: the file is of something else.
        """
        try:
            known: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
            conditions, moments = known["conditions"], known["moments"]
        except (ValueError, LookupError, TypeError) as error:
            raise CorruptFile(f"{self.path} holds no scores ({error}); delete it") from error
        if conditions != self.conditions:
            raise WrongTable(
                f"{self.path} was made with another table or other settings; choose another --out, "
                "or delete it"
            )
        found: list[dict[str, Any]] = moments
        return found


def _train_and_score(job: _Job) -> None:
    """Make a job's file."""
    from nasbench_kit.algorithms.shared_scores import shared_scores
    from nasbench_kit.data.tasks import open_task

    table = Table.open(job.table)
    entropy = np.random.SeedSequence([job.seed, zlib.crc32(job.name.encode())])
    for_oracle, for_search = map(np.random.default_rng, entropy.spawn(2))
    budget = Budget(seconds=job.seconds)
    with torch_threads(1):
        oracle = Oracle(table, budget, for_oracle, task=open_task(table))
        search, rows = _method(job.name), np.array(job.rows)
        taken = [
            {
                "seconds": scores.seconds,
                "epochs": scores.epochs,
                "recommended": scores.recommended,
                "accuracy": scores.accuracy.tolist(),
                "mixture_accuracy": None
                if scores.mixture_accuracy is None
                else scores.mixture_accuracy.tolist(),
                "labelling_spread": scores.labelling_spread,
            }
            for scores in shared_scores(search, oracle, for_search, rows, job.moments)
        ]
    write_text(job.path, json.dumps({"conditions": job.conditions, "moments": taken}) + "\n")


def _summarised(
    name: str, runs: Sequence[Sequence[Ranking]], last: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    from nasbench_kit.analysis import fidelity

    ends = [run[-1] for run in runs]
    mixtures = [
        fidelity.agreement(np.array(moment["accuracy"]), np.array(moment["mixture_accuracy"])).tau
        for moment in last
        if moment["mixture_accuracy"] is not None
    ]
    return {
        "method": name,
        "seeds": len(runs),
        "tau": float(np.mean([end.everywhere.tau for end in ends])),
        "spearman": float(np.mean([end.everywhere.spearman for end in ends])),
        "tau_best": float(np.mean([end.best.tau for end in ends])),
        "spearman_best": float(np.mean([end.best.spearman for end in ends])),
        "hits": float(np.mean([end.hits for end in ends])),
        "regret": 100 * float(np.mean([end.regret for end in ends])),
        "mixture": float(np.mean(mixtures)) if mixtures else None,
        "labellings": 100 * float(np.mean([moment["labelling_spread"] for moment in last])),
    }


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _write_columns(out: Path, found: Mapping[str, Sequence[Sequence[Ranking]]]) -> None:
    flat = [
        (name, seed, moment)
        for name, runs in found.items()
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
        },
    )
