r"""The official NAS-Bench-101 files (``nasbench_full.tfrecord``) without TensorFlow or protobuf.

::

    record         8 bytes     n, the length of the payload, little-endian
                   4           masked CRC32C of those 8 bytes
                   n           payload, UTF-8 JSON, below
                   4           masked CRC32C of the payload

    payload        ["00005c142e6f48ac74fdcf73e3439874",      hash of the cell
                    4,                                       epochs of the training
                    "0100110001...",                         adjacency matrix, row after row
                    "input,conv3x3-bn-relu,...,output",      operations
                    "Ci0JAAAAAAAA...AQZAABAhznbeUA=\n"]      base64, in lines of 76, of

    ModelMetrics   0A 2D       evaluation_data, three times: start, halfway, end
                      09 f8        .current_epoch
                      11 f8        .training_time, seconds
                      19 f8        .train_accuracy
                      21 f8        .validation_accuracy
                      29 f8        .test_accuracy
                     [32 ..        .checkpoint_path; dropped]
                   10 varint   trainable_parameters
                   19 f8       total_time, seconds

Benchmarks in this layout that add fields of their own (``FURTHER``) are read as well: what they add in
doubles comes along by name, of EvaluationData as it was at the end; texts and messages do not.

Repeated trainings of a cell are separate records of equal hash and epochs. Layout: ``api.py`` and
``model_metrics.proto`` of Ying et al. 2019; one genuine record is in the tests. Metrics of exactly
this layout are decoded many at a time; any other order or selection of protobuf fields, and any
other spelling of the JSON, takes a slower way.
"""

import base64
import binascii
import gzip
import io
import itertools
import json
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from nasbench_kit.errors import CorruptFile
from nasbench_kit.system.files import replacing

OPERATIONS = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
MEASURES = (
    "current_epoch",
    "training_time",
    "train_accuracy",
    "validation_accuracy",
    "test_accuracy",
)
#: Doubles that are no official ones, by the message and field number in which they stand: EC-NAS-Bench
#: (Bakhtiarifard et al., ICASSP 2024; model_metrics_energy.proto). Energy and emissions are those of
#: training so far, as training_time; the totals include evaluation, as total_time.
FURTHER = {
    ("evaluation_data", 6): "energy_kwh",
    ("evaluation_data", 7): "co2eq_g",
    ("evaluation_data", 8): "carbon_intensity_g_per_kwh",
    ("evaluation_data", 11): "predicted_energy_kwh",
    ("evaluation_data", 12): "predicted_co2eq_g",
    ("evaluation_data", 13): "predicted_seconds",
    ("evaluation_data", 14): "predicted_carbon_intensity_g_per_kwh",
    ("metrics", 4): "total_energy_kwh",
    ("metrics", 5): "total_co2eq_g",
    ("metrics", 8): "overall_carbon_intensity_g_per_kwh",
}
_MAX_PAYLOAD = 1 << 15  # bytes. Real ones stay below 500; gzip's magic number is above
_METRICS = np.dtype(
    [(name, "<f8", (3,)) for name in MEASURES]
    + [("trainable_parameters", "<i4"), ("total_time", "<f8")]
)
_BAD_CONTENT = (ValueError, EOFError, gzip.BadGzipFile, zlib.error)

_Path = str | os.PathLike[str]
_Record = tuple[int, int, bytes, int, bytes, bytes, bytes]  # number, offset, then as from _parse


