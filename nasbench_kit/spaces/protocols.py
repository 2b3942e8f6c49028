"""What a search space and its architectures are to everything else.

Oracle, traces, scores, trainer, store and commands know these protocols and no space in particular.
Decisions are the one language of general optimisers: a space whose architectures are made of choices
says which choices there are, and samplers, controllers and predictors need nothing else of it.
`nasbench_kit.spaces.decisions` makes a whole space of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, runtime_checkable

from nasbench_kit.errors import InvalidSetting

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit.spaces.skeleton import Precision, Skeleton


#: What networks read; those of a text read windows of tokens (`nasbench_kit.spaces.recurrent.window`).
Material = Literal["images", "text"]


@runtime_checkable
class Architecture(Protocol):
    """A network's design. It is hashable, and equal to another if and only if both are the same network."""

    @property
    def hash(self) -> str:
        """Text that equal architectures share: 32 hexadecimal digits, the key of files and stores."""
        ...

    def to_text(self) -> str:
        """One line without blanks, which its space reads again."""
        ...

    def canonical(self) -> Architecture:
        """The same network in the one form that equal architectures share."""
        ...

    def written_as(self, text: str) -> bool:
        """Whether the text describes this very network, in whatever labelling."""
        ...


@runtime_checkable
class Trainable(Architecture, Protocol):
    """An architecture that can become a network, and whose trainings can be priced beforehand."""

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
        """The network, [n, image_channels, h, w] -> logits [n, classes], with fresh weights.

        Args:
            skeleton: what stands around the architecture.
            image_channels: channels of an image.
            classes: number of logits.
            generator: the only source of the fresh weights.
            bn_momentum: share of the newest batch in running statistics, PyTorch's meaning; None
                averages all batches equally.
            precision: of the arithmetic; weights, statistics and logits are float32 in any case.

        Raises:
            InvalidSetting: the skeleton does not suit the architecture.
        """
        ...

    def work(self, skeleton: Skeleton, image_shape: tuple[int, int, int]) -> NDArray[np.float64]:
        """What one image costs, forward: float64 [kinds of work], as long for all of a space.

        Args:
            skeleton: what stands around the architecture.
            image_shape: height, width, channels.
        """
        ...

    def traits(self) -> Sequence[float]:
        """What adding up the work cannot see, in numbers; as many for all of a space."""
        ...


def trainable(architecture: Any) -> Trainable:
    """An architecture that can become a network.

    Raises:
        InvalidSetting: it cannot.
    """
    if not callable(getattr(architecture, "network", None)):
        raise InvalidSetting(
            f"{architecture!r} cannot become a network, so it can be neither trained nor priced"
        )
    return architecture


def material(architecture: Any) -> Material:
    """What an architecture's network reads: what its space says, and images where that says nothing."""
    read: Material = getattr(getattr(architecture, "space", None), "material", "images")
    return read


class Decision(NamedTuple):
    """One choice among options without order."""

    name: str
    #: What the options are called.
    options: tuple[str, ...]


@runtime_checkable
class Space(Protocol):
    """What can be searched. Methods take and return the space's own kind of architecture."""

    @property
    def name(self) -> str:
        """By which `nasbench_kit.spaces.named` finds the space again."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 of what the name stands for; results and tables keep it."""
        ...

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """All choices that make an architecture, in the order of ``encode`` and ``decode``."""
        ...

    def __contains__(self, architecture: object) -> bool:
        """Whether the architecture is one of this space."""
        ...

    def parse(self, text: str) -> Any:
        """The architecture of a text.

        Raises:
            InvalidArchitecture: the text is not of this space's form.
            NotInSpace: it is, but lies outside the space.
        """
        ...

    def sample(self, rng: Generator) -> Any:
        """A random architecture, as random search draws it."""
        ...

    def mutate(self, architecture: Any, rng: Generator) -> Any:
        """The architecture with one random decision changed.

        Raises:
            NotInSpace: the architecture is outside, or has no neighbour inside.
        """
        ...

    def neighbours(self, architecture: Any) -> Sequence[Any]:
        """All architectures that differ in one decision.

        Raises:
            NotInSpace: the architecture is outside.
        """
        ...

    def encode(self, architecture: Any) -> tuple[int, ...]:
        """The option of every decision.

        Raises:
            NotInSpace: the architecture is outside.
        """
        ...

    def decode(self, choices: Sequence[int]) -> Any | None:
        """The architecture of these options; None if they make no architecture of the space."""
        ...


@runtime_checkable
class Numbered(Space, Protocol):
    """A space whose architectures have rows: what tables and exact analyses need."""

    def __len__(self) -> int:
        """Number of architectures, no two of them equal."""
        ...

    def __getitem__(self, row: int) -> Any:
        """The architecture of a row.

        Raises:
            NotInSpace: there is no such row.
        """
        ...

    def index(self, architecture: Any) -> int:
        """The row of an architecture.

        Raises:
            NotInSpace: it is outside.
        """
        ...

    def restricted(self, kept: NDArray[np.integer], name: str = "") -> Numbered:
        """The sub-space of these rows (ascending), renumbered from 0.

        Raises:
            InvalidSetting: no rows, or not ascending rows of this space.
        """
        ...
