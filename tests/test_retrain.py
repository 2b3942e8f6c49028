"""Training in full what a comparison recommended: the choice, resuming, the table of results."""

import argparse
import csv
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nasbench_kit import Table
from nasbench_kit.algorithms import ALGORITHMS
from nasbench_kit.cli import retrain as command
from nasbench_kit.compare.plan import Plan
from nasbench_kit.compare.retrain import recommended
from nasbench_kit.compare.running import run as compare
from nasbench_kit.compare.scores import write_results
from nasbench_kit.data.images.digits import digits
from nasbench_kit.errors import (
    CorruptFile,
    InvalidSetting,
    NasbenchKitError,
    TrainingFailed,
    UnknownName,
    WrongTable,
)
from nasbench_kit.spaces.nasbench101.cell import Cell
from nasbench_kit.spaces.nasbench101.network import Network, Skeleton
from nasbench_kit.training import many
from nasbench_kit.training.many import train_many
from nasbench_kit.training.recipe import DIGITS
from nasbench_kit.training.trainer import Training, train

torch.set_num_threads(1)  # these networks are too small to share

NAMES = ("random-search", "regularized-evolution")
TINY = ("--stem-channels", 4, "--epochs", 1, "--workers-per-device", 1)
RECIPE = dataclasses.replace(DIGITS, skeleton=Skeleton(4, 3, 1))
CELLS = [Cell.named("resnet"), Cell.from_text("01/00:"), Cell.from_text("011/001/000:conv1x1")]


