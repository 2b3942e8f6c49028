"""Trials of a Katib ENAS experiment: a controller writes architectures, each is trained from scratch.

The controller has Katib's settings and learns from rounds of parallelTrialCount trials, which processes may
train at the same time. In Katib each of
its steps writes another architecture and rewards it by the mean of all trials so far, so that nothing
can be learned; here every architecture gets its own accuracy. Trials are trained and validated on
images of the toolkit by one of its recipes: validation images are none of the test set.

The folder of an experiment has ``experiment.json``, and in ``trials`` for each trial its assignments and
metrics as Katib's API shows them. Trainings are kept in the store of the home folder, so that an
experiment started again trains only what is missing.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.errors import BudgetExhausted, InvalidSetting, TrainingFailed
from nasbench_kit.oracle.budget import Budget
from nasbench_kit.oracle.fallback import StoredTrainer
from nasbench_kit.oracle.oracle import Oracle
from nasbench_kit.oracle.source import TrainerSource
from nasbench_kit.spaces.decisions import Choices
from nasbench_kit.spaces.layers.katib import KatibSpace, operations
from nasbench_kit.system.files import read_json, write_text
from nasbench_kit.system.workers import finished

if TYPE_CHECKING:
    from nasbench_kit.algorithms.policy_gradient.controller_reinforce import ControllerReinforce
    from nasbench_kit.katib.experiment import Experiment

#: Epochs of a trial whose command does not say, as in Katib's trial image.
EPOCHS = 10
#: Trials of an experiment without maxTrialCount.
TRIALS = 12
_MOST_TRIALS = 1 << 30


@dataclass(frozen=True)
class Trial:
    """One architecture, trained."""

    name: str
    architecture: Choices
    #: What Katib hands to its container.
    assignments: dict[str, str]
    #: By name, at the end of the training; accuracies in [0, 1], or a genotype.
    metrics: dict[str, Any]
    #: Why it failed; None if it did not.
    failure: str | None = None

    def as_json(self) -> dict[str, Any]:
        """As Katib's API shows a trial."""
        shown = {
            "name": self.name,
            "parameterAssignments": _pairs(self.assignments),
            "observation": {"metrics": [_metric(*metric) for metric in self.metrics.items()]},
            "space": self.architecture.space.name,
            "text": self.architecture.to_text(),
        }
        return shown if self.failure is None else {**shown, "failure": self.failure}


def space_of(experiment: Experiment) -> KatibSpace:
    """The architectures of an ENAS experiment.

    Raises:
        InvalidSetting: an operation, parameter or value that Katib's trial image does not know.
    """
    return KatibSpace(operations(experiment.operations), experiment.layers)


def search_of(experiment: Experiment, epochs: int) -> ControllerReinforce:
    """The controller with an experiment's settings."""
    from nasbench_kit.algorithms.policy_gradient.controller_reinforce import ControllerReinforce

    settings: Any = {
        name.removeprefix("controller_"): value for name, value in experiment.settings.items()
    }
    return ControllerReinforce(
        hidden_size=settings["hidden_size"],
        learning_rate=settings["learning_rate"],
        cells_per_step=experiment.parallel,
        entropy_weight=settings["entropy_weight"] or 0.0,
        baseline_decay=settings["baseline_decay"],
        temperature=settings["temperature"] or 1.0,
        tanh_constant=settings["tanh_const"],
        operation_tanh_reduction=1.0,
        initial_range=0.01,
        steps=settings["train_steps"],
        skip_target=settings["skip_target"],
        skip_weight=settings["skip_weight"] or 0.0,
        epochs=epochs,
    )


