"""nasbench_kit.data.images.cifar10: both layouts, official checksums, downloads, damage, hostile pickles."""

import functools
import hashlib
import io
import os
import pickle
import re
import struct
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray

from nasbench_kit.data.benchmarks import download
from nasbench_kit.data.images import cifar10
from nasbench_kit.data.images.image_sets import open_images
from nasbench_kit.errors import (
    CorruptFile,
    DownloadFailed,
    InvalidSetting,
    NotWritable,
    UnknownName,
)
from nasbench_kit.training.images import SPLITS, ImageSet

SHARED = Path(__file__).parents[1].parent / "shared"
STEMS = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
EACH = 30  # images of one file

Batch = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # labels [n], rows [n, 3072]
Writer = Callable[[Batch], bytes]


def made_up() -> dict[str, Batch]:
    """Six files; all classes equally often in the training files together, and in the test file."""
    rng = np.random.default_rng(0)
    labels = np.arange(6 * EACH, dtype=np.uint8) % 10
    labels[: 5 * EACH] = rng.permutation(labels[: 5 * EACH])
    rows = rng.integers(0, 256, (6 * EACH, 3072), dtype=np.uint8)
    parts = [slice(EACH * place, EACH * (place + 1)) for place in range(6)]
    return {stem: (labels[part], rows[part]) for stem, part in zip(STEMS, parts, strict=True)}


def binary(batch: Batch) -> bytes:
    return np.column_stack(batch).tobytes()


def python3(batch: Batch, protocol: int = 4, hidden: object = None) -> bytes:
    """As Python 3 pickles it."""
    labels, rows = batch
    content = {b"labels": labels.tolist(), b"data": rows, b"filenames": [b"1.png", hidden]}
    return pickle.dumps(content, protocol=protocol)


def python2(batch: Batch, *, fortran: bool = False) -> bytes:
    """As cPickle of Python 2 wrote the official files, instruction by instruction."""
    labels, rows = batch
    pixels = rows.tobytes("F" if fortran else "C")
    return b"".join(
        (
            b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x15training batch 1 of 5q\x03",
            b"U\x06labelsq\x04]q\x05(" + b"".join(b"K%c" % label for label in labels) + b"e",
            b"U\x04dataq\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00",
            b"\x85q\x09U\x01b\x87Rq\x0a(K\x01" + b"M" + struct.pack("<H", len(labels)),
            b"M\x00\x0c\x86cnumpy\ndtype\nq\x0bU\x02u1K\x00K\x01\x87Rq\x0c(K\x03U\x01|NNN",
            b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb" + (b"\x88" if fortran else b"\x89"),
            b"T" + struct.pack("<I", len(pixels)) + pixels + b"tb",
            b"U\tfilenamesq\x0e]q\x0f(U\x05a.pngU\x05b.pngeu.",
        )
    )


