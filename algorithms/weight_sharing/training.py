"""Shared weights under training: batches, optimizer, price, and the state that a search resumes from."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nasbench_kit.errors import BudgetExhausted, InvalidSetting
from nasbench_kit.oracle.budget import Budget
from nasbench_kit.spaces.protocols import Numbered
from nasbench_kit.training.checkpoint import read, write
from nasbench_kit.training.device import usable
from nasbench_kit.training.recipe import TextRecipe
from nasbench_kit.training.text import check_material

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit import Oracle
    from nasbench_kit.algorithms.weight_sharing.search import WeightSharing
    from nasbench_kit.spaces.one_shot import Mixture, Relaxation
    from nasbench_kit.spaces.protocols import Architecture, Material
    from nasbench_kit.spaces.skeleton import Skeleton
    from nasbench_kit.training.data_set import Loaded

#: Draws in a row without a new architecture after which there is none left to find.
_PATIENCE = 1000


class OneShot(Protocol):
    """A search under way."""

    def epoch(self) -> Architecture:
        """Train for one epoch of the weights, and recommend an architecture."""
        ...

    def candidates(self) -> Iterator[Architecture]:
        """Architectures to be queried, the most promising first."""
        ...

    def parts(self) -> dict[str, Any]:
        """Modules and optimizers whose ``state_dict`` makes the search, beside the weights."""
        ...


def _part(budget: Budget, share: float) -> Budget:
    """A share of what is left of a budget's seconds and epochs."""
    left = {name: share * (limit - spent) for name, limit, spent in budget.meters()}
    return Budget(seconds=left.get("seconds"), epochs=left.get("epochs"))


