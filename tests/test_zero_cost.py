"""Zero-cost proxies: closed forms of small networks, invariances, prices; and the search."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nasbench_kit import Budget, Cell, CellSpace, InvalidSetting, Oracle, Table
from nasbench_kit.algorithms import ALGORITHMS
from nasbench_kit.algorithms.zero_cost import proxies
from nasbench_kit.algorithms.zero_cost.search import Scorer, ZeroCost
from nasbench_kit.oracle.search import Search
from nasbench_kit.spaces.edge_cells.nasbench201 import NASBench201
from nasbench_kit.spaces.layers.nasbench_macro import NASBenchMacro
from nasbench_kit.spaces.layers.nats_sizes import NATSSizes
from nasbench_kit.spaces.skeleton import Skeleton
from nasbench_kit.testing.made_up import made_up_table
from nasbench_kit.testing.searches import SearchConformance, oracle_for, yielded
from nasbench_kit.testing.textures import priced_task, texture_task

NO_LABELS = torch.zeros(0, dtype=torch.int64)
BRIEF = ZeroCost(samples=20, batch_size=12)
#: Channels that two, three or four vertices share evenly, whatever the labelling.
SKELETON = Skeleton(12, stacks=2, cells_per_stack=1)


def linear(*rows: list[list[float]]) -> nn.Sequential:
    """Layers without bias, of these matrices."""
    layers = []
    for matrix in rows:
        weight = torch.tensor(matrix)
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        layer.weight = nn.Parameter(weight)
        layers.append(layer)
    return nn.Sequential(*layers)


def network_of(architecture: Any, seed: int = 0) -> nn.Module:
    network: nn.Module = architecture.network(
        SKELETON,
        1,
        10,
        generator=torch.Generator().manual_seed(seed),
        bn_momentum=0.1,
        precision="float32",
    )
    return network


def batch(count: int = 6, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 1, 8, 8, generator=generator)
    return images, torch.randint(0, 10, (count,), generator=generator)


# Closed forms -----------------------------------------------------------------------------------


def test_synflow_is_the_sum_over_paths_for_each_layer() -> None:
    """Two inputs, two hidden units, one output: four paths of 1*5, 2*5, 3*7 and 4*7, signs apart."""
    network = linear([[1.0, -2.0], [3.0, -4.0]], [[-5.0, 7.0]])
    paths = 1 * 5 + 2 * 5 + 3 * 7 + 4 * 7
    images = torch.full((3, 2), -9.0)  # which play no part
    assert proxies.synflow(network, images, NO_LABELS) == pytest.approx(2 * paths)


def test_synflow_takes_no_notice_of_norms_and_activations() -> None:
    """ReLU6 would cut paths off at 6, a batch norm would scale them."""
    plain = linear([[1.0, -2.0], [3.0, -4.0]], [[-5.0, 7.0]])
    first, last = linear([[1.0, -2.0], [3.0, -4.0]], [[-5.0, 7.0]])
    dressed = nn.Sequential(nn.Sequential(first, nn.ReLU6()), nn.ReLU(), last)
    images = torch.zeros(1, 2)
    expected = proxies.synflow(plain, images, NO_LABELS)
    assert proxies.synflow(dressed, images, NO_LABELS) == pytest.approx(expected)
    normed = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1), nn.Flatten())
    normed[1].weight.data.fill_(3.0)  # type: ignore[operator]
    normed[0].weight.data.fill_(-0.5)  # type: ignore[operator]
    assert proxies.synflow(normed, torch.zeros(1, 1, 1, 1), NO_LABELS) == pytest.approx(0.5)


def test_a_factor_of_a_layer_is_one_of_synflow() -> None:
    one = network_of(Cell.named("resnet"))
    other = network_of(Cell.named("resnet"))
    with torch.no_grad():
        other.layers[0].conv_bn_relu[0].weight.mul_(-2)  # type: ignore[index, union-attr]
    images, labels = batch()
    once = proxies.synflow(one, images, labels)
    assert proxies.synflow(other, images, labels) == pytest.approx(2 * once)


def softmax_gradient(
    weight: np.ndarray[Any, Any], images: np.ndarray[Any, Any], labels: list[int]
) -> np.ndarray[Any, Any]:
    """Of the mean cross-entropy of a linear classifier: mean of (p - y) x^T."""
    logits = images @ weight.T
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return (p - np.eye(len(weight))[labels]).T @ images / len(images)


def test_snip_and_gradient_norm_of_a_linear_classifier() -> None:
    weight = np.array([[0.5, -1.0], [0.25, 0.75], [-0.5, 0.1]])
    images, labels = np.array([[1.0, 2.0], [-1.0, 0.5]]), [2, 0]
    gradient = softmax_gradient(weight, images, labels)
    given = torch.tensor(images, dtype=torch.float32), torch.tensor(labels)
    network = linear(weight.tolist())
    assert proxies.snip(network, *given) == pytest.approx(np.abs(weight * gradient).sum())
    assert proxies.grad_norm(network, *given) == pytest.approx(np.linalg.norm(gradient))


class HalfSquares(nn.Module):
    """Its Jacobian is the image."""

    def forward(self, images: Tensor) -> Tensor:
        return images**2 / 2


def test_jacobian_covariance_is_of_correlations() -> None:
    k = 1e-5
    uncorrelated = torch.tensor([[1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0]])
    score = proxies.jacob_cov(HalfSquares(), uncorrelated, NO_LABELS)
    assert score == pytest.approx(-2 * (np.log(1 + k) + 1 / (1 + k)))
    rng = np.random.default_rng(0)
    images = rng.normal(size=(3, 5))
    values = np.linalg.eigvals(np.corrcoef(images))
    given = torch.tensor(images, dtype=torch.float32)
    expected = -(np.log(values + k) + 1 / (values + k)).sum()
    assert proxies.jacob_cov(HalfSquares(), given, NO_LABELS) == pytest.approx(expected, rel=1e-4)
    shifted = 3 * given + 7  # a correlation is as it was
    assert proxies.jacob_cov(HalfSquares(), shifted, NO_LABELS) == pytest.approx(expected, rel=1e-4)
    # A linear network treats all images alike.
    alike = proxies.jacob_cov(linear([[1.0, -2.0, 0.5]]), torch.eye(3), NO_LABELS)
    assert alike == pytest.approx(
        -(np.log(3 + k) + 1 / (3 + k) + 2 * (np.log(k) + 1 / k)), rel=1e-4
    )


def test_counts_of_a_convolution_and_a_classifier() -> None:
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2), nn.Flatten(), nn.Linear(16, 3)
    )
    images = torch.zeros(5, 2, 4, 4)
    assert proxies.parameters(network, images, NO_LABELS) == (4 * 9 + 4) + (16 * 3 + 3)
    assert proxies.flops(network, images, NO_LABELS) == 4 * 2 * 2 * 9 + 16 * 3


# Networks of spaces -----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_flops_of_cells_are_the_work_that_prices_know(seed: int) -> None:
    """`work` adds up cells by hand; only the classifier is not in it."""
    cell = CellSpace(6).sample(np.random.default_rng(seed))
    done = cell.work(SKELETON, (8, 8, 1))
    images, labels = batch()
    classifier = 24 * 10
    assert proxies.flops(network_of(cell), images, labels) == done[2] + done[4] + classifier


@pytest.mark.parametrize("space", [CellSpace(5), NASBench201(), NASBenchMacro(), NATSSizes()])
@pytest.mark.parametrize("name", list(proxies.PROXIES))
def test_every_space_that_has_networks(space: Any, name: proxies.ProxyName) -> None:
    rng = np.random.default_rng(0)
    images, labels = batch()
    score = proxies.PROXIES[name].score
    scores = {score(network_of(space.sample(rng)), images, labels) for _ in range(4)}
    assert len(scores) > 1
    assert np.isfinite(list(scores)).any()


@pytest.mark.parametrize("name", list(proxies.PROXIES))
def test_scores_follow_the_seed_and_leave_chance_alone(name: proxies.ProxyName) -> None:
    images, labels = batch()
    before = torch.get_rng_state()
    score = proxies.PROXIES[name].score
    cell = Cell.named("inception")
    assert score(network_of(cell, 3), images, labels) == score(network_of(cell, 3), images, labels)
    assert (torch.get_rng_state() == before).all()


@pytest.mark.parametrize("name", ["parameters", "flops"])
def test_counts_are_the_same_for_equal_cells(name: proxies.ProxyName) -> None:
    """Whatever the labelling and the weights."""
    space, rng = CellSpace(5), np.random.default_rng(1)
    images, labels = batch()
    score = proxies.PROXIES[name].score
    for _ in range(10):
        cell = space.sample(rng)
        same = space[space.index(cell)]
        assert score(network_of(cell, 0), images, labels) == score(
            network_of(same, 1), images, labels
        )


def test_a_network_without_a_path_is_last(small_table: Table) -> None:
    """NAS-Bench-201 has cells whose edges are all "none"; no input reaches their classifier."""
    space = NASBench201()
    table = made_up_table(space)
    task = replace(texture_task(24, channels=4), cost=None)
    cell = space.decode([0] * 6)
    assert cell is not None
    assert cell.to_text().count("none") == 6
    names: tuple[proxies.ProxyName, ...] = ("jacob-cov", "synflow", "snip")
    for name in names:
        oracle = Oracle(table, Budget(epochs=1e6), np.random.default_rng(0), task=task)
        scorer = Scorer(oracle, np.random.default_rng(1), replace(BRIEF, proxy=name))
        assert scorer(cell) < min(
            scorer(space.sample(np.random.default_rng(n))) for n in range(3, 6)
        )


# The search -------------------------------------------------------------------------------------


class TestConformance(SearchConformance):
    # A queries-only budget is refused: scoring would be free.
    limits: ClassVar = ({"seconds": 777.7}, {"epochs": 400}, {"seconds": 2000.0, "queries": 9})
    some: ClassVar = {"seconds": 1500.0}

    @pytest.fixture(params=["synflow", "snip", "parameters"])
    def search(self, request: pytest.FixtureRequest) -> Search:
        return replace(BRIEF, proxy=request.param)


def test_it_is_registered() -> None:
    assert ALGORITHMS["zero-cost"]() == ZeroCost()
    assert ALGORITHMS["zero-cost-small"]() == ZeroCost.small()


@pytest.mark.parametrize(("proxy", "images"), [("snip", 12), ("synflow", 1), ("flops", 0)])
def test_every_sample_is_paid_as_a_step_of_as_many_images(
    proxy: proxies.ProxyName, images: int, small_table: Table
) -> None:
    oracle = oracle_for(BRIEF, small_table, 0, seconds=1e6)
    recommended = list(yielded(replace(BRIEF, proxy=proxy), oracle, 0))
    steps = [charge for charge in oracle.budget.ledger if charge.kind == "supernet"]
    queried = [
        charge.item.architecture for charge in oracle.budget.ledger if charge.kind == "query"
    ]
    assert len(recommended) == len(queried) == len(set(queried)) == BRIEF.samples
    assert len(steps) == (BRIEF.samples if images else 0)
    if images:
        expected = np.array(sorted(oracle.price(cell, images) for cell in queried))
        paid = np.array(sorted((step.seconds, step.epochs) for step in steps))
        assert paid == pytest.approx(expected)


def test_queries_are_in_the_order_of_scores_and_the_best_is_recommended(small_table: Table) -> None:
    oracle = oracle_for(BRIEF, small_table, 0, seconds=1e6)
    *_, last = yielded(replace(BRIEF, proxy="parameters"), oracle, 0)
    answers = [charge.item for charge in oracle.budget.ledger]
    task = priced_task(small_table)
    sizes = [
        proxies.parameters(
            answer.architecture.network(
                task.recipe.skeleton,
                1,
                task.classes,
                generator=torch.Generator(),
                bn_momentum=0.1,
                precision="float32",
            ),
            *batch(),
        )
        for answer in answers
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert last == max(answers, key=lambda answer: answer.validation_accuracy).architecture


def test_it_ends_when_the_space_has_no_more(small_table: Table) -> None:
    table = made_up_table(CellSpace(3))
    oracle = oracle_for(BRIEF, small_table, 0, epochs=1e6)
    oracle = Oracle(table, Budget(epochs=1e6), np.random.default_rng(0), task=oracle.task)
    assert len(list(replace(BRIEF, proxy="parameters")(oracle, np.random.default_rng(0)))) == 7


@pytest.mark.parametrize(
    "setting", [{"proxy": "magic"}, {"samples": 0}, {"samples": 2.5}, {"batch_size": 1}]
)
def test_bad_settings_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting, match=next(iter(setting))):
        ZeroCost(**setting)


def test_what_cannot_work_is_refused_before_any_work(small_table: Table) -> None:
    rng = np.random.default_rng(0)
    for search, budget, word in (
        (replace(BRIEF, proxy="snip", batch_size=999), {"seconds": 1e6}, "batch_size is 999"),
        (replace(BRIEF, proxy="snip", samples=2000), {"seconds": 500.0}, "scoring 2,000 samples"),
        (replace(BRIEF, proxy="snip", samples=2000), {"epochs": 50}, "scoring 2,000 samples"),
        (BRIEF, {"queries": 10}, "quer"),
    ):
        oracle = oracle_for(search, small_table, 0, **budget)
        with pytest.raises(InvalidSetting, match=word):
            search.check(oracle, rng)
        assert oracle.budget.ledger == ()
    BRIEF.check(oracle_for(BRIEF, small_table, 0, seconds=500.0), rng)


def test_the_command_runs_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from nasbench_kit.cli import main

    flags = ["--seeds", "1", "--seconds", "20", "--workers", "1", "--out", str(tmp_path / "runs")]
    few = "few=zero-cost-small(proxy='flops', samples=10)"
    assert main(["compare", "--table", "digits", "--algorithms", few, *flags]) == 0
    many = "many=zero-cost-small(proxy='snip', samples=100000)"
    assert main(["compare", "--table", "digits", "--algorithms", many, *flags]) == 2
    assert "lower samples" in capsys.readouterr().err
