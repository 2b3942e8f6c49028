"""What a block took, and how many threads torch has in it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest
import torch

from nasbench_kit.system.measured import measured, peak_memory, torch_threads


def test_waiting_takes_time_and_no_processor() -> None:
    with measured() as clock:
        time.sleep(0.2)
    assert 0.2 <= clock["seconds"] < 30
    assert clock["processor_seconds"] < clock["seconds"]
    age = datetime.now(UTC) - datetime.fromisoformat(clock["finished"])
    assert 0 <= age.total_seconds() < 30


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="Linux only")
def test_the_peak_is_that_of_the_block() -> None:
    size = 200 * 2**20
    with measured() as large:
        bytearray(size)
    with measured() as small:
        pass
    assert large["peak_memory"] - small["peak_memory"] > size / 2
    assert peak_memory() > 2**20


def test_threads_are_set_and_given_back() -> None:
    before, variable = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    with pytest.raises(KeyError), torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
        raise KeyError
    assert torch.get_num_threads() == before
    assert os.environ.get("OMP_NUM_THREADS") == variable


def test_torch_imported_within_starts_with_so_many() -> None:
    program = (
        "from nasbench_kit.system.measured import torch_threads\n"
        "with torch_threads(1):\n"
        "    import torch\n"
        "    assert torch.get_num_threads() == 1"
    )
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


def test_a_block_may_take_the_variable_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with torch_threads(1):
        del os.environ["OMP_NUM_THREADS"]
    assert "OMP_NUM_THREADS" not in os.environ
