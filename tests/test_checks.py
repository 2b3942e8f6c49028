"""What a plan and its run refuse, and what they take in several forms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasbench_kit import InvalidSetting, Table, UnknownName
from nasbench_kit.algorithms import RandomSearch
from nasbench_kit.compare.one_run import run_one
from nasbench_kit.compare.plan import Plan
from nasbench_kit.compare.run_folder import all_traces
from nasbench_kit.compare.running import missing, run
from nasbench_kit.compare.scores import write_results

GOOD: dict[str, Any] = {
    "table": "table.h5",
    "algorithms": {"random-search": RandomSearch()},
    "seeds": [0, 1],
    "budget": {"queries": 3},
}


class Broken:
    def __call__(self, oracle: object) -> None: ...


WRONG: dict[str, list[Any]] = {
    "seeds": [
        *([-1], [0, 0], "ab", "12", 5, 1.5, None, [1.0], [True], [None], ["0"], [], [[0]]),
        *(range(0), range(-1, 3), [2**63], {0: 1}, iter([0]), [np.int64(1), 1]),
        *(np.array([[0, 1]]), np.array([0.0]), np.array([True])),
    ],
    "algorithms": [
        *(None, [], {}, "random-search", [RandomSearch()], 3),
        *({"a": search} for search in [None, "random-search", RandomSearch, Broken(), 3]),
        *({label: RandomSearch()} for label in ["../../x", "", ".", "..", "a/b", "a\\b", "-a"]),
        *({label: RandomSearch()} for label in ["a\n", "a b", "ä", "a" * 101, "a\0", 3, None]),
    ],
    "budget": [
        *(None, {}, [], 3, "queries", {"hours": 3}, {3: 3}),
        *({"seconds": limit} for limit in [None, "5", True, -1, 10**400, [5], 5j]),
        *({"seconds": float(limit)} for limit in ["nan", "inf", "-inf"]),
        *({"queries": limit} for limit in [2.5, -1, "3", np.bool_(True), np.nan]),
    ],
    "policy": ["sometimes", None, 1, [], ""],
    "reward_images": ["test", None, []],
    "table": [None, 3, "", b"table.h5", "a\0b", []],
    "device": [None, 0],
    "command": [3],
    "task": ["digits"],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_a_plan_refuses(name: str, value: Any) -> None:
    with pytest.raises(InvalidSetting) as caught:
        Plan(**{**GOOD, name: value})
    assert len(str(caught.value)) < 2000


def test_a_plan_takes_what_means_the_same(small_table: Table, tmp_path: Path) -> None:
    small_table.save(tmp_path / "table.h5")
    plain = Plan(**{**GOOD, "table": tmp_path / "table.h5"})
    traces = run(plain, tmp_path / "plain")
    others: list[dict[str, Any]] = [
        {"seeds": np.arange(2)},
        {"seeds": (np.int64(0), np.uint8(1))},
        {"seeds": range(2)},
        {"budget": {"queries": np.int32(3)}},
        {"table": str(tmp_path / "table.h5")},
    ]
    for number, other in enumerate(others):
        plan = Plan(**{**GOOD, "table": tmp_path / "table.h5", **other})
        folder = str(tmp_path / f"other-{number}")
        assert len(missing(plan, folder)) == 2
        assert run(plan, folder) == traces
        assert all_traces(folder) == traces
        assert write_results(folder, small_table, traces)
        manifests = [
            Path(one, "manifest.json").read_bytes() for one in (tmp_path / "plain", folder)
        ]
        assert manifests[0] == manifests[1]


def test_a_run_refuses(small_table: Table, tmp_path: Path) -> None:
    small_table.save(tmp_path / "table.h5")
    plan = Plan(**{**GOOD, "table": tmp_path / "table.h5"})
    out: Any = tmp_path / "out"
    workers: Any = np.int64(1)
    assert len(run(plan, tmp_path / "numpy", workers=workers)) == 2
    wrong: Any
    for wrong in (0, 1.5, "2", True, None):
        with pytest.raises(InvalidSetting, match="workers is"):
            run(plan, out, workers=wrong)
    for wrong in ("dask", None, []):
        with pytest.raises(InvalidSetting, match="executor is"):
            run(plan, out, executor=wrong)
    wrong = 3
    with pytest.raises(InvalidSetting, match="progress is 3"):
        run(plan, out, progress=wrong)
    for wrong in (None, "", 3, b"out"):
        for refusing in (run, missing):
            with pytest.raises(InvalidSetting, match="give its path as a str or a Path"):
                refusing(plan, wrong)
        with pytest.raises(InvalidSetting, match="give its path as a str or a Path"):
            all_traces(wrong)
        with pytest.raises(InvalidSetting, match="give its path as a str or a Path"):
            write_results(wrong, small_table, [])
    wrong = {"table": "digits"}
    for refusing in (run, missing):
        with pytest.raises(InvalidSetting, match="is no Plan"):
            refusing(wrong, out)
    one: Any = run_one
    with pytest.raises(InvalidSetting, match=r"open it with Table\.open"):
        one(plan, str(tmp_path / "table.h5"), "random-search", 0)
    with pytest.raises(UnknownName, match="did you mean 'random-search'"):
        one(plan, small_table, "random-serch", 0)
    for seed in (-1, 0.0, "0", None, True):
        with pytest.raises(InvalidSetting, match="is no seed"):
            one(plan, small_table, "random-search", seed)
    assert not out.exists()
