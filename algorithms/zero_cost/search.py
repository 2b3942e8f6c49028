"""Random architectures, ranked before any is trained, and queried best first.

Each is made a network with fresh weights, and scored by a proxy on one minibatch that all share, which is
paid as a step of shared weights is: the images that pass forward and backward, at the price of the
architecture's own training. What counts weights or multiplications passes no image and is free. The
search ends with the last of its samples.

Source: Abdelfattah, Mehrotra, Dudziak, Lane, Zero-cost proxies for lightweight NAS, ICLR 2021, section
4.2 (random search with a warm-up of 3,000) and, for the batch, SamsungLabs/zero-cost-nas.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import torch

from nasbench_kit import checks
from nasbench_kit.algorithms.random_search import RandomSearch
from nasbench_kit.algorithms.zero_cost.proxies import PROXIES, ProxyName
from nasbench_kit.errors import InvalidSetting
from nasbench_kit.spaces.protocols import trainable
from nasbench_kit.training.device import usable
from nasbench_kit.training.loaded import Shuffled, load

if TYPE_CHECKING:
    from numpy.random import Generator

    from nasbench_kit import Oracle
    from nasbench_kit.spaces.protocols import Architecture

#: Architectures whose scoring ``check`` prices.
_REHEARSALS = 30


@dataclass(frozen=True)
class ZeroCost:
    """Random search that queries the architectures of the best zero-cost score first.

    Raises:
        InvalidSetting: an unknown proxy, or a number that is too small.
    """

    #: See `nasbench_kit.algorithms.zero_cost.proxies`.
    proxy: ProxyName = "synflow"
    #: Different architectures that are scored.
    samples: int = 3000
    #: Images of the minibatch.
    batch_size: int = 256
    #: Training length of every query; None is the table's longest.
    epochs: int | None = None

    #: It trains none, but as those searches do, it needs an oracle with a task, and pays for images.
    shares_weights: ClassVar[bool] = True
    asks_once: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.proxy not in PROXIES:
            raise InvalidSetting(
                f"proxy is {checks.shown(self.proxy)}; choose one of {', '.join(PROXIES)}"
            )
        checks.whole("samples", self.samples, 1)
        checks.whole("batch_size", self.batch_size, 2)  # batch norm needs two

    @classmethod
    def small(cls) -> Self:
        """200 samples and minibatches of 32, for tables of digits and budgets of some 150 queries.

        Images of 64 pixels have Jacobians of 64 numbers: correlations of as many images are singular.
        """
        return cls(samples=200, batch_size=32)

    def check(self, oracle: Oracle, rng: Generator) -> None:
        """Refuse, before any work, what ``__call__`` would refuse; charges nothing.

        Raises:
            InvalidSetting: as ``__call__``, and a budget that does not pay for scoring the samples.
        """
        scorer = Scorer(oracle, rng, self)
        drawn = [trainable(oracle.space.sample(rng)) for _ in range(_REHEARSALS)]
        prices = [oracle.price(architecture, scorer.paid_images) for architecture in drawn]
        each = dict(
            zip(("seconds", "epochs"), map(math.fsum, zip(*prices, strict=True)), strict=True)
        )
        for what, limit, spent in oracle.budget.meters():
            cost = self.samples * each.get(what, 0.0) / _REHEARSALS
            if cost > limit - spent:
                raise InvalidSetting(
                    f"scoring {self.samples:,} samples by {self.proxy} costs some {cost:.3g} {what}, and the "
                    f"budget is {limit:.3g}; lower samples, or raise the budget"
                )

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Architecture]:
        """Score different random architectures, query them best first, recommend the best queried.

        Raises:
            InvalidSetting: the oracle has no task, its budget limits queries only, architectures of the
                space cannot become networks, or there are fewer images than a batch has.
            BudgetExhausted: the budget is spent.
        """
        scorer = Scorer(oracle, rng, self)
        draws = RandomSearch.without_repetition().draws(oracle, rng)
        sampled = [(scorer(each), each) for each in itertools.islice(draws, self.samples)]
        best = None
        for _, architecture in sorted(sampled, key=lambda pair: -pair[0]):
            answer = oracle.query(architecture, self.epochs)
            if best is None or answer.validation_accuracy > best.validation_accuracy:
                best = answer
            yield best.architecture


class Scorer:
    """Scores architectures on one minibatch of training images.

    Args:
        oracle: has the task, and is paid.
        rng: draws the minibatch and fresh weights.
        settings: proxy and batch size.

    Raises:
        InvalidSetting: as `ZeroCost`.
    """

    def __init__(self, oracle: Oracle, rng: Generator, settings: ZeroCost) -> None:
        self._oracle = oracle
        self._task = task = oracle.task
        self._proxy = PROXIES[settings.proxy]
        #: Images that are passed forward and backward, at the price of as many of a training.
        self.paid_images = int(min(self._proxy.images, settings.batch_size))
        size = max(1, self.paid_images)
        if size > len(task.weights):
            raise InvalidSetting(
                f"batch_size is {size}, but there are {len(task.weights)} training images; choose a "
                "smaller batch"
            )
        self._device = usable(task.device)
        images = load(task.images, self._device, augment=task.recipe.augment)
        self._batch = images.batch(next(Shuffled(rng, len(task.weights), size)), rng)
        self._rng = rng

    def __call__(self, architecture: Architecture) -> float:
        """Pay, and score with fresh weights; -inf where the score is no number (a dead network).

        Raises:
            BudgetExhausted: the budget cannot pay.
        """
        if self.paid_images:
            self._oracle.charge(architecture, self.paid_images)
        return self.unpaid(architecture)

    def unpaid(self, architecture: Architecture) -> float:
        """The score alone: for comparison with the truth, which no search may look at."""
        images, labels = self._batch
        generator = torch.Generator().manual_seed(int(self._rng.integers(2**63)))
        network = trainable(architecture).network(
            self._task.recipe.skeleton,
            images.shape[1],
            self._task.classes,
            generator=generator,
            bn_momentum=self._task.recipe.bn_momentum,
            precision="float32",
        )
        network.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        score = self._proxy.score(network, images, labels)
        return score if math.isfinite(score) else -math.inf
