"""Commands that look: ``tables``, ``query``, ``enumerate``."""

from __future__ import annotations

import argparse
import re
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit import spaces
from nasbench_kit.cli import streams
from nasbench_kit.cli.cells import CELL_HELP, parse_architecture
from nasbench_kit.cli.common import (
    add_json,
    add_table,
    count,
    print_json,
    print_table,
)
from nasbench_kit.data import tables
from nasbench_kit.errors import CorruptFile, InvalidCell, InvalidSetting
from nasbench_kit.spaces.nasbench101.cell import Cell
from nasbench_kit.spaces.nasbench101.space import CellSpace
from nasbench_kit.spaces.protocols import Numbered

if TYPE_CHECKING:
    from nasbench_kit.table.table import Table


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the commands of this file."""
    listing = subparsers.add_parser("tables", help="list the tables at hand, or describe one")
    listing.add_argument("name", nargs="?", help="show the data card of this table (name or file)")
    listing.add_argument(
        "--available", action="store_true", help="list the benchmarks that can be had, and how"
    )
    listing.add_argument("--verify", action="store_true", help="read every byte of the tables")
    add_json(listing)
    listing.set_defaults(run=run_tables)

    query = subparsers.add_parser(
        "query",
        help="what a table says of one architecture",
        description="Look one architecture up, free of any budget: all metrics, fidelities and repeats.",
        epilog="Example: nasbench-kit query resnet --epochs 4",
    )
    query.add_argument(
        "cell",
        nargs="?",
        help=f"{CELL_HELP}; in a table of another space, its text",
    )
    query.add_argument(
        "--matrix", help="rows of 0 and 1, as in 011/001/000 or [[0,1,1],[0,0,1],[0,0,0]]"
    )
    query.add_argument("--operations", help="interior operations, as in conv3x3,maxpool3x3")
    query.add_argument("--epochs", type=count, help="only this fidelity")
    add_table(query, tables.DEFAULT)
    add_json(query)
    query.set_defaults(run=run_query)

    enumerate_ = subparsers.add_parser(
        "enumerate", help="count or list the architectures of a space"
    )
    enumerate_.add_argument(
        "--space",
        default="v7e9",
        help="v7e9 (7 vertices, 9 edges), 1shot1-1, nasbench-macro, ... (default: %(default)s)",
    )
    enumerate_.add_argument(
        "--list", action="store_true", help="print every architecture, one a line"
    )
    enumerate_.add_argument(
        "--hashes", action="store_true", help="with --list: hashes too, of cells the official ones"
    )
    add_json(enumerate_)
    enumerate_.set_defaults(run=run_enumerate)


def run_tables(args: argparse.Namespace) -> int:
    """List the tables, or print one's card.

    Raises:
        InvalidSetting: a table's name, or ``--verify``, with ``--available``.
    """
    if args.available:
        return _list_available(args)
    names = [args.name] if args.name else list(tables.known())
    described, broken = [], []
    for name in names:
        try:
            described.append(_described(name, tables.open_table(name), args.verify))
        except CorruptFile as error:
            if args.name:
                raise
            broken.append(str(error))
    if args.json:
        print_json(described)
    elif args.name:
        print(tables.card(args.name) or _listed(described[0]))
    else:
        columns = ("table", "source", "space", "cells", "epochs", "repeats", "metrics")
        keys = ("name", "source", "space", "cells", "epochs", "repeats", "metrics")
        rows = [[_plain(entry[key]) for key in keys] for entry in described]
        notes = [
            "One table's data card: nasbench-kit tables NAME",
            "What else can be had: nasbench-kit tables --available",
        ]
        notes += [
            f"{entry['name']}: seconds at {_plain(entry['assumed_seconds'])} epochs are assumed"
            for entry in described
            if entry["assumed_seconds"]
        ]
        notes += [
            f"{entry['name']}: searches select by {entry['selection_metric']}, the only one that it has"
            for entry in described
            if entry["selection_metric"] != "validation accuracy"
        ]
        notes += [
            f"{entry['name']}: earlier readings are {_halfway(entry['halfway_epochs'])}"
            for entry in described
            if entry["halfway_epochs"]
        ]
        print_table(
            "Tables at hand",
            columns,
            rows,
            "\n".join(notes),
            secondary=("metrics", "repeats", "epochs", "source"),
        )
    for problem in broken:
        streams.say(str(problem))
    return 0


def _list_available(args: argparse.Namespace) -> int:
    """What benchmarks there are, and how each becomes a table."""
    from nasbench_kit.data.available import AVAILABLE

    if args.name or args.verify:
        raise InvalidSetting("--available lists what can be had; give it alone, or with --json")
    if args.json:
        print_json([benchmark._asdict() for benchmark in AVAILABLE])
        return 0
    print_table(
        "Benchmarks that can be had",
        ("benchmark", "architectures", "size", "licence", "how"),
        [
            (each.name, f"{each.architectures:,}", each.size, each.licence, each.how)
            for each in AVAILABLE
        ],
        "FILE, FOLDER, OUT: paths of yours. docs/tables.md says where the files are from.",
        secondary=("architectures", "licence", "size"),
    )
    return 0


def _halfway(epochs: dict[str, float]) -> str:
    return f"after {', '.join(f'{at:g} of {length}' for length, at in epochs.items())} epochs"


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    if isinstance(value, dict):
        return _halfway(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _listed(described: dict[str, Any]) -> str:
    return "\n".join(
        f"{key}: {_plain(value)}" for key, value in described.items() if value not in ({}, [])
    )


def _described(name: str, table: Table, verify: bool) -> dict[str, Any]:
    if verify:
        table.verify(fresh=True)
    return {
        "name": name,
        "source": table.provenance.get("source", "measured"),
        "space": table.space.name,
        "cells": len(table),
        "complete": table.complete,
        "epochs": list(table.epochs),
        "repeats": table.repeats,
        "metrics": sorted({metric for _, metric in table.columns}),
        "costs": sorted(table.costs),
        "selection_metric": table.selection_metric,
        "assumed_seconds": list(table.assumed_seconds),
        "halfway_epochs": table.provenance.get("halfway_epochs", {}),
        "verified": verify,
    }


def run_query(args: argparse.Namespace) -> int:
    """Print all that a table knows of one cell."""
    table = tables.open_table(args.table)
    architecture = _asked(args, table)
    row = table.row(architecture)
    if isinstance(architecture, Cell):
        architecture = architecture.pruned()
    fidelities = [args.epochs] if args.epochs is not None else list(table.epochs)
    readings = [
        (metric, checkpoint, epochs, values)
        for epochs in fidelities
        for (checkpoint, metric) in sorted(table.columns)
        if (values := _readings(table, row, (checkpoint, metric), epochs))
    ]
    parameters = table.extra.get("trainable_parameters")
    described = {
        "table": table.name,
        "source": str(table.provenance.get("source", "measured")),
        "architecture": architecture.to_text(),
        "hash": architecture.hash,
        "row": row,
        "trainable_parameters": None if parameters is None else int(parameters[row]),
        "readings": [
            dict(zip(("metric", "checkpoint", "epochs", "repeats"), reading, strict=True))
            for reading in readings
        ],
        "costs": {name: float(column[row]) for name, column in table.costs.items()},
        "selection_metric": table.selection_metric,
        "assumed_seconds": list(table.assumed_seconds),
        "halfway_epochs": table.provenance.get("halfway_epochs", {}),
    }
    if args.json:
        print_json(described)
        return 0
    print(f"{architecture}\n")
    rows = [
        (
            f"{metric} ({checkpoint})"
            + (" assumed" if metric == "seconds" and epochs in table.assumed_seconds else ""),
            epochs,
            f"{np.mean(values):.4f}",
            " ".join(f"{value:.4f}" for value in values),
        )
        for metric, checkpoint, epochs, values in readings
    ]
    title = f"{described['hash']} in {table.name} ({described['source']})"
    notes = [f"{name}: {cost:.6g}" for name, cost in described["costs"].items()]
    if parameters is not None:
        notes.insert(0, f"trainable parameters: {described['trainable_parameters']:,}")
    if table.selection_metric != "validation accuracy":
        notes.append(
            f"validation_accuracy is what searches select by: {table.selection_metric} here, the only one "
            "that the benchmark has"
        )
    if described["halfway_epochs"]:
        notes.append(f"(halfway) is {_halfway(described['halfway_epochs'])}")
    note = "\n".join(notes)
    print_table(title, ("metric", "epochs", "mean", "repeats"), rows, note, secondary=("repeats",))
    return 0


def _readings(table: Table, row: int, key: tuple[str, str], epochs: int) -> list[float]:
    """What is there of one cell's repeats in one column."""
    column = table.columns[key]
    first = (row * len(table.epochs) + table.fidelity(epochs)) * table.repeats
    present = None if column.present is None else column.present.reshape(-1)
    read = column.reader()
    return [
        read(position)
        for position in range(first, first + table.repeats)
        if present is None or present[position]
    ]


