"""Shared weights of recurrent cells: paths, mixtures, the way back, searches, and a gate to be found."""

from __future__ import annotations

import dataclasses
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nasbench_kit import Budget, InvalidSetting, Oracle
from nasbench_kit.algorithms import RandomSearch, RegularizedEvolution
from nasbench_kit.algorithms.local_search import LocalSearch
from nasbench_kit.algorithms.weight_sharing.darts import DARTS
from nasbench_kit.algorithms.weight_sharing.enas import ENAS
from nasbench_kit.algorithms.weight_sharing.random_search import RandomWeightSharing
from nasbench_kit.oracle.fallback import StoredTrainer
from nasbench_kit.oracle.source import TrainerSource
from nasbench_kit.oracle.store import Store
from nasbench_kit.oracle.task import Task
from nasbench_kit.spaces.recurrent.cell import TreeSpace
from nasbench_kit.spaces.recurrent.darts import PUBLISHED, DARTSRecurrent
from nasbench_kit.spaces.recurrent.enas import ENASRecurrent
from nasbench_kit.spaces.recurrent.language_model import ACTIVATION
from nasbench_kit.spaces.recurrent.network import RecurrentNetwork
from nasbench_kit.spaces.recurrent.supernet import TreeSupernet
from nasbench_kit.spaces.recurrent.window import Window
from nasbench_kit.spaces.skeleton import Skeleton
from nasbench_kit.training.recipe import TOPICS
from nasbench_kit.training.text import TextSet

UNITS, VOCABULARY = 5, 7
SPACES: dict[str, TreeSpace] = {"darts": DARTSRecurrent(), "enas": ENASRecurrent()}


def supernet_of(space: TreeSpace) -> TreeSupernet:
    made = space.supernet(
        Skeleton(UNITS, 1, 1), VOCABULARY, VOCABULARY, torch.Generator().manual_seed(1)
    )
    generator = torch.Generator().manual_seed(2)
    for weight in made.parameters():
        weight.data = torch.randn(weight.shape, generator=generator) * 0.4
    return made


def tokens(streams: int = 4, length: int = 3) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(3).integers(0, VOCABULARY, (streams, length)))


@pytest.mark.parametrize("name", list(SPACES))
def test_a_path_is_the_stand_alone_network(name: str) -> None:
    space = SPACES[name]
    shared, rng = supernet_of(space), np.random.default_rng(0)
    for _ in range(4):
        architecture = space.sample(rng)
        cell = space.cell(architecture)
        network = RecurrentNetwork(
            cell, units=UNITS, vocabulary=VOCABULARY, generator=torch.Generator()
        )
        with torch.no_grad():
            for weight in ("embedding", "bias", "from_token", "from_state"):
                getattr(network, weight).copy_(getattr(shared, weight))
            for node, weight in enumerate(network.nodes, start=1):
                weight.copy_(shared.weights(cell.nodes[node - 1].previous, node))
        torch.testing.assert_close(shared(tokens(), architecture), network(tokens()))


def test_enas_has_weights_for_every_pair_and_darts_for_every_node() -> None:
    assert len(supernet_of(SPACES["darts"]).nodes) == 8
    pairs = [(p, n) for n in range(1, 12) for p in range(n)]
    shared = supernet_of(SPACES["enas"])
    assert len({id(shared.weights(*pair)) for pair in pairs}) == 66 == len(shared.nodes)


