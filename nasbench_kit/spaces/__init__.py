"""What can be searched: one folder a family of search spaces."""

from nasbench_kit.spaces.catalogue import named
from nasbench_kit.spaces.decisions import Choices, ChoiceSpace, DecisionSpace
from nasbench_kit.spaces.protocols import Architecture, Decision, Numbered, Space, Trainable

__all__ = [
    "Architecture",
    "ChoiceSpace",
    "Choices",
    "Decision",
    "DecisionSpace",
    "Numbered",
    "Space",
    "Trainable",
    "named",
]
