"""The official files of NAS-Bench-101 and NAS-Bench-Macro, from the network to a table.

A download goes on where it stopped: what has arrived lies in a ``.part`` file, and the rest is asked
for by an HTTP range. Only a file with the published SHA-256 is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from nasbench_kit.data.benchmarks.nasbench101.convert import ConversionReport, convert
from nasbench_kit.data.benchmarks.nasbench_macro import read as macro
from nasbench_kit.data.benchmarks.reader import Options
from nasbench_kit.errors import CorruptFile, DownloadFailed, InvalidSetting, NotWritable
from nasbench_kit.system.files import check_writable, home
from nasbench_kit.table import file as table_file
from nasbench_kit.table.table import Table
from nasbench_kit.training.recipe import NASBENCH101

#: Called with what is going on, bytes done, and bytes in all (0 if the server does not tell).
Progress = Callable[[str, int, int], object]

_BLOCK = 1 << 20
#: Failures in a row, without a byte between them, after which a download gives up.
_TRIES = 6
#: Seconds that a connection may stay silent.
_TIMEOUT = 60
_NETWORK = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
)


ADDRESS = "https://storage.googleapis.com/nasbench"


@dataclass(frozen=True)
class Official:
    """A file as its authors publish it (google-research/nasbench, README, unless it says otherwise)."""

    #: Name of the table made of it.
    table: str
    file: str
    sha256: str
    size: str
    #: Of the folder that holds it.
    address: str = ADDRESS
    #: What is written after ``nasbench-kit download``.
    words: str = "nasbench101"


FULL = Official(
    table="nasbench101",
    file="nasbench_full.tfrecord",
    sha256="3d64db8180fb1b0207212f9032205064312b6907a3bbc81eabea10db2f5c7e9c",
    size="1.95 GB",
)
ONLY_108 = Official(
    table="nasbench101-only108",
    file="nasbench_only108.tfrecord",
    sha256="4c39c3936e36a85269881d659e44e61a245babcb72cb374eacacf75d0e5f4fd1",
    size="499 MB",
    words="nasbench101 --only108",
)
MACRO = Official(
    table="nasbench-macro",
    file="nas-bench-macro_cifar10.json",
    sha256="686dee8363cc21cca8c1f321ad5749454f2d9b9ca5972682e137e539bc522297",
    size="1.2 MB",
    address="https://raw.githubusercontent.com/xiusu/NAS-Bench-Macro/HEAD/data",
    words="nasbench-macro",
)


def download(
    official: Official,
    *,
    mirror: str | None = None,
    source: Path | None = None,
    keep: bool = False,
    progress: Progress = lambda what, done, total: None,
    pause: float = 1.0,
) -> ConversionReport:
    """Fetch an official file of NAS-Bench-101, check it, and convert it into the table of its name.

    Args:
        official: FULL or ONLY_108.
        mirror: Another address of the folder that holds the file.
        source: The file, where it is there already; nothing is fetched then.
        keep: Whether to keep the fetched file beside the table; one that was there is always kept.
        progress: Called as the work goes on.
        pause: Seconds before the first new try; doubled each time.

    Raises:
        InvalidSetting: the mirror is no address, or what lies at the table's place is no table.
        DownloadFailed: no network, or the server has no such file; the message tells what to do
            by hand.
        CorruptFile: the SHA-256 is another one.
        NotWritable: `nasbench_kit.system.files.home` cannot be written, or the disk is full.
    """
    with _arrived(
        official, mirror=mirror, source=source, keep=keep, progress=progress, pause=pause
    ) as (path, target):
        size = path.stat().st_size
        return convert(
            path,
            target,
            progress=lambda done: progress("converting", done, size),
            provenance={
                "name": official.table,
                "sha256": official.sha256,
                "images": "cifar10",
                "recipe": asdict(NASBENCH101),
            },
        )


def download_macro(
    *,
    mirror: str | None = None,
    source: Path | None = None,
    keep: bool = False,
    progress: Progress = lambda what, done, total: None,
    pause: float = 1.0,
) -> Table:
    """Fetch NAS-Bench-Macro's file, check it, and convert it; see ``download``."""
    with _arrived(
        MACRO, mirror=mirror, source=source, keep=keep, progress=progress, pause=pause
    ) as (path, target):
        (table,) = macro.tables(path, Options())
        table.provenance["sha256"] = MACRO.sha256
        table.save(target)
        return table


