"""A training that was killed and resumed gives the same counts as an undisturbed one."""

import dataclasses
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st

from nasbench_kit.data.images.digits import digits
from nasbench_kit.errors import CorruptFile, NotWritable, WrongTable
from nasbench_kit.spaces.nasbench101.cell import Cell
from nasbench_kit.spaces.nasbench101.network import Network, Skeleton
from nasbench_kit.training.images import ImageSet, Split
from nasbench_kit.training.trainer import DIGITS, NASBENCH101, Training, train

torch.set_num_threads(1)  # these networks are too small to share

CELL = Cell.named("resnet")
TINY = Skeleton(stem_channels=4, stacks=2, cells_per_stack=1)
RECIPES = {
    # Batch norm's statistics, draws of augmentation and RMSProp's averages are part of the state.
    "nasbench101": dataclasses.replace(
        NASBENCH101, skeleton=TINY, batch_size=16, bn_batch_size=8, bn_momentum=0.3
    ),
    "digits": dataclasses.replace(DIGITS, skeleton=TINY, batch_size=16, bn_batch_size=16),
}


class Killed(Exception):
    """What ends a training in the middle."""


def noise() -> ImageSet:
    rng = np.random.default_rng(0)

    def split(size: int) -> Split:
        pixels = rng.integers(0, 256, (size, 6, 6, 3)).astype(np.uint8)
        return Split(pixels, rng.integers(0, 3, size))

    mean, std = (100.0, 120.0, 140.0), (60.0, 70.0, 80.0)
    return ImageSet("noise", split(40), split(20), split(10), 3, mean, std, (40, 20, 10))


NOISE = noise()


def train_noise(recipe: str, **options: Any) -> Training:
    """12 steps: 5 epochs of 40 images in batches of 16, and the last half batch is dropped."""
    return train(CELL, NOISE, RECIPES[recipe], 5, 3, **options)


def counts(training: Training) -> list[Any]:
    points = (training.start, training.halfway, training.final)
    return [training.failed, *((p.train, p.validation, p.test) for p in points)]


def kill_after(steps: int) -> Callable[[int, int], None]:
    def progress(done: int, _all: int) -> None:
        if done > steps:  # that step's own checkpoint is not written any more
            raise Killed

    return progress


