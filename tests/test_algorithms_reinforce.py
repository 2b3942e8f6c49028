"""REINFORCE: its gradient, its baseline, and what it learns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nasbench_kit import Budget, CellSpace, Column, InvalidSetting, Oracle, Stalled, Table
from nasbench_kit.algorithms import Reinforce
from nasbench_kit.algorithms.policy_gradient import reinforce
from nasbench_kit.testing.searches import yielded


def log_probability(logits: NDArray[Any], sample: NDArray[Any]) -> float:
    """The slow way: softmax by softmax."""
    total = 0.0
    for row, choice in zip(logits, sample, strict=True):
        finite = row[np.isfinite(row)]
        total += row[choice] - np.log(np.exp(finite).sum())
    return float(total)


def test_the_gradient_is_that_of_the_log_probability() -> None:
    rng = np.random.default_rng(0)
    choices = [2, 3, 2, 3]
    logits = reinforce.uniform(choices)
    logits += rng.normal(size=logits.shape)
    sample = np.array([1, 2, 0, 0])
    found = reinforce.gradient(logits, sample)
    step = 1e-6
    for variable, size in enumerate(choices):
        for choice in range(size):
            moved = np.zeros_like(logits)
            moved[variable, choice] = step
            up, down = (
                log_probability(logits + moved, sample),
                log_probability(logits - moved, sample),
            )
            # Central differences err by about step ** 2 and by rounding, 1e-16 / step.
            assert found[variable, choice] == pytest.approx((up - down) / (2 * step), abs=1e-8)
        assert not found[variable, size:].any()


def test_the_untrained_policy_is_uniform() -> None:
    found = reinforce.probabilities(reinforce.uniform([2, 3]))
    assert np.allclose(found, [[1 / 2, 1 / 2, 0], [1 / 3, 1 / 3, 1 / 3]])


def test_the_baseline_by_hand() -> None:
    """Momentum 0.9; numerators 0.1, 0.09, 0.181 over denominators 0.1, 0.19, 0.271."""
    average = reinforce.MovingAverage(0.9)
    assert average.update(1.0) == pytest.approx(1.0)
    assert average.update(0.0) == pytest.approx(0.09 / 0.19)
    assert average.update(1.0) == pytest.approx(0.181 / 0.271)


def test_of_equal_rewards_an_average_is_that_reward() -> None:
    average = reinforce.MovingAverage(0.9)
    assert [average.update(0.4) for _ in range(50)] == pytest.approx([0.4] * 50)


def planted_table() -> Table:
    """Accuracy 0.9 with a direct edge from input to output, 0.1 without; of 4 vertices."""
    space = CellSpace(4)
    direct = np.array([(0, cell.size - 1) in cell.edges() for cell in space])
    counts = np.where(direct, 90, 10).astype(np.uint16)[:, None, None]
    return Table(space, [36], {("final", "validation_accuracy"): Column(counts, images=100)})


def rewards(search: Reinforce, table: Table, queries: int) -> NDArray[Any]:
    oracle = Oracle(table, Budget(queries=queries), np.random.default_rng(0))
    list(yielded(search, oracle, 0))
    return np.array([charge.item.validation_accuracy for charge in oracle.budget.ledger])


def test_a_planted_edge_is_learned() -> None:
    found = rewards(Reinforce(), planted_table(), 600)
    assert (found[:50] < 0.5).sum() >= 5  # at first a third of all valid samples lack it
    assert (found[-100:] > 0.5).all()


def test_equal_rewards_teach_nothing() -> None:
    """Every advantage is zero, so that the same cells are drawn as without learning."""
    space = CellSpace(4)
    counts = np.full((len(space), 1, 1), 50, np.uint16)
    table = Table(space, [36], {("final", "validation_accuracy"): Column(counts, images=100)})
    ledgers = []
    for rate in (1e-9, 0.5):
        oracle = Oracle(table, Budget(queries=50), np.random.default_rng(0))
        list(yielded(Reinforce(learning_rate=rate), oracle, 0))
        ledgers.append([charge.item.cell.to_text() for charge in oracle.budget.ledger])
    assert ledgers[0] == ledgers[1]


def test_a_policy_without_cells_is_not_waited_for() -> None:
    logits = reinforce.uniform([2, 2, 2, 3])
    logits[:3, 0] = 50.0  # no edge at all, all but surely
    with pytest.raises(Stalled, match="made no architecture of v3e3; the policy has collapsed"):
        reinforce._valid_sample(logits, CellSpace(3), lambda _: True, np.random.default_rng(0))


def test_settings_are_checked() -> None:
    with pytest.raises(InvalidSetting, match="learning_rate is 0"):
        Reinforce(learning_rate=0)
    with pytest.raises(InvalidSetting, match=r"momentum is 1; .* in \[0, 1\)"):
        Reinforce(momentum=1)
