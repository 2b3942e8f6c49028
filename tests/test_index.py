"""The direct-address index beside slow, obvious versions of what it tabulates."""

from __future__ import annotations

import contextlib
import itertools
from collections import defaultdict
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from nasbench_kit import Cell, CellSpace, CorruptFile, InvalidCell, InvalidSetting
from nasbench_kit.spaces.nasbench101.index import Index, build, cached

#: Counted by independent programs: upper triangular matrices with all V vertices in use and at most
#: 9 edges, and how many of them are not isomorphic, for V = 2 ... 7.
PATTERNS = (1, 2, 10, 121, 1545, 4793)
GRAPHS = (1, 2, 10, 97, 810, 1574)


@pytest.fixture(scope="module")
def index(full_space: CellSpace) -> Index:
    return full_space.direct


def slow_key(matrix: NDArray[np.int8], operations: tuple[str, ...]) -> tuple[bytes, list[str]]:
    """The least of all relabellings of the interior, upper triangular or not: a canonical form."""
    last = len(matrix) - 1
    orders = ([0, *interior, last] for interior in itertools.permutations(range(1, last)))
    return min(
        (matrix[np.ix_(order, order)].tobytes(), [operations[v] for v in order]) for order in orders
    )


def slowly_built(vertices: int, max_edges: int) -> list[tuple[int, int, int]]:
    """(size, bits, code) of every cell in row order, by the definition of the order."""
    least: dict[tuple[bytes, list[str]] | str, tuple[int, int, int]] = {}
    for size in range(2, vertices + 1):
        pairs = size * (size - 1) // 2
        for bits, code in itertools.product(range(1 << pairs), range(3 ** (size - 2))):
            cell = Cell.from_codes(size, bits, code)
            in_use = cell.used() == (1 << size) - 1
            if in_use and bits.bit_count() <= max_edges:
                key = str(slow_key(cell.matrix, cell.operations))
                least[key] = min(least.get(key, (size, bits, code)), (size, bits, code))
    return sorted(least.values())


@pytest.mark.parametrize(("vertices", "max_edges"), [(2, 1), (3, 9), (4, 9), (4, 3), (5, 9)])
def test_rows_are_the_least_labellings_in_ascending_order(vertices: int, max_edges: int) -> None:
    cells = CellSpace(vertices, max_edges)
    assert [(c.size, c.bits, c.code) for c in cells] == slowly_built(vertices, max_edges)


def test_rows_are_the_isomorphism_classes(full_space: CellSpace) -> None:
    """Equal rows, equal least relabelling over all 120 permutations; random cells and relabellings."""
    rng = np.random.default_rng(0)
    row_of, key_of = defaultdict(set), defaultdict(set)
    for _ in range(150):
        cell = full_space.sample(rng).pruned()
        for _ in range(3):
            cell = relabelled(cell, rng)
            key = str(slow_key(cell.matrix, cell.operations))
            row = full_space.index(cell)
            row_of[key].add(row)
            key_of[row].add(key)
    assert all(len(rows) == 1 for rows in row_of.values())
    assert all(len(keys) == 1 for keys in key_of.values())


def relabelled(cell: Cell, rng: np.random.Generator) -> Cell:
    """The cell with its interior vertices in a random order that keeps it upper triangular."""
    while True:
        order = [0, *(1 + rng.permutation(cell.size - 2)), cell.size - 1]
        try:
            moved = Cell(cell.matrix[np.ix_(order, order)], [cell.operations[v] for v in order])
        except InvalidCell:
            continue
        return moved


def test_rows_of_one_graph_differ_unless_its_labellings_are_isomorphic(
    full_space: CellSpace,
) -> None:
    """All 243 labellings of random graphs: where cells merge is where wrong automorphisms show."""
    rng = np.random.default_rng(1)
    symmetric = Cell.from_text(
        "0111110/0000001/0000001/0000001/0000001/0000000/0000000:" + ",".join(["conv3x3"] * 5)
    )
    for cell in [symmetric, *(full_space.sample(rng) for _ in range(8))]:
        rows, keys = [], []
        for code in range(243):
            labelled = Cell.from_codes(7, cell.bits, code).pruned()
            rows.append(full_space.index(labelled))
            keys.append(str(slow_key(labelled.matrix, labelled.operations)))
        assert len(set(zip(rows, keys, strict=True))) == len(set(rows)) == len(set(keys))


