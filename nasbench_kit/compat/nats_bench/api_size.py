"""The size space: 32,768 choices of the channels of five layers."""

from __future__ import annotations

from nasbench_kit.compat.nats_bench.api_utils import NASBenchMetaAPI

ALL_BASE_NAMES = ["NATS-sss-v1_0-50262"]


class NATSsize(NASBenchMetaAPI):
    """The queries of the size space."""

    _space = "sss"
    _search_space_name = "size"
    _base_name = ALL_BASE_NAMES[-1]
    _full_train_epochs = 90
