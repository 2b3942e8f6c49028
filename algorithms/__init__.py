"""Search algorithms, one file a paper. They see the oracle and nothing behind it.

A search with other settings: ``dataclasses.replace(ALGORITHMS["hyperband"](), eta=2)``.
"""

import importlib
import operator
from collections.abc import Callable

from nasbench_kit.algorithms.ask_tell import AskTell
from nasbench_kit.algorithms.evolution.hierarchical_evolution import HierarchicalEvolution
from nasbench_kit.algorithms.evolution.regularized_evolution import RegularizedEvolution
from nasbench_kit.algorithms.evolution.released_evolution import ReleasedEvolution
from nasbench_kit.algorithms.local_search import LocalSearch
from nasbench_kit.algorithms.model_based.auto_keras import AutoKerasBO
from nasbench_kit.algorithms.model_based.bananas import BANANAS
from nasbench_kit.algorithms.model_based.nas_bowl import NASBOWL
from nasbench_kit.algorithms.model_based.nasbot import NASBOT
from nasbench_kit.algorithms.model_based.optuna_search import OptunaSearch
from nasbench_kit.algorithms.model_based.smac import SMAC
from nasbench_kit.algorithms.multi_fidelity.asha import ASHA
from nasbench_kit.algorithms.multi_fidelity.bohb import BOHB
from nasbench_kit.algorithms.multi_fidelity.hyperband import Hyperband
from nasbench_kit.algorithms.multi_objective.nsga2 import NSGA2
from nasbench_kit.algorithms.multi_objective.predicted_reward import PredictedReward
from nasbench_kit.algorithms.multi_objective.random_front import RandomFront
from nasbench_kit.algorithms.multi_objective.regularized_evolution import (
    MultiObjectiveRegularizedEvolution,
)
from nasbench_kit.algorithms.multi_objective.scalarized import Scalarized
from nasbench_kit.algorithms.policy_gradient.reinforce import Reinforce
from nasbench_kit.algorithms.random_search import RandomSearch
from nasbench_kit.oracle.search import Search

__all__ = [
    "ALGORITHMS",
    "ASHA",
    "BANANAS",
    "BOHB",
    "MULTI_OBJECTIVE",
    "NASBOT",
    "NASBOWL",
    "NSGA2",
    "ON_EDGES",
    "SMAC",
    "WEIGHT_SHARING",
    "ZERO_COST",
    "AskTell",
    "AutoKerasBO",
    "HierarchicalEvolution",
    "Hyperband",
    "LocalSearch",
    "MultiObjectiveRegularizedEvolution",
    "OptunaSearch",
    "PredictedReward",
    "RandomFront",
    "RandomSearch",
    "RegularizedEvolution",
    "Reinforce",
    "ReleasedEvolution",
    "Scalarized",
]


def _with_torch(module: str, maker: str) -> Callable[[], Search]:
    """A maker whose module is imported when it is called: torch takes seconds to import."""

    def make() -> Search:
        loaded = importlib.import_module(f"nasbench_kit.algorithms.{module}")
        search: Search = operator.attrgetter(maker)(loaded)()
        return search

    return make


#: Those that share weights; "-small" ones have settings for the digits table, "-text" ones for
#: Python's topics.
WEIGHT_SHARING: dict[str, Callable[[], Search]] = {
    "random-weight-sharing": _with_torch("weight_sharing.random_search", "RandomWeightSharing"),
    "random-weight-sharing-released": _with_torch(
        "weight_sharing.random_search", "RandomWeightSharing.released"
    ),
    "random-weight-sharing-small": _with_torch(
        "weight_sharing.random_search", "RandomWeightSharing.small"
    ),
    "spos": _with_torch("weight_sharing.spos", "SPOS"),
    "random-weight-sharing-text": _with_torch(
        "weight_sharing.random_search", "RandomWeightSharing.text"
    ),
    "spos-small": _with_torch("weight_sharing.spos", "SPOS.small"),
    "enas": _with_torch("weight_sharing.enas", "ENAS"),
    "enas-small": _with_torch("weight_sharing.enas", "ENAS.small"),
    "enas-text": _with_torch("weight_sharing.enas", "ENAS.text"),
    "darts": _with_torch("weight_sharing.darts", "DARTS"),
    "darts-small": _with_torch("weight_sharing.darts", "DARTS.small"),
    "darts-text": _with_torch("weight_sharing.darts", "DARTS.text"),
    "darts-second-order": _with_torch("weight_sharing.darts", "DARTS.second_order"),
    "darts-second-order-small": _with_torch("weight_sharing.darts", "DARTS.second_order_small"),
    "drnas": _with_torch("weight_sharing.drnas", "DrNAS"),
    "drnas-small": _with_torch("weight_sharing.drnas", "DrNAS.small"),
    "sdarts": _with_torch("weight_sharing.sdarts", "SDARTS"),
    "sdarts-small": _with_torch("weight_sharing.sdarts", "SDARTS.small"),
    "sdarts-adversarial": _with_torch("weight_sharing.sdarts", "SDARTS.adversarial"),
    "sdarts-adversarial-small": _with_torch("weight_sharing.sdarts", "SDARTS.adversarial_small"),
    "gdas": _with_torch("weight_sharing.gdas", "GDAS"),
    "gdas-small": _with_torch("weight_sharing.gdas", "GDAS.small"),
    "snas": _with_torch("weight_sharing.snas", "SNAS"),
    "snas-small": _with_torch("weight_sharing.snas", "SNAS.small"),
    "pc-darts": _with_torch("weight_sharing.pc_darts", "PCDARTS"),
    "pc-darts-small": _with_torch("weight_sharing.pc_darts", "PCDARTS.small"),
    "p-darts": _with_torch("weight_sharing.p_darts", "PDARTS"),
    "p-darts-small": _with_torch("weight_sharing.p_darts", "PDARTS.small"),
    "proxylessnas-gates": _with_torch("weight_sharing.proxyless", "ProxylessNAS"),
    "proxylessnas-gates-small": _with_torch("weight_sharing.proxyless", "ProxylessNAS.small"),
}

