"""Analyses of a table's readings: operations, topology, fidelities, noise, trade-offs."""

from __future__ import annotations

from dataclasses import astuple
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.analysis.landscape import headroom, table_plots as plots
from nasbench_kit.analysis.landscape.fidelity import (
    agreement,
    between_fidelities,
    noise as noise_of,
)
from nasbench_kit.analysis.landscape.pareto import front
from nasbench_kit.analysis.landscape.structure import Estimate, mean_change, replacements, shapes
from nasbench_kit.analysis.landscape.study import (
    METRIC,
    Options,
    Study,
    all_costs,
    chosen,
    costs,
    of_cells,
    tidy,
)
from nasbench_kit.errors import NotRecorded
from nasbench_kit.pareto import nondominated
from nasbench_kit.spaces.nasbench101.space import CellSpace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from nasbench_kit.table.table import Table

#: Mean changes that Ying et al. 2019 (section 3.2) quote: points of accuracy, percent of time.
PUBLISHED = {
    "accuracy (points)": {"3x3 → 1x1": -1.16, "3x3 → pool": -1.99, "1x1 → pool": -0.81},
    "training time (%)": {"3x3 → 1x1": -14.11, "3x3 → pool": -9.84, "1x1 → pool": 5.04},
}
_SHORT = {"conv3x3-bn-relu": "3x3", "conv1x1-bn-relu": "1x1", "maxpool3x3": "pool"}


def operations(table: Table, options: Options) -> Study:
    """How replacing one operation changes accuracy and training time, cell by cell.

    Raises:
        InvalidSetting: a table of something else than cells.
        NotRecorded: no two cells of the table differ in one operation.
    """
    of_cells(table)
    study = Study(table, "Operation replacement")
    accuracy = table.mean(METRIC)
    seconds = costs(table).get("training time (s)")
    changes: dict[str, dict[str, Estimate]] = {"accuracy (points)": {}}
    if seconds is not None:
        changes["training time (%)"] = {}
    for pairs in replacements(table.covered):
        name = f"{_SHORT[pairs.old]} → {_SHORT[pairs.new]}"
        if not len(pairs.before):
            study.findings.append(f"{name}: the table holds no such pair of cells.")
            continue
        points = 100 * (accuracy[pairs.after] - accuracy[pairs.before])
        changes["accuracy (points)"][name] = mean_change(points, pairs.graph, options.rng)
        if seconds is not None:
            percent = 100 * (seconds[pairs.after] / seconds[pairs.before] - 1)
            changes["training time (%)"][name] = mean_change(percent, pairs.graph, options.rng)
    if not changes["accuracy (points)"]:
        raise NotRecorded(f"no two cells of the table {table.name} differ in one operation only")
    published = PUBLISHED if table.space.name == "v7e9" else {}
    rows: list[tuple[object, ...]] = []
    panels = study.panels("operations", "One operation replaced", len(changes))
    for ax, (what, estimates) in zip(panels, changes.items(), strict=True):
        plots.draw_estimates(estimates, ax, published.get(what))
        ax.set_xlabel(f"change of {what}")
        for name, estimate in estimates.items():
            paper = published.get(what, {}).get(name)
            study.findings.append(
                f"{name}: {what} {estimate.mean:+.2f} [{estimate.low:+.2f}, {estimate.high:+.2f}], "
                f"{estimate.pairs:,} pairs on {estimate.graphs:,} graphs"
                + (f"; the paper: {paper:+.2f}." if paper is not None else ".")
            )
            interval = estimate.mean, estimate.low, estimate.high
            rows.append((what, name, *interval, estimate.pairs, "" if paper is None else paper))
    if not table.complete:
        held = sum(len(pairs.before) for pairs in replacements(table.covered))
        whole = sum(len(pairs.before) for pairs in replacements(table.space))
        study.findings.append(
            f"The table is partial: it holds {held:,} of the space's {whole:,} pairs, taken for a "
            "uniform sample of them."
        )
    study.findings.append(
        "Intervals (95 %) resample graphs: the pairs of one graph share cells and structure."
    )
    study.frames["operations"] = tidy("change_of replacement mean low high pairs paper", rows)
    return study


