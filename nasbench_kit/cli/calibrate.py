"""The command ``calibrate``: how this machine's seconds relate to a table's."""

from __future__ import annotations

import argparse

import numpy as np

from nasbench_kit.cli import streams
from nasbench_kit.cli.common import (
    add_json,
    add_table,
    count,
    print_json,
    print_table,
    progress_bar,
)
from nasbench_kit.data import tables
from nasbench_kit.errors import InvalidSetting, WrongTable
from nasbench_kit.system.measured import torch_threads


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "calibrate",
        help="relate this machine's training seconds to a table's",
        description="Train a few reference cells of a table here, alone and on one thread as the "
        "table's seconds were taken, and print how many of this machine's seconds one of the table's "
        "is. Budgets stay in the table's seconds; this says how long they would take here. Also "
        "prints how well the table's cost model prices cells that it was not fitted on.",
    )
    add_table(parser, tables.DEFAULT)
    parser.add_argument(
        "--cells", type=count, default=5, metavar="N", help="reference cells (default: %(default)s)"
    )
    add_json(parser)
    parser.set_defaults(run=run_calibrate)


def run_calibrate(args: argparse.Namespace) -> int:
    """Train, compare, print."""
    from nasbench_kit.data.building.clock import TIMED_EPOCHS, processor, seconds_an_epoch
    from nasbench_kit.data.images.image_sets import AT_HAND, open_images
    from nasbench_kit.data.tasks import recipe_of
    from nasbench_kit.oracle.cost import CostModel

    if args.cells < 1:
        raise InvalidSetting(f"cells is {args.cells}; at least 1 is needed")
    table = tables.open_table(args.table)
    if args.cells > len(table):
        raise InvalidSetting(f"cells is {args.cells}; the table {table.name} has {len(table):,}")
    name = table.provenance.get("images")
    images = open_images(name) if name in AT_HAND else None
    if images is None or table.provenance.get("images_digest") != images.digest:
        raise WrongTable(
            f"the table {table.name} was not trained on scikit-learn's digits or images composed of "
            "them, the only data at hand for a calibration"
        )
    recipe = recipe_of(table)
    theirs = table.mean("seconds") / table.epochs[-1]
    # Cells spread evenly over the table's seconds, from fast to slow.
    places = np.linspace(0, len(table) - 1, args.cells + 2)[1:-1].round().astype(int)
    rows = np.argsort(theirs, kind="stable")[places].tolist()
    seconds = (TIMED_EPOCHS + 2) * float(theirs[rows].sum())
    streams.note(f"{len(rows):,} cells: some {seconds:.2g} seconds of the table here")
    here = []
    with progress_bar("training reference cells") as progress, torch_threads(1):
        for done, row in enumerate(rows, start=1):
            here.append(seconds_an_epoch(table.covered[row], images, recipe))
            progress(done, len(rows))
    ratios = np.array(here) / theirs[rows]
    height, width, channels = images.train.images.shape[1:]
    additive, corrected = CostModel(table, recipe.skeleton, (height, width, channels)).quality()
    described = {
        "table": table.name,
        "processor": processor(),
        "ratio_median": float(np.median(ratios)),
        "ratio_least": float(ratios.min()),
        "ratio_most": float(ratios.max()),
        "cost_model_r2": corrected.r2,
        "cost_model_median_error": corrected.median_error,
        "additive_model_r2": additive.r2,
        "additive_model_median_error": additive.median_error,
    }
    if args.json:
        print_json(described)
        return 0
    print_table(
        f"Milliseconds an epoch: {table.name} and this machine ({processor()})",
        ("cell", "table", "here", "ratio"),
        [
            (
                table.covered[row].to_text(),
                f"{1000 * theirs[row]:.1f}",
                f"{1000 * seconds:.1f}",
                f"{ratio:.2f}",
            )
            for row, seconds, ratio in zip(rows, here, ratios, strict=True)
        ],
        f"One second of the table takes about {np.median(ratios):.2f} s here. Prices of cells outside "
        f"the table: R2 {corrected.r2:.4f}, median error {100 * corrected.median_error:.1f} % "
        f"(adding up layers alone: {additive.r2:.4f}, {100 * additive.median_error:.1f} %).",
        elsewhere="a wider screen",
    )
    return 0
