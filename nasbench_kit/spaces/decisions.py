"""A whole search space from its decisions alone.

    >>> class Layers(DecisionSpace):
    ...     name = "layers"
    ...     decisions = tuple(Decision(f"layer {i}", ("identity", "conv", "pool")) for i in range(8))
    >>> space = Layers()
    >>> len(space), space.parse("22212220").to_text()
    (6561, '22212220')

Sampling takes every option with the same probability, a mutation changes one decision, and the
neighbours are all single changes; choices that make no architecture are passed over. The rows are
the valid choices in the order of their digits. A space overrides what it can do better.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.checks import counted
from nasbench_kit.errors import (
    InvalidArchitecture,
    InvalidSetting,
    NasbenchKitError,
    NotInSpace,
)
from nasbench_kit.spaces.protocols import Decision

if TYPE_CHECKING:
    import torch
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit.spaces.restricted import Restricted
    from nasbench_kit.spaces.skeleton import Precision, Skeleton

#: Random choices tried before a space counts as empty, or an architecture as without neighbours.
_MAX_DRAWS = 10_000
#: Choices that are counted and numbered at most.
MOST_ROWS = 1 << 22


@dataclass(frozen=True, slots=True)
class Choices:
    """An architecture that is its decisions: one option of each."""

    space: ChoiceSpace
    options: tuple[int, ...]

    @property
    def hash(self) -> str:
        """MD5 of the space's name and the text; 32 hexadecimal digits."""
        return hashlib.md5(f"{self.space.name} {self.to_text()}".encode()).hexdigest()

    def to_text(self) -> str:
        """As its space writes it."""
        return self.space.write(self.options)

    def canonical(self) -> Choices:
        """Itself: equal choices are the same."""
        return self

    def written_as(self, text: str) -> bool:
        """Whether the text is this architecture's, in any of the forms that its space reads."""
        try:
            return text == self.to_text() or self.space.parse(text) == self
        except NasbenchKitError:
            return False

    def network(
        self,
        skeleton: Skeleton,
        image_channels: int,
        classes: int,
        *,
        generator: torch.Generator,
        bn_momentum: float | None,
        precision: Precision,
    ) -> torch.nn.Module:
        """As its space builds it; see `nasbench_kit.spaces.protocols.Trainable`.

        Raises:
            InvalidSetting: the space has no networks, or the skeleton does not suit it.
        """
        return self.space.network(
            self,
            skeleton,
            image_channels,
            classes,
            generator=generator,
            bn_momentum=bn_momentum,
            precision=precision,
        )

    def work(self, skeleton: Skeleton, image_shape: tuple[int, int, int]) -> NDArray[np.float64]:
        """What one image costs; see `nasbench_kit.spaces.protocols.Trainable`.

        Raises:
            InvalidSetting: the space has no networks.
        """
        return self.space.work(self, skeleton, image_shape)

    def traits(self) -> Sequence[float]:
        """One number an option, 1 where it is taken."""
        return [
            float(option == taken)
            for decision, taken in zip(self.space.decisions, self.options, strict=True)
            for option in range(len(decision.options))
        ]

    def _repr_svg_(self) -> str:
        return self.space.draw(self)

    def __repr__(self) -> str:
        return f"<{self.space.name} {self.to_text()}>"


