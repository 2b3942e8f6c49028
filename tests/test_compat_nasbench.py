"""nasbench_kit.compat.nasbench: what the official class returns, and where it is mended."""

from __future__ import annotations

import copy
import gzip
import json
import random
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from official import (
    EXCERPT,
    EXPECTED,
    GENUINE_HASH,
    genuine_record,
    joined,
    needs,
    official_file,
    official_table,
)
from official_client import Client

from nasbench_kit import Cell, Table
from nasbench_kit.compat.nasbench import api
from nasbench_kit.compat.nasbench.lib import graph_util
from nasbench_kit.data.benchmarks.nasbench101.convert import convert
from nasbench_kit.data.benchmarks.nasbench101.tfrecord import write_records
from nasbench_kit.errors import CorruptFile, InvalidSetting, NotRecorded, UnknownName

CONV3X3, CONV1X1, MAXPOOL = "conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3"
OPS = [CONV3X3, CONV1X1, MAXPOOL]
QUERY_KEYS = [
    "module_adjacency",
    "module_operations",
    "trainable_parameters",
    "training_time",
    "train_accuracy",
    "validation_accuracy",
    "test_accuracy",
]
INCEPTION = [
    [0, 1, 1, 1, 0, 1, 0],
    [0, 0, 0, 0, 0, 0, 1],
    [0, 0, 0, 0, 0, 0, 1],
    [0, 0, 0, 0, 1, 0, 0],
    [0, 0, 0, 0, 0, 0, 1],
    [0, 0, 0, 0, 0, 0, 1],
    [0, 0, 0, 0, 0, 0, 0],
]
INCEPTION_OPS = ["input", CONV1X1, CONV3X3, CONV3X3, CONV3X3, MAXPOOL, "output"]


@pytest.fixture
def small(small_table: Table, tmp_path: Path) -> api.NASBench:
    small_table.save(tmp_path / "small.h5")
    return api.NASBench(tmp_path / "small.h5", seed=3)


def edge() -> api.ModelSpec:
    return api.ModelSpec([[0, 1], [0, 0]], ["input", "output"])


# --- the official values ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def expected() -> dict[str, dict[str, Any]]:
    cells: dict[str, dict[str, Any]] = json.loads(gzip.decompress(EXPECTED.read_bytes()))
    return cells


@pytest.fixture(scope="module")
def excerpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("excerpt") / "excerpt.h5"
    convert(EXCERPT, target)
    return target


@needs(EXCERPT)
def test_statistics_are_the_official_ones(excerpt: Path, expected: dict[str, Any]) -> None:
    nasbench = api.NASBench(excerpt)
    assert list(nasbench.hash_iterator()) == list(expected)
    assert nasbench.valid_epochs == {4, 12, 36, 108}
    assert len(nasbench.fixed_statistics) == len(nasbench.computed_statistics) == 297
    for md5, cell in expected.items():
        fixed, computed = nasbench.get_metrics_from_hash(md5)
        assert computed == {int(epochs): told for epochs, told in cell["computed"].items()}
        assert computed == nasbench.computed_statistics[md5]
        adjacency = fixed["module_adjacency"]
        assert adjacency.dtype == np.int8
        assert fixed | {"module_adjacency": adjacency.tolist()} == cell["fixed"]
        spec = api.ModelSpec(adjacency, fixed["module_operations"])
        assert nasbench._hash_spec(spec) == md5
        assert nasbench.get_metrics_from_spec(spec)[1] == computed


@needs(EXCERPT)
def test_queries_are_the_official_ones(excerpt: Path, expected: dict[str, Any]) -> None:
    nasbench = api.NASBench(excerpt, seed=42)
    official = random.Random(42)  # the official class seeds and uses the global one, like this
    rng = np.random.default_rng(0)
    seconds, spent = 0.0, 0
    for md5 in rng.permutation(list(expected)).tolist():
        fixed, computed = expected[md5]["fixed"], expected[md5]["computed"]
        epochs, halfway = int(rng.choice([4, 12, 36, 108])), bool(rng.integers(2))
        spec = api.ModelSpec(fixed["module_adjacency"], fixed["module_operations"])
        data = nasbench.query(spec, epochs=epochs, stop_halfway=halfway)
        assert list(data) == QUERY_KEYS
        told = computed[str(epochs)][official.randint(0, 2)]
        prefix = "halfway_" if halfway else "final_"
        for name in QUERY_KEYS[3:]:
            assert data[name] == told[prefix + name]
        assert data["module_operations"] == fixed["module_operations"]
        assert data["module_adjacency"].tolist() == fixed["module_adjacency"]
        seconds += told[prefix + "training_time"]
        spent += epochs // 2 if halfway else epochs
    assert nasbench.get_budget_counters() == (seconds, spent)
    assert (nasbench.training_time_spent, nasbench.total_epochs_spent) == (seconds, spent)
    nasbench.reset_budget_counters()
    assert nasbench.get_budget_counters() == (0.0, 0)


