"""Layers with an operation each, which may also see earlier values: the form of ENAS' macro space.

Layer i, of 1 to L, always sees layer i - 1, where layer 0 is the image or what the stem makes of it; a bit
for each of layers 0 to i - 2 says whether it is seen, too. An architecture's row i is the operation and
these i - 1 bits. It is written as ``3-0.1-5.01``: operation and bits of each layer.

Source: Pham et al., ENAS, ICML 2018, section 2.3; melodyguan/enas; kubeflow/katib.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from nasbench_kit.spaces.layers.unit_space import UnitSpace
from nasbench_kit.spaces.protocols import Decision

if TYPE_CHECKING:
    from nasbench_kit.spaces.decisions import Choices


class SkipSpace(UnitSpace):
    """All sequences of layers: operations^L times 2^(L (L - 1) / 2) of them."""

    #: What layer 0 is, in a picture.
    layer_0: ClassVar[str] = "image"

    def __init__(self, name: str, operations: Sequence[str], layers: int) -> None:
        self.name = name
        self.layers = layers
        self.decisions = tuple(_decisions(tuple(operations), layers))

    def write(self, options: Sequence[int]) -> str:
        """Operation and bits of each layer, as in ``3-0.1-5.01``."""
        return "-".join(
            str(operation) + (f".{''.join(map(str, bits))}" if bits else "")
            for operation, *bits in self.rows(options)
        )

    def read(self, text: str) -> list[int]:
        """The inverse of ``write``; also numbers between blanks, as ENAS' released code prints arcs.

        Raises:
            ValueError: another form.
        """
        if " " in text or "\n" in text:
            options = [int(word) for word in text.split()]
            if " ".join(map(str, options)) != " ".join(text.split()):
                raise ValueError(text)
            return options
        options = []
        for layer in text.split("-"):
            operation, _, bits = layer.partition(".")
            options += [int(operation), *map(int, bits)]
        if len(options) == len(self.decisions) and self.write(options) != text:
            raise ValueError(text)
        return options

    def rows(self, options: Sequence[int]) -> list[list[int]]:
        """Of each layer: its operation, and a bit for each layer from 0 to the last but one before it."""
        start, rows = 0, []
        for layer in range(self.layers):
            rows.append(list(options[start : start + layer + 1]))
            start += layer + 1
        return rows

    def label(self, operation: int) -> str:
        """An operation in a picture."""
        return self.decisions[0].options[operation]

    def draw(self, architecture: Choices) -> str:
        """The layers from top to bottom, and their skips."""
        from nasbench_kit.spaces.layers.drawing import layers_as_svg

        rows = self.rows(self.encode(architecture))
        edges = [(layer - 1, layer) for layer in range(1, self.layers + 1)]
        edges += [
            (earlier, layer) for layer, row in enumerate(rows, 1) for earlier in seen(row, layer)
        ]
        labels = [f"0  {self.layer_0}"]
        labels += [f"{layer}  {self.label(row[0])}" for layer, row in enumerate(rows, 1)]
        kinds = [0, *(1 + row[0] for row in rows)]
        return layers_as_svg(labels, kinds, edges, architecture.to_text())


def _decisions(operations: tuple[str, ...], layers: int) -> Iterator[Decision]:
    for layer in range(1, layers + 1):
        yield Decision(f"layer {layer}", operations)
        for earlier in range(layer - 1):
            yield Decision(f"layer {layer} sees {earlier}", ("no", "yes"))


def seen(row: Sequence[int], layer: int) -> list[int]:
    """The earlier layers that the row of a layer, 1 or more, sees by skips, ascending."""
    return [earlier for earlier, bit in enumerate(row[1:layer]) if bit]
