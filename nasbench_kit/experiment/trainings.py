"""Where an experiment's numbers do not come from a table: what trains, by what recipe, at what price."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nasbench_kit import checks
from nasbench_kit.data.data_sets import usual_recipe
from nasbench_kit.errors import InvalidSetting, UnknownName, did_you_mean
from nasbench_kit.oracle.fallback import StoredTrainer
from nasbench_kit.oracle.rates import Rates
from nasbench_kit.oracle.task import Task
from nasbench_kit.training.recipe import RECIPES

#: Epochs by the images' own recipe; nasbench101's are those of all other images.
_USUAL_FIDELITIES = {
    "digits": (4, 12, 36),
    "noisy-digits": (1, 4),
    "topics": (1, 3),
    "nasbench101": (4, 12, 36, 108),
}


@dataclass(frozen=True)
class Trainings:
    """How architectures are trained where there is no table."""

    recipe: str
    fidelities: tuple[int, ...]
    repeats: int
    #: The file of prices, if there is one, and what it says.
    rates_file: str | None = None
    rates: Rates | None = None

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Trainings:
        """What an experiment without a table says of them; the rest by its images.

        Raises:
            UnknownName: no such recipe.
            InvalidSetting: fidelities that are no list, or prices of another space.
        """
        usual = usual_recipe(settings.get("data"))
        recipe = settings.get("recipe", usual)
        if recipe not in RECIPES:
            raise UnknownName(
                f"no recipe is called {checks.shown(recipe)}; {did_you_mean(recipe, RECIPES)}"
            )
        fidelities = settings.get("fidelities", _USUAL_FIDELITIES[usual])
        if not isinstance(fidelities, list | tuple) or not fidelities:
            raise InvalidSetting(
                f"fidelities are {checks.shown(fidelities)}; give epochs, such as [4, 12, 36]"
            )
        epochs = tuple(checks.whole("a fidelity", each, 1, 1_000_000) for each in fidelities)
        file, space = settings.get("rates"), settings["space"]
        rates = None if file is None else Rates.load(Path(file))
        if rates is not None and rates.space != space:
            raise InvalidSetting(
                f"the rates in {file} are of the space {rates.space}, and the space is {space}; "
                f"measure others with nasbench-kit calibrate --space {space}"
            )
        return cls(recipe, epochs, settings.get("repeats", 3), file, rates)


@dataclass(frozen=True)
class OpenTask:
    """Opens the task of a table, or without one of images; equal ones open the same, in whatever process."""

    data: str | None
    trainings: Trainings | None

    def __call__(self, table: Any) -> Task:
        """The task; ``table`` is None where there are trainings."""
        from nasbench_kit.data.tasks import open_task, task_on  # only weight sharing needs images

        if self.trainings is None:
            return open_task(table, self.data)
        return task_on(self.data, RECIPES[self.trainings.recipe], self.trainings.rates)


@dataclass(frozen=True)
class OpenTrainer:
    """Opens the fallback of a table, or what trains without one."""

    data: str | None
    device: str
    #: That of the process which made the plan.
    store: Path
    trainings: Trainings | None

    def __call__(self, table: Any) -> StoredTrainer:
        """The trainer; ``table`` is None where there are trainings."""
        from nasbench_kit.data.tasks import open_fallback, open_trainer

        if self.trainings is None:
            return open_fallback(table, self.data, device=self.device, store=self.store)
        return open_trainer(
            self.data,
            RECIPES[self.trainings.recipe],
            device=self.device,
            store=self.store,
            rates=self.trainings.rates,
        )
