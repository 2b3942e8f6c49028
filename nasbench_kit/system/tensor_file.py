"""Files of tensors and text, written atomically and read without unpickling anything else."""

from __future__ import annotations

import io
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from nasbench_kit.system.files import replacing

#: What reading a damaged or foreign file may raise.
UNREADABLE = (
    OSError,
    EOFError,
    RuntimeError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    MemoryError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)


def save(path: Path, content: dict[str, Any]) -> None:
    """Write tensors, ``state_dict``s of them and text, atomically.

    Raises:
        NotWritable: the folder cannot be written, or the disk is full.
    """
    written = io.BytesIO()  # torch's own writer has no OSError for a full disk
    torch.save(content, written)
    with replacing(path) as temporary:
        temporary.write_bytes(written.getbuffer())


def load(path: Path) -> dict[str, Any]:
    """What ``save`` wrote, with all tensors on the CPU. One of ``UNREADABLE`` says that it is not."""
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise zipfile.BadZipFile("it is compressed")  # and could grow beyond all memory
        if any(entry.external_attr for entry in archive.infolist()):
            raise zipfile.BadZipFile("it holds a folder")  # of which torch reads nothing but zeros
        if damaged := archive.testzip():  # torch does not look at the checksums
            raise zipfile.BadZipFile(f"{damaged} is damaged")
    with warnings.catch_warnings(action="ignore"):  # torch's guesses at what a foreign file may be
        content = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(content, dict):
        raise TypeError(f"it holds a {type(content).__name__}")
    return content


def first_line(error: BaseException) -> str:
    """What an error says, short enough for a message."""
    return (str(error).splitlines() or [type(error).__name__])[0]
