"""The experiment that tunes the small presets: its space, what it chooses, and one short run."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from nasbench_kit.algorithms import ALGORITHMS

FILE = Path(__file__).parent / "benchmarks/sharing_presets.py"


@pytest.fixture(scope="module")
def experiment() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sharing_presets", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["sharing_presets"] = module
    spec.loader.exec_module(module)
    return module


def test_every_candidate_can_be_made_and_seeds_are_apart(experiment: ModuleType) -> None:
    for preset, changes in experiment.CANDIDATES.values():
        replace(ALGORITHMS[preset](), **changes)  # type: ignore[type-var]
    assert set(experiment.BEFORE.values()) <= set(experiment.CANDIDATES)
    assert not set(experiment.TUNING) & set(experiment.REPORT)


def test_the_best_has_the_lowest_regret_over_tuning_seeds_alone(experiment: ModuleType) -> None:
    one, other, third = [
        name for name in experiment.CANDIDATES if experiment.method(name) == "darts"
    ][:3]
    regrets = {
        (one, 0): 0.2, (one, 1): 0.2,
        (other, 0): 0.3, (other, 1): 0.05,
        (third, 0): 0.0,  # one seed is missing
        (one, experiment.REPORT[0]): 0.0,
    }  # fmt: skip
    runs = {("t", name, seed): {"first": [value, value]} for (name, seed), value in regrets.items()}
    assert experiment.tuned(runs, "t") == {"darts": other}


def test_a_run_ranks_what_it_would_query_first(
    experiment: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(experiment.TRAININGS, "noisy-digits", 1)
    monkeypatch.setattr(experiment, "SCORED", 10)
    name = experiment.BEFORE["random-weight-sharing"]
    run = experiment.train_and_rank("noisy-digits", name, 0)
    assert len(run["first"]) == experiment.FIRST
    assert all(0 <= regret < 1 for regret in run["first"])
    (moment,) = run["moments"]
    # Four tenths of the spend are kept for the ranking.
    assert 0 < moment["trainings"] <= 0.6
    assert -1 <= moment["tau"] <= 1
