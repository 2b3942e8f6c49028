"""The benchmarks that `nasbench-kit convert` reads, besides the official records of NAS-Bench-101.

    >>> reader = reader_of("nasbench101_sample.json.gz")
    >>> [table.save("sample.h5") for table in reader.tables(path, Options())]

A new benchmark is one file with a `Reader`, and a line here.
"""

from __future__ import annotations

from pathlib import Path

from nasbench_kit.data.benchmarks.analog_nasbench import read as analog
from nasbench_kit.data.benchmarks.nasbench101 import sample
from nasbench_kit.data.benchmarks.nasbench101.foreign import beginning
from nasbench_kit.data.benchmarks.nasbench_graph import read as graph
from nasbench_kit.data.benchmarks.nasbench_macro import read as macro
from nasbench_kit.data.benchmarks.nats_bench import convert, rows201
from nasbench_kit.data.benchmarks.reader import Options, Reader

__all__ = ["READERS", "Options", "Reader", "reader_of"]

#: Asked in this order.
READERS: tuple[Reader, ...] = (
    convert.READER,
    rows201.READER,
    sample.READER,
    macro.READER,
    graph.READER,
    graph.FILE_READER,
    analog.READER,
)


def reader_of(source: Path) -> Reader | None:
    """The reader of a source; None if no benchmark here recognises it.

    Raises:
        CorruptFile: a file that cannot be read, or one that is gzipped and damaged.
    """
    head = beginning(source) if source.is_file() else b""
    return next((reader for reader in READERS if reader.recognises(source, head)), None)
