"""Encodings A, B and C: the published cell, exact shares of valid points, independent decoders."""

from __future__ import annotations

import itertools
from math import comb

import numpy as np
import pytest
from numpy.typing import NDArray

from nasbench_kit import Cell, CellSpace, InvalidSetting
from nasbench_kit.spaces.nasbench101.encodings import Encoding, Letter

CONV1X1, CONV3X3, POOL = range(3)  # the order of nas_cifar10


def all_patterns_of_a(space: CellSpace) -> NDArray[np.bool_]:
    """Which of the 2 ** 21 edge patterns are valid; edge i of A is bit i."""
    upper = np.triu_indices(7, 1)  # row-major
    valid = []
    for start in range(0, 1 << 21, 1 << 18):
        patterns = np.arange(start, start + (1 << 18))
        matrices = np.zeros((len(patterns), 7, 7), np.int8)
        matrices[:, *upper] = patterns[:, None] >> np.arange(21) & 1
        valid.append(space.indices(matrices, np.zeros((len(patterns), 5), np.int8)) >= 0)
    return np.concatenate(valid)


def connected_patterns_of_a() -> int:
    """How many edge patterns join input and output: vertex by vertex, over the set reached so far.

    A vertex beyond the input is reached by any of 2 ** n - 1 choices of its edges from the n reached
    ones; its edges from the others are free.
    """
    ways = {1: 1}  # number reached -> patterns, before vertex v
    for v in range(1, 6):
        after: dict[int, int] = {}
        for n, count in ways.items():
            free = 2 ** (v - n)
            after[n + 1] = after.get(n + 1, 0) + count * (2**n - 1) * free
            after[n] = after.get(n, 0) + count * free
        ways = after
    return sum(count * (2**n - 1) * 2 ** (6 - n) for n, count in ways.items())


@pytest.fixture(scope="module")
def valid(full_space: CellSpace) -> NDArray[np.bool_]:
    return all_patterns_of_a(full_space)


def test_the_inception_like_cell_in_encoding_a(full_space: CellSpace) -> None:
    edges = [int(i in {0, 1, 2, 4, 10, 14, 15, 19, 20}) for i in range(21)]
    point = [*edges, CONV1X1, CONV3X3, CONV3X3, CONV3X3, POOL]
    cell = Encoding("A", full_space).decode(point)
    assert cell == Cell.named("inception")
    assert cell.hash == "28cfc7874f6d200472e1a9dcd8650aa0"


def test_shares_of_uniform_patterns_of_a(valid: NDArray[np.bool_]) -> None:
    """Counted by an independent program: 73.34 % valid, 19.52 % too many edges, 7.13 % apart."""
    connected = connected_patterns_of_a()
    assert valid.sum() == 1_538_083
    shares = np.array([valid.sum(), connected - valid.sum(), 2**21 - connected]) / 2**21
    assert np.round(100 * shares, 2).tolist() == [73.34, 19.52, 7.13]


def sampled(encoding: Encoding, count: int, seed: int) -> list[list[float]]:
    rng = np.random.default_rng(seed)
    return [
        [
            rng.random() if variable.kind == "real" else int(rng.integers(variable.size))
            for variable in encoding.variables
        ]
        for _ in range(count)
    ]


@pytest.mark.parametrize("letter", ["A", "B", "C"])
def test_shares_of_valid_points(
    letter: Letter, full_space: CellSpace, valid: NDArray[np.bool_]
) -> None:
    """Exact: a pattern of k edges is drawn by surjections(9, k) / 21 ** 9 of B's points, and by

    1 / 10 / C(21, k) of C's.
    """
    size = np.bitwise_count(np.arange(1 << 21))
    patterns = [int(np.sum(valid[size == k])) for k in range(22)]
    onto = [sum((-1) ** j * comb(k, j) * (k - j) ** 9 for j in range(k + 1)) for k in range(10)]
    share = {
        "A": sum(patterns) / 2**21,
        "B": sum(patterns[k] * onto[k] for k in range(10)) / 21**9,
        "C": sum(patterns[k] / comb(21, k) for k in range(10)) / 10,
    }[letter]
    if letter == "B":
        assert share == pytest.approx(0.786, abs=1e-3)  # the fact sheet's, of 200,000 samples
    encoding = Encoding(letter, full_space)
    count = 3_000
    found = sum(encoding.decode(point) is not None for point in sampled(encoding, count, 1))
    assert abs(found - count * share) < 5 * np.sqrt(count * share * (1 - share))  # five sigma


