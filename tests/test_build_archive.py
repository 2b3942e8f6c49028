"""The archive of a build's parts: packed, unpacked, and nothing else let in or lost."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import signal
import struct
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from nasbench_kit import CellSpace, CorruptFile, NotRecorded, Table, WrongTable
from nasbench_kit.cli import main
from nasbench_kit.data.building import parts
from nasbench_kit.data.building.archive import archive_path, pack, unpack
from nasbench_kit.data.building.build import Build
from nasbench_kit.data.building.estimate import estimate
from nasbench_kit.data.images.digits import digits
from nasbench_kit.training.trainer import DIGITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPACE, EPOCHS, REPEATS = CellSpace(3), (1, 2), 2
WORDS = ["--space", "v3e3", "--epochs", "1", "2", "--repeats", "2", "--workers", "1"]


def a_plan(name: str = "tiny") -> Build:
    return Build(name, SPACE, digits(), DIGITS, EPOCHS, REPEATS)


def some_counts(rows: range, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Made-up results of trainings."""
    shape = (len(rows), REPEATS)
    return {
        "correct": rng.integers(0, 200, (*shape, 2, 3), np.uint32),
        "failed": np.zeros(shape, np.uint8),
        "parameters": np.arange(len(rows), dtype=np.uint32),
    }


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A table's path with a folder of all its parts, with numbers made up."""
    folder, rng = tmp_path / "tiny.parts", np.random.default_rng(0)
    with parts.claimed(folder, a_plan().conditions()):
        for rows in parts.row_ranges(SPACE):
            for epochs in EPOCHS:
                path = parts.training_path(folder, rows, epochs)
                parts.save(path, SPACE, rows, **some_counts(rows, rng))
            for turn in range(2):
                path = parts.seconds_path(folder, rows, turn)
                parts.save(path, SPACE, rows, seconds=rng.random(len(rows)))
        (folder / "clock.json").write_text('{"processor": "abacus", "torch": "0"}')
    return tmp_path / "tiny.h5"


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails where a training or the taking of seconds begins."""
    for work in ("build._trained", "build.seconds_an_epoch", "estimate.seconds_an_epoch"):
        monkeypatch.setattr(f"nasbench_kit.data.building.{work}", lambda *_: pytest.fail("work"))


def elsewhere(target: Path) -> Path:
    """The same target in a new folder, with the archive alone."""
    pack(target)
    folder = target.parent / "elsewhere"
    folder.mkdir()
    archive_path(target).rename(archive_path(folder / target.name))
    return folder / target.name


# There and back ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("idle")
def test_a_build_goes_on_from_its_archive(target: Path) -> None:
    assert main(["build", str(target), *WORDS, "--archive"]) == 0
    new = target.parent / "new" / target.name
    new.parent.mkdir()
    packed = archive_path(target).read_bytes()
    archive_path(new).write_bytes(packed)
    assert main(["build", str(new), *WORDS, "--archive"]) == 0
    assert new.read_bytes() == target.read_bytes()
    assert contents(new.with_suffix(".parts")) == contents(target.with_suffix(".parts"))
    assert archive_path(new).read_bytes() == packed
    assert not list(target.parent.rglob("*.part"))


def test_an_estimate_knows_what_is_in_the_archive(target: Path) -> None:
    assert estimate(a_plan(), elsewhere(target)).hours(1) == 0


def test_a_longer_build_trains_only_what_the_archive_lacks(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []

    def made_up(plan: Build, rows: range, epochs: int, repeats: range) -> dict[str, NDArray[Any]]:
        trained.append((rows, epochs))
        return some_counts(rows, np.random.default_rng(1))

    monkeypatch.setattr("nasbench_kit.data.building.build._trained", made_up)
    monkeypatch.setattr("nasbench_kit.data.building.estimate.seconds_an_epoch", lambda *_: 0.1)
    new = elsewhere(target)
    before = archive_path(new).read_bytes()
    words = [word if word != "2" else "3" for word in WORDS[:5]] + WORDS[5:]
    assert main(["build", str(new), *words, "--archive"]) == 0
    assert Table.open(new).epochs == (1, 3)
    assert trained == [(rows, 3) for rows in parts.row_ranges(SPACE)]
    with zipfile.ZipFile(archive_path(new)) as now, zipfile.ZipFile(io.BytesIO(before)) as old:
        added = set(now.namelist()) - set(old.namelist())
        assert added == {f"row{rows.start:06d}-epochs003.npz" for rows in parts.row_ranges(SPACE)}
        assert all(now.read(name) == old.read(name) for name in old.namelist())


def test_the_archive_says_nothing_of_when_and_where_it_was_made(target: Path) -> None:
    folder = target.with_suffix(".parts")
    pack(target)
    first = archive_path(target).read_bytes()
    new = target.parent / "other" / "name.h5"
    for name, content in sorted(contents(folder).items(), reverse=True):  # other order and times
        path = new.with_suffix(".parts") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (1e9, 1e9))
        path.chmod(0o600)
    (new.with_suffix(".parts") / ".lock").touch()
    (new.with_suffix(".parts") / ".row000000-epochs001.npz.abc.part").write_text("half")
    pack(new)
    assert archive_path(new).read_bytes() == first
    with zipfile.ZipFile(archive_path(new)) as archive:
        assert archive.namelist() == sorted(contents(folder))


def test_a_folder_of_a_build_is_preferred(target: Path) -> None:
    archive_path(target).write_text("not even looked at")
    before = contents(target.with_suffix(".parts"))
    assert contents(unpack(target)) == before


def test_nothing_is_made_where_there_is_no_archive(tmp_path: Path) -> None:
    assert unpack(tmp_path / "none.h5") == tmp_path / "none.parts"
    assert not list(tmp_path.iterdir())


# Interrupted ------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from nasbench_kit.data.building import archive
left = int(sys.argv[2])
write = Path.write_bytes
def dying(path, data):
    global left
    left -= 1
    write(path, data[: len(data) // 2] if left < 0 else data)
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
Path.write_bytes = dying
archive.unpack(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("written", [0, 5, 9])
def test_killed_while_unpacking_it_begins_again(target: Path, written: int) -> None:
    new, whole = elsewhere(target), contents(target.with_suffix(".parts"))
    assert len(whole) == 2 * 4 + 2
    command = [sys.executable, "-c", KILLED, str(new), str(written)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    there = contents(new.with_suffix(".parts"))
    assert len(there) == written + 1 and "conditions.json" not in there
    assert estimate(a_plan(), new).hours(1) == 0
    with parts.claimed(unpack(new), a_plan().conditions()):
        assert contents(new.with_suffix(".parts")) == whole


def test_a_folder_with_nothing_but_its_lock_is_filled(target: Path) -> None:
    """As git leaves it when the parts it held are in it no more."""
    new = elsewhere(target)
    new.with_suffix(".parts").mkdir()
    (new.with_suffix(".parts") / ".lock").touch()
    assert contents(unpack(new)) == contents(target.with_suffix(".parts"))


def test_nobody_unpacks_where_another_is_at_work(target: Path) -> None:
    new = elsewhere(target)
    new.with_suffix(".parts").mkdir()
    with (new.with_suffix(".parts") / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(WrongTable, match="another builder is at work"):
            unpack(new)
    assert not contents(new.with_suffix(".parts"))


# Nothing is lost --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["notes.txt", "row000000-epochs001.npz", "row000099-epochs001.npz"]
)
def test_no_file_of_the_folder_is_written_over(target: Path, name: str) -> None:
    new = elsewhere(target)
    new.with_suffix(".parts").mkdir()
    (new.with_suffix(".parts") / name).write_text("mine")
    with pytest.raises(WrongTable, match=rf"{name} is not of .*tiny\.parts\.zip"):
        unpack(new)
    assert contents(new.with_suffix(".parts")) == {name: b"mine"}


def test_an_archive_of_more_parts_is_not_replaced(target: Path) -> None:
    pack(target)
    before = archive_path(target).read_bytes()
    part = target.with_suffix(".parts") / "row000001-epochs002.npz"
    content = part.read_bytes()
    part.unlink()
    with pytest.raises(WrongTable, match=r"holds parts that .* lacks"):
        pack(target)
    assert archive_path(target).read_bytes() == before
    part.write_bytes(content)
    manifest = target.with_suffix(".parts") / "conditions.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"seed": 1}))
    with pytest.raises(WrongTable, match="so it is not replaced"):
        pack(target)
    assert archive_path(target).read_bytes() == before


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("foreign", [b"", b"notes", b"PK\x03\x04 and more"])
def test_a_foreign_file_is_not_replaced_by_an_archive(
    target: Path, foreign: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    archive_path(target).write_bytes(foreign)
    assert main(["build", str(target), *WORDS, "--archive"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not target.exists()
    assert archive_path(target).read_bytes() == foreign


# Damaged and hostile archives -------------------------------------------------------------------


def zipped(members: Iterable[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    written = io.BytesIO()
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(written, "w") as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return written.getvalue()


def refused(new: Path, archive: bytes, match: str) -> None:
    """Refused by name, with nothing made in or outside the folder."""
    archive_path(new).write_bytes(archive)
    with pytest.raises(CorruptFile, match=rf"tiny\.parts\.zip is no whole archive .*{match}"):
        unpack(new)
    assert list(new.parent.iterdir()) == [archive_path(new)]


@pytest.mark.parametrize(
    "name",
    [
        *("../../x", "../row000000-epochs001.npz", "/tmp/x", "/row000000-epochs001.npz"),
        *("a/row000000-epochs001.npz", "a/", "..", ".", "", ".lock", "clock.json/"),
        *("..\\x.npz", "C:\\x.npz", "row000000-epochs001.npz\n", "row٠٠٠٠٠٠-epochs001.npz"),
        *("row000000-epochs001.NPZ", f"row{'0' * 300}-epochs001.npz", "row000000-epochs001.py"),
    ],
)
def test_names_of_other_files_are_refused(target: Path, name: str) -> None:
    members = contents(target.with_suffix(".parts")) | {name: b""}
    refused(elsewhere(target), zipped(members.items()), "is no file of a build")


def test_a_name_cut_short_stays_in_the_folder(target: Path) -> None:
    """The reader ends a name at a NUL; what it then reads is what is checked."""
    members = contents(target.with_suffix(".parts"))
    archive = zipped((members | {"row000000-epochs009.npz/../../x": b"?"}).items())
    new = elsewhere(target)
    archive_path(new).write_bytes(archive.replace(b"npz/../../x", b"npz\0../../x"))
    assert contents(unpack(new)) == members | {"row000000-epochs009.npz": b"?"}
    assert sorted(path.name for path in new.parent.iterdir()) == ["tiny.parts", "tiny.parts.zip"]


def test_a_link_is_no_way_out(target: Path) -> None:
    """An archive may say that a file is a link; it comes out as a file."""
    members = contents(target.with_suffix(".parts"))
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
        link = zipfile.ZipInfo("row000000-epochs009.npz")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    new = elsewhere(target)
    archive_path(new).write_bytes(written.getvalue())
    path = unpack(new) / "row000000-epochs009.npz"
    assert path.read_text() == "/etc/passwd" and not path.is_symlink()


def test_a_name_that_stands_twice_is_refused(target: Path) -> None:
    members = list(contents(target.with_suffix(".parts")).items())
    twice = zipped([*members, (members[0][0], b"other")])
    refused(elsewhere(target), twice, "a name stands twice")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_nothing_grows_beyond_its_size(target: Path, method: int) -> None:
    members = contents(target.with_suffix(".parts")) | {"row000000-epochs009.npz": bytes(10**7)}
    archive = zipped(members.items(), compression=method)
    refused(elsewhere(target), archive, "it is compressed")


def test_no_part_grows_beyond_memory(target: Path) -> None:
    """A part is compressed, so it could: 64 MiB of zeros are 64 KiB of a file."""
    new = elsewhere(target)
    part = unpack(new) / "row000001-epochs001.npz"
    with np.load(part) as file:
        arrays = dict(file)
    np.savez_compressed(part, **arrays | {"failed": np.zeros((6, 1 << 24), np.uint8)})
    assert part.stat().st_size < 1 << 20
    with pytest.raises(NotRecorded, match=r"row000001-epochs001\.npz is damaged .*too large"):
        estimate(a_plan(), new)


def test_sizes_that_are_not_there_are_refused(target: Path) -> None:
    """Of one file or, where all share the same bytes, of all together."""
    members = contents(target.with_suffix(".parts"))
    archive = bytearray(zipped(members.items()))
    entry = archive.rindex(b"PK\x01\x02")
    new = elsewhere(target)
    for both in (2**31, 2**32 - 2):
        archive[entry + 20 : entry + 28] = struct.pack("<LL", both, both)
        refused(new, bytes(archive), "overlap")
    archive[entry + 20 : entry + 28] = struct.pack("<LL", 100, 2**31)
    refused(new, bytes(archive), "it is compressed")


def test_an_encrypted_or_unfinished_one_is_refused(target: Path) -> None:
    members = contents(target.with_suffix(".parts"))
    archive = bytearray(zipped(members.items()))
    new = elsewhere(target)
    for length in (0, 1, 100, len(archive) // 2, len(archive) - 23, len(archive) - 1):
        refused(new, bytes(archive[:length]), "")
    archive[zipfile.ZipFile(io.BytesIO(archive)).start_dir + 8] |= 1
    archive[6] |= 1
    refused(new, bytes(archive), "encrypted")
    del members["conditions.json"]
    refused(new, zipped(members.items()), r"lacks conditions\.json")
    refused(new, zipped(()), r"lacks conditions\.json")


@pytest.mark.usefixtures("idle")
def test_the_command_refuses_a_damaged_one_in_one_line(
    target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = elsewhere(target)
    archive_path(new).write_bytes(archive_path(new).read_bytes()[:-30])
    assert main(["build", str(new), *WORDS]) == 2
    stderr = capsys.readouterr().err
    assert stderr.count("\n") == 1 and str(archive_path(new)) in stderr
    assert list(new.parent.iterdir()) == [archive_path(new)]


def test_a_folder_or_a_pipe_is_no_archive(target: Path) -> None:
    new = target.parent / "new.h5"
    for make in (os.mkdir, os.mkfifo):
        make(archive_path(new))
        with pytest.raises(CorruptFile, match=r"new\.parts\.zip is no whole archive .* no regular"):
            unpack(new)
        archive_path(new).rename(target.parent / make.__name__)
    assert not new.with_suffix(".parts").exists()


def test_no_flipped_bit_changes_a_part(target: Path) -> None:
    whole = contents(target.with_suffix(".parts"))
    small = {name: whole[name][:40] for name in ("clock.json", "conditions.json")}
    archive = zipped(small.items())
    new = elsewhere(target)
    for place in range(len(archive)):
        flipped = bytearray(archive)
        flipped[place] ^= 1 << place % 8
        archive_path(new).write_bytes(flipped)
        with contextlib.suppress(CorruptFile):  # else the bit says nothing
            folder = unpack(new)
            assert contents(folder) == small
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()
