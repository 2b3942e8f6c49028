"""What a search cannot do is refused before anything is made, under its label."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nasbench_kit import InvalidSetting, Table
from nasbench_kit.algorithms import ALGORITHMS, RandomSearch
from nasbench_kit.compare.plan import Plan
from nasbench_kit.compare.running import missing, run
from nasbench_kit.experiment.defaults import defaults
from nasbench_kit.spaces.graphs.nasbench_graph import NASBenchGraph
from nasbench_kit.spaces.layers.nasbench_macro import NASBenchMacro
from nasbench_kit.testing.made_up import made_up_table


def saved(table: Table, folder: Path) -> Path:
    table.save(folder / "table.h5")
    return folder / "table.h5"


@pytest.mark.parametrize(
    ("name", "budget", "word"),
    [
        ("hierarchical-evolution-small", {"queries": 20}, "has not; choose another search"),
        ("nasbot-naszilla", {"queries": 20}, "compares cells"),
        ("bananas", {"queries": 3}, "10 random architectures first"),
        ("nas-bowl", {"epochs": 40}, "random architectures first"),
    ],
)
def test_built_in_searches_are_refused_by_label(
    tmp_path: Path, name: str, budget: dict[str, float], word: str
) -> None:
    path = saved(made_up_table(NASBenchMacro()), tmp_path)
    searches = {"fine": RandomSearch(), "mine": ALGORITHMS[name]()}
    plan = Plan(path, searches, range(2), budget)
    for refused in (lambda: run(plan, tmp_path / "runs"), lambda: missing(plan, tmp_path / "runs")):
        with pytest.raises(InvalidSetting, match=f"^mine: .*{word}"):
            refused()
    assert not (tmp_path / "runs").exists()


def test_halving_needs_several_fidelities(tmp_path: Path) -> None:
    path = saved(made_up_table(NASBenchMacro(), epochs=(50,)), tmp_path)
    for name in ("hyperband", "asha", "bohb"):
        with pytest.raises(InvalidSetting, match=f"^{name}: "):
            run(Plan(path, {name: ALGORITHMS[name]()}, [0], {"queries": 9}), tmp_path / "runs")


def test_images_are_not_looked_for_where_nothing_becomes_a_network(tmp_path: Path) -> None:
    def task(table: Any) -> Any:
        raise AssertionError("images were opened")

    path = saved(made_up_table(NASBenchGraph()), tmp_path)
    plan = Plan(path, {"mine": ALGORITHMS["zero-cost-small"]()}, [0], {"epochs": 9999}, task=task)
    with pytest.raises(InvalidSetting, match=r"mine computes on images: .*has no networks"):
        run(plan, tmp_path / "runs")


ASKED: list[int] = []


@dataclass(frozen=True)
class Counting:
    """Somebody else's search, which tells when it is begun."""

    def __call__(self, oracle: Any, rng: Any) -> Any:
        ASKED.append(1)
        yield oracle.query(oracle.space.sample(rng)).architecture


def test_searches_of_others_are_not_begun_before_their_time(
    tmp_path: Path, small_table: Table
) -> None:
    plan = Plan(saved(small_table, tmp_path), {"other": Counting()}, [0], {"queries": 1})
    missing(plan, tmp_path / "runs")
    assert not ASKED


def test_all_methods_are_those_that_can_be_used() -> None:
    table = made_up_table(NASBenchMacro(), epochs=(50,))
    algorithms = defaults(table, full=True)["algorithms"]
    assert {"bananas", "reinforce", "pnas-small"} <= algorithms.keys()
    assert (
        not {"hierarchical-evolution", "nasbot-naszilla", "hyperband", "zero-cost"}
        & algorithms.keys()
    )
