"""Layer sequences: ENAS' macro space, Katib's, NAS-RL's networks, ProxylessNAS' chain."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from torch.nn import functional

from nasbench_kit import Answer, Budget, Oracle, spaces
from nasbench_kit.algorithms import ALGORITHMS
from nasbench_kit.errors import CorruptFile, InvalidArchitecture, InvalidSetting, UnknownName
from nasbench_kit.oracle.source import TrainerSource
from nasbench_kit.spaces.kept import keep
from nasbench_kit.spaces.layers import enas_macro, proxylessnas
from nasbench_kit.spaces.layers.enas_macro import ENASMacro
from nasbench_kit.spaces.layers.katib import EXAMPLE, KatibSpace, Operation, operations
from nasbench_kit.spaces.layers.nas_rl import NASRLNetworks
from nasbench_kit.spaces.layers.network import SequenceNetwork
from nasbench_kit.spaces.layers.proxylessnas import ProxylessNAS
from nasbench_kit.spaces.layers.sequence import Layer
from nasbench_kit.spaces.layers.unit_network import UnitModule, UnitNetwork, joined
from nasbench_kit.spaces.layers.units import Network, Unit, work
from nasbench_kit.spaces.protocols import Numbered, Space
from nasbench_kit.spaces.skeleton import Skeleton
from nasbench_kit.testing.searches import yielded
from nasbench_kit.testing.spaces import SpaceConformance

#: Three operations: two convolutions and a pooling.
SMALL = operations(
    [
        ("convolution", {"filter_size": ("3", "5"), "num_filter": ("8",)}),
        ("reduction", {"reduction_type": ("max_pooling",), "pool_size": (2,)}),
    ]
)


class TestENASMacro(SpaceConformance):
    @pytest.fixture
    def space(self) -> Space:
        return ENASMacro()


class TestSmallENASMacro(SpaceConformance):
    @pytest.fixture
    def space(self) -> Space:
        return ENASMacro(3)


class TestKatib(SpaceConformance):
    @pytest.fixture
    def space(self) -> Space:
        return KatibSpace()


class TestKatibExperiment(SpaceConformance):
    @pytest.fixture
    def space(self) -> Space:
        return KatibSpace(SMALL, 3)


class TestNASRL(SpaceConformance):
    @pytest.fixture
    def space(self) -> Space:
        return NASRLNetworks()


class TestNASRLOfOneDepth(SpaceConformance):
    @pytest.fixture
    def space(self) -> Space:
        return NASRLNetworks(3)


class TestProxylessNAS(SpaceConformance):
    @pytest.fixture
    def space(self) -> Space:
        return ProxylessNAS()


def network(space: Any, text: str, channels: int = 3, classes: int = 10, stem: int = 8) -> Any:
    return space.parse(text).network(
        Skeleton(stem, 1, 1),
        channels,
        classes,
        generator=torch.Generator().manual_seed(0),
        bn_momentum=0.1,
        precision="float32",
    )


def parameters(module: torch.nn.Module) -> int:
    return sum(weights.numel() for weights in module.parameters())


def test_names_lead_to_spaces() -> None:
    for name in ("enas-macro", "enas-macro-6", "nas-rl", "nas-rl-6", "nas-rl-4-8", "proxylessnas"):
        assert spaces.named(name).name == name
    assert spaces.named("enas-macro") == ENASMacro(12)
    assert spaces.named("katib") == KatibSpace()
    assert not isinstance(spaces.named("enas-macro"), Numbered)
    for name in ("enas-macro-12", "enas-macro-0x6", "enas-macro-٣", "nas-rl-6-20", "nas-rl-6-6"):
        with pytest.raises(UnknownName):
            spaces.named(name)
    for name in ("enas-macro-0", "enas-macro-999", "nas-rl-6-9", "nas-rl-8-6"):
        with pytest.raises(InvalidSetting):
            spaces.named(name)


# ENAS ------------------------------------------------------------------------------------------


def test_the_macro_space_has_the_papers_size() -> None:
    """Section 2.3: 6^L times 2^(L (L - 1) / 2), some 1.6 times 10^29 for twelve layers."""
    sizes = [len(options) for _, options in ENASMacro().decisions]
    assert math.prod(sizes) == 6**12 * 2**66
    assert f"{math.prod(sizes):.1e}" == "1.6e+29"


def test_arc_strings_go_in_and_out() -> None:
    space = ENASMacro(4)
    arc = "0 3 0 0 1 0 2 0 0 1"
    architecture = space.parse(arc)
    assert space.arc(architecture) == arc
    assert architecture.to_text() == "0-3.0-0.10-2.001"
    assert architecture.written_as(arc)
    assert space.parse("0\n3 0\n0 1 0\n2 0 0 1\n") == architecture
    for text in (
        "0 3 0 0 1 0 2 0 0",
        "0 3 0 0 1 0 2 0 0 2",
        "6 3 0 0 1 0 2 0 0 1",
        "0 3 0 0 1 0 2 0 0 01",
    ):
        with pytest.raises(InvalidArchitecture):
            space.parse(text)


def test_a_macro_network_has_the_parameters_counted_by_hand() -> None:
    """Three layers of 8, 16 and 32 channels behind a stem of 8; all values halved after 1 and 2."""
    c, image, classes = 8, 3, 10
    stem = 9 * image * c + 2 * c
    first = (c * c + 2 * c) + (9 * c * c + 2 * c)  # 1x1, then conv3x3
    halved = 2 * ((c * c + 2 * c) + (c * c + 2 * c))  # stem and layer 1, two paths each, to 2 c
    c = 16
    second = (c * c + 2 * c) + (25 * c + c * c + 2 * c)  # 1x1, then sep5x5
    second += 2 * c * c + 2 * c  # concatenated with the stem
    halved_again = 3 * 2 * (c * c + 2 * c)
    c = 32
    third = (c * c + 2 * c) + 0 + (2 * c * c + 2 * c)  # 1x1, max3x3, concatenated with layer 1
    last = c * classes + classes
    expected = stem + first + halved + second + halved_again + third + last
    assert parameters(network(ENASMacro(3), "0-3.1-5.01")) == expected


def test_the_published_network_has_the_parameters_of_its_rows() -> None:
    """Counted row by row as the released code builds them, separable convolutions as such."""
    space = ENASMacro(24)
    rows = [list(map(int, line.split())) for line in enas_macro.PUBLISHED.split("\n") if line]
    architecture = space.parse(enas_macro.PUBLISHED)
    assert space.rows(architecture.options) == rows
    assert space.arc(architecture).split() == enas_macro.PUBLISHED.split()
    c, kept = 96, 1  # channels; layers that are halved
    total = 9 * 3 * c + 2 * c
    for layer, (operation, *bits) in enumerate(rows, 1):
        size = (3, 3, 5, 5)[operation]
        total += c * c + 2 * c
        total += (size**2 * c + c * c if operation in (1, 3) else size**2 * c * c) + 2 * c
        total += ((sum(bits) + 1) * c * c + 2 * c) * (layer > 1)
        kept += 1
        if layer in (8, 16):
            total += kept * (2 * c * c + 2 * 2 * c)
            c *= 2
    total += c * 10 + 10
    assert (total, c) == (30_947_434, 384)
    assert parameters(network(space, enas_macro.PUBLISHED, stem=96)) == total


def test_a_skip_is_seen() -> None:
    """A network with a skip and one without differ by what the skip brings."""
    with_skip, without = network(ENASMacro(2), "0-0.1"), network(ENASMacro(2), "0-0.0")
    assert parameters(with_skip) - parameters(without) == 8 * 8


# Katib -----------------------------------------------------------------------------------------


def test_katibs_example_has_its_operations_by_number() -> None:
    """enas-gpu: ids 0 to 29 are convolutions, then 60 separable, 12 depthwise, 4 reductions."""
    assert len(EXAMPLE) == 106
    assert EXAMPLE[0].parameters == (("filter_size", "3"), ("num_filter", "32"), ("stride", "1"))
    assert EXAMPLE[29].parameters == (("filter_size", "7"), ("num_filter", "128"), ("stride", "2"))
    kinds = [operation.type for operation in EXAMPLE]
    assert kinds.index("separable_convolution") == 30
    assert kinds.index("depthwise_convolution") == 90
    assert kinds.index("reduction") == 102
    assert EXAMPLE[105].parameters == (("reduction_type", "avg_pooling"), ("pool_size", 3))


def test_assignments_are_written_as_katib_writes_them() -> None:
    space = KatibSpace(SMALL, 3)
    written = space.assignments(space.parse("1-2.1-1.01"), [32, 32, 3], [10])
    assert written == {
        "architecture": "[[1], [2, 1], [1, 0, 1]]",
        "nn_config": "{'num_layers': 3, 'input_sizes': [32, 32, 3], 'output_sizes': [10], 'embedding': "
        "{'1': {'opt_id': 1, 'opt_type': 'convolution', 'opt_params': {'filter_size': '5', 'num_filter': "
        "'8'}}, '2': {'opt_id': 2, 'opt_type': 'reduction', 'opt_params': {'reduction_type': "
        "'max_pooling', 'pool_size': 2}}}}",
    }


def test_assignments_are_read_again() -> None:
    space = KatibSpace()
    rng = np.random.default_rng(0)
    for _ in range(20):
        architecture = space.sample(rng)
        written = space.assignments(architecture, [8, 8, 1], [10])
        assert space.from_assignments(**written) == architecture
        assert space.parse(written["architecture"]) == architecture
        assert space.from_assignments(written["architecture"].replace(" ", "")) == architecture
        double = {name: text.replace("'", '"') for name, text in written.items()}
        assert space.from_assignments(**double) == architecture


def test_assignments_of_another_experiment_are_refused() -> None:
    space = KatibSpace(SMALL, 3)
    written = space.assignments(space.parse("1-2.1-1.01"), [32, 32, 3], [10])
    other = KatibSpace(operations([("convolution", {"num_filter": ("8", "16", "32")})]), 3)
    with pytest.raises(InvalidArchitecture, match="of the experiment convolution num_filter=16"):
        other.from_assignments(**written)
    with pytest.raises(InvalidArchitecture, match="3 layers, the experiment 2"):
        KatibSpace(SMALL, 2).from_assignments("[[1], [2, 1]]", written["nn_config"])
    for text in (
        "[[1], [2, 1]]",
        "[[1], [2, 1], [1, 0]]",
        "[1, 2]",
        "[[1], [2, 1], [1, 0, 2]]",
        "[" * 9999,
        "[[1], [2, true], [1, 0, 1]]",
        "[[9], [2, 1], [1, 0, 1]]",
    ):
        with pytest.raises(InvalidArchitecture):
            space.from_assignments(text)
    for config in ("", "{}", "[]", "{'num_layers': 3, 'embedding': []}"):
        with pytest.raises(InvalidArchitecture):
            space.from_assignments(written["architecture"], config)


def test_a_katib_network_uses_its_parameters() -> None:
    """Convolution of 8 filters and 5x5, a pooling, and a 5x5 convolution of it, layer 1 and no image."""
    built = network(KatibSpace(SMALL, 3), "1-2.0-1.01")
    expected = 25 * 3 * 8 + 16 + 25 * 16 * 8 + 16 + 8 * 10 + 10
    assert parameters(built) == expected
    kernels = [m.weight.shape for m in built.modules() if isinstance(m, torch.nn.Conv2d)]
    assert kernels == [(8, 3, 5, 5), (8, 16, 5, 5)]


def test_depthwise_and_separable_convolutions_multiply_channels() -> None:
    listed = operations(
        [
            ("depthwise_convolution", {"filter_size": ("3",), "depth_multiplier": ("2",)}),
            ("separable_convolution", {"num_filter": ("5",), "depth_multiplier": ("2",)}),
        ]
    )
    built = network(KatibSpace(listed, 2), "0-1.1")
    first = 9 * 6 + 2 * 6  # 3 channels, twice
    second = 9 * 2 * 9 + 18 * 5 + 2 * 5  # 6 channels and the image's 3, twice
    assert parameters(built) == first + second + 5 * 10 + 10


def test_a_pooling_is_no_larger_than_its_input() -> None:
    listed = operations([("reduction", {"pool_size": ("3",)})])
    assert network(KatibSpace(listed, 4), "0-0.0-0.00-0.000")(torch.rand(2, 3, 8, 8)).shape == (
        2,
        10,
    )


def test_spaces_of_experiments_are_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NASBENCH_KIT_HOME", str(tmp_path))
    spaces.named.cache_clear()
    space = KatibSpace(SMALL, 5)
    with pytest.raises(UnknownName, match="--dry-run"):
        spaces.named(space.name)
    keep(space)
    assert spaces.named(space.name) == space
    spaces.named.cache_clear()
    file = next((tmp_path / "katib-spaces").iterdir())
    for damaged in ("", "[]", json.dumps({"layers": 4, "operations": space.operations})):
        file.write_text(damaged)
        with pytest.raises(CorruptFile):
            spaces.named(space.name)
    with pytest.raises(UnknownName):
        spaces.named("katib-../../etc")


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ([("pooling", {})], "operationType is 'pooling'"),
        ([("convolution", {"pool_size": ("2",)})], "no parameter 'pool_size'"),
        ([("convolution", {"num_filter": ("0",)})], "num_filter is '0'"),
        ([("convolution", {"num_filter": ("9" * 5000,)})], "whole number from 1 to 1,024"),
        ([("convolution", {"stride": ("1.5",)})], "stride is '1.5'"),
        ([("reduction", {"reduction_type": ("sum",)})], "reduction_type is 'sum'"),
        ([], "no combinations"),
        ([("convolution", {"stride": ()})], "no combinations"),
        ([("convolution", {"stride": ("1", "1")})], "listed twice"),
        ([("separable_convolution", {name: tuple(map(str, range(1, 20))) for name in
          ("num_filter", "filter_size", "stride")})], "more than 4,096"),
    ],
)  # fmt: skip
def test_operations_that_there_are_not_are_refused(listed: Any, message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        operations(listed)


def test_an_operation_knows_its_defaults() -> None:
    assert Operation("reduction", ()).value("stride") is None
    assert Operation("convolution", (("stride", "2"),)).value("stride") == 2
    assert Operation("convolution", ()).value("num_filter") == 64


# NAS-RL ----------------------------------------------------------------------------------------


def test_layers_without_inputs_see_the_image_and_unread_ones_the_classifier() -> None:
    """The paper's repair rules (section 3.3)."""
    space = NASRLNetworks(3)
    units, outputs = space.units(space.parse("3x3x24s1-5x1x36s2.0-1x1x48s1.10"))
    assert [unit.inputs for unit in units] == [(0,), (0,), (1,)]
    assert outputs == (2, 3)
    assert [unit.kernel for unit in units] == [(3, 3), (5, 1), (1, 1)]
    built = network(space, "3x3x24s1-5x1x36s2.0-1x1x48s1.10")
    convolutions = 9 * 3 * 24 + 5 * 3 * 36 + 24 * 48
    assert parameters(built) == convolutions + 2 * (24 + 36 + 48) + (36 + 48) * 10 + 10


