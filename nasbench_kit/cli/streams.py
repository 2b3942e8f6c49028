"""The standard streams of a command."""

from __future__ import annotations

import contextlib
import os
import select
import sys


def prepare() -> None:
    """Make the streams of a fresh process usable.

    A stream that the caller closed leads nowhere, so that no file opened later takes its number. What
    a stream's encoding lacks is printed as an escape.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: this one
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", closefd=False))
        else:
            stream.reconfigure(errors="backslashreplace")


def say(message: str) -> None:
    """Print one line on standard error, control characters escaped; none if that is impossible."""
    note(f"nasbench-kit: {message}")


def note(message: str) -> None:
    """The same without the program's name."""
    line = " ".join(message.split("\n"))
    shown = "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape", "surrogatepass").decode()
        for sign in line
    )
    with contextlib.suppress(OSError, ValueError):
        print(shown, file=sys.stderr, flush=True)


def reader_gone() -> bool:
    """Whether the reader of standard output or of standard error (head, less) has left."""
    poll = select.poll()
    for descriptor in (1, 2):
        poll.register(descriptor, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def discard_output() -> None:
    """Lead the streams nowhere, so that Python's own last flush of them cannot fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
            continue
        with contextlib.suppress(OSError, ValueError):
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
