"""nasbench_kit.data.benchmarks.nasbench101.convert, export and sample: nothing lost, nothing wrong let through."""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import struct
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from official import (
    EXCERPT,
    EXPECTED,
    GENUINE_HASH,
    SAMPLE,
    genuine_record,
    joined,
    needs,
    official_file,
    official_table,
    records_of,
)

from nasbench_kit import Cell, CellSpace, Oracle, Table
from nasbench_kit.cli import official as commands
from nasbench_kit.data.benchmarks.nasbench101 import convert as conversion
from nasbench_kit.data.benchmarks.nasbench101.columns import IMAGES, READINGS, exact_column
from nasbench_kit.data.benchmarks.nasbench101.convert import convert
from nasbench_kit.data.benchmarks.nasbench101.export import FILLED, export
from nasbench_kit.data.benchmarks.nasbench101.sample import from_sample
from nasbench_kit.data.benchmarks.nasbench101.tfrecord import (
    RecordChunk,
    read_chunks,
    write_records,
)
from nasbench_kit.errors import (
    CorruptFile,
    InvalidSetting,
    NotInTable,
    NotRecorded,
    NotWritable,
)
from nasbench_kit.oracle.budget import Budget

# --- slow, obvious counterparts -----------------------------------------------------------------


def as_officially_loaded(path: Path) -> dict[str, dict[str, Any]]:
    """What the official API makes of a file; needs the usual order of protobuf fields."""
    content = path.read_bytes()
    loaded: dict[str, dict[str, Any]] = {}
    while content:
        (length,) = struct.unpack_from("<Q", content)
        md5, epochs, adjacency, operations, metrics = json.loads(content[12 : 12 + length])
        content = content[16 + length :]
        message = base64.b64decode(metrics)
        points = [struct.unpack_from("<" + "xd" * 5, message, 47 * k + 2) for k in range(3)]
        septets = message[142:-9]
        size = round(len(adjacency) ** 0.5)
        rows = [adjacency[size * v : size * (v + 1)] for v in range(size)]
        fixed = {
            "module_adjacency": [[int(digit) for digit in row] for row in rows],
            "module_operations": operations.split(","),
            "trainable_parameters": sum((s & 127) << 7 * k for k, s in enumerate(septets)),
        }
        cell = loaded.setdefault(md5, {"fixed": fixed, "computed": defaultdict(list)})
        names = ("training_time", "train_accuracy", "validation_accuracy", "test_accuracy")
        cell["computed"][str(epochs)].append(
            {
                f"{prefix}_{name}": value
                for prefix, point in zip(("halfway", "final"), points[1:], strict=True)
                for name, value in zip(names, point[1:], strict=True)
            }
        )
    return loaded


def readings(table: Table) -> dict[tuple[str, str, int], NDArray[np.float64]]:
    return {
        (*column, epochs): table.values(column[1], epochs, column[0])
        for column in READINGS
        for epochs in table.epochs
    }


def assert_same(one: Table, other: Table) -> None:
    """The same cells, readings (bit for bit), labelling, parameters, hashes and order."""
    assert one.epochs == other.epochs and one.complete == other.complete
    assert np.array_equal(one.covered.hashes(), other.covered.hashes())
    for place, values in readings(one).items():
        assert values.tobytes() == readings(other)[place].tobytes(), place
    assert one.extra.keys() == other.extra.keys()
    for name, array in one.extra.items():
        assert np.array_equal(array, other.extra[name]), name


# --- the excerpt --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def excerpt(tmp_path_factory: pytest.TempPathFactory) -> Table:
    target = tmp_path_factory.mktemp("excerpt") / "excerpt.h5"
    report = convert(EXCERPT, target)
    assert (report.records, report.cells, report.complete) == (3564, 297, False)
    assert report.exceptions == 12
    assert not report.problems and not report.dropped
    return Table.open(target)


