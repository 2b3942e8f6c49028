"""Spreading independent jobs over local processes or a Ray cluster.

A worker that dies (killed, out of memory) is replaced and its job done again, a bounded number of
times. A job that is to leave something behind writes it to a file itself, atomically, because it may be
done twice.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import wait
from numbers import Integral
from typing import Any, Literal, get_args

from nasbench_kit.checks import counted
from nasbench_kit.errors import InvalidSetting, WorkerDied
from nasbench_kit.system import ending
from nasbench_kit.system.jobs import ProcessEnded, Worker, pickled

#: Called with (done, in all): once at the start, then whenever a job is finished.
Progress = Callable[[int, int], None]
#: Where jobs are done: processes of this machine, or a Ray cluster that is running.
Executor = Literal["local", "ray"]
#: A job is given up once it has ended this number of workers.
ATTEMPTS = 3


def spread(
    work: Callable[..., Any],
    jobs: Sequence[tuple[Any, ...]],
    workers: int,
    progress: Progress | None = None,
    executor: Executor = "local",
) -> None:
    """Call ``work(*job)`` for every job.

    Args:
        work: a function that other processes can import.
        jobs: its arguments.
        workers: local processes; a single worker is this process. A Ray cluster brings its own.
        progress: called after every finished job.
        executor: where the jobs are done.

    Raises:
        InvalidSetting: fewer than one worker, or no Ray cluster.
        WorkerDied: some jobs killed every worker that tried them; all others are done.
    """
    check_workers(workers, executor)
    if executor == "ray":
        from nasbench_kit.system import ray_cluster

        results = ray_cluster.finished(work, jobs)
    else:
        results = finished(work, jobs, [()] * workers)
    if progress is not None:
        progress(0, len(jobs))
    for done, _ in enumerate(results, start=1):
        if progress is not None:
            progress(done, len(jobs))
        ending.check()


def check_workers(workers: int, executor: Executor = "local") -> None:
    """Refuse workers that can do nothing, before anything else is done.

    Raises:
        InvalidSetting: fewer than one, or no Ray cluster.
    """
    if not isinstance(workers, Integral) or isinstance(workers, bool) or workers < 1:
        raise InvalidSetting(f"workers is {workers!r}; give a whole number, at least 1")
    if not isinstance(executor, str) or executor not in get_args(Executor):
        raise InvalidSetting(
            f"executor is {executor!r}; give one of {', '.join(get_args(Executor))}"
        )
    if executor == "ray":
        from nasbench_kit.system import ray_cluster

        ray_cluster.connect()


def check_sendable(value: object, what: str, workers: int, executor: Executor) -> None:
    """Refuse what other processes could not load, before anything is started there.

    Raises:
        InvalidSetting: the value cannot be sent; the message says what to do about it.
    """
    if executor == "ray":
        from nasbench_kit.system import ray_cluster

        ray_cluster.check_sendable(value, what)
    elif workers > 1:
        pickled(value, what)


def finished(
    work: Callable[..., Any],
    jobs: Sequence[tuple[Any, ...]],
    worker_arguments: Sequence[tuple[Any, ...]],
) -> Iterator[tuple[int, Any]]:
    """Number and result of every job, in the order in which they finish.

    Args:
        work: called as ``work(*arguments, *job)``.
        jobs: the arguments that differ from job to job.
        worker_arguments: for each worker, the arguments that it keeps (a device, data that is sent
            once). A single worker is this process.

    Raises:
        WorkerDied: see ``spread``; raised after all other results. What ``work`` raises is raised
            at once.
    """
    if len(worker_arguments) <= 1 or len(jobs) <= 1:
        for number, job in enumerate(jobs):
            yield number, work(*worker_arguments[0], *job)
        return
    waiting = deque(range(len(jobs)))
    deaths: Counter[int] = Counter()
    workers = [Worker.start(work, arguments) for arguments in worker_arguments[: len(jobs)]]
    try:
        while waiting or any(worker.job is not None for worker in workers):
            for worker in workers:
                if worker.job is None and waiting:
                    number = waiting.popleft()
                    worker.assign(number, jobs[number])
            for worker in _with_ended_jobs(workers):
                assert worker.job is not None
                number = worker.job
                try:
                    result = worker.result()
                except ProcessEnded:
                    workers[workers.index(worker)] = Worker.start(work, worker.arguments)
                    deaths[number] += 1
                    if deaths[number] < ATTEMPTS:
                        waiting.append(number)
                else:
                    yield number, result
    finally:
        for worker in workers:
            worker.stop()
    given_up = [jobs[number] for number, count in deaths.items() if count >= ATTEMPTS]
    if given_up:
        raise died(given_up)


def _with_ended_jobs(workers: Sequence[Worker]) -> list[Worker]:
    """The workers whose job has ended, or who died of it; waits for the first of them."""
    busy: dict[Any, Worker] = {worker.pipe: worker for worker in workers if worker.job is not None}
    while True:
        ready = [busy[pipe] for pipe in wait(list(busy), timeout=1.0)]
        if not ready:
            ready = [worker for worker in busy.values() if not worker.process.is_alive()]
        if ended := [worker for worker in ready if worker.has_finished()]:
            return ended


def died(jobs: Sequence[tuple[Any, ...]]) -> WorkerDied:
    """The error for jobs that killed every worker that tried them."""
    first = ", ".join(str(part) for part in jobs[0] if isinstance(part, str | int | range))
    return WorkerDied(
        f"{counted(len(jobs), 'job')} (the first: {first}) ended {ATTEMPTS} worker processes each (killed, or "
        "out of memory); all others are done, run the same command again for the rest, with fewer "
        "--workers if memory is short"
    )
