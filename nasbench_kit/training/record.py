"""What a training leaves behind: the numbers that the official records hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from nasbench_kit.checks import counted, shown, whole
from nasbench_kit.training.images import SPLITS

#: What a token counts at most, so that a network that came to nothing has a perplexity all the same.
MOST_NATS = 100.0


@dataclass(frozen=True)
class Score:
    """How many of the evaluated images are classified correctly."""

    correct: int
    images: int

    @property
    def size(self) -> str:
        """What was counted, in words."""
        return counted(self.images, "image")

    @property
    def accuracy(self) -> float:
        """Accuracy in [0, 1]."""
        return self.correct / self.images


@dataclass(frozen=True)
class Likelihood:
    """How likely a network finds a text, token by token."""

    #: Minus the sum of the natural logarithms of the tokens' probabilities.
    nats: float
    tokens: int

    @property
    def size(self) -> str:
        """What was counted, in words."""
        return f"{self.tokens} tokens"

    @property
    def perplexity(self) -> float:
        """The exponential of the mean: 1 for a network that is always certain and right."""
        return math.exp(self.nats / self.tokens)

    @property
    def accuracy(self) -> float:
        """1 / perplexity, in [0, 1]: the geometric mean of the probability of the right token."""
        return 1 / self.perplexity


AnyScore = Score | Likelihood


def score_of(fields: Mapping[str, Any]) -> AnyScore:
    """The score of what ``dataclasses.asdict`` made of it, checked.

    Raises:
        InvalidSetting: it counts nothing that can be counted.
        LookupError, TypeError: it has other fields.
    """
    if "nats" not in fields:
        correct = whole("the number of correct images", fields["correct"], 0)
        return Score(correct, whole("the number of images", fields["images"], max(1, correct)))
    nats, tokens = fields["nats"], whole("the number of tokens", fields["tokens"], 1)
    if not isinstance(nats, float | int) or not 0 <= nats / tokens <= MOST_NATS:
        raise ValueError(f"nats are {shown(nats)}; they must be 0 to {MOST_NATS} a token")
    return Likelihood(float(nats), tokens)


@dataclass(frozen=True)
class Measurement:
    """The network at one moment of its training."""

    #: Seconds of training so far; evaluation is not counted.
    seconds: float
    #: A `Score` on images, a `Likelihood` on text.
    train: Any
    validation: Any
    test: Any

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Measurement:
        """The inverse of ``dataclasses.asdict``."""
        return cls(fields["seconds"], *(score_of(fields[name]) for name in SPLITS))


@dataclass(frozen=True)
class Training:
    """The record of one training."""

    #: What was trained; a `nasbench_kit.spaces.Trainable`.
    architecture: Any
    epochs: int
    seed: int
    trainable_parameters: int
    #: Before the first step that learns, after half of the steps, and at the end.
    start: Measurement
    halfway: Measurement
    final: Measurement
    #: Whether a loss was NaN or infinite. The accuracies are what was measured all the same.
    failed: bool
    #: Bytes at most in use: by tensors on a GPU; on a CPU by the whole process since its start.
    peak_memory: int

    @property
    def cell(self) -> Any:
        """The architecture, in spaces of cells."""
        return self.architecture

    @property
    def seconds(self) -> float:
        """Seconds of the whole training; evaluation is not counted."""
        return self.final.seconds

    def to_dict(self) -> dict[str, Any]:
        """All fields, as JSON can hold them; the architecture as text."""
        text = self.architecture.to_text()
        return asdict(replace(self, architecture=None)) | {"architecture": text}
