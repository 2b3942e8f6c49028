"""Texts from files: Penn Treebank's and WikiText's folders, and any UTF-8 file.

The folders hold three files, already cut into words: ``ptb.train.txt``, ``ptb.valid.txt``, ``ptb.test.txt``
(Mikolov et al., 2010), or ``wiki.train.tokens`` and so on (Merity et al., Pointer sentinel mixture models,
ICLR 2017); of WikiText also the raw characters, ``wiki.train.raw``. Their vocabulary is all that the
training text has. A file of your own is cut here; its first eight tenths train, the next tenth validates, the
last one tests, at the ends of lines.
"""

from __future__ import annotations

import itertools
from pathlib import Path

from nasbench_kit.data.text.tokens import text_set, written_words
from nasbench_kit.errors import CorruptFile, InvalidSetting, UnknownName
from nasbench_kit.training.images import SPLITS
from nasbench_kit.training.text import TextSet, Unit

#: Name of the set -> the three files of its folder.
LAYOUTS = {
    "penn-treebank": ("ptb.train.txt", "ptb.valid.txt", "ptb.test.txt"),
    "wikitext": ("wiki.train.tokens", "wiki.valid.tokens", "wiki.test.tokens"),
    "wikitext-raw": ("wiki.train.raw", "wiki.valid.raw", "wiki.test.raw"),
}
#: A word of your own file is one of the vocabulary if the training part has it this often.
_FEWEST = {"words": 3, "characters": 1}


def layout(folder: Path) -> str | None:
    """Which of the layouts a folder has: that of the first file that is there."""
    return next(
        (
            name
            for name, files in LAYOUTS.items()
            if any((folder / file).is_file() for file in files)
        ),
        None,
    )


def text_folder(folder: Path, unit: Unit) -> TextSet:
    """Read a folder of one of the layouts.

    Raises:
        UnknownName: it has none of them.
        CorruptFile: a file is missing, cannot be read or is no UTF-8.
        InvalidSetting: a file has fewer than two tokens.
    """
    name = layout(folder)
    if name is None:
        raise UnknownName(
            f"{folder} holds no text: neither ptb.train.txt nor wiki.train.tokens; name another folder"
        )
    texts = dict(zip(SPLITS, (_read(folder / file) for file in LAYOUTS[name]), strict=True))
    cut = written_words if unit == "words" else None
    return text_set(name, texts, unit, cut=cut)


def text_file(path: Path, unit: Unit) -> TextSet:
    """Read a UTF-8 file of your own.

    Raises:
        CorruptFile: it cannot be read or is no UTF-8.
        InvalidSetting: it is too short for three splits.
    """
    lines = _read(path).splitlines(keepends=True)
    ends = [0, len(lines) * 8 // 10, len(lines) * 9 // 10, len(lines)]
    if len(lines) < 10:  # a text of few lines is cut anywhere
        text = "".join(lines)
        ends = [0, len(text) * 8 // 10, len(text) * 9 // 10, len(text)]
        lines = list(text)
    parts = ["".join(lines[first:last]) for first, last in itertools.pairwise(ends)]
    if not all(part.strip() for part in parts):
        raise InvalidSetting(f"{path} is too short for three splits; give a longer text")
    return text_set(path.name, dict(zip(SPLITS, parts, strict=True)), unit, fewest=_FEWEST[unit])


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CorruptFile(f"{path} is missing; the folder needs all three files") from None
    except UnicodeDecodeError as error:
        raise CorruptFile(
            f"{path} is no UTF-8 text (byte {error.start:,}); convert it first"
        ) from error
    except OSError as error:
        raise CorruptFile(f"{path} cannot be read: {error.strerror}") from error
