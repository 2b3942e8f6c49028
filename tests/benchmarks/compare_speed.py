"""How long a large comparison takes: two algorithms, 500 runs each, 1e7 simulated seconds a run.

    python tests/benchmarks/compare_speed.py

The table has the size of the official one; every number of it is made up. A run makes some 5,000
queries. Prints processor time of all processes (what a busy machine stretches least), wall time, and
the most memory that one process had resident, which does not grow with the number of runs.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def make_table(path: Path) -> None:
    """In a process of its own: what this one has resident counts for those that it starts."""
    from core_speed import made_up

    from nasbench_kit import CellSpace

    made_up(CellSpace()).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=1e7)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        os.environ["NASBENCH_KIT_HOME"] = name
        table = Path(name) / "table.h5"
        making = multiprocessing.get_context("spawn").Process(target=make_table, args=(table,))
        making.start()
        making.join()
        command = [sys.executable, "-m", "nasbench_kit", "compare", "--table", str(table)]
        command += ["--seeds", str(args.seeds), "--seconds", str(args.seconds)]
        command += ["--algorithms", "random-search", "regularized-evolution"]
        command += ["--workers", str(args.workers), "--out", f"{name}/run"]
        command += ["--json"]
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)  # with all the processes that it waited for
        wall = time.perf_counter() - started
    if status:
        sys.exit("the comparison failed")
    processor = used.ru_utime + used.ru_stime
    print(
        f"{2 * args.seeds:,} runs: {processor:.1f} s of processor time, {wall:.1f} s on "
        f"{args.workers} workers, {used.ru_maxrss / 1024:.0f} MB at most in one process"
    )


if __name__ == "__main__":
    main()
