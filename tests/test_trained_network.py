"""Trained networks in files: the scored weights come back, and hostile files are refused."""

import dataclasses
import json
import os
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st

from nasbench_kit.data.images.digits import digits
from nasbench_kit.data.images.user_images import from_arrays
from nasbench_kit.errors import CorruptFile, InvalidSetting, NotWritable, UnknownName
from nasbench_kit.spaces.nasbench101.cell import Cell
from nasbench_kit.spaces.nasbench101.network import Network, Skeleton
from nasbench_kit.spaces.trained_network import TrainedNetwork
from nasbench_kit.training.images import SPLITS, Split
from nasbench_kit.training.recipe import DIGITS, NASBENCH101, Recipe
from nasbench_kit.training.trainer import Training, train, train_network

torch.set_num_threads(1)  # these networks are too small to share

CELL = Cell.named("resnet")
TINY = Skeleton(stem_channels=4, stacks=2, cells_per_stack=1)
SHORT = dataclasses.replace(DIGITS, skeleton=TINY)
#: With running statistics of batch norm, crops and flips.
LARGE = dataclasses.replace(
    NASBENCH101, skeleton=TINY, batch_size=64, bn_batch_size=32, bn_momentum=0.3
)


def stored(split: Split) -> torch.Tensor:
    """The images as `load`ed networks take them."""
    return torch.from_numpy(split.images).permute(0, 3, 1, 2)


def correct(network: torch.nn.Module, split: Split) -> int:
    with torch.no_grad():
        found = network(stored(split)).argmax(1).numpy()
    return int((found == split.labels).sum())


def same(one: TrainedNetwork, other: TrainedNetwork) -> bool:
    theirs = other.state_dict()
    return one.architecture == other.architecture and all(
        torch.equal(value, theirs[name]) for name, value in one.state_dict().items()
    )


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Training, Path]:
    path = tmp_path_factory.mktemp("weights") / "resnet.pt"
    return train(CELL, digits(), SHORT, 6, 1, weights=path), path


# --- what comes back ----------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", [SHORT, LARGE], ids=["digits", "nasbench101"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_loaded_network_scores_what_was_reported(
    tmp_path: Path, recipe: Recipe, precision: Any
) -> None:
    path = tmp_path / "deep" / "weights.pt"
    training = train(CELL, digits(), recipe, 5, 3, precision=precision, weights=path)
    network = Network.load(path)
    assert not network.training
    for name in SPLITS:
        assert correct(network, getattr(digits(), name)) == getattr(training.final, name).correct
    without = train(CELL, digits(), recipe, 5, 3, precision=precision).final
    assert (without.train, without.test) == (training.final.train, training.final.test)


def test_logits_are_those_of_the_trained_network(tmp_path: Path) -> None:
    _, network = train_network(CELL, digits(), SHORT, 4, 0)
    network.save(tmp_path / "a.pt")
    loaded = Network.load(tmp_path / "a.pt")
    batch = stored(digits().test)
    with torch.inference_mode():
        assert torch.equal(network(batch), loaded(batch))
        expected = loaded.network((batch - loaded.mean[:, None, None]) / loaded.std[:, None, None])
        torch.testing.assert_close(loaded(batch), expected)
        for other in (batch.float(), batch.double(), batch.half(), batch.contiguous()):
            assert torch.equal(loaded(other), loaded(batch))


def test_it_says_what_it_is() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 255, (40, 6, 9, 3), dtype=np.uint8)
    images = dataclasses.replace(
        from_arrays("mine", {"x": x, "y": np.arange(40) % 2}), class_names=("cat", "dog")
    )
    _, network = train_network(
        CELL, images, dataclasses.replace(SHORT, batch_size=8, bn_batch_size=8), 2, 5
    )
    assert network.image_shape == (3, 6, 9) and network.classes == 2
    assert network.class_names == ("cat", "dog")
    assert network.conditions["images_digest"] == images.digest
    assert (network.conditions["epochs"], network.conditions["seed"]) == (2, 5)
    np.testing.assert_allclose(network.mean, images.mean, rtol=1e-6)


