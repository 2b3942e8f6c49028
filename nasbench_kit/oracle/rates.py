"""What trainings cost where there is no table: seconds of each kind of work, measured once and kept.

The price of a network is the sum of its work, every kind at its rate. Rates come from a file, so a budget
refuses the same on every machine, whatever a training takes there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit import checks
from nasbench_kit.errors import CorruptFile, InvalidSetting
from nasbench_kit.oracle.cost import fit_additive
from nasbench_kit.spaces.skeleton import Skeleton
from nasbench_kit.system.files import read_json, write_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_kit.spaces.protocols import Trainable


@dataclass(frozen=True)
class Rates:
    """Prices by adding up work; of one space, in one skeleton, on images of one shape, or on a text."""

    #: The space's name.
    space: str
    skeleton: Skeleton
    #: Height, width, channels; of a text 1, 1 and the size of its vocabulary.
    image_shape: tuple[int, int, int]
    #: Images of an epoch, or tokens.
    images: int
    #: Of an epoch, for each unit of each kind of work of one image.
    seconds: tuple[float, ...]
    #: Where they were measured, in words.
    processor: str

    @classmethod
    def fitted(
        cls,
        architectures: Sequence[Trainable],
        seconds: Sequence[float],
        *,
        space: str,
        skeleton: Skeleton,
        image_shape: tuple[int, int, int],
        images: int,
        processor: str,
    ) -> Rates:
        """Non-negative rates with the least squared relative error.

        Args:
            architectures: whose networks were trained.
            seconds: an epoch of each.
            space: its name.
            skeleton: what stood around them.
            image_shape: height, width, channels.
            images: of an epoch.
            processor: where they were trained.
        """
        done = np.array([each.work(skeleton, image_shape) for each in architectures])
        rates = fit_additive(done, np.array(seconds))
        return cls(space, skeleton, image_shape, images, tuple(rates.tolist()), processor)

    def price_work(self, done: NDArray[np.float64]) -> float:
        """Seconds an epoch, from the work of one image."""
        return float(done @ np.array(self.seconds))

    def price(self, architecture: Trainable, epochs: int, halfway: bool = False) -> float:
        """Seconds of training an architecture; half of them up to half of the training."""
        done = architecture.work(self.skeleton, self.image_shape)
        return self.price_work(done) * epochs * (0.5 if halfway else 1.0)

    def prices(self, architectures: Iterable[Trainable], epochs: int) -> NDArray[np.float64]:
        """Seconds of training each."""
        return np.array([self.price(architecture, epochs) for architecture in architectures])

    def check(
        self, space: str, skeleton: Skeleton, image_shape: tuple[int, int, int], images: int
    ) -> None:
        """Refuse to price other networks, or other images.

        Raises:
            InvalidSetting: they are others.
        """
        asked = {
            "space": space,
            "skeleton": skeleton,
            "image_shape": image_shape,
            "images": images,
        }
        for name, value in asked.items():
            if (own := getattr(self, name)) != value:
                raise InvalidSetting(
                    f"the rates are of {name.replace('_', ' ')} {own}, and the trainings of {value}; "
                    "measure others with nasbench-kit calibrate --space"
                )

    def save(self, path: Path) -> None:
        """As JSON.

        Raises:
            NotWritable: the file cannot be written.
        """
        write_text(path, json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Rates:
        """Saved ones.

        Raises:
            CorruptFile: the file holds none.
            UnknownName: there is no such file.
        """
        content: Any = read_json(path)
        try:
            height, width, channels = map(int, content["image_shape"])
            rates = tuple(map(float, content["seconds"]))
            if not all(0 <= rate < np.inf for rate in rates) or not any(rates):
                raise ValueError(rates)
            return cls(
                str(content["space"]),
                Skeleton(**content["skeleton"]),
                (height, width, channels),
                int(content["images"]),
                rates,
                str(content["processor"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptFile(
                f"{checks.shown(str(path))} holds no rates ({error!r}); nasbench-kit calibrate --space "
                "writes some"
            ) from error
