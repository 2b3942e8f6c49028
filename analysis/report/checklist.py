"""The best-practice checklist for NAS experiments, filled in from a comparison's own records.

Source: Lindauer and Hutter 2020, "Best practices for scientific research on neural architecture
search", JMLR 21(243). What records cannot tell is left to the authors, by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from nasbench_kit.analysis.landscape.study import costs

if TYPE_CHECKING:
    from nasbench_kit.analysis.statistics.comparison import Comparison

Standing = Literal["yes", "partly", "no", "for the authors"]

#: Fewer runs leave the spread unknown; from so many on a comparison is called well founded.
_FEW, _ENOUGH = 5, 30


class Practice(NamedTuple):
    """One practice: where the comparison stands, and on what evidence. Plain text."""

    number: int
    practice: str
    standing: Standing
    evidence: str


def checklist(comparisons: Sequence[Comparison]) -> list[Practice]:
    """All fourteen practices, for one report."""
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


Fact = tuple[str, Standing, str]


def _tables(comparisons: Sequence[Comparison]) -> str:
    return ", ".join(
        dict.fromkeys(f"{it.label} (SHA-256 {it.table.checksum[:12]})" for it in comparisons)
    )


def _pipeline(comparisons: Sequence[Comparison]) -> Fact:
    with_recipe = [it for it in comparisons if "recipe" in it.table.provenance]
    practice = "Release the code that trains the final architectures"
    if len(with_recipe) == len(comparisons):
        names = {str(it.table.provenance["recipe"].get("name", "unnamed")) for it in comparisons}
        recipe = ", ".join(sorted(names))
        return (
            practice,
            "yes",
            (
                f"The tables record the recipe they were trained by ({recipe}); nasbench-kit retrain "
                "trains what was recommended by it."
            ),
        )
    return practice, "for the authors", "The table records no recipe; name the code behind it."


def _search_code(comparisons: Sequence[Comparison]) -> Fact:
    practice = "Release the code of the search methods"
    settings = [one for it in comparisons for one in it.manifest["algorithms"].values()]
    foreign = sorted(
        {kind for one in settings if not (kind := _class(one)).startswith("nasbench_kit.")}
    )
    version = _version(comparisons)
    if foreign:
        return practice, "for the authors", f"Publish {', '.join(foreign)}; the rest is {version}."
    return practice, "yes", f"All are part of {version}; their settings stand in the manifest."


def _class(settings: Mapping[str, Any]) -> str:
    return str(settings.get("class", "a class without name"))


def _version(comparisons: Sequence[Comparison]) -> str:
    versions = {
        str(it.manifest.get("versions", {}).get("nasbench_kit", "of an unknown version"))
        for it in comparisons
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
        f"All algorithms asked the same table: {_tables(comparisons)}.{_outside(comparisons)}",
    )


def _outside(comparisons: Sequence[Comparison]) -> str:
    """What is said of cells that tables lack."""
    said = [
        f"{it.name}: searches saw the space {fallback['space']}, and cells that the table lacks were "
        f"trained on {fallback['images']} by the recipe {fallback['recipe']['name']}"
        for it in comparisons
        if (fallback := it.manifest.get("fallback"))
    ]
    return f" {'; '.join(said)}." if said else ""


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
            f"{budget_text(it)}, policy {it.manifest.get('policy', 'not stated')}, scored by mean "
            f"{it.metric}"
            for it in comparisons
        )
    )
    return "Use the same evaluation protocol for all methods", "yes", f"{protocols}."


def budget_text(it: Comparison) -> str:
    """The limits of a run in words."""
    limits = it.manifest["budget"].items()
    return ", ".join(f"{limit:,.10g} {name}" for name, limit in limits) + " a run"


def _over_compute(comparisons: Sequence[Comparison]) -> Fact:
    axes = ", ".join(sorted({it.axis for it in comparisons} | {"queries"}))
    return (
        "Evaluate performance as a function of compute",
        "yes",
        f"Any-time curves of the recommended cell against {axes}.",
    )


def _random_baselines(comparisons: Sequence[Comparison]) -> Fact:
    practice = "Compare with random sampling and random search"
    sampled = ", ".join(
        f"{100 * float(np.median(it.regrets)):.2f} points on {it.label}" for it in comparisons
    )
    sampling = f"A cell drawn uniformly from the table has a median regret of {sampled}."
    lacking = [
        it.name
        for it in comparisons
        if not any(
            _class(settings).split(".")[-1] == "RandomSearch"
            for settings in it.manifest["algorithms"].values()
        )
    ]
    if lacking:
        return practice, "no", f"{sampling} Random search did not take part ({', '.join(lacking)})."
    return practice, "yes", f"{sampling} Random search took part."


def _several_runs(comparisons: Sequence[Comparison]) -> Fact:
    least = min(len(runs) for it in comparisons for runs in it.traces.values())
    seeds = sorted({t.seed for it in comparisons for runs in it.traces.values() for t in runs})
    standing: Standing = "no" if least < _FEW else "partly" if least < _ENOUGH else "yes"
    advice = f" {_ENOUGH} or more are advised." if least < _ENOUGH else ""
    return (
        "Perform several runs with different, published seeds",
        standing,
        (
            f"At least {least} runs an algorithm, seeds {_ranges(seeds)}, with medians, "
            f"interquartile means and 95 % intervals.{advice}"
        ),
    )


def _ranges(numbers: Sequence[int]) -> str:
    """Ascending whole numbers, stretches shortened: 0-4, 7."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    return ", ".join("-".join(map(str, part)) for part in parts)


def _tabular(comparisons: Sequence[Comparison]) -> Fact:
    sources = ", ".join(
        dict.fromkeys(
            f"{it.label}: {it.table.provenance.get('source', 'measured')}" for it in comparisons
        )
    )
    return "Use tabular or surrogate benchmarks", "yes", f"{sources}."


def _confounders(comparisons: Sequence[Comparison]) -> Fact:
    return (
        "Control confounding factors: hardware, libraries, versions",
        "yes",
        (
            f"Prices are the table's own seconds, the same on any machine; {_version(comparisons)}, "
            "other versions in the manifest. Each run's generators are drawn from its seed and name."
        ),
    )


def _tuning(comparisons: Sequence[Comparison]) -> Fact:
    return (
        "Report the tuning of the methods' hyper-parameters and its cost",
        "for the authors",
        "The manifest has the values; how they were found, it cannot know.",
    )


def _whole_time(comparisons: Sequence[Comparison]) -> Fact:
    final = [
        f"{float(np.median(known)):,.4g} s on {it.label}"
        for it in comparisons
        if (known := costs(it.table).get("training time (s)")) is not None
    ]
    cost = f"about {', '.join(final)}" if final else "unknown, as the tables record no seconds"
    return (
        "Report the whole time: search, validation and final training",
        "partly",
        (
            "Search and validation are the metered budget, the methods' own computing stands beside "
            f"it; training the final cell once more comes on top (median: {cost})."
        ),
    )


def _details(comparisons: Sequence[Comparison]) -> Fact:
    return (
        "Report all details of the experimental set-up",
        "yes",
        (
            "The manifest below: table, budget, policy, versions, all settings of all algorithms, and "
            "the commands that make the results anew."
        ),
    )
