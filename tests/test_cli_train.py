"""``nasbench-kit train``: what it asks of the trainer, and what it prints."""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nasbench_kit import CellSpace
from nasbench_kit.cli import train as command
from nasbench_kit.cli.cells import parse_architecture
from nasbench_kit.data.images.digits import digits
from nasbench_kit.errors import (
    InvalidCell,
    InvalidSetting,
    NasbenchKitError,
    NotInSpace,
    NotWritable,
    UnknownName,
    WrongTable,
)
from nasbench_kit.spaces.nasbench101.cell import Cell
from nasbench_kit.spaces.nasbench101.network import Network
from nasbench_kit.spaces.skeleton import Skeleton
from nasbench_kit.spaces.trained_network import TrainedNetwork
from nasbench_kit.training.recipe import DARTS, DIGITS, NASBENCH101, RECIPES
from nasbench_kit.training.trainer import train

torch.set_num_threads(1)  # these networks are too small to share

RESNET = Cell.named("resnet")


def run(*argv: object) -> int:
    parser = argparse.ArgumentParser()
    command.add_commands(parser.add_subparsers())
    args = parser.parse_args(["train", *map(str, argv)])
    code: int = args.run(args)
    return code


def printed(capsys: pytest.CaptureFixture[str], *argv: object) -> dict[str, Any]:
    assert run(*argv, "--json") == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def test_it_says_how_many_images_each_split_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = np.random.default_rng(0).integers(0, 255, (60, 8, 8), dtype=np.uint8)
    path = tmp_path / "mine.npz"
    np.savez(path, x=x, y=np.arange(60) % 2)
    asked = ("resnet", "--data", path, "--recipe", "digits", "--epochs", 4)
    answer = printed(capsys, *asked)
    assert answer["splits"] == {"train": 36, "validation": 12, "test": 12}
    assert answer["dealt"] == ["validation", "test"]
    assert run(*asked) == 0
    stdout = " ".join(capsys.readouterr().out.split())
    assert "36 train, 12 validation, 12 test images (validation and test dealt from the" in stdout


def test_the_command_trains_as_the_function_does(capsys: pytest.CaptureFixture[str]) -> None:
    answer = printed(capsys, "resnet", "--epochs", 4, "--seed", 7)
    training = train(RESNET, digits(), DIGITS, 4, 7)
    for point in ("start", "halfway", "final"):
        for split in ("train", "validation", "test"):
            assert answer[point][split] == vars(getattr(getattr(training, point), split))
    assert answer["trainable_parameters"] == training.trainable_parameters
    assert answer["architecture"] == RESNET.to_text()
    assert answer["seconds"] == answer["final"]["seconds"] > 0
    assert answer["peak_memory"] > 2**20
    assert answer["failed"] is False


def test_the_table_says_what_json_says(capsys: pytest.CaptureFixture[str]) -> None:
    options = (RESNET.to_text(), "--epochs", 4, "--stem-channels", 4)
    answer = printed(capsys, *options)
    assert run(*options) == 0
    out, err = capsys.readouterr()
    for point in ("start", "halfway", "final"):
        for score in (answer[point][split] for split in ("train", "validation", "test")):
            assert f"{score['correct'] / score['images']:.4f}" in out
    assert f"{answer['trainable_parameters']:,} trainable parameters" in out
    assert "MiB" in out
    assert "FAILED" not in out
    assert "20/20" in err  # steps: the progress line


def test_a_diverged_training_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    exploding = dataclasses.replace(DIGITS, learning_rate=1e30)
    monkeypatch.setitem(RECIPES, "digits", exploding)
    assert run("resnet", "--epochs", 1, "--stem-channels", 4) == 0
    assert "FAILED" in capsys.readouterr().out


def test_a_checkpoint_is_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("resnet", "--epochs", 2, "--stem-channels", 4, "--checkpoint", tmp_path / "file")
    assert printed(capsys, *options) == printed(capsys, *options)  # seconds, too
    with pytest.raises(WrongTable, match="another seed"):
        run(*options, "--seed", 1)


