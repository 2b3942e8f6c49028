"""nasbench_kit.compat.nasbench: its dictionaries, its randomness, its copies, and the alias."""

from __future__ import annotations

import copy
import json
import multiprocessing
import os
import pickle
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nasbench_kit
from nasbench_kit import CellSpace, Table
from nasbench_kit.compat import alias
from nasbench_kit.compat.nasbench import api
from nasbench_kit.data.subset import subset
from nasbench_kit.errors import InvalidSetting

CHAIN = api.ModelSpec([[0, 1, 1], [0, 0, 1], [0, 0, 0]], ["input", "maxpool3x3", "output"])
EDGE = api.ModelSpec([[0, 1], [0, 0]], ["input", "output"])


def cloudpickled(value: Any) -> Any:
    """Through the pickler of joblib, Ray and Dask."""
    return pickle.loads(pytest.importorskip("cloudpickle").dumps(value))


EDGE_HASH = "043721b9c7fe8c5fad811d47d83132ec"


@pytest.fixture(scope="module")
def place(small_table: Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "small.h5"
    subset(small_table, CellSpace(4)).save(path)
    return path


@pytest.fixture
def small(place: Path) -> api.NASBench:
    return api.NASBench(place, seed=3)


def drawn(nasbench: api.NASBench, count: int = 40) -> list[float]:
    return [nasbench.query(EDGE)["training_time"] for _ in range(count)]


# --- dictionaries -------------------------------------------------------------------------------


def plain(nasbench: api.NASBench) -> dict[str, Any]:
    """What the official class would hold in computed_statistics."""
    return {md5: nasbench.get_metrics_from_hash(md5)[1] for md5 in nasbench.hash_iterator()}


def test_statistics_are_in_row_order(small: api.NASBench) -> None:
    hashes = [cell.hash for cell in CellSpace(4)]
    assert list(small.fixed_statistics) == list(small.computed_statistics) == hashes
    assert list(reversed(small.computed_statistics)) == hashes[::-1]
    assert len(small.hash_iterator()) == 91 and hashes[7] in small.hash_iterator()
    for row, (md5, fixed) in enumerate(small.fixed_statistics.items()):
        spec = api.ModelSpec(fixed["module_adjacency"], fixed["module_operations"])
        assert md5 == hashes[row] and spec.cell == small.table.space[row]


READINGS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "dict": dict,
    "unpacked": lambda entries: {**entries},
    "keywords": lambda entries: dict(**entries, a=1),
    "items": lambda entries: list(entries.items()),
    "values": lambda entries: list(entries.values()),
    "keys": lambda entries: (list(entries.keys()), list(entries), len(entries), bool(entries)),
    "get": lambda entries: [entries.get(EDGE_HASH), entries.get("none"), entries.get("none", 7)],
    "in": lambda entries: [EDGE_HASH in entries, "none" in entries],
    "copy": lambda entries: entries.copy(),
    "copied": copy.copy,
    "deep": copy.deepcopy,
    "pickled": lambda entries: pickle.loads(pickle.dumps(entries)),
    "cloudpickled": cloudpickled,
    "json": json.dumps,
    "indented": lambda entries: json.dumps(entries, indent=1),
    "repr": repr,
    "or": lambda entries: [entries | {"a": 1}, {"a": 1} | entries],
    "update": lambda entries: (into := {"a": 1}, into.update(entries)),
    "instance": lambda entries: [isinstance(entries, dict)],
    "equal": lambda entries: [entries == {}, entries != {}, entries == copy.deepcopy(entries)],
    "pop": lambda entries: [entries.pop(EDGE_HASH), entries.pop("none", 3), len(entries)],
    "popitem": lambda entries: [entries.popitem(), len(entries)],
    "setdefault": lambda entries: [entries.setdefault(EDGE_HASH, 1), entries.setdefault("a", 1)],
    "reversed": lambda entries: [
        list(reversed(view)) for view in (entries, entries.items(), entries.values())
    ],
    "without": lambda entries: [entries.popitem() for _ in range(91)] + [entries],
}


@pytest.mark.parametrize("how", READINGS)
def test_statistics_read_as_dictionaries(
    how: str, place: Path, full_answer: dict[str, Any]
) -> None:
    official = copy.deepcopy(full_answer)
    expected = READINGS[how](official)
    found = READINGS[how](api.NASBench(place).computed_statistics)
    assert found == expected and type(found) is type(expected)


@pytest.fixture(scope="module")
def full_answer(place: Path) -> dict[str, Any]:
    return plain(api.NASBench(place))


def test_a_missing_hash_is_a_key_error(small: api.NASBench) -> None:
    for read in (small.computed_statistics.__getitem__, small.fixed_statistics.pop):
        with pytest.raises(KeyError, match="none"):
            read("none")


