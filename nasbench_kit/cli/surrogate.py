"""The command ``fit-surrogate``: predict a whole space from some measured cells."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.cli.common import add_json, print_json, print_table, progress_bar
from nasbench_kit.errors import InvalidSetting
from nasbench_kit.files import replacing, write_text

if TYPE_CHECKING:
    from nasbench_kit.data.surrogate import Surrogate
    from nasbench_kit.table import Table


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "fit-surrogate",
        help="predict a whole space from some measured cells",
        description="Fit a surrogate on a partial table, cross-validate it, and write a table of "
        "predictions for every cell of the space, with a data card and two figures beside it.",
        epilog="Example: nasbench-kit fit-surrogate nasbench101_sample.json.gz mine.h5",
    )
    parser.add_argument(
        "measured",
        metavar="TABLE_OR_SAMPLE",
        help="a table's name or file, or a sample of NAS-Bench-101 (.json, .json.gz)",
    )
    parser.add_argument("target", type=Path, metavar="OUT.h5", help="the table to make")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    add_json(parser)
    parser.set_defaults(run=run_fit_surrogate)


def run_fit_surrogate(args: argparse.Namespace) -> int:
    """Fit, write table, card and figures, and say how good it is."""
    from nasbench_kit.data.surrogate import fit
    from nasbench_kit.data.surrogate_card import surrogate_card
    from nasbench_kit.data.surrogate_file import write

    target: Path = args.target
    if target.suffix != ".h5":
        raise InvalidSetting(f"the target is {target}; its name must end with .h5")
    if args.seed < 0:
        raise InvalidSetting(f"the seed is {args.seed}; it must be 0 or more")
    measured = _open(args.measured)
    began = time.perf_counter()
    rng = np.random.default_rng(args.seed)
    with progress_bar(f"learning from {len(measured):,} cells") as progress:
        surrogate = fit(measured, rng, name=target.stem, progress=progress)
    took = time.perf_counter() - began
    write(surrogate.table, target)
    source = Path(args.measured).name
    command = f"nasbench-kit fit-surrogate {source} {target.name} --seed {args.seed}"
    write_text(target.with_suffix(".md"), surrogate_card(surrogate, command, took))
    _save_figures(surrogate, target)
    _report(surrogate, target, as_json=args.json)
    return 0


def _open(name: str) -> Table:
    """A measured table by name or path, or a sample by path."""
    from nasbench_kit.data.sample import from_sample
    from nasbench_kit.data.tables import open_table

    return from_sample(name) if name.endswith((".json", ".json.gz")) else open_table(name)


def _save_figures(surrogate: Surrogate, target: Path) -> None:
    from nasbench_kit.analysis.style import figure_style
    from nasbench_kit.data.surrogate_card import draw_calibration, draw_noise

    with figure_style():
        for name, draw in (("calibration", draw_calibration), ("noise", draw_noise)):
            with replacing(target.with_name(f"{target.stem}-{name}.png")) as temporary:
                draw(surrogate).savefig(temporary, format="png", dpi=100)


def _report(surrogate: Surrogate, target: Path, as_json: bool) -> None:
    from nasbench_kit.data.surrogate_quality import quality, seconds_quality

    found, seconds = quality(surrogate), seconds_quality(surrogate)
    if as_json:
        print_json(
            {
                "target": str(target),
                "source": "surrogate",
                "cells": len(surrogate.table),
                "fitted_on": len(surrogate.sample.rows),
                "accuracy": found,
                "seconds": seconds,
                "checksum": surrogate.table.checksum,
            }
        )
        return
    names = ("r2", "tau", "spearman", "mae")
    rows = [(q["epochs"], *(f"{q[name]:.4f}" for name in names), q["failed"]) for q in found]
    note = "validation accuracy of cells that the experts had not seen, failed trainings left out"
    if seconds is not None:
        note += f"; seconds: R² {seconds['r2']:.4f}"
    print_table(
        f"{target} (surrogate of {len(surrogate.table):,} cells): cross-validation",
        ("epochs", "R²", "tau-b", "Spearman", "mean absolute error", "failed"),
        rows,
        note,
    )
