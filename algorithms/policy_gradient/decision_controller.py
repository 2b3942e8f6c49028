"""An LSTM that writes the decisions of any space, one after the other.

The state of the LSTM after each decision gives the next one's logits; the option taken is embedded
and fed back. Choices that make no architecture can be written and have their probability.

Source: Zoph & Le, Neural architecture search with reinforcement learning, ICLR 2017, section 3.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from torch import nn

from nasbench_kit.algorithms.policy_gradient.lstm_policy import (
    Encodings,
    LSTMPolicy,
    LSTMSettings,
    States,
    Written,
)

if TYPE_CHECKING:
    from numpy.random import Generator

    from nasbench_kit.spaces.protocols import Space


class DecisionController(LSTMPolicy):
    """A policy over the decisions of a space.

    Args:
        space: whose decisions are written.
        rng: draws the first weights and, later, the decisions.
        layers: of the LSTM.
        lstm: as of ``LSTMPolicy``.
    """

    def __init__(
        self, space: Space, rng: Generator, *, layers: int = 1, **lstm: Unpack[LSTMSettings]
    ) -> None:
        super().__init__(space, rng, layers=layers, **lstm)
        #: Of the first decision, and how many are made: the others are option 0, for sure.
        self._first: int | None = None
        self._made = len(space.decisions)
        sizes = [len(decision.options) for decision in space.decisions]
        self.heads = nn.ParameterList([self.weights(self.hidden_size, size) for size in sizes])
        self.embeddings = nn.ParameterList([self.weights(size, self.hidden_size) for size in sizes])

    def keep_to(self, first: int, made: int) -> None:
        """From now on the first decision is fixed, and those behind the first ``made`` are option 0."""
        self._first, self._made = first, made

    def decide(self, encodings: Encodings) -> Written:
        """Decision after decision, each by the state and the option taken before."""
        x = self.start.expand(encodings.count, -1)
        states: States | None = None
        for place, (head, embedding) in enumerate(zip(self.heads, self.embeddings, strict=True)):
            if place >= self._made:
                encodings.fix(0)
            elif place == 0 and self._first is not None:
                encodings.fix(self._first)
            else:
                output, states = self.step(x, states)
                x = embedding[encodings.choose(self.shaped(output @ head))]
        return encodings.written()