def test_the_genuine_record(tmp_path: Path) -> None:
    write_records(tmp_path / "genuine.tfrecord", [joined([genuine_record()] * 3)])
    nasbench = api.NASBench(tmp_path / "genuine.tfrecord")
    (md5,) = nasbench.hash_iterator()
    assert md5 == GENUINE_HASH
    (final,) = {json.dumps(repeat) for repeat in nasbench.computed_statistics[md5][4]}
    assert json.loads(final) == {
        f"{prefix}_{name}": float(np.float32(value))
        for prefix, values in (
            ("halfway", (45.152, 1015 / 9984, 1051 / 9984, 1042 / 9984)),
            ("final", (89.904, 3493 / 9984, 3484 / 9984, 3499 / 9984)),
        )
        for name, value in zip(QUERY_KEYS[3:], values, strict=True)
    }
    assert nasbench.fixed_statistics[md5]["trainable_parameters"] == 8_555_530


def test_golden_cells_hash_as_published() -> None:
    published = {
        "28cfc7874f6d200472e1a9dcd8650aa0": api.ModelSpec(INCEPTION, INCEPTION_OPS),
        "043721b9c7fe8c5fad811d47d83132ec": edge(),
        "02e5a0247bbdcf2860b7e96f74961594": api.ModelSpec(
            Cell.named("best").matrix, list(Cell.named("best").operations)
        ),
    }
    for md5, spec in published.items():
        assert spec.hash_spec(OPS) == md5


def test_the_cell_is_told_as_it_was_trained(tmp_path: Path) -> None:
    # recorded with a pool that dangles; asked pruned
    records = replace(
        joined([genuine_record()] * 3),
        size=np.array([4] * 3, np.uint8),
        adjacency=np.array([b"0110000100000000"] * 3),
        operations=np.array([[0, 2, 0, 0, 0]] * 3, np.uint8),
        hash=np.array([Cell.from_text("010/001/000:conv3x3").hash] * 3, "S32"),
    )
    write_records(tmp_path / "file.tfrecord", [records])
    nasbench = api.NASBench(tmp_path / "file.tfrecord")
    spec = api.ModelSpec([[0, 1, 0], [0, 0, 1], [0, 0, 0]], ["input", CONV3X3, "output"])
    data = nasbench.query(spec, epochs=4)
    assert data["module_operations"] == ["input", CONV3X3, MAXPOOL, "output"]
    assert data["module_adjacency"].tolist() == [[0, 1, 1, 0], [0, 0, 0, 1], [0] * 4, [0] * 4]


# --- specs --------------------------------------------------------------------------------------


def test_a_spec_is_pruned_and_keeps_the_original() -> None:
    matrix = np.array([[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]])
    ops = ["input", CONV3X3, MAXPOOL, "output"]
    spec = api.ModelSpec(matrix, ops, data_format="channels_first")
    matrix[0, 3] = 1
    ops[1] = "changed"
    assert spec.valid_spec and spec.data_format == "channels_first"
    assert spec.original_ops == ["input", CONV3X3, MAXPOOL, "output"]
    assert spec.original_matrix[0, 3] == 0 and spec.original_matrix.dtype == matrix.dtype
    assert spec.matrix.tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 0]]
    assert spec.ops == ["input", CONV3X3, "output"]
    assert copy.deepcopy(spec).ops == spec.ops


def test_a_disconnected_spec_is_made_and_refused_later(small: api.NASBench) -> None:
    spec = api.ModelSpec([[0, 1, 0], [0, 0, 0], [0, 0, 0]], ["input", CONV3X3, "output"])
    assert not spec.valid_spec and spec.matrix is None and spec.ops is None
    assert not small.is_valid(spec)
    with pytest.raises(api.OutOfDomainError, match="disconnected"):
        small.query(spec, epochs=4)
    assert not api.ModelSpec([[0]], ["input"]).valid_spec


