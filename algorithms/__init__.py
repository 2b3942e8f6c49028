"""Search algorithms, one file a paper. They see the oracle and nothing behind it."""

from nasbench_kit.algorithms.random_search import RandomSearch
from nasbench_kit.algorithms.regularized_evolution import RegularizedEvolution

__all__ = ["ALGORITHMS", "RandomSearch", "RegularizedEvolution"]

#: The built-in algorithms by the name that commands use.
ALGORITHMS = {
    "random-search": RandomSearch,
    "regularized-evolution": RegularizedEvolution,
}
