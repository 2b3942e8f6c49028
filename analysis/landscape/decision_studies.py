"""What the options of a space's decisions do to accuracy and costs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.analysis.landscape import table_plots as plots
from nasbench_kit.analysis.landscape.main_effects import MainEffects, main_effects
from nasbench_kit.analysis.landscape.neighbourhood import neighbourhood
from nasbench_kit.analysis.landscape.study import (
    METRIC,
    Options,
    Study,
    all_costs,
    tidy,
)
from nasbench_kit.errors import InvalidSetting, NotRecorded
from nasbench_kit.spaces.nasbench101.space import CellSpace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from nasbench_kit.table.table import Table

#: Panels side by side.
_PANELS = 3


def decisions(table: Table, options: Options) -> Study:
    """Mean accuracy and cost with each option of each decision, and what decisions add up to.

    Raises:
        InvalidSetting: a table of cells, whose decisions depend on a labelling.
        NotRecorded: all architectures are equally accurate.
    """
    space = table.space
    if isinstance(space, CellSpace):
        raise InvalidSetting(
            "the decisions of a cell depend on how its vertices are numbered; 'analyze operations' and "
            "'analyze topology' show what operations and edges do"
        )
    study = Study(table, "Decisions")
    taken = neighbourhood(space).options
    taken = taken if table.rows is None else taken[table.rows]
    sizes = [len(decision.options) for decision in space.decisions]
    effects = {study.accuracy: main_effects(taken, sizes, 100 * table.mean(METRIC))}
    for what, values in all_costs(table).items():
        try:
            effects[what] = main_effects(taken, sizes, values)
        except NotRecorded:
            study.findings.append(f"All architectures have the same {what}.")
    _accuracy(study, effects[study.accuracy])
    _costs(study, {what: found for what, found in effects.items() if what != study.accuracy})
    rows = [
        (what, decision.name, option, count, mean)
        for what, found in effects.items()
        for decision, counts, means in zip(space.decisions, found.counts, found.means, strict=True)
        for option, count, mean in zip(
            decision.options, counts.tolist(), means.tolist(), strict=True
        )
    ]
    study.frames["options"] = tidy("measure decision option architectures mean", rows)
    study.frames["decisions"] = tidy(
        "measure decision share_of_variance",
        (
            (what, decision.name, share)
            for what, found in effects.items()
            for decision, share in zip(space.decisions, found.shares.tolist(), strict=True)
        ),
    )
    return study


def _accuracy(study: Study, found: MainEffects) -> None:
    names = study.table.space.decisions
    means, shares = study.panels("decisions", "What each decision does", 2)
    plots.draw_options(names, found.means, means).set_xlabel(f"mean {study.accuracy}")
    plots.draw_shares([decision.name for decision in names], found.shares, shares)
    _legend(study.figures["decisions"], means)
    first = int(np.argmax(found.shares))
    best, worst = int(np.nanargmax(found.means[first])), int(np.nanargmin(found.means[first]))
    study.findings.append(
        f"Most depends on {names[first].name}, {found.shares[first]:.1%} of the variance of accuracy: "
        f"{found.means[first][best]:.2f} % on average with {names[first].options[best]}, "
        f"{found.means[first][worst]:.2f} % with {names[first].options[worst]}."
    )
    study.findings.append(
        f"One number for each option, added up, explains {found.additive:.1%} of the variance of "
        "accuracy; the rest are interactions of decisions, and noise."
    )
    if len(study.table) < math.prod(len(decision.options) for decision in names):
        study.findings.append(
            "Some combinations of options are missing, so decisions go together and their shares overlap."
        )


def _costs(study: Study, effects: dict[str, MainEffects]) -> None:
    names = list(effects)
    for start in range(0, len(names), _PANELS):
        shown = names[start : start + _PANELS]
        name = "decision_costs" + (f"_{start // _PANELS + 1}" if start else "")
        panels = study.panels(name, "What each decision costs", len(shown))
        for ax, what in zip(panels, shown, strict=True):
            decisions = study.table.space.decisions
            plots.draw_options(decisions, effects[what].means, ax).set_xlabel(f"mean {what}")
        _legend(study.figures[name], panels[0])
    if effects:
        explained = (f"{what} {found.additive:.1%}" for what, found in effects.items())
        study.findings.append(
            f"Numbers added up in this way explain of the variance of costs: {', '.join(explained)}."
        )


def _legend(figure: Figure, ax: Axes) -> None:
    """Of the options on one of the panels, for all panels of a figure."""
    handles, labels = ax.get_legend_handles_labels()
    longest = max(map(len, labels))
    columns = max(1, min(len(labels), int(figure.get_figwidth() * 12) // (longest + 5)))
    figure.legend(handles, labels, loc="outside lower left", ncols=columns)