@pytest.mark.parametrize(
    ("matrix", "ops", "message"),
    [
        ([[0, 1]], ["input"], "matrix must be square"),
        ([0, 1], ["input", "output"], "matrix must be square"),
        ([[0, 1], [0]], ["input", "output"], "matrix must be square"),
        ([["0", "1"], ["0", "0"]], ["input", "output"], "matrix must be square"),
        (INCEPTION, INCEPTION_OPS[1:-1], "length of ops must match matrix dimensions"),
        ([[0, 1], [0, 0]], ["input"], "length of ops must match matrix dimensions"),
        ([[0, 1], [1, 0]], ["input", "output"], "matrix must be upper triangular"),
        ([[1, 1], [0, 0]], ["input", "output"], "matrix must be upper triangular"),
    ],
)
def test_what_is_no_spec_raises_the_official_words(
    matrix: Any, ops: list[str], message: str
) -> None:
    with pytest.raises(ValueError) as refused:
        api.ModelSpec(matrix, ops)
    assert str(refused.value) == message


def full(vertices: int) -> list[list[int]]:
    matrix: list[list[int]] = np.triu(np.ones((vertices, vertices), int), 1).tolist()
    return matrix


@pytest.mark.parametrize(
    ("matrix", "ops", "message"),
    [
        (full(5), ["input", *[CONV3X3] * 3, "output"], "too many edges, got 10 (max edges = 9)"),
        (full(8), ["input", *[CONV3X3] * 6, "output"], "too many vertices, got 8 (max vertices ="),
        (full(3), [CONV3X3, CONV3X3, "output"], "first operation should be 'input'"),
        (full(3), ["input", CONV3X3, CONV3X3], "last operation should be 'output'"),
        (full(3), ["input", "conv5x5", "output"], "unsupported op conv5x5"),
        (full(3), ["input", "conv3x3", "output"], "unsupported op conv3x3 (available ops = ["),
        (full(3), ["input", "input", "output"], "unsupported op input"),
        ([[0, 2], [0, 0]], ["input", "output"], "entries of the matrix must be 0 or 1"),
        ([[0, np.nan], [0, 0]], ["input", "output"], "entries of the matrix must be 0 or 1"),
    ],
)
def test_what_is_outside_the_space(
    matrix: Any, ops: list[str], message: str, small: api.NASBench
) -> None:
    spec = api.ModelSpec(matrix, ops)
    assert spec.valid_spec and not small.is_valid(spec)
    assert small._random is not None
    before = small._random.getstate()
    for ask in (lambda: small.query(spec, epochs=4), lambda: small.get_metrics_from_spec(spec)):
        with pytest.raises(api.OutOfDomainError) as refused:
            ask()
        assert str(refused.value).startswith(message)
    assert small.get_budget_counters() == (0.0, 0)
    assert small._random.getstate() == before  # a refused query draws nothing


def test_the_number_of_epochs_is_checked_first(small: api.NASBench) -> None:
    spec = api.ModelSpec([[0, 0], [0, 0]], ["input", "output"])
    with pytest.raises(api.OutOfDomainError, match="invalid number of epochs, must be one of"):
        small.query(spec, epochs=108)


def test_the_default_number_of_epochs(small: api.NASBench, tmp_path: Path) -> None:
    assert small.query(edge())["training_time"] in small.table.values("seconds", 36)[0]
    halfway = small.query(edge(), stop_halfway=True)
    assert halfway["training_time"] in small.table.values("seconds", 36, "halfway")[0]
    assert small.total_epochs_spent == 36 + 18
    for epochs, charged in (((4, 108), 108), ((108, 200), 108), ((12, 200), 200)):
        official_table(epochs=epochs).save(tmp_path / "table.h5")
        nasbench = api.NASBench(tmp_path / "table.h5")
        nasbench.query(edge())
        assert nasbench.get_budget_counters()[1] == charged


def test_a_large_matrix_may_describe_a_small_cell(small: api.NASBench) -> None:
    matrix = np.zeros((9, 9), int)
    matrix[0, [4, 8]] = matrix[4, 8] = matrix[2, 8] = 1  # vertex 2 is not reached
    spec = api.ModelSpec(matrix, ["input", *[MAXPOOL] * 7, "output"])
    assert small.is_valid(spec)
    assert small.query(spec, epochs=4)["module_operations"] == ["input", MAXPOOL, "output"]


def test_the_edge_limit_holds_after_pruning(small: api.NASBench) -> None:
    matrix = np.triu(np.ones((7, 7), int), 1)
    matrix[:, 6] = 0
    matrix[0, 6] = 1
    assert matrix.sum() > 9
    assert small.query(api.ModelSpec(matrix, INCEPTION_OPS), epochs=4)["module_operations"] == [
        "input",
        "output",
    ]


