"""Building a table: its numbers, resuming, and refusing what does not fit."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from nasbench_kit import CellSpace, InvalidSetting, NotRecorded, Table, UnknownName, WrongTable
from nasbench_kit.data.building import parts as build_parts
from nasbench_kit.data.building.build import Build, assemble, build, training_seed
from nasbench_kit.data.building.clock import seconds_an_epoch
from nasbench_kit.data.building.estimate import estimate
from nasbench_kit.data.images.digits import digits
from nasbench_kit.training.images import Split
from nasbench_kit.training.trainer import DIGITS, train


def a_plan(**changes: object) -> Build:
    plan = Build("tiny", CellSpace(3), digits(), DIGITS, epochs=(1, 2), repeats=2)
    return dataclasses.replace(plan, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Table]:
    target = tmp_path_factory.mktemp("build") / "tiny.h5"
    return target, build(a_plan(), target)


def test_every_number_is_that_of_one_training(built: tuple[Path, Table]) -> None:
    table = Table.open(built[0])
    assert (len(table), table.epochs, table.repeats) == (7, (1, 2), 2)
    table.verify()
    for row, epochs, repeat in ((0, 2, 1), (5, 1, 0)):
        seed = training_seed(0, row, epochs, repeat)
        alone = train(table.space[row], digits(), DIGITS, epochs, seed)
        for checkpoint, measured in (("final", alone.final), ("halfway", alone.halfway)):
            for split in ("train", "validation", "test"):
                stored = table.values(f"{split}_accuracy", epochs, checkpoint)[row, repeat]  # type: ignore[arg-type]
                score = getattr(measured, split)
                assert stored == np.float32(score.correct / score.images)
        assert table.extra["trainable_parameters"][row] == alone.trainable_parameters


def test_seconds_are_proportional_to_epochs_and_equal_for_all_repeats(
    built: tuple[Path, Table],
) -> None:
    table = built[1]
    one, two = table.values("seconds", 1), table.values("seconds", 2)
    assert (one > 0).all()
    np.testing.assert_allclose(two, 2 * one, rtol=1e-6)
    np.testing.assert_allclose(table.values("seconds", 2, "halfway"), one, rtol=1e-6)
    assert (np.ptp(two, axis=1) == 0).all()


def test_the_lesser_of_two_rounds_counts(built: tuple[Path, Table], tmp_path: Path) -> None:
    target, rows = tmp_path / "rounds.h5", range(1)
    plan = a_plan(space=CellSpace(2), epochs=(1,), repeats=1)
    build(plan, target)
    for turn, seconds in enumerate((0.5, 0.25)):
        path = build_parts.seconds_path(target.with_suffix(".parts"), rows, turn)
        build_parts.save(path, plan.space, rows, seconds=np.array([seconds]))
    assert assemble(plan, target).values("seconds").tolist() == [[0.25]]


def test_the_best_tenth_is_trained_again_for_scores(
    built: tuple[Path, Table], tmp_path: Path
) -> None:
    """As further repeats; in the table, but in no answer, and one more keeps those that are there."""
    target = tmp_path / "scored.h5"
    shutil.copytree(built[0].with_suffix(".parts"), target.with_suffix(".parts"))
    table = build(a_plan(scoring=2), target)
    validation = built[1].mean("validation_accuracy")
    (best,) = np.flatnonzero(~np.isnan(table.extra["scoring/test_accuracy"][:, 0]))
    assert validation[best] == validation.max()  # a tenth of seven cells, rounded up
    alone = train(table.space[int(best)], digits(), DIGITS, 2, training_seed(0, int(best), 2, 3))
    for split in ("validation", "test"):
        scores = table.extra[f"scoring/{split}_accuracy"]
        assert scores.shape == (7, 2) and scores.dtype == np.float32
        assert np.isnan(np.delete(scores, best, axis=0)).all()
        assert scores[best, 1] == np.float32(getattr(alone.final, split).accuracy)
    assert table.provenance["scoring"] == {"cells": 1, "trainings": 2}
    assert table.repeats == 2
    for name, column in built[1].columns.items():
        assert table.columns[name].values.tolist() == column.values.tolist()
    kept = {part: part.stat().st_mtime_ns for part in target.with_suffix(".parts").glob("*.npz")}
    assert (
        estimate(a_plan(scoring=3), target).training
        > 0
        == estimate(a_plan(scoring=2), target).training
    )
    more = build(a_plan(scoring=3), target)
    assert kept == {part: part.stat().st_mtime_ns for part in kept}
    scores = table.extra["scoring/test_accuracy"]
    assert more.extra["scoring/test_accuracy"][best, :2].tolist() == scores[best].tolist()
    assert Table.open(target).extra["scoring/test_accuracy"].shape == (7, 3)


def test_a_second_build_trains_nothing_again(built: tuple[Path, Table]) -> None:
    parts = built[0].with_suffix(".parts")
    before = {part: part.stat().st_mtime_ns for part in parts.glob("*.npz")}
    again = build(a_plan(), built[0])
    assert before == {part: part.stat().st_mtime_ns for part in parts.glob("*.npz")}
    assert again.checksum == built[1].checksum


def test_nothing_is_left_to_do_of_a_finished_build(built: tuple[Path, Table]) -> None:
    assert estimate(a_plan(), built[0]).hours(1) == 0
    longer = estimate(a_plan(epochs=(1, 2, 10)), built[0])
    assert longer.timing == 0
    assert longer.hours(2) == longer.training / 2 > 0


def test_the_parts_of_a_smaller_space_serve_a_larger_one(built: tuple[Path, Table]) -> None:
    small = assemble(a_plan(space=CellSpace(2)), built[0])
    whole = built[1].values("test_accuracy")
    assert small.values("test_accuracy").tolist() == whole[:1].tolist()


def test_the_parts_of_other_cells_are_refused(tmp_path: Path) -> None:
    """With fewer edges, other cells of four vertices stand in the same rows."""
    folder = tmp_path / "edges.parts"
    fewer = CellSpace(4, 4)
    for rows in build_parts.row_ranges(fewer):
        path = build_parts.training_path(folder, rows, 1)
        arrays = {name: np.zeros(len(rows)) for name in build_parts.TRAINED}
        build_parts.save(path, fewer, rows, **arrays)
    plan = a_plan(space=CellSpace(4))
    (folder / "conditions.json").write_text(json.dumps(plan.conditions()))
    with pytest.raises(WrongTable, match=r"epochs001\.npz is of other cells than rows .* of v4e6"):
        build(plan, folder.with_suffix(".h5"))


def test_a_killed_build_goes_on(tmp_path: Path) -> None:
    target = tmp_path / "killed.h5"
    command = [sys.executable, "-m", "nasbench_kit", "build", str(target)]
    command += ["--space", "v3e3", "--epochs", "1", "--repeats", "1", "--workers", "1"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    parts = target.with_suffix(".parts")
    patience = time.monotonic() + 60
    while not list(parts.glob("*epochs*.npz")) and time.monotonic() < patience:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not target.exists()
    before = {part: part.stat().st_mtime_ns for part in parts.glob("*.npz")}
    subprocess.run(command, check=True, capture_output=True)
    assert before and before == {part: part.stat().st_mtime_ns for part in before}
    plan = Build("killed", CellSpace(3), digits(), DIGITS, epochs=(1,), repeats=1)
    undisturbed = build(plan, tmp_path / "undisturbed.h5")
    for metric in ("train_accuracy", "validation_accuracy", "test_accuracy"):
        finished = Table.open(target).values(metric)
        assert finished.tolist() == undisturbed.values(metric).tolist()


def test_a_changed_data_set_is_refused(built: tuple[Path, Table]) -> None:
    pixels = digits().train.images.copy()
    pixels[0, 0, 0, 0] += 1
    other = dataclasses.replace(digits(), train=Split(pixels, digits().train.labels))
    with pytest.raises(WrongTable, match="another images_digest"):
        build(a_plan(images=other), built[0])


def test_other_settings_are_refused(built: tuple[Path, Table]) -> None:
    with pytest.raises(WrongTable, match="another seed: 0, now 1"):
        build(a_plan(seed=1), built[0])
    with pytest.raises(WrongTable, match="another repeats"):
        build(a_plan(repeats=3), built[0])


def test_a_second_builder_is_refused(built: tuple[Path, Table]) -> None:
    with (built[0].with_suffix(".parts") / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(WrongTable, match="another builder is at work"):
            build(a_plan(), built[0])


def test_seconds_of_two_machines_are_not_mixed(built: tuple[Path, Table], tmp_path: Path) -> None:
    target = tmp_path / "moved.h5"
    build(a_plan(epochs=(1,), repeats=1), target)
    parts = target.with_suffix(".parts")
    (parts / "row000000-seconds-1.npz").unlink()
    (parts / "clock.json").write_text('{"processor": "abacus", "torch": "0"}')
    with pytest.raises(WrongTable, match="abacus"):
        build(a_plan(epochs=(1, 2), repeats=1), target)  # before anything is trained
    assert not list(parts.glob("*epochs002*"))


def test_a_missing_or_damaged_part_is_named(built: tuple[Path, Table], tmp_path: Path) -> None:
    with pytest.raises(NotRecorded, match=r"row000000-epochs004\.npz is missing"):
        assemble(a_plan(epochs=(1, 4)), built[0])
    target = tmp_path / "damaged.h5"
    plan = a_plan(space=CellSpace(2), epochs=(1,), repeats=1)
    build(plan, target)
    part = target.with_suffix(".parts") / "row000000-epochs001.npz"
    whole = part.read_bytes()
    for damaged in (b"", b"nonsense", whole[:-30], *_flipped(whole)):
        part.write_bytes(damaged)
        with pytest.raises((NotRecorded, WrongTable), match=r"row000000-epochs001\.npz is"):
            build(plan, target)
    part.write_bytes(whole)
    for name in ("conditions.json", "clock.json"):
        file = target.with_suffix(".parts") / name
        text = file.read_text()
        file.write_text(text[:20])
        with pytest.raises(NotRecorded, match=f"{name} cannot be read"):
            build(plan, target)
        file.write_text(text)
    assert build(plan, target).complete


def test_no_flipped_bit_of_a_part_changes_a_number(tmp_path: Path) -> None:
    space, path = CellSpace(3), tmp_path / "part.npz"
    rows = build_parts.row_ranges(space)[-1]
    rng = np.random.default_rng(0)
    written = {name: rng.integers(0, 99, (len(rows), 3)) for name in build_parts.TRAINED}
    build_parts.save(path, space, rows, **written)
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(
            whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :]
        )
        with contextlib.suppress(NotRecorded, WrongTable):  # else the bit says nothing
            read = build_parts.load(path, space, rows, build_parts.TRAINED)
            assert all(np.array_equal(read[name], written[name]) for name in written)


def _flipped(whole: bytes) -> list[bytes]:
    """With one byte of some array's compressed content changed."""
    places = [whole.index(b"NUMPY") if b"NUMPY" in whole else 60, len(whole) // 3, len(whole) // 2]
    return [whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :] for at in places]


