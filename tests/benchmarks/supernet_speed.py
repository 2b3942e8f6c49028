"""CPU time of one step of shared weights on the digits, against another checkout of the package.

    git worktree add ../before COMMIT
    python tests/benchmarks/supernet_speed.py --against ../before
    python tests/benchmarks/supernet_speed.py --compiled

A step is what a search does for one batch of 64: a batch, forward, backward, clipping, update. The two
checkouts take turns in processes of their own, each on one thread; the least of several rounds counts,
in seconds of the processor, and the ratio is of the two medians over processes. ``--compiled`` measures the
forward and backward pass of a mixture alone, as it is and compiled by torch, which needs a C++ compiler.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from nasbench_kit import Cell
    from nasbench_kit.algorithms.weight_sharing.training import SharedWeights

#: Cells that take turns as paths; steps of a round; rounds.
_CELLS, _STEPS, _ROUNDS = 30, 30, 5


def opened() -> SharedWeights:
    """Fresh shared weights of the digits' cells, on one thread."""
    import torch

    from nasbench_kit import Budget, Oracle, Table
    from nasbench_kit.algorithms import ALGORITHMS
    from nasbench_kit.algorithms.weight_sharing.training import SharedWeights
    from nasbench_kit.data.tasks import open_task

    torch.set_num_threads(1)
    table = Table.open(Path(__file__).parents[2] / "data/tables/digits.h5")
    settings: Any = replace(ALGORITHMS["random-weight-sharing-small"](), batch_size=64)  # type: ignore[type-var]
    oracle = Oracle(table, Budget(seconds=1e9), np.random.default_rng(0), task=open_task(table))
    return SharedWeights(oracle, np.random.default_rng(1), settings)


def measure() -> dict[str, float]:
    """Milliseconds of one step, by what is trained, of the package that is imported."""
    shared = opened()
    cells = [shared.space.sample(shared.rng) for _ in range(_CELLS)]
    relaxation = shared.relaxation()
    networks = itertools.cycle([_alone(shared, cell) for cell in cells])
    steps: dict[str, Callable[[int], None]] = {
        "path": lambda i: shared.step(cells[i % _CELLS], shared.weight_batch()),
        "stand-alone": lambda _: next(networks)(shared.weight_batch()),
        "mixture": lambda _: shared.step(relaxation.mixture(), shared.weight_batch()),
    }
    return {name: milliseconds(step) for name, step in steps.items()}


def milliseconds(step: Callable[[int], None]) -> float:
    """Of one step, the least of several rounds."""
    taken = []
    for _ in range(_ROUNDS + 1):  # the first one warms up
        begun = time.process_time()
        for i in range(_STEPS):
            step(i)
        taken.append(1e3 * (time.process_time() - begun) / _STEPS)
    return min(taken[1:])


def compiled() -> None:
    """Print what a mixture's forward and backward pass takes, as it is and compiled."""
    import torch

    shared = opened()
    images, labels = shared.weight_batch()
    mixture = shared.relaxation().mixture().detached()

    def passes(supernet: Callable[..., Tensor]) -> Callable[[int], None]:
        def step(_: int) -> None:
            shared.optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(supernet(images, mixture), labels)
            loss.backward()  # type: ignore[no-untyped-call]

        return step

    plain = milliseconds(passes(shared.supernet))
    whole = passes(torch.compile(shared.supernet))
    begun = time.perf_counter()
    whole(0)
    took = time.perf_counter() - begun
    print(f"as it is {plain:.2f} ms, compiled {milliseconds(whole):.2f} ms, after {took:.0f} s")


def _alone(shared: SharedWeights, cell: Cell) -> Callable[[tuple[Tensor, Tensor]], None]:
    """A step of a cell's own network in plain torch: what a path costs without shared weights."""
    import torch

    network = cell.network(
        shared.skeleton,
        shared.weight_batch()[0].shape[1],
        shared.supernet.classifier.out_features,
        generator=torch.Generator().manual_seed(0),
        bn_momentum=0.1,
        precision="float32",
    )
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, fused=True)

    def step(batch: tuple[Tensor, Tensor]) -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(batch[0]), batch[1]).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()

    return step


def main() -> None:
    """Measure here, or take turns with another checkout and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", type=Path, metavar="DIR", help="another checkout")
    parser.add_argument("--compiled", action="store_true", help="a mixture's pass, compiled")
    parser.add_argument("--processes", type=int, default=3, help="of each checkout")
    args = parser.parse_args()
    if args.compiled:
        compiled()
        return
    if args.against is None:
        print(json.dumps(measure()))
        return
    here = Path(__file__).parents[2]
    taken: dict[str, list[dict[str, float]]] = {"before": [], "now": []}
    for _ in range(args.processes):
        for name, checkout in (("before", args.against.resolve()), ("now", here)):
            output = subprocess.run(
                [sys.executable, __file__],
                check=True,
                capture_output=True,
                text=True,
                cwd=checkout,
                env={**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"},
            ).stdout
            taken[name].append(json.loads(output))
    for what in taken["now"][0]:
        before, now = (float(np.median([one[what] for one in taken[n]])) for n in taken)
        print(f"{what}: {before:.2f} ms before, {now:.2f} ms now, {before / now:.2f} times as fast")


if __name__ == "__main__":
    main()
