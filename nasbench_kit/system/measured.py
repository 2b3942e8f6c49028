"""What a piece of work took on this machine, and how many threads torch takes for it."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_MEMORY = Path("/proc/meminfo")
_STATUS = Path("/proc/self/status")
_RESET_PEAK = Path("/proc/self/clear_refs")


@contextlib.contextmanager
def measured() -> Iterator[dict[str, Any]]:
    """A dictionary that holds, once the block has ended, what it took.

    ``seconds`` by the clock on the wall, ``processor_seconds`` of this process, ``peak_memory`` in
    bytes (the most that the process had resident meanwhile; since its start where the system cannot
    say better) and ``finished``, the date.
    """
    with contextlib.suppress(OSError):
        _RESET_PEAK.write_text("5")  # Linux: the peak starts again from what is resident now
    measured: dict[str, Any] = {}
    wall, processor = time.perf_counter(), time.process_time()
    yield measured
    measured["seconds"] = time.perf_counter() - wall
    measured["processor_seconds"] = time.process_time() - processor
    measured["peak_memory"] = peak_memory()
    measured["finished"] = datetime.now(UTC).isoformat(timespec="seconds")


def peak_memory() -> int:
    """Bytes that this process had resident at most; 0 where the system does not say."""
    with contextlib.suppress(OSError):
        for line in _STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes there, KiB elsewhere


def available_memory() -> float:
    """Bytes that a process can still take without swapping; infinite where the system is silent."""
    with contextlib.suppress(OSError):
        for line in _MEMORY.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024.0
    return math.inf


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch compute on a number of threads for the time of a block, without importing it.

    Where the block imports it, it starts with that many, and keeps them.
    """
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else None
    variable = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(count)  # read by torch when it is imported
    if torch:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if variable is None:
            os.environ.pop("OMP_NUM_THREADS", None)  # the block may have taken it away
        else:
            os.environ["OMP_NUM_THREADS"] = variable
        if torch:
            torch.set_num_threads(threads)
