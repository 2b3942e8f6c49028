"""How well shared weights rank cells, and the command that measures it."""

import csv
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from nasbench_kit import (
    BudgetExhausted,
    Cell,
    CellSpace,
    CorruptFile,
    InvalidSetting,
    Table,
    spaces,
)
from nasbench_kit.algorithms.weight_sharing.darts import DARTS
from nasbench_kit.algorithms.weight_sharing.scores import shared_scores
from nasbench_kit.analysis.statistics.one_shot_ranking import (
    against_truth,
    correlation_curves,
    ranking,
    without_weights,
)
from nasbench_kit.cli import main
from nasbench_kit.cli.ranked import Sample, TableRows
from nasbench_kit.cli.ranking_summary import summarised
from nasbench_kit.cli.scoring_job import ScoringJob
from nasbench_kit.data.subset import subset
from nasbench_kit.data.tables import open_table
from nasbench_kit.spaces.skeleton import Skeleton
from nasbench_kit.testing.searches import oracle_for
from nasbench_kit.training.recipe import DIGITS, RECIPES

TRUTH = np.linspace(0.8, 0.99, 20)


def test_perfect_and_reversed_scores() -> None:
    perfect = ranking(1.0, TRUTH / 2, TRUTH)
    assert perfect.everywhere.tau == pytest.approx(1)
    assert (perfect.hits, perfect.regret) == (1, 0)
    reversed_ = ranking(1.0, -TRUTH, TRUTH)
    assert reversed_.everywhere.tau == pytest.approx(-1)
    assert reversed_.hits == 0
    assert reversed_.regret == pytest.approx(0.19)


def test_the_best_tenth_is_of_the_truth() -> None:
    scores = TRUTH.copy()
    scores[-2:] = scores[-2:][::-1]  # the two best of twenty change places
    found = ranking(1.0, scores, TRUTH)
    assert found.everywhere.tau == pytest.approx(stats.kendalltau(scores, TRUTH).statistic)
    assert found.best.cells == 2
    assert found.best.tau == pytest.approx(-1)
    assert found.hits == 1
    assert found.regret == pytest.approx(0.01)


def test_tied_scores_share_what_they_stand_for() -> None:
    found = ranking(1.0, np.zeros(20), TRUTH)
    assert np.isnan(found.everywhere.tau)
    assert found.hits == pytest.approx(2 / 20)
    assert found.regret == pytest.approx(float(TRUTH.max() - TRUTH.mean()))


def test_operations_without_weights_are_counted() -> None:
    cells = CellSpace(5)
    pooled = Cell.from_text("01010/00110/00010/00001/00000:conv3x3,maxpool3x3,maxpool3x3")
    assert without_weights(cells, pooled)[1] == 2
    assert np.isnan(without_weights(cells, pooled)[0])  # there is no such operation
    nb201 = spaces.named("nasbench201")
    text = "|skip_connect~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_1x1~1|skip_connect~2|"
    assert without_weights(nb201, nb201.parse(text)) == (3, 1)
    blocks = spaces.named("darts")
    one = blocks.sample(np.random.default_rng(0))
    skips, pools = without_weights(blocks, one)
    assert skips == one.to_text().count("skip")
    assert pools == one.to_text().count("pool")
    other = spaces.named("nasbench-macro")
    assert np.isnan(without_weights(other, other.sample(np.random.default_rng(0)))).all()


def test_plots_draw_on_the_axes_they_are_given() -> None:
    from matplotlib.figure import Figure

    one, other = Figure().subplots(1, 2)
    runs = [[ranking(s, TRUTH * s, TRUTH) for s in (1.0, 2.0)]]
    assert correlation_curves({"a": runs, "b": runs}, 0.5, ax=one) is one
    legend = one.get_legend()
    assert legend is not None
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["a", "b", "two repeats of the truth"]
    assert against_truth(TRUTH, TRUTH, ax=other) is other