def test_no_workers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="workers is 0"):
        build(a_plan(), tmp_path / "none.h5", workers=0)


def test_a_build_that_takes_too_long_is_refused_with_its_estimate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from nasbench_kit.cli import main

    command = ["build", str(tmp_path / "long.h5"), "--space", "v4e6", "--max-hours", "1e-5"]
    assert main(command) == 2
    text = capsys.readouterr().err
    assert "core-hours" in text and "more than --max-hours 1e-05" in text
    assert not (tmp_path / "long.parts").exists()


def test_a_space_larger_than_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nasbench_kit.data.building.build.available_memory", lambda: 1e3)
    with pytest.raises(InvalidSetting, match=r"7 cells, 2 fidelities .* takes .* memory"):
        build(a_plan(), tmp_path / "large.h5")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"space": CellSpace(3).restricted(np.array([0, 2]))}, "no space is called"),
        ({"space": CellSpace(3).restricted(np.array([0, 2]), "v3e3")}, "not the one of that name"),
        ({"repeats": 0}, "repeats is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"scoring": -1}, "scoring is -1"),
        ({"scoring": 1000}, "scoring is 1000"),
        ({"epochs": ()}, r"epochs are \(\)"),
        ({"epochs": (0, 1)}, "ascending from 1"),
        ({"epochs": (2, 1)}, "ascending from 1"),
        ({"recipe": dataclasses.replace(DIGITS, batch_size=300)}, "less than a batch of 300"),
    ],
)
def test_plans_that_cannot_work_are_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises((InvalidSetting, UnknownName), match=says):
        a_plan(**changes)


