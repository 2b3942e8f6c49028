"""A surrogate's table in a quarter of the room for seconds: those of the longest training only.

The others are fixed shares of it (``provenance["seconds"]["shares"]``). A plain ``Table.open`` reads
such a file without its seconds.
"""

from __future__ import annotations

from pathlib import Path

from nasbench_kit import table_file
from nasbench_kit.data.surrogate import ACCURACY, proportional
from nasbench_kit.errors import InvalidSetting
from nasbench_kit.table import Table

_SECONDS = "longest/seconds"


def write(table: Table, path: Path) -> None:
    """Write a surrogate's table, atomically.

    Raises:
        InvalidSetting: its accuracies are no counts, as those of a surrogate are.
        NotWritable: the folder cannot be written, or the disk is full.
    """
    accuracy = table.column(ACCURACY)
    if accuracy.images is None:
        raise InvalidSetting(f"the table {table.name} is none that a surrogate made")
    arrays = {f"final/{ACCURACY}": accuracy.values}
    if table.has("seconds"):
        arrays[_SECONDS] = table.column("seconds").values[:, -1, 0]
    images = {f"final/{ACCURACY}": accuracy.images}
    header = {
        "space": table.space.name,
        "order": table.space.digest,
        "epochs": table.epochs,
        "provenance": table.provenance,
        "images": images,
        "checksum": table.checksum,
    }
    attributes = {name: {"images": count} for name, count in images.items()}
    table_file.write(path, header, arrays, attributes)


def read(path: Path) -> Table:
    """Open what ``write`` wrote.

    Raises:
        CorruptFile: as ``Table.open``.
    """
    table = Table.open(path)
    _, arrays = table_file.read(path)
    if _SECONDS not in arrays:
        return table
    shares = table.provenance["seconds"]["shares"]
    columns = {**table.columns, ("final", "seconds"): proportional(arrays[_SECONDS], shares)}
    return Table(table.space, table.epochs, columns, provenance=table.provenance)
