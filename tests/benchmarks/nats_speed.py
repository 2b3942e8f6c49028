"""Seconds and memory to convert a full folder of NATS-Bench's topologies.

The development data has two rows; a folder of all 15,625 is made of them first, each with its own index
and text (most of ten minutes, 1.3 GB; kept for the next time):

    python tests/benchmarks/nats_speed.py ../shared/data/nats_bench/NATS-tss-v1_0-3ffb9-simple runs/full
"""

from __future__ import annotations

import argparse
import bz2
import os
import pickle
import resource
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from nasbench_kit import spaces
from nasbench_kit.data.benchmarks import plain_pickle
from nasbench_kit.data.benchmarks.nats_bench.convert import tables
from nasbench_kit.data.benchmarks.reader import Options
from nasbench_kit.system.workers import spread

ENDING = ".pickle.pbz2"


def plain(found: Any) -> Any:
    """The same without NumPy's numbers, whose pickles depend on NumPy's version."""
    if isinstance(found, np.floating):
        return float(found)
    if isinstance(found, dict):
        return {key: plain(value) for key, value in found.items()}
    return [plain(value) for value in found] if isinstance(found, list) else found


def write(source: Path, folder: Path, texts: list[str], rows: range) -> None:
    """Files of these rows, from the two that there are in turn."""
    models = [
        plain(plain_pickle.loads(bz2.decompress(file.read_bytes()), file))
        for file in sorted(source.glob(f"0*{ENDING}"))
    ]
    for row in rows:
        target = folder / f"{row:06d}{ENDING}"
        if target.exists():
            continue
        model = models[row % len(models)]
        for trainings in model.values():
            trainings |= {"arch_index": row, "arch_str": texts[row]}
        target.with_suffix(".part").write_bytes(bz2.compress(pickle.dumps(model, 4)))
        target.with_suffix(".part").rename(target)


def processor_seconds() -> float:
    """Of this process and of all that it started and that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--curves", action="store_true")
    args = parser.parse_args()
    space: Any = spaces.named("nasbench201")
    texts = [architecture.to_text() for architecture in space]
    args.folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(args.source / f"meta{ENDING}", args.folder)
    jobs = [
        (args.source, args.folder, texts, range(start, min(start + 250, len(texts))))
        for start in range(0, len(texts), 250)
    ]
    spread(write, jobs, args.workers)
    started, worked = time.perf_counter(), processor_seconds()
    options = Options(curves=args.curves, workers=args.workers)
    for table in tables(args.folder, options):
        table.save(args.folder / f"{table.name}.h5")
    seconds = time.perf_counter() - started
    own, others = (
        resource.getrusage(who).ru_maxrss / 1024
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(
        f"{len(texts):,} rows: {seconds:.0f} s with {args.workers} processes, "
        f"{processor_seconds() - worked:.0f} s of processor time; {own:,.0f} MB, and at "
        f"most {others:,.0f} MB in each process"
    )


if __name__ == "__main__":
    main()
