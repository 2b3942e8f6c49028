"""ProxylessNAS and P-DARTS on edge-labelled cells: gates, prices, stages, skips, resuming."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from test_edge_cells_sharing import table201

from nasbench_kit import Budget, CellSpace, InvalidSetting, Oracle, Table
from nasbench_kit.algorithms.weight_sharing.p_darts import PDARTS, _Search as Progressive
from nasbench_kit.algorithms.weight_sharing.proxyless import (
    ProxylessNAS,
    _Search as Proxyless,
    gate_gradient,
)
from nasbench_kit.algorithms.weight_sharing.search import WeightSharing
from nasbench_kit.algorithms.weight_sharing.snas import SNAS, _Search as Annealed
from nasbench_kit.algorithms.weight_sharing.training import SharedWeights
from nasbench_kit.oracle.search import Search
from nasbench_kit.spaces.edge_cells.nasbench201 import OPERATIONS, unique_key
from nasbench_kit.testing.made_up import made_up_table
from nasbench_kit.testing.searches import SearchConformance, oracle_for
from nasbench_kit.testing.textures import priced_task, texture_task

torch.set_num_threads(1)

SEARCHES: dict[str, Any] = {
    "p-darts": PDARTS.small(),
    "proxyless": ProxylessNAS.small(),
    "proxyless-full": replace(ProxylessNAS.small(), gates="full", latency="linear"),
    "proxyless-logarithm": replace(ProxylessNAS.small(), latency="logarithm"),
}
BRIEF = {
    name: replace(search, epochs=3, batch_size=12, share=0.1) for name, search in SEARCHES.items()
}


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


@pytest.mark.parametrize("name", ["p-darts", "proxyless", "proxyless-full"])
def test_each_learns_to_tell_textures_apart(name: str) -> None:
    search = replace(SEARCHES[name], epochs=9, batch_size=32, architecture_learning_rate=0.05)
    if name != "p-darts":  # paths learn in more steps, and cheap cells are not the point
        search = replace(search, epochs=20, latency="none")
    oracle = Oracle(
        table201(), Budget(epochs=1e6), np.random.default_rng(0), task=texture_task(128)
    )
    *_, last = search(oracle, np.random.default_rng(1))
    assert "3x3" in unique_key(table201().space.encode(last), "sums")


def begun(search: WeightSharing, kind: type[Any], cost: bool = True) -> Any:
    task = texture_task(48, channels=4)
    if cost:
        task = replace(task, cost=priced_task(table201()).cost)
    oracle = Oracle(table201(), Budget(epochs=1e6), np.random.default_rng(0), task=task)
    search = replace(search, batch_size=12, epochs=6)
    return kind(search, SharedWeights(oracle, np.random.default_rng(1), search))


# ProxylessNAS -----------------------------------------------------------------------------------


def test_the_gradient_of_gates_is_that_of_the_softmax() -> None:
    """Equation 4 is the chain rule through p = softmax(a), were the loss a function of p."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    by_gates = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    p = logits.softmax(1)
    (expected,) = torch.autograd.grad((p * by_gates).sum(), logits)
    torch.testing.assert_close(gate_gradient(by_gates, p.detach()), expected)


def test_the_gradient_by_gates_is_output_times_its_gradient() -> None:
    """dL/dg_k of one edge: the sum of o_k(x) times dL/d(output), the closed paths included."""
    search = begun(SEARCHES["proxyless"], Proxyless)
    relaxation, supernet = search.relaxation, search.shared.supernet
    every = [list(range(5))] * 6
    mixture = relaxation.gated(every, [3, 1, 3, 0, 1, 3])
    gates = mixture.operations.requires_grad_()
    cell = supernet.layers[0]
    kept: dict[str, torch.Tensor] = {}

    def hook(_: Any, inputs: Any, out: torch.Tensor) -> None:
        out.retain_grad()
        kept["out"] = out

    cell.register_forward_hook(hook)
    outputs: list[torch.Tensor] = []
    for operation in cell.operations[5]:
        operation.register_forward_hook(lambda _, __, out: outputs.append(out.detach()))
    loss = search.shared.loss(mixture, search.shared.reward_batch())
    loss.backward()
    assert gates.grad is not None and kept["out"].grad is not None
    expected = [
        (out * kept["out"].grad).sum().item() for out in outputs
    ]  # edge 5 ends at the output
    np.testing.assert_allclose(gates.grad[5].numpy(), expected, rtol=1e-4, atol=1e-6)


