"""Random search.

Sampling is the space's own. Of NAS-Bench-101 it is uniform over encodings, as in the official notebook:
a cell with many encodings is drawn more often than under uniform sampling of unique cells.

Source: Ying et al., NAS-Bench-101, ICML 2019, section 4; google-research/nasbench, NASBench.ipynb.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.random import Generator

    from nasbench_kit import Oracle
    from nasbench_kit.spaces.protocols import Architecture


@dataclass(frozen=True)
class RandomSearch:
    """Keeps the architecture with the best validation accuracy of all that were drawn."""

    #: Training length of every query; None is the table's longest.
    epochs: int | None = None

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Architecture]:
        """Sample, query, keep the best; for ever."""
        best = None
        while True:
            answer = oracle.query(oracle.space.sample(rng), self.epochs)
            if best is None or answer.validation_accuracy > best.validation_accuracy:
                best = answer
            yield best.architecture