def written(folder: Path, writer: Writer = binary) -> Path:
    """The made-up files in one of the layouts."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem, batch in made_up().items():
        ending = ".bin" if writer is binary else ""
        (folder / f"{stem}{ending}").write_bytes(writer(batch))
    return folder


def packed(archive: Path, writer: Writer) -> Path:
    """The made-up files in an archive, in a strange order and with a file that is no image."""
    archive.parent.mkdir(exist_ok=True)
    inside = "cifar-10-batches-bin" if writer is binary else "cifar-10-batches-py"
    with tempfile.TemporaryDirectory() as folder, tarfile.open(archive, "w:gz") as tar:
        files = sorted(written(Path(folder), writer).iterdir(), reverse=True)
        for file in files:
            tar.add(file, f"{inside}/{file.name}")
        tar.add(__file__, f"{inside}/readme.html")
    return archive


def equal(one: ImageSet, other: ImageSet) -> bool:
    return all(
        np.array_equal(getattr(one, split).images, getattr(other, split).images)
        and np.array_equal(getattr(one, split).labels, getattr(other, split).labels)
        for split in SPLITS
    )


# --- reading ------------------------------------------------------------------------------------


def test_the_split_is_by_file_and_channels_come_last(tmp_path: Path) -> None:
    images = cifar10.cifar10(written(tmp_path))
    files = made_up()
    for split, stems in zip(SPLITS, (STEMS[:4], STEMS[4:5], STEMS[5:]), strict=True):
        read = getattr(images, split)
        labels = np.concatenate([files[stem][0] for stem in stems])
        rows = np.concatenate([files[stem][1] for stem in stems])
        assert read.labels.tolist() == labels.tolist()
        for channel, row, column in ((0, 0, 0), (1, 2, 3), (2, 31, 31)):
            place = 1024 * channel + 32 * row + column  # as the data set's page has it
            assert read.images[:, row, column, channel].tolist() == rows[:, place].tolist()
    assert images.evaluated == (EACH, EACH, EACH)  # no whole batch of 256: all of one file
    assert images.mean == (125.31, 122.95, 113.87)
    assert images.std == (62.99, 62.09, 66.70)


@pytest.mark.parametrize(
    "writer", [python2, functools.partial(python2, fortran=True), python3], ids=["2", "F", "3"]
)
def test_the_layouts_hold_the_same_images(tmp_path: Path, writer: Writer) -> None:
    one = cifar10.cifar10(written(tmp_path / "bin"))
    other = cifar10.cifar10(written(tmp_path / "py", writer))
    assert equal(one, other)
    assert one.digest == other.digest


def test_the_pickles_of_these_tests_are_genuine() -> None:
    labels, rows = made_up()["test_batch"]
    for content in (python2((labels, rows)), python3((labels, rows))):
        loaded = pickle.loads(content, encoding="bytes")
        assert loaded[b"labels"] == labels.tolist()
        assert np.array_equal(loaded[b"data"], rows)


@pytest.mark.parametrize(
    ("at", "make"),
    [
        ("cifar-10-batches-bin", written),
        ("cifar-10-batches-py", functools.partial(written, writer=python3)),
        ("cifar-10-binary.tar.gz", functools.partial(packed, writer=binary)),
        ("cifar-10-python.tar.gz", functools.partial(packed, writer=python2)),
    ],
)
def test_it_is_found_by_its_layout(
    tmp_path: Path, at: str, make: Callable[[Path], Path], home: Path, monkeypatch: Any
) -> None:
    expected = cifar10.cifar10(written(tmp_path / "expected"))
    place = make(tmp_path / "images" / at)
    monkeypatch.setenv("NASBENCH_KIT_HOME", str(tmp_path))
    for images in (
        cifar10.cifar10(place),
        cifar10.cifar10(place.parent),
        open_images("cifar10"),
        open_images(place),
        open_images(place.parent),
    ):
        assert equal(images, expected)


@pytest.mark.parametrize("writer", [binary, python2])
def test_only_the_official_files_make_the_official_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: Writer
) -> None:
    folder = written(tmp_path, writer)
    algorithm = hashlib.sha1 if writer is binary else hashlib.md5
    sums = {file.name: algorithm(file.read_bytes()).hexdigest() for file in folder.iterdir()}
    assert sums.keys() < cifar10._CHECKSUMS.keys()
    unofficial = cifar10.cifar10(folder)
    monkeypatch.setattr(cifar10, "_CHECKSUMS", sums)
    official = cifar10.cifar10(folder)
    assert (official.name, unofficial.name) == ("cifar10", "cifar10 (unofficial copy)")
    assert official.digest != unofficial.digest
    name, first = min(sums.items())
    monkeypatch.setitem(sums, name, first[::-1])
    assert cifar10.cifar10(folder).name == unofficial.name


def test_of_full_files_whole_batches_of_256_are_scored(tmp_path: Path) -> None:
    records = np.zeros((10_000, 3073), np.uint8)
    records[:, 0] = np.arange(10_000) % 10
    records.tofile(tmp_path / "data_batch_1.bin")
    for stem in STEMS[1:]:
        os.link(tmp_path / "data_batch_1.bin", tmp_path / f"{stem}.bin")
    images = cifar10.cifar10(tmp_path)
    assert [len(getattr(images, split)) for split in SPLITS] == [40_000, 10_000, 10_000]
    assert images.evaluated == (9_984, 9_984, 9_984)


@pytest.mark.shared
def test_the_development_data(tmp_path: Path) -> None:
    tool = SHARED / "tools" / "unpack_cifar10.py"
    if not tool.exists():
        pytest.skip("../shared is absent")
    command = [sys.executable, str(tool), str(tmp_path), "--images-per-class", "20"]
    subprocess.run(command, check=True, capture_output=True)
    images = cifar10.cifar10(tmp_path / "cifar-10-batches-bin")
    assert images.name == "cifar10 (unofficial copy)"
    assert [len(getattr(images, split)) for split in SPLITS] == [160, 40, 200]
    assert np.bincount(images.test.labels).tolist() == [20] * 10
    labels = np.concatenate([images.train.labels, images.validation.labels])
    assert np.bincount(labels).tolist() == [20] * 10
    # Means of 3,072 strongly correlated pixels of 160 images scatter by some 3.
    assert images.train.images.mean((0, 1, 2)) == pytest.approx(images.mean, abs=15)
    assert images.digest == cifar10.cifar10(tmp_path / "cifar-10-batches-py").digest


# --- damage -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda file: file.unlink(), "lacks data_batch_2; get it again from https"),
        (lambda file: os.truncate(file, 30 * 3073 - 1), "92,189 bytes, no multiple of 3,073"),
        (lambda file: os.truncate(file, 0), "0 bytes, no multiple"),
        (lambda file: os.truncate(file, 20 * 3073), "hold 30, 20, 30, 30, 30 images"),
        (lambda file: file.write_bytes(b"\n" + file.read_bytes()[1:]), "image 0 has the label 10;"),
        (
            lambda file: file.write_bytes(b"\0" * 3073 + file.read_bytes()[3073:]),
            "of the classes 0..9, the training files hold 1[67], .* equally many",
        ),
    ],
)
def test_a_damaged_binary_file_is_named(
    tmp_path: Path, spoil: Callable[[Path], object], says: str
) -> None:
    spoil(written(tmp_path) / "data_batch_2.bin")
    with pytest.raises(CorruptFile, match=says):
        cifar10.cifar10(tmp_path)


def test_an_unbalanced_test_file_is_truncated(tmp_path: Path) -> None:
    os.truncate(written(tmp_path) / "test_batch.bin", 29 * 3073)
    with pytest.raises(CorruptFile, match=r"test_batch hold 3, 3, .* 2 images; it must be equally"):
        cifar10.cifar10(tmp_path)


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    archive = packed(tmp_path / "cifar-10-binary.tar.gz", binary)
    os.truncate(archive, archive.stat().st_size // 2)
    with pytest.raises(
        CorruptFile, match=r"binary\.tar\.gz cannot be read \(Compressed file ended"
    ):
        cifar10.cifar10(archive)
    archive.write_bytes(b"<html>404</html>")
    with pytest.raises(CorruptFile, match="not a gzip file"):
        cifar10.cifar10(archive)
    with tarfile.open(archive, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("readme.html"), io.BytesIO())
    with pytest.raises(CorruptFile, match=r"lacks data_batch_1, .* test_batch;"):
        cifar10.cifar10(archive)
    with tarfile.open(archive, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("cat.png"), io.BytesIO())
    with pytest.raises(InvalidSetting, match=r"binary\.tar\.gz/cat\.png is none of the files"):
        cifar10.cifar10(archive)


@pytest.mark.parametrize("extra", ["data_batch_6.bin", "data_batch_1", "notes.txt", "train/"])
def test_what_would_not_be_read_is_named(tmp_path: Path, extra: str) -> None:
    folder = written(tmp_path / "images")
    for name in ("batches.meta.txt", "readme.html", ".DS_Store"):
        (folder / name).touch()
    expected = cifar10.cifar10(folder)
    (folder / extra).mkdir() if extra.endswith("/") else (folder / extra).touch()
    with pytest.raises(
        InvalidSetting, match=f"images/{extra.strip('/')} is none of the files of CIF"
    ):
        cifar10.cifar10(folder)
    (folder / extra).rename(folder / ".hidden")
    assert equal(cifar10.cifar10(folder), expected)


def test_a_batch_that_is_there_twice_is_named(tmp_path: Path) -> None:
    archive = packed(tmp_path / "cifar-10-python.tar.gz", python3)
    with tarfile.open(archive) as tar, tarfile.open(tmp_path / "new.tar.gz", "w:gz") as new:
        for member in tar:
            for folder in ("one", "two"):
                content = tar.extractfile(member)
                member.name = f"{folder}/{Path(member.name).name}"
                new.addfile(member, content)
    with pytest.raises(CorruptFile, match=r"new\.tar\.gz holds .*batch.* twice"):
        cifar10.cifar10(tmp_path / "new.tar.gz")


def test_a_folder_without_it_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"it holds none of cifar-10-batches-bin, .* get it from"):
        cifar10.cifar10(tmp_path / "nowhere")


# --- pickles ------------------------------------------------------------------------------------


class Hostile:
    """Its pickle calls a function when it is loaded."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def refusal(folder: Path, content: bytes) -> str:
    """What is said about a batch file of this content."""
    (folder / "data_batch_1").write_bytes(content)
    with pytest.raises(CorruptFile) as caught:
        cifar10.cifar10(folder)
    return str(caught.value)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_hostile_pickle_is_refused_and_does_not_run(tmp_path: Path, protocol: int) -> None:
    witness = tmp_path / "it ran"
    hostile = Hostile(os.system, f"touch '{witness}'")
    batch = made_up()["data_batch_1"]
    for content in (
        pickle.dumps(hostile, protocol=protocol),
        python3(batch, protocol, hidden=hostile),
        python3((batch[0], np.array([[hostile]])), protocol),
    ):
        message = refusal(tmp_path, content)
        assert not witness.exists()
        assert "nothing in it was run; get it again" in message
        if protocol == 4:
            assert "asks for posix.system, which no such file needs" in message
    pickle.loads(pickle.dumps(hostile, protocol=protocol))
    assert witness.exists()  # so much for the attack


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "pickle exhausted before seeing STOP"),
        (b"\x80\x04", "exhausted"),
        (b"\x00", "at position 0, opcode .* unknown"),
        (b"hello", "its pickle is damaged"),
        (b"\x80\x04N.", r"no uint8 'data' \[n, 3072\] with n 'labels'"),
        (b"\x80\x02}(]NuN.", "keys that are no text"),
        (b"\x80\x02cos\nsystem\n.", r"asks for os\.system"),
        (b"\x80\x02c" + b"x" * 500 + b"\ny\n.", r"asks for x{80}, which"),
        (b"\x80\x02e.", "its pickle is damaged"),
        (b"\x80\x02Q.", "instruction BINPERSID"),
        (python3((np.zeros(2, np.uint8), np.zeros((3, 3072), np.uint8))), "no uint8"),
        (python3((np.zeros(2, np.uint8), np.zeros((2, 3073), np.uint8))), "no uint8"),
        (python3((np.zeros(2, np.uint8), np.zeros((2, 3072), np.int8))), "no uint8"),
        (python3((np.full(2, -1), np.zeros((2, 3072), np.uint8))), "bytes must be in range"),
        (python3((np.full(2, 11), np.zeros((2, 3072), np.uint8))), "image 0 has the label 11"),
        (python3((np.zeros(0, np.uint8), np.zeros((0, 3072), np.uint8))), "no uint8"),
        (python3(made_up()["test_batch"])[:-100], "expected 92160 bytes"),
        (python2(made_up()["test_batch"])[:50_000], "expected 92160 bytes"),
    ],
)
def test_what_is_no_batch_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    message = refusal(tmp_path, content)
    assert re.search(says, message), message