def topology(table: Table, options: Options) -> Study:
    """Depth, width and cost against accuracy.

    Raises:
        InvalidSetting: a table of something else than cells.
    """
    of_cells(table)
    study = Study(table, "Depth, width and cost")
    accuracy, prices = 100 * table.mean(METRIC), costs(table)
    shape = shapes(table.covered)
    measures = {study.accuracy: accuracy} | prices
    rows: list[tuple[object, ...]] = []
    for name, groups in (("depth", shape.depth), ("width", shape.width)):
        panels = study.panels(name, f"By {name}", len(measures))
        for ax, (what, values) in zip(panels, measures.items(), strict=True):
            plots.draw_groups(groups, values, ax)
            ax.set_xlabel(f"{name}; number of cells")
            ax.set_ylabel(what)
            for value in np.unique(groups).tolist():
                chosen = values[groups == value]
                rows.append((name, value, len(chosen), what, chosen.mean(), np.median(chosen)))
        means = {v: accuracy[groups == v].mean() for v in np.unique(groups).tolist()}
        best = max(means, key=lambda v: float(means[v]))
        study.findings.append(f"Mean accuracy is highest at {name} {best}: {means[best]:.2f} %.")
    study.frames["shapes"] = tidy("shape value cells measure mean median", rows)
    if prices:
        panels = study.panels("cost", "Accuracy against cost", len(prices))
        for ax, (what, values) in zip(panels, prices.items(), strict=True):
            plots.draw_density(values, accuracy, ax, log=True)
            ax.set_xlabel(what)
            ax.set_ylabel(study.accuracy)
            correlation = agreement(values, accuracy)
            study.findings.append(
                f"Accuracy and {what}: Spearman {correlation.spearman:.3f}, tau-b {correlation.tau:.3f}."
            )
    return study


def fidelity(table: Table, options: Options) -> Study:
    """How well a short training predicts a long one, and one split the other."""
    study = Study(table, "Fidelities")
    if len(table.epochs) > 1:
        _between_fidelities(study)
    else:
        study.findings.append(
            "All trainings have one length, so there is none to rank by a shorter one."
        )
    (ax,) = study.panels("ecdf", "Accuracy by fidelity")
    readings = {f"{epochs} epochs": 100 * table.mean(METRIC, epochs) for epochs in table.epochs}
    plots.draw_ecdf(readings, ax, noun=study.noun).set_xlabel(study.accuracy)
    if table.has("test_accuracy", epochs=table.epochs[-1]):
        _validation_and_test(study)
    return study


def _between_fidelities(study: Study) -> None:
    pairs, noun = list(between_fidelities(study.table)), study.noun
    everywhere, best = study.panels("fidelities", "Rank correlation (tau-b) of fidelities", 2)
    plots.draw_agreements(pairs, everywhere).set_title(f"all {noun}s")
    plots.draw_agreements(pairs, best, best=True).set_title("best 10 % of the longer one")
    rows: list[tuple[object, ...]] = []
    for pair in pairs:
        rows.append((pair.short, pair.long, f"all {noun}s", *astuple(pair.everywhere)))
        rows.append((pair.short, pair.long, "best tenth", *astuple(pair.best)))
    study.frames["fidelities"] = tidy(f"short long among {noun}s pearson spearman tau", rows)
    last = pairs[-1]
    published = study.table.space.name == "v7e9" and (last.short, last.long) == (36, 108)
    study.findings.append(
        f"{last.short} against {last.long} epochs: Spearman {last.everywhere.spearman:.3f} over all "
        f"{noun}s, {last.best.spearman:.3f} among the best tenth"
        + (" (the paper: .365)." if published else ".")
    )


def _validation_and_test(study: Study) -> None:
    table = study.table
    rows = {
        e: agreement(table.mean(METRIC, e), table.mean("test_accuracy", e))
        for e in table.epochs
        if table.has("test_accuracy", epochs=e)
    }
    (ax,) = study.panels("validation_test", "Validation and test accuracy")
    longest = table.epochs[-1]
    plots.draw_density(
        100 * table.mean(METRIC), 100 * table.mean("test_accuracy"), ax, noun=study.noun
    )
    ax.set_xlabel(study.accuracy)
    ax.set_ylabel("test accuracy (%)")
    study.findings.append(
        f"Validation against test accuracy at {longest} epochs: Pearson {rows[longest].pearson:.3f}, "
        f"tau-b {rows[longest].tau:.3f}."
    )
    study.frames["validation_test"] = tidy(
        f"epochs {study.noun}s pearson spearman tau",
        ((e, *astuple(found)) for e, found in rows.items()),
    )


