"""How an architecture is written on the command line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from nasbench_kit.errors import UnknownName
from nasbench_kit.spaces.nasbench101.cell import NAMED_CELLS, Cell
from nasbench_kit.spaces.nasbench101.space import CellSpace

if TYPE_CHECKING:
    from nasbench_kit.spaces.protocols import Space

#: Help of an argument that ``parse_architecture`` reads of a cell.
CELL_HELP = (
    f"a name ({', '.join(NAMED_CELLS)}), an official hash, or rows and operations as in "
    f"{NAMED_CELLS['resnet']}"
)


def parse_architecture(text: str, space: Space | None = None) -> Any:
    """An architecture of a space; a cell also from its name or its official hash.

    Args:
        text: what the user wrote.
        space: where it lies, or where a hash is looked up; the space of NAS-Bench-101 by default.

    Raises:
        UnknownName: no cell goes by this name.
        NotInSpace: the space has no cell of this hash.
        InvalidArchitecture: the text describes none.
    """
    if space is not None and not isinstance(space, CellSpace):
        return space.parse(text)
    if re.fullmatch(r"[0-9a-fA-F]{32}", text):
        space = space or CellSpace()
        return space[space.index_of_hash(text.lower())]
    if ":" in text:
        return Cell.from_text(text)
    try:
        return Cell.named(text)
    except UnknownName as error:
        raise UnknownName(
            f"{error}; or give a hash of 32 hexadecimal digits, or rows:operations"
        ) from None
