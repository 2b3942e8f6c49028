"""P-DARTS: DARTS in three stages, deeper each, with fewer operations each, and skips held back.

After a stage every edge keeps its likeliest operations, and the next begins with fresh weights and
logits in a deeper network (section 3.2). Skips converge fastest: they are dropped out, ever less within
a stage, and in the end the normal cell keeps at most so many (section 3.3).

Source: Chen, Xie, Wu, Tian, Progressive differentiable architecture search, ICCV 2019 (arXiv
1904.12760), and its released code. A dropped skip is left out of a whole step, where the code drops
its values one by one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch

from nasbench_kit.algorithms.weight_sharing.gradient import Differentiable, GradientSearch
from nasbench_kit.errors import InvalidSetting
from nasbench_kit.spaces.draws import START

if TYPE_CHECKING:
    from nasbench_kit.algorithms.weight_sharing.training import OneShot, SharedWeights
    from nasbench_kit.spaces.protocols import Architecture

STAGES = 3
#: The dropout of skips falls as exp(-_FALL * epoch), 25 epochs a stage (released code).
_FALL = 0.2 * 25


@dataclass(frozen=True)
class PDARTS(Differentiable):
    """Progressive search, first order; the defaults are the paper's.

    Raises:
        InvalidSetting: a setting out of its range.
    """

    epochs: int | None = 75
    batch_size: int = 96
    architecture_learning_rate: float = 6e-4
    #: Cells in each stack, in the three stages (5, 11 and 17 cells in all).
    depth_first: int = 1
    depth_second: int = 3
    depth_third: int = 5
    #: Operations of each edge in the second and the third stage.
    kept_second: int = 5
    kept_third: int = 3
    #: First rates of the dropout of skips.
    dropout_first: float = 0.0
    dropout_second: float = 0.4
    dropout_third: float = 0.7
    #: Share of a stage in which the logits rest (10 of 25 epochs).
    warm_up: float = 0.4
    #: Most skips of the normal cell.
    skips: int = 2

    ranges: ClassVar[Mapping[str, str]] = {
        **Differentiable.ranges,
        **dict.fromkeys(("depth_first", "depth_second", "depth_third"), "[1, inf)"),
        **dict.fromkeys(("kept_second", "kept_third"), "[2, inf)"),
        **dict.fromkeys(("dropout_first", "dropout_second", "dropout_third"), "[0, 1)"),
        "warm_up": "[0, 1)",
        "skips": "[0, inf)",
    }

    @classmethod
    def small(cls) -> Self:
        """For the digits, in networks of five cells in every stage."""
        return replace(super().small(), depth_second=1, depth_third=1)

    def begin(self, shared: SharedWeights) -> OneShot:
        """The search before its first epoch.

        Raises:
            InvalidSetting: the space has no operations on edges.
        """
        return _Search(self, shared)


class _Search(GradientSearch):
    settings: PDARTS
    relaxation: Any

    def __init__(self, settings: PDARTS, shared: SharedWeights) -> None:
        super().__init__(settings, shared)
        if not hasattr(self.relaxation, "restrict"):
            raise InvalidSetting(
                f"the space {shared.space.name} has no operations on edges; use one of edge-labelled "
                "cells, such as nasbench201 or darts"
            )
        self.stage = 0
        self._deepened()

    def epoch(self) -> Architecture:
        shared, settings = self.shared, self.settings
        stage = min(STAGES - 1, int(STAGES * shared.progress))
        if stage > self.stage:
            self._next_stage(stage)
        within = min(1.0, STAGES * shared.progress - self.stage)
        for group in shared.optimizer.param_groups:  # a cosine of its own for each stage
            cosine = 0.5 * (1 + math.cos(math.pi * within))
            least = settings.learning_rate_min
            group["lr"] = least + (settings.learning_rate - least) * cosine
        rates = settings.dropout_first, settings.dropout_second, settings.dropout_third
        rate = rates[self.stage] * math.exp(-_FALL * within)
        resting = within < settings.warm_up
        work = self.relaxation.mixture().work(shared.skeleton, shared.image_shape)
        for _ in range(shared.steps_an_epoch):
            shared.pay(work, (1 if resting else 2) * settings.batch_size)
            if not resting:
                loss = shared.loss(self._dropped_out(rate), shared.reward_batch())
                self.architecture_step(loss)
            shared.step(self._dropped_out(rate), shared.weight_batch())
        return self.recommended()

    def _next_stage(self, stage: int) -> None:
        """Keep the likeliest operations, and begin again in a deeper network."""
        settings, relaxation, shared = self.settings, self.relaxation, self.shared
        for kept in (settings.kept_second, settings.kept_third)[self.stage : stage]:
            relaxation.restrict(min(kept, relaxation.operations.shape[1]))
        self.stage = stage
        with torch.no_grad():
            drawn = shared.rng.normal(0, START, tuple(relaxation.operations.shape))
            relaxation.operations.copy_(torch.as_tensor(drawn))
        self.optimizer.state.clear()
        self._deepened()

    def _deepened(self) -> None:
        settings, shared = self.settings, self.shared
        depths = settings.depth_first, settings.depth_second, settings.depth_third
        shared.rebuild(replace(shared.skeleton, cells_per_stack=depths[self.stage]))

    def _dropped_out(self, rate: float) -> Any:
        """The mixture, each skip left out by a chance, the others scaled up."""
        mixture = self.relaxation.mixture()
        if not rate:
            return mixture
        skips = np.array(
            [[name == "skip_connect" for name in slot.operations] for slot in mixture.space.slots]
        )
        kept = self.shared.rng.random(skips.shape) >= rate
        scale = np.where(skips, kept / (1 - rate), 1.0)
        weights = mixture.operations * torch.as_tensor(scale).to(mixture.operations)
        return replace(mixture, operations=weights)

    def recommended(self) -> Architecture:
        """The discretised architecture; while its normal cell has too many skips, without the weakest."""
        space = self.shared.space
        strengths, edges = self.relaxation.strengths()
        while True:
            taken = space.strongest(strengths, edges)
            skips = [
                (strengths[slot, option], slot, option)
                for slot, option in taken.items()
                if space.slots[slot].kind == 0
                and space.slots[slot].operations[option] == "skip_connect"
            ]
            if len(skips) <= self.settings.skips:
                return space.made_of(taken)
            _, slot, option = min(skips)
            strengths[slot, option] = -np.inf

    def parts(self) -> dict[str, Any]:
        """What the saved state holds beside the weights."""
        return {**super().parts(), "stage": self}

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Of a save: the stage."""
        return {"stage": torch.tensor(self.stage)}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Become a saved stage, whose network the weights are loaded into."""
        self.stage = int(state["stage"])
        self._deepened()
