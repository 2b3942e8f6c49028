"""The benchmarks that become tables here, besides those in the package: what, how, and whose."""

from __future__ import annotations

from typing import NamedTuple


class Available(NamedTuple):
    """One benchmark, or one of its files."""

    name: str
    #: How it becomes a table: commands, in order.
    how: str
    #: Of what is fetched or read; "about" where it follows from the sizes of some rows' files.
    size: str
    licence: str
    #: Architectures with a row of their own.
    architectures: int
    #: Where its files are from.
    origin: str


AVAILABLE = (
    Available(
        "NAS-Bench-101, 4 to 108 epochs",
        "nasbench-kit download nasbench101",
        "1.95 GB",
        "Apache-2.0",
        423_624,
        "storage.googleapis.com/nasbench",
    ),
    Available(
        "NAS-Bench-101, 108 epochs",
        "nasbench-kit download nasbench101 --only108",
        "499 MB",
        "Apache-2.0",
        423_624,
        "storage.googleapis.com/nasbench",
    ),
    Available(
        "NAS-Bench-101, public rows",
        "nasbench-kit convert FILE.json.gz OUT.h5",
        "0.8 MB",
        "Apache-2.0",
        20_001,
        "columns of JSON: key, accuracies, seconds, parameters",
    ),
    Available(
        "NATS-Bench, topologies (NAS-Bench-201)",
        "nasbench-kit convert NATS-tss-v1_0-3ffb9-simple FOLDER",
        "about 1.3 GB",
        "MIT",
        15_625,
        "github.com/D-X-Y/NATS-Bench",
    ),
    Available(
        "NATS-Bench, sizes",
        "nasbench-kit convert NATS-sss-v1_0-50262-simple FOLDER",
        "about 1.1 GB",
        "MIT",
        32_768,
        "github.com/D-X-Y/NATS-Bench",
    ),
    Available(
        "NAS-Bench-201, CIFAR-10 rows",
        "nasbench-kit convert nasbench201_cifar10.json.gz OUT.h5",
        "0.2 MB",
        "MIT, Apache-2.0",
        15_625,
        "columns of JSON in the order of the official files",
    ),
    Available(
        "NAS-Bench-Macro",
        "nasbench-kit download nasbench-macro",
        "1.2 MB",
        "Apache-2.0",
        6_561,
        "github.com/xiusu/NAS-Bench-Macro",
    ),
    Available(
        "NAS-Bench-Graph, nine tasks",
        "pip install 'nasbench-kit[graph]'; nasbench-kit convert nas-bench-graph FOLDER",
        "5.9 MB",
        "Apache-2.0",
        26_206,
        "PyPI, nas-bench-graph",
    ),
    Available(
        "AnalogNAS-Bench",
        "pip install --no-deps analog-nasbench; nasbench-kit convert analog-nasbench OUT.h5",
        "5.6 MB",
        "none stated",
        15_625,
        "PyPI, analog-nasbench",
    ),
    Available(
        "EC-NAS-Bench, cells of 4 vertices",
        "nasbench-kit convert ecnas_4v9e.tfrecord.gz OUT.h5",
        "0.3 MB",
        "MIT",
        91,
        "github.com/PedramBakh/EC-NAS-Bench",
    ),
    Available(
        "EC-NAS-Bench, cells of 5 vertices",
        "nasbench-kit convert ecnas_5v9e.tfrecord.gz OUT.h5",
        "0.7 MB",
        "MIT",
        2_532,
        "github.com/PedramBakh/EC-NAS-Bench",
    ),
)
