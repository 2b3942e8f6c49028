"""Numbers of an altered table are never published: not by any command, not by the Python API."""

from __future__ import annotations

import json
import mmap
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nasbench_kit import Budget, CorruptFile, Oracle, Table, WrongTable
from nasbench_kit.algorithms import RandomSearch
from nasbench_kit.analysis.landscape.fidelity import between_fidelities, noise
from nasbench_kit.analysis.landscape.random_search_curve import RandomSearchCurve
from nasbench_kit.analysis.landscape.study import costs
from nasbench_kit.cli import main
from nasbench_kit.compare.plan import Plan
from nasbench_kit.compare.running import run
from nasbench_kit.compare.scores import score, write_results
from nasbench_kit.data.benchmarks.nasbench101.export import export
from nasbench_kit.data.subset import subset
from nasbench_kit.experiment.defaults import mean_price
from nasbench_kit.oracle.cost import CostModel
from nasbench_kit.spaces.nasbench101.space import CellSpace
from nasbench_kit.spaces.skeleton import Skeleton
from nasbench_kit.table import verified

PLAN_BUDGET = {"queries": 20}


@pytest.fixture
def path(small_table: Table, tmp_path: Path) -> Path:
    small_table.save(tmp_path / "table.h5")
    settle(tmp_path / "table.h5")
    return tmp_path / "table.h5"


def settle(path: Path) -> None:
    """As if the file had been written a while ago: then a verification is remembered."""
    while time.time() - path.stat().st_ctime < 0.05:
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def short_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verified, "_TICK", 0.04)


def places(path: Path) -> dict[str, tuple[int, int]]:
    """Offset and bytes of every array, as the header says."""
    content = path.read_bytes()
    block = int(content[21:31])
    header = json.loads(content[content.index(b"\n", 32) + 1 : block])
    return {
        name: (offset, int(np.prod(shape)) * np.dtype(dtype).itemsize)
        for name, (dtype, shape, offset) in header["arrays"].items()
    }