def test_every_field_comes_back(kept: tuple[Training, Path], tmp_path: Path) -> None:
    network = Network.load(kept[1])
    network.class_names = tuple("abcdefghij")
    network.save(tmp_path / "again.pt")
    again = TrainedNetwork.load(tmp_path / "again.pt")
    assert same(network, again)
    for name in ("architecture", "skeleton", "image_shape", "class_names", "conditions", "classes"):
        assert getattr(again, name) == getattr(network, name)
    assert again.conditions["images"] == "digits" and again.skeleton == TINY


def test_a_training_that_was_killed_leaves_the_same_weights(tmp_path: Path) -> None:
    train(CELL, digits(), LARGE, 4, 2, weights=tmp_path / "undisturbed.pt")

    def kill(done: int, total: int) -> None:
        if done == total * 3 // 4:
            raise KeyboardInterrupt

    how: dict[str, Any] = {"checkpoint": tmp_path / "state.pt", "weights": tmp_path / "resumed.pt"}
    with pytest.raises(KeyboardInterrupt):
        train(CELL, digits(), LARGE, 4, 2, **how, checkpoint_every_seconds=0, progress=kill)
    assert not (tmp_path / "resumed.pt").exists()
    undisturbed = Network.load(tmp_path / "undisturbed.pt")
    for _ in range(2):  # from the middle; then from the end
        train(CELL, digits(), LARGE, 4, 2, **how)
        assert same(Network.load(tmp_path / "resumed.pt"), undisturbed)
        (tmp_path / "resumed.pt").unlink()


def test_images_of_another_shape_are_named(kept: tuple[Training, Path]) -> None:
    network = Network.load(kept[1])
    for shape in ((2, 8, 8, 1), (1, 8, 8), (2, 3, 8, 8)):
        with pytest.raises(InvalidSetting, match=r"give \[n, 1, height, width\], channels first"):
            network(torch.zeros(shape))


