"""The command ``retrain``: train in full what the searches of a comparison recommended."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nasbench_kit.checks import counted
from nasbench_kit.cli.common import (
    add_json,
    count,
    print_json,
    print_table,
    print_text,
    progress_bar,
    then,
)
from nasbench_kit.cli.train import add_training, asked_epochs, asked_recipe
from nasbench_kit.compare.retrain import recommended, retrain, summaries, table_of
from nasbench_kit.data import tables
from nasbench_kit.errors import InvalidSetting, TrainingFailed, UnknownName
from nasbench_kit.system.files import check_writable, write_text
from nasbench_kit.system.tidy import write_columns
from nasbench_kit.table.table import Table


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "retrain",
        help="train the cells that a comparison recommended in full",
        description="Train the cells that the searches of a comparison recommended, from scratch and "
        "with several seeds, also deeper and wider or on other images, and print their accuracies. "
        "Killed and started again, it finishes what is missing.",
        epilog="Example: nasbench-kit retrain runs/digits --seeds 5 --cells-per-stack 3",
    )
    parser.add_argument("comparison", type=Path, metavar="RUN", help="folder of the comparison")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--per-algorithm",
        type=count,
        default=1,
        metavar="N",
        help="of the cells that an algorithm recommended over its seeds, the N best by the table's "
        "validation accuracy (default: %(default)s)",
    )
    choice.add_argument("--all", action="store_true", help="all of those cells")
    parser.add_argument(
        "--table", metavar="NAME|PATH", help="the comparison's table (default: found by its name)"
    )
    parser.add_argument(
        "--seeds", type=count, default=3, metavar="N", help="seeds 0 to N-1 (default: %(default)s)"
    )
    add_training(parser)
    parser.add_argument(
        "--devices",
        nargs="+",
        default=["cpu"],
        metavar="DEVICE",
        help="where, as in: cuda:0 cuda:1 (default: cpu)",
    )
    parser.add_argument(
        "--workers-per-device",
        type=count,
        metavar="N",
        help="trainings at once on each device (default: 1; on a CPU one a core)",
    )
    parser.add_argument(
        "--threads",
        type=count,
        default=1,
        metavar="N",
        help="CPU threads of each training (default: %(default)s)",
    )
    parser.add_argument(
        "--weights",
        action="store_true",
        help="keep the trained networks, a file each, in the folder weights of the results",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the results (default: RUN/retrain)"
    )
    add_json(parser)
    parser.set_defaults(run=run_retrain)


def run_retrain(args: argparse.Namespace) -> int:
    """Train what is missing, then print and write the table of results."""
    from nasbench_kit.data.data_sets import open_data
    from nasbench_kit.training.device import usable

    for name in ("seeds", "threads", "workers_per_device", "epochs"):
        if (value := getattr(args, name)) is not None and value < 1:
            raise InvalidSetting(f"{name} is {value}; at least 1 is needed")
    for device in args.devices:
        usable(device)
    folder = args.out or args.comparison / "retrain"
    check_writable(folder / "results.csv")
    recipe = asked_recipe(args)
    epochs = asked_epochs(args, recipe)
    per_algorithm = None if args.all else args.per_algorithm
    chosen = recommended(args.comparison, _table(args.comparison, args.table), per_algorithm)
    cells = list(dict.fromkeys(cell for group in chosen.values() for cell in group))
    seeds = range(args.seeds)
    images = open_data(args.data)
    workers = args.workers_per_device
    if workers is None:
        on_cpu = args.devices == ["cpu"]
        workers = max(1, (os.cpu_count() or 1) // args.threads) if on_cpu else 1
    failure = None
    try:
        with progress_bar(
            f"training {counted(len(cells), 'cell')} x {counted(len(seeds), 'seed')}"
        ) as progress:
            retrain(
                [(cell, seed) for seed in seeds for cell in cells],
                folder,
                images,
                recipe,
                epochs,
                precision=args.precision,
                cuda_graph=args.cuda_graph,
                devices=args.devices,
                workers_per_device=workers,
                threads=args.threads,
                weights=args.weights,
                progress=progress,
            )
    except TrainingFailed as error:  # the others are finished, and worth a table
        failure = error
    rows = summaries(folder, chosen, seeds)
    conditions = f"{images.name}, recipe {recipe.name}, {counted(epochs, 'epoch')}, {counted(len(seeds), 'seed')}"

    def show() -> None:
        if args.json:
            print_json({"folder": str(folder), "cells": rows})
        else:
            _print(conditions, rows)
            print_text(f"{images.name}: {images.sizes}")

    with then(show):
        _write(folder, rows)
    if not args.json:
        print_text(f"results: {folder}/")
    if failure is not None:
        raise failure
    return 0


def _table(run: Path, asked: str | None) -> Table | None:
    made_on = table_of(run)
    if asked is None and made_on is None:
        return None
    name = asked or str(made_on and made_on[0])
    try:
        return tables.open_table(name)
    except UnknownName as error:
        raise UnknownName(f"{error}; name the table of {run} with --table") from None


def _write(folder: Path, rows: Sequence[dict[str, Any]]) -> None:
    write_text(folder / "results.json", json.dumps(rows, indent=1) + "\n")
    write_columns(folder / "results", {key: [row[key] for row in rows] for key in rows[0]})


def _print(conditions: str, rows: Sequence[dict[str, Any]]) -> None:
    on_text = any("test_perplexity_mean" in row for row in rows)
    measured, digits = ("_perplexity", 2) if on_text else ("", 4)
    keys = [f"{split}{measured}_{of}" for split in ("test", "validation") for of in ("mean", "std")]
    print_table(
        f"{'Perplexity' if on_text else 'Accuracy'} of recommended cells trained from scratch ({conditions})",
        (
            "algorithm",
            "test",
            "test std",
            "validation",
            "validation std",
            "failed",
            "parameters",
            "cell",
        ),
        [
            (
                row["algorithm"],
                *("-" if row.get(key) is None else f"{row[key]:.{digits}f}" for key in keys),
                f"{row['failed']} of {row['trainings']}",
                f"{row['trainable_parameters'] or 0:,}",
                row["architecture"],
            )
            for row in rows
        ],
        "Means and sample standard deviations over seeds. Failed: a loss was NaN or infinite.",
        secondary=("cell", "parameters", "validation std", "failed", "validation", "test std"),
        elsewhere="results.csv, or --json",
    )
