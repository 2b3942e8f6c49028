"""Whether what a run spent is what its answers cost: checked after each run, before it is saved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, get_args

from nasbench_kit.errors import AccountsDisagree
from nasbench_kit.oracle.answer import Answer
from nasbench_kit.oracle.budget import Budget, Charge
from nasbench_kit.oracle.engine import Engine
from nasbench_kit.oracle.oracle import Oracle
from nasbench_kit.oracle.source import TableSource, TableThenTrainer, TrainerSource
from nasbench_kit.table.noise import Noise
from nasbench_kit.table.table import Checkpoint, Column, Table

if TYPE_CHECKING:
    from nasbench_kit.compare.trace import Incumbent

#: What a search could patch to get answers for less.
_GUARDED = (Oracle, Engine, Budget, TableSource, TableThenTrainer, TrainerSource, Table, Column)
#: Sums of the same numbers, added in another order.
_ROUNDING = 1e-9
#: Of copyreg, and of annotations that are evaluated when they are asked for.
_NOTES = {"__slotnames__", "__annotations__", "__annotations_cache__"}


def _members(kind: type) -> dict[str, object]:
    """What makes a class, without what Python itself notes there later."""
    return {name: member for name, member in vars(kind).items() if name not in _NOTES}


_AS_IMPORTED = {kind: _members(kind) for kind in _GUARDED}


def audit(
    budget: Budget,
    table: Table | None,
    incumbents: Sequence[Incumbent],
    *,
    seen: Sequence[int] | None = None,
    elapsed: float | None = None,
    workers: int | None = None,
) -> None:
    """Check a run's ledger against its totals and limits, and against the table's prices.

    Args:
        budget: that the oracle was given.
        table: that it answered from, if there is one.
        incumbents: what was recommended, at what spend.
        seen: the table's repeats that answers were of; None is all of them.
        elapsed: the time of the search's simulated workers, if there are any.
        workers: how many.

    Raises:
        AccountsDisagree: saying what does not fit.
    """
    for kind, members in _AS_IMPORTED.items():
        if _members(kind) != members:
            raise AccountsDisagree(
                f"the class {kind.__name__} is not what it was when it was imported: this search, or one "
                "before it in the same process, has patched it"
            )
    budget.audit()
    queries = [charge for charge in budget.ledger if charge.kind != "supernet"]
    for charge in queries:
        if charge.queries != 1 or not isinstance(charge.item, Answer):
            raise AccountsDisagree(f"a charge of the kind {charge.kind!r} paid for no query")
    if table is not None:
        _check_prices([charge for charge in queries if charge.kind == "query"], table, seen)
    end = (budget.spent_seconds, budget.spent_epochs, budget.spent_queries)
    spendings = [(0, 0, 0), *(incumbent[:3] for incumbent in incumbents), end]
    for before, after in pairwise(spendings):
        if any(a > b for a, b in zip(before, after, strict=True)):
            raise AccountsDisagree(f"the spending went back from {before} to {after}")
    if elapsed is not None:
        _check_elapsed(elapsed, budget.spent_seconds or budget.spent_epochs, workers)


def _check_elapsed(elapsed: float, spent: float, workers: int | None) -> None:
    """No more time passes than one worker would need, and no less than all of them, ever busy."""
    if workers is None:
        raise AccountsDisagree("a time was noted by a search that has no setting workers")
    least = spent / workers
    if not least * (1 - _ROUNDING) <= elapsed <= spent * (1 + _ROUNDING):
        raise AccountsDisagree(
            f"{elapsed:.12g} elapsed; trainings of {spent:.12g} take {workers} workers "
            f"{least:.12g} at least, and {spent:.12g} at most"
        )


def _check_prices(charges: Sequence[Charge], table: Table, seen: Sequence[int] | None) -> None:
    """Every answer is charged the table's own seconds: of one repeat, or of all where it is a mean."""
    read = {
        checkpoint == "halfway": table.column("seconds", checkpoint).reader()
        for checkpoint in get_args(Checkpoint)
        if table.has("seconds", checkpoint)
    }
    noise, count, index = Noise.of(table.provenance), table.repeats, table.covered.index
    visible = range(count if noise is None else noise.repeats) if seen is None else seen
    first = {epochs: place * count for place, epochs in enumerate(table.epochs)}
    stride = len(first) * count
    for _, paid, _, _, answer in charges:
        architecture, epochs, halfway, repeat, seconds, *_ = answer
        if seconds is None:  # nobody knows, and no limit asks
            price = 0.0
        elif repeat is None:
            row, place = index(architecture), first[epochs]
            column = table.column("validation_accuracy", "halfway" if halfway else "final")
            gaps = noise is None and column.present is not None
            present = column.repeats_of(row, place // count) if gaps else visible
            start = row * stride + place
            price = math.fsum(
                read[halfway](start + each % count) for each in present if each in visible
            )
        else:
            price = read[halfway](index(architecture) * stride + first[epochs] + repeat % count)
        if paid != price:
            raise AccountsDisagree(
                f"an answer was charged {paid:.12g} s and costs {price:.12g} s in the table"
            )