def rank(out: Path, *more: str) -> int:
    words = ["--cells", "30", "--moments", "1", "--workers", "1", "--out", str(out), *more]
    return main(["rank-correlation", "--seconds", "0.3", *words])


def test_the_command_scores_before_and_after_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    methods = ["--methods", "random-weight-sharing-small", "darts-small"]
    assert rank(tmp_path, *methods, "--json") == 0
    first = capsys.readouterr().out
    found = json.loads(first)
    assert found["cells"] == 30
    sampled, relaxed = found["methods"]
    assert -1 <= sampled["tau"] <= 1
    assert sampled["mixture"] is None
    assert -1 <= relaxed["mixture"] <= 1
    assert 0 <= sampled["recommended"] < 100
    with (tmp_path / "correlation.csv").open() as file:
        columns = list(csv.DictReader(file))
    assert len(columns) == 2 * 2  # two methods, at the start and at the end
    assert columns[0]["seconds"] == "0"
    assert columns[0]["recommended"] == columns[0]["pools"] == ""  # nothing is recommended yet
    assert 0 < float(columns[1]["seconds"]) <= 0.3
    assert sampled["recommended"] == pytest.approx(100 * float(columns[1]["recommended"]))
    assert sampled["eigenvalue"] is None  # it has no logits
    assert relaxed["eigenvalue"] == pytest.approx(float(columns[3]["eigenvalue"]))
    assert float(columns[2]["eigenvalue"]) != relaxed["eigenvalue"]
    assert sampled["skips"] is None  # cells have no such operation
    assert 0 <= sampled["pools"] <= 3
    assert (tmp_path / "rank-correlation.png").stat().st_size > 10_000

    run = tmp_path / "runs" / "darts-small-0.json"
    moments = json.loads(run.read_text())["moments"]
    assert [moment["mixture_accuracy"] is None for moment in moments] == [True, False]
    before = run.stat().st_mtime_ns
    (tmp_path / "runs" / "random-weight-sharing-small-0.json").unlink()
    assert rank(tmp_path, *methods, "--json") == 0
    assert capsys.readouterr().out == first
    assert run.stat().st_mtime_ns == before


def test_what_cannot_be_ranked_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rank(tmp_path, "--methods", "random-search") == 2
    assert "random-search shares no weights; choose one of" in capsys.readouterr().err
    assert rank(tmp_path, "--seeds", "0") == 2
    assert "seeds is 0" in capsys.readouterr().err
    assert rank(tmp_path, "--workers", "0") == 2
    assert "workers is 0" in capsys.readouterr().err
    assert rank(tmp_path, "--cells", "29") == 2
    assert "cells is 29; at least 30" in capsys.readouterr().err
    assert rank(tmp_path, "--seconds", "nan") == 2
    assert "seconds is nan" in capsys.readouterr().err
    assert rank(Path("/proc/none")) == 2
    assert "cannot write /proc/none" in capsys.readouterr().err
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "enas-small-0.json").write_text("{}")
    assert rank(tmp_path, "--methods", "enas-small") == 2
    assert "holds no scores" in capsys.readouterr().err
    made: dict[str, Any] = {"conditions": {}, "moments": []}
    (tmp_path / "runs" / "enas-small-0.json").write_text(json.dumps(made))
    assert rank(tmp_path, "--methods", "enas-small") == 2
    assert "made with another table or other settings" in capsys.readouterr().err