def test_a_mixture_is_its_sums_written_out() -> None:
    space = SPACES["darts"]
    shared = supernet_of(space)
    mixture = space.relaxation(np.random.default_rng(0)).mixture()
    functions = (torch.tanh, torch.relu, torch.sigmoid, lambda x: x)

    def normal(x: torch.Tensor) -> torch.Tensor:
        return (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt()

    def gated(x: torch.Tensor, both: torch.Tensor, f: Any) -> torch.Tensor:
        gate, inner = both[:, :UNITS], both[:, UNITS:]
        return x + torch.sigmoid(gate) * (f(inner) - x)

    read = tokens(6, 1)
    h = torch.zeros(6, UNITS)
    x = shared.embedding[read[:, 0]]
    states = [normal(gated(h, x @ shared.from_token + h @ shared.from_state, torch.tanh))]
    place = 0
    for node in range(1, 9):
        total = torch.zeros(6, UNITS)
        for previous in range(node):
            for option, f in enumerate(functions, start=1):
                value = gated(states[previous], states[previous] @ shared.nodes[node - 1], f)
                total = total + mixture.operations[place, option] * value
            place += 1
        states.append(normal(total))
    out = torch.stack(states[1:]).mean(0)
    expected = out @ shared.embedding.T + shared.bias
    torch.testing.assert_close(shared(read, mixture)[:, :, 0], expected, rtol=1e-3, atol=1e-4)


def test_gradients_of_a_mixture_are_differences() -> None:
    space = SPACES["darts"]
    shared = supernet_of(space).double()
    relaxation = space.relaxation(np.random.default_rng(0)).double()

    def loss() -> torch.Tensor:
        logits: torch.Tensor = shared(tokens(), relaxation.mixture())
        return logits.square().sum()

    (logits,) = relaxation.parameters()
    (gradient,) = torch.autograd.grad(loss(), [logits])
    direction = torch.randn(
        logits.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64
    )
    before, losses = logits.data, []
    for sign in (1, -1):
        logits.data = before + sign * 1e-7 * direction
        losses.append(loss().item())
    expected = (losses[0] - losses[1]) / 2e-7
    # Logits are kept as float32's neighbours of what is added; a kink of ReLU may be in reach.
    assert (gradient * direction).sum().item() == pytest.approx(expected, rel=1e-3)


def test_the_way_back_and_work() -> None:
    space, rng = SPACES["darts"], np.random.default_rng(0)
    relaxation = space.relaxation(rng)
    shape = Skeleton(UNITS, 1, 1), (1, 1, VOCABULARY)
    for _ in range(5):
        architecture = space.sample(rng)
        mixture = relaxation.mixture_of(architecture)
        np.testing.assert_array_equal(mixture.work(*shape), architecture.work(*shape))
        with torch.no_grad():
            relaxation.operations.copy_(10 * mixture.operations)
            relaxation.operations[:, 0] = 100  # a zero is never kept, however likely
        assert relaxation.discretised() == architecture
    drawn, likelihood = relaxation.draw(rng)
    assert drawn in space
    assert likelihood < 0
    with pytest.raises(InvalidSetting, match="channel_divisor"):
        relaxation.mixture(4)
    with pytest.raises(InvalidSetting, match="no relaxation"):
        SPACES["enas"].relaxation(rng)


def test_a_window_read_twice_leaves_the_same_memory() -> None:
    space = SPACES["darts"]
    shared, architecture = supernet_of(space), space.parse(PUBLISHED["darts-v1"])
    shared(Window(tokens(), 0, True), architecture)
    once = shared(Window(tokens(), 1, False), architecture)
    shared(tokens(), architecture)  # a batch of rewards is read without memory, and leaves none
    torch.testing.assert_close(shared(Window(tokens(), 1, False), architecture), once)


# Searches ----------------------------------------------------------------------------------------


class Gate(DARTSRecurrent):
    """One node on state 0, whose activation alone is to be chosen."""

    name = "gate"
    nodes = 1
    decisions = DARTSRecurrent.decisions[:2]


GATE = Gate()
#: A text whose next token is plain from this one.
TURNS = np.arange(1200, dtype=np.int64) % 3
TEXT = TextSet("turns", TURNS, TURNS[:300], TURNS[:300], ("a", "b", "c"))
RECIPE = dataclasses.replace(
    TOPICS,
    skeleton=Skeleton(4, 1, 1),
    batch_size=8,
    bn_batch_size=8,
    window=6,
    learning_rate=2.0,
)
PLANTED = "tanh"


def noise(x: torch.Tensor) -> torch.Tensor:
    """Loud, and of no use: the far digits of x, which no weights can be trained on."""
    return 30 * torch.sin(1e3 * x.detach())


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the four activations, three are noise that drowns the state."""
    for name in ACTIVATION:
        if name != PLANTED:
            monkeypatch.setitem(ACTIVATION, name, noise)


BLACK_BOX = {
    "random search": RandomSearch(),
    "evolution": RegularizedEvolution(population_size=3),
    "local search": LocalSearch(),
}
_BRIEF: dict[str, Any] = {
    "batch_size": 8,
    "epochs": 4,
    "learning_rate": 2.0,
    "learning_rate_min": 0.1,
}
SHARING = {
    "random sharing": dataclasses.replace(RandomWeightSharing.text(), **_BRIEF),
    "ENAS": dataclasses.replace(ENAS.text(), **_BRIEF),
    "DARTS": dataclasses.replace(DARTS.text(), **_BRIEF),
    "DARTS, second order": dataclasses.replace(DARTS.text(), order=2, **_BRIEF),
}


def searched(search: Any, budget: Budget, store: Path, seed: int) -> str:
    """The activation of what a search recommends in the end."""
    trainer = StoredTrainer(TEXT, RECIPE, store=Store(store / "store.sqlite"))
    oracle = Oracle(
        TrainerSource(trainer, GATE, (2,), 1),
        budget,
        np.random.default_rng(0),
        task=Task.of(TEXT, RECIPE, None),
    )
    *_, found = islice(search(oracle, np.random.default_rng(seed)), 12)
    return GATE.cell(found).nodes[0].activation


@pytest.mark.parametrize("name", list(BLACK_BOX))
@pytest.mark.usefixtures("planted")
def test_black_box_searches_find_the_gate(name: str, tmp_path: Path) -> None:
    assert searched(BLACK_BOX[name], Budget(queries=12), tmp_path, 1) == PLANTED


@pytest.mark.parametrize("name", ["random sharing", "ENAS"])
@pytest.mark.usefixtures("planted")
def test_searches_that_share_weights_find_the_gate(name: str, tmp_path: Path) -> None:
    for seed in range(2):
        assert searched(SHARING[name], Budget(epochs=60), tmp_path, seed) == PLANTED


@pytest.mark.parametrize("name", list(SHARING))
def test_a_search_is_paid_for_and_goes_on_where_it_stopped(name: str, tmp_path: Path) -> None:
    """Killed after two epochs and resumed, it recommends what it would have recommended."""
    settings = dataclasses.replace(SHARING[name], epochs=3, learning_rate=0.5)

    def run(file: Path | None, epochs: int) -> tuple[list[str], float]:
        trainer = StoredTrainer(TEXT, RECIPE, store=Store(tmp_path / "store.sqlite"))
        oracle = Oracle(
            TrainerSource(trainer, DARTSRecurrent(), (2,), 1),
            Budget(epochs=60),
            np.random.default_rng(0),
            task=dataclasses.replace(
                Task.of(TEXT, RECIPE, None), checkpoint=file, checkpoint_every_seconds=0
            ),
        )
        steps = islice(settings(oracle, np.random.default_rng(4)), epochs)
        return [architecture.to_text() for architecture in steps], oracle.budget.spent_epochs

    whole = run(None, 3)
    file = tmp_path / "search.pt"
    assert run(file, 2)[0] == whole[0][:2]
    assert run(file, 3) == whole
    assert whole[1] > 3 * 144 / 150 * 0.9


def test_gradients_of_logits_point_to_the_gate(planted: None) -> None:
    """DARTS' relaxation, given weights that serve the planted gate: noise loses its probability."""
    generator = torch.Generator().manual_seed(0)
    shared = GATE.supernet(Skeleton(4, 1, 1), 3, 3, generator)
    relaxation = GATE.relaxation(np.random.default_rng(0))
    mixture = relaxation.mixture_of(GATE.parse(f"{PLANTED}@0"))
    streams = torch.arange(8)[:, None] + torch.arange(7)

    def loss(run: Any) -> torch.Tensor:
        logits = shared(streams[:, :-1] % 3, run)
        return torch.nn.functional.cross_entropy(logits, streams[:, 1:] % 3)

    for module, run, rate in (
        (shared, lambda: mixture, 0.05),
        (relaxation, relaxation.mixture, 0.1),
    ):
        optimizer = torch.optim.Adam(module.parameters(), lr=rate)
        for _ in range(60):
            optimizer.zero_grad()
            loss(run()).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    assert GATE.cell(relaxation.discretised()).nodes[0].activation == PLANTED
    _, gate, *others = relaxation.operations.softmax(1)[0].tolist()
    assert gate > 2 * max(others)
