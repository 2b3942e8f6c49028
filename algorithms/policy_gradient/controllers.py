"""ENAS' controller for a space: of cells with parents, of layers with skips, or of plain decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from nasbench_kit.algorithms.policy_gradient.controller import Controller
from nasbench_kit.algorithms.policy_gradient.decision_controller import DecisionController
from nasbench_kit.algorithms.policy_gradient.lstm_policy import LSTMPolicy, LSTMSettings
from nasbench_kit.algorithms.policy_gradient.skip_controller import SkipController
from nasbench_kit.spaces.layers.skips import SkipSpace
from nasbench_kit.spaces.nasbench101.space import CellSpace

if TYPE_CHECKING:
    from numpy.random import Generator

    from nasbench_kit.spaces.protocols import Space


def controller_for(
    space: Space,
    rng: Generator,
    *,
    operation_tanh_reduction: float,
    skip_target: float,
    **lstm: Unpack[LSTMSettings],
) -> LSTMPolicy:
    """A new controller.

    Args:
        space: whose architectures are written.
        rng: draws the first weights and, later, the decisions.
        operation_tanh_reduction: divides the tanh constant for operations of cells and layers.
        skip_target: in spaces of layers with skips, the share of them that is drawn to.
        lstm: as of ``LSTMPolicy``.
    """
    if isinstance(space, CellSpace):
        return Controller(space, rng, operation_tanh_reduction=operation_tanh_reduction, **lstm)
    if isinstance(space, SkipSpace):
        return SkipController(
            space,
            rng,
            operation_tanh_reduction=operation_tanh_reduction,
            skip_target=skip_target,
            **lstm,
        )
    return DecisionController(space, rng, **lstm)
