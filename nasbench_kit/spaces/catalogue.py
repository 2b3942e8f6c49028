"""Spaces by name: those of the kit, and those of other people's packages.

A package adds spaces by entry points of the group ``nasbench_kit.spaces``: the name of the entry point
is that of the space, and its object makes the space when it is called without arguments.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nasbench_kit.checks import shown
from nasbench_kit.errors import InvalidSetting, NasbenchKitError, UnknownName

if TYPE_CHECKING:
    from nasbench_kit.spaces.protocols import Space

ENTRY_POINTS = "nasbench_kit.spaces"


def _in(module: str, maker: str, *given: Any) -> Callable[..., Space]:
    """Makes a space of a module that is imported only then."""

    def make(*sizes: int) -> Space:
        home = importlib.import_module(f"nasbench_kit.spaces.{module}")
        space: Space = getattr(home, maker)(*given, *sizes)
        return space

    return make


#: Spaces that have one name each; cell spaces have many (`CellSpace.named`).
_SPACES: dict[str, Callable[..., Space]] = {
    "nasbench201": _in("edge_cells.nasbench201", "NASBench201"),
    "darts": _in("edge_cells.darts", "DARTS", "darts"),
    "darts-s1": _in("edge_cells.darts", "DARTS", "darts-s1"),
    "darts-s2": _in("edge_cells.darts", "DARTS", "darts-s2"),
    "darts-s3": _in("edge_cells.darts", "DARTS", "darts-s3"),
    "darts-s4": _in("edge_cells.darts", "DARTS", "darts-s4"),
    "enas-micro": _in("edge_cells.blocks", "Blocks", "enas-micro"),
    "nasnet": _in("edge_cells.blocks", "Blocks", "nasnet"),
    "pnas": _in("edge_cells.blocks", "Blocks", "pnas"),
    "nats-sizes": _in("layers.nats_sizes", "NATSSizes"),
    "nasbench-macro": _in("layers.nasbench_macro", "NASBenchMacro"),
    "enas-macro": _in("layers.enas_macro", "ENASMacro"),
    "katib": _in("layers.katib", "KatibSpace"),
    "nas-rl": _in("layers.nas_rl", "NASRLNetworks"),
    "proxylessnas": _in("layers.proxylessnas", "ProxylessNAS"),
    "darts-recurrent": _in("recurrent.darts", "DARTSRecurrent"),
    "enas-recurrent": _in("recurrent.enas", "ENASRecurrent"),
    "nasbench-graph": _in("graphs.nasbench_graph", "NASBenchGraph"),
}
#: Those that come in other sizes, by how many numbers may follow their names.
_SIZED = {"enas-macro": 1, "nas-rl": 2}


@functools.lru_cache(maxsize=32)
def named(name: str) -> Space:
    """The space of this name: ``v7e9``, ``1shot1-2``, ``enas-macro-6``, or a plug-in's.

    Raises:
        UnknownName: no space is called so.
        InvalidSetting: the plug-in cannot be loaded, or makes no space.
    """
    if not isinstance(name, str):
        raise UnknownName(f"{shown(name)} is no name of a space; give one such as 'v7e9'")
    if name in _SPACES:
        return _SPACES[name]()
    if (other := _sized(name) or _of_an_experiment(name)) is not None:
        return other
    from nasbench_kit.spaces.nasbench101.space import CellSpace

    try:
        return CellSpace.named(name)
    except UnknownName as error:  # looking for plug-ins takes longer than opening a table
        for plugin in importlib.metadata.entry_points(group=ENTRY_POINTS, name=name):
            return _of_plugin(name, plugin.load)
        plugins = importlib.metadata.entry_points(group=ENTRY_POINTS).names
        others = ", ".join([*_SPACES, "enas-macro-6", "nas-rl-6", "nas-rl-6-10", *sorted(plugins)])
        raise UnknownName(f"{error}; or one of {others}") from None


def _sized(name: str) -> Space | None:
    """``enas-macro-6``, ``nas-rl-6``, ``nas-rl-6-10``; None for another form."""
    for prefix, most in _SIZED.items():
        if re.fullmatch(f"{prefix}(-[0-9]{{1,3}}){{1,{most}}}", name):
            space = _SPACES[prefix](*map(int, name.removeprefix(prefix).split("-")[1:]))
            return space if space.name == name else None
    return None


def _of_an_experiment(name: str) -> Space | None:
    """The space of a Katib experiment that was read on this machine; None for another name."""
    if not name.startswith("katib-"):
        return None
    from nasbench_kit.spaces.kept import kept

    if name.startswith("katib-darts-"):
        from nasbench_kit.spaces.edge_cells.katib_darts import KatibDARTS

        return kept(name, KatibDARTS.described)
    from nasbench_kit.spaces.layers.katib import KatibSpace

    return kept(name, KatibSpace.described)


def architecture_of(space: str | None, text: str) -> Any:
    """The architecture of a text.

    Args:
        space: the name of its space; None for a cell, which may be larger than any space.
        text: as ``to_text`` wrote it.

    Raises:
        UnknownName: no space is called so.
        InvalidArchitecture, NotInSpace: the text describes no architecture of the space.
    """
    if space is None:
        from nasbench_kit.spaces.nasbench101.cell import Cell

        return Cell.from_text(text)
    return named(space).parse(text)


def _of_plugin(name: str, load: Callable[[], Any]) -> Space:
    from nasbench_kit.spaces.protocols import Space

    try:
        space = load()()
    except NasbenchKitError:
        raise
    except Exception as error:  # other people's code
        raise InvalidSetting(f"the space {name} cannot be loaded: {error!r}") from error
    if not isinstance(space, Space) or space.name != name:
        raise InvalidSetting(
            f"the entry point {name} makes {space!r}, which is no space of that name; see "
            "nasbench_kit.spaces.protocols.Space"
        )
    return space
