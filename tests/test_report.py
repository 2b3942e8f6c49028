"""The report: its numbers, the files it writes, words that must and must not be there, refusals."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from report_inputs import EVIL, compared, hand_made, table

from nasbench_kit import CorruptFile, InvalidSetting, UnknownName, WrongTable
from nasbench_kit.analysis.figures import style
from nasbench_kit.analysis.report.checklist import checklist
from nasbench_kit.analysis.report.report import analyse, write_report
from nasbench_kit.analysis.statistics.comparison import Comparison
from nasbench_kit.analysis.statistics.summary import summarize, verdict
from nasbench_kit.cli import main
from nasbench_kit.compare.trace import Spending


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with its report."""
    folder = compared(tmp_path_factory.mktemp("report") / "run", table())
    assert main(["report", str(folder), "--table", str(folder.with_suffix(".h5"))]) == 0
    return folder


@pytest.fixture
def unsaved(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Figures go into the page only, as files take most of the time; the files' names."""
    names: list[str] = []
    monkeypatch.setattr(style, "save", lambda figure, folder, name: names.append(name))
    return names


def words(page: str) -> str:
    """The text of a page as read, with titles and labels; no style sheet, no program."""
    found: list[str] = []

    class Reader(HTMLParser):
        silent = False

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.silent = tag in ("style", "script")
            found.extend(value or "" for name, value in attrs if name in ("title", "aria-label"))

        def handle_endtag(self, tag: str) -> None:
            self.silent = False

        def handle_data(self, data: str) -> None:
            if not self.silent:
                found.append(data)

    Reader().feed(page)
    return re.sub(r"\s+", " ", " ".join(found))


def page_of(*comparisons: Comparison, folder: Path) -> str:
    write_report(folder / "page.html", *analyse(comparisons))
    return (folder / "page.html").read_text(encoding="utf-8")


# What is written -------------------------------------------------------------------------------


def test_the_page_says_when_an_algorithm_gets_ahead(unsaved: list[str], tmp_path: Path) -> None:
    worse = hand_made(table(), {"random-search": [0] * 5, "late": [90] * 5})
    page = words(page_of(worse, folder=tmp_path))
    assert "Overtaking random-search on" in page
    assert page.count("never to never") == 4  # mean and median: never ahead, never at its regret


def test_the_page_needs_nothing_beside_it(run: Path) -> None:
    page = (run / "report.html").read_text(encoding="utf-8")
    addresses = re.findall(r'(?:src|href)\s*=\s*["\']?([^"\'\s>]+)', page)
    assert addresses and all(a.startswith(("#", "data:")) for a in addresses)
    assert "@import" not in page and not re.search(r"url\((?!#)", page)
    namespaces = {"http://www.w3.org/2000/svg"}
    assert set(re.findall(r"https?://[^\s\"'<]+", page)) == namespaces


def test_every_figure_lies_beside_the_page(run: Path) -> None:
    page = (run / "report.html").read_text(encoding="utf-8")
    files = sorted(path.name for path in (run / "report-figures").iterdir())
    kinds = (
        "budget-seconds ecdf intervals ledger profile ranks-seconds regret-queries regret-seconds"
    )
    names = [f"run-{kind}" for kind in [*kinds.split(), "target-seconds"]]
    assert files == sorted(f"{name}.{ending}" for name in names for ending in ("pdf", "png"))
    assert page.count("<figure") == len(names)
    for path in (run / "report-figures").iterdir():
        assert path.read_bytes().startswith(b"%PDF" if path.suffix == ".pdf" else b"\x89PNG")


def test_the_same_folder_gives_the_same_bytes(run: Path) -> None:
    before = {path: path.read_bytes() for path in [run / "report.html", *run.glob("report-*/*")]}
    command = ["-m", "nasbench_kit", "report", str(run), "--table", str(run.with_suffix(".h5"))]
    subprocess.run(  # another process, which orders sets in another way
        [sys.executable, *command], check=True, env={**os.environ, "PYTHONHASHSEED": "7"}
    )
    assert before == {path: path.read_bytes() for path in before}


def test_identifiers_of_figures_are_different(run: Path) -> None:
    page = (run / "report.html").read_text(encoding="utf-8")
    figures = "".join(re.findall(r"<figure.*?</figure>", page, re.DOTALL))
    identifiers = re.findall(r' id="([^"]+)"', figures)
    assert identifiers and len(identifiers) == len(set(identifiers))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', figures)) <= set(identifiers)


def test_every_series_is_marked_in_every_figure_of_curves(run: Path) -> None:
    page = (run / "report.html").read_text(encoding="utf-8")
    figures = re.findall(r"<figure.*?</figure>", page, re.DOTALL)
    assert figures
    for figure in figures:
        assert set(re.findall(r'data-series="(\d+)"', figure)) == {"0", "1"}


def test_random_search_stands_beside_its_exact_curve(run: Path) -> None:
    page = words((run / "report.html").read_text(encoding="utf-8"))
    assert "Dots: the exact median of random-search, computed without runs." in page


def test_only_plain_random_search_has_an_exact_curve(tmp_path: Path, unsaved: list[str]) -> None:
    """The curve is that of draws over encodings with repetition."""
    path = tmp_path / "table.h5"
    table().save(path)
    chosen = ["distinct-random-search", 'even=random-search(sampling="cells")']
    arguments = ["--algorithms", *chosen, "--queries", "5", "--seeds", "2", "--policy", "always"]
    run = tmp_path / "run"
    common = ["--table", str(path)]
    assert main(["compare", *common, *arguments, "--held-out-repeats", "0", "--out", str(run)]) == 0
    assert main(["report", str(run), *common]) == 0
    assert "exact median" not in words((run / "report.html").read_text())


# Words -----------------------------------------------------------------------------------------


def test_a_table_without_it_never_prints_the_word(tmp_path: Path, unsaved: list[str]) -> None:
    comparison = hand_made(table(test=False), {"random-search": [1, 2, 3], "b": [2, 3, 4]})
    page = page_of(comparison, folder=tmp_path)
    assert "test" not in words(page).lower()
    assert "validation accuracy" in words(page)
    assert "test accuracy" in words(page_of(hand_made(table(), {"b": [1]}), folder=tmp_path))


def test_what_a_surrogate_said_says_so(tmp_path: Path, unsaved: list[str]) -> None:
    predicted = table(source="surrogate")
    page = page_of(hand_made(predicted, {"a": [0, 1], "b": [2, 1]}), folder=tmp_path)
    headings = re.findall(r"<h[134]>(.*?)</h[134]>|<title>(.*?)</title>", page)
    about_numbers = [h for pair in headings for h in pair if h and "Conditions" not in h]
    assert len(about_numbers) > 10
    assert all("surrogate" in heading for heading in about_numbers)
    assert "surrogate" not in words(
        page_of(hand_made(table(), {"a": [0, 1], "b": [2, 1]}), folder=tmp_path)
    ).replace("Use tabular or surrogate benchmarks", "")


def test_text_of_users_is_escaped(tmp_path: Path, unsaved: list[str]) -> None:
    comparison = hand_made(table(name=EVIL), {EVIL: [0, 1, 2], "b": [2, 3, None]}, policy=EVIL)
    page = page_of(replace(comparison, name=EVIL), folder=tmp_path)
    assert "<img" not in page and page.count("<script") == 1
    assert EVIL in words(page)
    assert unsaved and all(re.fullmatch(r"[\w.-]+", name) for name in unsaved)


# Numbers ---------------------------------------------------------------------------------------


def test_a_summary_by_hand() -> None:
    of = table()
    comparison = hand_made(of, {"random-search": [5, 6, 7, 8], "b": [0, 1, 2, None]})
    regret = comparison.regrets
    rows = {row.algorithm: row for row in summarize(comparison, np.random.default_rng(0))}
    assert comparison.final["b"].tolist() == [*regret[:3], np.inf]
    assert rows["b"].median.point == np.median([*regret[:3], np.inf])
    assert rows["b"].without == 1 and rows["b"].runs == 4
    assert rows["random-search"].better is None and rows["b"].better is not None
    wins = sum(a < b for a in regret[:3] for b in regret[5:9]) / 16
    ties = sum(a == b for a in regret[:3] for b in regret[5:9]) / 32
    assert rows["b"].better.point == pytest.approx(wins + ties)
    assert rows["b"].queries == 10 and rows["b"].unique_architectures == 7
    assert rows["b"].machine_seconds is None
    assert rows["b"].ended == {"budget": 4}


def test_the_verdict_names_who_is_ahead_and_who_may_be() -> None:
    of = table()
    order = np.argsort(regrets := hand_made(of, {"a": [0]}).regrets).tolist()
    comparison = hand_made(of, {"a": order[:9], "b": order[1:10], "c": order[60:69]})
    printed = verdict(comparison, summarize(comparison, np.random.default_rng(0)))
    assert f"a has the lowest median: {100 * regrets[order[4]]:.2f} points" in printed
    assert "c is worse than a beyond chance" in printed
    assert "b cannot be told apart from a with 9 runs each" in printed
    alike = hand_made(of, {"a": order[:3], "b": order[:3]})
    assert "a and b share the lowest median" in verdict(
        alike, summarize(alike, np.random.default_rng(0))
    )


def test_seconds_on_the_machine_are_what_its_clock_says(run: Path) -> None:
    path, clock = run / "traces/local-search-0.json", run / "clock/local-search-0.json"
    kept = path.read_bytes(), clock.read_bytes()
    seconds = json.loads(kept[1])["seconds"]
    of = Comparison.load(run, table())
    assert of.machine_seconds["local-search"][0] == seconds > 0
    (trace, *_) = of.traces["local-search"]
    rest = 900 - trace.seconds  # of the budget
    assert rest > seconds
    paid = {**trace.ledger, "supernet": Spending(3, rest, 1.0, 0)}
    try:
        total = {"seconds": trace.seconds + rest, "epochs": trace.epochs + 1}
        replace(trace, ledger=paid, **total).save(path)  # type: ignore[arg-type]
        again = Comparison.load(run, table())
        assert again.machine_seconds == of.machine_seconds
        assert again.ledger["local-search"]["supernet"].charges == pytest.approx(3 / 6)
        for damaged in ("NaN", "-1", "Infinity", '"9"', "null", "true", "1e999"):
            for name in ("seconds", "processor_seconds"):
                reading = kept[1].decode().replace(f'"{name}": ', f'"{name}": {damaged}, "was": ')
                clock.write_text(reading)
                with pytest.raises(CorruptFile, match=r"clock/local-search-0\.json is no reading"):
                    Comparison.load(run, table())
        clock.unlink()
        assert len(Comparison.load(run, table()).machine_seconds["local-search"]) == 5
    finally:
        path.write_bytes(kept[0])
        clock.write_bytes(kept[1])


def test_json_says_what_the_page_says(
    run: Path, capsys: pytest.CaptureFixture[str], unsaved: list[str]
) -> None:
    of = str(run.with_suffix(".h5"))
    out = str(run / "again.html")
    capsys.readouterr()
    assert main(["report", str(run), "--table", of, "--out", out, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    (one,) = printed["comparisons"]
    assert printed["page"] == out and printed["across"] is None
    assert {row["algorithm"]: row["runs"] for row in one["algorithms"]} == {
        "random-search": 6,
        "local-search": 6,
    }
    for row in one["algorithms"]:
        median = row["median"]
        assert median["low"] <= median["point"] <= median["high"]
    assert one["verdict"] in words(Path(out).read_text(encoding="utf-8"))


# Several tables --------------------------------------------------------------------------------


def tasks(count: int) -> list[Comparison]:
    return [
        hand_made(
            table(seed), {name: [n, n + 1, n + 2] for n, name in enumerate("abcd")}, f"r{seed}"
        )
        for seed in range(count)
    ]


def test_five_tables_are_ranked_with_a_diagram(tmp_path: Path, unsaved: list[str]) -> None:
    comparisons = tasks(5)
    found, across = analyse(comparisons)
    assert across is not None and across.friedman is not None
    assert across.medians.shape == (5, 4)
    for place, comparison in enumerate(comparisons):
        assert across.medians[place].tolist() == [
            np.median(runs) for runs in comparison.final.values()
        ]
    assert across.mean_ranks == pytest.approx(across.friedman.mean_ranks)
    write_report(tmp_path / "page.html", found[:1], across)
    assert "across-critical-difference" in unsaved
    assert "Critical-difference diagram" in words((tmp_path / "page.html").read_text("utf-8"))


def test_fewer_tables_are_refused_a_diagram_with_the_reason(
    tmp_path: Path, unsaved: list[str]
) -> None:
    _, across = analyse(tasks(4))
    assert across is not None and across.friedman is None
    assert across.refusal.startswith("4 tasks")
    twice = [*tasks(4), tasks(1)[0]]
    _, across = analyse(twice)
    assert across is not None and "5 comparisons on 4 different tables" in across.refusal
    first, second = tasks(2)
    second = replace(second, traces={"a": second.traces["a"]})
    found, across = analyse([first, second])
    write_report(tmp_path / "page.html", found[:1], across)
    printed = words((tmp_path / "page.html").read_text("utf-8"))
    assert "No critical-difference diagram: 2 tasks" in printed
    assert "Left out, as they did not run on every table: b, c, d." in printed


def test_folders_of_one_name_keep_their_figures_apart(tmp_path: Path, unsaved: list[str]) -> None:
    first, second = tasks(2)
    page_of(first, replace(second, name=first.name), folder=tmp_path)
    assert len(unsaved) == len(set(unsaved)) == 2 * 9 + 1


# Checklist -------------------------------------------------------------------------------------


def test_the_checklist_follows_the_records() -> None:
    few = hand_made(table(), {"a": [1, 2]})
    many = hand_made(
        table(),
        {"random-search": [1] * 30},
        algorithms={"random-search": {"class": "nasbench_kit.algorithms.x.RandomSearch"}},
    )
    of_few, of_many = ({p.number: p for p in checklist([comparison])} for comparison in (few, many))
    assert list(of_few) == list(range(1, 15))
    assert of_few[8].status == "no" and of_many[8].status == "yes"
    assert of_few[9].status == "no" and of_many[9].status == "yes"
    assert "seeds 0-29" in of_many[9].evidence
    foreign = hand_made(table(), {"a": [1]}, algorithms={"a": {"class": "mine.Own"}})
    assert "mine.Own" in checklist([foreign])[1].evidence
    assert checklist([foreign])[1].status == "for the authors"
    assert few.checksum[:12] in of_few[4].evidence


# Refusals --------------------------------------------------------------------------------------


def test_what_is_no_comparison_is_named(tmp_path: Path, run: Path) -> None:
    with pytest.raises(UnknownName, match="holds no comparison"):
        Comparison.load(tmp_path, table())
    with pytest.raises(WrongTable, match="checksums differ"):
        Comparison.load(run, table(3))
    with pytest.raises(InvalidSetting, match="nothing to report"):
        analyse([])


def test_damaged_folders_are_named(tmp_path: Path) -> None:
    folder = compared(tmp_path / "run", table(), seeds=1)
    manifest = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(manifest.replace('"seconds": 900.0', ""))
    with pytest.raises(CorruptFile, match="no budget"):
        Comparison.load(folder, table())
    (folder / "manifest.json").write_text(manifest)
    (folder / "clock/local-search-0.json").write_text("{}")
    with pytest.raises(CorruptFile, match=r"clock/local-search-0\.json is no reading"):
        Comparison.load(folder, table())
    (folder / "clock/local-search-0.json").unlink()
    assert Comparison.load(folder, table()).machine_seconds["local-search"] == []
    for trace in (folder / "traces").iterdir():
        trace.unlink()
    with pytest.raises(InvalidSetting, match="no finished run"):
        Comparison.load(folder, table())


def test_a_table_that_is_not_at_hand_is_asked_for(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(run)]) == 2
    assert "give the file of" in capsys.readouterr().err
    assert main(["report", "nowhere"]) == 2
    assert "nowhere holds no comparison" in capsys.readouterr().err
