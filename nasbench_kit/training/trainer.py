"""Trains an architecture from scratch by a fixed recipe and measures it, as NAS-Bench-101 was made.

One loop serves every recipe:

    >>> training = train(architecture, images, NASBENCH101, epochs=108, seed=0, device="cuda")
    >>> training.final.validation.accuracy
    0.93
"""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from nasbench_kit.errors import CheckpointLost, InvalidSetting, NotWritable, TrainingFailed
from nasbench_kit.spaces.edge_cells.operations import Noise
from nasbench_kit.spaces.image_network import ImageNetwork
from nasbench_kit.spaces.protocols import material, trainable
from nasbench_kit.spaces.skeleton import Precision
from nasbench_kit.spaces.trained_network import TrainedNetwork, check_target
from nasbench_kit.system.files import check_writable
from nasbench_kit.training import regularized
from nasbench_kit.training.averaged_sgd import AveragedSGD, averaged, keep_averages
from nasbench_kit.training.checkpoint import State
from nasbench_kit.training.cuda_graph import recorded
from nasbench_kit.training.data_set import DataSet, Loaded
from nasbench_kit.training.device import clock, out_of_memory, peak_memory, usable
from nasbench_kit.training.evaluation import track_statistics
from nasbench_kit.training.images import ImageSet
from nasbench_kit.training.optimizer import TFRMSProp
from nasbench_kit.training.recipe import (
    DIGITS,
    NASBENCH101,
    DropoutRecipe,
    Recipe,
    RegularizedRecipe,
    TextRecipe,
)
from nasbench_kit.training.record import Measurement, Score, Training
from nasbench_kit.training.text import check_material

__all__ = [
    "DIGITS",
    "NASBENCH101",
    "Measurement",
    "Recipe",
    "Score",
    "Training",
    "train",
    "train_network",
]