def run(
    experiment: Experiment,
    trainer: StoredTrainer,
    *,
    epochs: int,
    budget: Budget,
    seed: int,
    workers: int = 1,
) -> Iterator[Trial]:
    """Train trial after trial until the budget ends or the goal is reached.

    Args:
        experiment: of Katib's ENAS.
        trainer: trains on images by a recipe.
        epochs: of each trial.
        budget: of all trials together.
        seed: of the controller.
        workers: processes that train the trials of a round; the trials do not depend on it.

    Yields:
        Each trial, those that failed among them.

    Raises:
        TrainingFailed: more trials failed than maxFailedTrialCount, which is none by default: out of
            memory, or a network that cannot be built.
    """
    from nasbench_kit.algorithms.policy_gradient.controller_reinforce import Rounds

    space = space_of(experiment)
    source = TrainerSource(trainer, space, (epochs,), 1)
    oracle = Oracle(source, budget, np.random.default_rng([seed, 0]))
    rounds = Rounds(search_of(experiment, epochs), space, np.random.default_rng([seed, 1]))
    count = failed = 0
    while True:
        batch = rounds.write()
        if workers > 1:
            paid = batch.architectures[: _affordable(budget, epochs)]
            jobs = [(architecture,) for architecture in paid]
            for _ in finished(_train, jobs, [(trainer, epochs)] * workers):
                pass  # the store has it
        for place, architecture in enumerate(batch.architectures):
            assert isinstance(architecture, Choices)  # every encoding is one
            if count == budget.queries:  # those that failed count, and were not paid
                return
            metrics, failure = {}, None
            try:
                answer = oracle.query(architecture, epochs)
            except BudgetExhausted:
                return
            except TrainingFailed as error:
                failed += 1
                if failed > experiment.failures:
                    raise
                failure = str(error)
            else:
                assert answer.train_accuracy is not None  # a trainer reports both
                metrics["Validation-Accuracy"] = answer.validation_accuracy
                metrics["Training-Accuracy"] = answer.train_accuracy
                batch.rewards[place] = metrics[experiment.metric]
            count += 1
            sizes = experiment.input_sizes, experiment.output_sizes
            assignments = space.assignments(architecture, *sizes)
            name = f"{experiment.name}-{count:04}"
            yield Trial(name, architecture, assignments, metrics, failure)
            if experiment.goal is not None and metrics.get(experiment.metric, 0) >= experiment.goal:
                return
        rounds.learn(batch)


def _affordable(budget: Budget, epochs: int) -> int:
    """Trials that the budget still pays for."""
    left = [_MOST_TRIALS]
    if budget.queries is not None:
        left.append(budget.queries - budget.spent_queries)
    if budget.epochs is not None:
        left.append(int((budget.epochs - budget.spent_epochs) // epochs))
    return min(left)


def _train(trainer: StoredTrainer, epochs: int, architecture: Choices) -> None:
    """One training, for the store."""
    with contextlib.suppress(TrainingFailed):  # it fails again, and is counted, when its turn comes
        trainer.record(architecture, epochs, 0)


class Folder:
    """The files of an experiment's run.

    Args:
        path: of the folder.
        conditions: what its trials depend on, as JSON can hold it.

    Raises:
        InvalidSetting: the folder has trials of other conditions.
        NotWritable: it cannot be written.
    """

    def __init__(self, path: Path, conditions: dict[str, Any]) -> None:
        self.path = path
        self.conditions = json.loads(json.dumps(conditions))
        file = path / "experiment.json"
        if file.exists():
            before = read_json(file)
            if not isinstance(before, dict) or before.get("conditions") != self.conditions:
                raise InvalidSetting(
                    f"{path} has another experiment, or the same under other conditions; choose another "
                    "folder with --out, or delete it"
                )
        else:
            self._write(file, {"conditions": self.conditions})

    def keep(self, trial: Trial) -> None:
        """Write a trial's file."""
        self._write(self.path / "trials" / f"{trial.name}.json", trial.as_json())

    def finish(self, best: Trial | None, count: int) -> None:
        """Write the experiment's own file, with its best trial as Katib's API shows it."""
        status: dict[str, Any] = {"conditions": self.conditions, "trials": count}
        if best is not None:
            status["currentOptimalTrial"] = {"bestTrialName": best.name, **best.as_json()}
        self._write(self.path / "experiment.json", status)

    def _write(self, path: Path, content: dict[str, Any]) -> None:
        write_text(path, json.dumps(content, indent=1) + "\n")


def conditions_of(
    experiment: Experiment, trainer: StoredTrainer, epochs: int, seed: int
) -> dict[str, Any]:
    """All that the trials depend on, but the budget: with more of it there are more of them."""
    return {
        "experiment": {
            name: value
            for name, value in asdict(experiment).items()
            if name not in ("trials", "failures", "unused")
        },
        "epochs": epochs,
        "seed": seed,
        "training": trainer.conditions,
    }


def _metric(name: str, value: float | str) -> dict[str, str]:
    """A metric that was reported once; Katib has no least and greatest of texts."""
    if isinstance(value, str):
        return {"name": name, "latest": value, "min": "unavailable", "max": "unavailable"}
    return {"name": name, **dict.fromkeys(("latest", "min", "max"), f"{value:.6f}")}


def _pairs(assignments: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in assignments.items()]
