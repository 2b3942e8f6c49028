"""The finished parts of a build: small compressed files in one folder, each of a few cells.

A part says which cells it is of, so that it serves every space that has the same cells in the same
rows: a larger number of vertices, a fidelity added later, a checkout on another machine.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.errors import NotRecorded, WrongTable
from nasbench_kit.system import files

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_kit.spaces.nasbench101.space import CellSpace

#: Arrays of a part of trainings, and of one of seconds.
TRAINED, TIMED = ("correct", "failed", "parameters"), ("seconds",)
#: Cells of one part: about a minute of work at 36 epochs on the digits.
PART = 16
#: Says under which conditions a folder's parts were made; without it, it is no folder of a build.
MANIFEST = "conditions.json"
#: Names of a build's files, and of what a process leaves in the folder that is killed.
NAME = re.compile(
    r"(conditions|clock)\.json"
    r"|row[0-9]{6,9}-(epochs[0-9]{3,9}|seconds-[0-9])\.npz|scoring[0-9]{3}-epochs[0-9]{3,9}\.npz"
)
LEFTOVER = re.compile(rf"\.lock|\.({NAME.pattern})\..*\.part")
#: Bytes of a part's arrays: far more than 16 cells have, and no load on memory.
LARGEST = 1 << 26
#: What reading a damaged or foreign .npz or .zip may raise.
UNREADABLE = (
    *(OSError, ValueError, LookupError, EOFError, TypeError, RuntimeError, MemoryError),
    *(zlib.error, zipfile.BadZipFile),
)


def row_ranges(space: CellSpace) -> list[range]:
    """The rows of each part: at most PART cells, of one number of vertices."""
    sizes = np.array([cell.size for cell in space])
    borders = [0, *(np.flatnonzero(np.diff(sizes)) + 1).tolist(), len(space)]
    return [
        range(first, min(first + PART, stop))
        for start, stop in itertools.pairwise(borders)
        for first in range(start, stop, PART)
    ]


def training_path(folder: Path, rows: range, epochs: int) -> Path:
    """Where the accuracies of some rows at one fidelity lie."""
    return folder / f"row{rows.start:06d}-epochs{epochs:03d}.npz"


def seconds_path(folder: Path, rows: range, turn: int) -> Path:
    """Where the seconds an epoch of some rows lie, as one of the rounds found them."""
    return folder / f"row{rows.start:06d}-seconds-{turn}.npz"


def scoring_path(folder: Path, turn: int, epochs: int) -> Path:
    """Where one more training of each of the best cells lies."""
    return folder / f"scoring{turn:03d}-epochs{epochs:03d}.npz"


def save(path: Path, space: CellSpace, rows: Sequence[int], **arrays: NDArray[Any]) -> None:
    """Write a part: arrays whose first axis is the rows.

    Raises:
        NotWritable: the folder cannot be written.
    """
    with files.replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, cells=_cells(space, rows), **arrays)


def load(
    path: Path, space: CellSpace, rows: Sequence[int], names: Sequence[str]
) -> dict[str, NDArray[Any]]:
    """Read what ``save`` wrote: arrays of these names.

    Raises:
        NotRecorded: the part is missing or damaged.
        WrongTable: it is of other cells.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            if sum(entry.file_size for entry in file.zip.infolist()) > LARGEST:
                raise ValueError("its arrays are too large")
            arrays = {name: file[name] for name in file.files}
        cells = arrays.pop("cells")
        if any(len(array) != len(cells) for array in arrays.values()):
            raise ValueError("its arrays differ in length")
    except FileNotFoundError:
        raise NotRecorded(f"{path} is missing; run the build again to make it") from None
    except UNREADABLE as error:
        raise NotRecorded(
            f"{path} is damaged ({error}); delete it and run the build again"
        ) from error
    if not np.array_equal(cells, _cells(space, rows)):
        raise WrongTable(
            f"{path} is of other cells than rows {rows[0]} to {rows[-1]} of {space.name}; "
            "choose another target"
        )
    if arrays.keys() != set(names):
        raise NotRecorded(f"{path} is damaged (it lacks arrays); delete it and run the build again")
    return arrays


def _cells(space: CellSpace, rows: Sequence[int]) -> NDArray[np.int32]:
    """Size, edge bits and operations code of each cell: [rows, 3]."""
    cells = [space[row] for row in rows]
    return np.array([(cell.size, cell.bits, cell.code) for cell in cells], np.int32)


def read_json(path: Path) -> dict[str, Any]:
    """What a small file of the folder says.

    Raises:
        NotRecorded: it is missing or damaged.
    """
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise NotRecorded(f"{path} cannot be read ({error}); restore it or delete it") from error


@contextlib.contextmanager
def claimed(folder: Path, conditions: Mapping[str, Any]) -> Iterator[None]:
    """Hold the folder for one builder, under the conditions that its parts were made with.

    Raises:
        WrongTable: other conditions, or another builder is at work.
        NotWritable: the folder cannot be written.
    """
    manifest = folder / MANIFEST
    now = json.loads(json.dumps(conditions))
    with files.claimed(folder, "builder"):
        if not manifest.exists():
            if not all(LEFTOVER.fullmatch(path.name) for path in folder.iterdir()):
                raise WrongTable(
                    f"{folder} holds files and no {MANIFEST}, so it is not of a build; choose "
                    "another target, or move it away"
                )
            files.write_text(manifest, json.dumps(now, indent=1) + "\n")
        recorded = read_json(manifest)
        for name, value in now.items():
            if recorded.get(name) != value:
                raise WrongTable(
                    f"the parts in {folder} were made with another {name}: {recorded.get(name)}, now "
                    f"{value}; choose another target, or delete the folder and the archive of it, if any"
                )
        for leftover in folder.glob(".*.part"):  # of a process that was killed
            leftover.unlink(missing_ok=True)
        yield
