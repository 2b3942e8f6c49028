"""nasbench_kit.data.benchmarks.download, against a server on this machine that misbehaves as told."""

from __future__ import annotations

import argparse
import hashlib
import http.server
import json
import socket
import threading
import urllib.error
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from official import official_file

from nasbench_kit import DownloadFailed, Table
from nasbench_kit.cli import official as commands
from nasbench_kit.data.benchmarks import download as module
from nasbench_kit.data.benchmarks.download import FULL, ONLY_108, Official, download
from nasbench_kit.errors import CorruptFile, InvalidSetting, NotWritable


@dataclass
class Server:
    """A folder of one file; each request may be spoilt."""

    content: bytes = b""
    #: What happens to the next requests: "drop" after a third, an error's number, or "".
    faults: list[str] = field(default_factory=list)
    #: Whether ranges are served.
    ranges: bool = True
    #: Whether the length is told.
    length: bool = True
    #: The Range header of each request.
    asked: list[str | None] = field(default_factory=list)
    url: str = ""

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        told = handler.headers.get("Range")
        self.asked.append(told)
        fault = self.faults.pop(0) if self.faults else ""
        start = int(told.removeprefix("bytes=").removesuffix("-")) if told and self.ranges else 0
        if fault.isdigit() or start >= len(self.content):
            handler.send_error(int(fault or 416))
            return
        body = self.content[start:]
        handler.send_response(206 if told and self.ranges else 200)
        if told and self.ranges:
            end = len(self.content)
            handler.send_header("Content-Range", f"bytes {start}-{end - 1}/{end}")
        if self.length:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: len(body) // 3] if fault == "drop" else body)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    state = Server(official_file(tmp_path).read_bytes())

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.answer(self)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        state.url = f"http://127.0.0.1:{running.server_port}/nasbench"
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield state
        running.shutdown()
        thread.join()


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NASBENCH_KIT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(module, "_BLOCK", 1000)  # the file has 213 kB
    return tmp_path / "home" / "tables"


@pytest.fixture
def wanted(server: Server) -> Official:
    return Official("small", "small.tfrecord", hashlib.sha256(server.content).hexdigest(), "0.2 MB")


def names(folder: Path) -> list[str]:
    return sorted(item.name for item in folder.iterdir())


def test_fetched_checked_and_converted(server: Server, tables: Path, wanted: Official) -> None:
    seen: dict[str, tuple[int, int]] = {}
    report = download(
        wanted,
        mirror=server.url,
        progress=lambda what, done, total: seen.__setitem__(what, (done, total)),
    )
    assert report.cells == 91
    assert names(tables) == ["small.h5"]
    table = Table.open(tables / "small.h5")
    assert table.name == "small" and table.provenance["sha256"] == wanted.sha256
    size = len(server.content)
    assert seen == {what: (size, size) for what in ("downloading", "checking", "converting")}
    assert server.asked == [None]


def test_dropped_connections_are_continued(server: Server, tables: Path, wanted: Official) -> None:
    server.faults = ["drop", "503", "drop", "drop"]
    download(wanted, mirror=server.url, pause=0.0, keep=True)
    assert (tables / "small.tfrecord").read_bytes() == server.content
    third = len(server.content) // 3
    assert server.asked[:3] == [None, f"bytes={third}-", f"bytes={third}-"]
    assert len(server.asked) == 5


def test_the_next_call_goes_on_where_this_one_stopped(
    server: Server, tables: Path, wanted: Official
) -> None:
    server.faults = ["drop", *["503"] * 6]
    with pytest.raises(DownloadFailed, match="503"):
        download(wanted, mirror=server.url, pause=0.0)
    assert names(tables) == ["small.tfrecord.part"]
    download(wanted, mirror=server.url)
    assert server.asked[-1] == f"bytes={len(server.content) // 3}-"
    assert names(tables) == ["small.h5"]


