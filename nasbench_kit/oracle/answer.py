"""The one result type that the table, the surrogate and the trainer return to a search."""

from __future__ import annotations

from typing import NamedTuple

from nasbench_kit.spaces.nasbench101.cell import Cell


class Answer(NamedTuple):
    """What a search learns from one query. There is no test accuracy in it, by design.

    Accuracies are fractions in [0, 1]; what the table does not record is None.
    """

    #: The cell as it was asked, in its own labelling.
    cell: Cell
    #: The training's length in epochs (also where the reading is from halfway).
    epochs: int
    #: Whether the reading was taken after half of the training (at a high learning rate).
    halfway: bool
    #: Which of the table's repeats was drawn; None for a mean over repeats.
    repeat: int | None
    #: Seconds of training up to the reading.
    seconds: float | None
    train_accuracy: float | None
    validation_accuracy: float
    trainable_parameters: int | None
    #: "measured", "surrogate" or "trained".
    source: str