def test_what_no_worker_could_search_is_refused_before_anything_is_made(
    small_table: Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    small = subset(small_table, CellSpace(4))
    of_digits = {"name": "made-up", "images": "digits", "recipe": asdict(DIGITS)}
    made_up = Table(small.space, small.epochs, small.columns, provenance=of_digits)

    def refused(table: Table, *more: str) -> str:
        table.save(tmp_path / "table.h5")
        words = ["--table", str(tmp_path / "table.h5"), "--methods", "darts-small", *more]
        assert rank(out, *words) == 2
        assert not out.exists()
        return capsys.readouterr().err

    assert "pays for no step of DARTS" in refused(made_up, "--seconds", "1e-6")
    half = subset(made_up, CellSpace(made_up.space.max_vertices + 1))
    assert "has no continuous relaxation" in refused(half)
    columns = {key: made_up.columns[key] for key in made_up.columns if key[1] != "seconds"}
    timeless = Table(made_up.space, made_up.epochs, columns, provenance=made_up.provenance)
    assert "records no seconds" in refused(timeless)
    foreign = made_up.provenance | {"images_digest": "0" * 64}
    other = Table(made_up.space, made_up.epochs, made_up.columns, provenance=foreign)
    assert "the images at hand have" in refused(other)


def test_scores_of_untrained_weights_are_not_the_last_ones(small_table: Table) -> None:
    search = replace(DARTS.small(), batch_size=12)
    oracle = oracle_for(search, small_table, 0, seconds=0.01)
    cells = [small_table.covered[row] for row in range(3)]
    moments = shared_scores(search, oracle, np.random.default_rng(0), cells, 1)
    assert next(moments).spent == 0
    with pytest.raises(BudgetExhausted, match="from 0 to"):
        next(moments)


def test_what_is_not_known_is_null() -> None:
    """Scores that are all equal have no correlation, and before an epoch no cell is recommended."""
    last = {"accuracy": [0.5] * 20, "mixture_accuracy": None, "labelling_spread": 0.0}
    found = summarised("enas", [[ranking(1.0, np.zeros(20), TRUTH)]], [last])
    unknown = [name for name, value in found.items() if value is None]
    correlations = ["tau", "spearman", "tau_best", "spearman_best"]
    signs = ["eigenvalue", "skips", "pools"]
    assert unknown == [*correlations, "recommended", "mixture", *signs]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seconds", float("nan")),
        ("seconds", 9.0),
        ("seconds", "2"),
        ("recommended", 3),
        ("recommended", -2),
        ("recommended", True),
        ("recommended", None),
        ("accuracy", [0.5, 0.5]),
        ("accuracy", [0.5, 0.5, 1.5]),
        ("accuracy", [0.5, 0.5, float("inf")]),
        ("accuracy", [0.5, 0.5, True]),
        ("accuracy", None),
        ("mixture_accuracy", [0.5]),
        ("labelling_spread", None),
        ("labelling_spread", -0.1),
        ("eigenvalue", float("inf")),
        ("eigenvalue", "2"),
        ("eigenvalue", True),
    ],
)
def test_scores_that_nothing_has_written_are_refused(tmp_path: Path, name: str, value: Any) -> None:
    rows = TableRows(tmp_path / "table.h5", "0" * 64, (0, 1, 2), 5.0, None)
    job = ScoringJob(tmp_path, "enas-small", 0, rows, 1)
    moment = {
        "seconds": 2.0,
        "recommended": 1,
        "accuracy": [0.1, 0.2, 1.0],
        "mixture_accuracy": None,
        "labelling_spread": 0.01,
    }
    job.path.parent.mkdir()
    job.path.write_text(json.dumps({"conditions": job.conditions, "moments": [moment]}))
    assert job.read(3, 3) == [moment]
    wrong = {"conditions": job.conditions, "moments": [{**moment, name: value}]}
    job.path.write_text(json.dumps(wrong))
    with pytest.raises(CorruptFile, match=r"enas-small-0\.json holds no scores"):
        job.read(3, 3)


# Without a table --------------------------------------------------------------------------------