def test_a_server_without_ranges_is_read_from_the_beginning(
    server: Server, tables: Path, wanted: Official
) -> None:
    server.ranges, server.faults = False, ["drop", "drop"]
    download(wanted, mirror=server.url, pause=0.0, keep=True)
    assert (tables / "small.tfrecord").read_bytes() == server.content


def test_a_server_that_tells_no_length(server: Server, tables: Path, wanted: Official) -> None:
    server.length = False
    download(wanted, mirror=server.url)
    assert names(tables) == ["small.h5"]


def test_a_file_that_had_arrived_in_full_is_not_fetched_again(
    server: Server, tables: Path, wanted: Official
) -> None:
    tables.mkdir(parents=True)
    (tables / "small.tfrecord.part").write_bytes(server.content)
    download(wanted, mirror=server.url)
    assert server.asked == [f"bytes={len(server.content)}-"]  # answered 416
    assert names(tables) == ["small.h5"]


def test_a_wrong_checksum_is_refused_and_does_not_stay(
    server: Server, tables: Path, wanted: Official
) -> None:
    right = server.content
    server.content = right[:-1] + b"x"
    with pytest.raises(CorruptFile, match=f"published is {wanted.sha256}"):
        download(wanted, mirror=server.url)
    assert names(tables) == []
    server.content = right
    download(wanted, mirror=server.url)
    assert names(tables) == ["small.h5"]


def test_an_absent_file_is_not_asked_for_twice(
    server: Server, tables: Path, wanted: Official
) -> None:
    server.faults = ["404"] * 9
    with pytest.raises(DownloadFailed, match="404"):
        download(wanted, mirror=server.url)
    assert len(server.asked) == 1


def test_without_a_network_the_manual_steps_are_told(
    tables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*args: object, **options: object) -> None:
        raise urllib.error.URLError(socket.gaierror(-2, "Name or service not known"))

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("waited"))
    with pytest.raises(DownloadFailed) as refused:
        download(ONLY_108)
    told = str(refused.value)
    assert "Name or service not known" in told and "\n" not in told
    assert "https://storage.googleapis.com/nasbench/nasbench_only108.tfrecord (499 MB)" in told
    assert "nasbench-kit download nasbench101 --only108 --from nasbench_only108.tfrecord" in told


def test_a_refused_connection_is_tried_again_with_growing_pauses(
    tables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    with pytest.raises(DownloadFailed, match="refused"):
        download(FULL, mirror=f"http://127.0.0.1:{port}")
    assert pauses == [1, 2, 4, 8, 16]


def test_a_mirror_must_be_an_address(tables: Path) -> None:
    with pytest.raises(InvalidSetting, match="no address"):
        download(FULL, mirror="somewhere")


def test_a_home_that_cannot_be_written(
    server: Server, wanted: Official, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NASBENCH_KIT_HOME", str(tmp_path / "file"))
    with pytest.raises(NotWritable, match="NASBENCH_KIT_HOME"):
        download(wanted, mirror=server.url)


def test_a_file_at_hand_is_checked_and_stays(
    server: Server, tables: Path, wanted: Official, tmp_path: Path
) -> None:
    path = tmp_path / "made_up.tfrecord"
    download(wanted, source=path)
    assert server.asked == [] and path.exists()
    assert names(tables) == ["small.h5"]
    with pytest.raises(CorruptFile, match="is not the official nasbench_full"):
        download(FULL, source=path)
    with pytest.raises(CorruptFile, match="cannot be read"):
        download(wanted, source=tmp_path / "absent")


def test_the_command(
    server: Server,
    tables: Path,
    wanted: Official,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(module, "ONLY_108", wanted)
    parser = argparse.ArgumentParser()
    commands.add_commands(parser.add_subparsers())
    words = ["download", "nasbench101", "--only108", "--mirror", server.url]
    args = parser.parse_args([*words, "--json"])
    assert args.run(args) == 0
    assert json.loads(capsys.readouterr().out)["cells"] == 91
    args = parser.parse_args(words)
    assert args.run(args) == 0
    assert "already" in capsys.readouterr().out
    assert len(server.asked) == 1
