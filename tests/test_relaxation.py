"""The relaxation: limits of its temperature, gradients of hard draws, the way back to a cell."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch.nn import functional

from nasbench_kit import CellSpace, InvalidSetting
from nasbench_kit.spaces.nasbench101 import supernet as supernet_module
from nasbench_kit.spaces.nasbench101.cell import OPERATIONS
from nasbench_kit.spaces.nasbench101.one_shot import PARENTS
from nasbench_kit.spaces.nasbench101.relaxation import Relaxation
from nasbench_kit.spaces.nasbench101.supernet import Supernet
from nasbench_kit.spaces.skeleton import Skeleton

torch.set_num_threads(1)

SPACES = ["v3e9", "v4e9", "v5e9", "v6e9", "v7e9", "v5e4", "1shot1-1", "1shot1-2", "1shot1-3"]


def relaxed(name: str, seed: int, scale: float = 1.0) -> Relaxation:
    """With normal logits of a standard deviation."""
    made = Relaxation(CellSpace.named(name), np.random.default_rng(0))
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for logits in made.parameters():
            logits.copy_(torch.from_numpy(rng.normal(0, scale, tuple(logits.shape))))
    return made


# Mixtures ---------------------------------------------------------------------------------------


def test_the_first_logits_are_small_and_drawn() -> None:
    one, other = (Relaxation(CellSpace(5), np.random.default_rng(seed)) for seed in (0, 1))
    logits = torch.cat([p.detach().flatten() for p in one.parameters()])
    assert 1e-4 < logits.std() < 1e-2
    assert not torch.equal(one.operations, other.operations)


def test_a_mixture_has_the_probabilities() -> None:
    """Softmax over operations; edges are there or not; a choice of parents is one softmax."""
    free = relaxed("v5e9", 1)
    mixture = free.mixture()
    torch.testing.assert_close(mixture.operations, free.operations.softmax(1))
    for weights, logits in zip(mixture.edges, free.edges, strict=True):
        torch.testing.assert_close(weights, 1 / (1 + (-logits).exp()))
    chosen = relaxed("1shot1-2", 1)
    for v, (weights, logits) in enumerate(
        zip(chosen.mixture().edges, chosen.edges, strict=True), start=1
    ):
        if PARENTS[2][v - 1] == v:  # nothing to choose
            assert weights.tolist() == [1] * v
        else:
            torch.testing.assert_close(weights, logits.softmax(0))


def test_cold_draws_are_one_hot_with_the_probabilities() -> None:
    """Of operations and of free edges and of a choice of parents, as tau goes to 0."""
    count = 1500
    for name in ("v4e9", "1shot1-1"):
        made = relaxed(name, 2)
        mixture = made.mixture()
        rng = np.random.default_rng(3)
        draws = [made.sample(rng, 1e-4, hard=False) for _ in range(count)]
        with torch.no_grad():
            pairs = [(torch.stack([d.operations for d in draws]), mixture.operations)]
            pairs += [
                (torch.stack([d.edges[v] for d in draws]), mixture.edges[v])
                for v in range(len(mixture.edges))
            ]
            for drawn, probability in pairs:
                assert ((drawn < 0.01) | (drawn > 0.99)).float().mean() > 0.99
                error = (probability * (1 - probability) / count).sqrt()
                assert ((drawn.mean(0) - probability).abs() <= 5 * error + 1e-3).all()


def test_hot_draws_are_even() -> None:
    for name in ("v4e9", "1shot1-1"):
        made = relaxed(name, 2)
        draw = made.sample(np.random.default_rng(3), 1e5, hard=False)
        assert (draw.operations - 1 / 3).abs().max() < 1e-3
        for v, weights in enumerate(draw.edges, start=1):
            even = 1 / 2 if made.parents is None else 1.0 if made.parents[v - 1] == v else 1 / v
            torch.testing.assert_close(weights, torch.full_like(weights, even), rtol=0, atol=1e-3)


@pytest.mark.parametrize("temperature", [0.1, 1.0, 10.0])
def test_hard_draws_are_one_hot_with_the_gradient_of_soft_ones(temperature: float) -> None:
    made = relaxed("v5e9", 4)
    direction = torch.randn(3, 3, generator=torch.Generator().manual_seed(1))
    for seed in range(5):
        hard, soft = (
            made.sample(np.random.default_rng(seed), temperature, hard=hard)
            for hard in (True, False)
        )
        rounded = hard.operations.detach().round()
        torch.testing.assert_close(hard.operations.detach(), rounded, rtol=0, atol=1e-6)
        assert rounded.sum(1).tolist() == [1, 1, 1]
        assert torch.equal(rounded.argmax(1), soft.operations.argmax(1))
        assert hard.active == [[int(o)] for o in soft.operations.argmax(1)]
        gradients = [
            torch.autograd.grad((draw.operations * direction).sum(), made.operations)[0]
            for draw in (hard, soft)
        ]
        torch.testing.assert_close(*gradients)
        assert all(torch.equal(a, b) for a, b in zip(hard.edges, soft.edges, strict=True))


def test_the_gradient_of_a_soft_draw() -> None:
    """dZ_k / da_j = Z_k (delta_kj - Z_j) / temperature (SNAS, equation 8, in log alpha)."""
    made = relaxed("v3e3", 5)
    for k in range(3):
        draw = made.sample(np.random.default_rng(6), 0.7, hard=False).operations[0]
        (gradient,) = torch.autograd.grad(draw[k], made.operations)
        z = draw.detach()
        torch.testing.assert_close(gradient[0], z[k] * (torch.eye(3)[k] - z) / 0.7)


def test_a_hard_draw_computes_what_it_drew_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = relaxed("v5e9", 4)
    shared = Supernet(5, Skeleton(6, 2, 1), 1, 2, torch.Generator().manual_seed(0))
    kernels: list[int] = []
    convolve = supernet_module.together

    def together(x: Any, layers: Any, widths: Any, **more: Any) -> Any:
        kernels.extend(layer.conv.kernel_size[0] for layer in layers)
        return convolve(x, layers, widths, **more)

    monkeypatch.setattr(supernet_module, "together", together)
    images = torch.rand(4, 1, 6, 6)
    for seed in range(4):
        kernels.clear()
        mixture = made.sample(np.random.default_rng(seed), 1.0, hard=True)
        shared(images, mixture)
        drawn = Counter(operation for (operation,) in mixture.active)
        projections = 3 + 1  # of every vertex and of the output
        assert kernels.count(3) == 1 + 2 * drawn[0]
        assert kernels.count(1) == 2 * (projections + drawn[1])


def test_dirichlet_draws_have_the_mean_and_its_gradient() -> None:
    """E x = c / sum(c), so the mean gradient of a linear function of draws is that of its mean."""
    count = 3000
    for name in ("v4e9", "1shot1-1"):
        made = relaxed(name, 2)
        direction = torch.tensor([1.0, -2.0, 0.5])
        rng = np.random.default_rng(3)
        draws = [made.dirichlet(rng) for _ in range(count)]
        drawn = torch.stack([d.operations for d in draws])
        assert (drawn.sum(2) - 1).abs().max() < 1e-4
        concentrations = made.concentrations()[0]
        expected = concentrations / concentrations.sum(1, keepdim=True)
        torch.testing.assert_close(drawn.mean(0), expected, rtol=0, atol=0.04)
        (found,) = torch.autograd.grad((drawn * direction).sum() / count, made.operations)
        (exact,) = torch.autograd.grad((expected * direction).sum(), made.operations)
        torch.testing.assert_close(found, exact, rtol=0, atol=0.06)
        last = torch.stack([d.edges[-1] for d in draws]).mean(0)
        of_edges = made.concentrations()[-1]
        shares = of_edges / of_edges.sum(1, keepdim=True)
        mean = shares[0] if made.parents else made_two(made)
        torch.testing.assert_close(last, mean, rtol=0, atol=0.04)


def made_two(made: Relaxation) -> torch.Tensor:
    """Of free edges, c / (c + 1)."""
    positive = functional.elu(made.edges[-1]) + 1
    return positive / (positive + 1)


def test_the_first_dirichlet_distributions_are_nearly_even() -> None:
    for some in Relaxation(CellSpace(5), np.random.default_rng(0)).concentrations():
        torch.testing.assert_close(some, torch.ones_like(some), rtol=0, atol=0.01)


# The way back -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SPACES)
@settings(max_examples=12)
@given(seed=st.integers(0, 2**32), scale=st.sampled_from([0.0, 1.0, 30.0]))
def test_every_logits_give_a_cell_of_the_space(name: str, seed: int, scale: float) -> None:
    made = relaxed(name, seed, scale)
    cell = made.discretised()
    assert cell in made.space
    assert cell.pruned().bits.bit_count() <= 9
    assert made.draw(np.random.default_rng(seed))[0] in made.space


@pytest.mark.parametrize("number", [1, 2, 3])
def test_parents_are_the_likeliest_k(number: int) -> None:
    for seed in range(10):
        made = relaxed(f"1shot1-{number}", seed)
        cell = made.discretised()
        assert cell.size == len(PARENTS[number]) + 1
        for v, (count, logits) in enumerate(zip(PARENTS[number], made.edges, strict=True), start=1):
            likeliest = torch.topk(logits, count).indices.sort().values.tolist()
            assert np.flatnonzero(cell.matrix[:, v]).tolist() == likeliest
        assert cell.operations[1:-1] == tuple(
            OPERATIONS[o] for o in made.operations.argmax(1).tolist()
        )


def test_edges_are_those_of_one_half_or_more() -> None:
    made = relaxed("v4e9", 0)
    with torch.no_grad():
        for logits, values in zip(
            made.edges, ([-1.0], [2.0, -0.1], [-3.0, -2.0, 0.0]), strict=True
        ):
            logits.copy_(torch.tensor(values))
        made.operations.copy_(torch.tensor([[0.0, 2.0, 1.0], [0.0, 1.0, 2.0]]))
    cell = made.discretised()
    # Vertex 1 has no likely edge, and keeps its only one.
    assert cell.matrix.tolist() == [[0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert cell.operations[1:-1] == (OPERATIONS[1], OPERATIONS[2])


def test_the_weakest_edges_go_if_there_are_too_many() -> None:
    """Ten edges of five vertices; the tenth, weakest one must go, unless it is a vertex's last."""
    made = relaxed("v5e9", 0)
    with torch.no_grad():
        for logits in made.edges:
            logits.copy_(torch.linspace(2, 3, len(logits)))
        made.edges[0][0] = 0.5  # weakest, but vertex 1 has no other
        made.edges[2][1] = 1.0
    missing = np.argwhere(np.triu(1 - made.discretised().matrix, 1)).tolist()
    assert missing == [[1, 3]]


