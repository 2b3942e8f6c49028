"""Runs of a comparison that failed: each says why in a file of the folder, until it is done.

The first line of ``failures/LABEL-SEED.txt`` is the error, the rest its traceback.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Mapping
from pathlib import Path

from nasbench_kit.checks import counted
from nasbench_kit.compare.run_folder import failure_path, trace_path
from nasbench_kit.errors import WorkerDied
from nasbench_kit.system.files import write_text

#: Label and seed.
Job = tuple[str, int]

#: Failed runs that are named one by one, and characters of an error that are shown.
_NAMED, _SHOWN = 10, 300


def save(folder: Path, label: str, seed: int, error: BaseException) -> None:
    """Write down why a run failed.

    Raises:
        NotWritable: the folder cannot be written.
    """
    text = f"{_in_a_line(error)}\n\n{''.join(traceback.format_exception(error))}"
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    write_text(failure_path(folder, label, seed), text)


def load(folder: Path) -> dict[Job, str]:
    """The errors of the runs that failed and were not done since, by label and seed."""
    errors = {}
    for path in sorted((folder / "failures").glob("*.txt")):
        label, _, seed = path.stem.rpartition("-")
        with contextlib.suppress(OSError, ValueError):
            if not trace_path(folder, label, int(seed)).exists():
                lines = path.read_text(encoding="utf-8").splitlines()
                errors[label, int(seed)] = lines[0] if lines else "no reason is known"
    return errors


def listed(failed: Mapping[Job, str], folder: Path, deaths: WorkerDied | None = None) -> str:
    """A line for each of them, the first ones if there are many, and where to read more.

    Args:
        failed: errors by run.
        folder: of the comparison.
        deaths: of further runs, which could not leave an error.
    """
    lines = [f"{label}, seed {seed}: {error}" for (label, seed), error in failed.items()]
    return _message(lines, len(failed), folder, deaths)


def listed_by_task(
    failed: Mapping[str, Mapping[Job, str]], folder: Path, deaths: WorkerDied | None = None
) -> str:
    """The same of a comparison over many tasks: a line for all seeds that failed alike.

    Args:
        failed: errors by task and run.
        folder: of all tasks.
        deaths: as of ``listed``.
    """
    seeds: dict[tuple[str, str, str], list[int]] = {}
    for task, errors in failed.items():
        for (label, seed), error in errors.items():
            seeds.setdefault((task, label, error), []).append(seed)
    lines = [
        f"{task}: {label}, "
        + (f"seed {alike[0]}" if len(alike) == 1 else counted(len(alike), "seed"))
        + f": {error}"
        for (task, label, error), alike in seeds.items()
    ]
    return _message(lines, sum(map(len, failed.values())), folder / "TASK", deaths)


def _message(lines: list[str], count: int, folder: Path, deaths: WorkerDied | None) -> str:
    if len(lines) > _NAMED:
        lines[_NAMED:] = [f"and {len(lines) - _NAMED:,} more"]
    runs = counted(count, "run")
    lines = [f"{runs} failed; all others are done", *(f"  {line}" for line in lines)]
    lines.append(f"tracebacks: {folder / 'failures'}/; the same call again tries them once more")
    if deaths is not None:
        lines[0] = f"{runs} failed"
        lines.append(str(deaths))
    return "\n".join(lines)


def _in_a_line(error: BaseException) -> str:
    try:
        message = str(error)
    except Exception:  # noqa: BLE001  # whatever the class's own code says
        message = ""
    line = " ".join("".join(c if c.isprintable() else " " for c in message).split())
    if len(line) > _SHOWN:
        line = f"{line[:_SHOWN]}..."
    return f"{type(error).__name__}: {line}" if line else type(error).__name__
