import dataclasses
import functools
import math
import random
from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn
from torch.nn import functional

from nasbench_kit.data.images.digits import digits
from nasbench_kit.errors import InvalidSetting, TrainingFailed
from nasbench_kit.spaces.nasbench101.cell import Cell
from nasbench_kit.spaces.nasbench101.network import Network, Skeleton
from nasbench_kit.spaces.skeleton import Precision
from nasbench_kit.training import evaluation, loaded, trainer
from nasbench_kit.training.cuda_graph import recorded
from nasbench_kit.training.images import SPLITS, ImageSet, Split
from nasbench_kit.training.loaded import PADDING, Shuffled, load
from nasbench_kit.training.trainer import DIGITS, NASBENCH101, Recipe, Training, train

torch.set_num_threads(1)  # these networks are too small to share

CPU = torch.device("cpu")
CELL = Cell.named("resnet")
TINY = Skeleton(stem_channels=4, stacks=2, cells_per_stack=1)
#: The recipe of NAS-Bench-101 on few images: two shards a batch, augmented, TensorFlow's RMSProp.
SHARDED = dataclasses.replace(NASBENCH101, skeleton=TINY, batch_size=16, bn_batch_size=8)


def noise(n: int = 40, side: int = 6, channels: int = 3, kind: Any = np.uint8) -> ImageSet:
    """Images without a pattern; each one differs from all others."""
    rng = np.random.default_rng(0)

    def split(size: int) -> Split:
        pixels = rng.integers(1, 256, (size, side, side, channels)).astype(kind)
        return Split(pixels, rng.integers(0, 3, size))

    return ImageSet(
        name="noise",
        train=split(n),
        validation=split(20),
        test=split(10),
        classes=3,
        mean=(100.0, 120.0, 140.0)[:channels],
        std=(60.0, 70.0, 80.0)[:channels],
        evaluated=(12, 16, 10),
    )


NOISE = noise()


def without_seconds(training: Training) -> list[Any]:
    points = (training.start, training.halfway, training.final)
    return [training.failed, *([getattr(point, name) for name in SPLITS] for point in points)]


# The recipes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("epochs", "steps", "half"),
    [(4, 625, 312), (12, 1_875, 937), (36, 5_625, 2_812), (108, 16_875, 8_437)],
)
def test_steps_of_nasbench101(epochs: int, steps: int, half: int) -> None:
    assert NASBENCH101.steps(epochs, 40_000) == steps
    assert steps // 2 == half


def test_the_learning_rate_is_a_cosine_by_step() -> None:
    rate = NASBENCH101.learning_rate_at
    assert rate(0, 600) == 0  # the idle step
    assert rate(1, 600) == pytest.approx(0.1 * (1 + math.cos(math.pi / 600)))
    assert rate(100, 600) == pytest.approx(0.1 * (1 + math.sqrt(3) / 2))
    assert rate(200, 600) == pytest.approx(0.15)
    assert rate(300, 600) == pytest.approx(0.1)
    assert rate(400, 600) == pytest.approx(0.05)
    assert 0 < rate(599, 600) < 1e-5
    assert DIGITS.learning_rate_at(0, 20) == 0.1
    assert DIGITS.learning_rate_at(10, 20) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"optimizer": "lion"}, "optimizer 'lion' is unknown"),
        ({"bn_batch_size": 100}, "bn_batch_size is 100"),
        ({"bn_batch_size": 1}, "2 or more"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidSetting, match=says):
        dataclasses.replace(NASBENCH101, **changes)


# Batches ----------------------------------------------------------------------------------------


@settings(deadline=None)
@given(images=st.integers(1, 50), batch=st.integers(1, 60), seed=st.integers(0, 100))
def test_epochs_are_permutations_and_blend_within_batches(
    images: int, batch: int, seed: int
) -> None:
    batches = list(islice(Shuffled(np.random.default_rng(seed), images, batch), 12))
    assert {len(picked) for picked in batches} == {batch}
    stream = np.concatenate(batches)
    for first in range(0, len(stream) - images + 1, images):
        assert sorted(stream[first : first + images]) == list(range(images))


