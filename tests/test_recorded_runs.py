"""Runs of an experiment, one line each: resumed, spread over processes, ended in time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nasbench_kit.errors import CorruptFile
from nasbench_kit.system.recorded_runs import Job, record, recorded

JOBS: list[Job] = [("square", number) for number in range(6)]


def square(name: str, number: int) -> dict[str, Any]:
    return {name: number**2}


@pytest.mark.parametrize("workers", [1, 2])
def test_every_job_has_one_line_with_its_result(tmp_path: Path, workers: int) -> None:
    path = tmp_path / "runs.jsonl"
    assert record(square, JOBS, path, workers=workers)
    assert len(path.read_text().splitlines()) == len(JOBS)
    assert recorded(path) == {("square", number): {"square": number**2} for number in range(6)}


def test_a_second_call_does_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    done: list[int] = []

    def noting(name: str, number: int) -> dict[str, Any]:
        done.append(number)
        return square(name, number)

    assert record(noting, JOBS[:2], path)
    assert record(noting, JOBS, path)
    assert done == [0, 1, 2, 3, 4, 5]


def test_no_job_starts_once_the_minutes_are_over(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    assert not record(square, JOBS, path, minutes=-1)
    assert recorded(path) == {}


@pytest.mark.parametrize("line", ['{"job": ["a"', "3", '{"other": 1}', '{"job": 3}'])
def test_a_line_that_is_no_run_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text(json.dumps({"job": ["a", 1], "x": 2}) + "\n" + line + "\n")
    with pytest.raises(CorruptFile, match="line 2 of"):
        recorded(path)
