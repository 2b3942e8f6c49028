"""Some rows of a numbered space as a space of their own: what a partial table covers."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.errors import InvalidSetting, NotInSpace

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit.spaces.protocols import Decision, Numbered

#: Random draws outside the rows after which one of the rows is drawn instead; and mutations tried.
_MAX_DRAWS = 1_000


class Restricted:
    """The sub-space of some rows, renumbered from 0.

    Args:
        whole: the numbered space.
        kept: its rows, ascending.
        name: what the sub-space is called; by default the whole space's name and the number of rows.

    Raises:
        InvalidSetting: no rows, or not ascending rows of the space.
    """

    def __init__(self, whole: Numbered, kept: NDArray[np.integer], name: str = "") -> None:
        if not len(kept) or (np.diff(kept) <= 0).any() or not 0 <= kept[0] <= kept[-1] < len(whole):
            raise InvalidSetting(
                f"the {len(kept)} rows are not ascending rows of 0..{len(whole) - 1}"
            )
        self.whole = whole
        self.kept = np.asarray(kept)
        self.name = name or f"{whole.name}[{len(kept)}]"
        self.decisions: tuple[Decision, ...] = whole.decisions

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the whole space's digest and the rows."""
        rows = self.kept.astype("<i8").tobytes()
        return hashlib.sha256(self.whole.digest.encode() + rows).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Restricted) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"<{self.name}: {len(self):,} of {len(self.whole):,} architectures>"

    @functools.cached_property
    def _row(self) -> dict[int, int]:
        return {row: place for place, row in enumerate(self.kept.tolist())}

    def __len__(self) -> int:
        return len(self.kept)

    def __getitem__(self, row: int) -> Any:
        """The architecture of a row.

        Raises:
            NotInSpace: there is no such row.
        """
        if not 0 <= row < len(self):
            raise NotInSpace(f"row {row} is not in the space; its rows are 0 to {len(self) - 1}")
        return self.whole[int(self.kept[row])]

    def __iter__(self) -> Iterator[Any]:
        return (self[row] for row in range(len(self)))

    def index(self, architecture: Any) -> int:
        """The row of an architecture.

        Raises:
            NotInSpace: it is outside.
        """
        row = self._row.get(self.whole.index(architecture))
        if row is None:
            raise NotInSpace(f"{architecture.to_text()} is not among the rows of {self.name}")
        return row

    def __contains__(self, architecture: object) -> bool:
        return architecture in self.whole and self.whole.index(architecture) in self._row

    def parse(self, text: str) -> Any:
        """The architecture of a text.

        Raises:
            InvalidArchitecture, NotInSpace: as the whole space, or it is outside the rows.
        """
        architecture = self.whole.parse(text)
        self.index(architecture)
        return architecture

    def encode(self, architecture: Any) -> tuple[int, ...]:
        """The option of every decision.

        Raises:
            NotInSpace: the architecture is outside.
        """
        self.index(architecture)
        return self.whole.encode(architecture)

    def decode(self, choices: Sequence[int]) -> Any | None:
        """The architecture of these options; None if it is not among the rows."""
        decoded = self.whole.decode(choices)
        return decoded if decoded is not None and decoded in self else None

    def sample(self, rng: Generator) -> Any:
        """As the whole space draws, until a draw is among the rows.

        After a thousand draws outside (rows are few), one of the rows, uniformly.
        """
        for _ in range(_MAX_DRAWS):
            drawn = self.whole.sample(rng)
            if drawn in self:
                return drawn
        return self[int(rng.integers(len(self)))]

    def mutate(self, architecture: Any, rng: Generator) -> Any:
        """As the whole space mutates, until the result is among the rows.

        Raises:
            NotInSpace: the architecture is outside, or no mutation of it was found inside.
        """
        self.index(architecture)
        for _ in range(_MAX_DRAWS):
            mutated = self.whole.mutate(architecture, rng)
            if mutated in self:
                return mutated
        raise NotInSpace(f"{architecture.to_text()} has no neighbour in the space {self.name}")

    def neighbours(self, architecture: Any) -> list[Any]:
        """The whole space's neighbours that are among the rows.

        Raises:
            NotInSpace: the architecture is outside.
        """
        self.index(architecture)
        return [other for other in self.whole.neighbours(architecture) if other in self]

    def restricted(self, kept: NDArray[np.integer], name: str = "") -> Restricted:
        """The sub-space of these of its rows (ascending).

        Raises:
            InvalidSetting: no rows, or not ascending rows of this space.
        """
        kept = np.asarray(kept)
        if not len(kept) or not 0 <= kept.min() <= kept.max() < len(self):
            raise InvalidSetting(
                f"the {len(kept)} rows are not ascending rows of 0..{len(self) - 1}"
            )
        return Restricted(self.whole, self.kept[kept], name)
