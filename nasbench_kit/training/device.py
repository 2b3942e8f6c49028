"""What differs between devices: whether they work, their clock and their memory."""

from __future__ import annotations

import time

import torch

from nasbench_kit.errors import InvalidSetting
from nasbench_kit.system import measured


def named(name: str | torch.device) -> torch.device:
    """The device of that name, whether it is here or on another machine.

    Raises:
        InvalidSetting: torch knows no such device.
    """
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise _unusable(name, error) from error
    if device.type == "meta":
        raise _unusable(name, "it computes no numbers")
    return device


def usable(name: str | torch.device) -> torch.device:
    """The device of that name.

    Raises:
        InvalidSetting: torch cannot compute there.
    """
    device = named(name)
    try:
        torch.zeros((), device=device)
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise _unusable(name, error) from error
    return device


def _unusable(name: str | torch.device, why: object) -> InvalidSetting:
    reason = (str(why).splitlines() or [repr(why)])[0]
    return InvalidSetting(f"device {str(name)!r} cannot be used here ({reason}); 'cpu' always can")


def clock(device: torch.device) -> float:
    """Seconds, once the device has done what it was asked to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def peak_memory(device: torch.device) -> int:
    """Bytes at most in use: by tensors on a GPU; on a CPU by the whole process since its start."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return measured.peak_memory()


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device has no memory left."""
    kinds = (torch.cuda.OutOfMemoryError, MemoryError)
    return isinstance(error, kinds) or "allocate memory" in str(error)
