"""The command ``fit-surrogate``: predict a whole space from some measured cells."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.cli.common import (
    add_json,
    print_json,
    print_table,
    progress_bar,
    seed,
    then,
)
from nasbench_kit.cli.targets import check_card, check_table
from nasbench_kit.system.files import check_writable, replacing, write_text
from nasbench_kit.table.table import Table

if TYPE_CHECKING:
    from nasbench_kit.data.surrogate.fit import Surrogate


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "fit-surrogate",
        help="predict a whole space from some measured cells",
        description="Fit a surrogate on a partial table, cross-validate it, and write a table of "
        "predictions for every cell of the space, with a data card (.md) and its figure (.png) beside it.",
        epilog="Example: nasbench-kit fit-surrogate nasbench101_sample.json.gz my-surrogate.h5",
    )
    parser.add_argument(
        "measured",
        metavar="PARTIAL_TABLE",
        help="a table's name or file, or a sample of NAS-Bench-101 (JSON, also gzipped)",
    )
    parser.add_argument("target", type=Path, metavar="OUT.h5", help="the table to make")
    parser.add_argument("--seed", type=seed, default=0, help="default: %(default)s")
    add_json(parser)
    parser.set_defaults(run=run_fit_surrogate)


def run_fit_surrogate(args: argparse.Namespace) -> int:
    """Fit, write table, card and figure, and say how good it is."""
    from nasbench_kit.analysis.cards.surrogate_card import surrogate_card
    from nasbench_kit.data.surrogate.fit import fit
    from nasbench_kit.data.tables import find

    target: Path = args.target
    figure, card = target.with_suffix(".png"), target.with_suffix(".md")
    check_writable(target, figure, card)
    source = find(args.measured)
    check_table(target, source)
    check_card(target)
    measured = _open(source)
    began = time.process_time()
    with progress_bar(f"learning from {len(measured):,} cells") as progress:
        rng = np.random.default_rng(args.seed)
        surrogate = fit(measured, rng, name=target.stem, progress=progress)
    minutes = (time.process_time() - began) / 60
    command = (
        f"nasbench-kit fit-surrogate {Path(args.measured).name} {target.name} --seed {args.seed}"
    )
    with then(lambda: _report(surrogate, target, as_json=args.json)):
        surrogate.table.save(target)
        _save_figure(surrogate, figure)
        write_text(card, surrogate_card(surrogate, command, minutes, figure.name))
    return 0


def _open(path: Path) -> Table:
    """A measured table, or a sample."""
    from nasbench_kit.data.benchmarks.nasbench101.foreign import recognise
    from nasbench_kit.data.benchmarks.nasbench101.sample import from_sample

    return from_sample(path) if recognise(path) == "sample" else Table.open(path)


def _save_figure(surrogate: Surrogate, path: Path) -> None:
    from nasbench_kit.analysis.cards.surrogate_card import draw_calibration
    from nasbench_kit.analysis.figures.style import figure_style

    with figure_style(), replacing(path) as temporary:
        draw_calibration(surrogate).savefig(temporary, format="png", dpi=100)


def _report(surrogate: Surrogate, target: Path, as_json: bool) -> None:
    from nasbench_kit.analysis.cards.surrogate_card import agreement

    table = surrogate.table
    quality = {
        epochs: agreement(*surrogate.held_out(place)[1:])
        for place, epochs in enumerate(table.epochs)
    }
    if as_json:
        print_json(
            {
                "target": str(target),
                "source": "surrogate",
                "cells": len(table),
                "learnt_from": len(surrogate.rows),
                "failed_trainings": table.provenance["failed_trainings"],
                "accuracy": quality,
                "seconds_r2": None if surrogate.seconds is None else surrogate.seconds.r2,
                "checksum": table.checksum,
            }
        )
        return
    names = ("r2", "tau", "spearman", "mae", "top", "found")
    rows = [(epochs, *(f"{q[name]:.4f}" for name in names)) for epochs, q in quality.items()]
    note = "Validation accuracy of cells that the model had not seen, failed trainings left out."
    if surrogate.seconds is not None:
        note += f" Seconds: R² {surrogate.seconds.r2:.4f}."
    print_table(
        f"{target}: surrogate of {len(table):,} cells, cross-validated on {len(surrogate.rows):,}",
        (
            "epochs",
            "R²",
            "tau-b",
            "Spearman",
            "mean absolute error",
            "Spearman of top tenth",
            "of it found",
        ),
        rows,
        note,
        secondary=("of it found", "Spearman of top tenth", "mean absolute error", "Spearman"),
        elsewhere="the data card, or --json",
    )
