"""Cells of blocks: texts, loose ends, published cells, shared weights."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch
from test_edge_cells_sharing import SHAPE, SKELETON, alone, images, supernet_of
from test_genotypes import closed_form

from nasbench_kit.errors import InvalidArchitecture, InvalidSetting
from nasbench_kit.spaces import Space
from nasbench_kit.spaces.edge_cells import two_inputs
from nasbench_kit.spaces.edge_cells.blocks import OPERATIONS, PUBLISHED, Blocks
from nasbench_kit.spaces.edge_cells.darts import EVALUATED
from nasbench_kit.testing.spaces import SpaceConformance

#: ENAS' released cells, as its code writes them: (input, operation) twice a block.
ENAS_NORMAL = [0, 2, 0, 0, 0, 4, 0, 1, 0, 4, 1, 1, 1, 0, 0, 1, 0, 2, 1, 1]
ENAS_REDUCE = [1, 0, 1, 0, 0, 3, 0, 2, 1, 1, 3, 1, 1, 0, 0, 4, 0, 3, 1, 1]


@pytest.mark.parametrize("name", list(OPERATIONS))
class TestSpaces(SpaceConformance):
    draws = 10

    @pytest.fixture
    def space(self, name: str) -> Space:
        return Blocks(name)

    def test_rows_number_the_architectures(self, space: Space) -> None:  # type: ignore[override]
        """There are too many for ``len``, and yet rows."""
        assert space.index(space[10**11]) == 10**11  # type: ignore[attr-defined,index]
        if space.name != "pnas":
            with pytest.raises(InvalidSetting, match="too many to be counted"):
                len(space)  # type: ignore[arg-type]

    def test_a_part_of_the_rows_is_a_space(self, space: Space) -> None:
        """Nor is there a part."""


@pytest.mark.parametrize("name", list(OPERATIONS))
def test_a_path_is_the_stand_alone_network(name: str) -> None:
    """The stand-alone one has the first weights that loose ends ask for; here all are loose."""
    space = Blocks(name)
    options = [0, 0, 1, 1] * 5 * space.cells
    architecture = space.decode(options)
    assert architecture is not None
    shared = supernet_of(space)
    assert space.joined(0, list(space.taken(architecture))) == [2, 3, 4, 5, 6]
    torch.testing.assert_close(
        shared(images(), architecture), alone(space, architecture, shared)(images())
    )


def test_loose_ends_take_their_own_weights() -> None:
    """The first cell's output with nodes that are read: what reaches the next cell is theirs alone."""
    space = Blocks("enas-micro")
    architecture = space.decode(ENAS_NORMAL + ENAS_REDUCE)
    assert architecture is not None
    taken = list(space.taken(architecture))
    assert space.joined(0, taken) == [2, 3, 4, 5, 6]
    assert space.joined(1, taken) == [2, 4, 5, 6]  # block 3 is read
    shared = supernet_of(space)
    reduction = next(layer for layer in shared.layers if layer.kind == 1)
    kept: list[torch.Tensor] = []
    reduction.register_forward_hook(lambda _, __, out: kept.append(out))
    shared(images(), architecture)
    width = kept[0].shape[1] // 5
    zero = [bool((kept[0][:, width * n : width * (n + 1)] == 0).all()) for n in range(5)]
    assert zero == [False, True, False, False, False]
    network = architecture.network(
        SKELETON,
        3,
        5,
        generator=torch.Generator().manual_seed(0),
        bn_momentum=0.1,
        precision="float32",
    )
    assert network(images()).shape == (4, 5)


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_published_cells_are_read_drawn_and_counted(name: str) -> None:
    of, text = PUBLISHED[name]
    space = Blocks(of)
    cell = space.parse(text)
    assert cell.to_text() == text
    assert len(ElementTree.fromstring(cell._repr_svg_()).findall(".//{*}circle")) == 2 * 7
    network = cell.network(
        EVALUATED,
        3,
        10,
        generator=torch.Generator().manual_seed(0),
        bn_momentum=0.1,
        precision="float32",
    )
    assert sum(weight.numel() for weight in network.parameters()) == closed_form(space, text)


def test_other_cells_are_refused() -> None:
    space, (_, nasnet) = Blocks("nasnet"), PUBLISHED["NASNet-A"]
    for changed in (
        nasnet.replace("range(4,7)", "range(3,7)"),
        nasnet.replace("sep_conv_7x7", "sep_conv_9x9"),
        nasnet.replace("('skip_connect',3)", "('skip_connect',6)"),
    ):
        with pytest.raises(InvalidArchitecture):
            space.parse(changed)


def test_the_published_cell_of_enas_is_what_its_code_writes() -> None:
    enas = Blocks("enas-micro").decode(ENAS_NORMAL + ENAS_REDUCE)
    assert enas is not None
    assert enas.to_text() == PUBLISHED["ENAS"][1]


def test_pnas_has_one_cell() -> None:
    """136 different ones of one block (section 3.1): here 256 = (2 inputs x 8 operations)^2 with orders."""
    space = Blocks("pnas")
    first = [len(decision.options) for decision in space.decisions[:4]]
    assert math.prod(first) == 256
    assert 256 - math.comb(16, 2) == 136
    architecture = space.sample(np.random.default_rng(0))
    normal, reduce = space.edges_of(architecture)
    assert normal == reduce


@pytest.mark.parametrize("name", list(OPERATIONS))
def test_work_counts_the_multiplications(name: str) -> None:
    space, rng = Blocks(name), np.random.default_rng(0)
    architecture = space.sample(rng)
    network = architecture.network(
        SKELETON,
        3,
        5,
        generator=torch.Generator().manual_seed(0),
        bn_momentum=0.1,
        precision="float32",
    ).eval()
    counted = [0]

    def count(module: torch.nn.Module, _: object, out: torch.Tensor) -> None:
        assert isinstance(module, torch.nn.Conv2d)
        counted[0] += module.weight[0].numel() * out[0].numel()

    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(count)
    network(torch.zeros(1, 3, 8, 8))
    work = dict(zip(two_inputs.KINDS, architecture.work(SKELETON, SHAPE), strict=True))
    total = work["multiplications of whole convolutions"]
    assert total + work["multiplications of convolutions of each channel"] == counted[0]


@pytest.mark.parametrize("name", list(OPERATIONS))
def test_the_way_back_is_the_inverse_of_a_mixture(name: str) -> None:
    space, rng = Blocks(name), np.random.default_rng(0)
    relaxation = space.relaxation(rng)
    mixture = relaxation.mixture()
    assert supernet_of(space)(images(), mixture).shape == (4, 5)
    for _ in range(3):
        architecture = space.sample(rng)
        with torch.no_grad():
            relaxation.operations.copy_(5 * relaxation.mixture_of(architecture).operations)
        assert relaxation.discretised() == architecture
