"""A Katib DARTS experiment: one trial that searches, and ends in a genotype.

As in Katib, weights are trained on a half of the training images and the architecture on the other, by
the second order of DARTS; after each epoch the mixture is validated on that other half, and the
genotype of the best epoch is the result. Katib's optimiser of the weights also moves the
architecture's parameters; here it does not.

Source: kubeflow/katib, trial image darts-cnn-cifar10.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nasbench_kit.errors import BudgetExhausted, CorruptFile, InvalidSetting
from nasbench_kit.katib.experiment import DARTS
from nasbench_kit.oracle.budget import Budget
from nasbench_kit.oracle.fallback import StoredTrainer
from nasbench_kit.oracle.oracle import Oracle
from nasbench_kit.oracle.source import TrainerSource
from nasbench_kit.spaces.edge_cells.katib_darts import KatibDARTS, search_space
from nasbench_kit.system.files import read_json, write_text

if TYPE_CHECKING:
    from nasbench_kit.algorithms.weight_sharing.darts import DARTS as Search
    from nasbench_kit.katib.experiment import Experiment
    from nasbench_kit.oracle.task import Task
    from nasbench_kit.training.images import ImageSet
    from nasbench_kit.training.recipe import Recipe


#: Where an experiment says "None".
_BATCH_SIZE = 128


class Epoch(NamedTuple):
    """The search after one epoch."""

    #: The likeliest cells.
    architecture: Any
    #: Of the mixture, on the half that the architecture is trained on, in [0, 1].
    validation_accuracy: float


def space_of(experiment: Experiment) -> KatibDARTS:
    """The architectures of a DARTS experiment.

    Raises:
        InvalidSetting: an operation that there is not.
    """
    settings: Any = experiment.settings
    return KatibDARTS(
        search_space(experiment.operations),
        experiment.layers,
        settings["num_nodes"],
        settings["stem_multiplier"],
    )


def assignments(experiment: Experiment) -> dict[str, str]:
    """The parameters of the trial, exactly as Katib writes them."""
    settings = {name: setting.default for name, setting in DARTS.items()}
    given = {name: None if text == "None" else text for name, text in experiment.given.items()}
    texts = {
        "algorithm-settings": json.dumps({**settings, **given}),
        "search-space": json.dumps(search_space(experiment.operations)),
        "num-layers": str(experiment.layers),
    }
    return {name: text.replace('"', "'") for name, text in texts.items()}


def search_of(experiment: Experiment) -> Search:
    """DARTS with an experiment's settings.

    Raises:
        InvalidSetting: one that nothing can be searched with.
    """
    from nasbench_kit.algorithms.weight_sharing.darts import DARTS as Search

    settings: Any = experiment.settings
    for name in ("w_lr", "w_grad_clip", "alpha_lr"):
        if not settings[name]:
            raise InvalidSetting(f"{name} is 0, so that nothing would be learned; give more")
    if settings["w_momentum"] >= 1:
        raise InvalidSetting(f"w_momentum is {settings['w_momentum']}; it must be below 1")
    if settings["w_lr_min"] > settings["w_lr"]:
        raise InvalidSetting(
            f"w_lr_min is {settings['w_lr_min']}; it must be at most w_lr, {settings['w_lr']}"
        )
    return Search(
        order=2,
        epochs=settings["num_epochs"],
        batch_size=settings["batch_size"] or _BATCH_SIZE,
        learning_rate=settings["w_lr"],
        learning_rate_min=settings["w_lr_min"],
        momentum=settings["w_momentum"],
        weight_decay=settings["w_weight_decay"],
        clip=settings["w_grad_clip"],
        architecture_learning_rate=settings["alpha_lr"],
        architecture_weight_decay=settings["alpha_weight_decay"],
    )


def task_of(
    experiment: Experiment, images: ImageSet, recipe: Recipe, device: str, checkpoint: Path
) -> Task:
    """What the search trains on: two halves of the training images, and networks of ``init_channels``.

    Raises:
        InvalidSetting: there is but one training image.
    """
    from nasbench_kit.oracle.task import Task

    channels: Any = experiment.settings["init_channels"]
    recipe = replace(recipe, skeleton=replace(recipe.skeleton, stem_channels=channels))
    task = Task.of(images, recipe, None).halved()
    return replace(task, device=device, checkpoint=checkpoint)


def run(
    experiment: Experiment,
    task: Task,
    trainer: StoredTrainer,
    *,
    budget: Budget,
    seed: int,
    record: Path,
) -> Iterator[Epoch]:
    """Search epoch by epoch until the last one, or until the budget ends.

    Args:
        experiment: of Katib's DARTS.
        task: of ``task_of``.
        trainer: of the same images; nothing is asked of it.
        budget: of the search; validation after an epoch is not charged.
        seed: of all chance.
        record: file of the epochs' accuracies, by which a search goes on from its checkpoint.

    Raises:
        InvalidSetting: a batch larger than a half of the training images.
        CorruptFile: the record is damaged.
    """
    from nasbench_kit.algorithms.weight_sharing.darts import DARTSSearch
    from nasbench_kit.algorithms.weight_sharing.training import SharedWeights

    space = space_of(experiment)
    source = TrainerSource(trainer, space, (1,), 1)
    oracle = Oracle(source, budget, np.random.default_rng([seed, 0]), task=task)
    settings = search_of(experiment)
    shared = SharedWeights(oracle, np.random.default_rng([seed, 1]), settings)
    search = DARTSSearch(settings, shared)
    resumed = task.checkpoint is not None and task.checkpoint.exists()
    accuracies = _recorded(record) if resumed else []
    epochs = shared.trained(search)
    for number in itertools.count():
        try:
            architecture = next(epochs)
        except (BudgetExhausted, StopIteration):
            return
        if number >= len(accuracies):
            accuracies.append(shared.whole_reward(search.relaxation.mixture()))
            write_text(record, json.dumps(accuracies) + "\n")
        yield Epoch(architecture, accuracies[number])


def _recorded(path: Path) -> list[float]:
    if not path.exists():
        return []
    try:
        return [float(accuracy) for accuracy in read_json(path)]
    except (OSError, ValueError, TypeError) as error:
        raise CorruptFile(f"{path} is damaged; delete it, and the checkpoint beside it") from error
