"""What a training leaves behind: the numbers that the official records hold."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from nasbench_kit.training.images import SPLITS


@dataclass(frozen=True)
class Score:
    """How many of the evaluated images are classified correctly."""

    correct: int
    images: int

    @property
    def accuracy(self) -> float:
        """Accuracy in [0, 1]."""
        return self.correct / self.images


@dataclass(frozen=True)
class Measurement:
    """The network at one moment of its training."""

    #: Seconds of training so far; evaluation is not counted.
    seconds: float
    train: Score
    validation: Score
    test: Score

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Measurement:
        """The inverse of ``dataclasses.asdict``."""
        return cls(fields["seconds"], *(Score(**fields[name]) for name in SPLITS))


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
