"""What an experiment has where it does not say: seeds, budget, algorithms, and what an answer is."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nasbench_kit.algorithms import (
    ALGORITHMS,
    MULTI_OBJECTIVE,
    ON_EDGES,
    WEIGHT_SHARING,
    ZERO_COST,
)
from nasbench_kit.compare import held_out
from nasbench_kit.compare.rehearsal import check_usable
from nasbench_kit.compare.scores import scored_by
from nasbench_kit.errors import InvalidSetting
from nasbench_kit.oracle.budget import Budget
from nasbench_kit.oracle.cost import fewest_rows
from nasbench_kit.oracle.oracle import Oracle
from nasbench_kit.spaces.nasbench101.space import CellSpace
from nasbench_kit.spaces.skeleton import Skeleton
from nasbench_kit.table.noise import Noise
from nasbench_kit.table.table import Table


def _sharing(share: float, seeds: int, seconds: float) -> dict[str, Any]:
    """A comparison with shared weights that train for a share of the budget; the rest queries their best."""
    return {
        "seeds": seeds,
        "budget": {"seconds": seconds},
        "algorithms": {
            "random-search": {},
            "regularized-evolution": {},
            "enas": {"method": "enas-small", "share": share},
            "darts": {"method": "darts-small", "share": share},
        },
    }


#: What is compared unless otherwise stated: on shipped images, by their name, where shared weights
#: train within seconds on any processor,
IMAGES_DEFAULTS: dict[str, dict[str, Any]] = {
    "digits": _sharing(share=0.03, seeds=5, seconds=600.0),
    "noisy-digits": _sharing(share=0.15, seeds=20, seconds=30.0),
}
#: in full with so many times the budget,
_IN_FULL = 2
#: and on all others.
DEFAULTS: dict[str, Any] = {
    "seeds": 20,
    "algorithms": {"random-search": {}, "regularized-evolution": {}},
}
#: What is compared where several objectives are named, and no algorithms.
OBJECTIVES_DEFAULTS: dict[str, dict[str, Any]] = {
    "random-front": {},
    "nsga2": {},
    "mo-regularized-evolution": {},
}
#: Without a table the default budget pays for this many of the longest trainings.
_TRAININGS = 10
#: Tables of fewer architectures are small: a search asks for the same one again and again.
SMALL = 10_000
#: Every search that needs no images and knows one objective.
_BLACK_BOX = [
    name for name in ALGORITHMS if name not in {**WEIGHT_SHARING, **ZERO_COST, **MULTI_OBJECTIVE}
]
#: The default budget of a table pays for about as many trainings at the largest fidelity; in full, for
#: ten times as many.
DEFAULT_QUERIES = 40
#: What is compared over many tables by default; not all of them may have seconds.
MANY_DEFAULTS: dict[str, Any] = {**DEFAULTS, "budget": {"queries": DEFAULT_QUERIES}}


def defaults(table: Table, *, full: bool = False) -> dict[str, Any]:
    """Seeds, budget and algorithms of an experiment on a table that does not say them.

    Args:
        table: on shipped images weight sharing competes; elsewhere it would need a GPU, and its methods
            are to be named.
        full: every method that can be used there, ten seeds on shipped images and a hundred elsewhere,
            and a serious budget.
    """
    sharing = IMAGES_DEFAULTS.get(str(table.provenance.get("images")))
    if sharing and not (table.complete and len(table) >= fewest_rows(table, Skeleton(), (8, 8, 1))):
        sharing = None  # too few rows to price the steps of a supernet by
    if not full:
        return sharing or {"budget": _paying_for(DEFAULT_QUERIES, table), **DEFAULTS}
    if not sharing:
        budget = _paying_for(10 * DEFAULT_QUERIES, table)
        return {"seeds": 100, "budget": budget, "algorithms": _usable(table, budget)}
    budget = {"seconds": _IN_FULL * sharing["budget"]["seconds"]}
    small = [
        name for name in WEIGHT_SHARING if name.endswith("-small") and not name.startswith(ON_EDGES)
    ]
    algorithms = _usable(table, budget) | {name: {"share": 0.15} for name in small}
    algorithms["zero-cost-small"] = {}
    return {"seeds": 10, "budget": budget, "algorithms": algorithms}


def trained_defaults(longest: int) -> dict[str, Any]:
    """Where there is no table and everything is trained: few runs of few trainings.

    Args:
        longest: epochs of the longest training.
    """
    return {
        **DEFAULTS,
        "seeds": 3,
        "budget": {"epochs": float(_TRAININGS * longest)},
        "policy": "always",
        "held_out_repeats": 0,
    }


def fair_defaults(table: Table, *, fallback: bool = False) -> dict[str, Any]:
    """Policy, repeats kept for scoring, and whether a control runs, where an experiment does not say.

    On a small table of noisy measurements a search that asks the same question often would keep the
    luckiest answer. There an answer is the mean over the repeats that searches see, so that asking again
    brings nothing, and one repeat of three or more is kept for scoring.

    Args:
        table: what is searched.
        fallback: whether what the table lacks is trained; then all repeats are seen.
    """
    measured = Noise.of(table.provenance) is None
    common = held_out.common_repeats(table, scored_by(table)) if measured else 1
    if common < 2 or len(table) >= SMALL:
        return {"policy": "always", "held_out_repeats": 0}
    kept = 1 if common > 2 and not fallback else 0
    return {"policy": "mean", "held_out_repeats": kept, "control": True}


def _paying_for(queries: int, table: Table) -> dict[str, float]:
    """A budget that pays for about this many queries at the largest fidelity."""
    fair = fair_defaults(table)
    price = mean_price(table, fair["policy"], fair["held_out_repeats"])
    if price is None:
        return {"queries": queries}
    return {"seconds": float(f"{queries * price:.3g}")}


def mean_price(table: Table, policy: str = "always", held_out_repeats: int = 0) -> float | None:
    """Mean seconds of a query at the largest fidelity, of what random search draws.

    Args:
        table: what is asked; the answer is None where it records no seconds.
        policy: under "mean" a query pays for all repeats that searches see.
        held_out_repeats: those that they do not see.
    """
    if not table.has("seconds"):
        return None
    # Not the mean over rows: a space may draw some architectures much more often than others.
    space, rng = table.covered, np.random.default_rng(0)
    if isinstance(space, CellSpace):
        drawn = space.sample(rng, 1000)
    else:
        drawn = np.array([space.index(space.sample(rng)) for _ in range(1000)])
    trainings = table.repeats - held_out_repeats if policy == "mean" else 1
    return trainings * float(table.mean("seconds")[drawn].mean())


def full_of_many(listed: Sequence[Table]) -> dict[str, Any]:
    """Every search that needs no images and can be used on all tables, a hundred seeds, a serious budget."""
    budget = {"queries": 10 * DEFAULT_QUERIES}
    usable = [_usable(table, budget) for table in listed]
    searches = {
        name: settings
        for name, settings in usable[0].items()
        if all(name in each for each in usable)
    }
    return {"seeds": 100, "budget": budget, "algorithms": searches}


def _usable(table: Table, budget: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    """Every search that needs no images, but those that refuse the table or the budget."""
    oracle = Oracle(table, Budget(**budget), np.random.default_rng(0))  # type: ignore[arg-type]
    usable: dict[str, dict[str, Any]] = {}
    for name in _BLACK_BOX:
        made = ALGORITHMS[name]()
        with contextlib.suppress(InvalidSetting):
            check_usable(name, made, oracle)
            usable[name] = {}
    return usable
