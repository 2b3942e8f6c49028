"""nasbench_kit.data.benchmarks.nats_bench.records: the authors' rows, folders and tars, damage."""

import bz2
import pickle
import tarfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_plain_pickle import Call, ran

from nasbench_kit.data.benchmarks.nats_bench.records import Records
from nasbench_kit.errors import CorruptFile, NotInSpace, NotInTable, NotRecorded

SHARED = Path(__file__).parents[1].parent / "shared" / "data" / "nats_bench"
TEXTS = [
    "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
    "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|",
    "|none~0|+|skip_connect~0|none~1|+|none~0|none~1|none~2|",
]


def run(dataset: str, seed: int, epochs: int = 2, **changes: Any) -> dict[str, Any]:
    """A training in the file's form: percent 10 * seed + epoch, seconds 2 an epoch, validation 0.5."""
    sets = {"cifar10": ["ori-test"], "cifar10-valid": ["x-valid", "ori-test"]}
    names = sets.get(dataset, ["x-valid", "x-test", "ori-test"])
    curve = {epoch: float(10 * seed + epoch) for epoch in range(epochs)}
    marks = {
        f"{name}@{epoch}": value + place
        for place, name in enumerate(names)
        for epoch, value in curve.items()
    }
    return {
        "name": dataset,
        "seed": f"{seed:04d}",
        "epochs": epochs,
        "params": np.float64(0.25),
        "flop": 12.5,
        "latency": [np.float64(0.5), np.float64(0.25)],
        "arch_config": {"channel": 16, "num_cells": 5, "arch_str": TEXTS[0], "class_num": 10},
        "train_acc1es": curve,
        "train_acc5es": None,
        "train_losses": {epoch: value / 100 for epoch, value in curve.items()},
        "train_times": OrderedDict((epoch, 2.0) for epoch in curve),
        "eval_names": names,
        "eval_acc1es": marks,
        "eval_losses": {key: value / 100 for key, value in marks.items()},
        "eval_times": dict.fromkeys(marks, 0.5),
        "net_state_dict": None,
        **changes,
    }


def row(index: int, hps: dict[str, dict[str, list[int]]], **changes: Any) -> dict[str, Any]:
    """A row's file: hyper-parameters -> data set -> seeds."""
    return {
        hp: {
            "arch_index": index,
            "arch_str": TEXTS[index],
            "all_results": {
                (dataset, seed): run(dataset, seed, **changes)
                for dataset, seeds in found.items()
                for seed in seeds
            },
            "dataset_seed": found,
            "clear_net_done": True,
        }
        for hp, found in hps.items()
    }


def write(path: Path, value: Any) -> None:
    path.write_bytes(bz2.compress(pickle.dumps(value, 4)))


