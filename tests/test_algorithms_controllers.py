"""NAS with RL, NASNet's PPO, NATS-Bench's REINFORCE: their steps by hand, and what they learn."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from nasbench_kit import Answer, Budget, CellSpace, Column, InvalidSetting, Oracle, Stalled, Table
from nasbench_kit.algorithms import Reinforce
from nasbench_kit.algorithms.policy_gradient.controller_reinforce import ControllerReinforce
from nasbench_kit.algorithms.policy_gradient.decision_controller import DecisionController
from nasbench_kit.algorithms.policy_gradient.nas_rl import NASRL, _Replica
from nasbench_kit.algorithms.policy_gradient.nasnet_ppo import NASNetPPO, Proximal
from nasbench_kit.algorithms.policy_gradient.policy_gradient import PolicyGradient
from nasbench_kit.algorithms.policy_gradient.reinforce import Adam
from nasbench_kit.algorithms.policy_gradient.skip_controller import SkipController
from nasbench_kit.oracle.search import Search
from nasbench_kit.oracle.source import TrainerSource
from nasbench_kit.spaces.layers.enas_macro import ENASMacro
from nasbench_kit.spaces.layers.nas_rl import NASRLNetworks
from nasbench_kit.testing.made_up import MadeUpSpace
from nasbench_kit.testing.searches import yielded


def controller(layers: int = 1, seed: int = 0, decisions: int = 3) -> DecisionController:
    rng = np.random.default_rng(seed)
    space = MadeUpSpace(decisions)
    return DecisionController(space, rng, hidden_size=8, layers=layers, initial_range=0.5)


def gradients(value: Tensor, policy: DecisionController) -> list[Tensor]:
    """Of all weights but the last option's embedding, which nothing reads."""
    found = torch.autograd.grad(value, list(policy.parameters()), allow_unused=True)
    assert sum(gradient is None for gradient in found) == 1
    return [gradient for gradient in found if gradient is not None]


def everything(space: Any) -> Any:
    return np.array([architecture.options for architecture in space])


# The controller ----------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_probabilities_of_all_encodings_sum_to_one(layers: int) -> None:
    policy = controller(layers)
    p = policy.read(everything(policy.space)).log_probability.detach().exp()
    assert float(p.sum()) == pytest.approx(1, rel=1e-5)
    assert len(policy.lstm) == layers


def test_stacked_layers_are_those_of_torchs_lstm() -> None:
    """Two layers step by step, against the library's own stack over the same inputs."""
    policy = controller(2)
    options = np.array([[2, 0, 1]])
    stack = torch.nn.LSTM(8, 8, num_layers=2, batch_first=True)
    for layer, cell in enumerate(policy.lstm):
        for name, parameter in cell.named_parameters():
            getattr(stack, f"{name}_l{layer}").data.copy_(parameter.data)
    taken = [policy.embeddings[place][option] for place, option in enumerate(options[0, :-1])]
    outputs, _ = stack(torch.stack([policy.start[0], *taken])[None])
    expected = 0.0
    for place, head in enumerate(policy.heads):
        logits = 2.5 * torch.tanh(outputs[0, place] @ head / 5.0)
        expected += logits.log_softmax(0)[options[0, place]].item()
    assert policy.read(options).log_probability.item() == pytest.approx(expected, rel=1e-5)


# NAS with RL -------------------------------------------------------------------------------------


def test_the_baseline_is_of_earlier_rewards() -> None:
    policy = controller()
    learner = PolicyGradient(
        policy, learning_rate=1e-3, entropy_weight=0.0, baseline_decay=0.9, earlier_rewards=True
    )
    written = policy.read(everything(policy.space)[:1])
    logarithm = written.log_probability.item()
    assert learner.loss(written, [0.3]).item() == 0  # the first reward is its own baseline
    for reward, baseline in ((0.8, 0.3), (0.1, 0.35)):  # 0.9 * 0.3 + 0.1 * 0.8
        assert learner.loss(written, [reward]).item() == pytest.approx(
            -logarithm * (reward - baseline), rel=1e-4
        )


