"""How a network is trained: settings only, without torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from nasbench_kit.errors import InvalidSetting
from nasbench_kit.spaces.skeleton import Skeleton


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. The learning rate falls to 0 by a cosine over all steps.

    Raises:
        InvalidSetting: an unknown optimizer, or batches that cannot be cut as asked.
    """

    #: Names the recipe in tables and messages.
    name: str
    #: What stands around the cells.
    skeleton: Skeleton
    #: Images of one step.
    batch_size: int
    #: Images that share their batch-norm statistics: the batch is cut into such shards, as a TPU's
    #: cores did, and the shards' gradients are averaged.
    bn_batch_size: int
    #: Share of a step's batch in the running statistics of batch norm, PyTorch's meaning; None
    #: computes them again over all training images before each evaluation.
    bn_momentum: float | None
    #: "rmsprop" (TensorFlow's, see ``TFRMSProp``) or "sgd".
    optimizer: str
    #: Learning rate at the top of the cosine.
    learning_rate: float
    #: Momentum of the optimizer.
    momentum: float
    #: Half of it times the squared weights, biases and batch norms included, joins the loss.
    weight_decay: float
    #: Whether training images are padded by 4 zeros a side, cropped and flipped at random.
    augment: bool
    #: Whether step 0 has learning rate 0 (it was NAS-Bench-101's way to build the graph).
    idle_first_step: bool

    def __post_init__(self) -> None:
        if self.optimizer not in ("rmsprop", "sgd"):
            raise InvalidSetting(
                f"recipe {self.name}: optimizer {self.optimizer!r} is unknown; "
                "choose 'rmsprop' or 'sgd'"
            )
        if self.bn_batch_size < 2 or self.batch_size % self.bn_batch_size:
            raise InvalidSetting(
                f"recipe {self.name}: bn_batch_size is {self.bn_batch_size}; it must be 2 or more "
                f"and divide batch_size, {self.batch_size}"
            )

    def steps(self, epochs: int, train_images: int) -> int:
        """Steps of a training; the last batch is dropped if incomplete."""
        return epochs * train_images // self.batch_size

    def learning_rate_at(self, step: int, steps: int) -> float:
        """Learning rate of step 0, 1, ... ``steps`` - 1: a cosine from the top towards 0."""
        if step == 0 and self.idle_first_step:
            return 0.0
        return 0.5 * self.learning_rate * (1 + math.cos(math.pi * step / steps))


#: Ying et al. 2019, supplement S1 and table 1; google-research/nasbench, lib/config.py: base rate
#: 0.1 times 2 TPU cores, 128 images a core.
NASBENCH101 = Recipe(
    name="nasbench101",
    skeleton=Skeleton(stem_channels=128, stacks=3, cells_per_stack=3),
    batch_size=256,
    bn_batch_size=128,
    bn_momentum=0.003,
    optimizer="rmsprop",
    learning_rate=0.2,
    momentum=0.9,
    weight_decay=1e-4,
    augment=True,
    idle_first_step=True,
)

#: Small enough for a laptop: some 35 ms an epoch on one CPU core. Batch statistics are computed again
#: because 4 epochs are 20 steps, too few for a running average. Measured over 15 cells and 2 seeds:
#: after 4 epochs a median validation accuracy of 0.82, with momentum 0.1 of 0.68, and a standard
#: deviation between seeds of 0.027 and 0.061; at 36 epochs both agree. Weight decay hardly matters:
#: at 36 epochs the median is 0.933, 0.942, 0.947 for 1e-4, 5e-4, 1e-3, and seeds differ by 0.010.
DIGITS = Recipe(
    name="digits",
    skeleton=Skeleton(stem_channels=16, stacks=3, cells_per_stack=1),
    batch_size=50,
    bn_batch_size=50,
    bn_momentum=None,
    optimizer="sgd",
    learning_rate=0.1,
    momentum=0.9,
    weight_decay=5e-4,
    augment=False,
    idle_first_step=False,
)

#: As on the digits, in smaller batches through two stacks: 4 epochs are 160 steps, too few to learn all that
#: there is, so that good cells differ in how fast they learn. Measured over 30 cells of `v5e6` and 3 seeds: a
#: median test accuracy of 0.35, the best tenth's standard deviation 0.034, between seeds 0.019.
NOISY_DIGITS = replace(
    DIGITS,
    name="noisy-digits",
    skeleton=Skeleton(stem_channels=16, stacks=2, cells_per_stack=1),
    batch_size=25,
    bn_batch_size=25,
)

#: By name.
RECIPES = {recipe.name: recipe for recipe in (DIGITS, NOISY_DIGITS, NASBENCH101)}
