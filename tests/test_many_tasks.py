"""Comparisons over many tasks: folder, resuming, failures, statistics over tasks, the one report."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.random import Generator
from report_inputs import hand_made, table
from scipy import stats

from nasbench_kit import Cell, Column, InvalidSetting, Oracle, Table
from nasbench_kit.algorithms import LocalSearch, RandomSearch, RegularizedEvolution
from nasbench_kit.analysis.figures import style
from nasbench_kit.analysis.report.many_tasks import analyse_tasks, verdict, write_many
from nasbench_kit.analysis.statistics.aggregates import bootstrap
from nasbench_kit.analysis.statistics.comparison import Comparison
from nasbench_kit.analysis.statistics.over_tasks import (
    across_tables,
    curves_over_tasks,
    normalised,
    over_tasks,
    pooled_mean,
    scale,
)
from nasbench_kit.cli import main
from nasbench_kit.cli.compare import processor_seconds
from nasbench_kit.compare.many import is_many, run_tasks, tasks_of
from nasbench_kit.compare.plan import Plan
from nasbench_kit.compare.run_folder import all_traces
from nasbench_kit.compare.running import run
from nasbench_kit.errors import CorruptFile, RunsFailed, UnknownName, WrongTable
from nasbench_kit.experiment.defaults import DEFAULT_QUERIES
from nasbench_kit.experiment.planning import plan_of, plans_of
from nasbench_kit.experiment.settings import read
from nasbench_kit.oracle.search import Search

SEARCHES: dict[str, Search] = {
    "random-search": RandomSearch(),
    "evolution": RegularizedEvolution(population_size=4, sample_size=2),
    "local-search": LocalSearch(),
}
INF = float("inf")


def without_seconds(of: Table, name: str) -> Table:
    columns = {key: column for key, column in of.columns.items() if key[1] != "seconds"}
    return Table(of.space, of.epochs, columns, provenance={"name": name, "source": "measured"})


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Six small tables, the last without seconds."""
    folder = tmp_path_factory.mktemp("tables")
    made = {f"toy{seed}": table(seed) for seed in range(5)}
    made["timeless"] = without_seconds(table(5), "timeless")
    for name, one in made.items():
        one.save(folder / f"{name}.h5")
    return {name: folder / f"{name}.h5" for name in made}


def plans(paths: dict[str, Path], seeds: int = 2, queries: int = 12) -> dict[str, Plan]:
    return {
        name: Plan(path, SEARCHES, range(seeds), {"queries": queries})
        for name, path in paths.items()
    }


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and "clock" not in file.parts
    }


# Running ---------------------------------------------------------------------------------------


def test_each_task_is_an_ordinary_comparison(paths: dict[str, Path], tmp_path: Path) -> None:
    both = plans(dict(list(paths.items())[:2]))
    run_tasks(both, tmp_path / "many")
    assert list(tasks_of(tmp_path / "many").items()) == list(paths.items())[:2]
    for task, plan in both.items():
        run(plan, tmp_path / task)
        assert contents(tmp_path / task) == contents(tmp_path / "many" / task)


def test_workers_and_interruptions_change_nothing(paths: dict[str, Path], tmp_path: Path) -> None:
    run_tasks(plans(paths), tmp_path / "one")
    run_tasks(plans(dict(list(paths.items())[:3]), seeds=1), tmp_path / "two")
    (tmp_path / "two/toy1/traces/evolution-0.json").unlink()
    seen: list[tuple[int, int]] = []
    run_tasks(plans(paths), tmp_path / "two", workers=2, progress=lambda *done: seen.append(done))
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    total = 6 * 3 * 2 - (3 * 3 - 1)
    assert seen[0] == (0, total) and seen[-1] == (total, total)  # one count over all tasks


class Breaks:
    """Raises on tables without seconds."""

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Any]:
        if len(oracle.epochs) == 1:
            raise RuntimeError("one fidelity only")
        yield oracle.query(oracle.space.sample(rng)).architecture


class Dies:
    """Ends its process on tables of one fidelity."""

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Cell]:
        if len(oracle.epochs) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        yield oracle.query(oracle.space.sample(rng)).architecture


@pytest.fixture
def short(tmp_path: Path, small_table: Table) -> Path:
    """A table of one fidelity."""
    columns = {
        key: Column(np.ascontiguousarray(column.values[:, -1:]), column.images)
        for key, column in small_table.columns.items()
        if key[0] == "final"
    }
    small_table_short = Table(
        small_table.space, [36], columns, provenance={"name": "short", "source": "measured"}
    )
    small_table_short.save(tmp_path / "short.h5")
    return tmp_path / "short.h5"


