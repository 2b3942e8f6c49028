"""DARTS' second order against exact automatic differentiation, and against the optimizer's own step."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from nasbench_kit import Budget, InvalidSetting, Oracle
from nasbench_kit.algorithms.weight_sharing import darts
from nasbench_kit.algorithms.weight_sharing.darts import DARTS, Loss, unrolled_gradient
from nasbench_kit.algorithms.weight_sharing.training import SharedWeights
from nasbench_kit.testing.textures import bare_table, texture_task

torch.set_num_threads(1)


class Small:
    """Two layers with a softmax of two operations between; training and validation losses."""

    def __init__(self, seed: int) -> None:
        draw = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=draw, dtype=torch.float64)

        self.weights = [normal(3, 4).requires_grad_(), normal(4, 2).requires_grad_()]
        self.logits = [normal(2).requires_grad_(), normal(4).requires_grad_()]
        self.images = {"train": normal(8, 3), "val": normal(8, 3)}
        self.targets = {"train": normal(8, 2), "val": normal(8, 2)}

    def loss(self, split: str) -> Loss:
        def of(weights: Any) -> Tensor:
            first, second = weights
            x = self.images[split] @ first
            mix = self.logits[0].softmax(0)
            x = (mix[0] * torch.tanh(x) + mix[1] * x.square()) * self.logits[1].sigmoid()
            return (x @ second - self.targets[split]).square().mean()

        return of

    def exact(self, xi: float) -> list[Tensor]:
        """The gradient through the step itself."""
        gradients = torch.autograd.grad(
            self.loss("train")(self.weights), self.weights, create_graph=True
        )
        stepped = [w - xi * g for w, g in zip(self.weights, gradients, strict=True)]
        return list(torch.autograd.grad(self.loss("val")(stepped), self.logits))

    def found(self, xi: float, **more: Any) -> list[Tensor]:
        return unrolled_gradient(
            self.loss("train"), self.loss("val"), self.weights, self.logits, xi=xi, **more
        )


def total(tensors: list[Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("xi", [0.001, 0.025, 0.1])
def test_the_unrolled_gradient_is_the_exact_one(seed: int, xi: float) -> None:
    small = Small(seed)
    exact, found = total(small.exact(xi)), total(small.found(xi))
    first_order = total(small.exact(0.0))
    second_term = (exact - first_order).norm()
    assert second_term > 0
    # Central differences leave an error of the order epsilon^2, where epsilon moves w by 0.01.
    assert (found - exact).norm() < 1e-3 * second_term


@pytest.mark.parametrize("seed", range(3))
def test_by_differentiating_the_gradient_it_is_exact_to_rounding(seed: int) -> None:
    small = Small(seed)
    extra = [0.3 * w.detach() for w in small.weights]
    found = small.found(0.1, exact=True)
    for one, other in zip(found, small.exact(0.1), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
    assert not torch.equal(total(small.found(0.1, exact=True, extra=extra)), total(found))


def test_without_a_step_it_is_the_first_order() -> None:
    small = Small(0)
    plain = torch.autograd.grad(small.loss("val")(small.weights), small.logits)
    for found, expected in zip(small.found(0.0), plain, strict=True):
        assert torch.equal(found, expected)


def test_weights_and_logits_stay_as_they_are() -> None:
    small = Small(1)
    before = [tensor.detach().clone() for tensor in small.weights + small.logits]
    small.found(0.1)
    for tensor, was in zip(small.weights + small.logits, before, strict=True):
        assert torch.equal(tensor, was)
        assert tensor.grad is None
        assert tensor.requires_grad


def test_weight_decay_and_momentum_join_the_step() -> None:
    """They do not depend on the logits, so the exact gradient just steps elsewhere."""
    small = Small(2)
    extra = [0.3 * w.detach() for w in small.weights]
    gradients = torch.autograd.grad(
        small.loss("train")(small.weights), small.weights, create_graph=True
    )
    stepped = [w - 0.05 * (g + e) for w, g, e in zip(small.weights, gradients, extra, strict=True)]
    exact = total(list(torch.autograd.grad(small.loss("val")(stepped), small.logits)))
    assert (total(small.found(0.05, extra=extra)) - exact).norm() < 1e-4 * exact.norm()


@pytest.mark.parametrize("exact", [True, False])
def test_cut_gradients_by_hand(exact: bool) -> None:
    """L_train = 4 a w and L_val = w²/2, cut to 1: w' = 5 - 0.5; its gradient 4.5 becomes 1; so -xi 4."""
    weight = torch.tensor([5.0], dtype=torch.float64, requires_grad=True)
    logit = torch.tensor([2.0], dtype=torch.float64, requires_grad=True)
    seen = []

    def val(weights: Any) -> Tensor:
        seen.append(weights[0].item())
        return weights[0].square().sum() / 2

    (gradient,) = unrolled_gradient(
        lambda w: (4 * logit * w[0]).sum(), val, [weight], [logit], xi=0.5, exact=exact, clip=1.0
    )
    assert seen == [pytest.approx(4.5)]
    assert gradient.item() == pytest.approx(-0.5 * 4, rel=1e-5)


