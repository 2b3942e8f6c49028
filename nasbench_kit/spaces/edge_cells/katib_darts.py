"""The spaces of Katib's DARTS experiments: DARTS' cells of an experiment's operations and nodes.

A network has as many cells as the experiment has layers; those at a third and at two thirds are
reduction cells, as in DARTS. Operations have Katib's names, ``separable_convolution_3x3``, outside, and
DARTS', ``sep_conv_3x3``, inside; ``none`` is added as the last one, as Katib's trials do.

Source: kubeflow/katib, suggestion service "darts" and trial image darts-cnn-cifar10.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nasbench_kit import checks
from nasbench_kit.errors import InvalidSetting
from nasbench_kit.spaces.edge_cells.cell import Layer
from nasbench_kit.spaces.edge_cells.darts import DARTS
from nasbench_kit.spaces.edge_cells.two_inputs import NORMAL, REDUCTION
from nasbench_kit.spaces.kept import digest_of

if TYPE_CHECKING:
    from nasbench_kit.spaces.skeleton import Skeleton

#: Types of operations, what DARTS calls them, and the sizes that they have.
TYPES = {
    "separable_convolution": ("sep_conv", ("3", "5", "7")),
    "dilated_convolution": ("dil_conv", ("3", "5")),
    "avg_pooling": ("avg_pool", ("3",)),
    "max_pooling": ("max_pool", ("3", "5", "7")),
    "skip_connection": ("skip_connect", ()),
}


class KatibDARTS(DARTS):
    """All pairs of a normal and a reduction cell.

    Args:
        operations: by Katib's names, without ``none``.
        cells: numLayers of the experiment.
        nodes: of each cell, its inputs left out.
        stem_multiplier: channels of the stem for each of a node in the first cell.

    Raises:
        InvalidSetting: an operation that there is not, or not 1 to 64 cells, 1 to 8 nodes.
    """

    def __init__(
        self, operations: Sequence[str], cells: int, nodes: int = 4, stem_multiplier: int = 3
    ) -> None:
        self.katib = tuple(operations)
        self.cells = checks.whole("numLayers", cells, 1, 64)
        self.stem_multiplier = checks.whole("stem_multiplier", stem_multiplier, 1, 64)
        nodes = checks.whole("num_nodes", nodes, 1, 8)
        ours = [*map(_ours, self.katib), "none"]
        if len(set(ours)) < len(ours) or len(ours) == 1:
            raise InvalidSetting(
                f"the operations are {', '.join(self.katib) or 'none'}; list some, each once"
            )
        self.nodes = nodes
        edges = nodes * (nodes + 3)  # of both cells
        super().__init__(f"katib-darts-{digest_of(self.description())}", [ours] * edges, nodes)

    def __reduce__(self) -> tuple[object, ...]:
        return KatibDARTS, (self.katib, self.cells, self.nodes, self.stem_multiplier)

    def description(self) -> dict[str, Any]:
        """All that makes the space, as JSON can hold it."""
        return {
            "operations": self.katib,
            "cells": self.cells,
            "nodes": self.nodes,
            "stem_multiplier": self.stem_multiplier,
        }

    @classmethod
    def described(cls, description: Any) -> KatibDARTS:
        """The space of a description.

        Raises:
            ValueError, TypeError, LookupError: it is none.
        """
        return cls(**{**description, "operations": list(map(str, description["operations"]))})

    def layers(self, skeleton: Skeleton) -> list[Layer]:
        """The cells; of the skeleton ``stem_channels`` counts: Katib's ``init_channels``."""
        channels = skeleton.stem_channels
        before = last = self.stem_multiplier * channels
        layers: list[Layer] = []
        reduced = False
        for cell in range(self.cells):
            reduces = cell in (self.cells // 3, 2 * self.cells // 3)
            channels *= 2 if reduces else 1
            kind = REDUCTION if reduces else NORMAL
            layers.append(Layer(last, channels, reduces, kind, before, reduced))
            before, last, reduced = last, channels * self.nodes, reduces
        return layers


def search_space(listed: Sequence[tuple[str, Mapping[str, Sequence[str | int]]]]) -> list[str]:
    """Katib's ``search-space``: the names of all operations of an experiment, each with its sizes.

    Args:
        listed: types of operations, and the values of their parameters.

    Raises:
        InvalidSetting: a type, parameter or size that there is not.
    """
    names = []
    for kind, parameters in listed:
        if kind not in TYPES:
            raise InvalidSetting(
                f"operationType is {checks.shown(kind)}; choose one of {', '.join(TYPES)}"
            )
        if kind == "skip_connection":
            names.append(kind)
            continue
        if list(parameters) != ["filter_size"]:
            raise InvalidSetting(
                f"{kind} has the parameters {checks.shown(list(parameters))}; it must have filter_size alone"
            )
        for size in parameters["filter_size"]:
            if str(size) not in TYPES[kind][1]:
                raise InvalidSetting(
                    f"{kind}: filter_size is {checks.shown(size)}; choose one of {', '.join(TYPES[kind][1])}"
                )
            names.append(f"{kind}_{size}x{size}")
    return names


def _ours(name: str) -> str:
    """DARTS' name of a Katib operation.

    Raises:
        InvalidSetting: there is none.
    """
    for theirs, (ours, sizes) in TYPES.items():
        names = [f"{theirs}_{size}x{size}" for size in sizes] or [theirs]
        if name in names:
            return ours + name.removeprefix(theirs)
    raise InvalidSetting(f"there is no operation {checks.shown(name)}")
