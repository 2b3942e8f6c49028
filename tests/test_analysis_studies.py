"""The command ``analyze``: files, words that must and must not appear, tables that lack things."""

from __future__ import annotations

import argparse
import csv
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from nasbench_kit import CellSpace, Column, Table
from nasbench_kit.analysis.figures import style
from nasbench_kit.analysis.landscape import landscape_plots, landscape_studies, table_studies
from nasbench_kit.analysis.landscape.locality import Correlogram
from nasbench_kit.analysis.landscape.page import write_analysis
from nasbench_kit.analysis.landscape.study import Options, Study
from nasbench_kit.cli import analyze
from nasbench_kit.errors import NotRecorded


@pytest.fixture(scope="module")
def complete() -> Table:
    return table()


def table(
    *, test: bool = True, repeats: int = 3, rows: Any = None, provenance: Mapping[str, str] = {}
) -> Table:
    """A made-up table over CellSpace(4): accuracy falls with the row, noise is a few images."""
    space, rng = CellSpace(4), np.random.default_rng(0)
    shape = (len(space), 3, repeats)
    quality = np.linspace(0.9, 0.5, len(space))[:, None, None] * np.array([0.5, 0.8, 1])[:, None]
    kept = slice(None) if rows is None else rows
    columns = {}
    for metric in ["validation_accuracy"] + ["test_accuracy"] * test:
        counts = rng.binomial(700, np.broadcast_to(quality, shape)).astype(np.uint16)
        columns["final", metric] = Column(counts[kept], 700)
    seconds = rng.uniform(1, 2, shape) * np.array([4, 12, 36])[:, None]
    columns["final", "seconds"] = Column(seconds.astype(np.float32)[kept])
    parameters = rng.integers(1_000, 90_000, len(space)).astype(np.uint32)[kept]
    return Table(
        space,
        (4, 12, 36),
        columns,
        rows=rows,
        extra={"trainable_parameters": parameters},
        provenance={"name": "toy", "source": "measured", **provenance},
    )


def run(table: Table, folder: Path, study: str, *options: str) -> str:
    """The page that the command writes, without the embedded pictures."""
    table.save(folder / "table.h5")
    parser = argparse.ArgumentParser()
    analyze.add_commands(parser.add_subparsers())
    command = ["analyze", study, "--table", str(folder / "table.h5"), "--out", str(folder / "out")]
    args = parser.parse_args([*command, *options])
    assert args.run(args) == 0
    page = (folder / "out" / "index.html").read_text(encoding="utf-8")
    return re.sub(r"base64,[^\"]*", "", page)


OF_CELLS = [name for name in analyze.STUDIES if name != "decisions"]


def all_studies(table: Table) -> list[Study]:
    """Every study that can be made of a table, without files."""
    found = []
    for name in OF_CELLS:
        try:
            options = Options(np.random.default_rng(0), exact=True)
            found.append(analyze.function(name)(table, options))
        except NotRecorded:
            continue
    return found


