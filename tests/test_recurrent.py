"""Recurrent spaces: published cells, parameters, equations written out, and what a network remembers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from nasbench_kit.errors import InvalidArchitecture, InvalidSetting
from nasbench_kit.spaces import named
from nasbench_kit.spaces.decisions import Choices
from nasbench_kit.spaces.protocols import Space
from nasbench_kit.spaces.recurrent.cell import TreeSpace
from nasbench_kit.spaces.recurrent.darts import PUBLISHED, DARTSRecurrent
from nasbench_kit.spaces.recurrent.enas import RELEASED, ENASRecurrent
from nasbench_kit.spaces.recurrent.network import RecurrentNetwork
from nasbench_kit.spaces.recurrent.window import Dropout, Window
from nasbench_kit.spaces.skeleton import Skeleton
from nasbench_kit.testing.spaces import SpaceConformance

UNITS, VOCABULARY = 6, 11
GENOTYPE_V2 = (
    "Genotype(recurrent=[('sigmoid', 0), ('relu', 1), ('relu', 1), ('identity', 1), ('tanh', 2), "
    "('sigmoid', 5), ('tanh', 3), ('relu', 5)], concat=range(1, 9))"
)


class TestDARTSRecurrent(SpaceConformance):
    @pytest.fixture
    def space(self) -> Space:
        return DARTSRecurrent()


class TestENASRecurrent(SpaceConformance):
    @pytest.fixture
    def space(self) -> Space:
        return ENASRecurrent()


def model(space: TreeSpace, architecture: Choices, seed: int = 0) -> RecurrentNetwork:
    return RecurrentNetwork(
        space.cell(architecture),
        units=UNITS,
        vocabulary=VOCABULARY,
        generator=torch.Generator().manual_seed(seed),
    )


def tokens(streams: int, length: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(3).integers(0, VOCABULARY, (streams, length)))


def test_the_spaces_are_as_large_as_the_papers_say() -> None:
    assert named("darts-recurrent") == DARTSRecurrent()
    assert len(DARTSRecurrent()) == 40_320 * 4**8
    assert named("enas-recurrent") == ENASRecurrent()
    assert len(ENASRecurrent()) == 39_916_800 * 4**12


def test_darts_published_genotypes() -> None:
    space = DARTSRecurrent()
    first, second = (space.parse(PUBLISHED[name]) for name in ("darts-v1", "darts-v2"))
    assert space.from_genotype(GENOTYPE_V2) == second
    assert second.to_text() == PUBLISHED["darts-v2"]
    assert space.cell(first).nodes[5] == (1, "identity")
    assert space.cell(first).output == tuple(range(1, 9))
    for wrong in (
        "",
        "Genotype()",
        GENOTYPE_V2[:-2],
        "__import__('os')",
        "f(recurrent=1, concat=range(1,9))",
    ):
        with pytest.raises(InvalidArchitecture):
            space.from_genotype(wrong)


def test_enas_published_cell() -> None:
    """Of the paper's figure 6, all activations are ReLU or tanh, and nodes that nobody reads are loose ends."""
    space = ENASRecurrent()
    cell = space.cell(space.from_released(RELEASED))
    assert {cell.first, *(node.activation for node in cell.nodes)} == {"tanh", "relu"}
    assert cell.output == (3, 4, 7, 9, 10, 11)
    for wrong in (
        "",
        "0 0",
        RELEASED + " 1",
        RELEASED.replace("8", "9", 1),
        RELEASED.replace("2", "-2"),
    ):
        with pytest.raises(InvalidArchitecture):
            space.from_released(wrong)


def test_parameters_of_darts_published_network() -> None:
    """850 units, 10,000 words: 23 million, as the paper reports (table 2)."""
    space = DARTSRecurrent()
    by_matrices = (1700 * 1700) + 8 * (850 * 1700) + 10_000 * 850 + 10_000
    assert space.parameters(850, 10_000) == by_matrices == 22_960_000
    for each in (space, ENASRecurrent()):
        network = model(each, each.sample(np.random.default_rng(0)))
        counted = sum(weights.numel() for weights in network.parameters())
        assert counted == each.parameters(UNITS, VOCABULARY)


def test_work_multiplies_as_often_as_there_are_weights() -> None:
    """A token passes once through every weight of the cell and of the output."""
    space = DARTSRecurrent()
    _, states, cell, output = space.work(space[5], Skeleton(UNITS, 1, 1), (1, 1, VOCABULARY))
    assert states == 9
    assert cell + output + VOCABULARY == space.parameters(UNITS, VOCABULARY)