@needs(EXCERPT)
def test_the_excerpt_comes_back_as_the_official_api_reads_it(excerpt: Table) -> None:
    expected = json.loads(gzip.decompress(EXPECTED.read_bytes()))
    order = excerpt.extra["record_order"]
    assert [excerpt.extra["hash"][row].tobytes().hex() for row in order] == list(expected)
    values = readings(excerpt)
    for row, cell in zip(order, expected.values(), strict=True):
        assert excerpt.extra["trainable_parameters"][row] == cell["fixed"]["trainable_parameters"]
        for (checkpoint, metric, epochs), read in values.items():
            name = f"{checkpoint}_{metric.replace('seconds', 'training_time')}"
            told = [repeat[name] for repeat in cell["computed"][str(epochs)]]
            assert read[row].tolist() == told


@needs(EXCERPT)
def test_an_export_loads_officially_to_the_same_values_in_the_same_order(
    excerpt: Table, tmp_path: Path
) -> None:
    report = export(excerpt, tmp_path / "again.tfrecord")
    assert (report.records, report.cells) == (3564, 297)
    assert report.filled == FILLED
    loaded = as_officially_loaded(tmp_path / "again.tfrecord")
    expected = json.loads(gzip.decompress(EXPECTED.read_bytes()))
    assert list(loaded) == list(expected)
    assert loaded == expected
    convert(tmp_path / "again.tfrecord", tmp_path / "again.h5")
    assert_same(Table.open(tmp_path / "again.h5"), excerpt)


@needs(EXCERPT)
def test_compressed_or_not_makes_no_difference(excerpt: Table, tmp_path: Path) -> None:
    (tmp_path / "plain.tfrecord").write_bytes(gzip.decompress(EXCERPT.read_bytes()))
    convert(tmp_path / "plain.tfrecord", tmp_path / "plain.h5")
    assert_same(Table.open(tmp_path / "plain.h5"), excerpt)


# --- made-up files ------------------------------------------------------------------------------


def test_made_up_numbers_come_back(tmp_path: Path) -> None:
    report = convert(official_file(tmp_path), tmp_path / "table.h5")
    table, made = Table.open(tmp_path / "table.h5"), official_table()
    assert report.records == 91 * 2 * 3 and report.exceptions == 0
    assert report.bytes == (tmp_path / "table.h5").stat().st_size
    for place, values in readings(made).items():
        assert np.array_equal(readings(table)[place], values)
    for name in ("trainable_parameters", "record_order"):
        assert np.array_equal(table.extra[name], made.extra[name])
    assert [table.covered[row].hash for row in range(91)] == [
        digest.tobytes().hex() for digest in table.extra["hash"]
    ]


def test_repeats_are_numbered_as_they_appear_in_any_order(tmp_path: Path) -> None:
    records = records_of(official_file(tmp_path))
    order = np.random.default_rng(1).permutation(len(records))
    shuffled = records[order]
    write_records(tmp_path / "shuffled.tfrecord", [shuffled])
    convert(tmp_path / "shuffled.tfrecord", tmp_path / "table.h5")
    table = Table.open(tmp_path / "table.h5")
    first: dict[bytes, None] = dict.fromkeys(shuffled.hash.tolist())
    told = [
        table.extra["hash"][row].tobytes().hex().encode() for row in table.extra["record_order"]
    ]
    assert told == list(first)
    for row in range(len(table)):
        mine = shuffled.hash == table.covered[row].hash.encode()
        for epochs in table.epochs:
            seconds = shuffled.training_time[mine & (shuffled.epochs == epochs), 2]
            assert table.values("seconds", epochs)[row].tolist() == seconds.tolist()


def test_chunks_may_be_cut_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = official_file(tmp_path)
    convert(path, tmp_path / "one.h5")
    monkeypatch.setattr(conversion, "read_chunks", partial(read_chunks, chunk_bytes=1000))
    convert(path, tmp_path / "many.h5")
    assert_same(Table.open(tmp_path / "one.h5"), Table.open(tmp_path / "many.h5"))


