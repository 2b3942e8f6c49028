"""The plan of a comparison: every algorithm with every seed, under one budget."""

from __future__ import annotations

import importlib.metadata
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from nasbench_kit.checks import whole
from nasbench_kit.compare.checks import (
    checked_algorithms,
    checked_choice,
    checked_limits,
    checked_seeds,
    checked_type,
)
from nasbench_kit.compare.objectives import checked_objectives
from nasbench_kit.errors import InvalidSetting
from nasbench_kit.oracle.oracle import Policy
from nasbench_kit.spaces.protocols import Space
from nasbench_kit.system.files import as_path
from nasbench_kit.version import __version__

if TYPE_CHECKING:
    from nasbench_kit.compare.benchmark import Benchmark
    from nasbench_kit.oracle.fallback import StoredTrainer
    from nasbench_kit.oracle.search import Search
    from nasbench_kit.oracle.task import Task
    from nasbench_kit.table.table import Table

RewardImages = Literal["validation", "half-of-training"]

#: Packages beside this one that results may depend on.
_LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch", "optuna")


@dataclass(frozen=True)
class Plan:
    """What to compare: every algorithm with every seed, under one budget, on one benchmark.

    The benchmark is a table; a table, and a trainer for what it lacks (``fallback``); or, where the
    table is None, a space all of whose architectures are trained.

    Raises:
        InvalidSetting: no algorithm, no seed, no budget, a value that cannot work, a space without a
            trainer, or no table without both.
    """

    #: Its file; text becomes a path. None: everything is trained.
    table: Path | None
    #: By label: a name for results and files.
    algorithms: Mapping[str, Search]
    seeds: Sequence[int]
    #: Limits by name: "seconds", "epochs", "queries".
    budget: Mapping[str, float]
    policy: Policy = "always"
    #: That makes the same comparison from a shell, if there is one.
    command: str | None = None
    #: From the table to what searches train on that share weights (``shares_weights`` is true).
    task: Callable[[Any], Task] | None = None
    #: What their architectures are rewarded by: validation images, or a half of the training images.
    reward_images: RewardImages = "validation"
    #: Where they compute.
    device: str = "cpu"
    #: From the table to what trains what it lacks; without it searches keep to the table's.
    fallback: Callable[[Any], StoredTrainer] | None = None
    #: What searches see with a trainer: with a table, a space that has all that the table has, and
    #: more; None is the table's whole space.
    space: Space | None = None
    #: Without a table: lengths of training that searches may ask for, ascending.
    fidelities: Sequence[int] = (4, 12, 36)
    #: Without a table: seeds of trainings that a query may draw, and that score what is recommended.
    repeats: int = 3
    #: Repeats of the table that searches never see, and that score what they recommend; 0: they see all,
    #: and are scored by all.
    held_out_repeats: int = 0
    #: What runs are scored by: "accuracy" and costs that the table records; none is accuracy alone.
    #: Searches with an empty setting ``objectives`` get them.
    objectives: Sequence[str] = ()

    def __post_init__(self) -> None:
        checked: dict[str, Any] = {
            "table": None if self.table is None else as_path(self.table, "table"),
            "algorithms": checked_algorithms(self.algorithms),
            "seeds": checked_seeds(self.seeds),
            "budget": checked_limits(self.budget),
            "repeats": whole("repeats", self.repeats, 1, 1000),
            "held_out_repeats": whole("held_out_repeats", self.held_out_repeats, 0, 1000),
            "fidelities": _checked_fidelities(self.fidelities),
            "objectives": checked_objectives(self.objectives),
        }
        checked["algorithms"] = _with_objectives(checked["algorithms"], checked["objectives"])
        for name, value in checked.items():
            object.__setattr__(self, name, value)  # the dataclass is frozen
        checked_choice(self.policy, Policy, "policy")
        checked_choice(self.reward_images, RewardImages, "reward_images")
        checked_type(self.device, str, "name a device such as 'cpu' or 'cuda'")
        if self.command is not None:
            checked_type(self.command, str, "give the command as text, or None")
        for name, made in (("task", "Task"), ("fallback", "Fallback")):
            if (make := getattr(self, name)) is not None and not callable(make):
                raise InvalidSetting(
                    f"{name} is {make!r}; give a callable from a Table to its {made}"
                )
        if self.space is not None:
            if not isinstance(self.space, Space):
                raise InvalidSetting(
                    f"the space is {self.space!r}; give one such as CellSpace(), or None"
                )
            if self.fallback is None:
                raise InvalidSetting(
                    f"searches in the space {self.space.name} meet architectures that the table "
                    "lacks; have them trained (--fallback), or leave the space out"
                )
        if self.held_out_repeats and (self.table is None or self.fallback is not None):
            raise InvalidSetting(
                f"held_out_repeats is {self.held_out_repeats}; that goes with a table alone, since "
                "what is trained is scored by trainings of its own"
            )
        if self.objectives and (self.table is None or self.fallback is not None):
            raise InvalidSetting(
                f"the objectives {', '.join(self.objectives)} are scored by a table alone, since nobody knows "
                "the costs of what is trained; name a table, and leave fallback and objectives apart"
            )
        if self.table is None and (self.space is None or self.fallback is None):
            raise InvalidSetting(
                "there is no table, so there must be a space, and a fallback that trains; name a "
                "table, or both"
            )

    @property
    def jobs(self) -> list[tuple[str, int]]:
        """Label and seed of every run."""
        return [(label, seed) for label in self.algorithms for seed in self.seeds]

    def manifest(self, benchmark: Benchmark | Table) -> dict[str, Any]:
        """All that the results depend on, to be found again beside them."""
        from nasbench_kit.compare.benchmark import Benchmark

        if not isinstance(benchmark, Benchmark):
            benchmark = Benchmark(self, benchmark)
        return {
            "versions": {"nasbench_kit": __version__, **_versions()},
            **benchmark.conditions(),
            "budget": dict(self.budget),
            "policy": self.policy,
            "algorithms": {
                label: self._described(search) for label, search in self.algorithms.items()
            },
            "commands": [self.command] if self.command else [],
        }

    def _described(self, search: Search) -> dict[str, Any]:
        if not shares_weights(search):
            return _described(search)
        images = {"reward_images": self.reward_images, "device": self.device}
        return {**_described(search), **images}