def test_images_are_padded_before_they_are_normalised() -> None:
    data = load(NOISE, CPU, augment=True)
    picked = np.arange(40).repeat(20)
    batch, labels = data.batch(picked, np.random.default_rng(3))
    assert torch.equal(labels, torch.from_numpy(NOISE.train.labels[picked]))
    stored = batch.permute(0, 2, 3, 1).numpy() * NOISE.std + NOISE.mean  # [800, 6, 6, 3]
    padded = np.pad(NOISE.train.images, ((0, 0), (PADDING, PADDING), (PADDING, PADDING), (0, 0)))
    crops = {}
    for image in range(40):
        for top in range(2 * PADDING + 1):
            for left in range(2 * PADDING + 1):
                crop = padded[image, top : top + 6, left : left + 6]
                crops[crop.tobytes()] = (image, top, left, False)
                crops[crop[:, ::-1].tobytes()] = (image, top, left, True)
    found = [crops[image.round().astype(np.uint8).tobytes()] for image in stored]
    assert [image for image, *_ in found] == picked.tolist()
    # Every corner and flip has its share: 800 draws, the chance to miss one of 9 rows is e^-94.
    assert {top for _, top, _, _ in found} == set(range(9))
    assert {left for _, _, left, _ in found} == set(range(9))
    assert 300 < sum(flipped for *_, flipped in found) < 500  # 400 ± 7 standard deviations
    # A border pixel is the stored 0, which is not the network's 0.
    corner = next(
        i for i, (_, top, left, flip) in enumerate(found) if (top, left, flip) == (0, 0, False)
    )
    expected = -np.array(NOISE.mean) / NOISE.std
    np.testing.assert_allclose(batch[corner, :, 0, 0].numpy(), expected, rtol=1e-6)


def test_without_augmentation_images_are_only_normalised() -> None:
    data = load(noise(kind=np.float32), CPU, augment=False)
    batch, _ = data.batch(np.array([5, 2]), np.random.default_rng(0))
    expected = (NOISE.train.images[[5, 2]] - np.array(NOISE.mean)) / NOISE.std
    np.testing.assert_allclose(batch.permute(0, 2, 3, 1).numpy(), expected, rtol=1e-5, atol=1e-6)


# Training ---------------------------------------------------------------------------------------


def plain_training(images: ImageSet, recipe: Recipe, epochs: int, seed: int) -> list[list[int]]:
    """The same training without the trainer: every formula written out, shard by shard."""
    rng = np.random.default_rng(seed)
    weights_seed = int(rng.integers(2**63))
    network = Network(
        CELL,
        recipe.skeleton,
        images.channels,
        images.classes,
        generator=torch.Generator().manual_seed(weights_seed),
        bn_momentum=recipe.bn_momentum and 1 - math.sqrt(1 - recipe.bn_momentum),
    )
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    data = load(images, CPU, augment=recipe.augment)
    weights = list(network.parameters())
    squares = [torch.ones_like(weight) for weight in weights]
    moments = [torch.zeros_like(weight) for weight in weights]
    steps = int(epochs * len(images.train) / recipe.batch_size)
    stream = np.concatenate([np.empty(0, np.int64)])
    measured = []

    def correct() -> list[int]:
        network.eval()
        counts = []
        for split, scored in zip(range(3), images.evaluated, strict=True):
            with torch.no_grad():
                logits = network(data.normalised(data.images[split][:scored]))
            counts.append(int((logits.argmax(1) == data.labels[split][:scored]).sum()))
        network.train()
        return counts

    network.train()
    for step in range(steps):
        if step in (1, steps // 2):
            measured.append(correct())
        while len(stream) < recipe.batch_size:
            stream = np.concatenate([stream, rng.permutation(len(images.train))])
        picked, stream = stream[: recipe.batch_size], stream[recipe.batch_size :]
        x, y = data.batch(picked, rng)
        half = recipe.batch_size // 2
        first = torch.autograd.grad(functional.cross_entropy(network(x[:half]), y[:half]), weights)
        second = torch.autograd.grad(functional.cross_entropy(network(x[half:]), y[half:]), weights)
        rate = 0.1 * (1 + math.cos(math.pi * step / steps)) if step else 0.0
        with torch.no_grad():
            for w, a, b, s, m in zip(weights, first, second, squares, moments, strict=True):
                g = (a + b) / 2 + 1e-4 * w
                s.copy_(0.9 * s + 0.1 * g**2)
                m.copy_(0.9 * m + rate * g / torch.sqrt(s + 1.0))
                w.copy_(w - m)
    measured.append(correct())
    return measured


@pytest.mark.parametrize("seed", [0, 1])
def test_equals_the_same_training_written_out(seed: int) -> None:
    # 7 epochs of 40 images are 17.5 batches of 16; running statistics move enough to matter.
    recipe = dataclasses.replace(SHARDED, bn_momentum=0.3)
    ours = train(CELL, NOISE, recipe, 7, seed)
    counts = [
        [getattr(point, name).correct for name in SPLITS]
        for point in (ours.start, ours.halfway, ours.final)
    ]
    assert counts == plain_training(NOISE, recipe, 7, seed)
    assert not ours.failed


def test_the_record() -> None:
    seen: list[tuple[int, int]] = []
    training = train(
        CELL, NOISE, SHARDED, 4, 5, progress=lambda done, all_: seen.append((done, all_))
    )
    assert seen == [(step + 1, 10) for step in range(10)]
    assert (training.cell, training.epochs, training.seed) == (CELL, 4, 5)
    network = Network(CELL, TINY, 3, 3)
    assert training.trainable_parameters == network.trainable_parameters
    for point in (training.start, training.halfway, training.final):
        assert [getattr(point, name).images for name in SPLITS] == [12, 16, 10]
        assert point.train.accuracy == point.train.correct / 12
    assert 0 < training.start.seconds < training.halfway.seconds < training.final.seconds
    assert training.seconds == training.final.seconds
    assert training.peak_memory > 2**20


def test_seconds_are_those_of_training_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(0, 10_000, 10))
    monkeypatch.setattr(trainer, "clock", lambda device: float(next(ticks)))
    measure = evaluation.measure

    def slow(*arguments: Any, **options: Any) -> Any:
        next(ticks)  # evaluation takes time as well
        return measure(*arguments, **options)

    monkeypatch.setattr(loaded, "measure", slow)
    training = train(CELL, NOISE, SHARDED, 2, 0)
    assert [p.seconds for p in (training.start, training.halfway, training.final)] == [10, 20, 30]


