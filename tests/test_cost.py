"""Prices: the work of a network counted by hand, and models that recover planted costs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from nasbench_pytorch.model.model import compute_vertex_channels

from nasbench_kit import Cell, CellSpace, Column, InvalidSetting, NotRecorded, Table
from nasbench_kit.oracle.cost import CostModel
from nasbench_kit.spaces.nasbench101.work import KINDS, vertex_channels, work
from nasbench_kit.spaces.skeleton import Skeleton

SMALL = Skeleton(stem_channels=16, stacks=3, cells_per_stack=1)
IMAGE = (8, 8, 1)


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), channels=st.integers(8, 512))
def test_channels_are_those_of_nasbench(seed: int, channels: int) -> None:
    cell = CellSpace().sample(np.random.default_rng(seed)).pruned()
    ours = vertex_channels(cell, channels)
    assert ours[1:] == compute_vertex_channels(3, channels, cell.matrix)[1:]


def counted(**kinds: float) -> list[float]:
    return [kinds.get(kind.replace(" ", "_"), 0.0) for kind in KINDS]


def test_the_work_of_the_two_vertex_cell_by_hand() -> None:
    """Stem, then one 1x1 projection a stack: 16, 32 and 64 channels on 64, 16 and 4 pixels."""
    done = work(Cell([[0, 1], [0, 0]], []), SMALL, IMAGE)
    expected = counted(
        constant=1,
        conv3x3_layers=1,
        conv3x3_multiplications=9 * 1 * 16 * 64,
        conv1x1_layers=3,
        conv1x1_multiplications=16 * 16 * 64 + 16 * 32 * 16 + 32 * 64 * 4,
        convolution_outputs=2 * 16 * 64 + 32 * 16 + 64 * 4,
        pool_layers=2,
        pool_outputs=16 * 16 + 32 * 4,
        sums_and_concatenations=16 * 64 + 32 * 16 + 64 * 4,
    )
    assert done.tolist() == expected


def test_unused_vertices_do_no_work() -> None:
    cell = Cell([[0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]], ["conv3x3", "conv3x3"])
    two = Cell([[0, 1], [0, 0]], [])
    assert work(cell, SMALL, IMAGE).tolist() == work(two, SMALL, IMAGE).tolist()


def a_table(space: CellSpace, seconds: np.ndarray) -> Table:
    column = Column(np.tile(seconds.astype(np.float32)[:, None, None], (1, 1, 2)))
    return Table(space, (10,), {("final", "seconds"): column}, provenance={"name": "planted"})


@pytest.fixture(scope="module")
def planted() -> tuple[CellSpace, np.ndarray]:
    """Seconds of ten epochs that are a planted sum over layers."""
    space = CellSpace(5)
    cost = np.array([2e-2, 3e-3, 2e-8, 1e-3, 5e-8, 1e-7, 2e-3, 3e-8, 0])
    return space, np.array([work(cell, SMALL, IMAGE) @ cost for cell in space]) * 10


def test_a_planted_sum_over_layers_is_recovered(planted: tuple[CellSpace, np.ndarray]) -> None:
    space, seconds = planted
    model = CostModel(a_table(space, seconds), SMALL, IMAGE)
    additive, corrected = model.quality()
    assert additive.r2 > 0.9999 and corrected.r2 > 0.999
    # Ratios hold far outside the table too: a cell of seven vertices.
    outside, inside = Cell.named("inception"), space[1000]
    ratio = model.additive(work(outside, SMALL, IMAGE)) / model.additive(work(inside, SMALL, IMAGE))
    cost = np.array([2e-2, 3e-3, 2e-8, 1e-3, 5e-8, 1e-7, 2e-3, 3e-8, 0])
    known = (work(outside, SMALL, IMAGE) @ cost) / (work(inside, SMALL, IMAGE) @ cost)
    assert ratio == pytest.approx(known, rel=1e-3)


def test_what_adding_up_misses_is_corrected(planted: tuple[CellSpace, np.ndarray]) -> None:
    """Cells of two feeders planted 20 % costlier: only the corrected model can tell."""
    space, seconds = planted
    feeders = np.array([sum(v == cell.size - 1 for _, v in cell.edges()) for cell in space])
    costlier = seconds * np.where(feeders == 2, 1.2, 1.0)
    additive, corrected = CostModel(a_table(space, costlier), SMALL, IMAGE).quality()
    assert corrected.median_error < 0.01 < additive.median_error


def test_prices_are_deterministic_and_proportional(planted: tuple[CellSpace, np.ndarray]) -> None:
    space, seconds = planted
    cell = Cell.named("best")
    one, again = (CostModel(a_table(space, seconds), SMALL, IMAGE) for _ in range(2))
    assert one.price(cell, 36) == again.price(cell, 36)
    assert one.price(cell, 36) == pytest.approx(9 * one.price(cell, 4))
    assert one.price(cell, 36, halfway=True) == pytest.approx(one.price(cell, 18))


def test_too_few_cells_or_no_seconds_are_refused() -> None:
    space = CellSpace(3)
    with pytest.raises(InvalidSetting, match="has 7 rows; a cost model needs 36"):
        CostModel(a_table(space, np.ones(7)), SMALL, IMAGE)
    accuracy = Column(np.ones((7, 1, 1), np.uint16), 2)
    table = Table(space, (10,), {("final", "validation_accuracy"): accuracy})
    with pytest.raises(NotRecorded, match="no seconds"):
        CostModel(table, SMALL, IMAGE)
