"""Every space of the kit against the conformance suite, and what each knows of itself."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from nasbench_kit import CellSpace, spaces
from nasbench_kit.errors import InvalidArchitecture, InvalidSetting, NotInSpace, UnknownName
from nasbench_kit.spaces import Decision, DecisionSpace, Space
from nasbench_kit.spaces.graphs.nasbench_graph import NASBenchGraph
from nasbench_kit.spaces.layers.nasbench_macro import NASBenchMacro
from nasbench_kit.spaces.skeleton import Skeleton
from nasbench_kit.testing.made_up import MadeUpSpace
from nasbench_kit.testing.spaces import SpaceConformance

SHARED = Path(__file__).parent.parent.parent / "shared" / "data"


class NoTwoAlike(DecisionSpace):
    """Neighbouring layers differ: 3 * 2 * 2 * 2 of the 81 combinations are valid."""

    name = "no-two-alike"
    decisions = tuple(Decision(f"layer {i}", ("a", "b", "c")) for i in range(4))

    def valid(self, options: tuple[int, ...]) -> bool:
        return all(one != other for one, other in pairwise(options))


class TestCells(SpaceConformance):
    @pytest.fixture
    def space(self) -> Space:
        return CellSpace(5)


class TestAPartOfTheCells(SpaceConformance):
    @pytest.fixture
    def space(self) -> Space:
        whole = CellSpace(5)
        return whole.restricted(np.arange(0, len(whole), 2))


class TestOneShotCells(SpaceConformance):
    @pytest.fixture
    def space(self) -> Space:
        return CellSpace.one_shot(1)


class TestMacro(SpaceConformance):
    @pytest.fixture
    def space(self) -> Space:
        return NASBenchMacro()


class TestGraph(SpaceConformance):
    @pytest.fixture
    def space(self) -> Space:
        return NASBenchGraph()


class TestMadeUp(SpaceConformance):
    @pytest.fixture
    def space(self) -> Space:
        return MadeUpSpace()


class TestNarrowed(SpaceConformance):
    @pytest.fixture
    def space(self) -> Space:
        return NoTwoAlike()


class TestAPartOfDecisions(SpaceConformance):
    @pytest.fixture
    def space(self) -> Space:
        whole = MadeUpSpace()
        return whole.restricted(np.arange(0, len(whole), 3))


def test_choices_that_make_no_architecture_have_no_row() -> None:
    space = NoTwoAlike()
    assert len(space) == 3 * 2 * 2 * 2
    texts = [architecture.to_text() for architecture in space]
    assert texts == sorted(texts)
    assert texts[0] == "0101"
    assert space.decode([0, 0, 1, 2]) is None
    with pytest.raises(NotInSpace, match="0012"):
        space.parse("0012")
    # Of 0101 the single changes that keep neighbours different: the first and the last to 2,
    # and none in the middle but 0 -> 2 and 1 -> 2.
    neighbours = {architecture.to_text() for architecture in space.neighbours(space.parse("0101"))}
    assert neighbours == {"2101", "0201", "0121", "0102"}


@given(st.lists(st.integers(0, 2), min_size=8, max_size=8))
def test_a_row_is_the_number_that_the_digits_write(options: list[int]) -> None:
    space = MadeUpSpace()
    architecture = space.decode(options)
    assert architecture is not None
    assert space.index(architecture) == int("".join(map(str, options)), 3)


def test_every_option_is_as_likely_as_the_others() -> None:
    space, rng = MadeUpSpace(2), np.random.default_rng(0)
    counts = np.bincount([space.index(space.sample(rng)) for _ in range(9000)], minlength=9)
    # 1000 each; the largest of nine lies within 5 standard deviations (30) of it.
    assert np.abs(counts - 1000).max() < 150


def test_a_mutation_changes_one_decision_to_any_other_option() -> None:
    space, rng = MadeUpSpace(3), np.random.default_rng(0)
    start = space.parse("012")
    reached = {space.mutate(start, rng).to_text() for _ in range(300)}
    assert reached == {n.to_text() for n in space.neighbours(start)}
    assert reached == {"112", "212", "002", "022", "010", "011"}


@pytest.mark.parametrize("text", ["0123", "01", "01x", "999", "-1-1-1"])
def test_a_text_of_another_form_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidArchitecture, match=r"is written as '000'|must be 0 to 2"):
        MadeUpSpace(3).parse(text)


def test_spaces_are_found_by_name() -> None:
    assert spaces.named("nasbench-macro") == NASBenchMacro()
    assert spaces.named("v5e9") == CellSpace(5)
    assert spaces.named("1shot1-1") == CellSpace.one_shot(1)
    with pytest.raises(UnknownName, match="nasbench-macro"):
        spaces.named("nasbench-micro")


def test_a_space_without_networks_refuses_them_by_name() -> None:
    space = MadeUpSpace()
    with pytest.raises(InvalidSetting, match="made-up-8 has no networks"):
        space[0].work(Skeleton(), (8, 8, 1))


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="needs the development data in ../shared")
def test_macro_networks_are_those_of_the_benchmark() -> None:
    with gzip.open(SHARED / "nas-bench-macro_cifar10.json.gz") as file:
        records = json.load(file)
    space = NASBenchMacro()
    assert len(records) == len(space) == 6561
    skeleton = Skeleton(stem_channels=32)
    for place, (text, record) in enumerate(records.items()):
        architecture = space.parse(text)
        # Multiply-accumulates of the convolutions, and of the classifier's 1,280 x 10 weights.
        assert architecture.work(skeleton, (32, 32, 3))[2] + 12_800 == record["flops"]
        if place % 500 == 0:
            network = architecture.network(
                skeleton,
                3,
                10,
                generator=torch.Generator().manual_seed(0),
                bn_momentum=0.1,
                precision="float32",
            )
            assert sum(weights.numel() for weights in network.parameters()) == record["params"]
