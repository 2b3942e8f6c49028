"""The data card of a measured table: how it was made and how good it is, in Markdown.

Every number is computed from the table, so that the card cannot disagree with it.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.analysis.landscape.headroom import headroom, sentence
from nasbench_kit.errors import NotRecorded

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nasbench_kit.table.table import Table

#: Cells shown as the best ones.
_BEST = 5


def measured_card(table: Table, command: str) -> str:
    """The card of a table whose every cell was trained.

    Args:
        table: with validation and test accuracy, and two repeats or more.
        command: the command that builds it again.

    Raises:
        NotRecorded: the table lacks these.
    """
    if table.repeats < 2:
        raise NotRecorded("a card compares repeats; the table has one only")
    made, clock = table.provenance, table.provenance["clock"]
    again = made.get("scoring", {"cells": 0, "trainings": 0})
    trainings = len(table) * len(table.epochs) * table.repeats + again["cells"] * again["trainings"]
    failed = made["failed_trainings"]
    seconds = "Seconds" if clock.get("seconds") is None else f"Seconds of the {clock['seconds']}"
    lines = [
        f"# {table.name}: {len(table):,} cells, really trained",
        "",
        (f"Every cell of the space `{table.space.name}`, trained from scratch on `{made['images']}` "
        f"(SHA-256 {made['images_digest'][:16]}…) by the recipe `{made['recipe']['name']}`: "
        f"{table.repeats} repeats at {listed(table.epochs)} epochs, each with its own annealing. "
        f"Seed {made['seed']}. Table checksum {table.checksum[:16]}…."),
        "",
        f"Made by `{command}` (it goes on where it was stopped, and trains nothing twice).",
        "",
        *_kept_for_scores(table),
        (f"{seconds}: each cell alone, one thread, on {clock['processor']} with torch {clock['torch']}; the "
        "minimum of five timed epochs in each of two rounds over all cells, times the epochs; halfway is "
        "half; the same for all repeats. "
        f"All trainings together: {_hours(table):.3g} hours of one core."),
        "",
        f"Failed trainings (NaN or infinite loss): {failed} of {trainings:,}.",
        "",
        "## Spread over cells against noise between repeats",
        "",
        ("Test accuracy. *Noise* is the standard deviation between repeats of one cell (root mean "
        "square over cells); *tau-b* and *Spearman* compare single repeats of validation accuracy (mean over "
        "pairs) or, in the last two columns, mean validation with mean test accuracy."),
        "",
        *markdown_grid(
            ("epochs", "min", "median", "max", "std over cells", "noise", "tau-b between repeats",
             "Spearman between repeats", "tau-b val-test", "Spearman val-test"),
            [_quality(table, epochs) for epochs in table.epochs],
        ),
        "",
        f"## The {_BEST} best cells by mean test accuracy at {table.epochs[-1]} epochs",
        "",
        *markdown_grid(("cell", "test", "validation", "seconds", "parameters"), _best(table)),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _kept_for_scores(table: Table) -> list[str]:
    """On the trainings that are kept for scores, and what they say; nothing where there are none."""
    if "scoring" not in table.provenance:
        return []
    again = table.provenance["scoring"]
    lines = [
        (f"The best tenth, {again['cells']} cells by mean validation accuracy at {table.epochs[-1]} epochs, was "
        f"trained {again['trainings']} more times there. These trainings are kept for scores, and no query is answered "
        "from them."),
        "",
    ]  # fmt: skip
    if len(table) >= 20:
        room = headroom(table)
        lines += [
            f"{sentence(room)} (`nasbench-kit analyze noise --table {table.name} --out DIR`)",
            "",
        ]
    return lines


def listed(numbers: Sequence[object]) -> str:
    """Numbers as a list in a sentence: 4, 12 and 36."""
    *head, last = map(str, numbers)
    return f"{', '.join(head)} and {last}" if head else last


def markdown_grid(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table in Markdown."""
    return [
        "| " + " | ".join(cells) + " |"
        for cells in (header, ["---"] * len(header), *rows)
    ]  # fmt: skip


def _hours(table: Table) -> float:
    spent = sum(table.values("seconds", epochs).sum() for epochs in table.epochs)
    return float(spent) / 3600


def _quality(table: Table, epochs: int) -> list[str]:
    from scipy.stats import kendalltau, spearmanr

    validation, test = (
        table.values(f"{split}_accuracy", epochs) for split in ("validation", "test")
    )
    means = test.mean(axis=1)
    noise = np.sqrt(test.var(axis=1, ddof=1).mean())
    pairs = list(itertools.combinations(validation.T, 2))
    taus = [kendalltau(one, other).statistic for one, other in pairs]
    rhos = [spearmanr(one, other).statistic for one, other in pairs]
    both = validation.mean(axis=1), means
    numbers = (
        means.min(), np.median(means), means.max(), means.std(), noise, np.mean(taus), np.mean(rhos),
        kendalltau(*both).statistic, spearmanr(*both).statistic,
    )  # fmt: skip
    return [str(epochs), *(f"{number:.3f}" for number in numbers)]


def _best(table: Table) -> list[list[str]]:
    test, validation, seconds = (
        table.mean(metric) for metric in ("test_accuracy", "validation_accuracy", "seconds")
    )
    rows = np.argsort(-test, kind="stable")[:_BEST].tolist()
    parameters = table.extra["trainable_parameters"]
    return [
        [
            f"`{table.covered[row].to_text()}`",
            f"{test[row]:.4f}",
            f"{validation[row]:.4f}",
            f"{seconds[row]:.2f}",
            f"{parameters[row]:,}",
        ]
        for row in rows
    ]
