"""DARTS' space: genotypes in both forms, published networks, the way back, the space's conformance."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch

from nasbench_kit import spaces
from nasbench_kit.errors import InvalidArchitecture
from nasbench_kit.spaces import Space
from nasbench_kit.spaces.edge_cells import genotype, two_inputs
from nasbench_kit.spaces.edge_cells.darts import (
    DARTS,
    EVALUATED,
    OPERATIONS,
    PUBLISHED,
    SEARCHED,
    VARIANTS,
)
from nasbench_kit.spaces.edge_cells.operations import make
from nasbench_kit.spaces.edge_cells.space import EdgeCellSpace
from nasbench_kit.testing.spaces import SpaceConformance

SPACE = DARTS()


@pytest.mark.parametrize("name", list(VARIANTS))
class TestSpaces(SpaceConformance):
    draws = 20

    @pytest.fixture
    def space(self, name: str) -> Space:
        return DARTS(name)


def test_there_are_as_many_cells_as_published() -> None:
    """Liu et al., section 3.1: prod (k + 1) k / 2 times 7^2, about 10^9, of each kind of cell."""
    cells = math.prod((k + 1) * k // 2 * 7**2 for k in range(1, 5))
    assert cells == 1_037_664_180
    assert len(SPACE) == cells**2
    assert len(SPACE.slots) == 2 * 14
    assert spaces.named("darts") == SPACE


def closed_form(space: EdgeCellSpace, text: str, channels: int = 36, cells: int = 20) -> int:
    """Weights of a network of three stacks without its auxiliary head, added up operation by operation."""
    architecture = space.parse(text)
    joined = [len(nodes) for nodes in genotype.parse(text)[1]]
    before = last = 3 * channels
    total = 3 * 9 * last + 2 * last
    for cell in range(cells):
        reduces = cell in (cells // 3, 2 * cells // 3)
        channels *= 2 if reduces else 1
        c = channels
        total += (before + last) * c + 4 * c
        for source, _, operation in space.edges_of(architecture)[reduces]:
            k = max(map(int, re.findall(r"\d", operation)), default=1)
            if operation.startswith("sep"):
                total += 2 * (k * k * c + c * c + 2 * c)
            elif operation.startswith("dil"):
                total += k * k * c + c * c + 2 * c
            elif operation.startswith("conv"):
                total += 2 * k * c * c + 2 * c
            elif operation == "skip_connect" and reduces and source < 2:
                total += c * c + 2 * c
        before, last = last, c * joined[reduces]
    return total + 10 * last + 10


#: Of 20 cells and 36 channels in millions, cut off after two digits: released code and its users.
MILLIONS = {"DARTS_V2": 3.34, "GDAS": 3.36, "SNAS": 2.66, "PC-DARTS": 3.63, "P-DARTS": 3.43}


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_published_networks_have_their_parameters(name: str) -> None:
    network = SPACE.parse(PUBLISHED[name]).network(
        EVALUATED,
        3,
        10,
        generator=torch.Generator().manual_seed(0),
        bn_momentum=0.1,
        precision="float32",
    )
    count = sum(weight.numel() for weight in network.parameters())
    assert count == closed_form(SPACE, PUBLISHED[name])
    if name == "DARTS_V2":
        assert count == 3_349_342  # as quark0's code prints
    if name in MILLIONS:
        assert count // 10_000 == round(100 * MILLIONS[name])


def test_reductions_stand_at_a_third_and_two_thirds() -> None:
    for skeleton, cells in ((SEARCHED, 8), (EVALUATED, 20)):
        layers = SPACE.layers(skeleton)
        assert len(layers) == cells
        reductions = [place for place, layer in enumerate(layers) if layer.halves]
        assert reductions == [cells // 3, 2 * cells // 3]
        after = [place for place, layer in enumerate(layers) if layer.twice_as_large]
        assert after == [place + 1 for place in reductions]


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_texts_lead_there_and_back(name: str) -> None:
    architecture = SPACE.parse(PUBLISHED[name])
    nested = SPACE.nested(architecture)
    assert "separable_convolution_3x3" in nested
    for text in (
        architecture.to_text(),
        nested,
        nested.replace(",", ", ").replace("=", " = "),
        PUBLISHED[name].replace("range(2,6)", "[2, 3, 4, 5]"),
        PUBLISHED[name].replace("'", '"'),
    ):
        assert SPACE.parse(text) == architecture
        assert architecture.written_as(text)
    root = ElementTree.fromstring(architecture._repr_svg_())
    assert len(root.findall(".//{*}circle")) == 2 * 6


def test_a_text_written_out() -> None:
    """The first two nodes of DARTS_V2, in Katib's form."""
    (normal, _), joined = genotype.parse(PUBLISHED["DARTS_V2"])
    assert normal[:2] == [("sep_conv_3x3", 0), ("sep_conv_3x3", 1)]
    assert joined == [[2, 3, 4, 5]] * 2
    assert genotype.nested([normal[:4], []], joined) == (
        "Genotype(normal=[[('separable_convolution_3x3',0),('separable_convolution_3x3',1)],"
        "[('separable_convolution_3x3',0),('separable_convolution_3x3',1)]],"
        "normal_concat=range(2,6),reduce=[],reduce_concat=range(2,6))"
    )


