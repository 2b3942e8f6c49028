import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from nasbench_pytorch.model import Network as PeerNetwork
from torch import Tensor, nn

from nasbench_kit.errors import InvalidCell, InvalidSetting
from nasbench_kit.spaces.nasbench101 import network as network_module
from nasbench_kit.spaces.nasbench101.cell import OPERATIONS, Cell, register_operation
from nasbench_kit.spaces.nasbench101.network import (
    CellModule,
    Network,
    Skeleton,
    draw_weights,
    register_module,
)

torch.set_num_threads(1)  # these networks are too small to share

SMALL = Skeleton(stem_channels=8, stacks=2, cells_per_stack=2)
SAMPLE_ROW = (
    "0100110/0010000/0001001/0000010/0000010/0000001/0000000"
    ":conv3x3,maxpool3x3,conv3x3,conv3x3,conv1x1"
)


def random_cell(seed: int, size: int) -> Cell:
    rng = np.random.default_rng(seed)
    while True:
        matrix = np.triu(rng.integers(0, 2, (size, size)), 1)
        try:
            return Cell(matrix, list(rng.choice(OPERATIONS, size - 2)))
        except InvalidCell:
            continue


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("01/00:", 882_570),
        (Cell.named("resnet").to_text(), 20_346_506),
        (Cell.named("inception").to_text(), 2_694_282),
        (Cell.named("best").to_text(), 32_426_634),
        (SAMPLE_ROW, 8_555_530),
    ],
)
def test_parameter_counts_are_the_official_ones(text: str, parameters: int) -> None:
    with torch.device("meta"):  # shapes without weights
        network = Network(Cell.from_text(text), Skeleton(), 3, 10)
    assert network.trainable_parameters == parameters


@pytest.mark.parametrize("training", [True, False])
@settings(deadline=None, max_examples=12)
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(2, 9), stem=st.integers(8, 12))
def test_equals_nasbench_pytorch_under_the_same_weights(
    training: bool, seed: int, size: int, stem: int
) -> None:
    cell = random_cell(seed, size)
    ours = Network(cell, Skeleton(stem, 2, 1), 3, 5).double()
    with torch.random.fork_rng(devices=[]):
        peer = PeerNetwork(
            cell.to_model_spec(),
            num_labels=5,
            stem_out_channels=stem,
            num_stacks=2,
            num_modules_per_stack=1,
        ).double()
    generator = torch.Generator().manual_seed(seed)
    theirs = [weights for weights in peer.parameters() if weights.dim() and weights.numel()]
    with torch.no_grad():  # every weight and running statistic at random, the same in both
        for mine, other in zip(ours.parameters(), theirs, strict=True):
            mine.uniform_(-1, 1, generator=generator)
            other.copy_(mine)
        for held, other in zip(ours.buffers(), peer.buffers(), strict=True):
            if held.is_floating_point():
                held.uniform_(0.5, 1.5, generator=generator)
                other.copy_(held)
    images = torch.rand(4, 3, 6, 6, generator=generator, dtype=torch.float64)
    outputs = ours.train(training)(images), peer.train(training)(images)
    torch.testing.assert_close(*outputs, rtol=1e-9, atol=1e-9)
    for output in outputs:
        output.square().sum().backward()
    for mine, other in zip(ours.parameters(), theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-7, atol=1e-9)


def test_a_cell_by_hand() -> None:
    # input -> maxpool -> output and input -> output: projection, pool; plus projection
    cell = Cell.from_text("011/001/000:maxpool3x3")
    module = CellModule(cell, 2, 4).eval()
    draw_weights(module, torch.Generator().manual_seed(1))
    x = torch.rand(1, 2, 5, 5, generator=torch.Generator().manual_seed(2))

    def projected(vertex: int) -> Tensor:
        weight: Tensor = next(iter(module.input_op[vertex].parameters()))  # [4, 2, 1, 1]
        mixed = torch.einsum("oc,nchw->nohw", weight[:, :, 0, 0], x)
        return torch.relu(mixed / math.sqrt(1 + 1e-5))

    with torch.no_grad():
        expected = torch.nn.functional.max_pool2d(projected(1), 3, 1, 1) + projected(2)
        torch.testing.assert_close(module(x), expected)


def test_channels_are_shared_out_and_truncated() -> None:
    # Three vertices feed the output; the second feeds the third, which is one channel narrower.
    cell = Cell.from_text("01100/00001/00011/00001/00000:conv1x1,conv1x1,maxpool3x3")
    assert CellModule(cell, 8, 128).channels == [8, 43, 43, 42, 128]
    assert CellModule(Cell.named("inception"), 128, 128).channels == [128, 32, 32, 32, 32, 32, 128]


