"""Spreading independent jobs over processes. What is to be kept, a job writes to a file itself."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from nasbench_kit.errors import InvalidSetting, NasbenchKitError

#: Called with (done, in all) whenever a job is finished.
Progress = Callable[[int, int], None]


def spread(
    work: Callable[..., Any],
    jobs: Sequence[tuple[Any, ...]],
    workers: int,
    progress: Progress | None = None,
) -> None:
    """Call ``work(*job)`` for every job, on so many processes; in this one if ``workers`` is 1.

    Raises:
        InvalidSetting: fewer than one worker.
        NasbenchKitError: a worker process was killed. What was finished is kept.
    """
    check_workers(workers)
    for done, _ in enumerate(_finished(work, jobs, min(workers, len(jobs))), start=1):
        if progress is not None:
            progress(done, len(jobs))


def check_workers(workers: int) -> None:
    """Refuse a number of workers that can do nothing.

    Raises:
        InvalidSetting: fewer than one.
    """
    if workers < 1:
        raise InvalidSetting(f"workers is {workers}; at least 1 is needed")


def _finished(
    work: Callable[..., Any], jobs: Sequence[tuple[Any, ...]], workers: int
) -> Iterator[None]:
    if workers <= 1:
        for job in jobs:
            work(*job)
            yield
        return
    context = multiprocessing.get_context("spawn")  # torch does not survive a fork
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        pending = [pool.submit(work, *job) for job in jobs]
        try:
            for future in as_completed(pending):
                future.result()
                yield
        except BrokenProcessPool:
            raise NasbenchKitError(
                "a worker process died (killed, or out of memory); what was finished is kept, run the "
                "same command again to finish the rest, with fewer --workers if memory is short"
            ) from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
