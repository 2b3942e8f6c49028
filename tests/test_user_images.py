"""nasbench_kit.data.images.user_images, .image_folder and .image_sets: a worked example, splits, bad input."""

import dataclasses
import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from nasbench_kit import Cell
from nasbench_kit.data.images import image_folder as folders
from nasbench_kit.data.images.cifar10 import cifar10
from nasbench_kit.data.images.digits import digits
from nasbench_kit.data.images.image_folder import image_folder
from nasbench_kit.data.images.image_sets import open_images
from nasbench_kit.data.images.user_images import from_arrays, npz_file
from nasbench_kit.errors import CorruptFile, InvalidSetting, UnknownName
from nasbench_kit.spaces.skeleton import Skeleton
from nasbench_kit.training.images import SPLITS, ImageSet
from nasbench_kit.training.recipe import DIGITS
from nasbench_kit.training.trainer import train

torch.set_num_threads(1)  # these networks are too small to share
CLASSES = ("horizontal", "vertical")


def stripes(count: int, channels: int = 3, size: int = 8) -> dict[str, NDArray[Any]]:
    """Noisy pictures of horizontal and of vertical stripes; all of the first class come first."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], count // 2)
    x = rng.integers(0, 100, (count, size, size, channels), dtype=np.uint8)
    x[: count // 2, ::2] += 100
    x[count // 2 :, :, ::2] += 100
    return {"x": x, "y": y}


def save_files(folder: Path, x: NDArray[np.uint8], y: NDArray[Any]) -> Path:
    """The same pictures as files, one folder a class; PNG keeps every pixel."""
    for place, (pixels, label) in enumerate(zip(x, y, strict=True)):
        of_class = folder / CLASSES[label]
        of_class.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.squeeze()).save(of_class / f"{place:04}.png")
    return folder


def same_images(one: ImageSet, other: ImageSet) -> bool:
    return dataclasses.replace(one, name="").digest == dataclasses.replace(other, name="").digest


def multiset(images: ImageSet, *splits: str) -> list[tuple[int, bytes]]:
    found = [getattr(images, split) for split in splits]
    return sorted(
        (int(y), x.tobytes()) for s in found for x, y in zip(s.images, s.labels, strict=True)
    )


# --- the worked example -------------------------------------------------------------------------


def test_a_folder_of_your_own_is_trained_on(tmp_path: Path) -> None:
    save_files(tmp_path / "stripes", **stripes(100))
    images = open_images(tmp_path / "stripes")
    tiny = dataclasses.replace(DIGITS, skeleton=Skeleton(4, 1, 1), batch_size=20, bn_batch_size=20)
    training = train(Cell.named("resnet"), images, tiny, epochs=4, seed=0)
    assert training.final.test.images == 20
    # By chance 18 or more of 20 are right with a probability of 0.0002.
    assert training.final.test.correct >= 18


@pytest.mark.parametrize("channels", [1, 3])
def test_arrays_npz_and_files_are_the_same_set(tmp_path: Path, channels: int) -> None:
    arrays = stripes(60, channels)
    one = from_arrays("mine", arrays)
    np.savez_compressed(tmp_path / "mine.npz", x=arrays["x"], y=arrays["y"])
    assert npz_file(tmp_path / "mine.npz").digest == one.digest
    assert open_images(tmp_path / "mine.npz").digest == one.digest
    assert image_folder(save_files(tmp_path / "mine", **arrays)).digest == one.digest
    assert one.channels == channels


# --- splits -------------------------------------------------------------------------------------


def test_each_missing_split_gets_a_fifth_of_every_class() -> None:
    whole = stripes(60)
    parts = {f"{key}_{split}": whole[key][i::3] for i, split in enumerate(SPLITS) for key in "xy"}
    for missing, sizes in (
        ((), (20, 20, 20)),
        (("validation",), (16, 4, 20)),
        (("test",), (16, 20, 4)),
        (("validation", "test"), (12, 4, 4)),
    ):
        given = {k: v for k, v in parts.items() if not k.endswith(tuple(missing) or "none")}
        images = from_arrays("mine", given)
        assert tuple(len(getattr(images, split)) for split in SPLITS) == sizes
        for split, size in zip(SPLITS, sizes, strict=True):
            assert np.bincount(getattr(images, split).labels).tolist() == [size // 2] * 2
        everything = [k.removeprefix("x_") for k in given if k.startswith("x")]
        expected = sorted(
            (int(y), x.tobytes())
            for split in everything
            for x, y in zip(given[f"x_{split}"], given[f"y_{split}"], strict=True)
        )
        assert multiset(images, *SPLITS) == expected
        assert images.evaluated == sizes


def test_classes_are_dealt_fairly_and_mixed() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(4), [5, 17, 50, 101])
    images = from_arrays("mine", {"x": rng.random((len(y), 2, 2)), "y": y})
    validation, test = (np.bincount(s.labels) for s in (images.validation, images.test))
    assert validation.tolist() == [1, 3, 10, 20]  # of 5 heaps dealt in turn, the fourth
    assert test.tolist() == [1, 3, 10, 20]
    # Runs of one class in random order are short: 20 in a row have a chance of 0.6 ** 20 each.
    borders = np.flatnonzero(np.diff(images.train.labels))
    assert np.diff(borders).max() < 20


def test_the_deal_is_the_same_for_ever() -> None:
    """What PCG64(101) deals; another deal would change every result on a set without splits."""
    y = np.repeat([0, 1], 10)
    x = np.arange(20, dtype=np.uint8).reshape(20, 1, 1)
    images = from_arrays("mine", {"x": x, "y": y})
    order = sorted(range(20), key=lambda i: int(np.random.PCG64(101).random_raw(20)[i]))
    heaps: dict[int, list[int]] = {heap: [] for heap in range(5)}
    for label in (0, 1):
        for turn, i in enumerate(i for i in order if y[i] == label):
            heaps[turn % 5].append(i)
    assert images.validation.images.ravel().tolist() == sorted(heaps[3])
    assert images.test.images.ravel().tolist() == sorted(heaps[4])
    kept = heaps[0] + heaps[1] + heaps[2]
    assert images.train.images.ravel().tolist() == [i for i in order if i in kept]


def test_folders_give_splits_by_their_names(tmp_path: Path) -> None:
    whole = stripes(60)
    for i, split in enumerate(("train", "val", "test")):
        save_files(tmp_path / split, whole["x"][i::3], whole["y"][i::3])
    parts = {f"{key}_{split}": whole[key][i::3] for i, split in enumerate(SPLITS) for key in "xy"}
    assert same_images(image_folder(tmp_path), from_arrays("mine", parts))
    (tmp_path / "val").rename(tmp_path / "validation")
    assert same_images(image_folder(tmp_path), from_arrays("mine", parts))
    for hidden in (".DS_Store", "test/Thumbs.db", f"test/{CLASSES[0]}/desktop.ini"):
        (tmp_path / hidden).write_text("hidden")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    assert same_images(image_folder(tmp_path), from_arrays("mine", parts))


@pytest.mark.parametrize(
    "name", ["validation", "valid", "val", "dev", "VALID", "Dev", "Validation"]
)
def test_a_split_goes_by_several_names_in_any_case(tmp_path: Path, name: str) -> None:
    whole = stripes(60)
    for i, folder in enumerate(("Training", name, "TESTING")):
        save_files(tmp_path / folder, whole["x"][i::3], whole["y"][i::3])
    parts = {f"{key}_{split}": whole[key][i::3] for i, split in enumerate(SPLITS) for key in "xy"}
    images = image_folder(tmp_path)
    assert same_images(images, from_arrays("mine", parts))
    assert images.dealt == () and images.class_names == CLASSES
    assert images.sizes == "20 train, 20 validation, 20 test images"


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ("x_{}", "y_{}"),
        ("X_{}", "Y_{}"),
        ("{}_images", "{}_labels"),
        ("images_{}", "Labels_{}"),
        ("{}_x", "y_{}"),
    ],
)
@pytest.mark.parametrize("name", ["validation", "valid", "val", "dev", "VAL"])
def test_arrays_go_by_several_names_in_any_case(x: str, y: str, name: str) -> None:
    whole = stripes(60)
    one, other = {}, {}
    for i, (split, called) in enumerate(zip(SPLITS, ("train", name, "testing"), strict=True)):
        for key, pattern in (("x", x), ("y", y)):
            one[f"{key}_{split}"] = other[pattern.format(called)] = whole[key][i::3]
    assert same_images(from_arrays("mine", one), from_arrays("mine", other))


def test_a_set_says_which_splits_were_dealt(tmp_path: Path) -> None:
    whole = stripes(60)
    images = from_arrays("mine", whole)
    assert images.dealt == ("validation", "test") and images.class_names == ()
    assert images.sizes == (
        "36 train, 12 validation, 12 test images (validation and test dealt from the training images)"
    )
    save_files(tmp_path / "train", **whole)
    save_files(tmp_path / "dev", **whole)
    assert image_folder(tmp_path).dealt == ("test",)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    save_files(tmp_path, **stripes(20))
    (tmp_path / CLASSES[0]).rename(tmp_path / "train")
    assert len(image_folder(tmp_path).train) == 12


# --- pixels -------------------------------------------------------------------------------------


def test_mean_and_deviation_are_those_of_the_training_images() -> None:
    arrays = stripes(3000, size=4)  # more than are added up at a time
    images = from_arrays("mine", arrays)
    pixels = images.train.images.reshape(-1, 3).astype(np.float64)
    assert images.mean == pytest.approx(pixels.mean(0), rel=1e-4)
    assert images.std == pytest.approx(pixels.std(0), rel=1e-4)


def test_other_types_of_numbers_are_taken() -> None:
    arrays = stripes(20)
    floats = from_arrays("mine", {**arrays, "x": arrays["x"] / 255})
    assert floats.train.images.dtype == np.float32
    column = from_arrays("mine", {**arrays, "y": arrays["y"].astype(np.uint8)[:, None]})
    assert column.digest == from_arrays("mine", arrays).digest


def test_files_are_grey_only_if_all_are(tmp_path: Path) -> None:
    save_files(tmp_path, **stripes(20, channels=1))
    assert image_folder(tmp_path).channels == 1
    Image.new("RGB", (8, 8), (10, 20, 30)).save(tmp_path / CLASSES[0] / "0000.png")
    images = image_folder(tmp_path)
    assert images.channels == 3
    grey = [image.std(-1).max() == 0 for split in SPLITS for image in getattr(images, split).images]
    assert sorted(grey) == [False] + [True] * 19


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGBA", "CMYK"])
def test_other_modes_are_converted(tmp_path: Path, mode: str) -> None:
    save_files(tmp_path, **stripes(20))
    path = tmp_path / CLASSES[0] / "0000.png"
    path.unlink()
    ending = "jpg" if mode == "CMYK" else "png"
    Image.new("RGB", (8, 8), (255, 255, 255)).convert(mode).save(path.with_suffix(f".{ending}"))
    images = image_folder(tmp_path)
    assert sum(image.min() == 255 for s in SPLITS for image in getattr(images, s).images) == 1


def test_resize_makes_files_of_one_size(tmp_path: Path) -> None:
    save_files(tmp_path, **stripes(20))
    Image.new("RGB", (30, 20), (7, 7, 7)).save(tmp_path / CLASSES[1] / "9.png")
    with pytest.raises(
        InvalidSetting, match=r"/9\.png has 30x20 pixels, .*\.png 8x8; .* set resize"
    ):
        image_folder(tmp_path)
    images = open_images(tmp_path, resize=4)
    assert images.train.images.shape[1:] == (4, 4, 3)
    assert sum((image == 7).all() for s in SPLITS for image in getattr(images, s).images) == 1


# --- bad arrays ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"x": None, "y": None}, r"mine has the arrays \(none\); x_train and y_train are needed"),
        ({"y": None}, "mine has x and no labels for it; give both or neither"),
        ({"x_test": np.zeros((2, 8, 8, 3))}, "mine has x_test and no labels for it"),
        ({"valid_labels": np.zeros(2)}, "mine has valid_labels and no images for it"),
        ({"x_train": stripes(2)["x"]}, "x and x_train are both images of the train split"),
        (
            {"x_val": stripes(2)["x"], "y_val": np.arange(2), "Valid_Y": np.arange(2)},
            "y_val and Valid_Y are both labels of the validation split",
        ),
        ({"z": np.zeros(3)}, "no use for the array 'z'; leave it out, or call it x or y"),
        ({"x_extra": stripes(2)["x"], "y_extra": np.arange(2)}, "no use for the array 'x_extra'"),
        ({"x_test_a": stripes(2)["x"]}, "no use for the array 'x_test_a'"),
        ({"": np.zeros(3)}, "no use for the array ''"),
        ({"weights": np.zeros(20)}, "no use for the array 'weights'"),
        ({"x": np.zeros((20, 3, 8, 8), np.uint8)}, r"channels first; numpy\.moveaxis"),
        ({"x": np.zeros((20, 8), np.uint8)}, r"mine: x is uint8 \[20, 8\]; give images as uint8"),
        ({"x": np.zeros((20, 8, 8), np.int64)}, r"x is int64 \[20, 8, 8, 1\]"),
        ({"x": np.zeros((0, 8, 8), np.uint8)}, "n at least 1"),
        ({"x": np.full((20, 8, 8), 1e300)}, "NaN or infinite"),
        ({"x": np.zeros((20, 8, 8))}, "channel 0 is the same in every training image"),
        ({"y": np.zeros(20)}, r"y is float64 \[20\]; give labels as integers"),
        ({"y": np.zeros((20, 2), int)}, r"y is int64 \[20, 2\]"),
        ({"y": np.repeat([0, 1], 9)}, "x has 20 images, y has 18 labels"),
        ({"y": np.repeat([1, 2], 10)}, "2 different labels, from 1 to 2; number the classes 0, 1"),
        ({"y": np.repeat([0, -1], 10)}, "from -1 to 0"),
        ({"y": np.repeat([0, 10**15], 10)}, "without gaps"),
        ({"y": np.zeros(20, int)}, "classes is 1"),
        ({"y": np.repeat([0, 1], [16, 4])}, "class 1 has 4 training images; .* it must have 5"),
        (
            {"x_test": stripes(2)["x"], "y_test": np.array([0, 2])},
            r"test split: labels run from 0 to 2; with 2 classes they must lie in 0\.\.1",
        ),
        ({"x_test": stripes(2, size=6)["x"], "y_test": np.array([0, 1])}, r"uint8 \[6, 6, 3\]"),
    ],
)
def test_bad_arrays_are_named(changes: dict[str, Any], says: str) -> None:
    arrays = {key: array for key, array in (stripes(20) | changes).items() if array is not None}
    with pytest.raises(InvalidSetting, match=says):
        from_arrays("mine", arrays)


def object_array() -> bytes:
    file = io.BytesIO()
    np.savez(file, x=np.array([{"a": "pickle"}], dtype=object))
    return file.getvalue()


def lying_header() -> bytes:
    """An array said to take 3 exabytes."""
    array = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": (3 * 10**18,)}
    np.lib.format.write_array_header_1_0(array, header)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.npy", array.getvalue())
    return file.getvalue()


def twice() -> bytes:
    """An archive with two arrays of one name; numpy would read the last."""
    array = io.BytesIO()
    np.save(array, np.zeros((20, 8, 8), np.uint8))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.npy", array.getvalue())
        archive.writestr("x", array.getvalue())
    return file.getvalue()


def one_array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


@pytest.mark.parametrize(
    "make",
    [
        object_array,
        lying_header,
        one_array,
        twice,
        lambda: b"",
        lambda: b"hello",
        lambda: b"PK\3\4",
    ],
)
def test_bad_npz_files_are_named(tmp_path: Path, make: Callable[[], bytes]) -> None:
    (tmp_path / "mine.npz").write_bytes(make())
    with pytest.raises(CorruptFile, match=r"mine\.npz cannot be read as \.npz .* numpy\.savez"):
        open_images(tmp_path / "mine.npz")


# --- bad folders --------------------------------------------------------------------------------


def damage_png(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:60])


def sixteen_bits(file: Path) -> None:
    Image.fromarray(np.full((8, 8), 1000, np.uint16)).save(file)


def animate(file: Path) -> None:
    frames = [Image.new("RGB", (8, 8), (value, 0, 0)) for value in (0, 200)]
    frames[0].save(file.with_suffix(".gif"), save_all=True, append_images=frames[1:])


def subfolder(file: Path) -> None:
    (file.parent / "more").mkdir()


@pytest.mark.parametrize(
    ("spoil", "kind", "says"),
    [
        (damage_png, CorruptFile, r"0003\.png cannot be read as an image .* replace it"),
        (lambda file: file.write_text("notes"), CorruptFile, r"0003\.png cannot be read as an"),
        (sixteen_bits, InvalidSetting, r"0003\.png has pixels of type 'I;16'; store 8 bits"),
        (subfolder, InvalidSetting, "more is a folder within the class horizontal"),
        (lambda file: (file.parents[1] / "new").mkdir(), InvalidSetting, "new is empty; put"),
        (animate, InvalidSetting, r"0003\.gif has 2 frames; store each image in a file"),
        (lambda file: (file.parent / "gone").symlink_to("nowhere"), CorruptFile, "gone cannot be"),
        (
            lambda file: (file.parent / "loop").symlink_to(file.parents[1]),
            InvalidSetting,
            "loop is a",
        ),
        (
            lambda file: (file.parents[1] / "README.md").touch(),
            InvalidSetting,
            "README.md is no fo",
        ),
        (lambda file: (file.parents[1] / "valid").touch(), InvalidSetting, "valid is no folder"),
        (lambda file: (file.parents[1] / "__MACOSX").mkdir(), InvalidSetting, "__MACOSX is empty"),
        (
            lambda file: save_files(file.parents[1] / "dev", **stripes(2)),
            InvalidSetting,
            "beside the",
        ),
    ],
)
def test_bad_files_are_named(
    tmp_path: Path, spoil: Callable[[Path], object], kind: type[Exception], says: str
) -> None:
    spoil(save_files(tmp_path, **stripes(20)) / CLASSES[0] / "0003.png")
    with pytest.raises(kind, match=says):
        image_folder(tmp_path)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda root: save_files(root / "val", **stripes(2)), "val and .*valid are both the valid"),
        (
            lambda root: save_files(root / "Train", **stripes(2)),
            "Train and .*train are both the tr",
        ),
        (lambda root: save_files(root / "extra", **stripes(2)), "extra lies beside the folders of"),
        (
            lambda root: (root / "unlabelled").mkdir(),
            "unlabelled lies beside the folders of the spl",
        ),
        (lambda root: (root / "labels.csv").touch(), r"labels\.csv lies beside the folders of the"),
        (lambda root: (root / "test").touch(), "test lies beside the folders of the splits"),
        (lambda root: (root / "test").mkdir(), "test has no folders; give one a class"),
        (lambda root: (root / "valid" / "1.png").touch(), r"valid/1\.png is no folder; valid may"),
        (lambda root: (root / "valid" / "other").mkdir(), "valid/other is empty"),
        (lambda root: (root / "train").rename(root / "test"), "has test, valid and no train; add"),
    ],
)
def test_nothing_beside_the_splits_is_passed_over(
    tmp_path: Path, spoil: Callable[[Path], object], says: str
) -> None:
    for split in ("train", "valid"):
        save_files(tmp_path / split, **stripes(20))
    assert len(image_folder(tmp_path).validation) == 20
    spoil(tmp_path)
    with pytest.raises(InvalidSetting, match=says):
        image_folder(tmp_path)


def test_splits_without_class_folders_are_no_classes(tmp_path: Path) -> None:
    for split in ("train", "test"):
        save_files(tmp_path, **stripes(20))
        (tmp_path / CLASSES[0]).rename(tmp_path / split)
    with pytest.raises(InvalidSetting, match=f"{CLASSES[1]} lies beside the folders of the splits"):
        image_folder(tmp_path)
    (tmp_path / CLASSES[1]).rename(tmp_path / "valid")
    with pytest.raises(InvalidSetting, match=r"train/0000\.png is no folder"):
        image_folder(tmp_path)


def test_splits_must_have_the_same_classes(tmp_path: Path) -> None:
    for split in ("train", "test"):
        save_files(tmp_path / split, **stripes(20))
    (tmp_path / "test" / CLASSES[0]).rename(tmp_path / "test" / "diagonal")
    with pytest.raises(InvalidSetting, match=r"not all splits have .* diagonal, horizontal; make"):
        image_folder(tmp_path)


def test_other_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=r"has no folders; give one a class, .*/CLASS/\*"):
        image_folder(tmp_path)
    with pytest.raises(UnknownName, match="there is no folder"):
        image_folder(tmp_path / "nowhere")
    with pytest.raises(InvalidSetting, match="resize is 0; it must be at least 1"):
        image_folder(tmp_path, resize=0)


def test_images_beyond_all_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_files(tmp_path, **stripes(20))
    vast = np.broadcast_to(np.uint8(0), (2**22, 2**22, 3))
    monkeypatch.setattr(folders, "_picture", lambda path, resize: (vast, False))
    with pytest.raises(InvalidSetting, match="20 images of 4194304x4194304 pixels take 1055531 GB"):
        image_folder(tmp_path)


# --- by name ------------------------------------------------------------------------------------


def test_names_and_paths_that_are_none(tmp_path: Path) -> None:
    assert open_images("digits") is digits()
    with pytest.raises(UnknownName, match=r"called 'digit', .* did you mean 'digits'\?"):
        open_images("digit")
    with pytest.raises(UnknownName, match="known names: digits, noisy-digits, cifar10"):
        open_images(tmp_path / "nowhere")
    with pytest.raises(UnknownName, match="there is no file"):
        open_images(tmp_path / "nowhere.npz")
    with pytest.raises(UnknownName, match=r"known names"):
        open_images(__file__)
    with pytest.raises(InvalidSetting, match="resize is 8, but digits is no folder of image files"):
        open_images("digits", resize=8)


@pytest.mark.parametrize("read", [open_images, image_folder, npz_file, cifar10])
def test_paths_that_can_be_none_are_named(read: Callable[[str], ImageSet]) -> None:
    with pytest.raises(InvalidSetting, match=r"the path of the .* is empty; name a file or folder"):
        read("")
    with pytest.raises(UnknownName, match=r"can be at '~nobody-of-this-name/x' .* check the path"):
        read("~nobody-of-this-name/x")
    with pytest.raises(UnknownName, match=r"can be at 'x+…' \(File name too long\)"):
        read("x" * 5000)
    with pytest.raises(UnknownName, match=r"null"):
        read("x\0y")


def test_cifar10_and_images_in_one_folder_are_told_apart(tmp_path: Path) -> None:
    save_files(tmp_path / "train", **stripes(20))
    (tmp_path / "cifar-10-batches-bin").mkdir()
    (tmp_path / "cifar-10-batches-bin" / "test_batch.bin").touch()
    with pytest.raises(InvalidSetting, match=r"holds CIFAR-10 .* and also train; name the folder"):
        open_images(tmp_path)


def test_reading_images_needs_no_torch() -> None:
    code = (
        "import sys, nasbench_kit.data.images.image_sets; "
        "sys.exit(bool({'torch', 'sklearn', 'PIL'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_masked_arrays_are_refused() -> None:
    x, y = np.arange(160, dtype=np.uint8).reshape(10, 4, 4), np.arange(10) % 2
    for arrays in ((np.ma.masked_array(x), y), (x, np.ma.masked_array(y))):
        with pytest.raises(InvalidSetting, match="is a masked array"):
            from_arrays("masked", dict(zip("xy", arrays, strict=True)))


def test_a_pipe_is_no_image_and_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    os.mkfifo(tmp_path / "one" / "1.png")
    with pytest.raises(InvalidSetting, match=r"1\.png is a device or a pipe"):
        image_folder(tmp_path)


def test_names_in_other_encodings_are_printed_as_escapes(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)
    for name in (b"", b"/\xe9.png"):
        if name:
            Path(os.fsdecode(folder + name)).write_bytes(b"no image")
        with pytest.raises((InvalidSetting, CorruptFile)) as caught:
            image_folder(tmp_path)
        assert "caf\\udce9" in str(caught.value)
        str(caught.value).encode()
