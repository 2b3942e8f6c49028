"""Every weight-sharing search: the conformance suite, a planted problem, resuming, shares, schedules."""

from __future__ import annotations

import contextlib
import itertools
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from test_algorithms import WEIGHT_SHARING

from nasbench_kit import (
    Budget,
    BudgetExhausted,
    Cell,
    CellSpace,
    CorruptFile,
    InvalidSetting,
    NotWritable,
    Oracle,
    Table,
    WrongTable,
)
from nasbench_kit.algorithms import ALGORITHMS
from nasbench_kit.algorithms.weight_sharing.darts import DARTS
from nasbench_kit.algorithms.weight_sharing.drnas import DrNAS
from nasbench_kit.algorithms.weight_sharing.enas import ENAS, _Search as Enas
from nasbench_kit.algorithms.weight_sharing.gdas import GDAS
from nasbench_kit.algorithms.weight_sharing.gradient import Differentiable
from nasbench_kit.algorithms.weight_sharing.pc_darts import PCDARTS
from nasbench_kit.algorithms.weight_sharing.random_search import RandomWeightSharing
from nasbench_kit.algorithms.weight_sharing.sdarts import SDARTS
from nasbench_kit.algorithms.weight_sharing.search import WeightSharing
from nasbench_kit.algorithms.weight_sharing.snas import SNAS
from nasbench_kit.algorithms.weight_sharing.spos import SPOS
from nasbench_kit.algorithms.weight_sharing.training import SharedWeights
from nasbench_kit.oracle.search import Search
from nasbench_kit.testing.searches import (
    SearchConformance,
    oracle_for,
    yielded,
)
from nasbench_kit.testing.textures import bare_table, priced_task, texture_task
from nasbench_kit.training import loaded
from nasbench_kit.training.images import Split

torch.set_num_threads(1)

SEARCHES: dict[str, WeightSharing] = {
    "random-weight-sharing": RandomWeightSharing.small(),
    "fair random-weight-sharing": replace(
        RandomWeightSharing.small(), sampling="fair", paths_per_step=1
    ),
    "spos": replace(SPOS.small(), population=6, parents=2),
    "enas": replace(ENAS.small(), controller_steps=2, cells_per_step=2),
    "darts": DARTS.small(),
    "darts-second-order": DARTS.second_order_small(),
    "darts-exact": replace(DARTS.second_order_small(), curvature="exact"),
    "drnas": DrNAS.small(),
    "sdarts": SDARTS.small(),
    "sdarts-adversarial": replace(SDARTS.adversarial_small(), ascents=2),
    "gdas": GDAS.small(),
    "snas": SNAS.small(),
    "pc-darts": PCDARTS.small(),
}
#: Two epochs of two steps on 24 images, then queries.
BRIEF = {
    name: replace(search, epochs=2, batch_size=12, share=0.1) for name, search in SEARCHES.items()
}


def test_all_built_in_ones_are_here() -> None:
    names = [name for name in ALGORITHMS if name.startswith(WEIGHT_SHARING)]
    kinds = {type(ALGORITHMS[name]()) for name in names}
    assert kinds == {type(search) for search in SEARCHES.values()}
    assert all(issubclass(kind, WeightSharing) and kind.shares_weights for kind in kinds)


class TestConformance(SearchConformance):
    # A queries-only budget is refused: training would be free.
    limits: ClassVar = ({"seconds": 777.7}, {"epochs": 400}, {"seconds": 2000.0, "queries": 9})
    compared: ClassVar = {"seconds": 1000.0}
    some: ClassVar = {"seconds": 1500.0}

    @pytest.fixture(params=list(BRIEF))
    def search(self, request: pytest.FixtureRequest) -> Search:
        return BRIEF[request.param]


# A planted problem ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(SEARCHES))
def test_each_finds_the_operation_that_the_images_need(name: str) -> None:
    """See textures.py; of three vertices only two of the seven cells have the 3x3 convolution."""
    search = replace(SEARCHES[name], epochs=12, batch_size=32)
    if isinstance(search, Differentiable):
        search = replace(search, architecture_learning_rate=0.03)
    else:  # its steps are shared out among the operations
        search = replace(search, epochs=50)
        if isinstance(search, ENAS):
            search = replace(search, controller_steps=10)
    oracle = Oracle(bare_table(), Budget(epochs=1e6), np.random.default_rng(0), task=texture_task())
    cells = list(search(oracle, np.random.default_rng(1)))
    assert len(cells) == search.epochs
    assert Cell.from_text(cells[-1].to_text()).pruned().operations[1:-1] == ("conv3x3-bn-relu",)


