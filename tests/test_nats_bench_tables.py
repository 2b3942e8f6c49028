"""NATS-Bench's files and the public rows of NAS-Bench-201 become tables; searches run on them."""

from __future__ import annotations

import bz2
import gzip
import json
import os
import pickle
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasbench_kit import Budget, Oracle, Table
from nasbench_kit.cli import main
from nasbench_kit.compare.scores import scored_by
from nasbench_kit.data.benchmarks.nats_bench.convert import tables
from nasbench_kit.data.benchmarks.nats_bench.rows201 import from_rows
from nasbench_kit.data.benchmarks.reader import Options
from nasbench_kit.data.benchmarks.readers import reader_of
from nasbench_kit.errors import CorruptFile

SHARED = Path(__file__).parent.parent.parent / "shared" / "data"
TOPOLOGIES = SHARED / "nats_bench" / "NATS-tss-v1_0-3ffb9-simple"
SIZES = SHARED / "nats_bench" / "NATS-sss-v1_0-50262-simple"
ROWS = SHARED / "nasbench201_cifar10.json.gz"
TEXTS = {
    0: "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
    11: "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|none~0|nor_conv_3x3~1|avg_pool_3x3~2|",
}
SEED_777 = 1  # among 111, 777, 888, 999

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not SHARED.exists(), reason="needs the development data in ../shared"),
]


