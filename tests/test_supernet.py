"""Paths of the supernet against stand-alone networks; mixtures against the formula, written out."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nasbench_kit import Cell, CellSpace, InvalidSetting, register_operation
from nasbench_kit.spaces import one_shot
from nasbench_kit.spaces.nasbench101 import supernet as supernet_module
from nasbench_kit.spaces.nasbench101.cell import OPERATIONS
from nasbench_kit.spaces.nasbench101.network import CellModule, Network
from nasbench_kit.spaces.nasbench101.supernet import (
    CONV1X1,
    CONV3X3,
    MAXPOOL3X3,
    Mixture,
    SharedLayer,
    Supernet,
    mixture_widths,
)
from nasbench_kit.spaces.nasbench101.work import KINDS, work
from nasbench_kit.spaces.skeleton import Skeleton

torch.set_num_threads(1)  # these networks are too small to share

#: 7 channels, then 14: no number of vertices from 2 to 5 divides the first.
SKELETON = Skeleton(stem_channels=7, stacks=2, cells_per_stack=2)
CLASSES = 4
#: Odd, so that pooling rounds up.
IMAGES = torch.randn(6, 3, 7, 5, generator=torch.Generator().manual_seed(9))


def supernet(vertices: int, skeleton: Skeleton = SKELETON, *, affine: bool = True) -> Supernet:
    """With random scales and shifts of batch norm, unless told otherwise."""
    generator = torch.Generator().manual_seed(vertices)
    made = Supernet(vertices, skeleton, 3, CLASSES, generator)
    if affine:
        with torch.no_grad():
            for module in made.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.weight.uniform_(0.5, 1.5, generator=generator)
                    module.bias.uniform_(-0.5, 0.5, generator=generator)
    return made


def labelled(vertices: int, count: int) -> list[Cell]:
    """Random encodings, unused vertices and all."""
    space = CellSpace(vertices)
    rng = np.random.default_rng(vertices)
    return [space.sample(rng) for _ in range(count)]


def used(cell: Cell) -> list[int]:
    """Vertices on a path from input to output, by powers of the matrix."""
    steps = np.eye(cell.size, dtype=int)
    reach = steps
    for _ in range(cell.size):
        steps = np.minimum(steps @ cell.matrix, 1)
        reach = np.maximum(reach, steps)
    return np.flatnonzero(reach[0] & reach[:, -1]).tolist()


def complete(vertices: int, code: int = 0) -> Cell:
    return Cell.from_codes(vertices, (1 << vertices * (vertices - 1) // 2) - 1, code)


@torch.no_grad()
def stand_alone(shared: Supernet, cell: Cell) -> Network:
    """The network of the cell with the first channels of the shared weights copied into it."""
    network = Network(cell, SKELETON, 3, CLASSES)

    def copy(source: SharedLayer, target: nn.Module) -> None:
        (conv,) = (m for m in target.modules() if isinstance(m, nn.Conv2d))
        (norm,) = (m for m in target.modules() if isinstance(m, nn.BatchNorm2d))
        conv.weight.copy_(source.conv.weight[: conv.out_channels, : conv.in_channels])
        norm.weight.copy_(source.norm.weight[: conv.out_channels])
        norm.bias.copy_(source.norm.bias[: conv.out_channels])

    copy(shared.stem, network.layers[0])
    slots = used(cell)
    cell = cell.pruned()
    modules = [module for module in network.layers if isinstance(module, CellModule)]
    for place, module in zip(shared.cells, modules, strict=True):
        output = cell.size - 1
        for v in range(1, output):
            slot = str(slots[v])
            if cell.operations[v] == OPERATIONS[CONV3X3]:
                copy(place.conv3x3[slot], module.vertex_op[v])  # type: ignore[index, arg-type]
            elif cell.operations[v] == OPERATIONS[CONV1X1]:
                copy(place.conv1x1[slot], module.vertex_op[v])  # type: ignore[index, arg-type]
            if cell.matrix[0, v]:
                copy(place.projection[slot], module.input_op[v])  # type: ignore[index, arg-type]
        if cell.matrix[0, output]:
            copy(place.output_projection, module.input_op[output])  # type: ignore[arg-type]
    network.classifier.load_state_dict(shared.classifier.state_dict())
    return network.train()


@pytest.mark.parametrize("vertices", [5, 7])
def test_a_path_is_the_stand_alone_network(vertices: int) -> None:
    shared = supernet(vertices)
    for cell in labelled(vertices, 25):
        for some in (cell, cell.pruned()):
            expected = stand_alone(shared, some)(IMAGES)
            torch.testing.assert_close(shared(IMAGES, some), expected, rtol=1e-4, atol=1e-5)


def test_vertices_keep_the_weights_of_their_number() -> None:
    """One cell by vertex 1 or by vertex 2: equal cells, other weights."""
    shared = supernet(4)
    first, second = (
        Cell.from_text("0100/0001/0000/0000:conv3x3,conv3x3"),
        Cell.from_text("0010/0000/0001/0000:conv3x3,conv3x3"),
    )
    assert first == second
    assert not torch.allclose(shared(IMAGES, first), shared(IMAGES, second))
    assert torch.equal(shared(IMAGES, first), shared(IMAGES, first.pruned()))


@pytest.mark.parametrize("vertices", [5, 7])
def test_only_the_weights_of_a_path_have_gradients(vertices: int) -> None:
    shared = supernet(vertices)
    for cell in labelled(vertices, 10):
        shared.zero_grad()
        shared(IMAGES, cell).square().sum().backward()
        slots, output = used(cell), vertices - 1
        layers = {"output_projection"} if cell.matrix[0, output] else set()
        for v in slots[1:-1]:
            kernel = {OPERATIONS[CONV3X3]: "conv3x3", OPERATIONS[CONV1X1]: "conv1x1"}
            if name := kernel.get(cell.operations[v]):
                layers.add(f"{name}.{v}")
            if cell.matrix[0, v]:
                layers.add(f"projection.{v}")
        parts = ("conv.weight", "norm.weight", "norm.bias")
        expected = {
            f"cells.{i}.{layer}.{part}" for i in range(4) for layer in layers for part in parts
        }
        expected |= {f"stem.{part}" for part in parts} | {"classifier.weight", "classifier.bias"}
        found = {name for name, weight in shared.named_parameters() if weight.grad is not None}
        assert found == expected


def test_global_random_state_is_untouched() -> None:
    before = torch.get_rng_state(), random.getstate(), np.random.get_state(legacy=False)  # noqa: NPY002
    shared = supernet(5)
    shared(IMAGES, complete(5)).sum().backward()
    after = torch.get_rng_state(), random.getstate(), np.random.get_state(legacy=False)  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert before[1] == after[1]
    np.testing.assert_equal(before[2], after[2])


def test_the_weights_follow_the_generator() -> None:
    one, again = supernet(5).state_dict(), supernet(5).state_dict()
    assert all(torch.equal(one[name], again[name]) for name in one)


# Mixtures ---------------------------------------------------------------------------------------


def ones(vertices: int, code: int) -> Mixture:
    """All edges, and the operations of a code."""
    chosen = [code // 3**v % 3 for v in range(vertices - 2)]
    weights = functional.one_hot(torch.tensor(chosen), 3).float()
    edges = [torch.ones(v) for v in range(1, vertices)]
    return Mixture(weights, edges, [list(range(3)) for _ in chosen])


@pytest.mark.parametrize("vertices", [3, 4, 5, 6, 7])
def test_a_one_hot_mixture_of_all_edges_is_the_complete_cell(vertices: int) -> None:
    shared = supernet(vertices, affine=False)  # a mixture has no scale and shift
    for code in np.random.default_rng(0).integers(3 ** (vertices - 2), size=4).tolist():
        expected = shared(IMAGES, complete(vertices, code))
        found = shared(IMAGES, ones(vertices, code))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("vertices", [5, 7])
def test_a_cell_at_the_fixed_width_is_its_path_where_all_vertices_feed_the_output(
    vertices: int,
) -> None:
    """Then the official rule gives the complete cell's channels as well."""
    shared = supernet(vertices, affine=False)
    rng = np.random.default_rng(1)
    for _ in range(10):
        bits = int(rng.integers(1 << vertices * (vertices - 1) // 2))
        cell = Cell.from_codes(vertices, bits, int(rng.integers(3 ** (vertices - 2))))
        matrix = np.array(cell.matrix)
        matrix[1:-1, -1] = 1
        matrix[0, 1:-1] |= ~matrix[1:-1, 1:-1].any(axis=0)
        cell = Cell(matrix, cell.operations)
        assert len(used(cell)) == vertices
        mixture = Mixture.of(cell, vertices)
        torch.testing.assert_close(
            shared(IMAGES, mixture), shared(IMAGES, cell), rtol=1e-4, atol=1e-5
        )


def test_the_weights_of_a_discrete_cell() -> None:
    """Vertex 3 of five is unused; vertex 1 pools, vertex 2 convolves 1x1."""
    cell = Cell.from_text("01001/00101/00001/00000/00000:maxpool3x3,conv1x1,conv3x3")
    mixture = Mixture.of(cell, 5)
    assert mixture.operations.tolist() == [[0, 0, 1], [0, 1, 0], [0, 0, 0]]
    assert [edges.tolist() for edges in mixture.edges] == [[1], [0, 1], [0, 0, 0], [1, 1, 1, 0]]
    assert mixture.active == [[MAXPOOL3X3], [CONV1X1], [MAXPOOL3X3]]
    small = Mixture.of(cell.pruned(), 5)  # the output stays the last vertex
    assert [edges.tolist() for edges in small.edges] == [[1], [0, 1], [0, 0, 0], [1, 1, 1, 0]]


def by_hand(shared: Supernet, mixture: Mixture, images: Tensor) -> Tensor:
    """A mixture of four vertices in one place, its sums written out."""

    def layer(source: SharedLayer, x: Tensor, width: int) -> Tensor:
        weights = source.conv.weight[:width, : x.shape[1]]
        x = functional.conv2d(x, weights, padding=weights.shape[-1] // 2)
        mean = x.mean((0, 2, 3), keepdim=True)
        variance = (x - mean).square().mean((0, 2, 3), keepdim=True)
        return ((x - mean) / (variance + 1e-5).sqrt()).clamp(min=0)

    def mixed(v: str, x: Tensor) -> Tensor:
        weights, width = mixture.operations[int(v) - 1], x.shape[1]
        return (
            weights[0] * layer(place.conv3x3[v], x, width)  # type: ignore[index, arg-type]
            + weights[1] * layer(place.conv1x1[v], x, width)  # type: ignore[index, arg-type]
            + weights[2] * functional.max_pool2d(x, 3, 1, 1)
        )

    (place,) = shared.cells
    to1, to2, out = mixture.edges
    stem = shared.stem  # has scale and shift, which are 1 and 0 here
    x = layer(stem, images, 7)
    first = mixed("1", to1[0] * layer(place.projection["1"], x, 4))  # type: ignore[index, arg-type]
    second = mixed(
        "2",
        to2[0] * layer(place.projection["2"], x, 3) + to2[1] * first[:, :3],  # type: ignore[index, arg-type]
    )
    joined = torch.cat([out[1] * first, out[2] * second], 1)
    joined = joined + out[0] * layer(place.output_projection, x, 7)  # type: ignore[arg-type]
    return shared.classifier(joined.mean((2, 3)))


def test_a_mixture_by_hand() -> None:
    shared = supernet(4, Skeleton(7, 1, 1), affine=False)
    draw = torch.Generator().manual_seed(4)
    edges = [torch.rand(v, generator=draw) for v in range(1, 4)]
    mixture = Mixture(torch.rand(2, 3, generator=draw), edges, [[0, 1, 2], [0, 1, 2]])
    assert mixture_widths(4, 7) == [0, 4, 3, 7]
    expected = by_hand(shared, mixture, IMAGES)
    torch.testing.assert_close(shared(IMAGES, mixture), expected, rtol=1e-4, atol=1e-5)


def test_a_mixture_has_no_scale_and_shift() -> None:
    """They would undo the weights of operations; so they get no gradient either."""
    shared = supernet(4)
    shared(IMAGES, ones(4, 0)).sum().backward()
    for name, weight in shared.cells.named_parameters():
        if "norm" in name:
            assert weight.grad is None


def test_what_is_not_computed_has_a_gradient_all_the_same() -> None:
    """GDAS: the weights of operations that were not drawn; their value adds nothing."""
    shared = supernet(4, affine=False)
    weights = functional.one_hot(torch.tensor([0, 2]), 3).float().requires_grad_()
    mixture = replace(ones(4, 0), operations=weights, active=[[0], [2]])
    expected = shared(IMAGES, complete(4, 6))
    found = shared(IMAGES, mixture)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    (gradient,) = torch.autograd.grad(found[:, 0].sum(), weights)
    assert gradient.abs().min() > 0


@pytest.mark.parametrize(("channels", "divisor"), [(8, 2), (8, 4), (12, 4), (7, 2), (5, 4), (3, 4)])
def test_partial_channels_are_shuffled(channels: int, divisor: int) -> None:
    """Of images that are constant, a max-pool changes nothing: what is left is the shuffle."""
    shared = supernet(3, Skeleton(channels, 1, 1), affine=False)
    (place,) = shared.cells
    x = torch.arange(1.0, channels + 1).expand(2, 4, 4, channels).permute(0, 3, 1, 2)
    pool = functional.one_hot(torch.tensor([MAXPOOL3X3]), 3).float()
    mixture = Mixture(pool, [torch.ones(1), torch.ones(2)], [[0, 1, 2]], divisor)
    found = place._mixed_operation(1, x, mixture)  # type: ignore[operator]
    order = [int(value) - 1 for value in found[0, :, 0, 0]]
    assert sorted(order) == list(range(channels))
    assert order[0] == 0
    assert torch.equal(found, x[:, order])
    if channels % divisor == 0:
        assert torch.equal(found, functional.channel_shuffle(x.contiguous(), divisor))


def test_partial_channels_pass_the_others_by() -> None:
    """Half of them convolved, which with a weight of 0 leaves nothing; the others are as they were."""
    shared = supernet(3, Skeleton(8, 1, 1), affine=False)
    (place,) = shared.cells
    x = torch.rand(2, 8, 4, 4)
    nothing = Mixture(torch.zeros(1, 3), [torch.ones(1), torch.ones(2)], [[0, 1, 2]], 2)
    found = place._mixed_operation(1, x, nothing)  # type: ignore[operator]
    assert not found[:, ::2].any()
    assert torch.equal(found[:, 1::2], x[:, 4:])


@pytest.mark.parametrize("active", [[0, 1, 2], [1, 2], [0]])
@pytest.mark.parametrize("divisor", [1, 2])
def test_layers_together_are_layers_apart(active: list[int], divisor: int) -> None:
    """Values, and gradients of every weight, against layer by layer, sums written out."""
    shared = supernet(5, affine=False)
    draw = torch.Generator().manual_seed(4)
    edges = [torch.rand(v, generator=draw).requires_grad_() for v in range(1, 5)]
    operations = torch.rand(3, 3, generator=draw).requires_grad_()
    mixture = Mixture(operations, edges, [active] * 3, divisor)
    of = [operations, *edges, *(w for n, w in shared.named_parameters() if "norm" not in n)]

    def apart(
        x: Tensor, layers: Sequence[SharedLayer], widths: Sequence[int], affine: bool = True
    ) -> list[Tensor]:
        def alone(layer: SharedLayer, width: int) -> Tensor:
            kernel = layer.conv.weight[:width, : x.shape[1]]
            y = functional.conv2d(x, kernel, padding=kernel.shape[-1] // 2)
            return functional.batch_norm(y, None, None, training=True).relu()

        return [alone(*pair) for pair in zip(layers, widths, strict=True)]

    class Plain:
        @staticmethod
        def apply(weights: Tensor, channels: int, *terms: Tensor) -> Tensor:
            return torch.stack(
                [w * t[:, :channels] for w, t in zip(weights, terms, strict=True)]
            ).sum(0)

    def results() -> list[Tensor]:
        logits = shared(IMAGES, mixture)
        gradients = torch.autograd.grad(logits.square().sum(), of, allow_unused=True)
        return [logits, *(torch.zeros(1) if g is None else g for g in gradients)]

    found = results()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supernet_module, "together", apart)
        patch.setattr(one_shot, "WeightedSum", Plain)
        expected = results()
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_a_weighted_sum_has_gradients_of_gradients() -> None:
    draw = torch.Generator().manual_seed(4)

    def made(*shape: int) -> Tensor:
        return torch.rand(shape, generator=draw, dtype=torch.float64).requires_grad_()

    weights, wide, narrow = made(2), made(2, 4, 2, 3), made(2, 3, 2, 3)

    def total(*tensors: Tensor) -> Tensor:
        weights, *terms = tensors
        return one_shot.WeightedSum.apply(weights, 3, *terms)  # type: ignore[no-untyped-call]

    assert torch.autograd.gradcheck(total, (weights, wide, narrow))
    assert torch.autograd.gradgradcheck(total, (weights, wide, narrow))


# Work -------------------------------------------------------------------------------------------


class Counter:
    """Layers and multiplications that the supernet asks for, for one image."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.done = dict.fromkeys(KINDS, 0)
        convolve, pool = supernet_module.together, functional.max_pool2d

        def together(
            x: Tensor, layers: Sequence[SharedLayer], widths: Sequence[int], **more: Any
        ) -> tuple[Tensor, ...]:
            pixels = x.shape[2] * x.shape[3]
            for layer, width in zip(layers, widths, strict=True):
                size = layer.conv.kernel_size[0]
                kernel = f"conv{size}x{size}"
                self.done[f"{kernel} layers"] += 1
                self.done[f"{kernel} multiplications"] += size**2 * x.shape[1] * width * pixels
                self.done["convolution outputs"] += width * pixels
            return convolve(x, layers, widths, **more)

        def max_pool2d(*args: Any, **more: Any) -> Tensor:
            y: Tensor = pool(*args, **more)
            self.done["pool layers"] += 1
            self.done["pool outputs"] += y[0].numel()
            return y

        patch.setattr(supernet_module, "together", together)
        patch.setattr(functional, "max_pool2d", max_pool2d)


@pytest.mark.parametrize("vertices", [3, 5, 6])
@pytest.mark.parametrize(
    ("active", "divisor"),
    [([0, 1, 2], 1), ([0, 1, 2], 2), ([0], 1), ([2], 1), ([1, 2], 4)],
)
def test_the_work_of_a_mixture_is_what_is_computed(
    vertices: int, active: list[int], divisor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = supernet(vertices, affine=False)
    mixture = replace(ones(vertices, 0), active=[active] * (vertices - 2), channel_divisor=divisor)
    counter = Counter(monkeypatch)
    shared(IMAGES, mixture)
    predicted = dict(zip(KINDS, mixture.work(SKELETON, (7, 5, 3)), strict=True))
    for kind, count in counter.done.items():
        if kind not in ("constant", "sums and concatenations"):
            assert predicted[kind] == count, kind


@pytest.mark.parametrize("vertices", [3, 5, 7])
def test_with_one_operation_a_vertex_the_work_is_the_complete_cells(vertices: int) -> None:
    """But for one more operand a vertex: its operation times a weight."""
    for code in (0, 3 ** (vertices - 2) - 1, 5 % 3 ** (vertices - 2)):
        active = [[code // 3**v % 3] for v in range(vertices - 2)]
        mixture = replace(ones(vertices, code), active=active)
        found = mixture.work(SKELETON, (7, 5, 3))
        expected = work(complete(vertices, code), SKELETON, (7, 5, 3))
        assert found[:-1].tolist() == expected[:-1].tolist()
        weighted = 2 * (7 * 35) + 2 * (14 * 12)  # channels x pixels of the four cells
        assert found[-1] == expected[-1] + weighted


# Errors -----------------------------------------------------------------------------------------


def test_too_many_vertices_are_refused() -> None:
    with pytest.raises(InvalidSetting, match="has 5 vertices, the supernet weights for 4"):
        supernet(4)(IMAGES, complete(5))


def test_unused_vertices_are_no_obstacle() -> None:
    cell = Cell.from_text("00001/00000/00000/00000/00000:conv3x3,conv3x3,conv3x3")
    shared = supernet(4)
    assert torch.equal(shared(IMAGES, cell), shared(IMAGES, cell.pruned()))


def test_other_operations_are_refused() -> None:
    register_operation("supernet-test-operation")
    cell = Cell([[0, 1, 0], [0, 0, 1], [0, 0, 0]], ["supernet-test-operation"])
    with pytest.raises(
        InvalidSetting, match="no weights for the operation 'supernet-test-operation'"
    ):
        supernet(4)(IMAGES, cell)


def test_a_narrow_skeleton_is_refused() -> None:
    with pytest.raises(InvalidSetting, match="5 vertices share out 4 channels"):
        supernet(7, Skeleton(4, 1, 1))