def train(
    architecture: Any,
    images: DataSet,
    recipe: Recipe,
    epochs: int,
    seed: int,
    *,
    device: str | torch.device = "cpu",
    precision: Precision = "float32",
    cuda_graph: bool = False,
    checkpoint: Path | None = None,
    checkpoint_every_seconds: float = 600.0,
    weights: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Training:
    """Train an architecture's network from fresh weights.

    The same seed gives the same accuracies again on the same CPU with as many torch threads,
    also if the training was killed and resumed; global random state is neither read nor changed.

    Args:
        architecture: any that can become a network (`nasbench_kit.spaces.Trainable`).
        images: what it is trained and measured on; a text for architectures that read text.
        recipe: how; ``NASBENCH101``, ``DIGITS`` or your own, a ``TextRecipe`` for text.
        epochs: passes over the training images, the whole length of the cosine.
        seed: draws the weights, the order of the images and their augmentation, and dropout's masks.
        device: where torch computes.
        precision: of the network's arithmetic, see ``Network``.
        cuda_graph: whether a GPU replays each step from a recording, which saves small networks
            most of their time. Modules of your own must not wait for the device then.
        checkpoint: file that the training resumes from if it is there. Written every so often and
            at the end, when it holds the trained weights (see ``checkpoint.State.save``).
        checkpoint_every_seconds: how often.
        weights: file that the trained network is written to at the end, for ``Network.load``; a file
            of weights that is there is replaced.
        progress: called after each step with the steps done and the steps in all.

    Raises:
        InvalidSetting: less than two steps, a negative seed, an architecture that cannot become a network, an
            unknown precision, or a device that cannot be used.
        WrongTable: the checkpoint is of another training.
        CorruptFile: the checkpoint cannot be read.
        NotWritable: the checkpoint or the weights cannot be written; nothing was trained.
        CheckpointLost: the checkpoint could be written no more at the end; has the training.
        TrainingFailed: out of memory; the message says what fits.
    """
    if weights is not None:
        check_target(weights)
    try:
        training, network = train_network(
            architecture,
            images,
            recipe,
            epochs,
            seed,
            device=device,
            precision=precision,
            cuda_graph=cuda_graph,
            checkpoint=checkpoint,
            checkpoint_every_seconds=checkpoint_every_seconds,
            progress=progress,
        )
    except CheckpointLost as error:
        if weights is not None:
            error.network.save(weights)
        raise
    if weights is not None:
        network.save(weights)
    return training


def train_network(
    architecture: Any,
    images: DataSet,
    recipe: Recipe,
    epochs: int,
    seed: int,
    *,
    device: str | torch.device = "cpu",
    precision: Precision = "float32",
    cuda_graph: bool = False,
    checkpoint: Path | None = None,
    checkpoint_every_seconds: float = 600.0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Training, TrainedNetwork]:
    """As ``train``, with the network that the final accuracies are of."""
    device = check_training(
        images, recipe, epochs, seed, device=device, precision=precision, cuda_graph=cuda_graph
    )
    if checkpoint is not None:
        check_writable(checkpoint)
    try:
        return _train(
            architecture,
            images,
            recipe,
            epochs,
            seed,
            device=device,
            precision=precision,
            cuda_graph=cuda_graph,
            checkpoint=checkpoint,
            checkpoint_every_seconds=checkpoint_every_seconds,
            progress=progress,
        )
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
    # Here, and not in the handler: the traceback would hold on to the memory.
    if images.material == "text":
        raise TrainingFailed(
            f"out of memory on {device}, training {architecture.to_text()}: windows of "
            f"{recipe.batch_size} streams do not fit; use a recipe with fewer streams or shorter "
            "windows, a smaller skeleton, or another device"
        )
    fits = _largest_shard(architecture, images, recipe, device, precision)
    raise TrainingFailed(
        f"out of memory on {device}, training {architecture.to_text()}: shards of {recipe.bn_batch_size} "
        f"images do not fit, {f'{fits} would' if fits else 'nor would 2'}; use a recipe with "
        f"{f'bn_batch_size {fits}, ' if fits else ''}a smaller skeleton, or another device"
    )


def check_training(
    images: DataSet,
    recipe: Recipe,
    epochs: int,
    seed: int,
    *,
    device: str | torch.device = "cpu",
    precision: Precision = "float32",
    cuda_graph: bool = False,
) -> torch.device:
    """Refuse what ``train`` would refuse for any architecture; returns the device.

    Raises:
        InvalidSetting: as ``train``.
    """
    check_material(images.material, images, recipe, "the data")
    if cuda_graph and images.material == "text":
        raise InvalidSetting("cuda_graph records steps on images only; leave it on text")
    steps = recipe.steps(epochs, len(images.train))
    if steps < 2:
        raise InvalidSetting(
            f"{epochs} epochs of {len(images.train)} {_examples(images)} are {steps} steps of "
            f"{recipe.batch_size}; at least 2 are needed, so train longer or in smaller batches"
        )
    if seed < 0:
        raise InvalidSetting(f"seed is {seed}; it must be 0 or more")
    if precision not in get_args(Precision):
        raise InvalidSetting(f"precision {precision!r} is unknown; choose 'float32' or 'bfloat16'")
    if cuda_graph and isinstance(recipe, RegularizedRecipe) and recipe.drop_path:
        raise InvalidSetting(
            f"recipe {recipe.name} drops other paths at every step, which cuda_graph cannot replay; leave it"
        )
    if cuda_graph and isinstance(recipe, DropoutRecipe) and recipe.dropout:
        raise InvalidSetting(
            f"recipe {recipe.name} drops other channels at every step, which cuda_graph cannot replay; leave it"
        )
    device = usable(device)
    if cuda_graph and device.type != "cuda":
        raise InvalidSetting(f"cuda_graph needs a CUDA device, and this is {str(device)!r}")
    return device


def _train(
    architecture: Any,
    images: DataSet,
    recipe: Recipe,
    epochs: int,
    seed: int,
    *,
    device: torch.device,
    precision: Precision,
    cuda_graph: bool,
    checkpoint: Path | None,
    checkpoint_every_seconds: float,
    progress: Callable[[int, int], None] | None,
) -> tuple[Training, TrainedNetwork]:
    data = images.loaded(device, recipe)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    state = _fresh(architecture, images, recipe, seed, device=device, precision=precision)
    conditions: dict[str, Any] = {}
    if checkpoint is not None:
        conditions = {
            "architecture": architecture.to_text(),
            "recipe": asdict(recipe),
            "images": images.digest,
            "epochs": epochs,
            "seed": seed,
            "precision": precision,
        }
        if checkpoint.exists():
            state.load(checkpoint, conditions)

    steps = recipe.steps(epochs, len(images.train))
    make_gradients = _gradients_of(state, recipe, steps, epochs)
    if cuda_graph:
        some = data.batch(np.arange(recipe.batch_size) % len(images.train), np.random.default_rng())
        make_gradients = _recorded(make_gradients, some, state)

    measured_after = (int(recipe.idle_first_step), steps // 2, steps)
    saved, lost = time.monotonic(), None
    for end in measured_after[len(state.measurements) :]:
        started = clock(device)
        state.network.train()
        for step in range(state.step, end):
            batch, labels = data.batch(next(state.picks), state.rng)
            rate = recipe.learning_rate_at(step, steps, epochs)
            _set_rate(state.optimizer, rate * recipe.share_of_rate(tuple(labels.shape)))
            make_gradients(batch, labels)
            state.optimizer.step()
            state.step = step + 1
            started += _watched(state, data, steps // epochs, device)
            if progress is not None:
                progress(state.step, steps)
            if checkpoint is not None and time.monotonic() - saved >= checkpoint_every_seconds:
                state.seconds += clock(device) - started
                with contextlib.suppress(NotWritable):  # the training goes on; later it tries again
                    state.save(checkpoint, conditions)
                saved, started = time.monotonic(), clock(device)
        state.seconds += clock(device) - started
        with averaged(state.optimizer):
            scores = data.measure(state.network, renew=recipe.bn_momentum is None)
        state.measurements.append(Measurement(state.seconds, *scores))
        state.peak_memory = max(state.peak_memory, peak_memory(device))
        if checkpoint is not None and end == steps:
            try:
                state.save(checkpoint, conditions)
            except NotWritable as error:
                lost = CheckpointLost(str(error))

    keep_averages(state.optimizer)  # what was measured is what is kept
    regularized.without_auxiliary_head(state.network)
    start, halfway, final = state.measurements
    training = Training(
        architecture=architecture,
        epochs=epochs,
        seed=seed,
        trainable_parameters=sum(weights.numel() for weights in state.network.parameters()),
        start=start,
        halfway=halfway,
        final=final,
        failed=not math.isfinite(state.total_loss.item()),
        peak_memory=state.peak_memory,
    )
    network = _trained(training, state.network, images, recipe, precision)
    if lost is not None:
        lost.training, lost.network = training, network
        raise lost
    return training, network


def _trained(
    training: Training, network: nn.Module, images: DataSet, recipe: Recipe, precision: Precision
) -> TrainedNetwork:
    track_statistics(network, True)  # as in any other network, should it be trained further
    height, width, channels = images.shape
    pictures = images if isinstance(images, ImageSet) else None
    return TrainedNetwork(
        network,
        training.architecture,
        recipe.skeleton,
        classes=images.classes,
        precision=precision,
        mean=pictures.mean if pictures else (),
        std=pictures.std if pictures else (),
        image_shape=(channels, height, width) if pictures else (),
        class_names=images.class_names,
        conditions={
            "images": images.name,
            "images_digest": images.digest,
            "recipe": asdict(recipe),
            "epochs": training.epochs,
            "seed": training.seed,
        },
    )


def _fresh(
    architecture: Any,
    images: DataSet,
    recipe: Recipe,
    seed: int,
    *,
    device: torch.device,
    precision: Precision,
) -> State:
    """A training before its first step."""
    check_material(material(architecture), images, recipe, architecture.to_text())
    rng = np.random.default_rng(seed)
    weights = torch.Generator().manual_seed(int(rng.integers(2**63)))
    shards = recipe.batch_size // recipe.bn_batch_size
    # Each shard moves the running statistics (on a TPU one did): together by the recipe's share.
    momentum = recipe.bn_momentum and 1 - (1 - recipe.bn_momentum) ** (1 / shards)
    network = trainable(architecture).network(
        recipe.skeleton,
        images.shape[2],
        images.classes,
        generator=weights,
        bn_momentum=momentum,
        precision=precision,
    )
    if isinstance(recipe, RegularizedRecipe):
        regularized.prepare(network, recipe, weights)
    if isinstance(recipe, DropoutRecipe) and not isinstance(network, ImageNetwork):
        raise InvalidSetting(
            f"recipe {recipe.name}: dropout is for networks that derive from "
            f"{ImageNetwork.__module__}.ImageNetwork, and this is {type(network).__name__}; choose another recipe"
        )
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if recipe.bn_momentum is None:
        track_statistics(network, False)
    return State(
        network,
        _optimizer(recipe, network),
        rng,
        images.loaded(device, recipe).picks(rng, recipe.batch_size),
        torch.zeros((), device=device),
    )


def _examples(images: DataSet) -> str:
    return "tokens" if images.material == "text" else "images"


def _optimizer(recipe: Recipe, network: nn.Module) -> torch.optim.Optimizer:
    settings: dict[str, Any] = {
        "lr": recipe.learning_rate,
        "momentum": recipe.momentum,
        "weight_decay": recipe.weight_decay,
    }
    if isinstance(recipe, TextRecipe):
        return AveragedSGD(
            network.parameters(),
            recipe.learning_rate,
            clip=recipe.clip,
            weight_decay=recipe.weight_decay,
            patience=recipe.patience,
        )
    if recipe.optimizer == "rmsprop":
        return TFRMSProp(network.parameters(), **settings)
    if recipe.optimizer == "adam":
        decays = settings.pop("momentum"), 0.999
        return torch.optim.Adam(network.parameters(), betas=decays, eps=1e-7, **settings)
    return torch.optim.SGD(network.parameters(), fused=True, **settings)


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _watched(state: State, data: Loaded, steps_an_epoch: int, device: torch.device) -> float:
    """After each epoch, show the validation loss to an optimizer that waits for it; the seconds it took."""
    optimizer = state.optimizer
    if not isinstance(optimizer, AveragedSGD):
        return 0.0
    if state.step % steps_an_epoch or not optimizer.watching:
        return 0.0
    started = clock(device)
    validation = data.measure(state.network, renew=False)[1]
    optimizer.note(-math.log(validation.accuracy))
    state.network.train()
    return clock(device) - started


def _gradients_of(
    state: State, recipe: Recipe, steps: int, epochs: int
) -> Callable[[Any, Tensor], None]:
    """What makes the gradients of a step, as the recipe has it."""
    if not isinstance(recipe, RegularizedRecipe):
        dropout = recipe.dropout if isinstance(recipe, DropoutRecipe) else 0.0
        plain = functools.partial(_loss, state, dropout=dropout)
        return functools.partial(_make_gradients, state, recipe.bn_batch_size, plain)
    loss = regularized.Loss(state, recipe, steps, epochs)

    def make(batch: Any, labels: Tensor) -> None:
        _make_gradients(state, recipe.bn_batch_size, loss, batch, labels)
        nn.utils.clip_grad_norm_(state.network.parameters(), recipe.clip)

    return make


def _recorded(
    make_gradients: Callable[[Any, Tensor], None], some: tuple[Tensor, Tensor], state: State
) -> Callable[[Any, Tensor], None]:
    """The same, replayed by a GPU.

    Raises:
        InvalidSetting: the network draws noise as it goes.
    """
    if any(isinstance(module, Noise) for module in state.network.modules()):
        raise InvalidSetting(
            "the network draws other noise at every step, which cuda_graph cannot replay; leave it"
        )
    return recorded(make_gradients, *some, [*state.network.buffers(), state.total_loss])


def _loss(state: State, batch: Any, labels: Tensor, dropout: float = 0.0) -> Tensor:
    if not dropout:
        loss = functional.cross_entropy(state.network(batch), labels)
        return loss + getattr(state.network, "penalty", 0.0)  # of a language model
    assert isinstance(state.network, ImageNetwork)
    channels = state.network.classifier.in_features
    kept = regularized.draw_paths(
        torch.tensor([1 - dropout], dtype=torch.float64), channels, len(labels), state.rng
    )
    scales = kept[0].T.to(batch.device)
    return functional.cross_entropy(state.network(batch, scales), labels)


def _make_gradients(
    state: State, shard: int, loss: Callable[[Any, Tensor], Tensor], batch: Any, labels: Tensor
) -> None:
    """Gradients of the mean loss of a batch, as the mean over shards of a number of images."""
    state.optimizer.zero_grad()
    whole = shard == len(labels)
    parts = [batch] if whole else torch.split(batch, shard)
    for x, y in zip(parts, torch.split(labels, shard), strict=True):
        part = loss(x, y) / (len(labels) // shard)
        part.backward()  # type: ignore[no-untyped-call]
        state.total_loss += part.detach()


def _largest_shard(
    architecture: Any, images: DataSet, recipe: Recipe, device: torch.device, precision: Precision
) -> int:
    """The largest halving of a shard that memory suffices for; 0 if it does not for 2 images."""
    size = recipe.bn_batch_size
    while (size := size // 2) >= 2:
        try:
            state = _fresh(architecture, images, recipe, 0, device=device, precision=precision)
            batch = torch.zeros(size, *images.shape, device=device)
            labels = torch.zeros(size, dtype=torch.int64, device=device)
            loss = functools.partial(_loss, state)
            _make_gradients(state, size, loss, batch.permute(0, 3, 1, 2), labels)
            state.optimizer.step()
            return size
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
    return 0