def test_a_sample_is_drawn_without_repetition_and_always_alike(tmp_path: Path) -> None:
    sample = Sample("darts-s1", 40, 1, 2, 2.0, "digits", None, tmp_path / "store.sqlite")
    assert len(set(sample.cells)) == 40
    again = replace(sample, repeats=3)
    assert [cell.to_text() for cell in again.cells] == [cell.to_text() for cell in sample.cells]
    assert [sample.place(cell) for cell in sample.cells] == list(range(40))
    space = spaces.named("darts-s1")
    other = next(
        cell
        for cell in map(space.mutate, sample.cells, map(np.random.default_rng, range(40)))
        if cell not in sample.cells
    )
    assert sample.place(other) == sample.place(None) == -1
    few = replace(sample, space="v3e9", count=30)
    with pytest.raises(InvalidSetting, match="come to 7 only"):
        few.cells  # noqa: B018


def test_a_sample_is_trained_once_and_ranked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NASBENCH_KIT_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(RECIPES, "digits", replace(DIGITS, skeleton=Skeleton(2, 1, 1)))
    words = ["--space", "nasbench201", "--fidelity", "1", "--epochs", "2", "--moments", "1"]
    words += ["--methods", "parameters", "random-weight-sharing-small", "--workers", "1", "--json"]
    assert main(["rank-correlation", *words, "--out", str(tmp_path / "first")]) == 0
    first = capsys.readouterr().out
    found = json.loads(first)
    assert (found["space"], found["cells"]) == ("nasbench201", 30)
    assert -1 <= found["ceiling"]["tau"] <= 1
    counted, shared = found["methods"]
    assert -1 <= counted["tau"] <= 1
    assert -1 <= shared["tau"] <= 1
    with (tmp_path / "first" / "correlation.csv").open() as file:
        spent = [float(row["epochs"]) for row in csv.DictReader(file)]
    assert spent[:2] == [0, 0]
    assert 1 < spent[2] <= 2
    monkeypatch.setattr(
        "nasbench_kit.training.trainer.train", lambda *_, **__: pytest.fail("trained twice")
    )
    assert main(["rank-correlation", *words, "--out", str(tmp_path / "second")]) == 0
    assert capsys.readouterr().out == first


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--space", "darts", "--table", "digits"], "leave either out"),
        (["--space", "darts", "--seconds", "3"], "seconds is 3"),
        (["--repeats", "3"], "name a space without a table"),
        (["--space", "darts", "--repeats", "1"], "repeats is 1; at least 2"),
        (["--space", "darts", "--epochs", "0"], "epochs is 0"),
        (["--space", "nats-sizes", "--methods", "darts"], "has no supernet"),
        (["--space", "nasbench-graph", "--methods", "parameters"], "has no networks"),
    ],
)
def test_tables_and_samples_are_told_apart(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rank-correlation", *words, "--out", str(tmp_path / "x")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


# Proxies ----------------------------------------------------------------------------------------


def test_proxies_are_ranked_beside_shared_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table has counted the parameters of its trained networks itself."""
    out = tmp_path / "ranking"
    flags = ["--cells", "30", "--seeds", "2", "--workers", "1", "--out", str(out), "--json"]
    flags += ["--table", "digits"]
    assert main(["rank-correlation", "--methods", "parameters", "synflow", *flags]) == 0
    counted, synflow = json.loads(capsys.readouterr().out)["methods"]
    table = open_table("digits")
    rows = np.sort(np.random.default_rng(0).choice(len(table), 30, replace=False))
    truth = table.mean("validation_accuracy")[rows]
    sizes = table.extra["trainable_parameters"][rows]
    assert counted["tau"] == pytest.approx(stats.kendalltau(sizes, truth).statistic)
    assert counted["spearman"] == pytest.approx(stats.spearmanr(sizes, truth).statistic)
    assert counted["seeds"] == synflow["seeds"] == 2
    assert counted["labellings"] is counted["mixture"] is counted["recommended"] is None
    assert (out / "rank-correlation.png").exists()


def test_what_neither_shares_weights_nor_is_a_proxy_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rank-correlation", "--methods", "smac-small", "--out", str(tmp_path / "x")]) == 2
    message = capsys.readouterr().err
    assert "synflow" in message
    assert "enas-small" in message
    assert "smac-small," not in message.partition("choose")[2]  # no way out
