"""Client code of the official package as it is, imports included.

    from nasbench_kit.compat import alias
    alias.install()
    from nasbench import api                # nasbench_kit.compat.nasbench.api
    from nasbench.lib import graph_util

or, without a line changed: ``python -m nasbench_kit.compat CLIENT.py ARGUMENTS``.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from nasbench_kit.compat import nasbench
from nasbench_kit.compat.nasbench import api, lib
from nasbench_kit.compat.nasbench.lib import config, graph_util, model_spec
from nasbench_kit.errors import InvalidSetting

_MODULES = (nasbench, api, lib, config, graph_util, model_spec)


def install() -> None:
    """Let ``import nasbench`` find `nasbench_kit.compat.nasbench` in this process.

    Raises:
        InvalidSetting: a package nasbench is installed or imported; it is left alone.
    """
    if sys.modules.get("nasbench") is nasbench:
        return
    if place := _installed():
        raise InvalidSetting(
            f"a package nasbench is there already ({place}) and is not replaced; import "
            "nasbench_kit.compat.nasbench by its own name, or uninstall the other"
        )
    prefix = nasbench.__name__.removesuffix("nasbench")
    for module in _MODULES:
        sys.modules[module.__name__.removeprefix(prefix)] = module


def _installed() -> str | None:
    """Where another package nasbench lies, if there is one."""
    if "nasbench" in sys.modules:
        return str(getattr(sys.modules["nasbench"], "__file__", None) or "imported already")
    spec = importlib.util.find_spec("nasbench")
    if spec is None:
        return None
    if spec.origin is not None:
        return spec.origin
    # Any folder of that name, of data say, counts as a package to Python; only one of code does here.
    folders = map(Path, spec.submodule_search_locations or ())
    return next((str(folder) for folder in folders if (folder / "api.py").exists()), None)