def test_the_first_step_is_idle_if_the_recipe_says_so() -> None:
    seen: list[int] = []
    train(CELL, NOISE, SHARDED, 2, 0, progress=lambda done, _all: seen.append(done))
    assert NASBENCH101.idle_first_step
    assert not DIGITS.idle_first_step
    training = train(CELL, digits(), DIGITS, 1, 0)
    assert training.start.seconds < 1e-3  # no step before it


@pytest.mark.parametrize("recipe", [SHARDED, dataclasses.replace(DIGITS, skeleton=TINY)])
def test_the_seed_decides_everything_and_global_state_is_left_alone(recipe: Recipe) -> None:
    images = noise(200)
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # type: ignore[index]  # noqa: NPY002
    one = train(CELL, images, recipe, 3, 7)
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]  # type: ignore[index]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])
    torch.manual_seed(2)
    assert without_seconds(train(CELL, images, recipe, 3, 7)) == without_seconds(one)
    assert without_seconds(train(CELL, images, recipe, 3, 8)) != without_seconds(one)


def test_digits_are_learnt() -> None:
    training = train(CELL, digits(), DIGITS, 4, 0)
    assert training.start.validation.accuracy < 0.3
    assert training.final.validation.accuracy > 0.7
    assert training.final.test.images == 774


def test_a_diverged_training_is_recorded_as_failed() -> None:
    exploding = dataclasses.replace(DIGITS, skeleton=TINY, learning_rate=1e30)
    training = train(CELL, digits(), exploding, 2, 0)
    assert training.failed
    assert training.final.validation.images == 773
    assert training.final.validation.accuracy < 0.2  # chance, measured all the same


def test_statistics_are_computed_anew_over_all_training_images() -> None:
    network = Network(Cell.from_text("01/00:"), TINY, 3, 3, bn_momentum=None)
    data = load(NOISE, CPU, augment=True)
    stem = network.layers[0]
    convolution, norm = (
        next(module for module in stem.modules() if isinstance(module, kind))
        for kind in (nn.Conv2d, nn.BatchNorm2d)
    )
    network.train()(torch.ones(2, 3, 6, 6))  # something to forget
    evaluation.renew_statistics(network, data, batch=512)
    with torch.no_grad():
        outputs: Tensor = convolution(data.normalised(data.images[0]))
    torch.testing.assert_close(norm.running_mean, outputs.mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_var, outputs.var((0, 2, 3)))
    # In parts: the average of the parts' means.
    evaluation.renew_statistics(network, data, batch=10)
    torch.testing.assert_close(norm.running_mean, outputs.mean((0, 2, 3)))
    assert norm.num_batches_tracked == torch.tensor(4)


