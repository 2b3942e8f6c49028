"""ENAS' macro space: twelve layers, six operations, and skips from all earlier layers.

A layer's operation sees the layer before it through a 1x1 convolution; what it computes is concatenated
with the layers that its skips name, and a 1x1 convolution makes one layer of them. After a third and
after two thirds of the layers all values are halved and their channels doubled.

    >>> space = ENASMacro(3)
    >>> space.parse("0 5 1 2 0 1").to_text()
    '0-5.1-2.01'

The network is that of the released code's final training, in which skips are concatenated as in the
paper; its search adds them instead. Pooling, which that training lacks, is as in the search, and so are
separable convolutions, for which it trains full ones. Dropout before the classifier is the recipe's.

Source: Pham et al., Efficient neural architecture search via parameter sharing, ICML 2018 (arXiv
1802.03268), section 2.3; melodyguan/enas, general_child.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nasbench_kit import checks
from nasbench_kit.errors import InvalidSetting
from nasbench_kit.spaces.layers.skips import SkipSpace, seen
from nasbench_kit.spaces.layers.units import Kind, Network, Unit

if TYPE_CHECKING:
    import torch
    from numpy.random import Generator

    from nasbench_kit.spaces.decisions import Choices
    from nasbench_kit.spaces.layers.macro_supernet import MacroSupernet
    from nasbench_kit.spaces.one_shot import Relaxation
    from nasbench_kit.spaces.skeleton import Skeleton

#: By their numbers in arc strings.
OPERATIONS = ("conv3x3", "sep3x3", "conv5x5", "sep5x5", "avg3x3", "max3x3")
LAYERS = 12

#: The network of 24 layers and 96 channels that the released code trains in the end: a row a layer.
PUBLISHED = """
0
3 0
0 1 0
2 0 0 1
2 0 0 0 0
3 1 1 0 1 0
2 0 0 0 0 0 1
2 0 1 1 0 1 1 1
1 0 1 1 1 0 1 0 1
0 0 0 0 0 0 0 0 0 0
2 0 0 0 0 0 1 0 0 0 0
0 1 0 0 1 1 0 0 0 0 1 1
2 0 1 0 0 0 0 0 1 0 1 1 0
1 0 0 1 0 0 0 1 1 1 0 1 0 1
0 1 1 0 1 0 1 0 0 0 0 0 1 0 0
2 0 0 1 0 0 0 0 0 0 0 1 0 1 0 1
2 0 1 0 0 0 1 0 0 1 1 1 1 0 0 1 0
2 0 0 0 0 1 0 1 0 1 0 0 1 0 1 0 0 1
3 0 1 1 0 1 0 0 0 0 0 1 0 1 0 1 0 0 0
3 0 1 1 0 0 0 0 0 0 0 0 0 1 1 0 0 0 0 1
0 1 0 0 1 0 1 1 0 0 0 1 0 0 0 0 0 1 1 0 0
3 0 1 0 1 1 0 0 1 0 1 1 0 1 1 0 1 0 0 1 0 0
0 1 0 1 0 1 0 0 0 0 0 0 0 0 1 0 1 0 0 1 0 0 0
0 1 1 0 0 0 1 1 1 0 1 0 0 0 1 0 1 0 0 1 1 0 0 0
"""


class ENASMacro(SkipSpace):
    """All 6^L times 2^(L (L - 1) / 2) networks of L layers.

    Args:
        layers: L, 12 in the paper's search; its final network has twice as many.

    Raises:
        InvalidSetting: not 1 to 48 layers.
    """

    layer_0 = "stem"

    def __init__(self, layers: int = LAYERS) -> None:
        layers = checks.whole("layers", layers, 1, 48)
        super().__init__(
            "enas-macro" if layers == LAYERS else f"enas-macro-{layers}", OPERATIONS, layers
        )

    def __reduce__(self) -> tuple[object, ...]:
        return ENASMacro, (self.layers,)

    def arc(self, architecture: Choices) -> str:
        """The arc string that the released code prints and takes: all numbers, between blanks.

        Raises:
            NotInSpace: the architecture is of another space.
        """
        return " ".join(map(str, self.encode(architecture)))

    def units(self, architecture: Choices, skeleton: Skeleton, image_channels: int) -> Network:
        """A stem and the layers; of the skeleton ``stem_channels`` counts."""
        return self.named_units(self.rows(self.encode(architecture)), skeleton.stem_channels)[0]

    def named_units(
        self, rows: Sequence[Sequence[int]], channels: int
    ) -> tuple[Network, list[str]]:
        """The units, and for each what weights it has: those of equal names can be shared.

        Only those of a layer's ``join`` differ in shape between architectures: they see the layers that
        its skips name, and what its operation computed.

        Args:
            rows: of each layer.
            channels: of the stem.
        """
        made: list[Unit] = []
        names: list[str] = []

        def add(name: str, *inputs: int, kind: Kind = "convolution", **settings: Any) -> int:
            made.append(Unit(inputs, kind, **settings))
            names.append(name)
            return len(made)

        # Layers 0, 1, ...: after a halving a layer is two values, one of each path.
        layers: list[tuple[int, ...]] = [(add("stem", 0, channels=channels, kernel=(3, 3)),)]
        for layer, row in enumerate(rows, 1):
            operation, size = row[0], 5 if row[0] in (2, 3) else 3
            of = f"layer {layer} {OPERATIONS[operation]}"
            value = add(f"{of} 1x1", *layers[-1], channels=channels, relu_first=True)
            if operation >= 4:
                pool: Kind = "average" if operation == 4 else "max"
                value = add(of, value, kind=pool, kernel=(3, 3), relu_first=True)
            elif operation in (1, 3):
                value = add(
                    of,
                    value,
                    channels=channels,
                    kernel=(size, size),
                    depthwise=True,
                    relu_first=True,
                    normalised=False,
                )
                value = add(f"{of} pointwise", value, channels=channels)
            else:
                value = add(of, value, channels=channels, kernel=(size, size), relu_first=True)
            if layer > 1:
                skips = [part for earlier in seen(row, layer) for part in layers[earlier]]
                value = add(
                    f"layer {layer} join", *skips, value, channels=channels, relu_first=True
                )
            layers.append((value,))
            if layer in halvings(self.layers):
                channels *= 2
                layers = [
                    tuple(
                        add(
                            f"halving after {layer} of {earlier}, path {shift}",
                            *parts,
                            channels=channels // 2,
                            stride=2,
                            shift=shift,
                        )
                        for shift in (0, 1)
                    )
                    for earlier, parts in enumerate(layers)
                ]
        return Network(tuple(made), layers[-1]), names

    def supernet(
        self, skeleton: Skeleton, image_channels: int, classes: int, generator: torch.Generator
    ) -> MacroSupernet:
        """Fresh shared weights; see `nasbench_kit.spaces.one_shot.OneShotSpace`."""
        from nasbench_kit.spaces.layers.macro_supernet import MacroSupernet

        return MacroSupernet(self, skeleton, image_channels, classes, generator)

    def relaxation(self, rng: Generator) -> Relaxation:
        """There is none.

        Raises:
            InvalidSetting: always.
        """
        raise InvalidSetting(
            f"the space {self.name} has no mixtures, which gradient searches need; its paper's own search "
            "is enas"
        )


def halvings(layers: int) -> tuple[int, ...]:
    """The layers, from 1, after which all values are halved."""
    third = layers // 3
    return (third, 2 * third) if third else ()
