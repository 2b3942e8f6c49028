"""The command ``calibrate``: how this machine's seconds relate to a table's."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from nasbench_kit.checks import counted
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
from nasbench_kit.system.files import check_writable
from nasbench_kit.system.measured import torch_threads
from nasbench_kit.training.recipe import RECIPES


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
    parser.add_argument(
        "--space",
        metavar="NAME",
        help="without a table: measure what each kind of work costs in this space's networks, and write "
        "it to --out, for compare --rates",
    )
    parser.add_argument(
        "--data", metavar="NAME|PATH", help="there: the images or the text (default: digits)"
    )
    parser.add_argument(
        "--recipe",
        choices=RECIPES,
        help="there: the recipe (default: that of the data)",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="there: what is written")
    add_json(parser)
    parser.set_defaults(run=run_calibrate)


def run_rates(args: argparse.Namespace) -> int:
    """Measure what work costs, and write it.

    Raises:
        InvalidSetting: no file to write to, too few architectures, or a space without networks.
        UnknownName: no such space or images.
    """
    from nasbench_kit import spaces
    from nasbench_kit.data.building.clock import processor, seconds_an_epoch
    from nasbench_kit.data.data_sets import open_data, usual_recipe
    from nasbench_kit.oracle.rates import Rates
    from nasbench_kit.spaces.protocols import material, trainable
    from nasbench_kit.training.text import check_material

    space, recipe = spaces.named(args.space), RECIPES[args.recipe or usual_recipe(args.data)]
    if args.out is None:
        raise InvalidSetting(
            f"--space {args.space} measures rates; name the file for them with --out"
        )
    check_writable(args.out)
    data = open_data("digits" if args.data is None else args.data)
    rng = np.random.default_rng(0)
    drawn = [trainable(space.sample(rng)) for _ in range(args.cells)]
    # Refused now, not after trainings.
    check_material(material(drawn[0]), data, recipe, f"the space {space.name}")
    drawn[0].work(recipe.skeleton, data.shape)
    seconds = []
    with progress_bar("training reference architectures") as progress, torch_threads(1):
        for done, architecture in enumerate(drawn, start=1):
            seconds.append(seconds_an_epoch(architecture, data, recipe))
            progress(done, len(drawn))
    rates = Rates.fitted(
        drawn,
        seconds,
        space=space.name,
        skeleton=recipe.skeleton,
        image_shape=data.shape,
        images=len(data.train),
        processor=processor(),
    )
    errors = np.abs(rates.prices(drawn, 1) / seconds - 1)
    rates.save(args.out)
    described = {
        "space": space.name,
        "architectures": len(drawn),
        "seconds_an_epoch": float(np.median(seconds)),
        "median_error": float(np.median(errors)),
        "rates": str(args.out),
    }
    if args.json:
        print_json(described)
    else:
        print(
            f"{counted(len(drawn), 'architecture')} of {space.name}: {1000 * np.median(seconds):.1f} ms an epoch "
            f"(median), priced with a median error of {100 * np.median(errors):.1f} %; rates: {args.out}"
        )
    return 0


def run_calibrate(args: argparse.Namespace) -> int:
    """Train, compare, print."""
    if args.space is not None:
        return run_rates(args)
    for option in ("data", "recipe", "out"):
        if (value := getattr(args, option)) is not None:
            raise InvalidSetting(
                f"--{option} {value} goes with --space; a table says what it was made from"
            )
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