def test_a_replicas_gradient_is_that_of_its_own_weights() -> None:
    """The server moves on meanwhile; the gradient it then applies is of the weights that wrote."""
    server = controller(2)
    replica = _Replica(server)
    assert replica.policy.rng is server.rng
    assert replica.policy.space is server.space
    replica.write(server, 4)
    rewards = [0.1, 0.5, 0.2, 0.9]
    log_probability = replica.policy.read(replica.written.decisions).log_probability
    loss = -(log_probability * (torch.tensor(rewards) - 0.4)).mean()
    expected = gradients(loss, replica.policy)
    with torch.no_grad():
        for weight in server.parameters():
            weight.add_(1.0)
    learner = PolicyGradient(
        server, learning_rate=1.0, entropy_weight=0.0, baseline_decay=0.9, earlier_rewards=True
    )
    learner.baseline = torch.tensor(0.4)
    learner.update(replica.written, rewards, by=replica.policy)
    applied = [weight.grad for weight in server.parameters() if weight.grad is not None]
    torch.testing.assert_close(applied, expected)


def test_the_published_settings() -> None:
    paper = NASRL()
    assert (paper.hidden_size, paper.layers, paper.initial_range) == (35, 2, 0.08)
    assert (paper.learning_rate, paper.children, paper.reward_power) == (6e-4, 8, 3)
    nasnet = NASNetPPO()
    assert (nasnet.hidden_size, nasnet.initial_range, nasnet.learning_rate) == (100, 0.1, 3.5e-4)
    assert (nasnet.batch_size, nasnet.entropy_weight, nasnet.baseline_decay) == (20, 1e-5, 0.95)
    nats = Reinforce.nats()
    assert (nats.learning_rate, nats.momentum, nats.optimizer) == (0.01, 0.9, "adam")


def test_replicas_keep_the_workers_busy() -> None:
    """With 16 workers and eight children each there are two replicas; at first all 16 train."""
    oracle = Oracle(planted_table(), Budget(queries=64), np.random.default_rng(0))
    charged = [len(oracle.budget.ledger) for _ in yielded(NASRL(workers=16), oracle, 0)]
    assert charged[:7] == [16] * 7  # nobody starts before a replica has all of its children
    assert charged[-1] == 64


# PPO -----------------------------------------------------------------------------------------------


def test_the_clipped_objective_by_hand() -> None:
    """Ratios 1, 2 and 1/2 with advantages 1, 1, -1 and 1: min(r A, clip(r) A), Schulman et al., eq. 7."""
    policy = controller()
    decisions = everything(policy.space)[[0, 5, 9, 20]]
    learner = Proximal(NASNetPPO(entropy_weight=0.0), policy)
    now = policy.read(decisions).log_probability.detach()
    ratios = torch.tensor([1.0, 2.0, 0.5, 0.5])
    advantages = torch.tensor([1.0, 1.0, -1.0, 1.0])
    found = learner.objective(decisions, now - ratios.log(), advantages)
    assert found.item() == pytest.approx((1.0 + 1.2 - 0.8 + 0.5) / 4, rel=1e-5)
    entropy = policy.read(decisions).entropy.mean()
    weighted = Proximal(NASNetPPO(entropy_weight=0.5), policy)
    more = weighted.objective(decisions, now - ratios.log(), advantages)
    assert (more - found).item() == pytest.approx(0.5 * entropy.item(), rel=1e-4)


def test_the_first_step_on_a_batch_is_the_policy_gradient() -> None:
    """Where nothing has moved yet all ratios are 1, and the gradient is REINFORCE's."""
    policy = controller()
    decisions = everything(policy.space)[[0, 5, 9]]
    advantages = torch.tensor([0.3, -0.2, 0.5])
    before = policy.read(decisions).log_probability.detach()
    objective = Proximal(NASNetPPO(entropy_weight=0.0), policy).objective(
        decisions, before, advantages
    )
    found = gradients(objective, policy)
    plain = (policy.read(decisions).log_probability * advantages).mean()
    torch.testing.assert_close(found, gradients(plain, policy))


