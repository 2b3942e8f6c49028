"""How many runs a comparison needs to tell two algorithms apart.

Source: Noether 1987, "Sample size determination for some common nonparametric tests", JASA 82, section 3.
"""

from __future__ import annotations

import math

from nasbench_kit.analysis.statistics.rank_tests import Pair
from nasbench_kit.checks import counted

#: The chance of finding a difference that is there, by convention.
POWER = 0.8
#: A difference that more runs than these would be needed for is called none.
MOST_RUNS = 10_000


def least_runs(pairs: int, level: float = 0.05) -> int:
    """Runs of each algorithm below which no outcome at all is significant.

    The most extreme ranking of n and n runs has a two-sided p of 2 / (2n choose n) in Mann and
    Whitney's test; Holm's correction multiplies the least p by the number of pairs.

    Args:
        pairs: pairs of algorithms that are compared.
        level: of the family-wise error.
    """
    runs = 1
    while 2 * pairs / math.comb(2 * runs, runs) >= level:
        runs += 1
    return runs


def runs_needed(better: float, pairs: int, level: float = 0.05, power: float = POWER) -> int | None:
    """Runs of each algorithm with which a difference of this size is found; None if MOST_RUNS are not enough.

    n = (z_(1 - a / 2) + z_power)^2 / (6 (p - 1/2)^2), where a is the level over the number of pairs, as
    Holm's correction begins (Noether, equation 10, for two samples of one size).

    Args:
        better: probability p that a run of one is better than one of the other, ties counting half.
        pairs: pairs of algorithms that are compared.
        level: of the family-wise error.
        power: the chance of finding the difference.
    """
    from scipy import stats

    effect = (better - 0.5) ** 2
    z = float(stats.norm.ppf(1 - level / pairs / 2) + stats.norm.ppf(power))
    if 6 * effect * MOST_RUNS < z**2:
        return None
    return max(math.ceil(z**2 / (6 * effect)), least_runs(pairs, level))


def advice(pairs: list[Pair], compared: int, runs: int, level: float = 0.05) -> str:
    """Whether more runs would tell pairs apart that these runs do not: a sentence.

    Args:
        pairs: those that cannot be told apart.
        compared: pairs that Holm's correction is over.
        runs: of each algorithm; the fewest where they differ.
        level: of the family-wise error.
    """
    if runs < (least := least_runs(compared, level)):
        return (
            f"With {counted(runs, 'run')} each no difference can be significant, however large "
            f"it is; {least} is the least number."
        )
    needed = [runs_needed(pair.better, compared, level) for pair in pairs]
    enough = [count for count in needed if count is not None]
    if not enough:
        return f"Not even {MOST_RUNS:,} runs each would tell them apart if the differences are as small as here."
    first = max(min(enough), runs + 1)
    sentence = (
        f"If the differences are as large as here, {first:,} runs each would find the first of them "
        f"in {POWER:.0%} of comparisons"
    )
    if len(needed) > 1:
        last = max(enough)
        sentence += (
            f", {max(last, runs + 1):,} all of them"
            if len(enough) == len(needed)
            else f", and not even {MOST_RUNS:,} all of them"
        )
    return sentence + "."
