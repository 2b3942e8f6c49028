"""What shared weights say of every cell while they are trained, for comparison with the truth.

No search may look at this: the scores of all cells are not paid for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.algorithms.weight_sharing.gradient import GradientSearch
from nasbench_kit.algorithms.weight_sharing.search import WeightSharing
from nasbench_kit.algorithms.weight_sharing.sharpness import dominant_eigenvalue
from nasbench_kit.algorithms.weight_sharing.training import SharedWeights
from nasbench_kit.errors import BudgetExhausted

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit import Oracle
    from nasbench_kit.spaces.protocols import Architecture


@dataclass(frozen=True)
class Scores:
    """Accuracies with shared weights at one moment of a search."""

    #: Seconds of the budget spent so far; epochs where it limits epochs alone.
    spent: float
    #: The recommended cell; None before the first epoch.
    recommended: Architecture | None
    #: Accuracy in [0, 1] on all reward images of the cells in question [cells], by their canonical
    #: labelling.
    accuracy: NDArray[np.float64]
    #: The same of the cells as mixtures of fixed width; at the last moment only, and None unless
    #: that is what was trained.
    mixture_accuracy: NDArray[np.float64] | None = None
    #: Standard deviation of the accuracy between labellings of one cell; at the last moment only.
    labelling_spread: float | None = None
    #: The dominant eigenvalue of the reward loss' Hessian by the logits, on one batch that is always the
    #: same; None where there are no logits.
    eigenvalue: float | None = None


#: Of the spread over labellings: encodings drawn, cells looked at, labellings of each, at most.
_DRAWS, _CELLS, _LABELLINGS = 2000, 30, 5
#: With the Hessian, at most, for an eigenvalue.
_PRODUCTS = 30


def shared_scores(
    search: WeightSharing,
    oracle: Oracle,
    rng: Generator,
    cells: Sequence[Architecture],
    moments: int,
) -> Iterator[Scores]:
    """Train as the search does, without its queries, and score cells from time to time.

    Args:
        search: what trains the weights.
        oracle: its budget is spent on training alone.
        rng: as the search's.
        cells: those that are scored.
        moments: how often, evenly over the budget, besides once before the first epoch.

    Raises:
        BudgetExhausted: the budget does not pay for the first step.
    """
    search = replace(search, share=1.0)
    shared = SharedWeights(oracle, rng, search)
    under_way = search.begin(shared)
    budget = oracle.budget

    def scores(recommended: Architecture | None) -> Scores:
        accuracy = np.array([shared.whole_reward(cell) for cell in cells])
        eigenvalue = None
        if isinstance(under_way, GradientSearch):
            loss = shared.loss(under_way.relaxation.mixture(), shared.same_reward_batch())
            logits = list(under_way.relaxation.parameters())
            eigenvalue = dominant_eigenvalue(loss, logits, iterations=_PRODUCTS)
        spent = budget.spent_epochs if budget.seconds is None else budget.spent_seconds
        return Scores(spent, recommended, accuracy, eigenvalue=eigenvalue)

    yield scores(None)
    recommended, due = None, 1
    try:
        for recommended in shared.trained(under_way):
            if due <= moments * shared.spent_share < moments:
                due = int(moments * shared.spent_share) + 1
                yield scores(recommended)
    except BudgetExhausted:
        if not budget.ledger:
            raise  # nothing was trained
    mixtures = None
    if isinstance(under_way, GradientSearch):
        discrete = map(under_way.relaxation.mixture_of, cells)
        mixtures = np.array([shared.whole_reward(mixture) for mixture in discrete])
    spread = _spread_over_labellings(shared)
    yield replace(scores(recommended), mixture_accuracy=mixtures, labelling_spread=spread)


def _spread_over_labellings(shared: SharedWeights) -> float:
    """Standard deviation of the accuracy over labellings of a cell, pooled over some cells.

    Weights belong to vertex numbers, so a cell has a score for each labelling of it.
    """
    rng = np.random.default_rng(0)
    labellings: dict[Architecture, dict[str, Architecture]] = defaultdict(dict)
    for _ in range(_DRAWS):
        drawn = shared.space.sample(rng)
        labellings[drawn.canonical()][drawn.to_text()] = drawn
    several = [
        list(cells.values())[:_LABELLINGS] for cells in labellings.values() if len(cells) > 1
    ]
    variances = [
        np.var([shared.whole_reward(cell) for cell in cells], ddof=1) for cells in several[:_CELLS]
    ]
    return float(np.sqrt(np.mean(variances))) if variances else 0.0
