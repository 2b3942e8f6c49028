"""The best-practice checklist for NAS experiments, filled in from a comparison's own records.

Source: Lindauer and Hutter 2020, "Best practices for scientific research on neural architecture
search", JMLR 21(243). What the records cannot tell is marked as for the authors to fill in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from nasbench_kit.analysis.landscape.study import costs

if TYPE_CHECKING:
    from nasbench_kit.analysis.statistics.comparison import Comparison

Status = Literal["yes", "partly", "no", "for the authors"]

#: With fewer runs the checklist answers no; from the second number on it answers yes.
_FEW, _ENOUGH = 5, 30


class Practice(NamedTuple):
    """One practice, whether the comparison follows it, and the evidence for that. Plain text."""

    number: int
    practice: str
    status: Status
    evidence: str


def checklist(comparisons: Sequence[Comparison]) -> list[Practice]:
    """All fourteen practices, as the comparisons of one report follow them."""
    facts = (
        _pipeline,
        _search_code,
        _not_waiting,
        _same_benchmark,
        _ablations,
        _same_protocol,
        _over_compute,
        _random_baselines,
        _several_runs,
        _tabular,
        _confounders,
        _tuning,
        _whole_time,
        _details,
    )
    return [Practice(number, *fact(comparisons)) for number, fact in enumerate(facts, start=1)]


Fact = tuple[str, Status, str]


def _tables(comparisons: Sequence[Comparison]) -> str:
    return ", ".join(
        dict.fromkeys(
            f"{comparison.label} (SHA-256 {comparison.checksum[:12]})" for comparison in comparisons
        )
    )


def _pipeline(comparisons: Sequence[Comparison]) -> Fact:
    with_recipe = [comparison for comparison in comparisons if "recipe" in comparison.provenance]
    practice = "Release the code that trains the final architectures"
    if len(with_recipe) == len(comparisons):
        names = {
            str(comparison.provenance["recipe"].get("name", "unnamed"))
            for comparison in comparisons
        }
        recipe = ", ".join(sorted(names))
        return (
            practice,
            "yes",
            (
                f"The tables record the recipe they were trained by ({recipe}); nasbench-kit retrain "
                "trains the recommended cells by that recipe."
            ),
        )
    return practice, "for the authors", "The table records no recipe; name the code behind it."


def _search_code(comparisons: Sequence[Comparison]) -> Fact:
    practice = "Release the code of the search methods"
    settings = [
        one for comparison in comparisons for one in comparison.manifest["algorithms"].values()
    ]
    foreign = sorted(
        {kind for one in settings if not (kind := _class(one)).startswith("nasbench_kit.")}
    )
    version = _version(comparisons)
    if foreign:
        return (
            practice,
            "for the authors",
            f"Publish {', '.join(foreign)}; the rest is part of {version}.",
        )
    return practice, "yes", f"All are part of {version}; their settings are in the manifest."


def _class(settings: Mapping[str, Any]) -> str:
    return str(settings.get("class", "a class without name"))


def _version(comparisons: Sequence[Comparison]) -> str:
    versions = {
        str(comparison.manifest.get("versions", {}).get("nasbench_kit", "of an unknown version"))
        for comparison in comparisons
    }
    return f"nasbench-kit {', '.join(sorted(versions))}"


def _not_waiting(comparisons: Sequence[Comparison]) -> Fact:
    return (
        "Do not wait until the code is cleaned up",
        "for the authors",
        "Publish the run folder with the paper: it holds every trace.",
    )


def _same_benchmark(comparisons: Sequence[Comparison]) -> Fact:
    return (
        "Use the same NAS benchmark: data set, search space and training pipeline",
        "yes",
        f"All algorithms queried the same benchmark: {_tables(comparisons)}.{_outside(comparisons)}",
    )


def _outside(comparisons: Sequence[Comparison]) -> str:
    """A sentence about cells that tables lack; empty if no comparison had searches ask for them."""
    sentences = [
        f"{comparison.name}: searches saw the space {fallback['space']}, and "
        f"{'everything was' if comparison.table is None else 'cells that the table lacks were'} trained on {fallback['images']} by the recipe {fallback['recipe']['name']}"
        for comparison in comparisons
        if (fallback := comparison.manifest.get("fallback"))
    ]
    return f" {'; '.join(sentences)}." if sentences else ""


def _ablations(comparisons: Sequence[Comparison]) -> Fact:
    return (
        "Run ablation studies",
        "for the authors",
        (
            "Variants of a method can take part under labels of their own; the manifest has their "
            "settings."
        ),
    )


def _same_protocol(comparisons: Sequence[Comparison]) -> Fact:
    protocols = "; ".join(
        dict.fromkeys(
            f"{budget_text(comparison)}, policy {comparison.manifest.get('policy', 'not stated')}, "
            f"scored by mean {comparison.metric}"
            for comparison in comparisons
        )
    )
    return "Use the same evaluation protocol for all methods", "yes", f"{protocols}."


def budget_text(comparison: Comparison) -> str:
    """The budget of one run in words."""
    limits = comparison.manifest["budget"].items()
    return ", ".join(f"{limit:,.10g} {name}" for name, limit in limits) + " a run"


def _over_compute(comparisons: Sequence[Comparison]) -> Fact:
    axes = ", ".join(sorted({comparison.axis for comparison in comparisons} | {"queries"}))
    return (
        "Evaluate performance as a function of compute",
        "yes",
        f"Any-time curves of the recommended cell against {axes}.",
    )


def _random_baselines(comparisons: Sequence[Comparison]) -> Fact:
    practice = "Compare with random sampling and random search"
    sampled = ", ".join(
        f"{100 * float(np.median(comparison.regrets)):.2f} points on {comparison.label}"
        for comparison in comparisons
        if comparison.table is not None and not comparison.objectives
    )
    sampling = (
        f"An architecture drawn uniformly from the table has a median regret of {sampled}. "
        if sampled
        else ""
    )
    lacking = [
        comparison.name
        for comparison in comparisons
        if not any(
            _class(settings).split(".")[-1] in ("RandomSearch", "RandomFront")
            for settings in comparison.manifest["algorithms"].values()
        )
    ]
    if lacking:
        return practice, "no", f"{sampling}Random search did not take part ({', '.join(lacking)})."
    return practice, "yes", f"{sampling}Random search took part."


def _several_runs(comparisons: Sequence[Comparison]) -> Fact:
    least = min(len(runs) for comparison in comparisons for runs in comparison.traces.values())
    seeds = sorted(
        {t.seed for comparison in comparisons for runs in comparison.traces.values() for t in runs}
    )
    status: Status = "no" if least < _FEW else "partly" if least < _ENOUGH else "yes"
    advice = f" {_ENOUGH} or more are advised." if least < _ENOUGH else ""
    return (
        "Perform several runs with different, published seeds",
        status,
        (
            f"At least {least} runs an algorithm, seeds {_ranges(seeds)}, with medians, "
            f"interquartile means and 95 % intervals.{advice}"
        ),
    )


def _ranges(numbers: Sequence[int]) -> str:
    """Ascending whole numbers with consecutive ones joined: 0-4, 7."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    return ", ".join("-".join(map(str, part)) for part in parts)