def test_edges_of_unused_vertices_are_not_counted() -> None:
    """Eleven edges, three of them of vertex 5, which feeds nothing: none is too many."""
    made = relaxed("v7e9", 0)
    with torch.no_grad():
        for v, logits in enumerate(made.edges, start=1):
            logits.fill_(-1)
            logits[v - 1] = 1  # a chain of six edges
        made.edges[5][4], made.edges[5][5] = 1, -1  # vertex 4 feeds the output, 5 nothing
        made.edges[1][0] = made.edges[2][0] = made.edges[3][0] = 0.5
        made.edges[4][0] = made.edges[4][1] = 0.4  # the weakest would go first
    cell = made.discretised()
    assert cell.bits.bit_count() == 11
    assert cell.pruned().bits.bit_count() == 8


def test_draws_follow_the_probabilities() -> None:
    """Two parents, one after the other: p_i p_j / (1 - p_i) + p_j p_i / (1 - p_j)."""
    made = relaxed("1shot1-1", 7)
    rng = np.random.default_rng(8)
    count = 2000
    matrices, operations = [], []
    for _ in range(count):
        cell, _ = made.draw(rng)
        matrices.append(cell.matrix)
        operations.append([OPERATIONS.index(name) for name in cell.operations[1:-1]])

    def check(times: int, p: float) -> None:
        assert abs(times - count * p) < 5 * np.sqrt(count * p * (1 - p))

    with torch.no_grad():
        for v, row in enumerate(made.operations.softmax(1).tolist()):
            for operation, p in enumerate(row):
                check(sum(chosen[v] == operation for chosen in operations), p)
        output = made.edges[-1].softmax(0).tolist()
    for i, j in itertools.combinations(range(5), 2):
        p = output[i] * output[j] * (1 / (1 - output[i]) + 1 / (1 - output[j]))
        check(sum(bool(matrix[i, -1] and matrix[j, -1]) for matrix in matrices), p)


