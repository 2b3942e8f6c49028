"""What every search space must do, stated once.

A plug-in's test is a subclass with a fixture::

class TestMySpace(SpaceConformance):
@pytest.fixture
def space(self) -> Space:
return MySpace()
"""

from __future__ import annotations

import copy
import pickle
import random
from typing import Any

import numpy as np
import pytest

from nasbench_kit.errors import InvalidArchitecture, NasbenchKitError, NotInSpace
from nasbench_kit.spaces.protocols import Architecture, Numbered, Space, Trainable, material
from nasbench_kit.spaces.skeleton import Skeleton


class SpaceConformance:
    """The suite. Rows and networks are tested where the space has them."""

    #: Random architectures looked at.
    draws = 50
    #: Around the networks that are built; image height and width, channels and classes follow. A text has
    #: as many tokens as images are wide, of as many as there are classes.
    skeleton = Skeleton(stem_channels=8, stacks=2, cells_per_stack=1)
    image_shape = (8, 8, 1)
    classes = 3

    @pytest.fixture
    def space(self) -> Space:
        """The space under test."""
        raise NotImplementedError

    @pytest.fixture
    def drawn(self, space: Space) -> list[Any]:
        """Random architectures of the space."""
        rng = np.random.default_rng(0)
        return [space.sample(rng) for _ in range(self.draws)]

    def test_it_is_a_space(self, space: Space) -> None:
        assert isinstance(space, Space)
        assert space.name
        assert not set(space.name) & set(" /\\")
        assert len(space.digest) == 64

    def test_decisions_have_names_and_options(self, space: Space) -> None:
        names = [decision.name for decision in space.decisions]
        assert names
        assert len(set(names)) == len(names)
        assert all(len(set(options)) == len(options) > 0 for _, options in space.decisions)

    def test_the_same_seed_draws_the_same(self, space: Space, drawn: list[Any]) -> None:
        again = np.random.default_rng(0)
        assert [a.to_text() for a in drawn] == [space.sample(again).to_text() for _ in drawn]

    def test_global_random_state_is_untouched(self, space: Space) -> None:
        random.seed(5)
        before = random.getstate(), np.random.get_state(legacy=False)  # noqa: NPY002
        space.mutate(space.sample(np.random.default_rng(0)), np.random.default_rng(1))
        assert random.getstate() == before[0]
        np.testing.assert_equal(np.random.get_state(legacy=False), before[1])  # noqa: NPY002

    def test_what_is_drawn_lies_inside(self, space: Space, drawn: list[Any]) -> None:
        assert all(architecture in space for architecture in drawn)
        assert all(isinstance(architecture, Architecture) for architecture in drawn)
        assert "no architecture" not in space

    def test_texts_are_one_word_and_read_again(self, space: Space, drawn: list[Any]) -> None:
        for architecture in drawn:
            text = architecture.to_text()
            assert text.split() == [text]
            again = space.parse(text)
            assert again == architecture
            assert hash(again) == hash(architecture)
            assert again.hash == architecture.hash
            assert architecture.written_as(text)

    def test_equal_means_the_same_hash(self, drawn: list[Any]) -> None:
        for one in drawn[:10]:
            for other in drawn[:10]:
                assert (one == other) == (one.hash == other.hash)

    @pytest.mark.parametrize("text", ["", "no such text", "0", "\x00", "1" * 1000])
    def test_another_text_is_refused_by_name(self, space: Space, text: str) -> None:
        with pytest.raises((InvalidArchitecture, NotInSpace)):
            space.parse(text)

    def test_decisions_make_the_architecture_again(self, space: Space, drawn: list[Any]) -> None:
        for architecture in drawn:
            choices = space.encode(architecture)
            assert len(choices) == len(space.decisions)
            for choice, decision in zip(choices, space.decisions, strict=True):
                assert 0 <= choice < len(decision.options)
            assert space.decode(choices) == architecture

    def test_a_mutation_lies_inside(self, space: Space, drawn: list[Any]) -> None:
        rng = np.random.default_rng(0)
        mutated = [space.mutate(architecture, rng) for architecture in drawn]
        assert all(architecture in space for architecture in mutated)
        assert any(one != other for one, other in zip(drawn, mutated, strict=True))

    def test_neighbours_lie_inside_one_decision_away(self, space: Space, drawn: list[Any]) -> None:
        for architecture in drawn[:10]:
            neighbours = space.neighbours(architecture)
            assert all(neighbour in space for neighbour in neighbours)
            most = sum(len(options) - 1 for _, options in space.decisions)
            assert len(neighbours) <= most

    def test_it_comes_through_pickle_and_copies(self, space: Space, drawn: list[Any]) -> None:
        for sent in (pickle.loads(pickle.dumps(space)), copy.deepcopy(space), copy.copy(space)):
            assert sent.digest == space.digest
            assert sent == space
        for architecture in drawn[:5]:
            assert pickle.loads(pickle.dumps(architecture)) == architecture

    def test_rows_number_the_architectures(self, space: Space, drawn: list[Any]) -> None:
        if not isinstance(space, Numbered):
            pytest.skip("the space has no rows")
        for architecture in drawn:
            row = space.index(architecture)
            assert 0 <= row < len(space)
            assert space[row] == architecture
        for row in (0, len(space) // 2, len(space) - 1):
            assert space.index(space[row]) == row
        for row in (-1, len(space)):
            with pytest.raises(NotInSpace):
                space[row]

    def test_a_part_of_the_rows_is_a_space(self, space: Space) -> None:
        if not isinstance(space, Numbered):
            pytest.skip("the space has no rows")
        kept = np.unique(np.linspace(0, len(space) - 1, 20).astype(int))
        part = space.restricted(kept)
        assert len(part) == len(kept)
        assert [space.index(part[row]) for row in range(len(part))] == kept.tolist()
        outside = next(row for row in range(len(space)) if row not in kept)
        assert space[outside] not in part
        with pytest.raises(NasbenchKitError):
            space.restricted(kept[::-1])

    def test_networks_work(self, space: Space, drawn: list[Any]) -> None:
        import torch

        if not isinstance(drawn[0], Trainable):
            pytest.skip("the space has no networks")
        height, width, channels = self.image_shape
        shape: tuple[int, ...]
        images, shape = torch.zeros(2, channels, height, width), (2, self.classes)
        if material(drawn[0]) == "text":
            channels, shape = self.classes, (2, self.classes, width)
            images = torch.zeros(2, width, dtype=torch.int64)

        def build(architecture: Trainable, seed: int) -> torch.nn.Module:
            return architecture.network(
                self.skeleton,
                channels,
                self.classes,
                generator=torch.Generator().manual_seed(seed),
                bn_momentum=0.1,
                precision="float32",
            )

        try:
            build(drawn[0], 0)
        except NasbenchKitError:
            pytest.skip("the space has no networks")
        before = torch.random.get_rng_state()
        for architecture in drawn[:3]:
            network, again = build(architecture, 0), build(architecture, 0)
            assert network.eval()(images).shape == shape
            weights, same = network.state_dict(), again.state_dict()
            assert all(torch.equal(weights[name], same[name]) for name in weights)
            other = build(architecture, 1).state_dict()
            assert any(not torch.equal(weights[name], other[name]) for name in weights)
            work = architecture.work(self.skeleton, self.image_shape)
            assert work.ndim == 1
            assert (work >= 0).all()
            assert work.any()
        assert torch.equal(torch.random.get_rng_state(), before)