def test_a_tower_of_tuples_is_no_key(tmp_path: Path) -> None:
    """Hashing it would overflow the C stack."""
    tower = b"N" + b"\x85" * 300_000
    assert "no text" in refusal(tmp_path, b"\x80\x02}(" + tower + b"Nu.")


@given(st.binary(max_size=200), st.integers(0, 3500), st.integers(0, 3500))
def test_any_damage_reads_the_same_or_is_refused(patch: bytes, start: int, end: int) -> None:
    whole = python2((np.array([7], np.uint8), np.zeros((1, 3072), np.uint8)))
    damaged = whole[:start] + patch + whole[end:]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "data_batch_1").write_bytes(damaged)
        with pytest.raises(CorruptFile):  # if nothing else, the five other files are missing
            cifar10.cifar10(folder)


# --- downloads ----------------------------------------------------------------------------------


@pytest.fixture
def new_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NASBENCH_KIT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_it_is_fetched_once_from_the_first_good_address(
    tmp_path: Path, new_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = packed(tmp_path / cifar10.ARCHIVE, python2)
    wrong = tmp_path / "wrong"
    wrong.write_bytes(b"<html>moved</html>")
    monkeypatch.setattr(cifar10, "URLS", (wrong.as_uri(), archive.as_uri()))
    checksum = hashlib.sha256(archive.read_bytes()).hexdigest()
    monkeypatch.setattr(cifar10, "ARCHIVE_SHA256", checksum)
    told: list[str] = []
    fetched = open_images("cifar10", progress=lambda what, done, total: told.append(what))
    assert equal(fetched, cifar10.cifar10(archive))
    assert "downloading" in told
    assert [path.name for path in (new_home / "images").iterdir()] == [cifar10.ARCHIVE]
    archive.unlink()
    assert open_images("cifar10").digest == fetched.digest


def test_without_a_network_it_says_what_to_do(
    new_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def fail(url: str, *rest: object, **options: object) -> None:
        asked.append(url)
        raise DownloadFailed("no network")

    monkeypatch.setattr(download, "fetch", fail)
    with pytest.raises(DownloadFailed) as caught:
        open_images("cifar10")
    assert asked == list(cifar10.URLS)
    message = str(caught.value)
    assert "\n" not in message
    assert f"fetch {cifar10.URLS[0]} (170 MB)" in message
    assert f"put it into {new_home / 'images'}" in message


def test_a_home_that_cannot_be_written_is_named(
    tmp_path: Path, new_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_home.write_text("a file, where a folder should be")
    monkeypatch.setattr(cifar10, "URLS", [packed(tmp_path / cifar10.ARCHIVE, binary).as_uri()])
    with pytest.raises(NotWritable, match=r"cannot write .* set NASBENCH_KIT_HOME"):
        open_images("cifar10")