def test_all_cells_of_the_space_make_a_complete_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = official_file(tmp_path)  # holds the 91 cells of up to four vertices
    monkeypatch.setattr(conversion, "CellSpace", lambda: CellSpace(4))
    monkeypatch.setattr(conversion, "_FEW_CELLS", 10)  # so the hashes of the space are asked for
    report = convert(path, tmp_path / "table.h5")
    table = Table.open(tmp_path / "table.h5")
    assert report.complete and table.complete and table.space == CellSpace(4)
    for place, values in readings(official_table()).items():
        assert np.array_equal(readings(table)[place], values)


def test_a_cell_keeps_the_labelling_it_was_recorded_in(tmp_path: Path) -> None:
    # input -> conv3x3 -> output with a dangling pool before the output: not pruned, as it stands
    unpruned = replace(
        joined([genuine_record()] * 3),
        size=np.array([4] * 3, np.uint8),
        adjacency=np.array([b"0110000100000000"] * 3),
        operations=np.array([[0, 2, 0, 0, 0]] * 3, np.uint8),
        hash=np.array([Cell.from_text("010/001/000:conv3x3").hash] * 3, "S32"),
    )
    write_records(tmp_path / "file.tfrecord", [unpruned])
    convert(tmp_path / "file.tfrecord", tmp_path / "table.h5")
    table = Table.open(tmp_path / "table.h5")
    assert table.covered[0] == Cell.from_text("010/001/000:conv3x3")
    export(table, tmp_path / "again.tfrecord")
    (cell,) = as_officially_loaded(tmp_path / "again.tfrecord").values()
    assert cell["fixed"]["module_adjacency"] == [[0, 1, 1, 0], [0, 0, 0, 1], [0] * 4, [0] * 4]


def test_the_genuine_record(tmp_path: Path) -> None:
    write_records(tmp_path / "genuine.tfrecord", [genuine_record()] * 3)
    convert(tmp_path / "genuine.tfrecord", tmp_path / "genuine.h5")
    table = Table.open(tmp_path / "genuine.h5")
    assert table.covered[0].hash == GENUINE_HASH
    counts = {column: int(table.columns[column].values[0, 0, 0]) for column in READINGS}
    assert counts["final", "train_accuracy"] == 3493
    assert counts["final", "validation_accuracy"] == 3484
    assert counts["final", "test_accuracy"] == 3499
    assert counts["halfway", "test_accuracy"] == 1042
    assert table.values("seconds").tolist() == [[float(np.float32(89.904))] * 3]


def test_another_grid_of_accuracies_is_kept_as_floats(small_table: Table, tmp_path: Path) -> None:
    export(small_table, tmp_path / "digits.tfrecord")
    convert(tmp_path / "digits.tfrecord", tmp_path / "digits.h5")
    table = Table.open(tmp_path / "digits.h5")
    for place, values in readings(small_table).items():
        assert np.array_equal(readings(table)[place], values)


@pytest.mark.parametrize(
    ("published", "count"),
    [
        (0.9376001358032227, 9361),  # Inception-like cell, validation (NASBench.ipynb)
        (0.9311898946762085, 9297),  # the same, test
        (0.9241786599159241, 9227),  # the genuine record's cell at 108 epochs (NNI's docs)
        (0.9211738705635071, 9197),
        (0.9304887652397156, 9290),  # its third repeat (the sample)
        (0.9487179517745972, 9472),  # the best cell (the sample)
        (1.0, 9984),
    ],
)
def test_published_accuracies_are_counts_of_images(published: float, count: int) -> None:
    column = exact_column(np.array([[[published]]]), IMAGES)
    assert column.values.tolist() == [[[count]]] and not column.exceptions
    assert column.reader()(0) == published


