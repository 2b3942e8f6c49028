"""A table of made-up numbers over any numbered space, and a space to make one over."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nasbench_kit.spaces.decisions import DecisionSpace
from nasbench_kit.spaces.protocols import Decision, Numbered
from nasbench_kit.table import METRICS, Column, Table

#: Denominators of the made-up accuracies.
IMAGES = {"train_accuracy": 250, "validation_accuracy": 773, "test_accuracy": 774}


class MadeUpSpace(DecisionSpace):
    """A small space of decisions alone: some layers, three options each."""

    def __init__(self, layers: int = 8) -> None:
        self.name = f"made-up-{layers}"
        options = ("identity", "convolution", "pooling")
        self.decisions = tuple(Decision(f"layer {layer}", options) for layer in range(layers))

    def __reduce__(self) -> tuple[object, ...]:
        return MadeUpSpace, (len(self.decisions),)


def made_up_table(
    space: Numbered, *, epochs: Sequence[int] = (4, 12, 36), repeats: int = 3, seed: int = 0
) -> Table:
    """A complete table of all metrics, halfway too; every number of it is made up, but like real ones.

    An architecture has a quality, longer training shows it better, repeats scatter around it, and
    seconds grow with the epochs (about 2 each).

    Args:
        space: what is covered.
        epochs: fidelities, ascending.
        repeats: of every training.
        seed: draws the numbers.
    """
    rng = np.random.default_rng(seed)
    quality = rng.beta(8, 2, (len(space), 1, 1))
    shape = (len(space), len(epochs), repeats)
    lengths = np.array(epochs)[:, None]
    cost = rng.uniform(1, 3, (len(space), 1, 1))
    columns = {}
    for checkpoint, part in (("halfway", 0.5), ("final", 1.0)):
        for metric in METRICS:
            if metric == "seconds":
                seconds = part * lengths * cost * rng.uniform(0.98, 1.02, shape)
                columns[checkpoint, metric] = Column(seconds.astype(np.float32))
            else:
                learned = quality * (1 - np.exp(-part * lengths / 6))
                counts = rng.binomial(IMAGES[metric], learned, shape).astype(np.uint16)
                columns[checkpoint, metric] = Column(counts, IMAGES[metric])
    parameters = rng.integers(1_000, 100_000, len(space)).astype(np.uint32)
    return Table(
        space,
        epochs,
        columns,
        extra={"trainable_parameters": parameters},
        provenance={"name": "made-up", "source": "measured"},
    )
