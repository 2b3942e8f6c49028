"""Python's documentation topics: a text that every installation has, so that nothing is downloaded.

They are what ``help("assert")`` and the like show, chapters of the language reference under the licence of
Python. Chapters repeat each other; every paragraph is kept only where it stands first. Each version of Python
has its own topics: the set's name says which, and its digest tells any two apart.
"""

from __future__ import annotations

import functools
import platform
from collections.abc import Mapping

from nasbench_kit.data.text.tokens import text_set
from nasbench_kit.training.text import TextSet, Unit

#: Of the characters, what each split shall have.
SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
#: A word is one of the vocabulary if the training topics have it this often.
_FEWEST: Mapping[Unit, int] = {"words": 5, "characters": 1}


@functools.cache
def topics(unit: Unit = "words") -> TextSet:
    """Training, validation and test topics; no topic and no paragraph is in two splits.

    In Python 3.11 there are 79 topics with 75,000 training words.
    """
    from pydoc_data.topics import topics as texts

    return text_set(
        f"topics of Python {platform.python_version()}",
        dealt(without_repetitions(texts)),
        unit,
        fewest=_FEWEST[unit],
    )


def without_repetitions(texts: Mapping[str, str]) -> dict[str, str]:
    """Texts in the order of their names, each without the paragraphs that stand in those before."""
    seen: set[str] = set()
    kept = {}
    for name in sorted(texts):
        paragraphs = []
        for paragraph in texts[name].split("\n\n"):
            if (plain := " ".join(paragraph.split())) and plain not in seen:
                seen.add(plain)
                paragraphs.append(paragraph)
        kept[name] = "\n\n".join(paragraphs) + "\n"
    return kept


def dealt(texts: Mapping[str, str]) -> dict[str, str]:
    """Three splits of whole texts: the longest first, each to the split that lacks most of its share."""
    lacking = {split: share * sum(map(len, texts.values())) for split, share in SHARES.items()}
    splits: dict[str, list[str]] = {split: [] for split in SHARES}
    for name in sorted(texts, key=lambda name: (-len(texts[name]), name)):
        split = max(lacking, key=lambda split: lacking[split])
        lacking[split] -= len(texts[name])
        splits[split].append(name)
    return {
        split: "\n".join(texts[name] for name in sorted(names)) for split, names in splits.items()
    }
