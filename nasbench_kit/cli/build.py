"""The command ``build``: train every cell of a space into a table."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from nasbench_kit.cli.common import add_executor, add_json, add_workers, print_json, progress_bar
from nasbench_kit.errors import InvalidSetting
from nasbench_kit.files import write_text
from nasbench_kit.space import CellSpace


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "build",
        help="train every cell of a space into a table",
        description="Train every cell of a space from scratch on scikit-learn's digits. Finished "
        "parts lie in TARGET with the ending .parts; killed at any moment, the same command goes on.",
        epilog="Example: nasbench-kit build small.h5 --space v4e9 --epochs 4 12",
    )
    parser.add_argument("target", type=Path, help="the table to make, TARGET.h5")
    parser.add_argument("--space", default="v5e9", help="cells to train (default: %(default)s)")
    parser.add_argument(
        "--epochs", type=int, nargs="+", default=[4, 12, 36], help="fidelities (default: 4 12 36)"
    )
    parser.add_argument(
        "--repeats", type=int, default=3, help="trainings of each (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument(
        "--max-hours", type=float, help="refuse to start what is estimated to take longer"
    )
    add_workers(parser)
    add_executor(parser)
    add_json(parser)
    parser.set_defaults(run=run_build)


def run_build(args: argparse.Namespace) -> int:
    """Build, then say what was made."""
    from nasbench_kit.data.build import Build, build, estimated_hours
    from nasbench_kit.data.card import measured_card
    from nasbench_kit.data.digits import digits
    from nasbench_kit.trainer import DIGITS

    if args.target.suffix != ".h5":
        raise InvalidSetting(f"the target is {args.target}; its name must end with .h5")
    plan = Build(
        name=args.target.stem,
        space=CellSpace.named(args.space),
        images=digits(),
        recipe=DIGITS,
        epochs=tuple(sorted(args.epochs)),
        repeats=args.repeats,
        seed=args.seed,
    )
    hours = estimated_hours(plan)
    print(
        f"{len(plan.space):,} cells: about {hours:.2g} core-hours in all, "
        f"{hours / max(1, args.workers):.2g} hours on {args.workers} workers",
        file=sys.stderr,
    )
    if args.max_hours is not None and hours > args.max_hours * args.workers:
        raise InvalidSetting(
            f"the build is estimated to take {hours / args.workers:.2g} hours on {args.workers} "
            f"workers, more than --max-hours {args.max_hours:g}; choose a smaller space or fewer epochs"
        )
    with progress_bar(f"training {len(plan.space):,} cells") as progress:
        table = build(
            plan, args.target, workers=args.workers, executor=args.executor, progress=progress
        )
    if table.repeats > 1:
        epochs = " ".join(map(str, table.epochs))
        command = f"nasbench-kit build {args.target.name} --space {args.space} --epochs {epochs}"
        command += f" --repeats {args.repeats} --seed {args.seed}"
        write_text(args.target.with_suffix(".md"), measured_card(table, command))
    if args.json:
        print_json({"target": str(args.target), "cells": len(table), "checksum": table.checksum})
    else:
        print(f"{args.target}: {table!r}")
    return 0
