"""NAS with reinforcement learning: replicas of a controller write architectures, a server learns.

A two-layer LSTM writes the decisions of a space one after the other. Each replica of it takes the
server's weights, writes m architectures, waits until all of them are trained, and sends the gradient
of its own weights to the server, which meanwhile may have learned from others; then it starts again.
There are as many replicas as keep all workers busy (the paper: 100 with 8 children each, on 800
machines).

The reward is the cube of the validation accuracy (the paper: of the best of the last five epochs;
an oracle tells the last one). In the paper's own space networks grow by two layers every 1,600 samples;
the decisions of other spaces are all there from the start. Decisions that make no architecture are rewarded by 0, at no cost.

Source: Zoph, Le, Neural architecture search with reinforcement learning, ICLR 2017 (arXiv 1611.01578),
sections 3.2 and 4.1; the decay of the baseline is not published.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from nasbench_kit import checks
from nasbench_kit.algorithms.policy_gradient.decision_controller import DecisionController
from nasbench_kit.algorithms.policy_gradient.lstm_policy import Written
from nasbench_kit.algorithms.policy_gradient.policy_gradient import PolicyGradient
from nasbench_kit.algorithms.settings import check_ranges
from nasbench_kit.algorithms.workers import Job, check_workers, simulate
from nasbench_kit.errors import Stalled
from nasbench_kit.spaces.layers.nas_rl import NASRLNetworks

if TYPE_CHECKING:
    from numpy.random import Generator

    from nasbench_kit import Oracle
    from nasbench_kit.spaces.protocols import Architecture

#: Encodings in a row that make no architecture, after which the controller counts as collapsed.
_PATIENCE = 10_000


@dataclass(frozen=True)
class NASRL:
    """REINFORCE with an LSTM, replicas and a parameter server; the defaults are the paper's.

    Raises:
        InvalidSetting: a setting out of its range.
    """

    hidden_size: int = 35
    layers: int = 2
    #: First weights are uniform in plus or minus this.
    initial_range: float = 0.08
    #: Adam's.
    learning_rate: float = 6e-4
    #: m, architectures that a replica writes for each of its steps.
    children: int = 8
    #: Power of the accuracy that is the reward.
    reward_power: float = 3.0
    #: Of the moving average of earlier rewards that is the baseline (not published; NASNet's).
    baseline_decay: float = 0.95
    #: In the space nas-rl: samples of each number of layers, the fewest first; None leaves it to the
    #: controller.
    samples_per_depth: int | None = 1600
    #: Training length of every query; None is the table's longest.
    epochs: int | None = None
    #: Simulated ones, which train at the same time (800 in the paper); None is one, without a clock.
    workers: int | None = None

    ranges: ClassVar[Mapping[str, str]] = {
        "initial_range": "(0, inf)",
        "learning_rate": "(0, inf)",
        "reward_power": "(0, inf)",
        "baseline_decay": "[0, 1]",
    }

    def __post_init__(self) -> None:
        for name in ("hidden_size", "layers", "children"):
            checks.whole(name, getattr(self, name), 1)
        if self.samples_per_depth is not None:
            checks.whole("samples_per_depth", self.samples_per_depth, 1)
        check_ranges(self, self.ranges)
        check_workers(self.workers)

    @classmethod
    def small(cls) -> Self:
        """A learning rate of 0.02 and four children, for some 150 queries; 20 of each number of layers.

        The paper's controller steps 1,600 times by 6e-4; of 150 queries eight children make 19 steps.
        """
        return cls(learning_rate=0.02, children=4, samples_per_depth=20)

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Architecture]:
        """Sections 3.2 and 4.1; recommends the best architecture of all.

        Raises:
            Stalled: thousands of encodings in a row made no architecture.
        """
        server = DecisionController(
            oracle.space,
            rng,
            hidden_size=self.hidden_size,
            layers=self.layers,
            initial_range=self.initial_range,
            temperature=1.0,
            tanh_constant=None,
        )
        learner = PolicyGradient(
            server,
            learning_rate=self.learning_rate,
            entropy_weight=0.0,
            baseline_decay=self.baseline_decay,
            earlier_rewards=True,
        )
        count = -(-(self.workers or 1) // self.children)
        replicas = [_Replica(server) for _ in range(count)]
        queue: deque[Job] = deque()
        barren = written = 0

        def ask() -> Job | None:
            nonlocal barren, written
            while not queue:
                replica = next((one for one in replicas if not one.training), None)
                if replica is None:
                    return None  # all wait for their children
                if isinstance(server.space, NASRLNetworks) and self.samples_per_depth is not None:
                    depths = server.space.depths
                    grown = min(written // self.samples_per_depth, len(depths) - 1)
                    replica.policy.keep_to(grown, server.space.decisions_of(depths[grown]))
                written += self.children
                for place, architecture in enumerate(replica.write(server, self.children)):
                    if architecture is not None:
                        queue.append(Job(architecture, self.epochs, (replica, place)))
                replica.training = len(queue)
                if not replica.training:
                    learner.update(replica.written, replica.rewards, by=replica.policy)
                barren = 0 if queue else barren + self.children
                if barren >= _PATIENCE:
                    raise Stalled(
                        f"the controller wrote {barren:,} encodings in a row that make no architecture"
                    )
            return queue.popleft()

        best = None
        for job, answer in simulate(oracle, ask, self.workers):
            replica, place = job.note
            replica.rewards[place] = answer.validation_accuracy**self.reward_power
            replica.training -= 1
            if not replica.training:
                learner.update(replica.written, replica.rewards, by=replica.policy)
            if best is None or answer.validation_accuracy > best.validation_accuracy:
                best = answer
            yield best.architecture


class _Replica:
    """A copy of the controller, and what it has under way."""

    written: Written

    def __init__(self, server: DecisionController) -> None:
        shared = {id(part): part for part in (server.space, server.rng)}  # one source of chance
        self.policy = copy.deepcopy(server, shared)
        self.rewards: list[float] = []
        #: Children whose results are missing.
        self.training = 0

    def write(self, server: DecisionController, children: int) -> Sequence[Architecture | None]:
        """Take the server's weights and write a batch."""
        self.policy.load_state_dict(server.state_dict())
        self.written = self.policy.write(children)
        self.rewards = [0.0] * children
        return self.policy.architectures(self.written.decisions)
