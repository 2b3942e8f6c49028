"""The last means against a search that catches everything, ``SearchStopped`` included.

What is raised in answer to a question is raised where such a search is prepared for it. An error that
a timer raises also comes between its ``try`` blocks, where nothing catches it.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from nasbench_kit.errors import SearchStopped

#: Processor seconds between two attempts.
_INTERVAL = 0.001
#: What answered to the signal before.
_handlers: list[Any] = []


def insist() -> None:
    """Raise ``SearchStopped`` again and again outside of this package, until ``relent``.

    In other threads than the main one, where Python knows no signals, this does nothing.
    """
    if not _handlers and threading.current_thread() is threading.main_thread():
        _handlers.append(signal.signal(signal.SIGVTALRM, _stop))
        signal.setitimer(signal.ITIMER_VIRTUAL, _INTERVAL, _INTERVAL)


def relent() -> None:
    """Let the process go on as before."""
    if _handlers and threading.current_thread() is threading.main_thread():
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, _handlers.pop() or signal.SIG_DFL)


def _stop(_: int, frame: FrameType | None) -> None:
    """Raise in the search's own code; what it has called of this package is left to return."""
    if frame is not None and not frame.f_globals.get("__name__", "").startswith("nasbench_kit."):
        raise SearchStopped("the search goes on after it was stopped")
