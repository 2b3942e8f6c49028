"""Run a client of the official API unchanged: python -m nasbench_kit.compat CLIENT.py ARGUMENTS."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from nasbench_kit.compat import alias
from nasbench_kit.errors import NasbenchKitError


def main(arguments: list[str]) -> int:
    """Install the alias, then run the script as ``python CLIENT.py`` would; returns an exit code."""
    if not arguments or not Path(arguments[0]).is_file():
        print(
            "usage: python -m nasbench_kit.compat CLIENT.py ARGUMENTS (CLIENT.py is a script that "
            "imports nasbench or nats_bench)",
            file=sys.stderr,
        )
        return 2
    sys.argv = arguments
    sys.path[0] = str(Path(arguments[0]).resolve().parent)
    try:
        alias.install()
    except NasbenchKitError as error:
        print(f"nasbench-kit: {error}", file=sys.stderr)
        return 2
    runpy.run_path(arguments[0], run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
