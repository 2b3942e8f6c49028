"""NASNet's controller: an LSTM that learns by proximal policy optimisation.

The controller writes an architecture whenever a worker is free. Results are collected in the order
in which they arrive; every twenty make a batch, which the controller learns from by the clipped
objective, so that architectures written by an older state of it count by their ratio of probabilities.

The paper's cells and their 13 operations are a space of their own; here the controller writes the
decisions of any space. Those that make no architecture, of which the paper's space has none, are drawn again
and not learned from: a reward of 0 for them outweighs all differences between architectures, some points of
accuracy, and teaches the controller little else (measured: see docs/searches.md). The paper's control draws
all decisions uniformly, which is random search.

Source: Zoph, Vasudevan, Shlens, Le, Learning transferable architectures for scalable image recognition,
CVPR 2018 (arXiv 1707.07012), section 3.1 and appendix; Schulman et al., Proximal policy
optimization algorithms, 2017 (arXiv 1707.06347), eq. 7 and, for clipping and passes, which NASNet's paper
does not give, Table 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
import torch

from nasbench_kit import checks
from nasbench_kit.algorithms.policy_gradient.decision_controller import DecisionController
from nasbench_kit.algorithms.settings import check_ranges
from nasbench_kit.algorithms.workers import Job, check_workers, simulate
from nasbench_kit.errors import Stalled

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray
    from torch import Tensor

    from nasbench_kit import Oracle
    from nasbench_kit.spaces.protocols import Architecture

#: Encodings in a row that make no architecture, after which the controller counts as collapsed.
_PATIENCE = 10_000


@dataclass(frozen=True)
class NASNetPPO:
    """Proximal policy optimisation with an LSTM; the defaults are the paper's.

    Raises:
        InvalidSetting: a setting out of its range.
    """

    hidden_size: int = 100
    #: First weights are uniform in plus or minus this.
    initial_range: float = 0.1
    #: Adam's.
    learning_rate: float = 3.5e-4
    #: Results that make a batch.
    batch_size: int = 20
    #: Of the entropy in the objective.
    entropy_weight: float = 1e-5
    #: Of the moving average of earlier rewards that is the baseline.
    baseline_decay: float = 0.95
    #: Epsilon: how far a ratio of probabilities may move from 1.
    clip: float = 0.2
    #: Steps on each batch.
    passes: int = 10
    #: Training length of every query; None is the table's longest.
    epochs: int | None = None
    #: Simulated ones, which train at the same time (500 in the paper); None is one, without a clock.
    workers: int | None = None

    ranges: ClassVar[Mapping[str, str]] = {
        "initial_range": "(0, inf)",
        "learning_rate": "(0, inf)",
        "entropy_weight": "[0, inf)",
        "baseline_decay": "[0, 1]",
        "clip": "(0, 1)",
    }

    def __post_init__(self) -> None:
        for name in ("hidden_size", "batch_size", "passes"):
            checks.whole(name, getattr(self, name), 1)
        check_ranges(self, self.ranges)
        check_workers(self.workers)

    @classmethod
    def small(cls) -> Self:
        """A learning rate of 0.003 and batches of ten, for some 150 queries.

        The paper's controller learns from 1,000 batches; of 150 queries twenty each make seven.
        """
        return cls(learning_rate=0.003, batch_size=10)

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Architecture]:
        """Section 3.1 and appendix; recommends the best architecture of all.

        Raises:
            Stalled: thousands of encodings in a row made no architecture.
        """
        learner = Proximal(
            self,
            DecisionController(
                oracle.space,
                rng,
                hidden_size=self.hidden_size,
                initial_range=self.initial_range,
                temperature=1.0,
                tanh_constant=None,
            ),
        )

        def ask() -> Job:
            for _ in range(_PATIENCE):
                with torch.no_grad():
                    written = learner.controller.write(1)
                decisions, logarithm = written.decisions[0], float(written.log_probability)
                (architecture,) = learner.controller.architectures(written.decisions)
                if architecture is not None:
                    return Job(architecture, self.epochs, (decisions, logarithm))
            raise Stalled(
                f"the controller wrote {_PATIENCE:,} encodings in a row that make no architecture"
            )

        best = None
        for job, answer in simulate(oracle, ask, self.workers):
            decisions, logarithm = job.note
            learner.tell(decisions, logarithm, answer.validation_accuracy)
            if best is None or answer.validation_accuracy > best.validation_accuracy:
                best = answer
            yield best.architecture


class Proximal:
    """Collects results, and learns from every batch of them.

    Args:
        settings: of the batches and steps.
        controller: what learns.
    """

    def __init__(self, settings: NASNetPPO, controller: DecisionController) -> None:
        self.controller = controller
        self._settings = settings
        self._optimizer = torch.optim.Adam(controller.parameters(), lr=settings.learning_rate)
        self._batch: list[tuple[NDArray[np.int64], float, float]] = []
        self._baseline: float | None = None

    def tell(self, decisions: NDArray[np.int64], log_probability: float, reward: float) -> None:
        """Take in a result.

        Args:
            decisions: as they were written, [decisions].
            log_probability: when they were written.
            reward: in [0, 1].
        """
        self._batch.append((decisions, log_probability, reward))
        if len(self._batch) < self._settings.batch_size:
            return
        written, before, rewards = zip(*self._batch, strict=True)
        self._batch = []
        mean = float(np.mean(rewards))
        if self._baseline is None:
            self._baseline = mean  # there are no earlier rewards
        advantages = torch.tensor(rewards) - self._baseline
        decay = self._settings.baseline_decay
        self._baseline = decay * self._baseline + (1 - decay) * mean
        for _ in range(self._settings.passes):
            loss = -self.objective(np.stack(written), torch.tensor(before), advantages)
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()

    def objective(self, decisions: NDArray[np.int64], before: Tensor, advantages: Tensor) -> Tensor:
        """Schulman et al. 2017, eq. 7, plus the weighted entropy; mean over the batch.

        Args:
            decisions: [batch, decisions].
            before: their log-probabilities when they were written, [batch].
            advantages: [batch].
        """
        now = self.controller.read(decisions)
        ratio = (now.log_probability - before).exp()
        clipped = ratio.clamp(1 - self._settings.clip, 1 + self._settings.clip)
        surrogate = torch.minimum(ratio * advantages, clipped * advantages)
        return (surrogate + self._settings.entropy_weight * now.entropy).mean()
