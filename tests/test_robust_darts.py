"""RobustDARTS' spaces: the operations of each edge, texts, drawings, and noise that is drawn by the rules."""

from __future__ import annotations

import copy
import dataclasses
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from test_edge_cells_sharing import SKELETON, alone, images, supernet_of

from nasbench_kit import spaces
from nasbench_kit.data.images.digits import digits
from nasbench_kit.errors import InvalidArchitecture, InvalidSetting
from nasbench_kit.spaces.edge_cells.darts import DARTS
from nasbench_kit.spaces.edge_cells.operations import Noise, make
from nasbench_kit.spaces.skeleton import Skeleton
from nasbench_kit.training.recipe import DARTS_DIGITS
from nasbench_kit.training.trainer import _recorded, train

torch.set_num_threads(1)


def test_each_edge_of_s1_has_its_own_operations() -> None:
    """As the released code lists them: some edges, and how many edges have the same two."""
    operations = {slot[:3]: set(slot.operations) for slot in DARTS("darts-s1").slots}
    assert operations[0, 0, 2] == {"skip_connect", "dil_conv_3x3"}
    assert operations[0, 1, 3] == {"skip_connect", "sep_conv_3x3"}
    assert operations[0, 0, 4] == {"max_pool_3x3", "skip_connect"}
    assert operations[0, 4, 5] == {"dil_conv_3x3", "dil_conv_5x5"}
    assert operations[1, 1, 2] == {"max_pool_3x3", "dil_conv_3x3"}
    assert operations[1, 1, 4] == {"max_pool_3x3", "sep_conv_3x3"}
    assert operations[1, 2, 4] == {"skip_connect", "dil_conv_3x3"}
    assert operations[1, 4, 5] == {"skip_connect", "dil_conv_5x5"}
    alike = Counter((kind, frozenset(two)) for (kind, _, _), two in operations.items())
    assert sorted(count for (kind, _), count in alike.items() if kind == 0) == [2, 2, 2, 4, 4]
    assert sorted(count for (kind, _), count in alike.items() if kind == 1) == [1, 1, 1, 5, 6]


@pytest.mark.parametrize("name", ["darts-s1", "darts-s2", "darts-s3", "darts-s4"])
def test_two_operations_an_edge_make_so_many_cells(name: str) -> None:
    """Pairs of edges into four nodes, 1, 3, 6 and 10, and two operations on each of eight edges."""
    assert len(spaces.named(name)) == (1 * 3 * 6 * 10 * 2**8) ** 2  # type: ignore[arg-type]


def test_a_text_of_s1_names_what_its_edges_have() -> None:
    space = DARTS("darts-s1")
    rng = np.random.default_rng(0)
    for _ in range(50):
        architecture = space.sample(rng)
        assert space.parse(architecture.to_text()) == architecture
        assert space.parse(space.nested(architecture)) == architecture
        for kind, cell in enumerate(space.edges_of(architecture)):
            for source, target, operation in cell:
                (slot,) = (s for s in space.slots if s[:3] == (kind, source, target))
                assert operation in slot.operations
    text = (
        "Genotype(normal=[('dil_conv_3x3',0),('dil_conv_5x5',1),('dil_conv_5x5',0),('sep_conv_3x3',1),"
        "('max_pool_3x3',0),('sep_conv_3x3',1),('sep_conv_3x3',0),('dil_conv_5x5',4)],"
        "normal_concat=range(2,6),reduce=[('avg_pool_3x3',0),('dil_conv_3x3',1),('avg_pool_3x3',0),"
        "('dil_conv_5x5',2),('sep_conv_3x3',1),('dil_conv_3x3',2),('avg_pool_3x3',0),"
        "('skip_connect',4)],reduce_concat=range(2,6))"
    )
    assert space.parse(text).to_text() == text
    drawing = space.parse(text)._repr_svg_()
    assert drawing.count("dil_conv_5x5") >= 3
    with pytest.raises(InvalidArchitecture):  # of the whole space, but not on this edge
        space.parse(text.replace("('dil_conv_3x3',0)", "('sep_conv_3x3',0)"))


