"""The command line: what it prints, its exit codes, and one line for every user's mistake."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nasbench_kit import Cell, Table
from nasbench_kit.cli import main


@pytest.fixture
def table(small_table: Table, tmp_path: Path) -> str:
    small_table.save(tmp_path / "table.h5")
    return str(tmp_path / "table.h5")


def printed(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    assert main(command) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    """The one line on standard error of a command that fails with exit code 2."""
    assert main(command) == 2
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line.startswith("nasbench-kit: ")]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(
    "cell", ["resnet", Cell.named("resnet").hash, Cell.named("resnet").to_text()]
)
def test_a_cell_is_asked_by_name_hash_or_text(
    cell: str, table: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = json.loads(printed(capsys, "query", cell, "--table", table, "--json"))
    assert answer["hash"] == Cell.named("resnet").hash
    metrics = {reading["metric"] for reading in answer["readings"]}
    assert metrics == {"seconds", "train_accuracy", "validation_accuracy", "test_accuracy"}


@pytest.mark.parametrize(
    "matrix", ["0101/0010/0001/0000", "[[0,1,0,1],[0,0,1,0],[0,0,0,1],[0,0,0,0]]"]
)
def test_a_cell_is_asked_by_matrix_and_operations(
    matrix: str, table: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--matrix", matrix, "--operations", "conv3x3,conv3x3"]
    answer = json.loads(printed(capsys, "query", *asked, "--table", table, "--json"))
    assert answer["hash"] == Cell.named("resnet").hash


def test_the_printed_readings_are_the_tables(
    table: str, capsys: pytest.CaptureFixture[str], small_table: Table
) -> None:
    row = small_table.row(Cell.named("resnet"))
    test = small_table.values("test_accuracy")[row]
    out = printed(
        capsys, "query", "resnet", "--table", table, "--epochs", str(small_table.epochs[-1])
    )
    assert " ".join(f"{value:.4f}" for value in test) in out


def test_spaces_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    counted = json.loads(printed(capsys, "enumerate", "--space", "v5e9", "--json"))
    assert counted["by_vertices"] == {"2": 1, "3": 6, "4": 84, "5": 2441}


def test_tables_are_listed_by_the_names_that_commands_take(
    capsys: pytest.CaptureFixture[str],
    small_table: Table,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NASBENCH_KIT_HOME", str(tmp_path))
    small_table.save(tmp_path / "tables" / "renamed.h5")
    names = [entry["name"] for entry in json.loads(printed(capsys, "tables", "--json"))]
    assert "renamed" in names
    for name in names:
        printed(capsys, "query", "resnet", "--table", name)


def test_a_space_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "enumerate", "--space", "v3e3", "--list", "--hashes").splitlines()
    assert len(lines) == 7
    assert lines[0] == "043721b9c7fe8c5fad811d47d83132ec 01/00:"


def test_comparing_prints_json(
    table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    common = ["--table", table, "--seeds", "2", "--queries", "5", "--workers", "1", "--out", out]
    result = json.loads(printed(capsys, "compare", *common, "--json"))
    assert result["scored_by"] == "test_accuracy"
    assert len(result["runs"]) == 4
    assert "random-search" in printed(capsys, "compare", *common)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["query", "resnet", "--table", "no-such"], "no table is called 'no-such'"),
        (["query", "resnext"], "no cell is called 'resnext'"),
        (["query"], "name a cell"),
        (["query", "0" * 32], "no cell of the space"),
        (["query", "--matrix", "012/000/000"], "write rows of 0 and 1"),
        (["query", "--matrix", "011/001"], "must be square"),
        (["query", "--matrix", "010/001/000", "--operations", "conv5x5"], "'conv5x5'"),
        (["query", "--matrix", "010/101/000", "--operations", "conv3x3"], "diagonal"),
        (["query", "--matrix", "000/001/000", "--operations", "conv3x3"], "no path leads"),
        (["query", "best"], "has 7 vertices; the space allows"),
        (["query", "resnet", "--epochs", "5"], "no trainings of 5 epochs"),
        (["tables", "nothing"], "no table is called"),
        (["enumerate", "--space", "v9e9"], "max_vertices is 9"),
        (["enumerate", "--space", "big"], "no space is called 'big'"),
        (["compare", "--algorithms", "random-serch"], "did you mean 'random-search'"),
        (["compare", "--seeds", "0"], "seeds is 0"),
        (["compare", "--queries", "-1", "--workers", "1"], "queries are -1"),
        (["compare", "--workers", "0"], "workers is 0"),
        (["compare", "--out", "/proc/nowhere"], "cannot write /proc/nowhere"),
        (["build", "/proc/nowhere/table.h5"], "cannot write"),
        (["build", "table.txt"], "must end with .h5"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    command: list[str],
    reason: str,
    table: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if command[0] in ("query", "compare") and "--table" not in command:
        command = [*command, "--table", table]
    assert reason in refused(capsys, *command)


def test_python_m_is_the_same_program() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "nasbench_kit", "--help"], capture_output=True, check=True, text=True
    ).stdout
    assert shown.startswith("usage: nasbench-kit")
    for command in ("compare", "tables", "query", "enumerate", "build"):
        assert command in shown


def test_importing_the_package_is_light() -> None:
    program = (
        "import sys, nasbench_kit\n"
        "heavy = {'torch', 'h5py', 'matplotlib', 'scipy', 'sklearn', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_closed_pipe_is_no_error() -> None:
    program = f"{sys.executable} -m nasbench_kit enumerate --space v5e9 --list | head -1"
    piped = subprocess.run(program, shell=True, capture_output=True, text=True, check=True)
    assert piped.stdout == "01/00:\n"
    assert piped.stderr == ""
