"""Spreading independent jobs over local processes or a Ray cluster.

A worker that dies (killed, out of memory) is replaced and its job done again, a bounded number of
times. What is to be kept, a job writes to a file itself, atomically: so a job may be done twice.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess, parent_process
from numbers import Integral
from typing import Any, Literal, get_args

from nasbench_kit.errors import InvalidSetting, WorkerDied

#: Called with (done, in all): once at the start, then whenever a job is finished.
Progress = Callable[[int, int], None]
#: Where jobs are done: processes of this machine, or a Ray cluster that is running.
Executor = Literal["local", "ray"]
#: The way out for what other processes cannot load.
IMPORTABLE = (
    "define its class in a module that can be imported, at the top level, with fields that pickle can "
    "send (no lambda), or use 1 worker, which is this process"
)
#: Workers that may die of one job before it is given up.
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
        workers: local processes; with 1 it is this one. A Ray cluster brings its own.
        progress: is told of every finished job.
        executor: where.

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
        InvalidSetting: saying what to do about it.
    """
    if executor == "ray":
        from nasbench_kit.system import ray_cluster

        ray_cluster.check_sendable(value, what)
    elif workers > 1:
        sendable(value, what)


def sendable(value: object, what: str) -> bytes:
    """A value as it is sent to other processes.

    Args:
        value: what is sent.
        what: it is, for the message.

    Raises:
        InvalidSetting: it cannot be sent, or the other processes could not import what it is made of.
    """
    try:
        sent = pickle.dumps(value)
    except Exception as error:  # whatever the class's own code says
        raise InvalidSetting(
            f"{what} cannot be sent to other processes ({type(error).__name__}: {error}); {IMPORTABLE}"
        ) from error
    if b"__main__" in sent and not _main_is_a_file():
        raise InvalidSetting(
            f"{what} is defined in a notebook or at a prompt, where other processes cannot import it; "
            f"{IMPORTABLE}"
        )
    return sent


def _main_is_a_file() -> bool:
    """Whether a spawned process can import what this one runs as ``__main__``."""
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    return getattr(main, "__spec__", None) is not None or (
        file is not None and os.path.isfile(file)
    )


def finished(
    work: Callable[..., Any], jobs: Sequence[tuple[Any, ...]], seats: Sequence[tuple[Any, ...]]
) -> Iterator[tuple[int, Any]]:
    """Place and result of every job, as they are finished.

    Args:
        work: called as ``work(*seat, *job)``.
        jobs: the arguments that differ from job to job.
        seats: one for each process: the arguments that it keeps (a device, data that is sent once).
            A single one is this process.

    Raises:
        WorkerDied: see ``spread``; raised after all other results. What ``work`` raises is raised
            at once.
    """
    if len(seats) <= 1 or len(jobs) <= 1:
        for place, job in enumerate(jobs):
            yield place, work(*seats[0], *job)
        return
    waiting = deque(range(len(jobs)))
    deaths: Counter[int] = Counter()
    crew = [_Worker.start(work, seat) for seat in seats[: len(jobs)]]
    try:
        while waiting or any(worker.place is not None for worker in crew):
            for worker in crew:
                if worker.place is None and waiting:
                    worker.begin(waiting.popleft(), jobs)
            for worker in _heard_of(crew):
                number = worker.place
                assert number is not None
                try:
                    result = worker.result()
                except _Dead:
                    crew[crew.index(worker)] = _Worker.start(work, worker.seat)
                    deaths[number] += 1
                    if deaths[number] < ATTEMPTS:
                        waiting.append(number)
                else:
                    yield number, result
    finally:
        for worker in crew:
            worker.stop()
    given_up = [jobs[place] for place, count in deaths.items() if count >= ATTEMPTS]
    if given_up:
        raise died(given_up)


def died(jobs: Sequence[tuple[Any, ...]]) -> WorkerDied:
    """The error for jobs that killed every worker that tried them."""
    first = ", ".join(str(part) for part in jobs[0] if isinstance(part, str | int | range))
    return WorkerDied(
        f"{len(jobs)} of the jobs (the first: {first}) each ended {ATTEMPTS} worker processes (killed, or "
        "out of memory); all others are done, run the same command again for the rest, with fewer "
        "--workers if memory is short"
    )


class _Dead(Exception):
    """A worker process has ended before its job."""


