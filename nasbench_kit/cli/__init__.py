"""The command line: composition, and the only importer of everything.

Each file of this package registers the commands of one subject. Exit codes: 0 done, 1 some runs failed, 2 bad input or
an error with a name (one line on standard error), 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from nasbench_kit.cli import (
    analyze,
    build,
    calibrate,
    compare,
    inspect,
    official,
    rank_correlation,
    report,
    retrain,
    subset,
    surrogate,
    train,
)
from nasbench_kit.errors import NasbenchKitError
from nasbench_kit.version import __version__


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    main = argparse.ArgumentParser(
        prog="nasbench-kit",
        description="Compare architecture search algorithms on a tabular benchmark.",
        epilog="Every command has its own --help.",
    )
    main.add_argument("--version", action="version", version=__version__)
    subparsers = main.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (
        compare,
        report,
        analyze,
        rank_correlation,
        retrain,
        inspect,
        official,
        train,
        build,
        subset,
        surrogate,
        calibrate,
    ):
        module.add_commands(subparsers)
    return main


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    args = parser().parse_args(argv)
    try:
        code: int = args.run(args)
        sys.stdout.flush()
    except NasbenchKitError as error:
        print(f"nasbench-kit: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("nasbench-kit: interrupted; what was finished is kept", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader (head, less) has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code
