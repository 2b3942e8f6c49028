"""Every command finds out that its target cannot be written before it works, and leaves nothing."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import nasbench_kit.data.tasks  # noqa: F401  # before what it imports is replaced
from nasbench_kit import Cell, NotWritable, Table
from nasbench_kit.algorithms import RandomSearch
from nasbench_kit.cli import main
from nasbench_kit.compare.plan import Plan
from nasbench_kit.compare.retrain import retrain
from nasbench_kit.compare.running import run
from nasbench_kit.compare.scores import write_results
from nasbench_kit.data.benchmarks.nasbench101.export import export
from nasbench_kit.data.images.digits import digits
from nasbench_kit.data.subset import subset
from nasbench_kit.errors import CheckpointLost
from nasbench_kit.spaces.nasbench101.space import CellSpace
from nasbench_kit.spaces.skeleton import Skeleton
from nasbench_kit.system.files import check_writable, replacing
from nasbench_kit.training.recipe import DIGITS
from nasbench_kit.training.trainer import train

#: Where all the work of the commands begins.
WORK = (
    "nasbench_kit.training.trainer._train",
    "nasbench_kit.data.building.build.seconds_an_epoch",
    "nasbench_kit.data.building.estimate.seconds_an_epoch",
    "nasbench_kit.data.benchmarks.nasbench101.convert.read_chunks",
    "nasbench_kit.data.benchmarks.nasbench101.export._chunks",
    "nasbench_kit.data.benchmarks.nasbench101.sample.from_sample",
    "nasbench_kit.data.surrogate.fit.fit",
    "nasbench_kit.data.images.image_sets.open_images",
    "nasbench_kit.data.benchmarks.download.fetch",
    "nasbench_kit.analysis.landscape.table_studies.noise",
    "nasbench_kit.analysis.report.report.analyse",
    "nasbench_kit.cli.subset.subset",
    "nasbench_kit.cli.rank_correlation.finished",
    "nasbench_kit.compare.running.run_one",
)
COMMANDS = {
    "train": ("train resnet --epochs 2 --checkpoint {target}", ""),
    "convert": ("convert {inputs}/official.tfrecord {target}.h5", ".h5"),
    "convert a sample": ("convert {inputs}/sample.json {target}.h5", ".h5"),
    "build": ("build {target}.h5 --space v2e1 --epochs 1", ".h5"),
    "fit-surrogate": ("fit-surrogate {inputs}/table.h5 {target}.h5", ".h5"),
    "export": ("export {inputs}/table.h5 {target}.tfrecord", ".tfrecord"),
    "subset": ("subset {inputs}/table.h5 v3e9 {target}.h5", ".h5"),
    "report": ("report {inputs}/run --table {inputs}/table.h5 --out {target}", ""),
    "animate": ("animate {inputs}/run --out {target}.gif", ".gif"),
    # Folders.
    "analyze": ("analyze noise --table {inputs}/table.h5 --out {target}", None),
    "rank-correlation": ("rank-correlation --table digits --out {target}", None),
    "retrain": ("retrain {inputs}/run --table {inputs}/table.h5 --epochs 1 --out {target}", None),
    "compare": ("compare --table {inputs}/table.h5 --queries 9 --out {target}", None),
    "katib": ("katib {inputs}/enas.yaml --epochs 1 --out {target}", None),
}
FILES = [name for name, (_, ending) in COMMANDS.items() if ending is not None]


@pytest.fixture(scope="module")
def inputs(small_table: Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    small_table.save(folder / "table.h5")
    export(subset(small_table, CellSpace(2)), folder / "official.tfrecord")
    shutil.copy(Path(__file__).parent / "katib_experiments" / "enas.yaml", folder)
    (folder / "sample.json").write_text(json.dumps({"108_final_validation_accuracy": []}))
    plan = Plan(folder / "table.h5", {"random-search": RandomSearch()}, [0], {"queries": 9})
    write_results(folder / "run", small_table, run(plan, folder / "run"))
    return folder


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails where work begins."""

    def work(*_: object, **__: object) -> None:
        raise AssertionError("the work began")

    for name in WORK:
        monkeypatch.setattr(name, work)