def test_who_changes_the_statistics_changes_the_answers(small: api.NASBench) -> None:
    computed, fixed = small.computed_statistics, small.fixed_statistics
    before = drawn(small)
    for reading in computed[EDGE_HASH][36]:
        reading["final_training_time"] = 5.0
    fixed[EDGE_HASH]["trainable_parameters"] = 77
    small.reset_budget_counters()
    assert drawn(small) == [5.0] * 40 != before
    assert small.get_budget_counters() == (200.0, 40 * 36)
    assert small.query(EDGE)["trainable_parameters"] == 77
    copied = small.get_metrics_from_spec(EDGE)[1]
    assert copied[36][0]["final_training_time"] == 5.0
    copied[36][0]["final_training_time"] = 6.0  # a copy: changes nothing
    assert small.computed_statistics[EDGE_HASH][36][0]["final_training_time"] == 5.0
    data = small.query(EDGE)
    data["module_adjacency"][0, 1] = 9
    assert small.query(EDGE)["module_adjacency"].tolist() == [[0, 1], [0, 0]]
    del computed[EDGE_HASH]
    with pytest.raises(KeyError, match=EDGE_HASH):
        small.query(EDGE)
    assert (
        small.query(CHAIN)["training_time"]
        in small.table.values("seconds", 36)[small.table.row(CHAIN.cell)]
    )


def test_changes_draw_the_same_repeats(place: Path) -> None:
    untouched, touched = api.NASBench(place, 1), api.NASBench(place, 1)
    for entries in touched.computed_statistics.values():
        entries[36][0]["final_test_accuracy"] = 0.0
    assert drawn(untouched) == drawn(touched)


def test_a_cell_of_ones_own_may_be_added(small: api.NASBench) -> None:
    small.config |= {"module_vertices": 5, "max_edges": 10}
    whole = np.triu(np.ones((5, 5), int), 1)  # ten edges
    spec = api.ModelSpec(whole, ["input", *["maxpool3x3"] * 3, "output"])
    with pytest.raises(KeyError):
        small.query(spec)
    md5 = spec.hash_spec(small.config["available_ops"])
    small.fixed_statistics[md5] = copy.deepcopy(small.fixed_statistics[EDGE_HASH])
    small.computed_statistics[md5] = copy.deepcopy(small.computed_statistics[EDGE_HASH])
    assert small.query(spec)["training_time"] in small.table.values("seconds", 36)[0]


def test_statistics_may_be_replaced(small: api.NASBench) -> None:
    small.computed_statistics = {EDGE_HASH: small.computed_statistics[EDGE_HASH]}
    assert small.query(EDGE)["training_time"] in small.table.values("seconds", 36)[0]
    with pytest.raises(KeyError):
        small.query(CHAIN)


# --- randomness ---------------------------------------------------------------------------------


def test_without_a_seed_repeats_follow_the_global_generator(
    place: Path, small_table: Table
) -> None:
    nasbench = api.NASBench(place)
    repeats = small_table.values("seconds", 36)[0].tolist()
    for seed in (7, 8):
        random.seed(seed)
        official = [(repeats[random.randint(0, 2)], random.random()) for _ in range(30)]
        random.seed(seed)
        assert [(drawn(nasbench, 1)[0], random.random()) for _ in range(30)] == official
    random.seed(7)  # before the object is made: nothing seeds it again
    first = drawn(api.NASBench(place))
    random.seed(7)
    assert drawn(api.NASBench(place)) == first


def test_with_a_seed_the_global_generator_is_neither_used_nor_changed(place: Path) -> None:
    before = random.getstate()
    first = drawn(api.NASBench(place, 5))
    assert random.getstate() == before
    random.seed(9)
    assert drawn(api.NASBench(place, 5)) == first
    random.setstate(before)


def test_training_seeds_leave_the_global_generator_alone(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nasbench_kit.compat import evaluate

    seeds: list[int] = []

    def told(*_: object, seed: int, **__: object) -> dict[str, float]:
        seeds.append(seed)
        return {}

    monkeypatch.setattr(evaluate, "train_and_evaluate", told)
    random.seed(1)
    before = random.getstate()
    for seed in (None, None, 3, 3):
        nasbench = api.NASBench(place, seed)
        nasbench.images = object()  # type: ignore[assignment]
        nasbench.evaluate(EDGE, tmp_path)
    assert random.getstate() == before
    assert seeds[0] != seeds[1] and seeds[2] == seeds[3]


def _forked(nasbench: api.NASBench, seed: int | None = None) -> list[list[float]]:
    """What each of two forked children draws."""
    found = []
    for _ in range(2):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            if seed is not None:
                random.seed(seed)
            os.write(write, json.dumps(drawn(nasbench)).encode())
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as pipe:
            found.append(json.load(pipe))
        os.waitpid(child, 0)
    return found


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_children(place: Path) -> None:
    nasbench = api.NASBench(place)
    one, other = _forked(nasbench)
    assert one != other
    one, other = _forked(nasbench, seed=4)  # seeded alike
    assert one == other
    random.seed(4)
    assert drawn(nasbench) == one
    seeded = api.NASBench(place, 6)
    one, other = _forked(seeded)
    assert one == other == drawn(seeded)


# --- copies -------------------------------------------------------------------------------------

COPIES: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "cloudpickle": cloudpickled,
}


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_goes_on_where_the_original_stands(how: str, place: Path) -> None:
    nasbench = api.NASBench(place, 3)
    drawn(nasbench)
    nasbench.config["train_epochs"] = 2
    nasbench.mine = "kept"  # type: ignore[attr-defined]
    other = COPIES[how](nasbench)
    assert other.get_budget_counters() == nasbench.get_budget_counters() != (0.0, 0)
    assert (other.config, other.valid_epochs, other.mine) == (
        nasbench.config,
        nasbench.valid_epochs,
        "kept",
    )
    assert drawn(other) == drawn(nasbench)
    assert other.get_metrics_from_hash(EDGE_HASH)[1] == nasbench.computed_statistics[EDGE_HASH]
    other.reset_budget_counters()
    assert nasbench.get_budget_counters() != (0.0, 0)
    assert list(other.hash_iterator()) == list(nasbench.hash_iterator())


