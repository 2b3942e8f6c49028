"""Every bad input of `hostile.py`: one line, exit code 2, nothing printed, nothing left behind."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import hostile
import pytest

from nasbench_kit.cli import main


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return hostile.make_files(tmp_path_factory.mktemp("hostile"))


def faults(
    row: hostile.Input, files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> list[str]:
    """What is wrong with how an input is refused; in an empty working folder."""
    code = main(hostile.placed(row.words, files))
    printed = capsys.readouterr()
    lines = [line for line in printed.err.splitlines() if line.startswith("nasbench-kit: ")]
    wrong = []
    if code == 0:
        wrong.append("silent success")
    elif code != 2:
        wrong.append("traceback" if code == 70 else f"exit code {code}")
    if "Traceback" in printed.err:
        wrong.append("traceback")
    if len(lines) != 1:
        wrong.append(f"{len(lines)} lines")
    elif row.message not in lines[0]:
        wrong.append(f"says {lines[0]!r}, not {row.message!r}")
    if printed.out.strip():
        wrong.append(f"prints {printed.out[:40]!r}")
    if left := os.listdir():
        wrong.append(f"leaves {left}")
    return wrong


def test_every_bad_input_is_refused_in_one_line(
    files: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found: list[str] = []
    rows = hostile.inputs()
    for number, row in enumerate(rows):
        place = tmp_path / str(number)
        place.mkdir()
        monkeypatch.chdir(place)
        shown = " ".join(repr(word) if len(word) < 60 else f"{word[:60]}..." for word in row.words)
        found += [f"{shown}: {fault}" for fault in faults(row, files, capsys)]
    tracebacks = sum("traceback" in fault for fault in found)
    silent = sum("silent success" in fault for fault in found)
    print(dict(Counter(row.kind for row in rows)))
    print(f"{len(rows)} inputs, {tracebacks} tracebacks, {silent} silent successes")
    assert not found, "\n".join(found)
    assert len(rows) > 1000
    assert {row.words[0] for row in rows} >= hostile.commands().keys()