@pytest.mark.parametrize("space", [DARTSRecurrent(), ENASRecurrent()], ids=str)
def test_a_network_is_its_equations_one_scalar_at_a_time(space: TreeSpace) -> None:
    functions: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "tanh": np.tanh,
        "relu": lambda x: np.maximum(x, 0),
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "identity": lambda x: x,
    }
    architecture = space.sample(np.random.default_rng(7))
    cell, network = space.cell(architecture), model(space, architecture)
    with torch.no_grad():
        for weights in network.parameters():
            weights.mul_(5)  # away from where all activations are alike
    embedding, bias, into, back, nodes = (
        p.detach().double().numpy()
        for p in (
            network.embedding,
            network.bias,
            network.from_token,
            network.from_state,
            network.nodes,
        )
    )
    read = tokens(2, 3)
    logits = network.eval()(read)
    assert logits.shape == (2, VOCABULARY, 3)
    for stream in range(2):
        h = np.zeros(UNITS)
        for place in range(3):
            gate, inner = np.split(embedding[read[stream, place]] @ into + h @ back, 2)
            states = [h + functions["sigmoid"](gate) * (functions[cell.first](inner) - h)]
            for node, weights in zip(cell.nodes, nodes, strict=True):
                before = states[node.previous]
                gate, inner = np.split(before @ weights, 2)
                states.append(
                    before
                    + functions["sigmoid"](gate) * (functions[node.activation](inner) - before)
                )
            h = np.mean([states[output] for output in cell.output], axis=0)
            expected = embedding @ h + bias
            np.testing.assert_allclose(logits[stream, :, place].detach(), expected, atol=2e-5)


def test_windows_one_after_the_other_are_one_long_text() -> None:
    space = DARTSRecurrent()
    network = model(space, space.parse(PUBLISHED["darts-v2"]))
    read = tokens(4, 9)
    parts = [
        network(Window(read[:, first : first + 3], place, place == 0))
        for place, first in enumerate(range(0, 9, 3))
    ]
    torch.testing.assert_close(torch.cat(parts, 2), network(read))
    again = network(Window(read[:, 6:], 2, False))  # the same window begins with the same memory
    torch.testing.assert_close(again, parts[2])
    anew = network(Window(read[:, :3], 0, True))
    torch.testing.assert_close(anew, parts[0])


def test_gradients_end_at_the_window() -> None:
    space = ENASRecurrent()
    network = model(space, space.from_released(RELEASED))
    network(Window(tokens(2, 3), 0, True))
    logits = network(Window(tokens(2, 1), 1, False))
    assert network.get_extra_state().grad_fn is None
    logits.sum().backward()


def test_one_mask_serves_a_whole_window() -> None:
    """The output's dropped channels are the same at every place, and other ones in every stream."""
    space = DARTSRecurrent()
    network = model(space, space.parse(PUBLISHED["darts-v2"])).train()  # no state is ever zero
    with torch.no_grad():  # the first logits are the channels themselves
        network.embedding.copy_(torch.eye(VOCABULARY, UNITS))
    read = tokens(3, 5) % UNITS
    first = network(Window(read, 0, True, Dropout(output=0.5), seed=1))
    dropped = first[:, :UNITS] == 0  # [streams, channels, length]
    assert 0 < dropped.float().mean() < 1
    assert (dropped == dropped[:, :, :1]).all()
    assert not (dropped[0] == dropped[1]).all()
    assert torch.equal(first, network(Window(read, 0, True, Dropout(output=0.5), seed=1)))
    assert not torch.equal(first, network(Window(read, 0, True, Dropout(output=0.5), seed=2)))
    network.eval()
    plain = network(read)
    assert torch.equal(
        plain, network(Window(read, 0, True, Dropout(0.5, 0.5, 0.5, 0.5, 0.5), seed=1))
    )


def test_masks_keep_the_mean() -> None:
    space = DARTSRecurrent()
    network = model(space, space[0]).train()
    window = Window(torch.zeros(4000, 1, dtype=torch.int64), 0, True, Dropout(hidden=0.25), 5)
    masks = network._masks(window)
    hidden = masks.pop(3)
    assert masks == [None] * 4
    assert hidden is not None
    assert hidden.mean() == pytest.approx(1, abs=0.02)
    assert sorted(set(hidden.flatten().tolist())) == pytest.approx([0, 4 / 3])


def test_embeddings_are_masked_twice_as_released() -> None:
    """First all of them, then once more where the cell reads them."""
    space = DARTSRecurrent()
    network: Any = model(space, space[0]).train()
    window = Window(torch.zeros(3, 1, dtype=torch.int64), 0, True, Dropout(0, 0.2, 0.75), 5)
    _, first, second, *_ = network._masks(window)
    assert first is not None
    assert second is not None
    seen = []

    def step(projected: torch.Tensor, state: torch.Tensor, mask: None) -> torch.Tensor:
        seen.append(projected)
        return state

    network._step = step
    network(window)
    embedded = network.embedding[0] * first * second
    torch.testing.assert_close(seen[0], embedded @ network.from_token)


def test_shares_that_cannot_be_dropped_are_refused() -> None:
    with pytest.raises(InvalidSetting, match="hidden is 1"):
        Dropout(hidden=1)


def test_pictures_show_every_state_once() -> None:
    for space in (DARTSRecurrent(), ENASRecurrent()):
        picture = space.sample(np.random.default_rng(1))._repr_svg_()
        assert picture.count("<circle") == space.nodes + 1
        assert picture.count("<path") == space.nodes + 1
        assert picture.count('stroke-width="3"/>') == len(
            space.cell(space.sample(np.random.default_rng(1))).output
        )
