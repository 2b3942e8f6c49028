"""How fast the core is, each figure beside a plain way to do the same on the same cells, in one run.

    python tests/benchmarks/core_speed.py

Prints a Markdown table. Times are processor time, the best of several rounds, so that a busy machine
stretches them little; memory is the most that a fresh process had resident. The reference is what
everybody has: ``ModelSpec`` and ``hash_module`` of nasbench_pytorch (the official code) and a dict.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from nasbench_pytorch.model import ModelSpec
from nasbench_pytorch.model.graph_util import hash_module

from nasbench_kit import Budget, Cell, CellSpace, Column, Oracle, Table
from nasbench_kit.spaces.nasbench101 import index as direct
from nasbench_kit.spaces.nasbench101.cell import OPERATIONS, _official_hash
from nasbench_kit.table.table import METRICS

LABELS = {"input": -1, "output": -2} | {name: label for label, name in enumerate(OPERATIONS)}
CELLS = 2_000
#: Labelled matrices that an enumeration by hashing has to hash.
LABELLED = 1_293_208

Row = tuple[str, str, str, str, str, str]


def seconds(work: Callable[[], object], rounds: int = 15) -> float:
    """Processor time of the fastest of several rounds."""
    spent = []
    for _ in range(rounds):
        started = time.process_time()
        work()
        spent.append(time.process_time() - started)
    return min(spent)


def shown(value: float) -> str:
    """Seconds in a unit that suits them."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"


def compared(what: str, goal: str, ours: float, plain: float, reference: str) -> Row:
    return what, shown(ours), goal, shown(plain), f"{plain / ours:,.0f} x", reference


# The plain way ---------------------------------------------------------------------------------


def hashing_seconds(cells: list[Cell]) -> float:
    """What ``hash_module`` takes for a cell that is pruned already."""
    pruned = [cell.pruned() for cell in cells]
    raw = [(cell.matrix.astype(int), [LABELS[name] for name in cell.operations]) for cell in pruned]
    return seconds(lambda: [hash_module(*arguments) for arguments in raw], rounds=5) / len(cells)


def official_hash(matrix: Any, operations: list[str]) -> str:
    """Prune and hash as nasbench_pytorch does."""
    spec = ModelSpec(matrix, operations)
    labels = [LABELS[name] for name in spec.ops]
    md5: str = hash_module(spec.matrix.numpy(), labels)
    return md5


def rejection_sample(rng: np.random.Generator) -> ModelSpec:
    """A random valid cell as the official notebook draws it."""
    while True:
        matrix = np.triu(rng.integers(0, 2, size=(7, 7)), 1)
        operations = ["input", *rng.choice(OPERATIONS, size=5).tolist(), "output"]
        try:
            spec = ModelSpec(matrix, operations)
        except RuntimeError:  # how nasbench_pytorch says that a cell is disconnected
            continue
        if spec.matrix.sum() <= 9:
            return spec


# What is measured ------------------------------------------------------------------------------


def index_rows(folder: Path, hashing: float) -> list[Row]:
    built = seconds(lambda: direct.build(7, 9), rounds=3)
    direct.build(7, 9).save(folder / "index.npz", 9)
    loaded = seconds(lambda: direct.Index.load(folder / "index.npz", 7, 9))
    enumeration = f"hash_module on the {LABELLED:,} labelled cells, from {CELLS:,} of them"
    return [
        compared(
            "index of all 423,624 cells, built", "5 s", built, hashing * LABELLED, enumeration
        ),
        compared("index, loaded from the cache", "100 ms", loaded, built, "built"),
    ]


def lookup_rows(space: CellSpace, cells: list[Cell], hashing: float) -> list[Row]:
    rng = np.random.default_rng(1)
    upper = np.triu(np.ones((7, 7), np.int8), 1)
    matrices = np.tile(np.stack([cell.matrix for cell in cells]), (250, 1, 1)) & upper
    operations = rng.integers(0, 3, (len(matrices), 5), np.int8)
    batch = seconds(lambda: space.indices(matrices, operations)) / len(matrices)
    index = space.index
    single = seconds(lambda: [index(cell) for cell in cells]) / CELLS
    loop = seconds(lambda: [cell for cell in cells]) / CELLS
    return [
        compared(
            "row of a cell, in batches", "50 ns", batch, hashing, "hash_module of the pruned cell"
        ),
        compared("row of a Cell", "1 µs", single - loop, hashing, "hash_module of the pruned cell"),
    ]


