"""A table from rows of (text of an architecture, its metrics), which is all that many benchmarks are.

    >>> rows = [("22212220", {"validation_accuracy": [0.9328, 0.9333, 0.9277], "flops": 85164544})]
    >>> table_of_rows(spaces.named("nasbench-macro"), rows, source=path, epochs=50)

The metrics that a table knows are columns, of one number or of one a repeat; ``trainable_parameters``
is what it says; anything else is a cost, by its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.data.benchmarks.nasbench101.columns import exact_column
from nasbench_kit.errors import CorruptFile, InvalidArchitecture, NotInSpace
from nasbench_kit.table.table import COST, METRICS, Table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_kit.spaces.protocols import Numbered

_PARAMETERS = "trainable_parameters"

#: By name: accuracies in [0, 1], a number each repeat or one; costs in their own units.
Metrics = Mapping[str, float | Sequence[float]]


def table_of_rows(
    space: Numbered,
    rows: Iterable[tuple[str, Metrics]],
    *,
    source: Path,
    epochs: int,
    provenance: Mapping[str, Any],
) -> Table:
    """The table of one benchmark or task, of one training length, its numbers kept bit for bit.

    Args:
        space: what the texts are of. Any text of an architecture will do.
        rows: in any order; all with the same metrics and numbers of repeats.
        source: where they are from, in messages.
        epochs: of the trainings.
        provenance: of the table; with its ``name``.

    Raises:
        CorruptFile: a text of another space, an architecture that comes twice, a metric that is
            missing somewhere or no number, an accuracy outside [0, 1]; or no rows.
    """
    by_row: dict[int, Metrics] = {}
    for text, metrics in rows:
        try:
            row = space.index(space.parse(text))
        except (InvalidArchitecture, NotInSpace) as error:
            raise CorruptFile(f"{source}: {error}; get it again") from error
        if row in by_row:
            raise CorruptFile(f"{source}: {text} comes twice; get it again")
        by_row[row] = metrics
    if not by_row:
        raise CorruptFile(f"{source} holds no architecture; get it again")
    order = sorted(by_row)
    names = list(by_row[order[0]])
    if any(by_row[row].keys() != set(names) for row in order):
        raise CorruptFile(f"{source}: some architectures have other metrics; get it again")
    values = {name: _numbers(source, name, [by_row[row][name] for row in order]) for name in names}
    columns = {
        ("final", name): exact_column(values.pop(name)[:, None, :])
        for name in METRICS
        if name in names
    }
    extra: dict[str, NDArray[Any]] = {}
    if _PARAMETERS in values:
        extra[_PARAMETERS] = np.rint(values.pop(_PARAMETERS)[:, 0]).astype(np.uint32)
    extra |= {COST + name: array.mean(axis=1) for name, array in values.items()}
    return Table(
        space,
        [epochs],
        columns,
        rows=None if len(order) == len(space) else np.array(order, np.int32),
        extra=extra,
        provenance={"source": "measured", "made_from": source.name, **provenance},
    )


def _numbers(
    source: Path, name: str, values: Sequence[float | Sequence[float]]
) -> NDArray[np.float64]:
    """The values of one metric, float64 [rows, repeats]."""
    try:
        numbers = np.array(values, np.float64).reshape(len(values), -1)
    except (TypeError, ValueError) as error:
        raise CorruptFile(
            f"{source}: {name} is not a number, or not as many of them, everywhere; get it again"
        ) from error
    least, most = (0.0, 1.0) if name.endswith("_accuracy") else (0.0, np.inf)
    if not ((numbers >= least) & (numbers <= most) & np.isfinite(numbers)).all():
        raise CorruptFile(f"{source}: {name} is {numbers.min()} to {numbers.max()}; get it again")
    return numbers
