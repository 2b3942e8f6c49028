"""nasbench_kit.data.benchmarks.nasbench101.tfrecord: the genuine record, round trips, a slow obvious reader, corruption."""

import base64
import gzip
import json
import struct
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray
from official import genuine_record

from nasbench_kit.data.benchmarks.nasbench101 import tfrecord
from nasbench_kit.data.benchmarks.nasbench101.tfrecord import (
    MEASURES,
    OPERATIONS,
    RecordChunk,
    read_chunks,
    write_records,
)
from nasbench_kit.errors import CorruptFile, NotWritable

SHARED = Path(__file__).parents[1].parent / "shared" / "data"
COLUMNS = [field.name for field in fields(RecordChunk)]

# --- slow, obvious counterparts -----------------------------------------------------------------


def masked_crc(data: bytes) -> bytes:
    """CRC32C bit by bit (polynomial 0x1EDC6F41, reflected), masked as TensorFlow does it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x82F63B78 * (crc & 1)
    crc ^= 0xFFFFFFFF
    rotated = crc >> 15 | crc << 17 & 0xFFFFFFFF
    return struct.pack("<I", (rotated + 0xA282EAD8) % 2**32)


def frame(payload: bytes) -> bytes:
    length = struct.pack("<Q", len(payload))
    return length + masked_crc(length) + payload + masked_crc(payload)


def varint(number: int) -> bytes:
    septets = [number & 0x7F]
    while number := number >> 7:
        septets.append(number & 0x7F)
    return bytes([septet | 0x80 for septet in septets[:-1]] + septets[-1:])


def field(number: int, value: float | bytes) -> bytes:
    """One protobuf field: int as varint, float as double, bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def points(*values: float, extra: bytes = b"") -> bytes:
    """Three evaluation_data with the same five values."""
    point = b"".join(field(number, value) for number, value in enumerate(values, 1))
    return 3 * field(1, point + extra)


METRICS = points(0.0, 1.0, 0.5, 0.25, 0.125) + field(2, 882570) + field(3, 9.5)
ROW = ("043721b9c7fe8c5fad811d47d83132ec", 4, "0100", "input,output")


def record(row: object = None, metrics: bytes = METRICS) -> bytes:
    return frame(json.dumps(row or [*ROW, base64.encodebytes(metrics).decode()]).encode())


# --- helpers ------------------------------------------------------------------------------------


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., RecordChunk]:
    """Read these bytes as a file, all chunks joined."""

    def read_bytes(content: bytes, **options: Any) -> RecordChunk:
        path = tmp_path / "records.tfrecord"
        path.write_bytes(content)
        return join(list(read_chunks(path, **options)))

    return read_bytes


def join(chunks: list[RecordChunk]) -> RecordChunk:
    return RecordChunk(
        **{name: np.concatenate([getattr(chunk, name) for chunk in chunks]) for name in COLUMNS}
    )


def assert_equal(one: RecordChunk, other: RecordChunk) -> None:
    """Bit for bit, and of the documented types."""
    for name in COLUMNS:
        left, right = getattr(one, name), getattr(other, name)
        assert left.dtype == right.dtype and left.shape == right.shape, name
        assert left.tobytes() == right.tobytes(), name


@st.composite
def chunks(draw: st.DrawFn, max_records: int = 6) -> RecordChunk:
    """Records with any double, any cell that is upper triangular, any length of training."""
    count = draw(st.integers(1, max_records))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    sizes = rng.integers(2, 8, count)
    operations = np.zeros((count, 5), np.uint8)
    adjacency = []
    for row, size in enumerate(sizes):
        operations[row, : size - 2] = rng.integers(0, len(OPERATIONS), size - 2)
        matrix = np.triu(rng.integers(0, 2, (size, size)), 1)
        adjacency.append("".join(map(str, matrix.ravel())))

    def doubles(*shape: int) -> NDArray[np.float64]:
        bits = draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4))
        return np.resize(np.array(bits, np.uint64), shape).view(np.float64)

    def counts(low: int) -> NDArray[np.int32]:
        each = st.integers(low, 2**31 - 1) | st.integers(low, 2**14)
        return np.array([draw(each) for _ in range(count)], np.int32)

    return RecordChunk(
        hash=np.array([rng.bytes(16).hex() for _ in range(count)], "S32"),
        epochs=counts(1),
        size=sizes.astype(np.uint8),
        adjacency=np.array(adjacency, "S49"),
        operations=operations,
        trainable_parameters=counts(0),
        total_time=doubles(count),
        **{name: doubles(count, 3) for name in MEASURES},
    )


