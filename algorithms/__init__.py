"""Search algorithms, one file a paper. They see the oracle and nothing behind it.

A search with other settings: ``dataclasses.replace(ALGORITHMS["hyperband"](), eta=2)``.
"""

from collections.abc import Callable

from nasbench_kit.algorithms.ask_tell import AskTell
from nasbench_kit.algorithms.bohb import BOHB
from nasbench_kit.algorithms.hyperband import Hyperband
from nasbench_kit.algorithms.local_search import LocalSearch
from nasbench_kit.algorithms.optuna_search import OptunaSearch
from nasbench_kit.algorithms.random_search import RandomSearch
from nasbench_kit.algorithms.regularized_evolution import RegularizedEvolution
from nasbench_kit.algorithms.reinforce import Reinforce
from nasbench_kit.search import Search

__all__ = [
    "ALGORITHMS",
    "BOHB",
    "AskTell",
    "Hyperband",
    "LocalSearch",
    "OptunaSearch",
    "RandomSearch",
    "RegularizedEvolution",
    "Reinforce",
]

#: The built-in algorithms by the name that commands use: each makes a search with its defaults.
ALGORITHMS: dict[str, Callable[[], Search]] = {
    "random-search": RandomSearch,
    "local-search": LocalSearch,
    "regularized-evolution": RegularizedEvolution,
    "regularized-evolution-notebook": RegularizedEvolution.notebook,
    "regularized-evolution-naszilla": RegularizedEvolution.naszilla,
    "non-regularized-evolution": RegularizedEvolution.non_regularized,
    "reinforce": Reinforce,
    "successive-halving": Hyperband.successive_halving,
    "hyperband": Hyperband,
    "bohb": BOHB,
    "optuna-tpe": OptunaSearch,
    "optuna-gp": OptunaSearch.gp,
    "optuna-random": OptunaSearch.random,
    "optuna-nsga2": OptunaSearch.nsga2,
}