def test_training_leaves_those_statistics_alone() -> None:
    network = Network(CELL, TINY, 3, 3, bn_momentum=None)
    images = torch.randn(8, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    before = [buffer.clone() for buffer in network.buffers()]
    tracked = network.train()(images)
    evaluation.track_statistics(network, True)
    assert not all(map(torch.equal, network.buffers(), before))
    network.load_state_dict(Network(CELL, TINY, 3, 3).state_dict())
    evaluation.track_statistics(network, False)
    assert torch.equal(network(images), tracked)  # and the batch is normalised by its own
    assert all(map(torch.equal, network.buffers(), before))


def test_evaluation_does_not_depend_on_its_batches() -> None:
    network = Network(CELL, TINY, 3, 3)
    data = load(NOISE, CPU, augment=False)
    assert evaluation.evaluate(network, data, 512) == evaluation.evaluate(network, data, 5)


@settings(deadline=None, max_examples=5)
@given(seed=st.integers(0, 2**32 - 1))
def test_start_is_near_chance(seed: int) -> None:
    training = train(CELL, digits(), dataclasses.replace(DIGITS, skeleton=TINY), 1, seed)
    assert training.start.test.accuracy < 0.35


# Errors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings_", "says"),
    [
        ({"epochs": 0}, "0 epochs of 40 images are 0 steps of 16"),
        ({"recipe": dataclasses.replace(SHARDED, batch_size=40), "epochs": 1}, "1 steps of 40"),
        ({"seed": -1}, "seed is -1"),
        ({"device": "abacus"}, "device 'abacus' cannot be used"),
        ({"precision": "float8"}, "precision 'float8' is unknown"),
        ({"cuda_graph": True}, "cuda_graph needs a CUDA device, and this is 'cpu'"),
    ],
)
def test_impossible_settings_are_refused(settings_: dict[str, Any], says: str) -> None:
    usual: dict[str, Any] = {"recipe": SHARDED, "epochs": 2, "seed": 0}
    with pytest.raises(InvalidSetting, match=says):
        train(CELL, NOISE, **(usual | settings_))


#: What torch says without memory, on a GPU and on a CPU.
NO_MEMORY = (
    torch.cuda.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
)


