"""Files whose every byte was compared with a checksum, so that it need not be done again.

This process remembers them, and of large files all processes do, in ``verified.json`` of the home
folder. Without that file, or where it cannot be read or written, bytes are compared more often.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import NamedTuple

from nasbench_kit.errors import NotWritable
from nasbench_kit.system.files import home, write_text

#: Files remembered, the latest.
_MOST = 200
#: Bytes up to which a file is hashed about as fast as the record is read.
_SMALL = 1 << 20
#: Clocks of file systems tick up to this many seconds apart: a file that was changed within them may
#: be changed again and look the same.
_TICK = 2.0


class Identity(NamedTuple):
    """Which file, as it was when: no program can write to a file and set back ``ctime_ns``."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    #: That its header claims.
    sha256: str

    @classmethod
    def of(cls, status: os.stat_result, sha256: str) -> Identity:
        """The identity of a file by what the system says of it."""
        return cls(
            status.st_dev,
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
            sha256,
        )


_here: dict[Identity, None] = {}


def remembers(identity: Identity) -> bool:
    """Whether the file was verified, here or by another process, and not changed since."""
    if identity in _here:
        return True
    if identity.size > _SMALL and identity in _read():
        _keep(_here, identity)
        return True
    return False


def remember(identity: Identity, began: float) -> None:
    """Note that a file was verified, unless it had been changed just before.

    Args:
        identity: of the file, the same before its bytes were read and after.
        began: when that was, in seconds of ``time.time``.
    """
    if began - identity.ctime_ns / 1e9 < _TICK:
        return
    _keep(_here, identity)
    if identity.size > _SMALL:
        everywhere = _read()
        _keep(everywhere, identity)
        with contextlib.suppress(NotWritable):
            write_text(_path(), json.dumps(list(everywhere)) + "\n")


def _keep(identities: dict[Identity, None], identity: Identity) -> None:
    identities[identity] = None
    while len(identities) > _MOST:
        del identities[next(iter(identities))]


def _path() -> Path:
    return home() / "verified.json"


def _read() -> dict[Identity, None]:
    try:
        return {Identity(*entry): None for entry in json.loads(_path().read_text("utf-8"))}
    except (OSError, ValueError, TypeError):
        return {}
