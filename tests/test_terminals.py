"""What commands print on narrow screens, into closed or full streams, and when they are interrupted."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

import pytest
import report_inputs
from hypothesis import given, strategies as st

from nasbench_kit.cli import main, streams
from nasbench_kit.cli.common import print_table

WIDTHS = (40, 60, 80)


def cells(printed: str) -> list[list[str]]:
    """The rows of a printed table; a line without anything but the first column goes on with it."""
    rows: list[list[str]] = []
    for line in printed.splitlines():
        if not line.startswith(("│", "┃")):
            continue
        row = [part.strip() for part in re.split("[│┃]", line)[1:-1]]
        if rows and len(row) > 1 and not any(row[1:]):
            rows[-1][0] += row[0]
        else:
            rows.append(row)
    return rows


def check(wide: str, narrow: str, width: int) -> None:
    """A narrow table has columns of the wide one, whole, and names those that it lacks."""
    whole, part = cells(wide), cells(narrow)
    assert len(part) == len(whole) > 1
    for line in narrow.splitlines():
        assert len(line) <= width or " " not in line.strip()  # but what cannot be wrapped
    columns = list(map(list, zip(*whole, strict=True)))
    shown = list(map(list, zip(*part, strict=True)))
    for column in shown[1:]:
        assert column in columns[1:]
    assert [re.sub(r"\s", "", value) for value in shown[0]] == [
        re.sub(r"\s", "", value) for value in columns[0]
    ]
    hidden = [column[0] for column in columns if column[0] not in {name for name, *_ in shown}]
    hidden = [name for name in hidden if re.sub(r"\s", "", name) != re.sub(r"\s", "", shown[0][0])]
    text = " ".join(narrow.split())
    if hidden:
        (shown,) = re.findall(r"Hidden at this width: (.*?); see ", text)
        assert sorted(shown.split(", ")) == sorted(hidden)
    else:
        assert "Hidden at this width" not in text


numbers = st.from_regex(r"-?[0-9]{1,6}(\.[0-9]{1,4})?", fullmatch=True)


@given(
    st.lists(st.tuples(st.text("abc-_ ", max_size=30), *[numbers] * 6), min_size=1, max_size=4),
    st.sampled_from(WIDTHS),
)
def test_numbers_are_never_cut(rows: list[tuple[str, ...]], width: int) -> None:
    names = ("label", "median", "runs", "queries", "unique cells", "seconds", "share")
    rows = [(f"x{row[0].strip()}x", *row[1:]) for row in rows]
    with pytest.MonkeyPatch.context() as patch:
        wide, narrow = "", ""
        for columns in ("400", str(width)):
            patch.setenv("COLUMNS", columns)
            text = _printed(names, rows)
            wide, narrow = (text, narrow) if columns == "400" else (wide, text)
    check(wide, narrow, width)
    first = [name for name in names if name not in ("unique cells", "share")]
    shown = cells(narrow)[0]
    if "unique cells" in shown or "share" in shown:  # they go before the others do
        assert set(first) <= set(shown)


def _printed(names: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    import contextlib
    import io

    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        print_table("title", names, rows, "a note", secondary=("unique cells", "share"))
    return stream.getvalue()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("terminals")
    report_inputs.table(4).save(folder / "table.h5")
    return folder


#: Every command that prints a table, where a fit does not take minutes.
TABLES = (
    "tables",
    "query resnet",
    "enumerate --space v4e9",
    (
        "compare --table {0}/table.h5 --algorithms random-search regularized-evolution-naszilla --seeds 2 "
        "--seconds 900 --workers 1 --out {0}/out"
    ),
    "compare --dry-run --out {0}/out2",
)


@pytest.mark.parametrize("command", TABLES, ids=lambda command: command.split()[0])
def test_narrow_screens_hide_columns_and_say_so(
    command: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command.format(place).split()
    pages = {}
    for width in (400, *WIDTHS):
        monkeypatch.setenv("COLUMNS", str(width))
        assert main(words) == 0
        text = capsys.readouterr().out
        pages[width] = text
    for width in WIDTHS:
        check(pages[400], pages[width], width)


def test_a_pipe_gets_every_column(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert main(["tables"]) == 0
    assert "Hidden" not in (out := capsys.readouterr().out)
    assert "validation_accuracy" in out


# Processes --------------------------------------------------------------------------------------


def shell(command: str) -> subprocess.CompletedProcess[str]:
    """What `command` prints and returns; ``kit`` is the program."""
    program = f"{sys.executable} -m nasbench_kit"
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command.replace('kit ', program + ' ', 1)}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "TERM")}


@pytest.mark.parametrize("width", [40, 80])
@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_a_terminal_is_asked_for_its_width(width: int, term: str) -> None:
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    with subprocess.Popen(
        [sys.executable, "-m", "nasbench_kit", "tables"],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=environment() | {"TERM": term},
    ) as process:
        os.close(follower)
        printed = b""
        while True:
            try:
                part = os.read(leader, 1 << 16)
            except OSError:  # its end, on Linux
                break
            if not part:
                break
            printed += part
    os.close(leader)
    assert process.returncode == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", printed.decode())
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert any("423,624" in line for line in lines)
    assert "Hidden at this width" in " ".join(text.split())


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("kit enumerate --space v5e9 --list | head -1", 0),
        ("kit enumerate --space v5e9 --list --hashes 2>&1 | head -1", 0),
        ("kit tables --json | true", 0),
        ("kit query resnet --json >&-", 0),
        ("kit tables >&-", 0),
        ("kit tables >&- 2>&-", 0),
        ("kit tables <&- 2>&-", 0),
        ("kit tables digit 2>&-", 2),
        ("kit tables digit >&- 2>&-", 2),
        ("kit tables digit 2>/dev/full", 2),
        ("kit enumerate --space v5e9 --list > /dev/full", 2),
        ("kit tables --json > /dev/full", 2),
        ("kit --help > /dev/full", 2),
    ],
)
def test_streams_that_are_closed_or_full(command: str, code: int) -> None:
    done = shell(command)
    assert done.returncode == code
    assert "Traceback" not in done.stdout + done.stderr
    assert "Exception ignored" not in done.stderr
    if "/dev/full" in command and "2>" not in command:
        assert done.stderr.startswith("nasbench-kit: cannot read or write the output: No space")
        assert done.stderr.count("\n") == 1
    elif "2>" not in command:
        assert done.stderr == ""
    if ">&- " in command + " " and "2>&-" not in command:
        assert done.stdout == ""


def test_what_a_stream_cannot_encode_is_escaped() -> None:
    done = shell("PYTHONIOENCODING=ascii LC_ALL=C kit tables")
    assert done.returncode == 0
    assert "digits" in done.stdout


def test_bytes_that_are_no_text_are_refused_in_one_line() -> None:
    done = shell("kit compare --out $'\\xff'")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "UTF-8" in done.stderr


@pytest.mark.parametrize(("workers", "delay"), [(1, 0.0), (1, 1.5), (2, 1.5)])
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)]
)
def test_signals_end_a_command_quietly(
    number: signal.Signals, code: int, workers: int, delay: float, tmp_path: Path
) -> None:
    """Before the first run, and seconds later, inside of a search."""
    words = ["compare", "--seconds", "1e9", "--algorithms", "random-search", "--seeds", "2"]
    command = [sys.executable, "-m", "nasbench_kit", *words, "--workers", str(workers)]
    # Tests started in the background, or with nohup, ignore these, and so would what they start.
    handlers: dict[int, Any] = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGHUP: signal.SIG_DFL,
    }
    before = {one: signal.signal(one, handler) for one, handler in handlers.items()}
    try:
        process = subprocess.Popen(
            [*command, "--out", tmp_path / "out"],
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    with process:
        try:
            for _ in range(1200):
                if (tmp_path / "out" / "manifest.json").exists():
                    break
                time.sleep(0.05)
                assert process.poll() is None
            time.sleep(delay)
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()  # or it would spend its budget
    assert process.returncode == code
    assert out == ""
    assert "Traceback" not in err
    messages = [line for line in err.splitlines() if line.startswith("nasbench-kit: ")]
    assert len(messages) == 1


def test_an_unexpected_error_is_one_line_and_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def broken(name: str) -> None:
        raise ZeroDivisionError("no reason\nat all")

    monkeypatch.setattr("nasbench_kit.data.tables.open_table", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert main(["query", "resnet"]) == 70
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("nasbench-kit: internal error (ZeroDivisionError: no reason at all)")
    (file,) = tmp_path.iterdir()
    assert line.endswith(f"in {file}")
    assert "raise ZeroDivisionError" in file.read_text()


def test_messages_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    streams.say("red \x1b[31m and\nnew \udcff")
    assert capsys.readouterr().err == "nasbench-kit: red \\x1b[31m and new \\udcff\n"


def test_results_are_json_whatever_the_width(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert main(["tables", "--json"]) == 0
    assert {"digits"} < {entry["name"] for entry in json.loads(capsys.readouterr().out)}


def test_a_full_screen_does_not_end_a_comparison(place: Path) -> None:
    words = "--algorithms random-search --seeds 2 --queries 3 --workers 1"
    done = shell(f"kit compare --table {place}/table.h5 {words} --out {place}/full 2>/dev/full")
    assert done.returncode == 0
    assert len(list((place / "full" / "traces").iterdir())) == 2
    assert "random-search" in done.stdout


def test_an_interruption_of_the_first_imports_is_quiet() -> None:
    program = (
        "import os, signal, sys; from nasbench_kit.__main__ import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # where it is ignored
        "class Interrupting:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'nasbench_kit.cli': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_long_arguments_are_cut(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    number = "9" * 5000
    (tmp_path / "long.toml").write_text(f"seeds = {number}")
    for words in (
        ["compare", "--seeds", number],
        ["compare", f"--queries={number}"],
        ["compare", number],
        ["compare", "--algorithms", f"random-search(epochs={number})"],
        ["compare", str(tmp_path / "long.toml")],
        ["query", number],
        [number],
    ):
        assert main(words) == 2
        stderr = capsys.readouterr().err
        assert "9" * 81 not in stderr
        assert "set_int_max_str_digits" not in stderr