def test_nothing_is_learned_before_a_batch_is_full() -> None:
    policy = controller()
    learner = Proximal(NASNetPPO(batch_size=3), policy)
    first = [weight.clone() for weight in policy.parameters()]
    for place, reward in enumerate((0.1, 0.9, 0.4)):
        moved = [not torch.equal(a, b) for a, b in zip(first, policy.parameters(), strict=True)]
        assert not any(moved)
        decisions = everything(policy.space)[place]
        learner.tell(decisions, policy.read(decisions[None]).log_probability.item(), reward)
    assert any(not torch.equal(a, b) for a, b in zip(first, policy.parameters(), strict=True))


def test_only_architectures_are_learned_from(
    small_table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reward of 0 for other encodings would outweigh all differences between architectures."""
    told: list[float] = []
    tell = Proximal.tell

    def listening(
        self: Proximal, decisions: np.ndarray[Any, Any], log_probability: float, reward: float
    ) -> None:
        told.append(reward)
        tell(self, decisions, log_probability, reward)

    monkeypatch.setattr(Proximal, "tell", listening)
    oracle = Oracle(small_table, Budget(queries=60), np.random.default_rng(0))
    list(yielded(NASNetPPO.small(), oracle, 0))
    assert told == [charge.item.validation_accuracy for charge in oracle.budget.ledger]


# NATS-Bench's REINFORCE ----------------------------------------------------------------------------


def test_adam_is_torchs() -> None:
    """Ten steps of the same gradients on the same numbers."""
    rng = np.random.default_rng(0)
    mine, theirs = np.zeros((3, 4)), torch.zeros(3, 4, dtype=torch.float64, requires_grad=True)
    adam, optimizer = Adam(), torch.optim.Adam([theirs], lr=0.01)
    for _ in range(10):
        gradient = rng.normal(size=(3, 4))
        mine -= 0.01 * adam.scaled(gradient)
        theirs.grad = torch.from_numpy(gradient)
        optimizer.step()
    np.testing.assert_allclose(mine, theirs.detach().numpy(), rtol=1e-6)


def test_an_unknown_optimizer_is_refused() -> None:
    with pytest.raises(InvalidSetting, match=r"optimizer is 'sgd'; choose .adam., or None"):
        Reinforce(optimizer="sgd")  # type: ignore[arg-type]


# All of them ---------------------------------------------------------------------------------------


def planted_table() -> Table:
    """Accuracy is the share of decisions that are 2, out of seven."""
    space = MadeUpSpace(7)
    counts = np.array([architecture.options.count(2) for architecture in space], np.uint16)
    return Table(
        space, [4], {("final", "validation_accuracy"): Column(counts[:, None, None], images=7)}
    )


@pytest.mark.parametrize(
    ("search", "queries"),
    [
        (NASRL.small(), 400),
        (NASRL(learning_rate=0.02, children=4, workers=8), 400),
        (NASNetPPO.small(), 400),
        (NASNetPPO(learning_rate=0.003, batch_size=10, workers=8), 400),
        (Reinforce(learning_rate=0.05, optimizer="adam"), 400),
    ],
)
def test_the_planted_option_is_learned(search: Search, queries: int) -> None:
    """Of the first eight a third are that option (five standard errors: 0.31); of late ones most."""
    oracle = Oracle(planted_table(), Budget(queries=queries), np.random.default_rng(0))
    list(yielded(search, oracle, 1))
    rewards = [charge.item.validation_accuracy for charge in oracle.budget.ledger]
    assert np.mean(rewards[:8]) < 0.65
    assert np.mean(rewards[-50:]) > 0.6


@pytest.mark.parametrize("search", [NASRL(), NASNetPPO()])
def test_a_controller_that_writes_no_architectures_stalls(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        DecisionController, "architectures", lambda self, decisions: [None] * len(decisions)
    )
    for name in ("nas_rl", "nasnet_ppo"):
        monkeypatch.setattr(f"nasbench_kit.algorithms.policy_gradient.{name}._PATIENCE", 16)
    oracle = Oracle(planted_table(), Budget(queries=9), np.random.default_rng(0))
    with pytest.raises(Stalled, match="16 encodings in a row"):
        list(search(oracle, np.random.default_rng(0)))


def test_cells_are_written_decision_by_decision() -> None:
    from nasbench_kit.testing.made_up import made_up_table

    oracle = Oracle(made_up_table(CellSpace(4)), Budget(queries=30), np.random.default_rng(0))
    for search in (NASRL(), NASNetPPO()):
        assert all(cell in oracle.space for cell in yielded(search, oracle, 0))


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (NASRL, "hidden_size", 0),
        (NASRL, "layers", 0),
        (NASRL, "children", 0),
        (NASRL, "learning_rate", 0.0),
        (NASRL, "reward_power", 0.0),
        (NASRL, "initial_range", float("nan")),
        (NASRL, "baseline_decay", 1.5),
        (NASNetPPO, "batch_size", 0),
        (NASNetPPO, "passes", 0),
        (NASNetPPO, "clip", 1.0),
        (NASNetPPO, "entropy_weight", -1.0),
        (NASNetPPO, "learning_rate", 0.0),
    ],
)
def test_settings_out_of_range_are_refused(kind: Any, name: str, value: float) -> None:
    with pytest.raises(InvalidSetting, match=f"^{name} is {value}; it must be"):
        kind(**{name: value})


# Layers with skips -------------------------------------------------------------------------------


def skip_controller(**settings: Any) -> SkipController:
    return SkipController(
        ENASMacro(3), np.random.default_rng(0), hidden_size=5, initial_range=1.0, **settings
    )


def test_the_skip_controllers_probabilities_sum_to_one() -> None:
    controller = skip_controller()
    sizes = [len(options) for _, options in controller.space.decisions]
    encodings = np.array(list(itertools.product(*map(range, sizes))))
    assert len(encodings) == 6**3 * 2**3
    with torch.no_grad():
        total = controller.read(encodings).log_probability.exp().sum().item()
    assert total == pytest.approx(1.0, abs=1e-5)


def test_what_the_skip_controller_writes_it_reads_with_the_same_probability() -> None:
    controller = skip_controller()
    written = controller.write(40)
    again = controller.read(written.decisions)
    torch.testing.assert_close(again.log_probability, written.log_probability)
    torch.testing.assert_close(again.entropy, written.entropy)
    assert again.skip_penalty is not None and written.skip_penalty is not None
    torch.testing.assert_close(again.skip_penalty, written.skip_penalty)
    assert len(written.decisions[0]) == len(controller.space.decisions)
    assert None not in controller.architectures(written.decisions)


def test_the_skip_penalty_is_the_divergence_from_the_target() -> None:
    """Of three fair coins from one of P = 0.4: 3 (log(0.5 / 0.6) + log(0.5 / 0.4)) / 2, over 2 layers."""
    controller = skip_controller(skip_target=0.4)
    controller.attention.data.zero_()
    (penalty,) = controller.write(1).skip_penalty  # type: ignore[misc]
    expected = 3 * (math.log(0.5 / 0.6) + math.log(0.5 / 0.4)) / 2 / 2
    assert penalty.item() == pytest.approx(expected, abs=1e-6)
    controller.skip_target = 0.5
    assert controller.write(1).skip_penalty.item() == pytest.approx(0.0, abs=1e-6)  # type: ignore[union-attr]
    assert skip_controller(skip_target=None).write(1).skip_penalty is None


@pytest.mark.parametrize("target", [0.1, 0.9])
def test_the_skip_penalty_draws_skips_to_their_target(target: float) -> None:
    """With rewards that are all equal nothing else moves the controller."""
    controller = skip_controller(skip_target=target, tanh_constant=None)
    learner = PolicyGradient(
        controller, learning_rate=0.05, entropy_weight=0.0, baseline_decay=0.0, skip_weight=1.0
    )
    for _ in range(150):
        learner.update(controller.write(10), [0.5] * 10)
    bits = controller.write(400).decisions[:, [2, 4, 5]]
    assert bits.mean() == pytest.approx(target, abs=0.06)


class Skipless:
    """A trainer of nothing, whose accuracy is the share of skips that an architecture leaves out."""

    def __init__(self) -> None:
        self.skips: list[int] = []

    def price(self, architecture: Any, epochs: int, halfway: bool) -> float | None:
        return None

    def train(self, architecture: Any, epochs: int, halfway: bool, repeat: int) -> Answer:
        skips = sum(architecture.options[place] for place in (2, 4, 5))
        self.skips.append(skips)
        accuracy = 1 - skips / 3
        return Answer(architecture, epochs, halfway, repeat, None, None, accuracy, None, "trained")


def test_further_steps_on_a_batch_learn_more_from_it() -> None:
    means = []
    for steps in (1, 20):
        trainer = Skipless()
        source = TrainerSource(trainer, ENASMacro(3), (1,), 1)
        oracle = Oracle(source, Budget(queries=60), np.random.default_rng(0))
        search = ControllerReinforce(cells_per_step=6, learning_rate=0.003, steps=steps)
        assert len(list(yielded(search, oracle, seed=1))) == 60
        means.append(np.mean(trainer.skips[-20:]))
    assert means[1] < means[0] - 0.5


# NAS-RL's schedule -------------------------------------------------------------------------------


class Depths(Skipless):
    """A trainer of nothing, who prefers many filters in the first layer."""

    def train(self, architecture: Any, epochs: int, halfway: bool, repeat: int) -> Answer:
        rows = architecture.space.rows(architecture.options)
        self.skips.append(len(rows))
        accuracy = rows[0][2] / 64
        return Answer(architecture, epochs, halfway, repeat, None, None, accuracy, None, "trained")


@pytest.mark.parametrize("workers", [None, 3])
def test_networks_grow_by_the_schedule(workers: int | None) -> None:
    """Two layers for 8 samples, then four, then six for all that follow (section 4.1)."""
    trainer = Depths()
    source = TrainerSource(trainer, NASRLNetworks(2, 6), (1,), 1)
    oracle = Oracle(source, Budget(queries=30), np.random.default_rng(0))
    search = NASRL(children=4, samples_per_depth=8, workers=workers)
    assert len(list(yielded(search, oracle, seed=1))) == 30
    assert trainer.skips == [2] * 8 + [4] * 8 + [6] * 14


def test_without_a_schedule_the_controller_chooses_the_depth() -> None:
    trainer = Depths()
    source = TrainerSource(trainer, NASRLNetworks(2, 6), (1,), 1)
    oracle = Oracle(source, Budget(queries=30), np.random.default_rng(0))
    for _ in yielded(NASRL(samples_per_depth=None), oracle, seed=1):
        pass
    assert set(trainer.skips) == {2, 4, 6}


def test_what_is_fixed_has_no_probability() -> None:
    """All networks of two layers, that one number being fixed, have probability one together."""
    space = NASRLNetworks(1, 3)
    policy = DecisionController(space, np.random.default_rng(0), hidden_size=4, initial_range=1.0)
    policy.keep_to(0, space.decisions_of(1))
    sizes = [len(options) for _, options in space.decisions]
    encodings = np.array(
        [
            [0, *options, *[0] * (len(sizes) - 5)]
            for options in itertools.product(*map(range, sizes[1:5]))
        ]
    )
    with torch.no_grad():
        assert policy.read(encodings).log_probability.exp().sum().item() == pytest.approx(
            1, abs=1e-5
        )
    assert {tuple(row) for row in policy.write(50).decisions} <= {tuple(row) for row in encodings}
