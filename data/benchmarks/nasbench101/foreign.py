"""What kind of file is this? Told from its bytes; nothing is ever unpickled.

Two copies of NAS-Bench-101 in circulation would give wrong results in silence, and are named:

- the pickle of NASBenchAPI holds 359,082 cells: all 64,542 of fewer than seven vertices are missing;
- the SQLite database of NNI (``nasbench101.db``) has ``training_time`` 60 times too large in its
  table of trials. Its table of intermediate results has the right seconds.
"""

from __future__ import annotations

import contextlib
import gzip
import pickletools
import sqlite3
import zlib
from pathlib import Path
from typing import Literal

from nasbench_kit.data.benchmarks.nasbench101 import sample
from nasbench_kit.errors import CorruptFile

Kind = Literal["table", "tfrecord", "sample"]

_OFFICIAL = "get the official file instead: nasbench-kit download nasbench101"
#: Bytes of a file that are looked at.
_HEAD = 1 << 20


def recognise(path: str | Path) -> Kind:
    """What nasbench-kit can do with a file: open it as a table, or convert it.

    Returns:
        "table" (ours, of any version), "tfrecord" (the official layout) or "sample" (JSON of rows without
        adjacency, see `nasbench_kit.data.benchmarks.nasbench101.sample`); the last two plain or gzipped.

    Raises:
        CorruptFile: anything else; the message says what it is, and what is wrong with it.
    """
    path = Path(path)
    head = beginning(path)
    if head.startswith(b"nasbench-kit table "):
        return "table"
    if head[12:14] == b'["':
        return "tfrecord"
    if sample.recognises(path, head):
        return "sample"
    if head.startswith(b"SQLite format 3\0"):
        raise CorruptFile(f"{path} is {_database(path)}; {_OFFICIAL}")
    if strings := _pickled_strings(head):
        raise CorruptFile(
            f"{path} is {_pickle(strings)}. A pickle runs whatever code its maker put into it when "
            f"it is loaded, so nasbench-kit reads none; {_OFFICIAL}"
        )
    raise CorruptFile(
        f"{path} is neither a table of nasbench-kit nor a .tfrecord of NAS-Bench-101; {_OFFICIAL}"
    )


def beginning(path: Path) -> bytes:
    """The first MiB of a file, decompressed where it is gzipped.

    Raises:
        CorruptFile: it cannot be read, or is gzipped and damaged.
    """
    try:
        with path.open("rb") as file:
            if file.peek(2)[:2] != b"\x1f\x8b":
                return file.read(_HEAD)
            with gzip.GzipFile(fileobj=file) as unzipped:
                return unzipped.read(_HEAD)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise CorruptFile(f"{path} is gzipped and damaged ({error}); {_OFFICIAL}") from error
    except OSError as error:
        raise CorruptFile(f"{path} cannot be read ({error.strerror})") from error


def _pickled_strings(head: bytes) -> list[str]:
    """The strings at the beginning of a pickle, up to where ``head`` cuts it; of others, none."""
    if head[:1] not in (b"\x80", b"(", b"]", b"}", b"c"):
        return []
    strings = []
    with contextlib.suppress(Exception):  # pickletools raises whatever a bad byte leads to
        for opcode, argument, _ in pickletools.genops(head):
            strings.append(opcode.name)
            if isinstance(argument, str):
                strings.append(argument)
    return strings if len(strings) > 1 else []


def _pickle(strings: list[str]) -> str:
    """Whose pickle it is."""
    if not {"entries_by_arch", "latest_by_arch"} & set(strings):
        return "a pickle"
    cells = [text for text in strings if len(text) >= 4 and not set(text) - set("01")]
    if not cells or any(len(text) < 49 for text in cells):
        return "a pickle of NASBenchAPI"
    return (
        "a pickle of NASBenchAPI, in which all cells looked at have seven vertices: the published "
        "one lacks the 64,542 smaller cells of NAS-Bench-101 (15 %), and answers a question about "
        "them with an empty result"
    )


def _database(path: Path) -> str:
    """Whose database it is."""
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
        ) as database:
            found = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            tables = {name.replace("_", "").lower(): name for (name,) in found}
            trials, points = (tables.get(f"nb101{name}stats") for name in ("trial", "intermediate"))
            if not trials or not points:
                return "an SQLite database of another project"
            first = database.execute(
                f'SELECT training_time, (SELECT max(training_time) FROM "{points}" WHERE trial_id = '
                f'trials.id) FROM "{trials}" AS trials LIMIT 1'
            ).fetchone()
    except sqlite3.Error as error:
        return f"a damaged SQLite database ({error})"
    if not first or not first[1] or round(first[0] / first[1]) == 1:
        return "NNI's database of NAS-Bench-101"
    told, right = first
    return (
        f"NNI's database of NAS-Bench-101, whose training times are {told / right:.0f} times too "
        f"large: its first training took {right:.1f} s and not {told:.1f} s, as the table {points} "
        "says"
    )
