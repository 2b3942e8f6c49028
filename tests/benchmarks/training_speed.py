"""Seconds of one epoch of training, against nasbench_pytorch's trainer.

    python tests/benchmarks/training_speed.py [--threads N]            # digits on the CPU
    python tests/benchmarks/training_speed.py --cifar DIR --device cuda

Three cells, the same images, the same device, the same process; the two trainers take turns, and
medians are compared. The other trainer is as it comes: its network, optimizer and clipping, and a
DataLoader as it makes them, without worker processes. Its loader for CIFAR-10 reads with torchvision;
where that is missing, the same steps are done image by image on tensors. Neither evaluates.

On a busy machine read the CPU seconds: wall-clock time holds what others did.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from nasbench_pytorch.model import Network as PeerNetwork
from nasbench_pytorch.trainer import train as peer_train
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from nasbench_kit.data.images.digits import digits
from nasbench_kit.data.images.image_sets import open_images
from nasbench_kit.spaces.nasbench101.cell import Cell
from nasbench_kit.training.images import ImageSet
from nasbench_kit.training.recipe import DIGITS, NASBENCH101, Recipe
from nasbench_kit.training.trainer import train

CELLS = ("resnet", "inception", "best")


class PeerImages(Dataset[tuple[Tensor, int]]):
    """What nasbench_pytorch's loader reads: one image at a time, augmented on CIFAR-10."""

    def __init__(self, images: ImageSet, *, augment: bool) -> None:
        mean, std = (torch.tensor(value) for value in (images.mean, images.std))
        self.labels = images.train.labels.tolist()
        self.transform: Callable[[Any], Tensor] | None = None
        self.stored: Any = images.train.images
        if not augment:
            pixels = torch.from_numpy(images.train.images).float()
            self.stored = ((pixels - mean) / std).permute(0, 3, 1, 2).contiguous()
            return
        try:
            from_array = importlib.import_module("PIL.Image").fromarray
            transforms = importlib.import_module("torchvision.transforms")
        except ImportError:

            def by_hand(pixels: Any) -> Tensor:
                padded = torch.nn.functional.pad(torch.from_numpy(pixels), (0, 0, 4, 4, 4, 4))
                top, left = torch.randint(0, 9, (2,)).tolist()
                crop = padded[top : top + 32, left : left + 32]
                if torch.rand(1) < 0.5:
                    crop = crop.flip(1)
                return ((crop.float() - mean) / std).permute(2, 0, 1)

            self.transform = by_hand
        else:
            steps = [
                from_array,
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize((mean / 255).tolist(), (std / 255).tolist()),
            ]
            self.transform = transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self.stored[index]
        return image if self.transform is None else self.transform(image), self.labels[index]


def peer_seconds(
    cell: Cell, images: ImageSet, recipe: Recipe, epochs: int, device: str
) -> tuple[float, float]:
    """Wall-clock and CPU seconds of one epoch of nasbench_pytorch."""
    skeleton = recipe.skeleton
    network = PeerNetwork(
        (cell.matrix.astype(int), list(cell.operations)),
        images.classes,
        images.channels,
        skeleton.stem_channels,
        skeleton.stacks,
        skeleton.cells_per_stack,
    ).to(device)
    data = PeerImages(images, augment=recipe.augment)
    loader = DataLoader(data, batch_size=recipe.batch_size, shuffle=True)
    synchronise(device)
    wall, cpu = time.perf_counter(), time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        peer_train(network, loader, num_epochs=epochs, device=device)
    synchronise(device)
    return (time.perf_counter() - wall) / epochs, (time.process_time() - cpu) / epochs


def our_seconds(
    cell: Cell, images: ImageSet, recipe: Recipe, epochs: int, device: str, **options: Any
) -> tuple[float, float]:
    """Wall-clock and CPU seconds of one epoch of ours."""
    cpu: list[float] = []  # readings at the begin and end of each stretch of training

    def clock(where: torch.device) -> float:
        synchronise(where.type)
        cpu.append(time.process_time())
        return time.perf_counter()

    with mock.patch("nasbench_kit.training.trainer.clock", clock):
        wall = train(cell, images, recipe, epochs, 0, device=device, **options).seconds
    return wall / epochs, sum(np.diff(cpu)[::2]) / epochs


def synchronise(device: str) -> None:
    """Wait for a GPU."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def main() -> None:
    """Measure, then print a line for each cell and way, and everything as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, help="torch threads (default: torch's)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cifar", type=Path, metavar="DIR", help="train on CIFAR-10")
    parser.add_argument("--epochs", type=int, help="default: 8 on digits, 1 on CIFAR-10")
    parser.add_argument("--rounds", type=int, default=7, help="the first one only warms up")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    images = open_images(args.cifar) if args.cifar else digits()
    recipe = NASBENCH101 if args.cifar else DIGITS
    epochs = args.epochs or (1 if args.cifar else 8)
    ways: dict[str, dict[str, Any]] = {"float32": {}}
    if args.device.startswith("cuda"):
        graph = {"cuda_graph": True}
        ways |= {"float32, graph": graph, "bfloat16": {"precision": "bfloat16"}}
        ways |= {"bfloat16, graph": {"precision": "bfloat16"} | graph}
    report = {}
    for name in CELLS:
        cell = Cell.named(name)
        taken: dict[str, list[tuple[float, float]]] = {way: [] for way in ("peer", *ways)}
        for _ in range(args.rounds):
            taken["peer"].append(peer_seconds(cell, images, recipe, epochs, args.device))
            for way, options in ways.items():
                taken[way].append(our_seconds(cell, images, recipe, epochs, args.device, **options))
        medians = {way: np.median(seconds[1:], axis=0) for way, seconds in taken.items()}
        for way in ways:
            wall, cpu = medians["peer"] / medians[way]
            report[f"{name}, {way}"] = {
                "peer_ms": 1e3 * medians["peer"][0],
                "our_ms": 1e3 * medians[way][0],
                "ratio": wall,
                "ratio_of_cpu_seconds": cpu,
            }
            print(f"{name}, {way}: {wall:.2f} times as fast ({cpu:.2f} by CPU seconds)", flush=True)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
