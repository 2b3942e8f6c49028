"""What the runs of a comparison are answered and scored by: a table, a trainer, or both."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.compare import held_out
from nasbench_kit.compare.objectives import check_recorded
from nasbench_kit.compare.scores import metric_in_words, scored_by
from nasbench_kit.compare.trained_scores import scoring_seeds
from nasbench_kit.errors import InvalidSetting, NotInSpace, NotInTable, WrongTable
from nasbench_kit.oracle.oracle import Oracle
from nasbench_kit.oracle.source import TrainerSource
from nasbench_kit.spaces.protocols import Numbered
from nasbench_kit.table.table import Table

if TYPE_CHECKING:
    from numpy.random import Generator

    from nasbench_kit.compare.plan import Plan
    from nasbench_kit.oracle.budget import Budget
    from nasbench_kit.oracle.fallback import StoredTrainer
    from nasbench_kit.oracle.task import Task
    from nasbench_kit.spaces.protocols import Space


class Benchmark:
    """The benchmark of a plan, opened.

    Args:
        plan: what is compared.
        table: the plan's, opened; None where it has none.
    """

    def __init__(self, plan: Plan, table: Table | None) -> None:
        self._plan = plan
        self.table = table

    @classmethod
    def of(cls, plan: Plan) -> Benchmark:
        """Open the benchmark of a plan.

        Raises:
            CorruptFile: the table was altered.
        """
        return cls(plan, None if plan.table is None else Table.open(plan.table))

    @property
    def name(self) -> str:
        """What the benchmark is called in print."""
        if self.table is not None:
            return self.table.name
        assert self._plan.space is not None  # the plan sees to it
        return self._plan.space.name

    @property
    def trainer(self) -> StoredTrainer | None:
        """What trains what the table lacks, or everything."""
        if self._plan.fallback is None:
            return None
        return _opened_trainer(self._plan.fallback, self.table)

    @property
    def space(self) -> Space:
        """What searches see."""
        if self.table is None or self._plan.fallback is not None:
            whole = None if self.table is None else self.table.space
            space = self._plan.space or whole
            assert space is not None
            return space
        return self.table.covered

    @property
    def epochs(self) -> tuple[int, ...]:
        """Lengths of training that can be asked for, ascending."""
        return self.table.epochs if self.table is not None else tuple(self._plan.fidelities)

    @property
    def scoring_seeds(self) -> range:
        """Of the trainings that score a recommended architecture which no table has."""
        return range(self._plan.repeats) if self.table is None else scoring_seeds(self.table)

    @property
    def scored_by(self) -> str:
        """The metric that scores what is recommended."""
        return "test_accuracy" if self.table is None else scored_by(self.table)

    @property
    def metric(self) -> str:
        """What scores, in words."""
        on_text = getattr(self.space, "material", "images") == "text"
        return metric_in_words(self.scored_by, self.table, self._plan.objectives, on_text=on_text)

    @property
    def checksum(self) -> str | None:
        """Of the table."""
        return None if self.table is None else self.table.checksum

    def conditions(self) -> dict[str, Any]:
        """What the results depend on, for the manifest."""
        table = self.table
        conditions: dict[str, Any] = {
            "table": None
            if table is None
            else {
                "name": table.name,
                "source": table.provenance.get("source", "measured"),
                "space": table.space.name,
                "cells": len(table),
                "checksum": table.checksum,
            },
            "scored_by": self.scored_by,
        }
        if self._plan.held_out_repeats:
            conditions["held_out_repeats"] = self._plan.held_out_repeats
        if self._plan.objectives:
            conditions["objectives"] = list(self._plan.objectives)
        if (trainer := self.trainer) is not None:
            conditions["fallback"] = {
                "space": self.space.name,
                "cells": _count(self.space),
                "order": self.space.digest,
                "epochs": list(self.epochs),
                **trainer.conditions,
                "scoring_seeds": list(self.scoring_seeds),
            }
        return conditions

    def check(self) -> None:
        """Refuse a budget that cannot be accounted for, or that pays for nothing; and a space.

        Raises:
            InvalidSetting: saying what does not go together.
            CorruptFile: the table was altered.
        """
        from nasbench_kit.compare.plan import shares_weights

        if self.table is not None:
            self.table.verify()
            held_out.check(self.table, self.scored_by, self._plan.held_out_repeats)
            self._check_objectives(self.table)
            if self._plan.fallback is not None:
                _check_space(self.space, self.table)
        elif self.trainer is not None:
            self.trainer.check(self.space)
        for what, limit in self._plan.budget.items():
            if what == "seconds" and not self._has_seconds():
                raise InvalidSetting(
                    f"{self._called()} records no seconds; limit epochs or queries instead"
                )
            cheapest = self._cheapest(what)
            searches = self._plan.algorithms.values()
            if limit < cheapest and not all(map(shares_weights, searches)):
                raise InvalidSetting(
                    f"a budget of {limit:g} {what} pays for nothing: the cheapest reading of "
                    f"{self.name} costs {cheapest:.3g}; give more"
                )

    def _check_objectives(self, table: Table) -> None:
        """Refuse objectives that the table lacks: those that score, and those of single searches."""
        check_recorded(table, self._plan.objectives)
        for label, search in self._plan.algorithms.items():
            try:
                check_recorded(table, getattr(search, "objectives", ()))
            except InvalidSetting as error:
                raise InvalidSetting(f"{label}: {error}") from None

    def check_unchanged(self, *, fresh: bool = False) -> None:
        """Refuse to keep what was read from a table that was altered or replaced meanwhile.

        Raises:
            CorruptFile, WrongTable: it was.
        """
        if self.table is not None:
            self.table.verify(fresh=fresh)
            self.table.check_in_place()

    def seen(self, seed: int) -> tuple[int, ...] | None:
        """The table's repeats that the searches of a run see; None if all."""
        if self.table is None:
            return None
        return held_out.seen(self.table, self.scored_by, self._plan.held_out_repeats, seed)

    def oracle(self, budget: Budget, rng: Generator, task: Task | None, seed: int = 0) -> Oracle:
        """A fresh oracle for the run of a seed."""
        policy, trainer = self._plan.policy, self.trainer
        if self.table is None:
            assert trainer is not None
            repeats = len(self.scoring_seeds)
            source = TrainerSource(trainer, self.space, self.epochs, repeats)
            return Oracle(source, budget, rng, policy=policy, task=task)
        space = None if trainer is None else self.space
        return Oracle(
            self.table,
            budget,
            rng,
            policy=policy,
            trainer=trainer,
            task=task,
            space=space,
            seen=self.seen(seed),
        )

    def task(self, checkpoint: Path | None = None) -> Task | None:
        """What a search trains on that shares weights."""
        if self._plan.task is None:
            return None
        task = _opened_task(self._plan.task, self.table)
        if self._plan.reward_images == "half-of-training":
            task = task.halved()
        return replace(task, device=self._plan.device, checkpoint=checkpoint)

    def text(self, architecture: Any) -> str:
        """The text of an architecture in the one form that equal ones share.

        Raises:
            NotInSpace, NotInTable: nobody could score it.
        """
        if self.table is not None:
            try:
                text: str = self.table.covered[self.table.row(architecture)].to_text()
                return text
            except (NotInSpace, NotInTable):
                if self._plan.fallback is None:
                    raise
        else:
            self.space.encode(architecture)  # refuses what is outside
        canonical: str = architecture.canonical().to_text()
        return canonical

    def _called(self) -> str:
        return f"the {'space' if self.table is None else 'table'} {self.name}"

    def _has_seconds(self) -> bool:
        if self.table is not None:
            return self.table.has("seconds")
        trainer = self.trainer
        return trainer is not None and trainer.cost is not None

    def _cheapest(self, what: str) -> float:
        """The least that one query can cost."""
        table = self.table
        if what == "queries":
            return 1
        if table is None:
            return 0.0 if what == "seconds" else self.epochs[0] // 2
        if what == "epochs":
            halfway = table.has("validation_accuracy", "halfway")
            return min(table.halfway_epochs.values()) if halfway else self.epochs[0]
        prices = []
        for checkpoint, metric in table.columns:
            if metric == "seconds":
                column = table.columns[checkpoint, metric]
                present = column.present
                recorded = column.values if present is None else column.values[present > 0]
                prices.append(float(np.nanmin(recorded)) if recorded.size else math.inf)
        return min(prices)