class SharedWeights:
    """Shared weights under training: batches, optimizer, and what the steps cost."""

    def __init__(self, oracle: Oracle, rng: Generator, settings: WeightSharing) -> None:
        task = oracle.task
        size = settings.batch_size
        if size > min(len(task.weights), len(task.reward)):
            raise InvalidSetting(
                f"batch_size is {size}, but there are {len(task.weights)} images to train weights "
                f"on and {len(task.reward)} for rewards; choose a smaller batch"
            )
        self.device = device = usable(task.device)
        self.space = oracle.space
        self.rng = rng
        self.settings = settings
        self._oracle = oracle
        self._task = task
        self._seed = rng.bit_generator.state
        self._started_with = oracle.budget.meters()
        read: Material = getattr(self.space, "material", "images")
        check_material(read, task.images, task.recipe, f"the space {self.space.name}")
        # A text is cut into as many streams as a batch has rows.
        recipe = replace(task.recipe, batch_size=size, bn_batch_size=size)
        if isinstance(recipe, TextRecipe):  # an epoch has as many steps as it is paid for
            recipe = replace(recipe, window_deviation=0.0)
        self._data: Loaded = task.images.loaded(device, recipe)
        self.image_shape = task.images.shape
        self.skeleton = task.recipe.skeleton
        if not hasattr(self.space, "supernet"):
            raise InvalidSetting(
                f"the space {self.space.name} has no supernet, so its architectures cannot share "
                f"weights; {type(settings).__name__} needs another space"
            )
        self.rebuild(self.skeleton)
        self._weight_picks = self._data.picks(rng, size)
        self._reward_picks = self._data.picks(rng, size, "validation")
        self.steps_an_epoch = recipe.steps(1, len(task.weights))
        #: Images, or tokens, of one batch.
        self.step_examples = self._data.examples(size)
        self._epoch = 0
        #: What every epoch paid for, and what it came to: enough to repeat it without computing.
        self._journal: list[tuple[list[tuple[Any, int, bool]], str]] = []
        self._paid: list[tuple[Any, int, bool]] = []
        ranking = settings.share * settings.ranking_share if settings.share < 1 else 0.0
        self._allowance = _part(oracle.budget, settings.share - ranking)
        self._ranking = _part(oracle.budget, ranking)

    def rebuild(self, skeleton: Skeleton) -> None:
        """Fresh weights in a skeleton, and their optimizer."""
        settings = self.settings
        self.skeleton = skeleton
        generator = torch.Generator().manual_seed(int(self.rng.integers(2**63)))
        channels, classes = self.image_shape[2], self._task.classes
        self.supernet = self.space.supernet(skeleton, channels, classes, generator)
        self.supernet.to(self.device, memory_format=torch.channels_last)
        self._weights = list(self.supernet.parameters())  # to collect them takes a while
        self.optimizer = torch.optim.SGD(
            self._weights,
            lr=settings.learning_rate,
            momentum=settings.momentum,
            nesterov=settings.nesterov,
            weight_decay=settings.weight_decay,
            fused=True,  # one kernel for all weights
        )
        if settings.momentum:  # the kernel wants the momenta of all weights, or of none
            for weight in self._weights:
                self.optimizer.state[weight]["momentum_buffer"] = torch.zeros_like(weight)

    def relaxation(self) -> Relaxation:
        """Fresh logits of the space's choices, on the device of the weights.

        Raises:
            InvalidSetting: the space has no relaxation.
        """
        return self.space.relaxation(self.rng).to(self.device)

    # The loop ------------------------------------------------------------------------------------

    def trained(self, search: OneShot) -> Iterator[Architecture]:
        """The architecture recommended after each epoch.

        Raises:
            BudgetExhausted: the share of the budget is spent.
        """
        saved = self._task.checkpoint
        if saved is not None and saved.exists():
            yield from self._resumed(saved, search)
        written = time.monotonic()
        while not getattr(search, "finished", False) and (
            self.settings.epochs is None or self._epoch < self.settings.epochs
        ):
            for group in self.optimizer.param_groups:
                group["lr"] = self.learning_rate
            architecture = search.epoch()
            self._epoch += 1
            if saved is not None:
                self._journal.append((self._paid, architecture.to_text()))
                self._paid = []
                if time.monotonic() - written >= self._task.checkpoint_every_seconds:
                    self._save(saved, search)
                    written = time.monotonic()
            yield architecture

    @property
    def progress(self) -> float:
        """Share of the training that is over, in [0, 1]."""
        if self.settings.epochs is not None:
            return self._epoch / self.settings.epochs
        return self.spent_share

    @property
    def spent_share(self) -> float:
        """Of what training may spend, in [0, 1]."""
        spent = [spent / limit for _, limit, spent in self._allowance.meters() if limit]
        return max(spent, default=1.0)

    @property
    def learning_rate(self) -> float:
        """Of the weights in this epoch (Loshchilov & Hutter, SGDR, 2017, equation 5)."""
        least = self.settings.learning_rate_min
        place = min(1.0, self.progress)
        if self.settings.first_cycle is not None:
            epoch, cycle = self._epoch, self.settings.first_cycle
            while epoch >= cycle:
                epoch, cycle = epoch - cycle, 2 * cycle
            place = epoch / cycle
        cosine = 0.5 * (1 + math.cos(math.pi * place))
        return least + (self.settings.learning_rate - least) * cosine

    # Steps ---------------------------------------------------------------------------------------

    def pay(
        self, what: Architecture | NDArray[np.float64], images: int, backward: bool = True
    ) -> None:
        """Charge a step before it is made, within the share of the budget.

        Raises:
            BudgetExhausted: the share, or the budget, cannot pay.
        """
        seconds, epochs = self._oracle.price(what, images, backward)
        self._allowance.check(seconds, epochs)
        self._oracle.charge(what, images, backward)
        self._allowance.charge("supernet", seconds=seconds, epochs=epochs)
        if self._task.checkpoint is not None:
            text = what.tolist() if isinstance(what, np.ndarray) else what.to_text()
            self._paid.append((text, images, backward))

    def seconds(self, work: NDArray[np.float64]) -> float:
        """Of training some work on one image; 0 where the budget has no clock."""
        return self._oracle.price(work, 1)[0]

    def weight_batch(self) -> tuple[Tensor, Tensor]:
        """The next images [b, c, h, w] that weights are trained on, and their labels [b]."""
        return self._data.batch(next(self._weight_picks), self.rng)

    def reward_batch(self) -> tuple[Tensor, Tensor]:
        """The next images [b, c, h, w] that architectures are rewarded by, and their labels [b]."""
        return self._data.reward_batch(next(self._reward_picks))

    def same_reward_batch(self) -> tuple[Tensor, Tensor]:
        """The first reward images, whenever it is asked for; for measurements that a search must not feel."""
        size = min(self.settings.batch_size, len(self._task.reward))
        return self._data.reward_batch(np.arange(size))

    def loss(self, run: Architecture | Mixture, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Cross-entropy of a batch, [], and what a language model adds to it in training."""
        images, labels = batch
        loss = functional.cross_entropy(self.supernet(images, run), labels)
        return loss + getattr(self.supernet, "penalty", 0.0)

    def step(
        self, run: Architecture | Mixture | list[Architecture], batch: tuple[Tensor, Tensor]
    ) -> None:
        """One step of the weights, the architecture at rest; of several by their mean gradient.

        Weights that had no part in it are not decayed either.
        """
        runs: list[Any] = run if isinstance(run, list) else [run]
        self.optimizer.zero_grad()
        for one in runs:
            resting = one.detached() if hasattr(one, "detached") else one
            (self.loss(resting, batch) / len(runs)).backward()  # type: ignore[no-untyped-call]
        self.clipped_step()

    def clipped_step(self) -> None:
        """Update the weights by their gradients, cut to the largest norm."""
        gradients = [w.grad for w in self._weights if w.grad is not None]
        norm = torch.stack(torch._foreach_norm(gradients)).norm()
        # What the fused step divides gradients by.
        self.optimizer.grad_scale = ((norm + 1e-6) / self.settings.clip).clamp(min=1)  # type: ignore[attr-defined]
        self.optimizer.step()

    @torch.no_grad()
    def accuracy(self, run: Architecture | Mixture, batch: tuple[Tensor, Tensor]) -> float:
        """Accuracy in [0, 1] of a batch; on text 1 / perplexity."""
        images, labels = batch
        return self._data.accuracy(self.supernet(images, run), labels)

    def reward(self, architecture: Architecture, batch: tuple[Tensor, Tensor]) -> float:
        """Pay for the accuracy of an architecture on a batch, and measure it."""
        self.pay(architecture, batch[1].numel(), backward=False)
        return self.accuracy(architecture, batch)

    def whole_reward(self, architecture: Architecture | Mixture) -> float:
        """Accuracy on all reward images, in [0, 1]; unpaid: a search pays first."""
        return self._data.whole_reward(self.supernet, architecture)

    def paid_whole_reward(self, architecture: Architecture) -> float:
        """Pay for the accuracy on all reward images, and measure it."""
        self.pay(architecture, len(self._task.reward), backward=False)
        return self.whole_reward(architecture)

    def rank_from_here(self) -> None:
        """Spend what is kept for ranking, no longer what is for training."""
        self._allowance = self._ranking

    def best_of(
        self, architectures: Sequence[Architecture], batches: int, finalists: int
    ) -> Architecture:
        """The best of some architectures: all on the same few batches, the finalists on every image."""
        drawn = [self.reward_batch() for _ in range(batches)]
        scores = [
            sum(self.reward(architecture, batch) for batch in drawn)
            for architecture in architectures
        ]
        order = np.argsort(scores, kind="stable")[::-1][:finalists].tolist()
        if finalists == 1:
            return architectures[order[0]]
        for place in order:
            self.pay(architectures[place], len(self._task.reward), backward=False)
        return max((architectures[place] for place in order), key=self.whole_reward)

    def best_first(self, draw: Callable[[], Sequence[Architecture]]) -> Iterator[Architecture]:
        """Drawn architectures, no two alike: as many as can be paid by their reward, then others.

        Ends when a thousand draws in a row bring nothing new.
        """
        self.rank_from_here()
        architectures = self.distinct(draw)
        rewards: list[tuple[float, Architecture]] = []
        unpaid: list[Architecture] = []
        with contextlib.suppress(BudgetExhausted):
            for architecture in architectures:
                unpaid = [architecture]
                rewards.append((self.paid_whole_reward(architecture), architecture))
                unpaid = []
        yield from (architecture for _, architecture in sorted(rewards, key=lambda pair: -pair[0]))
        yield from itertools.chain(unpaid, architectures)

    def distinct(self, draw: Callable[[], Sequence[Architecture]]) -> Iterator[Architecture]:
        """Drawn architectures, no two alike, until a thousand draws in a row bring no new one."""
        seen: set[Architecture] = set()
        idle = 0
        while idle < _PATIENCE:
            for drawn in draw():
                idle += 1
                if drawn not in seen:
                    seen.add(drawn)
                    idle = 0
                    yield drawn

    # The saved state -----------------------------------------------------------------------------

    def _conditions(self) -> dict[str, Any]:
        """What a saved search must share with this one to be gone on from."""
        return {
            "settings": repr(self.settings),
            "space": self.space.digest,
            "recipe": repr(self._task.recipe),
            "images": self._task.images.digest,
            "price": list(self._oracle.price(self._example(), self._task.epoch_images)),
            "budget": [list(meter) for meter in self._started_with],
            "seed": self._seed,
        }

    def _example(self) -> Architecture:
        """Always the same architecture."""
        numbered = isinstance(self.space, Numbered)
        return self.space[0] if numbered else self.space.sample(np.random.default_rng(0))

    def _parts(self) -> dict[str, Any]:
        """The weights, which a search may have replaced meanwhile."""
        return {"supernet": self.supernet, "optimizer": self.optimizer}

    def _save(self, path: Path, search: OneShot) -> None:
        parts = {**search.parts(), **self._parts()}
        picks = (self._weight_picks, self._reward_picks)
        numbers = {"journal": self._journal, "rng": self.rng.bit_generator.state}
        tensors = {
            "ahead": [torch.from_numpy(each.ahead) for each in picks],
            "parts": {name: part.state_dict() for name, part in parts.items()},
        }
        write(path, self._conditions(), numbers, tensors)

    def _resumed(self, path: Path, search: OneShot) -> Iterator[Architecture]:
        """Become the saved state, then pay and recommend as its epochs did.

        Raises:
            CorruptFile, WrongTable: the file is no state of this search.
        """
        numbers, saved = read(path, self._conditions(), "search")
        for parts in (search.parts, self._parts):  # the search first: it may replace the weights
            for name, part in parts().items():
                part.load_state_dict(saved["parts"][name])
        self.rng.bit_generator.state = numbers["rng"]
        picks = (self._weight_picks, self._reward_picks)
        for pick, ahead in zip(picks, saved["ahead"], strict=True):
            pick.ahead = ahead.numpy()
        for paid, architecture in numbers["journal"]:
            for spent_on, images, backward in paid:
                work = (
                    self.space.parse(spent_on) if isinstance(spent_on, str) else np.array(spent_on)
                )
                self.pay(work, images, backward)
            self._journal.append((self._paid, architecture))
            self._paid = []
            self._epoch += 1
            yield self.space.parse(architecture)
