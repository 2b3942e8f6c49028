"""Shared weights of recurrent cells: paths, mixtures, the way back, searches, and a gate to be found."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nasbench_kit import Budget, BudgetExhausted, InvalidSetting, Oracle
from nasbench_kit.algorithms import RandomSearch, RegularizedEvolution
from nasbench_kit.algorithms.local_search import LocalSearch
from nasbench_kit.algorithms.policy_gradient.policy_gradient import PolicyGradient
from nasbench_kit.algorithms.weight_sharing.darts import DARTS, DARTSSearch
from nasbench_kit.algorithms.weight_sharing.enas import ENAS
from nasbench_kit.algorithms.weight_sharing.random_search import RandomWeightSharing
from nasbench_kit.algorithms.weight_sharing.training import SharedWeights
from nasbench_kit.oracle.fallback import StoredTrainer
from nasbench_kit.oracle.source import TrainerSource
from nasbench_kit.oracle.store import Store
from nasbench_kit.oracle.task import Task
from nasbench_kit.spaces.recurrent.cell import TreeSpace
from nasbench_kit.spaces.recurrent.darts import PUBLISHED, DARTSRecurrent
from nasbench_kit.spaces.recurrent.enas import ENASRecurrent
from nasbench_kit.spaces.recurrent.language_model import ACTIVATION, LanguageModel
from nasbench_kit.spaces.recurrent.network import RecurrentNetwork
from nasbench_kit.spaces.recurrent.supernet import TreeSupernet
from nasbench_kit.spaces.recurrent.window import Window
from nasbench_kit.spaces.skeleton import Skeleton
from nasbench_kit.training.recipe import TOPICS
from nasbench_kit.training.text import TextSet
from nasbench_kit.training.trainer import train

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
#: A text whose next token is plain from this one. Its eight streams are not in step: of streams that all read
#: the same token, batch norm over the streams would leave nothing.
TURNS = np.arange(1208, dtype=np.int64) % 3
TEXT = TextSet("turns", TURNS, TURNS[:304], TURNS[:304], ("a", "b", "c"))
RECIPE = dataclasses.replace(
    TOPICS,
    skeleton=Skeleton(8, 1, 1),
    batch_size=8,
    bn_batch_size=8,
    window=6,
    learning_rate=2.0,
)
PLANTED = "tanh"


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the four activations, three put out noise that drowns the state.

    It is drawn anew for every window, and is the same when one window is read again, as by the two
    passes whose difference is DARTS' second order.
    """
    generator, passes, read = torch.Generator(), itertools.count(), LanguageModel.read

    def noise(x: torch.Tensor) -> torch.Tensor:
        return 2 * torch.randn(x.shape, generator=generator)

    def seeded(self: LanguageModel, x: torch.Tensor | Window, *more: Any) -> torch.Tensor:
        generator.manual_seed(x.seed if isinstance(x, Window) else next(passes))
        return read(self, x, *more)

    monkeypatch.setattr(LanguageModel, "read", seeded)
    for name in ACTIVATION:
        if name != PLANTED:
            monkeypatch.setitem(ACTIVATION, name, noise)