def test_a_failing_run_hides_neither_its_task_nor_others(
    paths: dict[str, Path], short: Path, tmp_path: Path
) -> None:
    searches: dict[str, Search] = {"breaks": Breaks(), "random-search": RandomSearch()}
    tables = {"short": short, "toy0": paths["toy0"]}
    two = {name: Plan(path, searches, range(2), {"queries": 3}) for name, path in tables.items()}
    with pytest.raises(RunsFailed) as error:
        run_tasks(two, tmp_path / "many")
    lines = str(error.value).split("\n")
    assert lines[0] == "2 runs failed; all others are done"
    assert lines[1] == "  short: breaks, 2 seeds: RuntimeError: one fidelity only"
    assert f"{tmp_path / 'many' / 'TASK' / 'failures'}/" in lines[-1]
    assert len(all_traces(tmp_path / "many/short")) == 2
    assert len(all_traces(tmp_path / "many/toy0")) == 4


def test_dead_workers_leave_the_runs_of_all_other_tasks(
    paths: dict[str, Path], short: Path, tmp_path: Path
) -> None:
    searches: dict[str, Search] = {"dies": Dies(), "random-search": RandomSearch()}
    tables = {"short": short, "toy0": paths["toy0"]}
    two = {name: Plan(path, searches, range(1), {"queries": 3}) for name, path in tables.items()}
    with pytest.raises(Exception, match=r"1 job \(the first: short, dies, 0\)"):
        run_tasks(two, tmp_path / "many", workers=2)
    assert len(all_traces(tmp_path / "many/short")) == 1
    assert len(all_traces(tmp_path / "many/toy0")) == 2


def test_what_does_not_go_together_is_refused_before_anything_is_written(
    paths: dict[str, Path], tmp_path: Path
) -> None:
    def refused(plans: dict[str, Plan], match: str) -> None:
        with pytest.raises(InvalidSetting, match=match):
            run_tasks(plans, tmp_path / "many")
        assert not (tmp_path / "many").exists()

    seconds = {name: Plan(path, SEARCHES, [0], {"seconds": 9e3}) for name, path in paths.items()}
    refused(seconds, "1 of 6 tables record none: timeless; limit queries instead")
    twice = plans({"a": paths["toy0"], "b": paths["toy0"]})
    refused(twice, "a and b are the same table")
    refused({}, "give a Plan by the name of each task")
    refused(plans({"a/b": paths["toy0"]}), "file's name")


def test_a_folder_keeps_its_conditions(paths: dict[str, Path], tmp_path: Path) -> None:
    one = {"toy0": paths["toy0"]}
    run_tasks(plans(one, seeds=1), tmp_path / "many")
    with pytest.raises(WrongTable, match="another budget queries"):
        run_tasks(plans(one, seeds=1, queries=13), tmp_path / "many")
    with pytest.raises(WrongTable, match="another table"):
        run_tasks(plans({"toy0": paths["toy1"]}, seeds=1), tmp_path / "many")
    (tmp_path / "many/tasks.json").write_text('{"tasks": {"..": "x"}}')
    with pytest.raises(CorruptFile, match="no list of tasks"):
        tasks_of(tmp_path / "many")
    with pytest.raises(UnknownName, match="no comparison over many tasks"):
        tasks_of(tmp_path)


# From files and flags ----------------------------------------------------------------------------


def test_files_name_tables_in_a_list(paths: dict[str, Path], tmp_path: Path) -> None:
    file = tmp_path / "many.toml"
    first, second = paths["toy0"], paths["timeless"]
    file.write_text(
        f'table = ["{first}", "other={second}"]\nseeds = 3\n[algorithms.random-search]\n'
    )
    made = plans_of(read(file))
    assert list(made) == ["toy0", "other"]
    assert [plan.table for plan in made.values()] == [first, second]
    for plan in made.values():
        assert plan.budget == {"queries": DEFAULT_QUERIES}  # not all have seconds
        assert list(plan.seeds) == [0, 1, 2] and list(plan.algorithms) == ["random-search"]
    assert f"--table {first} " in (made["toy0"].command or "")