def no_picture(figure: Figure, folder: Path, name: str) -> Path:
    """What takes most of the time is drawing; a test about words and data goes without."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.png"
    path.write_bytes(b"")
    return path


def words(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.findobj(Text) if isinstance(text, Text))


def test_all_writes_every_figure_twice_data_and_a_page(complete: Table, tmp_path: Path) -> None:
    page = run(complete, tmp_path, "all", "--exact")
    out = tmp_path / "out"
    pictures = {path.stem for path in out.glob("*.png")}
    assert pictures == {path.stem for path in out.glob("*.pdf")}
    assert {"random_walk", "local_search", "operations", "depth", "noise", "pareto"} <= pictures
    assert page.count("<figure><img") == len(pictures)
    assert "Not computed" not in page
    with (out / "random_walk.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["walk"] for row in rows} == {
        "encodings, sampled",
        "encodings, exact",
        "unique cells, exact",
    }
    assert [row["autocorrelation"] for row in rows if row["lag"] == "0"] == ["1"] * 3


def test_json_holds_the_findings(
    complete: Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(complete, tmp_path, "operations", "--json")
    printed = json.loads(capsys.readouterr().out)
    assert printed["table"] == "toy"
    assert any("3x3 → 1x1" in finding for finding in printed["findings"]["operations"])
    assert Path(printed["page"]).is_file()


def test_a_study_alone_finds_what_it_finds_again(complete: Table) -> None:
    one, other = (
        landscape_studies.random_walk(complete, Options(np.random.default_rng(1))) for _ in range(2)
    )
    assert one.findings == other.findings


def test_figures_are_the_same_bytes_each_time(complete: Table, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        with style.figure_style():
            study = table_studies.operations(complete, Options(np.random.default_rng(0)))
            style.save(study.figures["operations"], tmp_path / folder, "figure")
    for ending in ("png", "pdf"):
        one, two = (tmp_path / folder / f"figure.{ending}" for folder in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


def test_without_test_accuracy_the_word_does_not_appear() -> None:
    for study in all_studies(table(test=False)):
        text = " ".join([study.title, *study.findings, *study.figures, *study.frames])
        text += json.dumps([list(columns) for columns in study.frames.values()])
        text += " ".join(words(figure) for figure in study.figures.values())
        assert "test" not in text.lower()


def test_everything_from_a_surrogate_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predicted = table(test=False, repeats=1, provenance={"source": "surrogate"})
    monkeypatch.setattr(style, "save", no_picture)
    for study in all_studies(predicted):
        for figure in study.figures.values():
            assert "surrogate" in words(figure)
    page = run(predicted, tmp_path, "operations")
    assert "<h1>Analysis of toy (surrogate)</h1>" in page
    assert "<title>Analysis of toy (surrogate)</title>" in page


def test_a_partial_table_gives_what_it_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "save", no_picture)
    part = table(test=False, repeats=1, rows=np.arange(0, 91, 2, dtype=np.int32))
    page = run(part, tmp_path, "all")
    assert "46 of 91" in page
    assert page.count("Not computed: ") == 3
    assert "local optima and basins need a complete table" in page
    assert "covers 46 of 91 cells, where a random walk spends" in page
    assert "has one repeat of each training" in page
    out = tmp_path / "out"
    assert (out / "operations.csv").is_file() and (out / "correlogram.csv").is_file()
    assert not (out / "noise.csv").exists()


def test_a_single_study_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotRecorded, match="'analyze locality' shows"):
        run(table(rows=np.arange(40, dtype=np.int32)), tmp_path, "random-walk")


def test_a_table_without_costs_still_has_operations_topology_and_a_front() -> None:
    whole = table(test=False)
    bare = Table(
        whole.space,
        whole.epochs,
        {("final", "validation_accuracy"): whole.columns["final", "validation_accuracy"]},
    )
    options = Options(np.random.default_rng(0))
    assert "training time" not in " ".join(table_studies.operations(bare, options).findings)
    assert set(table_studies.topology(bare, options).figures) == {"depth", "width"}
    assert set(table_studies.pareto(bare, options).frames["pareto"]["cost"]) == {
        "memory (feature maps)"
    }


def test_operations_by_hand_on_the_smallest_space() -> None:
    # One vertex, two graphs. 3x3, 1x1 and pooling reach 0.9, 0.8, 0.6 and take 4, 2 and 3 seconds.
    space = CellSpace(3)
    place = [OPERATION[cell.operations[1]] if cell.size == 3 else 0 for cell in space]
    accuracy, seconds = np.array([0.9, 0.8, 0.6])[place], np.array([4.0, 2, 3])[place]
    columns = {
        ("final", "validation_accuracy"): Column(accuracy.astype(np.float32)[:, None, None]),
        ("final", "seconds"): Column(seconds.astype(np.float32)[:, None, None]),
    }
    study = table_studies.operations(Table(space, (4,), columns), Options(np.random.default_rng(0)))
    found = study.frames["operations"]
    assert found["pairs"] == [2] * 6
    np.testing.assert_allclose(found["mean"], [-10, -30, -20, -50, -25, 50], rtol=1e-5)
    np.testing.assert_allclose(found["low"], found["high"], rtol=1e-5)


OPERATION = {"conv3x3-bn-relu": 0, "conv1x1-bn-relu": 1, "maxpool3x3": 2}


def test_the_page_escapes_what_users_wrote(complete: Table, tmp_path: Path) -> None:
    page = run(table(provenance={"name": "<b>x&y</b>"}), tmp_path, "operations")
    assert "<b>" not in page and "&lt;b&gt;x&amp;y&lt;/b&gt;" in page
    study = Study(complete, "<u>", ["<i>1"], frames={"x": {"<i>2": ["<i>3"]}})
    page = write_analysis(tmp_path, complete, [study]).read_text(encoding="utf-8")
    assert "<i>" not in page and "<u>" not in page
    for text in (
        '<h2 class="paged" id="-u-">&lt;u',
        "<li>&lt;i&gt;1",
        ">&lt;i&gt;2<",
        ">&lt;i&gt;3<",
    ):
        assert text in page


def test_plots_take_and_return_axes() -> None:
    matplotlib.use("Agg")
    from matplotlib import pyplot

    found = Correlogram(np.array([200, 200]), np.array([1, 0.4]), np.array([0, 0.1]))
    figure, given = pyplot.subplots()
    assert landscape_plots.draw_correlogram(found, given) is given
    fresh = landscape_plots.draw_correlogram(found)
    assert fresh.figure is not figure
    pyplot.close("all")


def test_statistics_do_not_import_matplotlib() -> None:
    modules = "distance encodings fidelity local_search locality main_effects neighbourhood pareto"
    modules += " random_walk structure study"
    names = [f"nasbench_kit.analysis.landscape.{module}" for module in modules.split()]
    names.append("nasbench_kit.cli.analyze")
    code = f"import sys, {', '.join(names)}; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_page_lists_its_contents_and_draws_the_best_cells(
    complete: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style, "save", no_picture)
    page = run(complete, tmp_path, "all")
    links, anchors = (
        re.findall(r'href="#([^"]*)"', page),
        re.findall(r'<h2[^>]* id="([^"]*)"', page),
    )
    assert links == anchors and len(set(links)) == 1 + len(OF_CELLS)
    means = complete.mean("validation_accuracy")
    best = [complete.space[int(row)].to_text() for row in np.argsort(-means, kind="stable")[:4]]
    assert re.findall(r'<svg [^>]*aria-label="([^"]*)"', page) == best
    assert [page.index(f"<code>{cell}</code>") for cell in best] == sorted(
        page.index(f"<code>{cell}</code>") for cell in best
    )
    assert f"validation accuracy (%): {100 * means.max():.2f}" in page


def test_figures_are_shown_in_one_scale(
    complete: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style, "save", no_picture)
    page = run(complete, tmp_path, "all")
    widths = re.findall(r'<img alt="([^"]*)" style="--inches:([\d.]+)"', page)
    figures = {
        name.replace("_", " "): figure.get_figwidth()
        for study in all_studies(complete)
        for name, figure in study.figures.items()
    }
    assert {name: float(width) for name, width in widths} == figures
    assert set(figures.values()) == {style.COLUMN, style.PAGE}


def test_no_legend_lies_upon_data_or_words(complete: Table) -> None:
    with style.figure_style():
        studies = all_studies(complete)
    legends = 0
    for figure in (figure for study in studies for figure in study.figures.values()):
        renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
        figure.draw_without_rendering()
        whole = figure.bbox.padded(1)
        for ax in figure.axes:
            legend = ax.get_legend()
            if legend is None:
                continue
            legends += 1
            place = legend.get_window_extent(renderer)
            others = [other.get_window_extent(renderer) for other in figure.axes]
            others += [ax.xaxis.label.get_window_extent(renderer) for ax in figure.axes]
            boxes = (ax.xaxis.get_tightbbox(renderer) for ax in figure.axes)
            others += [box for box in boxes if box is not None]
            assert not any(place.overlaps(other) for other in others)
            assert whole.x0 <= place.x0 and place.x1 <= whole.x1 and whole.y0 <= place.y0
    assert legends > 8


def test_a_table_without_accuracy_has_a_page_without_best_cells(
    complete: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style, "save", no_picture)
    columns = {key: column for key, column in complete.columns.items() if key[1] == "seconds"}
    bare = Table(complete.space, complete.epochs, columns, provenance={"name": "bare"})
    page = run(bare, tmp_path, "all")
    assert "best-cells" not in page and "Not computed" in page