@pytest.fixture(scope="module")
def finished(small_table: Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison of two algorithms with three seeds, as the command leaves it."""
    folder = tmp_path_factory.mktemp("comparison")
    small_table.save(folder / "table.h5")
    searches = {name: ALGORITHMS[name]() for name in NAMES}
    plan = Plan(folder / "table.h5", searches, range(3), {"queries": 15})
    write_results(folder, small_table, compare(plan, folder))
    return folder


@pytest.fixture
def comparison(finished: Path, tmp_path: Path) -> Iterator[Path]:
    """The same, in a folder of one's own."""
    for name in ("results.csv", "manifest.json", "table.h5"):
        (tmp_path / name).write_bytes((finished / name).read_bytes())
    yield tmp_path


def run(folder: Path, *argv: object) -> int:
    parser = argparse.ArgumentParser()
    command.add_commands(parser.add_subparsers())
    table = ("--table", folder / "table.h5")
    args = parser.parse_args(["retrain", *map(str, (folder, *table, *TINY, *argv))])
    code: int = args.run(args)
    return code


def counts(training: Training) -> list[Any]:
    points = (training.start, training.halfway, training.final)
    return [(point.train, point.validation, point.test) for point in points]


# Which cells ------------------------------------------------------------------------------------


def test_the_best_by_validation_are_chosen(finished: Path, small_table: Table) -> None:
    with (finished / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    everything = recommended(finished, small_table, None)
    validation = small_table.mean("validation_accuracy")
    for name in NAMES:
        texts = {row["architecture"] for row in rows if row["algorithm"] == name}
        assert {cell.to_text() for cell in everything[name]} == texts
        scores = [validation[small_table.row(cell)] for cell in everything[name]]
        assert scores == sorted(scores, reverse=True)
    assert recommended(finished, small_table, 1) == {n: everything[n][:1] for n in NAMES}
    assert recommended(finished, small_table, 99) == everything


def test_a_cell_is_told_from_its_relabelling(comparison: Path, small_table: Table) -> None:
    relabelled = ("0110/0001/0001/0000:conv1x1,conv3x3", "0110/0001/0001/0000:conv3x3,conv1x1")
    rows = [f'a,"{text}"' for text in (*relabelled, "")]
    (comparison / "results.csv").write_text("\n".join(["algorithm,architecture", *rows]))
    assert len(recommended(comparison, small_table, None)["a"]) == 1


# The command ------------------------------------------------------------------------------------


def test_results_are_those_of_the_trainer(
    comparison: Path, small_table: Table, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(comparison, "--seeds", 2, "--json") == 0
    rows = json.loads(capsys.readouterr().out)["cells"]
    folder = comparison / "retrain"
    assert json.loads((folder / "results.json").read_text()) == rows
    with (folder / "results.csv").open() as file:
        assert [row["architecture"] for row in csv.DictReader(file)] == [
            row["architecture"] for row in rows
        ]
    chosen = recommended(comparison, small_table, 1)
    assert {row["algorithm"]: [Cell.from_text(row["architecture"])] for row in rows} == chosen
    for row in rows:
        trainings = [
            train(Cell.from_text(row["architecture"]), digits(), RECIPE, 1, s) for s in (0, 1)
        ]
        test = [training.final.test.accuracy for training in trainings]
        assert row["test_mean"] == pytest.approx(sum(test) / 2, abs=1e-12)
        assert row["test_std"] == pytest.approx(abs(test[0] - test[1]) / 2**0.5, abs=1e-12)
        assert row["trainable_parameters"] == trainings[0].trainable_parameters
        assert (row["trainings"], row["failed"]) == (2, 0)
    assert not list((folder / "checkpoints").iterdir())
    (clock, *_) = (folder / "clock").iterdir()
    assert json.loads(clock.read_text())["seconds"] > 0
    assert not any("seconds" in path.read_text() for path in (folder / "trainings").iterdir())


def test_the_printed_table(comparison: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(comparison, "--seeds", 1) == 0
    out = capsys.readouterr().out
    for row in json.loads((comparison / "retrain" / "results.json").read_text()):
        (line,) = (line for line in out.splitlines() if row["algorithm"] in line)
        assert f"{row['test_mean']:.4f}" in line
        assert row["architecture"] in line
        assert " - " in line  # one seed has no standard deviation


def test_a_second_call_trains_what_is_missing(
    comparison: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[tuple[Cell, int]] = []

    def seen(cell: Cell, *, seed: int, **options: Any) -> Training:
        trained.append((cell, seed))
        return train(cell, seed=seed, **options)

    monkeypatch.setattr(many, "train", seen)
    assert run(comparison, "--seeds", 1) == 0
    first = len(trained)
    before = {p: p.read_bytes() for p in (comparison / "retrain" / "trainings").iterdir()}
    assert run(comparison, "--seeds", 2) == 0
    assert [seed for _, seed in trained] == [0] * first + [1] * first
    for path, content in before.items():
        assert path.read_bytes() == content
        path.unlink()
    assert run(comparison, "--seeds", 2) == 0
    assert sorted(p.name for p in before) == sorted(
        f"{cell.hash}-seed{seed}.json" for cell, seed in trained[2 * first :]
    )
    assert {path: path.read_bytes() for path in before} == before


def test_trainings_resume_from_their_checkpoints(
    comparison: Path, small_table: Table, capsys: pytest.CaptureFixture[str]
) -> None:
    (cell,) = recommended(comparison, small_table, 1)["random-search"]
    name = f"{cell.hash}-seed0"
    file = comparison / "retrain" / "checkpoints" / f"{name}.pt"
    done = train(cell, digits(), RECIPE, 1, 0, checkpoint=file)
    assert run(comparison, "--seeds", 1) == 0
    clock = json.loads((comparison / "retrain" / "clock" / f"{name}.json").read_text())
    assert clock["seconds"] == done.seconds  # no step was taken again
    assert not file.exists()


def test_deeper_and_wider(comparison: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(comparison, "--seeds", 1, "--stacks", 2, "--cells-per-stack", 2, "--json") == 0
    for row in json.loads(capsys.readouterr().out)["cells"]:
        network = Network(Cell.from_text(row["architecture"]), Skeleton(4, 2, 2), 1, 10)
        assert row["trainable_parameters"] == network.trainable_parameters


def test_one_failure_does_not_lose_the_others(
    comparison: Path,
    small_table: Table,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (poor,) = recommended(comparison, small_table, 1)["random-search"]

    def limited(cell: Cell, **options: Any) -> Training:
        if cell == poor:
            raise TrainingFailed("out of memory")
        return train(cell, **options)

    monkeypatch.setattr(many, "train", limited)
    with pytest.raises(TrainingFailed, match="out of memory"):
        run(comparison, "--seeds", 1)
    rows = json.loads((comparison / "retrain" / "results.json").read_text())
    assert {row["algorithm"]: row["trainings"] for row in rows} == {
        "random-search": 0,
        "regularized-evolution": 1,
    }
    assert "regularized-evolution" in capsys.readouterr().out


def test_diverged_trainings_are_counted_not_dropped(
    comparison: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def diverging(cell: Cell, **options: Any) -> Training:
        return dataclasses.replace(train(cell, **options), failed=True)

    monkeypatch.setattr(many, "train", diverging)
    assert run(comparison, "--seeds", 2, "--json") == 0
    for row in json.loads(capsys.readouterr().out)["cells"]:
        assert (row["trainings"], row["failed"]) == (2, 2)
        assert row["test_mean"] is not None


# Several processes ------------------------------------------------------------------------------


def test_processes_do_not_change_the_results() -> None:
    jobs = [(cell, seed) for seed in (0, 1) for cell in CELLS]
    here, there = (
        dict(train_many(jobs, digits(), RECIPE, 1, workers_per_device=workers))
        for workers in (1, 2)
    )
    assert here.keys() == there.keys() == set(range(6))
    for place, (cell, seed) in enumerate(jobs):
        assert counts(here[place]) == counts(there[place])
        assert (there[place].architecture, there[place].seed) == (cell, seed)
        assert [score.images for score in counts(there[place])[0]] == [250, 773, 774]


def test_threads_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    inside: list[int] = []
    monkeypatch.setattr(many, "train", lambda *_, **__: inside.append(torch.get_num_threads()))
    for _ in train_many([(CELLS[1], 0)] * 2, digits(), RECIPE, 1, threads=before + 1):
        assert torch.get_num_threads() == before
    assert inside == [before + 1] * 2


@pytest.mark.parametrize("options", [{"devices": ()}, {"workers_per_device": 0}, {"threads": 0}])
def test_impossible_crews_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting, match="at least 1 is needed"):
        list(train_many([(CELLS[1], 0)], digits(), RECIPE, 1, **options))


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 1, reason="needs a CUDA device")
def test_every_gpu_has_its_process() -> None:
    devices = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    jobs = [(cell, seed) for seed in (0, 1) for cell in CELLS]
    done = dict(train_many(jobs, digits(), RECIPE, 4, devices=devices, workers_per_device=2))
    on_cpu = dict(train_many(jobs, digits(), RECIPE, 4))
    differences = []
    for place in range(len(jobs)):
        there, here = done[place], on_cpu[place]
        assert there.peak_memory > 0
        # The same weights; sums in another order move some of 773 images, and more with every step.
        assert abs(there.start.validation.correct - here.start.validation.correct) < 20
        differences.append(there.final.validation.correct - here.final.validation.correct)
    assert abs(np.mean(differences)) < 40


# Errors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "error", "says"),
    [
        (("--per-algorithm", 0), InvalidSetting, "0 cells per algorithm"),
        (("--seeds", 0), InvalidSetting, "seeds is 0"),
        (("--threads", 0), InvalidSetting, "threads is 0"),
        (("--stacks", 0), InvalidSetting, "stacks is 0"),
        (("--table", "nowhere"), UnknownName, "name the table of .* with --table"),
    ],
)
def test_mistakes_have_a_name(
    argv: tuple[object, ...], error: type[NasbenchKitError], says: str, finished: Path
) -> None:
    with pytest.raises(error, match=says):
        run(finished, *argv)
    assert not (finished / "retrain").exists()


def test_other_conditions_need_another_folder(comparison: Path) -> None:
    assert run(comparison, "--seeds", 1) == 0
    with pytest.raises(WrongTable, match="another recipe"):
        run(comparison, "--stem-channels", 8)
    with pytest.raises(WrongTable, match="another epochs"):
        run(comparison, "--epochs", 2)
    assert run(comparison, "--epochs", 2, "--seeds", 1, "--out", comparison / "longer") == 0


def test_damaged_and_missing_comparisons(comparison: Path, small_table: Table) -> None:
    with pytest.raises(UnknownName, match=r"manifest.json is missing"):
        recommended(comparison / "nowhere", small_table, 1)
    results = comparison / "results.csv"
    for content in (
        "",
        "a\n1",
        "algorithm,architecture\na,resnet!",
        "algorithm,architecture\na,b,c",
    ):
        results.write_text(content)
        with pytest.raises(CorruptFile):
            recommended(comparison, small_table, 1)
    results.write_text("algorithm,architecture\na,")
    with pytest.raises(InvalidSetting, match="more budget"):
        recommended(comparison, small_table, 1)
    results.unlink()
    with pytest.raises(UnknownName, match=r"results.csv is missing"):
        recommended(comparison, small_table, 1)
    manifest = json.loads((comparison / "manifest.json").read_text())
    manifest["table"]["checksum"] = "0"
    (comparison / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(WrongTable, match="is not the table of"):
        recommended(comparison, small_table, 1)


# Weights ----------------------------------------------------------------------------------------


def test_weights_are_kept_a_file_for_each_seed(
    comparison: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(comparison, "--seeds", 2) == 0  # without weights, which makes it train once more
    folder = comparison / "retrain"
    before = {path.name: path.read_bytes() for path in (folder / "trainings").iterdir()}
    assert not (folder / "weights").exists()
    assert run(comparison, "--seeds", 2, "--weights") == 0
    assert {path.stem for path in (folder / "weights").iterdir()} == {
        name.removesuffix(".json") for name in before
    }
    for name, content in before.items():
        assert (folder / "trainings" / name).read_bytes() == content
        network = Network.load(folder / "weights" / name.replace(".json", ".pt"))
        with torch.no_grad():
            logits = network(torch.from_numpy(digits().test.images).permute(0, 3, 1, 2))
        correct = int((logits.argmax(1).numpy() == digits().test.labels).sum())
        assert correct == json.loads(content)["final"]["test"]["correct"]
        assert network.conditions["seed"] == json.loads(content)["seed"]
    written = {path: path.stat().st_mtime_ns for path in (folder / "weights").iterdir()}
    assert run(comparison, "--seeds", 2, "--weights") == 0
    assert written == {path: path.stat().st_mtime_ns for path in (folder / "weights").iterdir()}