def hash_row(cells: list[Cell], hashing: float) -> Row:
    fresh = [cell.pruned() for cell in cells]

    def ours() -> None:
        _official_hash.cache_clear()
        for cell in fresh:
            Cell.from_codes(cell.size, cell.bits, cell.code).hash  # noqa: B018  # not yet hashed

    what = "official hash of a pruned cell"
    return compared(what, "", seconds(ours, rounds=3) / CELLS, hashing, "hash_module")


def query_row(table: Table, cells: list[Cell]) -> Row:
    """From Python lists to a charged answer."""
    raw = [(cell.matrix.tolist(), list(cell.operations)) for cell in cells]
    means = dict.fromkeys((official_hash(*arguments) for arguments in raw), (0.9, 1_000.0))
    oracle = Oracle(table, Budget(seconds=1e18), np.random.default_rng(0))

    def ours() -> None:
        for matrix, operations in raw:
            oracle.query(Cell(matrix, operations))

    def plain() -> float:
        spent = 0.0
        for matrix, operations in raw:
            _, price = means[official_hash(matrix, operations)]
            spent += price
        return spent

    return compared(
        "charged query, from Python lists",
        "8 µs",
        seconds(ours) / CELLS,
        seconds(plain, rounds=5) / CELLS,
        "ModelSpec, hash_module, dict",
    )


def sampling_rows(space: CellSpace) -> list[Row]:
    rng = np.random.default_rng(2)
    batch = seconds(lambda: space.sample(rng, 1_000_000)) / 1_000_000
    single = seconds(lambda: [space.sample(rng) for _ in range(20_000)]) / 20_000
    plain = seconds(lambda: [rejection_sample(rng) for _ in range(300)], rounds=3) / 300
    return [
        compared("random valid cell, in batches", "3 µs", batch, plain, "rejection with ModelSpec"),
        compared("random valid Cell, one", "", single, plain, "rejection with ModelSpec"),
    ]


def made_up(space: CellSpace) -> Table:
    """A table of the official one's size in which every number is random."""
    rng = np.random.default_rng(0)
    shape = (len(space), 4, 3)
    columns = {}
    for key in [(point, metric) for point in ("final", "halfway") for metric in METRICS]:
        if key[1] == "seconds":
            columns[key] = Column(rng.uniform(1, 4_000, shape).astype(np.float32))
        else:
            columns[key] = Column(rng.integers(900, 9_985, shape, np.uint16), 9_984)
    parameters = rng.integers(200_000, 50_000_000, len(space)).astype(np.uint32)
    extra = {"trainable_parameters": parameters}
    return Table(space, (4, 12, 36, 108), columns, extra=extra, provenance={"name": "made up"})


OPENING = """
import json, sys, time
import h5py
from nasbench_kit import CellSpace, Table
CellSpace()
def memory():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))
before, started = memory(), time.perf_counter()
if sys.argv[2] == "open":
    table = Table.open(sys.argv[1])
    table.column("validation_accuracy").reader()(5_000_000)
else:
    with h5py.File(sys.argv[1]) as file:
        found = []
        file.visititems(lambda _, item: found.append(item[()]) if hasattr(item, "dtype") else None)
print(json.dumps([time.perf_counter() - started, memory(), memory() - before]))
"""


def opening_rows(table: Path) -> list[Row]:
    """Each in fresh processes that have imported the packages and read the index."""

    def best(how: str) -> list[float]:
        command = [sys.executable, "-c", OPENING, str(table), how]
        rounds = [
            json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
            for _ in range(5)
        ]
        return [min(figures) for figures in zip(*rounds, strict=True)]

    ours, plain = best("open"), best("read")
    size = f"full-size table ({table.stat().st_size / 1e6:.0f} MB), opened and asked once"
    reference = "all of it read with h5py"
    row = compared(size, "50 ms", ours[0], plain[0], reference)
    memories = (
        "the process's memory then",
        f"{ours[1]:.0f} MB",
        "100 MB",
        f"{plain[1]:.0f} MB",
        f"{plain[1] / ours[1]:.1f} x",
        reference,
    )
    return [row, memories]


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["NASBENCH_KIT_HOME"] = name
        space = CellSpace()
        rng = np.random.default_rng(0)
        cells = [space.sample(rng) for _ in range(CELLS)]
        hashing = hashing_seconds(cells)
        table = made_up(space)
        table.save(folder / "table.h5")
        rows = [
            *index_rows(folder, hashing),
            *lookup_rows(space, cells, hashing),
            query_row(table, cells),
            *sampling_rows(space),
            hash_row(cells, hashing),
            *opening_rows(folder / "table.h5"),
        ]
    print("| what | measured | goal | reference | ratio | the reference is |")
    print("| --- | --- | --- | --- | --- | --- |")
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
