"""How well shared weights rank cells, and the command that measures it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from nasbench_kit.analysis.one_shot_ranking import against_truth, correlation_curves, ranking
from nasbench_kit.cli import main

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
    words = ["--cells", "12", "--moments", "1", "--workers", "1", "--out", str(out), *more]
    return main(["rank-correlation", "--seconds", "0.3", *words])


def test_the_command_scores_before_and_after_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    methods = ["--methods", "random-weight-sharing-small", "darts-small"]
    assert rank(tmp_path, *methods, "--json") == 0
    first = capsys.readouterr().out
    found = json.loads(first)
    assert found["cells"] == 12
    sampled, relaxed = found["methods"]
    assert -1 <= sampled["tau"] <= 1
    assert sampled["mixture"] is None
    assert -1 <= relaxed["mixture"] <= 1
    columns = (tmp_path / "correlation.csv").read_text().splitlines()
    assert len(columns) == 1 + 2 * 2  # two methods, at the start and at the end
    assert columns[1].split(",")[2] == "0"
    assert 0 < float(columns[2].split(",")[2]) <= 0.3
    assert (tmp_path / "rank-correlation.png").stat().st_size > 10_000

    run = tmp_path / "runs" / "darts-small-0.json"
    before = run.stat().st_mtime_ns
    (tmp_path / "runs" / "random-weight-sharing-small-0.json").unlink()
    assert rank(tmp_path, *methods, "--json") == 0
    assert capsys.readouterr().out == first
    assert run.stat().st_mtime_ns == before


def test_what_cannot_be_ranked_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rank(tmp_path, "--methods", "random-search") == 2
    assert "random-search shares no weights; choose of" in capsys.readouterr().err
    assert rank(tmp_path, "--seeds", "0") == 2
    assert "seeds is 0" in capsys.readouterr().err
    assert rank(tmp_path, "--workers", "0") == 2
    assert "workers is 0" in capsys.readouterr().err
    assert rank(tmp_path, "--cells", "9") == 2
    assert "cells is 9; at least 10" in capsys.readouterr().err
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
