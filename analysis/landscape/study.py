"""The result of one analysis of a table: findings in words, figures, tidy data."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.analysis.figures import style
from nasbench_kit.checks import counted, generator
from nasbench_kit.errors import InvalidSetting, NotRecorded
from nasbench_kit.spaces.nasbench101.space import CellSpace
from nasbench_kit.table.table import SOURCES, checked

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit.table.table import Table

#: The metric of the landscape.
METRIC = "validation_accuracy"


@dataclass
class Study:
    """The result of one analysis.

    Args:
        table: the one that was analysed.
        title: heading, without the table's name.
        findings: sentences, plain text.
        figures: by file name.
        frames: tidy data by file name: column -> values of equal length.
    """

    table: Table
    title: str
    findings: list[str] = field(default_factory=list)
    figures: dict[str, Figure] = field(default_factory=dict)
    frames: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def noun(self) -> str:
        """What one of the table's architectures is called in its sentences and figures."""
        return noun(self.table)

    @property
    def accuracy(self) -> str:
        """What the axes of the table's accuracies are called."""
        return accuracy(self.table)

    def panels(self, name: str, title: str, count: int = 1) -> list[Axes]:
        """Axes side by side in a new figure, which is headed by the title and the table's name."""
        from matplotlib.figure import Figure  # not pyplot's, which would keep it in global state

        width = style.COLUMN if count == 1 else style.PAGE
        drawn = Figure(figsize=(width, 3.2), layout="constrained")
        drawn.suptitle(f"{title}: {label(self.table)}", x=0.01, ha="left", fontsize="medium")
        self.figures[name] = drawn
        axes: list[Axes] = drawn.subplots(1, count, squeeze=False)[0].tolist()
        return axes


@dataclass(frozen=True)
class Options:
    """How to analyse.

    Args:
        rng: draws samples and resamples.
        exact: whether to compute also what takes minutes on the full space.
        progress: called with (done, in all) during the longest part.
        objectives: the costs of ``pareto``, by a word of their labels; none for all.

    Raises:
        InvalidSetting: no generator.
    """

    rng: Generator
    exact: bool = False
    progress: Callable[[int, int], None] | None = None
    objectives: Sequence[str] = ()

    def __post_init__(self) -> None:
        generator(self.rng)


def tidy(names: str, rows: Iterable[Sequence[object]]) -> dict[str, list[object]]:
    """Rows as columns with these names, which are separated by spaces."""
    return dict(zip(names.split(), map(list, zip(*rows, strict=True)), strict=True))


def label(table: Table) -> str:
    """The table's name, with ``surrogate`` in it if numbers were predicted."""
    predicted = (table.sources() == SOURCES.index("surrogate")).any()
    return table.name + (" (surrogate)" if predicted and "surrogate" not in table.name else "")


def noun(table: Table) -> str:
    """What one of a table's architectures is called."""
    return "cell" if isinstance(table.space, CellSpace) else "architecture"


def accuracy(table: Table) -> str:
    """The metric of the landscape in words: of validation images, but where a benchmark has only others."""
    return f"{table.selection_metric} (%)"


def description(table: Table) -> str:
    """Which architectures the table covers and where its numbers come from."""
    whole = len(table.space)
    covered = f"all {whole:,}" if table.complete else f"{len(table):,} of {whole:,}"
    sources = sorted(SOURCES[number] for number in np.unique(table.sources()))
    sentence = (
        f"{label(table)} has {covered} architectures of the space {table.space.name}, trained for "
        f"{', '.join(map(str, table.epochs))} epochs, {counted(table.repeats, 'time')} each; its numbers are "
        f"{' and '.join(sources)}."
    )
    if table.selection_metric == "validation accuracy":
        return sentence
    return f"{sentence} Searches select by {table.selection_metric}, the only one that it has."


def of_cells(table: Table) -> CellSpace:
    """The space of a table of cells.

    Raises:
        InvalidSetting: its architectures are no cells, so that they have no edges and vertices.
    """
    if not isinstance(table.space, CellSpace):
        raise InvalidSetting(
            f"the architectures of {table.space.name} are no cells of NAS-Bench-101, of which this is an "
            "analysis; 'analyze decisions' shows what the options of its decisions do"
        )
    return table.space


def on_space(table: Table, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values of the table's rows [rows, ...] at the rows of its space; NaN where it has no row."""
    if table.rows is None:
        return values
    on_rows = np.full((len(table.space), *values.shape[1:]), np.nan)
    on_rows[table.rows] = values
    return on_rows


def costs(table: Table) -> dict[str, NDArray[np.float64]]:
    """Training time at the largest fidelity and parameters, where recorded, by axis label: [rows] each.

    Raises:
        CorruptFile: the table's file was altered.
    """
    checked(table)
    columns = {}
    if table.has("seconds"):
        with contextlib.suppress(NotRecorded):  # some rows may lack it
            columns["training time (s)"] = table.mean("seconds")
    if "trainable_parameters" in table.extra:
        columns["trainable parameters"] = table.extra["trainable_parameters"].astype(np.float64)
    return columns


def all_costs(table: Table) -> dict[str, NDArray[np.float64]]:
    """Time, parameters, and what else is recorded of every row, such as latency: [rows] each.

    Raises:
        CorruptFile: the table's file was altered.
    """
    further = {
        name.replace("_", " "): values.astype(np.float64)
        for name, values in table.costs.items()
        if np.isfinite(values).all()
    }
    return costs(table) | further


def chosen(
    prices: Mapping[str, NDArray[np.float64]], names: Sequence[str]
) -> dict[str, NDArray[np.float64]]:
    """The costs of these names: labels, or words that only one label has.

    Raises:
        InvalidSetting: no cost is called so, or several are.
    """
    costs = {}
    for name in names:
        labels = [label for label in prices if label == name] or [
            label for label in prices if name in label.replace("(", "").replace(")", "").split()
        ]
        if len(labels) != 1:
            raise InvalidSetting(
                f"{name!r} names {len(labels)} costs of the table; it has {', '.join(prices) or 'none'}"
            )
        costs[labels[0]] = prices[labels[0]]
    return costs