def overwrite(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def reverse_columns(path: Path) -> None:
    """Validation and test accuracies in reversed order of the rows, with the header left as it is."""
    for name, (offset, size) in places(path).items():
        if name in ("final/validation_accuracy", "final/test_accuracy"):
            old = np.frombuffer(path.read_bytes()[offset : offset + size], np.uint16)
            overwrite(path, offset, old[::-1].tobytes())


def flip_one_bit(path: Path) -> None:
    offset, size = places(path)["final/seconds"]
    place = offset + size // 2
    overwrite(path, place, bytes([path.read_bytes()[place] ^ 1]))


def flip_one_bit_and_restore_the_date(path: Path) -> None:
    status = path.stat()
    flip_one_bit(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replace_by_an_altered_copy(path: Path) -> None:
    copy = path.with_name("copy")
    shutil.copy2(path, copy)
    flip_one_bit(copy)
    os.utime(copy, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    copy.replace(path)


ALTERATIONS = [
    reverse_columns,
    flip_one_bit,
    flip_one_bit_and_restore_the_date,
    replace_by_an_altered_copy,
]


@pytest.mark.parametrize("alter", ALTERATIONS)
def test_an_altered_table_is_not_opened_even_if_it_was_verified_before(
    path: Path, alter: Callable[[Path], None]
) -> None:
    Table.open(path).verify()
    link = path.with_name("link.h5")
    link.symlink_to(path)
    alter(path)
    for place in (path, link):
        with pytest.raises(CorruptFile, match="was altered"):
            Table.open(place)


def test_a_pipe_is_no_table(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CorruptFile, match="there is no table at"):
        Table.open(tmp_path / "pipe")  # and nobody is waited for


def test_a_truncated_table_is_refused_by_whom_has_it_open(path: Path) -> None:
    table = Table.open(path)
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(CorruptFile, match="is truncated"):
        table.verify()


@pytest.mark.parametrize(
    "alter", [reverse_columns, flip_one_bit, flip_one_bit_and_restore_the_date]
)
def test_who_has_a_table_open_derives_nothing_from_altered_bytes(
    path: Path, tmp_path: Path, alter: Callable[[Path], None]
) -> None:
    table = Table.open(path)
    table.verify()
    alter(path)
    rng = np.random.default_rng(0)
    for derive in (
        table.verify,
        lambda: Oracle(table, Budget(queries=3), rng),
        lambda: subset(table, CellSpace(3)),
        lambda: export(table, tmp_path / "out.tfrecord"),
        lambda: score(table, []),
        lambda: write_results(tmp_path / "results", table, []),
        lambda: table.save(tmp_path / "copy.h5"),
        lambda: table.values("test_accuracy"),
        lambda: table.mean("seconds"),
        lambda: list(between_fidelities(table)),
        lambda: noise(table, table.epochs[-1]),
        lambda: costs(table),
        lambda: RandomSearchCurve(table),
        lambda: CostModel(table, Skeleton(), (32, 32, 3)),
        lambda: mean_price(table),
    ):
        with pytest.raises(CorruptFile, match="was altered"):
            derive()
    assert sorted(os.listdir(tmp_path)) == ["table.h5"]


@pytest.mark.parametrize(
    "words",
    [
        ["query", "resnet", "--table", "TABLE"],
        ["tables", "TABLE"],
        ["tables", "TABLE", "--verify"],
        ["analyze", "noise", "--table", "TABLE", "--out", "OUT"],
        ["export", "TABLE", "OUT.tfrecord"],
        ["subset", "TABLE", "v3e9", "OUT.h5"],
        ["fit-surrogate", "TABLE", "OUT.h5"],
        ["calibrate", "--table", "TABLE"],
        ["rank-correlation", "--table", "TABLE", "--out", "OUT"],
        ["compare", "--table", "TABLE", "--out", "OUT"],
        ["compare", "--table", "TABLE", "--out", "OUT", "--dry-run"],
        ["report", "RUN", "--table", "TABLE", "--out", "OUT"],
        ["retrain", "RUN", "--table", "TABLE", "--out", "OUT"],
    ],
)
def test_no_command_publishes_an_altered_table(
    words: list[str], path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = Plan(path, {"random-search": RandomSearch()}, [0], PLAN_BUDGET)
    write_results(tmp_path / "RUN", Table.open(path), run(plan, tmp_path / "RUN"))
    reverse_columns(path)
    known = {"TABLE": str(path), "RUN": str(tmp_path / "RUN")}
    before = sorted(tmp_path.rglob("*"))
    out = str(tmp_path / "OUT")
    assert main([known.get(word, re.sub("^OUT", out, word)) for word in words]) == 2
    captured = capsys.readouterr()
    assert f"{path} was altered" in captured.err
    assert "0." not in captured.out
    assert sorted(tmp_path.rglob("*")) == before


# What is remembered ----------------------------------------------------------------------------


def hashed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one whenever bytes are hashed."""
    calls: list[int] = []
    real = os.pread

    def counting(descriptor: int, size: int, offset: int) -> bytes:
        if size == 1 << 20:
            calls.append(offset)
        return real(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", counting)
    return calls


def test_bytes_are_read_once_and_again_when_asked(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = hashed(monkeypatch)
    table = Table.open(path)
    once = len(reads)
    assert once > 0
    for _ in range(3):
        table.verify()
        Table.open(path).verify()
        Oracle(table, Budget(queries=3), np.random.default_rng(0))
    assert len(reads) == once
    table.verify(fresh=True)
    assert len(reads) == 2 * once


def test_what_was_written_just_now_is_read_again(
    small_table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's clock may not have moved since: the file could change and look the same."""
    monkeypatch.setattr(verified, "_TICK", 3600)
    small_table.save(tmp_path / "table.h5")
    table = Table.open(tmp_path / "table.h5")
    reads = hashed(monkeypatch)
    table.verify()
    assert reads


@pytest.mark.parametrize("record", [None, "", "{}", "[1, 2]", "[[1, 2]]", "null", "\xff"])
def test_other_processes_know_of_large_files_and_a_damaged_record_is_none(
    record: str | None, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NASBENCH_KIT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(verified, "_SMALL", 0)
    place = tmp_path / "home" / "verified.json"
    if record is not None:
        place.parent.mkdir()
        place.write_text(record, encoding="latin-1")
    Table.open(path)
    assert json.loads(place.read_text()) == [list(next(reversed(verified._here)))]
    verified._here.clear()  # as in a new process
    reads = hashed(monkeypatch)
    Table.open(path)
    assert not reads
    verified._here.clear()
    flip_one_bit_and_restore_the_date(path)
    with pytest.raises(CorruptFile, match="was altered"):
        Table.open(path)


def test_without_a_home_folder_tables_are_verified_all_the_same(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").write_text("a file")
    monkeypatch.setenv("NASBENCH_KIT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(verified, "_SMALL", 0)
    Table.open(path)
    flip_one_bit(path)
    with pytest.raises(CorruptFile, match="was altered"):
        Table.open(path)


def test_the_record_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASBENCH_KIT_HOME", str(tmp_path))
    monkeypatch.setattr(verified, "_MOST", 3)
    monkeypatch.setattr(verified, "_here", {})
    files = [verified.Identity(1, inode, 1 << 30, 0, 0, "") for inode in range(5)]
    for file in files:
        verified.remember(file, time.time())
    assert list(map(verified.remembers, files)) == [False, False, True, True, True]
    assert len(json.loads((tmp_path / "verified.json").read_text())) == 3


# While a comparison runs -----------------------------------------------------------------------


def test_a_table_replaced_after_opening_is_another_one(
    path: Path, small_table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table = Table.open(path.name)
    monkeypatch.chdir("/")
    table.check_in_place()
    shutil.copy(path, tmp_path / "copy.h5")
    (tmp_path / "copy.h5").replace(path)
    table.check_in_place()  # the same numbers
    subset(small_table, CellSpace(3)).save(path)
    table.verify()  # what it has mapped is as it was
    with pytest.raises(WrongTable, match="was replaced by another table"):
        table.check_in_place()
    with pytest.raises(WrongTable, match="was replaced by another table"):
        write_results(tmp_path / "results", table, [])
    path.unlink()
    with pytest.raises(CorruptFile, match="there is no table"):
        table.check_in_place()


def replace_by_another_table(path: Path) -> None:
    subset(Table.open(path), CellSpace(4)).save(path)


def overwrite_by_another_table(path: Path) -> None:
    """In place, by what has as many bytes and its own valid header."""
    table = Table.open(path)
    columns = dict(table.columns)
    one, other = ("final", "validation_accuracy"), ("halfway", "validation_accuracy")
    columns[one], columns[other] = columns[other], columns[one]
    made = Table(table.space, table.epochs, columns, extra=table.extra, provenance=table.provenance)
    made.save(path.with_name("other"))
    content = path.with_name("other").read_bytes()
    assert len(content) == path.stat().st_size
    overwrite(path, 0, content)


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (reverse_columns, "was altered"),
        (flip_one_bit_and_restore_the_date, "was altered"),
        (overwrite_by_another_table, "was overwritten"),
        (replace_by_another_table, "was replaced by another table"),
        (Path.unlink, "there is no table"),
    ],
)
def test_a_run_from_an_altered_table_is_not_kept(
    alter: Callable[[Path], None], message: str, path: Path, tmp_path: Path
) -> None:
    class Altering(RandomSearch):
        def __call__(self, oracle, rng):  # type: ignore[no-untyped-def]
            for place, cell in enumerate(super().__call__(oracle, rng)):
                if place == 5:
                    settle(path)
                    alter(path)
                yield cell

    first = Plan(path, {"random-search": RandomSearch()}, [0], PLAN_BUDGET)
    run(first, tmp_path / "out")
    plan = Plan(path, {"altering": Altering(), "random-search": RandomSearch()}, [0], PLAN_BUDGET)
    with pytest.raises((CorruptFile, WrongTable), match=message):
        run(plan, tmp_path / "out")
    assert os.listdir(tmp_path / "out" / "traces") == ["random-search-0.json"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_comparison_whose_table_is_overwritten_keeps_no_spoiled_trace(
    workers: int, path: Path, tmp_path: Path
) -> None:
    """Another program does so while it runs."""
    words = f"compare --table {path} --seeds 400 --queries 300 --workers {workers}".split()
    words += ["--algorithms", "random-search", "--policy", "always", "--held-out-repeats", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "nasbench_kit", *words, "--out", str(tmp_path / "out")],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    traces = tmp_path / "out" / "traces"
    while not (traces.exists() and len(list(traces.glob("*.json"))) > 5):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    whole = path.read_bytes()
    reverse_columns(path)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 2, err
    assert "was altered" in err
    assert "Traceback" not in err
    assert not out
    assert not list((tmp_path / "out").glob("results.*"))
    kept = {trace.name: trace.read_bytes() for trace in traces.glob("*.json")}
    assert 5 < len(kept) < 400
    path.write_bytes(whole)
    seeds = [int(name.removesuffix(".json").rpartition("-")[2]) for name in kept]
    plan = Plan(path, {"random-search": RandomSearch()}, seeds, {"queries": 300})
    run(plan, tmp_path / "again", workers=1)
    for name, content in kept.items():
        assert (tmp_path / "again" / "traces" / name).read_bytes() == content


def test_altered_bytes_get_no_checksum_of_their_own(path: Path, tmp_path: Path) -> None:
    table = Table.open(path)
    alter, _ = places(path)["final/seconds"]
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as shared:
        shared[alter] ^= 1  # which the file's dates may not show
        with pytest.raises(CorruptFile, match="was altered"):
            table.save(tmp_path / "copy.h5")
    assert not (tmp_path / "copy.h5").exists()
