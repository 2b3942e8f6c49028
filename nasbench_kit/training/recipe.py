"""How a network is trained: settings only, without torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nasbench_kit.errors import InvalidSetting
from nasbench_kit.spaces.recurrent.window import NO_DROPOUT, Dropout
from nasbench_kit.spaces.skeleton import Skeleton

if TYPE_CHECKING:
    from numpy.random import Generator

#: Tokens of a window whose length varies, at least, and how many more than usual at most.
SHORTEST_WINDOW, LONGER = 5, 20


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
    #: "rmsprop" (TensorFlow's, see ``TFRMSProp``), "sgd", or "adam" (Keras': epsilon 1e-7).
    optimizer: str
    #: Learning rate at the top of the cosine.
    learning_rate: float
    #: Momentum of the optimizer; of Adam its first decay, the second is 0.999.
    momentum: float
    #: Half of it times the squared weights, biases and batch norms included, joins the loss.
    weight_decay: float
    #: Whether training images are padded by 4 zeros a side, cropped and flipped at random.
    augment: bool
    #: Whether step 0 has learning rate 0 (it was NAS-Bench-101's way to build the graph).
    idle_first_step: bool

    def __post_init__(self) -> None:
        if self.optimizer not in ("rmsprop", "sgd", "adam"):
            raise InvalidSetting(
                f"recipe {self.name}: optimizer {self.optimizer!r} is unknown; "
                "choose 'rmsprop', 'sgd' or 'adam'"
            )
        if self.bn_batch_size < 2 or self.batch_size % self.bn_batch_size:
            raise InvalidSetting(
                f"recipe {self.name}: bn_batch_size is {self.bn_batch_size}; it must be 2 or more "
                f"and divide batch_size, {self.batch_size}"
            )

    def steps(self, epochs: int, train_images: int) -> int:
        """Steps of a training; the last batch is dropped if incomplete."""
        return epochs * train_images // self.batch_size

    def learning_rate_at(self, step: int, steps: int, epochs: int = 1) -> float:
        """Learning rate of step 0, 1, ... ``steps`` - 1: a cosine from the top towards 0.

        Args:
            step: which.
            steps: of the training.
            epochs: of the training.
        """
        if step == 0 and self.idle_first_step:
            return 0.0
        return 0.5 * self.learning_rate * (1 + math.cos(math.pi * step / steps))

    def share_of_rate(self, labels: tuple[int, ...]) -> float:
        """What a batch with labels of this shape takes of the learning rate: all of it."""
        return 1.0


@dataclass(frozen=True)
class TextRecipe(Recipe):
    """How a language model is trained: SGD with cut gradients on windows of parallel streams.

    ``batch_size`` is the number of streams, ``skeleton.stem_channels`` the number of units. The learning
    rate decays epoch by epoch, or stays as it is where weights are averaged, or else falls by a cosine.

    Raises:
        InvalidSetting: a window or a patience below 1, a norm that is not above 0, or settings that only
            images have.
    """

    #: Tokens that gradients go back at most.
    window: int = 35
    #: Largest norm of a step's gradient.
    clip: float = 0.25
    dropout: Dropout = NO_DROPOUT
    #: Weight of the mean square of what the cell puts out, after dropout (activation regularisation, alpha).
    activation: float = 0.0
    #: Weight of the mean square of its change from token to token, before dropout (temporal activation
    #: regularisation, beta: "slowness").
    slowness: float = 0.0
    #: Standard deviation of a window's length around ``window``, and around half of it in 5 of 100; the
    #: learning rate is in proportion. 0 for windows of one length.
    window_deviation: float = 0.0
    #: Below 1 a factor of the learning rate in every epoch after the first ``decay_after``: ENAS has 0.96
    #: after 15. At 1 there is none.
    decay: float = 1.0
    decay_after: int = 0
    #: Weights are averaged when the validation loss has not fallen for this many epochs (NT-ASGD,
    #: `nasbench_kit.training.averaged_sgd`); None never averages them.
    patience: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        fixed = (self.optimizer, self.momentum, self.augment, self.idle_first_step)
        if fixed != ("sgd", 0.0, False, False) or self.bn_batch_size != self.batch_size:
            raise InvalidSetting(
                f"recipe {self.name}: text is trained on by plain SGD, whole batches at a time; leave "
                "momentum, augment, idle_first_step and bn_batch_size"
            )
        for name in ("activation", "slowness", "window_deviation"):
            if not 0 <= (value := getattr(self, name)) < math.inf:
                raise InvalidSetting(f"recipe {self.name}: {name} is {value}; it must be 0 or more")
        if not 0 < self.decay <= 1 or self.decay_after < 0:
            raise InvalidSetting(
                f"recipe {self.name}: decay is {self.decay}, after {self.decay_after} epochs; the first must "
                "lie in (0, 1], and the second be 0 or more"
            )
        least = min(self.window, 1 if self.patience is None else self.patience)
        if least < 1 or not self.clip > 0:
            raise InvalidSetting(
                f"recipe {self.name}: window is {self.window}, patience {self.patience}, clip "
                f"{self.clip}; the first two must be 1 or more, and clip above 0"
            )

    def windows(self, train_tokens: int) -> int:
        """Steps of an epoch; what fills no window of all streams is left out."""
        return (train_tokens // self.batch_size - 1) // self.window

    def steps(self, epochs: int, train_tokens: int) -> int:
        """Steps of a training; where windows vary, a pass over the text takes some more than an epoch's."""
        return epochs * self.windows(train_tokens)

    def window_length(self, rng: Generator) -> int:
        """Tokens of the next window; released code of Merity et al. and of DARTS."""
        if not self.window_deviation:
            return self.window
        around = self.window if rng.random() < 0.95 else self.window / 2
        length = max(SHORTEST_WINDOW, int(rng.normal(around, self.window_deviation)))
        return min(length, self.window + LONGER)

    def share_of_rate(self, labels: tuple[int, ...]) -> float:
        """What a window of labels [streams, length] takes of the learning rate."""
        return labels[1] / self.window if self.window_deviation else 1.0

    def learning_rate_at(self, step: int, steps: int, epochs: int = 1) -> float:
        """Learning rate of step 0, 1, ... ``steps`` - 1; see ``Recipe``."""
        if self.decay < 1:
            epoch = 1 + step * epochs // steps
            return self.learning_rate * float(self.decay ** max(0, epoch - self.decay_after))
        if self.patience is not None:
            return self.learning_rate
        return super().learning_rate_at(step, steps)


