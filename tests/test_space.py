"""The cell space: counts, rows, hashes, batches, sampling, mutation, distance, sub-spaces."""

from __future__ import annotations

import gzip
import itertools
import json
import pickle
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as arrays

from nasbench_kit import Cell, CellSpace, InvalidCell, InvalidSetting, NotInSpace, UnknownName
from nasbench_kit.spaces.nasbench101 import hashes as hashing
from nasbench_kit.spaces.nasbench101.cell import OPERATIONS

SHARED = Path(__file__).parents[1].parent / "shared"
#: Unique cells by number of vertices, from two (Ying et al. 2019: 423,624 in all).
COUNTS = (1, 6, 84, 2_441, 62_010, 359_082)


@pytest.fixture(scope="module")
def official_keys() -> list[str]:
    path = SHARED / "data" / "nasbench101_sample.json.gz"
    if not path.exists():
        pytest.skip(f"{path} is absent: the official keys come with the development data")
    with gzip.open(path, "rt") as file:
        keys: list[str] = json.load(file)["key"]
    return keys


def chi_square(seen: Iterable[Hashable], expected: Mapping[Any, float]) -> float:
    """Standard deviations by which a chi-square exceeds its mean: counts of ``seen`` against odds.

    With k outcomes the statistic has mean k - 1 and variance 2 (k - 1); under 6 of these deviations
    is demanded, which chance passes by once in well over a million runs.
    """
    counts = Counter(seen)
    assert set(counts) <= set(expected)
    scale = sum(counts.values()) / sum(expected.values())
    statistic = sum(
        (counts[k] - scale * odds) ** 2 / (scale * odds) for k, odds in expected.items()
    )
    freedom = len(expected) - 1
    return float((statistic - freedom) / np.sqrt(2 * freedom))


