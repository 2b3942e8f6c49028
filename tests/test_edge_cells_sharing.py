"""Shared weights of edge-labelled cells: paths, mixtures, prices, the way back, and all searches on them."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from test_weight_sharing import SEARCHES

from nasbench_kit import Budget, InvalidSetting, Oracle, Table
from nasbench_kit.algorithms.weight_sharing.gradient import Differentiable
from nasbench_kit.algorithms.weight_sharing.scores import shared_scores
from nasbench_kit.oracle.search import Search
from nasbench_kit.spaces.edge_cells.darts import DARTS
from nasbench_kit.spaces.edge_cells.nasbench201 import NASBench201, unique_key
from nasbench_kit.spaces.edge_cells.network import CellModule
from nasbench_kit.spaces.edge_cells.supernet import Mixture, SharedCell, Supernet
from nasbench_kit.spaces.skeleton import Skeleton
from nasbench_kit.testing.made_up import made_up_table
from nasbench_kit.testing.searches import SearchConformance, oracle_for
from nasbench_kit.testing.textures import texture_task
from nasbench_kit.training.evaluation import track_statistics

torch.set_num_threads(1)

SPACES: dict[str, Any] = {"nasbench201": NASBench201(), "darts": DARTS()}
SKELETON = Skeleton(8, stacks=2, cells_per_stack=2)
SHAPE = (8, 8, 3)


def supernet_of(space: Any, skeleton: Skeleton = SKELETON) -> Supernet:
    made: Supernet = space.supernet(skeleton, 3, 5, torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    for weight in made.parameters():  # scales and shifts as well
        weight.data = torch.randn(weight.shape, generator=generator) * 0.3
    return made


def images(count: int = 4) -> torch.Tensor:
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(3))


def alone(space: Any, architecture: Any, shared: Supernet) -> torch.nn.Module:
    """The stand-alone network with the supernet's weights."""
    network: Any = architecture.network(
        SKELETON,
        3,
        5,
        generator=torch.Generator().manual_seed(4),
        bn_momentum=None,
        precision="float32",
    )
    taken = space.taken(architecture)
    cells = [module for module in network.modules() if isinstance(module, CellModule)]
    places = [layer for layer in shared.layers if isinstance(layer, SharedCell)]
    pairs = []
    for cell, place in zip(cells, places, strict=True):
        used = [
            operations[taken[slot]]  # type: ignore[index]
            for (slot, _), operations in zip(place.slots, place.operations, strict=True)
            if slot in taken
        ]
        pairs += [(cell.entries, place.entries), *zip(cell.operations, used, strict=True)]
    of_cells = {id(weight) for cell in cells for weight in cell.parameters()}
    shared_of_cells = {id(weight) for place in places for weight in place.parameters()}
    rest = [weight for weight in network.parameters() if id(weight) not in of_cells]
    shared_rest = [weight for weight in shared.parameters() if id(weight) not in shared_of_cells]
    with torch.no_grad():
        for mine, theirs in pairs:
            for weight, value in zip(mine.parameters(), theirs.parameters(), strict=True):
                weight.copy_(value)
        for weight, value in zip(rest, shared_rest, strict=True):
            weight.copy_(value)
    track_statistics(network, False)
    return network.train()


@pytest.mark.parametrize("name", list(SPACES))
def test_a_path_is_the_stand_alone_network(name: str) -> None:
    space = SPACES[name]
    shared, rng = supernet_of(space), np.random.default_rng(0)
    for _ in range(6):
        architecture = space.sample(rng)
        network = alone(space, architecture, shared)
        torch.testing.assert_close(shared(images(), architecture), network(images()))


@pytest.mark.parametrize("name", list(SPACES))
def test_a_one_hot_mixture_is_the_path_without_scale_and_shift(name: str) -> None:
    space = SPACES[name]
    shared, rng = supernet_of(space), np.random.default_rng(0)
    with torch.no_grad():
        for module in (norm for norm in shared._of_cells if norm.affine):
            module.weight.fill_(1)
            module.bias.fill_(0)
    relaxation = space.relaxation(rng)
    for _ in range(4):
        architecture = space.sample(rng)
        mixture = relaxation.mixture_of(architecture)
        torch.testing.assert_close(shared(images(), mixture), shared(images(), architecture))