@pytest.mark.parametrize("kind", [bool, np.int8, np.int64, np.float64])
def test_all_number_types_are_one_cell(kind: type, small: api.NASBench) -> None:
    spec = api.ModelSpec(np.array(full(3), kind), ("input", CONV1X1, "output"))
    assert spec.original_matrix.dtype == kind and spec.original_ops == ["input", CONV1X1, "output"]
    same = api.ModelSpec(full(3), ["input", CONV1X1, "output"])
    assert small.get_metrics_from_spec(spec)[1] == small.get_metrics_from_spec(same)[1]
    assert spec.hash_spec(OPS) == same.hash_spec(OPS)


def test_a_spec_changed_by_hand_is_asked_as_it_stands(small: api.NASBench) -> None:
    spec = api.ModelSpec(full(3), ["input", CONV1X1, "output"])
    spec.matrix[0, 2] = 0
    spec.ops[1] = MAXPOOL
    chain = api.ModelSpec([[0, 1, 0], [0, 0, 1], [0, 0, 0]], ["input", MAXPOOL, "output"])
    assert small.get_metrics_from_spec(spec)[1] == small.get_metrics_from_spec(chain)[1]
    spec.matrix[0, 1] = 5
    assert not small.is_valid(spec)


def test_specs_of_other_packages_are_taken(small: api.NASBench) -> None:
    foreign: Any = SimpleNamespace(
        matrix=np.array(full(3)), ops=["input", CONV1X1, "output"], valid_spec=True
    )
    same = api.ModelSpec(full(3), ["input", CONV1X1, "output"])
    assert small.is_valid(foreign)
    assert small.get_metrics_from_spec(foreign)[1] == small.get_metrics_from_spec(same)[1]


def test_the_hash_numbers_operations_as_told() -> None:
    spec = api.ModelSpec(full(3), ["input", CONV1X1, "output"])
    swapped = api.ModelSpec(full(3), ["input", CONV3X3, "output"])
    assert spec.hash_spec([CONV1X1, CONV3X3, MAXPOOL]) == swapped.hash_spec(OPS)
    with pytest.raises(ValueError, match="not in list"):
        spec.hash_spec([CONV3X3, MAXPOOL])
    other = spec.hash_spec(["a", "b", "c", CONV1X1])  # officially, any number of operations
    assert other == graph_util.hash_module(np.array(full(3)), [-1, 3, -2])


# --- the class ----------------------------------------------------------------------------------


def test_configuration(small: api.NASBench) -> None:
    assert small.config["available_ops"] == OPS
    assert small.config["num_repeats"] == 3
    assert (small.config["module_vertices"], small.config["max_edges"]) == (5, 9)
    assert (small.config["num_labels"], small.config["train_epochs"]) == (10, 36)
    small.config["num_repeats"] = 1
    first = small.table.values("seconds", 4)[0, 0]
    assert all(small.query(edge(), epochs=4)["training_time"] == first for _ in range(20))
    small.config["num_repeats"] = 1000
    with pytest.raises(IndexError, match="has 3 repeats"):
        small.query(edge(), epochs=4)
    assert small.history == {} and small.valid_epochs == {4, 12, 36}


def test_stricter_limits_are_kept_to(small: api.NASBench) -> None:
    chain = api.ModelSpec([[0, 1, 1], [0, 0, 1], [0, 0, 0]], ["input", MAXPOOL, "output"])
    for name, value in (("module_vertices", 2), ("max_edges", 2), ("available_ops", [CONV3X3])):
        assert small.is_valid(chain)
        before, small.config[name] = small.config[name], value
        assert not small.is_valid(chain)
        with pytest.raises(api.OutOfDomainError):
            small.query(chain)
        small.query(edge())
        small.config[name] = before


def test_the_configuration_of_the_official_file(tmp_path: Path) -> None:
    nasbench = api.NASBench(official_file(tmp_path))
    assert (nasbench.config["module_vertices"], nasbench.config["max_edges"]) == (7, 9)


def test_cells_that_a_partial_table_lacks_are_valid_but_unknown(tmp_path: Path) -> None:
    nasbench = api.NASBench(official_file(tmp_path))
    spec = api.ModelSpec(INCEPTION, INCEPTION_OPS)
    assert nasbench.is_valid(spec)
    with pytest.raises(KeyError, match="28cfc7874f6d200472e1a9dcd8650aa0"):
        nasbench.query(spec, epochs=4)
    with pytest.raises(KeyError):
        nasbench.get_metrics_from_hash("28cfc7874f6d200472e1a9dcd8650aa0")
    assert "28cfc7874f6d200472e1a9dcd8650aa0" not in nasbench.fixed_statistics
    assert nasbench.get_budget_counters() == (0.0, 0)