#: Those of them that want operations on edges; what their names begin with.
ON_EDGES = ("p-darts", "proxylessnas-gates")

#: Those that score untrained networks, on images as well.
ZERO_COST: dict[str, Callable[[], Search]] = {
    "zero-cost": _with_torch("zero_cost.search", "ZeroCost"),
    "zero-cost-small": _with_torch("zero_cost.search", "ZeroCost.small"),
}

#: Those that weigh several objectives, which a comparison or a setting has to name; the rewards want a
#: target as well.
MULTI_OBJECTIVE: dict[str, Callable[[], Search]] = {
    "random-front": RandomFront,
    "nsga2": NSGA2,
    "nsga2-small": NSGA2.small,
    "mo-regularized-evolution": MultiObjectiveRegularizedEvolution,
    "mnasnet-reward": Scalarized,
    "mnasnet-hard-reward": Scalarized.hard,
    "proxylessnas-reward": Scalarized.proxylessnas,
    "predicted-reward": PredictedReward,
}

#: The built-in algorithms by the name that commands use: each makes a search with its defaults.
ALGORITHMS: dict[str, Callable[[], Search]] = {
    "random-search": RandomSearch,
    "random-search-released": RandomSearch.released,
    "distinct-random-search": RandomSearch.without_repetition,
    "local-search": LocalSearch,
    "regularized-evolution": RegularizedEvolution,
    "regularized-evolution-released": ReleasedEvolution,
    "regularized-evolution-notebook": RegularizedEvolution.notebook,
    "regularized-evolution-naszilla": RegularizedEvolution.naszilla,
    "non-regularized-evolution": RegularizedEvolution.non_regularized,
    "non-regularized-evolution-released": ReleasedEvolution.non_regularized,
    "amoebanet": RegularizedEvolution.amoebanet,
    "amoebanet-small": RegularizedEvolution.amoebanet_small,
    "hierarchical-evolution": HierarchicalEvolution,
    "hierarchical-evolution-small": HierarchicalEvolution.small,
    "hierarchical-random": HierarchicalEvolution.random,
    "reinforce": Reinforce,
    "reinforce-released": Reinforce.released,
    "nats-reinforce": Reinforce.nats,
    "successive-halving": Hyperband.successive_halving,
    "hyperband": Hyperband,
    "asha": ASHA,
    "bohb": BOHB,
    "bananas": BANANAS,
    "nasbot": NASBOT,
    "nasbot-naszilla": NASBOT.naszilla,
    "auto-keras-bo": AutoKerasBO,
    "auto-keras-bo-small": AutoKerasBO.small,
    "nas-bowl": NASBOWL,
    "nas-bowl-small": NASBOWL.small,
    "smac": SMAC,
    "smac-small": SMAC.small,
    "optuna-tpe": OptunaSearch,
    "optuna-gp": OptunaSearch.gp,
    "optuna-random": OptunaSearch.random,
    "optuna-nsga2": OptunaSearch.nsga2,
    "controller-reinforce": _with_torch(
        "policy_gradient.controller_reinforce", "ControllerReinforce"
    ),
    "controller-reinforce-katib": _with_torch(
        "policy_gradient.controller_reinforce", "ControllerReinforce.katib"
    ),
    "nas-rl": _with_torch("policy_gradient.nas_rl", "NASRL"),
    "nas-rl-small": _with_torch("policy_gradient.nas_rl", "NASRL.small"),
    "nasnet-ppo": _with_torch("policy_gradient.nasnet_ppo", "NASNetPPO"),
    "nasnet-ppo-small": _with_torch("policy_gradient.nasnet_ppo", "NASNetPPO.small"),
    "pnas": _with_torch("model_based.pnas", "PNAS"),
    "pnas-small": _with_torch("model_based.pnas", "PNAS.small"),
    "pnas-random": _with_torch("model_based.pnas", "PNAS.random"),
    "pnas-random-small": _with_torch("model_based.pnas", "PNAS.random_small"),
    **ZERO_COST,
    **MULTI_OBJECTIVE,
    **WEIGHT_SHARING,
}