def test_numbers_of_matrices_and_graphs(index: Index) -> None:
    assert np.count_nonzero(index.entries) == 1_538_083
    sizes = index.graph_size[1:].astype(int)  # interior vertices
    assert tuple(np.bincount(sizes)) == GRAPHS
    assert (np.diff(sizes) >= 0).all()
    for size, patterns in enumerate(PATTERNS, start=2):
        small = build(size, 9)
        in_use = small.graph_size[small.entries >> 17] == size - 2
        assert np.count_nonzero(in_use & (small.entries > 0)) == patterns


def test_valid_matrices_are_those_of_cells_of_at_most_nine_edges(index: Index) -> None:
    rng = np.random.default_rng(2)
    for bits in rng.integers(1 << 21, size=3000).tolist():
        matrix = np.zeros((7, 7), int)
        for u, v in itertools.combinations(range(7), 2):
            matrix[u, v] = bits >> (u + v * (v - 1) // 2) & 1
        try:
            valid = len(Cell(matrix, ["conv3x3"] * 5).pruned().edges()) <= 9
        except InvalidCell:
            valid = False
        assert (index.entries[bits] > 0) == valid


def test_larger_edge_limits_are_exact_or_refused() -> None:
    with pytest.raises(InvalidSetting, match=r"max_edges is 12; .* covers 11 at most"):
        CellSpace(7, 12)
    large = CellSpace(7, 11)
    assert len(large) > 423_624
    for row in np.random.default_rng(3).integers(len(large), size=300).tolist():
        assert large.index(large[row]) == row


# The cache -------------------------------------------------------------------------------------


def arrays(index: Index) -> dict[str, bytes]:
    return {field.name: getattr(index, field.name).tobytes() for field in fields(index)}


def test_a_saved_index_is_loaded_as_it_was(tmp_path: Path) -> None:
    built = build(5, 9)
    built.save(tmp_path / "index.npz", 9)
    loaded = Index.load(tmp_path / "index.npz", 5, 9)
    assert arrays(loaded) == arrays(built)
    assert loaded.digest() == built.digest()
    assert [path.name for path in tmp_path.iterdir()] == ["index.npz"]


def test_every_truncated_or_altered_index_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "index.npz"
    built = build(4, 9)
    built.save(path, 9)
    whole = path.read_bytes()
    for length in (*range(0, len(whole), 199), len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(CorruptFile, match=r"index\.npz .*; delete it"):
            Index.load(path, 4, 9)
    for place in range(0, len(whole), 61):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        with contextlib.suppress(CorruptFile):
            # Some bytes of a zip file mean nothing, such as its clock.
            assert arrays(Index.load(path, 4, 9)) == arrays(built)


def test_the_index_is_kept_in_the_cache_and_rebuilt_when_that_is_damaged(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NASBENCH_KIT_HOME", str(tmp_path))
    load = cached.__wrapped__  # without what this process remembers
    path = tmp_path / "index-v7e9.npz"
    assert arrays(load(7, 9)) == arrays(index)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1000])
    assert arrays(load(7, 9)) == arrays(index)
    assert path.read_bytes() == whole

    build(7, 8).save(path, 8)  # another space's, under this one's name
    assert arrays(load(7, 9)) == arrays(index)
    build(6, 9).save(path, 9)
    assert arrays(load(7, 9)) == arrays(index)

    monkeypatch.setattr(
        "nasbench_kit.spaces.nasbench101.index.build", None
    )  # from here on it must be read
    assert arrays(load(7, 9)) == arrays(index)


def test_without_a_writable_cache_the_index_is_built(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NASBENCH_KIT_HOME", str(tmp_path / "file" / "home"))
    assert arrays(cached.__wrapped__(7, 9)) == arrays(index)
