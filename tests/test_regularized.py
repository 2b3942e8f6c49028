"""The papers' evaluation of cells: paths dropped, an auxiliary head, cutout, gradients cut."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from torch.nn import functional

from nasbench_kit.data.images.digits import digits
from nasbench_kit.errors import InvalidSetting
from nasbench_kit.spaces import named
from nasbench_kit.spaces.edge_cells.cell import Edge, Layer
from nasbench_kit.spaces.edge_cells.darts import DARTS as SPACE, EVALUATED, PUBLISHED
from nasbench_kit.spaces.edge_cells.network import CellModule, TwoInputNetwork
from nasbench_kit.spaces.nasbench101.cell import Cell
from nasbench_kit.spaces.skeleton import Skeleton
from nasbench_kit.spaces.trained_network import TrainedNetwork
from nasbench_kit.training import trainer
from nasbench_kit.training.loaded import cut_out, load
from nasbench_kit.training.recipe import DARTS, DARTS_DIGITS, DIGITS, Recipe, RegularizedRecipe
from nasbench_kit.training.record import Training
from nasbench_kit.training.regularized import draw_paths
from nasbench_kit.training.trainer import train

torch.set_num_threads(1)

CPU = torch.device("cpu")
CELL = SPACE().parse(PUBLISHED["DARTS_V2"])
SMALL = dataclasses.replace(DARTS_DIGITS, skeleton=Skeleton(2, 3, 1))


def network(skeleton: Skeleton, classes: int = 10) -> TwoInputNetwork:
    made = CELL.network(
        skeleton,
        3,
        classes,
        generator=torch.Generator().manual_seed(0),
        bn_momentum=0.1,
        precision="float32",
    )
    assert isinstance(made, TwoInputNetwork)
    return made


def parameters(module: torch.nn.Module) -> int:
    return sum(weights.numel() for weights in module.parameters())


def counts(training: Training) -> list[Any]:
    points = (training.start, training.halfway, training.final)
    return [training.failed, *((p.train, p.validation, p.test) for p in points)]


# The recipe ------------------------------------------------------------------------------------


def test_other_recipes_are_recorded_as_before() -> None:
    assert list(dataclasses.asdict(DIGITS)) == [
        *("name", "skeleton", "batch_size", "bn_batch_size", "bn_momentum", "optimizer"),
        *("learning_rate", "momentum", "weight_decay", "augment", "idle_first_step"),
    ]


def test_paths_drop_ever_more_often_from_epoch_to_epoch() -> None:
    steps = DARTS.steps(600, 48_000)
    assert steps == 600 * 500
    for epoch in (0, 1, 300, 599):
        for step in (500 * epoch, 500 * epoch + 499):
            for depth in (0.05, 1.0):
                assert DARTS.drop_path_at(step, steps, 600, depth) == 0.2 * epoch / 600


def test_scheduled_paths_drop_more_often_in_deeper_cells_and_later_steps() -> None:
    recipe = dataclasses.replace(DARTS, drop_path=0.4, scheduled=True)
    cells, steps = 20, 1000
    for cell in (0, 7, 19):
        for step in (0, 250, 999):
            keep_of_cell = 1 - (cell + 1) / cells * (1 - 0.6)
            keep = 1 - step / steps * (1 - keep_of_cell)
            dropped = recipe.drop_path_at(step, steps, 10, (cell + 1) / cells)
            assert dropped == pytest.approx(1 - keep)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("drop_path", value) for value in (-0.1, 1.0, math.nan)),
        *(("clip", value) for value in (0.0, -1.0, math.inf, math.nan)),
        *(("auxiliary_weight", value) for value in (-0.1, math.inf, math.nan)),
        ("cutout", -1),
    ],
)
def test_settings_outside_their_range_are_refused(setting: str, value: Any) -> None:
    with pytest.raises(InvalidSetting, match=setting):
        dataclasses.replace(DARTS, **{setting: value})


# Drop-path -------------------------------------------------------------------------------------


def test_dropped_paths_keep_expectations() -> None:
    keep = torch.tensor([1.0, 0.8, 0.3], dtype=torch.float64)
    images = 20_000
    paths = draw_paths(keep, 2, images, np.random.default_rng(0))
    assert paths.shape == (3, 2, images)
    assert torch.equal(paths[0], torch.ones(2, images))
    for cell, kept in enumerate(keep.tolist()):
        scales = torch.tensor([0.0, 1 / kept])
        assert torch.isin(paths[cell], scales).all()
        deviation = math.sqrt((1 - kept) / kept / images)  # of a mean of 0s and 1 / keeps
        assert paths[cell].mean(1) == pytest.approx(1, abs=5 * deviation)


def test_a_path_scales_what_its_operation_makes_of_an_image_and_identities_stay() -> None:
    edges = [Edge(0, 2, "skip_connect"), Edge(1, 2, "max_pool_3x3"), Edge(2, 3, "avg_pool_3x3")]
    cell = CellModule(edges, Layer(3, 4, False, 0, 3, False), (2, 3)).eval()
    x, y = torch.rand(2, 5, 3, 6, 6)
    paths = torch.rand(4, 5)  # of another kind of cell, which has one edge more
    a, b = cell.entries[0](x), cell.entries[1](y)
    scales = paths[:, :, None, None, None]
    node = a + cell.operations[1](b) * scales[1]
    last = cell.operations[2](node) * scales[2]
    assert torch.allclose(cell(x, y, paths=paths), torch.cat([node, last], 1))
    assert torch.equal(cell(x, y, paths=torch.ones(4, 5)), cell(x, y))


# The auxiliary head ----------------------------------------------------------------------------


def test_the_head_stands_at_two_thirds_and_has_the_parameters_of_its_layers() -> None:
    made = network(EVALUATED)
    without = parameters(made)
    assert without == 3_349_342  # published
    made.add_auxiliary_head(torch.Generator().manual_seed(1))
    # 1x1 from 4 nodes of 144 channels, 2x2, both with batch norm; and the classifier
    head = 4 * 144 * 128 + 2 * 128 + 128 * 768 * 2 * 2 + 2 * 768 + 768 * 10 + 10
    assert parameters(made) == without + head


def test_the_head_reads_the_second_reduction_cell_and_changes_no_logits() -> None:
    made = network(Skeleton(2, 3, 2)).eval()  # 8 cells; reductions are 2 and 5
    images = torch.rand(3, 3, 32, 32)
    before = made(images)
    made.add_auxiliary_head(torch.Generator().manual_seed(1))
    seen = []
    made.cells[5].register_forward_hook(lambda _cell, _inputs, made_of: seen.append(made_of))
    logits, second = made.regularized(images, auxiliary=True)
    assert torch.equal(logits, before)
    assert torch.equal(made(images), before)
    assert made.auxiliary is not None
    assert torch.equal(second, made.auxiliary(seen[0]))
    assert seen[0].shape == (3, 32, 8, 8)
    windows = [slice(0, 5), slice(3, 8)]
    x = seen[0].relu()
    pooled = torch.stack(
        [torch.stack([x[:, :, r, c].mean((2, 3)) for c in windows], -1) for r in windows], -2
    )
    expected = made.auxiliary.classifier(made.auxiliary.convolutions(pooled).flatten(1))
    assert torch.allclose(second, expected, atol=1e-5)


@pytest.mark.parametrize("side", [1, 8, 9, 28, 64])
def test_the_head_takes_images_of_any_size(side: int) -> None:
    made = network(Skeleton(2, 3, 1), classes=7)
    made.add_auxiliary_head(torch.Generator().manual_seed(1))
    for logits in made.regularized(torch.rand(2, 3, side, side), auxiliary=True):
        assert logits.shape == (2, 7)


# Cutout ----------------------------------------------------------------------------------------


@given(
    side=st.integers(1, 9),
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    seed=st.integers(0, 99),
)
def test_cutout_blanks_out_a_square_that_the_border_cuts(
    side: int, height: int, width: int, seed: int
) -> None:
    images = torch.ones(6, 2, height, width)
    cut = cut_out(images, side, np.random.default_rng(seed))
    rng = np.random.default_rng(seed)
    rows, columns = (rng.integers(0, pixels, 6) for pixels in (height, width))
    for image, row, column in zip(cut, rows, columns, strict=True):
        expected = torch.ones(2, height, width)
        top, left = int(row) - side // 2, int(column) - side // 2
        expected[:, max(top, 0) : top + side, max(left, 0) : left + side] = 0
        assert torch.equal(image, expected)
    assert torch.equal(images, torch.ones_like(images))


def test_training_images_alone_are_cut() -> None:
    images = digits()
    data = images.loaded(CPU, SMALL)
    plain = load(images, CPU, augment=False)
    picked = np.arange(50)
    x, labels = data.batch(picked, np.random.default_rng(0))
    whole, whole_labels = plain.batch(picked, np.random.default_rng(0))
    cut = cut_out(whole, SMALL.cutout, np.random.default_rng(0))
    assert torch.equal(x, cut)
    assert not torch.equal(x, whole)
    assert torch.equal(labels, whole_labels)
    assert torch.equal(data.reward_batch(picked)[0], plain.reward_batch(picked)[0])
    assert plain.cutout == 0  # the cached set is still the plain one


# Training --------------------------------------------------------------------------------------


def test_without_its_settings_the_recipe_trains_as_any_other() -> None:
    plain = {
        field.name: getattr(SMALL, field.name)
        for field in dataclasses.fields(Recipe)
        if field.name != "name"
    }
    off = RegularizedRecipe(name="off", **plain, clip=1e9)
    expected = train(CELL, digits(), Recipe(name="plain", **plain), 1, 0)
    assert counts(train(CELL, digits(), off, 1, 0)) == counts(expected)


@pytest.mark.parametrize("scheduled", [False, True])
def test_a_resumed_training_equals_an_undisturbed_one(scheduled: bool, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def progress(done: int, _all: int) -> None:
        if done > 6:  # in the second epoch, when paths are dropped
            raise Killed

    recipe = dataclasses.replace(SMALL, drop_path=0.5, scheduled=scheduled)
    file, weights = tmp_path / "checkpoint", tmp_path / "weights.pt"
    with pytest.raises(Killed):
        train(
            CELL, digits(), recipe, 2, 3,
            checkpoint=file, checkpoint_every_seconds=0, progress=progress,
        )  # fmt: skip
    resumed = train(CELL, digits(), recipe, 2, 3, checkpoint=file, weights=weights)
    undisturbed, kept = trainer.train_network(CELL, digits(), recipe, 2, 3)
    assert counts(resumed) == counts(undisturbed)
    again = TrainedNetwork.load(weights)
    state = again.network.state_dict()
    assert not any(name.startswith("auxiliary") for name in state)
    for name, value in kept.network.state_dict().items():
        assert torch.equal(state[name], value)
    assert resumed.trainable_parameters == parameters(again.network)


@pytest.mark.parametrize("space", ["nasnet", "pnas", "enas-micro"])
def test_cells_of_all_spaces_of_two_inputs_are_trained(space: str) -> None:
    cell = named(space).sample(np.random.default_rng(0))
    training = train(cell, digits(), SMALL, 1, 0)
    assert not training.failed
    assert training.trainable_parameters > 0


def test_the_auxiliary_loss_is_weighted_and_gradients_are_cut() -> None:
    recipe = dataclasses.replace(SMALL, drop_path=0.0, auxiliary_weight=0.7, clip=0.01)
    state = trainer._fresh(CELL, digits(), recipe, 0, device=CPU, precision="float32")
    x, labels = digits().loaded(CPU, recipe).batch(np.arange(50), np.random.default_rng(0))
    made = state.network.train()
    assert isinstance(made, TwoInputNetwork)
    trainer._gradients_of(state, recipe, 10, 1)(x, labels)
    with torch.no_grad():
        first, second = made.regularized(x, auxiliary=True)
    expected = functional.cross_entropy(first, labels) + 0.7 * functional.cross_entropy(
        second, labels
    )
    assert float(state.total_loss) == pytest.approx(float(expected), rel=1e-5)
    norm = torch.nn.utils.get_total_norm(
        [weights.grad for weights in made.parameters() if weights.grad is not None]
    )
    assert float(norm) == pytest.approx(0.01, rel=1e-3)


def test_other_networks_have_no_paths_to_drop() -> None:
    with pytest.raises(InvalidSetting, match="cells of two inputs"):
        train(Cell.named("resnet"), digits(), SMALL, 1, 0)
    cut = dataclasses.replace(
        SMALL, skeleton=Skeleton(4, 2, 1), drop_path=0.0, auxiliary_weight=0.0
    )
    assert not train(Cell.named("resnet"), digits(), cut, 1, 0).failed


def test_recorded_steps_cannot_drop_other_paths() -> None:
    with pytest.raises(InvalidSetting, match="cuda_graph"):
        train(CELL, digits(), SMALL, 1, 0, cuda_graph=True)