def test_free_edges_are_drawn_on_their_own() -> None:
    made = relaxed("v4e6", 7)
    rng = np.random.default_rng(8)
    count = 2000
    drawn = np.array([made.draw(rng)[0].matrix for _ in range(count)])
    p = made.edges[2].detach().sigmoid().numpy()
    for pattern in itertools.product((0, 1), repeat=3):
        if any(pattern):  # or the likeliest edge is put there
            expected = np.where(pattern, p, 1 - p).prod()
            times = (drawn[:, :3, 3] == pattern).all(axis=1).sum()
            mended = count * (1 - p).prod() if sum(pattern) == 1 else 0
            assert abs(times - count * expected) < mended + 5 * np.sqrt(count * expected)


@pytest.mark.parametrize("name", ["v5e9", "1shot1-3"])
def test_the_likelihood_of_draws_orders_them_by_probability(name: str) -> None:
    """Differences of logarithms are those of the probabilities, written out."""
    made = relaxed(name, 3)
    rng = np.random.default_rng(4)
    offsets = []
    with torch.no_grad():
        for _ in range(20):
            cell, logarithm = made.draw(rng)
            exact = 0.0
            for v, operation in enumerate(cell.operations[1:-1]):
                exact += float(made.operations[v].log_softmax(0)[OPERATIONS.index(operation)])
            for v, logits in enumerate(made.edges, start=1):
                there = torch.from_numpy(cell.matrix[:v, v].astype(np.float32))
                if made.parents is None:
                    exact += float(torch.where(there == 1, logits, -logits).sigmoid().log().sum())
                else:  # of all sets of that size
                    sets = itertools.combinations(logits.tolist(), int(there.sum()))
                    weights = sum(np.exp(sum(members)) for members in sets)
                    exact += float((there * logits).sum()) - np.log(weights)
            offsets.append(logarithm - exact)
    assert max(offsets) - min(offsets) < 1e-4


# Errors -----------------------------------------------------------------------------------------


def test_other_spaces_are_refused() -> None:
    whole = CellSpace(4)
    spaces = [
        whole.restricted(np.arange(0, len(whole), 2)),
        whole.restricted(np.arange(0, len(whole), 2), "mine"),
        CellSpace.one_shot(1, published=True),
        CellSpace(2),
        CellSpace(6, 4),  # no cell has all its vertices
    ]
    for space in spaces:
        with pytest.raises(
            InvalidSetting, match="no continuous relaxation; use all cells of 3 to 7"
        ):
            Relaxation(space, np.random.default_rng(0))
