"""The topology space: 15,625 cells (NAS-Bench-201's)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_kit.compat.nats_bench.api_utils import NASBenchMetaAPI
from nasbench_kit.compat.nats_bench.errors import InvalidArchitecture
from nasbench_kit.compat.nats_bench.genotype_utils import (
    Node,
    read_nodes,
    topology_str2structure,
)

ALL_BASE_NAMES = ["NATS-tss-v1_0-3ffb9"]
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")


class NATStopology(NASBenchMetaAPI):
    """The queries of the topology space."""

    _space = "tss"
    _search_space_name = "topology"
    _base_name = ALL_BASE_NAMES[-1]
    _full_train_epochs = 200

    def get_unique_str(self, arch: Any) -> str:
        """A text that cells share if they are equal as graphs once none and skip are resolved."""
        text = self.meta_archs[self._index(arch)]
        return topology_str2structure(text).to_unique_str(consider_zero=True)

    @staticmethod
    def str2lists(arch_str: str) -> list[Node]:
        """The (operation, source) pairs that come into each node after the input."""
        return read_nodes(arch_str)

    @staticmethod
    def str2matrix(arch_str: str, search_space: Sequence[str] = OPERATIONS) -> NDArray[np.float64]:
        """The operations as numbers: row is the target, column the source.

        Raises:
            InvalidArchitecture: an operation is not in ``search_space`` (also a ``ValueError``).
        """
        nodes = read_nodes(arch_str)
        matrix = np.zeros((len(nodes) + 1, len(nodes) + 1))
        for target, node in enumerate(nodes, 1):
            for operation, source in node:
                if operation not in search_space or not 0 <= source < target:
                    raise InvalidArchitecture(
                        f"{operation}~{source} is no edge of operations {', '.join(search_space)}"
                    )
                matrix[target, source] = list(search_space).index(operation)
        return matrix
