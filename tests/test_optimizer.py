import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from nasbench_kit.training.optimizer import TFRMSProp


def one_step(w: float, g: float, **options: float) -> float:
    weight = torch.tensor(w, dtype=torch.float64, requires_grad=True)
    weight.grad = torch.tensor(g, dtype=torch.float64)
    TFRMSProp([weight], **options).step()
    return weight.item()


def test_one_step_by_hand() -> None:
    # s = 0.9 * 1 + 0.1 * 2² = 1.3; m = 0.2 * 2 / √(1.3 + 1)
    assert one_step(1.0, 2.0, lr=0.2) == pytest.approx(1 - 0.4 / math.sqrt(2.3), rel=1e-14)


def test_weight_decay_joins_the_gradient() -> None:
    # g = 2 + 0.5 * 3 = 3.5; s = 0.9 + 0.1 * 12.25 = 2.125
    moved = one_step(3.0, 2.0, lr=0.2, weight_decay=0.5)
    assert moved == pytest.approx(3 - 0.7 / math.sqrt(3.125), rel=1e-14)


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**32 - 1),
    decay=st.floats(0.5, 0.99),
    momentum=st.floats(0, 0.99),
    epsilon=st.floats(1e-3, 1),
    weight_decay=st.floats(0, 0.1),
)
def test_equals_the_formula_written_with_numpy(
    seed: int, decay: float, momentum: float, epsilon: float, weight_decay: float
) -> None:
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=shape) for shape in ((), (3,), (2, 3, 1, 1))]
    tensors = [torch.tensor(w, requires_grad=True) for w in weights]
    optimizer = TFRMSProp(
        tensors, 0.1, decay=decay, momentum=momentum, epsilon=epsilon, weight_decay=weight_decay
    )
    squares = [np.ones_like(w) for w in weights]
    moments = [np.zeros_like(w) for w in weights]
    for rate in (0.0, 0.2, 0.1, 0.05):
        optimizer.param_groups[0]["lr"] = rate
        for i, tensor in enumerate(tensors):
            gradient = rng.normal(size=weights[i].shape)
            tensor.grad = torch.tensor(gradient)
            gradient = gradient + weight_decay * weights[i]
            squares[i] = decay * squares[i] + (1 - decay) * gradient**2
            moments[i] = momentum * moments[i] + rate * gradient / np.sqrt(squares[i] + epsilon)
            weights[i] = weights[i] - moments[i]
        optimizer.step()
    for tensor, expected in zip(tensors, weights, strict=True):
        np.testing.assert_allclose(tensor.detach().numpy(), expected, rtol=1e-12, atol=1e-14)


def test_is_not_the_rmsprop_of_torch() -> None:
    weight = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    weight.grad = torch.tensor(2.0, dtype=torch.float64)
    torch.optim.RMSprop([weight], lr=0.2, alpha=0.9, eps=1.0, momentum=0.9).step()
    # s = 0.1 * 2² from 0; ε outside the root
    assert weight.item() == pytest.approx(1 - 0.4 / (math.sqrt(0.4) + 1), rel=1e-14)
    assert abs(weight.item() - one_step(1.0, 2.0, lr=0.2)) > 0.01


def test_weights_without_gradient_stay() -> None:
    moved = torch.ones(2, requires_grad=True)
    still = torch.ones(2, requires_grad=True)
    alone = torch.ones(2, requires_grad=True)
    optimizer = TFRMSProp([{"params": [moved, still]}, {"params": [alone]}], lr=0.1)
    moved.sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    assert (moved < 1).all()
    assert (still == 1).all()
    assert (alone == 1).all()


def test_step_evaluates_a_closure_with_gradients() -> None:
    weight = torch.ones((), requires_grad=True)
    optimizer = TFRMSProp([weight], lr=0.1)

    def closure() -> float:
        optimizer.zero_grad()
        loss = (weight * 3) ** 2
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    assert optimizer.step(closure) == 9
    assert weight.item() < 1


def test_goes_on_from_a_saved_state() -> None:
    def run(split_at: int) -> float:
        weight = torch.ones((), requires_grad=True)
        optimizer = TFRMSProp([weight], lr=0.1)
        for step in range(6):
            if step == split_at:
                state = optimizer.state_dict()
                optimizer = TFRMSProp([weight], lr=0.5)
                optimizer.load_state_dict(state)
            weight.grad = torch.tensor(float(step))
            optimizer.step()
        return weight.item()

    assert run(3) == run(-1)