def encodings(space: CellSpace) -> dict[tuple[int, int], int]:
    """The row of every valid encoding (bits, code) of a small space, one cell at a time."""
    size = space.max_vertices
    rows = {}
    for bits in range(1 << size * (size - 1) // 2):
        for code in range(3 ** (size - 2)):
            if Cell.from_codes(size, bits, code).used() & 1:
                cell = Cell(Cell.from_codes(size, bits, code).matrix, names(code, size))
                rows[bits, code] = space.index(cell)
    return rows


def names(code: int, size: int) -> list[str]:
    return [OPERATIONS[code // 3**v % 3] for v in range(size - 2)]


# Counts and order ------------------------------------------------------------------------------


def test_number_of_cells(full_space: CellSpace) -> None:
    assert len(full_space) == 423_624
    assert [len(CellSpace(size)) for size in range(2, 8)] == list(itertools.accumulate(COUNTS))
    assert len(CellSpace(5)) == 2_532


@pytest.mark.parametrize("vertices", range(2, 7))
def test_a_smaller_space_is_a_prefix_of_a_larger_one(vertices: int, full_space: CellSpace) -> None:
    small = CellSpace(vertices)
    rows = range(len(small)) if vertices < 6 else range(0, len(small), 29)
    for row in (*rows, len(small) - 1):
        assert small[row].to_text() == full_space[row].to_text()
    assert full_space[len(small)].size == vertices + 1


def test_every_row_is_found_again(full_space: CellSpace) -> None:
    for row in (*range(3000), *range(3000, len(full_space), 97), len(full_space) - 1):
        cell = full_space[row]
        assert full_space.index(cell) == row
        assert full_space.index(Cell(cell.matrix, cell.operations)) == row


def test_iteration_and_membership() -> None:
    space = CellSpace(4)
    assert [space.index(cell) for cell in space] == list(range(91))
    assert Cell.named("resnet") in space
    assert Cell.named("inception") not in space
    assert "resnet" not in space


def test_fewer_edges_make_a_sub_space(full_space: CellSpace) -> None:
    edges = np.bitwise_count(full_space.direct.graph_bits[full_space.direct.row_graph])
    for limit in (1, 6, 8):
        space = CellSpace(7, limit)
        assert len(space) == np.count_nonzero(edges <= limit)
        assert all(cell in full_space for cell in itertools.islice(space, 0, None, 500))


def test_limits_that_say_the_same_are_the_same_space() -> None:
    assert CellSpace(3, 9) == CellSpace(3, 3) != CellSpace(3, 2)
    assert hash(CellSpace(3, 9)) == hash(CellSpace(3, 3))


@pytest.mark.parametrize("name", ["v2e1", "v5e9", "v7e9", "v6e4", "1shot1-1", "1shot1-3-published"])
def test_a_space_is_found_by_its_name_and_pickles(name: str) -> None:
    space = CellSpace.named(name)
    again = pickle.loads(pickle.dumps(space))
    assert space.name == again.name == name
    assert again == space
    assert again.digest == space.digest


def test_a_restricted_space_pickles() -> None:
    space = CellSpace(4).restricted(np.arange(5, 25, 2), "some")
    again = pickle.loads(pickle.dumps(space))
    assert [cell.to_text() for cell in again] == [cell.to_text() for cell in space]


def test_a_restricted_space_keeps_the_chosen_rows_in_order() -> None:
    space = CellSpace(5)
    kept = np.sort(np.random.default_rng(0).choice(len(space), 300, replace=False))
    part = space.restricted(kept, "part")
    assert (len(part), part.name) == (300, "part")
    assert [cell.to_text() for cell in part] == [space[row].to_text() for row in kept.tolist()]
    for row, cell in enumerate(space):
        assert (cell in part) == (row in kept)
    assert all(part.index(cell) == row for row, cell in enumerate(part))


# Hashes ----------------------------------------------------------------------------------------


def test_all_hashes_are_distinct_and_of_their_row(full_space: CellSpace) -> None:
    hashes = full_space.hashes()
    assert (hashes.shape, hashes.dtype) == ((423_624,), np.dtype("S32"))
    assert len(np.unique(hashes)) == len(full_space)
    for row in np.random.default_rng(0).integers(len(full_space), size=500).tolist():
        assert hashes[row].decode() == full_space[row].hash
        assert full_space.index_of_hash(full_space[row].hash) == row


def test_hashes_of_a_small_space_are_a_prefix(full_space: CellSpace) -> None:
    small = CellSpace(5)
    assert (small.hashes() == full_space.hashes()[: len(small)]).all()


@pytest.mark.shared
def test_every_official_key_is_found(full_space: CellSpace, official_keys: list[str]) -> None:
    assert len(official_keys) == 20_001
    rows = [full_space.index_of_hash(key) for key in official_keys]
    assert len(set(rows)) == len(rows)
    for key, row in itertools.islice(zip(official_keys, rows, strict=True), 0, None, 50):
        assert full_space[row].hash == key


@pytest.mark.parametrize(
    "md5", ["", "0", "0" * 32, "f" * 32, "é", "b5fb4f6193360330b6ff6a52cbf0cad"]
)
def test_an_unknown_hash_is_refused(md5: str) -> None:
    with pytest.raises(NotInSpace, match=f"no cell of the space v4e6 has the hash '{md5}'"):
        CellSpace(4).index_of_hash(md5)


def test_hashes_are_kept_in_the_cache_and_made_again_when_that_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NASBENCH_KIT_HOME", str(tmp_path))
    monkeypatch.setattr(hashing, "_SMALL", 40)  # so that 91 cells go through processes and cache
    space = CellSpace(4)
    expected = [cell.hash.encode() for cell in space]
    assert hashing.of_space(space).tolist() == expected
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for damaged in (b"", whole[:50], whole[:-1], b"nonsense" * 100):
        path.write_bytes(damaged)
        assert hashing.of_space(space).tolist() == expected
        assert path.read_bytes() == whole

    monkeypatch.setattr(hashing, "_hash_all", None)  # from here on they must be read
    assert hashing.of_space(space).tolist() == expected


def test_an_altered_cache_of_hashes_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NASBENCH_KIT_HOME", str(tmp_path))
    monkeypatch.setattr(hashing, "_SMALL", 40)
    expected = hashing.of_space(CellSpace(4)).tolist()
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    assert hashing.of_space(CellSpace(4)).tolist() == expected


# Batches ---------------------------------------------------------------------------------------


def one_by_one(space: CellSpace, matrices: Any, operations: Any) -> list[int]:
    """What ``indices`` must say, through Cell and index."""
    rows = []
    for matrix, labels in zip(matrices.tolist(), operations.tolist(), strict=True):
        try:
            rows.append(space.index(Cell(matrix, [dict(enumerate(OPERATIONS))[v] for v in labels])))
        except (InvalidCell, NotInSpace, KeyError):
            rows.append(-1)
    return rows


@st.composite
def batches(draw: st.DrawFn, size: int) -> tuple[Any, Any]:
    """Mostly valid encodings, in any type of number, with wrong entries strewn in."""
    kind = draw(st.sampled_from(["i1", "u1", "?", "i2", "u2", "i4", "i8", "u8", "f2", "f4", "f8"]))
    count = draw(st.integers(0, 20))
    matrices = np.triu(
        draw(arrays.arrays("i1", (count, size, size), elements=st.integers(0, 1))), 1
    )
    operations = draw(arrays.arrays("i1", (count, size - 2), elements=st.integers(0, 2)))
    pair = matrices.astype(kind), operations.astype(kind)
    values: st.SearchStrategy[Any] = st.sampled_from([0, 1, 2, 3, 127])
    if kind[0] == "i":
        values |= st.sampled_from([-1, -2, -128, np.iinfo(kind).max, np.iinfo(kind).min])
    if kind in ("u2", "i4", "i8", "u8"):
        values |= st.sampled_from([255, 256, 257, 512])  # a wrapped byte must not pass
    if kind[0] == "f":
        values |= st.sampled_from([0.5, -1.0, 1.0001, -0.0, np.nan, np.inf])
    for _ in range(draw(st.integers(0, 4)) if count else 0):
        array = draw(st.sampled_from(pair))
        array.flat[draw(st.integers(0, array.size - 1))] = draw(values)
    return pair


@pytest.mark.parametrize("vertices", [3, 5, 7])
@given(data=st.data())
@settings(max_examples=100)
def test_a_batch_says_what_single_lookups_say(vertices: int, data: st.DataObject) -> None:
    space = CellSpace(vertices)
    matrices, operations = data.draw(batches(vertices))
    assert space.indices(matrices, operations).tolist() == one_by_one(space, matrices, operations)


def test_a_large_batch_of_garbage_in_any_memory_layout(full_space: CellSpace) -> None:
    """More cells than are looked up at a time, with lower triangular and foreign entries."""
    rng = np.random.default_rng(0)
    count = (1 << 15) + 1234
    upper = np.triu(np.ones((7, 7), bool), 1)
    matrices = ((rng.random((count, 7, 7)) < 0.45) & upper).astype(np.int8)
    strewn = rng.random((count, 7, 7)) < 0.002
    matrices[strewn] = rng.integers(-1, 3, np.count_nonzero(strewn))
    operations = rng.integers(0, 3, (count, 5), dtype=np.int8)
    strewn = rng.random((count, 5)) < 0.005
    operations[strewn] = rng.integers(-1, 4, np.count_nonzero(strewn))
    rows = full_space.indices(matrices, operations)
    some = np.r_[:2000, (1 << 15) - 1000 : count]
    assert rows[some].tolist() == one_by_one(full_space, matrices[some], operations[some])
    assert 0.1 < (rows >= 0).mean() < 0.9
    for other in (np.asfortranarray(matrices), np.repeat(matrices, 2, axis=0)[::2]):
        assert (full_space.indices(other, np.asfortranarray(operations)) == rows).all()


@pytest.mark.parametrize(
    ("matrices", "operations"),
    [((3, 6, 7), (3, 5)), ((3, 7, 7), (2, 5)), ((7, 7), (5,)), ((3, 7, 7), (3, 7))],
)
def test_batches_of_other_shapes_are_refused(
    matrices: tuple[int, ...], operations: tuple[int, ...], full_space: CellSpace
) -> None:
    with pytest.raises(
        InvalidSetting, match=r"do not fit; the space needs \[n, 7, 7\] and \[n, 5\]"
    ):
        full_space.indices(np.zeros(matrices, np.int8), np.zeros(operations, np.int8))


@pytest.mark.parametrize("kind", ["c8", "O", "U1", "S1", "M8[s]"])
def test_batches_of_anything_but_numbers_are_refused(kind: str) -> None:
    space, matrices = CellSpace(3), np.zeros((0, 3, 3))
    for pair in ((matrices.astype(kind), matrices[:, 0, :1]), (matrices, np.zeros((0, 1), kind))):
        with pytest.raises(InvalidSetting, match="give numbers"):
            space.indices(*pair)


# Sampling --------------------------------------------------------------------------------------


@pytest.mark.parametrize("vertices", [3, 4])
def test_a_sampled_cell_is_uniform_over_encodings(vertices: int) -> None:
    space = CellSpace(vertices)
    rng = np.random.default_rng(1)
    cells = [space.sample(rng) for _ in range(12_000)]
    assert {cell.size for cell in cells} == {vertices}
    odds = dict.fromkeys(encodings(space), 1.0)
    assert chi_square(((cell.bits, cell.code) for cell in cells), odds) < 6


def test_sampled_rows_are_as_likely_as_they_have_encodings() -> None:
    space = CellSpace(4)
    rows = space.sample(np.random.default_rng(2), 60_000)
    assert rows.shape == (60_000,)
    assert chi_square(rows.tolist(), Counter(encodings(space).values())) < 6


def test_sampling_over_cells_is_uniform_over_rows() -> None:
    space = CellSpace(4)
    rng = np.random.default_rng(3)
    odds = dict.fromkeys(range(len(space)), 1.0)
    assert chi_square(space.sample(rng, 40_000, over="cells").tolist(), odds) < 6
    cells = [space.sample(rng, over="cells") for _ in range(10_000)]
    assert chi_square(map(space.index, cells), odds) < 6


def test_sampling_a_restricted_space_keeps_the_odds_among_its_cells() -> None:
    whole = CellSpace(4)
    kept = np.array([1, 2, 8, 30, 31, 90])
    space = whole.restricted(kept)
    of_whole = Counter(encodings(whole).values())
    odds = {row: float(of_whole[kept_row]) for row, kept_row in enumerate(kept.tolist())}
    rng = np.random.default_rng(4)
    assert chi_square(space.sample(rng, 20_000).tolist(), odds) < 6
    assert chi_square((space.index(space.sample(rng)) for _ in range(10_000)), odds) < 6


def test_every_sampled_cell_of_a_one_shot_space_is_in_it() -> None:
    space = CellSpace.one_shot(1, published=True)
    rng = np.random.default_rng(5)
    assert all(space.sample(rng) in space for _ in range(50))
    rows = space.sample(rng, 500)
    assert ((rows >= 0) & (rows < len(space))).all()


@pytest.mark.parametrize("size", [None, 100])
@pytest.mark.parametrize("over", ["encodings", "cells"])
def test_the_same_seed_samples_the_same(full_space: CellSpace, size: Any, over: Any) -> None:
    def drawn(seed: int) -> list[str]:
        found = full_space.sample(np.random.default_rng(seed), size, over=over)
        return [found.to_text()] if isinstance(found, Cell) else list(map(str, found))

    assert drawn(7) == drawn(7) != drawn(8)


def test_sampling_over_something_else_is_refused() -> None:
    with pytest.raises(InvalidSetting, match="over is 'graphs'; choose 'encodings' or 'cells'"):
        CellSpace(3).sample(np.random.default_rng(0), over="graphs")  # type: ignore[call-overload]


# Mutation --------------------------------------------------------------------------------------


def edits_of(cell: Cell, size: int) -> dict[tuple[int, int], float]:
    """All single edits (bits, code) of a cell of that size, each with its share of its variable."""
    edits = {(cell.bits ^ 1 << edge, cell.code): 1.0 for edge in range(size * (size - 1) // 2)}
    for v in range(size - 2):
        label = cell.code // 3**v % 3
        for other in {0, 1, 2} - {label}:
            edits[cell.bits, cell.code + (other - label) * 3**v] = 0.5
    return edits


@pytest.mark.parametrize("text", ["inception", "best", "nine edges"])
def test_mutation_is_uniform_over_the_variables_with_a_valid_edit(
    text: str, full_space: CellSpace
) -> None:
    """26 variables, 21 edges and 5 operations; those whose edit leaves the space are drawn again."""
    if text == "nine edges":  # many flips lead to a tenth edge or cut the only path
        text = "0110000/0001000/0001000/0000110/0000001/0000001/0000000"
        cell = Cell.from_text(text + ":conv3x3,conv1x1,maxpool3x3,conv3x3,conv1x1")
    else:
        cell = Cell.named(text)
    odds = {
        edit: share
        for edit, share in edits_of(cell, 7).items()
        if Cell.from_codes(7, *edit).used() & 1 and Cell.from_codes(7, *edit) in full_space
    }
    rng = np.random.default_rng(6)
    mutants = [full_space.mutate(cell, rng) for _ in range(20_000)]
    assert chi_square(((mutant.bits, mutant.code) for mutant in mutants), odds) < 6


@pytest.mark.parametrize("vertices", [3, 4, 5])
def test_mutation_pads_the_cells_own_labelling_and_changes_one_variable(vertices: int) -> None:
    """A cell on two vertices is padded with unused ones of operation 0, so that it can grow."""
    space = CellSpace(vertices)
    rng = np.random.default_rng(7)
    two = space.mutate(Cell.from_text("01/00:"), rng)
    assert two.size == vertices
    straight = 1 << (vertices - 1) * (vertices - 2) // 2  # the edge from the input to the output
    assert ((two.bits ^ straight).bit_count(), two.code) in ((1, 0), (0, two.code))
    for _ in range(500):
        cell = space.sample(rng)
        mutant = space.mutate(cell, rng)
        assert (mutant.bits, mutant.code) in edits_of(cell, vertices)
        assert mutant in space


def test_mutation_stays_inside_a_restricted_space() -> None:
    space = CellSpace.one_shot(1)
    rng = np.random.default_rng(8)
    cell = space.sample(rng)
    for _ in range(30):
        cell = space.mutate(cell, rng)
        assert cell in space


def test_a_cell_without_any_edit_inside_cannot_be_mutated() -> None:
    with pytest.raises(NotInSpace, match="01/00: has no neighbour in the space v2e1"):
        CellSpace(2).mutate(Cell.from_text("01/00:"), np.random.default_rng(0))


# Distance --------------------------------------------------------------------------------------


def placements(cell: Cell, size: int) -> list[tuple[set[tuple[int, int]], dict[int, str]]]:
    """Edges and operations of the cell in every upper triangular labelling on ``size`` vertices."""
    found = []
    for chosen in itertools.permutations(range(1, size - 1), cell.size - 2):
        place = [0, *chosen, size - 1]
        edges = {(place[u], place[v]) for u, v in cell.edges()}
        if all(u < v for u, v in edges):
            found.append((edges, dict(zip(chosen, cell.operations[1:-1], strict=True))))
    return found


def slow_distance(one: Cell, other: Cell, size: int) -> int:
    """Least number of edges that differ, and of operations that differ where both have one."""
    return min(
        len(edges ^ others) + sum(names[v] != labels[v] for v in names.keys() & labels.keys())
        for edges, names in placements(one.pruned(), size)
        for others, labels in placements(other.pruned(), size)
    )


def test_distance_is_the_least_over_all_labellings() -> None:
    space = CellSpace(4)
    for one, other in itertools.combinations_with_replacement(space, 2):
        assert space.distance(one, other) == slow_distance(one, other, 4)


def test_distance_on_seven_vertices(full_space: CellSpace) -> None:
    rng = np.random.default_rng(9)
    for _ in range(8):
        one, other = full_space.sample(rng), full_space.sample(rng)
        distance = full_space.distance(one, other)
        assert distance == slow_distance(one, other, 7) == full_space.distance(other, one)
        assert full_space.distance(one, full_space[full_space.index(one)]) == 0


def test_distance_is_zero_only_between_equal_cells() -> None:
    space = CellSpace(4)
    for one, other in itertools.product(space, space):
        assert (space.distance(one, other) == 0) == (one == other)


def test_a_single_edit_of_a_fully_used_cell_is_at_distance_one_at_most(
    full_space: CellSpace,
) -> None:
    cell = Cell.named("inception")
    for edited in full_space.neighbours(cell):
        if edited.pruned().size == 7:
            assert full_space.distance(cell, edited) <= 1


# What is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ((1, 9), "max_vertices is 1; it must be 2 to 7"),
        ((8, 9), "max_vertices is 8; it must be 2 to 7"),
        ((5, 0), "max_edges is 0; it must be at least 1"),
    ],
)
def test_limits_outside_the_index_are_refused(limits: tuple[int, int], message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        CellSpace(*limits)


@pytest.mark.parametrize(
    "name", ["", "nasbench", "v7", "v7e", "ve9", "v7e9-published", "1shot1", "1shot1-1-all"]
)
def test_an_unknown_space_is_refused(name: str) -> None:
    with pytest.raises(UnknownName, match=f"no space is called '{name}'; write v7e9, 1shot1-1"):
        CellSpace.named(name)


def test_cells_outside_the_space_are_refused_with_value_and_limit(full_space: CellSpace) -> None:
    chain = Cell(np.eye(8, k=1), ["conv3x3"] * 6)
    dense = Cell(np.triu(np.ones((5, 5)), 1), ["conv3x3"] * 3)
    small = CellSpace(5, 6)
    rng = np.random.default_rng(0)
    for space, cell, message in (
        (full_space, chain, "the cell has 8 vertices; the space allows 7"),
        (full_space, dense, "the cell has 10 edges; the space allows 9"),
        (small, Cell.named("inception"), "the cell has 7 vertices; the space allows 5"),
        (small, dense, "the cell has 10 edges; the space allows 6"),
    ):
        for ask in (
            space.index,
            space.neighbours,
            lambda cell, space=space: space.mutate(cell, rng),
            lambda cell, space=space: space.distance(cell, Cell.named("resnet")),
        ):
            with pytest.raises(NotInSpace, match=message):
                ask(cell)
        assert cell not in space


def test_a_foreign_operation_is_refused_unless_it_is_pruned_away(
    monkeypatch: pytest.MonkeyPatch, full_space: CellSpace
) -> None:
    monkeypatch.setattr(
        "nasbench_kit.spaces.nasbench101.cell._LABELS",
        {"input": -1, "output": -2, OPERATIONS[0]: 0, "conv5x5": 3},
    )
    used = Cell.from_text("0100/0010/0001/0000:conv3x3,conv5x5")
    with pytest.raises(
        NotInSpace, match="the operation 'conv5x5'; the space has conv3x3-bn-relu, "
    ):
        full_space.index(used)
    unused = Cell.from_text("0110/0001/0000/0000:conv3x3,conv5x5")
    assert full_space.index(unused) == full_space.index(Cell.from_text("010/001/000:conv3x3"))


@pytest.mark.parametrize("row", [-1, 91, 10**9])
def test_rows_outside_the_space_are_refused(row: int) -> None:
    space = CellSpace(4)
    for ask in (space.__getitem__, space.neighbours):
        with pytest.raises(
            NotInSpace, match=f"row {row} is not in the space; its rows are 0 to 90"
        ):
            ask(row)


# Cells by their codes ---------------------------------------------------------------------------


@pytest.mark.parametrize(("vertices", "edges"), [(3, 3), (4, 4)])
def test_cells_by_bits_and_code_are_those_of_the_space(vertices: int, edges: int) -> None:
    """Every graph and code: the cell with that labelling, or None where pruning says it is outside."""
    space = CellSpace(vertices, edges)
    for bits in range(1 << vertices * (vertices - 1) // 2):
        for code in range(3 ** (vertices - 2)):
            cell = space.cell(bits, code)
            try:
                unchecked = Cell.from_codes(vertices, bits, code)
                checked = Cell(unchecked.matrix, unchecked.operations)
                inside = checked.pruned().bits.bit_count() <= edges
            except InvalidCell:  # no path from input to output
                inside = False
            assert (cell is not None) == inside
            if cell is not None:
                assert (cell.size, cell.bits, cell.code) == (vertices, bits, code)
                assert cell in space


def test_smaller_cells_by_bits_and_code() -> None:
    """They keep their size; the output is not the larger space's vertex of that number."""
    space = CellSpace(5)
    for cell in itertools.islice(space, 0, 91):
        found = space.cell(cell.bits, cell.code, cell.size)
        assert found is not None
        assert (found.size, found.bits, found.code) == (cell.size, cell.bits, cell.code)
        assert space.index(found) == space.index(cell)


def test_a_restricted_space_has_no_other_cells() -> None:
    whole = CellSpace(4)
    part = whole.restricted(np.array([3, 40]))
    kept = [row for row, cell in enumerate(whole) if part.cell(cell.bits, cell.code, cell.size)]
    assert kept == [3, 40]
