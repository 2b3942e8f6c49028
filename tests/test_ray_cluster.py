"""The same plan on a Ray cluster: a local one of two processors."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from numpy.random import Generator

from nasbench_kit import CellSpace, InvalidSetting, Oracle, Table
from nasbench_kit.algorithms import LocalSearch, RandomSearch, RegularizedEvolution
from nasbench_kit.compare.plan import Plan
from nasbench_kit.compare.run_folder import all_traces
from nasbench_kit.compare.running import run
from nasbench_kit.data.building.build import Build, build
from nasbench_kit.data.images.digits import digits
from nasbench_kit.errors import NotRecorded, RunsFailed, WorkerDied
from nasbench_kit.oracle.search import Search
from nasbench_kit.spaces.layers.nasbench_macro import NASBenchMacro
from nasbench_kit.system.workers import ATTEMPTS, spread
from nasbench_kit.testing.made_up import made_up_table
from nasbench_kit.training.recipe import DIGITS

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    how = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    ray.init(address="local", num_cpus=2, **how)
    yield
    ray.shutdown()


@dataclass(frozen=True)
class Deadly:
    """Random search, but its first run (as long as the marker is not there) kills its process."""

    marker: str

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Any]:
        with contextlib.suppress(FileExistsError):
            Path(self.marker).touch(exist_ok=False)
            os.kill(os.getpid(), signal.SIGKILL)
        return RandomSearch()(oracle, rng)


def contents(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file() and "clock" not in file.parts)
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


@pytest.mark.usefixtures("cluster")
def test_results_are_those_of_local_processes(small_table: Table, tmp_path: Path) -> None:
    small_table.save(tmp_path / "table.h5")
    searches: dict[str, Search] = {
        "deadly": Deadly(str(tmp_path / "marker")),
        "evolution": RegularizedEvolution(),
    }
    plan = Plan(tmp_path / "table.h5", searches, range(3), {"queries": 25})
    run(plan, tmp_path / "ray", executor="ray")
    assert (tmp_path / "marker").exists()  # one worker died, and was replaced
    run(plan, tmp_path / "local")
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")


@pytest.mark.usefixtures("cluster")
def test_a_space_of_decisions_is_searched_there_too(tmp_path: Path) -> None:
    """Budget and traces speak of architectures by text, so nothing of the way depends on cells."""
    made_up_table(NASBenchMacro()).save(tmp_path / "table.h5")
    searches: dict[str, Search] = {
        "random": RandomSearch(),
        "evolution": RegularizedEvolution(population_size=10, sample_size=3),
        "local": LocalSearch(),
    }
    plan = Plan(tmp_path / "table.h5", searches, range(2), {"queries": 40})
    run(plan, tmp_path / "ray", executor="ray")
    run(plan, tmp_path / "local", workers=1)
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")
    assert len(all_traces(tmp_path / "ray")) == 6


@pytest.mark.usefixtures("cluster")
def test_failing_searches_end_their_own_runs_only(small_table: Table, tmp_path: Path) -> None:
    import failing_searches  # the cluster cannot

    small_table.save(tmp_path / "table.h5")
    failing: dict[str, Search] = {
        "raising": failing_searches.Raising("value"),
        "interrupting": failing_searches.interrupting,
        "swallowing": failing_searches.swallowing_all,
        "good": RandomSearch(),
    }
    plan = Plan(tmp_path / "table.h5", failing, [0], {"queries": 5})
    with pytest.raises(InvalidSetting, match="No module named 'failing_searches'"):
        run(plan, tmp_path / "ray", executor="ray")
    ray.cloudpickle.register_pickle_by_value(failing_searches)
    with pytest.raises(RunsFailed, match="2 runs failed"):
        run(plan, tmp_path / "ray", executor="ray")
    ended = {trace.algorithm: trace.ended for trace in all_traces(tmp_path / "ray")}
    assert ended == {"swallowing": "stalled", "good": "budget"}
    lock = threading.Lock()

    def locked(oracle: Oracle, rng: Generator) -> Iterator[Any]:
        with lock:
            return RandomSearch()(oracle, rng)

    unsendable = Plan(tmp_path / "table.h5", {"locked": locked}, [0], {"queries": 5})
    with pytest.raises(InvalidSetting, match="the algorithm locked cannot be sent"):
        run(unsendable, tmp_path / "refused", executor="ray")
    assert not (tmp_path / "refused").exists()


@pytest.mark.usefixtures("cluster")
def test_a_table_is_built_as_by_local_processes(tmp_path: Path) -> None:
    plan = Build("tiny", CellSpace(2), digits(), DIGITS, epochs=(1,), repeats=1)
    for executor in ("ray", "local"):
        build(plan, tmp_path / executor / "tiny.h5", executor=executor)
    parts = [
        {
            name: content
            for name, content in contents(tmp_path / executor).items()
            if "epochs" in name
        }
        for executor in ("ray", "local")
    ]
    assert parts[0] == parts[1]
    assert len(parts[0]) == 1


def failing(number: int) -> None:
    if number == 1:
        raise NotRecorded("no such reading")


def lethal(folder: Path, number: int) -> None:
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    (folder / str(number)).touch()


@pytest.mark.usefixtures("cluster")
def test_errors_are_those_of_local_processes(tmp_path: Path) -> None:
    with pytest.raises(NotRecorded, match="no such reading"):
        spread(failing, [(n,) for n in range(3)], 1, executor="ray")
    with pytest.raises(WorkerDied, match=f"ended {ATTEMPTS} worker processes"):
        spread(lethal, [(tmp_path, n) for n in range(3)], 1, executor="ray")
    assert {file.name for file in tmp_path.iterdir()} == {"0", "2"}


def test_no_cluster_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ray.shutdown()

    def nowhere(**_: object) -> None:
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.setattr(ray, "init", nowhere)
    plan = Plan(tmp_path / "table.h5", {"random-search": RandomSearch()}, [0], {"queries": 25})
    with pytest.raises(InvalidSetting, match="no Ray cluster is running here"):
        run(plan, tmp_path / "ray", executor="ray")
    assert not (tmp_path / "ray").exists()