@dataclass(frozen=True, eq=False)
class RecordChunk:
    """n records in file order, as columns. Where there are three entries: start, halfway, end.

    Attributes:
        hash: (n,) S32, MD5 of the cell in hexadecimal digits.
        epochs: (n,) int32, length of the training.
        size: (n,) uint8, number of vertices V, 2 to 7.
        adjacency: (n,) S49, the V*V characters '0' and '1', row after row.
        operations: (n, 5) uint8, index in ``OPERATIONS`` of each interior vertex, padded with 0.
        trainable_parameters: (n,) int32.
        total_time: (n,) float64, seconds of training, evaluation and everything else.
        current_epoch: (n, 3) float64.
        training_time: (n, 3) float64, seconds.
        train_accuracy: (n, 3) float64 in [0, 1].
        validation_accuracy: (n, 3) float64 in [0, 1].
        test_accuracy: (n, 3) float64 in [0, 1].
        further: (n,) what else a record says in doubles, as of its end: a mapping from name (of
            ``FURTHER``; of others message and field number) to value, or None. It is not written.
    """

    hash: NDArray[np.bytes_]
    epochs: NDArray[np.int32]
    size: NDArray[np.uint8]
    adjacency: NDArray[np.bytes_]
    operations: NDArray[np.uint8]
    trainable_parameters: NDArray[np.int32]
    total_time: NDArray[np.float64]
    current_epoch: NDArray[np.float64]
    training_time: NDArray[np.float64]
    train_accuracy: NDArray[np.float64]
    validation_accuracy: NDArray[np.float64]
    test_accuracy: NDArray[np.float64]
    further: NDArray[Any] = None  # type: ignore[assignment]  # filled in

    def __post_init__(self) -> None:
        if self.further is None:
            object.__setattr__(self, "further", np.full(len(self.hash), None))

    def __len__(self) -> int:
        """Number of records."""
        return len(self.hash)

    def __getitem__(self, where: NDArray[np.bool_] | NDArray[np.integer]) -> "RecordChunk":
        """Some of the records, by a mask (n,) or by their positions."""
        return RecordChunk(**{f.name: getattr(self, f.name)[where] for f in fields(self)})


def read_chunks(
    path: _Path,
    *,
    check_crc: bool = True,
    chunk_bytes: int = 1 << 23,
    progress: Callable[[int], object] | None = None,
    on_error: Callable[[str, str], object] | None = None,
) -> Iterator[RecordChunk]:
    """Read a .tfrecord file, plain or gzipped, chunk by chunk.

    Args:
        path: The file.
        check_crc: Whether both checksums of every record are verified.
        chunk_bytes: A chunk ends with the record that fills this many bytes.
        progress: Called before each chunk with the bytes of the file read so far.
        on_error: Called with the kind and the description of whatever is wrong, instead of raising
            CorruptFile. The record is left out; reading ends where the next one cannot be found.

    Raises:
        CorruptFile: The content is truncated, altered or something else. The message tells the
            record, counted from 0, and its first byte (in a gzipped file, after decompression).
    """
    empty = True

    def report(number: int, offset: int, error: Exception) -> None:
        nonlocal empty
        empty = False
        place = f"record {number} at byte {offset}"
        if on_error is None:
            raise CorruptFile(
                f"{os.fspath(path)}: {place}: {error}; download or export the file again"
            ) from error
        on_error(getattr(error, "kind", "an unreadable record"), f"{place}: {error}")

    with open(path, "rb") as file:
        gzipped = file.peek(2)[:2] == b"\x1f\x8b"
        stream = io.BufferedReader(gzip.GzipFile(fileobj=file)) if gzipped else file
        for batch in _batches(stream, report, check_crc, chunk_bytes):
            numbers, offsets, hashes, epochs, adjacencies, cells, messages = zip(
                *batch, strict=True
            )
            metrics, done = _unpack(messages)
            further = np.full(len(messages), None)
            for row in np.flatnonzero(~done).tolist():
                try:
                    metrics[row] = _parse_metrics(messages[row])
                    further[row] = _parse_further(messages[row])
                    done[row] = True
                except ValueError as error:
                    report(numbers[row], offsets[row], error)
            empty = False
            if progress:
                progress(file.tell())
            cell = np.frombuffer(b"".join(cells), np.uint8).reshape(-1, 6)
            chunk = RecordChunk(
                hash=np.frombuffer(b"".join(hashes), "S32"),
                epochs=np.array(epochs, np.int32),
                size=cell[:, 0].copy(),
                adjacency=np.frombuffer(b"".join(adjacencies), "S49"),
                operations=cell[:, 1:].copy(),
                further=further,
                **{name: metrics[name].copy() for name in _METRICS.fields or ()},
            )
            yield chunk if done.all() else chunk[done]
    if empty:
        raise CorruptFile(f"{os.fspath(path)} holds no record; download or export it again")


def write_records(path: _Path, chunks: Iterable[RecordChunk]) -> int:
    """Write records in the official layout, beside ``path`` and then renamed; returns how many.

    Doubles are kept bit for bit. There are no checkpoint paths, as in the official files.

    Raises:
        NotWritable: The file cannot be written, or the disk is full.
    """
    number = 0
    with replacing(Path(path)) as temporary, temporary.open("wb") as file:
        for chunk in chunks:
            file.writelines(_encode(chunk))
            number += len(chunk)
    return number


