"""The package ``nasbench`` (google-research/nasbench) over a table of this toolkit.

    from nasbench_kit.compat.nasbench import api              # instead of: from nasbench import api
    from nasbench_kit.compat.nasbench.lib import graph_util   # and so on
    from nasbench_kit.compat import nasbench as api           # works, too

See `nasbench_kit.compat.nasbench.api` for what is the same and what is mended, and
`nasbench_kit.compat.alias` for running client code without changing even its imports.
"""

from nasbench_kit.compat.nasbench.api import ModelSpec, NASBench, OutOfDomainError

__all__ = ["ModelSpec", "NASBench", "OutOfDomainError"]
