"""What many test files share. No test touches the user's cache; all of a session share one."""

from __future__ import annotations

import os

# Before torch is imported, here and in processes that tests start: small tensors gain nothing from
# threads, which on a busy machine wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from nasbench_kit import CellSpace, Column, Table
from nasbench_kit.table.table import METRICS

hypothesis.settings.register_profile("house", deadline=None)  # other people use the machine too
hypothesis.settings.load_profile("house")

EPOCHS = (4, 12, 36)
REPEATS = 3
#: Denominators of the made-up accuracies, as in a table of the digits task.
IMAGES = {"train_accuracy": 250, "validation_accuracy": 773, "test_accuracy": 774}


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
    """A complete table over CellSpace(5): 4, 12 and 36 epochs, 3 repeats, all metrics, halfway too.

    Every number is made up, but like real ones: a cell has a quality, longer training shows it
    better, repeats scatter around it, and seconds grow with the epochs (about 2 each).
    """
    space = CellSpace(5)
    rng = np.random.default_rng(0)
    quality = rng.beta(8, 2, (len(space), 1, 1))
    shape = (len(space), len(EPOCHS), REPEATS)
    epochs = np.array(EPOCHS)[:, None]
    cost = rng.uniform(1, 3, (len(space), 1, 1))
    columns = {}
    for checkpoint, part in (("halfway", 0.5), ("final", 1.0)):
        for metric in METRICS:
            if metric == "seconds":
                seconds = part * epochs * cost * rng.uniform(0.98, 1.02, shape)
                columns[checkpoint, metric] = Column(seconds.astype(np.float32))
            else:
                learned = quality * (1 - np.exp(-part * epochs / 6))
                counts = rng.binomial(IMAGES[metric], learned, shape).astype(np.uint16)
                columns[checkpoint, metric] = Column(counts, IMAGES[metric])
    parameters = rng.integers(1_000, 100_000, len(space)).astype(np.uint32)
    return Table(
        space,
        EPOCHS,
        columns,
        extra={"trainable_parameters": parameters},
        provenance={"name": "made-up", "source": "measured"},
    )
