"""How a cell is written on the command line."""

from __future__ import annotations

import re

from nasbench_kit.errors import UnknownName
from nasbench_kit.spaces.nasbench101.cell import NAMED_CELLS, Cell
from nasbench_kit.spaces.nasbench101.space import CellSpace

#: Help of an argument that ``parse_cell`` reads.
CELL_HELP = (
    f"a name ({', '.join(NAMED_CELLS)}), an official hash, or rows and operations as in "
    f"{NAMED_CELLS['resnet']}"
)


def parse_cell(text: str, space: CellSpace | None = None) -> Cell:
    """A cell from its name, its official hash, or its rows and operations.

    Args:
        text: what the user wrote.
        space: where a hash is looked up; the space of NAS-Bench-101 by default.

    Raises:
        UnknownName: no cell goes by this name.
        NotInSpace: the space has no cell of this hash.
        InvalidCell: rows and operations describe no cell.
    """
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
