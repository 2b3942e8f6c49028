"""NAS-Bench-201's cell and NATS-Bench's sizes: texts, the official order, networks, unique graphs."""

from __future__ import annotations

import gzip
import json
import pickle
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nasbench_kit import spaces
from nasbench_kit.errors import InvalidArchitecture
from nasbench_kit.spaces import Space
from nasbench_kit.spaces.edge_cells import cell
from nasbench_kit.spaces.edge_cells.nasbench201 import (
    SKELETON,
    NASBench201,
    Rule,
    edges_of,
    unique_graphs,
    unique_key,
)
from nasbench_kit.spaces.edge_cells.network import Network
from nasbench_kit.spaces.edge_cells.operations import MODULES, make
from nasbench_kit.spaces.layers.nats_sizes import CELL, NATSSizes, layers
from nasbench_kit.spaces.skeleton import Skeleton
from nasbench_kit.testing.spaces import SpaceConformance

SHARED = Path(__file__).parent.parent.parent / "shared" / "data"
GOLDEN = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|none~0|nor_conv_3x3~1|avg_pool_3x3~2|"
SPACE = NASBench201()


class TestNASBench201(SpaceConformance):
    @pytest.fixture
    def space(self) -> Space:
        return NASBench201()


class TestAPartOfIt(SpaceConformance):
    @pytest.fixture
    def space(self) -> Space:
        return NASBench201().restricted(np.arange(0, 15_625, 2))


class TestSizes(SpaceConformance):
    @pytest.fixture
    def space(self) -> Space:
        return NATSSizes()


def parameters(network: torch.nn.Module) -> int:
    return sum(weights.numel() for weights in network.parameters())


def network(architecture: Any, skeleton: Skeleton = SKELETON, classes: int = 10) -> torch.nn.Module:
    built: torch.nn.Module = architecture.network(
        skeleton,
        3,
        classes,
        generator=torch.Generator().manual_seed(0),
        bn_momentum=0.1,
        precision="float32",
    )
    return built


def test_the_spaces_have_their_names() -> None:
    assert spaces.named("nasbench201") == SPACE
    assert spaces.named("nats-sizes") == NATSSizes()
    assert (len(SPACE), len(NATSSizes())) == (5**6, 8**5)


def test_rows_are_in_the_official_order() -> None:
    """The examples that the authors' own code asserts of its order."""
    assert [SPACE[row].to_text() for row in (0, 9, 123)] == [
        "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
        "|avg_pool_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_3x3~2|",
        "|avg_pool_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|none~0|avg_pool_3x3~1|nor_conv_3x3~2|",
    ]
    assert SPACE.index(SPACE.parse(GOLDEN)) == 11
    assert len({architecture.to_text() for architecture in SPACE}) == len(SPACE)


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="the development data is not here")
@pytest.mark.parametrize(
    ("folder", "space"),
    [
        ("NATS-tss-v1_0-3ffb9-simple", NASBench201()),
        ("NATS-sss-v1_0-50262-simple", NATSSizes()),
    ],
)
def test_rows_are_those_of_the_official_files(folder: str, space: Any) -> None:
    import bz2

    content = bz2.decompress((SHARED / "nats_bench" / folder / "meta.pickle.pbz2").read_bytes())
    texts = pickle.loads(content)["meta_archs"]  # the test's own copy, of known content
    assert texts == [architecture.to_text() for architecture in space]


@pytest.mark.parametrize(
    "text",
    [
        "|nor_conv_3x3~0|",
        GOLDEN.replace("none", "zero"),
        GOLDEN.replace("none~0", "none~1"),
        GOLDEN.replace("+", ""),
        GOLDEN + "|",
        "8:8:8:16:32",
    ],
)
def test_other_texts_of_cells_are_refused(text: str) -> None:
    with pytest.raises(InvalidArchitecture, match="an architecture is written as"):
        SPACE.parse(text)


@pytest.mark.parametrize("text", ["8:8:8:16", "8:8:8:16:33", "8:8:8:16:72", "08:8:8:16:32", GOLDEN])
def test_other_texts_of_sizes_are_refused(text: str) -> None:
    with pytest.raises(InvalidArchitecture, match="'8:8:8:8:8'"):
        NATSSizes().parse(text)