# --- the container ------------------------------------------------------------------------------


def _batches(
    stream: BinaryIO,
    report: Callable[[int, int, Exception], None],
    check_crc: bool,
    chunk_bytes: int,
) -> Iterator[list[_Record]]:
    """The records of each chunk, all decoded but the metrics."""
    batch: list[_Record] = []
    offset = start = 0
    for number in itertools.count():
        whole = False
        try:
            if not (header := stream.read(12)):
                break
            length = _payload_length(header, check_crc)
            body = stream.read(length + 4)
            if len(body) < length + 4:
                detail = f"{len(body)} bytes follow the header, expected {length + 4}"
                raise _BadRecord("a truncated end", detail)
            whole = True
            payload = body[:length]
            if check_crc:
                _check_crc("payload", payload, body[length:])
            batch.append((number, offset, *_parse(payload)))
        except _BAD_CONTENT as error:
            report(number, offset, error)
            if not whole:
                break
        offset += 16 + length
        if batch and offset - start >= chunk_bytes:
            yield batch
            batch, start = [], offset
    if batch:
        yield batch


class _BadRecord(ValueError):
    """A fault that goes by a name."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


@lru_cache(1 << 12)  # lengths repeat
def _payload_length(header: bytes, check_crc: bool) -> int:
    if len(header) < 12:
        detail = f"the file ends after {len(header)} bytes of the header, expected 12"
        raise _BadRecord("a truncated end", detail)
    if check_crc:
        _check_crc("length", header[:8], header[8:])
    length = int.from_bytes(header[:8], "little")
    if length > _MAX_PAYLOAD:
        raise ValueError(f"the payload has {length} bytes, expected at most {_MAX_PAYLOAD}")
    return length


def _check_crc(what: str, data: bytes, stored: bytes) -> None:
    if (computed := _masked_crc(data)) != stored:
        actual, expected = stored[::-1].hex(), computed[::-1].hex()
        raise _BadRecord(
            "a wrong checksum", f"the CRC32C of the {what} is {actual}, expected {expected}"
        )


def _masked_crc(data: bytes) -> bytes:
    """CRC32C, masked as TensorFlow does it."""
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8 & 0xFFFFFFFF).to_bytes(4, "little")


# --- the payload --------------------------------------------------------------------------------

_official_row = re.compile(
    rb'\["([^"]*)", ([1-9]\d{0,8}), "([^"]*)", "([^"]*)", "([^"]{76})\\n([^"]{76})\\n([^"]*)\\n"\]'
).fullmatch


def _parse(payload: bytes) -> tuple[bytes, int, bytes, bytes, bytes]:
    """Hash (32), epochs, adjacency (49), size and operations (6), protobuf of the metrics."""
    if official := _official_row(payload):
        key, epochs, adjacency, operations, *lines = official.groups()
        try:
            return _parse_row(key, int(epochs), adjacency, operations, b"".join(lines))
        except ValueError:
            pass  # wrong, or JSON with escapes: the general way finds out
    try:
        row = json.loads(payload.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the payload is not JSON ({error})") from error
    if type(row) is not list or [*map(type, row)] != [str, int, str, str, str]:
        raise ValueError("the payload is not a JSON list of hash, epochs and three strings")
    key, adjacency, operations, metrics = (row[column].encode() for column in (0, 2, 3, 4))
    return _parse_row(key, row[1], adjacency, operations, metrics.replace(b"\n", b""))


def _parse_row(
    key: bytes, epochs: int, adjacency: bytes, operations: bytes, metrics: bytes
) -> tuple[bytes, int, bytes, bytes, bytes]:
    if len(key) != 32 or key.strip(b"0123456789abcdef"):
        raise ValueError(f"the hash is {_show(key)}, expected 32 hexadecimal digits")
    if not 0 < epochs < 1 << 31:
        raise ValueError(f"the training has {epochs} epochs, expected at least 1")
    cell = _parse_operations(operations)
    try:
        message = binascii.a2b_base64(metrics, strict_mode=True)
    except ValueError as error:
        raise ValueError(f"the metrics are not base64 ({error})") from error
    return key, epochs, _parse_adjacency(adjacency, cell[0]), cell, message


@lru_cache(1 << 10)  # 364 in the cell space
def _parse_operations(text: bytes) -> bytes:
    """The number of vertices and, padded to five, the interior operations."""
    vertices = text.decode(errors="replace").split(",")
    if not 2 <= len(vertices) <= 7 or (vertices[0], vertices[-1]) != ("input", "output"):
        raise ValueError(f"the operations are {_show(text)}, expected input, at most 5, output")
    for name in vertices[1:-1]:
        if name not in OPERATIONS:
            detail = f"unknown operation {name[:60]!a}, expected {', '.join(OPERATIONS)}"
            raise _BadRecord("an unknown operation", detail)
    return bytes([len(vertices), *map(OPERATIONS.index, vertices[1:-1])]).ljust(6, b"\0")


@lru_cache(1 << 14)  # 6,472 in the cell space
def _parse_adjacency(text: bytes, size: int) -> bytes:
    """The entries of the matrix, padded to 49."""
    if len(text) != size**2 or text.strip(b"01"):
        raise ValueError(f"the adjacency is {_show(text)}, expected {size**2} digits 0 or 1")
    if any(b"1" in text[row * size : row * size + row + 1] for row in range(size)):
        raise ValueError(f"the adjacency {_show(text)} is not upper triangular")
    return text.ljust(49, b"\0")


def _show(text: bytes) -> str:
    return ascii(text[:120].decode(errors="replace"))


def _encode(chunk: RecordChunk) -> Iterator[bytes]:
    """The records of a chunk, each with its checksums."""
    metrics = np.empty(len(chunk), _METRICS)
    for name in _METRICS.fields or ():
        metrics[name] = getattr(chunk, name)
    cells = np.column_stack([chunk.size, chunk.operations]).view("V6")[:, 0]
    columns = (chunk.hash, chunk.epochs, chunk.adjacency, cells, _pack(metrics))
    rows = zip(*(column.tolist() for column in columns), strict=True)
    for key, epochs, adjacency, cell, message in rows:
        operations = _format_operations(cell)
        lines = base64.encodebytes(message).replace(b"\n", b"\\n")
        payload = b'["%b", %d, "%b", "%b", "%b"]' % (key, epochs, adjacency, operations, lines)
        length = len(payload).to_bytes(8, "little")
        yield length + _masked_crc(length) + payload + _masked_crc(payload)


@lru_cache(1 << 10)
def _format_operations(cell: bytes) -> bytes:
    """Inverse of ``_parse_operations``."""
    interior = [OPERATIONS[index] for index in cell[1 : cell[0] - 1]]
    return ",".join(["input", *interior, "output"]).encode()


# --- the metrics --------------------------------------------------------------------------------


@cache
def _layout(width: int) -> np.dtype[np.void]:
    """ModelMetrics as the official files have it; trainable_parameters takes ``width`` bytes."""
    doubles = [part for name in MEASURES for part in ((f"tag of {name}", "u1"), (name, "<f8"))]
    return np.dtype(
        [
            ("evaluation_data", [("tag", "u1"), ("length", "u1"), *doubles], (3,)),
            ("tag of trainable_parameters", "u1"),
            ("trainable_parameters", "u1", (width,)),
            ("tag of total_time", "u1"),
            ("total_time", "<f8"),
        ]
    )


_WIDTHS = {_layout(width).itemsize: width for width in range(1, 6)}


def _pack_layout(metrics: NDArray[np.void], width: int) -> NDArray[np.void]:
    """(n,) of ``_METRICS`` -> (n,) of ``_layout(width)``. A tag is field << 3 | wire type."""
    packed = np.empty(len(metrics), _layout(width))
    points = packed["evaluation_data"]
    points["tag"], points["length"] = 1 << 3 | 2, points.dtype.itemsize - 2
    for field, name in enumerate(MEASURES, 1):
        points[f"tag of {name}"] = field << 3 | 1
        points[name] = metrics[name]
    packed["tag of trainable_parameters"] = 2 << 3 | 0
    septets = metrics["trainable_parameters"][:, None] >> 7 * np.arange(width) & 0x7F
    packed["trainable_parameters"] = septets | 0x80 * (np.arange(width) < width - 1)
    packed["tag of total_time"] = 3 << 3 | 1
    packed["total_time"] = metrics["total_time"]
    return packed


def _pack(metrics: NDArray[np.void]) -> NDArray[np.object_]:
    """(n,) of ``_METRICS`` -> (n,) protobuf messages."""
    limits = [1 << 7, 1 << 14, 1 << 21, 1 << 28]
    widths = 1 + np.searchsorted(limits, metrics["trainable_parameters"], side="right")
    messages = np.empty(len(metrics), object)
    for width in set(widths.tolist()):
        packed = _pack_layout(metrics[widths == width], width)
        messages[widths == width] = packed.view(f"V{packed.itemsize}").tolist()
    return messages


def _unpack(messages: Sequence[bytes]) -> tuple[NDArray[np.void], NDArray[np.bool_]]:
    """Decode those of n messages that have a ``_layout``: (n,) of ``_METRICS``, (n,) whether so.

    A message has the layout that its length suggests if packing what was read gives it back.
    """
    metrics = np.zeros(len(messages), _METRICS)
    done = np.zeros(len(messages), np.bool_)
    lengths = np.fromiter(map(len, messages), np.int64)
    for length in set(lengths.tolist()) & _WIDTHS.keys():
        rows, width = np.flatnonzero(lengths == length), _WIDTHS[length]
        packed = np.frombuffer(b"".join([messages[row] for row in rows.tolist()]), _layout(width))
        unpacked = np.empty(len(rows), _METRICS)
        for name in MEASURES:
            unpacked[name] = packed["evaluation_data"][name]
        septets = packed["trainable_parameters"] & np.int64(0x7F)
        unpacked["trainable_parameters"] = septets @ (1 << 7 * np.arange(width))
        unpacked["total_time"] = packed["total_time"]
        metrics[rows] = unpacked
        again = _pack_layout(unpacked, width)
        done[rows] = again.view(f"V{length}") == packed.view(f"V{length}")
    return metrics, done


def _parse_metrics(message: bytes) -> NDArray[np.void]:
    """Any protobuf ModelMetrics with three evaluation_data -> () of ``_METRICS``."""
    metrics = np.zeros((), _METRICS)
    points = []
    for field, wire, value in _fields(message):
        if (field, wire) == (1, 2):
            points.append(value)
        elif (field, wire) == (2, 0):
            metrics["trainable_parameters"] = np.frombuffer(value, "<i4")[0]
        elif (field, wire) == (3, 1):
            metrics["total_time"] = np.frombuffer(value, "<f8")[0]
    if len(points) != 3:
        raise ValueError(f"the metrics have {len(points)} evaluation_data, expected 3")
    if metrics["trainable_parameters"] < 0:
        raise ValueError("trainable_parameters is negative")
    for index, point in enumerate(points):
        for field, wire, value in _fields(point):
            if field <= len(MEASURES) and wire == 1:
                metrics[MEASURES[field - 1]][index] = np.frombuffer(value, "<f8")[0]
    return metrics


def _parse_further(message: bytes) -> dict[str, float] | None:
    """The doubles of a ModelMetrics that are no official ones; of evaluation_data, the last one's."""
    doubles: dict[str, float] = {}

    def keep(where: str, field: int, value: bytes) -> None:
        name = FURTHER.get((where, field), f"{where}_field_{field}")
        doubles[name] = float(np.frombuffer(value, "<f8")[0])

    points = []
    for field, wire, value in _fields(message):
        if (field, wire) == (1, 2):
            points.append(value)
        elif field > 3 and wire == 1:
            keep("metrics", field, value)
    for field, wire, value in _fields(points[-1]):
        if field > len(MEASURES) and wire == 1:
            keep("evaluation_data", field, value)
    return doubles or None


def _fields(message: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Field number, wire type and bytes (a varint as 8, little-endian) of each protobuf field."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        field, wire = tag >> 3, tag & 7
        if not field or wire not in (0, 1, 2, 5):
            raise ValueError(f"the protobuf has field {field} of wire type {wire}")
        if wire == 0:
            number, at = _varint(message, at)
            value = number.to_bytes(8, "little")
        else:
            length, at = _varint(message, at) if wire == 2 else ({1: 8, 5: 4}[wire], at)
            value = message[at : at + length]
            if len(value) < length:
                raise ValueError(f"the protobuf ends inside field {field}")
            at += length
        yield field, wire, value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """The number in base 128 that begins at byte ``at``, and where it ends."""
    for end in range(at, min(at + 10, len(message))):
        if message[end] < 0x80:
            septets = enumerate(message[at : end + 1])
            return sum((septet & 0x7F) << 7 * place for place, septet in septets) % 2**64, end + 1
    raise ValueError("the protobuf has a number that does not end")