def limit_memory(
    monkeypatch: pytest.MonkeyPatch, error: Exception, images: int, *, training: bool
) -> None:
    """Let networks fail on more images than these, in training or when none is under way."""
    forward = Network.forward

    def limited(self: Network, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() == training and len(x) > images:
            raise error
        return forward(self, x)

    monkeypatch.setattr(Network, "forward", limited)


@pytest.mark.parametrize("error", NO_MEMORY)
@pytest.mark.parametrize(
    ("images", "says"),
    [
        (4, "shards of 8 images do not fit, 4 would; use a recipe with bn_batch_size 4, a smaller"),
        (1, "shards of 8 images do not fit, nor would 2; use a recipe with a smaller skeleton"),
    ],
)
def test_lack_of_memory_is_refused_with_what_fits(
    monkeypatch: pytest.MonkeyPatch, error: Exception, images: int, says: str
) -> None:
    limit_memory(monkeypatch, error, images, training=True)
    with pytest.raises(TrainingFailed, match=says):
        train(CELL, NOISE, SHARDED, 2, 0)


@pytest.mark.parametrize("recipe", [SHARDED, dataclasses.replace(DIGITS, skeleton=TINY)])
@pytest.mark.parametrize("error", NO_MEMORY)
def test_evaluation_makes_do_with_less_memory(
    monkeypatch: pytest.MonkeyPatch, error: Exception, recipe: Recipe
) -> None:
    images = noise(64)
    whole = train(CELL, images, recipe, 3, 0)
    limit_memory(monkeypatch, error, 7, training=False)
    parts = train(CELL, images, recipe, 3, 0)
    if recipe.bn_momentum is not None:  # otherwise statistics are averages over other parts
        assert without_seconds(parts) == without_seconds(whole)
    limit_memory(monkeypatch, error, 0, training=False)
    with pytest.raises(TrainingFailed, match="out of memory"):
        train(CELL, images, recipe, 3, 0)


def test_images_that_do_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Tensor:
        raise NO_MEMORY[0]

    images = noise()
    monkeypatch.setattr(torch, "tensor", fail)
    with pytest.raises(TrainingFailed, match="images of noise do not fit into the memory of cpu"):
        train(CELL, images, SHARDED, 2, 0)


def test_other_errors_keep_their_name(monkeypatch: pytest.MonkeyPatch) -> None:
    limit_memory(monkeypatch, ZeroDivisionError("a bug"), 0, training=True)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        train(CELL, NOISE, SHARDED, 2, 0)


# Precision, GPUs --------------------------------------------------------------------------------


def test_bfloat16_learns_and_is_not_float32() -> None:
    one, again, single = (
        train(CELL, digits(), DIGITS, 4, 0, precision=precision)
        for precision in ("bfloat16", "bfloat16", "float32")
    )
    assert without_seconds(one) == without_seconds(again) != without_seconds(single)
    # 773 images at an accuracy of 0.9 have a standard deviation of 8; twins of other rounding.
    assert abs(one.final.validation.correct - single.final.validation.correct) < 60
    network = Network(CELL, TINY, 3, 3, precision="bfloat16")
    logits = network(torch.ones(2, 3, 6, 6))
    assert logits.dtype == torch.float32
    assert {weights.dtype for weights in network.parameters()} == {torch.float32}


ON_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.mark.gpu
@ON_GPU
def test_a_gpu_learns_what_the_cpu_learns() -> None:
    on_gpu, on_cpu = (train(CELL, digits(), DIGITS, 4, 0, device=d) for d in ("cuda", "cpu"))
    assert on_gpu.peak_memory > 0
    # The same weights and batches; sums in another order move some of 773 images.
    assert abs(on_gpu.final.validation.correct - on_cpu.final.validation.correct) < 40
    assert on_gpu.trainable_parameters == on_cpu.trainable_parameters


@pytest.mark.gpu
@ON_GPU
def test_batches_are_the_same_on_a_gpu() -> None:
    picked = np.arange(40).repeat(3)
    on_gpu, on_cpu = (
        load(NOISE, torch.device(device), augment=True).batch(picked, np.random.default_rng(0))
        for device in ("cuda", "cpu")
    )
    torch.testing.assert_close(on_gpu[0].cpu(), on_cpu[0])
    assert torch.equal(on_gpu[1].cpu(), on_cpu[1])


@pytest.mark.gpu
@ON_GPU
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_recorded_step_is_the_step(precision: Precision) -> None:
    device = torch.device("cuda")
    data = load(NOISE, device, augment=True)
    batches = [data.batch(np.arange(16) + start, np.random.default_rng(start)) for start in (0, 16)]
    after = []
    for graph in (False, True):
        state = trainer._fresh(CELL, NOISE, SHARDED, 0, device=device, precision=precision)
        changed = [*state.network.buffers(), state.total_loss]
        step: Callable[[Tensor, Tensor], None] = functools.partial(
            trainer._make_gradients, state, 8, functools.partial(trainer._loss, state)
        )
        if graph:
            before = [tensor.clone() for tensor in changed]
            step = recorded(step, *batches[0], changed)
            assert all(map(torch.equal, changed, before))
        for batch in batches:  # the second one's gradients replace the first one's
            step(*batch)
        gradients = [weights.grad for weights in state.network.parameters()]
        after.append([*gradients, *changed])
    torch.testing.assert_close(after[1], after[0], rtol=1e-2, atol=1e-3)


@pytest.mark.gpu
@ON_GPU
@pytest.mark.parametrize("recipe", [SHARDED, DIGITS])
def test_recorded_training_learns(recipe: Recipe) -> None:
    images = digits()
    recorded_, eager = (
        train(CELL, images, recipe, 4, 0, device="cuda", cuda_graph=graph)
        for graph in (True, False)
    )
    # Sums in another order move some of 773 images.
    assert abs(recorded_.final.validation.correct - eager.final.validation.correct) < 40


@pytest.mark.gpu
@ON_GPU
def test_a_gpu_out_of_memory_says_what_fits() -> None:
    free, total = torch.cuda.mem_get_info()
    used = torch.cuda.memory_reserved()
    torch.cuda.set_per_process_memory_fraction((used + 2**28) / total)  # 256 MiB more
    try:
        assert free > 2**28
        recipe = dataclasses.replace(NASBENCH101, batch_size=64, bn_batch_size=64)
        with pytest.raises(TrainingFailed, match="shards of 64 images do not fit"):
            train(CELL, noise(128, side=32), recipe, 2, 0, device="cuda")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
