"""Dropout before the classifier: the recipes of ENAS' macro space and of Katib's trials."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from nasbench_kit.data.images.digits import digits
from nasbench_kit.errors import InvalidSetting
from nasbench_kit.spaces import named
from nasbench_kit.spaces.skeleton import Skeleton
from nasbench_kit.training import trainer
from nasbench_kit.training.recipe import DIGITS, ENAS_MACRO, KATIB, DropoutRecipe
from nasbench_kit.training.trainer import train

torch.set_num_threads(1)

#: As on the digits, with dropout.
SMALL = DropoutRecipe(
    **{field.name: getattr(DIGITS, field.name) for field in dataclasses.fields(DIGITS)}
    | {"name": "small", "skeleton": Skeleton(4, 1, 1)},
    dropout=0.4,
)
NETWORK = named("enas-macro-3").parse("0-3.1-5.01")


@pytest.mark.parametrize("value", [-0.1, 1.0, math.nan])
def test_probabilities_outside_their_range_are_refused(value: float) -> None:
    with pytest.raises(InvalidSetting, match="dropout"):
        dataclasses.replace(SMALL, dropout=value)


def test_published_probabilities() -> None:
    assert (ENAS_MACRO.dropout, ENAS_MACRO.skeleton.stem_channels) == (0.1, 36)
    assert (KATIB.dropout, KATIB.optimizer, KATIB.learning_rate) == (0.4, "adam", 1e-3)


def test_channels_are_dropped_before_the_classifier_alone() -> None:
    network = NETWORK.network(
        Skeleton(4, 1, 1),
        1,
        10,
        generator=torch.Generator().manual_seed(0),
        bn_momentum=0.1,
        precision="float32",
    ).eval()
    images = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    scales = torch.rand(5, network.classifier.in_features)
    averages = network.features(images).mean((2, 3))
    expected = functional.linear(
        averages * scales, network.classifier.weight, network.classifier.bias
    )
    assert torch.equal(network(images, scales), expected)
    assert torch.equal(network(images), network(images, torch.ones_like(scales)))


def test_the_loss_drops_with_its_probability(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a classifier that sums what it sees, the mean sum stays, and some of 40 % are 0."""
    seen = []
    state = trainer._fresh(
        NETWORK, digits(), SMALL, 0, device=torch.device("cpu"), precision="float32"
    )
    whole = type(state.network).forward

    def forward(self: Any, images: Any, scales: Any = None) -> Any:
        seen.append(scales)
        return whole(self, images, scales)

    monkeypatch.setattr(type(state.network), "forward", forward)
    images = torch.zeros(400, 1, 8, 8)
    trainer._loss(state, images, torch.zeros(400, dtype=torch.int64), dropout=0.4)
    (scales,) = seen
    assert scales.shape == (400, 16)
    assert torch.isin(scales, torch.tensor([0.0, 1 / 0.6])).all()
    assert scales.mean().item() == pytest.approx(1, abs=5 * math.sqrt(0.4 / 0.6 / 6400))


def test_without_dropout_a_training_is_that_of_the_plain_recipe() -> None:
    none = train(NETWORK, digits(), dataclasses.replace(SMALL, dropout=0.0), 2, 0)
    plain = train(NETWORK, digits(), dataclasses.replace(DIGITS, skeleton=SMALL.skeleton), 2, 0)
    assert none.final.validation == plain.final.validation


def test_a_killed_training_goes_on_to_the_same_end(tmp_path: Path) -> None:
    """The masks come from the generator that the checkpoint keeps."""

    def ends(done: int, steps: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    expected = train(NETWORK, digits(), SMALL, 2, 0)
    often = {"checkpoint": tmp_path / "c", "checkpoint_every_seconds": 0.0}
    with pytest.raises(KeyboardInterrupt):
        train(NETWORK, digits(), SMALL, 2, 0, progress=ends, **often)  # type: ignore[arg-type]
    resumed = train(NETWORK, digits(), SMALL, 2, 0, **often)  # type: ignore[arg-type]
    for moment in ("start", "halfway", "final"):
        ours, theirs = getattr(resumed, moment), getattr(expected, moment)
        assert (ours.validation, ours.train) == (theirs.validation, theirs.train)


def test_networks_of_another_frame_and_recordings_are_refused() -> None:
    class Own:
        def network(self, *args: Any, **settings: Any) -> nn.Module:
            return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

        def work(self, *args: Any) -> Any:
            return np.ones(4)

        def to_text(self) -> str:
            return "own"

    with pytest.raises(InvalidSetting, match="dropout is for networks that derive"):
        train(Own(), digits(), SMALL, 2, 0)
    with pytest.raises(InvalidSetting, match="drops other channels at every step"):
        train(NETWORK, digits(), SMALL, 2, 0, cuda_graph=True)


def test_adam_steps_as_its_paper_says() -> None:
    """One step moves every weight by the learning rate times g / (|g| + epsilon), up to its sign."""
    weight = nn.Linear(1, 1, bias=False)
    optimizer = trainer._optimizer(KATIB, weight)
    before = weight.weight.item()
    weight.weight.grad = torch.full((1, 1), -3.0)
    optimizer.step()
    assert weight.weight.item() - before == pytest.approx(KATIB.learning_rate, rel=1e-3)
