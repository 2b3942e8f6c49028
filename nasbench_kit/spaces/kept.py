"""Spaces of Katib's experiments, kept in the home folder, where their names find them again."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from nasbench_kit.errors import CorruptFile, UnknownName
from nasbench_kit.system.files import home, write_text

_FOLDER = "katib-spaces"


class Described(Protocol):
    """A space with a name that comes from its description."""

    name: str

    def description(self) -> dict[str, Any]:
        """All that makes the space, as JSON can hold it."""
        ...


S = TypeVar("S", bound=Described)


def digest_of(description: dict[str, Any]) -> str:
    """Twelve hexadecimal digits that equal descriptions share."""
    return hashlib.sha256(json.dumps(description).encode()).hexdigest()[:12]


def keep(space: Described) -> None:
    """Write a space into the home folder.

    Raises:
        NotWritable: that is impossible.
    """
    path = home() / _FOLDER / f"{space.name}.json"
    write_text(path, json.dumps(space.description()) + "\n")


def kept(name: str, make: Callable[[Any], S]) -> S:
    """The space that ``keep`` wrote.

    Args:
        name: of the space.
        make: the space of a description; whatever it raises means that the file is damaged.

    Raises:
        UnknownName: there is none of this name.
        CorruptFile: its file is damaged.
    """
    path = home() / _FOLDER / f"{name}.json"
    if not re.fullmatch("[a-z0-9-]{1,100}", name) or not path.is_file():
        raise UnknownName(
            f"no Katib experiment with the space {name} was read on this machine; read it once with "
            "`nasbench-kit katib EXPERIMENT.yaml --dry-run`"
        )
    try:
        space = make(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, LookupError) as error:
        raise CorruptFile(f"{path} is no space of a Katib experiment; delete it") from error
    if space.name != name:
        raise CorruptFile(f"{path} is another space than its name says; delete it")
    return space