def noise(table: Table, options: Options) -> Study:
    """How much repeats of one training differ, and how that affects ranks.

    Raises:
        NotRecorded: one repeat of each training.
    """
    study = Study(table, "Noise between repeats")
    present = table.column(METRIC).present
    repeated = [
        epochs
        for place, epochs in enumerate(table.epochs)
        if present is None or (present[:, place].sum(axis=1) > 1).any()
    ]
    by_fidelity = [noise_of(table, epochs) for epochs in repeated or table.epochs[-1:]]
    spread, agreeing, ranks = study.panels("noise", "Noise between repeats", 3)
    noun = study.noun
    plots.draw_noise(by_fidelity, spread, noun=noun)
    plots.draw_repeat_agreement(by_fidelity, agreeing, noun=noun)
    plots.draw_noise_by_rank(by_fidelity[-1], ranks, noun=noun)
    last = by_fidelity[-1]
    study.findings.append(
        f"At {last.epochs} epochs repeats of one {noun} spread by {100 * last.within_cells:.2f} "
        f"points, {noun}s by {100 * last.between_cells:.2f}."
    )
    study.findings.append(
        f"Two single repeats rank all {noun}s with tau-b {last.repeats_agree.tau:.3f}, the best tenth "
        f"with {last.best_agree.tau:.3f}."
    )
    study.findings.append(
        f"Between two repeats {'a' if noun == 'cell' else 'an'} {noun} moves by {last.rank_shift:.1%} of all ranks (median); the "
        f"winner of one repeat ranks {last.winner_rank:,.0f} by the mean over repeats."
    )
    if len(table) >= 20 and table.has(headroom.METRIC, epochs=table.epochs[-1]):
        best = headroom.headroom(table)
        study.findings.append(headroom.sentence(best))
        study.frames["best_tenth"] = tidy(
            "architectures trainings fresh spread noise standard_error ratio ratio_low ratio_high",
            [(*astuple(best)[:5], best.standard_error, best.ratio, best.low, best.high)],
        )
    rows = []
    for repeat_noise in by_fidelity:
        taus = repeat_noise.repeats_agree.tau, repeat_noise.best_agree.tau
        spreads = (
            repeat_noise.between_cells,
            repeat_noise.within_cells,
            repeat_noise.best_within_cells,
        )
        rows.append(
            (
                repeat_noise.epochs,
                *spreads,
                repeat_noise.rank_shift,
                repeat_noise.winner_rank,
                *taus,
            )
        )
    study.frames["noise"] = tidy(
        f"epochs between_{noun}s within_{noun}s best_tenth_within_{noun}s median_rank_shift winner_rank "
        "tau_of_repeats tau_of_repeats_best_tenth",
        rows,
    )
    return study


def pareto(table: Table, options: Options) -> Study:
    """The best architectures for each of their costs, and for the chosen ones together.

    Costs are training time, parameters, what else the table records, and of cells their memory.

    Raises:
        InvalidSetting: an objective that the table does not record.
    """
    study = Study(table, "Trade-offs")
    accuracy, covered = 100 * table.mean(METRIC), table.covered
    prices = all_costs(table)
    if isinstance(covered, CellSpace):
        prices["memory (feature maps)"] = shapes(covered).feature_maps
    if options.objectives:
        prices = chosen(prices, options.objectives)
    rows: list[tuple[object, ...]] = []
    for ax, (what, values) in zip(_cost_panels(study, len(prices)), prices.items(), strict=True):
        plots.draw_front(values, accuracy, ax)
        ax.set_xlabel(what)
        ax.set_ylabel(study.accuracy)
        best = front(values, accuracy)
        study.findings.append(
            f"{len(best)} architectures are best for their {what}."
            if len(best) > 1
            else f"One architecture is best, whatever its {what}."
        )
        rows += [
            (what, row, covered[row].to_text(), values[row], accuracy[row] / 100)
            for row in best.tolist()
        ]
    if "memory (feature maps)" in prices:
        study.findings.append(
            "Memory counts the full-width feature maps that one cell keeps for its backward pass."
        )
    study.frames["pareto"] = tidy("cost row architecture value accuracy", rows)
    if len(options.objectives) > 1:
        _joint_front(study, accuracy, prices)
    return study


def _cost_panels(study: Study, count: int) -> list[Axes]:
    """A panel for each cost, three in a figure."""
    panels: list[Axes] = []
    for start in range(0, count, 3):
        number = f"_{start // 3 + 1}" if start else ""
        panels += study.panels(
            f"pareto{number}", "Best accuracy for the cost", min(3, count - start)
        )
    return panels


def _joint_front(
    study: Study, accuracy: NDArray[np.float64], prices: dict[str, NDArray[np.float64]]
) -> None:
    best = nondominated(np.column_stack([-accuracy, *prices.values()]))
    best = best[np.argsort(-accuracy[best], kind="stable")]
    covered = study.table.covered
    study.findings.append(
        f"{len(best):,} of {len(accuracy):,} {study.noun}s are beaten by no other in accuracy and all of "
        f"{', '.join(prices)} at once."
    )
    study.frames["front"] = {
        "row": best,
        "architecture": [covered[row].to_text() for row in best.tolist()],
        "accuracy": accuracy[best] / 100,
    } | {what: values[best] for what, values in prices.items()}