# --- what is read -------------------------------------------------------------------------------


def test_genuine_record(tmp_path: Path) -> None:
    # The first record of the official file, as nasbench-rs (src/dataset.rs) has it in a test. That
    # its two checksums come out says that every one of its 417 bytes does.
    chunk = genuine_record()
    path = tmp_path / "genuine.tfrecord"
    assert write_records(path, [chunk]) == 1
    content = path.read_bytes()
    assert len(content) == 417
    assert content[8:12] == bytes.fromhex("9825ed9b")
    assert content[-4:] == bytes.fromhex("68166903")
    assert_equal(join(list(read_chunks(path))), chunk)


@settings(deadline=None)
@given(st.lists(chunks(), min_size=1, max_size=3), st.integers(1, 2000))
def test_round_trip(written: list[RecordChunk], chunk_bytes: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "records.tfrecord"
        assert write_records(path, written) == sum(map(len, written))
        assert [item.name for item in Path(folder).iterdir()] == ["records.tfrecord"]
        found = list(read_chunks(path, chunk_bytes=chunk_bytes))
    assert_equal(join(found), join(written))


@settings(deadline=None)
@given(chunks(), st.randoms(use_true_random=False))
def test_any_spelling_reads_alike(chunk: RecordChunk, random: Any) -> None:
    # fields shuffled, unknown ones between them, checkpoint paths; other spaces in the JSON
    rows = []
    for row in range(len(chunk)):
        size = int(chunk.size[row])
        names = [OPERATIONS[index] for index in chunk.operations[row, : size - 2]]
        parts = []
        for point in range(3):
            inside = [
                field(number, float(getattr(chunk, name)[row, point]))
                for number, name in enumerate(MEASURES, 1)
            ]
            inside += [field(6, b"/model.ckpt-1" * random.randrange(30)), field(7, 300)]
            inside += [varint(9 << 3 | 5) + b"four", field(1000, b"unknown"), field(3, 7)]
            random.shuffle(inside)
            parts.append(field(1, b"".join(inside)))
        for part in (
            field(2, int(chunk.trainable_parameters[row])),
            field(3, float(chunk.total_time[row])),
            field(12, -1 % 2**64),
        ):
            parts.insert(random.randrange(len(parts) + 1), part)
        text = json.dumps(
            [
                chunk.hash[row].decode(),
                int(chunk.epochs[row]),
                chunk.adjacency[row].decode(),
                ",".join(["input", *names, "output"]),
                base64.b64encode(b"".join(parts)).decode(),
            ],
            separators=random.choice([(",", ":"), (" ,\n", ":")]),
        )
        rows.append(frame(text.replace("/", r"\/").encode()))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "records.tfrecord"
        path.write_bytes(b"".join(rows))
        assert_equal(join(list(read_chunks(path))), chunk)


@settings(deadline=None)
@given(chunks())
def test_slow_metrics_are_the_fast_ones(chunk: RecordChunk) -> None:
    metrics = np.zeros(len(chunk), tfrecord._METRICS)
    for name in tfrecord._METRICS.names or ():
        metrics[name] = getattr(chunk, name)
    messages = tfrecord._pack(metrics).tolist()
    fast, done = tfrecord._unpack(messages)
    assert done.all()
    assert fast.tobytes() == metrics.tobytes()
    assert b"".join(tfrecord._parse_metrics(message).tobytes() for message in messages) == (
        metrics.tobytes()
    )


def test_absent_fields_are_zero(read: Callable[..., RecordChunk]) -> None:
    # as in protobuf, which leaves out the defaults when told to
    chunk = read(record(metrics=3 * field(1, field(5, 0.5))))
    assert chunk.test_accuracy.tolist() == [[0.5] * 3]
    assert chunk.trainable_parameters[0] == chunk.total_time[0] == chunk.train_accuracy.max() == 0


def test_last_of_repeated_fields_counts(read: Callable[..., RecordChunk]) -> None:
    assert read(record(metrics=METRICS + field(3, 1.0) + field(3, 2.0))).total_time[0] == 2


def test_gzip_reads_alike(read: Callable[..., RecordChunk]) -> None:
    content = 5 * record()
    assert_equal(read(gzip.compress(content)), read(content))


def test_chunks_and_progress(tmp_path: Path) -> None:
    path = tmp_path / "records.tfrecord"
    one = record()
    path.write_bytes(5 * one)
    seen: list[int] = []
    sizes = [
        len(chunk) for chunk in read_chunks(path, chunk_bytes=2 * len(one), progress=seen.append)
    ]
    assert sizes == [2, 2, 1]
    assert seen == [2 * len(one), 4 * len(one), 5 * len(one)]


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason=f"needs the development data in {SHARED}")
def test_excerpt_as_the_official_api_reads_it() -> None:
    with gzip.open(SHARED / "nasbench101_excerpt_expected.json.gz") as file:
        expected = json.load(file)
    chunk = join(list(read_chunks(SHARED / "nasbench101_excerpt.tfrecord.gz", chunk_bytes=1 << 16)))
    assert len(chunk) == 297 * 4 * 3
    found: dict[str, Any] = {}
    for row in range(len(chunk)):
        size = int(chunk.size[row])
        bits = np.frombuffer(chunk.adjacency[row], np.uint8) - ord("0")
        interior = [OPERATIONS[index] for index in chunk.operations[row, : size - 2]]
        cell = found.setdefault(chunk.hash[row].decode(), {"computed": defaultdict(list)})
        cell["fixed"] = {
            "module_adjacency": bits.reshape(size, size).tolist(),
            "module_operations": ["input", *interior, "output"],
            "trainable_parameters": chunk.trainable_parameters[row],
        }
        assert chunk.current_epoch[row].tolist() == [0, chunk.epochs[row] / 2, chunk.epochs[row]]
        repeat = {
            f"{when}_{name}": getattr(chunk, name)[row, point]
            for point, when in ((1, "halfway"), (2, "final"))
            for name in MEASURES[1:]
        }
        cell["computed"][str(chunk.epochs[row])].append(repeat)
    assert found == expected


