"""nasbench_kit.data.benchmarks.nasbench101.foreign: files are told by their bytes, and none is ever unpickled."""

from __future__ import annotations

import gzip
import json
import pickle
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from official import official_file

from nasbench_kit import CellSpace, Table
from nasbench_kit.compat import nasbench as api
from nasbench_kit.data.benchmarks.nasbench101.foreign import recognise
from nasbench_kit.errors import CorruptFile


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def nasbenchapi_pickle(sizes: tuple[int, ...]) -> dict[str, Any]:
    """The layout of NASBenchAPI's file, made of cells of these numbers of vertices."""
    cells = [space_cell for size in sizes for space_cell in cells_of(size)]
    record = {
        cell.hash: {
            "epoch": 108,
            "adjacency_str": "".join(map(str, cell.matrix.ravel())),
            "operations_str": ",".join(cell.operations),
        }
        for cell in cells
    }
    return {
        "entries_by_arch": {md5: [entry] for md5, entry in record.items()},
        "latest_by_arch": record,
        "num_records": len(record),
    }


def cells_of(size: int) -> list[Any]:
    space = CellSpace()
    first = len(CellSpace(size - 1)) if size > 2 else 0
    return [space[row] for row in range(first, first + 3) if space[row].size == size]


def test_what_can_be_used(tmp_path: Path, small_table: Table) -> None:
    path = official_file(tmp_path)
    assert recognise(path) == "tfrecord"
    (tmp_path / "zipped").write_bytes(gzip.compress(path.read_bytes()))
    assert recognise(tmp_path / "zipped") == "tfrecord"
    small_table.save(tmp_path / "table")
    assert recognise(str(tmp_path / "table")) == "table"
    sample = json.dumps({"108_final_validation_accuracy": [0.5], "key": ["0" * 32]})
    (tmp_path / "sample").write_text(sample)
    assert recognise(tmp_path / "sample") == "sample"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_refused_unopened(protocol: int, tmp_path: Path) -> None:
    trapped = {"cells": ["a", "b"], "trap": Trap(tmp_path / "sprung")}
    (tmp_path / "file").write_bytes(pickle.dumps(trapped, protocol))
    with pytest.raises(CorruptFile, match=r"is a pickle\..*runs whatever code"):
        recognise(tmp_path / "file")
    with pytest.raises(CorruptFile, match="is a pickle"):
        api.NASBench(tmp_path / "file")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("protocol", [2, 4, pickle.HIGHEST_PROTOCOL])
def test_the_pickle_without_small_cells_is_named(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "nb101.pkl"
    path.write_bytes(pickle.dumps(nasbenchapi_pickle((7,)), protocol))
    with pytest.raises(CorruptFile, match="lacks the 64,542 smaller cells") as refused:
        recognise(path)
    assert "NASBenchAPI" in str(refused.value) and "nasbench-kit download" in str(refused.value)
    path.write_bytes(pickle.dumps(nasbenchapi_pickle((4, 7)), protocol))
    with pytest.raises(CorruptFile, match="a pickle of NASBenchAPI") as refused:
        recognise(path)
    assert "lacks" not in str(refused.value)


def test_only_the_beginning_of_a_large_pickle_is_looked_at(tmp_path: Path) -> None:
    content = pickle.dumps(nasbenchapi_pickle((7,)) | {"rest": b"x" * (2 << 20)}, protocol=4)
    (tmp_path / "nb101.pkl").write_bytes(content)
    with pytest.raises(CorruptFile, match="lacks the 64,542 smaller cells"):
        recognise(tmp_path / "nb101.pkl")


@pytest.mark.parametrize("style", ["nb101trialstats", "nb101_trial_stats"])
@pytest.mark.parametrize(("factor", "named"), [(60, "60 times too large"), (1, "")])
def test_the_database_with_wrong_times_is_named(
    style: str, factor: int, named: str, tmp_path: Path
) -> None:
    other = style.replace("trial", "intermediate")
    database = sqlite3.connect(tmp_path / "nasbench101.db")
    with database:
        database.execute(f"CREATE TABLE {style} (id INTEGER, training_time REAL)")
        database.execute(f"CREATE TABLE {other} (trial_id INTEGER, training_time REAL)")
        database.execute(f"INSERT INTO {style} VALUES (1, {1769.1279296875 * factor})")
        database.executemany(f"INSERT INTO {other} VALUES (1, ?)", [(884.1,), (1769.1279296875,)])
    database.close()
    with pytest.raises(CorruptFile, match="NNI's database of NAS-Bench-101") as refused:
        recognise(tmp_path / "nasbench101.db")
    told = str(refused.value)
    assert named in told and ("times too large" in told) == (factor == 60)
    assert factor == 1 or ("1769.1 s and not 106147.7 s" in told and other in told)


def test_other_databases(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "other.db")
    with database:
        database.execute("CREATE TABLE anything (x REAL)")
    database.close()
    with pytest.raises(CorruptFile, match="an SQLite database of another project"):
        recognise(tmp_path / "other.db")
    content = (tmp_path / "other.db").read_bytes()
    (tmp_path / "broken.db").write_bytes(content[:16] + b"\xff" * 500)
    with pytest.raises(CorruptFile, match="a damaged SQLite database"):
        recognise(tmp_path / "broken.db")


@pytest.mark.parametrize(
    "content",
    [b"", b"(", b"\x80", b"some words", b"{}", b'{"a": 1}', b"\x80\x02garbage", b"\x00" * 100],
)
def test_anything_else(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(CorruptFile, match=r"file is (neither a table|a pickle)"):
        recognise(tmp_path / "file")


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CorruptFile, match="No such file"):
        recognise(tmp_path / "absent")
    with pytest.raises(CorruptFile, match="cannot be read"):
        recognise(tmp_path)
    (tmp_path / "cut").write_bytes(gzip.compress(b"x" * 1000)[:-12])
    with pytest.raises(CorruptFile, match="gzipped and damaged"):
        recognise(tmp_path / "cut")
