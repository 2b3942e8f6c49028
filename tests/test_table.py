"""Tables: what is stored is what is read, what is missing is said, what is damaged is noticed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from nasbench_kit import (
    Cell,
    CellSpace,
    Column,
    CorruptFile,
    InvalidSetting,
    NasbenchKitError,
    NotInSpace,
    NotInTable,
    NotRecorded,
    NotWritable,
    Table,
)
from nasbench_kit.table.table import METRICS, SOURCES

# Random tables, and the obvious reading of a column ---------------------------------------------


@st.composite
def columns(draw: st.DrawFn, shape: tuple[int, ...]) -> Column:
    images = draw(st.sampled_from([None, 1, 10, 774, 9984, 65535]))
    if images is None:
        elements = st.floats(0, 2**20, width=32)
        values = draw(arrays.arrays(np.float32, shape, elements=elements))
    else:
        values = draw(arrays.arrays(np.uint16, shape, elements=st.integers(0, images)))
    present = draw(st.none() | arrays.arrays(np.uint8, shape, elements=st.integers(0, 1)))
    places = st.integers(0, values.size - 1)
    return Column(
        values, images, present, draw(st.dictionaries(places, st.floats(0, 1), max_size=3))
    )


@st.composite
def tables(draw: st.DrawFn) -> Table:
    space = CellSpace(draw(st.integers(2, 4)))
    rows = None
    if draw(st.booleans()):
        chosen = draw(st.sets(st.integers(0, len(space) - 1), min_size=1, max_size=8))
        rows = np.array(sorted(chosen), np.int32)
    count = len(space) if rows is None else len(rows)
    epochs = sorted(draw(st.sets(st.integers(1, 200), min_size=1, max_size=3)))
    shape = (count, len(epochs), draw(st.integers(1, 3)))
    keys = st.tuples(st.sampled_from(["final", "halfway"]), st.sampled_from(METRICS))
    extra: dict[str, Any] = {}
    for name, kind in (("trainable_parameters", "u4"), ("record_order", "i4")):
        if draw(st.booleans()):
            extra[name] = draw(arrays.arrays(kind, count))
    if draw(st.booleans()):
        extra["hash"] = draw(arrays.arrays("u1", (count, 16)))
    if draw(st.booleans()):
        extra["source"] = draw(
            arrays.arrays("u1", count, elements=st.integers(0, len(SOURCES) - 1))
        )
    return Table(
        space,
        epochs,
        draw(st.dictionaries(keys, columns(shape), min_size=1, max_size=4)),
        rows=rows,
        extra=extra,
        provenance={"name": draw(st.text(max_size=5)), "note": draw(st.text() | st.floats(0, 1))},
    )


def exact(column: Column) -> NDArray[np.float64]:
    """Every value as float64, one at a time; NaN where there is none."""
    values = np.empty(column.values.size)
    for position, stored in enumerate(column.values.reshape(-1).tolist()):
        values[position] = np.float32(stored / column.images) if column.images else stored
        if position in column.exceptions:
            values[position] = column.exceptions[position]
        if column.present is not None and not column.present.flat[position]:
            values[position] = np.nan
    return values


def a_table(space: CellSpace | None = None, rows: Any = None, **more: Any) -> Table:
    """Two fidelities, two repeats: accuracies of 99 images and seconds, none of them real."""
    space = space or CellSpace(3)
    rng = np.random.default_rng(0)
    shape = (len(space) if rows is None else len(rows), 2, 2)
    given = {
        ("final", metric): Column(rng.integers(0, 100, shape).astype(np.uint16), 99)
        for metric in METRICS[:3]
    }
    given["final", "seconds"] = Column(rng.uniform(10, 20, shape).astype(np.float32))
    rows = None if rows is None else np.array(rows, np.int32)
    settings = {"columns": given, "epochs": (4, 12), "provenance": {"name": "tiny"}, **more}
    return Table(space, rows=rows, **settings)


def changed(table: Table, metric: str, **fields: Any) -> Table:
    """The same table with fields of one column replaced."""
    column = table.columns["final", metric]
    new = Column(**{name: getattr(column, name) for name in column.__dataclass_fields__} | fields)
    return Table(table.space, table.epochs, {**table.columns, ("final", metric): new})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    a_table().save(tmp_path / "table.h5")
    return tmp_path / "table.h5"


# What is stored is what is read ----------------------------------------------------------------


@given(tables())
@settings(max_examples=60)
def test_a_table_is_opened_as_it_was_saved(
    tmp_path_factory: pytest.TempPathFactory, table: Table
) -> None:
    path = tmp_path_factory.mktemp("table") / "table.h5"
    table.save(path)
    opened = Table.open(path)
    opened.verify()
    assert os.listdir(path.parent) == ["table.h5"]
    assert opened.space == table.space
    assert (opened.epochs, opened.repeats) == (table.epochs, table.repeats)
    assert (opened.name, opened.provenance) == (table.name, table.provenance)
    assert opened.complete == table.complete
    assert opened.checksum == table.checksum
    assert list(opened.covered) == list(table.covered)
    assert (opened.sources() == table.sources()).all()
    assert opened.extra.keys() == table.extra.keys()
    for name, array in table.extra.items():
        assert opened.extra[name].dtype == array.dtype
        assert (opened.extra[name] == array).all()
    assert opened.columns.keys() == table.columns.keys()
    for key, column in opened.columns.items():
        assert column.images == table.columns[key].images
        np.testing.assert_array_equal(exact(column), exact(table.columns[key]))


@given(tables())
def test_readers_and_arrays_give_the_exact_values_or_say_that_there_is_none(table: Table) -> None:
    for (checkpoint, metric), column in table.columns.items():
        expected = exact(column)
        read = column.reader()
        for position, value in enumerate(expected):
            if np.isnan(value):
                with pytest.raises(NotRecorded):
                    read(position)
            else:
                assert read(position) == value
        for place, epochs in enumerate(table.epochs):
            of_fidelity = expected.reshape(column.values.shape)[:, place]
            if np.isnan(of_fidelity).any():
                with pytest.raises(NotRecorded, match=f"{np.isnan(of_fidelity).sum()} readings"):
                    table.values(metric, epochs, checkpoint)  # type: ignore[arg-type]
            else:
                values = table.values(metric, epochs, checkpoint)  # type: ignore[arg-type]
                assert values.dtype == np.float64
                assert (values == of_fidelity).all()
                mean = table.mean(metric, epochs, checkpoint)  # type: ignore[arg-type]
                np.testing.assert_allclose(mean, of_fidelity.mean(axis=1), rtol=1e-15)


@pytest.mark.parametrize("images", [1, 773, 774, 9984, 10_000, 65_535])
def test_counts_decode_to_the_float32_of_the_fraction(images: int) -> None:
    """Every public accuracy of NAS-Bench-101 is bit for bit float32(k / 9984)."""
    counts = np.arange(images + 1).astype(np.uint16).reshape(-1, 1, 1)
    column = Column(counts, images)
    expected = [float(np.float32(k / images)) for k in range(images + 1)]
    assert column.array(0)[:, 0].tolist() == expected
    assert list(map(column.reader(), range(images + 1))) == expected


def test_known_accuracies_of_the_official_table() -> None:
    """The ResNet-like README row of nasbench: 0.93760014 and 0.93118989 are 9361 and 9297 of 9984."""
    read = Column(np.array([9361, 9297], np.uint16).reshape(2, 1, 1), 9984).reader()
    assert read(0) == 0.9376001358032227
    assert read(1) == 0.9311898946762085


def test_the_largest_fidelity_is_the_default() -> None:
    table = a_table()
    assert (table.values("seconds") == table.values("seconds", 12)).all()
    assert (table.values("seconds") != table.values("seconds", 4)).any()


def test_a_large_provenance_is_kept(tmp_path: Path) -> None:
    provenance = {"name": "large", "recipe": {"note": "ä" * 100_000, "steps": [1, 2.5, None]}}
    a_table(provenance=provenance).save(tmp_path / "table.h5")
    assert Table.open(tmp_path / "table.h5").provenance == provenance


def test_saving_again_overwrites(path: Path) -> None:
    other = changed(a_table(), "seconds", values=np.zeros((7, 2, 2), np.float32))
    opened = Table.open(path)
    other.save(path)
    assert Table.open(path).checksum == other.checksum
    opened.verify()  # who has the old file open keeps it


def test_an_opened_table_can_be_saved(path: Path, tmp_path: Path) -> None:
    Table.open(path).save(tmp_path / "copy.h5")
    assert Table.open(tmp_path / "copy.h5").checksum == Table.open(path).checksum


def test_saving_twice_gives_the_same_bytes(path: Path, tmp_path: Path) -> None:
    a_table().save(tmp_path / "again.h5")
    assert (tmp_path / "again.h5").read_bytes() == path.read_bytes()


def test_opening_maps_the_file(tmp_path: Path) -> None:
    """A value that changes in the file changes in the opened table (of arrays that are large)."""
    path = tmp_path / "large.h5"
    a_table(CellSpace(6)).save(path)
    table = Table.open(path)
    read = table.column("seconds").reader()
    with h5py.File(path) as file:
        offset = file["final/seconds"].id.get_offset()
    with path.open("r+b") as raw:
        raw.seek(offset)
        raw.write(np.float32(1234.5).tobytes())
    assert read(0) == table.column("seconds").array(0)[0, 0] == 1234.5
    with pytest.raises(ValueError, match="read-only"):
        table.column("seconds").values[0, 0, 0] = 0
    with pytest.raises(CorruptFile):
        table.verify()


# What is not there -----------------------------------------------------------------------------


def test_a_partial_table_knows_cells_it_lacks_from_cells_outside() -> None:
    rows = [0, 3, 28, 90]
    table = a_table(CellSpace(4), rows)
    assert not table.complete
    assert len(table) == len(table.covered) == 4
    for place, row in enumerate(rows):
        assert table.row(table.space[row]) == place
        assert table.covered.index(table.space[row]) == place
    lacking = r"tiny covers 4 of the space's 91 architectures and lacks 01.*:conv1x1"
    with pytest.raises(NotInTable, match=lacking):
        table.row(Cell.from_text("010/001/000:conv1x1"))
    with pytest.raises(NotInSpace, match="the cell has 7 vertices; the space allows 4"):
        table.row(Cell.named("inception"))


def test_what_is_not_recorded_is_refused_with_what_is() -> None:
    table = a_table()
    assert table.has("seconds")
    assert not table.has("seconds", "halfway")
    for ask in (table.values, table.mean):
        with pytest.raises(NotRecorded, match="tiny has no trainings of 36 epochs; it has 4, 12"):
            ask("seconds", 36)
        with pytest.raises(
            NotRecorded, match=r"tiny has no loss \(final\); it has seconds \(final\)"
        ):
            ask("loss")
        with pytest.raises(NotRecorded, match=r"tiny has no seconds \(halfway\); it has"):
            ask("seconds", 4, "halfway")


def test_no_value_is_ever_nan() -> None:
    """A NaN is no reading: it is refused when the table is made, or read as not recorded."""
    seconds = np.full((7, 2, 2), 5, np.float32)
    seconds[3, 1, 0] = np.nan
    with pytest.raises(NasbenchKitError):
        changed(a_table(), "seconds", values=seconds).values("seconds")
    with pytest.raises(NasbenchKitError):
        changed(a_table(), "seconds", values=seconds).column("seconds").reader()(3 * 4 + 2)


def test_sources_of_rows() -> None:
    assert a_table().sources().tolist() == [SOURCES.index("measured")] * 7
    trained = a_table(provenance={"source": "trained"})
    assert trained.sources().tolist() == [SOURCES.index("trained")] * 7
    mixed = np.array([0, 1, 2, 0, 1, 2, 0], np.uint8)
    assert a_table(extra={"source": mixed}).sources().tolist() == mixed.tolist()


# What is no table ------------------------------------------------------------------------------


def three(*shape: int) -> dict[tuple[str, str], Column]:
    return {("final", "seconds"): Column(np.ones(shape, np.float32))}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"columns": {}}, "do not fit 7 rows and 2 fidelities"),
        ({"columns": three(6, 2, 2)}, r"shapes \[\(6, 2, 2\)\] do not fit 7 rows"),
        ({"columns": three(7, 3, 2)}, r"shapes \[\(7, 3, 2\)\] do not fit 7 rows and 2 fid"),
        ({"columns": three(7, 2)}, r"shapes \[\(7, 2\)\] do not fit"),
        ({"columns": three(7, 2, 2) | {("halfway", "seconds"): Column(np.ones((7, 2, 1), "f4"))}}, "fit"),
        ({"columns": {("final", "seconds"): Column(np.ones((7, 2, 2), "f4"), present=np.ones(5, "u1"))}}, "."),
        ({"extra": {"source": np.zeros(6, np.uint8)}}, "source has 6 entries for 7 rows"),
        ({"rows": [0, 5, 3]}, "the table's rows are not ascending rows of its space"),
        ({"rows": [0, 3, 3]}, "the table's rows are not ascending rows of its space"),
        ({"rows": [-1, 3]}, "the table's rows are not ascending rows of its space"),
        ({"rows": [0, 7]}, "the table's rows are not ascending rows of its space"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit_are_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        a_table(**more)


@pytest.mark.parametrize("epochs", [(12, 4), (4, 4)])
def test_the_largest_fidelity_is_known_or_the_table_refused(epochs: tuple[int, ...]) -> None:
    with pytest.raises(InvalidSetting):
        a_table(epochs=epochs)


def test_a_table_that_could_not_be_opened_is_not_saved(tmp_path: Path) -> None:
    """Its space has a name that says nothing about its cells."""
    table = a_table(CellSpace(4).restricted(np.arange(10), "mine"))
    with pytest.raises(NasbenchKitError):
        table.save(tmp_path / "table.h5")
    assert list(tmp_path.iterdir()) == []


# Damaged files ---------------------------------------------------------------------------------


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("no table\n" * 1000)
    with h5py.File(tmp_path / "other", "w") as file:
        file["x"] = 1
    with pytest.raises(CorruptFile, match=f"there is no table at {tmp_path / 'absent'}"):
        Table.open(tmp_path / "absent")
    with pytest.raises(CorruptFile, match="there is no table at"):
        Table.open(tmp_path)
    for name in ("empty", "text", "other"):
        with pytest.raises(CorruptFile, match=f"{name}"):
            Table.open(tmp_path / name)


def test_a_table_of_another_version_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"nasbench-kit table 1", b"nasbench-kit table 2", 1))
    with pytest.raises(CorruptFile, match="begins with b'nasbench-kit table 2'"):
        Table.open(path)


def test_a_table_in_another_row_order_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = Table.open(path).space
    monkeypatch.setitem(vars(space), "digest", "0" * 64)
    monkeypatch.setattr("nasbench_kit.spaces.named", lambda _: space)
    with pytest.raises(CorruptFile, match="in another order than this version's; convert it again"):
        Table.open(path)


def test_a_truncated_file_is_refused_at_any_length(path: Path, tmp_path: Path) -> None:
    whole, cut = path.read_bytes(), tmp_path / "cut.h5"
    for length in (*range(0, len(whole), 61), *range(len(whole) - 4, len(whole))):
        cut.write_bytes(whole[:length])
        with pytest.raises(CorruptFile, match=r"cut\.h5"):
            Table.open(cut)


def test_every_altered_byte_is_found(path: Path) -> None:
    """Of the header, of the data, and of what only the HDF5 library reads."""
    whole = path.read_bytes()
    for place in (*range(100), *range(100, len(whole), 7)):
        altered = bytes([whole[place] ^ 1 << place % 8])
        path.write_bytes(whole[:place] + altered + whole[place + 1 :])
        with pytest.raises(CorruptFile, match=r"table\.h5"):
            Table.open(path).verify()


def test_other_programs_read_the_arrays_and_the_denominators(path: Path) -> None:
    with h5py.File(path) as file:
        for (checkpoint, metric), column in Table.open(path).columns.items():
            dataset = file[f"{checkpoint}/{metric}"]
            assert np.array_equal(dataset[()], column.values)
            assert dataset.attrs.get("images") == column.images
        assert json.loads(file.attrs["header"])["epochs"] == [4, 12]


def rename(file: h5py.File) -> None:
    file.move("final/test_accuracy", "final/loss")


def rewrite_in_chunks(file: h5py.File) -> None:
    values = file["final/seconds"][()]
    del file["final/seconds"]
    file.create_dataset("final/seconds", data=values, chunks=values.shape)


def annotate(file: h5py.File) -> None:
    file["final/test_accuracy"].attrs["images"] = 100


@pytest.mark.parametrize("change", [rename, rewrite_in_chunks, annotate])
def test_a_file_changed_by_other_programs_is_noticed(
    path: Path, change: Callable[[h5py.File], None]
) -> None:
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(CorruptFile, match=r"was altered|is truncated"):
        Table.open(path).verify()


def test_a_count_beyond_the_images_is_a_named_error(path: Path) -> None:
    """Whoever made the table."""
    values = a_table().column("validation_accuracy").values.copy()
    values[0, 0, 0] = 40_000
    changed(a_table(), "validation_accuracy", values=values).save(path)
    table = Table.open(path)
    for read in (
        lambda: table.values("validation_accuracy", 4),
        lambda: table.column("validation_accuracy").reader()(0),
    ):
        with pytest.raises(NasbenchKitError):
            read()


# Folders that cannot be written ----------------------------------------------------------------


def test_an_unwritable_place_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here first")
    (tmp_path / "folder").mkdir()
    for target in (tmp_path / "file" / "table.h5", tmp_path / "folder"):
        with pytest.raises(NotWritable, match=f"cannot write {target}: .*; choose a folder"):
            a_table().save(target)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]
    assert os.listdir(tmp_path / "folder") == []


def test_a_failed_write_leaves_the_old_table_and_no_part(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(TypeError):
        a_table(provenance={"name": object()}).save(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["table.h5"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_disk_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def full(*_: object, **__: object) -> int:
        with open("/dev/full", "wb", buffering=0) as device:
            return device.write(b"x")

    monkeypatch.setattr(h5py.Group, "create_dataset", full)
    with pytest.raises(NotWritable, match="No space left on device; choose a folder"):
        a_table().save(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["table.h5"]


def test_a_table_can_be_moved(path: Path, tmp_path: Path) -> None:
    shutil.move(path, tmp_path / "elsewhere.h5")
    Table.open(tmp_path / "elsewhere.h5").verify()
