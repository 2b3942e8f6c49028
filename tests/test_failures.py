"""Searches that go wrong: each ends its own run only, and the others' results are whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import failing_searches as searches
import pytest
from numpy.random import Generator

from nasbench_kit import Cell, InvalidSetting, Oracle, Table
from nasbench_kit.algorithms import RandomSearch
from nasbench_kit.cli import main
from nasbench_kit.compare import failures
from nasbench_kit.compare.following import PATIENCE
from nasbench_kit.compare.one_run import run_one
from nasbench_kit.compare.plan import Plan
from nasbench_kit.compare.run_folder import all_traces
from nasbench_kit.compare.running import run
from nasbench_kit.errors import InvalidSearch, NotInSpace, RunsFailed, WorkerDied
from nasbench_kit.experiment.searches import known_algorithms
from nasbench_kit.oracle.search import Search
from nasbench_kit.system import stopping

# A search that cannot be closed is left to the garbage collection, which says so.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

GOOD: dict[str, Any] = {"good": RandomSearch()}


@pytest.fixture
def path(small_table: Table, tmp_path: Path) -> Path:
    small_table.save(tmp_path / "table.h5")
    return tmp_path / "table.h5"


def a_plan(path: Path, seeds: int = 1, **algorithms: Any) -> Plan:
    return Plan(path, {**algorithms, **GOOD}, range(seeds), {"queries": 5})


def errors_of(folder: Path) -> dict[str, str]:
    return {label: error for (label, _), error in failures.load(folder).items()}


# What a search may raise -------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_a_search_that_raises_ends_its_own_runs_only(
    path: Path, tmp_path: Path, workers: int
) -> None:
    failing: dict[str, Any] = {name: searches.Raising(name) for name in searches.ERRORS}
    failing["recursing"] = searches.recursing
    if workers > 1:  # in this process it would be the user's own
        failing["interrupting"] = searches.interrupting
    with pytest.raises(RunsFailed, match=f"{len(failing)} runs failed; all others are done"):
        run(a_plan(path, **failing), tmp_path / "runs", workers=workers)
    (trace,) = all_traces(tmp_path / "runs")
    assert (trace.algorithm, trace.ended, trace.queries) == ("good", "budget", 5)
    errors = errors_of(tmp_path / "runs")
    assert errors.keys() == failing.keys()
    assert errors["value"] == "ValueError: no good"
    assert errors["exit"] == "SystemExit: 3"
    assert errors["many-lines"].startswith("ValueError: one two")
    assert "\x1b" not in errors["many-lines"]
    assert errors["unprintable"] == "Unprintable"
    assert len(errors["long"]) < 400
    assert errors["recursing"].startswith("RecursionError")
    text = (tmp_path / "runs/failures/value-0.txt").read_text()
    assert "failing_searches.py" in text and "Traceback" in text


def test_the_runs_of_others_are_those_of_an_undisturbed_comparison(
    path: Path, tmp_path: Path
) -> None:
    with pytest.raises(RunsFailed):
        run(a_plan(path, bad=searches.Raising("value")), tmp_path / "disturbed")
    run(a_plan(path), tmp_path / "alone")
    disturbed, alone = (tmp_path / name / "traces/good-0.json" for name in ("disturbed", "alone"))
    assert disturbed.read_bytes() == alone.read_bytes()


def test_a_failed_run_is_tried_again(path: Path, tmp_path: Path) -> None:
    plan = a_plan(path, seeds=3, bad=searches.Raising("value", str(tmp_path / "mended")))
    with pytest.raises(RunsFailed, match="bad, seed 1: ValueError: no good"):
        run(plan, tmp_path / "runs")
    with pytest.raises(RunsFailed, match="3 runs failed"):
        run(plan, tmp_path / "runs")
    (tmp_path / "mended").touch()
    assert len(run(plan, tmp_path / "runs")) == 6
    assert list((tmp_path / "runs/failures").iterdir()) == []


def test_many_failures_are_summarised(path: Path, tmp_path: Path) -> None:
    with pytest.raises(RunsFailed, match="and 30 more") as caught:
        run(a_plan(path, seeds=40, bad=searches.Raising("value")), tmp_path / "runs")
    assert len(str(caught.value).splitlines()) == 1 + 10 + 1 + 1


def test_an_interrupt_in_this_process_is_the_users(path: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(a_plan(path, bad=searches.interrupting), tmp_path / "runs")
    assert failures.load(tmp_path / "runs") == {}


def test_failures_and_deaths_are_told_together(path: Path, tmp_path: Path) -> None:
    plan = a_plan(path, bad=searches.Raising("value"), lethal=searches.exiting)
    with pytest.raises(RunsFailed, match=r"(?s)bad, seed 0: ValueError.*the first: lethal, 0"):
        run(plan, tmp_path / "runs", workers=2)
    assert [trace.algorithm for trace in all_traces(tmp_path / "runs")] == ["good"]


def test_a_search_that_changes_the_folder_does_not_move_the_results(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    traces = run(a_plan(Path("table.h5"), moving=searches.moving), "runs")
    os.chdir(tmp_path)
    assert [trace.algorithm for trace in traces] == ["moving", "good"]
    assert len(all_traces("runs")) == 2


# What a search may yield and return --------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "way_out"),
    [
        ("answer", "yield answer.architecture"),
        ("none", "yielded None, which is no architecture"),
        ("text", r"\(str\), which is no architecture"),
        ("row", r"yield oracle.space\[row\]"),
        ("pair", r"\(tuple\), which is no architecture"),
        ("class", r"\(type\), which is no architecture"),
    ],
)
def test_what_is_yielded_is_a_cell(path: Path, what: str, way_out: str) -> None:
    with pytest.raises(InvalidSearch, match=way_out):
        run_one(a_plan(path, bad=searches.Yielding(what)), Table.open(path), "bad", 0)


def test_a_cell_outside_the_space_is_named(path: Path) -> None:
    with pytest.raises(NotInSpace, match="6 vertices"):
        run_one(a_plan(path, bad=searches.Yielding("outside")), Table.open(path), "bad", 0)


@pytest.mark.parametrize("search", [searches.returning_none, searches.returning_a_cell])
def test_what_yields_nothing_is_no_search(path: Path, search: Search) -> None:
    with pytest.raises(
        InvalidSearch, match="nothing to iterate over; let it yield what it recommends"
    ):
        run_one(a_plan(path, bad=search), Table.open(path), "bad", 0)


def test_a_list_of_cells_is_recommended_at_its_end(path: Path) -> None:
    trace = run_one(
        a_plan(path, listed=searches.returning_a_list),
        Table.open(path),
        "listed",
        0,
    )
    assert trace.ended == "finished"
    cell = Table.open(path).covered[2].to_text()
    assert [(step.queries, step.architecture) for step in trace.incumbents] == [(3, cell)]


# What would never end ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("search", "queries"),
    [
        (searches.idling, 1),
        (searches.dithering, 1),
        (searches.asking_nonsense, 1),
        (searches.swallowing, 5),
        (searches.swallowing_and_yielding, 5),
        (searches.swallowing_all, 5),
        (searches.clinging, 5),
        (searches.failing_to_close, 0),
    ],
)
def test_a_search_that_pays_no_more_has_stalled(
    path: Path, search: Callable[[Oracle, Generator], Iterator[Cell]], queries: int
) -> None:
    before = signal.getsignal(signal.SIGVTALRM)
    trace = run_one(a_plan(path, bad=search), Table.open(path), "bad", 0)
    assert (trace.ended, trace.queries) == ("stalled", queries)
    assert len(trace.incumbents) <= queries + 1
    assert signal.getsignal(signal.SIGVTALRM) == before
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)


def test_recommendations_in_a_row_are_free_within_the_patience(path: Path) -> None:
    def patient(oracle: Oracle, rng: Generator) -> Iterator[Any]:
        while True:
            cell = oracle.query(oracle.space.sample(rng)).cell
            for _ in range(PATIENCE):
                yield cell

    trace = run_one(a_plan(path, patient=patient), Table.open(path), "patient", 0)
    assert (trace.ended, trace.queries) == ("budget", 5)


def test_nothing_insists_where_nothing_was_asked() -> None:
    stopping.relent()
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)


# Processes ---------------------------------------------------------------------------------------


def test_a_search_may_start_processes(path: Path, tmp_path: Path) -> None:
    traces = run(a_plan(path, pool=searches.in_processes), tmp_path / "runs", workers=2)
    assert [trace.ended for trace in traces] == ["finished", "budget"]


def test_the_children_of_a_dead_worker_die_with_it(path: Path, tmp_path: Path) -> None:
    (tmp_path / "children").mkdir()
    plan = a_plan(path, forking=searches.LeavingAChild(str(tmp_path / "children")))
    with pytest.raises(WorkerDied, match="the first: forking, 0"):
        run(plan, tmp_path / "runs", workers=2)
    children = [int(file.name) for file in (tmp_path / "children").iterdir()]
    assert len(children) == 3

    def lives(child: int) -> bool:
        stat = Path(f"/proc/{child}/stat")
        return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"

    for _ in range(
        200
    ):  # killed they are; on a busy machine they are gone only when they run again
        if not any(map(lives, children)):
            return
        time.sleep(0.05)
    pytest.fail("a child lives on")


@dataclass(frozen=True)
class WithAField:
    field: Any = None

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Any]:
        return RandomSearch()(oracle, rng)


def test_what_cannot_be_sent_is_refused_before_anything_starts(path: Path, tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Local(WithAField):
        pass

    def local(oracle: Oracle, rng: Generator) -> Iterator[Any]:
        return RandomSearch()(oracle, rng)

    for search in (Local(), WithAField(lambda: 1), local):
        plan = a_plan(path, mine=search)
        with pytest.raises(InvalidSetting, match=r"the algorithm mine cannot be sent .* 1 worker"):
            run(plan, tmp_path / "refused", workers=2)
        assert not (tmp_path / "refused").exists()
        traces = run(plan, tmp_path / "one")
        assert [trace.ended for trace in traces] == ["budget", "budget"]
        assert run(plan, tmp_path / "one") == traces  # the settings are named alike again
        for file in (tmp_path / "one").rglob("*.json"):
            file.unlink()


SCRIPT = """
from collections.abc import Iterator
from dataclasses import dataclass
from nasbench_kit.algorithms import RandomSearch
from nasbench_kit.compare.running import Plan, run

