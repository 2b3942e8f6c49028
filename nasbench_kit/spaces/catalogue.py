"""Spaces by name: those of the kit, and those of other people's packages.

A package adds spaces by entry points of the group ``nasbench_kit.spaces``: the name of the entry point
is that of the space, and its object makes the space when it is called without arguments.
"""

from __future__ import annotations

import functools
import importlib.metadata
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nasbench_kit.checks import shown
from nasbench_kit.errors import InvalidSetting, NasbenchKitError, UnknownName

if TYPE_CHECKING:
    from nasbench_kit.spaces.protocols import Space

ENTRY_POINTS = "nasbench_kit.spaces"


def _nasbench_macro() -> Space:
    from nasbench_kit.spaces.layers.nasbench_macro import NASBenchMacro

    return NASBenchMacro()


def _nasbench_graph() -> Space:
    from nasbench_kit.spaces.graphs.nasbench_graph import NASBenchGraph

    return NASBenchGraph()


def _nasbench201() -> Space:
    from nasbench_kit.spaces.edge_cells.nasbench201 import NASBench201

    return NASBench201()


def _darts(name: str) -> Space:
    from nasbench_kit.spaces.edge_cells.darts import DARTS

    return DARTS(name)


def _blocks(name: str) -> Space:
    from nasbench_kit.spaces.edge_cells.blocks import Blocks

    return Blocks(name)


def _nats_sizes() -> Space:
    from nasbench_kit.spaces.layers.nats_sizes import NATSSizes

    return NATSSizes()


def _proxylessnas() -> Space:
    from nasbench_kit.spaces.layers.proxylessnas import ProxylessNAS

    return ProxylessNAS()


def _enas_macro(*layers: int) -> Space:
    from nasbench_kit.spaces.layers.enas_macro import ENASMacro

    return ENASMacro(*layers)


def _nas_rl(*depths: int) -> Space:
    from nasbench_kit.spaces.layers.nas_rl import NASRLNetworks

    return NASRLNetworks(*(depths if len(depths) != 1 else (depths[0], None)))


def _katib() -> Space:
    from nasbench_kit.spaces.layers.katib import KatibSpace

    return KatibSpace()


def _darts_recurrent() -> Space:
    from nasbench_kit.spaces.recurrent.darts import DARTSRecurrent

    return DARTSRecurrent()


def _enas_recurrent() -> Space:
    from nasbench_kit.spaces.recurrent.enas import ENASRecurrent

    return ENASRecurrent()


#: Spaces that have one name each; cell spaces have many (`CellSpace.named`).
_SPACES: dict[str, Callable[[], Space]] = {
    "nasbench-graph": _nasbench_graph,
    "nasbench201": _nasbench201,
    "nats-sizes": _nats_sizes,
    "nasbench-macro": _nasbench_macro,
    "darts-recurrent": _darts_recurrent,
    "enas-recurrent": _enas_recurrent,
    **{name: functools.partial(_blocks, name) for name in ("enas-micro", "nasnet", "pnas")},
    **{name: functools.partial(_darts, name) for name in ("darts", "darts-s2", "darts-s3")},
    "enas-macro": _enas_macro,
    "katib": _katib,
    "nas-rl": _nas_rl,
    "proxylessnas": _proxylessnas,
}
#: Spaces of other sizes: what their names begin with, and how many numbers may follow.
_SIZED: dict[str, tuple[Callable[..., Space], int]] = {
    "enas-macro": (_enas_macro, 1),
    "nas-rl": (_nas_rl, 2),
}


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
    for prefix, (make, most) in _SIZED.items():
        if re.fullmatch(f"{prefix}(-[0-9]{{1,3}}){{1,{most}}}", name):
            space = make(*map(int, name.removeprefix(prefix).split("-")[1:]))
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