def test_two_tables_of_one_name_get_a_way_out(paths: dict[str, Path], tmp_path: Path) -> None:
    table(7, name="toy0").save(tmp_path / "same.h5")
    both = [str(paths["toy0"]), str(tmp_path / "same.h5")]
    with pytest.raises(InvalidSetting, match=rf"two tasks are called 'toy0'.*NAME={both[1]}"):
        plans_of({"table": both})
    assert list(plans_of({"table": [both[0], f"b={both[1]}"]})) == ["toy0", "b"]


def test_all_tables_that_are_not_at_hand_are_named(paths: dict[str, Path]) -> None:
    settings = {
        "table": ["digits", "absent-1", str(paths["toy0"]), "digitz"],
        "get": {"absent-1": "nasbench-kit convert FILE absent-1.h5", "digits": "unused"},
    }
    with pytest.raises(UnknownName) as error:
        plans_of(settings)
    message = str(error.value)
    assert message.startswith("2 of the 4 tables are not at hand; absent-1: nasbench-kit convert")
    assert "did you mean 'digits'?" in message and "unused" not in message
    with pytest.raises(UnknownName, match="no table at hand is absent-1: nasbench-kit convert"):
        plan_of({**settings, "table": "absent-1"})


def test_processor_seconds_to_come_are_those_of_the_algorithms_to_come() -> None:
    measured = {
        ("quick", 0): {"processor_seconds": 1.0},
        ("quick", 1): {"processor_seconds": 3.0},
        ("slow", 0): {"processor_seconds": 50.0},
    }
    assert processor_seconds([("slow", 1), ("slow", 2), ("quick", 2)], measured) == 102
    assert processor_seconds([("quick", 2), ("new", 0)], measured) is None
    assert processor_seconds([], measured) == 0