@needs(SAMPLE)
def test_golden_rows_of_the_sample(tmp_path: Path) -> None:
    columns = json.loads(gzip.decompress(SAMPLE.read_bytes()))
    golden = {
        GENUINE_HASH: (8_555_530, 1768.98),  # NNI's docs: 1769.13, 1768.25, 1768.98
        Cell.named("best").hash: (32_426_634, 4326.74),  # issue 23 of google-research/nasbench
        Cell.from_text("01/00:").hash: (882_570, 284.24),
    }
    cells = [
        Cell.from_text(
            "0100110/0010000/0001001/0000010/0000010/0000001/0000000:"
            "conv3x3,maxpool3x3,conv3x3,conv3x3,conv1x1"
        ),
        Cell.named("best"),
        Cell.from_text("01/00:"),
    ]
    kept = [columns["key"].index(md5) for md5 in golden]
    few = {name: [values[place] for place in kept] for name, values in columns.items()}
    (tmp_path / "few.json").write_text(json.dumps(few))
    space = CellSpace()
    space = space.restricted(np.sort([space.index(cell) for cell in cells]))
    table = from_sample(tmp_path / "few.json", space)
    for cell, (parameters, seconds) in zip(cells, golden.values(), strict=True):
        row = table.row(cell)
        assert table.extra["trainable_parameters"][row] == parameters
        assert round(float(table.values("seconds")[row, 0]), 2) == seconds


doubles = st.floats(width=64, allow_nan=False) | st.integers(0, IMAGES).map(
    lambda count: float(np.float32(count / IMAGES))
)


@given(hnp.arrays(np.float64, (5, 2, 3), elements=doubles), st.sampled_from([None, IMAGES]))
def test_a_column_gives_back_every_double(values: NDArray[np.float64], images: int | None) -> None:
    column = exact_column(values, images)
    back = np.stack([column.array(place) for place in range(2)], axis=1)
    assert back.tobytes() == values.tobytes()
    read = column.reader()
    singly = np.array([read(place) for place in range(values.size)])
    assert singly.tobytes() == values.tobytes()


def test_a_few_odd_readings_become_exceptions_and_many_another_storage() -> None:
    grid = (np.arange(300) / IMAGES).astype(np.float32).astype(np.float64).reshape(100, 1, 3)
    odd = grid.copy()
    odd[0, 0, 0] = np.nextafter(odd[0, 0, 0], 1)
    column = exact_column(odd, IMAGES)
    assert column.images == IMAGES and column.exceptions == {0: odd[0, 0, 0]}
    assert exact_column(grid + np.float64(np.float32(1e-5)), IMAGES).images is None
    assert exact_column(grid / 3).values.dtype == np.float64


# --- what is wrong with a file ------------------------------------------------------------------

Edit = Callable[[RecordChunk], RecordChunk]


def changed(name: str, at: int, value: object) -> Edit:
    def edit(records: RecordChunk) -> RecordChunk:
        column = getattr(records, name).copy()
        column[at] = value
        return replace(records, **{name: column})

    return edit


def without(*numbers: int) -> Edit:
    return lambda records: records[~np.isin(np.arange(len(records)), numbers)]


def ten_edges(records: RecordChunk) -> RecordChunk:
    matrix = np.triu(np.ones((5, 5), int), 1)
    wide = changed("adjacency", 0, "".join(map(str, matrix.ravel())))(records)
    return changed("size", 0, 5)(wide)