@pytest.mark.parametrize("name", list(SPACES))
@pytest.mark.parametrize("divisor", [1, 2])
def test_gradients_of_a_mixture_are_differences(name: str, divisor: int) -> None:
    """Of logits and edges, in double precision, without kinks in reach."""
    space = SPACES[name]
    shared = supernet_of(space, Skeleton(4, stacks=1, cells_per_stack=1)).double()
    relaxation = space.relaxation(np.random.default_rng(0)).double()
    some = images(3).double()

    def loss() -> torch.Tensor:
        logits: torch.Tensor = shared(some, relaxation.mixture(divisor))
        return logits.square().sum()

    logits = list(relaxation.parameters())
    gradients = torch.autograd.grad(loss(), logits, allow_unused=True)
    generator = torch.Generator().manual_seed(5)
    for logit, gradient in zip(logits, gradients, strict=True):
        if divisor == 1 and logit is relaxation.edges:
            assert gradient is None
            continue
        direction = torch.randn(logit.shape, generator=generator, dtype=torch.float64)
        before, losses = logit.data, []
        for sign in (1, -1):
            logit.data = before + sign * 1e-6 * direction
            losses.append(loss().item())
        logit.data = before
        assert gradient is not None
        expected = (losses[0] - losses[1]) / 2e-6
        assert (gradient * direction).sum().item() == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_a_mixed_edge_is_the_weighted_sum_written_out() -> None:
    space = SPACES["nasbench201"]
    shared = supernet_of(space)
    relaxation = space.relaxation(np.random.default_rng(0))
    mixture = relaxation.mixture()
    cell: Any = shared.layers[0]
    for norm in shared._of_cells:
        norm.rests = True
    x = torch.randn(2, 8, 6, 6, generator=torch.Generator().manual_seed(0))
    nodes = [x]
    for target in range(1, 4):
        total = torch.zeros_like(x)
        for place, (source, end) in enumerate((s.source, s.target) for s in space.slots):
            if end == target:
                for option, operation in enumerate(cell.operations[place]):
                    total = total + mixture.operations[place, option] * operation(nodes[source])
        nodes.append(total)
    torch.testing.assert_close(cell([x], mixture), nodes[-1])


def test_the_order_of_what_is_computed_does_not_matter() -> None:
    """Weights stay with their operations, also where all are computed (ProxylessNAS draws them in any order)."""
    space = SPACES["nasbench201"]
    shared = supernet_of(space)
    weights = torch.rand(6, 5, generator=torch.Generator().manual_seed(0))
    for count in (3, 5):
        first = shared(images(), Mixture(space, weights, [list(range(count))] * 6))
        turned = shared(images(), Mixture(space, weights, [list(range(count))[::-1]] * 6))
        torch.testing.assert_close(first, turned)


@pytest.mark.parametrize("name", list(SPACES))
def test_work_adds_up(name: str) -> None:
    """A one-hot mixture costs what its architecture costs; several operations what each adds."""
    space = SPACES[name]
    rng = np.random.default_rng(0)
    relaxation = space.relaxation(rng)
    for _ in range(5):
        architecture = space.sample(rng)
        work = architecture.work(SKELETON, SHAPE)
        mixture = relaxation.mixture_of(architecture)
        np.testing.assert_allclose(mixture.work(SKELETON, SHAPE), work)
    nothing = space.work_of([], SKELETON, SHAPE)
    every = [
        (slot, option)
        for slot, (*_, operations) in enumerate(space.slots)
        for option in range(len(operations))
    ]
    total = nothing + sum(space.work_of([one], SKELETON, SHAPE) - nothing for one in every)
    np.testing.assert_allclose(relaxation.mixture().work(SKELETON, SHAPE), total)
    assert (relaxation.mixture(2).work(SKELETON, SHAPE) <= total).all()


@pytest.mark.parametrize("name", list(SPACES))
def test_the_way_back_is_the_inverse_of_a_mixture(name: str) -> None:
    space = SPACES[name]
    rng = np.random.default_rng(0)
    relaxation = space.relaxation(rng)
    for _ in range(10):
        architecture = space.sample(rng)
        with torch.no_grad():
            relaxation.operations.copy_(5 * relaxation.mixture_of(architecture).operations)
        assert space.taken(relaxation.discretised()) == space.taken(architecture)
        drawn, likelihood = relaxation.draw(rng)
        strengths = relaxation.operations.detach().log_softmax(1)
        each = [strengths[slot, option].item() for slot, option in space.taken(drawn).items()]
        assert likelihood == pytest.approx(sum(each))


