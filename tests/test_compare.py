"""The comparison: what it writes, resuming, independence of workers, scoring."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.random import Generator
from pyarrow import parquet

from nasbench_kit import (
    Cell,
    Column,
    CorruptFile,
    InvalidSetting,
    Oracle,
    Table,
    WorkerDied,
    WrongTable,
)
from nasbench_kit.algorithms import RandomSearch, RegularizedEvolution
from nasbench_kit.analysis.statistics import anytime
from nasbench_kit.cli import comparison_summary
from nasbench_kit.compare import run_folder
from nasbench_kit.compare.benchmark import Benchmark
from nasbench_kit.compare.one_run import run_one
from nasbench_kit.compare.plan import Plan
from nasbench_kit.compare.run_folder import all_traces, clocks
from nasbench_kit.compare.running import missing, run
from nasbench_kit.compare.scores import Scores, regrets, score, scored_by, write_results
from nasbench_kit.compare.trace import Incumbent, Spending, Trace
from nasbench_kit.data import tables
from nasbench_kit.data.images.digits import digits
from nasbench_kit.data.subset import subset
from nasbench_kit.data.tasks import open_task
from nasbench_kit.oracle.search import Search
from nasbench_kit.oracle.task import Task
from nasbench_kit.spaces.nasbench101.space import CellSpace
from nasbench_kit.training.recipe import DIGITS
from nasbench_kit.version import __version__

ALGORITHMS: dict[str, Search] = {
    "random-search": RandomSearch(),
    "regularized-evolution": RegularizedEvolution(),
}


#: The tidy columns of a folder.
COLUMNS = ("results", "incumbents", "ledger")


@pytest.fixture
def path(small_table: Table, tmp_path: Path) -> Path:
    small_table.save(tmp_path / "table.h5")
    return tmp_path / "table.h5"


def a_plan(path: Path, seeds: int = 3, **budget: float) -> Plan:
    return Plan(path, ALGORITHMS, range(seeds), budget or {"queries": 25})


def rows_of(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = parquet.read_table(folder / "results.parquet").to_pylist()
    return rows


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


@dataclass(frozen=True)
class Deadly:
    """Random search, but kills its process as long as the marker is not there, which it leaves."""

    marker: str

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Any]:
        marker = Path(self.marker)
        if not marker.exists():
            if marker.parent.exists():
                marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return RandomSearch()(oracle, rng)


def test_a_killed_worker_changes_nothing(path: Path, tmp_path: Path) -> None:
    searches: dict[str, Search] = {"deadly": Deadly(str(tmp_path / "marker")), **ALGORITHMS}
    plan = Plan(path, searches, range(3), {"queries": 25})
    run(plan, tmp_path / "killed", workers=2)
    assert (tmp_path / "marker").exists()
    run(plan, tmp_path / "undisturbed")
    assert contents(tmp_path / "killed") == contents(tmp_path / "undisturbed")


def test_a_run_that_kills_every_worker_is_named(path: Path, tmp_path: Path) -> None:
    searches: dict[str, Search] = {"lethal": Deadly(str(tmp_path / "nowhere/marker")), **ALGORITHMS}
    with pytest.raises(WorkerDied, match=r"1 job \(the first: lethal, 0\) ended 3"):
        run(Plan(path, searches, [0], {"queries": 25}), tmp_path / "runs", workers=2)
    assert {trace.algorithm for trace in run_folder.all_traces(tmp_path / "runs")} == {*ALGORITHMS}


def test_a_killed_comparison_goes_on(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "nasbench_kit", "compare", "--table", str(path)]
    command += ["--seeds", "20", "--queries", "2000", "--workers", "2", "--out", str(out)]
    command += ["--policy", "always", "--held-out-repeats", "0"]
    parent = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    patience = time.monotonic() + 60
    while len(list(out.glob("traces/*.json"))) < 3 and time.monotonic() < patience:
        time.sleep(0.005)
    parent.kill()
    parent.wait()
    finished = len(list((out / "traces").glob("*.json")))
    assert 3 <= finished < 40
    (
        out / "traces" / ".random-search-19.json.x.part"
    ).touch()  # as a process leaves it that dies there
    plan = a_plan(path, seeds=20, queries=2000)
    plan = dataclasses.replace(plan, command=run_folder.read_manifest(out)["commands"][0])  # type: ignore[index]
    assert len(missing(plan, out)) <= 40 - finished
    run(plan, out, workers=2)
    run(plan, tmp_path / "undisturbed")
    assert contents(out) == contents(tmp_path / "undisturbed")


def test_two_comparisons_do_not_share_a_folder(path: Path, tmp_path: Path) -> None:
    plan = a_plan(path)
    with (
        run_folder.claimed(tmp_path / "runs", plan.manifest(Table.open(path))),
        pytest.raises(WrongTable, match="another comparison is at work"),
    ):
        run(plan, tmp_path / "runs")
    run(plan, tmp_path / "runs")


def test_the_clock_stands_apart(path: Path, tmp_path: Path) -> None:
    traces = run(a_plan(path), tmp_path / "runs")
    clocks = run_folder.clocks(tmp_path / "runs")
    assert clocks.keys() == {(trace.algorithm, trace.seed) for trace in traces}
    for trace in traces:
        clock = clocks[trace.algorithm, trace.seed]
        assert clock["metered_seconds"] == trace.seconds
        assert 0 < clock["processor_seconds"] < 60
        assert clock["peak_memory"] > 2**20


def test_finished_runs_are_not_run_again(path: Path, tmp_path: Path) -> None:
    run(a_plan(path), tmp_path / "runs")
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "runs/traces").iterdir()}
    run(a_plan(path), tmp_path / "runs")
    assert before == {
        file: file.stat().st_mtime_ns for file in (tmp_path / "runs/traces").iterdir()
    }


def test_a_folder_made_under_other_conditions_is_refused(path: Path, tmp_path: Path) -> None:
    run(a_plan(path), tmp_path / "runs")
    with pytest.raises(WrongTable, match="another budget queries"):
        run(a_plan(path, queries=26), tmp_path / "runs")
    run_folder_of = tmp_path / "runs/manifest.json"
    manifest = json.loads(run_folder_of.read_text())
    manifest["versions"]["nasbench_kit"] = "0.0.9"
    run_folder_of.write_text(json.dumps(manifest))
    with pytest.raises(WrongTable, match=r'another versions nasbench_kit \("0\.0\.9", now'):
        missing(a_plan(path), tmp_path / "runs")
    manifest["versions"]["nasbench_kit"] = __version__
    manifest["table"]["checksum"] = "0" * 64
    run_folder_of.write_text(json.dumps(manifest))
    with pytest.raises(WrongTable, match="another table checksum"):
        run(a_plan(path), tmp_path / "runs")


def test_an_algorithm_keeps_its_settings_in_a_folder(path: Path, tmp_path: Path) -> None:
    run(a_plan(path), tmp_path / "runs")
    other: dict[str, Search] = {**ALGORITHMS, "random-search": RandomSearch(epochs=4)}
    with pytest.raises(WrongTable, match="another random-search settings epochs"):
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
    ledger = {"query": Spending(1, 0.3, 36.0, 1), "supernet": Spending(9, 1e-9, 0.5, 0)}
    steps = [Incumbent(0.3, 36.0, 1, "01/00:")]
    trace = Trace("a", 1, "budget", 0.3 + 1e-9, 36.5, 1, 1, steps, ledger)
    for one in (trace, Trace("a", 2, "stalled", 0.0, 0.0, 0, 0)):
        one.save(tmp_path / "trace.json")
        assert Trace.load(tmp_path / "trace.json") == one


def test_results_are_the_last_incumbent_looked_up(small_table: Table) -> None:
    means = small_table.values("test_accuracy", epochs=small_table.epochs[-1]).mean(axis=1)
    five, eight = (small_table.space[row].to_text() for row in (5, 8))
    trace = Trace(
        "a", 0, "budget", 9.0, 72.0, 2, 2, [Incumbent(1, 36, 1, five), Incumbent(9, 72, 2, eight)]
    )
    empty = Trace("a", 1, "budget", 0.0, 0.0, 0, 0)
    scored, undefined = score(small_table, [trace, empty])
    assert scored.regret == means.max() - means[8]
    assert scored.accuracy == means[8]
    assert Cell.from_text(scored.architecture or "") == small_table.space[8]
    assert undefined.regret is None
    assert (scored.row, scored.queries) == (8, 2)


def parsed(kind: type, text: str) -> Any:
    """What a CSV file says of a value of this type."""
    return text == "true" if kind is bool else kind(text)


def test_the_columns_say_what_the_traces_say(small_table: Table, tmp_path: Path) -> None:
    five, eight = (small_table.space[row].to_text() for row in (5, 8))
    steps = [Incumbent(1.5, 36, 1, five), Incumbent(9.25, 72, 2, eight)]
    ledger = {"query": Spending(2, 9.0, 72, 2), "supernet": Spending(5, 0.25, 0, 0)}
    traces = [
        Trace("a,b", 0, "budget", 9.25, 72.0, 2, 2, steps, ledger),
        Trace("c", 1, "finished", 0.0, 0.0, 0, 0),
    ]
    results = write_results(tmp_path, small_table, traces)
    read = {name: parquet.read_table(tmp_path / f"{name}.parquet").to_pylist() for name in COLUMNS}
    rows = [dataclasses.asdict(result) for result in results]
    for absent in ("elapsed", "perplexity"):  # no column without workers, and where no text is read
        assert all(row.pop(absent) is None for row in rows)
    assert read["results"] == rows
    of_row, means = regrets(small_table), small_table.mean(scored_by(small_table))
    assert read["incumbents"] == [
        {"algorithm": "a,b", "seed": 0, "architecture": step.architecture, "row": row}
        | {"seconds": step.seconds, "epochs": step.epochs, "queries": step.queries}
        | {"regret": of_row[row], "accuracy": means[row]}
        for step, row in zip(steps, (5, 8), strict=True)
    ]
    assert read["ledger"] == [
        {"algorithm": "a,b", "seed": 0, **spent._asdict(), "kind": kind}
        for kind, spent in ledger.items()
    ]
    for name, rows in read.items():
        with (tmp_path / f"{name}.csv").open(newline="") as file:
            texts = [{k: "" if v is None else v for k, v in row.items()} for row in rows]
            for text, written in zip(texts, csv.DictReader(file), strict=True):
                assert {k: parsed(type(text[k]), v) for k, v in written.items()} == text
    write_results(tmp_path, small_table, traces[1:])  # no incumbent, no charge: the types stay
    for name in COLUMNS:
        schema = parquet.read_schema(tmp_path / f"{name}.parquet")
        assert "null" not in map(str, schema.types)


def test_the_ledger_is_summed_by_kind(path: Path) -> None:
    trace = run_one(a_plan(path), Table.open(path), "random-search", 0)
    assert trace.ledger.keys() == {"query"}
    assert trace.ledger["query"].charges == trace.ledger["query"].queries == trace.queries == 25
    assert trace.ledger["query"].seconds == pytest.approx(trace.seconds)
    assert trace.ledger["query"].epochs == trace.epochs


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

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Any]:
        yield oracle.query(oracle.space[0]).cell


@dataclass(frozen=True)
class Repeating:
    """Asks the same for ever."""

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Any]:
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
    assert run_one(always, table, "repeating", 0).unique_architectures == 1


@dataclass(frozen=True)
class Sharing:
    """Pays for one image after the other, and recommends the first cell."""

    shares_weights = True

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Any]:
        while True:
            oracle.charge(oracle.space[0], images=oracle.task.epoch_images)
            yield oracle.space[0]


def digits_task(_: Table) -> Task:
    return Task.of(digits(), DIGITS, None)


def test_weight_sharing_gets_the_task_and_stands_in_the_ledger(path: Path, tmp_path: Path) -> None:
    searches: dict[str, Search] = {"sharing": Sharing(), "random-search": RandomSearch()}
    plan = Plan(path, searches, [0], {"epochs": 72}, task=digits_task)
    sharing, other = run(plan, tmp_path / "runs", workers=2)
    assert sharing.ledger == {"supernet": Spending(72, 0.0, 72.0, 0)}
    assert (sharing.unique_architectures, sharing.queries, sharing.epochs) == (0, 0, 72)
    assert other.ledger["query"].charges == 2
    with pytest.raises(InvalidSetting, match="budget limits queries only"):
        missing(dataclasses.replace(plan, budget={"queries": 9}), tmp_path / "refused")
    with pytest.raises(InvalidSetting, match="give the oracle a task"):
        missing(dataclasses.replace(plan, task=None), tmp_path / "refused")


def test_shared_weights_on_the_digits_resume_and_say_their_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nasbench_kit.algorithms.weight_sharing.random_search import RandomWeightSharing
    from nasbench_kit.algorithms.weight_sharing.training import SharedWeights

    def quick_to_save(table: Table) -> Task:
        return dataclasses.replace(open_task(table), checkpoint_every_seconds=0.0)

    search = dataclasses.replace(RandomWeightSharing.small(), epochs=4, samples=2)
    plan = Plan(tables.find("digits"), {"it": search}, [0], {"epochs": 6.0}, task=quick_to_save)
    (undisturbed,) = run(plan, tmp_path / "undisturbed")
    assert undisturbed.ledger["supernet"].charges == 4 * (5 + 2)

    made = SharedWeights.step
    steps = []

    def dying(*arguments: Any) -> None:
        steps.append(1)
        if len(steps) == 12:  # in the third epoch
            raise KeyboardInterrupt
        made(*arguments)

    monkeypatch.setattr(SharedWeights, "step", dying)
    with pytest.raises(KeyboardInterrupt):
        run(plan, tmp_path / "killed")
    saved = tmp_path / "killed" / "checkpoints" / "it-0.pt"
    assert saved.is_file()
    assert run(plan, tmp_path / "killed") == [undisturbed]
    assert len(steps) == 12 + 10  # two epochs of five steps were left
    assert not saved.exists()

    halved = dataclasses.replace(plan, reward_images="half-of-training")
    with pytest.raises(WrongTable, match="reward_images"):
        run(halved, tmp_path / "killed")
    assert run(halved, tmp_path / "halved") != [undisturbed]
    manifest = json.loads((tmp_path / "halved" / "manifest.json").read_text())
    assert manifest["algorithms"]["it"]["reward_images"] == "half-of-training"


def test_what_cannot_be_searched_is_refused_before_any_run(tmp_path: Path) -> None:
    from nasbench_kit.algorithms.weight_sharing.darts import DARTS

    searches: dict[str, Search] = {"random-search": RandomSearch(), "darts": DARTS.small()}
    plan = Plan(tables.find("digits"), searches, [0], {"seconds": 60.0}, task=open_task)
    little = dataclasses.replace(DARTS.small(), share=1e-6)
    too_little = dataclasses.replace(plan, algorithms={**searches, "darts": little})
    with pytest.raises(InvalidSetting, match="pays for no step of DARTS"):
        run(too_little, tmp_path / "little")
    partial = tmp_path / "partial.h5"
    table = Table.open(tables.find("digits"))
    subset(table, CellSpace(table.space.max_vertices + 1)).save(partial)
    with pytest.raises(InvalidSetting, match="no continuous relaxation"):
        run(dataclasses.replace(plan, table=partial), tmp_path / "partial")
    assert not (tmp_path / "little").exists()
    assert not (tmp_path / "partial").exists()


def test_what_does_not_belong_into_a_folder_is_named_or_passed_over(
    path: Path, tmp_path: Path
) -> None:
    plan = Plan(path, {"random-search": RandomSearch()}, [0, 1], {"queries": 3})
    run(plan, tmp_path)
    clock = tmp_path / "clock" / "random-search-0.json"
    for damaged in (b"", b"{", b"[]", b"{}", b"7", b"\xff"):
        clock.write_bytes(damaged)
        with pytest.raises(CorruptFile, match=r"random-search-0\.json is no reading"):
            clocks(tmp_path)
    clock.rename(foreign := clock.with_name("notes.json"))
    with pytest.raises(CorruptFile, match=r"notes\.json is no reading"):
        clocks(tmp_path)
    foreign.unlink()
    assert clocks(tmp_path).keys() == {("random-search", 1)}
    left = tmp_path / "checkpoints" / "random-search-0.pt"
    left.parent.mkdir()
    left.touch()
    run(plan, tmp_path)
    assert not left.exists()
    trace = all_traces(tmp_path)[0]
    dataclasses.replace(trace, algorithm="foo").save(tmp_path / "traces" / "foo-0.json")
    with pytest.raises(CorruptFile, match="trace of 'foo', which its manifest does not name"):
        all_traces(tmp_path)


def test_a_budget_that_pays_for_nothing_is_refused(path: Path, tmp_path: Path) -> None:
    cheapest = Table.open(path).values("seconds", 4, "halfway").min()
    missing(a_plan(path, seconds=cheapest), tmp_path / "runs")
    for budget in ({"seconds": 0.99 * cheapest}, {"epochs": 1.0}, {"queries": 0}):
        with pytest.raises(InvalidSetting, match="pays for nothing: the cheapest reading"):
            run(a_plan(path, **budget), tmp_path / "runs")
    with pytest.raises(InvalidSetting, match="no run would ever end"):
        a_plan(path, seconds=float("inf"))
    assert not (tmp_path / "runs").exists()


def test_a_table_without_seconds_has_no_budget_of_seconds(tmp_path: Path) -> None:
    column = Column(np.arange(7, dtype=np.uint16).reshape(7, 1, 1), 10)
    Table(CellSpace(3), (4,), {("final", "validation_accuracy"): column}).save(tmp_path / "t.h5")
    plan = Plan(tmp_path / "t.h5", ALGORITHMS, [0], {"seconds": 9.0})
    with pytest.raises(InvalidSetting, match="records no seconds"):
        run(plan, tmp_path / "runs")


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
    command = ["compare", "--table", str(path), "--seeds", "2", "--seconds", "9", "--workers", "1"]
    assert main([*command, "--out", str(out)]) == 0
    assert {row["regret"] for row in rows_of(out)} == {None}
    assert (out / "regret-seconds.png").exists()


def test_a_second_call_adds_to_the_results(path: Path, tmp_path: Path) -> None:
    from nasbench_kit.cli import main

    command = ["compare", "--table", str(path), "--queries", "5", "--workers", "1"]
    command += ["--out", str(tmp_path / "out")]
    assert main([*command, "--seeds", "3", "--algorithms", "random-search"]) == 0
    assert main([*command, "--seeds", "1", "--algorithms", "local-search"]) == 0
    rows = rows_of(tmp_path / "out")
    found = [(row["algorithm"], row["seed"]) for row in rows]
    added = [(name, 0) for name in ("local-search", "distinct-random-search")]
    assert found == [*(("random-search", seed) for seed in range(3)), *added]


@dataclass(frozen=True)
class Fixed:
    """Asks for one cell so many times, then recommends another one, after one more query."""

    queries: int
    first: int
    then: int

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Any]:
        for row, count in ((self.first, self.queries), (self.then, 1)):
            for _ in range(count):
                oracle.query(oracle.space[row])
            yield oracle.space[row]


def test_the_time_to_the_worst_median_is_printed(
    path: Path, small_table: Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order = np.argsort(regrets(small_table))
    best, middle, worst = (int(order[place]) for place in (0, 500, -1))
    searches: dict[str, Search] = {"quick": Fixed(2, middle, best), "slow": Fixed(7, worst, middle)}
    plan = Plan(path, searches, range(4), {"queries": 9})
    traces = run(plan, tmp_path / "runs")
    comparison_summary.print_summary(
        Benchmark(plan, small_table),
        plan,
        Scores(small_table),
        traces,
        "queries",
        computing={"quick": 0.25, "slow": 0.5},
    )
    lines = [line.replace("│", " ").split() for line in capsys.readouterr().out.splitlines()]
    target = f"{100 * regrets(small_table)[middle]:.2f}"
    times = {words[0]: (words[2], words[-2]) for words in lines if words and words[0] in searches}
    assert times == {"quick": ("0.00", "2"), "slow": (target, "8")}


def test_nothing_to_compare_is_refused(path: Path) -> None:
    with pytest.raises(InvalidSetting, match="nothing to compare"):
        Plan(path, {}, [0], {"queries": 1})
    with pytest.raises(InvalidSetting, match="nothing to compare"):
        Plan(path, ALGORITHMS, [], {"queries": 1})
    with pytest.raises(InvalidSetting, match="no budget"):
        Plan(path, ALGORITHMS, [0], {})


# Any-time curves -----------------------------------------------------------------------------


#: By the texts of made-up cells.
def REGRET(text: str, seed: int) -> float:
    return {"x": 0.4, "y": 0.1, "z": 0.2}[text]


def step_traces() -> list[Trace]:
    """Regrets 0.4 from 1 s on and 0.1 from 4 s on; and 0.2 from 2 s on."""
    return [
        Trace("a", 0, "budget", 5, 0, 2, 2, [Incumbent(1, 0, 1, "x"), Incumbent(4, 0, 2, "y")]),
        Trace("a", 1, "budget", 5, 0, 1, 1, [Incumbent(2, 0, 1, "z")]),
    ]


def test_the_last_incumbent_is_carried_forward() -> None:
    grid = np.array([0.5, 1.0, 1.9, 2.0, 3.99, 4.0, 9.0])
    values = anytime.at_spend(step_traces(), REGRET, "seconds", grid)
    inf = np.inf
    assert values.tolist() == [[inf, 0.4, 0.4, 0.4, 0.4, 0.1, 0.1], [inf, inf, inf, *[0.2] * 4]]


def test_a_run_without_recommendation_counts_as_worst() -> None:
    curve = anytime.quartiles(step_traces(), REGRET, "seconds")
    early = curve.grid < 2
    assert np.isinf(curve.median[early]).all()
    assert curve.median[-1] == pytest.approx(0.15)
    assert curve.grid[0] == pytest.approx(1.0) and curve.grid[-1] == pytest.approx(5.0)
    assert (curve.lower <= curve.median).all() and (curve.median <= curve.upper).all()


def test_equal_runs_have_a_band_of_no_width() -> None:
    traces = [step_traces()[0]] * 7
    curve = anytime.quartiles(traces, REGRET, "seconds")
    assert (curve.lower == curve.upper).all()


def test_written_rows_match(path: Path, tmp_path: Path) -> None:
    from nasbench_kit.cli import main

    out = tmp_path / "out"
    command = ["compare", "--table", str(path), "--seeds", "2", "--queries", "9", "--workers", "1"]
    assert main([*command, "--out", str(out)]) == 0
    rows = rows_of(out)
    with (out / "results.csv").open() as file:
        read = list(csv.DictReader(file))
    assert [float(row["regret"]) for row in read] == [row["regret"] for row in rows]
    assert {row["queries"] for row in rows} == {9}
    assert (out / "regret-queries.png").stat().st_size > 10_000
    assert (out / "regret-queries.pdf").read_bytes().startswith(b"%PDF")