META = {
    "meta_archs": TEXTS,
    "total_archs": len(TEXTS),
    "arch2infos": None,
    "evaluated_indexes": set(range(len(TEXTS))),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Rows 0 and 2 of a space of three."""
    place = tmp_path / "NATS-tss-small-simple"
    place.mkdir()
    write(place / "meta.pickle.pbz2", META)
    write(place / "000000.pickle.pbz2", row(0, {"12": {"cifar10-valid": [1, 3], "cifar10": [1]}}))
    write(place / "000002.pickle.pbz2", row(2, {"12": {"cifar10-valid": [2]}}, latency=[]))
    return place


def test_rows_of_a_folder(folder: Path) -> None:
    records = Records(folder)
    assert (records.space, records.texts, records.indexes) == ("tss", tuple(TEXTS), (0, 2))
    assert len(records) == 2
    first, last = records
    assert (first.index, first.text) == (0, TEXTS[0])
    found = first.trainings["12"]
    assert found.seeds == {"cifar10-valid": (1, 3), "cifar10": (1,)}
    one, other = found.of("cifar10-valid")
    assert (one.seed, other.seed, one.epochs) == (1, 3, 2)
    assert (one.parameters, one.flops, one.latency) == (250_000, 12.5e6, 0.375)
    assert one.training() == (0.11, 0.11, 2.0)
    assert other.training(0) == (0.3, 0.3, 2.0)
    assert one.reading("x-valid") == (0.11, 0.11, 0.5)
    assert one.reading("ori-test", 0) == (0.11, 0.11, 0.5)
    assert last.trainings["12"].of("cifar10-valid")[0].latency is None
    with pytest.raises(NotRecorded, match="x-test@1"):
        one.reading("x-test")
    with pytest.raises(NotRecorded, match="epoch 2 of 2"):
        one.training(2)
    with pytest.raises(NotRecorded, match="cifar100"):
        found.of("cifar100")
    with pytest.raises(NotInTable, match="000001"):
        records.row(1)
    for outside in (-1, 3):
        with pytest.raises(NotInSpace, match="outside 0 to 2"):
            records.row(outside)


def test_a_reading_may_be_of_the_last_epoch_alone(folder: Path) -> None:
    changed = row(0, {"200": {"cifar100": [7]}})
    found = changed["200"]["all_results"]["cifar100", 7]
    for values in (found["eval_acc1es"], found["eval_losses"]):
        del values["x-valid@0"]
    write(folder / "000000.pickle.pbz2", changed)
    (one,) = Records(folder).row(0).trainings["200"].of("cifar100")
    assert one.reading("x-valid").accuracy == 0.71
    with pytest.raises(NotRecorded):
        one.reading("x-valid", 0)


def test_a_tar_is_read_in_place(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "all.tar"
    with tarfile.open(path, "w") as tar:
        tar.add(folder, "../../outside")
    before = sorted(tmp_path.rglob("*"))
    with Records(path) as records:
        assert list(records) == list(Records(folder))
        with pickle.loads(pickle.dumps(records)) as again:
            assert list(again) == list(Records(folder))
    assert sorted(tmp_path.rglob("*")) == before


def test_names_without_zeros(folder: Path) -> None:
    (folder / "000002.pickle.pbz2").rename(folder / "2.pickle.pbz2")
    assert Records(folder).indexes == (0, 2)
    assert Records(folder).row(2).text == TEXTS[2]


def test_all_rows_in_one_file(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "NATS-tss-all.pickle.pbz2"
    rows = {0: row(0, {"12": {"cifar10": [1]}})}
    write(path, {**META, "arch2infos": rows, "evaluated_indexes": {0}})
    records = Records(path)
    assert records.indexes == (0,)
    assert records.row(0).trainings["12"].seeds == {"cifar10": (1,)}
    with pytest.raises(NotInTable):
        records.row(2)


def test_tricks_with_tars(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "all.tar"
    with tarfile.open(path, "w") as tar:
        tar.add(folder / "meta.pickle.pbz2", "a/meta.pickle.pbz2")
        link = tarfile.TarInfo("a/000000.pickle.pbz2")
        link.type, link.linkname = tarfile.SYMTYPE, str(folder / "000000.pickle.pbz2")
        tar.addfile(link)
        pipe = tarfile.TarInfo("a/000001.pickle.pbz2")
        pipe.type = tarfile.FIFOTYPE
        tar.addfile(pipe)
    with Records(path) as records:
        assert records.indexes == ()
    with tarfile.open(path, "a") as tar:
        tar.add(folder / "meta.pickle.pbz2", "b/meta.pickle.pbz2")
    with pytest.raises(CorruptFile, match="two members meta"):
        Records(path)
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(CorruptFile):
        Records(path)
    path.write_bytes(b"no tar at all" * 100)
    with pytest.raises(CorruptFile, match="neither a folder nor"):
        Records(path)


def test_a_compressed_bomb_is_not_unpacked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nasbench_kit.data.benchmarks.nats_bench.records._LARGEST", 1 << 20)
    (folder / "000000.pickle.pbz2").write_bytes(bz2.compress(bytes(1 << 22)))
    with pytest.raises(CorruptFile, match="larger than 1 MiB unpacked"):
        Records(folder).row(0)
    (folder / "000000.pickle.pbz2").write_bytes(bytes(1 << 20))
    with pytest.raises(CorruptFile, match="larger than 1 MiB; "):
        Records(folder).row(0)


ONE = row(0, {"12": {"cifar10": [1]}})
WRONG: list[Any] = [
    [],
    {"12": []},
    {12: {}},
    {"12": {"arch_index": 0}},
    row(1, {"12": {"cifar10": [1]}}),
    {"12": {**ONE["12"], "arch_str": TEXTS[1]}},
    {"12": {**ONE["12"], "all_results": {}}},
    {"12": {**ONE["12"], "dataset_seed": {1: [1]}}},
    row(0, {"12": {"cifar10": [1]}}, params="many"),
    row(0, {"12": {"cifar10": [1]}}, latency=0.5),
    row(0, {"12": {"cifar10": [1]}}, train_acc1es=[1.0]),
    row(0, {"12": {"cifar10": [1]}}, eval_acc1es={"ori-test@1": "high"}),
    row(0, {"12": {"cifar10": [1]}}, eval_names=[[]]),
]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no bz2",
        bz2.compress(b"no pickle"),
        bz2.compress(pickle.dumps({}))[:-4],
        bz2.compress(pickle.dumps(Call(ran))),
        *(bz2.compress(pickle.dumps(value, 4)) for value in WRONG),
    ],
)
def test_damaged_rows_are_refused_in_one_line(content: bytes, folder: Path) -> None:
    (folder / "000000.pickle.pbz2").write_bytes(content)
    with pytest.raises(CorruptFile, match="000000") as caught:
        Records(folder).row(0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "meta",
    [
        [],
        {},
        {**META, "meta_archs": None},
        {**META, "meta_archs": []},
        {**META, "meta_archs": [1]},
        {**META, "meta_archs": ["8:8:8:8:8", TEXTS[0]]},
        {**META, "meta_archs": TEXTS[:1] * 2},
        {**META, "arch2infos": []},
        {**META, "arch2infos": {"0": {}}},
    ],
)
def test_damaged_metas_are_refused_in_one_line(meta: Any, folder: Path) -> None:
    write(folder / "meta.pickle.pbz2", meta)
    with pytest.raises(CorruptFile, match="meta") as caught:
        Records(folder)
    assert "\n" not in str(caught.value)


def test_what_is_not_there(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CorruptFile, match="does not exist"):
        Records(tmp_path / "none")
    (folder / "meta.pickle.pbz2").unlink()
    with pytest.raises(CorruptFile, match=r"no meta\.pickle\.pbz2"):
        Records(folder)


# --- the authors' rows ------------------------------------------------------------------------------

#: Row -> percent after 200 epochs with seed 777: of cifar10-valid, cifar10, cifar100, ImageNet16-120.
GOLDEN = {
    0: {
        "cifar10-valid": {"x-valid": 82.092, "ori-test": 81.52},
        "cifar10": {"ori-test": 85.62},
        "cifar100": {"x-valid": 51.88, "x-test": 51.98},
        "ImageNet16-120": {"x-valid": 28.3333, "x-test": 27.0333},
    },
    11: {
        "cifar10-valid": {"x-valid": 87.748, "ori-test": 87.60},
        "cifar10": {"ori-test": 91.79},
        "cifar100": {"x-valid": 67.72, "x-test": 66.86},
        "ImageNet16-120": {"x-valid": 29.3667, "x-test": 29.2333},
    },
}


@pytest.mark.shared
@pytest.mark.parametrize("index", GOLDEN)
def test_golden_rows(index: int) -> None:
    found = Records(SHARED / "NATS-tss-v1_0-3ffb9-simple").row(index).trainings["200"]
    for dataset, readings in GOLDEN[index].items():
        for name, percent in readings.items():
            reading = found.runs[dataset, 777].reading(name)
            assert reading.accuracy == pytest.approx(percent / 100, abs=5e-7)


@pytest.mark.shared
def test_golden_costs() -> None:
    one = Records(SHARED / "NATS-tss-v1_0-3ffb9-simple").row(11).trainings["12"].of("cifar10-valid")
    assert one[0].parameters == 802_426
    assert one[0].flops == pytest.approx(113.95137e6)
    assert one[0].latency == pytest.approx(16.163e-3, abs=5e-7)
    assert one[0].training().seconds == pytest.approx(12.462, abs=5e-4)
    assert one[0].reading("x-valid").seconds == pytest.approx(4.151, abs=5e-4)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "space", "texts", "hps", "seeds"),
    [
        ("NATS-tss-v1_0-3ffb9-simple", "tss", 15_625, ["12", "200"], {"12": 5, "200": 12}),
        ("NATS-sss-v1_0-50262-simple", "sss", 32_768, ["01", "12", "90"], {"01": 4, "12": 12, "90": 4}),
    ],
)  # fmt: skip
def test_what_the_authors_ship(
    name: str, space: str, texts: int, hps: list[str], seeds: dict[str, int], tmp_path: Path
) -> None:
    records = Records(SHARED / name)
    assert (records.space, len(records.texts), records.indexes) == (space, texts, (0, 11))
    for one in records:
        assert list(one.trainings) == hps
        assert {hp: len(found.runs) for hp, found in one.trainings.items()} == seeds
    data = bz2.decompress((SHARED / name / "000011.pickle.pbz2").read_bytes())
    official = pickle.loads(data)  # the authors' own file
    for hp, found in records.row(11).trainings.items():
        for key, got in found.runs.items():
            expected = official[hp]["all_results"][key]
            assert got.train_percent == expected["train_acc1es"]
            assert got.percent == expected["eval_acc1es"]
            assert got.seconds == expected["eval_times"]
    path = tmp_path / "part.tar"
    with tarfile.open(path, "w") as tar:
        tar.add(SHARED / name, name)
    with Records(path) as tarred:
        assert list(tarred) == list(records)
