"""Shared weights of ProxylessNAS' chain: paths, mixtures, their work, and searches on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nasbench_kit.cli import main
from nasbench_kit.errors import InvalidSetting
from nasbench_kit.spaces.layers.chain_supernet import ChainSupernet
from nasbench_kit.spaces.layers.proxylessnas import ProxylessNAS
from nasbench_kit.spaces.skeleton import Skeleton
from nasbench_kit.training.evaluation import track_statistics

SPACE = ProxylessNAS()
SKELETON = Skeleton(8, 1, 1)
SHAPE = (8, 8, 3)


@pytest.fixture(scope="module")
def shared() -> ChainSupernet:
    made = SPACE.supernet(SKELETON, 3, 5, torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    for weight in made.parameters():  # scales and shifts as well
        weight.data = torch.randn(weight.shape, generator=generator) * 0.3
    return made


def images() -> torch.Tensor:
    return torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(3))


def alone(architecture: Any, shared: ChainSupernet) -> nn.Module:
    """The stand-alone network with the supernet's weights."""
    network: Any = architecture.network(
        SKELETON,
        3,
        5,
        generator=torch.Generator().manual_seed(4),
        bn_momentum=None,
        precision="float32",
    )
    blocks: Any = [
        places[option]  # type: ignore[index]
        for places, option in zip(shared.places, architecture.options, strict=True)
    ]
    theirs = [
        weight
        for part in (shared.stem, *blocks, shared.head, shared.classifier)
        for weight in part.parameters()
    ]
    with torch.no_grad():
        for weight, value in zip(network.parameters(), theirs, strict=True):
            weight.copy_(value)
    track_statistics(network, False)
    return network.train()


def test_a_path_is_the_stand_alone_network(shared: ChainSupernet) -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        architecture = SPACE.sample(rng)
        torch.testing.assert_close(
            shared(images(), architecture), alone(architecture, shared)(images())
        )


def test_a_one_hot_mixture_is_the_path(shared: ChainSupernet) -> None:
    rng = np.random.default_rng(0)
    relaxation = SPACE.relaxation(rng)
    for _ in range(3):
        architecture = SPACE.sample(rng)
        mixture = relaxation.mixture_of(architecture)
        torch.testing.assert_close(shared(images(), mixture), shared(images(), architecture))
        np.testing.assert_allclose(
            mixture.work(SKELETON, SHAPE), architecture.work(SKELETON, SHAPE)
        )


def test_the_work_of_a_mixture_adds_up() -> None:
    """All options of one place, the others left out or the first: the sum of what each adds."""
    relaxation = SPACE.relaxation(np.random.default_rng(0))
    whole = relaxation.mixture().work(SKELETON, SHAPE)
    assert [len(active) for active in relaxation.mixture().active] == [
        len(options) for _, options in SPACE.decisions
    ]
    first = SPACE.parse("0" * 21).work(SKELETON, SHAPE)
    total = first.copy()
    for place in range(21):
        for option in range(1, 6):
            options = [0] * 21
            options[place] = option
            other: Any = SPACE.decode(options)
            nothing = SPACE.decode([*options[:place], 6, *options[place + 1 :]])
            if len(SPACE.decisions[place].options) == 7:
                assert nothing is not None
                total += other.work(SKELETON, SHAPE) - nothing.work(SKELETON, SHAPE)
            else:  # a block that cannot be left out: its work by the difference of two kernels
                total += other.work(SKELETON, SHAPE) - first + _own(place)
    np.testing.assert_allclose(whole, total)


def _own(place: int) -> Any:
    """What the first option of a place costs by itself."""
    with_it = SPACE.work_of([(p, 0) for p in range(21)], SKELETON, SHAPE)
    return with_it - SPACE.work_of([(p, 0) for p in range(21) if p != place], SKELETON, SHAPE)


def test_the_way_back_leaves_no_first_block_out() -> None:
    relaxation = SPACE.relaxation(np.random.default_rng(0))
    with torch.no_grad():
        relaxation.operations[:, 6] = 9.0
        relaxation.operations[:, 2] = 5.0
    expected = ["2" if len(options) == 6 else "6" for _, options in SPACE.decisions]
    assert relaxation.discretised().to_text() == "".join(expected)
    drawn, likelihood = relaxation.draw(np.random.default_rng(1))
    assert drawn in SPACE
    assert likelihood < 0


def test_part_of_the_channels_is_refused(shared: ChainSupernet) -> None:
    relaxation = SPACE.relaxation(np.random.default_rng(0))
    with pytest.raises(InvalidSetting, match="PC-DARTS"):
        shared(images(), relaxation.mixture(4))


@pytest.mark.parametrize("search", ["gdas-small", "proxylessnas-gates-small", "darts-small"])
def test_gradient_searches_run_on_the_chain(
    search: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NASBENCH_KIT_HOME", str(tmp_path / "home"))
    words = ["compare", "--space", "proxylessnas", "--data", "digits", "--fidelities", "1"]
    words += ["--repeats", "1", "--seeds", "1", "--epochs", "4", "--workers", "1"]
    assert main([*words, "--algorithms", search, "--out", str(tmp_path / "out")]) == 0
    assert b'"supernet"' in (tmp_path / "out" / "traces" / f"{search}-0.json").read_bytes()