# Record 0 is a repeat of the first recorded cell at 4 epochs, record 273 one at 12.
PROBLEMS: dict[str, tuple[Edit, str, int]] = {
    "a missing repeat": (without(0), "fewer than 3 records of a cell at 4 epochs, 1 time", 1),
    "no repeat at one length": (
        without(273, 274, 275),
        "fewer than 3 records of a cell at 12 epochs, 1 time",
        1,
    ),
    "three cells lack a repeat": (
        without(0, 3, 6),
        "fewer than 3 records of a cell at 4 epochs, 3 times",
        3,
    ),
    "a fourth record": (
        lambda records: joined([records, records[np.arange(len(records)) == 0]]),
        "more than 3 records of a cell at 4 epochs, 1 time",
        1,
    ),
    "a wrong hash": (
        changed("hash", 0, b"0" * 32),
        "a hash that is not the hash of its cell, 1 time",
        1,
    ),
    "other parameters": (
        changed("trainable_parameters", 1, 7),
        "records of one cell that differ in labelling or parameters, 1 time",
        1,
    ),
    "another size of cell": (ten_edges, "a cell outside the space, 1 time", 1),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_wrong_records_are_named_counted_and_fatal(name: str, tmp_path: Path) -> None:
    edit, named, dropped = PROBLEMS[name]
    source, target = tmp_path / "bad.tfrecord", tmp_path / "table.h5"
    write_records(source, [edit(records_of(official_file(tmp_path)))])
    with pytest.raises(CorruptFile, match=named) as refused:
        convert(source, target)
    assert str(source) in str(refused.value) and "--on-error skip" in str(refused.value)
    assert not list(tmp_path.glob("*table*"))

    report = convert(source, target, on_error="skip")
    table, made = Table.open(target), official_table()
    assert report.dropped == table.provenance["left_out"]["cells"] == dropped
    assert any(kind in named for kind in table.provenance["left_out"]["because"])
    assert "left out" in report.summary()
    assert len(table) == 91 - dropped
    assert table.rows is not None
    for place, values in readings(table).items():
        assert np.array_equal(values, readings(made)[place][table.rows])


def test_another_labelling_of_the_same_cell_is_noticed(tmp_path: Path) -> None:
    # input feeds a conv3x3 and a pool, both feed the output; once with the two exchanged
    records = joined([genuine_record()] * 3)
    operations = np.array([[0, 2, 0, 0, 0]] * 2 + [[2, 0, 0, 0, 0]], np.uint8)
    diamonds = replace(
        records,
        size=np.array([4] * 3, np.uint8),
        adjacency=np.array([b"0110000100010000"] * 3),
        operations=operations,
        hash=np.array([Cell.from_text("0110/0001/0001/0000:conv3x3,maxpool3x3").hash] * 3, "S32"),
    )
    write_records(tmp_path / "file.tfrecord", [diamonds])
    with pytest.raises(CorruptFile, match="differ in labelling or parameters, 1 time"):
        convert(tmp_path / "file.tfrecord", tmp_path / "table.h5")


def test_damaged_bytes_are_named_and_counted(tmp_path: Path) -> None:
    path = official_file(tmp_path)
    content = bytearray(path.read_bytes())
    length = struct.unpack_from("<Q", content)[0]
    second = 16 + length
    content[40] ^= 1  # in the payload of record 0
    content[second + 60] ^= 4  # in that of record 1
    del content[-3:]
    path.write_bytes(content)
    with pytest.raises(CorruptFile) as refused:
        convert(path, tmp_path / "table.h5")
    told = str(refused.value)
    assert "a wrong checksum, 2 times, first record 0 at byte 0" in told
    assert f"record 1 at byte {second}" in told
    assert "a truncated end, 1 time, first record 545" in told
    assert "fewer than 3 records of a cell at 4 epochs, 1 time" in told
    assert "fewer than 3 records of a cell at 12 epochs, 1 time" in told
    assert [item.name for item in tmp_path.iterdir()] == [path.name]

    report = convert(path, tmp_path / "table.h5", on_error="skip")
    assert (report.dropped, report.cells) == (2, 89)
    assert report.problems["a wrong checksum"].count == 2


def test_nothing_is_read_beyond_a_damaged_length(tmp_path: Path) -> None:
    path = official_file(tmp_path)
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptFile, match="a wrong checksum, 1 time, first record 0 at byte 0"):
        convert(path, tmp_path / "table.h5", on_error="skip")  # no cell is left


def test_unknown_operations_are_named(tmp_path: Path) -> None:
    path = official_file(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"maxpool3x3", b"maxpool5x5"))
    with pytest.raises(CorruptFile, match=r"an unknown operation, \d+ times.*'maxpool5x5'"):
        convert(path, tmp_path / "table.h5", check_crc=False)


