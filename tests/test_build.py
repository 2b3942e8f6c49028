"""Building a table: its numbers, resuming, and refusing what does not fit."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nasbench_kit import CellSpace, InvalidSetting, NotRecorded, Table, WrongTable
from nasbench_kit.data.build import Build, assemble, build, training_seed
from nasbench_kit.data.digits import digits
from nasbench_kit.trainer import DIGITS, train


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


def test_a_second_build_trains_nothing_again(built: tuple[Path, Table]) -> None:
    parts = built[0].with_suffix(".parts")
    before = {part: part.stat().st_mtime_ns for part in parts.glob("*.npz")}
    again = build(a_plan(), built[0])
    assert before == {part: part.stat().st_mtime_ns for part in parts.glob("*.npz")}
    assert again.checksum == built[1].checksum


def test_the_parts_of_a_smaller_space_serve_a_larger_one(built: tuple[Path, Table]) -> None:
    small = assemble(a_plan(space=CellSpace(2)), built[0])
    whole = built[1].values("test_accuracy")
    assert small.values("test_accuracy").tolist() == whole[:1].tolist()


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
    subprocess.run(command, check=True, capture_output=True)
    plan = Build("killed", CellSpace(3), digits(), DIGITS, epochs=(1,), repeats=1)
    undisturbed = build(plan, tmp_path / "undisturbed.h5")
    for metric in ("train_accuracy", "validation_accuracy", "test_accuracy"):
        finished = Table.open(target).values(metric)
        assert finished.tolist() == undisturbed.values(metric).tolist()


def test_a_changed_data_set_is_refused(built: tuple[Path, Table]) -> None:
    other = dataclasses.replace(digits(), name="other digits")
    with pytest.raises(WrongTable, match="another images"):
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
    plan = a_plan(space=CellSpace(2), epochs=(1,), repeats=1)
    build(plan, target)
    parts = target.with_suffix(".parts")
    (parts / "row000000-seconds.npz").unlink()
    (parts / "clock.json").write_text('{"processor": "abacus", "torch": "0"}')
    with pytest.raises(WrongTable, match="abacus"):
        build(plan, target)


def test_a_missing_or_damaged_part_is_named(built: tuple[Path, Table], tmp_path: Path) -> None:
    with pytest.raises(NotRecorded, match=r"row000000-epochs004\.npz is missing"):
        assemble(a_plan(epochs=(1, 4)), built[0])
    target = tmp_path / "damaged.h5"
    plan = a_plan(space=CellSpace(2), epochs=(1,), repeats=1)
    build(plan, target)
    (target.with_suffix(".parts") / "row000000-epochs001.npz").write_bytes(b"nonsense")
    with pytest.raises(NotRecorded, match="is damaged"):
        assemble(plan, target)


def test_no_workers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="workers is 0"):
        build(a_plan(), tmp_path / "none.h5", workers=0)


def test_a_build_that_takes_too_long_is_refused_with_its_estimate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from nasbench_kit.cli import main

    command = ["build", str(tmp_path / "long.h5"), "--space", "v4e6", "--max-hours", "1e-5"]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "core-hours" in said and "more than --max-hours 1e-05" in said
    assert not (tmp_path / "long.parts").exists()
