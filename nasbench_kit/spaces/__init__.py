"""What can be searched: one folder a family of search spaces."""

from nasbench_kit.spaces.catalogue import named
from nasbench_kit.spaces.decisions import Choices, DecisionSpace
from nasbench_kit.spaces.protocols import Architecture, Decision, Numbered, Space, Trainable

__all__ = [
    "Architecture",
    "Choices",
    "Decision",
    "DecisionSpace",
    "Numbered",
    "Space",
    "Trainable",
    "named",
]