def shares_weights(search: Search) -> bool:
    """Whether a search trains shared weights, and so needs a task."""
    return getattr(search, "shares_weights", False)


def _with_objectives(
    searches: Mapping[str, Search], objectives: Sequence[str]
) -> dict[str, Search]:
    """Searches that weigh several objectives get those of the comparison, unless they have their own.

    Raises:
        InvalidSetting: neither names any, or they do not suit the search.
    """
    filled = dict(searches)
    for label, search in searches.items():
        if getattr(search, "objectives", None) != ():
            continue
        if not objectives:
            raise InvalidSetting(
                f"{label} weighs several objectives, and none are named; add --objectives accuracy and a "
                "cost that the table records, or give it a setting objectives"
            )
        try:
            filled[label] = cast("Any", replace)(search, objectives=tuple(objectives))
        except InvalidSetting as error:
            raise InvalidSetting(f"{label}: {error}") from None
    return filled


def _checked_fidelities(values: object) -> tuple[int, ...]:
    if isinstance(values, str | bytes) or not isinstance(values, Sequence) or not values:
        raise InvalidSetting(f"fidelities are {values!r}; give epochs, such as (4, 12, 36)")
    epochs = tuple(whole("a fidelity", value, 1, 1_000_000) for value in values)
    if list(epochs) != sorted(set(epochs)):
        raise InvalidSetting(f"fidelities are {epochs}; they must ascend")
    return epochs


def _versions() -> dict[str, str]:
    versions = {}
    for name in _LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _described(search: Search) -> dict[str, Any]:
    """Class and hyper-parameters of a search, as JSON can hold them."""
    kind = type(search)
    settings: dict[str, Any] = {}
    if is_dataclass(search):
        settings = {field.name: getattr(search, field.name) for field in fields(search)}
    described = {"class": f"{kind.__module__}.{kind.__qualname__}", "settings": settings}
    plain: dict[str, Any] = json.loads(
        json.dumps(described, default=_named, skipkeys=True),
        parse_constant=str,  # JSON has no infinity
    )
    return plain


def _named(value: object) -> str:
    """What stands for a setting that JSON cannot hold; the same in every process."""
    name = getattr(value, "__qualname__", None)
    return str(name) if name else re.sub(r" at 0x[0-9a-f]+", "", str(value))
