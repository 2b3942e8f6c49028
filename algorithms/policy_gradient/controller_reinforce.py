"""ENAS' controller without shared weights: REINFORCE on the table's own accuracies.

Every written architecture is trained (queried), which makes it neural architecture search as Zoph & Le began
it, with the controller that Katib's "enas" has; that too trains its children from scratch. One thing
is mended: there each of 50 controller steps a round writes a new encoding and rewards it by the mean
of all earlier ones; here an encoding gets its own reward, and later steps on the same encodings are
weighted by how much likelier the controller has become to write them, which keeps their mean that of
the policy gradient.

Source: Zoph & Le, ICLR 2017 (arXiv 1611.01578), section 3.2; kubeflow/katib, suggestion service
"enas", whose settings are ``katib``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from nasbench_kit.algorithms.policy_gradient.controllers import controller_for
from nasbench_kit.algorithms.policy_gradient.lstm_policy import Written
from nasbench_kit.algorithms.policy_gradient.policy_gradient import PolicyGradient
from nasbench_kit.algorithms.settings import check_ranges
from nasbench_kit.algorithms.workers import Job, check_workers, simulate
from nasbench_kit.errors import Stalled

if TYPE_CHECKING:
    from numpy.random import Generator

    from nasbench_kit import Oracle
    from nasbench_kit.spaces.protocols import Architecture

#: Encodings in a row that make no architecture, after which the controller counts as collapsed.
_PATIENCE = 10_000


@dataclass(frozen=True)
class ControllerReinforce:
    """An LSTM controller rewarded by queries; the defaults are NAS-Bench-1Shot1's for its ENAS.

    Raises:
        InvalidSetting: a setting out of its range.
    """

    hidden_size: int = 64
    learning_rate: float = 3.5e-3
    #: Encodings written and queried before each step.
    cells_per_step: int = 1
    entropy_weight: float = 0.1
    baseline_decay: float = 0.99
    temperature: float = 5.0
    tanh_constant: float | None = 2.5
    operation_tanh_reduction: float = 5.0
    initial_range: float = 0.1
    #: On each batch of encodings.
    steps: int = 1
    #: In spaces of layers with skips: share of skips that is drawn to, and how strongly (0: not at all).
    skip_target: float = 0.4
    skip_weight: float = 0.0
    #: Training length of every query; None is the table's longest.
    epochs: int | None = None
    #: Simulated ones, which train at the same time; None is one, without a clock. What was written before
    #: the controller's last step counts by its probability after it.
    workers: int | None = None

    ranges: ClassVar[Mapping[str, str]] = {
        "hidden_size": "[1, inf)",
        "learning_rate": "(0, inf)",
        "cells_per_step": "[1, inf)",
        "entropy_weight": "[0, inf)",
        "baseline_decay": "[0, 1]",
        "temperature": "(0, inf)",
        "tanh_constant": "(0, inf)",
        "operation_tanh_reduction": "(0, inf)",
        "initial_range": "(0, inf)",
        "steps": "[1, inf)",
        "skip_target": "[0, 1]",
        "skip_weight": "[0, inf)",
    }

    def __post_init__(self) -> None:
        check_ranges(self, self.ranges)
        check_workers(self.workers)

    @classmethod
    def katib(cls) -> Self:
        """Katib's defaults, but one step for its 50."""
        return cls(
            learning_rate=5e-5,
            entropy_weight=1e-5,
            baseline_decay=0.999,
            tanh_constant=2.25,
            operation_tanh_reduction=1.0,
            initial_range=0.01,
            skip_weight=0.8,
        )

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Architecture]:
        """Write architectures, query them, learn; recommend the best one queried.

        Raises:
            Stalled: thousands of encodings in a row made no architecture.
        """
        rounds = Rounds(self, oracle.space, rng)
        queue: deque[Job] = deque()
        idle = 0

        def ask() -> Job:
            nonlocal idle
            while not queue:
                batch = rounds.write()
                for place, architecture in enumerate(batch.architectures):
                    idle = idle + 1 if architecture is None else 0
                    if architecture is not None:
                        queue.append(Job(architecture, self.epochs, (batch, place)))
                batch.training = len(queue)
                if idle >= _PATIENCE:
                    raise Stalled(
                        f"the controller wrote {idle:,} encodings in a row that make no architecture"
                    )
                if not queue:
                    rounds.learn(batch)
            return queue.popleft()

        best = None
        for job, answer in simulate(oracle, ask, self.workers):
            batch, place = job.note
            batch.rewards[place] = answer.validation_accuracy
            if best is None or answer.validation_accuracy > best.validation_accuracy:
                best = answer
            yield best.architecture
            batch.training -= 1
            if not batch.training:
                rounds.learn(batch)


@dataclass
class Round:
    """Encodings that were written together."""

    written: Written
    #: Of the controller, when it wrote them.
    steps_before: int
    #: None for an encoding that makes none.
    architectures: Sequence[Architecture | None]
    #: 0 for what makes no architecture.
    rewards: list[float]
    #: Architectures whose results are missing.
    training: int = 0


class Rounds:
    """A controller that writes round after round, and learns from what they came to.

    Args:
        settings: of the controller and its steps.
        space: whose architectures it writes.
        rng: draws its first weights, and what it writes.
    """

    def __init__(self, settings: ControllerReinforce, space: Any, rng: Generator) -> None:
        self._settings = settings
        self._steps = 0
        self._controller = controller_for(
            space,
            rng,
            hidden_size=settings.hidden_size,
            initial_range=settings.initial_range,
            temperature=settings.temperature,
            tanh_constant=settings.tanh_constant,
            operation_tanh_reduction=settings.operation_tanh_reduction,
            skip_target=settings.skip_target,
        )
        self._learner = PolicyGradient(
            self._controller,
            learning_rate=settings.learning_rate,
            entropy_weight=settings.entropy_weight,
            baseline_decay=settings.baseline_decay,
            skip_weight=settings.skip_weight,
        )

    def write(self) -> Round:
        """The next round, all rewards 0."""
        written = self._controller.write(self._settings.cells_per_step)
        architectures = self._controller.architectures(written.decisions)
        return Round(written, self._steps, architectures, [0.0] * len(architectures))

    def learn(self, batch: Round) -> None:
        """Make the steps of a round whose rewards are there."""
        written = batch.written
        if batch.steps_before != self._steps:  # its graph is of older weights
            written = self._controller.read(written.decisions)
        self._learner.update(written, batch.rewards)
        for _ in range(self._settings.steps - 1):
            again = self._controller.read(written.decisions)
            likelier = (again.log_probability - written.log_probability.detach()).exp()
            self._learner.update(again._replace(log_probability=likelier), batch.rewards)
        self._steps += 1
