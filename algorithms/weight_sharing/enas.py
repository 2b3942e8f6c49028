"""ENAS: a controller writes cells, and all cells share their weights.

Two phases take turns (section 2.2): one pass over the training images, each batch training the
weights of one written cell; then steps of the controller, whose rewards are accuracies of written
cells on batches of reward images, the weights at rest. What it recommends is the best by shared
weights of some written cells (section 2.2, "Deriving architectures").

Source: Pham, Guan, Zoph, Le, Dean, Efficient neural architecture search via parameter sharing, ICML
2018 (arXiv 1802.03268). A written encoding that is no cell has reward 0 and stays in the gradient.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor

from nasbench_kit.algorithms.policy_gradient.controllers import controller_for
from nasbench_kit.algorithms.policy_gradient.policy_gradient import PolicyGradient
from nasbench_kit.algorithms.weight_sharing.search import WeightSharing
from nasbench_kit.algorithms.weight_sharing.training import OneShot, SharedWeights
from nasbench_kit.checks import counted
from nasbench_kit.errors import Stalled

if TYPE_CHECKING:
    from nasbench_kit.spaces.protocols import Architecture

#: Rounds of writing after which a controller that still lacks cells counts as collapsed.
_PATIENCE = 1000
#: Cells written at a time for the ranking.
_BLOCK = 50
#: Of the temperature, whenever a block has no new cell: a controller that has learnt to write one
#: cell only would leave the rest of the budget unspent.
_HEATING = 1.25


@dataclass(frozen=True)
class ENAS(WeightSharing):
    """Parameter sharing with an LSTM controller; the defaults are the paper's for CIFAR-10.

    But ``hidden_size`` (the paper has 100) and ``baseline_decay`` are the released script's, ``clip``
    and ``derived`` have no source. The prior on skips is of the paper's macro space alone; there is none
    on the edges of cells.

    Raises:
        InvalidSetting: a setting out of its range.
    """

    epochs: int | None = 310
    first_cycle: int | None = 10
    batch_size: int = 128
    learning_rate: float = 0.05
    nesterov: bool = True
    weight_decay: float = 1e-4
    hidden_size: int = 64
    controller_learning_rate: float = 3.5e-4
    #: Steps of the controller in each epoch, and cells that each of them averages over.
    controller_steps: int = 2000
    cells_per_step: int = 1
    #: Rewards are accuracies times this: on text, where an accuracy is 1 / perplexity, 80 / perplexity.
    reward_scale: float = 1.0
    entropy_weight: float = 0.1
    baseline_decay: float = 0.99
    temperature: float = 5.0
    tanh_constant: float | None = 2.5
    operation_tanh_reduction: float = 1.0
    #: In spaces of layers with skips: share of skips that is drawn to, and how strongly.
    skip_target: float = 0.4
    skip_weight: float = 0.8
    #: Cells written to choose the recommended one from.
    derived: int = 10

    ranges: ClassVar[Mapping[str, str]] = {
        **WeightSharing.ranges,
        "hidden_size": "[1, inf)",
        "controller_learning_rate": "(0, inf)",
        "controller_steps": "[0, inf)",  # without any, it stays as it was drawn: a control
        "cells_per_step": "[1, inf)",
        "reward_scale": "(0, inf)",
        "entropy_weight": "[0, inf)",
        "baseline_decay": "[0, 1]",
        "temperature": "(0, inf)",
        "tanh_constant": "(0, inf)",
        "operation_tanh_reduction": "(0, inf)",
        "skip_target": "[0, 1]",
        "skip_weight": "[0, inf)",
        "derived": "[1, inf)",
    }
    ranking_share: ClassVar[float] = 0.4

    @classmethod
    def small(cls) -> Self:
        """For the digits table: as many epochs as the budget allows, and few steps in each.

        Batch, weight decay and the weights' learning rate are those of its stand-alone trainings.
        An epoch there is 5 steps; as many of the controller, 4 cells each, cost about as much. The
        controller's rate is NAS-Bench-1Shot1's for its ENAS, and so are the tanh constants. Tuning on
        ``noisy-digits`` found nothing better (docs/weight-sharing.md).
        """
        return cls(
            epochs=None,
            first_cycle=None,
            batch_size=50,
            learning_rate=0.1,
            weight_decay=5e-4,
            controller_learning_rate=3.5e-3,
            controller_steps=5,
            cells_per_step=4,
            operation_tanh_reduction=5.0,
            derived=5,
        )

    @classmethod
    def text(cls) -> Self:
        """For Python's topics: the paper's settings on Penn Treebank, with fewer steps of the controller.

        The reward is 80 / perplexity (section 3.1), and the entropy's weight is of that.
        """
        return cls(
            epochs=None,
            first_cycle=None,
            batch_size=64,
            learning_rate=20.0,
            learning_rate_min=1.0,
            momentum=0.0,
            nesterov=False,
            weight_decay=1e-7,
            clip=0.25,
            hidden_size=100,
            controller_learning_rate=3.5e-3,
            controller_steps=20,
            cells_per_step=2,
            reward_scale=80.0,
            entropy_weight=1e-4,
            baseline_decay=0.95,
            derived=10,
        )

    def begin(self, shared: SharedWeights) -> OneShot:
        """The search before its first epoch."""
        return _Search(self, shared)


class _Search:
    def __init__(self, settings: ENAS, shared: SharedWeights) -> None:
        self.settings = settings
        self.shared = shared
        self.controller = controller_for(
            shared.space,
            shared.rng,
            hidden_size=settings.hidden_size,
            temperature=settings.temperature,
            tanh_constant=settings.tanh_constant,
            operation_tanh_reduction=settings.operation_tanh_reduction,
            skip_target=settings.skip_target,
        )
        self.learner = PolicyGradient(
            self.controller,
            learning_rate=settings.controller_learning_rate,
            entropy_weight=settings.entropy_weight,
            baseline_decay=settings.baseline_decay,
            skip_weight=settings.skip_weight,
        )

    def epoch(self) -> Architecture:
        shared, settings = self.shared, self.settings
        for cell in self.draw(shared.steps_an_epoch):  # phase 1, with M = 1 cell a batch
            shared.pay(cell, shared.step_examples)
            shared.step(cell, shared.weight_batch())
        for _ in range(settings.controller_steps):  # phase 2
            written = self.controller.write(settings.cells_per_step)
            batch = shared.reward_batch()
            cells = self.controller.architectures(written.decisions)
            rewards = [0.0 if cell is None else self.reward(cell, batch) for cell in cells]
            self.learner.update(written, rewards)
        return shared.best_of(self.draw(settings.derived), batches=1, finalists=1)

    def reward(self, cell: Architecture, batch: tuple[Tensor, Tensor]) -> float:
        return self.settings.reward_scale * self.shared.reward(cell, batch)

    @torch.no_grad()
    def draw(self, count: int) -> list[Architecture]:
        """Cells from the controller; encodings that are none are passed over.

        Raises:
            Stalled: thousands in a row were none.
        """
        drawn: list[Architecture] = []
        for _ in range(_PATIENCE):
            cells = self.controller.architectures(self.controller.write(count).decisions)
            drawn += [cell for cell in cells if cell is not None]
            if len(drawn) >= count:
                return drawn[:count]
        raise Stalled(
            f"the controller wrote {_PATIENCE * count:,} encodings without {counted(count, 'cell')}"
        )

    def candidates(self) -> Iterator[Architecture]:
        """What the controller writes; at higher temperatures where it would write nothing new."""
        seen: set[Architecture] = set()

        def draw() -> list[Architecture]:
            cells = self.draw(_BLOCK)
            if seen.issuperset(cells):
                self.controller.temperature *= _HEATING
            seen.update(cells)
            return cells

        return self.shared.best_first(draw)

    def parts(self) -> dict[str, Any]:
        return {"learner": self.learner, "controller_optimizer": self.learner.optimizer}
