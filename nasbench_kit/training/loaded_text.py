"""A text as tensors on a device: parallel streams, read window by window.

The text is cut into as many streams of one length as a batch has rows; a step trains on one window of
all of them, and what the network remembers goes on to the next window while gradients do not: truncated
back-propagation through time. The last tokens of a text that fill no window are left out.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nasbench_kit.errors import InvalidSetting
from nasbench_kit.spaces.recurrent.window import NO_PENALTY, Dropout, Penalty, Window
from nasbench_kit.training.images import SPLITS
from nasbench_kit.training.record import MOST_NATS, AnyScore, Likelihood

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.random import Generator
    from numpy.typing import NDArray
    from torch import nn

    from nasbench_kit.training.recipe import TextRecipe
    from nasbench_kit.training.text import TextSet

#: Tokens of a split that has its own streams in evaluation: as many streams, or fewer in a short text.
_SHORTEST_STREAM = 2


class InOrder:
    """Windows [2], each from where to where in its streams, from the beginning again after the last.

    Args:
        length: of the streams, but for the last token, which nothing follows.
        next_length: draws the length of a window.
    """

    def __init__(self, length: int, next_length: Callable[[], int]) -> None:
        self._length = length
        self._next_length = next_length
        #: Where the windows of what is left of this pass begin, and where the last one ends.
        self.ahead = np.empty(0, np.int64)

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        return self

    def __next__(self) -> NDArray[np.int64]:
        if len(self.ahead) < 2:
            ends = [0]
            while ends[-1] < self._length:
                ends.append(min(ends[-1] + self._next_length(), self._length))
            self.ahead = np.array(ends, np.int64)
        window, self.ahead = self.ahead[:2], self.ahead[1:]
        return window


@dataclass(frozen=True, eq=False)
class Streams:
    """Parallel streams of one text, [streams, length + 1], cut into windows."""

    tokens: Tensor
    window: int

    @property
    def length(self) -> int:
        """Tokens of a stream that another one follows."""
        return self.tokens.shape[1] - 1

    def read(
        self,
        first: int,
        last: int,
        dropout: Dropout | None = None,
        seed: int = 0,
        penalty: Penalty = NO_PENALTY,
    ) -> tuple[Window, Tensor]:
        """The window of tokens first to last - 1, and the tokens [streams, length] that follow on its own."""
        window = Window(self.tokens[:, first:last], first, first == 0, dropout, seed, penalty)
        return window, self.tokens[:, first + 1 : last + 1]

    @torch.inference_mode()
    def nats(self, network: Callable[[Window], Tensor]) -> Likelihood:
        """How likely a network in eval mode finds the streams, each from its beginning."""
        total = torch.zeros((), dtype=torch.float64, device=self.tokens.device)
        for first in range(0, self.length, self.window):
            window, following = self.read(first, min(first + self.window, self.length))
            losses = functional.cross_entropy(network(window), following, reduction="none")
            total += losses.nan_to_num(MOST_NATS).clamp(max=MOST_NATS).double().sum()
        counted = self.tokens.shape[0] * self.length
        return Likelihood(float(total), counted)


@dataclass(frozen=True, eq=False)
class LoadedText:
    """The streams that a recipe trains on, and those that are scored."""

    training: Streams
    #: Of the beginning of train, as long as validation at most, of validation and of test.
    scored: tuple[Streams, Streams, Streams]
    recipe: TextRecipe

    def picks(self, rng: Generator, batch_size: int, split: str = "train") -> InOrder:
        """The text's own order: chance has a part in the windows' lengths alone, if they vary."""
        if split == "train":
            return InOrder(self.training.length, lambda: self.recipe.window_length(rng))
        return InOrder(self.scored[1].length, lambda: self.recipe.window)

    def examples(self, batch_size: int) -> int:
        """Tokens of a batch."""
        return batch_size * self.training.window

    def reward_batch(self, picked: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """The picked validation window [streams, length], before which nothing is remembered."""
        first, last = picked.tolist()
        window, following = self.scored[1].read(first, last)
        return window.tokens, following

    def accuracy(self, logits: Tensor, labels: Tensor) -> float:
        """1 / perplexity, in [0, 1]."""
        return float(torch.exp(-functional.cross_entropy(logits, labels)).nan_to_num(0.0))

    def whole_reward(self, supernet: nn.Module, run: Any) -> float:
        """1 / perplexity of what a supernet runs on the whole validation text."""
        remembered = supernet.get_extra_state()
        score = self.scored[1].nats(lambda window: supernet(window, run))
        supernet.set_extra_state(remembered)
        return score.accuracy

    def batch(self, picked: NDArray[np.int64], rng: Generator) -> tuple[Window, Tensor]:
        """The picked window [streams, length], with masks drawn, and the tokens that follow."""
        (first, last), recipe = picked.tolist(), self.recipe
        penalty = Penalty(recipe.activation, recipe.slowness)
        seed = int(rng.integers(2**63))
        return self.training.read(first, last, recipe.dropout, seed, penalty)

    def measure(self, network: nn.Module, *, renew: bool) -> list[AnyScore]:
        """How likely a network finds train, validation and test; it is left in eval mode.

        What it remembers of its training is put back. There is no batch norm to renew.
        """
        remembered = network.get_extra_state()
        network.eval()
        scores: list[AnyScore] = [streams.nats(network) for streams in self.scored]
        network.set_extra_state(remembered)
        return scores


@functools.lru_cache(maxsize=2)
def load(text: TextSet, device: torch.device, recipe: TextRecipe) -> LoadedText:
    """Cut a text into streams on a device.

    Args:
        text: what is read.
        device: where the tensors go.
        recipe: its batch size is the number of streams.

    Raises:
        InvalidSetting: the training text is too short for its streams.
    """

    def cut(tokens: NDArray[np.int64], streams: int) -> Streams:
        length = len(tokens) // streams
        rows = tokens[: streams * length].reshape(streams, length)
        return Streams(torch.tensor(rows, device=device), recipe.window)

    windows = recipe.windows(len(text.train))
    if not windows:
        raise InvalidSetting(
            f"{text.name} has {len(text.train):,} tokens to train on, too few for {recipe.batch_size} "
            f"streams of a window of {recipe.window}; use a recipe with a smaller batch_size"
        )
    training = cut(text.train, recipe.batch_size)
    whole = Streams(training.tokens[:, : windows * recipe.window + 1], recipe.window)
    parts = [getattr(text, name) for name in SPLITS]
    parts[0] = parts[0][: len(text.validation)]
    scored = [
        cut(part, max(1, min(recipe.batch_size, len(part) // _SHORTEST_STREAM))) for part in parts
    ]
    return LoadedText(whole, (scored[0], scored[1], scored[2]), recipe)
