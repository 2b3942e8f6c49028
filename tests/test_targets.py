"""Files that are written beside or over a user's: only those of the same kind are ever replaced."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from official import official_file, official_table

from nasbench_kit import CellSpace, Table
from nasbench_kit.cli import main, official as commands
from nasbench_kit.cli.targets import check_card, check_page, check_table
from nasbench_kit.compare import retrain, run_folder
from nasbench_kit.data.benchmarks import download as module
from nasbench_kit.data.benchmarks.download import Official, download
from nasbench_kit.data.benchmarks.nasbench101.convert import convert
from nasbench_kit.data.benchmarks.nasbench101.export import export
from nasbench_kit.data.building import parts as build_parts
from nasbench_kit.errors import CorruptFile, InvalidSetting, NotWritable, WrongTable
from nasbench_kit.oracle.store import Store
from nasbench_kit.spaces.nasbench101 import hashes
from nasbench_kit.system.files import check_replaceable

NOTES = "my own notes, nowhere else\n"


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    path = tmp_path / "target.h5"
    path.write_text(NOTES)
    return path


# --- explicit targets ---------------------------------------------------------------------------


def test_a_table_replaces_tables_and_empty_files_only(
    notes: Path, small_table: Table, tmp_path: Path
) -> None:
    with pytest.raises(InvalidSetting, match=r"target\.h5 is there already and is not a table"):
        small_table.save(notes)
    assert notes.read_text() == NOTES
    official_table(5).save(tmp_path / "table.h5")
    small_table.save(tmp_path / "table.h5")
    assert len(Table.open(tmp_path / "table.h5")) == len(small_table)
    (tmp_path / "empty.h5").touch()
    small_table.save(tmp_path / "empty.h5")
    assert len(Table.open(tmp_path / "empty.h5")) == len(small_table)
    (tmp_path / "folder.h5").mkdir()
    with pytest.raises(NotWritable, match="Is a directory"):
        small_table.save(tmp_path / "folder.h5")
    os.mkfifo(tmp_path / "pipe.h5")
    with pytest.raises(NotWritable, match="is a device or a pipe"):
        small_table.save(tmp_path / "pipe.h5")


def test_hdf5_of_somebody_else_is_no_table(small_table: Table, tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["weights"] = [1, 2, 3]
    with pytest.raises(InvalidSetting, match="is not a table"):
        small_table.save(tmp_path / "other.h5")
    with h5py.File(tmp_path / "other.h5") as file:
        assert file["weights"][:].tolist() == [1, 2, 3]


def test_conversion_and_export_refuse_other_files(notes: Path, tmp_path: Path) -> None:
    source = official_file(tmp_path)
    content = source.read_bytes()
    for target in (notes, source):
        with pytest.raises(InvalidSetting, match="is not a table"):
            convert(source, target)
    convert(source, tmp_path / "table.h5")
    table = Table.open(tmp_path / "table.h5")
    before = (tmp_path / "table.h5").read_bytes()
    for target in (notes, tmp_path / "table.h5"):
        with pytest.raises(InvalidSetting, match=r"is not a \.tfrecord"):
            export(table, target)
    assert notes.read_text() == NOTES and source.read_bytes() == content
    assert (tmp_path / "table.h5").read_bytes() == before
    export(table, source)  # the same kind
    assert source.read_bytes() == content


@pytest.mark.parametrize(
    "words",
    [
        ["convert", "made_up.tfrecord", "target.h5"],
        ["convert", "made_up.tfrecord", "made_up.tfrecord"],
        ["export", "small.h5", "target.h5"],
        ["export", "small.h5", "target.tfrecord"],
        ["subset", "small.h5", "v3e9", "target.h5"],
        ["subset", "small.h5", "v3e9", "small.h5"],
        ["fit-surrogate", "small.h5", "target.h5"],
        ["fit-surrogate", "small.h5", "small.h5"],
        ["fit-surrogate", "small.h5", "card.h5"],
        ["fit-surrogate", "small.h5", "figure.h5"],
        ["build", "target.h5", "--space", "v2e1"],
        ["build", "card.h5", "--space", "v2e1"],
        ["analyze", "all", "--table", "small.h5", "--out", "site"],
        ["report", "runs", "--out", "target.h5"],
        ["report", "runs", "--out", "site/index.html"],
    ],
)
def test_commands_refuse_at_once_and_in_a_line(
    words: list[str],
    notes: Path,
    small_table: Table,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    official_file(tmp_path)
    small_table.save(tmp_path / "small.h5")
    for name in ("target.tfrecord", "card.md", "figure.png", "site/index.html"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(NOTES)
    monkeypatch.chdir(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert main(words) == 2
    told = capsys.readouterr().err
    assert len(told.splitlines()) == 1 and ("choose another" in told or "must end with" in told)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_what_the_commands_wrote_they_replace(
    small_table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_table.save(tmp_path / "small.h5")
    monkeypatch.chdir(tmp_path)
    for words in (
        ["subset", "small.h5", "v3e9", "part.h5"],
        ["export", "part.h5", "part.tfrecord"],
        ["convert", "part.tfrecord", "back.h5"],
        ["analyze", "operations", "--table", "part.h5", "--out", "site"],
    ):
        assert main(words) == main(words) == 0
    check_page(tmp_path / "site" / "index.html")


def test_cards_and_pages(tmp_path: Path) -> None:
    check_table(tmp_path / "a.h5")
    check_card(tmp_path / "a.h5")
    (tmp_path / "a.md").write_text("# a: 7 cells, really trained\n\nText.\n")
    (tmp_path / "a.png").write_text("a figure of it")
    check_card(tmp_path / "a.h5")
    (tmp_path / "a.md").write_text("# Notes\n\nOf 7 cells, these are the best.\n")
    with pytest.raises(InvalidSetting, match="is not a data card"):
        check_card(tmp_path / "a.h5")
    (tmp_path / "page.html").write_text("<!doctype html><title>mine</title>")
    with pytest.raises(InvalidSetting, match="is not a page"):
        check_page(tmp_path / "page.html")


def test_a_file_that_cannot_be_read_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("a secret")

    def refused(opened: Path, *arguments: Any, **options: Any) -> Any:
        if opened == path:
            raise PermissionError(13, "Permission denied")
        return allowed(opened, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        allowed = Path.open
        patch.setattr(Path, "open", refused)
        with pytest.raises(InvalidSetting, match="cannot be read"):
            check_replaceable(path, "a text", lambda head: True)


# --- files that are made without being asked for ------------------------------------------------


@pytest.fixture
def wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Official:
    monkeypatch.setenv("NASBENCH_KIT_HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "tables").mkdir(parents=True)
    digest = hashlib.sha256(official_file(tmp_path).read_bytes()).hexdigest()
    official = Official("small", "made_up.tfrecord", digest, "0.2 MB")
    monkeypatch.setattr(module, "ONLY_108", official)
    return official


def _download(*words: str) -> int:
    parser = argparse.ArgumentParser()
    commands.add_commands(parser.add_subparsers())
    args = parser.parse_args(["download", "nasbench101", "--only108", *words])
    return int(args.run(args))


def test_a_download_leaves_the_file_that_was_there(wanted: Official, tmp_path: Path) -> None:
    there = tmp_path / "home" / "tables" / wanted.file
    (tmp_path / wanted.file).rename(there)
    download(wanted)
    assert there.exists() and Table.open(there.with_name("small.h5")).name == "small"


def test_a_table_of_another_file_does_not_pass_for_the_download(
    wanted: Official, small_table: Table, tmp_path: Path
) -> None:
    place, source = tmp_path / "home" / "tables" / "small.h5", str(tmp_path / wanted.file)
    small_table.save(place)
    with pytest.raises(WrongTable, match="move it away, or replace it with --force"):
        _download("--from", source)
    assert Table.open(place).name == small_table.name
    assert _download("--from", source, "--force") == 0
    assert Table.open(place).provenance["sha256"] == wanted.sha256
    assert _download("--from", "nowhere") == 0  # there already
    place.write_text(NOTES)
    with pytest.raises(CorruptFile):
        _download("--from", source)
    with pytest.raises(InvalidSetting, match="is not a table"):
        _download("--from", source, "--force")
    assert place.read_text() == NOTES


def test_hashes_of_another_space_are_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NASBENCH_KIT_HOME", str(tmp_path))
    monkeypatch.setattr(hashes, "_SMALL", 50)
    one = CellSpace(4)
    other = CellSpace(5).restricted(np.arange(200, 200 + len(one)))
    expected = [cell.hash.encode() for cell in one]
    assert hashes.of_space(one).tolist() == expected
    (path,) = tmp_path.glob("hashes-*.bin")
    hashes.of_space(other)
    (second,) = set(tmp_path.glob("hashes-*.bin")) - {path}
    path.write_bytes(second.read_bytes())
    assert hashes.of_space(one).tolist() == expected


def test_a_database_of_something_else_is_no_store(tmp_path: Path) -> None:
    path = tmp_path / "mine.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE prices (price REAL)")
    before = path.read_bytes()
    with pytest.raises(CorruptFile, match="a database of something else, with prices"):
        Store(path)
    assert path.read_bytes() == before
    Store(tmp_path / "new.sqlite")
    Store(tmp_path / "new.sqlite")


def test_a_folder_of_something_else_is_no_folder_of_parts(tmp_path: Path) -> None:
    folder = tmp_path / "small.parts"
    folder.mkdir()
    for name in ("spare.txt", ".spare.part"):
        (folder / name).write_text(NOTES)
        with (
            pytest.raises(WrongTable, match=r"no conditions\.json"),
            build_parts.claimed(folder, {"seed": 0}),
        ):
            pytest.fail("taken")
        assert (folder / name).read_text() == NOTES
        (folder / name).unlink()
    (folder / ".conditions.json.abc.part").write_text("{")  # of a build that was killed
    with build_parts.claimed(folder, {"seed": 0}):
        pass
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "conditions.json"]


def test_results_without_their_conditions_are_not_taken(tmp_path: Path) -> None:
    for name in ("traces/random-seed0.json", "trainings/abc-seed0.json", ".own.part"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    with (
        pytest.raises(WrongTable, match=r"traces and no manifest\.json"),
        run_folder.claimed(tmp_path, {"algorithms": {}, "table": {}, "commands": []}),
    ):
        pytest.fail("taken")
    with pytest.raises(WrongTable, match=r"trainings and no conditions\.json"):
        retrain._claim(tmp_path / "conditions.json", {"epochs": 4})
    assert not (tmp_path / "conditions.json").exists()
    assert (tmp_path / ".own.part").exists()