def test_the_least_of_five_epochs_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A made-up clock: the first epoch warms up, the one with the evaluation is long, one is short."""
    steps = iter(
        [9.0] * 5 + [1, 1, 1, 1, 1] + [1, 1, 0.5, 1, 1] + [1] * 2 + [50] + [1] * 2 + [1] * 15
    )
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += next(steps)
        return now

    monkeypatch.setattr(
        "nasbench_kit.data.building.clock.time", SimpleNamespace(process_time=clock)
    )
    assert seconds_an_epoch(CellSpace(2)[0], digits(), DIGITS) == pytest.approx(4.5)


def test_of_many_batches_ten_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A made-up clock of one second a step: an epoch of 15 batches takes 15."""
    now = itertools.count()
    monkeypatch.setattr(
        "nasbench_kit.data.building.clock.time", SimpleNamespace(process_time=lambda: next(now))
    )
    recipe = dataclasses.replace(DIGITS, batch_size=16, bn_batch_size=16)
    assert seconds_an_epoch(CellSpace(2)[0], digits(), recipe) == pytest.approx(250 / 16)
    assert next(now) == 7 * 10


def test_a_table_of_ones_own_images(tmp_path: Path) -> None:
    """Built by the command, on images and a skeleton of one's own; weights sharing is told where."""
    from nasbench_kit.cli import main
    from nasbench_kit.data.tasks import open_task

    rng = np.random.default_rng(0)
    x, y = rng.integers(256, size=(180, 8, 8, 1), dtype=np.uint8), np.arange(180) % 3
    np.savez(tmp_path / "shapes.npz", x=x, y=y)
    target = tmp_path / "shapes.h5"
    command = ["build", str(target), "--space", "v3e3", "--data", str(tmp_path / "shapes.npz")]
    command += ["--recipe", "digits", "--stem-channels", "4", "--epochs", "2", "--repeats", "2"]
    assert main([*command, "--workers", "1"]) == 0
    table = Table.open(target)
    assert table.provenance["images"] == "shapes" and len(table) == 7
    card = target.with_suffix(".md").read_text()
    assert "--epochs 2 --data shapes.npz --recipe digits --stem-channels 4 --repeats 2" in card
    with pytest.raises(UnknownName, match="give their path"):
        open_task(table)
    with pytest.raises(WrongTable, match="made from 'shapes'"):
        open_task(table, "digits")
    with pytest.raises(InvalidSetting, match="rows"):  # too few of them to price anything by
        open_task(table, tmp_path / "shapes.npz")
