"""The package ``nats_bench`` (D-X-Y/NATS-Bench 1.8) over the official files, which are read as plain data.

    from nasbench_kit.compat.nats_bench import create         # instead of: from nats_bench import create
    api = create("NATS-tss-v1_0-3ffb9-simple", "tss", fast_mode=True, verbose=False)

See `nasbench_kit.compat.nats_bench.api_utils` for what is the same and what is mended, and
`nasbench_kit.compat.alias` for running client code without changing even its imports.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nasbench_kit.compat.nats_bench.api_size import NATSsize
from nasbench_kit.compat.nats_bench.api_topology import OPERATIONS, NATStopology
from nasbench_kit.compat.nats_bench.api_utils import ArchResults, ResultsCount
from nasbench_kit.compat.nats_bench.errors import InvalidSetting

__all__ = ["ArchResults", "NATSsize", "NATStopology", "ResultsCount", "create"]

NATS_BENCH_SSS_NAMEs = ("sss", "size")
NATS_BENCH_TSS_NAMEs = ("tss", "topology")


def version() -> str:
    """The official version that this follows."""
    return "v1.8"


def create(
    file_path_or_dict: str | Path | None,
    search_space: str,
    fast_mode: bool = False,
    verbose: bool = True,
) -> NATStopology | NATSsize:
    """Open the official files of a space; see `NATStopology` and `NATSsize`.

    Raises:
        InvalidSetting: another space than tss (topology) or sss (size); also a ``ValueError``.
    """
    if search_space in NATS_BENCH_TSS_NAMEs:
        return NATStopology(file_path_or_dict, fast_mode, verbose)
    if search_space in NATS_BENCH_SSS_NAMEs:
        return NATSsize(file_path_or_dict, fast_mode, verbose)
    raise InvalidSetting(f'the search space is "tss" or "sss", not {search_space!r}')


def search_space_info(main_tag: str, aux_tag: str | None) -> dict[str, Any]:
    """What can be chosen in a space of ``nats-bench``, or in ``nas-bench-201``."""
    if main_tag == "nats-bench" and aux_tag in NATS_BENCH_SSS_NAMEs:
        return {"candidates": list(range(8, 65, 8)), "num_layers": 5}
    if (main_tag == "nats-bench" and aux_tag in NATS_BENCH_TSS_NAMEs) or (
        main_tag == "nas-bench-201" and aux_tag is None
    ):
        return {"op_names": list(OPERATIONS), "num_nodes": 4}
    raise InvalidSetting(f"there is no search space {main_tag!r} with {aux_tag!r}")
