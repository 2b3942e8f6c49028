"""How long the landscape of a space of decisions takes, for spaces of the sizes that benchmarks have.

    python tests/benchmarks/landscape_speed.py

Prints a Markdown table of processor seconds: the neighbour graph from the options of all rows at once,
the same by asking the space for the neighbours of one architecture after another, and a whole
``analyze locality`` with its figures. Spaces and accuracies are made up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from nasbench_kit.analysis.landscape import landscape_studies
from nasbench_kit.analysis.landscape.neighbourhood import Neighbourhood
from nasbench_kit.analysis.landscape.study import Options
from nasbench_kit.spaces.decisions import Choices, DecisionSpace
from nasbench_kit.spaces.protocols import Decision
from nasbench_kit.testing.made_up import made_up_table

#: As many decisions with as many options each as in a benchmark.
SIZES = {
    "NAS-Bench-Macro": (3,) * 8,
    "NAS-Bench-201": (5,) * 6,
    "NATS-Bench's sizes": (8,) * 5,
}


class Product(DecisionSpace):
    """All combinations."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        self.name = "product"
        self.decisions = tuple(
            Decision(f"decision {place}", tuple(map(str, range(size))))
            for place, size in enumerate(sizes)
        )


class Asked(Product):
    """The same, but with neighbours of its own, so that every one has to be asked for."""

    def neighbours(self, architecture: Choices) -> list[Choices]:
        """All changes of one decision."""
        return super().neighbours(architecture)


def seconds(work: Callable[[], Any]) -> float:
    """Processor time."""
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    print("| as large as | architectures | pairs of neighbours | at once | one by one | locality |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, sizes in SIZES.items():
        quick, slow = Neighbourhood(Product(sizes)), Neighbourhood(Asked(sizes))
        times = [seconds(partial(getattr, around, "graph")) for around in (quick, slow)]
        assert (quick.graph.indices == slow.graph.indices).all()
        options = Options(np.random.default_rng(0))
        study = seconds(partial(landscape_studies.locality, made_up_table(quick.space), options))
        shown = " | ".join(f"{one:.2f} s" for one in (*times, study))
        print(f"| {name} | {len(quick.space):,} | {quick.graph.nnz // 2:,} | {shown} |")