# The budget -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(SEARCHES))
@pytest.mark.parametrize("limit", [{"seconds": 400.0}, {"epochs": 200}])
def test_training_keeps_to_its_share(
    name: str, limit: dict[str, float], small_table: Table
) -> None:
    """Rankings included; queries take the rest, and the last cells are the best queried."""
    search = replace(SEARCHES[name], epochs=None, batch_size=12, share=0.1)
    oracle = oracle_for(search, small_table, 0, **limit)
    cells = list(yielded(search, oracle, 0))
    ((unit, most, _),) = oracle.budget.meters()
    ledger = oracle.budget.ledger
    kinds = [kind for kind, _ in itertools.groupby(charge.kind for charge in ledger)]
    assert kinds == ["supernet", "query"]
    trained = sum(getattr(charge, unit) for charge in ledger if charge.kind == "supernet")
    assert 0.06 * most < trained <= 0.1 * most * (1 + 1e-9)
    answers = [charge.item for charge in ledger if charge.kind == "query"]
    assert len({small_table.space.index(answer.cell) for answer in answers}) == len(answers)
    best = max(answers, key=lambda answer: answer.validation_accuracy)
    assert cells[-1].to_text() == best.cell.to_text()


@pytest.mark.parametrize("name", list(SEARCHES))
def test_a_budget_below_the_first_step_is_an_error(name: str, small_table: Table) -> None:
    for share in (1.0, 0.5):
        search = replace(SEARCHES[name], batch_size=12, share=share)
        for limits in ({"seconds": 0.01}, {"epochs": 0.01}):
            oracle = oracle_for(search, small_table, 0, **limits)
            with pytest.raises(InvalidSetting, match=r"pays for no step of .*; raise the budget"):
                search.check(oracle, np.random.default_rng(0))
            assert not oracle.budget.ledger


@pytest.mark.parametrize("name", ["random-weight-sharing", "enas", "gdas"])
def test_the_first_step_may_be_a_dear_one(name: str, small_table: Table) -> None:
    """A share that pays for some first steps only is refused; a run without one ranks nothing."""
    search = replace(SEARCHES[name], batch_size=12, share=0.5)
    prices = []
    for seed in range(8):
        oracle = oracle_for(search, small_table, 0, seconds=1e6)
        with contextlib.suppress(BudgetExhausted):
            next(iter(search(oracle, np.random.default_rng(seed))))
        prices.append(oracle.budget.ledger[0].seconds)
    costliest = max(prices)
    for_training = search.share * (1 - search.ranking_share)
    limit = (min(prices) + costliest) / 2 / for_training
    for seed, price in enumerate(prices):
        oracle = oracle_for(search, small_table, 0, seconds=limit)
        with pytest.raises(InvalidSetting, match="pays for no step"):
            search.check(oracle, np.random.default_rng(seed))
        run = search(oracle, np.random.default_rng(seed))
        if price > limit * for_training:
            with pytest.raises(BudgetExhausted, match=rf"^{price:.12g} s would take"):
                next(iter(run))
            assert not oracle.budget.ledger
    assert min(prices) < costliest


@pytest.mark.parametrize("name", list(SEARCHES))
def test_a_search_whose_share_is_everything_ends_with_the_budget(
    name: str, small_table: Table
) -> None:
    """And not as finished: more budget would have changed it."""
    search = replace(SEARCHES[name], epochs=None, batch_size=12, share=1.0)
    oracle = oracle_for(search, small_table, 0, epochs=6)
    with pytest.raises(BudgetExhausted):
        list(search(oracle, np.random.default_rng(0)))


def test_other_bad_input_has_names(small_table: Table) -> None:
    search = BRIEF["darts"]

    def first(oracle: Oracle, search: WeightSharing = search) -> Any:
        return next(iter(search(oracle, np.random.default_rng(0))))

    rng = np.random.default_rng(0)
    with pytest.raises(InvalidSetting, match="give the oracle a task"):
        first(Oracle(small_table, Budget(seconds=9.0), rng))
    with pytest.raises(InvalidSetting, match="limits queries only"):
        first(oracle_for(search, small_table, 0, queries=9))
    with pytest.raises(InvalidSetting, match="batch_size is 25, but there are 24 images"):
        first(oracle_for(search, small_table, 0, epochs=9), replace(search, batch_size=25))


