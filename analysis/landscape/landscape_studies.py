"""The landscape of a table: locality and random walks, from a table to findings and figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import rankdata

from nasbench_kit.analysis.landscape import landscape_plots as plots
from nasbench_kit.analysis.landscape.distance import encoding_distances
from nasbench_kit.analysis.landscape.encodings import Encodings
from nasbench_kit.analysis.landscape.local_search import (
    LocalSearchOutcome,
    local_optima,
    local_search,
)
from nasbench_kit.analysis.landscape.locality import correlogram, fitness_distance, top_cells
from nasbench_kit.analysis.landscape.random_walk import (
    Autocorrelation,
    cell_autocorrelation,
    exact_autocorrelation,
    sampled_autocorrelation,
    stationary_law,
)
from nasbench_kit.analysis.landscape.study import (
    ACCURACY,
    METRIC,
    Options,
    Study,
    of_cells,
    on_space,
    tidy,
)
from nasbench_kit.errors import NotRecorded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_kit.table.table import Table

#: Random walks are followed up to this lag: the paper's distance 7, beyond its 6.
_LAGS = 49
#: Most cells used as top cells: in a noisy table many lie within the best one's error.
_MOST_TARGETS = 100


def locality(table: Table, options: Options) -> Study:
    """Accuracy against edit distance, top cells, local optima and the outcome of local search.

    Raises:
        InvalidSetting: a table of something else than cells.
        NotRecorded: all cells are equally accurate.
    """
    study = Study(table, "Locality")
    space = of_cells(table)
    encodings = Encodings(space)
    readings = on_space(table, table.values(METRIC))
    values = readings.mean(axis=1)
    if np.nanmin(values) == np.nanmax(values):
        raise NotRecorded(f"all cells of the table {table.name} are equally accurate")

    top = top_cells(readings)
    how = "within two standard errors of the best" if table.repeats > 1 else "taken as the best"
    study.findings.append(
        f"The best cell, {space[int(top[0])].to_text()}, reaches {values[top[0]]:.2%}; "
        f"{len(top) - 1} others are {how}."
    )
    if not table.complete:
        study.findings.append(
            "The table is partial: these are the best of its own cells, and statements about all cells "
            "take its own for a uniform sample of them."
        )
    top = top[:_MOST_TARGETS]
    _against_distance(study, encodings, values, top)
    _volume(study, encodings, top)
    try:
        _local_search(study, values)
    except NotRecorded as error:
        study.findings.append(f"Not computed: {error}.")
    _correlogram(study, encodings, values, options)
    return study


def _against_distance(
    study: Study, encodings: Encodings, values: NDArray[np.float64], top: NDArray[np.intp]
) -> None:
    space = encodings.space
    one, several, around = study.panels("fitness_distance", "Accuracy near the best cells", 3)
    rows: list[tuple[object, ...]] = []
    for ax, targets, name in (
        (one, top[:1], "the best cell"),
        (several, top, f"the nearest of the best {len(top)}"),
    ):
        by_distance = fitness_distance(encodings, values, targets)
        plots.draw_by_distance(by_distance, ax, name).set_ylabel(ACCURACY)
        rows += [
            (name, distance, by_distance.cells[distance], by_distance.mean[distance])
            for distance in np.flatnonzero(by_distance.cells).tolist()
        ]
        study.findings.append(
            f"Fitness-distance correlation to {name}: {by_distance.correlation:.3f}."
        )
    drawn = top[:12]
    near = [values[space.neighbours(row)] for row in drawn.tolist()]
    near = [accuracies[~np.isnan(accuracies)] for accuracies in near]
    plots.draw_neighbourhoods(values[drawn], near, around).set_ylabel(ACCURACY)
    study.frames["fitness_distance"] = tidy("to distance cells mean", rows)


def _volume(study: Study, encodings: Encodings, top: NDArray[np.intp]) -> None:
    valid, everything = encoding_distances(encodings, top)
    (ax,) = study.panels("volume", "Encodings near a top cell")
    plots.draw_volume(valid, everything, ax)
    within = valid.cumsum() / valid.sum()
    study.findings.append(
        f"{valid[0]:,} of {valid.sum():,} valid encodings describe a top cell; "
        f"{within[min(6, len(within) - 1)]:.1%} lie within edit distance 6 of one"
        + (" (the paper: 35.4 %)." if encodings.space.name == "v7e9" else ".")
    )
    study.frames["volume"] = {
        "distance": np.arange(len(everything)),
        "valid_encodings": np.pad(valid, (0, len(everything) - len(valid))),
        "all_encodings": everything,
    }


def _correlogram(
    study: Study, encodings: Encodings, values: NDArray[np.float64], options: Options
) -> None:
    # Of ranks: a few failed trainings would outweigh all other cells.
    ranks = np.full_like(values, np.nan)
    recorded = ~np.isnan(values)
    ranks[recorded] = rankdata(values[recorded])
    correlations = correlogram(encodings, ranks, options.rng, progress=options.progress)
    (ax,) = study.panels("correlogram", "Correlation by edit distance")
    plots.draw_correlogram(correlations, ax).set_ylabel("correlation of ranks")
    near = int(np.flatnonzero(correlations.pairs)[1])  # 1, but in a small sample
    spread = f" ± {1.96 * correlations.error[near]:.3f}" if correlations.error[near] else ""
    lost = np.flatnonzero(correlations.rho < 1.96 * correlations.error)
    study.findings.append(
        f"The ranks of cells at edit distance {near} correlate by {correlations.rho[near]:.3f}{spread}"
        + (f"; at distance {lost[0]} no correlation is left." if len(lost) else ".")
    )
    study.frames["correlogram"] = {
        "distance": np.arange(len(correlations.rho)),
        "pairs": correlations.pairs,
        "correlation": correlations.rho,
        "standard_error": correlations.error,
    }


def _local_search(study: Study, values: NDArray[np.float64]) -> None:
    graph = study.table.space.neighbour_graph()
    optima = local_optima(graph, values)
    searches: dict[str, LocalSearchOutcome] = {
        "best improvement": local_search(graph, values, "best"),
        "first improvement": local_search(graph, values, "first"),
    }
    reach, basins = study.panels("local_search", "Local search from every cell", 2)
    plots.draw_reach(values, searches, reach)
    plots.draw_basins(searches, basins)
    study.findings.append(
        f"{optima.cells.sum():,} of {len(values):,} cells are local optima "
        f"({optima.strict.sum():,} of them better than all neighbours; single cells counted, "
        f"{optima.plateaus:,} plateaus from which equal steps lead to nothing better)."
    )
    rows = np.flatnonzero(optima.cells)
    rows = rows[np.argsort(-values[rows], kind="stable")]
    columns = {"row": rows, "cell": [study.table.space[int(row)].to_text() for row in rows]}
    columns["accuracy"] = values[rows]
    for name, search in searches.items():
        columns[f"basin_{name.replace(' ', '_')}"] = search.basin[rows]
        best = search.reaching(values, float(values.max()))
        mean = search.basin @ values
        study.findings.append(
            f"By {name}, a random start reaches the best cell with probability {best:.2%} and "
            f"{mean:.2%} on average, in {search.steps:.1f} moves and {search.queries:,.0f} queries."
        )
    study.frames["local_optima"] = columns


def random_walk(table: Table, options: Options) -> Study:
    """Autocorrelation along the paper's random walk (sampled, on request exact), and on unique cells.

    Raises:
        InvalidSetting: a table of something else than cells.
        NotRecorded: a partial table.
    """
    study = Study(table, "Random walks")
    encodings = Encodings(of_cells(table))
    law = stationary_law(encodings)
    half = int(np.searchsorted(np.sort(law)[::-1].cumsum(), 0.5)) + 1
    if not table.complete:
        raise NotRecorded(
            f"the table {table.name} covers {len(table):,} of {len(table.space):,} cells, where a "
            f"random walk spends {law[table.rows].sum():.0%} of its time (half of it on {half} small "
            "cells); 'analyze locality' shows accuracy against edit distance instead"
        )
    values = table.mean(METRIC)
    curves: dict[str, Autocorrelation] = {}
    curves["encodings, sampled"] = sampled_autocorrelation(
        encodings, values, options.rng, lags=_LAGS
    )
    graph = table.space.neighbour_graph()
    curves["unique cells, exact"] = cell_autocorrelation(graph, values, _LAGS)
    if options.exact:
        curves["encodings, exact"] = exact_autocorrelation(
            encodings, values, _LAGS, options.progress
        )

    (ax,) = study.panels("random_walk", "Random-walk autocorrelation")
    plots.draw_autocorrelation(curves, ax)
    for name, curve in curves.items():
        lag = curve.dies_out()
        end = f"beyond lag {_LAGS}" if lag is None else f"at lag {lag} (distance {lag**0.5:.1f})"
        study.findings.append(
            f"Walk on {name}: correlation length {curve.correlation_length:.2f} steps; lost in the "
            f"noise of one walk of 10,000 steps {end}; {curve.rho[36]:.3f} is left at distance 6."
        )
    study.findings.append(f"The walk on encodings spends half of its time on {half:,} cells.")
    study.frames["random_walk"] = {
        "walk": np.repeat(list(curves), _LAGS + 1),
        "lag": np.tile(np.arange(_LAGS + 1), len(curves)),
        "distance": np.tile(np.sqrt(np.arange(_LAGS + 1)), len(curves)),
        "autocorrelation": np.concatenate([curve.rho for curve in curves.values()]),
        "standard_error": np.concatenate(
            [np.zeros(_LAGS + 1) if c.error is None else c.error for c in curves.values()]
        ),
    }
    return study