def _asked(args: argparse.Namespace, table: Table) -> Any:
    if args.matrix is not None or args.operations is not None:
        if args.cell is not None or args.matrix is None:
            raise InvalidCell("give either a cell, or --matrix with --operations")
        rows = re.findall(r"[01]+", re.sub(r"[\s,]", "", args.matrix))
        if not rows or re.search(r"[^01\s,/\[\]]", args.matrix):
            raise InvalidCell(f"--matrix {args.matrix!r}: write rows of 0 and 1, as in 011/001/000")
        names = [name.strip() for name in (args.operations or "").split(",") if name.strip()]
        return Cell([[int(entry) for entry in row] for row in rows], names)
    if args.cell is None:
        raise InvalidCell("name a cell, or give --matrix and --operations")
    return parse_architecture(args.cell, table.space)


def run_enumerate(args: argparse.Namespace) -> int:
    """Count or list the architectures of a space."""
    space = spaces.named(args.space)
    if not isinstance(space, Numbered):
        raise InvalidSetting(f"the architectures of {space.name} cannot be counted")
    if args.list and args.json:
        raise InvalidSetting("--list prints lines; leave out --json")
    if args.hashes and not args.list:
        raise InvalidSetting("--hashes goes with --list")
    if args.list:
        for row in range(len(space)):
            architecture = space[row]
            hash_ = f"{architecture.hash} " * args.hashes
            sys.stdout.write(f"{hash_}{architecture.to_text()}\n")
        return 0
    if not isinstance(space, CellSpace):
        if args.json:
            print_json({"space": space.name, "architectures": len(space)})
        else:
            print(f"{space.name} has {len(space):,} architectures")
        return 0
    sizes = np.bincount([cell.size for cell in space], minlength=space.max_vertices + 1)
    counts = {vertices: int(count) for vertices, count in enumerate(sizes) if count}
    if args.json:
        print_json({"space": space.name, "cells": len(space), "by_vertices": counts})
        return 0
    rows = [*((str(vertices), f"{count:,}") for vertices, count in counts.items())]
    print_table(
        f"Cells of {space.name}", ("vertices", "cells"), [*rows, ("all", f"{len(space):,}")]
    )
    return 0