def test_two_paths_keep_their_probability_together() -> None:
    search = begun(SEARCHES["proxyless"], Proxyless)
    relaxation = search.relaxation
    with torch.no_grad():
        drawn = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
        relaxation.operations.copy_(drawn)
    before = relaxation.operations.detach().softmax(1)
    search._architecture_step()
    after = relaxation.operations.detach().softmax(1)
    moved = ((after - before).abs() > 1e-6).sum(1)
    assert set(moved.tolist()) <= {0, 2}
    assert moved.sum() > 0
    torch.testing.assert_close(after.sum(1), torch.ones(6))


def test_pairs_are_drawn_by_probability_without_replacement() -> None:
    search = begun(SEARCHES["proxyless"], Proxyless)
    relaxation = search.relaxation
    with torch.no_grad():
        relaxation.operations.copy_(torch.tensor([0.1, 0.2, 0.3, 0.15, 0.25]).log().expand(6, 5))
    rng, count = np.random.default_rng(0), 2000
    drawn = np.array([relaxation.drawn_options(rng, 2) for _ in range(count)])
    assert (drawn[:, :, 0] != drawn[:, :, 1]).all()
    p = relaxation.operations.detach().softmax(1)[0].numpy()
    first = np.bincount(drawn[:, :, 0].ravel(), minlength=5) / (6 * count)
    np.testing.assert_allclose(first, p, atol=0.02)
    second = [sum(p[i] * p[j] / (1 - p[i]) for i in range(5) if i != j) for j in range(5)]
    np.testing.assert_allclose(
        np.bincount(drawn[:, :, 1].ravel(), minlength=5) / (6 * count), second, atol=0.02
    )


@pytest.mark.parametrize("cost", [True, False])
def test_expected_latency_adds_up(cost: bool) -> None:
    """Even probabilities come to 100; an operation is as much more expensive as its work says."""
    search = begun(SEARCHES["proxyless-full"], Proxyless, cost)
    prices, relaxation = search.prices, search.relaxation
    assert prices.mean(1).sum().item() == pytest.approx(100)
    assert (prices[:, OPERATIONS.index("none")] == 0).all()
    assert (prices[:, 3] > prices[:, 2]).all()  # 3x3 and 1x1
    with torch.no_grad():
        relaxation.operations.zero_()
    settings = search.settings
    loss = search.with_latency(torch.tensor(1.0))
    assert loss.item() == pytest.approx(1 + settings.latency_weight * (100 - 80) / 80)
    search.settings = replace(settings, latency="logarithm")
    expected = 0.2 * (np.log(100) / np.log(80)) ** 0.3
    assert search.with_latency(torch.tensor(1.0)).item() == pytest.approx(expected)


@pytest.mark.parametrize("latency", ["linear", "logarithm"])
def test_the_price_alone_leads_to_what_costs_nothing(latency: str) -> None:
    """A planted problem: with a constant loss all edges end at the cheapest operation."""
    search = begun(replace(SEARCHES["proxyless"], latency=latency), Proxyless, cost=False)
    logits = search.relaxation.operations
    optimizer = torch.optim.Adam([logits], lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        search.with_latency(torch.tensor(1.0)).backward()
        optimizer.step()
    assert search.relaxation.discretised().options == (OPERATIONS.index("none"),) * 6


def test_the_price_pulls_snas_away_from_dear_operations() -> None:
    """One epoch from the same draws: with a price the logits of costly operations end lower."""

    def trained(eta: float) -> torch.Tensor:
        settings = replace(SNAS.small(), epochs=1, batch_size=12, resource=eta, temperature_min=1.0)
        search = begun(settings, Annealed)
        start = search.relaxation.operations.detach().clone()
        search.epoch()
        moved: torch.Tensor = search.relaxation.operations.detach() - start
        return moved

    costly = OPERATIONS.index("nor_conv_3x3")
    assert trained(0.02)[:, costly].mean() < trained(0.0)[:, costly].mean()


def test_the_gradient_of_snas_price_is_that_of_the_formula() -> None:
    """d(Z . C)/d(logits) of a concrete draw: Z (C - Z . C) / temperature, by hand."""
    search = begun(replace(SNAS.small(), epochs=1, batch_size=12, resource=1.0), Annealed)
    draw = search.relaxation.sample(np.random.default_rng(0), 0.5, hard=False)
    prices = search.prices
    (draw.operations * prices).sum().backward()
    z = draw.operations.detach()
    expected = z * (prices - (z * prices).sum(1, keepdim=True)) / 0.5
    torch.testing.assert_close(search.relaxation.operations.grad, expected, rtol=1e-4, atol=1e-4)


def test_where_operations_have_no_prices_snas_says_so() -> None:
    table = made_up_table(CellSpace(4))
    settings = replace(SNAS.small(), epochs=1, batch_size=12, resource=0.1)
    with pytest.raises(InvalidSetting, match=r"resource is 0\.1, but operations of the space v4e6"):
        next(settings(oracle_for(settings, table, 0, seconds=1e4), np.random.default_rng(0)))


# P-DARTS ----------------------------------------------------------------------------------------


def test_stages_keep_the_likeliest_and_begin_again_deeper() -> None:
    settings = replace(
        PDARTS.small(), depth_second=2, depth_third=3, kept_second=3, kept_third=2, epochs=6
    )
    search = begun(settings, Progressive)
    assert len(search.shared.supernet.layers) == 1
    with torch.no_grad():
        search.relaxation.operations.copy_(torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0]).expand(6, 5))
    search._next_stage(1)
    assert search.relaxation.kept.tolist() == [[False, False, True, True, True]] * 6
    assert search.relaxation.operations.abs().max() < 0.1
    assert len(search.shared.supernet.layers) == 2
    mixture = search.relaxation.mixture()
    assert mixture.active == [[2, 3, 4]] * 6
    assert (mixture.operations[:, :2] == 0).all()
    torch.testing.assert_close(mixture.operations.sum(1), torch.ones(6))
    loss = search.shared.loss(mixture, search.shared.reward_batch())
    search.architecture_step(loss)
    assert torch.isfinite(search.relaxation.operations).all()
    search._next_stage(2)
    assert search.relaxation.kept.sum(1).tolist() == [2] * 6


