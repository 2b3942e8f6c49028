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
from nasbench_kit.analysis.landscape.neighbourhood import Neighbourhood, neighbourhood
from nasbench_kit.analysis.landscape.random_walk import (
    Autocorrelation,
    cell_autocorrelation,
    exact_autocorrelation,
    sampled_autocorrelation,
    stationary_law,
)
from nasbench_kit.analysis.landscape.study import (
    METRIC,
    Options,
    Study,
    on_space,
    tidy,
)
from nasbench_kit.errors import NotRecorded
from nasbench_kit.spaces.nasbench101.space import CellSpace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_kit.analysis.landscape.distance import Distances
    from nasbench_kit.table.table import Table

#: Random walks are followed up to this lag: the paper's distance 7, beyond its 6.
_LAGS = 49
#: Most cells used as top cells: in a noisy table many lie within the best one's error.
_MOST_TARGETS = 100
#: Fewest architectures whose accuracies are compared by their distance.
_FEWEST = 10


def locality(table: Table, options: Options) -> Study:
    """Accuracy against distance, the best architectures, local optima and the outcome of local search.

    The distance is the edit distance of cells, and in any other space the steps from neighbour to
    neighbour.

    Raises:
        NotRecorded: all architectures are equally accurate, or there are less than ten.
    """
    study = Study(table, "Locality")
    space, noun = table.space, study.noun
    if len(table) < _FEWEST:
        raise NotRecorded(
            f"the table {table.name} covers {len(table)} {noun}s; accuracy against distance needs {_FEWEST}"
        )
    around = neighbourhood(space)
    distances: Distances = Encodings(space) if isinstance(space, CellSpace) else around
    try:
        readings = on_space(table, table.values(METRIC))
    except NotRecorded:  # some repeats are missing: what there is of each row counts as one
        readings = on_space(table, table.mean(METRIC)[:, None])
    values = readings.mean(axis=1)
    if np.nanmin(values) == np.nanmax(values):
        raise NotRecorded(f"all {noun}s of the table {table.name} are equally accurate")

    top = top_cells(readings)
    several = readings.shape[1] > 1
    how = "within two standard errors of the best" if several else "taken as the best"
    study.findings.append(
        f"The best {noun}, {space[int(top[0])].to_text()}, reaches {values[top[0]]:.2%}; "
        f"{'one other is' if len(top) == 2 else f'{len(top) - 1} others are'} {how}."
    )
    if not table.complete:
        study.findings.append(
            f"The table is partial: these are the best of its own {noun}s, and statements about all "
            f"{noun}s take its own for a uniform sample of them."
        )
    top = top[:_MOST_TARGETS]
    _against_distance(study, distances, values, top)
    if isinstance(distances, Encodings):
        _volume(study, distances, top)
    else:
        _volume_of_rows(study, distances, top)
    try:
        _local_search(study, around, values)
    except NotRecorded as error:
        study.findings.append(f"Not computed: {error}.".replace("cell", noun))
    _correlogram(study, distances, values, options)
    return study


def _against_distance(
    study: Study, distances: Distances, values: NDArray[np.float64], top: NDArray[np.intp]
) -> None:
    space, noun = study.table.space, study.noun
    one, several, around = study.panels("fitness_distance", f"Accuracy near the best {noun}s", 3)
    rows: list[tuple[object, ...]] = []
    for ax, targets, name in (
        (one, top[:1], f"the best {noun}"),
        (several, top, f"the nearest of the best {len(top)}"),
    ):
        by_distance = fitness_distance(distances, values, targets)
        plots.draw_by_distance(by_distance, ax, name, noun=noun).set_ylabel(study.accuracy)
        rows += [
            (name, distance, by_distance.cells[distance], by_distance.mean[distance])
            for distance in np.flatnonzero(by_distance.cells).tolist()
        ]
        study.findings.append(
            f"Fitness-distance correlation to {name}: {by_distance.correlation:.3f}."
        )
    drawn = top[:12]
    neighbours = (
        space.neighbours if isinstance(space, CellSpace) else neighbourhood(space).neighbours
    )
    near = [values[neighbours(row)] for row in drawn.tolist()]
    near = [accuracies[~np.isnan(accuracies)] for accuracies in near]
    plots.draw_neighbourhoods(values[drawn], near, around, noun=noun).set_ylabel(study.accuracy)
    study.frames["fitness_distance"] = tidy(f"to distance {noun}s mean", rows)


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


def _volume_of_rows(study: Study, distances: Distances, top: NDArray[np.intp]) -> None:
    nearest = distances.distances(top)
    counts = np.bincount(nearest[nearest >= 0])
    (ax,) = study.panels("volume", "Architectures near one of the best")
    plots.draw_volume(counts, None, ax)
    within, lost = counts.cumsum() / len(nearest), int((nearest < 0).sum())
    study.findings.append(
        f"{within[min(1, len(within) - 1)]:.1%} of all architectures lie within one step of one of these "
        f"{len(top)}, {within[min(2, len(within) - 1)]:.1%} within two; the farthest is {len(within) - 1} "
        "steps away" + (f", and no path leads to {lost:,}." if lost else ".")
    )
    study.frames["volume"] = {"distance": np.arange(len(counts)), "architectures": counts}


