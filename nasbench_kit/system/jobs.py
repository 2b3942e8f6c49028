"""One worker process: it does one job after another until its parent ends it or dies itself.

`Worker` is the parent's side; `_serve` runs in the process. A worker keeps the arguments that all its
jobs share, may start processes of its own, and takes them along when it ends.
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
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess, parent_process
from typing import Any

from nasbench_kit.errors import InvalidSetting

#: What a user can do about values that other processes cannot load.
IMPORTABLE = (
    "define its class in a module that can be imported, at the top level, with fields that pickle can "
    "send (no lambda), or use 1 worker, which is this process"
)


def pickled(value: object, description: str) -> bytes:
    """A value in the form in which it is sent to other processes.

    Args:
        value: what is sent.
        description: of the value, for the message.

    Raises:
        InvalidSetting: it cannot be pickled, or other processes could not import what it is made of.
    """
    try:
        sent = pickle.dumps(value)
    except Exception as error:  # whatever the class's own code raises
        raise InvalidSetting(
            f"{description} cannot be sent to other processes ({type(error).__name__}: {error}); "
            f"{IMPORTABLE}"
        ) from error
    if b"__main__" in sent and not _main_is_a_file():
        raise InvalidSetting(
            f"{description} is defined in a notebook or at a prompt, where other processes cannot "
            f"import it; {IMPORTABLE}"
        )
    return sent


def _main_is_a_file() -> bool:
    """Whether a spawned process can import what this one runs as ``__main__``."""
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    return getattr(main, "__spec__", None) is not None or (
        file is not None and os.path.isfile(file)
    )


class ProcessEnded(Exception):
    """A worker process ended before its job did."""


@dataclass(eq=False)
class Worker:
    """A worker process, and the parent's end of the pipe to it."""

    process: BaseProcess
    pipe: Connection
    #: The arguments that all its jobs share.
    arguments: tuple[Any, ...]
    #: Number of the job that it is doing; None while it is idle.
    job: int | None = None
    #: Whether the process has begun to wait for jobs.
    started: bool = False

    @classmethod
    def start(cls, work: Callable[..., Any], arguments: tuple[Any, ...]) -> Worker:
        """Start a process that calls ``work(*arguments, *job)`` for every job.

        Raises:
            InvalidSetting: the work or its arguments cannot be sent there.
        """
        sent = pickled((work, arguments), "the work")
        context = multiprocessing.get_context("spawn")  # torch does not survive a fork
        pipe, other_end = context.Pipe()
        # A daemon could start no processes of its own. This one, too, ends with its parent.
        process = context.Process(target=_serve, args=(other_end, sent), daemon=False)
        process.start()
        atexit.register(process.kill)  # before multiprocessing waits for it
        other_end.close()  # so that the pipe ends when the process does
        return cls(process, pipe, arguments)

    def assign(self, number: int, job: tuple[Any, ...]) -> None:
        """Send it a job."""
        self.job = number
        with contextlib.suppress(BrokenPipeError):  # it died while idle: reading the pipe will tell
            self.pipe.send(job)

    def has_finished(self) -> bool:
        """Whether a readable pipe means that the job or the process ended, not that it started."""
        if not self.started:
            with contextlib.suppress(EOFError, OSError):
                if self.pipe.poll():
                    self.pipe.recv()
                    self.started = True
                    return False
        return True

    def result(self) -> Any:
        """What the job returned.

        Raises:
            ProcessEnded: the process died during the job.
            InvalidSetting: it could not even start.
            Exception: whatever the job raised.
        """
        try:
            if (
                not self.pipe.poll()
            ):  # children of a dead process may still hold its end of the pipe
                raise EOFError
            result, error = self.pipe.recv()
        except (EOFError, OSError):
            self.stop()
            if not self.started and self.process.exitcode == 1:
                raise InvalidSetting(
                    "the worker processes cannot start (their error stands above); a script that starts "
                    "them must do so below `if __name__ == '__main__':`, or with 1 worker"
                ) from None
            raise ProcessEnded from None
        self.job = None
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


def _serve(pipe: Connection, sent: bytes) -> None:
    """In the worker process: do the jobs that come through the pipe."""
    os.setpgid(0, 0)  # what the jobs start belongs to this group, and ends with it
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupted parent ends its workers itself
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    pipe.send(None)
    try:
        work, arguments = pickle.loads(sent)  # made by the parent, a moment ago
    except Exception as raised:  # noqa: BLE001  # whatever the loaded classes' own code raises
        work, arguments = functools.partial(_raise, _not_loaded(raised)), ()
    gc.freeze()  # all that is imported stays; searching it for garbage took a tenth of some jobs
    while True:
        job = pipe.recv()
        result, error = None, None
        try:
            result = work(*arguments, *job)
        except Exception as raised:  # noqa: BLE001  # raised again in the parent
            error = _portable(raised)
        pipe.send((result, error))


def _end_with_the_parent() -> None:
    """End this process and its group once the parent is gone, even if the parent was killed."""
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
    """The error with its traceback as a note, or a RuntimeError that says the same if pickle fails."""
    error.add_note(f"in a worker process: {traceback.format_exc()}")
    try:
        pickle.loads(pickle.dumps(error))  # not read from anywhere: made in this line
    except Exception:  # noqa: BLE001  # whatever the class's own code raises
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