# --- writing ------------------------------------------------------------------------------------


def test_failed_export_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "records.tfrecord"
    path.write_bytes(record())

    def failing() -> Iterator[RecordChunk]:
        yield from read_chunks(path)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        write_records(path, failing())
    assert path.read_bytes() == record()
    assert list(tmp_path.iterdir()) == [path]


def test_not_writable() -> None:
    with pytest.raises(NotWritable, match=r"/proc/nowhere.*choose a folder"):
        write_records(Path("/proc/nowhere/x.tfrecord"), [])


# --- corruption ---------------------------------------------------------------------------------


def changed(column: int, value: object) -> bytes:
    row: list[object] = [*ROW, base64.encodebytes(METRICS).decode()]
    row[column] = value
    return record(row)


CELL_OF_THREE = "input,maxpool3x3,output"
GOOD = record()
BAD = {
    "cut header": (GOOD[:5], "ends after 5 bytes of the header, expected 12"),
    "cut payload": (GOOD[:-5], f"{len(GOOD) - 17} bytes follow.*expected {len(GOOD) - 12}"),
    "length": (b"\x01" + GOOD[1:], "CRC32C of the length is [0-9a-f]{8}, expected [0-9a-f]{8}"),
    "payload": (GOOD[:-5] + b"." + GOOD[-4:], "CRC32C of the payload is .*, expected "),
    "huge": (
        struct.pack("<Q", 1 << 62) + masked_crc(struct.pack("<Q", 1 << 62)),
        f"{1 << 62} bytes",
    ),
    "not text": (frame(b"\xff\xfe"), "not JSON .*can't decode"),
    "not JSON": (frame(b"[1, 2"), "not JSON .Expecting"),
    "deep JSON": (frame(b"[" * 30_000), "not JSON .*recursion"),
    "no list": (frame(b'{"hash": 1}'), "not a JSON list of hash"),
    "list of four": (record(ROW), "not a JSON list of hash"),
    "epochs as text": (changed(1, "4"), "not a JSON list of hash"),
    "epochs true": (changed(1, True), "not a JSON list of hash"),
    "epochs 0": (changed(1, 0), "has 0 epochs, expected"),
    "epochs 2**31": (changed(1, 2**31), "has 2147483648 epochs, expected"),
    "hash": (changed(0, "g" * 32), "hash is 'g{32}', expected 32 hexadecimal digits"),
    "short hash": (changed(0, "ab"), "hash is 'ab', expected 32"),
    "not ASCII": (changed(0, "é" * 16), r"hash is '(\\xe9){16}', expected"),
    "surrogate": (changed(0, "\ud800"), "surrogates not allowed"),
    "base64": (changed(4, "Ci0J*"), "not base64"),
    "padding": (changed(4, "Ci0"), "not base64"),
    "adjacency size": (changed(2, "01000"), "adjacency is '01000', expected 4 digits"),
    "adjacency digit": (changed(2, "0200"), "adjacency is '0200', expected 4 digits"),
    "diagonal": (changed(2, "1100"), "'1100' is not upper triangular"),
    "lower entry": (changed(2, "0110"), "'0110' is not upper triangular"),
    "operation": (
        changed(3, "input,conv7x7,output"),
        "unknown operation 'conv7x7', expected conv3",
    ),
    "no input": (
        changed(3, CELL_OF_THREE[6:]),
        "operations are 'maxpool3x3,output', expected input",
    ),
    "no output": (changed(3, "input,maxpool3x3"), "operations are 'input,maxpool3x3', expected"),
    "one vertex": (changed(3, "input"), "operations are 'input', expected"),
    "8 vertices": (changed(3, "input" + 6 * ",maxpool3x3" + ",output"), "at most 5"),
    "two points": (record(metrics=METRICS[47:]), "2 evaluation_data, expected 3"),
    "four points": (record(metrics=METRICS[:47] + METRICS), "4 evaluation_data, expected 3"),
    "no metrics": (record(metrics=b""), "0 evaluation_data, expected 3"),
    "cut protobuf": (record(metrics=METRICS[:-1]), "protobuf ends inside field 3"),
    "cut point": (record(metrics=METRICS[47:] + field(1, b"\x09")), "protobuf ends inside field 1"),
    "wire type": (record(metrics=METRICS + b"\x0b"), "field 1 of wire type 3"),
    "field 0": (record(metrics=METRICS + b"\x00\x00"), "field 0 of wire type 0"),
    "endless number": (record(metrics=METRICS + b"\x10" + b"\xff" * 11), "does not end"),
    "cut number": (record(metrics=METRICS + b"\x10\x80"), "does not end"),
    "parameters": (
        record(metrics=METRICS + field(2, -5 % 2**64)),
        "trainable_parameters is negative",
    ),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD.keys())