def test_it_exports_to_onnx(kept: tuple[Training, Path], tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    network = Network.load(kept[1])
    example = torch.zeros(2, *network.image_shape, dtype=torch.uint8)
    shapes = ({0: torch.export.Dim("batch")},)
    with warnings.catch_warnings(action="ignore"):  # torch's exporter uses what torch deprecates
        torch.onnx.export(
            network, (example,), tmp_path / "a.onnx", dynamic_shapes=shapes, verbose=False
        )
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    batch = stored(digits().test)
    (logits,) = session.run(None, {session.get_inputs()[0].name: batch.numpy()})
    assert int((logits.argmax(1) == digits().test.labels).sum()) == kept[0].final.test.correct
    np.testing.assert_allclose(logits, network(batch).detach(), rtol=1e-3, atol=1e-4)


# --- files --------------------------------------------------------------------------------------


def test_the_file_holds_tensors_and_text_only(kept: tuple[Training, Path]) -> None:
    content = torch.load(kept[1], weights_only=True)
    assert content.keys() == {"about", "weights"}
    assert json.loads(content["about"])["architecture"] == CELL.to_text()
    plain = Network(CELL, TINY, 1, 10)
    weights = content["weights"]
    plain.load_state_dict({k: v for k, v in weights.items() if k not in ("mean", "std")})


def about_changed(content: dict[str, Any], **changes: Any) -> None:
    content["about"] = json.dumps(json.loads(content["about"]) | changes)


def thin(content: dict[str, Any]) -> None:
    """Ten billion classes, in a tensor of one number with strides of 0."""
    about_changed(content, classes=10**10)
    content["weights"]["classifier.weight"] = torch.zeros(1, 1).expand(10**10, 8)


@pytest.mark.parametrize(
    "spoil",
    [
        thin,
        lambda content: about_changed(content, version=2),
        lambda content: about_changed(content, architecture="01/00:"),
        lambda content: about_changed(content, architecture="no cell"),
        lambda content: about_changed(content, architecture="011/001/000:unknown"),
        lambda content: about_changed(content, architecture=None),
        lambda content: about_changed(content, classes=11),
        lambda content: about_changed(content, classes="10"),
        lambda content: about_changed(content, class_names=["a"]),
        lambda content: about_changed(content, image_shape=[1, 8]),
        lambda content: about_changed(content, image_shape=[3, 8, 8]),
        lambda content: about_changed(content, precision="float8"),
        lambda content: about_changed(content, skeleton={"stem_channels": 4}),
        lambda content: about_changed(
            content, skeleton={"stem_channels": 10**9, "stacks": 2, "cells_per_stack": 1}
        ),
        lambda content: about_changed(
            content, skeleton={"stem_channels": 4, "stacks": 2, "cells_per_stack": 10**9}
        ),
        lambda content: about_changed(content, conditions=3),
        lambda content: content.update(about="[" * 100_000),
        lambda content: content.update(about=b"{}"),
        lambda content: content.pop("about"),
        lambda content: content.update(weights=[]),
        lambda content: content.update(weights={}),
        lambda content: content["weights"].pop("mean"),
        lambda content: content["weights"].update(mean=torch.tensor([torch.nan])),
        lambda content: content["weights"].update(std=torch.tensor([0.0])),
        lambda content: content["weights"].update(std=torch.tensor([1.0, 1.0])),
        lambda content: content["weights"].update(more=torch.zeros(1)),
        lambda content: content["weights"].update(mean="text"),
        lambda content: content["weights"].pop("classifier.bias"),
        lambda content: content["weights"].update({"layers.x.y": torch.zeros(1)}),
    ],
)
def test_files_that_are_none_are_named(
    kept: tuple[Training, Path], tmp_path: Path, spoil: Callable[[dict[str, Any]], object]
) -> None:
    content = torch.load(kept[1], weights_only=True)
    spoil(content)
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(CorruptFile, match=r"a\.pt holds no weights of a network \(.*--weights"):
        Network.load(tmp_path / "a.pt")


class Hostile:
    """Unpickled, it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    for write in (
        lambda: torch.save({"about": Hostile(tmp_path / "ran"), "weights": {}}, path),
        lambda: torch.save(Network(CELL, TINY, 1, 10), path),
        lambda: path.write_bytes(pickle.dumps(Hostile(tmp_path / "ran"))),
    ):
        write()
        with pytest.raises(CorruptFile):
            Network.load(path)
        assert not (tmp_path / "ran").exists()


def test_foreign_files_are_named(kept: tuple[Training, Path], tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    for content in (b"", b"hello", b"PK\3\4", kept[1].read_bytes()[:-100]):
        path.write_bytes(content)
        with pytest.raises(CorruptFile, match="holds no weights"):
            Network.load(path)
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    train(CELL, digits(), SHORT, 2, 0, checkpoint=tmp_path / "state.pt")
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    with zipfile.ZipFile(kept[1]) as read, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in read.namelist():
            new.writestr(name, read.read(name))
    for name in ("a.npz", "state.pt", "tensor.pt", "a.pt"):
        with pytest.raises(CorruptFile, match="holds no weights"):
            Network.load(tmp_path / name)
    for name in ("nowhere.pt", "."):
        with pytest.raises(UnknownName, match="there is no file of weights"):
            Network.load(tmp_path / name)
    with pytest.raises(InvalidSetting, match="is empty"):
        Network.load("")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), byte=st.integers(1, 255))
def test_any_changed_byte_is_noticed_or_without_effect(
    kept: tuple[Training, Path], tmp_path: Path, place: float, byte: int
) -> None:
    content = bytearray(kept[1].read_bytes())
    content[int(place * len(content))] ^= byte
    (tmp_path / "a.pt").write_bytes(content)
    try:
        loaded = Network.load(tmp_path / "a.pt")
    except CorruptFile:
        return
    assert same(loaded, Network.load(kept[1]))


def test_a_tensor_that_claims_to_be_a_folder_is_noticed(
    kept: tuple[Training, Path], tmp_path: Path
) -> None:
    """PyTorch reads zeros then, and the checksum is right."""
    content = bytearray(kept[1].read_bytes())
    entry = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 4)
    content[entry + 38] ^= 16  # the directory bit of DOS, in its external attributes
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(CorruptFile, match="it holds a folder"):
        Network.load(tmp_path / "a.pt")


def test_a_target_that_cannot_be_written_is_named_before_the_training(tmp_path: Path) -> None:
    def never(done: int, total: int) -> None:
        raise AssertionError

    (tmp_path / "file").write_text("notes")
    for path, kind, says in (
        (tmp_path, NotWritable, "cannot write"),
        (tmp_path / "file" / "a.pt", NotWritable, "cannot write"),
        (tmp_path / "file", InvalidSetting, "holds something else than weights; choose another"),
    ):
        with pytest.raises(kind, match=says):
            train(CELL, digits(), SHORT, 2, 0, weights=path, progress=never)
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "notes"
