"""Comparisons on text from the shell: perplexities in what is printed, in files, in reports, in retrain."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from nasbench_kit.cli import main
from nasbench_kit.compare.scores import Scores

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text whose words follow each other by a rule, with exceptions."""
    rng = np.random.default_rng(0)
    steps = np.where(rng.random(9000) < 0.8, 1, rng.integers(0, 9, 9000))
    words = np.array(list("abcdefghi"))[np.cumsum(steps) % 9]
    path = tmp_path_factory.mktemp("text") / "mine.txt"
    path.write_text("".join(" ".join(line) + "\n" for line in words.reshape(-1, 10)))
    return path


@pytest.fixture(scope="module")
def compared(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a comparison of two searches, two seeds each."""
    folder = tmp_path_factory.mktemp("runs") / "text"
    assert main(command(text, folder)) == 0
    return folder


def command(text: Path, folder: Path, *more: str) -> list[str]:
    return [
        *("compare", "--space", "darts-recurrent", "--data", str(text), "--out", str(folder)),
        *("--algorithms", "random-search", "local-search", "--queries", "2", "--seeds", "2"),
        *("--fidelities", "1", "--repeats", "2", "--workers", "1", *more),
    ]


def perplexities(folder: Path, architecture: str) -> list[float]:
    """Of the test text, as the scoring trainings left them."""
    files = map(json.loads, map(Path.read_text, (folder / "scores").glob("*.json")))
    return [
        math.exp(content["test"]["nats"] / content["test"]["tokens"])
        for content in files
        if content["architecture"] == architecture
    ]


def test_results_have_perplexities(
    text: Path, compared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(text, compared, "--json")) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert len(runs) == 4
    for run in runs:
        trained = perplexities(compared, run["architecture"])
        assert len(trained) == 2
        harmonic = 2 / sum(1 / each for each in trained)
        assert run["perplexity"] == pytest.approx(harmonic, rel=1e-5)
        assert run["perplexity"] == pytest.approx(1 / run["accuracy"])
    for name in ("results.csv", "incumbents.csv"):
        with (compared / name).open() as file:
            for row in csv.DictReader(file):
                assert float(row["perplexity"]) == pytest.approx(1 / float(row["accuracy"]))


def test_the_printed_table_has_perplexities(
    text: Path, compared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(text, compared)) == 0
    out = capsys.readouterr().out
    assert "test accuracy (1 / perplexity)" in " ".join(out.split())
    header = next(line for line in out.splitlines() if "algorithm" in line)
    assert "perplexity" in header
    with (compared / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    for name in ("random-search", "local-search"):
        line = next(line for line in out.splitlines() if name in line)
        own = [float(row["perplexity"]) for row in rows if row["algorithm"] == name]
        assert f"{np.median(own):.2f}" in line


def test_a_report_has_perplexities(compared: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    assert main(["report", str(compared), "--out", str(page)]) == 0
    html = page.read_text()
    assert "Median perplexity" in html
    assert "On text an accuracy is 1 / perplexity" in html
    best = Scores.of(compared, None).trained
    assert f"perplexity {1 / max(best.values()):.2f} ·" in html


def test_retrain_prints_perplexities(
    text: Path, compared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def retrain(*more: str) -> str:
        capsys.readouterr()
        more = ("--data", str(text), "--epochs", "1", "--seeds", "2", *more)
        assert main(["retrain", str(compared), *more, "--workers-per-device", "1"]) == 0
        return capsys.readouterr().out

    rows = json.loads(retrain("--json"))["cells"]
    assert [row["test_perplexity_mean"] for row in rows] == sorted(
        row["test_perplexity_mean"] for row in rows
    )
    printed = retrain()
    assert "Perplexity of recommended cells" in printed
    for row in rows:
        ends = [
            json.loads(path.read_text())["final"]["test"]
            for path in (compared / "retrain" / "trainings").glob("*.json")
            if json.loads(path.read_text())["architecture"] == row["architecture"]
        ]
        first, second = (math.exp(end["nats"] / end["tokens"]) for end in ends)
        assert row["test_perplexity_mean"] == pytest.approx((first + second) / 2)
        assert row["test_perplexity_std"] == pytest.approx(abs(first - second) / 2**0.5)
        assert f"{row['test_perplexity_mean']:.2f}" in printed
