"""Children of evolution, also where a parent has none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nasbench_kit.errors import NotInSpace

if TYPE_CHECKING:
    from numpy.random import Generator

    from nasbench_kit.spaces.protocols import Space


def mutant(space: Space, parent: Any, rng: Generator) -> Any:
    """A mutant of the parent; of one without neighbours, as in a table of scattered rows, a random architecture."""
    try:
        return space.mutate(parent, rng)
    except NotInSpace:
        return space.sample(rng)
