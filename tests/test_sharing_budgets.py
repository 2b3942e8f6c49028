"""The experiment on budgets and shares: what it runs, and how it is summed up and drawn."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from nasbench_kit.compare.scores import regrets
from nasbench_kit.data.tables import open_table

FILE = Path(__file__).parents[1] / "analysis/experiments/sharing_budgets.py"


@pytest.fixture(scope="module")
def experiment() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sharing_budgets", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_run_is_planned_once(experiment: ModuleType) -> None:
    planned = list(experiment.jobs(experiment.METHODS))
    assert len(planned) == len(set(planned))
    assert len(planned) == 5 * (2 * 300 + 2 * 4 * 30)
    # Cut off anywhere, no two methods differ by more than a run at any budget and share.
    counts: dict[tuple[object, ...], int] = {}
    for name, *spend, _ in planned:
        if name in experiment.METHODS:
            counts[name, *spend] = counts.get((name, *spend), 0) + 1
            other = next(each for each in experiment.METHODS if each != name)
            assert abs(counts[name, *spend] - counts.get((other, *spend), 0)) <= 1


def test_a_run_keeps_to_its_budget_and_repeats(experiment: ModuleType) -> None:
    mean = float(open_table("noisy-digits").mean("seconds").mean())
    for name, share in (("distinct-random-search-over-cells", 0.0), ("darts", 0.5)):
        run = experiment.search_and_score({}, name, 3, share, 0)
        assert 0 < run["seconds"] <= 3 * mean
        assert run == experiment.search_and_score({}, name, 3, share, 0)


def test_differences_are_those_of_means_to_the_better_random_search(
    experiment: ModuleType,
) -> None:
    first, second = experiment.CONTROLS
    collected = {
        (first, 3.0, 0.0): np.array([4.0, 6.0]),
        (second, 3.0, 0.0): np.array([2.0, 4.0]),
        ("darts", 3.0, 0.1): np.array([1.0, 1.0]),
    }
    low, point, high = experiment.differences(collected)["darts", 3.0, 0.1]
    assert point == 1 - 3
    assert (low, high) == (1 - 4, 1 - 2)


def test_a_run_without_a_recommendation_is_worth_one_at_random(experiment: ModuleType) -> None:
    runs = {("darts", 1, 0.1, 0): {"regret": None}, ("darts", 1, 0.1, 1): {"regret": 0.25}}
    collected = experiment.losses(runs)
    missing, there = collected["darts", 1.0, 0.1]
    assert math.isnan(missing)
    assert there == 25
    table = open_table("noisy-digits")
    drawn = [table.space.sample(np.random.default_rng(seed)) for seed in range(2000)]
    mean = 100 * np.mean([regrets(table)[table.space.index(cell)] for cell in drawn])
    assert experiment.filled(collected)["darts", 1.0, 0.1][0] == pytest.approx(mean, abs=1)


def test_the_figure_is_drawn(experiment: ModuleType, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    collected = {
        (name, float(budget), 0.0): rng.random(5)
        for name in experiment.CONTROLS
        for budget in experiment.BUDGETS
    } | {("darts", 3.0, 0.1): rng.random(5), ("darts", 1.0, 0.1): np.full(5, np.nan)}
    experiment.draw(collected, tmp_path / "wins.png")
    assert (tmp_path / "wins.png").read_bytes().startswith(b"\x89PNG")