def test_corruption_tells_file_record_and_byte(
    read: Callable[..., RecordChunk], content: bytes, message: str
) -> None:
    with pytest.raises(CorruptFile, match=message) as caught:
        read(GOOD + GOOD + content)
    assert f"records.tfrecord: record 2 at byte {2 * len(GOOD)}: " in str(caught.value)
    assert "download or export the file again" in str(caught.value)


def test_too_long_without_checksum(read: Callable[..., RecordChunk]) -> None:
    with pytest.raises(CorruptFile, match="payload has 40000 bytes, expected at most 32768"):
        read(struct.pack("<Q", 40_000) + bytes(4), check_crc=False)


@pytest.mark.parametrize("content", [b"", gzip.compress(b"")], ids=["plain", "gzip"])
def test_empty(read: Callable[..., RecordChunk], content: bytes) -> None:
    with pytest.raises(CorruptFile, match="holds no record"):
        read(content)


def test_checksums_can_be_ignored(read: Callable[..., RecordChunk]) -> None:
    assert_equal(read(GOOD[:-4] + b"none", check_crc=False), read(GOOD))


@pytest.mark.parametrize("position", [3, 30, -6], ids=["header", "data", "trailer"])
def test_corrupt_gzip(read: Callable[..., RecordChunk], position: int) -> None:
    content = bytearray(gzip.compress(3 * GOOD))
    content[position] ^= 0xFF
    with pytest.raises(CorruptFile, match="download or export"):
        read(bytes(content))


SMALL = GOOD + changed(1, 12) + record(metrics=METRICS + field(6, b"unknown"))


@settings(deadline=2000, max_examples=300)
@given(st.data(), st.booleans(), st.booleans())
def test_any_corruption_is_a_corrupt_file(
    data: st.DataObject, check_crc: bool, zipped: bool
) -> None:
    content = bytearray(gzip.compress(SMALL, mtime=0) if zipped else SMALL)
    place = st.integers(0, len(content) - 1)
    for position, bits in data.draw(st.lists(st.tuples(place, st.integers(1, 255)), max_size=4)):
        content[position] ^= bits
    del content[data.draw(st.just(len(content)) | place) :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "records.tfrecord"
        path.write_bytes(content)
        try:
            found = list(read_chunks(path, check_crc=check_crc, chunk_bytes=1))
        except CorruptFile:
            return
        if not check_crc:
            return
        # only a cut between two records passes the checksums
        path.write_bytes(SMALL)
        for chunk, intact in zip(found, read_chunks(path, chunk_bytes=1), strict=False):
            assert_equal(chunk, intact)
