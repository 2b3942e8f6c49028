"""An LSTM that writes cells: for each vertex its parents, then its operation.

Vertex after vertex, the state of the LSTM attends to the *anchors* of the earlier vertices, which
gives every possible edge a logit q. Where any set of parents may be drawn, the empty one included,
that is one coin an edge, with logits -q and q as in the released code: P = sigmoid(2 q). In a
NAS-Bench-1Shot1 space all sets of the prescribed size compete, by exp(sum of q). Encodings that are
no cells can be drawn and have their probability: all of them together sum to one.

Source: Zoph & Le, Neural architecture search with reinforcement learning, ICLR 2017, section 3.3;
Pham et al., ENAS, ICML 2018, sections 2.3 and 2.4, and the released code of its macro sampler.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from nasbench_kit.spaces.nasbench101.cell import OPERATIONS, edge_bit
from nasbench_kit.spaces.nasbench101.relaxation import prescribed_parents

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit.spaces.nasbench101.cell import Cell
    from nasbench_kit.spaces.nasbench101.space import CellSpace


class Written(NamedTuple):
    """Encodings, a batch of them."""

    #: int64 [batch, decisions]: which set of parents, which operation, vertex by vertex.
    decisions: NDArray[np.int64]
    #: [batch], logarithm, with gradients.
    log_probability: Tensor
    #: [batch], of all distributions on the way, summed, in nats.
    entropy: Tensor
    #: [batch], how far the probabilities of skips are from their target, in nats; None without a target.
    skip_penalty: Tensor | None = None


class Policy(Protocol):
    """What can be trained by the policy gradient: modules that write encodings."""

    def write(self, count: int) -> Written:
        """Draw encodings, a batch of ``count``."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """Its weights."""
        ...


class Controller(nn.Module):
    """A policy over the encodings of a space.

    Args:
        space: whose cells are written.
        rng: draws the first weights and, later, the decisions.
        hidden_size: units of the LSTM.
        initial_range: first weights are uniform in plus or minus this.
        temperature: divides all logits.
        tanh_constant: c; logits become c tanh(logit). None leaves them.
        operation_tanh_reduction: divides c for operations.
    """

    def __init__(
        self,
        space: CellSpace,
        rng: Generator,
        *,
        hidden_size: int = 64,
        initial_range: float = 0.1,
        temperature: float = 5.0,
        tanh_constant: float | None = 2.5,
        operation_tanh_reduction: float = 1.0,
    ) -> None:
        super().__init__()
        self.space = space
        self.rng = rng
        self.temperature = temperature
        self.tanh_constant = tanh_constant
        self.operation_tanh_reduction = operation_tanh_reduction
        required = prescribed_parents(space)
        self._prescribed = required is not None
        self.vertices = len(required) + 1 if required else space.max_vertices
        #: Of vertices 1, 2, ...: the sets of parents to choose from, 0 or 1 [sets, vertex].
        self._sets = [
            torch.tensor(
                [
                    members
                    for members in itertools.product((0.0, 1.0), repeat=v)
                    if required is None or sum(members) == required[v - 1]
                ]
            )
            for v in range(1, self.vertices)
        ]

        def weights(*shape: int) -> nn.Parameter:
            drawn = rng.uniform(-initial_range, initial_range, shape)
            return nn.Parameter(torch.tensor(drawn, dtype=torch.float32))

        self.start = weights(1, hidden_size)
        self.lstm = nn.utils.skip_init(nn.LSTMCell, hidden_size, hidden_size)  # type: ignore[no-untyped-call]
        for name, parameter in list(self.lstm.named_parameters()):
            setattr(self.lstm, name, weights(*parameter.shape))
        self.of_anchor = weights(hidden_size, hidden_size)  # W1
        self.of_state = weights(hidden_size, hidden_size)  # W2
        self.attention = weights(hidden_size)  # v
        self.operation_logits = weights(hidden_size, len(OPERATIONS))
        self.operation_embedding = weights(len(OPERATIONS), hidden_size)

    def write(self, count: int) -> Written:
        """Draw encodings, a batch of ``count``."""
        return self._run(count, None)

    def read(self, decisions: NDArray[np.int64]) -> Written:
        """The probabilities of given encodings [batch, decisions]."""
        return self._run(len(decisions), decisions)

    def architectures(self, decisions: NDArray[np.int64]) -> list[Cell | None]:
        """The cells of encodings; None for one that is no cell of the space."""
        cells = []
        for row in decisions.tolist():
            bits = code = 0
            for v in range(1, self.vertices):
                parents = self._sets[v - 1][row[2 * v - 2]].tolist()
                bits |= sum(1 << edge_bit(u, v) for u in range(v) if parents[u])
                if v < self.vertices - 1:
                    code += row[2 * v - 1] * 3 ** (v - 1)
            cells.append(self.space.cell(bits, code, self.vertices))
        return cells

    @property
    def sizes(self) -> list[int]:
        """Number of options of every decision."""
        sizes = []
        for sets in self._sets:
            sizes += [len(sets), len(OPERATIONS)]
        return sizes[:-1]  # the output has no operation

    def _run(self, count: int, given: NDArray[np.int64] | None) -> Written:
        log_probability = torch.zeros(count)
        entropy = torch.zeros(count)
        decisions: list[NDArray[np.int64]] = []

        def decide(logits: Tensor) -> Tensor:  # [batch, options] -> [batch]
            nonlocal log_probability, entropy
            logarithms = logits.log_softmax(1)
            if given is None:
                noise = self.rng.gumbel(size=tuple(logits.shape))
                chosen = (logarithms.detach().numpy() + noise).argmax(1)
            else:
                chosen = given[:, len(decisions)]
            decisions.append(chosen)
            index = torch.from_numpy(chosen)
            log_probability = log_probability + logarithms.gather(1, index[:, None])[:, 0]
            entropy = entropy - (logarithms.exp() * logarithms).sum(1)
            return index

        x = self.start.expand(count, -1)
        state = self.lstm(x)
        anchors = [state[0]]  # of the cell's input
        for v in range(1, self.vertices):
            state = self.lstm(x, state)
            earlier = torch.stack(anchors, 1)  # [batch, v, hidden]
            attended = torch.tanh(earlier @ self.of_anchor + (state[0] @ self.of_state)[:, None])
            q = self._shaped(attended @ self.attention)  # [batch, v]
            sets = self._sets[v - 1]
            signs = sets if self._prescribed else 2 * sets - 1
            parents = sets[decide(q @ signs.T)]  # [batch, v]
            if v == self.vertices - 1:
                break
            x = (parents[:, :, None] * earlier).sum(1) / (1 + parents.sum(1, keepdim=True))
            state = self.lstm(x, state)
            logits = self._shaped(state[0] @ self.operation_logits, self.operation_tanh_reduction)
            x = self.operation_embedding[decide(logits)]
            state = self.lstm(x, state)
            anchors.append(state[0])
        return Written(np.stack(decisions, 1), log_probability, entropy)

    def _shaped(self, logits: Tensor, reduction: float = 1.0) -> Tensor:
        logits = logits / self.temperature
        if self.tanh_constant is None:
            return logits
        return self.tanh_constant / reduction * torch.tanh(logits)


class PolicyGradient(nn.Module):
    """The policy gradient of a controller, with a moving average of rewards as baseline.

    The average starts at the mean of the first rewards, not at zero.

    Args:
        controller: what learns; another one of the same kind may have written (a replica).
        learning_rate: Adam's.
        entropy_weight: lambda; the reward is R + lambda times the entropy.
        baseline_decay: share of the old average that stays.
        earlier_rewards: whether the average is of earlier rewards alone, as Zoph & Le have it; else it
            is moved before it is used, as in ENAS' released code.
        skip_weight: of the penalty for skips that are far from their target (ENAS' macro space).
    """

    baseline: Tensor

    def __init__(
        self,
        controller: Policy,
        *,
        learning_rate: float,
        entropy_weight: float,
        baseline_decay: float,
        earlier_rewards: bool = False,
        skip_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.controller = controller
        self.skip_weight = skip_weight
        self.optimizer = torch.optim.Adam(controller.parameters(), lr=learning_rate)
        self.entropy_weight = entropy_weight
        self.baseline_decay = baseline_decay
        self.earlier_rewards = earlier_rewards
        self.register_buffer("baseline", torch.full((), torch.nan))

    def update(self, written: Written, rewards: list[float], by: Policy | None = None) -> None:
        """One step up the gradient of the mean reward of encodings just written.

        Args:
            written: a batch.
            rewards: of each.
            by: who wrote it, if it was not the controller itself: a replica, whose weights may be older.
        """
        loss = self.loss(written, rewards)
        weights = (by or self.controller).parameters()
        gradients = torch.autograd.grad(loss, list(weights), allow_unused=True)
        for weight, gradient in zip(self.controller.parameters(), gradients, strict=True):
            weight.grad = gradient
        self.optimizer.step()

    def loss(self, written: Written, rewards: list[float]) -> Tensor:
        """Its gradient is minus the policy gradient (Williams 1992); moves the baseline."""
        entropy = written.entropy.detach()
        rewarded = torch.tensor(rewards, dtype=torch.float32) + self.entropy_weight * entropy
        mean = rewarded.mean()
        before = self.baseline
        if before.isnan():
            before = self.baseline = mean
        else:
            self.baseline = before - (1 - self.baseline_decay) * (before - mean)
        baseline = before if self.earlier_rewards else self.baseline
        loss = -(written.log_probability * (rewarded - baseline)).mean()
        if written.skip_penalty is not None:
            loss = loss + self.skip_weight * written.skip_penalty.mean()
        return loss