def decoded_slowly(letter: Letter, point: list[float], space: CellSpace) -> Cell | None:
    """The words of the fact sheet, matrix entry by matrix entry."""
    matrix = np.zeros((7, 7), int)
    edges, operations = point[:-5], point[-5:]
    row_major = list(itertools.combinations(range(7), 2))
    column_major = [(u, v) for v in range(7) for u in range(v)]
    if letter == "A":
        chosen = [row_major[i] for i, there in enumerate(edges) if there]
    elif letter == "B":  # index k is bit 20 - k of the column-major enumeration
        chosen = [column_major[20 - int(k)] for k in edges]
    else:
        largest = np.argsort([-weight for weight in edges[:-1]])[: int(edges[-1])]
        chosen = [row_major[i] for i in largest]
    for u, v in chosen:
        matrix[u, v] = 1
    names = ["conv1x1", "conv3x3", "maxpool3x3"]
    try:
        cell = Cell(matrix, [names[int(operation)] for operation in operations])
    except ValueError:
        return None
    return cell if cell in space else None


@pytest.mark.parametrize("letter", ["A", "B", "C"])
def test_decoding_is_that_of_a_slow_decoder(letter: Letter, full_space: CellSpace) -> None:
    encoding = Encoding(letter, full_space)
    for point in sampled(encoding, 300, 7):
        cell, slow = encoding.decode(point), decoded_slowly(letter, point, full_space)
        assert (cell is None) == (slow is None)
        if cell is not None and slow is not None:  # in the same labelling
            assert (cell.bits, cell.code) == (slow.bits, slow.code)


def test_a_labelled_cell_has_one_point_of_a(full_space: CellSpace) -> None:
    encoding = Encoding("A", full_space)
    for seed in range(50):
        cell = full_space.sample(np.random.default_rng(seed))
        point = encoding.encode(cell)
        again = encoding.decode(point)
        assert again is not None
        assert (again.bits, again.code) == (cell.bits, cell.code)
        assert encoding.encode(again) == point


def test_variables_are_named_as_published(full_space: CellSpace) -> None:
    names = {letter: [v.name for v in Encoding(letter, full_space).variables] for letter in "ABC"}  # type: ignore[arg-type]
    operations = [f"op_node_{i}" for i in range(5)]
    assert names["A"] == [f"edge_{i}" for i in range(21)] + operations
    assert names["B"] == [f"edge_{i}" for i in range(9)] + operations
    assert names["C"] == [*(f"edge_{i}" for i in range(21)), "num_edges", *operations]


def test_smaller_spaces_have_fewer_variables() -> None:
    space = CellSpace(5, 6)
    assert [v.size for v in Encoding("A", space).variables] == [2] * 10 + [3] * 3
    assert [v.size for v in Encoding("B", space).variables] == [10] * 6 + [3] * 3
    assert [v.kind for v in Encoding("C", space).variables][9:] == ["real", "integer"] + [
        "choice"
    ] * 3
    assert Encoding("C", space).variables[10].size == 7


def test_mistakes_are_refused() -> None:
    space = CellSpace(4)
    with pytest.raises(InvalidSetting, match="encoding is 'D'; choose one of A, B, C"):
        Encoding("D", space)  # type: ignore[arg-type]
    with pytest.raises(InvalidSetting, match="no one point of encoding B"):
        Encoding("B", space).encode(space.sample(np.random.default_rng(0)))
    with pytest.raises(InvalidSetting, match="a cell of 2 vertices"):
        Encoding("A", space).encode(Cell([[0, 1], [0, 0]], []))