def _count(space: Space) -> int | None:
    """Of its architectures; None where they are not numbered, or too many."""
    with contextlib.suppress(InvalidSetting):
        return len(space) if isinstance(space, Numbered) else None
    return None


def _check_space(space: Space, table: Table) -> None:
    """A space of searches has all that the table has, and more."""
    for row in range(len(table)):
        if table.covered[row] not in space:
            raise InvalidSetting(
                f"the space {space.name} lacks {table.covered[row].to_text()} of the table "
                f"{table.name}; name a space that has all of it (--space), such as {table.space.name}"
            )
    if isinstance(space, Numbered) and len(space) == len(table):
        raise InvalidSetting(
            f"the table {table.name} has all {len(space):,} architectures of the space {space.name}, "
            "so there is nothing to train; name a wider space (--space v7e9 or v7e11, of cells), or "
            "leave --fallback out"
        )


@functools.lru_cache(maxsize=1)
def _opened_task(make: Callable[[Any], Task], table: Table | None) -> Task:
    """A process opens the images once for all its runs."""
    return make(table)


@functools.lru_cache(maxsize=1)
def _opened_trainer(make: Callable[[Any], StoredTrainer], table: Table | None) -> StoredTrainer:
    """A process opens the images once for all its trainings."""
    return make(table)


@functools.lru_cache(maxsize=1)
def opened(path: Path | None, checksum: str | None) -> Table | None:
    """A process opens the table once for all its runs.

    Raises:
        WrongTable: it is not the one that the comparison was started with.
    """
    if path is None:
        return None
    table = Table.open(path)
    if table.checksum != checksum:
        raise WrongTable(f"{path} is another table here than where the comparison was started")
    return table