@pytest.mark.parametrize(
    ("method", "setting", "value"),
    [
        ("darts", "share", 0.0),
        ("darts", "share", 1.1),
        ("darts", "epochs", 0),
        ("enas", "first_cycle", 0),
        ("darts", "batch_size", 1),
        ("darts", "learning_rate", 0.0),
        ("darts", "learning_rate", np.inf),
        ("darts", "learning_rate_min", -0.1),
        ("darts", "learning_rate_min", 0.2),
        ("darts", "momentum", -0.1),
        ("darts", "momentum", 1.0),
        ("enas", "momentum", 0.0),
        ("snas", "weight_decay", -1e-4),
        ("darts", "clip", -5.0),
        ("darts", "clip", np.nan),
        ("random-weight-sharing", "samples", 0),
        ("random-weight-sharing", "batches", 0),
        ("random-weight-sharing", "finalists", 0),
        ("enas", "hidden_size", 0),
        ("enas", "controller_learning_rate", 0.0),
        ("enas", "controller_steps", -1),
        ("enas", "cells_per_step", 0),
        ("enas", "entropy_weight", -1.0),
        ("enas", "baseline_decay", 1.1),
        ("enas", "temperature", 0.0),
        ("enas", "tanh_constant", 0.0),
        ("enas", "operation_tanh_reduction", 0.0),
        ("enas", "derived", 0),
        ("darts", "architecture_learning_rate", 0.0),
        ("gdas", "architecture_beta1", 1.0),
        ("snas", "architecture_weight_decay", -1.0),
        ("gdas", "temperature", 0.0),
        ("gdas", "temperature_min", 0.0),
        ("snas", "temperature", -1.0),
        ("pc-darts", "channel_divisor", 0),
        ("pc-darts", "warm_up", 1.0),
        ("random-weight-sharing", "paths_per_step", 0),
        ("spos", "population", 1),
        ("spos", "parents", 0),
        ("sdarts", "radius", -0.1),
        ("sdarts", "radius_max", 1.1),
        ("sdarts", "ascents", 0),
        ("drnas", "divergence_weight", -1.0),
    ],
)
def test_settings_out_of_range_are_refused(method: str, setting: str, value: float) -> None:
    changed: dict[str, Any] = {setting: value}
    with pytest.raises(InvalidSetting, match=rf"^{setting} is {value:g}.*; .*must be"):
        replace(SEARCHES[method], **changed)


@pytest.mark.parametrize(
    ("method", "setting"),
    [("random-weight-sharing", "sampling"), ("darts", "curvature"), ("sdarts", "perturbation")],
)
def test_words_that_are_no_choice_are_refused(method: str, setting: str) -> None:
    changed: dict[str, Any] = {setting: "both"}
    with pytest.raises(InvalidSetting, match=rf"^{setting} is 'both'; choose"):
        replace(SEARCHES[method], **changed)


def test_a_fair_step_trains_every_operation_of_a_vertex_once(small_table: Table) -> None:
    """And pays for three cells; so do three paths a step."""
    for changes in ({"sampling": "fair"}, {"paths_per_step": 3}):
        search = replace(RandomWeightSharing.small(), batch_size=12, epochs=1, **changes)
        oracle = oracle_for(search, small_table, 0, epochs=1e6)
        next(iter(search(oracle, np.random.default_rng(0))))
        steps = 24 // 12
        training = [c for c in oracle.budget.ledger if c.kind == "supernet"][: 3 * steps]
        assert {charge.epochs for charge in training} == {0.5}
    rng = np.random.default_rng(0)
    for _ in range(20):
        cells = small_table.space.sample_fairly(rng)
        assert len({cell.bits for cell in cells}) == 1
        for trio in zip(*(cell.operations[1:-1] for cell in cells), strict=True):
            assert len(set(trio)) == 3


def test_a_step_of_several_cells_is_by_their_mean_gradient(small_table: Table) -> None:
    search = replace(BRIEF["random-weight-sharing"], clip=np.inf, weight_decay=0.0, momentum=0.0)
    shared = shared_weights(search, small_table)
    cells = [shared.space.sample(shared.rng) for _ in range(3)]
    batch = shared.weight_batch()
    weights = list(shared.supernet.parameters())
    before = [w.detach().clone() for w in weights]
    loss = torch.stack([shared.loss(cell, batch) for cell in cells]).mean()
    gradients = torch.autograd.grad(loss, weights, allow_unused=True)
    shared.step(cells, batch)
    for w, was, gradient in zip(weights, before, gradients, strict=True):
        expected = was if gradient is None else was - search.learning_rate * gradient
        torch.testing.assert_close(w.detach(), expected, rtol=1e-4, atol=1e-6)