def kit(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of both spaces, made by the command."""
    out = tmp_path_factory.mktemp("nats")
    for source in (TOPOLOGIES, SIZES):
        assert kit("convert", source, out, "--workers", 1) == 0
    return out


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table of the public rows, made by the command."""
    target = tmp_path_factory.mktemp("rows") / "nasbench201.h5"
    assert kit("convert", ROWS, target) == 0
    return target


def loaded(path: Path) -> Any:
    """A file of the authors, by Python's own reader: a second opinion on files of known content."""
    return pickle.loads(bz2.decompress(path.read_bytes()))


#: Row, images -> percent after 200 epochs with seed 777: validation and test. reference: the API.
GOLDEN = [
    (0, "cifar10", 82.092, 85.62),
    (0, "cifar100", 51.88, 51.98),
    (0, "imagenet16-120", 28.3333, 27.0333),
    (11, "cifar10", 87.748, 91.79),
    (11, "cifar100", 67.72, 66.86),
    (11, "imagenet16-120", 29.3667, 29.2333),
]


@pytest.mark.parametrize(("row", "images", "validation", "test"), GOLDEN)
def test_golden_values(folder: Path, row: int, images: str, validation: float, test: float) -> None:
    table = Table.open(folder / f"nats-tss-{images}.h5")
    assert table.epochs == (12, 200)
    place = table.row(table.space.parse(TEXTS[row]))
    assert table.space.index(table.covered[place]) == row
    for metric, percent in (("validation_accuracy", validation), ("test_accuracy", test)):
        values = 100 * table.values(metric, missing="nan")[place]
        assert values[SEED_777] == pytest.approx(percent, abs=5e-5)
        assert np.isnan(values[0])  # nobody trained 200 epochs with seed 111


def test_golden_costs(folder: Path) -> None:
    """Row 11: parameters, FLOPs, latency, and seconds as `simulate_train_eval` charges them."""
    table = Table.open(folder / "nats-tss-cifar10.h5")
    oracle = Oracle(table, Budget(seconds=1e5), np.random.default_rng(0))
    architecture = table.space.parse(TEXTS[11])
    answer = oracle.query(architecture, 12)
    assert answer.costs["parameters"] == 802_426
    assert answer.costs["flops"] == pytest.approx(113.95137e6, rel=1e-12)
    assert answer.costs["latency"] == pytest.approx(16.163e-3, abs=1e-6)
    assert answer.seconds == pytest.approx(12 * 12.462 + 4.151, abs=0.02)
    assert oracle.query(architecture, 200).seconds == pytest.approx(200 * 12.462 + 4.151, abs=0.2)


@pytest.mark.parametrize(
    ("source", "prefix", "seeds"),
    [
        (TOPOLOGIES, "nats-tss", (111, 777, 888, 999)),
        (SIZES, "nats-sss", (777, 888, 999)),
    ],
)
def test_every_reading_is_kept_to_the_last_bit(
    folder: Path, source: Path, prefix: str, seeds: tuple[int, ...]
) -> None:
    """Against the files as Python reads them, by the names of the authors' API."""
    readings = {
        "cifar10": (("cifar10-valid", "x-valid"), ("cifar10", "ori-test")),
        "cifar100": (("cifar100", "x-valid"), ("cifar100", "x-test")),
        "ImageNet16-120": (("ImageNet16-120", "x-valid"), ("ImageNet16-120", "x-test")),
    }
    for images, (validation, test) in readings.items():
        table = Table.open(folder / f"{prefix}-{images.lower()}.h5")
        assert table.provenance["seeds"] == list(seeds)
        for place, row in enumerate((0, 11)):
            content = loaded(source / f"{row:06d}.pickle.pbz2")
            for hp, found in content.items():
                for column, (dataset, name) in (
                    ("validation_accuracy", validation),
                    ("test_accuracy", test),
                ):
                    values = table.values(column, int(hp), missing="nan")[place].tolist()
                    for slot, seed in enumerate(seeds):
                        run = found["all_results"].get((dataset, seed))
                        if run is None:
                            assert np.isnan(values[slot])
                        else:
                            percent = run["eval_acc1es"][f"{name}@{int(hp) - 1}"]
                            assert values[slot] == percent / 100


def test_a_query_draws_among_the_seeds_that_were_run(folder: Path) -> None:
    table = Table.open(folder / "nats-tss-cifar10.h5")
    oracle = Oracle(table, Budget(queries=200), np.random.default_rng(0))
    architecture = table.covered[0]
    assert {oracle.query(architecture, 12).repeat for _ in range(50)} == {0, 1}
    assert {oracle.query(architecture, 200).repeat for _ in range(50)} == {1, 2, 3}


def test_a_tar_is_the_folder(folder: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "NATS-tss.tar", "w") as tar:
        tar.add(TOPOLOGIES, "NATS-tss-v1_0-3ffb9-simple")
    assert kit("convert", tmp_path / "NATS-tss.tar", tmp_path / "out", "--workers", 2) == 0
    for images in ("cifar10", "cifar100", "imagenet16-120"):
        one, other = (Table.open(f / f"nats-tss-{images}.h5") for f in (folder, tmp_path / "out"))
        for (_, metric), column in one.columns.items():
            again = other.column(metric)
            assert column.values.tobytes() == again.values.tobytes()
            assert (column.present is None) == (again.present is None)


def test_curves_are_kept_where_they_are_asked_for() -> None:
    for source, epochs, dataset in (
        (TOPOLOGIES, 200, "cifar10-valid"),
        (SIZES, 90, "cifar10-valid"),
    ):
        table, *_ = tables(source, Options(curves=True))
        content = loaded(source / "000011.pickle.pbz2")[str(epochs)]["all_results"]
        slot = list(table.provenance["seeds"]).index(777)
        curve = table.extra["curve/validation_accuracy"]
        assert curve.shape == (2, epochs, table.repeats)
        for epoch in (0, 5, epochs - 1):
            percent = content[dataset, 777]["eval_acc1es"][f"x-valid@{epoch}"]
            assert curve[1, epoch, slot] == np.float32(percent / 100)
        tested = content["cifar10", 777]["eval_acc1es"]["ori-test@3"]
        assert table.extra["curve/test_accuracy"][1, 3, slot] == np.float32(tested / 100)
    plain, *_ = tables(TOPOLOGIES)
    assert not [name for name in plain.extra if name.startswith("curve")]


def test_a_search_sees_no_test_accuracy_of_a_curve() -> None:
    table, *_ = tables(TOPOLOGIES, Options(curves=True))
    oracle = Oracle(table, Budget(queries=5), np.random.default_rng(0))
    answer = oracle.query(table.covered[0])
    assert set(answer.costs) == {"seconds", "parameters", "flops", "latency"}
    assert "curve" not in repr(pickle.loads(pickle.dumps(oracle)).query(table.covered[0]))


# What is damaged or foreign --------------------------------------------------------------------


def refused(source: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line by which a source is refused."""
    capsys.readouterr()
    assert kit("convert", source, out, "--workers", 1) == 2
    told = [line for line in capsys.readouterr().err.splitlines() if "nasbench-kit:" in line]
    assert len(told) == 1
    assert not out.exists() or not list(out.glob("*.h5"))
    return told[0]


def changed(tmp_path: Path, name: str, content: bytes | None) -> Path:
    """The folder with one file replaced, or gone."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in TOPOLOGIES.iterdir():
        shutil.copyfile(file, copy / file.name)
    (copy / name).unlink()
    if content is not None:
        (copy / name).write_bytes(content)
    return copy


def test_a_missing_meta_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = changed(tmp_path, "meta.pickle.pbz2", None)
    assert "has no meta.pickle.pbz2" in refused(copy, tmp_path / "out", capsys)


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch /tmp/nasbench-kit-was-here",)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"no bz2", "damaged"),
        (bz2.compress(pickle.dumps({"12": 3})), "000011"),
        (bz2.compress(pickle.dumps(Hostile())), "system"),
        (bz2.compress(b"x" * 100)[:-5], "damaged"),
    ],
)
def test_a_damaged_row_is_named(
    content: bytes, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = changed(tmp_path, "000011.pickle.pbz2", content)
    line = refused(copy, tmp_path / "out", capsys)
    assert told in line and "000011.pickle.pbz2" in line
    assert not Path("/tmp/nasbench-kit-was-here").exists()


def test_another_order_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    meta = loaded(TOPOLOGIES / "meta.pickle.pbz2")
    meta["meta_archs"].reverse()
    copy = changed(tmp_path, "meta.pickle.pbz2", bz2.compress(pickle.dumps(meta)))
    assert "official order" in refused(copy, tmp_path / "out", capsys)


def test_a_list_without_rows_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = changed(tmp_path, "000011.pickle.pbz2", None)
    (copy / "000000.pickle.pbz2").unlink()
    assert "no file of any of them" in refused(copy, tmp_path / "out", capsys)


def test_several_tables_want_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "give a folder" in refused(TOPOLOGIES, tmp_path / "one.h5", capsys)
    copy = changed(tmp_path, "000011.pickle.pbz2", None)
    assert "the source itself" in refused(copy, copy, capsys)


def test_readers_are_told_from_their_sources() -> None:
    for source, benchmark in ((TOPOLOGIES, "NATS-Bench"), (ROWS, "NAS-Bench-201")):
        reader = reader_of(source)
        assert reader is not None
        assert reader.benchmark == benchmark
    assert reader_of(SHARED / "nasbench101_excerpt.tfrecord.gz") is None
    assert reader_of(SHARED / "absent") is None


# The public rows ---------------------------------------------------------------------------------


def test_the_public_rows_are_kept(rows: Path) -> None:
    table = Table.open(rows)
    content = json.loads(gzip.decompress(ROWS.read_bytes()))
    assert (table.complete, table.epochs, table.repeats) == (True, (12, 200), 3)
    counts = (~np.isnan(table.values("validation_accuracy", missing="nan"))).sum(axis=1)
    assert np.bincount(counts).tolist() == [0, 0, 7_456, 8_169]
    for row in range(0, 15_625, 1_000):
        repeats = content["validation_accuracy_200"][row]
        values = table.values("validation_accuracy", missing="nan")[row, : len(repeats)]
        assert values.tolist() == [percent / 100 for percent in repeats]
    means = table.mean("validation_accuracy")
    assert 100 * means.max() == pytest.approx(91.6067, abs=1e-4)
    assert table.space[int(means.argmax())].to_text() == (
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|"
    )
    from scipy.stats import spearmanr

    short = table.mean("validation_accuracy", 12)
    assert spearmanr(short, means).statistic == pytest.approx(0.823, abs=5e-4)
    assert scored_by(table) == "validation_accuracy"
    assert table.assumed_seconds == (12,)


def test_the_public_rows_are_those_of_the_official_files(folder: Path, rows: Path) -> None:
    table, official = Table.open(rows), Table.open(folder / "nats-tss-cifar10.h5")
    for place, row in enumerate((0, 11)):
        one = table.values("validation_accuracy", missing="nan")[row]
        other = official.values("validation_accuracy", missing="nan")[place]
        np.testing.assert_allclose(one, other[1:], atol=5e-6)
        assert (
            table.extra["trainable_parameters"][row]
            == official.extra["trainable_parameters"][place]
        )


@pytest.mark.parametrize("name", ["seconds_200", "validation_accuracy_200"])
def test_damaged_rows_are_refused(name: str, tmp_path: Path) -> None:
    content = json.loads(gzip.decompress(ROWS.read_bytes()))
    for damaged in (content[name][:-1], [None] * 15_625, 3, "x"):
        (tmp_path / "rows.json").write_text(json.dumps(content | {name: damaged}))
        with pytest.raises(CorruptFile, match=r"rows\.json holds no rows of NAS-Bench-201"):
            from_rows(tmp_path / "rows.json")


SEARCHES = [
    "random-search",
    "regularized-evolution",
    "local-search",
    "hyperband",
    "bohb",
    "reinforce",
]


def test_searches_run_on_the_public_rows(
    rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the shell, by the benchmark's own protocol of 20,000 seconds; workers change nothing."""
    words = (
        "compare",
        "--table",
        rows,
        "--algorithms",
        *SEARCHES,
        "--seeds",
        2,
        "--seconds",
        20_000,
    )
    traces = []
    for workers in (1, 2):
        out = tmp_path / str(workers)
        assert kit(*words, "--workers", workers, "--out", out) == 0
        traces.append({file.name: file.read_bytes() for file in out.glob("traces/*")})
    assert traces[0] == traces[1]
    assert len(traces[0]) == 2 * len(SEARCHES)
    for content in traces[0].values():
        trace = json.loads(content)
        assert 0 < trace["seconds"] <= 20_000
        assert trace["incumbents"]
    capsys.readouterr()


def test_analyses_run_on_rows_with_gaps(
    rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for study in ("noise", "fidelity", "pareto"):
        assert kit("analyze", study, "--table", rows, "--out", tmp_path / study) == 0
    assert "Spearman 0.823" in capsys.readouterr().out
