"""From characters to tokens: words or characters, and the vocabulary that a text set has."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import get_args

import numpy as np

from nasbench_kit.errors import InvalidSetting
from nasbench_kit.training.images import SPLITS
from nasbench_kit.training.text import TextSet, Unit

UNITS: tuple[Unit, ...] = get_args(Unit)
#: Stand for the end of a line among words, and for what the vocabulary lacks.
END, UNKNOWN = "<eos>", "<unk>"


def lines(text: str) -> list[str]:
    """What stands before each newline, and after the last one; no other sign ends a line."""
    return text.removesuffix("\n").split("\n") if text else []


def written_words(text: str) -> list[str]:
    """What stands between blanks, as in texts that were cut into words beforehand; a line's end is one."""
    return [word for line in lines(text) for word in [*line.split(), END]]


def words(text: str) -> list[str]:
    """Runs of letters and digits, and any other sign alone; a line's end is a word."""
    return [word for line in lines(text) for word in [*re.findall(r"\w+|[^\w\s]", line), END]]


#: By unit, the signs of a text that nobody cut beforehand.
CUTS: Mapping[Unit, Callable[[str], list[str]]] = {"words": words, "characters": list}


def text_set(
    name: str,
    splits: Mapping[str, str],
    unit: Unit,
    *,
    cut: Callable[[str], list[str]] | None = None,
    fewest: int = 1,
) -> TextSet:
    """Texts as tokens of the vocabulary that the training text has.

    Args:
        name: of the set.
        splits: the texts of train, validation and test.
        unit: what becomes a token.
        cut: how; `CUTS` by default.
        fewest: how often the training text must have a token that the vocabulary holds. All others
            become ``UNKNOWN``.

    Raises:
        InvalidSetting: a split has fewer than two tokens.
    """
    tokens = {split: (cut or CUTS[unit])(splits[split]) for split in SPLITS}
    for split, those in tokens.items():
        if len(those) < 2:
            raise InvalidSetting(
                f"{name}: the {split} split has {len(those)} {unit}; each needs 2 or more"
            )
    counts = Counter(tokens["train"])
    kept = {UNKNOWN} | {token for token, count in counts.items() if count >= fewest}
    vocabulary = tuple(sorted(kept))
    places = {token: place for place, token in enumerate(vocabulary)}
    train, validation, test = (_places(tokens[split], places) for split in SPLITS)
    return TextSet(name, train, validation, test, vocabulary, unit)


def _places(tokens: Iterable[str], places: Mapping[str, int]) -> np.ndarray:
    unknown = places[UNKNOWN]
    return np.array([places.get(token, unknown) for token in tokens], np.int64)
