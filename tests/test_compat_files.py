"""Tables that compat makes of official files: found by content, checked, and never anybody else's."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from official import official_file, official_table

from nasbench_kit import Table
from nasbench_kit.compat import derived
from nasbench_kit.compat.nasbench import api
from nasbench_kit.data.benchmarks.nasbench101.convert import convert
from nasbench_kit.data.benchmarks.nasbench101.export import export
from nasbench_kit.errors import CorruptFile, NotWritable, WrongTable


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NASBENCH_KIT_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "converted"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def made(path: Path, cells: int) -> Path:
    """An official file of so many cells at any path."""
    export(official_table(cells), path.with_name("plain"))
    content = path.with_name("plain").read_bytes()
    path.with_name("plain").unlink()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def cells(path: Path) -> int:
    return len(list(api.NASBench(path).hash_iterator()))


def test_a_file_is_converted_once_with_a_message(
    folder: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = official_file(folder)
    api.NASBench(path)
    told = capsys.readouterr()
    assert "this is done once" in told.err and not told.out
    assert [item.name for item in folder.iterdir()] == [path.name]  # nothing beside it
    (place,) = cache.glob("*.h5")
    assert str(place) in told.err
    before = place.stat().st_mtime_ns
    nasbench = api.NASBench(str(path))
    assert not capsys.readouterr().err and place.stat().st_mtime_ns == before
    provenance = nasbench.table.provenance
    assert provenance["source_bytes"] == path.stat().st_size
    assert provenance["sha256"] == place.stem and provenance["made_from"] == path.name
    assert nasbench.table.name == "made_up"


def test_files_of_one_stem_have_tables_of_their_own(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    names = ["a.tfrecord", "a.tfrecord.gz", "a.other.tfrecord", "a", "../other/a.tfrecord"]
    paths = [made(folder / name, 5 + place) for place, name in enumerate(names)]
    for _ in range(2):
        assert [cells(path) for path in paths] == [5, 6, 7, 8, 9]


@pytest.mark.parametrize("how", ["rename", "overwrite", "copy with its date", "symbolic link"])
def test_a_replacement_is_noticed_whatever_its_date(folder: Path, how: str) -> None:
    path, new = made(folder / "a.tfrecord", 5), made(folder / "b.tfrecord", 6)
    for file in (path, new):
        os.utime(file, (1e9, 1e9))
    if how == "symbolic link":
        link = folder / "link.tfrecord"
        link.symlink_to(path)
        assert cells(link) == 5
        link.unlink()
        link.symlink_to(new)
        assert cells(link) == 6
        return
    assert cells(path) == 5
    os.utime(new, (5e8, 5e8))  # older than the table of the first
    if how == "rename":
        new.replace(path)
    elif how == "overwrite":
        path.write_bytes(new.read_bytes())
        os.utime(path, (1e9, 1e9))
    else:
        shutil.copy2(new, path)
    assert cells(path) == 6


def test_a_replacement_of_equal_size_is_noticed(folder: Path) -> None:
    path = made(folder / "a.tfrecord", 5)
    before = api.NASBench(path).get_metrics_from_hash
    md5 = next(iter(api.NASBench(path).hash_iterator()))
    content = path.read_bytes()
    other = official_table(5)
    other.extra["trainable_parameters"][:] ^= 1  # as many digits, or nearly
    export(other, path)
    os.utime(path, (1e9, 1e9))
    assert len(path.read_bytes()) == len(content)
    after = api.NASBench(path).get_metrics_from_hash
    assert before(md5)[0]["trainable_parameters"] != after(md5)[0]["trainable_parameters"]


def test_a_file_of_the_users_is_neither_used_nor_touched(folder: Path, small_table: Table) -> None:
    path = made(folder / "nb.tfrecord", 5)
    small_table.save(folder / "nb.h5")
    (folder / "nb.tfrecord.h5").write_text("notes")
    before = {item: (item.read_bytes(), item.stat().st_mtime_ns) for item in folder.iterdir()}
    assert cells(path) == cells(path) == 5
    assert before == {
        item: (item.read_bytes(), item.stat().st_mtime_ns) for item in folder.iterdir()
    }


def test_a_moved_file_keeps_its_table(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = made(folder / "a.tfrecord", 5)
    assert cells(path) == 5
    capsys.readouterr()
    path = path.rename(tmp_path / "b.tfrecord")
    assert cells(path) == 5 and not capsys.readouterr().err


def test_a_table_that_is_not_of_the_file_is_refused_and_left(
    folder: Path, cache: Path, small_table: Table
) -> None:
    path = made(folder / "a.tfrecord", 5)
    cells(path)
    (place,) = cache.glob("*.h5")
    good = place.read_bytes()
    small_table.save(place)
    with pytest.raises(WrongTable, match="and it will be made again"):
        api.NASBench(path)
    assert place.read_bytes() != good
    for damaged in (good[:-1], b"", b"notes", good[:100] + b"x" + good[101:]):
        place.write_bytes(damaged)
        with pytest.raises(CorruptFile, match="and it will be made again"):
            api.NASBench(path)
        assert place.read_bytes() == damaged
    place.unlink()
    assert cells(path) == 5 and place.exists()


def test_checksums_are_noted_and_notes_are_checked(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made(folder / "a.tfrecord", 5)
    cells(path)
    assert not list(cache.glob("*.json"))  # changed a moment ago: its date may not tell
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 3_000_000_000)
    cells(path)
    (note,) = cache.glob("*.json")
    reads: list[object] = []
    real_digest = hashlib.file_digest

    def counted(*of: Any) -> Any:
        reads.append(of)
        return real_digest(*of)

    monkeypatch.setattr(hashlib, "file_digest", counted)
    assert cells(path) == 5 and not reads
    good = json.loads(note.read_text())
    for wrong in ("", "[]", "null", "{}", json.dumps(good | {"sha256": "../../x"})):
        note.write_text(wrong)
        assert cells(path) == 5 and reads
        assert note.read_text() == wrong  # not one of ours, so it stays
        reads.clear()
    note.write_text(json.dumps(good | {"identity": good["identity"] | {"inode": 1}}))
    assert cells(path) == 5 and reads
    assert json.loads(note.read_text()) == good


def test_a_file_that_changes_meanwhile_is_refused(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, longer = made(folder / "a.tfrecord", 5), made(folder / "b.tfrecord", 6)

    def slow(source: Path, *arguments: object, **options: object) -> object:
        report = convert(source, *arguments, **options)  # type: ignore[arg-type]
        path.write_bytes(longer.read_bytes())
        return report

    monkeypatch.setattr(derived, "convert", slow)
    with pytest.raises(CorruptFile, match="changed while it was read"):
        api.NASBench(path)
    assert not list(cache.glob("*"))
    monkeypatch.undo()


def test_a_damaged_file_leaves_nothing(folder: Path, cache: Path) -> None:
    path = made(folder / "a.tfrecord", 5)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(CorruptFile, match="Nothing was written"):
        api.NASBench(path)
    assert not list(cache.glob("*"))


def test_a_cache_that_cannot_be_written(folder: Path, tmp_path: Path) -> None:
    path = made(folder / "a.tfrecord", 5)
    (tmp_path / "home").write_text("a file")
    with pytest.raises(NotWritable, match="set NASBENCH_KIT_HOME"):
        api.NASBench(path)
