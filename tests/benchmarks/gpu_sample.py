"""Cells of the real sample of NAS-Bench-101, trained here, against what the official set says of them.

    python tests/benchmarks/gpu_sample.py --cifar DIR [--precision float32 bfloat16]

For each number of epochs: rank correlation of validation accuracies over the cells, and how far ours
lie off. The sample has one training of each cell, so noise alone keeps the correlation below 1. With
both precisions it also says how far these differ. On images that are not the official files (see
`nasbench_kit.data.images.cifar10`) nothing of this is a reproduction. Killed, the same command goes on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from scipy import stats

from nasbench_kit.cli.common import progress_bar
from nasbench_kit.compare.retrain import retrain, summaries
from nasbench_kit.data.benchmarks.nasbench101.sample import from_sample
from nasbench_kit.data.images.image_sets import open_images
from nasbench_kit.spaces.nasbench101.cell import Cell
from nasbench_kit.spaces.skeleton import Precision
from nasbench_kit.table.table import Table
from nasbench_kit.training.images import ImageSet
from nasbench_kit.training.recipe import NASBENCH101, Recipe

SAMPLE = Path("../shared/data/nasbench101_sample.json.gz")


def spread_rows(table: Table, count: int, epochs: int) -> list[int]:
    """Rows evenly spread over the ranking by validation accuracy after so many epochs."""
    order = np.argsort(table.mean("validation_accuracy", epochs), kind="stable")
    return order[np.linspace(0, len(order) - 1, count + 2)[1:-1].round().astype(int)].tolist()


def trained(
    cells: Sequence[Cell],
    folder: Path,
    images: ImageSet,
    recipe: Recipe,
    epochs: int,
    **how: Any,
) -> list[float]:
    """Validation accuracies of the cells, one training each; kept in the folder."""
    jobs = [(cell, 0) for cell in cells]
    with progress_bar(f"{folder.name}: {len(jobs)} cells") as progress:
        retrain(jobs, folder, images, recipe, epochs, progress=progress, **how)
    found = {
        row["architecture"]: row["validation_mean"]
        for row in summaries(folder, {"": cells}, range(1))
    }
    return [found[cell.to_text()] for cell in cells]


def against(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    """Rank correlation of two lists of accuracies, and mean and median of ours minus theirs."""
    off = np.subtract(ours, theirs)
    return {
        "spearman": float(stats.spearmanr(ours, theirs).statistic),
        "kendall": float(stats.kendalltau(ours, theirs).statistic),
        "mean_offset": float(off.mean()),
        "median_offset": float(np.median(off)),
        "largest_difference": float(np.abs(off).max()),
    }


def main() -> None:
    """Train, compare, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=Path, default=SAMPLE)
    parser.add_argument("--cifar", required=True, metavar="DIR", help="CIFAR-10")
    parser.add_argument("--cells", type=int, default=12)
    parser.add_argument("--epochs", type=int, nargs="+", default=[4, 12])
    parser.add_argument("--precision", nargs="+", choices=get_args(Precision), default=["bfloat16"])
    parser.add_argument("--workers-per-device", type=int, default=2)
    parser.add_argument("--cuda-graph", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu_sample"))
    args = parser.parse_args()
    table = from_sample(args.sample)
    images = open_images(args.cifar)
    devices = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    if not devices:
        parser.error(f"no GPU here; {args.cells} cells take days on a CPU")
    rows = spread_rows(table, args.cells, max(args.epochs))
    cells = [table.covered[row] for row in rows]
    report: dict[str, Any] = {"images": images.name, "cells": [cell.hash for cell in cells]}
    for epochs in args.epochs:
        real = table.mean("validation_accuracy", epochs)[rows].tolist()
        ours = {
            precision: trained(
                cells,
                args.out / f"{precision}-{epochs}",
                images,
                NASBENCH101,
                epochs,
                precision=precision,
                devices=devices,
                workers_per_device=args.workers_per_device,
                cuda_graph=args.cuda_graph,
            )
            for precision in args.precision
        }
        report[f"{epochs} epochs"] = {
            "official": real,
            **{precision: {"ours": a} | against(a, real) for precision, a in ours.items()},
        }
        if len(ours) == 2:
            first, second = ours.values()
            pair = " against ".join(ours)
            report[f"{epochs} epochs"][pair] = against(first, second)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
