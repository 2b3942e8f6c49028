"""Optuna's samplers as searches. That they are sound is Optuna's business; the adapter is ours."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest

from nasbench_kit import Budget, CellSpace, Column, InvalidSetting, Oracle, Stalled, Table
from nasbench_kit.algorithms import ALGORITHMS, OptunaSearch
from nasbench_kit.spaces.nasbench101.encodings import Encoding, Letter
from nasbench_kit.testing.searches import recommended, yielded

optuna = pytest.importorskip("optuna")


@pytest.mark.parametrize("encoding", ["A", "B", "C"])
@pytest.mark.parametrize("sampler", ["tpe", "random", "nsga2"])
def test_every_sampler_runs_on_every_encoding(
    sampler: str, encoding: Letter, small_table: Table
) -> None:
    search = OptunaSearch(sampler, encoding)  # type: ignore[arg-type]
    cells, budget = recommended(search, small_table, 1, queries=15)
    assert len(cells) == budget.spent_queries == 15
    assert cells == recommended(search, small_table, 1, queries=15)[0]
    assert cells != recommended(search, small_table, 2, queries=15)[0]


def test_the_gaussian_process_runs() -> None:
    """Beyond its ten random points, on a space of seven cells."""
    space = CellSpace(3)
    counts = np.arange(len(space), dtype=np.uint16)[:, None, None]
    table = Table(space, [36], {("final", "validation_accuracy"): Column(counts, images=100)})
    oracle = Oracle(table, Budget(queries=12), np.random.default_rng(0))
    assert len(list(yielded(ALGORITHMS["optuna-gp"](), oracle, 0))) == 12


@pytest.mark.parametrize("encoding", ["A", "B", "C"])
def test_the_random_sampler_is_random_search_on_the_encoding(
    encoding: Letter, small_table: Table
) -> None:
    """The share of queried cells with the direct edge is that among the encoding's valid points."""
    space = small_table.space

    def direct(cells: list[str]) -> int:
        return sum(text.split("/")[0].endswith("1") for text in cells)

    oracle = Oracle(small_table, Budget(queries=200), np.random.default_rng(0))
    list(yielded(OptunaSearch("random", encoding), oracle, 0))
    asked = [charge.item.cell.to_text() for charge in oracle.budget.ledger]
    points = Encoding(encoding, space)
    rng = np.random.default_rng(1)
    cells: list[str] = []
    while len(cells) < 3_000:
        point = [
            rng.random() if v.kind == "real" else int(rng.integers(v.size))
            for v in points.variables
        ]
        cell = points.decode(point)
        if cell is not None:
            cells.append(cell.to_text())
    share = direct(cells) / len(cells)
    tolerance = 5 * np.sqrt(share * (1 - share) * (1 / 200 + 1 / 3_000))  # five sigma
    assert direct(asked) / 200 == pytest.approx(share, abs=tolerance)


def test_a_planted_edge_is_found_by_tpe() -> None:
    """Good cells have the direct edge: 32 of the 47 connected matrices on four vertices."""
    space = CellSpace(4)
    direct = np.array([(0, cell.size - 1) in cell.edges() for cell in space])
    counts = np.where(direct, 90, 10).astype(np.uint16)[:, None, None]
    table = Table(space, [36], {("final", "validation_accuracy"): Column(counts, images=100)})
    later = []
    for seed in range(4):
        oracle = Oracle(table, Budget(queries=80), np.random.default_rng(seed))
        list(yielded(OptunaSearch(), oracle, seed))
        later += [charge.item.validation_accuracy for charge in oracle.budget.ledger][40:]
    share = 32 / 47
    assert np.mean(np.array(later) > 0.5) > share + 3 * np.sqrt(share * (1 - share) / len(later))


def test_invalid_points_are_told_as_error_one_at_no_cost(
    small_table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float] = []
    tell = optuna.Study.tell

    def noted(self: Any, trial: Any, value: float) -> Any:
        told.append(value)
        return tell(self, trial, value)

    monkeypatch.setattr(optuna.Study, "tell", noted)
    oracle = Oracle(small_table, Budget(queries=30), np.random.default_rng(0))
    list(yielded(OptunaSearch("random"), oracle, 0))
    paid = [1 - charge.item.validation_accuracy for charge in oracle.budget.ledger]
    assert [value for value in told if value < 1] == paid
    assert 1.0 in told


def test_a_sampler_without_cells_is_not_waited_for(
    small_table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Encoding, "decode", lambda self, point: None)
    oracle = Oracle(small_table, Budget(queries=1), np.random.default_rng(0))
    with pytest.raises(Stalled, match="1,000 points in a row of the sampler 'random'"):
        next(OptunaSearch("random")(oracle, np.random.default_rng(0)))


def test_optuna_is_silent_and_its_own_level_is_kept(
    small_table: Table, capfd: pytest.CaptureFixture[str]
) -> None:
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.INFO)
    try:
        recommended(OptunaSearch(), small_table, 0, queries=3)
        assert optuna.logging.get_verbosity() == optuna.logging.INFO
    finally:
        optuna.logging.set_verbosity(level)
    assert capfd.readouterr() == ("", "")


def test_mistakes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        InvalidSetting, match="sampler is 'cmaes'; choose one of tpe, gp, random, nsga2"
    ):
        OptunaSearch("cmaes")  # type: ignore[arg-type]
    with pytest.raises(InvalidSetting, match="encoding is 'D'"):
        OptunaSearch(encoding="D")  # type: ignore[arg-type]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InvalidSetting, match=r"pip install 'nasbench-kit\[optuna\]'"):
        OptunaSearch()