def test_neighbours_change_one_edge() -> None:
    neighbours = SPACE.neighbours(SPACE.parse(GOLDEN))
    assert len(set(neighbours)) == 6 * 4
    assert len(NATSSizes().neighbours(NATSSizes()[0])) == 5 * 7


def test_a_drawing_has_all_nodes_and_edges() -> None:
    drawing = SPACE.parse(GOLDEN)._repr_svg_()
    root = ElementTree.fromstring(drawing)
    tags = [element.tag.rpartition("}")[2] for element in root.iter()]
    assert tags.count("circle") == 4
    texts = [str(element.text) for element in root.iter() if element.tag.endswith("text")]
    operations = [edge.operation for edge in edges_of(SPACE.parse(GOLDEN).options)]
    assert sorted(texts) == sorted([*operations, "0", "1", "2", "3"])


# Unique graphs ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("rule", "count"), [("skip", 12_751), ("none-and-skip", 6_466)])
def test_unique_graphs_are_as_many_as_published(rule: Rule, count: int) -> None:
    """6,466: Dong and Yang, section 2.1. 12,751: the same code without zeros."""
    assert unique_graphs(rule) == count


def test_cells_alike_by_sums_are_the_same_function() -> None:
    """Cells of a key compute the same with the same weights; those of two keys do not.

    Every operation is a fixed function of its input and its name, zero at zero as convolutions
    without a batch norm are, and not additive.
    """
    scale = {"nor_conv_1x1": 0.7, "nor_conv_3x3": 1.3, "avg_pool_3x3": 0.4}

    def function(operation: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
        if operation in scale:
            return scale[operation] * x / (1 + scale[operation] * abs(x))
        return x if operation == "skip_connect" else 0.0 * x

    x = np.linspace(0.1, 3, 7)
    outputs: dict[str, set[tuple[float, ...]]] = {}
    for options in SPACE.ordered():
        nodes = [x, *np.zeros((3, len(x)))]
        for source, target, operation in edges_of(options):
            nodes[target] = nodes[target] + function(operation, nodes[source])
        key = unique_key(options, "sums")
        outputs.setdefault(key, set()).add(tuple(np.round(nodes[-1], 9).tolist()))
    assert all(len(found) == 1 for found in outputs.values())
    assert len(set.union(*outputs.values())) == len(outputs) == unique_graphs("sums") == 4_930


# Networks --------------------------------------------------------------------------------------

#: (space, text, classes, image size) -> published millions of parameters and FLOPs; NATS-Bench's files.
PUBLISHED = [
    (SPACE, SPACE[0].to_text(), 10, 32, 0.129306, 15.64737),
    (SPACE, GOLDEN, 10, 32, 0.802426, 113.95137),
    (SPACE, GOLDEN, 100, 32, 0.808276, 113.95722),
    (SPACE, GOLDEN, 120, 16, 0.809576, 28.49548),
    (NATSSizes(), "8:8:8:8:8", 10, 32, 0.011714, 4.481114),
    (NATSSizes(), "8:8:8:16:32", 10, 32, 0.049202, 6.84065),
    (NATSSizes(), "8:8:8:16:32", 100, 32, 0.052172, 6.84362),
    (NATSSizes(), "8:8:8:16:32", 120, 16, 0.052832, 1.71404),
]


@pytest.mark.parametrize(("space", "text", "classes", "size", "millions", "flops"), PUBLISHED)
def test_networks_have_the_published_costs(
    space: Any, text: str, classes: int, size: int, millions: float, flops: float
) -> None:
    architecture = space.parse(text)
    assert parameters(network(architecture, classes=classes)) == round(1e6 * millions)
    if space is SPACE:
        edges, around = edges_of(architecture.options), cell.stages(SKELETON)
    else:
        edges, around = edges_of(SPACE.parse(CELL).options), layers(architecture.options)
    assert cell.flops(edges, around, (size, size, 3), classes) == round(1e6 * flops)


def counted(options: Sequence[int]) -> int:
    """Parameters by adding up: those of the skeleton, and of every convolution in fifteen cells."""
    kernels = {"nor_conv_1x1": 1, "nor_conv_3x3": 9}
    total = 3 * 9 * 16 + 2 * 16  # stem
    total += sum(9 * c * 2 * c + 9 * 4 * c * c + 2 * 4 * c + c * 2 * c for c in (16, 32))
    total += 2 * 64 + 65 * 10
    for channels in (16, 32, 64):
        for _, _, operation in edges_of(options):
            if operation in kernels:
                total += 5 * (kernels[operation] * channels**2 + 2 * channels)
    return total


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="the development data is not here")
def test_all_networks_have_the_recorded_parameters() -> None:
    """By adding up, and some by building them.

    The development file is wrong about 150 rows, by one convolution each: their training seconds
    are those of the architecture that stands there.
    """
    rows = json.loads(gzip.decompress((SHARED / "nasbench201_cifar10.json.gz").read_bytes()))
    recorded = np.array([round(1e6 * millions) for millions in rows["million_parameters"]])
    added = np.array([counted(architecture.options) for architecture in SPACE])
    wrong = np.flatnonzero(added != recorded)
    assert len(wrong) == 150
    assert set(np.abs(added - recorded)[wrong].tolist()) == {28_000, 243_040}
    operations = np.array([np.bincount(a.options, minlength=5) for a in SPACE], float)
    seconds = np.array(rows["seconds_200"])
    right = np.delete(np.arange(len(SPACE)), wrong)
    weights, *_ = np.linalg.lstsq(operations[right], seconds[right], rcond=None)
    assert np.abs(seconds[wrong] - operations[wrong] @ weights).mean() < 60  # a 1x1 takes 380 s
    for row in range(0, 15_625, 1_600):
        assert parameters(network(SPACE[row])) == added[row]


