"""The counterpart of ``nasbench.lib.config``: the settings that NAS-Bench-101 was made with.

Officially these are flags of the command line; here they are a dictionary.
"""

from __future__ import annotations

from typing import Any

from nasbench_kit.spaces.nasbench101.cell import OPERATIONS


def build_config() -> dict[str, Any]:
    """All official settings at their defaults, in a new dictionary."""
    return {
        # Image files, as TFRecords; nothing here reads them.
        "train_data_files": [],
        "valid_data_file": "",
        "test_data_file": "",
        "sample_data_file": "",
        "data_format": "channels_last",
        "num_labels": 10,
        # The space.
        "module_vertices": 7,
        "max_edges": 9,
        "available_ops": list(OPERATIONS),
        # Network and training; see `nasbench_kit.training.recipe.NASBENCH101` for what evaluate() uses.
        "stem_filter_size": 128,
        "num_stacks": 3,
        "num_modules_per_stack": 3,
        "batch_size": 256,
        "train_epochs": 108,
        "train_seconds": 4 * 60 * 60.0,
        "learning_rate": 0.1,
        "lr_decay_method": "COSINE_BY_STEP",
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "max_attempts": 5,
        "intermediate_evaluations": ["0.5"],
        "num_repeats": 3,
        "use_tpu": True,
        "tpu_iterations_per_loop": 100,
        "tpu_num_shards": 2,
    }