def tree(folder: Path) -> list[tuple[str, bytes]]:
    return [
        (str(path), path.read_bytes() if path.is_file() else b"")
        for path in sorted(folder.rglob("*"))
    ]


def refused(capsys: pytest.CaptureFixture[str], words: list[str]) -> str:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert not captured.out
    line = captured.err.splitlines()[-1]
    assert line.startswith("nasbench-kit: cannot write ")
    return line


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "place",
    ["file/out", "file/deeper/out", "/proc/1/out", "/proc/nowhere/out", "x" * 256 + "/out",
     "new/" + "x" * 256 + "/out", "dangling/out", "dangling/deeper/out"],
)  # fmt: skip
@pytest.mark.usefixtures("idle")
def test_a_place_that_cannot_be_made(
    command: str, place: str, inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("a file")
    (tmp_path / "dangling").symlink_to("/proc/nowhere")
    before = tree(tmp_path), tree(inputs)
    words = COMMANDS[command][0].format(inputs=inputs, target=tmp_path / place).split()
    refused(capsys, words)
    assert (tree(tmp_path), tree(inputs)) == before


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.usefixtures("idle")
def test_a_name_that_is_too_long(
    command: str, inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = COMMANDS[command][0].format(inputs=inputs, target=tmp_path / ("x" * 256)).split()
    assert "File name too long" in refused(capsys, words)
    assert not tree(tmp_path)


@pytest.mark.parametrize("command", FILES)
@pytest.mark.usefixtures("idle")
def test_a_folder_is_no_target(
    command: str, inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, ending = COMMANDS[command]
    target = tmp_path / f"folder{ending}"
    target.mkdir()
    line = refused(capsys, words.format(inputs=inputs, target=tmp_path / "folder").split())
    assert line.startswith(f"nasbench-kit: cannot write {target}: Is a directory")
    assert [name for name, _ in tree(tmp_path)] == [str(target)]


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - set(FILES)))
@pytest.mark.usefixtures("idle")
def test_a_file_is_no_folder(
    command: str, inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("a file")
    words = COMMANDS[command][0].format(inputs=inputs, target=tmp_path / "file").split()
    refused(capsys, words)
    assert tree(tmp_path) == [(str(tmp_path / "file"), b"a file")]


@pytest.mark.parametrize("command", FILES)
@pytest.mark.usefixtures("idle")
def test_a_device_or_a_pipe_is_not_replaced(
    command: str, inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, ending = COMMANDS[command]
    os.mkfifo(tmp_path / f"pipe{ending}")
    (tmp_path / f"full{ending}").symlink_to("/dev/full")
    for name in ("pipe", "full"):
        line = refused(capsys, words.format(inputs=inputs, target=tmp_path / name).split())
        assert "is a device or a pipe" in line
    assert (tmp_path / f"pipe{ending}").is_fifo()
    assert (tmp_path / f"full{ending}").readlink() == Path("/dev/full")


@pytest.mark.parametrize("taken", [".md", ".png", ".parts"])
@pytest.mark.parametrize("command", ["build", "fit-surrogate"])
@pytest.mark.usefixtures("idle")
def test_what_lies_beside_the_target_is_probed_too(
    command: str, taken: str, inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if (command, taken) in (("build", ".png"), ("fit-surrogate", ".parts")):
        pytest.skip("not written by this command")
    there = tmp_path / f"out{taken}"
    if taken == ".parts":
        there.write_text("a file")
    else:
        there.mkdir()
    words = COMMANDS[command][0].format(inputs=inputs, target=tmp_path / "out").split()
    assert str(there) in refused(capsys, words)
    assert [name for name, _ in tree(tmp_path)] == [str(there)]


@pytest.mark.usefixtures("idle")
def test_a_download_needs_a_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "home").write_text("a file")
    monkeypatch.setenv("NASBENCH_KIT_HOME", str(tmp_path / "home"))
    assert "NASBENCH_KIT_HOME" in refused(capsys, ["download", "nasbench101"])
    assert tree(tmp_path) == [(str(tmp_path / "home"), b"a file")]


# Bad settings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        "retrain {inputs}/run --table {inputs}/table.h5 --epochs 0 --out {out}",
        "retrain {inputs}/run --table {inputs}/table.h5 --seeds 0 --out {out}",
        "retrain {inputs}/run --table {inputs}/table.h5 --epochs 1 --devices cuda --out {out}",
        "retrain {inputs}/run --table {inputs}/table.h5 --epochs 1 --devices nowhere --out {out}",
        "retrain {inputs}/run --table {inputs}/table.h5 --epochs 1 --cuda-graph --out {out}",
        "retrain {inputs}/run --table {inputs}/table.h5 --stacks 0 --out {out}",
        "retrain {inputs}/run --table {inputs}/table.h5 --workers-per-device 0 --out {out}",
        "retrain {inputs}/run --table {inputs}/table.h5 --epochs 1 --per-algorithm 0 --out {out}",
        "retrain {inputs}/run --table digits --epochs 1 --out {out}",
        "compare --table {inputs}/table.h5 --queries 0 --out {out}",
        "compare --table {inputs}/table.h5 --seconds 1e-9 --out {out}",
        "compare --table {inputs}/table.h5 --queries 9 --seeds 0 --out {out}",
        "compare --table {inputs}/table.h5 --queries 9 --workers 0 --out {out}",
        "compare --table {inputs}/table.h5 --queries 9 --algorithms no-such --out {out}",
        "compare --table digits --queries 9 --algorithms enas-small --out {out}",
        "compare --table digits --seconds 9 --algorithms enas-small --device nowhere --out {out}",
        "rank-correlation --table digits --methods random-search --out {out}",
        "rank-correlation --table digits --seconds 0 --out {out}",
        "rank-correlation --table digits --workers 0 --out {out}",
        "analyze pareto --table no-such --out {out}",
        "report {inputs}/table.h5 --out {out}/x.html",
        "build {out}/x.h5 --space v2e1 --epochs 0",
        "build {out}/x.h5 --space v2e1 --epochs 1 --repeats 0",
        "build {out}/x.h5 --space v2e1 --epochs 1 --seed -1",
        "build {out}/x.h5 --space nowhere --epochs 1",
        "fit-surrogate {inputs}/table.h5 {out}/x.h5 --seed -1",
        "subset {inputs}/table.h5 nowhere {out}/x.h5",
        "export {inputs}/run/manifest.json {out}/x.tfrecord",
        "convert {inputs}/table.h5 {out}/x.h5",
        "train resnet --epochs 0 --checkpoint {out}/x",
        "train resnet --epochs 2 --device nowhere --checkpoint {out}/x",
        "train resnet --epochs 2 --seed -1 --checkpoint {out}/x",
    ],
)
def test_a_refused_setting_makes_nothing(
    words: str, inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(inputs)
    assert main(words.format(inputs=inputs, out=tmp_path / "out").split()) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("nasbench-kit: ")
    assert not tree(tmp_path)
    assert tree(inputs) == before


def test_a_refused_retraining_leaves_a_folder_that_can_be_used(tmp_path: Path) -> None:
    bad: list[dict[str, Any]]
    bad = [{"epochs": 0}, {"devices": ["nowhere"]}, {"threads": 0}, {"devices": []}]
    for setting in bad:
        settings = {"epochs": 1, **setting}
        with pytest.raises(ValueError, match=r"\b0\b|nowhere"):
            retrain([(Cell.named("resnet"), 0)], tmp_path / "out", digits(), DIGITS, **settings)
    assert not tree(tmp_path)


# Full disks ------------------------------------------------------------------------------------


@contextmanager
def full_disk(left: int) -> Iterator[None]:
    """No file grows beyond so many bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (left, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("part", [0.0, 0.01, 0.2, 0.5, 0.9, 0.999])
def test_a_table_that_does_not_fit_is_not_there(
    part: float, inputs: Path, small_table: Table, tmp_path: Path
) -> None:
    size = (inputs / "table.h5").stat().st_size
    with full_disk(int(part * size)), pytest.raises(NotWritable, match="cannot write"):
        small_table.save(tmp_path / "new" / "table.h5")
    assert not tree(tmp_path)


def test_a_full_disk_is_found_by_the_probe(tmp_path: Path) -> None:
    with full_disk(0), pytest.raises(NotWritable):
        check_writable(tmp_path / "new" / "file")
    assert not tree(tmp_path)


SMALL = ("--epochs", "1", "--stem-channels", "4")


@pytest.mark.parametrize("as_json", [True, False])
def test_a_training_is_printed_though_its_checkpoint_is_lost(
    as_json: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "resnet", *SMALL, "--checkpoint", str(tmp_path / "new" / "file")]
    with full_disk(1000):
        assert main([*words, "--json"] if as_json else words) == 2
    captured = capsys.readouterr()
    assert captured.err.splitlines()[-1].startswith("nasbench-kit: cannot write")
    assert not tree(tmp_path)
    if not as_json:
        assert "trainable parameters" in captured.out
        return
    printed = json.loads(captured.out)
    assert main([*words, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert printed["final"]["test"] == again["final"]["test"]


def test_the_training_stays_with_the_error(tmp_path: Path) -> None:
    recipe = dataclasses.replace(DIGITS, skeleton=Skeleton(4, 3, 1))
    how: dict[str, Any] = {"images": digits(), "recipe": recipe, "epochs": 1, "seed": 0}
    with full_disk(1000), pytest.raises(CheckpointLost) as lost:
        train(Cell.named("resnet"), **how, checkpoint=tmp_path / "file", checkpoint_every_seconds=0)
    done = train(Cell.named("resnet"), **how)
    assert lost.value.training.final.test == done.final.test


def lines_before(capsys: pytest.CaptureFixture[str], words: list[str], broken: str) -> str:
    """What is printed where a file (its name ends so) cannot be written."""

    @contextmanager
    def failing(path: Path) -> Iterator[Path]:
        if path.name.endswith(broken):
            raise NotWritable(f"cannot write {path}: No space left on device")
        with replacing(path) as temporary:
            yield temporary

    with pytest.MonkeyPatch.context() as patch:
        for module in (
            "system.files",
            "system.tidy",
            "table.file",
            "analysis.landscape.page",
            "analysis.figures.style",
            "cli.surrogate",
        ):
            patch.setattr(f"nasbench_kit.{module}.replacing", failing)
        assert main(words) == 2
    captured = capsys.readouterr()
    assert "No space left on device" in captured.err.splitlines()[-1]
    return captured.out


@pytest.mark.parametrize(
    ("words", "broken", "says"),
    [
        ("compare --table {inputs}/table.h5 --queries 9 --seeds 1 --out {out}", "results.csv",
         "Final regret"),
        ("compare --table {inputs}/table.h5 --queries 9 --seeds 1 --out {out} --json", "ledger.csv",
         '"regret"'),
        ("retrain {inputs}/run --table {inputs}/table.h5 --epochs 1 --seeds 1 --out {out}", "results.json", "Accuracy of recommended cells"),
        ("analyze noise --table {inputs}/table.h5 --out {out}", ".csv", "Noise"),
        ("analyze noise --table {inputs}/table.h5 --out {out} --json", "index.html", '"findings"'),
        ("report {inputs}/run --table {inputs}/table.h5 --out {out}/x.html", ".pdf", "random"),
    ],
)  # fmt: skip
def test_results_are_printed_whatever_happens_to_their_files(
    words: str,
    broken: str,
    says: str,
    inputs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    printed = lines_before(
        capsys, words.format(inputs=inputs, out=tmp_path / "out").split(), broken
    )
    assert says in printed
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith((broken, ".part"))]


def test_probing_changes_nothing_and_lets_pass_what_can_be_written(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.write_text("old")
    (tmp_path / "link").symlink_to(old)
    status = old.stat()
    check_writable(old, tmp_path / "link", tmp_path / "new" / "er" / "file", Path("here"))
    assert old.stat() == status
    assert {path.name for path in tmp_path.iterdir()} == {"old", "link"}
