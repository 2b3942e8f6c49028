"""The sub-spaces of NAS-Bench-1Shot1, complete and as published."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from nasbench_kit import CellSpace, UnknownName
from nasbench_kit.spaces.nasbench101.one_shot import PARENTS, topologies

#: Counted by an independent program, and by the released one, by space: topologies, their labelled cells, unique cells.
COMPLETE = {1: (66, 3_702, 2_685), 2: (190, 12_474, 7_773), 3: (876, 135_900, 55_854)}
PUBLISHED = {1: (49, 2_487, 2_127), 2: (65, 3_609, 3_258), 3: (234, 24_066, 17_940)}
EXPECTED = [
    (number, published, counts)
    for published, table in ((False, COMPLETE), (True, PUBLISHED))
    for number, counts in table.items()
]


@pytest.mark.parametrize(("number", "published", "counts"), EXPECTED)
def test_counts(number: int, published: bool, counts: tuple[int, int, int]) -> None:
    graphs = topologies(number, published=published)
    output = len(PARENTS[number])
    labelled = 0
    for bits in graphs:
        fed = [v for v in range(1, output) if bits >> v * (v - 1) // 2 & ((1 << v) - 1)]
        labelled += 3 ** len(fed)  # in a graph without loose ends, the vertices in use
    found = CellSpace.one_shot(number, published=published)
    assert (len(graphs), labelled, len(found)) == counts


@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_complete_space_holds_every_choice_of_parents(
    number: int, full_space: CellSpace
) -> None:
    """All parent patterns with all operations, up-scaled to 7 vertices, looked up one by one."""
    required = PARENTS[number]
    place = [*range(len(required)), 6]  # spaces 1 and 2 have an unused vertex before the output
    choices = [
        list(itertools.combinations(range(v), count)) for v, count in enumerate(required, start=1)
    ]
    patterns = list(itertools.product(*choices))
    matrices = np.zeros((len(patterns), 7, 7), np.int8)
    for matrix, pattern in zip(matrices, patterns, strict=True):
        for v, chosen in enumerate(pattern, start=1):
            matrix[list(chosen), place[v]] = 1
    assert (matrices.sum(axis=(1, 2)) == 9).all()
    interior = len(required) - 1
    operations = np.array(
        [choice + (0,) * (5 - interior) for choice in itertools.product(range(3), repeat=interior)],
        np.int8,
    )
    rows = np.unique(
        full_space.indices(
            np.repeat(matrices, len(operations), axis=0),
            np.tile(operations, (len(matrices), 1)),
        )
    )
    found = CellSpace.one_shot(number)
    assert len(found) == len(rows)
    assert all(full_space[row] in found for row in rows[:: max(1, len(rows) // 2000)].tolist())


@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_published_space_is_a_part_of_the_complete_one(number: int) -> None:
    assert topologies(number, published=True) < topologies(number)
    complete = CellSpace.one_shot(number)
    published = CellSpace.one_shot(number, published=True)
    assert all(cell in complete for cell in itertools.islice(published, 0, None, 7))


def test_names() -> None:
    for published in (False, True):
        named = CellSpace.one_shot(2, published=published)
        assert CellSpace.named(named.name) == named
    assert CellSpace.one_shot(2, published=True) != CellSpace.one_shot(2)


def test_there_are_three_spaces() -> None:
    with pytest.raises(UnknownName, match="has no space 4; its spaces are 1, 2 and 3"):
        CellSpace.one_shot(4)
