"""Tidy columns on disk: the same rows as Parquet, typed, and as CSV, for everybody."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nasbench_kit.system.files import replacing

#: Types of columns by the annotation of a dataclass's field, "| None" left out.
_ARROW = {"str": "string", "int": "int64", "float": "double", "bool": "bool"}


def write_columns(
    stem: Path, columns: Mapping[str, Any], types: Mapping[str, str] | None = None
) -> None:
    """Write columns of equal length to STEM.parquet and STEM.csv; None is null there, empty here.

    Args:
        stem: path without ending.
        columns: arrays or lists by name.
        types: "str", "int", "float" or "bool" of the columns where the values alone may not tell.

    Raises:
        NotWritable: the folder cannot be written.
    """
    import pyarrow as pa
    from pyarrow import csv, parquet

    arrow_types = types or {}
    table = pa.table(
        {
            name: pa.array(values, _ARROW.get(arrow_types.get(name, "").removesuffix(" | None")))
            for name, values in columns.items()
        }
    )
    with replacing(stem.with_name(stem.name + ".parquet")) as temporary:
        parquet.write_table(table, temporary)
    with replacing(stem.with_name(stem.name + ".csv")) as temporary:
        csv.write_csv(table, temporary, csv.WriteOptions(quoting_style="needed"))
