"""Runs of an experiment on many processes, recorded one line a run, so that nothing finished is lost."""

from __future__ import annotations

import functools
import json
import math
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from nasbench_kit.errors import CorruptFile
from nasbench_kit.system.workers import Progress, spread

#: What a run is called: JSON scalars, the arguments of the work.
Job = tuple[str | float, ...]


def record(
    work: Callable[..., dict[str, Any]],
    jobs: Iterable[Job],
    path: Path,
    *,
    workers: int = 1,
    minutes: float = math.inf,
    progress: Progress | None = None,
) -> bool:
    """Do the jobs that the file lacks, in their order; each adds a line when it is done.

    Args:
        work: a function that other processes can import; returns what JSON can hold.
        jobs: its arguments, the most informative first.
        path: of the lines, which a later call goes on from.
        workers: processes.
        minutes: after which no job is started any more.
        progress: called as by ``spread``.

    Returns:
        Whether all jobs are done.

    Raises:
        CorruptFile: a line of the file is not of a run.
        InvalidSetting, WorkerDied: as ``spread``.
    """
    jobs = list(jobs)
    done = recorded(path)
    missing = [job for job in jobs if job not in done]
    deadline = time.time() + 60 * minutes
    spread(functools.partial(_do, work, path, deadline), missing, workers, progress)
    return recorded(path).keys() >= set(jobs)


def recorded(path: Path) -> dict[Job, dict[str, Any]]:
    """What the runs of a file came to, by their jobs; without a file none.

    Raises:
        CorruptFile: a line of the file is not of a run.
    """
    if not path.exists():
        return {}
    runs = {}
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        try:
            run = json.loads(line)
            runs[tuple(run.pop("job"))] = run
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorruptFile(
                f"line {number} of {path} is not of a run; remove the line, and the same command does "
                "the run again"
            ) from error
    return runs


def _do(
    work: Callable[..., dict[str, Any]], path: Path, deadline: float, *job: str | float
) -> None:
    if time.time() > deadline:
        return
    line = json.dumps({"job": job, **work(*job)}) + "\n"
    # One write at the end of the file, which other processes write to as well.
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)