def test_without_checksums_the_table_says_so(tmp_path: Path) -> None:
    path = official_file(tmp_path)
    convert(path, tmp_path / "checked.h5")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # a checksum itself
    path.write_bytes(content)
    with pytest.raises(CorruptFile, match="a wrong checksum"):
        convert(path, tmp_path / "table.h5")
    report = convert(path, tmp_path / "table.h5", check_crc=False)
    assert "not compared" in report.summary()
    table = Table.open(tmp_path / "table.h5")
    assert table.provenance["checked_crc"] is False
    assert_same(table, Table.open(tmp_path / "checked.h5"))


@pytest.mark.parametrize(
    "content", [b"", b"no record at all", gzip.compress(b"x" * 99, mtime=0)[:-9]]
)
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(CorruptFile):
        convert(tmp_path / "file", tmp_path / "table.h5")


def test_a_table_that_does_not_come_back_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, target = official_file(tmp_path), tmp_path / "table.h5"
    convert(path, target)
    before = target.read_bytes()

    def save_wrongly(table: Table, place: str | Path) -> None:
        table.columns["final", "seconds"].values[5, 0, 1] += 1
        save(table, place)

    save = Table.save
    monkeypatch.setattr(Table, "save", save_wrongly)
    with pytest.raises(CorruptFile, match="final seconds at 4 epochs did not come back"):
        convert(path, target)
    assert target.read_bytes() == before
    assert sorted(item.name for item in tmp_path.iterdir()) == [path.name, target.name]


def test_settings_and_targets_that_cannot_work(tmp_path: Path) -> None:
    path = official_file(tmp_path)
    with pytest.raises(InvalidSetting, match="'raise' or 'skip'"):
        convert(path, tmp_path / "table.h5", on_error="ignore")  # type: ignore[arg-type]
    with pytest.raises(NotWritable):
        convert(path, path / "table.h5")


def test_export_needs_all_readings(small_table: Table, tmp_path: Path) -> None:
    lacking = dict(small_table.columns)
    del lacking["halfway", "test_accuracy"]
    table = Table(small_table.space, small_table.epochs, lacking, extra=small_table.extra)
    with pytest.raises(NotRecorded, match="test_accuracy"):
        export(table, tmp_path / "file.tfrecord")
    table = Table(small_table.space, small_table.epochs, small_table.columns)
    with pytest.raises(NotRecorded, match="trainable parameters"):
        export(table, tmp_path / "file.tfrecord")
    assert not list(tmp_path.iterdir())


# --- samples ------------------------------------------------------------------------------------


@pytest.fixture
def small_sample(tmp_path: Path) -> dict[str, list[Any]]:
    """The rows of the real sample that lie in the space of five vertices."""
    columns: dict[str, list[Any]] = json.loads(gzip.decompress(SAMPLE.read_bytes()))
    small = {md5.decode() for md5 in CellSpace(5).hashes().tolist()}
    kept = [place for place, md5 in enumerate(columns["key"]) if md5 in small]
    assert len(kept) > 50
    columns = {name: [values[place] for place in kept] for name, values in columns.items()}
    (tmp_path / "sample.json.gz").write_bytes(gzip.compress(json.dumps(columns).encode()))
    return columns