def test_smaller_inputs_are_padded_by_zeros() -> None:
    one, other = torch.ones(1, 2, 4, 5), 2 * torch.ones(1, 1, 1, 2)
    both = joined([one, other])
    assert both.shape == (1, 3, 4, 5)
    expected = torch.zeros(4, 5)
    expected[1, 1:3] = 2  # three rows and three columns miss: one before, two behind
    assert torch.equal(both[0, 2], expected)
    assert torch.equal(both[:, :2], one)


def test_decisions_of_layers_that_are_not_there_do_not_count() -> None:
    space = NASRLNetworks(2, 4)
    shallow = space.parse("3x3x24s1-5x5x36s2.1")
    end = space.decisions_of(2)
    assert space.decode([*shallow.options[:end], *[1] * (len(space.decisions) - end)]) == shallow
    assert all(len(each.options) == len(space.decisions) for each in space.neighbours(shallow))
    # All options of two layers once: 3 + 3 + 3 + 2 others each, one bit, and four layers instead.
    assert len(space.neighbours(shallow)) == 2 * (3 + 3 + 3 + 2) + 1 + 1


# ProxylessNAS ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "stem", "first", "widths", "head", "expected"),
    [
        ("mobile", 32, 16, (32, 40, 80, 96, 192, 320), 1280, 4_080_512),
        ("cpu", 40, 24, (32, 48, 88, 104, 216, 360), 1432, 4_361_648),
        ("gpu", 40, 24, (32, 56, 112, 128, 256, 432), 1728, 7_119_848),
        ("mobile", 48, 24, (40, 56, 112, 136, 256, 448), 1792, 6_857_568),  # "mobile-14"
    ],
)
def test_published_networks_have_their_parameters(
    name: str, stem: int, first: int, widths: tuple[int, ...], head: int, expected: int
) -> None:
    """Widths and numbers of parameters on ImageNet: osmr/imgclsmob, of the authors' networks."""
    architecture = ProxylessNAS().parse(proxylessnas.PUBLISHED[name])
    places = proxylessnas.layers(32, widths)[1:]
    behind = [place._replace(in_channels=first) for place in places[:1]] + places[1:]
    built = SequenceNetwork(
        proxylessnas.blocks(architecture.options),
        [Layer(stem, first, 1), *behind],
        head_channels=head,
        image_channels=3,
        classes=1000,
        generator=torch.Generator().manual_seed(0),
        bn_momentum=0.1,
        precision="float32",
    )
    assert parameters(built) == expected


