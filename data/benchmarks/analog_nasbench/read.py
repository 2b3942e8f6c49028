"""AnalogNAS-Bench: NAS-Bench-201's topologies on digital and on analog hardware, CIFAR-10.

    nasbench-kit convert analog-nasbench OUT.h5

reads the user's own installed package of this name (which states no licence; nothing of it is shipped).
Nothing of it is imported: its file is a pickle of objects with plain attributes, read as such.

Accuracies are of test images, one training each: that of the digital network is what searches select by
and are scored by. The others are costs, as errors in [0, 1]: quantized after training (ptq) and while
training (qat), with noise, and on analog hardware; and these as they drift, after a minute, an hour, a
day and 30 days, with the uncertainties that the file tells. There are no seconds. How many epochs the
networks were trained is not told; the table counts a training as one.

Source: the package's data.anb and data.py, version 0.1.3.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

from nasbench_kit.data.benchmarks.plain_pickle import loads
from nasbench_kit.data.benchmarks.reader import Options, Reader
from nasbench_kit.data.benchmarks.rows import Metrics, table_of_rows
from nasbench_kit.errors import CorruptFile, InvalidSetting
from nasbench_kit.spaces.edge_cells.nasbench201 import NASBench201
from nasbench_kit.table.table import Table

PACKAGE = "analog-nasbench"
_CLASSES = ("analognasbench.data.Architecture", "analognasbench.data.DriftMeasurement")
#: By the digit of a key.
_OPERATIONS = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
#: The edge of each place of a key, and the order in which NAS-Bench-201's text names them.
_EDGES = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
_ERRORS = ("ptq", "qat", "noisy", "analog")
_AGES = {60: "60s", 3_600: "1h", 86_400: "1d", 2_592_000: "30d"}


def text(key: tuple[int, ...]) -> str:
    """A key as NAS-Bench-201 writes the architecture."""
    operation = {edge: _OPERATIONS[digit] for edge, digit in zip(_EDGES, key, strict=True)}
    nodes = (
        "|".join(f"{operation[source, target]}~{source}" for source in range(target))
        for target in range(1, 4)
    )
    return "+".join(f"|{node}|" for node in nodes)


def rows(path: Path) -> Iterator[tuple[str, Metrics]]:
    """Every architecture and its metrics.

    Raises:
        CorruptFile: not plain data, damaged, or another file.
    """
    try:
        for key, record in loads(path.read_bytes(), path, _CLASSES).items():
            metrics = {"validation_accuracy": record.baseline_accuracy / 100}
            for name in _ERRORS:
                metrics[f"{name}_error"] = 1 - getattr(record, f"{name}_accuracy") / 100
            for kind in ("baseline", "analog"):
                for seconds, age in _AGES.items():
                    drifted = getattr(record, f"{kind}_drift_{seconds}")
                    metrics[f"{kind}_error_after_{age}"] = 1 - drifted.value / 100
                    metrics[f"{kind}_uncertainty_after_{age}"] = drifted.uncertainty / 100
            yield text(key), metrics
    except CorruptFile:
        raise
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise CorruptFile(
            f"{path} is no file of AnalogNAS-Bench ({error!r}); get it again"
        ) from error


def file() -> Path:
    """The file of the installed package.

    Raises:
        InvalidSetting: it is not installed.
    """
    try:
        listed = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise InvalidSetting(
            f"the package {PACKAGE} is not installed; pip install --no-deps {PACKAGE}"
        ) from error
    for entry in listed:
        if entry.parts == ("analognasbench", "data.anb"):
            return Path(str(entry.locate()))
    raise InvalidSetting(f"the package {PACKAGE} is there without its data.anb; install it again")


def recognises(path: Path, head: bytes) -> bool:
    """Whether a source is the package's name, or its file."""
    if not head:
        return str(path) == PACKAGE and not path.exists()
    return path.suffix == ".anb" and head[:1] == b"\x80"


def tables(path: Path, options: Options) -> Iterator[Table]:
    """The one table.

    Raises:
        CorruptFile: as ``rows``.
        InvalidSetting: as ``file``.
    """
    source = path if path.exists() else file()
    yield table_of_rows(
        NASBench201(),
        rows(source),
        source=source,
        epochs=1,
        provenance={
            "name": "analog-nasbench",
            "images": "cifar10",
            "selection_metric": "test accuracy",
            "benchmark": "AnalogNAS-Bench",
            "epochs_are": "whole trainings, whose epochs the benchmark does not tell",
        },
    )


READER = Reader("AnalogNAS-Bench", recognises, tables)
