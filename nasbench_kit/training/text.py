"""A text to train on: tokens in three splits, each to be told from those before it.

Anything that fills a ``TextSet`` can be trained on; `nasbench_kit.data.text` reads some.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from nasbench_kit.errors import InvalidSetting
from nasbench_kit.spaces.protocols import Material
from nasbench_kit.training.images import SPLITS
from nasbench_kit.training.recipe import Recipe, TextRecipe

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from nasbench_kit.training.data_set import DataSet
    from nasbench_kit.training.loaded_text import LoadedText


#: What becomes a token.
Unit = Literal["words", "characters"]


@dataclass(frozen=True, eq=False)
class TextSet:
    """A text in three splits. Two are the same when their ``digest`` is.

    Raises:
        InvalidSetting: a split of another type or shape, with fewer than two tokens or with one outside
            the vocabulary; or a vocabulary of less than two tokens.
    """

    material: ClassVar[Material] = "text"

    name: str
    #: int64 [n]: the tokens in the text's order, as places in the vocabulary.
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    vocabulary: tuple[str, ...]
    unit: Unit = "words"

    def __post_init__(self) -> None:
        if self.classes < 2:
            raise InvalidSetting(
                f"{self.name}: the vocabulary has {self.classes} tokens; there must be 2 or more"
            )
        for name in SPLITS:
            tokens: NDArray[np.int64] = getattr(self, name)
            where = f"{self.name}, {name} split"
            if tokens.dtype != np.int64 or tokens.ndim != 1 or len(tokens) < 2:
                raise InvalidSetting(
                    f"{where}: tokens are {tokens.dtype} {list(tokens.shape)}; give int64 [n] with n at "
                    "least 2"
                )
            if tokens.min() < 0 or tokens.max() >= self.classes:
                raise InvalidSetting(
                    f"{where}: tokens run from {tokens.min()} to {tokens.max()}; with a vocabulary of "
                    f"{self.classes} they must lie in 0..{self.classes - 1}"
                )

    @property
    def class_names(self) -> tuple[str, ...]:
        """What the logits stand for: the vocabulary."""
        return self.vocabulary

    @property
    def classes(self) -> int:
        """Tokens of the vocabulary."""
        return len(self.vocabulary)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one token: a place with a channel for every token of the vocabulary."""
        return 1, 1, self.classes

    @property
    def sizes(self) -> str:
        """How many tokens each split has, in words."""
        counts = ", ".join(f"{len(getattr(self, name)):,} {name}" for name in SPLITS)
        return f"{counts} {self.unit}, a vocabulary of {self.classes:,}"

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all that a training sees, as 64 hexadecimal characters."""
        sha = hashlib.sha256(repr((self.name, self.unit, self.vocabulary)).encode())
        for name in SPLITS:
            tokens = np.ascontiguousarray(getattr(self, name).astype("<i8"))
            sha.update(f"{name} {tokens.shape}".encode())
            sha.update(tokens.data)
        return sha.hexdigest()

    def loaded(self, device: torch.device, recipe: Recipe) -> LoadedText:
        """The text on a device, cut into the recipe's streams and windows.

        Raises:
            InvalidSetting: the recipe is one for images, or a split is too short for its streams.
        """
        from nasbench_kit.training.loaded_text import load

        return load(self, device, text_recipe(recipe, self.name))


def check_material(read: Material, data: DataSet, recipe: Recipe, what: str) -> None:
    """Refuse networks, data and recipes that do not go together.

    Args:
        read: what networks read, see `nasbench_kit.spaces.protocols.material`.
        data: what they are to be trained on.
        recipe: how.
        what: the networks, for the message.

    Raises:
        InvalidSetting: two of them are for images, and one for text, or the other way round.
    """
    if read != data.material:
        other = "topics" if read == "text" else "digits"
        raise InvalidSetting(
            f"networks of {what} read {read}, and {data.name} is made of {data.material}; choose other "
            f"data, such as --data {other}"
        )
    if data.material == "text":
        text_recipe(recipe, data.name)
    elif isinstance(recipe, TextRecipe):
        raise InvalidSetting(
            f"the recipe {recipe.name} is for text, and {data.name} is made of images; choose another "
            "(--recipe)"
        )


def text_recipe(recipe: Recipe, name: str) -> TextRecipe:
    """A recipe that trains on text.

    Raises:
        InvalidSetting: it is one for images.
    """
    if not isinstance(recipe, TextRecipe):
        raise InvalidSetting(
            f"the recipe {recipe.name} is for images, and {name} is a text; choose one such as "
            "'topics' (--recipe)"
        )
    return recipe