def test_a_path_of_s1_is_the_stand_alone_network() -> None:
    space = DARTS("darts-s1")
    shared, rng = supernet_of(space), np.random.default_rng(0)
    for _ in range(3):
        architecture = space.sample(rng)
        network = alone(space, architecture, shared)
        torch.testing.assert_close(shared(images(), architecture), network(images()))
    mixture = space.relaxation(rng).mixture(4)
    assert shared(images(), mixture).shape == (4, 5)


# Noise --------------------------------------------------------------------------------------------


def noise(seed: int = 0) -> Noise:
    module = make("noise", 8, 8, 2)
    assert isinstance(module, Noise)
    module.seed.fill_(seed)
    return module


def test_noise_is_normal_and_knows_nothing_of_its_input() -> None:
    ones = torch.ones(16, 8, 31, 32, requires_grad=True)
    before = torch.random.get_rng_state()
    first = noise()(ones)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert first.shape == (16, 8, 16, 16)
    assert not first.requires_grad
    assert abs(first.mean()) < 5 / first.numel() ** 0.5
    assert abs(first.var() - 1) < 5 * (2 / first.numel()) ** 0.5
    assert torch.equal(first, noise()(ones * 7))
    assert not torch.equal(first, noise(1)(ones))


def test_each_pass_draws_anew_and_a_saved_module_goes_on() -> None:
    module, x = noise(), torch.zeros(2, 8, 4, 4)
    first = module(x)
    saved = copy.deepcopy(module.state_dict())
    second = module(x)
    assert not torch.equal(first, second)
    again = noise(99)
    again.load_state_dict(saved)
    assert torch.equal(again(x), second)
    module.eval()
    assert torch.equal(module(x), module(x))


def test_every_noise_of_a_network_is_another() -> None:
    space = DARTS("darts-s4")
    text = space.sample(np.random.default_rng(0)).to_text().replace("sep_conv_3x3", "noise")
    noisy = space.parse(text)

    def seeds(seed: int) -> list[int]:
        network = noisy.network(
            SKELETON,
            3,
            5,
            generator=torch.Generator().manual_seed(seed),
            bn_momentum=0.1,
            precision="float32",
        )
        assert network(images()).shape == (4, 5)
        return [int(m.seed) for m in network.modules() if isinstance(m, Noise)]

    assert len(set(seeds(0))) == len(seeds(0)) == 5 * 8
    assert seeds(0) == seeds(0)
    assert not set(seeds(0)) & set(seeds(1))


def test_a_training_with_noise_is_its_seeds_alone(tmp_path: Path) -> None:
    """Twice the same; and gone on from a file, the same again."""
    space = DARTS("darts-s4")
    architecture = space.sample(np.random.default_rng(1))
    assert "noise" in architecture.to_text()
    recipe = dataclasses.replace(
        DARTS_DIGITS, skeleton=Skeleton(2, 2, 1), batch_size=50, bn_batch_size=50
    )
    runs = [train(architecture, digits(), recipe, 2, 0).final for _ in range(2)]
    assert [run.test for run in runs[:1]] == [run.test for run in runs[1:]]
    file = tmp_path / "state.pt"

    def stop(step: int, steps: int) -> None:
        if step == steps - 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(
            *(architecture, digits(), recipe, 2, 0),
            checkpoint=file,
            checkpoint_every_seconds=0,
            progress=stop,
        )
    resumed = train(architecture, digits(), recipe, 2, 0, checkpoint=file)
    assert resumed.final.test == runs[0].test


def test_recorded_steps_cannot_draw_noise() -> None:
    state: Any = SimpleNamespace(network=torch.nn.Sequential(noise()))
    some = torch.zeros(0), torch.zeros(0)
    with pytest.raises(InvalidSetting, match="cuda_graph cannot replay"):
        _recorded(lambda batch, labels: None, some, state)
