"""The state of a training or a search in one file, from which it goes on as if nothing had happened."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from numpy.random import Generator
from torch import Tensor

from nasbench_kit.errors import CorruptFile, WrongTable
from nasbench_kit.system import tensor_file
from nasbench_kit.training.data_set import Picks
from nasbench_kit.training.record import Measurement


@dataclass(eq=False)
class State:
    """All that changes while a network is trained."""

    network: torch.nn.Module
    optimizer: torch.optim.Optimizer
    #: Draws the order of the images and their augmentation.
    rng: Generator
    picks: Picks
    #: Of all losses, []; NaN and infinity stay in a sum.
    total_loss: Tensor
    #: Steps taken.
    step: int = 0
    #: Spent on them.
    seconds: float = 0.0
    #: Bytes at most, by all processes that had their share in this training.
    peak_memory: int = 0
    measurements: list[Measurement] = field(default_factory=list)

    def save(self, path: Path, conditions: dict[str, Any]) -> None:
        """Write everything to a file, atomically.

        Args:
            path: the file.
            conditions: what the training is of, as JSON can hold it; kept beside the state.

        Raises:
            NotWritable: the folder cannot be written, or the disk is full.
        """
        counted = {
            "step": self.step,
            "seconds": self.seconds,
            "peak_memory": self.peak_memory,
            "measurements": [asdict(measured) for measured in self.measurements],
        }
        tensors = {
            "ahead": torch.from_numpy(self.picks.ahead),
            "total_loss": self.total_loss,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        numbers = {"counted": counted, "rng": self.rng.bit_generator.state}
        write(path, conditions, numbers, tensors)

    def load(self, path: Path, conditions: dict[str, Any]) -> None:
        """Become what ``save`` wrote.

        Raises:
            WrongTable: the file is of a training under other conditions.
            CorruptFile: no such state can be read from it.
        """
        numbers, saved = read(path, conditions, "training")
        counted = numbers["counted"]
        self.network.load_state_dict(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.rng.bit_generator.state = numbers["rng"]
        self.picks.ahead = saved["ahead"].numpy()
        self.total_loss.copy_(saved["total_loss"])
        self.step, self.seconds = counted["step"], counted["seconds"]
        self.peak_memory = counted["peak_memory"]
        self.measurements = [Measurement.from_dict(fields) for fields in counted["measurements"]]


def write(
    path: Path, conditions: dict[str, Any], numbers: dict[str, Any], tensors: dict[str, Any]
) -> None:
    """Write a state to a file, atomically.

    Args:
        path: the file.
        conditions: what the state is of, as JSON can hold it.
        numbers: what of it JSON can hold.
        tensors: the rest: tensors, and ``state_dict``s of them.

    Raises:
        NotWritable: the folder cannot be written, or the disk is full.
    """
    plain = {"conditions": json.dumps(conditions), "numbers": json.dumps(numbers)}
    tensor_file.save(path, plain | tensors)


def read(
    path: Path, conditions: dict[str, Any], kind: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The numbers, and the tensors on the CPU, of a state that was written under these conditions.

    Args:
        path: the file.
        conditions: as they were given to ``write``.
        kind: what the state is of, for messages: "training", "search".

    Raises:
        WrongTable: the file is of other conditions.
        CorruptFile: no state can be read from it.
    """
    try:
        saved = tensor_file.load(path)
        recorded, numbers = (json.loads(saved[name]) for name in ("conditions", "numbers"))
    except tensor_file.UNREADABLE as error:
        raise CorruptFile(
            f"{path} is no checkpoint of a {kind} ({tensor_file.first_line(error)}); delete it to start over"
        ) from error
    if differs := [name for name in conditions if recorded.get(name) != conditions[name]]:
        raise WrongTable(
            f"{path} is the checkpoint of a {kind} with another {differs[0]}; "
            "choose another file, or delete it"
        )
    return numbers, saved