@pytest.mark.parametrize("recipe", list(RECIPES))
@settings(
    deadline=None, max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(kills=st.lists(st.integers(1, 11), max_size=3).map(sorted))
def test_a_resumed_training_equals_an_undisturbed_one(
    recipe: str, kills: list[int], tmp_path: Path
) -> None:
    file = tmp_path / "checkpoint"
    for steps in kills:
        with pytest.raises(Killed):
            train_noise(
                recipe, checkpoint=file, checkpoint_every_seconds=0, progress=kill_after(steps)
            )
    resumed = train_noise(recipe, checkpoint=file)
    assert counts(resumed) == counts(train_noise(recipe))
    assert 0 < resumed.start.seconds <= resumed.halfway.seconds < resumed.final.seconds or not kills
    file.unlink()


def test_a_failed_training_stays_failed_when_resumed(tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPES["digits"], learning_rate=1e30)
    options: dict[str, Any] = {"checkpoint": tmp_path / "file", "checkpoint_every_seconds": 0}
    with pytest.raises(Killed):
        train(CELL, NOISE, recipe, 5, 0, progress=kill_after(8), **options)
    assert train(CELL, NOISE, recipe, 5, 0, **options).failed


def test_a_finished_checkpoint_holds_record_and_weights(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "file"
    done = train_noise("nasbench101", checkpoint=file)
    steps: list[int] = []
    again = train_noise(
        "nasbench101", checkpoint=file, progress=lambda step, _all: steps.append(step)
    )
    assert not steps
    assert dataclasses.replace(again, peak_memory=done.peak_memory) == done
    network = Network(CELL, TINY, 3, 3)
    network.load_state_dict(torch.load(file, weights_only=True)["network"])
    assert not torch.equal(network.classifier.bias, torch.zeros(3))  # it began at 0


def test_checkpoints_come_as_often_as_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    saving = "nasbench_kit.training.checkpoint.State.save"
    monkeypatch.setattr(saving, lambda self, *_: written.append(self.step))
    train_noise("digits", checkpoint=tmp_path / "file")
    assert written == [12]
    train_noise("digits", checkpoint=tmp_path / "file", checkpoint_every_seconds=0)
    assert written == [12, *range(1, 13), 12]


SCRIPT = """
import sys
from pathlib import Path
import torch
sys.path[:0] = [{tests!r}]
from test_checkpoint import train_noise
torch.set_num_threads(1)
train_noise("nasbench101", checkpoint=Path({file!r}), checkpoint_every_seconds=0,
            progress=lambda done, _all: print(done, flush=True))
"""


def test_kill_9(tmp_path: Path) -> None:
    file = tmp_path / "file"
    script = SCRIPT.format(tests=str(Path(__file__).parent), file=str(file))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while int(process.stdout.readline()) < 7:
            pass
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    steps: list[int] = []
    resumed = train_noise(
        "nasbench101", checkpoint=file, progress=lambda done, _all: steps.append(done)
    )
    assert 7 <= steps[0] <= 12  # at least six steps were kept
    assert counts(resumed) == counts(train_noise("nasbench101"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("cuda_graph", [False, True])
@pytest.mark.parametrize("recipe", list(RECIPES))
def test_a_gpu_training_resumes(recipe: str, cuda_graph: bool, tmp_path: Path) -> None:
    options: dict[str, Any] = {"device": "cuda", "cuda_graph": cuda_graph}
    options |= {"checkpoint": tmp_path / "file", "checkpoint_every_seconds": 0}
    with pytest.raises(Killed):
        train_noise(recipe, progress=kill_after(8), **options)
    steps: list[int] = []
    resumed = train_noise(recipe, progress=lambda done, _all: steps.append(done), **options)
    assert steps == [9, 10, 11, 12]
    undisturbed = train_noise(recipe, device="cuda")
    # The same numbers drawn; sums in another order may move an image or two.
    assert abs(resumed.final.train.correct - undisturbed.final.train.correct) <= 4


# Errors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"architecture": Cell.from_text("01/00:")}, "another architecture"),
        ({"images": digits(), "recipe": RECIPES["digits"]}, "another recipe"),
        ({"images": digits()}, "another images"),
        ({"epochs": 6}, "another epochs"),
        ({"seed": 4}, "another seed"),
        ({"precision": "bfloat16"}, "another precision"),
    ],
)
def test_the_checkpoint_of_another_training_is_refused(
    changes: dict[str, Any], says: str, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    train_noise("nasbench101", checkpoint=file)
    same: dict[str, Any] = {
        "architecture": CELL,
        "images": NOISE,
        "recipe": RECIPES["nasbench101"],
        "epochs": 5,
        "seed": 3,
        "checkpoint": file,
    }
    with pytest.raises(WrongTable, match=says):
        train(**(same | changes))


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_damaged_checkpoint_is_refused_or_still_right(
    data: st.DataObject, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    if not file.exists():
        train_noise("digits", checkpoint=file)
    whole = file.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans(), label="cut"):
        file.write_bytes(whole[:place])
    else:
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
    try:
        damaged = train_noise("digits", checkpoint=file)
    except CorruptFile as error:
        assert "delete it to start over" in str(error)
    else:  # bytes that nobody reads: padding, time stamps
        assert counts(damaged) == counts(train_noise("digits"))
    file.write_bytes(whole)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04", b"\x80\x04N."])
def test_other_files_are_no_checkpoints(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(CorruptFile, match="no checkpoint of a training"):
        train_noise("digits", checkpoint=file)


def test_a_full_disk_has_a_name_and_the_last_checkpoint_stays(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with pytest.raises(Killed):
        train_noise("digits", checkpoint=file, checkpoint_every_seconds=0, progress=kill_after(5))
    before = file.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))  # as a full disk does
    try:
        with pytest.raises(NotWritable, match="cannot write"):
            train_noise("digits", checkpoint=file, checkpoint_every_seconds=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert counts(train_noise("digits", checkpoint=file)) == counts(train_noise("digits"))
