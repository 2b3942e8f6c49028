"""Client code of the official packages as it is, imports included.

    from nasbench_kit.compat import alias
    alias.install()
    from nasbench import api                # nasbench_kit.compat.nasbench.api
    from nasbench.lib import graph_util
    from nats_bench import create           # nasbench_kit.compat.nats_bench, unless it is installed

or, without a line changed: ``python -m nasbench_kit.compat CLIENT.py ARGUMENTS``.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from nasbench_kit.compat import nasbench, nats_bench
from nasbench_kit.compat.nasbench import api, lib
from nasbench_kit.compat.nasbench.lib import config, graph_util, model_spec
from nasbench_kit.compat.nats_bench import api_size, api_topology, api_utils, genotype_utils
from nasbench_kit.errors import InvalidSetting

_NASBENCH = (nasbench, api, lib, config, graph_util, model_spec)
_NATS_BENCH = (nats_bench, api_size, api_topology, api_utils, genotype_utils)


def install() -> None:
    """Let ``import nasbench`` and ``import nats_bench`` find the ones of `nasbench_kit.compat`.

    An installed nats_bench is left alone and found as ever.

    Raises:
        InvalidSetting: a package nasbench is installed or imported; it is left alone.
    """
    if sys.modules.get("nasbench") is not nasbench:
        if place := _installed("nasbench", "api.py"):
            raise InvalidSetting(
                f"a package nasbench is there already ({place}) and is not replaced; import "
                "nasbench_kit.compat.nasbench by its own name, or uninstall the other"
            )
        _name(_NASBENCH)
    if sys.modules.get("nats_bench") is not nats_bench and not _installed(
        "nats_bench", "api_topology.py"
    ):
        _name(_NATS_BENCH)


def _name(modules: Iterable[ModuleType]) -> None:
    prefix = nasbench.__name__.removesuffix("nasbench")
    for module in modules:
        sys.modules[module.__name__.removeprefix(prefix)] = module


def _installed(name: str, file: str) -> str | None:
    """Where another package of this name lies, if there is one; without __init__.py, one with this file."""
    if name in sys.modules:
        return str(getattr(sys.modules[name], "__file__", None) or "imported already")
    spec = importlib.util.find_spec(name)
    if spec is None:
        return None
    if spec.origin is not None:
        return spec.origin
    # Any folder of that name, of data say, counts as a package to Python; only one of code does here.
    folders = map(Path, spec.submodule_search_locations or ())
    return next((str(folder) for folder in folders if (folder / file).exists()), None)