def test_only_blocks_with_a_shortcut_can_be_left_out() -> None:
    sizes = [len(options) for _, options in ProxylessNAS().decisions]
    assert sizes == [6, 7, 7, 7] * 5 + [6]
    places = proxylessnas.layers(32)[1:]
    shortcuts = [layer.stride == 1 and layer.in_channels == layer.out_channels for layer in places]
    assert shortcuts == [size == 7 for size in sizes]


@pytest.mark.parametrize("name", ["enas-macro-4", "nas-rl-4", "katib", "proxylessnas"])
def test_architectures_can_be_drawn(name: str) -> None:
    space: Any = spaces.named(name)
    svg = ElementTree.fromstring(space.draw(space.sample(np.random.default_rng(0))))
    boxes = [part for part in svg if part.tag.endswith("rect")]
    layers = {"enas-macro-4": 5, "nas-rl-4": 6, "katib": 9, "proxylessnas": 21}
    assert len(boxes) == layers[name]


# Units -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["enas-macro-4", "nas-rl-4", "katib", "proxylessnas"])
def test_work_is_what_the_network_computes(name: str) -> None:
    """Counted once by hooks on every convolution that runs, and once without torch."""
    space: Any = spaces.named(name)
    counted = np.zeros(3)

    def count(module: Any, inputs: Any, output: torch.Tensor) -> None:
        convolution = getattr(module, "convolution", module)
        pixels = output.shape[2] * output.shape[3]
        counted[:] += 1, convolution.weight.numel() * pixels, output.shape[1] * pixels

    for seed in range(5):
        architecture = space.sample(np.random.default_rng(seed))
        built = network(space, architecture.to_text(), channels=2).eval()
        counted[:] = 0
        for module in built.modules():
            unit = isinstance(module, UnitModule) and module.unit.kind == "convolution"
            if unit or isinstance(
                module, torch.nn.Conv2d
            ):  # a unit's convolution is no module's call
                module.register_forward_hook(count)
        built(torch.zeros(1, 2, 9, 7))
        np.testing.assert_array_equal(architecture.work(Skeleton(8, 1, 1), (9, 7, 2))[1:], counted)


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_padding_keeps_the_ceiling_of_size_over_stride(kernel: int, stride: int, size: int) -> None:
    """And the window of each result is where TensorFlow's "same" has it."""
    unit = Unit((0,), "convolution", 1, (kernel, kernel), stride, normalised=False)
    built = UnitNetwork(
        Network((unit,), (1,)),
        image_channels=1,
        classes=2,
        generator=torch.Generator().manual_seed(0),
        bn_momentum=0.1,
        precision="float32",
    )
    module: Any = built.units[0]
    image = torch.rand(1, 1, size, size)
    result = module(image)
    rows = -(-size // stride)
    assert result.shape == (1, 1, rows, rows)
    missing = max((rows - 1) * stride + kernel - size, 0)
    larger = torch.zeros(1, 1, size + missing, size + missing)
    start = missing // 2
    larger[:, :, start : start + size, start : start + size] = image
    expected = functional.conv2d(larger, module.convolution.weight, stride=stride)
    torch.testing.assert_close(result, expected[:, :, :rows, :rows])


def test_the_image_itself_goes_through_no_relu() -> None:
    """Katib's images are not negative, so that its first ReLU changes nothing; ours have mean 0."""
    units = (
        Unit((0,), "max", kernel=(2, 2), stride=2, padded=False),
        Unit((1,), "convolution", 1, relu_first=True, normalised=False),
        Unit((2,), "convolution", 1, relu_first=True, normalised=False),
    )
    built = UnitNetwork(
        Network(units, (3,)),
        image_channels=1,
        classes=1,
        generator=torch.Generator().manual_seed(0),
        bn_momentum=0.1,
        precision="float32",
    )
    for weights in built.parameters():
        weights.data.fill_(1.0)
    image = -torch.ones(1, 1, 4, 4)
    assert built(image).item() == 1.0  # -1, then a ReLU of it, and the classifier's bias
    built.units[1].convolution.weight.data.fill_(-1.0)  # type: ignore[union-attr,operator]
    assert built(image).item() == 2.0


def test_work_of_a_depthwise_unit_by_hand() -> None:
    unit = Unit((0,), "convolution", 6, (3, 1), 2, depthwise=True)
    assert work(Network((unit,), (1,)), (5, 4, 3)).tolist() == [1, 1, 3 * 6 * 6, 36]


# Searches --------------------------------------------------------------------------------------


class Quick:
    """A trainer of nothing, whose accuracy is drawn from the architecture's hash."""

    def price(self, architecture: Any, epochs: int, halfway: bool) -> float | None:
        return None

    def train(self, architecture: Any, epochs: int, halfway: bool, repeat: int) -> Answer:
        accuracy = int(architecture.hash[:6], 16) % 1000 / 1000
        return Answer(architecture, epochs, halfway, repeat, None, accuracy, accuracy, 1, "trained")


@pytest.mark.parametrize("name", ["enas-macro", "nas-rl-4-8", "proxylessnas", "katib"])
@pytest.mark.parametrize(
    "search",
    ["random-search", "distinct-random-search", "local-search", "regularized-evolution", "reinforce",
     "hyperband", "bohb", "controller-reinforce", "nas-rl-small", "nasnet-ppo"],
)  # fmt: skip
def test_searches_need_no_rows(name: str, search: str) -> None:
    """Spaces too large to number are searched all the same, twice alike."""
    asked = []
    for _ in range(2):
        source = TrainerSource(Quick(), spaces.named(name), (4, 12, 36), 1)
        oracle = Oracle(source, Budget(epochs=720), np.random.default_rng(0))
        assert len(list(yielded(ALGORITHMS[search](), oracle, seed=1))) > 1
        asked.append([charge.item.architecture.to_text() for charge in oracle.budget.ledger])
    assert asked[0] == asked[1]
    assert len(asked[0]) >= 20