@dataclass(frozen=True)
class DropoutRecipe(Recipe):
    """As any other, but while training some of what the classifier sees is dropped.

    Raises:
        InvalidSetting: a probability outside its range.
    """

    #: Probability, in [0, 1), by which a channel that is averaged over an image is dropped; those that stay
    #: are divided by the probability of staying.
    dropout: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.dropout < 1:
            raise InvalidSetting(
                f"recipe {self.name}: dropout is {self.dropout}; it must be 0 or more and below 1"
            )


@dataclass(frozen=True)
class RegularizedRecipe(Recipe):
    """How cells on images are evaluated in the papers: gradients are cut, and overfitting is made hard.

    Source: Zoph et al., NASNet, CVPR 2018, section 3; Liu et al., DARTS, ICLR 2019, section 3.2.

    Raises:
        InvalidSetting: a setting outside its range.
    """

    #: Largest norm of a step's gradient.
    clip: float = 5.0
    #: Probability, in [0, 1), by which each operation's output but the identity's is dropped from an image
    #: in the end; it rises from 0.
    drop_path: float = 0.0
    #: Whether it rises step by step and linearly with the depth of a cell as well (ScheduledDropPath);
    #: else it rises epoch by epoch and is the same in all cells.
    scheduled: bool = False
    #: Weight of the auxiliary head's loss; at 0 there is no such head.
    auxiliary_weight: float = 0.0
    #: Pixels of a side of the square that is blanked out in every training image (DeVries and Taylor 2017).
    cutout: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.drop_path < 1:
            raise InvalidSetting(
                f"recipe {self.name}: drop_path is {self.drop_path}; it must be 0 or more and below 1"
            )
        if not (0 < self.clip < math.inf and 0 <= self.auxiliary_weight < math.inf):
            raise InvalidSetting(
                f"recipe {self.name}: clip is {self.clip}, auxiliary_weight {self.auxiliary_weight}; clip "
                "must be above 0 and auxiliary_weight 0 or more"
            )
        if self.cutout < 0:
            raise InvalidSetting(
                f"recipe {self.name}: cutout is {self.cutout} pixels; it must be 0 or more"
            )

    def drop_path_at(self, step: int, steps: int, epochs: int, depth: float) -> float:
        """Probability by which a path is dropped.

        Args:
            step: 0, 1, ... ``steps`` - 1.
            steps: of the training.
            epochs: of the training.
            depth: of the cell in (0, 1]: its number, counted from 1, through the number of cells.
        """
        if self.scheduled:  # keep = 1 - step / steps * (1 - keep of the cell)
            return step / steps * depth * self.drop_path
        return self.drop_path * (step * epochs // steps) / epochs


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

#: Dong and Yang, NAS-Bench-201, ICLR 2020, section 2.2: 200 epochs, with momentum as it is where they had
#: Nesterov's, so that trainings of one's own come close to the table's and no closer.
NASBENCH201 = replace(
    NASBENCH101,
    name="nasbench201",
    skeleton=Skeleton(stem_channels=16, stacks=3, cells_per_stack=5),
    bn_batch_size=256,
    bn_momentum=0.1,
    optimizer="sgd",
    learning_rate=0.1,
    weight_decay=5e-4,
    idle_first_step=False,
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

#: Liu et al., DARTS, ICLR 2019, supplement A.4, and its released code: the evaluation of recurrent cells on
#: Penn Treebank.
DARTS_PTB = TextRecipe(
    name="darts-ptb",
    skeleton=Skeleton(stem_channels=850, stacks=1, cells_per_stack=1),
    batch_size=64,
    bn_batch_size=64,
    bn_momentum=0.1,
    optimizer="sgd",
    learning_rate=20.0,
    momentum=0.0,
    weight_decay=8e-7,
    augment=False,
    idle_first_step=False,
    window=35,
    clip=0.25,
    dropout=Dropout(embedding=0.1, embedded=0.2, input=0.75, hidden=0.25, output=0.75),
    slowness=1e-3,
    window_deviation=5.0,
    patience=5,
)

#: Liu et al., DARTS, ICLR 2019, section 3.2: the evaluation of cells on CIFAR-10, 20 of them with 36
#: channels. The cosine falls step by step here, not epoch by epoch.
DARTS = RegularizedRecipe(
    name="darts",
    skeleton=Skeleton(stem_channels=36, stacks=3, cells_per_stack=6),
    batch_size=96,
    bn_batch_size=96,
    bn_momentum=0.1,
    optimizer="sgd",
    learning_rate=0.025,
    momentum=0.9,
    weight_decay=3e-4,
    augment=True,
    idle_first_step=False,
    clip=5.0,
    drop_path=0.2,
    auxiliary_weight=0.4,
    cutout=16,
)

#: The network in which DARTS searches on CIFAR-10, 8 cells with 16 channels (section 3.1.1), trained as it
#: trains the shared weights: no path dropped, no auxiliary head, nothing blanked out.
DARTS_SEARCH = replace(
    DARTS,
    name="darts-search",
    skeleton=Skeleton(stem_channels=16, stacks=3, cells_per_stack=2),
    batch_size=64,
    bn_batch_size=64,
    drop_path=0.0,
    auxiliary_weight=0.0,
    cutout=0,
)

#: The evaluation on scikit-learn's digits, small enough for a laptop: 5 cells, a square of a sixteenth of the image,
#: and no flips, which digits do not survive.
DARTS_DIGITS = replace(
    DARTS,
    name="darts-digits",
    skeleton=Skeleton(stem_channels=8, stacks=3, cells_per_stack=1),
    batch_size=50,
    bn_batch_size=50,
    bn_momentum=None,
    learning_rate=0.1,
    augment=False,
    cutout=2,
)

#: Pham et al., ENAS, ICML 2018, and its released script of the macro search on CIFAR-10: networks of layers,
#: with 36 channels at first. Its momentum is Nesterov's, and its learning rate starts again after 10, 30 and
#: 70 epochs; here it falls once.
ENAS_MACRO = DropoutRecipe(
    name="enas-macro",
    skeleton=Skeleton(stem_channels=36, stacks=3, cells_per_stack=3),
    batch_size=128,
    bn_batch_size=128,
    bn_momentum=0.1,
    optimizer="sgd",
    learning_rate=0.05,
    momentum=0.9,
    weight_decay=5e-4,
    augment=True,
    idle_first_step=False,
    dropout=0.1,
)

#: kubeflow/katib, trial image enas-cnn-cifar10. Its learning rate stays as it is, and images are shifted by a tenth
#: of their size; here it falls by a cosine, and they are shifted by at most 4 pixels.
KATIB = replace(
    ENAS_MACRO,
    name="katib",
    bn_momentum=0.01,
    optimizer="adam",
    learning_rate=1e-3,
    weight_decay=0.0,
    dropout=0.4,
)

#: Small enough for a laptop, for Python's documentation topics.
TOPICS = replace(
    DARTS_PTB,
    name="topics",
    skeleton=Skeleton(stem_channels=32, stacks=1, cells_per_stack=1),
    batch_size=64,
    bn_batch_size=64,
    weight_decay=1e-6,
    window=20,
    dropout=Dropout(),
    slowness=0.0,
    window_deviation=0.0,
    patience=None,
)

#: By name.
RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        *(DIGITS, NOISY_DIGITS, NASBENCH101, NASBENCH201, TOPICS, DARTS_PTB),
        *(DARTS, DARTS_SEARCH, DARTS_DIGITS, ENAS_MACRO, KATIB),
    )
}