def test_images_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (300, 6, 6, 3), dtype=np.uint8)
    np.savez(tmp_path / "mine.npz", x_train=images, y_train=np.arange(300) % 3)
    options = ("--epochs", 2, "--stem-channels", 4, "--recipe", "digits")
    answer = printed(capsys, "resnet", "--data", tmp_path / "mine.npz", *options)
    assert answer["images"] == "mine"
    assert answer["recipe"]["skeleton"]["stem_channels"] == 4


def asked(*argv: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_training(parser)
    return parser.parse_args(list(map(str, argv)))


def test_recipe_and_epochs_follow_the_data() -> None:
    for argv, expected in (
        ((), (DIGITS, 36)),
        (("--data", "cifar10"), (NASBENCH101, 108)),
        (("--data", "x", "--recipe", "digits", "--epochs", 0), (DIGITS, 0)),
    ):
        args = asked(*argv)
        recipe = command.asked_recipe(args)
        assert (recipe, command.asked_epochs(args, recipe)) == expected
    deeper = command.asked_recipe(asked("--cells-per-stack", 4, "--stem-channels", 32))
    assert deeper.skeleton == Skeleton(stem_channels=32, stacks=3, cells_per_stack=4)


def test_the_papers_settings_change_their_recipe_alone() -> None:
    args = asked("--recipe", "darts", "--drop-path", 0.3, "--scheduled-drop-path", "--cutout", 8)
    recipe = command.asked_recipe(args)
    assert recipe == dataclasses.replace(DARTS, drop_path=0.3, scheduled=True, cutout=8)
    assert command.asked_epochs(args, recipe) == 600
    off = command.asked_recipe(asked("--recipe", "darts", "--auxiliary-weight", 0, "--clip", 2))
    assert off == dataclasses.replace(DARTS, auxiliary_weight=0.0, clip=2.0)
    with pytest.raises(InvalidSetting, match="nasbench101 has no drop_path, no cutout"):
        command.asked_recipe(asked("--data", "cifar10", "--drop-path", 0, "--cutout", 8))


@pytest.mark.parametrize(
    ("argv", "error", "says"),
    [
        (("renset",), UnknownName, "no cell is called 'renset'"),
        (("010/001/000:conv9x9",), InvalidCell, "conv9x9"),
        (("resnet", "--data", "digit"), UnknownName, "did you mean 'digits'"),
        (("resnet", "--stacks", 0), InvalidSetting, "stacks is 0"),
        (("resnet", "--epochs", 0), InvalidSetting, "0 epochs"),
        (("resnet", "--device", "abacus"), InvalidSetting, "'cpu' always can"),
        (("resnet", "--cuda-graph"), InvalidSetting, "needs a CUDA device"),
    ],
)
def test_mistakes_have_a_name(
    argv: tuple[object, ...], error: type[NasbenchKitError], says: str
) -> None:
    with pytest.raises(error, match=says):
        run(*argv)


def test_cells_as_they_are_written() -> None:
    small = CellSpace(4)
    assert parse_architecture("resnet") == parse_architecture(RESNET.to_text()) == RESNET
    assert parse_architecture(small[50].hash, small) == small[50]
    with pytest.raises(NotInSpace):
        parse_architecture("0" * 32, small)


def test_the_weights_are_those_that_were_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "weights.pt"
    answer = printed(capsys, "resnet", "--epochs", 4, "--stem-channels", 4, "--weights", path)
    with torch.no_grad():
        logits = Network.load(path)(torch.from_numpy(digits().test.images).permute(0, 3, 1, 2))
    correct = int((logits.argmax(1).numpy() == digits().test.labels).sum())
    assert correct == answer["final"]["test"]["correct"]
    with pytest.raises(InvalidSetting, match="is the checkpoint too; name two files"):
        run("resnet", "--weights", path, "--checkpoint", tmp_path / "x" / ".." / "weights.pt")


def test_weights_that_cannot_be_written_cost_no_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: TrainedNetwork, path: Path) -> None:
        raise NotWritable(f"cannot write {path}: no space left")

    monkeypatch.setattr(TrainedNetwork, "save", full)
    with pytest.raises(NotWritable, match="no space"):
        run("resnet", "--epochs", 2, "--weights", tmp_path / "weights.pt", "--json")
    assert json.loads(capsys.readouterr().out)["final"]["test"]["images"] == 774
