"""What stands around an architecture when it becomes a network: settings only, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nasbench_kit.errors import InvalidSetting

#: Of a network's arithmetic; an option of a training, no part of its recipe.
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Skeleton:
    """What stands around the cells; the default is that of NAS-Bench-101.

    Raises:
        InvalidSetting: a number below 1.
    """

    #: Channels after the stem convolution and in the first stack; they double from stack to stack.
    stem_channels: int = 128
    #: Stacks; a 2x2 max-pool halves the resolution between them.
    stacks: int = 3
    #: Cells in every stack.
    cells_per_stack: int = 3

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 1:
                raise InvalidSetting(f"skeleton: {name} is {value}; it must be 1 or more")
