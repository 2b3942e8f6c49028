"""The comparison: what it writes, resuming, independence of workers, scoring."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.random import Generator

from nasbench_kit import (
    Cell,
    Column,
    CorruptFile,
    InvalidSetting,
    NasbenchKitError,
    Oracle,
    Table,
    WrongTable,
)
from nasbench_kit.algorithms import RandomSearch, RegularizedEvolution
from nasbench_kit.analysis import anytime
from nasbench_kit.compare import Plan, as_rows, regrets, run, run_one, score, scored_by
from nasbench_kit.search import Search
from nasbench_kit.space import CellSpace
from nasbench_kit.trace import Incumbent, Trace

ALGORITHMS: dict[str, Search] = {
    "random-search": RandomSearch(),
    "regularized-evolution": RegularizedEvolution(),
}


@pytest.fixture
def path(small_table: Table, tmp_path: Path) -> Path:
    small_table.save(tmp_path / "table.h5")
    return tmp_path / "table.h5"


def a_plan(path: Path, seeds: int = 3, **budget: float) -> Plan:
    return Plan(path, ALGORITHMS, range(seeds), budget or {"queries": 25})


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and "clock" not in file.parts
    }


def test_the_result_does_not_depend_on_the_workers(path: Path, tmp_path: Path) -> None:
    run(a_plan(path), tmp_path / "one", workers=1)
    run(a_plan(path), tmp_path / "two", workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_an_interrupted_comparison_ends_as_an_undisturbed_one(path: Path, tmp_path: Path) -> None:
    run(a_plan(path), tmp_path / "whole")
    run(a_plan(path, seeds=1), tmp_path / "broken")
    (tmp_path / "broken/traces/random-search-0.json").unlink()
    traces = run(a_plan(path), tmp_path / "broken")
    assert contents(tmp_path / "whole") == contents(tmp_path / "broken")
    assert [(t.algorithm, t.seed) for t in traces] == [(n, s) for n in ALGORITHMS for s in range(3)]


def test_finished_runs_are_not_run_again(path: Path, tmp_path: Path) -> None:
    run(a_plan(path), tmp_path / "runs")
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "runs/traces").iterdir()}
    run(a_plan(path), tmp_path / "runs")
    assert before == {
        file: file.stat().st_mtime_ns for file in (tmp_path / "runs/traces").iterdir()
    }


def test_a_folder_made_under_other_conditions_is_refused(path: Path, tmp_path: Path) -> None:
    run(a_plan(path), tmp_path / "runs")
    with pytest.raises(WrongTable, match="another budget"):
        run(a_plan(path, queries=26), tmp_path / "runs")
    other: dict[str, Search] = {**ALGORITHMS, "random-search": RandomSearch(epochs=4)}
    with pytest.raises(WrongTable, match="another algorithms"):
        run(Plan(path, other, range(3), {"queries": 25}), tmp_path / "runs")


def test_an_altered_table_is_not_compared_on(path: Path, tmp_path: Path) -> None:
    damaged = bytearray(path.read_bytes())
    damaged[-40] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(CorruptFile):
        run(a_plan(path), tmp_path / "runs")


def test_a_damaged_trace_is_named(path: Path, tmp_path: Path) -> None:
    run(a_plan(path), tmp_path / "runs")
    (tmp_path / "runs/traces/random-search-1.json").write_text("{}")
    with pytest.raises(CorruptFile, match=r"random-search-1\.json"):
        run(a_plan(path), tmp_path / "runs")


def test_traces_survive_their_files(tmp_path: Path) -> None:
    trace = Trace("a", 1, "budget", 0.1 + 0.2, 36.0, 1, 1, [Incumbent(0.3, 36.0, 1, 7)])
    trace.save(tmp_path / "trace.json")
    assert Trace.load(tmp_path / "trace.json") == trace


def test_results_are_the_last_incumbent_looked_up(small_table: Table) -> None:
    means = small_table.values("test_accuracy", epochs=small_table.epochs[-1]).mean(axis=1)
    trace = Trace(
        "a", 0, "budget", 9.0, 72.0, 2, 2, [Incumbent(1, 36, 1, 5), Incumbent(9, 72, 2, 8)]
    )
    empty = Trace("a", 1, "budget", 0.0, 0.0, 0, 0)
    scored, undefined = score(small_table, [trace, empty])
    assert scored.regret == means.max() - means[8]
    assert scored.accuracy == means[8]
    assert Cell.from_text(scored.cell or "") == small_table.space[8]
    assert undefined.regret is None
    assert as_rows([scored])[0]["queries"] == 2


def test_the_best_cell_has_no_regret(small_table: Table) -> None:
    of_row = regrets(small_table)
    assert of_row.min() == 0
    assert of_row[small_table.mean("test_accuracy").argmax()] == 0


def test_a_table_without_test_is_scored_by_validation() -> None:
    space = CellSpace(3)
    column = Column(np.arange(7, dtype=np.uint16).reshape(7, 1, 1), 10)
    table = Table(space, (4,), {("final", "validation_accuracy"): column})
    assert scored_by(table) == "validation_accuracy"
    assert regrets(table).tolist() == pytest.approx([0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0])


@dataclass(frozen=True)
class Finite:
    """Recommends the first cell of the space, and returns."""

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Cell]:
        yield oracle.query(oracle.space[0]).cell


@dataclass(frozen=True)
class Repeating:
    """Asks the same for ever."""

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Cell]:
        while True:
            yield oracle.query(oracle.space[0]).cell


def test_how_a_run_ended_is_said(path: Path) -> None:
    searches: dict[str, Search] = {"finite": Finite(), "repeating": Repeating()}
    table = Table.open(path)
    always = Plan(path, searches, [0], {"queries": 5})
    once = Plan(path, searches, [0], {"queries": 5}, policy="once")
    assert run_one(always, table, "finite", 0).ended == "finished"
    assert run_one(always, table, "repeating", 0).ended == "budget"
    assert run_one(once, table, "repeating", 0).ended == "stalled"
    assert run_one(always, table, "repeating", 0).queries == 5
    assert run_one(always, table, "repeating", 0).unique_cells == 1


def test_an_overspent_meter_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nasbench_kit.budget.Budget.check", lambda *_, **__: None)
    plan = Plan(path, {"finite": Finite()}, [0], {"queries": 0})
    with pytest.raises(NasbenchKitError, match="finite spent 1 of 0 queries"):
        run_one(plan, Table.open(path), "finite", 0)


def test_a_mistaken_budget_leaves_no_trace(path: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="seconds are -1"):
        a_plan(path, seconds=-1)
    with pytest.raises(InvalidSetting, match="seconds are nan"):
        a_plan(path, seconds=float("nan"))
    with pytest.raises(InvalidSetting, match="workers is 0"):
        run(a_plan(path), tmp_path / "runs", workers=0)
    assert not (tmp_path / "runs").exists()


def test_what_is_no_manifest_is_named(path: Path, tmp_path: Path) -> None:
    for text in ("[]", "{}", "nonsense", '{"algorithms": 3}'):
        (tmp_path / "runs").mkdir(exist_ok=True)
        (tmp_path / "runs/manifest.json").write_text(text)
        with pytest.raises(CorruptFile, match=r"manifest\.json is no manifest"):
            run(a_plan(path), tmp_path / "runs")


def test_a_budget_too_small_for_one_query_is_still_reported(path: Path, tmp_path: Path) -> None:
    from nasbench_kit.cli import main

    out = tmp_path / "out"
    command = ["compare", "--table", str(path), "--seeds", "2", "--seconds", "0", "--workers", "1"]
    assert main([*command, "--out", str(out)]) == 0
    assert {row["regret"] for row in json.loads((out / "results.json").read_text())} == {None}
    assert (out / "regret-seconds.png").exists()


def test_a_second_call_adds_to_the_results(path: Path, tmp_path: Path) -> None:
    from nasbench_kit.cli import main

    command = ["compare", "--table", str(path), "--queries", "5", "--workers", "1"]
    command += ["--out", str(tmp_path / "out")]
    assert main([*command, "--seeds", "3", "--algorithms", "random-search"]) == 0
    assert main([*command, "--seeds", "1", "--algorithms", "local-search"]) == 0
    rows = json.loads((tmp_path / "out/results.json").read_text())
    found = [(row["algorithm"], row["seed"]) for row in rows]
    assert found == [*(("random-search", seed) for seed in range(3)), ("local-search", 0)]


def test_nothing_to_compare_is_refused(path: Path) -> None:
    with pytest.raises(InvalidSetting, match="nothing to compare"):
        Plan(path, {}, [0], {"queries": 1})
    with pytest.raises(InvalidSetting, match="nothing to compare"):
        Plan(path, ALGORITHMS, [], {"queries": 1})
    with pytest.raises(InvalidSetting, match="no budget"):
        Plan(path, ALGORITHMS, [0], {})


# Any-time curves -----------------------------------------------------------------------------


def step_traces() -> list[Trace]:
    """Regrets 0.4 from 1 s on and 0.1 from 4 s on; and 0.2 from 2 s on."""
    return [
        Trace("a", 0, "budget", 5, 0, 2, 2, [Incumbent(1, 0, 1, 0), Incumbent(4, 0, 2, 1)]),
        Trace("a", 1, "budget", 5, 0, 1, 1, [Incumbent(2, 0, 1, 2)]),
    ]


def test_the_last_incumbent_is_carried_forward() -> None:
    grid = np.array([0.5, 1.0, 1.9, 2.0, 3.99, 4.0, 9.0])
    values = anytime.at_spend(step_traces(), np.array([0.4, 0.1, 0.2]), "seconds", grid)
    inf = np.inf
    assert values.tolist() == [[inf, 0.4, 0.4, 0.4, 0.4, 0.1, 0.1], [inf, inf, inf, *[0.2] * 4]]


def test_a_run_without_recommendation_counts_as_worst() -> None:
    curve = anytime.quartiles(step_traces(), np.array([0.4, 0.1, 0.2]), "seconds")
    early = curve.grid < 2
    assert np.isinf(curve.median[early]).all()
    assert curve.median[-1] == pytest.approx(0.15)
    assert curve.grid[0] == pytest.approx(1.0) and curve.grid[-1] == pytest.approx(5.0)
    assert (curve.lower <= curve.median).all() and (curve.median <= curve.upper).all()


def test_equal_runs_have_a_band_of_no_width() -> None:
    traces = [step_traces()[0]] * 7
    curve = anytime.quartiles(traces, np.array([0.4, 0.1, 0.2]), "seconds")
    assert (curve.lower == curve.upper).all()


def test_written_rows_match(path: Path, tmp_path: Path) -> None:
    from nasbench_kit.cli import main

    out = tmp_path / "out"
    command = ["compare", "--table", str(path), "--seeds", "2", "--queries", "9", "--workers", "1"]
    assert main([*command, "--out", str(out)]) == 0
    rows = json.loads((out / "results.json").read_text())
    with (out / "results.csv").open() as file:
        read = list(csv.DictReader(file))
    assert [float(row["regret"]) for row in read] == [row["regret"] for row in rows]
    assert {row["queries"] for row in rows} == {9}
    assert (out / "regret-queries.png").stat().st_size > 10_000
    assert (out / "regret-queries.pdf").read_bytes().startswith(b"%PDF")