V2 = PUBLISHED["DARTS_V2"]


@pytest.mark.parametrize(
    "text",
    [
        V2.replace("dil_conv_3x3", "none"),
        V2.replace("dil_conv_3x3", "dil_conv_7x7"),
        V2.replace("('dil_conv_3x3',2)", "('dil_conv_3x3',0)"),  # one edge twice
        V2.replace("('dil_conv_3x3',2)", "('dil_conv_3x3',5)"),  # not before the node
        V2.replace(",('dil_conv_3x3',2)", ""),
        V2.replace("range(2,6)", "range(2,5)"),
        V2.replace("range(2,6)", "range(2,10000000000)"),
        V2.replace("('dil_conv_3x3',2)", "__import__('os')"),
        V2 + "x",
        "Genotype()",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidArchitecture):
        SPACE.parse(text)


def test_the_way_back_keeps_the_two_strongest_edges() -> None:
    """By hand: ``none`` counts in no edge's strength; each edge keeps its best other operation."""
    strengths = np.full((28, 8), -5.0)
    strengths[:, 0] = 0.0  # none
    place = {slot[:3]: i for i, slot in enumerate(SPACE.slots)}
    strengths[place[0, 0, 4], 5] = -1.0
    strengths[place[0, 3, 4], 4] = -2.0
    strengths[place[0, 2, 4], 1] = -3.0
    taken = SPACE.strongest(strengths, np.zeros(28))
    kept = {SPACE.slots[i][:3]: OPERATIONS[option] for i, option in taken.items()}
    assert {ends: name for ends, name in kept.items() if ends[0] == 0 and ends[2] == 4} == {
        (0, 0, 4): "sep_conv_5x5",
        (0, 3, 4): "sep_conv_3x3",
    }
    of_edges = np.zeros(28)
    of_edges[place[0, 2, 4]] = 1.5  # PC-DARTS: the product of both probabilities
    taken = SPACE.strongest(strengths, of_edges)
    assert place[0, 3, 4] not in taken
    assert taken[place[0, 2, 4]] == 1


def test_work_counts_the_multiplications() -> None:
    """Against what the convolutions of the network do, layer by layer."""
    skeleton, shape = SEARCHED, (16, 16, 3)
    rng = np.random.default_rng(0)
    for _ in range(3):
        architecture = SPACE.sample(rng)
        network = architecture.network(
            skeleton,
            3,
            10,
            generator=torch.Generator().manual_seed(0),
            bn_momentum=0.1,
            precision="float32",
        ).eval()
        counted = {"layers": 0, "whole": 0, "depthwise": 0}

        def count(module: torch.nn.Module, _: object, out: torch.Tensor) -> None:
            assert isinstance(module, torch.nn.Conv2d)
            counted["layers"] += 1  # noqa: B023
            kind = "whole" if module.groups == 1 else "depthwise"
            counted[kind] += module.weight[0].numel() * out[0].numel()  # noqa: B023

        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.register_forward_hook(count)
        network(torch.zeros(1, 3, 16, 16))
        work = dict(zip(two_inputs.KINDS, architecture.work(skeleton, shape), strict=True))
        assert work["multiplications of whole convolutions"] == counted["whole"]
        assert work["multiplications of convolutions of each channel"] == counted["depthwise"]


@pytest.mark.parametrize("operation", [*OPERATIONS, "conv_1x7_7x1", "conv_1x3_3x1", "sep_conv_7x7"])
@pytest.mark.parametrize("stride", [1, 2])
def test_operations_run_on_a_part_of_the_channels(operation: str, stride: int) -> None:
    """Shapes, and the first channels of an operation that mixes none."""
    module = make(operation, 8, 8, stride, normalises=True)
    for norm in module.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.running_mean = norm.running_var = None
    x = torch.randn(2, 8, 7, 6, generator=torch.Generator().manual_seed(0))
    height, width = -(-7 // stride), -(-6 // stride)
    assert module(x).shape == (2, 8, height, width)
    for part in (4, 3):
        assert module(x[:, :part]).shape == (2, part, height, width)
    if "pool" in operation or operation == "none":
        torch.testing.assert_close(module(x)[:, :3], module(x[:, :3]))