def test_ends_of_intervals_belong_to_them_or_not() -> None:
    assert ENAS(tanh_constant=None, controller_steps=0, baseline_decay=1.0).tanh_constant is None
    assert DARTS(clip=np.inf, learning_rate_min=0.0, momentum=0.0).clip == np.inf


def shared_weights(search: WeightSharing, table: Table, **limits: float) -> SharedWeights:
    oracle = oracle_for(search, table, 0, **(limits or {"epochs": 1e6}))
    return SharedWeights(oracle, np.random.default_rng(0), search)


def test_every_new_cell_is_a_candidate() -> None:
    """Also the one at which the money for rewards ran out."""
    table = bare_table()
    search = replace(BRIEF["random-weight-sharing"], share=0.5)
    oracle = Oracle(table, Budget(epochs=5.5), np.random.default_rng(0), task=texture_task(24))
    shared = SharedWeights(oracle, np.random.default_rng(0), search)
    cells = list(shared.best_first(lambda: [table.space.sample(shared.rng)]))
    paid = len(oracle.budget.ledger)
    assert paid == 3  # a fifth of 5.5 epochs pays for three forward passes, a third each
    assert sorted(map(table.space.index, cells)) == list(range(7))
    rewards = [shared.whole_reward(cell) for cell in cells[:paid]]
    assert rewards == sorted(rewards, reverse=True)


def test_a_controller_that_knows_one_cell_only_is_heated(small_table: Table) -> None:
    """At this temperature it writes the likeliest encoding and no other."""
    search = replace(ENAS.small(), temperature=1e-3, tanh_constant=None, batch_size=12, share=0.5)
    shared = shared_weights(search, small_table, seconds=60.0)
    under_way = search.begin(shared)
    assert isinstance(under_way, Enas)
    assert len(set(under_way.draw(50))) == 1
    candidates = list(itertools.islice(under_way.candidates(), 30))
    assert len({small_table.row(cell) for cell in candidates}) == 30


def test_warm_restarts(small_table: Table) -> None:
    """SGDR: cycles of 2, 4, 8 epochs, each from the first rate towards the last."""
    search = ENAS(epochs=14, first_cycle=2, batch_size=12)
    shared = shared_weights(search, small_table)
    rates = []
    for epoch in range(14):
        shared._epoch = epoch
        rates.append(shared.learning_rate)
    half = (0.05 + 0.001) / 2
    assert [rates[0], rates[2], rates[6]] == [0.05] * 3
    assert [rates[1], rates[4], rates[10]] == pytest.approx([half] * 3)
    assert all(a > b for a, b in itertools.pairwise(rates[6:]))


def test_rewards_are_of_all_images(small_table: Table) -> None:
    """In parts or at once the same share of right answers, but for batch statistics."""
    shared = shared_weights(BRIEF["enas"], small_table)
    cell = CellSpace(5)[100]
    data: Any = shared._data
    images, labels = data.images[1], data.labels[1]
    with torch.no_grad():
        logits = shared.supernet(data.normalised(images), cell)
    assert shared.whole_reward(cell) == pytest.approx(
        float((logits.argmax(1) == labels).double().mean())
    )