@needs(SAMPLE)
def test_a_sample_becomes_a_partial_table(
    small_sample: dict[str, list[Any]], tmp_path: Path
) -> None:
    from_sample(tmp_path / "sample.json.gz", CellSpace(5)).save(tmp_path / "sample.h5")
    table = Table.open(tmp_path / "sample.h5")
    assert table.epochs == (4, 12, 36, 108) and table.repeats == 1
    order = table.extra["record_order"]
    hashes = table.covered.hashes()
    assert [md5.decode() for md5 in hashes[order].tolist()] == small_sample["key"]
    for epochs in table.epochs:
        accuracy = table.values("validation_accuracy", epochs)[order, 0].tolist()
        assert accuracy == small_sample[f"{epochs}_final_validation_accuracy"]
    assert table.columns["final", "validation_accuracy"].images == IMAGES
    assert table.values("seconds")[order, 0].tolist() == small_sample["final_training_time"]
    with pytest.raises(NotRecorded):
        table.values("seconds", 36)
    parameters = table.extra["trainable_parameters"][order].tolist()
    assert parameters == small_sample["trainable_parameters"]

    oracle = Oracle(table, Budget(seconds=1e6), np.random.default_rng(0))
    answer = oracle.query(table.covered[3])
    assert answer.seconds == table.values("seconds")[3, 0]
    with pytest.raises(NotRecorded, match="36 epochs"):
        oracle.query(table.covered[3], epochs=36)
    by_queries = Oracle(table, Budget(queries=1), np.random.default_rng(0))
    assert by_queries.query(table.covered[3], epochs=36).seconds is None
    absent = set(range(len(table.space))) - set(np.asarray(table.rows).tolist())
    with pytest.raises(NotInTable):
        oracle.query(table.space[min(absent)])


@needs(SAMPLE)
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("key", "0" * 32, "no cell"),
        ("trainable_parameters", None, "unequal|numbers"),
    ],
)
def test_a_sample_with_a_wrong_row_is_refused(
    name: str, value: object, message: str, small_sample: dict[str, list[Any]], tmp_path: Path
) -> None:
    small_sample[name][3] = value
    (tmp_path / "bad.json").write_text(json.dumps(small_sample))
    with pytest.raises(CorruptFile, match=message):
        from_sample(tmp_path / "bad.json", CellSpace(5))


@needs(SAMPLE)
def test_a_sample_with_a_cell_twice_or_a_short_column_is_refused(
    small_sample: dict[str, list[Any]], tmp_path: Path
) -> None:
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(small_sample | {"key": small_sample["key"][:1] * 2}))
    with pytest.raises(CorruptFile, match="equal length"):
        from_sample(path, CellSpace(5))
    small_sample["key"][1] = small_sample["key"][0]
    path.write_text(json.dumps(small_sample))
    with pytest.raises(CorruptFile, match="twice"):
        from_sample(path, CellSpace(5))
    path.write_text('{"4_final_validation_accuracy": []}')
    with pytest.raises(CorruptFile, match="missing"):
        from_sample(path, CellSpace(5))


# --- the command line ---------------------------------------------------------------------------


def run(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    commands.add_commands(parser.add_subparsers(required=True))
    args = parser.parse_args([str(argument) for argument in arguments])
    code: int = args.run(args)
    return code


def test_commands_convert_and_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, table = official_file(tmp_path), tmp_path / "table.h5"
    assert run("convert", path, table, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["cells"], report["problems"]) == (91, {})
    assert run("export", table, tmp_path / "again.tfrecord") == 0
    assert "checkpoint_path" in capsys.readouterr().out
    assert as_officially_loaded(tmp_path / "again.tfrecord") == as_officially_loaded(path)
    assert run("convert", path, table, "--fast") == 0
    assert "91 cells" in capsys.readouterr().out
    with pytest.raises(InvalidSetting, match="table already"):
        run("convert", table, tmp_path / "x.h5")
    with pytest.raises(InvalidSetting, match=r"end with \.h5"):
        run("convert", path, path)
    with pytest.raises(InvalidSetting, match=r"end with \.tfrecord"):
        run("export", table, table)


@needs(SAMPLE)
def test_the_command_recognises_a_sample_by_its_content(
    small_sample: dict[str, list[Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "sample.json.gz").rename(tmp_path / "file")
    monkeypatch.setattr(
        "nasbench_kit.data.benchmarks.nasbench101.sample.CellSpace", lambda: CellSpace(5)
    )
    assert run("convert", tmp_path / "file", tmp_path / "sample.h5", "--json") == 0
    assert json.loads(capsys.readouterr().out)["cells"] == len(small_sample["key"])
