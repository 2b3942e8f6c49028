"""The command ``build``: train every cell of a space into a table."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nasbench_kit.cli import streams
from nasbench_kit.cli.common import (
    add_executor,
    add_json,
    add_workers,
    count,
    positive,
    print_json,
    progress_bar,
    seed,
    then,
)
from nasbench_kit.cli.targets import check_card, check_table
from nasbench_kit.cli.train import add_recipe, asked_recipe
from nasbench_kit.errors import InvalidSetting
from nasbench_kit.spaces.nasbench101.space import CellSpace
from nasbench_kit.system.files import check_writable, write_text
from nasbench_kit.system.workers import check_workers

if TYPE_CHECKING:
    from nasbench_kit.table.table import Table


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "build",
        help="train every cell of a space into a table",
        description="Train every cell of a space from scratch, on the CPU, and take the time of each. "
        "Says first how long what is missing will take. Finished parts lie in TARGET with the ending "
        ".parts; killed at any moment, the same command goes on, also from TARGET.parts.zip.",
        epilog="Example: nasbench-kit build small.h5 --space v4e9 --epochs 4 12",
    )
    parser.add_argument("target", type=Path, help="the table to make, TARGET.h5")
    parser.add_argument("--space", default="v5e9", help="cells to train (default: %(default)s)")
    add_recipe(parser)
    parser.add_argument(
        "--epochs", type=count, nargs="+", default=[4, 12, 36], help="fidelities (default: 4 12 36)"
    )
    parser.add_argument(
        "--repeats", type=count, default=3, help="trainings of each (default: %(default)s)"
    )
    parser.add_argument(
        "--scoring",
        type=count,
        default=0,
        metavar="N",
        help="train the best tenth of the cells N more times at the last fidelity, for scores that "
        "no search has seen",
    )
    parser.add_argument("--seed", type=seed, default=0, help="default: %(default)s")
    parser.add_argument(
        "--max-hours", type=positive, help="refuse to start what is estimated to take longer"
    )
    parser.add_argument(
        "--archive", action="store_true", help="at the end, pack all parts into TARGET.parts.zip"
    )
    add_workers(parser)
    add_executor(parser)
    add_json(parser)
    parser.set_defaults(run=run_build)


def run_build(args: argparse.Namespace) -> int:
    """Say what it will take, build, then say what was made.

    Raises:
        InvalidSetting: a target that is no table, or more hours than allowed; see ``build``, too.
    """
    from nasbench_kit.analysis.cards.table_card import measured_card
    from nasbench_kit.data.building.archive import check_pack, pack
    from nasbench_kit.data.building.build import Build, build
    from nasbench_kit.data.building.estimate import estimate
    from nasbench_kit.data.images.image_sets import open_images

    check_table(args.target)
    check_card(args.target)
    check_workers(args.workers, args.executor)
    card = args.target.with_suffix(".md")
    check_writable(args.target, card, args.target.with_suffix(".parts") / "conditions.json")
    if args.archive:
        check_pack(args.target)
    plan = Build(
        name=args.target.stem,
        space=CellSpace.named(args.space),
        images=open_images(args.data),
        recipe=asked_recipe(args),
        epochs=tuple(sorted(set(args.epochs))),
        repeats=args.repeats,
        seed=args.seed,
        scoring=args.scoring,
    )
    left = estimate(plan, args.target)
    hours = left.hours(args.workers)
    streams.note(f"{plan.images.name}: {plan.images.sizes}")
    streams.note(
        f"{len(plan.space):,} cells: about {left.training:.2g} core-hours of training to go and "
        f"{left.timing:.2g} hours of taking times, {hours:.2g} hours on {args.workers} workers"
    )
    if args.max_hours is not None and hours > args.max_hours:
        raise InvalidSetting(
            f"the build is estimated to take {hours:.2g} hours on {args.workers} workers, more than "
            f"--max-hours {args.max_hours:g}; choose a smaller space or fewer epochs"
        )
    with progress_bar(f"{len(plan.space):,} cells, parts") as progress:
        table = build(
            plan, args.target, workers=args.workers, executor=args.executor, progress=progress
        )
    with then(lambda: _tell(args, table)):
        if table.repeats > 1 and len(table) > 1:
            write_text(card, measured_card(table, _command(args, plan.epochs)))
        if args.archive:
            pack(args.target)
    return 0


def _tell(args: argparse.Namespace, table: Table) -> None:
    if args.json:
        print_json({"target": str(args.target), "cells": len(table), "checksum": table.checksum})
    else:
        print(f"{args.target}: {table!r}")


def _command(args: argparse.Namespace, epochs: Sequence[int]) -> str:
    """What builds the same table again."""
    settings = {"space": args.space, "epochs": " ".join(map(str, epochs))}
    if args.data != "digits":
        settings["data"] = Path(args.data).name
    chosen = ("recipe", "stacks", "cells_per_stack", "stem_channels")
    settings |= {name: value for name in chosen if (value := getattr(args, name)) is not None}
    settings |= {"repeats": args.repeats, "seed": args.seed}
    if args.scoring:
        settings["scoring"] = args.scoring
    options = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in settings.items())
    return f"nasbench-kit build {args.target.name} {options}"
