"""The one result type that the table, the surrogate and the trainer return to a search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Answer(NamedTuple):
    """What a search learns from one query. There is no test accuracy in it, by design.

    Accuracies are fractions in [0, 1]; what the table does not record is None.
    """

    #: As it was asked, of a cell in its own labelling; a `nasbench_kit.spaces.Architecture`.
    architecture: Any
    #: The training's length in epochs (also where the reading is from halfway).
    epochs: int
    #: Whether the reading was taken after half of the training (at a high learning rate), or wherever
    #: before its end the table says (`Table.halfway_epochs`).
    halfway: bool
    #: Which of the repeats was drawn; None for a mean over repeats.
    repeat: int | None
    #: Seconds of training up to the reading.
    seconds: float | None
    train_accuracy: float | None
    validation_accuracy: float
    trainable_parameters: int | None
    #: "measured", "surrogate" or "trained".
    source: str
    #: What else the table records of an architecture, by name: latency, energy, ...
    other_costs: Mapping[str, float] | None = None

    @property
    def cell(self) -> Any:
        """The architecture, in spaces of cells."""
        return self.architecture

    @property
    def costs(self) -> dict[str, float]:
        """All that is known of its costs, by name: seconds, parameters, and what else there is."""
        basic = {"seconds": self.seconds, "parameters": self.trainable_parameters}
        costs = {name: float(value) for name, value in basic.items() if value is not None}
        return costs | dict(self.other_costs or {})
