"""Tables made of official files when they are asked for, kept in the user's cache.

    NASBENCH_KIT_HOME/converted/SHA256.h5     the table of the file with this checksum
    NASBENCH_KIT_HOME/converted/PATH.json     the checksum of a file as it was, by a digest of its path

Nothing is written beside the file itself. A table is found by what is in the file, not by its name
or date, and says in its provenance whose it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

from nasbench_kit.data.benchmarks.nasbench101.convert import convert
from nasbench_kit.errors import CorruptFile, NotWritable, WrongTable
from nasbench_kit.system.files import home, replacing, write_text
from nasbench_kit.table.table import Table

#: Nanoseconds after its last change from which a file's times tell one content from another.
_SETTLED = 2_000_000_000


def table_of(path: Path) -> Table:
    """The table of an official file; the first time it is converted, and standard error says so.

    Raises:
        CorruptFile: the file is damaged, or changed while it was read; or its table is damaged.
        WrongTable: where its table would lie, there is another one.
        NotWritable: the cache cannot be written.
    """
    digest = _checksum(path)
    source = {"sha256": digest, "source_bytes": path.stat().st_size}
    place = home() / "converted" / f"{digest}.h5"
    if not place.exists():
        _make(path, place, source)
    again = f"move {place} away, and it will be made again of {path}"
    try:
        table = Table.open(place)
    except CorruptFile as error:
        raise CorruptFile(f"{error}; {again}") from error
    recorded = {name: table.provenance.get(name) for name in source}
    if recorded != source:
        raise WrongTable(f"{place} was made of another file, SHA-256 {recorded['sha256']}; {again}")
    return table


def _make(path: Path, place: Path, source: dict[str, Any]) -> None:
    print(f"Converting {path} to {place}; this is done once", file=sys.stderr)
    before = _identity(path)
    name = path.name.partition(".")[0]
    try:
        with replacing(place) as temporary:
            report = convert(path, temporary, provenance={"name": name, **source})
            if _identity(path) != before:
                raise _changed(path)
    except NotWritable as error:
        raise NotWritable(
            f"{error}; set NASBENCH_KIT_HOME to one, or convert the file with nasbench-kit convert "
            "and open the table"
        ) from error
    report.target = str(place)
    print(report.summary(), file=sys.stderr)


def _checksum(path: Path) -> str:
    """SHA-256 of a file; not read again as long as nothing touched it."""
    before = _identity(path)
    note = home() / "converted" / f"{hashlib.sha256(before['path'].encode()).hexdigest()[:32]}.json"
    noted = _noted(note)
    if noted is not None and noted["identity"] == before:
        return str(noted["sha256"])
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if _identity(path) != before:
        raise _changed(path)
    settled = time.time_ns() - max(before["mtime_ns"], before["ctime_ns"]) > _SETTLED
    if settled and (noted is not None or not note.exists()):
        with contextlib.suppress(NotWritable):  # it is read again next time
            write_text(note, json.dumps({"identity": before, "sha256": digest}))
    return digest


def _noted(note: Path) -> dict[str, Any] | None:
    """A checksum that was written down; None if there is none, or the file is not one of ours."""
    try:
        noted: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
        usable = set(noted) == {"identity", "sha256"} and re.fullmatch(
            "[0-9a-f]{64}", noted["sha256"]
        )
    except (OSError, ValueError, TypeError):
        return None
    return noted if usable else None


def _identity(path: Path) -> dict[str, Any]:
    """What differs as soon as a file is written, replaced, renamed or given another date."""
    status = os.stat(path)
    return {
        "path": str(path.resolve()),
        "device": status.st_dev,
        "inode": status.st_ino,
        "bytes": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "ctime_ns": status.st_ctime_ns,
    }


def _changed(path: Path) -> CorruptFile:
    return CorruptFile(f"{path} changed while it was read; wait until it is complete")
