"""How long the official file takes to convert, how big the table is, and how fast it answers.

    python tests/benchmarks/convert_speed.py [--full] [--folder FOLDER]

Makes a file of the size and layout of nasbench_only108.tfrecord (--full: nasbench_full.tfrecord)
with made-up numbers, and converts it in a process of its own. Published for comparison: the official
API loads the smaller file in 62.6 s, and a query takes it 82 us.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from nasbench_kit.compat import nasbench as api
from nasbench_kit.data.benchmarks.nasbench101.columns import IMAGES, READINGS, REPEATS
from nasbench_kit.data.benchmarks.nasbench101.convert import convert
from nasbench_kit.data.benchmarks.nasbench101.export import export
from nasbench_kit.spaces.nasbench101.space import CellSpace
from nasbench_kit.table.table import Column, Table


def made_up(epochs: tuple[int, ...]) -> Table:
    """A table of the whole space in which every number is random."""
    rng = np.random.default_rng(0)
    space = CellSpace()
    shape = (len(space), len(epochs), REPEATS)
    columns: dict[tuple[str, str], Column] = {}
    for column in READINGS:
        if column[1] == "seconds":
            columns[column] = Column(rng.uniform(1, 4_000, shape).astype(np.float32))
        else:
            columns[column] = Column(rng.integers(900, IMAGES + 1, shape, np.uint16), IMAGES)
    extra = {
        "trainable_parameters": rng.integers(200_000, 50_000_000, len(space)).astype(np.uint32),
        "record_order": rng.permutation(len(space)).astype(np.int32),
    }
    return Table(space, epochs, columns, extra=extra, provenance={"name": "made up"})


def convert_and_measure(source: Path, target: Path) -> None:
    """Convert in this process; print the report as JSON, with the most memory ever in use."""
    CellSpace().hashes()
    started = time.process_time()
    report = vars(convert(source, target))
    report["cpu_seconds"] = time.process_time() - started  # what a busy machine does not stretch
    report["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(report))


def measure(table: Path, queries: int = 20_000) -> dict[str, float]:
    """Seconds to open a converted table, and microseconds of one query with its ModelSpec."""
    api.NASBench(table)  # reads the index of the space from its cache, once a process
    started = time.perf_counter()
    nasbench = api.NASBench(table, seed=0)
    opened = time.perf_counter() - started
    rng = np.random.default_rng(0)
    cells = [nasbench.table.space.sample(rng) for _ in range(queries)]
    raw = [(cell.matrix, list(cell.operations)) for cell in cells]
    specs = [api.ModelSpec(*arguments) for arguments in raw]
    started = time.perf_counter()
    for spec in specs:
        nasbench.query(spec)
    asked = time.perf_counter() - started
    started = time.perf_counter()
    for matrix, operations in raw:
        nasbench.query(api.ModelSpec(matrix, operations))
    made = time.perf_counter() - started
    return {
        "open_ms": opened * 1e3,
        "query_us": asked / queries * 1e6,
        "spec_and_query_us": made / queries * 1e6,
    }


def main() -> None:
    """Make the file if it is not there yet, convert it, and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="4, 12, 36 and 108 epochs")
    parser.add_argument("--folder", type=Path, default=Path("runs/convert_speed"))
    parser.add_argument("--only-convert", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    name = "full" if args.full else "only108"
    source, target = (args.folder / f"{name}{ending}" for ending in (".tfrecord", ".h5"))
    if args.only_convert:
        convert_and_measure(source, target)
        return
    figures: dict[str, Any] = {}
    if not source.exists():
        args.folder.mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        export(made_up((4, 12, 36, 108) if args.full else (108,)), source)
        figures["export_seconds"] = time.perf_counter() - started
    figures["source_mb"] = source.stat().st_size / 1e6
    again = [sys.executable, __file__, *sys.argv[1:], "--only-convert"]
    done = subprocess.run(again, check=True, capture_output=True, text=True)
    figures |= json.loads(done.stdout) | measure(target)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
