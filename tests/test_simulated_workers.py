"""Workers that are simulated: who finishes when, what a search may know by then, what is written down."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from nasbench_kit import (
    AccountsDisagree,
    Budget,
    BudgetExhausted,
    CellSpace,
    Column,
    InvalidSetting,
    NotRecorded,
    Oracle,
    Table,
)
from nasbench_kit.algorithms import ALGORITHMS, ASHA, AskTell, RandomSearch, RegularizedEvolution
from nasbench_kit.algorithms.workers import Job, simulate
from nasbench_kit.compare.one_run import run_one
from nasbench_kit.compare.plan import Plan
from nasbench_kit.compare.running import run
from nasbench_kit.compare.scores import write_results
from nasbench_kit.compare.trace import Trace
from nasbench_kit.errors import CorruptFile
from nasbench_kit.oracle.search import Search
from nasbench_kit.testing.searches import SearchConformance, yielded


def table_of(seconds: list[float] | None, rows: int = 7) -> Table:
    """The seven cells of up to three vertices; row r takes seconds[r], and has accuracy r/100."""
    counts = np.arange(rows, dtype=np.uint16)[:, None, None]
    columns = {("final", "validation_accuracy"): Column(counts, images=100)}
    if seconds is not None:
        times = np.zeros((rows, 1, 1), np.float32)
        times[: len(seconds), 0, 0] = seconds
        columns["final", "seconds"] = Column(times)
    return Table(CellSpace(3), [4], columns, provenance={"name": "timed"})


def arrivals(
    oracle: Oracle, rows: list[int], workers: int | None
) -> tuple[list[int], list[float | None], list[int]]:
    """Rows as they arrive, the times at which they do, and how many had arrived at each start."""
    left = list(rows)
    order: list[int] = []
    times: list[float | None] = []
    known: list[int] = []

    def ask() -> Job | None:
        if not left:
            return None
        known.append(len(order))
        return Job(oracle.space[left.pop(0)])

    for job, answer in simulate(oracle, ask, workers):
        assert answer.architecture is job.architecture
        order.append(oracle.space.index(job.architecture))
        times.append(oracle.elapsed)
    return order, times, known


def test_two_workers_by_hand() -> None:
    """5 s on one worker; on the other 1 s, 1 s and then 4 s, which is the last to end."""
    oracle = Oracle(table_of([5, 1, 1, 4]), Budget(), np.random.default_rng(0))
    order, times, known = arrivals(oracle, [0, 1, 2, 3], 2)
    assert order == [1, 2, 0, 3]
    assert times == [1, 2, 5, 6]
    assert known == [0, 0, 1, 2]  # what the search had seen when each one started
    assert oracle.budget.spent_seconds == 11
    assert oracle.elapsed == 6


def test_one_after_the_other_no_time_is_told() -> None:
    oracle = Oracle(table_of([5, 1, 1, 4]), Budget(), np.random.default_rng(0))
    assert arrivals(oracle, [0, 1, 2, 3], None)[0] == [0, 1, 2, 3]
    assert oracle.elapsed is None
    assert arrivals(oracle, [0, 1, 2, 3], 1)[1] == [5, 6, 7, 11]


def slow_schedule(seconds: list[float], workers: int) -> tuple[list[int], list[float]]:
    """Every job goes to the worker that is free first; jobs by the time of their end."""
    free = [0.0] * workers
    ends = []
    for job, length in enumerate(seconds):
        worker = min(range(workers), key=lambda one: free[one])
        free[worker] += length
        ends.append((free[worker], job))
    ends.sort()
    return [job for _, job in ends], [end for end, _ in ends]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=7), st.integers(1, 8))
def test_any_schedule_is_that_of_the_slow_version(seconds: list[int], workers: int) -> None:
    oracle = Oracle(table_of(list(seconds)), Budget(), np.random.default_rng(0))
    order, times, _ = arrivals(oracle, list(range(len(seconds))), workers)
    assert (order, times) == slow_schedule(list(seconds), workers)
    assert oracle.elapsed is not None
    assert sum(seconds) / workers <= oracle.elapsed <= sum(seconds)


def test_without_seconds_the_clock_counts_epochs() -> None:
    oracle = Oracle(table_of(None), Budget(queries=9), np.random.default_rng(0))
    assert arrivals(oracle, [0, 1, 2], 2)[1] == [4, 4, 8]


def test_clocks_are_not_mixed() -> None:
    """The table has seconds for one length of training only."""
    accuracies = Column(np.ones((7, 2, 1), np.uint16), images=100)
    present = np.ones((7, 2, 1), np.uint8)
    present[:, 0] = 0
    seconds = Column(np.ones((7, 2, 1), np.float32), present=present)
    columns = {("final", "validation_accuracy"): accuracies, ("final", "seconds"): seconds}
    oracle = Oracle(Table(CellSpace(3), [4, 12], columns), Budget(), np.random.default_rng(0))
    jobs = [Job(oracle.space[0], 4), Job(oracle.space[1], 12)]
    with pytest.raises(NotRecorded, match="workers need one clock"):
        list(simulate(oracle, lambda: jobs.pop() if jobs else None, 2))


def test_what_was_started_arrives_when_the_budget_is_spent() -> None:
    oracle = Oracle(table_of([5, 1, 1, 4]), Budget(queries=3), np.random.default_rng(0))
    arrived = []
    with pytest.raises(BudgetExhausted):
        for job, _ in simulate(oracle, lambda: Job(oracle.space[len(oracle.budget.ledger)]), 2):
            arrived.append(oracle.space.index(job.architecture))
    assert arrived == [1, 2, 0]
    assert oracle.elapsed == 5


def test_a_free_answer_is_not_known_before_the_paid_one() -> None:
    """The policy gives the first answer again; it arrives with the training that it is of."""
    oracle = Oracle(table_of([5, 1]), Budget(), np.random.default_rng(0), policy="once")
    order, times, _ = arrivals(oracle, [0, 1, 0, 0], 2)
    assert order == [1, 0, 0, 0]
    assert times == [1, 5, 5, 5]


def test_time_moves_forward() -> None:
    oracle = Oracle(table_of([1]), Budget(), np.random.default_rng(0))
    oracle.elapse(3)
    oracle.handle().elapse(4.5)  # the same clock
    assert oracle.elapsed == 4.5
    for wrong in (4, -1, float("nan"), float("inf"), "5", None, True):
        with pytest.raises(InvalidSetting, match=r"the time is .*at least the 4\.5"):
            oracle.elapse(wrong)  # type: ignore[arg-type]


# Searches ----------------------------------------------------------------------------------------

#: Every search that simulates workers, under settings that learn within a few queries.
SIMULATING = (
    *("regularized-evolution", "amoebanet-small", "hierarchical-evolution-small", "pnas-small"),
    *("nas-rl-small", "nasnet-ppo-small", "asha", "reinforce", "controller-reinforce"),
)


def with_workers(name: str, workers: int | None) -> Search:
    return dataclasses.replace(ALGORITHMS[name](), workers=workers)  # type: ignore[type-var]


class TestConformance(SearchConformance):
    @pytest.fixture(
        params=["regularized-evolution", "nas-rl-small", "asha", "controller-reinforce"]
    )
    def search(self, request: pytest.FixtureRequest) -> Search:
        return with_workers(request.param, 5)


@pytest.mark.parametrize("name", SIMULATING)
def test_one_worker_does_what_a_search_without_workers_does(small_table: Table, name: str) -> None:
    ledgers = []
    for workers in (None, 1):
        oracle = Oracle(small_table, Budget(queries=80), np.random.default_rng(0))
        list(yielded(with_workers(name, workers), oracle, 0))
        ledgers.append(oracle.budget.ledger)
        assert oracle.elapsed == (workers and oracle.budget.spent_seconds)
    assert ledgers[0] == ledgers[1]


@pytest.mark.parametrize("name", SIMULATING)
def test_more_workers_take_less_time_for_as_much(small_table: Table, name: str) -> None:
    elapsed = {}
    for workers in (1, 4, 16):
        oracle = Oracle(small_table, Budget(queries=80), np.random.default_rng(0))
        list(yielded(with_workers(name, workers), oracle, 0))
        assert oracle.budget.spent_queries > 60
        assert oracle.elapsed is not None
        spent = oracle.budget.spent_seconds
        assert spent / workers * (1 - 1e-9) <= oracle.elapsed <= spent * (1 + 1e-9)
        elapsed[workers] = oracle.elapsed / spent
    assert elapsed[1] > elapsed[4] > elapsed[16]


@pytest.mark.parametrize("name", SIMULATING)
@pytest.mark.parametrize("workers", [0, -1, 1.5, True, "4"])
def test_impossible_workers_are_refused(name: str, workers: Any) -> None:
    with pytest.raises(InvalidSetting, match="workers is"):
        with_workers(name, workers)


def test_a_search_with_workers_can_be_asked(small_table: Table) -> None:
    with AskTell(ASHA(workers=3), small_table.space, np.random.default_rng(0), epochs=(4, 12)) as s:
        for _ in range(20):
            s.ask()
            s.tell(0.5, seconds=1.0)


# What a comparison writes down -------------------------------------------------------------------


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory, small_table: Table) -> Path:
    folder = tmp_path_factory.mktemp("compared")
    small_table.save(folder / "table.h5")
    searches: dict[str, Search] = {
        "four": RegularizedEvolution(workers=4),
        "random-search": RandomSearch(),
    }
    run(Plan(folder / "table.h5", searches, range(2), {"seconds": 900}), folder / "runs")
    return folder


def test_traces_have_the_time_where_there_are_workers(compared: Path) -> None:
    four = Trace.load(compared / "runs/traces/four-0.json")
    assert four.elapsed is not None
    assert four.seconds / 4 <= four.elapsed < four.seconds / 3
    content = json.loads((compared / "runs/traces/random-search-0.json").read_text())
    assert "elapsed" not in content
    assert Trace.load(compared / "runs/traces/random-search-0.json").elapsed is None


@pytest.mark.parametrize("wrong", [-1.0, 1e9, "3", None, True])
def test_no_run_takes_such_a_time(compared: Path, tmp_path: Path, wrong: Any) -> None:
    content = json.loads((compared / "runs/traces/four-0.json").read_text())
    (tmp_path / "four-0.json").write_text(json.dumps({**content, "elapsed": wrong}))
    with pytest.raises(CorruptFile, match="elapsed"):
        Trace.load(tmp_path / "four-0.json")


def test_results_have_the_column_where_there_are_workers(compared: Path, tmp_path: Path) -> None:
    table = Table.open(compared / "table.h5")
    traces = {path.stem: Trace.load(path) for path in (compared / "runs/traces").iterdir()}
    for names, expected in ((["four-0", "random-search-0"], True), (["random-search-0"], False)):
        write_results(tmp_path, table, [traces[name] for name in names])
        header, *rows = (tmp_path / "results.csv").read_text().splitlines()
        assert header.endswith(',"elapsed"') == expected
        assert len(rows) == len(names)


@dataclass(frozen=True)
class Liar:
    """Notes a time that its workers cannot have reached."""

    time: float
    workers: int | None = 2

    def __call__(self, oracle: Oracle, rng: np.random.Generator) -> Iterator[Any]:
        for _ in range(4):
            answer = oracle.query(oracle.space.sample(rng))
        oracle.elapse(self.time)
        yield answer.architecture


@pytest.mark.parametrize(
    ("liar", "reason"),
    [
        (Liar(0.001), "take 2 workers .* at least"),
        (Liar(1e6), "elapsed; trainings of"),
        (Liar(1.0, None), "no setting workers"),
    ],
)
def test_times_that_do_not_fit_are_not_saved(compared: Path, liar: Liar, reason: str) -> None:
    plan = Plan(compared / "table.h5", {"liar": liar}, range(1), {"seconds": 900})
    with pytest.raises(AccountsDisagree, match=reason):
        run_one(plan, Table.open(compared / "table.h5"), "liar", 0)


def test_incumbents_have_the_time_at_which_their_results_arrived(
    compared: Path, tmp_path: Path
) -> None:
    four = Trace.load(compared / "runs/traces/four-0.json")
    times = [step.elapsed for step in four.incumbents]
    assert all(time is not None for time in times)
    assert times == sorted(times)  # type: ignore[type-var]
    # Of four workers three are under way, and paid, when the first result arrives.
    first = four.incumbents[0]
    assert first.elapsed is not None
    assert 0 < first.elapsed < first.seconds / 2
    content = json.loads((compared / "runs/traces/four-0.json").read_text())
    content["incumbents"]["elapsed"][0] = 1e9
    (tmp_path / "four-0.json").write_text(json.dumps(content))
    with pytest.raises(CorruptFile, match="elapsed"):
        Trace.load(tmp_path / "four-0.json")
    sequential = Trace.load(compared / "runs/traces/random-search-0.json")
    assert {step.elapsed for step in sequential.incumbents} == {None}


def test_curves_over_elapsed_time(compared: Path) -> None:
    """Without workers the clock is the spending; with four, the same is spent four times as fast."""
    from nasbench_kit.analysis.statistics import anytime

    one = [Trace.load(compared / f"runs/traces/random-search-{seed}.json") for seed in range(2)]
    assert anytime.on_the_clock(one, "seconds")[0].elapsed == one[0].seconds
    by_spend = anytime.quartiles(one, lambda text, seed: len(text) / 100, "seconds")
    by_clock = anytime.quartiles(
        anytime.on_the_clock(one, "seconds"), lambda text, seed: len(text) / 100, "elapsed"
    )
    np.testing.assert_array_equal(by_spend.median, by_clock.median)
    four = [Trace.load(compared / f"runs/traces/four-{seed}.json") for seed in range(2)]
    assert anytime.on_the_clock(four, "seconds") == four
    curve = anytime.quartiles(four, lambda text, seed: 0.0, "elapsed")
    assert curve.grid[-1] == max(run.elapsed for run in four if run.elapsed is not None)


def test_report_and_printed_table_show_elapsed_and_computing(
    compared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from nasbench_kit.cli import main

    arguments = ["report", str(compared / "runs"), "--table", str(compared / "table.h5"), "--json"]
    assert main(arguments) == 0
    rows = json.loads(capsys.readouterr().out)["comparisons"][0]["algorithms"]
    found = {row["algorithm"]: row for row in rows}
    times = [Trace.load(compared / f"runs/traces/four-{seed}.json").elapsed for seed in range(2)]
    assert found["four"]["elapsed"] == pytest.approx(np.mean(times))  # type: ignore[arg-type]
    assert found["random-search"]["elapsed"] is None
    clocks = [
        json.loads((compared / f"runs/clock/four-{seed}.json").read_text())["processor_seconds"]
        for seed in range(2)
    ]
    assert found["four"]["processor_seconds"] == pytest.approx(np.median(clocks))
    page = (compared / "runs/report.html").read_text()
    assert "against elapsed time" in page
    assert ">Elapsed" in page
    assert ">Computing" in page
