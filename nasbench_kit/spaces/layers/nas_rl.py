"""NAS-RL's networks: convolutions whose size, number, stride and inputs are all chosen.

Of each layer there are a filter height, a filter width, a number of filters and a stride, and an anchor
bit for each earlier layer that it sees. What that leaves open is repaired: a layer without inputs sees
the image, layers that nobody sees are concatenated before the classifier, and inputs of different
sizes are padded by zeros. A layer is written as ``3x5x24s1``, with its bits as ``5x5x36s2.01``.

The number of layers is a decision, too, so that a search can begin with few; decisions of layers that
there are not count as their first option.

Source: Zoph, Le, Neural architecture search with reinforcement learning, ICLR 2017 (arXiv 1611.01578),
sections 3.1 and 3.3, and 4.1 for the options. Global average pooling before the classifier is ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from nasbench_kit import checks
from nasbench_kit.errors import InvalidSetting
from nasbench_kit.spaces.decisions import Choices
from nasbench_kit.spaces.layers.unit_space import UnitSpace
from nasbench_kit.spaces.layers.units import Network, Unit
from nasbench_kit.spaces.protocols import Decision

if TYPE_CHECKING:
    from nasbench_kit.spaces.skeleton import Skeleton

SIZES = (1, 3, 5, 7)
FILTERS = (24, 36, 48, 64)
STRIDES = (1, 2, 3)
#: Fewest and most layers: by the paper's schedule of two more every 1,600 of 12,800 samples.
FEWEST, MOST = 6, 20
_FIELDS = (SIZES, SIZES, FILTERS, STRIDES)


class NASRLNetworks(UnitSpace):
    """All networks of ``fewest``, ``fewest`` + 2, ... up to ``most`` layers.

    Args:
        fewest: layers; None is the paper's 6 to 20.
        most: layers; None for networks of ``fewest`` layers alone.

    Raises:
        InvalidSetting: not 1 to 64 layers, or most is not fewest and some twos.
    """

    def __init__(self, fewest: int | None = None, most: int | None = None) -> None:
        if fewest is None:
            fewest, most = FEWEST, MOST if most is None else most
        fewest = checks.whole("fewest", fewest, 1, 64)
        most = fewest if most is None else checks.whole("most", most, 1, 64)
        self.depths = tuple(range(fewest, most + 1, 2))
        if not self.depths or self.depths[-1] != most:
            raise InvalidSetting(
                f"networks of {fewest} to {most} layers do not differ by twos; choose the most as the "
                "fewest and some twos, such as 6 and 20"
            )
        names = {(FEWEST, MOST): "nas-rl", (fewest, fewest): f"nas-rl-{fewest}"}
        self.name = names.get((fewest, most), f"nas-rl-{fewest}-{most}")
        self.decisions = tuple(_decisions(self.depths))

    def __reduce__(self) -> tuple[object, ...]:
        return NASRLNetworks, (self.depths[0], self.depths[-1])

    def decisions_of(self, layers: int) -> int:
        """Decisions up to the last one of this many layers."""
        return 1 + 4 * layers + layers * (layers - 1) // 2

    def valid(self, options: tuple[int, ...]) -> bool:
        """Decisions of layers that there are not are their first option."""
        return not any(options[self.decisions_of(self.depths[options[0]]) :])

    def decode(self, choices: Sequence[int]) -> Choices | None:
        """The network of these options, whatever they say of layers that it has not."""
        options = list(map(int, choices))
        end = self.decisions_of(self.depths[options[0]])
        return super().decode([*options[:end], *[0] * (len(options) - end)])

    def rows(self, options: Sequence[int]) -> list[tuple[int, int, int, int, list[int]]]:
        """Of each layer: filter height and width, filters, stride, and the earlier layers it sees."""
        rows = []
        start = 1
        for layer in range(1, self.depths[options[0]] + 1):
            fields = [values[options[start + i]] for i, values in enumerate(_FIELDS)]
            bits = options[start + 4 : start + 3 + layer]
            rows.append((*fields, [place for place, bit in enumerate(bits, 1) if bit]))
            start += 3 + layer
        return rows  # type: ignore[return-value]  # four fields

    def write(self, options: Sequence[int]) -> str:
        """As in ``3x5x24s1-5x5x36s2.1``."""
        words = []
        for layer, (height, width, filters, stride, seen) in enumerate(self.rows(options), 1):
            bits = "".join(str(int(earlier in seen)) for earlier in range(1, layer))
            words.append(f"{height}x{width}x{filters}s{stride}" + (f".{bits}" if bits else ""))
        return "-".join(words)

    def read(self, text: str) -> list[int]:
        """The inverse of ``write``.

        Raises:
            ValueError: another form, or values that there are not.
        """
        words = text.split("-")
        options = [self.depths.index(len(words))]
        for word in words:
            match = re.fullmatch(r"(\d+)x(\d+)x(\d+)s(\d+)(?:\.([01]+))?", word)
            if match is None:
                raise ValueError(text)
            *fields, bits = match.groups()
            options += [
                values.index(int(field)) for values, field in zip(_FIELDS, fields, strict=True)
            ]
            options += map(int, bits or "")
        options += [0] * (len(self.decisions) - len(options))
        if len(options) == len(self.decisions) and self.write(options) != text:
            raise ValueError(text)
        return options

    def draw(self, architecture: Choices) -> str:
        """The layers from top to bottom, what they see, and what the classifier sees."""
        from nasbench_kit.spaces.layers.drawing import layers_as_svg

        units, outputs = self.units(architecture)
        edges = [(value, layer) for layer, unit in enumerate(units, 1) for value in unit.inputs]
        edges += [(value, len(units) + 1) for value in outputs]
        rows = self.rows(architecture.options)
        words = [
            f"{height}x{width}, {count} filters, stride {stride}"
            for height, width, count, stride, _ in rows
        ]
        labels = [
            "image",
            *(f"{layer}  {word}" for layer, word in enumerate(words, 1)),
            "classifier",
        ]
        kinds = [0, *(1 + FILTERS.index(row[2]) for row in rows), 0]
        return layers_as_svg(labels, kinds, edges, architecture.to_text())

    def units(
        self, architecture: Choices, skeleton: Skeleton | None = None, image_channels: int = 3
    ) -> Network:
        """A unit a layer: convolution, batch norm, ReLU; nothing of the skeleton counts."""
        rows = self.rows(self.encode(architecture))
        made = [
            Unit(
                tuple(seen) or (0,), "convolution", filters, (height, width), stride, relu_last=True
            )
            for height, width, filters, stride, seen in rows
        ]
        read = {value for unit in made for value in unit.inputs}
        return Network(
            tuple(made), tuple(value for value in range(1, len(made) + 1) if value not in read)
        )


def _decisions(depths: Sequence[int]) -> Iterator[Decision]:
    yield Decision("layers", tuple(map(str, depths)))
    names = ("filter height", "filter width", "filters", "stride")
    for layer in range(1, depths[-1] + 1):
        for name, values in zip(names, _FIELDS, strict=True):
            yield Decision(f"layer {layer} {name}", tuple(map(str, values)))
        for earlier in range(1, layer):
            yield Decision(f"layer {layer} sees {earlier}", ("no", "yes"))
