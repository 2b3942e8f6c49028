"""Traces and manifests read back: what no run can have left is refused with the file's name."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from report_inputs import table

from nasbench_kit import Cell, CorruptFile, InvalidSetting, NotInTable
from nasbench_kit.algorithms import RandomSearch
from nasbench_kit.analysis.statistics.comparison import Comparison
from nasbench_kit.compare.plan import Plan
from nasbench_kit.compare.retrain import table_of
from nasbench_kit.compare.run_folder import all_traces
from nasbench_kit.compare.running import run
from nasbench_kit.compare.scores import score, write_results
from nasbench_kit.compare.trace import Incumbent, Spending, Trace

LEDGER = {"query": Spending(2, 9.25, 72.0, 2), "supernet": Spending(5, 0.25, 1.0, 0)}
ONE, OTHER = "01/00:", "011/001/000:conv3x3"
STEPS = [Incumbent(1.5, 36.0, 1, ONE), Incumbent(9.25, 72.0, 2, OTHER)]
TRACE = Trace("random-search", 0, "budget", 9.5, 73.0, 2, 2, STEPS, LEDGER)

#: Fields, from the outside in, and what does not belong there.
WRONG_TRACES: list[tuple[str, Any]] = [
    ("algorithm", 3),
    ("algorithm", None),
    ("seed", -1),
    ("seed", True),
    ("seed", "0"),
    ("seed", 0.0),
    ("seed", 10**30),
    ("ended", "happily"),
    ("ended", []),
    ("seconds", float("nan")),
    ("seconds", float("inf")),
    ("seconds", -9.5),
    ("seconds", "9.5"),
    ("seconds", True),
    ("seconds", 9.6),
    ("seconds", 10**400),
    ("epochs", None),
    ("epochs", 72.0),
    ("queries", 2.0),
    ("queries", 3),
    ("unique_architectures", 3),
    ("unique_architectures", 0),
    ("unique_architectures", -1),
    ("incumbents", []),
    ("incumbents", None),
    ("incumbents.seconds", [1.5]),
    ("incumbents.seconds", [9.25, 1.5]),
    ("incumbents.seconds", [1.5, 9.75]),
    ("incumbents.seconds", [float("nan"), 9.25]),
    ("incumbents.epochs", [-1.0, 72.0]),
    ("incumbents.queries", [1, True]),
    ("incumbents.queries", [1, 3]),
    ("incumbents.architecture", [ONE, 8]),
    ("incumbents.architecture", [ONE, None]),
    ("incumbents.architecture", "58"),
    ("incumbents.architecture", {ONE: 1, OTHER: 2}),
    ("incumbents.seconds", {"1.5": 1.5, "9.25": 9.25}),
    ("incumbents.other", [1, 2]),
    ("ledger", []),
    ("ledger", {}),
    ("ledger.query", [2, 9.25, 72.0, 2]),
    ("ledger.query.charges", 0),
    ("ledger.query.charges", 2.5),
    ("ledger.query.seconds", 9.0),
    ("ledger.query.seconds", float("-inf")),
    ("ledger.query.queries", 1),
    ("ledger.query.more", 1),
    ("ledger.other", {"charges": 1, "seconds": 0.0, "epochs": 0.0, "queries": 0}),
    ("ledger.query.charges", 3),
    ("ledger.supernet.queries", 1),
    ("other", 1),
]


def changed(content: dict[str, Any], where: str, value: Any) -> dict[str, Any]:
    content = json.loads(json.dumps(content))
    *outer, name = where.split(".")
    inner = content
    for key in outer:
        inner = inner[key]
    inner[name] = value
    return content


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "random-search-0.json"
    TRACE.save(path)
    assert Trace.load(path) == TRACE
    return path


@pytest.mark.parametrize(("where", "value"), WRONG_TRACES)
def test_no_run_has_left_such_a_trace(trace: Path, where: str, value: Any) -> None:
    trace.write_text(json.dumps(changed(json.loads(trace.read_text()), where, value)))
    with pytest.raises(CorruptFile, match=r"random-search-0\.json is no trace"):
        Trace.load(trace)


def test_without_shared_weights_only_queries_cost(trace: Path) -> None:
    ledger = {"query": Spending(2, 9.5, 73.0, 2)}
    # A table need not know the seconds of every fidelity.
    for steps in ([Incumbent(0.0, 36.0, 1, ONE)], [*STEPS[:1], Incumbent(9.5, 73.0, 2, OTHER)]):
        good = dataclasses.replace(TRACE, incumbents=steps, ledger=ledger)
        good.save(trace)
        assert Trace.load(trace) == good
    for step in ((1.0, 36.0, 0), (0.0, 1.0, 0), (9.0, 73.0, 2), (9.5, 72.0, 2)):
        steps = [Incumbent(*step, ONE)]
        dataclasses.replace(TRACE, incumbents=steps, ledger=ledger).save(trace)
        with pytest.raises(CorruptFile, match="more is spent and nothing asked"):
            Trace.load(trace)


def test_every_field_of_a_trace_is_needed(trace: Path) -> None:
    content = json.loads(trace.read_text())
    for outer in (content, content["incumbents"], content["ledger"]["query"]):
        for name in list(outer):
            kept = outer.pop(name)
            trace.write_text(json.dumps(content))
            with pytest.raises(CorruptFile, match="is no trace"):
                Trace.load(trace)
            outer[name] = kept


@pytest.mark.parametrize(
    "content",
    ["", "[]", "null", "7", "{}", "[" * 100_000, '{"a": ' * 100_000, "\x00", '"text"'],
)
def test_what_is_no_object_is_no_trace(trace: Path, content: str) -> None:
    trace.write_text(content)
    with pytest.raises(CorruptFile, match=r"random-search-0\.json is no trace"):
        Trace.load(trace)


def test_a_name_that_stands_twice_is_refused(trace: Path) -> None:
    trace.write_text(trace.read_text().replace('"seed": 0', '"seed": 1, "seed": 0'))
    with pytest.raises(CorruptFile, match="stands twice"):
        Trace.load(trace)


def test_bytes_and_folders_are_no_traces(trace: Path, tmp_path: Path) -> None:
    trace.write_bytes(b"\xff\xfe{}")
    for path in (trace, tmp_path, tmp_path / "nowhere"):
        with pytest.raises(CorruptFile):
            Trace.load(path)


# In their folder ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    table().save(folder / "table.h5")
    plan = Plan(folder / "table.h5", {"random-search": RandomSearch()}, range(2), {"seconds": 300})
    run(plan, folder / "runs")
    return folder


@pytest.fixture
def kept(made: Path) -> Any:
    """The folder, as it was again afterwards."""
    files = [made / "runs/manifest.json", *(made / "runs/traces").iterdir()]
    before = {file: file.read_bytes() for file in files}
    yield made
    for file in (made / "runs/traces").iterdir():
        file.unlink()
    for file, content in before.items():
        file.write_bytes(content)


def readers(folder: Path, made_with: dict[str, float]) -> list[Callable[[], object]]:
    plan = Plan(folder / "table.h5", {"random-search": RandomSearch()}, range(2), made_with)
    return [
        lambda: all_traces(folder / "runs"),
        lambda: Comparison.load(folder / "runs", table()),
        lambda: run(plan, folder / "runs"),
        lambda: table_of(folder / "runs"),
    ]


def test_every_reader_looks_at_the_budget_the_table_and_the_name(kept: Path) -> None:
    path = kept / "runs/traces/random-search-1.json"
    content = json.loads(path.read_text())
    more = 301.0 - content["seconds"]
    spent = changed(content, "seconds", content["seconds"] + more)
    spent = changed(spent, "ledger.query.seconds", content["ledger"]["query"]["seconds"] + more)
    cells = content["incumbents"]["architecture"]
    for wrong, reason in (
        (spent, r"301.0 seconds are spent of 300"),
        (changed(content, "incumbents.architecture", [*cells[:-1], "01/0"]), "is not a cell"),
        (changed(content, "incumbents.architecture", [*cells[:-1], "011/001:"]), "must be square"),
        (changed(content, "seed", 0), r"the trace random-search-0\.json"),
        (changed(content, "algorithm", "local-search"), "its manifest does not name"),
    ):
        path.write_text(json.dumps(wrong))
        for reader in readers(kept, {"seconds": 300})[:3]:  # the last one opens no trace
            with pytest.raises(CorruptFile, match=rf"random-search-1\.json .*{reason}"):
                reader()


WRONG_MANIFESTS: list[tuple[str, Any]] = [
    ("budget", {}),
    ("budget", []),
    ("budget", None),
    ("budget.seconds", float("nan")),
    ("budget.seconds", float("inf")),
    ("budget.seconds", -1),
    ("budget.seconds", True),
    ("budget.seconds", "300"),
    ("budget.seconds", None),
    ("budget.hours", 3),
    ("algorithms", []),
    ("algorithms.random-search", "RandomSearch"),
    ("algorithms.random-search", {}),
    ("algorithms.random-search.class", 3),
    ("algorithms.random-search.settings", []),
    ("algorithms.../../evil", {"class": "evil", "settings": {}}),
    ("table", "digits"),
    ("table.checksum", 3),
    ("table.name", None),
    ("table.cells", "91"),
    ("table.cells", True),
    ("policy", "sometimes"),
    ("policy", 1),
    ("versions", []),
    ("scored_by", 3),
    ("commands", "rm"),
    ("commands", [3]),
]


@pytest.mark.parametrize(("where", "value"), WRONG_MANIFESTS)
def test_nothing_was_compared_under_such_a_manifest(kept: Path, where: str, value: Any) -> None:
    path = kept / "runs/manifest.json"
    if where == "algorithms.../../evil":
        wrong = json.loads(path.read_text())
        wrong["algorithms"]["../../evil"] = value
    else:
        wrong = changed(json.loads(path.read_text()), where, value)
    path.write_text(json.dumps(wrong))
    for reader in readers(kept, {"seconds": 300}):
        with pytest.raises(CorruptFile, match=r"manifest\.json is no manifest"):
            reader()


@pytest.mark.parametrize("content", ["[" * 100_000, "[]", "7", "", "NaN", '{"algorithms": {}}'])
def test_what_is_no_object_is_no_manifest(kept: Path, content: str) -> None:
    (kept / "runs/manifest.json").write_text(content)
    for reader in readers(kept, {"seconds": 300}):
        with pytest.raises(CorruptFile, match=r"manifest\.json is no manifest"):
            reader()


def test_scores_are_of_the_tables_own_cells(tmp_path: Path) -> None:
    of = table()
    outside = Cell.named("inception").to_text()  # seven vertices, and the table has four
    wrong = Trace("a", 0, "budget", 9.0, 36.0, 1, 1, [Incumbent(9.0, 36.0, 1, outside)])
    with pytest.raises(NotInTable, match="not in the table"):
        score(of, [wrong])
    with pytest.raises(NotInTable, match="not in the table"):
        write_results(tmp_path, of, [wrong])
    arguments: list[tuple[Any, Any]] = [("table.h5", []), (of, "traces"), (of, [1]), (of, None)]
    for given, traces in arguments:
        with pytest.raises(InvalidSetting):
            score(given, traces)
    assert list(tmp_path.iterdir()) == []
