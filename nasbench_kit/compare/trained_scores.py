"""Scores of what is recommended and no table has: trained after the runs, one file a training.

A file of the run folder's ``scores/`` holds what one seed came to at the table's largest fidelity, and
no clock reading; with them a comparison can be scored anywhere, without torch and without images.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.errors import CorruptFile, NotInSpace
from nasbench_kit.system.files import read_json, write_text
from nasbench_kit.table.noise import Noise
from nasbench_kit.training.record import score_of

if TYPE_CHECKING:
    from nasbench_kit.compare.trace import Trace
    from nasbench_kit.table.table import Table

_SPLITS = ("validation", "test")


def scoring_seeds(table: Table) -> range:
    """Seeds of the trainings whose mean scores a cell: as many as the table has repeats."""
    noise = Noise.of(table.provenance)
    return range(table.repeats if noise is None else noise.repeats)


def outside(table: Table | None, traces: Iterable[Trace]) -> list[str]:
    """The texts of everything recommended that the table lacks, in the order of the traces."""
    texts = dict.fromkeys(
        text
        for trace in traces
        for step in trace.incumbents
        for text in step.architecture.split(" ")
    )
    return [text for text in texts if table is None or row_of(table, text) is None]


def row_of(table: Table, text: str) -> int | None:
    """The table's row of an architecture; None where it has none.

    Raises:
        InvalidArchitecture: the text describes none.
    """
    try:
        return table.covered.index(table.space.parse(text))
    except NotInSpace:
        return None


def score_path(folder: Path, text: str, seed: int) -> Path:
    """Where the score of one training lies in a run folder."""
    name = hashlib.sha256(text.encode()).hexdigest()[:32]
    return folder / "scores" / f"{name}-{seed}.json"


def save_score(folder: Path, text: str, epochs: int, seed: int, record: Mapping[str, Any]) -> None:
    """Write what a training came to (the record of `nasbench_kit.oracle.fallback`), atomically."""
    scores = {split: record["final"][split] for split in _SPLITS}
    content = {"architecture": text, "epochs": epochs, "seed": seed, **scores}
    write_text(score_path(folder, text, seed), json.dumps(content) + "\n")


def trained_accuracies(
    folder: Path, metric: str, epochs: int, seeds: Sequence[int]
) -> dict[str, float]:
    """Text -> mean accuracy over the scoring seeds, of architectures that have all of them.

    Args:
        folder: of the comparison.
        metric: "validation_accuracy" or "test_accuracy".
        epochs: of the trainings, the comparison's longest.
        seeds: of the trainings.

    Raises:
        CorruptFile: a file holds no score of such a training.
    """
    accuracies: dict[str, dict[int, float]] = {}
    counted: set[str] = set()
    for path in sorted((folder / "scores").glob("*.json")):
        try:
            content = read_json(path)
            text, seed = content["architecture"], content["seed"]
            score = score_of(content[metric.removesuffix("_accuracy")])
            counted.add(score.size)
            if len(counted) > 1:
                raise ValueError(f"it counts {score.size}, and the files before it do not")
            if path != score_path(folder, text, seed):
                raise ValueError("its name is that of another training")
            if content["epochs"] != epochs:
                raise ValueError(f"it is of {content['epochs']} epochs")
            # As a table has it, to the last bit.
            accuracies.setdefault(text, {})[seed] = float(np.float32(score.accuracy))
        except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as e:
            raise CorruptFile(
                f"{path} holds no score ({e}); delete it and run the comparison again"
            ) from e
    return {
        text: float(np.mean([by_seed[seed] for seed in seeds]))
        for text, by_seed in accuracies.items()
        if by_seed.keys() >= set(seeds)
    }
