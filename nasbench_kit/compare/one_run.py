"""One run of one algorithm: a fresh oracle, fresh generators, to its end."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nasbench_kit.compare.audit import audit
from nasbench_kit.compare.benchmark import Benchmark
from nasbench_kit.compare.checks import checked_label, checked_seed, checked_type
from nasbench_kit.compare.following import follow
from nasbench_kit.compare.plan import Plan, shares_weights
from nasbench_kit.compare.trace import Spending, Trace
from nasbench_kit.errors import AccountsDisagree
from nasbench_kit.oracle.answer import Answer
from nasbench_kit.oracle.budget import Budget, Charge
from nasbench_kit.table.table import Table


def run_one(
    plan: Plan,
    benchmark: Benchmark | Table,
    label: str,
    seed: int,
    checkpoint: Path | None = None,
) -> Trace:
    """The trace of one run; see ``played``."""
    return played(plan, benchmark, label, seed, checkpoint)[0]


def played(
    plan: Plan,
    benchmark: Benchmark | Table,
    label: str,
    seed: int,
    checkpoint: Path | None = None,
) -> tuple[Trace, Budget]:
    """One run: a fresh oracle, fresh generators, until the budget refuses or the search returns.

    What it paid for, answer by answer, is in the budget's ledger.

    Args:
        plan: what is compared.
        benchmark: the plan's, opened; or the plan's table, opened.
        label: of the algorithm.
        seed: of the run.
        checkpoint: where a search that shares weights keeps its state meanwhile.

    Raises:
        UnknownName: no algorithm has this label.
        InvalidSearch: the search returns or yields something else than architectures.
        NotInSpace, NotInTable: what is recommended is not in the table, and there is no fallback.
        AccountsDisagree: the search spent more than the budget, or changed what it must not.
        Exception: whatever the search raises.
    """
    checked_type(plan, Plan, "give what to compare as a Plan")
    if not isinstance(benchmark, Benchmark):
        benchmark = Benchmark(plan, checked_type(benchmark, Table, "open it with Table.open"))
    checked_label(label, plan.algorithms)
    seed = checked_seed(seed)
    entropy = [seed, zlib.crc32(label.encode())]
    for_oracle, for_search = map(np.random.default_rng, np.random.SeedSequence(entropy).spawn(2))
    budget = Budget(**plan.budget)  # type: ignore[arg-type]  # checked by Budget
    search = plan.algorithms[label]
    task = benchmark.task(checkpoint) if shares_weights(search) else None
    oracle = benchmark.oracle(budget, for_oracle, task, seed)
    incumbents, ended = follow(search, oracle.handle(), budget, for_search, benchmark.text)
    try:
        audit(
            budget,
            benchmark.table,
            incumbents,
            seen=benchmark.seen(seed),
            elapsed=oracle.elapsed,
            workers=getattr(search, "workers", None),
        )
    except AccountsDisagree as error:
        raise AccountsDisagree(
            f"{label} with seed {seed}: {error}; nothing of it is saved"
        ) from None
    trace = Trace(
        label,
        seed,
        ended,
        budget.spent_seconds,
        budget.spent_epochs,
        budget.spent_queries,
        unique_architectures=_different(benchmark.table, budget.ledger),
        incumbents=incumbents,
        ledger=_by_kind(budget.ledger),
        elapsed=oracle.elapsed,
    )
    return trace, budget


def _different(table: Table | None, ledger: Sequence[Charge]) -> int:
    """Different architectures among the answers that were paid for."""
    answers = [charge for charge in ledger if isinstance(charge.item, Answer)]
    trained = {charge.item.architecture for charge in answers if charge.kind == "training"}
    if table is None:
        return len(trained)
    row = table.covered.index
    rows = {row(charge.item.architecture) for charge in answers if charge.kind != "training"}
    return len(rows) + len(trained)


def _by_kind(ledger: Sequence[Charge]) -> dict[str, Spending]:
    """The ledger summed by kind of charge, in the order of their first charges."""
    spendings = {}
    for kind in dict.fromkeys(charge.kind for charge in ledger):
        charges = [charge for charge in ledger if charge.kind == kind]
        _, seconds, epochs, queries, _ = zip(*charges, strict=True)
        spendings[kind] = Spending(
            len(seconds), math.fsum(seconds), math.fsum(epochs), sum(queries)
        )
    return spendings
