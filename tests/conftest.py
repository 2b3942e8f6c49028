"""What many test files share. No test touches the user's cache; all of a session share one."""

from __future__ import annotations

import os

# Before torch is imported, here and in processes that tests start: small tensors gain nothing from
# threads, which on a busy machine wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# The width of some terminal, which narrows what is printed.
os.environ.pop("COLUMNS", None)

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from nasbench_kit import CellSpace, Table
from nasbench_kit.testing.searches import table_of_cells

hypothesis.settings.register_profile("house", deadline=None)  # other people use the machine too
hypothesis.settings.load_profile("house")


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The session's own folder of caches, also for the processes that tests start."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NASBENCH_KIT_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def full_space(home: Path) -> CellSpace:
    """NAS-Bench-101's space; its hashes are computed at most once a session."""
    return CellSpace()


@pytest.fixture(scope="session")
def small_table() -> Table:
    """All cells of CellSpace(5), 4, 12 and 36 epochs, 3 repeats, all metrics, halfway too (`made_up_table`)."""
    return table_of_cells()
