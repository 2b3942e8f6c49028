"""Measuring a network: scores on the three splits, statistics of batch norm computed again."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

from nasbench_kit.training.device import out_of_memory
from nasbench_kit.training.record import AnyScore, Score

if TYPE_CHECKING:
    from nasbench_kit.training.loaded import LoadedImages

#: Images of one forward pass that computes no gradient; halved as often as memory demands.
BATCH = 512


def measure(network: nn.Module, data: LoadedImages, *, renew: bool) -> list[AnyScore]:
    """Scores on train, validation and test, in batches that memory suffices for.

    Args:
        network: left in eval mode.
        data: what it is measured on.
        renew: whether batch norm's statistics are computed again before.
    """
    batch = BATCH
    while True:
        try:
            if renew:
                renew_statistics(network, data, batch)
            return evaluate(network, data, batch)
        except (RuntimeError, MemoryError) as error:
            if batch == 1 or not out_of_memory(error):
                raise
        batch //= 2


@torch.no_grad()
def renew_statistics(network: nn.Module, data: LoadedImages, batch: int) -> None:
    """Running statistics of batch norm := those of the training images under today's weights."""
    track_statistics(network, True)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()  # its momentum is None: it averages all that follow
    network.train()
    images = data.images[0]
    for part in images.chunk(math.ceil(len(images) / batch)):
        network(data.normalised(part))
    track_statistics(network, False)


def track_statistics(network: nn.Module, on: bool) -> None:
    """Whether training moves the running statistics of batch norm."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.track_running_stats = on


@torch.inference_mode()
def evaluate(network: nn.Module, data: LoadedImages, batch: int) -> list[AnyScore]:
    """Scores on the evaluated images of train, validation and test; the network in eval mode."""
    network.eval()
    scores: list[AnyScore] = []
    for images, labels, scored in zip(data.images, data.labels, data.evaluated, strict=True):
        correct = torch.zeros((), dtype=torch.int64, device=labels.device)
        for first in range(0, scored, batch):
            part = slice(first, min(first + batch, scored))
            logits = network(data.normalised(images[part]))  # [b, classes]
            correct += (logits.argmax(1) == labels[part]).sum()
        scores.append(Score(int(correct), scored))
    return scores