def test_a_cell_is_the_sum_over_its_edges() -> None:
    """Against the formula written out, for cells that change their channels and cells that do not."""
    images = torch.randn(2, 6, 8, 8, generator=torch.Generator().manual_seed(0))
    edges = edges_of(SPACE.parse(GOLDEN).options)
    for ins, outs in ((6, 6), (6, 4)):
        around = [cell.Layer(6, ins), cell.Layer(ins, outs)]
        whole = Network(
            edges,
            around,
            image_channels=6,
            classes=2,
            generator=torch.Generator().manual_seed(1),
            bn_momentum=0.1,
            precision="float32",
        ).eval()
        module: Any = whole.layers[3]
        op = module.operations
        one = op[0](images)
        two = op[1](images) + op[2](one)
        three = op[3](images) + op[4](one) + op[5](two)
        torch.testing.assert_close(module(images), three)
        assert three.shape == (2, outs, 8, 8)


@pytest.mark.parametrize("operation", sorted(MODULES))
@pytest.mark.parametrize(("ins", "outs"), [(4, 4), (4, 6), (4, 3)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [8, 7])
def test_operations_have_the_right_shape(
    operation: str, ins: int, outs: int, stride: int, size: int
) -> None:
    made = make(operation, ins, outs, stride)
    out = made(torch.zeros(2, ins, size, size))
    assert out.shape == (2, outs, -(-size // stride), -(-size // stride))


def test_a_reduction_sees_every_pixel() -> None:
    """Of an image of ones in one pixel, half of the channels or the other half notice it."""
    reduction: Any = make("skip_connect", 1, 2, 2)
    with torch.no_grad():
        for convolution in (reduction.first, reduction.shifted):
            convolution.weight.fill_(1.0)
    reduction.norm = torch.nn.Identity()
    noticed = {}
    for place in ((0, 0), (3, 3)):
        image = torch.zeros(1, 1, 4, 4)
        image[0, 0, place[0], place[1]] = 1.0
        noticed[place] = reduction(image).amax((2, 3))[0].tolist()
    assert noticed == {(0, 0): [1.0, 0.0], (3, 3): [0.0, 1.0]}


def test_a_cell_without_a_path_ignores_the_image() -> None:
    nothing = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    built = network(SPACE.parse(nothing), Skeleton(8, 1, 1)).eval()
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = built(images)
    torch.testing.assert_close(logits[0], logits[1])


def test_odd_images_pass_through() -> None:
    images = torch.zeros(1, 3, 7, 9)
    assert network(SPACE.parse(GOLDEN), Skeleton(8, 3, 1)).eval()(images).shape == (1, 10)
    assert network(NATSSizes()[11]).eval()(images).shape == (1, 10)
