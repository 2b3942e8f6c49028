"""NAS-Bench-Graph: 26,206 graph networks on nine tasks, from the installed package nas-bench-graph.

    nasbench-kit convert nas-bench-graph FOLDER      all nine tasks
    nasbench-kit convert cora.bench OUT.h5           one

Nothing of the package is imported, and its files are read as plain data: a pickle of key -> valid_perf,
perf (of test nodes), latency in seconds, para in millions; the first two means over three trainings.
There are no seconds of training. Of proteins, whose five operations are five of the nine, 2,021
networks were trained.

Source: Qin et al., NAS-Bench-Graph, NeurIPS 2022; THUMNLab/NAS-Bench-Graph.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

from nasbench_kit.data.benchmarks.plain_pickle import loads
from nasbench_kit.data.benchmarks.reader import Options, Reader
from nasbench_kit.data.benchmarks.rows import Metrics, table_of_rows
from nasbench_kit.errors import CorruptFile, InvalidSetting
from nasbench_kit.spaces.graphs.nasbench_graph import NASBenchGraph
from nasbench_kit.table.table import Table

PACKAGE = "nas-bench-graph"
_ENDING = ".bench"
#: Of the trainings of each task (Qin et al. 2022, the hyper-parameters chosen for each data set).
EPOCHS = {
    "arxiv": 500,
    "citeseer": 400,
    "computers": 500,
    "cora": 400,
    "cs": 400,
    "photo": 500,
    "physics": 200,
    "proteins": 500,
    "pubmed": 500,
}


def rows(path: Path) -> Iterator[tuple[str, Metrics]]:
    """Every network of a task and its metrics.

    Raises:
        CorruptFile: not plain data, damaged, or another file.
    """
    try:
        for key, record in loads(path.read_bytes(), path).items():
            yield (
                f"{key:05d}",
                {
                    "validation_accuracy": float(record["valid_perf"]),
                    "test_accuracy": float(record["perf"]),
                    "latency": float(record["latency"]),
                    "trainable_parameters": float(record["para"]) * 1e6,
                },
            )
    except CorruptFile:
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CorruptFile(
            f"{path} is no file of NAS-Bench-Graph ({error!r}); get it again"
        ) from error


def table(path: Path) -> Table:
    """The table of one task, called ``nasbench-graph-TASK``.

    Raises:
        CorruptFile: as ``rows``; or a task that nobody knows.
    """
    task = path.stem
    if task not in EPOCHS:
        raise CorruptFile(f"{path} has the name of no task of NAS-Bench-Graph: {', '.join(EPOCHS)}")
    return table_of_rows(
        NASBenchGraph(),
        rows(path),
        source=path,
        epochs=EPOCHS[task],
        provenance={
            "name": f"nasbench-graph-{task}",
            "benchmark": "NAS-Bench-Graph",
            "task": task,
            "repeats_are": "one mean over three trainings",
            "cost_units": {"latency": "seconds"},
        },
    )


def files() -> list[Path]:
    """The files of the installed package, one a task.

    Raises:
        InvalidSetting: it is not installed.
    """
    try:
        listed = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise InvalidSetting(
            f"the package {PACKAGE} is not installed; pip install 'nasbench-kit[graph]'"
        ) from error
    return sorted(Path(str(file.locate())) for file in listed if file.suffix == _ENDING)


def is_package(path: Path, head: bytes) -> bool:
    """Whether a source is the package's name."""
    return not head and str(path) == PACKAGE and not path.exists()


def is_file(path: Path, head: bytes) -> bool:
    """Whether a source is the file of one task."""
    return path.suffix == _ENDING and head[:1] == b"\x80"


def _all(path: Path, options: Options) -> Iterator[Table]:
    found = files()
    for done, file in enumerate(found):
        options.progress("reading NAS-Bench-Graph", done, len(found))
        yield table(file)


READER = Reader("NAS-Bench-Graph", is_package, _all, several=True)
FILE_READER = Reader("NAS-Bench-Graph", is_file, lambda path, options: [table(path)])