class ChoiceSpace:
    """A space whose architectures are the valid combinations of its decisions' options.

    It may be too large to number: `DecisionSpace` is one with rows. A subclass sets ``name`` and
    ``decisions``; it may narrow ``valid``, write another text, draw another picture, and add the torch
    half: ``network`` and ``work``. Its instances are equal if their digests are.
    """

    #: By which `nasbench_kit.spaces.named` finds the space, once it is registered.
    name: str
    decisions: tuple[Decision, ...]

    def valid(self, options: tuple[int, ...]) -> bool:
        """Whether these options make an architecture; all do, unless a space says otherwise."""
        return True

    def draw(self, architecture: Choices) -> str:
        """An architecture as SVG for a notebook."""
        from nasbench_kit.spaces.drawing import choices_as_svg

        return choices_as_svg(architecture)

    # Text ------------------------------------------------------------------------------------

    def write(self, options: Sequence[int]) -> str:
        """The text of options: their digits, or numbers between colons where ten do not suffice."""
        separator = "" if max(self._sizes) <= 10 else ":"
        return separator.join(map(str, options))

    def read(self, text: str) -> Sequence[int]:
        """The inverse of ``write``; checked by ``parse``.

        Raises:
            ValueError: another form.
        """
        return [int(part) for part in (text if max(self._sizes) <= 10 else text.split(":"))]

    def parse(self, text: str) -> Choices:
        """The architecture of a text.

        Raises:
            InvalidArchitecture: the text has another form.
            NotInSpace: the options make no architecture.
        """
        first = self._example()
        example = "" if first is None else f"; an architecture is written as {first.to_text()!r}"
        if not isinstance(text, str):
            raise InvalidArchitecture(f"{text!r} is no text{example}")
        try:
            options = tuple(self.read(text.strip()))
        except ValueError:
            raise InvalidArchitecture(
                f"{text!r} is not of the space {self.name}{example}"
            ) from None
        sizes = self._sizes
        if len(options) != len(sizes):
            raise InvalidArchitecture(
                f"{text!r} has {counted(len(options), 'decision')}, the space {self.name} {len(sizes)}{example}"
            )
        for decision, option in zip(self.decisions, options, strict=True):
            if not 0 <= option < len(decision.options):
                raise InvalidArchitecture(
                    f"{text!r}: {decision.name} is {option}; it must be 0 to "
                    f"{len(decision.options) - 1} ({', '.join(decision.options)})"
                )
        architecture = self.decode(options)
        if architecture is None:
            raise NotInSpace(f"{text!r} makes no architecture of the space {self.name}")
        return architecture

    def _example(self) -> Choices | None:
        """An architecture to show how they are written; None if there is none."""
        return self.sample(np.random.default_rng(0))

    # Architectures ---------------------------------------------------------------------------

    def encode(self, architecture: Choices) -> tuple[int, ...]:
        """The option of every decision.

        Raises:
            NotInSpace: the architecture is of another space.
        """
        if architecture not in self:
            raise NotInSpace(f"{_shown(architecture)} is not in the space {self.name}")
        return architecture.options

    def decode(self, choices: Sequence[int]) -> Choices | None:
        """The architecture of these options; None if they make none.

        Where several choices make one network, a space overrides it to give the valid ones.
        """
        options = tuple(map(int, choices))
        return Choices(self, options) if self.valid(options) else None

    def __contains__(self, architecture: object) -> bool:
        return isinstance(architecture, Choices) and (
            architecture.space is self or architecture.space == self
        )

    def sample(self, rng: Generator) -> Choices:
        """Every option of every decision with the same probability, drawn again until valid.

        Raises:
            NotInSpace: ten thousand draws in a row made no architecture.
        """
        for _ in range(_MAX_DRAWS):
            drawn = self.decode((rng.random(len(self._sizes)) * self._sizes).astype(int).tolist())
            if drawn is not None:
                return drawn
        raise NotInSpace(f"no random choices make an architecture of the space {self.name}")

    def mutate(self, architecture: Choices, rng: Generator) -> Choices:
        """One decision, uniformly, takes another option, uniformly; drawn again until valid.

        Raises:
            NotInSpace: the architecture is outside, or has no neighbour.
        """
        options = self.encode(architecture)
        free = [place for place, size in enumerate(self._sizes) if size > 1]
        for _ in range(_MAX_DRAWS if free else 0):
            place = free[int(rng.random() * len(free))]
            size = self._sizes[place]
            option = (options[place] + 1 + int(rng.random() * (size - 1))) % size
            mutated = self.decode((*options[:place], option, *options[place + 1 :]))
            if mutated is not None and mutated.options != options:
                return mutated
        raise NotInSpace(f"{architecture.to_text()} has no neighbour in the space {self.name}")

    def neighbours(self, architecture: Choices) -> list[Choices]:
        """All architectures that one changed decision makes, each once.

        Raises:
            NotInSpace: the architecture is outside.
        """
        options = self.encode(architecture)
        changed = (
            self.decode((*options[:place], option, *options[place + 1 :]))
            for place, size in enumerate(self._sizes)
            for option in range(size)
            if option != options[place]
        )
        different = {each.options: each for each in changed if each is not None}
        return [each for each in different.values() if each.options != options]

    @functools.cached_property
    def _sizes(self) -> tuple[int, ...]:
        return tuple(len(decision.options) for decision in self.decisions)

    # Identity --------------------------------------------------------------------------------

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the name and the decisions."""
        return self._digest().hexdigest()

    def _digest(self) -> hashlib._Hash:
        return hashlib.sha256(repr((self.name, tuple(map(tuple, self.decisions)))).encode())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ChoiceSpace) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: {len(self.decisions)} decisions>"

    # The torch half, which not every space has -------------------------------------------------

    def network(
        self,
        architecture: Choices,
        skeleton: Skeleton,
        image_channels: int,
        classes: int,
        *,
        generator: torch.Generator,
        bn_momentum: float | None,
        precision: Precision,
    ) -> torch.nn.Module:
        """The network of an architecture; see `nasbench_kit.spaces.protocols.Trainable`.

        Raises:
            InvalidSetting: this space has none.
        """
        raise InvalidSetting(
            f"the space {self.name} has no networks, so only tables answer for it: nothing of it can be trained"
        )

    def work(
        self, architecture: Choices, skeleton: Skeleton, image_shape: tuple[int, int, int]
    ) -> NDArray[np.float64]:
        """What one image costs; see `nasbench_kit.spaces.protocols.Trainable`.

        Raises:
            InvalidSetting: this space has no networks.
        """
        raise InvalidSetting(
            f"the space {self.name} has no networks, so only tables answer for it: a training of it has no price"
        )


class DecisionSpace(ChoiceSpace):
    """A space of decisions that is small enough to be numbered.

    A subclass may number its rows in another order than that of the digits (``ordered``).
    """

    def ordered(self) -> Iterable[tuple[int, ...]]:
        """All valid options in the order of the rows; that of their digits, unless a space says otherwise.

        Raises:
            InvalidSetting: there are too many to number.
        """
        if math.prod(self._sizes) > MOST_ROWS:
            raise InvalidSetting(
                f"the space {self.name} has {math.prod(self._sizes):,} combinations; more than "
                f"{MOST_ROWS:,} are not numbered"
            )
        return filter(self.valid, itertools.product(*map(range, self._sizes)))

    @functools.cached_property
    def _rows(self) -> dict[tuple[int, ...], int] | None:
        """Row of all valid options; None if all are valid and rows are their digits' number."""
        kind = type(self)
        if kind.valid is ChoiceSpace.valid and kind.ordered is DecisionSpace.ordered:
            return None
        return {options: row for row, options in enumerate(self.ordered())}

    @functools.cached_property
    def _in_order(self) -> list[tuple[int, ...]]:
        assert self._rows is not None
        return list(self._rows)

    @functools.cached_property
    def _total(self) -> int:
        return math.prod(self._sizes) if self._rows is None else len(self._rows)

    def __len__(self) -> int:
        """Number of architectures.

        Raises:
            InvalidSetting: there are more than Python counts in a length, 2^63 - 1.
        """
        if self._total > sys.maxsize:
            raise InvalidSetting(
                f"the space {self.name} has {self._total:.3g} architectures, too many to be counted as "
                "rows; draw from it with sample()"
            )
        return self._total

    def __bool__(self) -> bool:
        return True

    def __getitem__(self, row: int) -> Choices:
        """The architecture of a row.

        Raises:
            NotInSpace: there is no such row.
        """
        if not 0 <= row < self._total:
            raise NotInSpace(f"row {row} is not in the space; its rows are 0 to {self._total - 1}")
        if self._rows is not None:
            return Choices(self, self._in_order[row])
        options = []
        for size in reversed(self._sizes):
            row, option = divmod(int(row), size)
            options.append(option)
        return Choices(self, tuple(reversed(options)))

    def __iter__(self) -> Iterator[Choices]:
        return (self[row] for row in range(self._total))

    def index(self, architecture: Choices) -> int:
        """The row of an architecture.

        Raises:
            NotInSpace: it is outside.
        """
        options = self.encode(architecture)
        if self._rows is not None:
            return self._rows[options]
        row = 0
        for size, option in zip(self._sizes, options, strict=True):
            row = row * size + option
        return row

    def restricted(self, kept: NDArray[np.integer], name: str = "") -> Restricted:
        """The sub-space of these rows (ascending), renumbered from 0.

        Raises:
            InvalidSetting: no rows, or not ascending rows of this space.
        """
        from nasbench_kit.spaces.restricted import Restricted

        return Restricted(self, np.asarray(kept), name)

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the name, the decisions, and the rows where they are not simply all digits."""
        digest = self._digest()
        if self._rows is not None:
            digest.update(np.array(self._in_order, "<i4").tobytes())
        return digest.hexdigest()

    def _example(self) -> Choices | None:
        return next(iter(self), None)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: {self._total:,} architectures>"


def _shown(architecture: Any) -> str:
    to_text = getattr(architecture, "to_text", None)
    return to_text() if callable(to_text) else repr(architecture)