def test_rewards_in_parts_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of images sorted by class: batch norm sees every class in each part."""

    def sorted_and_bright(split: Split) -> Split:
        order = split.labels.argsort(kind="stable")
        labels = split.labels[order]
        return Split(split.images[order] + labels[:, None, None, None].astype(np.float32), labels)

    task = texture_task(64)
    task = replace(
        task, weights=sorted_and_bright(task.weights), reward=sorted_and_bright(task.reward)
    )
    oracle = Oracle(bare_table(), Budget(epochs=1e6), np.random.default_rng(0), task=task)
    search = RandomWeightSharing(batch_size=32, learning_rate=0.1)
    shared = SharedWeights(oracle, np.random.default_rng(0), search)
    cell = bare_table().space[3]
    for _ in range(20):
        shared.step(cell, shared.weight_batch())
    whole = shared.whole_reward(cell)
    assert whole > 0.9
    monkeypatch.setattr(loaded, "_REWARD_BATCH", 16)
    assert shared.whole_reward(cell) == pytest.approx(whole, abs=0.05)


def test_a_huge_budget_can_be_shared(small_table: Table) -> None:
    for share in (0.5, 1.0):
        search = replace(BRIEF["darts"], share=share)
        shared = shared_weights(search, small_table, seconds=1e308, epochs=9)
        assert len(list(shared.trained(search.begin(shared)))) == 2


# Resuming ---------------------------------------------------------------------------------------


def run(search: WeightSharing, table: Table, file: Path | None, epochs: int | None = None) -> Any:
    """Yields and ledger, of all epochs or, as if killed, of the first ones."""
    task = replace(priced_task(table), checkpoint=file, checkpoint_every_seconds=0)
    oracle = Oracle(table, Budget(seconds=300.0), np.random.default_rng(5), task=task)
    cells = []
    try:
        for cell in search(oracle, np.random.default_rng(6)):
            cells.append(cell.to_text())
            if len(cells) == epochs:
                break
    except BudgetExhausted:
        pass
    return cells, oracle.budget.ledger


@pytest.mark.parametrize("name", list(SEARCHES))
def test_a_resumed_search_equals_an_undisturbed_one(
    name: str, small_table: Table, tmp_path: Path
) -> None:
    """Killed after an epoch, again after two more, and once more between two queries."""
    search = replace(SEARCHES[name], epochs=4, batch_size=12, share=0.3)
    undisturbed = run(search, small_table, None)
    assert len(undisturbed[0]) > 5
    for kill in (1, 3, 5):
        cells, _ = run(search, small_table, tmp_path / "state", kill)
        assert cells == undisturbed[0][:kill]
    assert run(search, small_table, tmp_path / "state") == undisturbed


def test_a_share_that_ended_amid_an_epoch_ends_there_again(
    small_table: Table, tmp_path: Path
) -> None:
    search = replace(SEARCHES["darts"], epochs=None, batch_size=12, share=0.1)
    undisturbed = run(search, small_table, None)
    trained = sum(charge.kind == "supernet" for charge in undisturbed[1])
    assert trained % 2  # of two steps an epoch
    run(search, small_table, tmp_path / "state", trained // 2 + 1)  # after the first query
    assert run(search, small_table, tmp_path / "state") == undisturbed


def test_the_state_of_another_search_is_refused(small_table: Table, tmp_path: Path) -> None:
    search, file = BRIEF["snas"], tmp_path / "state"
    run(search, small_table, file, 1)

    def resume(**changes: Any) -> None:
        how: dict[str, Any] = {
            "search": search,
            "table": small_table,
            "task": priced_task(small_table),
            "seconds": 300.0,
            "seed": 6,
        } | changes
        task = replace(how["task"], checkpoint=file, checkpoint_every_seconds=0)
        budget = Budget(seconds=how["seconds"])
        oracle = Oracle(how["table"], budget, np.random.default_rng(5), task=task)
        next(iter(how["search"](oracle, np.random.default_rng(how["seed"]))))

    resume()
    task = priced_task(small_table)
    others: list[tuple[dict[str, Any], str]] = [
        ({"search": replace(search, learning_rate=0.05)}, "settings"),
        ({"search": BRIEF["gdas"]}, "settings"),
        ({"seed": 7}, "seed"),
        ({"seconds": 301.0}, "budget"),
        ({"task": texture_task(25, task.cost, channels=4)}, "images"),
        ({"task": texture_task(24, task.cost, channels=5)}, "recipe"),
    ]
    for changes, what in others:
        with pytest.raises(WrongTable, match=f"of a search with another {what}; choose another"):
            resume(**changes)


def test_damaged_states_are_refused(small_table: Table, tmp_path: Path) -> None:
    search, file = BRIEF["darts"], tmp_path / "state"
    run(search, small_table, file, 1)
    whole = file.read_bytes()
    with zipfile.ZipFile(file) as archive:
        tensor = max((archive.read(name) for name in archive.namelist()), key=len)
    place = whole.index(tensor) + len(tensor) // 2
    altered = whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :]
    for content in (b"", b"nonsense", whole[: len(whole) // 2], altered):
        file.write_bytes(content)
        with pytest.raises(CorruptFile, match=r"no checkpoint of a search .* delete it"):
            run(search, small_table, file)


def test_a_folder_that_cannot_be_written_has_a_name(small_table: Table, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotWritable):
        run(BRIEF["darts"], small_table, tmp_path / "file" / "state")