def test_seeds_and_global_randomness(small_table: Table, tmp_path: Path) -> None:
    small_table.save(tmp_path / "small.h5")
    before = random.getstate()

    def drawn(seed: int | None) -> list[float]:
        nasbench = api.NASBench(tmp_path / "small.h5", seed)
        return [nasbench.query(edge(), epochs=36)["training_time"] for _ in range(40)]

    first = drawn(1)
    assert drawn(1) == first != drawn(2)
    assert drawn(None) != drawn(None)
    random.seed(1)
    official = [random.randint(0, 2) for _ in range(40)]
    repeats = small_table.values("seconds", 36)[0].tolist()
    assert first == [repeats[repeat] for repeat in official]
    random.setstate(before)
    drawn(5)
    assert random.getstate() == before


def test_what_is_returned_is_a_copy(small: api.NASBench) -> None:
    data = small.query(edge(), epochs=4)
    data["module_adjacency"][0, 1] = 7
    data["module_operations"].append("x")
    (md5, *_) = small.hash_iterator()
    fixed, computed = small.get_metrics_from_hash(md5)
    fixed["module_adjacency"][:] = 9
    computed[4][0]["final_test_accuracy"] = 2.0
    again = small.query(edge(), epochs=4)
    assert again["module_adjacency"].tolist() == [[0, 1], [0, 0]]
    assert again["module_operations"] == ["input", "output"]
    assert small.computed_statistics[md5][4][0]["final_test_accuracy"] <= 1.0


# --- files --------------------------------------------------------------------------------------


def test_a_table_goes_by_its_name(
    small_table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NASBENCH_KIT_HOME", str(tmp_path))
    small_table.save(tmp_path / "tables" / "mine.h5")
    assert api.NASBench("mine").table.name == "made-up"
    with pytest.raises(UnknownName):
        api.NASBench("thine")
    (tmp_path / "text").write_text("nothing")
    with pytest.raises(CorruptFile):
        api.NASBench(tmp_path / "text")


def test_a_table_without_test_accuracies_is_refused(small_table: Table, tmp_path: Path) -> None:
    columns = {
        place: column for place, column in small_table.columns.items() if "test" not in place[1]
    }
    Table(small_table.space, small_table.epochs, columns, extra=small_table.extra).save(
        tmp_path / "table.h5"
    )
    with pytest.raises(NotRecorded, match="test_accuracy"):
        api.NASBench(tmp_path / "table.h5")


# --- clients and training -----------------------------------------------------------------------


def test_an_official_client_runs_unchanged(small: api.NASBench, small_table: Table) -> None:
    client = Client(api, small, vertices=5, epochs=36)
    best = small_table.values("validation_accuracy", 36).max()
    for search in (client.random_search, client.evolution):
        history = search(20_000.0)
        seconds, validation, _ = np.array(history).T
        assert 20_000 <= seconds[-1] < 20_200 and (np.diff(seconds) > 0).all()
        assert (np.diff(validation) >= 0).all() and 0.8 * best < validation[-1] <= best
        assert small.total_epochs_spent == 36 * (len(history) - 1)


def test_evaluate_trains_from_scratch(small: api.NASBench, tmp_path: Path) -> None:
    from nasbench_kit.data.images.digits import digits
    from nasbench_kit.training.trainer import DIGITS

    spec = api.ModelSpec(full(3), ["input", MAXPOOL, "output"])
    with pytest.raises(InvalidSetting, match="set the attribute images"):
        small.evaluate(spec, tmp_path / "model")
    small.images, small.recipe = digits(), DIGITS
    small.config["train_epochs"] = 2
    data = small.evaluate(spec, tmp_path / "model")
    assert list(data) == QUERY_KEYS
    assert data["module_operations"] == spec.ops
    assert 0 < data["validation_accuracy"] <= 1 and data["training_time"] > 0
    assert small.get_budget_counters() == (0.0, 0)
    metadata = json.loads((tmp_path / "model" / "metadata.json").read_text())
    assert metadata["trainable_params"] == data["trainable_parameters"]
    assert [point["epochs"] for point in metadata["evaluation_results"]] == [0, 1, 2]
    assert metadata["evaluation_results"][-1]["test_accuracy"] == data["test_accuracy"]
    small.evaluate(spec, tmp_path / "model")
    (tmp_path / "metadata.json").write_text("{}")  # of something else
    with pytest.raises(InvalidSetting, match="is there already"):
        small.evaluate(spec, tmp_path)
    with pytest.raises(api.OutOfDomainError):
        small.evaluate(api.ModelSpec([[0, 0], [0, 0]], ["input", "output"]), tmp_path)