def _tabular(comparisons: Sequence[Comparison]) -> Fact:
    practice = "Use tabular or surrogate benchmarks"
    trained = [comparison.label for comparison in comparisons if comparison.table is None]
    if trained:
        return practice, "no", f"Everything was trained: {', '.join(trained)}."
    sources = ", ".join(
        dict.fromkeys(
            f"{comparison.label}: {comparison.provenance.get('source', 'measured')}"
            for comparison in comparisons
        )
    )
    return practice, "yes", f"{sources}."


def _confounders(comparisons: Sequence[Comparison]) -> Fact:
    tabular = all(comparison.table is not None for comparison in comparisons)
    seconds = "Costs are the table's own seconds, the same on any machine; " if tabular else ""
    return (
        "Control confounding factors: hardware, libraries, versions",
        "yes",
        (
            f"{seconds}{_version(comparisons)}, "
            "other versions in the manifest. Each run's random generators follow from its seed and name."
        ),
    )


def _tuning(comparisons: Sequence[Comparison]) -> Fact:
    return (
        "Report the tuning of the methods' hyper-parameters and its cost",
        "for the authors",
        "The manifest has the values, but not how they were found.",
    )


def _whole_time(comparisons: Sequence[Comparison]) -> Fact:
    medians = [
        f"{float(np.median(seconds)):,.4g} s on {comparison.label}"
        for comparison in comparisons
        if comparison.table is not None
        and (seconds := costs(comparison.table).get("training time (s)")) is not None
    ]
    cost = f"about {', '.join(medians)}" if medians else "unknown, as the tables record no seconds"
    return (
        "Report the whole time: search, validation and final training",
        "partly",
        (
            "The budget meters search and validation, and the methods' own computation is listed beside "
            f"it; training the final cell once more is extra (median: {cost})."
        ),
    )


def _details(comparisons: Sequence[Comparison]) -> Fact:
    return (
        "Report all details of the experimental set-up",
        "yes",
        (
            "The manifest below: table, budget, policy, versions, all settings of all algorithms, and "
            "the commands that reproduce the results."
        ),
    )
