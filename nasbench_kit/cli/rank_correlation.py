"""The command ``rank-correlation``: how shared weights and proxies rank cells that a table knows."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.cli.common import (
    add_json,
    add_workers,
    count,
    print_json,
    progress_bar,
    then,
)
from nasbench_kit.cli.ranked import Sample, TableRows
from nasbench_kit.cli.ranking_summary import (
    known,
    print_summary,
    rankings_of,
    summarised,
    write_rankings,
)
from nasbench_kit.cli.scoring_job import ScoringJob, method, train_and_score
from nasbench_kit.data import tables
from nasbench_kit.data.data_sets import usual_recipe
from nasbench_kit.errors import InvalidSetting
from nasbench_kit.experiment.settings import MOST_SPENT
from nasbench_kit.oracle.store import FILE_NAME
from nasbench_kit.system.files import check_writable, home
from nasbench_kit.system.workers import check_workers, finished
from nasbench_kit.table.table import Table
from nasbench_kit.training.recipe import RECIPES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_kit.analysis.landscape.fidelity import RepeatNoise

#: What is looked at when no method is named.
DEFAULT_METHODS = ("random-weight-sharing-small", "enas-small", "darts-small")
#: Of a table, for the shared weights.
_SECONDS = 25.0
#: Without a table: epochs for the shared weights and of a training from scratch, and how many of these.
_EPOCHS, _FIDELITY, _REPEATS = 40.0, 12, 2
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
        "with the agreement of two repeats of the truth as ceiling. Scoring all 2,532 cells of the "
        "digits table takes a minute or two a moment; --cells scores fewer. Killed and started "
        "again, it finishes what is missing.",
        epilog="Example: nasbench-kit rank-correlation --methods enas-small --out ranking",
    )
    parser.add_argument(
        "--table",
        metavar="NAME|PATH",
        help=f"a table's name (see `nasbench-kit tables`) or file (default: {tables.DEFAULT})",
    )
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
        help=f"of the table, for training the shared weights (default: {_SECONDS:g})",
    )
    parser.add_argument(
        "--seeds", type=count, default=1, metavar="N", help="seeds 0 to N-1 (default: %(default)s)"
    )
    parser.add_argument(
        "--moments", type=count, default=4, help="how often cells are scored (default: %(default)s)"
    )
    parser.add_argument(
        "--cells",
        type=count,
        metavar="N",
        help=f"score N cells drawn uniformly, not all of the table (with --space: {_FEWEST})",
    )
    parser.add_argument(
        "--data", metavar="NAME|PATH", help="the table's images, where they are your own"
    )
    sample = parser.add_argument_group(
        "without a table",
        "A sample of a space is trained from scratch on --data, and is the truth.",
    )
    sample.add_argument("--space", metavar="NAME", help="darts, nasnet, proxylessnas, ...")
    sample.add_argument(
        "--recipe",
        choices=RECIPES,
        help="how networks are trained (default: as compare has it for the data)",
    )
    sample.add_argument(
        "--fidelity",
        type=count,
        metavar="EPOCHS",
        help=f"of each training from scratch (default: {_FIDELITY})",
    )
    sample.add_argument(
        "--repeats",
        type=count,
        metavar="N",
        help=f"trainings of each; two or more say what the truth is worth (default: {_REPEATS})",
    )
    sample.add_argument(
        "--epochs",
        type=float,
        help=f"of images, for training the shared weights (default: {_EPOCHS:g})",
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
    from nasbench_kit.analysis.statistics import one_shot_ranking

    check_workers(args.workers)
    for name, least in (
        *(("seeds", 1), ("moments", 1), ("cells", _FEWEST)),
        *(("fidelity", 1), ("repeats", 2)),
    ):
        if (value := getattr(args, name)) is not None and value < least:
            raise InvalidSetting(f"{name} is {value}; at least {least} is needed")
    for name in ("seconds", "epochs"):
        if (value := getattr(args, name)) is not None and not 0 < value <= MOST_SPENT:
            raise InvalidSetting(f"{name} is {value:g}; give a number above 0 and below 1e15")
    check_writable(args.out / "correlation.csv", args.out / "runs" / "scores.json")
    ranked = _table_rows(args) if args.space is None else _sample(args)
    methods = {name: method(name) for name in args.methods}
    rng = np.random.default_rng(0)  # for a rehearsal, before anything is made
    oracle = ranked.oracle(rng)
    for search in methods.values():
        search.check(oracle, rng)
    called, truth, every, ceiling = _truth(ranked, args.workers)
    jobs = [
        ScoringJob(args.out, name, seed, ranked, args.moments)
        for name in methods
        for seed in range(args.seeds)
    ]
    scored = len(truth), len(every)
    ready = [job for job in jobs if job.path.exists() and job.read(*scored)]
    todo = [(job,) for job in jobs if job not in ready]
    with progress_bar(f"training and scoring on {called}") as progress:
        progress(len(ready), len(jobs))
        for done, _ in enumerate(finished(train_and_score, todo, [()] * args.workers), start=1):
            progress(len(ready) + done, len(jobs))

    rankings, last = rankings_of(jobs, truth, every)
    summary = [summarised(name, rankings[name], last[name]) for name in methods]
    limits = {
        "tau": known(ceiling.repeats_agree.tau),
        "spearman": known(ceiling.repeats_agree.spearman),
        "tau_best": known(ceiling.best_agree.tau),
        "spearman_best": known(ceiling.best_agree.spearman),
    }

    def show() -> None:
        if args.json:
            what = (
                {"table": ranked.table.name}
                if isinstance(ranked, TableRows)
                else {"space": ranked.space}
            )
            described = {**what, "cells": len(truth), "ceiling": limits}
            print_json({**described, "methods": summary})
        else:
            title = f"{len(truth):,} cells of {called}, shared weights trained for {ranked.limit:g} {ranked.clock}"
            print_summary(title, summary, limits)

    ranked.check_unchanged()
    with then(show):
        write_rankings(args.out, rankings, ranked.clock)
        one_shot_ranking.save_figure(
            args.out,
            called,
            rankings,
            scored={name: np.array(runs[0]["accuracy"]) for name, runs in last.items()},
            truth=truth,
            ceiling=ceiling,
            clock=ranked.clock,
        )
    if not args.json:
        print(f"columns and figure: {args.out}/")
    return 0


def _truth(
    ranked: TableRows | Sample, workers: int
) -> tuple[str, NDArray[np.float64], NDArray[np.float64], RepeatNoise]:
    """What is ranked in words, its true accuracies, those of all that may be recommended, and their noise.

    Raises:
        NotRecorded: the table has one repeat only, so that no ceiling is known.
    """
    from nasbench_kit.analysis.landscape import fidelity
    from nasbench_kit.analysis.landscape.study import label

    if isinstance(ranked, TableRows):
        table, rows = ranked.table, np.array(ranked.rows)
        every = table.mean("validation_accuracy")
        return label(table), every[rows], every, fidelity.noise(table, table.epochs[-1], rows=rows)
    with progress_bar(f"training a sample of {ranked.space}") as progress:
        readings = ranked.readings(workers, progress)
    called, truth = f"a sample of {ranked.space}", readings.mean(axis=1)
    return called, truth, truth, fidelity.noise_of(readings, ranked.epochs, called)


def _table_rows(args: argparse.Namespace) -> TableRows:
    """Of the table that is asked for.

    Raises:
        InvalidSetting: more cells than it has, or what goes with a space alone.
    """
    for name in ("recipe", "fidelity", "repeats", "epochs"):
        if (value := getattr(args, name)) is not None:
            raise InvalidSetting(
                f"{name} is {value}, and the table was made with its own; name a space without a table (--space), "
                "or leave it out"
            )
    path = tables.find(args.table or tables.DEFAULT)
    table = Table.open(path)
    rows = np.arange(len(table))
    if args.cells is not None:
        if args.cells > len(rows):
            raise InvalidSetting(
                f"cells is {args.cells}; {table.name} has {len(rows):,}, all if --cells is left out"
            )
        rows = np.sort(np.random.default_rng(0).choice(rows, args.cells, replace=False))
    seconds = _SECONDS if args.seconds is None else args.seconds
    return TableRows(path, table.checksum, tuple(rows.tolist()), seconds, args.data)


def _sample(args: argparse.Namespace) -> Sample:
    """Of the space that is asked for.

    Raises:
        InvalidSetting: a table as well, or seconds, which only a table has; or too few architectures.
    """
    for name in ("table", "seconds"):
        if (value := getattr(args, name)) is not None:
            raise InvalidSetting(
                f"{name} is {value}, and the sample of {args.space} has no table; leave either out"
            )
    sample = Sample(
        args.space,
        args.cells or _FEWEST,
        args.fidelity or _FIDELITY,
        args.repeats or _REPEATS,
        _EPOCHS if args.epochs is None else args.epochs,
        args.recipe or usual_recipe(args.data),
        args.data,
        home() / FILE_NAME,
    )
    sample.check()
    return sample