@dataclass(frozen=True)
class Mine:
    def __call__(self, oracle, rng):
        return RandomSearch()(oracle, rng)
"""
RUN = """
run(Plan({table!r}, {{"mine": Mine(), "good": RandomSearch()}}, [0], {{"queries": 3}}), {out!r}, workers={workers})
print("done")
"""


@pytest.mark.parametrize("how", ["guarded", "unguarded", "within", "prompt", "prompt-one-worker"])
def test_a_class_of_the_script_itself(path: Path, tmp_path: Path, how: str) -> None:
    workers = 1 if how == "prompt-one-worker" else 2
    call = RUN.format(table=str(path), out=str(tmp_path / "out"), workers=workers)
    guarded = '\nif __name__ == "__main__":\n    ' + call.strip().replace("\n", "\n    ")
    program = SCRIPT + (guarded if how == "guarded" else call)
    if how == "within":
        lines = (SCRIPT + call).splitlines()
        program = 'if __name__ == "__main__":\n' + "".join(f"    {line}\n" for line in lines)
    script = tmp_path / "script.py"
    script.write_text(program)
    command = [sys.executable, "-c", program] if "prompt" in how else [sys.executable, str(script)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if how in ("guarded", "prompt-one-worker"):
        assert result.stdout == "done\n", result.stderr
        return
    assert result.returncode == 1
    reason = {
        "unguarded": "below `if __name__ == '__main__':`",
        "within": "a worker process cannot load its work",
        "prompt": "defined in a notebook or at a prompt",
    }[how]
    assert reason in result.stderr
    assert "out of memory" not in result.stderr


# The command -------------------------------------------------------------------------------------


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> None:
    known = known_algorithms()
    bad = {"bad": lambda: lambda: searches.Raising("value")}
    monkeypatch.setattr("nasbench_kit.experiment.searches.known_algorithms", lambda: known | bad)


@pytest.mark.usefixtures("offered")
def test_the_command_keeps_what_is_finished_and_says_what_is_missing(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["compare", "--table", str(path), "--queries", "5", "--workers", "1", "--seeds", "2"]
    command += ["--out", str(out), "--algorithms"]
    assert main([*command, "random-search", "bad"]) == 1
    shown = capsys.readouterr()
    assert "incomplete: all numbers lack 2 of 4 runs" in shown.out
    assert "bad, seed 1: ValueError: no good" in shown.err
    assert "Traceback" not in shown.err
    assert len((out / "results.csv").read_text().splitlines()) == 1 + 2
    assert main([*command, "random-search", "--json"]) == 0  # an earlier call's failures are known
    missing = json.loads(capsys.readouterr().out)["missing"]
    assert [(run["algorithm"], run["seed"]) for run in missing] == [("bad", 0), ("bad", 1)]


@pytest.mark.usefixtures("offered")
def test_the_command_survives_that_all_fail(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["compare", "--table", str(path), "--queries", "5", "--workers", "1", "--seeds", "1"]
    assert main([*command, "--out", str(tmp_path / "out"), "--algorithms", "bad"]) == 1
    shown = capsys.readouterr()
    assert "incomplete: all numbers lack 1 of 1 runs" in shown.out
    assert "bad, seed 0: ValueError: no good" in shown.err
