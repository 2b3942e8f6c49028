"""What a search sampled, one architecture after the other: a finished run, played again.

A trace keeps recommendations alone. The same plan gives the same run, answers from a table take no time,
and trainings are kept in the store, so that playing a run again costs little.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from nasbench_kit.compare.benchmark import Benchmark
from nasbench_kit.compare.one_run import played
from nasbench_kit.compare.plan import Plan
from nasbench_kit.compare.run_folder import load_trace, read_manifest, trace_path
from nasbench_kit.errors import CorruptFile, InvalidSetting, UnknownName
from nasbench_kit.oracle.answer import Answer


class Sample(NamedTuple):
    """An architecture that a search asked for, and what it learned."""

    architecture: Any
    #: In [0, 1].
    validation_accuracy: float
    #: Length of the training.
    epochs: int


def samples(plan: Plan, folder: Path, label: str, seed: int) -> list[Sample]:
    """Everything that a finished run of a folder asked and paid for, in order.

    Args:
        plan: that the folder was made by.
        folder: of the comparison.
        label: of the algorithm.
        seed: of the run.

    Raises:
        UnknownName: there is no such run.
        InvalidSetting: played again it comes to something else, as with another version or table.
        CorruptFile: the folder is damaged.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise CorruptFile(f"{folder} holds no comparison: manifest.json is missing; run it again")
    path = trace_path(folder, label, seed)
    if label not in plan.algorithms or not path.is_file():
        raise UnknownName(f"{folder} has no finished run of {label} with seed {seed}; run it first")
    trace, budget = played(plan, Benchmark.of(plan), label, seed)
    if trace != load_trace(path, manifest):
        raise InvalidSetting(
            f"{label} with seed {seed}, played again, is another run than that in {folder}; it was made "
            "with another version, table or store of trainings: run it again"
        )
    answers = [charge.item for charge in budget.ledger if isinstance(charge.item, Answer)]
    return [Sample(each.architecture, each.validation_accuracy, each.epochs) for each in answers]
