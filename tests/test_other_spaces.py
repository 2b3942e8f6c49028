"""Spaces that know nothing of cells, from the shell: on a table, and trained without one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasbench_kit import Budget, Oracle, Table, spaces
from nasbench_kit.algorithms import RandomSearch
from nasbench_kit.analysis.landscape.random_search_curve import RandomSearchCurve
from nasbench_kit.cli import main
from nasbench_kit.compare import Plan, regrets, run
from nasbench_kit.data.images.digits import digits
from nasbench_kit.errors import InvalidSetting, UnknownName
from nasbench_kit.oracle.fallback import StoredTrainer
from nasbench_kit.oracle.search import Search
from nasbench_kit.oracle.store import Store
from nasbench_kit.spaces.layers.nasbench_macro import NASBenchMacro
from nasbench_kit.testing.made_up import MadeUpSpace, made_up_table
from nasbench_kit.testing.searches import yielded
from nasbench_kit.training.recipe import DIGITS

SEARCHES = [
    "random-search",
    "regularized-evolution",
    "local-search",
    "hyperband",
    "bohb",
    "reinforce",
    "controller-reinforce",
]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("tables") / "macro.h5"
    made_up_table(NASBenchMacro()).save(file)
    return file


def kit(*words: object) -> int:
    return main([str(word) for word in words])


def compared(table: Path, out: Path, *words: object) -> dict[str, bytes]:
    """The files of a comparison that depend on nothing but its conditions."""
    searches = ("--algorithms", *SEARCHES, "--seeds", 2, "--epochs", 1500)
    assert kit("compare", "--table", table, *searches, "--out", out, *words) == 0
    kept = [*out.glob("traces/*"), *out.glob("*.csv")]
    return {file.name: file.read_bytes() for file in kept}


def test_a_table_survives_its_file(path: Path) -> None:
    table = Table.open(path)
    assert table.space == spaces.named("nasbench-macro")
    made = made_up_table(NASBenchMacro())
    np.testing.assert_array_equal(table.values("test_accuracy"), made.values("test_accuracy"))


def test_a_comparison_is_the_same_on_workers_and_when_it_goes_on(
    path: Path, tmp_path: Path
) -> None:
    alone = compared(path, tmp_path / "alone", "--workers", 1)
    assert len(alone) == 2 * (len(SEARCHES) + 1) + 3  # the control beside local search
    assert compared(path, tmp_path / "spread", "--workers", 2) == alone
    for trace in list((tmp_path / "alone" / "traces").iterdir())[::3]:
        trace.unlink()
    assert compared(path, tmp_path / "alone", "--workers", 1) == alone


def test_a_comparison_has_a_report(path: Path, tmp_path: Path) -> None:
    compared(path, tmp_path / "runs", "--workers", 1)
    assert kit("report", tmp_path / "runs", "--table", path) == 0
    page = (tmp_path / "runs" / "report.html").read_text()
    assert "6,561 architectures of the space nasbench-macro" in page
    assert page.count('<article class="cell">') == 8
    assert "Any-time regret against epochs" in page


def test_a_table_is_asked_by_text(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert kit("query", "01201201", "--table", path, "--json") == 0
    described = json.loads(capsys.readouterr().out)
    assert described["architecture"] == "01201201"
    assert described["row"] == int("01201201", 3)
    assert kit("query", "resnet", "--table", path) == 2
    assert "is written as" in capsys.readouterr().err


def test_a_space_is_counted_and_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert kit("enumerate", "--space", "nasbench-macro", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"space": "nasbench-macro", "architectures": 6561}
    assert kit("enumerate", "--space", "nasbench-macro", "--list") == 0
    lines = capsys.readouterr().out.split()
    assert (len(lines), lines[0], lines[-1]) == (6561, "00000000", "22222222")


def test_analyses_of_cells_say_so_and_others_are_made(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kit("analyze", "topology", "--table", path, "--out", tmp_path / "none") == 2
    assert "nasbench-macro are no cells of NAS-Bench-101" in capsys.readouterr().err
    assert kit("analyze", "all", "--table", path, "--out", tmp_path / "all", "--json") == 0
    findings: dict[str, list[str]] = json.loads(capsys.readouterr().out)["findings"]
    refused = {name for name, lines in findings.items() if "are no cells" in lines[0]}
    assert refused == {"operations", "topology"}
    assert all(len(findings[name]) == 1 for name in refused)
    assert not any(
        "Not computed" in line for name in findings.keys() - refused for line in findings[name]
    )


def test_random_search_follows_its_exact_curve() -> None:
    """The mean over 400 runs lies within four standard errors of the closed form."""
    table = made_up_table(MadeUpSpace(5))
    losses = regrets(table)
    (expected,) = RandomSearchCurve(table).expected(losses, [20])
    finals = []
    for seed in range(400):
        oracle = Oracle(table, Budget(queries=20), np.random.default_rng([seed, 0]))
        *_, last = yielded(RandomSearch(), oracle, seed)
        finals.append(losses[table.row(last)])
    assert abs(np.mean(finals) - expected) < 4 * np.std(finals) / 20


# Without a table -------------------------------------------------------------------------------

TRAINED = ("--space", "nasbench-macro", "--data", "digits", "--fidelities", 1, 2, "--repeats", 2)


def test_what_no_table_has_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two searches train Macro networks on the digits, in epochs; a report says error, not regret."""
    monkeypatch.setenv("NASBENCH_KIT_HOME", str(tmp_path / "home"))
    words: tuple[Any, ...] = (
        "compare",
        *TRAINED,
        "--algorithms",
        "random-search",
        "local-search",
        "--seeds",
        1,
    )
    words = (*words, "--epochs", 6, "--workers", 1, "--out", tmp_path / "runs", "--json")
    assert kit(*words) == 0
    first = capsys.readouterr().out
    traces = {file.name: file.read_bytes() for file in (tmp_path / "runs" / "traces").iterdir()}
    assert traces.keys() == {"random-search-0.json", "local-search-0.json"}
    for content in traces.values():
        trace = json.loads(content)
        assert trace["epochs"] == 6 and trace["queries"] == 3
        assert trace["ledger"].keys() == {"training"}
    assert kit(*words) == 0
    assert capsys.readouterr().out == first
    assert kit("report", tmp_path / "runs") == 0
    page = (tmp_path / "runs" / "report.html").read_text()
    assert "There is no table" in page and "error in mean test accuracy" in page
    assert "and not by regret" in page and page.casefold().count("regret") == 1


def test_settings_of_trainings_go_without_a_table_only(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kit("compare", "--table", path, "--repeats", 2, "--out", tmp_path / "out") == 2
    assert "the table was made with its own" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_space_without_a_name_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    def never(table: Table | None) -> StoredTrainer:
        return StoredTrainer(digits(), DIGITS, store=Store(tmp_path / "trainings.sqlite"))

    searches: dict[str, Search] = {"random": RandomSearch()}
    plan = Plan(None, searches, [0], {"epochs": 8}, space=MadeUpSpace(4), fallback=never)
    with pytest.raises(UnknownName, match="no space is called 'made-up-4'"):
        run(plan, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_an_unknown_source_is_refused() -> None:
    with pytest.raises(InvalidSetting, match=r"nasbench_kit\.oracle\.source\.Source"):
        Oracle(object(), Budget(queries=1), np.random.default_rng(0))  # type: ignore[arg-type]