@contextlib.contextmanager
def _arrived(
    official: Official,
    *,
    mirror: str | None,
    source: Path | None,
    keep: bool,
    progress: Progress,
    pause: float,
) -> Iterator[tuple[Path, Path]]:
    """A file, fetched if need be and checked, and the table to make of it; gone when that is done."""
    target = home() / "tables" / f"{official.table}.h5"
    path = source or target.with_name(official.file)
    try:
        table_file.check_target(target)
        check_writable(*([] if source else [path]))
    except NotWritable as error:
        raise NotWritable(f"{error}, with NASBENCH_KIT_HOME") from error
    fetched = source is None and not path.exists()
    if fetched:
        folder = official.address if mirror is None else mirror
        fetch(f"{folder.rstrip('/')}/{official.file}", path, official, progress, pause)
    else:
        check(path, official, progress)
    yield path, target
    if fetched and not keep:
        path.unlink()


def fetch(url: str, target: Path, official: Official, progress: Progress, pause: float) -> None:
    """Fetch and check a file; what has arrived of it survives any interruption."""
    part = target.with_name(f"{target.name}.part")
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        parts = urllib.parse.urlsplit("")
    if not parts.scheme or not (parts.netloc or parts.path):
        raise InvalidSetting(f"{url} is no address; a mirror's begins with https:// or the like")
    failures = 0
    while True:
        before = _size(part)
        try:
            _fetch_rest(url, part, progress)
            break
        except _NETWORK as error:
            failures = 1 if _size(part) > before else failures + 1
            if _final(error) or failures == _TRIES:
                raise DownloadFailed(_by_hand(url, error, official)) from error
            time.sleep(pause * 2 ** (failures - 1))
    try:
        check(part, official, progress)
    except CorruptFile:
        part.unlink()
        raise
    part.replace(target)


def _final(error: Exception) -> bool:
    """Whether trying again is in vain: no name server, or the server's answer is no."""
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        return error.code < 500
    return isinstance(getattr(error, "reason", None), socket.gaierror)


def _fetch_rest(url: str, part: Path, progress: Progress) -> None:
    """Append what is missing of a file; from its beginning if the server knows no ranges."""
    have = _size(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # no bytes beyond these: the file is complete
            error.close()
            return
        raise
    with response:
        continued = (response.headers.get("Content-Range") or "").startswith(f"bytes {have}-")
        done = have if continued else 0
        total = done + int(response.headers.get("Content-Length") or -done)
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            file = part.open("ab" if continued else "wb")
        except OSError as error:
            raise _not_writable(part, error) from error
        with file:
            progress("downloading", done, total)
            while block := response.read(_BLOCK):
                try:
                    file.write(block)
                except OSError as error:
                    raise _not_writable(part, error) from error
                done += len(block)
                progress("downloading", done, total)
    if done < total:
        raise ConnectionError(f"the connection ended after {done:,} of {total:,} bytes")


def check(path: Path, official: Official, progress: Progress) -> None:
    """Compare a file with the published SHA-256.

    Raises:
        CorruptFile: it is another one, or there is no file.
    """
    digest = hashlib.sha256()
    try:
        size, done = path.stat().st_size, 0
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                done += len(block)
                progress("checking", done, size)
    except OSError as error:
        raise CorruptFile(f"{path} cannot be read ({error.strerror})") from error
    if digest.hexdigest() != official.sha256:
        raise CorruptFile(
            f"{path} is not the official {official.file}: its SHA-256 is {digest.hexdigest()}, "
            f"published is {official.sha256}; get it again (a file of your own is taken by "
            "nasbench-kit convert)"
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _not_writable(path: Path, error: OSError) -> NotWritable:
    return NotWritable(
        f"cannot write {path}: {error.strerror or error}; set NASBENCH_KIT_HOME to a folder with room"
    )


def _by_hand(url: str, reason: object, official: Official) -> str:
    return (
        f"cannot fetch {url} ({reason}). The same command goes on from what has arrived. Without a "
        f"network here: fetch {official.address}/{official.file} ({official.size}) on another machine, copy "
        f"it over, then run: nasbench-kit download {official.words} --from {official.file}"
    )
