"""Every search of edge-labelled cells finds the one operation that the images need, on two problems.

Textures are told apart by a 3x3 convolution alone. Gates are moved by what a scale of their output does to
the loss, so that an operation which has solved its task moves them no more, and batch norm behind a single edge
takes that scale away; for them shades pass through a convolution, and not through noise or nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from test_edge_cells_sharing import ELSEWHERE
from test_path_searches import SEARCHES as ON_EDGES

from nasbench_kit import Budget, Oracle
from nasbench_kit.algorithms.weight_sharing.enas import ENAS
from nasbench_kit.algorithms.weight_sharing.gradient import Differentiable
from nasbench_kit.algorithms.weight_sharing.proxyless import ProxylessNAS
from nasbench_kit.oracle.task import Task
from nasbench_kit.spaces.decisions import Choices
from nasbench_kit.spaces.edge_cells import cell
from nasbench_kit.spaces.edge_cells.cell import Edge, Layer, Slot
from nasbench_kit.spaces.edge_cells.space import EdgeCellSpace
from nasbench_kit.spaces.protocols import Decision
from nasbench_kit.spaces.skeleton import Skeleton
from nasbench_kit.testing.made_up import made_up_table
from nasbench_kit.testing.textures import texture_task
from nasbench_kit.training.images import ImageSet, Split

torch.set_num_threads(1)

TEXTURED = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3")
SHADED = ("none", "noise", "nor_conv_1x1")


class OneEdge(EdgeCellSpace):
    """A cell of one edge."""

    def __init__(self, name: str, operations: tuple[str, ...], normalised_head: bool) -> None:
        self.name = name
        self.decisions = (Decision("edge 0-1", operations),)
        self.slots = (Slot(0, 0, 1, operations),)
        self.normalised_head = normalised_head

    def layers(self, skeleton: Skeleton) -> list[Layer]:
        return cell.stages(skeleton)

    def taken(self, architecture: Choices) -> dict[int, int]:
        return dict(enumerate(self.encode(architecture)))

    def strongest(
        self, strengths: NDArray[np.float64], of_edges: NDArray[np.float64]
    ) -> dict[int, int]:
        return dict(enumerate(strengths.argmax(1).tolist()))

    def made_of(self, taken: Mapping[int, int]) -> Choices:
        return Choices(self, (taken[0],))

    def work_of(
        self,
        slots: Sequence[tuple[int, int]],
        skeleton: Skeleton,
        image_shape: tuple[int, int, int],
        channel_divisor: int = 1,
    ) -> NDArray[np.float64]:
        edges = [Edge(0, 1, self.slots[0].operations[option]) for _, option in slots]
        return cell.work(edges, self.layers(skeleton), image_shape, channel_divisor)


def chosen(search: Any, space: OneEdge, task: Task, seed: int) -> str:
    """The operation that a search ends at."""
    table = made_up_table(space)
    oracle = Oracle(table, Budget(epochs=1e6), np.random.default_rng(seed), task=task)
    *_, last = search(oracle, np.random.default_rng(seed + 1))
    return space.slots[0].operations[last.options[0]]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", [*ELSEWHERE, "p-darts"])
def test_each_finds_the_convolution_that_textures_need(name: str, seed: int) -> None:
    search: Any = replace({**ELSEWHERE, **ON_EDGES}[name], epochs=12, batch_size=32)
    if isinstance(search, Differentiable):
        search = replace(search, architecture_learning_rate=0.05)
    if name == "gdas":  # a step trains one operation
        search = replace(
            search,
            epochs=80,
            architecture_learning_rate=0.03,
            architecture_weight_decay=0.0,
        )
    if not isinstance(search, Differentiable):  # steps are shared out among the operations
        search = replace(search, epochs=40)
        if isinstance(search, ENAS):
            search = replace(search, controller_steps=10)
    space = OneEdge("textured", TEXTURED, normalised_head=True)
    assert chosen(search, space, texture_task(128), seed) == "nor_conv_3x3"


def shades(count: int, seed: int) -> Split:
    """Noise around a half for class 1, around minus a half for class 0: float32 [count, 6, 6, 1]."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    drawn = rng.normal(0, 1, (count, 6, 6, 1)) + (labels - 0.5)[:, None, None, None]
    return Split(drawn.astype(np.float32), labels)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("gates", ["two", "full"])
def test_gates_open_the_way_that_shades_pass(gates: str, seed: int) -> None:
    images = ImageSet(
        "shades",
        train=shades(128, 0),
        validation=shades(128, 1),
        test=shades(2, 2),
        classes=2,
        mean=(0.0,),
        std=(1.0,),
        evaluated=(128, 128, 2),
    )
    task = Task.of(images, texture_task(2).recipe, None)
    search = replace(
        ProxylessNAS.small(),
        epochs=30,
        batch_size=32,
        gates=gates,
        architecture_learning_rate=0.02,
    )
    space = OneEdge("shaded", SHADED, normalised_head=False)
    assert chosen(search, space, task, seed) == "nor_conv_1x1"