def _correlogram(
    study: Study, distances: Distances, values: NDArray[np.float64], options: Options
) -> None:
    # Of ranks: a few failed trainings would outweigh all other cells.
    ranks = np.full_like(values, np.nan)
    recorded = ~np.isnan(values)
    ranks[recorded] = rankdata(values[recorded])
    correlations = correlogram(distances, ranks, options.rng, progress=options.progress)
    what = "edit distance" if isinstance(distances, Encodings) else "distance"
    (ax,) = study.panels("correlogram", f"Correlation by {what}")
    plots.draw_correlogram(correlations, ax, f"{what} of two {study.noun}s").set_ylabel(
        "correlation of ranks"
    )
    near = int(np.flatnonzero(correlations.pairs)[1])  # 1, but in a small sample
    spread = f" ± {1.96 * correlations.error[near]:.3f}" if correlations.error[near] else ""
    lost = np.flatnonzero(correlations.rho < 1.96 * correlations.error)
    study.findings.append(
        f"The ranks of {study.noun}s at {what} {near} correlate by {correlations.rho[near]:.3f}{spread}"
        + (f"; at distance {lost[0]} no correlation is left." if len(lost) else ".")
    )
    study.frames["correlogram"] = {
        "distance": np.arange(len(correlations.rho)),
        "pairs": correlations.pairs,
        "correlation": correlations.rho,
        "standard_error": correlations.error,
    }


def _local_search(study: Study, around: Neighbourhood, values: NDArray[np.float64]) -> None:
    graph, noun = around.graph, study.noun
    optima = local_optima(graph, values)
    searches: dict[str, LocalSearchOutcome] = {
        "best improvement": local_search(graph, values, "best"),
        "first improvement": local_search(graph, values, "first"),
    }
    reach, basins = study.panels("local_search", f"Local search from every {noun}", 2)
    plots.draw_reach(values, searches, reach, noun=noun)
    plots.draw_basins(searches, basins, noun=noun)
    study.findings.append(
        f"{optima.cells.sum():,} of {len(values):,} {noun}s are local optima "
        f"({optima.strict.sum():,} of them better than all neighbours; single {noun}s counted, "
        f"{optima.plateaus:,} plateaus from which equal steps lead to nothing better)."
    )
    rows = np.flatnonzero(optima.cells)
    rows = rows[np.argsort(-values[rows], kind="stable")]
    columns = {"row": rows, noun: [study.table.space[int(row)].to_text() for row in rows]}
    columns["accuracy"] = values[rows]
    for name, search in searches.items():
        columns[f"basin_{name.replace(' ', '_')}"] = search.basin[rows]
        best = search.reaching(values, float(values.max()))
        mean = search.basin @ values
        study.findings.append(
            f"By {name}, a random start reaches the best {noun} with probability {best:.2%} and "
            f"{mean:.2%} on average, in {search.steps:.1f} moves and {search.queries:,.0f} queries."
        )
    study.frames["local_optima"] = columns


def random_walk(table: Table, options: Options) -> Study:
    """Autocorrelation along random walks.

    On any space of the walk from neighbour to neighbour, exactly; of cells also of the paper's walk
    on encodings, sampled and on request exact.

    Raises:
        InvalidSetting: some architecture has no neighbour.
        NotRecorded: a partial table, or all architectures are equally accurate.
    """
    study = Study(table, "Random walks")
    if isinstance(table.space, CellSpace):
        curves, closing = _walks_of_cells(table, table.space, options)
    elif table.complete:
        graph = neighbourhood(table.space).graph
        curves = {"neighbours, exact": cell_autocorrelation(graph, table.mean(METRIC), _LAGS)}
        closing = "Every step goes to one of the neighbours, each with the same probability."
    else:
        raise NotRecorded(
            f"the table {table.name} covers {len(table):,} of {len(table.space):,} architectures, and a "
            "random walk needs them all; 'analyze locality' shows accuracy against distance instead"
        )
    (ax,) = study.panels("random_walk", "Random-walk autocorrelation")
    plots.draw_autocorrelation(curves, ax)
    for name, curve in curves.items():
        lag = curve.dies_out()
        end = f"beyond lag {_LAGS}" if lag is None else f"at lag {lag} (distance {lag**0.5:.1f})"
        length = curve.correlation_length
        study.findings.append(
            f"Walk on {name}: "
            + (f"correlation length {length:.2f} steps" if curve.rho[1] > 0 else "no correlation")
            + f"; lost in the noise of one walk of 10,000 steps {end}; {curve.rho[36]:.3f} is left at "
            "distance 6."
        )
    study.findings.append(closing)
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


def _walks_of_cells(
    table: Table, space: CellSpace, options: Options
) -> tuple[dict[str, Autocorrelation], str]:
    """The autocorrelation of each walk, and where the walk on encodings is most of the time."""
    encodings = Encodings(space)
    law = stationary_law(encodings)
    half = int(np.searchsorted(np.sort(law)[::-1].cumsum(), 0.5)) + 1
    if not table.complete:
        raise NotRecorded(
            f"the table {table.name} covers {len(table):,} of {len(space):,} cells, where a "
            f"random walk spends {law[table.rows].sum():.0%} of its time (half of it on {half} small "
            "cells); 'analyze locality' shows accuracy against edit distance instead"
        )
    values = table.mean(METRIC)
    curves: dict[str, Autocorrelation] = {}
    curves["encodings, sampled"] = sampled_autocorrelation(
        encodings, values, options.rng, lags=_LAGS
    )
    graph = neighbourhood(space).graph
    curves["unique cells, exact"] = cell_autocorrelation(graph, values, _LAGS)
    if options.exact:
        curves["encodings, exact"] = exact_autocorrelation(
            encodings, values, _LAGS, options.progress
        )
    return curves, f"The walk on encodings spends half of its time on {half:,} cells."