def test_unused_vertices_change_nothing() -> None:
    padded = Cell.from_text("0101/0000/0001/0000:conv3x3,conv1x1")  # nothing reaches the output
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    one, other = (Network(cell, SMALL, 3, 10).eval() for cell in (padded, Cell.from_text("01/00:")))
    assert torch.equal(one(images), other(images))


def test_more_feeders_than_channels_are_refused() -> None:
    size = 6
    matrix = np.zeros((size, size), int)
    matrix[0, 1:-1] = matrix[1:-1, -1] = 1
    wide = Cell(matrix, ["conv1x1"] * (size - 2))
    assert CellModule(wide, 4, 4).channels == [4, 1, 1, 1, 1, 4]
    with pytest.raises(InvalidSetting, match=r"4 vertices feed .* 3 channels"):
        CellModule(wide, 3, 3)


def test_odd_resolutions_are_halved_upwards_as_in_tensorflow() -> None:
    network = Network(Cell.from_text("01/00:"), Skeleton(4, 3, 1), 1, 2).eval()
    sizes: list[tuple[int, ...]] = []
    for layer in network.layers:
        layer.register_forward_hook(lambda _m, _i, output: sizes.append(tuple(output.shape[1:])))
    network(torch.zeros(1, 1, 5, 5))
    assert sizes[1::2] == [(4, 5, 5), (8, 3, 3), (16, 2, 2)]


@pytest.mark.parametrize("momentum", [0.003, 0.1, None])
def test_one_momentum_on_all_batch_norms(momentum: float | None) -> None:
    network = Network(Cell.named("inception"), SMALL, 3, 10, bn_momentum=momentum)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 1 + 4 * (4 + 4)  # stem; a cell has 3 + 1 convolutions, 4 projections
    assert {norm.momentum for norm in norms} == {momentum}
    assert {norm.eps for norm in norms} == {1e-5}


def test_fresh_weights_have_the_official_distributions() -> None:
    network = Network(Cell.named("resnet"), Skeleton(64, 2, 1), 3, 10)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            assert module.bias is None
            std = 1 / math.sqrt(module.in_channels * math.prod(module.kernel_size))
            weight = module.weight.detach()
            n = weight.numel()
            # A mean varies by std / √n, a standard deviation by less than std / √(2 n): 5 of them.
            assert abs(weight.mean().item()) < 5 * std / math.sqrt(n)
            assert weight.std().item() == pytest.approx(std, rel=5 / math.sqrt(2 * n))
            assert weight.abs().max().item() <= 2 * std / 0.8796 + 1e-6
        elif isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()
    dense = network.classifier
    bound = math.sqrt(6 / (128 + 10))
    assert (dense.bias == 0).all()
    assert 0.98 * bound < dense.weight.abs().max().item() <= bound
    # The variance of a uniform law is bound² / 3.
    assert dense.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)


def weights_of(cell: Cell, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return list(Network(cell, SMALL, 3, 10, generator=generator).parameters())


def test_weights_follow_the_generator_alone() -> None:
    cell = Cell.named("inception")
    first = weights_of(cell, 1)
    state = torch.get_rng_state()
    torch.rand(3)  # another global state
    again, other = weights_of(cell, 1), weights_of(cell, 2)
    torch.set_rng_state(state)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    weights_of(cell, 3)
    assert torch.equal(torch.get_rng_state(), state)


class Scale(nn.Module):
    """Its own weights, drawn as it is made."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(channels, 1, 1))
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(x * self.scale)
        return normed


@pytest.fixture(scope="module")
def scale_operation() -> Iterator[str]:
    register_operation("test-scale")
    yield "test-scale"
    network_module._MODULES.pop("test-scale", None)


def test_an_operation_of_ones_own(scale_operation: str) -> None:
    cell = Cell([[0, 1, 0], [0, 0, 1], [0, 0, 0]], [scale_operation])
    with pytest.raises(InvalidSetting, match="register_module"):
        Network(cell, SMALL, 3, 10)
    register_module(scale_operation, Scale)
    network = Network(cell, SMALL, 3, 10, bn_momentum=0.25)
    scales = [module for module in network.modules() if isinstance(module, Scale)]
    assert [len(scale.scale) for scale in scales] == [8, 8, 16, 16]
    assert {scale.norm.momentum for scale in scales} == {0.25}
    assert network(torch.zeros(2, 3, 8, 8)).shape == (2, 10)
    one, same, other = (weights_of(cell, seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    places = [i for i, weight in enumerate(one) if weight.shape == (8, 1, 1)]
    assert places
    assert not any(torch.equal(one[i], other[i]) for i in places)
    with pytest.raises(InvalidSetting, match="has a module already"):
        register_module(scale_operation, Scale)


@pytest.mark.parametrize("field", ["stem_channels", "stacks", "cells_per_stack"])
def test_an_empty_skeleton_is_refused(field: str) -> None:
    with pytest.raises(InvalidSetting, match=f"{field} is 0"):
        Skeleton(**{field: 0})