@dataclass(eq=False)
class _Worker:
    """A process that does one job after the other, and this process's end of the pipe to it."""

    process: BaseProcess
    pipe: Connection
    seat: tuple[Any, ...]
    #: Of the job in hand.
    place: int | None = None
    #: Whether it has come as far as to wait for jobs.
    started: bool = False

    @classmethod
    def start(cls, work: Callable[..., Any], seat: tuple[Any, ...]) -> _Worker:
        sent = sendable((work, seat), "the work")
        context = multiprocessing.get_context("spawn")  # torch does not survive a fork
        pipe, other_end = context.Pipe()
        # No daemon, which could start no processes of its own; it still ends with this process.
        process = context.Process(target=_serve, args=(other_end, sent), daemon=False)
        process.start()
        atexit.register(process.kill)  # before multiprocessing waits for it
        other_end.close()  # so that the pipe ends when the process does
        return cls(process, pipe, seat)

    def begin(self, place: int, jobs: Sequence[tuple[Any, ...]]) -> None:
        self.place = place
        with contextlib.suppress(BrokenPipeError):  # it died idle; reading the pipe will tell
            self.pipe.send(jobs[place])

    def hear(self) -> bool:
        """Whether its job is done, or it is dead, rather than it has just started."""
        if not self.started:
            with contextlib.suppress(EOFError, OSError):
                if self.pipe.poll():
                    self.pipe.recv()
                    self.started = True
                    return False
        return True

    def result(self) -> Any:
        """What the job returned; raises what it raised, and _Dead if the process died of it."""
        try:
            if not self.pipe.poll():  # children of a dead one may hold its end of the pipe
                raise EOFError
            result, error = self.pipe.recv()
        except (EOFError, OSError):
            self.stop()
            if not self.started and self.process.exitcode == 1:
                raise InvalidSetting(
                    "the worker processes cannot start (their error stands above); a script that starts "
                    "them must do so below `if __name__ == '__main__':`, or with 1 worker"
                ) from None
            raise _Dead from None
        self.place = None
        if error is not None:
            raise error
        return result

    def stop(self) -> None:
        """End the process, and those that its jobs have started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self.process.pid is not None:
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.join()
        atexit.unregister(self.process.kill)
        self.pipe.close()


def _heard_of(crew: Sequence[_Worker]) -> list[_Worker]:
    """The workers that are done with their job, or dead; waits for the first."""
    busy: dict[Any, _Worker] = {worker.pipe: worker for worker in crew if worker.place is not None}
    while True:
        ready = [busy[pipe] for pipe in wait(list(busy), timeout=1.0)]
        if not ready:
            ready = [worker for worker in busy.values() if not worker.process.is_alive()]
        if heard := [worker for worker in ready if worker.hear()]:
            return heard


def _serve(pipe: Connection, sent: bytes) -> None:
    """In a worker process: do what comes through the pipe."""
    os.setpgid(0, 0)  # what the jobs start belongs to this group, and ends with it
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers when interrupted
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    pipe.send(None)
    try:
        work, seat = pickle.loads(sent)  # made by the parent, a moment ago
    except Exception as raised:  # noqa: BLE001  # whatever the loaded classes' own code says
        work, seat = functools.partial(_raise, _not_loaded(raised)), ()
    gc.freeze()  # all that is imported stays; searching it for garbage took a tenth of some jobs
    while True:
        job = pipe.recv()
        result, error = None, None
        try:
            result = work(*seat, *job)
        except Exception as raised:  # noqa: BLE001  # raised again in the parent
            error = _portable(raised)
        pipe.send((result, error))


def _end_with_the_parent() -> None:
    """A worker whose parent was killed is not to go on alone."""
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.killpg(0, signal.SIGKILL)


def _not_loaded(error: Exception) -> InvalidSetting:
    return InvalidSetting(
        f"a worker process cannot load its work ({type(error).__name__}: {error}); {IMPORTABLE}"
    )


def _raise(error: Exception, *_: object) -> None:
    raise error


def _portable(error: Exception) -> Exception:
    """The error with where it came from, or one that says the same, if it cannot be sent."""
    error.add_note(f"in a worker process: {traceback.format_exc()}")
    try:
        pickle.loads(pickle.dumps(error))  # not read from anywhere: made in this line
    except Exception:  # noqa: BLE001  # whatever the class's own code says
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