def test_draws_follow_the_probabilities() -> None:
    space = SPACES["nasbench201"]
    relaxation = space.relaxation(np.random.default_rng(0))
    with torch.no_grad():
        relaxation.operations.copy_(
            torch.randn(6, 5, generator=torch.Generator().manual_seed(0)) * 2
        )
    rng, count = np.random.default_rng(1), 3000
    drawn = np.array([relaxation.draw(rng)[0].options for _ in range(count)])
    shares = (drawn[:, :, None] == np.arange(5)).mean(0)
    expected = relaxation.operations.softmax(1).detach().numpy()
    assert (np.abs(shares - expected) <= 5 * np.sqrt(expected * (1 - expected) / count)).all()


def test_edges_are_normalised_into_each_node() -> None:
    """PC-DARTS, equation 3; and only there."""
    relaxation = SPACES["nasbench201"].relaxation(np.random.default_rng(0))
    with torch.no_grad():
        relaxation.edges.copy_(torch.arange(6.0))
    weights = relaxation.mixture(4).edges
    e = np.exp(np.arange(6.0))
    expected = [1, *(e[1:3] / e[1:3].sum()), *(e[3:] / e[3:].sum())]
    np.testing.assert_allclose(weights.detach().numpy(), expected, rtol=1e-6)
    assert relaxation.mixture().edges is None


def test_channels_that_pass_by_are_shuffled() -> None:
    """With weights of `skip_connect` alone, a part of the channels changes nothing but their order."""
    space = SPACES["nasbench201"]
    shared = supernet_of(space)
    cell: Any = shared.layers[0]
    weights = torch.zeros(6, 5)
    weights[5, 1] = 1  # the edge 2-3
    weights[0, 1] = weights[2, 1] = 1
    mixture = Mixture(space, weights, [[1], [], [1], [], [], [1]], None, 2)
    x = torch.arange(8.0)[None, :, None, None].expand(1, 8, 4, 4)
    order = [0, 4, 1, 5, 2, 6, 3, 7]
    expected = torch.arange(8)
    for _ in range(3):
        expected = expected[order]
    assert cell([x], mixture)[0, :, 0, 0].tolist() == expected.tolist()


# Searches ---------------------------------------------------------------------------------------

ELSEWHERE = {name: search for name, search in SEARCHES.items() if not name.startswith("fair")}
BRIEF = {
    name: replace(search, epochs=2, batch_size=12, share=0.1) for name, search in ELSEWHERE.items()
}


@functools.cache
def table201() -> Table:
    return made_up_table(NASBench201())


class TestConformance(SearchConformance):
    limits: ClassVar = ({"seconds": 777.7}, {"epochs": 400}, {"seconds": 2000.0, "queries": 9})
    compared: ClassVar = {"seconds": 1000.0}
    some: ClassVar = {"seconds": 1500.0}

    @pytest.fixture(params=list(BRIEF))
    def search(self, request: pytest.FixtureRequest) -> Search:
        return BRIEF[request.param]

    @pytest.fixture
    def table(self) -> Table:
        return table201()


@pytest.mark.parametrize("name", list(BRIEF))
def test_each_learns_to_tell_textures_apart(name: str) -> None:
    """Noise to a 1x1 convolution: what reaches the output must pass an operation of 3x3 pixels."""
    search = replace(ELSEWHERE[name], epochs=8, batch_size=32)
    if isinstance(search, Differentiable):
        search = replace(search, architecture_learning_rate=0.05)
    task = texture_task(128)
    oracle = Oracle(table201(), Budget(epochs=1e6), np.random.default_rng(0), task=task)
    *_, last = search(oracle, np.random.default_rng(1))
    assert "3x3" in unique_key(table201().space.encode(last), "sums")


def test_fair_draws_are_of_vertices_alone() -> None:
    search = replace(SEARCHES["fair random-weight-sharing"], batch_size=12)
    oracle = oracle_for(search, table201(), 0, seconds=1000.0)
    with pytest.raises(InvalidSetting, match="draws architectures in one way"):
        search.check(oracle, np.random.default_rng(0))


def test_scores_are_taken_of_a_table() -> None:
    """What `rank-correlation` asks for, of some rows."""
    search = replace(SEARCHES["darts"], batch_size=12)
    oracle = oracle_for(search, table201(), 0, seconds=60.0)
    cells = [table201().space[row] for row in range(0, 15_625, 1_000)]
    *_, last = shared_scores(search, oracle, np.random.default_rng(0), cells, 1)
    assert last.accuracy.shape == (len(cells),)
    assert last.mixture_accuracy is not None
    assert last.labelling_spread == 0.0