BLACK_BOX = {
    "random search": RandomSearch(),
    "evolution": RegularizedEvolution(population_size=3),
    "local search": LocalSearch(),
}
EPOCHS = 6
_BRIEF: dict[str, Any] = {
    "batch_size": 8,
    "epochs": EPOCHS,
    "learning_rate": 2.0,
    "learning_rate_min": 0.1,
}
SHARING = {
    # Three of four steps train with noise, so that the weights take longer.
    "random sharing": dataclasses.replace(
        RandomWeightSharing.text(), **_BRIEF | {"epochs": 6 * EPOCHS}, batches=6
    ),
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
    recommended = []
    with contextlib.suppress(BudgetExhausted):
        recommended.extend(search(oracle, np.random.default_rng(seed)))
    return GATE.cell(recommended[-1]).nodes[0].activation


@pytest.mark.parametrize("name", list(BLACK_BOX))
@pytest.mark.usefixtures("planted")
def test_black_box_searches_find_the_gate(name: str, tmp_path: Path) -> None:
    assert searched(BLACK_BOX[name], Budget(queries=12), tmp_path, 1) == PLANTED


@pytest.mark.parametrize("activation", list(ACTIVATION))
@pytest.mark.usefixtures("planted")
def test_the_gate_is_the_best_after_as_many_steps_as_a_search_makes(activation: str) -> None:
    trained = train(GATE.parse(f"{activation}@0"), TEXT, RECIPE, EPOCHS, 0).final.test.perplexity
    assert trained < 1.1 if activation == PLANTED else trained > 2


@pytest.mark.parametrize("name", list(SHARING))
@pytest.mark.usefixtures("planted")
def test_searches_that_share_weights_find_the_gate(name: str, tmp_path: Path) -> None:
    for seed in range(2):
        assert searched(SHARING[name], Budget(epochs=600), tmp_path, seed) == PLANTED


def test_batch_norm_leaves_nothing_of_streams_in_step() -> None:
    """All read the same tokens, so no state differs from its mean: a mixture sees none of the text."""
    shared = supernet_of(SPACES["darts"])
    mixture = SPACES["darts"].relaxation(np.random.default_rng(0)).mixture()
    logits = shared(tokens(1, 3).expand(4, 3), mixture)
    torch.testing.assert_close(logits, shared.bias[None, :, None].expand_as(logits))


@pytest.mark.parametrize("name", list(SHARING))
def test_a_search_is_paid_for_and_goes_on_where_it_stopped(name: str, tmp_path: Path) -> None:
    """Killed after an epoch and resumed, it recommends what it would have recommended."""
    settings = dataclasses.replace(SHARING[name], epochs=2, learning_rate=0.5)

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

    whole = run(None, 2)
    file = tmp_path / "search.pt"
    assert run(file, 1)[0] == whole[0][:1]
    assert run(file, 2) == whole
    assert whole[1] > 2 * 144 / 150 * 0.9


def test_rewards_of_enas_are_80_over_perplexity(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of a validation window with no memory before it."""
    rewards: list[float] = []
    update = PolicyGradient.update

    def spy(self: PolicyGradient, written: Any, given: Any) -> None:
        rewards.extend(given)
        update(self, written, given)

    monkeypatch.setattr(PolicyGradient, "update", spy)

    def even(self: TreeSupernet, read: torch.Tensor, run: Any) -> torch.Tensor:
        return torch.zeros(8, 3, read.shape[1])

    monkeypatch.setattr(TreeSupernet, "forward", even)
    settings = dataclasses.replace(SHARING["ENAS"], epochs=1)
    trainer = StoredTrainer(TEXT, RECIPE, store=Store(tmp_path / "store.sqlite"))
    source, task = TrainerSource(trainer, GATE, (2,), 1), Task.of(TEXT, RECIPE, None)
    oracle = Oracle(source, Budget(epochs=60), np.random.default_rng(0), task=task)
    monkeypatch.setattr(SharedWeights, "step", lambda *_: None)
    list(settings(oracle, np.random.default_rng(0)))
    assert rewards == pytest.approx([80 / 3] * 40)  # three tokens, of which none is likelier


def normal(x: Any) -> Any:
    """Mean 0 and variance 1 over the streams."""
    return (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt()


def slow_step(weights: dict[str, torch.Tensor], logits: Any, read: Any, memory: Any) -> Any:
    """The loss of the one-node mixture on tokens [streams, length + 1], state by state and token by token."""
    functions: Any = (torch.tanh, torch.relu, torch.sigmoid, lambda x: x)
    units, shares = weights["embedding"].shape[1], logits.softmax(1)[0]
    h, losses = memory, []
    for place in range(read.shape[1] - 1):
        x = weights["embedding"][read[:, place]]
        both = torch.cat([x, h], 1) @ torch.cat([weights["from_token"], weights["from_state"]])
        first = normal(h + torch.sigmoid(both[:, :units]) * (torch.tanh(both[:, units:]) - h))
        both = first @ weights["nodes.0"]
        gate = torch.sigmoid(both[:, :units])
        h = sum(
            share * (first + gate * (f(both[:, units:]) - first))
            for share, f in zip(shares[1:], functions, strict=True)
        )
        h = normal(h)
        of_words = (h @ weights["embedding"].T + weights["bias"]).log_softmax(1)
        losses.append(-of_words[torch.arange(len(read)), read[:, place + 1]].mean())
    return sum(losses) / len(losses)


@pytest.mark.parametrize("order", [1, 2])
def test_a_step_of_darts_is_a_slow_one(order: int, tmp_path: Path) -> None:
    """Logits by Adam on validation, first; then weights by SGD on train, by the logits of after."""
    settings = dataclasses.replace(DARTS.text(), order=order, curvature="exact", **_BRIEF)
    trainer = StoredTrainer(TEXT, RECIPE, store=Store(tmp_path / "store.sqlite"))
    source = TrainerSource(trainer, GATE, (2,), 1)
    oracle = Oracle(
        source, Budget(epochs=600), np.random.default_rng(0), task=Task.of(TEXT, RECIPE, None)
    )
    shared: Any = SharedWeights(oracle, np.random.default_rng(4), settings)
    search: Any = DARTSSearch(settings, shared)
    shared.steps_an_epoch = 1
    for weight in shared.supernet.parameters():  # gradients longer than the norm they are cut to
        weight.data *= 8
    weights = {name: w.detach().clone() for name, w in shared.supernet.named_parameters()}
    logits: Any = search.relaxation.operations.detach().clone()
    search.epoch()

    length, nothing = len(TURNS) // 8, torch.zeros(8, 8)
    train_text = torch.from_numpy(TURNS).reshape(8, length)[:, :7]
    val_text = torch.from_numpy(TURNS[:304]).reshape(8, 38)[:, :7]

    def gradients(text: torch.Tensor, of: list[torch.Tensor], at: Any, by: Any, **how: Any) -> Any:
        return torch.autograd.grad(slow_step(at, by, text, nothing), of, allow_unused=True, **how)

    def cut(parts: Any) -> tuple[list[torch.Tensor], float]:
        norm = float(sum(part.detach().square().sum() for part in parts)) ** 0.5
        return [part * min(1.0, 0.25 / (norm + 1e-6)) for part in parts], norm

    rate, decay = 2.0, settings.weight_decay
    logits.requires_grad_()
    w = {name: value.clone().requires_grad_() for name, value in weights.items()}
    if order == 1:
        (gradient,) = gradients(val_text, [logits], w, logits)
    else:
        plain = gradients(train_text, list(w.values()), w, logits, create_graph=True)
        short, norm = cut([part.detach() for part in plain])
        assert norm > 0.25
        there = {
            name: (value - rate * (part + decay * value)).detach().requires_grad_()
            for (name, value), part in zip(w.items(), short, strict=True)
        }
        *vector, gradient = gradients(val_text, [*there.values(), logits], there, logits)
        vector, norm = cut(vector)
        assert norm > 0.25
        product = sum((part * v).sum() for part, v in zip(plain, vector, strict=True))
        gradient = gradient - rate * torch.autograd.grad(product, [logits])[0]
    gradient = gradient + settings.architecture_weight_decay * logits.detach()
    # Adam's first step: both averages are divided by what they lack.
    logits = (
        logits - settings.architecture_learning_rate * gradient / (gradient.abs() + 1e-8)
    ).detach()
    torch.testing.assert_close(search.relaxation.operations.detach(), logits, rtol=1e-3, atol=1e-5)

    short, norm = cut(gradients(train_text, list(w.values()), w, logits))
    assert norm > 0.25
    for (name, value), part in zip(w.items(), short, strict=True):
        expected = value.detach() - rate * (part + decay * value.detach())
        now = dict(shared.supernet.named_parameters())[name].detach()
        torch.testing.assert_close(now, expected, rtol=1e-3, atol=1e-4)


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
