"""NAS-Bench-Macro: all 6,561 sequences of eight layers, three trainings of each on CIFAR-10.

The file is JSON: the text of an architecture -> test_acc (percent, three of them), mean_acc, std, params
and flops. Each accuracy is the best on the test images among those after each of the 50 epochs. There
are no validation images and no seconds.

Source: Su et al., Prioritized architecture sampling with Monto-Carlo tree search, CVPR 2021;
xiusu/NAS-Bench-Macro, data/nas-bench-macro_cifar10.json and train/train.py.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path

from nasbench_kit.data.benchmarks.reader import Options, Reader
from nasbench_kit.data.benchmarks.rows import Metrics, table_of_rows
from nasbench_kit.errors import CorruptFile
from nasbench_kit.spaces.layers.nasbench_macro import NASBenchMacro
from nasbench_kit.table.table import Table

_EPOCHS = 50


def recognises(path: Path, head: bytes) -> bool:
    """Whether a file begins with an architecture's record."""
    start = head[:1000].lstrip()
    return start[:1] == b"{" and b'"test_acc"' in start and b'"mean_acc"' in start


def rows(path: Path) -> Iterator[tuple[str, Metrics]]:
    """Every architecture and its metrics.

    Raises:
        CorruptFile: damaged, or another file.
    """
    try:
        packed = path.read_bytes()
        content = json.loads(gzip.decompress(packed) if packed[:2] == b"\x1f\x8b" else packed)
        for text, record in content.items():
            yield (
                text,
                {
                    "validation_accuracy": [percent / 100 for percent in record["test_acc"]],
                    "trainable_parameters": record["params"],
                    "flops": record["flops"],
                },
            )
    except (
        OSError,
        EOFError,
        zlib.error,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
    ) as error:
        if isinstance(error, CorruptFile):
            raise
        raise CorruptFile(
            f"{path} is no file of NAS-Bench-Macro ({error!r}); get it again"
        ) from error


def tables(path: Path, options: Options) -> Iterator[Table]:
    """The one table.

    Raises:
        CorruptFile: as ``rows``.
    """
    yield table_of_rows(
        NASBenchMacro(),
        rows(path),
        source=path,
        epochs=_EPOCHS,
        provenance={
            "name": "nasbench-macro",
            "images": "cifar10",
            "selection_metric": "test accuracy",
            "benchmark": "NAS-Bench-Macro",
        },
    )


READER = Reader("NAS-Bench-Macro", recognises, tables)
