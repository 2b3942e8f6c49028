"""Trains a cell from scratch by a fixed recipe and measures it, as NAS-Bench-101 was made.

One loop serves every recipe:

    >>> training = train(cell, images, NASBENCH101, epochs=108, seed=0, device="cuda")
    >>> training.final.validation.accuracy
    0.93
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from nasbench_kit.cell import Cell
from nasbench_kit.errors import InvalidSetting, TrainingFailed
from nasbench_kit.images import ImageSet
from nasbench_kit.loaded import LoadedImages, load, shuffled
from nasbench_kit.network import Network
from nasbench_kit.optimizer import TFRMSProp
from nasbench_kit.recipe import DIGITS, NASBENCH101, Recipe

__all__ = ["DIGITS", "NASBENCH101", "Measurement", "Recipe", "Score", "Training", "train"]

#: Images of one forward pass that computes no gradient; changes speed and memory, not results.
EVALUATION_BATCH = 512


@dataclass(frozen=True)
class Score:
    """How many of the evaluated images are classified correctly."""

    correct: int
    images: int

    @property
    def accuracy(self) -> float:
        """Accuracy in [0, 1]."""
        return self.correct / self.images


@dataclass(frozen=True)
class Measurement:
    """The network at one moment of its training."""

    #: Seconds of training so far; evaluation is not counted.
    seconds: float
    train: Score
    validation: Score
    test: Score


@dataclass(frozen=True)
class Training:
    """The record of one training, with what the official records hold."""

    cell: Cell
    epochs: int
    seed: int
    trainable_parameters: int
    #: Before the first step that learns, after half of the steps, and at the end.
    start: Measurement
    halfway: Measurement
    final: Measurement
    #: Whether a loss was NaN or infinite. The accuracies are what was measured all the same.
    failed: bool
    #: Bytes at most in use: by tensors on a GPU; on a CPU by the whole process since its start.
    peak_memory: int

    @property
    def seconds(self) -> float:
        """Seconds of the whole training; evaluation is not counted."""
        return self.final.seconds


def train(
    cell: Cell,
    images: ImageSet,
    recipe: Recipe,
    epochs: int,
    seed: int,
    *,
    device: str | torch.device = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Training:
    """Train a cell's network from fresh weights.

    The same seed gives the same accuracies again on the same CPU with as many torch threads;
    global random state is neither read nor changed.

    Args:
        cell: any cell whose operations have modules.
        images: what it is trained and measured on.
        recipe: how; ``NASBENCH101``, ``DIGITS`` or your own.
        epochs: passes over the training images, the whole length of the cosine.
        seed: draws the weights, the order of the images and their augmentation.
        device: where torch computes.
        progress: called after each step with the steps done and the steps in all.

    Raises:
        InvalidSetting: less than two steps, a negative seed, an operation without a module, or a
            device that cannot be used.
        TrainingFailed: out of memory.
    """
    steps = recipe.steps(epochs, len(images.train))
    if steps < 2:
        raise InvalidSetting(
            f"{epochs} epochs of {len(images.train)} images are {steps} steps of "
            f"{recipe.batch_size}; at least 2 are needed, so train longer or in smaller batches"
        )
    if seed < 0:
        raise InvalidSetting(f"seed is {seed}; it must be 0 or more")
    device = _usable(device)
    try:
        return _train(cell, images, recipe, epochs, seed, device=device, progress=progress)
    except RuntimeError as error:
        if isinstance(error, torch.cuda.OutOfMemoryError) or "allocate memory" in str(error):
            raise TrainingFailed(
                f"out of memory on {device}, training {cell.to_text()} in batches of "
                f"{recipe.batch_size}; use a smaller batch or skeleton, or another device"
            ) from error
        raise


def _train(
    cell: Cell,
    images: ImageSet,
    recipe: Recipe,
    epochs: int,
    seed: int,
    *,
    device: torch.device,
    progress: Callable[[int, int], None] | None,
) -> Training:
    rng = np.random.default_rng(seed)
    weights = torch.Generator().manual_seed(int(rng.integers(2**63)))
    data = load(images, device, augment=recipe.augment)
    shards = recipe.batch_size // recipe.bn_batch_size
    # Each shard moves the running statistics (on a TPU one did): together by the recipe's share.
    momentum = recipe.bn_momentum and 1 - (1 - recipe.bn_momentum) ** (1 / shards)
    network = Network(
        cell,
        recipe.skeleton,
        images.channels,
        images.classes,
        generator=weights,
        bn_momentum=momentum,
    ).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = _optimizer(recipe, network)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)

    steps = recipe.steps(epochs, len(images.train))
    picks = shuffled(rng, len(images.train), recipe.batch_size)
    total_loss = torch.zeros((), device=device)  # NaN and infinity stay in a sum
    seconds = 0.0
    measurements = []
    for begin, end in pairwise((0, int(recipe.idle_first_step), steps // 2, steps)):
        started = _clock(device)
        network.train()
        for step in range(begin, end):
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate_at(step, steps)
            batch, labels = data.batch(next(picks), rng)  # [b, c, h, w], [b]
            optimizer.zero_grad()
            for x, y in zip(
                torch.split(batch, recipe.bn_batch_size),
                torch.split(labels, recipe.bn_batch_size),
                strict=True,
            ):
                loss = functional.cross_entropy(network(x), y) / shards
                loss.backward()  # type: ignore[no-untyped-call]
                total_loss += loss.detach()
            optimizer.step()
            if progress is not None:
                progress(step + 1, steps)
        seconds += _clock(device) - started
        if recipe.bn_momentum is None:
            _renew_statistics(network, data)
        scores = _evaluate(network, data)
        measurements.append(Measurement(seconds, *scores))

    start, halfway, final = measurements
    return Training(
        cell=cell,
        epochs=epochs,
        seed=seed,
        trainable_parameters=network.trainable_parameters,
        start=start,
        halfway=halfway,
        final=final,
        failed=not math.isfinite(total_loss.item()),
        peak_memory=_peak_memory(device),
    )


def _usable(name: str | torch.device) -> torch.device:
    try:
        device = torch.device(name)
        torch.zeros((), device=device)
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise InvalidSetting(
            f"device {str(name)!r} cannot be used here ({str(error).splitlines()[0]}); "
            "'cpu' always can"
        ) from error
    return device


def _optimizer(recipe: Recipe, network: nn.Module) -> torch.optim.Optimizer:
    if recipe.optimizer == "rmsprop":
        return TFRMSProp(
            network.parameters(),
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
        )
    return torch.optim.SGD(
        network.parameters(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        fused=True,
    )


@torch.no_grad()
def _renew_statistics(network: nn.Module, data: LoadedImages) -> None:
    """Running statistics of batch norm := those of the training images under today's weights."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()  # its momentum is None: it averages all that follow
    network.train()
    images = data.images[0]
    for part in images.chunk(math.ceil(len(images) / EVALUATION_BATCH)):
        network(data.normalised(part))


@torch.inference_mode()
def _evaluate(network: nn.Module, data: LoadedImages) -> list[Score]:
    """Scores on the evaluated images of train, validation and test; the network in eval mode."""
    network.eval()
    scores = []
    for images, labels, scored in zip(data.images, data.labels, data.evaluated, strict=True):
        correct = torch.zeros((), dtype=torch.int64, device=labels.device)
        for first in range(0, scored, EVALUATION_BATCH):
            part = slice(first, min(first + EVALUATION_BATCH, scored))
            logits = network(data.normalised(images[part]))  # [b, classes]
            correct += (logits.argmax(1) == labels[part]).sum()
        scores.append(Score(int(correct), scored))
    return scores


def _clock(device: torch.device) -> float:
    """Seconds, once the device has done what it was asked to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes there, KiB elsewhere