@pytest.mark.parametrize("how", COPIES)
def test_copies_without_a_seed_share_the_global_generator(how: str, place: Path) -> None:
    nasbench = api.NASBench(place)
    other = COPIES[how](nasbench)
    random.seed(5)
    first = drawn(nasbench)
    random.seed(5)
    assert drawn(other) == first


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_carries_changed_statistics(how: str, small: api.NASBench) -> None:
    for reading in small.computed_statistics[EDGE_HASH][36]:
        reading["final_training_time"] = 5.0
    del small.fixed_statistics[CHAIN.hash_spec(small.config["available_ops"])]
    other = COPIES[how](small)
    assert drawn(other) == [5.0] * 40
    with pytest.raises(KeyError):
        other.query(CHAIN)
    for reading in other.computed_statistics[EDGE_HASH][36]:
        reading["final_training_time"] = 6.0
    assert set(drawn(small)) == ({6.0} if how == "copy" else {5.0})  # as with a plain class


def _first(nasbench: api.NASBench) -> list[float]:
    return drawn(nasbench, 10)


def test_an_object_goes_to_a_spawned_process(small: api.NASBench) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_first, (small,)) == _first(small)


# --- the alias ----------------------------------------------------------------------------------

CLIENT = """
import random, sys
from nasbench import api
from nasbench.lib import config, graph_util, model_spec as _model_spec
import nasbench.lib.graph_util
import nasbench_kit.compat.nasbench.api

assert api is nasbench_kit.compat.nasbench.api
assert _model_spec.ModelSpec is api.ModelSpec
assert config.build_config()["max_edges"] == 9
random.seed(1)
told = api.NASBench("digits").query(api.ModelSpec([[0, 1], [0, 0]], ["input", "output"]))
print(sorted(told), sys.argv)
"""


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    root = str(Path(nasbench_kit.__file__).parents[1])
    return subprocess.run(
        [sys.executable, *arguments],
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
    )


def test_a_client_runs_unchanged(tmp_path: Path) -> None:
    (tmp_path / "client.py").write_text(CLIENT)
    done = _run(tmp_path, "-m", "nasbench_kit.compat", "client.py", "--option")
    assert done.returncode == 0, done.stderr
    assert "'training_time'" in done.stdout and "['client.py', '--option']" in done.stdout
    alone = _run(tmp_path, "client.py")
    assert alone.returncode == 1 and "No module named 'nasbench'" in alone.stderr
    (tmp_path / "nasbench").mkdir()  # a folder of data is no package
    done = _run(tmp_path, "-m", "nasbench_kit.compat", "client.py")
    assert done.returncode == 0, done.stderr
    missing = _run(tmp_path, "-m", "nasbench_kit.compat", "none.py")
    assert missing.returncode == 2 and missing.stderr.startswith("usage")


@pytest.mark.parametrize("file", ["__init__.py", "api.py"])
def test_an_installed_package_is_never_shadowed(file: str, tmp_path: Path) -> None:
    (tmp_path / "nasbench").mkdir()
    (tmp_path / "nasbench" / file).write_text("print('the other one')")
    (tmp_path / "client.py").write_text("import nasbench.api")
    done = _run(tmp_path, "-m", "nasbench_kit.compat", "client.py")
    assert done.returncode == 2 and not done.stdout
    assert "is there already" in done.stderr and len(done.stderr.splitlines()) == 1


def test_install_is_repeatable_and_leaves_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["", ".api", ".lib", ".lib.config", ".lib.graph_util", ".lib.model_spec"]
    for name in names:
        monkeypatch.delitem(sys.modules, f"nasbench{name}", raising=False)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "nasbench", json)
        with pytest.raises(InvalidSetting, match="json"):
            alias.install()
        assert sys.modules["nasbench"] is json
    try:
        alias.install()
        alias.install()
        assert sys.modules["nasbench.api"] is api
    finally:
        for name in names:
            sys.modules.pop(f"nasbench{name}", None)
