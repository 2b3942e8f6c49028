"""The signals that end a process, and the memory that one came.

What a signal's handler raises can get lost: a destructor, a callback or an import in C drops it, or
raises something else in its place. So the handlers also keep it, and long work looks there in between.
"""

from __future__ import annotations

import signal
from types import FrameType
from typing import NoReturn

from nasbench_kit.errors import Terminated

#: What the last signal raised.
_raised: list[BaseException] = []


def listen() -> None:
    """Let ^C, SIGTERM and SIGHUP end this process in good order, unless it is to ignore them."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup asks for
            signal.signal(number, _end)


def check() -> None:
    """Raise again what a signal raised, if one came.

    Raises:
        KeyboardInterrupt: after ^C.
        Terminated: after SIGTERM or SIGHUP.
    """
    if _raised:
        raise _raised[-1]


def _end(number: int, frame: FrameType | None) -> NoReturn:
    _raised.append(KeyboardInterrupt() if number == signal.SIGINT else Terminated())
    raise _raised[-1]
