"""The command ``subset``: the part of a table that lies in a smaller space."""

from __future__ import annotations

import argparse
from pathlib import Path

from nasbench_kit.cli.common import add_json, print_json
from nasbench_kit.cli.targets import check_table
from nasbench_kit.data import tables
from nasbench_kit.data.subset import subset
from nasbench_kit.spaces.nasbench101.space import CellSpace
from nasbench_kit.system.files import check_writable
from nasbench_kit.table.table import Table


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "subset",
        help="write the part of a table that lies in a smaller space",
        description="Write the rows of a table that are cells of a smaller space, as a table of its "
        "own, for example to search it: all cells up to six vertices, or a space of "
        "NAS-Bench-1Shot1.",
        epilog="Example: nasbench-kit subset digits v4e9 small.h5",
    )
    parser.add_argument("table", help="a table's name or file")
    parser.add_argument("space", help="v6e9 (6 vertices, 9 edges), 1shot1-1, ...")
    parser.add_argument("target", type=Path, help="the table to write, TARGET.h5")
    add_json(parser)
    parser.set_defaults(run=run_subset)


def run_subset(args: argparse.Namespace) -> int:
    """Pick the rows and write them.

    Raises:
        UnknownName: no such table or space.
        InvalidSetting: the table has no cell of the space, or the target cannot be replaced.
        NotWritable: the target cannot be written.
    """
    check_writable(args.target)
    path = tables.find(args.table)
    check_table(args.target, path)
    part = subset(Table.open(path), CellSpace.named(args.space))
    part.save(args.target)
    described = {
        "name": part.name,
        "file": str(args.target),
        "space": part.space.name,
        "cells": len(part),
        "complete": part.complete,
    }
    if args.json:
        print_json(described)
    else:
        whole = "all" if part.complete else f"{len(part):,} of {len(part.space):,}"
        print(f"{args.target}: {part.name}, {whole} cells of {part.space.name}")
    return 0
