"""Spreading jobs over processes: all results, errors, dead workers, a dead parent."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nasbench_kit import InvalidSetting
from nasbench_kit.errors import NotRecorded, WorkerDied
from nasbench_kit.system.workers import ATTEMPTS, finished, spread


def squared(offset: int, number: int) -> int:
    return offset + number**2


def test_every_job_is_done_once() -> None:
    jobs = [(number,) for number in range(5)]
    for kept in ([(7,)], [(7,)] * 2, [(7,)] * 9):
        assert sorted(finished(squared, jobs, kept)) == [(n, 7 + n**2) for n in range(5)]
    assert list(finished(squared, [], [(7,)] * 2)) == []


def argument_and_process(argument: str) -> tuple[str, int]:
    return argument, os.getpid()


def test_every_process_keeps_its_arguments() -> None:
    results = [result for _, result in finished(argument_and_process, [()] * 9, [("a",), ("b",)])]
    assert {argument for argument, _ in results} == {"a", "b"}
    assert len(set(results)) == 2
    assert os.getpid() not in {process for _, process in results}


def failing(number: int) -> int:
    if number == 3:
        raise NotRecorded("no such reading")
    return number


class Unsendable(Exception):
    def __init__(self, one: str, two: str) -> None:
        super().__init__(one + two)


def failing_badly(number: int) -> int:
    raise Unsendable("no", "thing")


def test_what_a_job_raises_is_raised_here() -> None:
    with pytest.raises(NotRecorded, match="no such reading") as caught:
        list(finished(failing, [(n,) for n in range(6)], [()] * 2))
    assert "in failing" in caught.value.__notes__[0]
    with pytest.raises(RuntimeError, match="Unsendable: nothing"):
        list(finished(failing_badly, [(0,), (1,)], [()] * 2))


def deadly(folder: Path, number: int, deaths: int) -> int:
    """Job 2 kills so many of the processes that try it."""
    if number == 2:
        for death in range(deaths):
            with contextlib.suppress(FileExistsError):
                (folder / str(death)).touch(exist_ok=False)
                os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_dead_workers_job_is_done_by_another(tmp_path: Path) -> None:
    jobs = [(tmp_path, number, ATTEMPTS - 1) for number in range(6)]
    assert sorted(finished(deadly, jobs, [()] * 2)) == [(n, n) for n in range(6)]
    assert len(list(tmp_path.iterdir())) == ATTEMPTS - 1


def test_a_job_that_kills_them_all_is_given_up_after_the_others(tmp_path: Path) -> None:
    jobs = [(tmp_path, number, 99) for number in range(6)]
    done = []
    with pytest.raises(WorkerDied, match=f"1 job .* ended {ATTEMPTS} worker processes"):
        for number, _ in finished(deadly, jobs, [()] * 2):
            done.append(number)
    assert sorted(done) == [0, 1, 3, 4, 5]


def test_progress_starts_at_nothing_and_ends_with_all() -> None:
    seen: list[tuple[int, int]] = []
    spread(squared, [(0, 1)] * 4, 1, lambda *news: seen.append(news))
    assert seen == [(done, 4) for done in range(5)]
    with pytest.raises(InvalidSetting, match="workers is 0"):
        spread(squared, [(0, 1)], 0)


PARENT = """
import sys
sys.path.insert(0, {tests!r})
from test_workers import sleeping
from nasbench_kit.system.workers import finished
if __name__ == "__main__":
    list(finished(sleeping, [({folder!r}, n) for n in range(2)], [()] * 2))
"""


def sleeping(folder: str, number: int) -> None:
    Path(folder, str(number)).write_text(str(os.getpid()))
    time.sleep(120)


def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    folder = tmp_path / "pids"
    folder.mkdir()
    (tmp_path / "parent.py").write_text(
        PARENT.format(folder=str(folder), tests=str(Path(__file__).parent))
    )
    parent = subprocess.Popen([sys.executable, tmp_path / "parent.py"])
    until(lambda: len([pid for pid in folder.iterdir() if pid.read_text()]) == 2)
    parent.kill()
    parent.wait()
    pids = [int(pid.read_text()) for pid in folder.iterdir()]
    until(lambda: not any(alive(pid) for pid in pids))


def until(condition: object, seconds: float = 60) -> None:
    patience = time.monotonic() + seconds
    assert callable(condition)
    while not condition():
        assert time.monotonic() < patience
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended but was not waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