def test_the_normal_cell_keeps_few_skips() -> None:
    search = begun(replace(PDARTS.small(), skips=2), Progressive)
    weights = torch.zeros(6, 5)
    weights[:, 1] = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])  # skips win on every edge
    weights[:, 3] = 0.5
    with torch.no_grad():
        search.relaxation.operations.copy_(weights)
    assert search.recommended().options == (3, 3, 3, 3, 1, 1)


def test_skips_are_dropped_out_by_their_rate() -> None:
    search = begun(PDARTS.small(), Progressive)
    weights = [search._dropped_out(0.4).operations.detach() for _ in range(400)]
    plain = search.relaxation.mixture().operations.detach()
    skips = torch.stack([w[:, 1] / plain[:, 1] for w in weights])
    np.testing.assert_allclose(np.unique(skips.numpy().round(3)), [0.0, 1 / 0.6], atol=1e-3)
    assert (skips == 0).float().mean().item() == pytest.approx(0.4, abs=0.04)
    for option in (0, 2, 3, 4):
        assert all(torch.equal(w[:, option], plain[:, option]) for w in weights)


@pytest.mark.parametrize("name", ["p-darts", "proxyless"])
def test_a_stopped_search_goes_on_as_if_it_had_not_been(name: str, tmp_path: Path) -> None:
    """Saved in the second of P-DARTS' stages, whose network is deeper."""
    search = replace(SEARCHES[name], batch_size=12, epochs=6)
    if isinstance(search, PDARTS):
        search = replace(search, depth_second=2, depth_third=2, kept_second=3, kept_third=2)

    def texts(file: Path | None, most: int | None) -> list[str]:
        task = replace(texture_task(48, channels=4), checkpoint=file, checkpoint_every_seconds=0.0)
        oracle = Oracle(table201(), Budget(epochs=1e6), np.random.default_rng(0), task=task)
        run = search(oracle, np.random.default_rng(1))
        return [a.to_text() for a in itertools.islice(run, most)]

    whole = texts(None, None)
    file = tmp_path / "state"
    assert texts(file, 4) == whole[:4]
    assert texts(file, None) == whole


@pytest.mark.parametrize("name", list(SEARCHES))
def test_other_spaces_are_refused_by_name(name: str) -> None:
    table = made_up_table(CellSpace(4))
    search = replace(SEARCHES[name], batch_size=12)
    with pytest.raises(InvalidSetting, match=r"has no .* on (its )?edges; use one of edge"):
        search.check(oracle_for(search, table, 0, seconds=1000.0), np.random.default_rng(0))


@pytest.mark.parametrize("settings", [{"gates": "three"}, {"latency": "square"}, {"target": 1.0}])
def test_bad_settings_have_names(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting, match=next(iter(settings))):
        ProxylessNAS(**settings)