def test_the_command_from_end_to_end(
    paths: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    # The files of figures take most of the time, and are another test's.
    monkeypatch.setattr(style, "save", lambda figure, folder, name: Path(name))
    monkeypatch.setattr(os, "cpu_count", lambda: 1)  # the pages of tasks are made in this process
    words = ["--queries", "8", "--seeds", "2", "--workers", "1", "--out", "many"]
    words += ["--algorithms", "random-search", "regularized-evolution", "reinforce"]
    command = ["compare", "--table", *map(str, paths.values()), *words]
    assert main([*command, "--dry-run", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert [task["missing"] for task in planned["tasks"]] == [6] * 6
    assert not (tmp_path / "many").exists()
    assert main([*command, "--dry-run"]) == 0
    assert "Would run 36 of 36 runs of 3 algorithms on 6 tables" in capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["tasks"]) == list(paths)
    assert all(len(task["runs"]) == 6 and not task["missing"] for task in found["tasks"].values())
    assert sum(found["over_tasks"]["mean_ranks"].values()) == pytest.approx(6)
    assert (tmp_path / "many/toy3/results.csv").is_file()
    assert main(command) == 0  # nothing is left to do
    printed = capsys.readouterr().out
    assert "Over 6 tables" in printed and "Friedman: p = " in printed

    assert main(["report", "many"]) == 0
    assert "Over 6 tasks" in capsys.readouterr().out
    page = (tmp_path / "many/report.html").read_text(encoding="utf-8")
    for task in paths:
        assert f'href="{task}/report.html"' in page
        assert "<h1>Comparison on" in (tmp_path / "many" / task / "report.html").read_text("utf-8")
    assert page.count("<figure") == 7
    names = {"algorithms.csv", "algorithms.parquet", "tasks.csv", "tasks.parquet"}
    assert {file.name for file in (tmp_path / "many/report-columns").iterdir()} == names
    with (tmp_path / "many/report-columns/tasks.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 * 3
    assert {row["task"] for row in rows} == set(paths)
    # All that reads an ordinary comparison reads that of a task.
    assert main(["report", "many/toy1", "--table", str(paths["toy1"]), "--json"]) == 0
    capsys.readouterr()
    assert main(["report", "many", "many/toy1"]) == 2
    assert "has one page of its own" in capsys.readouterr().err


def test_missing_runs_are_counted_by_task(
    paths: dict[str, Path],
    short: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(style, "save", lambda figure, folder, name: Path(name))
    monkeypatch.setattr(
        "nasbench_kit.experiment.searches.known_algorithms",
        lambda: {"breaks": lambda: Breaks, "random-search": lambda: RandomSearch},
    )
    words = ["--queries", "3", "--seeds", "1", "--workers", "1", "--out", str(tmp_path / "many")]
    words += ["--algorithms", "breaks", "random-search"]
    assert main(["compare", "--table", str(short), str(paths["toy0"]), *words]) == 1
    captured = capsys.readouterr()
    assert "incomplete: all numbers lack 1 of 4 runs (short 1)" in captured.out
    assert "Not on every table, so left out: breaks" in captured.out
    assert "short: breaks, seed 0: RuntimeError" in captured.err


def test_an_experiment_file_after_the_table_is_still_one(
    paths: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "one.toml"
    file.write_text("seeds = 7\n[budget]\nqueries = 5\n[algorithms.random-search]\n")
    out = ["--out", str(tmp_path / "out"), "--dry-run"]
    assert main(["compare", "--table", str(paths["toy0"]), str(file), *out]) == 0
    assert "Would run 7 of 7 runs on toy0" in capsys.readouterr().out


# Statistics --------------------------------------------------------------------------------------


def five(finals: list[dict[str, list[int | None]]]) -> list[Comparison]:
    """Hand-made comparisons on tables of their own."""
    return [hand_made(table(seed), one, f"task{seed}") for seed, one in enumerate(finals)]


def test_the_scale_is_the_regret_of_the_median_architecture() -> None:
    assert scale(np.array([0.0, 0.1, 0.3, 0.4, 0.9])) == 0.3
    assert scale(np.array([0.0, 0.0, 0.0, 0.5])) == 0.125  # most are the best: their mean
    assert scale(np.zeros(4)) == 1.0


def test_normalised_regret_by_hand() -> None:
    (one,) = five([{"random-search": [0, 5, None]}])
    assert one.table is not None
    means = one.table.mean("test_accuracy")
    regrets = means.max() - means
    expected = [regrets[0] / np.median(regrets), regrets[5] / np.median(regrets), INF]
    assert normalised(one)["random-search"] == pytest.approx(expected)


def test_the_interquartile_mean_is_of_all_runs_together() -> None:
    tasks = [np.array([0.0, 1.0, 2.0, 3.0]), np.array([10.0, 20.0, 4.0, 5.0])]
    # Sorted 0 1 2 3 4 5 10 20; the middle four are 2 3 4 5.
    assert pooled_mean(tasks) == 3.5
    # It is not the mean of the tasks' own: (1.5 + 7.5) / 2.
    many = np.random.default_rng(0).exponential(size=(3, 20))
    assert pooled_mean(list(many)) == pytest.approx(stats.trim_mean(many, 0.25, axis=None))


def test_the_stratified_bootstrap_covers_and_is_tighter_than_a_plain_one() -> None:
    # Tasks of very different levels, so that resampling runs across tasks would be far too wide.
    rng = np.random.default_rng(5)
    levels = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    truth = pooled_mean([level + rng.normal(0, 0.3, 20_000) for level in levels])
    covered, widths, plain = [], [], []
    for _ in range(150):
        tasks = [level + rng.normal(0, 0.3, 30) for level in levels]
        interval = bootstrap(tasks, pooled_mean, rng, resamples=300)
        covered.append(interval.low <= truth <= interval.high)
        widths.append(interval.high - interval.low)
        (together,) = [bootstrap([np.concatenate(tasks)], pooled_mean, rng, resamples=300)]
        plain.append(together.high - together.low)
    assert 0.88 <= np.mean(covered) <= 0.99  # of 95 %, give or take three standard errors
    assert np.mean(widths) < 0.5 * np.mean(plain)


def test_friedman_over_tasks_is_scipys_on_medians() -> None:
    rng = np.random.default_rng(2)
    comparisons = five(
        [
            {
                name: rng.integers(0, 60 + 10 * place, 5).tolist()
                for place, name in enumerate("abcd")
            }
            for _ in range(7)
        ]
    )
    across = across_tables(comparisons)
    medians = [[np.median(one.final[name]) for one in comparisons] for name in "abcd"]
    assert across.friedman is not None
    assert across.friedman.chi_squared == pytest.approx(stats.friedmanchisquare(*medians).statistic)
    # Demsar 2006, table 5: q at 0.05 of four algorithms is 2.569.
    difference = 2.569 * np.sqrt(4 * 5 / (6 * 7))
    assert across.friedman.critical_difference == pytest.approx(difference, abs=2e-3)


def test_rows_over_tasks_by_hand() -> None:
    comparisons = five(
        [
            {"random-search": [40, 50], "a": [0, 1], "b": [60, 70]},
            {"random-search": [40, 50], "a": [2, 3], "b": [4, 5]},
            {"random-search": [1, 2], "a": [40, 50], "b": [60, None], "absent": [1]},
        ]
    )
    across = across_tables(comparisons)
    rows = {row.algorithm: row for row in over_tasks(comparisons, across, np.random.default_rng(0))}
    assert across.missing == ["absent"] and list(rows) == ["a", "random-search", "b"]
    medians = np.array([[np.median(one.final[name]) for name in rows] for one in comparisons])
    ranks = stats.rankdata(medians, axis=1).mean(axis=0)
    assert [row.mean_rank for row in rows.values()] == pytest.approx(ranks.tolist())
    assert sum(row.best_on for row in rows.values()) == 3
    pairs = [
        np.mean(
            [[(x < y) + 0.5 * (x == y) for y in one.final["random-search"]] for x in one.final["b"]]
        )
        for one in comparisons
    ]
    assert rows["b"].better is not None
    assert rows["b"].better.point == pytest.approx(np.mean(pairs))
    assert rows["random-search"].better is None
    assert rows["a"].interquartile_mean.point == pytest.approx(
        stats.trim_mean(np.concatenate([normalised(one)["a"] for one in comparisons]), 0.25)
    )


def test_curves_end_at_the_final_values_and_rank_all() -> None:
    comparisons = five([{"random-search": [40, 50, 30, 20], "a": [0, 1, 2, 3]} for _ in range(3)])
    rng = np.random.default_rng(0)
    curves = curves_over_tasks(comparisons, ["random-search", "a"], rng, points=9, resamples=40)
    assert curves.grid[-1] == 1 and (np.diff(curves.grid) > 0).all()
    for name, interval in curves.means.items():
        final = pooled_mean([normalised(one)[name] for one in comparisons])
        assert interval.point[-1] == pytest.approx(final)
        assert (interval.low <= interval.point).all() and (interval.point <= interval.high).all()
        # Runs recommend at 30 of 100 seconds.
        assert np.isinf(interval.point[curves.grid < 0.3]).all()
    assert sum(curves.ranks.values()) == pytest.approx(np.full(9, 3.0))


# The page ----------------------------------------------------------------------------------------


def page_of(comparisons: list[Comparison], folder: Path) -> str:
    results = analyse_tasks(comparisons)
    write_many(folder / "page.html", results, [folder / one.name / "x.html" for one in comparisons])
    return (folder / "page.html").read_text(encoding="utf-8")


@pytest.fixture
def unsaved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures go into the page only, as files take most of the time."""
    monkeypatch.setattr(style, "save", lambda figure, folder, name: None)


def test_the_verdict_names_who_is_worse() -> None:
    clear = five([{"a": [0, 0], "b": [30, 31], "c": [80, 81]} for _ in range(6)])
    sentence = verdict(analyse_tasks(clear))
    assert "a has the best mean rank (1.00)" in sentence
    assert "Ranked worse than a beyond chance: c." in sentence
    few = verdict(analyse_tasks(clear[:3]))
    assert "No Friedman test: 3 tasks" in few


def test_runs_without_recommendation_reach_the_page(unsaved: None, tmp_path: Path) -> None:
    finals: dict[str, list[int | None]] = {"random-search": [None, None, None], "b": [1, 2, 3]}
    page = page_of(five([finals] * 5), tmp_path)
    assert "nan" not in re.sub(r"<(svg|script).*?</\1>", "", page, flags=re.DOTALL).lower()
    assert "none" in page


def test_the_page_is_the_same_each_time_and_names_are_escaped(
    unsaved: None, tmp_path: Path
) -> None:
    evil = "<img src=x>"
    comparisons = [
        hand_made(table(0, name=evil), {"random-search": [1, 2], evil: [3, 4]}, "one"),
        hand_made(table(1), {"random-search": [1, 2], evil: [3, 4]}, "two"),
    ]
    first = page_of(comparisons, tmp_path)
    assert first == page_of(comparisons, tmp_path)
    assert evil not in first
    assert not re.search(r"(?:src|href)=[\"']https?:", first)


def test_tasks_without_a_best_are_refused() -> None:
    (one,) = five([{"random-search": [1, 2]}])
    trained = Comparison("trained", None, one.manifest, one.traces, one.machine_seconds, {"x": 0.5})
    with pytest.raises(InvalidSetting, match="errors and no regrets"):
        normalised(trained)


def test_a_single_comparison_is_not_many(tmp_path: Path) -> None:
    assert not is_many(tmp_path)
