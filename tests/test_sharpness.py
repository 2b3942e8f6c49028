"""The dominant Hessian eigenvalue against known matrices, and the rule that stops a search."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from nasbench_kit import Budget, Oracle
from nasbench_kit.algorithms.weight_sharing import sharpness
from nasbench_kit.algorithms.weight_sharing.darts import DARTS
from nasbench_kit.algorithms.weight_sharing.sharpness import (
    History,
    collapsing,
    dominant_eigenvalue,
)
from nasbench_kit.algorithms.weight_sharing.training import SharedWeights
from nasbench_kit.testing.textures import bare_table, texture_task

torch.set_num_threads(1)


@pytest.mark.parametrize("seed", range(4))
def test_of_a_quadratic_it_is_the_matrix_own(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    half = torch.randn(7, 7, generator=draw, dtype=torch.float64)
    matrix = half + half.T
    parts = [torch.randn(n, generator=draw, dtype=torch.float64).requires_grad_() for n in (3, 4)]
    flat = torch.cat(parts)
    found = dominant_eigenvalue(flat @ matrix @ flat / 2, parts, iterations=5000, tolerance=1e-12)
    values = torch.linalg.eigvalsh(matrix)
    assert found == pytest.approx(float(values[values.abs().argmax()]), rel=1e-3)


def test_linear_and_absent_logits_have_none() -> None:
    logits = [torch.ones(2, requires_grad=True), torch.ones(1, requires_grad=True)]
    assert dominant_eigenvalue(logits[0].sum(), logits) == 0
    assert dominant_eigenvalue(1.5 * logits[0].square().sum(), logits) == pytest.approx(3)


def test_of_a_supernet_it_is_that_of_the_whole_hessian() -> None:
    oracle = Oracle(
        bare_table(), Budget(epochs=1e6), np.random.default_rng(0), task=texture_task(32)
    )
    shared = SharedWeights(oracle, np.random.default_rng(1), replace(DARTS.small(), batch_size=16))
    shared.supernet.double()
    relaxation = shared.relaxation().double()
    images, labels = shared.reward_batch()
    logits = list(relaxation.parameters())
    shapes = [a.shape for a in logits]

    def of(flat: torch.Tensor) -> torch.Tensor:
        parts = flat.split([s.numel() for s in shapes])  # type: ignore[no-untyped-call]
        named = {
            name: part.view(shape)
            for (name, _), part, shape in zip(
                relaxation.named_parameters(), parts, shapes, strict=True
            )
        }
        mixture = torch.func.functional_call(
            _Mixed(relaxation), {f"of.{n}": p for n, p in named.items()}, ()
        )
        return shared.loss(mixture, (images.double(), labels))

    flat = torch.cat([a.detach().flatten() for a in logits])
    hessian = torch.autograd.functional.hessian(of, flat)  # type: ignore[no-untyped-call]
    values = torch.linalg.eigvalsh(hessian)
    loss = shared.loss(relaxation.mixture(), (images.double(), labels))
    found = dominant_eigenvalue(loss, logits, iterations=3000, tolerance=1e-12)
    assert found == pytest.approx(float(values[values.abs().argmax()]), rel=1e-3)


class _Mixed(torch.nn.Module):
    def __init__(self, relaxation: torch.nn.Module) -> None:
        super().__init__()
        self.of = relaxation

    def forward(self) -> object:
        return self.of.mixture()  # type: ignore[operator]


def test_a_search_ends_where_the_smoothed_eigenvalue_has_grown_by_a_third() -> None:
    assert not collapsing([1.0] * 30)
    assert not collapsing([1.0, 2.0, 4.0, 8.0] * 2)  # too few
    assert collapsing([1.0] * 5 + [1.4] * 5)
    assert not collapsing([1.0] * 5 + [1.3] * 5)
    assert not collapsing([2.0] * 5 + [1.0] * 5)


def test_it_goes_back_to_the_logits_of_five_epochs_before(monkeypatch: pytest.MonkeyPatch) -> None:
    values = iter([1.0] * 8 + [9.0] * 50)
    monkeypatch.setattr(
        "nasbench_kit.algorithms.weight_sharing.darts.dominant_eigenvalue",
        lambda *_, **__: next(values),
    )
    search = replace(DARTS.small(), epochs=40, batch_size=16, early_stopping=True)
    oracle = Oracle(
        bare_table(), Budget(epochs=1e6), np.random.default_rng(0), task=texture_task(32)
    )
    shared = SharedWeights(oracle, np.random.default_rng(1), search)
    under_way = search.begin(shared)
    cells = list(shared.trained(under_way))
    assert len(cells) == 10  # the first epoch with twice the window
    history = under_way.history  # type: ignore[attr-defined]
    now = torch.cat([a.detach().flatten() for a in under_way.relaxation.parameters()])  # type: ignore[attr-defined]
    assert torch.equal(now, history.logits[-1 - sharpness.WINDOW])
    assert not torch.equal(now, history.logits[-1])
    saved = History()
    saved.load_state_dict(history.state_dict())
    assert saved.eigenvalues == history.eigenvalues
    assert all(torch.equal(a, b) for a, b in zip(saved.logits, history.logits, strict=True))