def test_a_flat_validation_loss_ends_the_computation() -> None:
    """No gradient by the weights: epsilon would be infinite."""
    small = Small(3)

    def flat(weights: Any) -> Tensor:
        return small.logits[0].square().sum()

    found = unrolled_gradient(small.loss("train"), flat, small.weights, small.logits, xi=0.1)
    assert torch.equal(found[0], 2 * small.logits[0])
    assert not found[1].any()


def under_way(settings: DARTS) -> tuple[SharedWeights, Any]:
    oracle = Oracle(
        bare_table(), Budget(epochs=1e6), np.random.default_rng(0), task=texture_task(32)
    )
    shared = SharedWeights(oracle, np.random.default_rng(1), settings)
    return shared, settings.begin(shared)


def test_the_virtual_step_is_the_optimizers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Momentum buffers included; weights and their optimizer are left alone, the logits move."""
    settings = DARTS(order=2, epochs=3, batch_size=16, clip=1e9, learning_rate=0.1)
    shared, search = under_way(settings)
    search.epoch()  # so that there is momentum
    train, val = shared.weight_batch(), shared.reward_batch()
    seen: dict[str, Any] = {}

    def spy(train_loss: Loss, val_loss: Loss, weights: Any, logits: Any, **more: Any) -> Any:
        gradients = torch.autograd.grad(train_loss(weights), weights, allow_unused=True)
        seen["stepped"] = [
            None if g is None else w - more["xi"] * (g + e)
            for w, g, e in zip(weights, gradients, more["extra"], strict=True)
        ]
        return unrolled_gradient(train_loss, val_loss, weights, logits, **more)

    monkeypatch.setattr(darts, "unrolled_gradient", spy)
    parts: tuple[Any, ...] = (shared.supernet, shared.optimizer)
    before = [copy.deepcopy(part.state_dict()) for part in parts]
    logits = search.relaxation.operations.detach().clone()
    mixture = search.relaxation.mixture()
    mixture.operations.detach_()
    search._unrolled_step(train, val)
    assert not torch.equal(search.relaxation.operations, logits)
    for part, was in zip(parts, before, strict=True):
        torch.testing.assert_close(dict(part.state_dict()), dict(was), rtol=0, atol=0)
    shared.step(mixture, train)  # with the logits of before
    compared = 0
    for weight, stepped in zip(shared.supernet.parameters(), seen["stepped"], strict=True):
        if stepped is not None and "momentum_buffer" in shared.optimizer.state[weight]:
            torch.testing.assert_close(weight.detach(), stepped.detach(), rtol=1e-4, atol=1e-6)
            compared += 1
    assert compared > 5


def test_orders_other_than_one_and_two_are_refused() -> None:
    with pytest.raises(InvalidSetting, match="order is 3; choose 1 or 2"):
        DARTS(order=3)
