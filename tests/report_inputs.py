"""Small comparisons for the tests of statistics, report and its page in a browser."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nasbench_kit import CellSpace, Column, Table
from nasbench_kit.algorithms import LocalSearch, RandomSearch
from nasbench_kit.analysis.statistics.comparison import Comparison
from nasbench_kit.compare.plan import Plan
from nasbench_kit.compare.running import run
from nasbench_kit.compare.scores import scored_by
from nasbench_kit.compare.trace import Incumbent, Spending, Trace
from nasbench_kit.oracle.search import Search

#: Text that must reach no page unescaped.
EVIL = '<script>window.hacked=1</script>"\'><img src=x onerror=window.hacked=1>$a$ id="x"'


def table(seed: int = 0, *, test: bool = True, **provenance: str) -> Table:
    """All 91 cells up to four vertices, two repeats; every number is made up."""
    space, rng = CellSpace(4), np.random.default_rng(seed)
    columns = {}
    for metric in ["validation_accuracy"] + ["test_accuracy"] * test:
        quality = np.linspace(0.9, 0.5, len(space))[:, None, None]
        counts = rng.binomial(700, np.broadcast_to(quality, (len(space), 2, 2)))
        columns["final", metric] = Column(counts.astype(np.uint16), 700)
    seconds = rng.uniform(1, 2, (len(space), 2, 2)) * np.array([4, 36])[:, None]
    columns["final", "seconds"] = Column(seconds.astype(np.float32))
    named = {"name": f"toy{seed}", "source": "measured", **provenance}
    return Table(space, (4, 36), columns, provenance=named)


def compared(folder: Path, of: Table, seeds: int = 6, **budget: float) -> Path:
    """A run folder: random search and local search on a table, which is saved beside it."""
    path = folder.with_suffix(".h5")
    of.save(path)
    searches: dict[str, Search] = {"random-search": RandomSearch(), "local-search": LocalSearch()}
    run(Plan(path, searches, range(seeds), budget or {"seconds": 900.0}), folder)
    return folder


def hand_made(
    of: Table, finals: Mapping[str, list[int | None]], name: str = "hand-made", **manifest: Any
) -> Comparison:
    """A comparison whose runs end at these rows of the table (None recommends nothing)."""
    traces = {}
    for algorithm, rows in finals.items():
        traces[algorithm] = [
            Trace(
                algorithm,
                seed,
                "budget",
                90.0,
                360.0,
                10,
                7,
                [] if row is None else [Incumbent(30.0, 72.0, 2, of.covered[row].to_text())],
                {"query": Spending(10, 90.0, 360.0, 10)},
            )
            for seed, row in enumerate(rows)
        ]
    known = {
        "table": {"name": of.name, "checksum": of.checksum},
        "budget": {"seconds": 100.0},
        "policy": "always",
        "scored_by": scored_by(of),
        "algorithms": {a: {"class": f"nasbench_kit.{a}", "settings": {}} for a in finals},
        **manifest,
    }
    return Comparison(name, of, known, traces, {a: [] for a in finals})
