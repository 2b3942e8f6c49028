"""The controller: probabilities of all encodings, and the policy gradient, exactly."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nasbench_kit import Budget, Cell, CellSpace, Column, InvalidSetting, Oracle, Stalled, Table
from nasbench_kit.algorithms.policy_gradient.controller import Controller
from nasbench_kit.algorithms.policy_gradient.controller_reinforce import ControllerReinforce
from nasbench_kit.algorithms.policy_gradient.policy_gradient import PolicyGradient
from nasbench_kit.spaces.nasbench101.cell import OPERATIONS
from nasbench_kit.spaces.nasbench101.one_shot import PARENTS
from nasbench_kit.testing.searches import yielded

torch.set_num_threads(1)


def controller(name: str, initial_range: float = 0.7, temperature: float = 1.0) -> Controller:
    """Far from uniform."""
    return Controller(
        CellSpace.named(name),
        np.random.default_rng(3),
        hidden_size=6,
        initial_range=initial_range,
        temperature=temperature,
    )


def everything(policy: Controller) -> NDArray[np.int64]:
    """All encodings [n, decisions]."""
    return np.array(list(itertools.product(*map(range, policy.sizes))))


@pytest.mark.parametrize(
    ("name", "encodings"),
    [("v3e3", 2 * 3 * 4), ("v4e6", 2 * 3 * 4 * 3 * 8), ("1shot1-1", 180 * 81)],
)
def test_the_probabilities_of_all_encodings_sum_to_one(name: str, encodings: int) -> None:
    """Those that are no cells included; of free spaces there are some."""
    policy = controller(name)
    with torch.no_grad():
        written = policy.read(everything(policy))
    assert len(written.log_probability) == encodings
    p = written.log_probability.double().exp()
    assert float(p.sum()) == pytest.approx(1, abs=1e-5)
    assert p.max() > 3 * p.min()
    cells = policy.architectures(written.decisions[:: max(1, encodings // 500)])
    assert (None in cells) == (name != "1shot1-1")


def test_encodings_are_what_they_say() -> None:
    """Of four vertices: every graph with every operations, each once."""
    policy = controller("v4e6")
    seen = Counter[tuple[int, int]]()
    for cell in policy.architectures(everything(policy)):
        if cell is not None:
            seen[cell.bits, cell.code] += 1
    assert set(seen.values()) == {1}
    valid = sum(
        policy.space.cell(bits, code) is not None for bits in range(64) for code in range(9)
    )
    assert len(seen) == valid


@pytest.mark.parametrize("number", [1, 2, 3])
def test_prescribed_parents_are_kept(number: int) -> None:
    policy = controller(f"1shot1-{number}")
    with torch.no_grad():
        cells = policy.architectures(policy.write(50).decisions)
    for cell in cells:
        assert cell is not None
        assert cell.matrix[:, 1:].sum(axis=0).tolist() == list(PARENTS[number])


def test_encodings_are_written_as_often_as_they_say() -> None:
    policy = controller("v3e3")
    all_of_them = everything(policy)
    count = 4000
    with torch.no_grad():
        written = policy.write(count)
        p = policy.read(all_of_them).log_probability.exp().numpy()
        again = policy.read(written.decisions)
    torch.testing.assert_close(written.log_probability, again.log_probability)
    torch.testing.assert_close(written.entropy, again.entropy)
    found = Counter(map(tuple, written.decisions.tolist()))
    for encoding, expected in zip(all_of_them.tolist(), p.tolist(), strict=True):
        error = np.sqrt(count * expected * (1 - expected))
        assert abs(found[tuple(encoding)] - count * expected) < 5 * error


def test_the_entropy_of_a_uniform_policy_is_the_logarithm_of_its_choices() -> None:
    for name in ("v4e6", "1shot1-2"):
        policy = controller(name, initial_range=0.0)
        written = policy.read(everything(policy)[:5])
        expected = torch.full((5,), float(np.log(policy.sizes).sum()))
        torch.testing.assert_close(written.entropy, expected)
        torch.testing.assert_close(written.log_probability, -expected)


def test_the_entropy_is_minus_the_expected_logarithm() -> None:
    policy = controller("v3e3")
    written = policy.read(everything(policy))
    p = written.log_probability.exp()
    torch.testing.assert_close((p * written.entropy).sum(), -(p * written.log_probability).sum())


def test_logits_are_bounded_by_the_tanh_constant() -> None:
    """At huge weights no operation is more than exp(2 c) times likelier than another."""
    policy = controller("v3e3", initial_range=50.0)
    policy.operation_tanh_reduction = 5.0
    p = policy.read(everything(policy)).log_probability.detach()
    by_operation = p.reshape(2, 3, 4).exp().sum((0, 2))
    assert float(by_operation.max() / by_operation.min()) <= np.exp(2 * 2.5 / 5) * (1 + 1e-4)
    assert float(by_operation.max() / by_operation.min()) > 1.5


def test_an_edge_is_a_coin_of_two_logits() -> None:
    """-q and q, as in the released code. At huge weights q is the tanh constant or minus that."""
    policy = controller("v3e3", initial_range=50.0)
    policy.tanh_constant = 0.5
    p = policy.read(everything(policy)).log_probability.detach()
    of_first_edge = p.reshape(2, 3, 4).exp().sum((1, 2))
    both = torch.tensor([-1.0, 1.0]).sigmoid()
    torch.testing.assert_close(of_first_edge.sort().values, both, rtol=1e-3, atol=0)


# The policy gradient ----------------------------------------------------------------------------


def reinforce(policy: Controller, **settings: float) -> PolicyGradient:
    known: dict[str, Any] = {
        "learning_rate": 0.1,
        "entropy_weight": 0.0,
        "baseline_decay": 1.0,
    } | settings
    return PolicyGradient(policy, **known)


def expected_reward(policy: Controller, rewards: torch.Tensor) -> torch.Tensor:
    p = policy.read(everything(policy)).log_probability.double().exp()
    return (p * rewards).sum()


@pytest.mark.parametrize("baseline", [0.0, 0.4])
def test_the_expected_update_is_the_gradient_of_the_expected_reward(baseline: float) -> None:
    """By finite differences along random directions; a baseline changes nothing."""
    policy = controller("v3e3", temperature=0.5)
    encodings = everything(policy)
    rewards = torch.from_numpy(np.random.default_rng(0).uniform(size=len(encodings)))
    learner = reinforce(policy)
    learner.baseline = torch.tensor(baseline)
    # The loss is a mean over what was written; weighted so, it is the expectation over all of it.
    written = policy.read(encodings)
    p = written.log_probability.detach().double().exp()
    weighted = baseline + len(encodings) * p * (rewards - baseline)
    torch.autograd.backward(learner.loss(written, weighted.tolist()))
    draw = torch.Generator().manual_seed(1)
    for _ in range(3):
        directions = [torch.randn(w.shape, generator=draw) for w in policy.parameters()]
        slope = -sum(
            float((w.grad * d).sum())
            for w, d in zip(policy.parameters(), directions, strict=True)
            if w.grad is not None
        )
        values = []
        for step in (2e-3, -2e-3):
            with torch.no_grad():
                for w, d in zip(policy.parameters(), directions, strict=True):
                    w.add_(d, alpha=step)
                values.append(float(expected_reward(policy, rewards)))
                for w, d in zip(policy.parameters(), directions, strict=True):
                    w.sub_(d, alpha=step)
        assert slope == pytest.approx((values[0] - values[1]) / 4e-3, rel=2e-2, abs=2e-4)


def test_the_baseline_is_a_moving_average_moved_before_it_is_used() -> None:
    policy = controller("v3e3")
    learner = reinforce(policy, baseline_decay=0.9, entropy_weight=0.5)
    written = policy.read(everything(policy)[:1])
    entropy, logarithm = (x.item() for x in (written.entropy, written.log_probability))
    assert learner.loss(written, [0.3]).item() == pytest.approx(0, abs=1e-6)
    first = 0.3 + 0.5 * entropy
    assert float(learner.baseline) == pytest.approx(first)
    reward = 0.8 + 0.5 * entropy
    moved = 0.9 * first + 0.1 * reward
    assert learner.loss(written, [0.8]).item() == pytest.approx(
        -logarithm * (reward - moved), rel=1e-4
    )
    assert float(learner.baseline) == pytest.approx(moved)


# The search without shared weights --------------------------------------------------------------


def planted_table() -> Table:
    """Cells of four vertices; accuracy is the number of 3x3 convolutions that the cell has, halved."""
    space = CellSpace(4)
    share = [cell.operations.count(OPERATIONS[0]) / 2 for cell in space]
    counts = np.array([round(100 * s) for s in share], np.uint16)[:, None, None]
    columns = {("final", "validation_accuracy"): Column(counts, 100)}
    return Table(space, (4,), columns, provenance={"name": "planted"})


def test_the_controller_learns_what_is_planted() -> None:
    """It comes to write the rewarded operation nearly always; in chance it would be one in three."""
    search = ControllerReinforce(
        learning_rate=0.02,
        cells_per_step=4,
        entropy_weight=0.0,
        baseline_decay=0.9,
        temperature=1.0,
        operation_tanh_reduction=1.0,
    )
    budget = Budget(queries=600)
    oracle = Oracle(planted_table(), budget, np.random.default_rng(0))
    best: Cell = list(yielded(search, oracle, 1))[-1]
    assert best.operations.count(OPERATIONS[0]) == 2
    accuracies = [charge.item.validation_accuracy for charge in budget.ledger]
    assert np.mean(accuracies[-100:]) > 0.8 > 0.6 > np.mean(accuracies[:20])


def test_a_controller_that_writes_no_cells_stalls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Controller, "architectures", lambda self, decisions: [None] * len(decisions)
    )
    monkeypatch.setattr("nasbench_kit.algorithms.policy_gradient.controller_reinforce._PATIENCE", 5)
    oracle = Oracle(planted_table(), Budget(queries=9), np.random.default_rng(0))
    with pytest.raises(Stalled, match="5 encodings in a row"):
        list(ControllerReinforce()(oracle, np.random.default_rng(0)))


def test_settings_out_of_range_are_refused() -> None:
    for name, value in {
        "hidden_size": 0,
        "learning_rate": 0.0,
        "cells_per_step": 0,
        "entropy_weight": -0.1,
        "baseline_decay": 1.1,
        "temperature": 0.0,
        "tanh_constant": 0.0,
        "operation_tanh_reduction": 0.0,
        "initial_range": float("nan"),
    }.items():
        with pytest.raises(InvalidSetting, match=rf"^{name} is {value}; it must be in [\[(]"):
            ControllerReinforce(**{name: value})  # type: ignore[arg-type]
