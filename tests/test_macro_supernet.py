"""Shared weights of ENAS' macro space, and ENAS on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nasbench_kit.cli import main
from nasbench_kit.errors import InvalidSetting, NotInSpace
from nasbench_kit.spaces.layers.enas_macro import ENASMacro
from nasbench_kit.spaces.layers.macro_supernet import MacroSupernet
from nasbench_kit.spaces.layers.skips import seen
from nasbench_kit.spaces.skeleton import Skeleton
from nasbench_kit.training.evaluation import track_statistics

SPACE = ENASMacro(4)
SKELETON = Skeleton(4, 1, 1)


def supernet() -> MacroSupernet:
    made = SPACE.supernet(SKELETON, 3, 5, torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    for weight in made.parameters():  # scales and shifts as well
        weight.data = torch.randn(weight.shape, generator=generator) * 0.3
    return made


def alone(architecture: Any, shared: MacroSupernet) -> torch.nn.Module:
    """The stand-alone network with the supernet's weights, joins put together by hand."""
    network: Any = architecture.network(
        SKELETON,
        3,
        5,
        generator=torch.Generator().manual_seed(4),
        bn_momentum=None,
        precision="float32",
    )
    rows = SPACE.rows(architecture.options)
    _, names = SPACE.named_units(rows, 4)
    with torch.no_grad():
        for name, module in zip(names, network.units, strict=True):
            theirs: Any = shared.shared[name]
            if not name.endswith("join"):
                for weight, value in zip(module.parameters(), theirs.parameters(), strict=True):
                    weight.copy_(value)
                continue
            layer = int(name.split()[1])
            wide = module.convolution.weight.shape[0]
            columns = [
                block * wide + column
                for block in (*seen(rows[layer - 1], layer), layer - 1)
                for column in range(wide)
            ]
            module.convolution.weight.copy_(theirs.convolution.weight[:, columns])
            for weight, value in zip(
                module.norm.parameters(), theirs.norm.parameters(), strict=True
            ):
                weight.copy_(value)
        network.classifier.load_state_dict(shared.classifier.state_dict())
    track_statistics(network, False)
    return network.train()


def test_a_path_is_the_stand_alone_network() -> None:
    shared, rng = supernet(), np.random.default_rng(0)
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    for _ in range(20):
        architecture = SPACE.sample(rng)
        torch.testing.assert_close(
            shared(images, architecture), alone(architecture, shared)(images), rtol=1e-4, atol=1e-4
        )


def test_a_step_of_one_path_leaves_the_weights_of_others() -> None:
    shared = supernet()
    shared(torch.randn(4, 3, 8, 8), SPACE.parse("0-0.1-0.00-0.100")).sum().backward()
    used = {name for name, weight in shared.shared.named_parameters() if weight.grad is not None}
    assert not any("conv5x5" in name or "sep" in name or "avg" in name for name in used)
    touched = {}
    for layer in (2, 3, 4):
        module: Any = shared.shared[f"layer {layer} join"]
        blocks = module.convolution.weight.grad.reshape(-1, layer, module.unit.channels)
        touched[layer] = blocks.abs().sum((0, 2)).bool().tolist()
    assert touched == {
        2: [True, True],
        3: [False, False, True],
        4: [True, False, False, True],
    }


def test_shared_weights_come_from_their_generator_alone() -> None:
    before = torch.random.get_rng_state()
    one, again = (
        SPACE.supernet(SKELETON, 3, 5, torch.Generator().manual_seed(7)).state_dict()
        for _ in range(2)
    )
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_other_architectures_and_mixtures_are_refused() -> None:
    with pytest.raises(NotInSpace):
        supernet()(torch.zeros(2, 3, 8, 8), ENASMacro(3).sample(np.random.default_rng(0)))
    with pytest.raises(InvalidSetting, match="no mixtures"):
        SPACE.relaxation(np.random.default_rng(0))


def test_enas_shares_weights_in_its_own_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twice the same, and a gradient search says what is missing."""
    monkeypatch.setenv("NASBENCH_KIT_HOME", str(tmp_path / "home"))
    words = ["compare", "--space", "enas-macro-3", "--data", "digits", "--fidelities", "1"]
    words += ["--repeats", "1", "--seeds", "1", "--epochs", "6", "--workers", "1"]
    traces = []
    for name in ("one", "other"):
        out = tmp_path / name
        assert main([*words, "--algorithms", "enas-small", "--out", str(out)]) == 0
        traces.append((out / "traces" / "enas-small-0.json").read_bytes())
    assert traces[0] == traces[1]
    assert b'"supernet"' in traces[0]
    capsys.readouterr()
    assert main([*words, "--algorithms", "darts-small", "--out", str(tmp_path / "darts")]) in (1, 2)
    assert "no mixtures" in capsys.readouterr().err
